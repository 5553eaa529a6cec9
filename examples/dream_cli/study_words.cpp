#include "study_words.hpp"

#include <algorithm>
#include <cstdio>

#include "shell_text.hpp"

namespace dream_cli {

namespace {

using Json = nlohmann::ordered_json;

/// One value where all models have the same, else an object by model.
Json by_model(const std::vector<std::pair<std::string, Json>>& values) {
  const bool same =
      std::all_of(values.begin(), values.end(), [&](const auto& v) { return v.second == values[0].second; });
  if (same) return values.empty() ? Json() : values[0].second;
  Json json = Json::object();
  for (const auto& [model, value] : values) json[model] = value;
  return json;
}

bool searches(const SearchSpace& space, const std::string& key) {
  return std::any_of(space.dimensions.begin(), space.dimensions.end(),
                     [&](const Dimension& d) { return d.key == key; });
}

/// Those of all that a study trains.
template <class Of>
std::string names_joined(const StudyPlan& plan, const std::vector<std::string>& all, Of&& of) {
  std::string names;
  bool every = true;
  for (const std::string& name : all) {
    const bool has =
        std::any_of(plan.parts.begin(), plan.parts.end(), [&](const StudyPart& part) { return of(part) == name; });
    if (has) names += (names.empty() ? "" : ",") + name;
    every = every && has;
  }
  return every ? "" : names;
}

}  // namespace

Json describe_data(const dream::Dataset& data, std::uint64_t fingerprint) {
  Json json;
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
  json["modalities"] = Json::array();
  for (const dream::Modality& m : data.modalities)
    json["modalities"].push_back(
        {{"name", m.name},
         {"columns", m.cols},
         {"items", std::count_if(m.present.begin(), m.present.end(), [](std::uint8_t p) { return p != 0; })}});
  return json;
}

std::string split_words(const dream::Dataset& data, const Settings& settings) {
  const auto noted = [&](const std::string& beginning) {
    return std::any_of(data.notes.begin(), data.notes.end(),
                       [&](const std::string& note) { return note.rfind(beginning, 0) == 0; });
  };
  const dream::ReadOptions& read = settings.read;
  std::string shares;
  for (const double ratio : read.ratios) shares += (shares.empty() ? "" : " : ") + nlohmann::json(ratio).dump();
  const std::string drawn = dream::concat("with seed ", read.seed);
  if (read.split == dream::SplitRule::time) return "by time within each user, " + shares;
  if (read.split == dream::SplitRule::last) return "the newest of each user to test, the second newest to valid";
  if (read.split == dream::SplitRule::date)
    return "by date, " + (read.valid_from.empty() ? "" : "valid from " + read.valid_from + ", ") + "test from " +
           read.test_from;
  if (read.split == dream::SplitRule::random) return "at random within each user, " + shares + ", " + drawn;
  if (noted("The files hold no split"))
    return "at random within each user, " + shares + ", " + drawn + ", as the files hold none";
  if (noted("There is no ")) return "given by the files, valid drawn from train at random " + drawn;
  return "given by the files";
}

Json shared_settings(const StudyPlan& plan) {
  Json all = Json::array();
  for (const Key& key : keys()) {
    if (key.name == "model" || key.name == "seed" || key.name == "backend") continue;
    std::vector<std::pair<std::string, Json>> values, defaults;
    bool differs = false;
    for (const auto& [model, space] : plan.spaces) {
      Settings own;
      own.model_name = model;
      defaults.emplace_back(model, key.get(own));
      const bool searched = searches(space, key.name);
      values.emplace_back(model, searched ? Json("searched") : Json(key.get(space.settings)));
      differs = differs || (!searched && values.back().second != defaults.back().second);
    }
    all.push_back({{"key", key.name}, {"value", by_model(values)}, {"default", by_model(defaults)}});
    all.back()["differs"] = differs;
  }
  return all;
}

std::string options_text(const StudyPlan& plan) {
  std::string text;
  const auto add = [&](const std::string& option, const std::string& value) {
    text += (text.empty() ? "" : " ") + option + " " + shell_quoted(value);
  };
  const std::string models = names_joined(plan, model_names(), [](const StudyPart& p) { return p.model; });
  const std::string groups = names_joined(plan, study_groups(), [](const StudyPart& p) { return p.group; });
  if (!models.empty()) add("--models", models);
  if (!groups.empty()) add("--groups", groups);
  if (plan.seeds.size() != 3) add("--seeds", std::to_string(plan.seeds.size()));
  if (plan.common.backend != "cpu") add("--backend", plan.common.backend);
  for (const auto& [key, value] : plan.given.items())
    add("--set", key + "=" + (value.is_string() ? value.get<std::string>() : value.dump()));
  return text;
}

}  // namespace dream_cli
