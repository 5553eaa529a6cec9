#include "study_file.hpp"

#include <algorithm>

#include <dream/core/file.hpp>
#include <dream/data/fingerprint.hpp>
#include <dream/data/read_dataset.hpp>

#include "backends.hpp"
#include "json_node.hpp"
#include "study_begun.hpp"
#include "study_checks.hpp"
#include "study_words.hpp"
#include "trials.hpp"

namespace dream_cli {

namespace {

using Json = nlohmann::ordered_json;

/// The settings that all runs share, and the keys of them that were given.
void take_settings(const StudyArguments& arguments, StudyPlan& plan) {
  const auto take = [&](const Given& g) {
    DREAM_EXPECT(own_name(g.key) != "model" && own_name(g.key) != "seed", g.place, ": ", g.key,
                 " is the study's own; see --models and --seeds");
    apply(plan.common, g);
    const std::string name = own_name(g.key);
    if (name != "backend" && is_key(name)) plan.given[name] = g.value;
  };
  plan.given = Json::object();
  for (const Given& g : given_in_file(arguments.config)) take(g);
  for (const std::string& text : arguments.assignments) take(parse_assignment(text));
}

bool gives_backend(const StudyArguments& arguments) {
  const auto is_backend = [](const Given& g) { return own_name(g.key) == "backend"; };
  const std::vector<Given> file = given_in_file(arguments.config);
  return arguments.backend || std::any_of(file.begin(), file.end(), is_backend) ||
         std::any_of(arguments.assignments.begin(), arguments.assignments.end(),
                     [&](const std::string& text) { return is_backend(parse_assignment(text)); });
}

/// A backend that is not given is that of the study.
void take_backend(const StudyArguments& arguments, const std::optional<BegunStudy>& begun, StudyPlan& plan) {
  if (arguments.backend) apply(plan.common, {"backend", *arguments.backend, "--backend"});
  const bool open = plan.common.backend == "auto" || !gives_backend(arguments);
  const bool is_known = begun && !begun->backend.empty();
  if (is_known && open) or_remedy(plan_remedy, [&] { apply(plan.common, {"backend", begun->backend, begun->path}); });
  plan.common.backend = usable_backend(plan.common.backend);
  DREAM_EXPECT(!is_known || begun->backend == plan.common.backend, begun->path,
               ": was begun with backend = ", begun->backend, ", not ", plan.common.backend, former_or_elsewhere);
}

void take_parts(const StudyArguments& arguments, const std::vector<std::string>& before, StudyPlan& plan) {
  std::vector<std::string> notes;
  const auto& models = arguments.models.empty() ? model_names() : arguments.models;
  const auto asked = named_parts(arguments.groups.empty() ? study_groups() : arguments.groups, models, notes);
  // What a default leaves out needs no word.
  if (!arguments.groups.empty()) plan.notes.insert(plan.notes.end(), notes.begin(), notes.end());
  const auto in = [](const std::vector<std::string>& ids, const StudyPart& part) {
    return std::find(ids.begin(), ids.end(), part.id) != ids.end();
  };
  for (const StudyPart& part : all_parts()) {
    if (in(asked, part)) plan.asked.push_back(part);
    if (in(asked, part) || in(before, part)) plan.parts.push_back(part);
  }
}

/// A study keeps the grids of its models; others may join with theirs.
void take_grids(const StudyArguments& arguments, const std::optional<BegunStudy>& begun, StudyPlan& plan) {
  const bool own = arguments.grids.empty();
  const std::string place = own ? "the study's own grids" : arguments.grids;
  const Grids grids = own ? grids_of(default_grids(), place) : read_grids(arguments.grids);
  expect_grids(grids, plan.common, place);
  for (const StudyPart& part : plan.parts) {
    const std::string& model = part.model;
    if (plan.spaces.count(model)) continue;
    const bool is_old =
        begun && std::any_of(all_parts().begin(), all_parts().end(), [&](const StudyPart& p) {
          return p.model == model && std::find(begun->parts.begin(), begun->parts.end(), p.id) != begun->parts.end();
        });
    SearchSpace now = grid_of(grids, model, plan.common);
    if (is_old) {
      SearchSpace old = or_remedy(plan_remedy, [&] { return grid_of(begun->grids, model, plan.common); });
      const bool is_asked = std::any_of(plan.asked.begin(), plan.asked.end(),
                                        [&](const StudyPart& asked) { return asked.model == model; });
      DREAM_EXPECT(own || !is_asked || take_order(now, dimensions_json(old)), begun->path, ": was begun with the grid ",
                   dimensions_json(old).dump(), " of ", model, ", not ", dimensions_json(now).dump(),
                   former_or_elsewhere);
      now = std::move(old);
    }
    constexpr std::int64_t most = 100000;
    DREAM_EXPECT(now.size() <= most, place, ": the grid of ", model, " has ", now.size(),
                 " combinations, expected at most ", most,
                 "; take shorter lists, or search with dream tune --random N and give the study what it found");
    plan.spaces[model] = std::move(now);
  }
}

void take_seeds(const StudyArguments& arguments, std::size_t before, StudyPlan& plan) {
  const std::uint64_t first = plan.common.fit.seed;
  const std::size_t now = static_cast<std::size_t>(arguments.seeds);
  for (std::size_t s = 0; s < std::max(before, now); ++s) {
    plan.seeds.push_back(first + s);
    if (s < now) plan.asked_seeds.push_back(first + s);
  }
}

}  // namespace

std::string StudyPlan::run_folder(const StudyPart& part, std::uint64_t seed) const {
  return dream::concat(out, "/runs/", part.id, "/seed-", seed);
}

std::string StudyPlan::trial_folder(const std::string& model, std::int64_t trial) const {
  return dream::concat(out, "/search/", model, "/trial-", trial + 1);
}

Settings StudyPlan::run_settings(const StudyPart& part, const Assignment& chosen, std::uint64_t seed) const {
  Settings settings = with(with(spaces.at(part.model).settings, chosen), part.changes);
  settings.fit.seed = seed;
  return settings;
}

StudyPlan make_plan(const StudyArguments& arguments) {
  StudyPlan plan;
  plan.out = arguments.out;
  plan.data_folder = arguments.data;
  take_settings(arguments, plan);
  const std::optional<BegunStudy> begun = begun_in(plan.out);
  take_backend(arguments, begun, plan);
  take_parts(arguments, begun ? begun->parts : std::vector<std::string>{}, plan);
  take_seeds(arguments, begun ? begun->seeds : 0, plan);
  plan.programs = program_version;
  if (begun) {
    expect_same_settings(*begun, plan);
    const std::string& earlier = begun->program;
    plan.programs = earlier.ends_with(plan.programs) ? earlier : earlier + ", " + plan.programs;
  }
  take_grids(arguments, begun, plan);

  const dream::Dataset data = dream::read_dataset(arguments.data, plan.common.read);
  plan.fingerprint = dream::fingerprint(data);
  plan.data = describe_data(data, plan.fingerprint);
  if (begun) {
    expect_same_data(*begun, plan);
    if (!begun->data_name.empty()) plan.data["name"] = begun->data_name;
  }
  plan.data["split"] = split_words(data, plan.common);
  const char* more_of = "; take split=random or split=time, with a split_ratio that gives it a share, as [0.8,0.1,0.1]";
  DREAM_EXPECT(data.valid.size() > 0, arguments.data, ": has no valid interactions to choose by", more_of);
  DREAM_EXPECT(data.test.size() > 0, arguments.data, ": has no test interactions to compare by", more_of);
  plan.notes.insert(plan.notes.begin(), data.notes.begin(), data.notes.end());
  expect_can_train(plan, data);
  expect_parts_differ(plan);
  expect_trained_so(plan);
  return plan;
}

void write_plan(const StudyPlan& plan) {
  Json json{{"version", 1}, {"program", plan.programs}, {"backend", plan.common.backend}, {"data", plan.data}};
  json["metric"] = plan.common.fit.valid_metric;
  json["seeds"] = plan.seeds;
  json["settings"] = plan.given;
  json["grids"] = Json::object();
  for (const auto& [model, space] : plan.spaces) json["grids"][model] = dimensions_json(space);
  json["parts"] = Json::array();
  for (const StudyPart& part : plan.parts) json["parts"].push_back(part.id);
  write_json(plan.out + "/plan.json", json);
}

std::optional<std::int64_t> chosen_trial(const StudyPlan& plan, const std::string& model) {
  const SearchSpace& space = plan.spaces.at(model);
  if (space.dimensions.empty()) return std::nullopt;
  const std::string& metric = plan.common.fit.valid_metric;
  std::optional<std::int64_t> chosen;
  double best = 0;
  for (std::int64_t t = 0; t < space.size(); ++t) {
    const std::string folder = plan.trial_folder(model, t);
    if (!is_over(folder)) return std::nullopt;
    if (!trial_failure(folder).empty()) continue;
    const double value = valid_of(folder, metric);
    if (chosen && value <= best) continue;
    best = value;
    chosen = t;
  }
  return chosen;
}

std::optional<Assignment> choice_of(const StudyPlan& plan, const std::string& model) {
  const SearchSpace& space = plan.spaces.at(model);
  if (space.dimensions.empty()) return Assignment{};
  const auto chosen = chosen_trial(plan, model);
  if (!chosen) return std::nullopt;
  return space.at(*chosen);
}

void write_study(const StudyPlan& plan) {
  Json json{{"version", 1}, {"program", plan.programs}, {"backend", plan.common.backend}, {"data", plan.data}};
  json["split"] = plan.data["split"];
  json["metric"] = plan.common.fit.valid_metric;
  json["top_k"] = plan.common.fit.top_k;
  json["mask_valid_in_test"] = plan.common.fit.mask_valid_in_test;
  json["seeds"] = plan.seeds;
  json["settings"] = plan.given;
  json["shared"] = shared_settings(plan);
  json["options"] = options_text(plan);
  json["parts"] = Json::array();
  for (const StudyPart& part : plan.parts) {
    Json stored{{"id", part.id}, {"group", part.group}, {"label", part.label}, {"model", part.model}};
    stored["settings"] = assignment_json(part.changes);
    stored["grid"] = part.searches ? dimensions_json(plan.spaces.at(part.model)) : Json::object();
    const auto chosen = choice_of(plan, part.model);
    stored["chosen"] = chosen ? assignment_json(*chosen) : Json();
    json["parts"].push_back(stored);
  }
  write_json(plan.out + "/study.json", json);
}

}  // namespace dream_cli
