#include "study_grids.hpp"

#include <algorithm>
#include <map>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/train/json_text.hpp>

namespace dream_cli {

namespace {

using Json = nlohmann::ordered_json;

/// A key of the file, of the model above it or a model itself.
struct KeyLine {
  std::string model, key;
  std::string place;
};

void expect_once(std::map<std::string, const KeyLine*>& seen, const std::string& name, const KeyLine& line) {
  const auto [first, is_first] = seen.emplace(name, &line);
  const std::string& before = first->second->key.empty() ? first->second->model : first->second->key;
  DREAM_EXPECT(is_first, line.place, ": '", before, "' is already set at ", first->second->place);
}

}  // namespace

Json default_grids() {
  return Json::parse(R"({
    "dream": {"modal_weight": [0.33, 1], "user_graph": ["none", "cooccurrence"], "reg_weight": [0.001, 0.1]},
    "mf": {"reg_weight": [0.01, 0.1, 1, 2]},
    "lightgcn": {"n_ui_layers": [2, 3], "reg_weight": [0.0001, 0.001, 0.01]},
    "vbpr": {"reg_weight": [0.01, 0.1, 1, 2]},
    "bm3": {"n_ui_layers": [1, 2], "target_dropout": [0.3, 0.5], "reg_weight": [0.01, 0.1]},
    "freedom": {"edge_dropout": [0.8, 0.9], "reg_weight": [0.0001, 0.001, 0]},
    "mgcn": {"cl_weight": [0.001, 0.01, 0.1]}
  })");
}

Grids grids_of(const Json& json, const std::string& place) {
  DREAM_EXPECT(json.is_object(), place, ": is not an object of models and their grids");
  Grids grids;
  for (const auto& [model, grid] : json.items()) {
    DREAM_EXPECT(grid.is_object(), place, ": the grid of ", model, " is not an object of keys and lists");
    grids.push_back({model, {}});
    for (const auto& [key, values] : grid.items())
      grids.back().keys.push_back({key, nlohmann::json(values), dream::concat(place, ": ", model)});
  }
  return grids;
}

Grids read_grids(const std::string& path) {
  const std::string text = dream::read_file(path);
  dream::JsonFault fault;
  Json json = dream::parse_json<Json>(text, path, &fault);
  DREAM_EXPECT(!json.is_discarded(), path, ":", fault.line, ": ", fault.reason);
  DREAM_EXPECT(json.is_object(), path, ": expected a JSON object of models and their grids");
  std::vector<KeyLine> lines;
  dream::for_json_keys(text, path, [&](const dream::JsonKey& key) {
    const std::string place = dream::concat(path, ":", key.line);
    if (key.level == 1) lines.push_back({key.name(), "", place});
    if (key.level == 2 && !lines.empty()) lines.push_back({lines.back().model, key.name(), place});
  });
  Grids grids;
  std::map<std::string, const KeyLine*> models, keys;
  for (const KeyLine& at : lines) {
    if (at.key.empty()) {
      expect_once(models, at.model, at);
      keys.clear();
      DREAM_EXPECT(json[at.model].is_object(), at.place, ": the grid of ", at.model,
                   " is not an object of keys and lists");
      grids.push_back({at.model, {}});
    } else {
      expect_once(keys, own_name(at.key), at);
      grids.back().keys.push_back(
          {at.key, nlohmann::json(json[at.model][at.key]), dream::concat(at.place, ": ", at.model)});
    }
  }
  return grids;
}

SearchSpace grid_of(const Grids& grids, const std::string& model, const Settings& common) {
  SearchSpace space;
  space.settings = common;
  apply(space.settings, {"model", model, "model"});
  for (const ModelGrid& grid : grids) {
    if (grid.model != model) continue;
    for (const Given& given : grid.keys) {
      DREAM_EXPECT(!given.value.is_array() || !given.value.empty(), given.place, ": ", given.key,
                   " is [], expected a list with at least one value");
      space.add_dimension(given);
    }
  }
  return space;
}

void expect_grids(const Grids& grids, const Settings& common, const std::string& place) {
  for (const ModelGrid& grid : grids) {
    const auto& names = model_names();
    DREAM_EXPECT(std::find(names.begin(), names.end(), grid.model) != names.end(), place, ": unknown model '",
                 grid.model, "'", did_you_mean(grid.model, names));
    const SearchSpace space = grid_of(grids, grid.model, common);
    for (const Dimension& d : space.dimensions)
      DREAM_EXPECT(d.key != "model", place, ": ", grid.model, ": model is not searched over: a grid is of one model");
  }
}

}  // namespace dream_cli
