#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <numeric>

#include <dream/data/fingerprint.hpp>
#include <dream/data/ids.hpp>
#include <dream/graph/bipartite.hpp>
#include <dream/serve/export.hpp>
#include <dream/serve/recommend.hpp>
#include <dream/serve/recommender.hpp>

#include "activity.hpp"
#include "backends.hpp"
#include "commands.hpp"
#include "folder_lock.hpp"
#include "id_files.hpp"
#include "messages.hpp"
#include "outputs.hpp"
#include "stored_run.hpp"

namespace dream_cli {

namespace {

using dream::index_t;
using HostMatrix = dream::Matrix<float, dream::Cpu>;

/// Which of the items that have vectors may be recommended, by --items and --without. None left: an error.
std::vector<index_t> chosen_items(const RecommendArguments& arguments, const dream::Dataset& data,
                                  std::vector<index_t> placed) {
  const auto rows = [&](const std::string& path) {
    std::vector<index_t> named = read_id_file(path, data.items, "item", arguments.strict);
    std::sort(named.begin(), named.end());
    return named;
  };
  std::vector<index_t> left;
  if (!arguments.items.empty()) {
    const std::vector<index_t> named = rows(arguments.items);
    std::set_intersection(placed.begin(), placed.end(), named.begin(), named.end(), std::back_inserter(left));
    if (left.size() < named.size())
      print_note(arguments.items, ": ", named.size() - left.size(), " of ", named.size(),
                 " items have neither training interactions nor features that are read, so they are not recommended");
    placed = std::exchange(left, {});
  }
  if (!arguments.without.empty()) {
    const std::vector<index_t> named = rows(arguments.without);
    std::set_difference(placed.begin(), placed.end(), named.begin(), named.end(), std::back_inserter(left));
    placed = std::exchange(left, {});
  }
  DREAM_EXPECT(!placed.empty(), arguments.out, ": no item is left to recommend");
  return placed;
}

/// Says how many of the listed users are unknown and what they get; without them where they get nothing.
void treat_unknown(std::vector<index_t>& users, const dream::UnknownUsers& unknown, const std::string& why,
                   const RecommendArguments& arguments) {
  const auto is_unknown = [&](index_t user) { return unknown.contains(user); };
  const auto count = std::count_if(users.begin(), users.end(), is_unknown);
  if (count == 0) return;
  const bool skip = arguments.unknown_users == "skip";
  print_note(count, " of ", users.size(), " users have no ", why, " and ",
             skip ? "get no list" : "get the items with most training interactions, which are their scores");
  if (skip) std::erase_if(users, is_unknown);
}

std::vector<index_t> all_rows(index_t count) {
  std::vector<index_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

/// The vectors of the items of data that may be other than the run's: those of the run by id, and by features those
/// that it does not have or has not placed. `placed` receives the items that have one.
HostMatrix item_vectors(dream::Context<dream::Cpu>& context, const StoredRun& run, const dream::Dataset& data,
                        std::vector<index_t>& placed) {
  HostMatrix vectors(data.item_count(), run.items.cols());
  vectors.fill(0);
  const dream::IdIndex known(run.item_ids);
  std::vector<std::uint8_t> has(static_cast<std::size_t>(data.item_count()), 0);
  for (const index_t i : placed_items_of(run, data)) has[static_cast<std::size_t>(i)] = 1;
  std::size_t added = 0;
  for (index_t i = 0; i < data.item_count(); ++i) {
    const index_t row = known.find(data.items.name(i));
    added += row < 0;
    std::uint8_t& placed_here = has[static_cast<std::size_t>(i)];
    placed_here = placed_here != 0 && row >= 0;
    if (placed_here) std::copy_n(run.items.view().row(row), vectors.cols(), vectors.view().row(i));
  }
  const std::vector<index_t> by_features =
      dream::place_by_features<float>(context, data.modalities, has, vectors.view());
  for (const index_t i : by_features) has[static_cast<std::size_t>(i)] = 1;
  for (index_t i = 0; i < data.item_count(); ++i)
    if (has[static_cast<std::size_t>(i)]) placed.push_back(i);
  if (added > 0) print_note(added, " of ", data.item_count(), " items are not in ", run.path);
  if (!by_features.empty())
    print_note(by_features.size(), " items have vectors by their features, as means of the items nearest in features");
  if (const std::size_t without = static_cast<std::size_t>(data.item_count()) - placed.size(); without > 0)
    print_note(without, " items have no vector and no features, so they are not recommended");
  return vectors;
}

/// Lists for the users of a file, from their items in it alone.
int recommend_from_histories(dream::Context<dream::Cpu>& context, const RecommendArguments& arguments,
                             const StoredRun& run) {
  doing("reading the data");
  const dream::Dataset data = dream::read_dataset(arguments.data, run.settings.read);
  if (dream::fingerprint(data) != run.origin.data)
    print_note(arguments.data, " is not what ", run.path, " was trained on; items are matched by their ids");
  const Histories histories = read_histories(arguments.histories, data.items, arguments.strict);
  std::vector<index_t> placed;
  const HostMatrix items = item_vectors(context, run, data, placed);
  std::vector<std::uint8_t> has_vector(static_cast<std::size_t>(data.item_count()), 0);
  for (const index_t i : placed) has_vector[static_cast<std::size_t>(i)] = 1;

  const auto held =
      dream::interaction_matrix<float>(context, histories.pairs, histories.users.count, data.item_count());
  const auto none = dream::interaction_matrix<float>(context, {}, histories.users.count, data.item_count());
  const dream::Recommender<float> recommender(items.view());
  HostMatrix users(histories.users.count, items.cols());
  users.fill(0);
  std::vector<std::uint8_t> unknown_flags(static_cast<std::size_t>(users.rows()), 0);
  context.parallel_for(users.rows(), [&](std::int64_t u) {
    std::vector<index_t> history;
    for (std::int64_t e = held.offsets[u]; e < held.offsets[u + 1]; ++e)
      if (has_vector[static_cast<std::size_t>(held.indices[e])]) history.push_back(held.indices[e]);
    if (history.empty())
      unknown_flags[static_cast<std::size_t>(u)] = 1;
    else
      recommender.user_vector(history, users.view().row(static_cast<index_t>(u)));
  });
  std::vector<index_t> rows = all_rows(users.rows());
  const dream::UnknownUsers trained(data), unknown(data, unknown_flags);
  const dream::IdIndex known(data.users);
  const auto seen_before = std::count_if(rows.begin(), rows.end(), [&](index_t u) {
    const index_t row = known.find(histories.users.name(u));
    return row >= 0 && !trained.contains(row);
  });
  if (seen_before > 0)
    print_note(arguments.histories, ": ", seen_before, " of ", histories.users.count,
               " users have training interactions too; their lists are from the file alone");
  treat_unknown(rows, unknown, "item that has a vector", arguments);
  const auto& seen = arguments.exclude == "none" ? none : held;
  const RecommendationRun recommendations{users.view(),
                                          items.view(),
                                          seen,
                                          rows,
                                          static_cast<index_t>(arguments.k),
                                          histories.users,
                                          data.items,
                                          arguments.out,
                                          {chosen_items(arguments, data, placed), &unknown, seen.view()}};
  run_recommendation(context, arguments.backend, recommendations);
  return Exit::success;
}

}  // namespace

void run_recommendation(dream::Context<dream::Cpu>& context, const std::string& backend, const RecommendationRun& r) {
  if (const KernelCommands* kernels = kernel_commands(usable_backend(backend)))
    kernels->recommend(context.threads(), r);
  else
    dream::write_recommendations<float>(context, r.out, r.user_vectors, r.item_vectors, r.seen.view(), r.users, r.k,
                                        r.user_ids, r.item_ids, r.rules);
}

int recommend(const RecommendArguments& arguments) {
  expect_out_file(arguments.out, {arguments.data,
                                  {{"--checkpoint", arguments.checkpoint},
                                   {"--users", arguments.users},
                                   {"--histories", arguments.histories},
                                   {"--items", arguments.items},
                                   {"--without", arguments.without}}});
  dream::Context<dream::Cpu> context(arguments.threads);
  const StoredRun run = read_stored_run(arguments.checkpoint);
  DREAM_EXPECT(arguments.k <= run.items.rows(), "--k ", arguments.k, ": there are only ", run.items.rows(), " items");
  if (!arguments.histories.empty()) return recommend_from_histories(context, arguments, run);
  const dream::Dataset data = read_data_of(run, arguments.data);
  std::vector<index_t> users = arguments.users.empty()
                                   ? all_rows(data.user_count())
                                   : read_id_file(arguments.users, data.users, "user", arguments.strict);
  const auto seen = arguments.exclude == "none"
                        ? dream::interaction_matrix<float>(context, {}, data.user_count(), data.item_count())
                        : seen_items(context, data,
                                     arguments.exclude == "train"   ? dream::Split::train
                                     : arguments.exclude == "known" ? dream::Split::valid
                                                                    : dream::Split::test);
  const dream::UnknownUsers unknown(data);
  treat_unknown(users, unknown, "training interaction", arguments);
  const RecommendationRun recommendations{
      run.users.view(),
      run.items.view(),
      seen,
      users,
      static_cast<index_t>(arguments.k),
      data.users,
      data.items,
      arguments.out,
      {chosen_items(arguments, data, placed_items_of(run, data)), &unknown, seen.view()}};
  run_recommendation(context, arguments.backend, recommendations);
  return Exit::success;
}

int export_vectors(const ExportArguments& arguments) {
  expect_out_folder(arguments.out, OutFolder::vectors, {"", {{"--checkpoint", arguments.checkpoint}}});
  const FolderLock lock(arguments.out);
  const StoredRun run = read_stored_run(arguments.checkpoint);
  doing("writing the export");
  dream::export_embeddings(arguments.out, run.users.view(), run.items.view(), run.user_ids, run.item_ids,
                           {run.origin.model, run.epoch, run.origin.data});
  std::printf("%s: %d users and %d items x %d\n", arguments.out.c_str(), run.users.rows(), run.items.rows(),
              run.users.cols());
  return Exit::success;
}

}  // namespace dream_cli
