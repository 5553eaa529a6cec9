#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>

#include <dream/core/file.hpp>
#include <dream/data/fingerprint.hpp>
#include <dream/data/read_dataset.hpp>
#include <dream/graph/bipartite.hpp>

#include "backends.hpp"
#include "commands.hpp"
#include "search_space.hpp"
#include "stored_run.hpp"
#include "table.hpp"
#include "trials.hpp"

namespace dream_cli {

namespace {

SearchSpace space_of(const TuneArguments& arguments) {
  SearchSpace space;
  if (arguments.model) apply(space.settings, {"model", *arguments.model, "--model"});
  if (arguments.bma) apply(space.settings, {"bma", *arguments.bma, "--bma"});
  if (arguments.backend) apply(space.settings, {"backend", *arguments.backend, "--backend"});
  if (!arguments.config.empty())
    for (const Given& given : read_config_file(arguments.config)) space.add(given);
  for (const std::string& text : arguments.assignments) space.add(parse_assignment(text));
  DREAM_EXPECT(!space.dimensions.empty(), "tune: nothing to search over; give a list, as in --set ",
               "'reg_weight=[0.01, 0.1]', or in the --config file");
  space.settings.backend = usable_backend(space.settings.backend);
  return space;
}

nlohmann::ordered_json plan_of(const SearchSpace& space, const TuneArguments& arguments, std::int64_t trials,
                               std::uint64_t fingerprint) {
  nlohmann::ordered_json plan;
  plan["version"] = 1;
  plan["data"] = dream::concat(fingerprint);
  plan["keys"] = nlohmann::ordered_json::object();
  for (const Dimension& d : space.dimensions) plan["keys"][d.key] = d.values;
  plan["trials"] = trials;
  plan["draw_seed"] = arguments.draw_seed;
  plan["settings"] = to_json(space.settings);
  return plan;
}

/// Test metrics of the winner's best vectors: the one time that the test split is looked at.
nlohmann::ordered_json test_of(const std::string& folder, const std::string& data_folder, int threads) {
  dream::Context<dream::Cpu> context(threads);
  const StoredRun run = read_stored_run(folder + "/best.safetensors");
  const dream::Dataset data = read_data_of(run, data_folder);
  if (data.test.size() == 0) return nlohmann::ordered_json::object();
  const auto train = dream::interaction_matrix<float>(context, data.train, data.user_count(), data.item_count());
  const auto masked =
      seen_items(context, data, run.settings.fit.mask_valid_in_test ? dream::Split::valid : dream::Split::train);
  const auto held_out = dream::interaction_matrix<float>(context, data.test, data.user_count(), data.item_count());
  dream::EvaluationOptions options;
  options.top_k = run.settings.fit.top_k;
  return table_json(dream::evaluate<float>(context, run.users.view(), run.items.view(), train.view(), masked.view(),
                                           held_out.view(), options)
                        .all);
}

}  // namespace

int tune(const TuneArguments& arguments) {
  dream::expect_no_dataset(arguments.out);
  const SearchSpace space = space_of(arguments);
  const std::string metric = space.settings.fit.valid_metric;
  const std::int64_t size = space.size();
  const std::int64_t trials = std::min(size, arguments.random.value_or(size));
  DREAM_EXPECT(trials <= 100000, "tune: ", trials, " trials; --random N takes some of them");
  {
    const dream::Dataset data = dream::read_dataset(arguments.data, space.settings.read);
    DREAM_EXPECT(data.valid.size() > 0, arguments.data, ": has no valid interactions to choose by");
    begin_plan(arguments.out, "tune.json", plan_of(space, arguments, trials, dream::fingerprint(data)));
  }
  const std::vector<std::int64_t> numbers =
      chosen_trials(size, trials, static_cast<std::uint64_t>(arguments.draw_seed));

  Signals signals;
  std::vector<Row> rows{{"trial", metric, "best epoch", "settings"}};
  std::optional<std::size_t> winner;
  double best = 0;
  std::vector<std::string> folders;
  for (std::size_t t = 0; t < numbers.size(); ++t) {
    const Assignment values = space.at(numbers[t]);
    const std::string name = dream::concat("trial-", t + 1), folder = arguments.out + "/" + name;
    folders.push_back(folder);
    if (finished_result(folder).empty())
      std::fprintf(stderr, "%s of %zu: %s\n", name.c_str(), numbers.size(), assignment_text(values).c_str());
    const int code = run_trial(with(space.settings, values), arguments.data, folder,
                               {.score_test = false, .says_outcome = false, .threads = arguments.threads}, signals);
    if (code == Exit::interrupted)
      std::fprintf(stderr, "dream: %zu of %zu trials are done; the same command goes on\n", t, numbers.size());
    if (code != Exit::success) return code;
    const nlohmann::ordered_json result = finished_result(folder);
    DREAM_EXPECT(result.contains("valid") && result["valid"].contains(metric), folder, "/result.json: has no valid ",
                 metric);
    const double value = result["valid"][metric].get<double>();
    if (!winner || value > best) {
      winner = t;
      best = value;
    }
    rows.push_back({name, metric_text(value), result["best_epoch"].dump(), assignment_text(values)});
  }

  const Assignment chosen = space.at(numbers[*winner]);
  nlohmann::ordered_json result = finished_result(arguments.out);
  if (result.empty()) {
    result["model"] = space.settings.model_name;
    result["trials"] = numbers.size();
    result["winner"] = dream::concat("trial-", *winner + 1);
    result["settings"] = assignment_json(chosen);
    result["valid"] = finished_result(folders[*winner])["valid"];
    result["test"] = test_of(folders[*winner], arguments.data, arguments.threads);
    write_json(arguments.out + "/result.json", result);
  }
  std::stable_sort(rows.begin() + 1, rows.end(), [](const Row& a, const Row& b) { return a[1] > b[1]; });
  std::printf("%s\nchosen on valid: %s (%s)\n", table_text(rows).c_str(), assignment_text(chosen).c_str(),
              result["winner"].get<std::string>().c_str());
  std::vector<Row> test{{"test", ""}};
  for (const auto& [name, value] : result["test"].items()) test.push_back({name, metric_text(value.get<double>())});
  if (test.size() > 1) std::printf("\n%s", table_text(test).c_str());
  return Exit::success;
}

}  // namespace dream_cli
