#include "study_begun.hpp"

#include <utility>

#include <dream/core/file.hpp>

#include "json_node.hpp"
#include "trials.hpp"

namespace dream_cli {

namespace {

std::vector<std::string> part_names(const JsonNode& list, bool are_objects) {
  std::vector<std::string> ids;
  for (const JsonNode& part : list.list()) ids.push_back(are_objects ? part.at("id").text() : part.text());
  return ids;
}

/// Parts of an earlier program's study, which stand in study.json alone.
std::vector<std::string> parts_in_study(const std::string& path) {
  if (!dream::file_exists(path)) return {};
  const JsonSource source = read_object(path, plan_remedy);
  const auto parts = JsonNode(source).find("parts");
  return parts ? part_names(*parts, true) : std::vector<std::string>{};
}

}  // namespace

std::optional<BegunStudy> begun_in(const std::string& folder) {
  BegunStudy begun;
  begun.path = folder + "/plan.json";
  if (!dream::file_exists(begun.path)) {
    for (const char* name : {"study.json", "runs", "search"})
      DREAM_EXPECT(!dream::file_exists(folder + "/" + name), begun.path, ": is missing, but there is ", folder, "/",
                   name, " of a study; take plan.json from a copy, or choose another --out");
    return std::nullopt;
  }
  const JsonSource source = read_object(begun.path, plan_remedy);
  const JsonNode plan(source);
  const std::int64_t version = plan.at("version").count();
  DREAM_EXPECT(version == 1, begun.path, ": the study is of version ", version,
               ", this program goes on with version 1; use the program that began it, or choose another --out");
  const auto program = plan.find("program"), backend = plan.find("backend");
  begun.program = program ? program->text() : "of an unknown version";
  begun.backend = backend ? backend->text() : "";
  const JsonNode data = plan.at("data");
  begun.fingerprint = data.at("fingerprint").text();
  if (const auto name = data.find("name")) begun.data_name = name->text();
  for (const auto& [key, what] : {std::pair{"users", " users, "}, {"items", " items, "}, {"train", " training "}})
    if (const auto size = data.find(key)) begun.sizes += std::to_string(size->count()) + what;
  begun.sizes += "interactions, fingerprint " + begun.fingerprint;
  begun.seeds = plan.at("seeds").list().size();
  for (const auto& [key, value] : plan.at("settings").members())
    begun.settings.push_back({key, nlohmann::json(value.json()), begun.path + ": settings"});
  begun.grids = or_remedy(plan_remedy, [&] { return grids_of(plan.at("grids").json(), begun.path + ": grids"); });
  const auto parts = plan.find("parts");
  begun.parts = parts ? part_names(*parts, false) : parts_in_study(folder + "/study.json");
  return begun;
}

void expect_same_settings(const BegunStudy& begun, const StudyPlan& plan) {
  Settings before;
  or_remedy(plan_remedy, [&] {
    for (const Given& given : begun.settings) apply(before, given);
  });
  before.backend = plan.common.backend;
  // One key may be a field of its own in every model.
  for (const std::string& model : model_names()) {
    Settings now = plan.common;
    before.model_name = now.model_name = model;
    const auto other = first_difference(before, now);
    if (other)
      dream::fail(begun.path, ": was begun with ", other->key, " = ", other->first.dump(), ", not ",
                  other->second.dump(), former_or_elsewhere);
  }
}

void expect_same_data(const BegunStudy& begun, const StudyPlan& plan) {
  const nlohmann::ordered_json& now = plan.data;
  DREAM_EXPECT(begun.fingerprint == now["fingerprint"], begun.path, ": was begun with other data (", begun.sizes,
               ") than ", plan.data_folder, " (", now["users"], " users, ", now["items"], " items, ", now["train"],
               " training interactions, fingerprint ", now["fingerprint"].get<std::string>(),
               "); choose another --out");
}

}  // namespace dream_cli
