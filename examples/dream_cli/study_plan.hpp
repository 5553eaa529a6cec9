// What a study trains: the models, each with a small grid, and what is changed about them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "search_space.hpp"

namespace dream_cli {

/// One thing that is trained for every seed.
struct StudyPart {
  std::string id;         ///< of its folder: "mgcn", "no-gate", "mgcn+bma"
  std::string group;      ///< models, ablations, embeddings or alignment
  std::string label;      ///< for people
  std::string model;      ///< whose grid is searched, or whose choice is taken over
  Assignment changes;     ///< settings besides the common ones and the choice
  bool searches = false;  ///< has the grid of its model
};

/// The parts of the named groups for these models, in the order in which they are trained: whatever takes over a choice
/// comes after the model that makes it. Ablations and frozen embeddings are those of DREAM.
std::vector<StudyPart> study_parts(const std::vector<std::string>& groups, const std::vector<std::string>& models);

/// The groups that there are.
const std::vector<std::string>& study_groups();

/// Grids by model, as JSON: {"mgcn": {"cl_weight": [0.001, 0.01, 0.1]}, ..}.
nlohmann::ordered_json default_grids();

/// The grid of a model; one that is missing or empty searches nothing. `place` is named in errors.
SearchSpace grid_of(const nlohmann::ordered_json& grids, const std::string& model, const Settings& common,
                    const std::string& place);

}  // namespace dream_cli
