// plan.json of a study that was begun, and what must be the same to go on with it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "study_file.hpp"

namespace dream_cli {

/// What to do where plan.json does not hold what it should.
inline constexpr const char* plan_remedy = "take it from a copy, or choose another --out";

/// plan.json of a study that was begun.
struct BegunStudy {
  std::string path, program, backend;  ///< backend: empty where an earlier program did not write it
  std::string data_name, fingerprint;
  std::string sizes;  ///< of the data, for people
  std::size_t seeds = 0;
  std::vector<Given> settings;
  Grids grids;
  std::vector<std::string> parts;
};

/// The study of a folder; none where none was begun. A plan.json that does not hold what it should, or is missing where
/// there are runs, is an error.
std::optional<BegunStudy> begun_in(const std::string& folder);

/// Other settings, or other data, are errors that name what differs.
void expect_same_settings(const BegunStudy& begun, const StudyPlan& plan);
void expect_same_data(const BegunStudy& begun, const StudyPlan& plan);

}  // namespace dream_cli
