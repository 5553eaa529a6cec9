// Training runs that a search makes: each in a folder of its own, once, and gone on with where it was stopped.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "settings.hpp"
#include "training_run.hpp"

namespace dream_cli {

/// The result.json of a finished run folder; an empty object where the run is not over. A file that is no JSON object
/// is an error.
nlohmann::ordered_json finished_result(const std::string& folder);

/// Trains into `folder` unless that is finished. Returns Exit::success, or Exit::interrupted where a signal asked to
/// stop. The checkpoint of a finished run is removed: it is the largest file, and nothing goes on from it.
int run_trial(const Settings& settings, const std::string& data_folder, const std::string& folder,
              const TrainingChoice& choice, Signals& signals);

/// Reads a JSON object from a file.
nlohmann::ordered_json read_json_object(const std::string& path);
/// Writes it, whole or not at all.
void write_json(const std::string& path, const nlohmann::ordered_json& json);

/// Makes the folder of a search or study described by `plan`; a folder that holds another plan is an error which names
/// the first key that differs.
void begin_plan(const std::string& folder, const std::string& file_name, const nlohmann::ordered_json& plan);

}  // namespace dream_cli
