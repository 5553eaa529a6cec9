#include <algorithm>
#include <cstdio>
#include <numeric>

#include <dream/data/ids.hpp>
#include <dream/serve/export.hpp>
#include <dream/serve/recommend.hpp>
#include <dream/serve/similar.hpp>

#include "backends.hpp"
#include "commands.hpp"
#include "folder_lock.hpp"
#include "outputs.hpp"
#include "stored_run.hpp"

namespace dream_cli {

namespace {

using dream::index_t;

/// The rows of the users in a file of one id a line, in its order.
std::vector<index_t> read_users(const std::string& path, const dream::IdMap& ids) {
  const std::string text = dream::read_file(path);
  const dream::IdIndex index(ids);
  std::vector<index_t> rows;
  std::int64_t line = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string id = text.substr(begin, end - begin);
    begin = end + 1;
    ++line;
    if (!id.empty() && id.back() == '\r') id.pop_back();
    if (id.empty()) continue;
    const index_t row = index.find(id);
    DREAM_EXPECT(row >= 0, path, ":", line, ": no user '", id, "' in the data");
    rows.push_back(row);
  }
  DREAM_EXPECT(!rows.empty(), path, ": has no user ids");
  return rows;
}

/// Leaves the run the vectors of items that its model has placed, and returns which these are; none: all.
std::vector<index_t> keep_candidates(StoredRun& run, const dream::Dataset& data) {
  std::vector<index_t> items = candidates_of(run, data);
  if (items.empty()) return items;
  dream::Matrix<float, dream::Cpu> kept(static_cast<index_t>(items.size()), run.items.cols());
  for (index_t r = 0; r < kept.rows(); ++r)
    std::copy_n(run.items.view().row(items[static_cast<std::size_t>(r)]), kept.cols(), kept.view().row(r));
  run.items = std::move(kept);
  return items;
}

}  // namespace

int recommend(const RecommendArguments& arguments) {
  expect_out_file(arguments.out,
                  {arguments.data, {{"--checkpoint", arguments.checkpoint}, {"--users", arguments.users}}});
  dream::Context<dream::Cpu> context(arguments.threads);
  const StoredRun run = read_stored_run(arguments.checkpoint);
  DREAM_EXPECT(arguments.k <= run.items.rows(), "--k ", arguments.k, ": there are only ", run.items.rows(), " items");
  const dream::Dataset data = read_data_of(run, arguments.data);
  std::vector<index_t> users;
  if (arguments.users.empty()) {
    users.resize(static_cast<std::size_t>(data.user_count()));
    std::iota(users.begin(), users.end(), 0);
  } else {
    users = read_users(arguments.users, data.users);
  }
  const auto seen = seen_items(context, data,
                               arguments.exclude == "train"   ? dream::Split::train
                               : arguments.exclude == "known" ? dream::Split::valid
                                                              : dream::Split::test);
  const dream::UnknownUsers unknown(data);
  const auto is_unknown = [&](index_t user) { return unknown.contains(user); };
  if (const auto count = std::count_if(users.begin(), users.end(), is_unknown); count > 0) {
    const bool skip = arguments.unknown_users == "skip";
    std::fprintf(stderr, "note: %td of %zu users have no training interaction and %s\n", count, users.size(),
                 skip ? "get no list" : "get the items with most training interactions, which are their scores");
    if (skip) std::erase_if(users, is_unknown);
  }
  const index_t k = static_cast<index_t>(arguments.k);
  const RecommendationRun recommendations{run, seen, users, k, data, arguments.out};
  if (const KernelCommands* kernels = kernel_commands(usable_backend(arguments.backend)))
    kernels->recommend(context.threads(), recommendations);
  else
    dream::write_recommendations<float>(context, arguments.out, run.users.view(), run.items.view(), seen.view(), users,
                                        k, data.users, data.items, {candidates_of(run, data), &unknown, seen.view()});
  return Exit::success;
}

int similar(const SimilarArguments& arguments) {
  dream::Context<dream::Cpu> context(arguments.threads);
  StoredRun run = read_stored_run(arguments.checkpoint);
  const dream::Dataset data = read_data_of(run, arguments.data);
  index_t item = dream::IdIndex(data.items).find(arguments.item);
  DREAM_EXPECT(item >= 0, "--item ", arguments.item, ": no such item in the data");
  const std::vector<index_t> placed = keep_candidates(run, data);
  if (!placed.empty()) {
    const auto at = std::lower_bound(placed.begin(), placed.end(), item);
    DREAM_EXPECT(at != placed.end() && *at == item, "--item ", arguments.item, ": the item has no training interaction",
                 data.modalities.empty() ? "" : " and no features that the model reads",
                 ", so nothing is similar to it");
    item = static_cast<index_t>(at - placed.begin());
  }
  DREAM_EXPECT(arguments.k < run.items.rows(), "--k ", arguments.k, ": there are only ", run.items.rows() - 1,
               " other items");
  const SimilarityRun similarity{run, item, static_cast<index_t>(arguments.k)};
  const KernelCommands* kernels = kernel_commands(usable_backend(arguments.backend));
  const std::vector<dream::Scored<double>> found =
      kernels != nullptr ? kernels->similar(context.threads(), similarity)
                         : dream::similar_items<float>(context, run.items.view(), item, similarity.k);
  std::printf("item\trank\tcosine\n");
  int rank = 0;
  for (const auto& near : found) {
    const index_t row = placed.empty() ? near.index : placed[static_cast<std::size_t>(near.index)];
    std::printf("%s\t%d\t%.6f\n", data.items.name(row).c_str(), ++rank, near.value);
  }
  return Exit::success;
}

int export_vectors(const ExportArguments& arguments) {
  expect_out_folder(arguments.out, OutFolder::vectors, {"", {{"--checkpoint", arguments.checkpoint}}});
  const FolderLock lock(arguments.out);
  const StoredRun run = read_stored_run(arguments.checkpoint);
  dream::export_embeddings(arguments.out, run.users.view(), run.items.view(), run.user_ids, run.item_ids);
  std::printf("%s: %d users and %d items x %d\n", arguments.out.c_str(), run.users.rows(), run.items.rows(),
              run.users.cols());
  return Exit::success;
}

}  // namespace dream_cli
