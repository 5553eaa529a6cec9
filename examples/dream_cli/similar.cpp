#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include <dream/backend/algebra.hpp>
#include <dream/data/ids.hpp>
#include <dream/graph/bipartite.hpp>
#include <dream/serve/recommend.hpp>
#include <dream/serve/similar.hpp>

#include "backends.hpp"
#include "commands.hpp"
#include "outputs.hpp"
#include "stored_run.hpp"

namespace dream_cli {

namespace {

using dream::index_t;
using HostMatrix = dream::Matrix<float, dream::Cpu>;

/// Vectors that training or features have placed, and which rows of the data they are.
struct PlacedVectors {
  HostMatrix vectors;
  std::vector<index_t> rows;  ///< ascending
  const dream::IdMap* ids;
  const char* what;  ///< "item" or "user"
};

PlacedVectors placed_vectors(const StoredRun& run, const dream::Dataset& data, bool of_users) {
  PlacedVectors placed{{}, {}, of_users ? &data.users : &data.items, of_users ? "user" : "item"};
  if (of_users) {
    const dream::UnknownUsers unknown(data);
    for (index_t u = 0; u < data.user_count(); ++u)
      if (!unknown.contains(u)) placed.rows.push_back(u);
  } else {
    placed.rows = placed_items_of(run, data);
  }
  const dream::MatrixView<const float> all = (of_users ? run.users : run.items).view();
  placed.vectors.resize(static_cast<index_t>(placed.rows.size()), all.cols);
  for (index_t r = 0; r < placed.vectors.rows(); ++r)
    std::copy_n(all.row(placed.rows[static_cast<std::size_t>(r)]), all.cols, placed.vectors.view().row(r));
  return placed;
}

void expect_k(std::int64_t k, const PlacedVectors& placed) {
  DREAM_EXPECT(k < placed.vectors.rows(), "--k ", k, ": there are only ", placed.vectors.rows() - 1, " other ",
               placed.what, "s");
}

/// Prints the nearest of one.
void print_similar(dream::Context<dream::Cpu>& context, const SimilarArguments& arguments, const PlacedVectors& placed,
                   const dream::Dataset& data) {
  const bool of_users = !arguments.user.empty();
  const std::string& id = of_users ? arguments.user : arguments.item;
  const index_t row = dream::IdIndex(*placed.ids).find(id);
  DREAM_EXPECT(row >= 0, "--", placed.what, " ", id, ": no such ", placed.what, " in the data");
  const auto at = std::lower_bound(placed.rows.begin(), placed.rows.end(), row);
  DREAM_EXPECT(at != placed.rows.end() && *at == row, "--", placed.what, " ", id, ": the ", placed.what,
               " has no training interaction",
               of_users || data.modalities.empty() ? "" : " and no features that the model reads",
               ", so nothing is similar to it");
  expect_k(arguments.k, placed);
  const SimilarityRun similarity{placed.vectors.view(), static_cast<index_t>(at - placed.rows.begin()),
                                 static_cast<index_t>(arguments.k)};
  const KernelCommands* kernels = kernel_commands(usable_backend(arguments.backend));
  const std::vector<dream::Scored<double>> found =
      kernels != nullptr ? kernels->similar(context.threads(), similarity)
                         : dream::similar_items<float>(context, similarity.vectors, similarity.row, similarity.k);
  std::printf("%s\trank\tcosine\n", placed.what);
  int rank = 0;
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;  // which must not obey an id; a file gets it as it is
  for (const auto& near : found) {
    const std::string name = placed.ids->name(placed.rows[static_cast<std::size_t>(near.index)]);
    std::printf("%s\t%d\t%.6f\n", (terminal ? dream::printable(name) : name).c_str(), ++rank, near.value);
  }
}

/// Writes the nearest of all: with rows of unit length, those of the largest products, without the row itself.
void write_similar(dream::Context<dream::Cpu>& context, const SimilarArguments& arguments, PlacedVectors& placed) {
  expect_k(arguments.k, placed);
  const index_t count = placed.vectors.rows();
  dream::Array<float, dream::Cpu> inverse(count);
  dream::normalise_rows<float>(context, placed.vectors.view(), placed.vectors.view(), inverse.view());
  dream::Pairs self;
  dream::IdMap ids{count, {}};
  for (index_t r = 0; r < count; ++r) {
    ids.names.push_back(placed.ids->name(placed.rows[static_cast<std::size_t>(r)]));
    self.user.push_back(r);
    self.item.push_back(r);
  }
  const auto seen = dream::interaction_matrix<float>(context, self, count, count);
  const std::string header = dream::concat(placed.what, "\tsimilar\trank\tcosine");
  dream::ServingRules<float> rules;
  rules.header = header.c_str();
  const RecommendationRun run{placed.vectors.view(),
                              placed.vectors.view(),
                              seen,
                              self.user,
                              static_cast<index_t>(arguments.k),
                              ids,
                              ids,
                              arguments.out,
                              rules};
  run_recommendation(context, arguments.backend, run);
}

}  // namespace

int similar(const SimilarArguments& arguments) {
  if (!arguments.out.empty())
    expect_out_file(arguments.out, {arguments.data, {{"--checkpoint", arguments.checkpoint}}});
  dream::Context<dream::Cpu> context(arguments.threads);
  const StoredRun run = read_stored_run(arguments.checkpoint);
  const dream::Dataset data = read_data_of(run, arguments.data);
  PlacedVectors placed = placed_vectors(run, data, !arguments.user.empty() || arguments.all == "users");
  if (arguments.all.empty())
    print_similar(context, arguments, placed, data);
  else
    write_similar(context, arguments, placed);
  return Exit::success;
}

}  // namespace dream_cli
