#include "study_significance.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include <dream/core/file.hpp>
#include <dream/data/read_dataset.hpp>
#include <dream/eval/beyond_accuracy.hpp>
#include <dream/eval/paired_test.hpp>
#include <dream/graph/bipartite.hpp>

#include "messages.hpp"
#include "stored_run.hpp"
#include "trials.hpp"

namespace dream_cli {

namespace {

using Json = nlohmann::ordered_json;

/// By metric, the values of every user that has test items and training interactions.
using UserValues = std::map<std::string, std::vector<double>>;

struct Metric {
  std::string name;
  std::size_t which;  ///< in RankingMetrics::values
  int k;
};

std::vector<Metric> tested_metrics(const std::string& valid_metric) {
  const std::size_t at = valid_metric.find('@');
  std::vector<std::string> kinds{valid_metric.substr(0, at), "recall", "ndcg"};
  std::vector<Metric> metrics;
  for (const std::string& kind : kinds) {
    const std::string name = kind + valid_metric.substr(at);
    if (std::any_of(metrics.begin(), metrics.end(), [&](const Metric& m) { return m.name == name; })) continue;
    const auto& names = dream::RankingMetrics::names;
    const auto which = std::find(names.begin(), names.end(), kind) - names.begin();
    metrics.push_back({name, static_cast<std::size_t>(which), std::stoi(valid_metric.substr(at + 1))});
  }
  return metrics;
}

/// Ranks the test split of a study's runs.
class TestRanking {
 public:
  TestRanking(const StudyPlan& plan, int threads)
      : context_(threads),
        plan_(plan),
        metrics_(tested_metrics(plan.common.fit.valid_metric)),
        cutoffs_(plan.common.fit.top_k),
        data_(dream::read_dataset(plan.data_folder, plan.common.read)),
        masked_(seen_items(context_, data_,
                           plan.common.fit.mask_valid_in_test ? dream::Split::valid : dream::Split::train)),
        test_(dream::interaction_matrix<float>(context_, data_.test, data_.user_count(), data_.item_count())) {
    const auto train = dream::interaction_matrix<float>(context_, data_.train, data_.user_count(), data_.item_count());
    for (dream::index_t u = 0; u < test_.rows; ++u)
      if (test_.offsets[u + 1] > test_.offsets[u] && train.offsets[u + 1] > train.offsets[u]) users_.push_back(u);
    if (!std::count(cutoffs_.begin(), cutoffs_.end(), metrics_.front().k)) cutoffs_.push_back(metrics_.front().k);
  }

  dream::Context<dream::Cpu>& context() { return context_; }
  const std::vector<Metric>& metrics() const { return metrics_; }
  bool is_empty() const { return users_.empty(); }

  /// What a run's folder says, or else its best vectors; none where it has neither.
  std::optional<UserValues> values(const std::string& folder) {
    const std::string path = folder + "/test_users.json", best = folder + "/best.safetensors";
    const Json stored = read(path);
    const bool vectors = dream::file_exists(best);
    if (!stored.is_null() && (has_lists(stored) || !vectors)) return stored["metrics"].get<UserValues>();
    if (!vectors) {
      print_note(best, ": is missing, so this run is left out of the tests of differences");
      return std::nullopt;
    }
    const Json found = rank(best);
    dream::AtomicFile file(path);
    file.write(found.dump() + "\n");
    file.commit();
    return found["metrics"].get<UserValues>();
  }

 private:
  /// What the values depend on besides the run.
  Json origin() const {
    return {{"data", plan_.data["fingerprint"]}, {"mask_valid_in_test", plan_.common.fit.mask_valid_in_test}};
  }

  /// A stored file with the metrics of all users; null where there is none.
  Json read(const std::string& path) const {
    if (!dream::file_exists(path)) return nullptr;
    Json json = dream::parse_json<Json>(dream::read_file(path), path);
    if (!json.is_object() || !json.contains("metrics")) return nullptr;
    const Json expected = origin();
    for (const auto& [key, value] : expected.items())
      if (!json.contains(key) || json[key] != value) return nullptr;
    for (const Metric& metric : metrics_) {
      if (!json["metrics"].contains(metric.name)) return nullptr;
      const Json& stored = json["metrics"][metric.name];
      if (!stored.is_array() || stored.size() != users_.size() || !std::all_of(stored.begin(), stored.end(), is_number))
        return nullptr;
    }
    return json;
  }

  /// Whether it says how the lists are at every cut-off. Files of earlier programs do not.
  bool has_lists(const Json& stored) const {
    const Json lists = stored.value("lists", Json());
    return lists.is_object() && std::all_of(lists.begin(), lists.end(), is_number) &&
           std::all_of(cutoffs_.begin(), cutoffs_.end(),
                       [&](int k) { return lists.contains(dream::concat("coverage@", k)); });
  }

  static bool is_number(const Json& value) { return value.is_number(); }

  Json rank(const std::string& best) {
    const StoredRun run = read_stored_run(best);
    DREAM_EXPECT(run.origin.data == plan_.fingerprint, best, ": was trained on other data than ", plan_.data_folder,
                 " (their fingerprints differ)");
    const int width = *std::max_element(cutoffs_.begin(), cutoffs_.end());
    dream::Matrix<dream::index_t, dream::Cpu> ranked(static_cast<dream::index_t>(users_.size()), width);
    dream::top_k<float>(context_, run.users.view(), run.items.view(), masked_.view(), {.k = width}, ranked.view(), {},
                        users_);
    UserValues values;
    for (std::size_t r = 0; r < users_.size(); ++r) {
      const std::int64_t first = test_.offsets[users_[r]], last = test_.offsets[users_[r] + 1];
      const std::span<const dream::index_t> list(ranked.view().row(static_cast<dream::index_t>(r)),
                                                 static_cast<std::size_t>(width));
      const std::span<const dream::index_t> held_out(test_.indices.data() + first,
                                                     static_cast<std::size_t>(last - first));
      const dream::RankingMetrics found = dream::ranking_metrics(list, held_out, metrics_.front().k);
      for (const Metric& metric : metrics_) values[metric.name].push_back(found.values[metric.which]);
    }
    Json json = origin();
    json["metrics"] = values;
    for (const auto& [name, value] : dream::beyond_accuracy(context_, ranked.view(), cutoffs_, data_))
      json["lists"][name] = value;
    return json;
  }

  dream::Context<dream::Cpu> context_;
  const StudyPlan& plan_;
  std::vector<Metric> metrics_;
  std::vector<int> cutoffs_;  ///< of the lists
  dream::Dataset data_;
  dream::Csr<float, dream::Cpu> masked_, test_;
  std::vector<dream::index_t> users_;
};

/// Of a part, by seed.
using PartValues = std::map<std::uint64_t, UserValues>;

std::vector<double> mean_over(const PartValues& part, const std::vector<std::uint64_t>& seeds,
                              const std::string& name) {
  std::vector<double> sum;
  for (const std::uint64_t seed : seeds) {
    const std::vector<double>& values = part.at(seed).at(name);
    sum.resize(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) sum[i] += values[i] / static_cast<double>(seeds.size());
  }
  return sum;
}

}  // namespace

std::vector<std::string> write_significance(const StudyPlan& plan, int threads) {
  std::vector<std::string> problems;
  TestRanking ranking(plan, threads);
  if (ranking.is_empty()) return problems;
  std::map<std::string, PartValues> parts;
  for (const StudyPart& part : plan.parts)
    for (const std::uint64_t seed : plan.seeds) {
      const std::string folder = plan.run_folder(part, seed);
      if (finished_result(folder).empty()) continue;
      try {
        if (auto values = ranking.values(folder)) parts[part.id][seed] = std::move(*values);
      } catch (const dream::error& error) {
        problems.push_back(dream::concat(error.what(), "; this run is left out of the tests of differences, delete ",
                                         folder, " and give the same command again to train it anew"));
      }
    }
  Json found = Json::array();
  const auto compare = [&](const std::string& part, const std::string& against) {
    std::vector<std::uint64_t> seeds;
    for (const auto& [seed, values] : parts[part])
      if (parts[against].count(seed)) seeds.push_back(seed);
    if (seeds.empty()) return;
    for (const Metric& metric : ranking.metrics()) {
      const dream::PairedDifference d = dream::paired_difference(
          ranking.context(), mean_over(parts[part], seeds, metric.name), mean_over(parts[against], seeds, metric.name));
      found.push_back({{"part", part},
                       {"against", against},
                       {"metric", metric.name},
                       {"seeds", seeds},
                       {"difference", d.difference},
                       {"low", d.low},
                       {"high", d.high},
                       {"p", d.p},
                       {"users", d.users}});
    }
  };
  for (const StudyPart& part : plan.parts) {
    if (part.reference.empty() && part.id != "dream") compare("dream", part.id);
    if (!part.reference.empty()) compare(part.id, part.reference);
  }
  write_json(plan.out + "/significance.json", found);
  return problems;
}

}  // namespace dream_cli
