#include <algorithm>
#include <cstdio>

#include <dream/core/file.hpp>
#include <dream/data/fingerprint.hpp>
#include <dream/data/read_dataset.hpp>

#include "backends.hpp"
#include "commands.hpp"
#include "folder_lock.hpp"
#include "json_node.hpp"
#include "messages.hpp"
#include "models.hpp"
#include "outputs.hpp"
#include "search_space.hpp"
#include "table.hpp"
#include "trials.hpp"

namespace dream_cli {

namespace {

/// Of tune.json.
constexpr std::int64_t search_version = 1;

SearchSpace space_of(const TuneArguments& arguments) {
  SearchSpace space;
  if (arguments.model) apply(space.settings, {"model", *arguments.model, "--model"});
  if (arguments.bma) apply(space.settings, {"bma", *arguments.bma, "--bma"});
  if (arguments.backend) apply(space.settings, {"backend", *arguments.backend, "--backend"});
  for (const Given& given : given_in_file(arguments.config)) space.add(given);
  for (const std::string& text : arguments.assignments) space.add(parse_assignment(text));
  DREAM_EXPECT(!space.dimensions.empty(), "tune: nothing to search over; give a list, as in --set ",
               "'reg_weight=[0.01, 0.1]', or in the --config file");
  space.settings.backend = usable_backend(space.settings.backend);
  return space;
}

/// Which combinations are tried.
struct Trials {
  std::vector<std::int64_t> numbers;
  bool drawn = false;  ///< at random, not all in order
};

Trials trials_of(const SearchSpace& space, bool drawn, std::int64_t count, std::int64_t draw_seed) {
  if (drawn) return {drawn_trials(space.size(), count, static_cast<std::uint64_t>(draw_seed)), true};
  Trials trials;
  for (std::int64_t n = 0; n < space.size(); ++n) trials.numbers.push_back(n);
  return trials;
}

nlohmann::ordered_json plan_of(const SearchSpace& space, const TuneArguments& arguments, const Trials& trials,
                               std::uint64_t fingerprint) {
  nlohmann::ordered_json plan;
  plan["version"] = search_version;
  plan["program"] = program_version;
  plan["data"] = dream::concat(fingerprint);
  plan["keys"] = dimensions_json(space);
  plan["trials"] = trials.numbers.size();
  plan["drawn"] = trials.drawn;
  plan["draw_seed"] = arguments.draw_seed;
  plan["settings"] = to_json(space.settings);
  return plan;
}

/// Takes the order of the keys from the plan of a search that goes on, and the way in which it takes combinations.
/// Another search is an error that names what differs.
Trials go_on(SearchSpace& space, const TuneArguments& arguments, const std::string& path, std::uint64_t fingerprint) {
  const std::string remedy = "take it from a copy, or choose another --out";
  const JsonSource source = read_object(path, remedy);
  const JsonNode began(source);
  const std::int64_t version = began.at("version").count();
  DREAM_EXPECT(version == search_version, path, ": the search is of version ", version,
               ", this program goes on with version ", search_version,
               "; use the program that began it, or choose another --out");
  const Settings settings = or_remedy(
      remedy, [&] { return settings_from_json(nlohmann::json(began.at("settings").json()), path + ": settings"); });
  const auto other = first_difference(settings, space.settings);
  if (other)
    dream::fail(path, ": was begun with ", other->key, " = ", other->first.dump(), ", not ", other->second.dump(),
                former_or_elsewhere);
  DREAM_EXPECT(began.at("data").text() == dream::concat(fingerprint), path, ": was begun with other data than ",
               arguments.data, " (their fingerprints differ); choose another --out");
  const nlohmann::ordered_json& keys = began.at("keys").json();
  DREAM_EXPECT(take_order(space, keys), path, ": was begun with the lists ", keys.dump(), ", not ",
               dimensions_json(space).dump(), former_or_elsewhere);
  const std::int64_t before = began.at("trials").count();
  const auto stored = began.find("drawn");
  const bool drawn = stored ? stored->truth() : before < space.size();
  DREAM_EXPECT(drawn || !arguments.random, path, ": was begun with all combinations, not --random ",
               arguments.random.value_or(0), former_or_elsewhere);
  DREAM_EXPECT(!drawn || began.at("draw_seed").count() == arguments.draw_seed, path, ": was begun with --draw-seed ",
               began.at("draw_seed").json().dump(), ", not ", arguments.draw_seed, former_or_elsewhere);
  const std::int64_t count = arguments.random.value_or(space.size());
  DREAM_EXPECT(std::min(count, space.size()) >= before, path, ": has ", before, " trials already; give --random ",
               before, " or more to go on, or choose another --out");
  return trials_of(space, drawn, count, arguments.draw_seed);
}

/// A trial that is over: its valid metric, or none where training failed.
struct TrialOutcome {
  std::string name;
  Assignment values;
  std::string failure;
  double value = 0;
  int best_epoch = 0;
};

TrialOutcome outcome_of(const std::string& folder, const std::string& name, const Assignment& values,
                        const std::string& metric) {
  TrialOutcome outcome{name, values, trial_failure(folder)};
  if (!outcome.failure.empty()) return outcome;
  outcome.value = valid_of(folder, metric);
  outcome.best_epoch = finished_result(folder)["best_epoch"].get<int>();
  return outcome;
}

/// The best first, those that failed last.
std::string outcomes_text(std::vector<TrialOutcome> outcomes, const std::string& metric) {
  std::stable_sort(outcomes.begin(), outcomes.end(), [](const TrialOutcome& a, const TrialOutcome& b) {
    return a.failure.empty() != b.failure.empty() ? a.failure.empty() : a.value > b.value;
  });
  std::vector<Row> rows{{"trial", metric, "best epoch", "settings"}};
  for (const TrialOutcome& o : outcomes)
    rows.push_back({o.name, o.failure.empty() ? metric_text(o.value) : "failed",
                    o.failure.empty() ? std::to_string(o.best_epoch) : "-", assignment_text(o.values)});
  return table_text(rows);
}

/// The search's result.json, where it is that of this winner among so many trials; null where it has to be written.
nlohmann::ordered_json result_before(const std::string& path, const TrialOutcome& winner, std::size_t trials) {
  if (!dream::file_exists(path)) return nullptr;
  nlohmann::ordered_json before = dream::parse_json<nlohmann::ordered_json>(dream::read_file(path), path);
  if (!before.is_object() || before["trials"] != trials || before["winner"] != winner.name) return nullptr;
  const nlohmann::ordered_json& test = before["test"];
  const bool whole =
      test.is_object() && std::all_of(test.begin(), test.end(), [](const auto& v) { return v.is_number(); });
  return whole ? before : nlohmann::ordered_json();
}

/// Written where it is missing, damaged or of fewer trials.
nlohmann::ordered_json result_of(const SearchSpace& space, const TuneArguments& arguments, const TrialOutcome& winner,
                                 std::size_t trials) {
  const std::string path = arguments.out + "/result.json", folder = arguments.out + "/" + winner.name;
  if (auto before = result_before(path, winner, trials); !before.is_null()) return before;
  DREAM_EXPECT(dream::file_exists(folder + "/best.safetensors"), folder,
               "/best.safetensors: is missing, and test is scored with it; delete ", folder,
               " and give the same command again to train it anew");
  nlohmann::ordered_json result;
  result["model"] = with(space.settings, winner.values).model_name;
  result["trials"] = trials;
  result["winner"] = winner.name;
  result["settings"] = assignment_json(winner.values);
  result["valid"] = finished_result(folder)["valid"];
  // The one time that the test split is looked at.
  result["test"] = table_json(test_of(folder, arguments.data, arguments.threads).all);
  write_json(path, result);
  return result;
}

}  // namespace

int tune(const TuneArguments& arguments) {
  expect_out_folder(arguments.out, OutFolder::search, {arguments.data, {{"--config", arguments.config}}});
  const FolderLock lock(arguments.out);
  SearchSpace space = space_of(arguments);
  const std::string metric = space.settings.fit.valid_metric, plan = arguments.out + "/tune.json";
  const std::int64_t count = std::min(space.size(), arguments.random.value_or(space.size()));
  DREAM_EXPECT(count <= 100000, "tune: ", count, " trials; --random N takes some of them");
  Trials trials;
  std::uint64_t fingerprint = 0;
  {
    const dream::Dataset data = dream::read_dataset(arguments.data, space.settings.read);
    fingerprint = dream::fingerprint(data);
    trials = dream::file_exists(plan) ? go_on(space, arguments, plan, fingerprint)
                                      : trials_of(space, arguments.random.has_value(), count, arguments.draw_seed);
    DREAM_EXPECT(data.valid.size() > 0, arguments.data, ": has no valid interactions to choose by");
    for (const std::int64_t n : trials.numbers)
      expect_trainable(with(space.settings, space.at(n)), data, arguments.data);
    write_json(plan, plan_of(space, arguments, trials, fingerprint));
    for (const std::string& note : data.notes) print_note(note);
  }

  Signals signals;
  std::vector<TrialOutcome> outcomes;
  const TrialOutcome* winner = nullptr;
  outcomes.reserve(trials.numbers.size());
  for (const std::int64_t number : trials.numbers) {
    const Assignment values = space.at(number);
    const std::string name = dream::concat("trial-", outcomes.size() + 1), folder = arguments.out + "/" + name;
    if (!is_over(folder)) print_message(name, " of ", trials.numbers.size(), ": ", assignment_text(values));
    const TrainingChoice choice{.score_test = false,
                                .says_notes = false,
                                .says_outcome = false,
                                .threads = arguments.threads,
                                .fingerprint = fingerprint};
    if (run_trial(with(space.settings, values), arguments.data, folder, choice, signals) == Exit::interrupted) {
      print_message("dream: ", outcomes.size(), " of ", trials.numbers.size(),
                    " trials are done; the same command goes on");
      return Exit::interrupted;
    }
    outcomes.push_back(outcome_of(folder, name, values, metric));
    const TrialOutcome& outcome = outcomes.back();
    if (!outcome.failure.empty())
      print_note(name, " failed: ", outcome.failure);
    else if (winner == nullptr || outcome.value > winner->value)
      winner = &outcome;
  }
  DREAM_EXPECT(winner != nullptr, "tune: every trial failed; the first: ", outcomes.front().failure);

  const nlohmann::ordered_json result = result_of(space, arguments, *winner, outcomes.size());
  std::printf("%s\nchosen on valid: %s (%s)\n", outcomes_text(outcomes, metric).c_str(),
              assignment_text(winner->values).c_str(), winner->name.c_str());
  std::vector<Row> test{{"test", ""}};
  for (const auto& [name, value] : result["test"].items()) test.push_back({name, metric_text(value.get<double>())});
  if (test.size() > 1) std::printf("\n%s", table_text(test).c_str());
  return Exit::success;
}

}  // namespace dream_cli
