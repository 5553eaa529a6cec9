// What a study can train: the models, and what is changed about them.
#pragma once

#include <string>
#include <vector>

#include "study_grids.hpp"

namespace dream_cli {

/// One thing that is trained for every seed.
struct StudyPart {
  std::string id;         ///< of its folder: "mgcn", "no-gate", "mgcn+bma"
  std::string group;      ///< models, ablations, embeddings or alignment
  std::string label;      ///< for people
  std::string model;      ///< whose grid is searched, or whose choice is taken over
  Assignment changes;     ///< settings besides the common ones and the choice
  bool searches = false;  ///< has the grid of its model
  std::string reference;  ///< the part that it is compared with; empty for a model, which DREAM is compared with
};

/// Everything that a study can train, in the order in which it does: whatever takes over a choice comes after the model
/// that makes it.
const std::vector<StudyPart>& all_parts();

/// The ids of the parts of the named groups for these models, and of what they are compared with. Ablations and frozen
/// embeddings are those of DREAM. None at all is an error; what was added, and named groups without a part, go to
/// `notes`, a sentence each.
std::vector<std::string> named_parts(const std::vector<std::string>& groups, const std::vector<std::string>& models,
                                     std::vector<std::string>& notes);

/// The groups that there are.
const std::vector<std::string>& study_groups();

}  // namespace dream_cli
