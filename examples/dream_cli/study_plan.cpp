#include "study_plan.hpp"

#include <algorithm>

#include <dream/core/error.hpp>

namespace dream_cli {

const std::vector<std::string>& study_groups() {
  static const std::vector<std::string> all{"models", "ablations", "embeddings", "alignment"};
  return all;
}

std::vector<StudyPart> study_parts(const std::vector<std::string>& groups, const std::vector<std::string>& models) {
  const auto has = [](const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  static const std::vector<std::pair<std::string, std::string>> labels{
      {"dream", "DREAM"}, {"mf", "MF-BPR"}, {"lightgcn", "LightGCN"}, {"vbpr", "VBPR"},
      {"bm3", "BM3"},     {"mgcn", "MGCN"}, {"freedom", "FREEDOM"}};
  std::vector<StudyPart> parts;
  if (has(groups, "models"))
    for (const auto& [model, label] : labels)
      if (has(models, model)) parts.push_back({model, "models", label, model, {}, true});
  if (has(models, "dream") && has(groups, "embeddings"))
    parts.push_back(
        {"dream-frozen", "embeddings", "DREAM, frozen modal embeddings", "dream", {{"train_features", false}}, false});
  if (has(models, "dream") && has(groups, "ablations")) {
    const auto without = [&](const std::string& id, const std::string& what, Assignment changes) {
      parts.push_back({id, "ablations", "without " + what, "dream", std::move(changes), false});
    };
    without("no-gate", "the filter gate", {{"gate", "none"}});
    without("no-graphs", "the relation graphs", {{"item_graph", "none"}, {"user_graph", "none"}});
    without("no-s3", "the similarity supervised signal", {{"s3_weight", 0.0}});
    without("no-inter", "inter-alignment", {{"inter_weight", 0.0}});
    without("no-intra", "intra-alignment", {{"intra_weight", 0.0}});
    without("no-behaviour", "the behaviour line", {{"behaviour_line", false}});
    without("no-modal", "the modal line", {{"modal_line", false}});
  }
  if (has(groups, "alignment"))
    for (const auto& [model, label] : labels)
      if (has(models, model) && model != "dream" && model != "mf" && model != "lightgcn")
        parts.push_back({model + "+bma", "alignment", label + " with BMA", model, {{"bma", "on"}}, false});
  return parts;
}

nlohmann::ordered_json default_grids() {
  return nlohmann::ordered_json::parse(R"({
    "dream": {"reg_weight": [0.05, 0.1]},
    "mf": {"reg_weight": [0.001, 0.01, 0.1]},
    "lightgcn": {"n_ui_layers": [2, 3], "reg_weight": [0.0001, 0.001, 0.01]},
    "vbpr": {"reg_weight": [0.001, 0.01, 0.1]},
    "bm3": {"n_ui_layers": [1, 2], "target_dropout": [0.3, 0.5], "reg_weight": [0.01, 0.1]},
    "freedom": {"edge_dropout": [0.8, 0.9], "reg_weight": [0, 0.0001, 0.001]},
    "mgcn": {"cl_weight": [0.001, 0.01, 0.1]}
  })");
}

SearchSpace grid_of(const nlohmann::ordered_json& grids, const std::string& model, const Settings& common,
                    const std::string& place) {
  SearchSpace space;
  space.settings = common;
  apply(space.settings, {"model", model, "model"});
  if (!grids.contains(model)) return space;
  DREAM_EXPECT(grids.at(model).is_object(), place, ": the grid of ", model, " is not an object of keys and lists");
  for (const auto& [key, values] : grids.at(model).items())
    space.add({key, nlohmann::json(values), dream::concat(place, ": ", model)});
  return space;
}

}  // namespace dream_cli
