#include "study_file.hpp"

#include <algorithm>
#include <cstdio>

#include <dream/core/file.hpp>
#include <dream/data/fingerprint.hpp>
#include <dream/data/read_dataset.hpp>

#include "backends.hpp"
#include "models.hpp"
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
    if (own_name(g.key) != "backend") plan.given[own_name(g.key)] = g.value;
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

/// plan.json of a study that was begun; null where there is none.
Json began_at(const std::string& path) {
  if (!dream::file_exists(path)) return nullptr;
  Json began = Json::parse(dream::read_file(path), nullptr, false);
  const std::string remedy = "; take it from a copy, or choose another --out";
  DREAM_EXPECT(began.is_object(), path, ": not a JSON object", remedy);
  for (const char* key : {"version", "data", "seeds", "settings", "grids"})
    DREAM_EXPECT(began.contains(key), path, ": ", key, " is missing", remedy);
  DREAM_EXPECT(began["version"] == 1, path, ": the study is of version ", began["version"].dump(),
               ", this program goes on with version 1; use the program that began it, or choose another --out");
  return began;
}

/// A backend that is not given is that of the study.
void take_backend(const StudyArguments& arguments, const Json& began, const std::string& path, StudyPlan& plan) {
  if (arguments.backend) apply(plan.common, {"backend", *arguments.backend, "--backend"});
  const std::string before = began.is_null() ? "" : began.value("backend", "");
  const bool open = plan.common.backend == "auto" || !gives_backend(arguments);
  if (!before.empty() && open) plan.common.backend = before;
  plan.common.backend = usable_backend(plan.common.backend);
  DREAM_EXPECT(before.empty() || before == plan.common.backend, path, ": was begun with backend = ", before, ", not ",
               plan.common.backend, former_or_elsewhere);
}

void expect_same_settings(const Json& began, const std::string& path, const StudyPlan& plan) {
  Settings before;
  for (const auto& [key, value] : began["settings"].items())
    apply(before, {key, nlohmann::json(value), path + ": settings"});
  before.backend = plan.common.backend;
  // One key may be a field of its own in every model.
  for (const std::string& model : model_names()) {
    Settings now = plan.common;
    before.model_name = now.model_name = model;
    const auto other = first_difference(before, now);
    if (other)
      dream::fail(path, ": was begun with ", other->key, " = ", other->first.dump(), ", not ", other->second.dump(),
                  former_or_elsewhere);
  }
}

void expect_same_data(const Json& began, const std::string& path, const StudyPlan& plan) {
  const Json& before = began["data"];
  const auto sizes = [](const Json& data) {
    return dream::concat(data.value("users", 0), " users, ", data.value("items", 0), " items, ", data.value("train", 0),
                         " training interactions, fingerprint ", data.value("fingerprint", ""));
  };
  DREAM_EXPECT(before.is_object() && before.value("fingerprint", "") == plan.data["fingerprint"], path,
               ": was begun with other data (", sizes(before), ") than ", plan.data_folder, " (", sizes(plan.data),
               "); choose another --out");
}

/// Parts that were planned before: in plan.json, or, by earlier programs, in study.json alone.
std::vector<std::string> parts_before(const Json& began, const std::string& out) {
  std::vector<std::string> ids;
  if (began.is_null()) return ids;
  if (began.contains("parts")) return began["parts"].get<std::vector<std::string>>();
  const Json stored = Json::parse(
      dream::file_exists(out + "/study.json") ? dream::read_file(out + "/study.json") : "{}", nullptr, false);
  if (stored.is_object() && stored.contains("parts"))
    for (const Json& part : stored["parts"]) ids.push_back(part.value("id", ""));
  return ids;
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
void take_grids(const StudyArguments& arguments, const Json& began, const std::string& path,
                const std::vector<std::string>& before, StudyPlan& plan) {
  const bool own = arguments.grids.empty();
  const std::string place = own ? "the study's own grids" : arguments.grids;
  const Json grids = own ? default_grids() : read_json_object(arguments.grids);
  expect_grids(grids, plan.common, place);
  for (const StudyPart& part : plan.parts) {
    const std::string& model = part.model;
    if (plan.spaces.count(model)) continue;
    const bool is_old = std::any_of(all_parts().begin(), all_parts().end(), [&](const StudyPart& p) {
      return p.model == model && std::find(before.begin(), before.end(), p.id) != before.end();
    });
    SearchSpace now = grid_of(grids, model, plan.common, place);
    if (is_old) {
      SearchSpace old = grid_of(began["grids"], model, plan.common, path + ": grids");
      const bool is_asked = std::any_of(plan.asked.begin(), plan.asked.end(),
                                        [&](const StudyPart& asked) { return asked.model == model; });
      DREAM_EXPECT(own || !is_asked || take_order(now, dimensions_json(old)), path, ": was begun with the grid ",
                   dimensions_json(old).dump(), " of ", model, ", not ", dimensions_json(now).dump(),
                   former_or_elsewhere);
      now = std::move(old);
    }
    plan.spaces[model] = std::move(now);
  }
}

void take_seeds(const StudyArguments& arguments, const Json& began, StudyPlan& plan) {
  const std::uint64_t first = plan.common.fit.seed;
  const std::size_t before = began.is_null() ? 0 : began["seeds"].size(),
                    now = static_cast<std::size_t>(arguments.seeds);
  for (std::size_t s = 0; s < std::max(before, now); ++s) {
    plan.seeds.push_back(first + s);
    if (s < now) plan.asked_seeds.push_back(first + s);
  }
}

/// What is asked for can be trained, whatever is chosen, and what is there already was trained so.
void expect_can_train(const StudyPlan& plan, const dream::Dataset& data) {
  std::string without;
  for (const StudyPart& part : plan.asked)
    if (data.modalities.empty() && part.group == "models" &&
        reads_features(with(plan.spaces.at(part.model).settings, part.changes)))
      without += (without.empty() ? "" : ", ") + part.id;
  DREAM_EXPECT(without.empty(), plan.data_folder, ": has no features, and ", without,
               " would read them; add *_feat.npy, or take --models mf,lightgcn");
  for (const StudyPart& part : plan.asked) {
    const SearchSpace& space = plan.spaces.at(part.model);
    for (std::int64_t n = 0; n < std::min<std::int64_t>(space.size(), 10000); ++n) {
      try {
        expect_trainable(plan.run_settings(part, space.at(n), plan.common.fit.seed), data, plan.data_folder);
      } catch (const dream::error& error) {
        dream::fail("the study's part ", part.id, ": ", error.what(), "; or leave out ",
                    part.group == "models" ? dream::concat("the model ", part.model, ", by --models")
                                           : dream::concat("the group ", part.group, ", by --groups"));
      }
    }
  }
}

void expect_trained_so(const StudyPlan& plan) {
  for (const auto& [model, space] : plan.spaces)
    for (std::int64_t t = 0; !space.dimensions.empty() && t < space.size(); ++t)
      expect_trained_with(with(space.settings, space.at(t)), plan.trial_folder(model, t));
  for (const StudyPart& part : plan.parts) {
    const auto chosen = choice_of(plan, part.model);
    for (const std::uint64_t seed : plan.seeds)
      if (chosen) expect_trained_with(plan.run_settings(part, *chosen, seed), plan.run_folder(part, seed));
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
  const std::string path = arguments.out + "/plan.json";
  StudyPlan plan;
  plan.out = arguments.out;
  plan.data_folder = arguments.data;
  take_settings(arguments, plan);
  const Json began = began_at(path);
  take_backend(arguments, began, path, plan);
  const auto before = parts_before(began, plan.out);
  take_parts(arguments, before, plan);
  take_seeds(arguments, began, plan);
  plan.programs = program_version;
  if (!began.is_null()) {
    expect_same_settings(began, path, plan);
    const std::string earlier = began.value("program", "of an unknown version");
    const bool same = earlier.size() >= plan.programs.size() &&
                      earlier.compare(earlier.size() - plan.programs.size(), std::string::npos, plan.programs) == 0;
    plan.programs = same ? earlier : earlier + ", " + plan.programs;
  }
  take_grids(arguments, began, path, before, plan);

  const dream::Dataset data = dream::read_dataset(arguments.data, plan.common.read);
  plan.fingerprint = dream::fingerprint(data);
  plan.data = describe_data(data, plan.fingerprint);
  if (!began.is_null()) {
    expect_same_data(began, path, plan);
    plan.data = began["data"];
  }
  plan.data["split"] = split_words(data, plan.common);
  DREAM_EXPECT(data.valid.size() > 0, arguments.data, ": has no valid interactions to choose by");
  plan.notes.insert(plan.notes.begin(), data.notes.begin(), data.notes.end());
  expect_can_train(plan, data);
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
    const Json result = finished_result(folder);
    DREAM_EXPECT(result["valid"].contains(metric), folder, "/result.json: has no valid ", metric, "; delete ", folder,
                 " and give the same command again to train it anew");
    const double value = result["valid"][metric].get<double>();
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
