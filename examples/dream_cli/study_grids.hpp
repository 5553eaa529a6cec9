// What a study searches over: grids by model, as a person or an earlier command wrote them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "search_space.hpp"

namespace dream_cli {

/// The keys that are searched over and their lists, by model, each with its place.
struct ModelGrid {
  std::string model;
  std::vector<Given> keys;
};
using Grids = std::vector<ModelGrid>;

/// Grids by model, as JSON: {"mgcn": {"cl_weight": [0.001, 0.01, 0.1]}, ..}.
nlohmann::ordered_json default_grids();

/// The grids of a JSON file. What is no JSON, a model or a key that is given twice (a key by whatever name), and a grid
/// that is not made of keys are errors with their line.
Grids read_grids(const std::string& path);
/// The same of JSON that a program wrote; `place` is named in errors.
Grids grids_of(const nlohmann::ordered_json& json, const std::string& place);

/// The grid of a model; one that is missing or empty searches nothing.
SearchSpace grid_of(const Grids& grids, const std::string& model, const Settings& common);

/// A model that there is not, or a key or value that a model cannot be searched over, is an error.
void expect_grids(const Grids& grids, const Settings& common, const std::string& place);

}  // namespace dream_cli
