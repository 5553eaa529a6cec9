// What study.json says of a study for its report: data, split, shared settings, the command.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include <dream/data/dataset.hpp>

#include "study_file.hpp"

namespace dream_cli {

/// Counts of the data, with its name and fingerprint.
nlohmann::ordered_json describe_data(const dream::Dataset& data, std::uint64_t fingerprint);

/// Where the splits of the data come from, as they were read with these settings.
std::string split_words(const dream::Dataset& data, const Settings& settings);

/// Every setting but model, seed and backend: {"key", "value", "default", "given"}, in the order of keys(). A value
/// that differs by model is an object by model, in which "searched" stands for what the grid decides.
nlohmann::ordered_json shared_settings(const StudyPlan& plan);

/// The options, besides --data and --out, of the command that trains all of the study.
std::string options_text(const StudyPlan& plan);

}  // namespace dream_cli
