#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

#include <dream/core/file.hpp>
#include <dream/data/fingerprint.hpp>
#include <dream/data/read_dataset.hpp>
#include <dream/eval/paired_test.hpp>
#include <dream/graph/bipartite.hpp>

#include "backends.hpp"
#include "commands.hpp"
#include "report/report.hpp"
#include "stored_run.hpp"
#include "study_plan.hpp"
#include "trials.hpp"

namespace dream_cli {

namespace {

using Clock = std::chrono::steady_clock;

/// A training run of the study.
struct StudyRun {
  std::string folder;
  std::string what;  ///< "mgcn, seed 1000"
  Settings settings;
  bool score_test;
};

/// What is being done, what is left and for how long.
class StudyProgress {
 public:
  explicit StudyProgress(std::size_t runs) : runs_(runs) {}

  void finished_before() { ++done_; }
  void begin(const StudyRun& run) {
    started_ = Clock::now();
    std::fprintf(stderr, "study: run %zu of %zu: %s%s\n", done_ + 1, runs_, run.what.c_str(), left().c_str());
  }
  void end() {
    total_ += std::chrono::duration<double>(Clock::now() - started_).count();
    ++trained_;
    ++done_;
  }

 private:
  /// By the mean time of the runs so far.
  std::string left() const {
    if (trained_ == 0) return "";
    const double seconds = total_ / static_cast<double>(trained_) * static_cast<double>(runs_ - done_);
    char text[64];
    if (seconds < 3600)
      std::snprintf(text, sizeof text, "; about %.0f min left", seconds / 60 + 0.5);
    else
      std::snprintf(text, sizeof text, "; about %.1f h left", seconds / 3600);
    return text;
  }

  std::size_t runs_, done_ = 0, trained_ = 0;
  double total_ = 0;
  Clock::time_point started_;
};

nlohmann::ordered_json describe(const dream::Dataset& data, std::uint64_t fingerprint) {
  nlohmann::ordered_json json;
  json["name"] = data.name;
  char hex[24];
  std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(fingerprint));
  json["fingerprint"] = hex;
  json["users"] = data.user_count();
  json["items"] = data.item_count();
  json["train"] = data.train.size();
  json["valid"] = data.valid.size();
  json["test"] = data.test.size();
  std::vector<std::uint8_t> warm(static_cast<std::size_t>(data.item_count()));
  for (const dream::index_t item : data.train.item) warm[static_cast<std::size_t>(item)] = 1;
  json["cold_items"] = std::count(warm.begin(), warm.end(), std::uint8_t{0});
  json["modalities"] = nlohmann::ordered_json::array();
  for (const dream::Modality& m : data.modalities)
    json["modalities"].push_back(
        {{"name", m.name},
         {"columns", m.cols},
         {"items", std::count_if(m.present.begin(), m.present.end(), [](std::uint8_t p) { return p != 0; })}});
  return json;
}

/// The metric of every user that has test items, from a run's best vectors.
std::vector<double> by_user(dream::Context<dream::Cpu>& context, const dream::Dataset& data, const std::string& folder,
                            const std::string& metric) {
  const StoredRun run = read_stored_run(folder + "/best.safetensors");
  const std::size_t at = metric.find('@');
  const int k = std::stoi(metric.substr(at + 1));
  const auto& names = dream::RankingMetrics::names;
  const std::size_t which =
      static_cast<std::size_t>(std::find(names.begin(), names.end(), metric.substr(0, at)) - names.begin());
  const auto train = dream::interaction_matrix<float>(context, data.train, data.user_count(), data.item_count());
  const auto masked =
      seen_items(context, data, run.settings.fit.mask_valid_in_test ? dream::Split::valid : dream::Split::train);
  const auto test = dream::interaction_matrix<float>(context, data.test, data.user_count(), data.item_count());
  std::vector<dream::index_t> users;
  for (dream::index_t u = 0; u < test.rows; ++u)
    if (test.offsets[u + 1] > test.offsets[u] && train.offsets[u + 1] > train.offsets[u]) users.push_back(u);
  dream::Matrix<dream::index_t, dream::Cpu> ranked(static_cast<dream::index_t>(users.size()), k);
  if (!users.empty())
    dream::top_k<float>(context, run.users.view(), run.items.view(), masked.view(), {.k = k}, ranked.view(), {}, users);
  std::vector<double> values;
  for (std::size_t r = 0; r < users.size(); ++r) {
    const std::int64_t first = test.offsets[users[r]], last = test.offsets[users[r] + 1];
    const std::span<const dream::index_t> list(ranked.view().row(static_cast<dream::index_t>(r)),
                                               static_cast<std::size_t>(k));
    const std::span<const dream::index_t> held_out(test.indices.data() + first, static_cast<std::size_t>(last - first));
    values.push_back(dream::ranking_metrics(list, held_out, k).values[which]);
  }
  return values;
}

std::string run_folder(const std::string& out, const StudyPart& part, std::uint64_t seed) {
  return dream::concat(out, "/runs/", part.id, "/seed-", seed);
}

/// DREAM against every other model, every ablation against DREAM, and each model with BMA against itself: where all
/// runs of both are there.
void write_significance(const std::string& out, const std::string& data_folder, const Settings& common,
                        const std::vector<StudyPart>& parts, const std::vector<std::uint64_t>& seeds, int threads) {
  dream::Context<dream::Cpu> context(threads);
  const dream::Dataset data = dream::read_dataset(data_folder, common.read);
  if (data.test.size() == 0) return;
  const std::string metric = common.fit.valid_metric;
  std::map<std::string, std::vector<double>> means;
  for (const StudyPart& part : parts) {
    std::vector<double> sum;
    bool all = true;
    for (const std::uint64_t seed : seeds) {
      const std::string folder = run_folder(out, part, seed);
      all = all && !finished_result(folder).empty();
      if (!all) break;
      const std::vector<double> values = by_user(context, data, folder, metric);
      sum.resize(values.size());
      for (std::size_t i = 0; i < values.size(); ++i) sum[i] += values[i] / static_cast<double>(seeds.size());
    }
    if (all) means[part.id] = std::move(sum);
  }
  nlohmann::ordered_json found = nlohmann::ordered_json::array();
  const auto compare = [&](const std::string& part, const std::string& against) {
    if (!means.count(part) || !means.count(against)) return;
    const dream::PairedDifference d = dream::paired_difference(context, means[part], means[against]);
    found.push_back({{"part", part},
                     {"against", against},
                     {"metric", metric},
                     {"difference", d.difference},
                     {"low", d.low},
                     {"high", d.high},
                     {"p", d.p},
                     {"users", d.users}});
  };
  for (const StudyPart& part : parts) {
    if (part.group == "models" && part.id != "dream") compare("dream", part.id);
    if (part.group == "ablations" || part.group == "embeddings") compare(part.id, "dream");
    if (part.group == "alignment") compare(part.id, part.model);
  }
  write_json(out + "/significance.json", found);
}

}  // namespace

int study(const StudyArguments& arguments) {
  dream::expect_no_dataset(arguments.out);
  Settings common;
  nlohmann::ordered_json given = nlohmann::ordered_json::object();
  const auto take = [&](const Given& g) {
    DREAM_EXPECT(own_name(g.key) != "model" && own_name(g.key) != "seed", g.place, ": ", g.key,
                 " is the study's own; see --models and --seeds");
    apply(common, g);
    given[own_name(g.key)] = g.value;
  };
  if (!arguments.config.empty())
    for (const Given& g : read_config_file(arguments.config)) take(g);
  for (const std::string& text : arguments.assignments) take(parse_assignment(text));
  if (arguments.backend) apply(common, {"backend", *arguments.backend, "--backend"});
  common.backend = usable_backend(common.backend);
  const std::vector<std::string> models = arguments.models.empty() ? model_names() : arguments.models;
  const std::vector<std::string> groups = arguments.groups.empty() ? study_groups() : arguments.groups;
  const std::vector<StudyPart> parts = study_parts(groups, models);
  const nlohmann::ordered_json grids = arguments.grids.empty() ? default_grids() : read_json_object(arguments.grids);
  const std::string grids_place = arguments.grids.empty() ? "the study's own grids" : arguments.grids;
  std::vector<std::uint64_t> seeds;
  for (std::int64_t s = 0; s < arguments.seeds; ++s) seeds.push_back(common.fit.seed + static_cast<std::uint64_t>(s));

  nlohmann::ordered_json stored;
  {
    const dream::Dataset data = dream::read_dataset(arguments.data, common.read);
    DREAM_EXPECT(data.valid.size() > 0, arguments.data, ": has no valid interactions to choose by");
    stored["version"] = 1;
    stored["data"] = describe(data, dream::fingerprint(data));
  }
  stored["split"] = to_json(common)["split"];
  stored["metric"] = common.fit.valid_metric;
  stored["top_k"] = common.fit.top_k;
  stored["seeds"] = seeds;
  stored["settings"] = given;
  std::map<std::string, SearchSpace> spaces;
  std::map<std::string, std::optional<Assignment>> chosen;
  for (const std::string& model : model_names()) {
    if (std::find(models.begin(), models.end(), model) == models.end()) continue;
    spaces[model] = grid_of(grids, model, common, grids_place);
    if (spaces[model].dimensions.empty()) chosen[model] = Assignment{};
  }
  nlohmann::ordered_json plan = stored;
  plan["grids"] = grids;  // more models and groups may join a study later; what is common to all stays
  begin_plan(arguments.out, "plan.json", plan);
  const auto store = [&] {
    stored["parts"] = nlohmann::ordered_json::array();
    for (const StudyPart& part : parts) {
      nlohmann::ordered_json json{{"id", part.id}, {"group", part.group}, {"label", part.label}, {"model", part.model}};
      json["settings"] = assignment_json(part.changes);
      json["grid"] = nlohmann::ordered_json::object();
      if (part.searches)
        for (const Dimension& d : spaces[part.model].dimensions) json["grid"][d.key] = d.values;
      json["chosen"] = chosen[part.model] ? assignment_json(*chosen[part.model]) : nlohmann::ordered_json();
      stored["parts"].push_back(json);
    }
    write_json(arguments.out + "/study.json", stored);
  };
  store();

  std::size_t total = parts.size() * seeds.size();
  for (const auto& [model, space] : spaces)
    total += space.dimensions.empty() ? 0 : static_cast<std::size_t>(space.size());
  StudyProgress progress(total);
  Signals signals;
  const auto train_one = [&](const StudyRun& run) {
    const bool is_done = !finished_result(run.folder).empty();
    if (is_done) progress.finished_before();
    if (!is_done) progress.begin(run);
    const int code =
        run_trial(run.settings, arguments.data, run.folder,
                  {.score_test = run.score_test, .says_outcome = false, .threads = arguments.threads}, signals);
    if (!is_done && code == Exit::success) progress.end();
    return code;
  };
  const auto search = [&](const StudyPart& part) {
    const SearchSpace& space = spaces[part.model];
    double best = 0;
    std::optional<Assignment> winner;
    for (std::int64_t t = 0; t < space.size(); ++t) {
      const Assignment values = space.at(t);
      const std::string folder = dream::concat(arguments.out, "/search/", part.model, "/trial-", t + 1);
      const int code =
          train_one({folder, part.model + ", " + assignment_text(values), with(space.settings, values), false});
      if (code != Exit::success) return code;
      write_json(folder + "/trial.json", assignment_json(values));
      const double value = finished_result(folder)["valid"][common.fit.valid_metric].get<double>();
      if (!winner || value > best) {
        best = value;
        winner = values;
      }
    }
    chosen[part.model] = winner;
    store();
    return static_cast<int>(Exit::success);
  };
  const auto train_all = [&] {
    for (const StudyPart& part : parts) {
      if (!chosen[part.model]) {
        const int code = search(part);
        if (code != Exit::success) return code;
      }
      for (const std::uint64_t seed : seeds) {
        Settings settings = with(with(spaces[part.model].settings, *chosen[part.model]), part.changes);
        settings.fit.seed = seed;
        const int code = train_one({run_folder(arguments.out, part, seed), dream::concat(part.id, ", seed ", seed),
                                    std::move(settings), true});
        if (code != Exit::success) return code;
      }
    }
    return static_cast<int>(Exit::success);
  };
  const int code = train_all();
  if (code != Exit::success && code != Exit::interrupted) return code;
  write_significance(arguments.out, arguments.data, common, parts, seeds, arguments.threads);
  write_report(arguments.out);
  if (code == Exit::interrupted)
    std::fprintf(stderr, "dream: the study was stopped; the same command goes on. %s/report.html has what there is\n",
                 arguments.out.c_str());
  else
    std::printf("%s/report.html\n", arguments.out.c_str());
  return code;
}

}  // namespace dream_cli
