#include "stored_run.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>

#include <dream/data/fingerprint.hpp>
#include <dream/graph/bipartite.hpp>
#include <dream/serve/recommend.hpp>

#include "activity.hpp"
#include "messages.hpp"
#include "models.hpp"

namespace dream_cli {

Settings settings_of(const std::string& path, const dream::CheckpointOrigin& origin) {
  if (!origin.has_checksums) print_note(path, ": has no checksums, so a change of its bytes would not be seen");
  const std::string place = path + ": config";
  return settings_from_json(dream::parse_json(origin.config, place), place);
}

StoredRun read_stored_run(const std::string& path) {
  doing("reading a checkpoint");
  StoredRun run{dream::load_vectors(path), path, {}};
  run.settings = settings_of(path, run.origin);
  return run;
}

dream::Dataset read_data_of(const StoredRun& run, const std::string& path) {
  doing("reading the data");
  dream::Dataset data = dream::read_dataset(path, run.settings.read);
  DREAM_EXPECT(data.user_count() == run.users.rows() && data.item_count() == run.items.rows(), run.path,
               ": was trained on ", run.users.rows(), " users and ", run.items.rows(), " items, but ", path, " has ",
               data.user_count(), " and ", data.item_count());
  DREAM_EXPECT(dream::fingerprint(data) == run.origin.data, run.path, ": was trained on other data than ", path,
               " (their fingerprints differ)");
  doing("computing with the vectors of a checkpoint");
  return data;
}

dream::Csr<float, dream::Cpu> seen_items(dream::Context<dream::Cpu>& context, const dream::Dataset& data,
                                         dream::Split last) {
  dream::Pairs seen{data.train.user, data.train.item, {}};
  for (const dream::Split split : {dream::Split::valid, dream::Split::test}) {
    if (split > last) break;
    const dream::Pairs& more = data.pairs(split);
    seen.user.insert(seen.user.end(), more.user.begin(), more.user.end());
    seen.item.insert(seen.item.end(), more.item.begin(), more.item.end());
  }
  return dream::interaction_matrix<float>(context, seen, data.user_count(), data.item_count());
}

std::vector<dream::index_t> placed_items_of(const StoredRun& run, const dream::Dataset& data) {
  return dream::placed_items(data, reads_features(run.settings));
}

StoredRanking ranking_of(dream::Context<dream::Cpu>& context, const StoredRun& run, const dream::Dataset& data,
                         dream::Split split) {
  const auto matrix = [&](const dream::Pairs& pairs) {
    return dream::interaction_matrix<float>(context, pairs, data.user_count(), data.item_count());
  };
  const bool with_valid = split == dream::Split::test && run.settings.fit.mask_valid_in_test;
  StoredRanking ranking{matrix(data.train),
                        seen_items(context, data, with_valid ? dream::Split::valid : dream::Split::train),
                        matrix(data.pairs(split)),
                        {}};
  ranking.options.top_k = run.settings.fit.top_k;
  return ranking;
}

}  // namespace dream_cli
