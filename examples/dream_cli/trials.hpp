// Training runs that a search makes: each in a folder of its own, once, and gone on with where it was stopped.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "settings.hpp"
#include "training_run.hpp"

namespace dream_cli {

/// What to do where a search or study was begun with something else.
inline constexpr const char* former_or_elsewhere = "; give the former to go on, or choose another --out";

/// The result.json of a run folder; an empty object where the run is not over. A file that does not hold the valid
/// metrics of a run is an error that says what to do.
nlohmann::ordered_json finished_result(const std::string& folder);
/// A valid metric out of it; one that it does not have is an error too.
double valid_of(const std::string& folder, const std::string& metric);

/// Why training ended in this folder without a result; empty where it did not.
std::string trial_failure(const std::string& folder);

/// Whether nothing is left to be done in this folder: it has a result, or training failed.
bool is_over(const std::string& folder);

/// A folder in which other settings were trained, or are being trained, is an error that names the first key.
void expect_trained_with(const Settings& settings, const std::string& folder);

/// Trains into `folder` unless that is over. Returns Exit::success, Exit::interrupted where a signal asked to stop, or
/// Exit::failure where training diverged, for the reason that trial_failure() then gives. The checkpoint of a run that
/// is over is removed: it is the largest file, and nothing goes on from it.
int run_trial(const Settings& settings, const std::string& data_folder, const std::string& folder,
              const TrainingChoice& choice, Signals& signals);

/// Test metrics of the best vectors of a run that is over; tables of no users where the data have no test interactions.
dream::Evaluation test_of(const std::string& folder, const std::string& data_folder, int threads);

/// Makes a finished trial the run that `folder` is to hold, as if it had been trained there: its files, and test scored
/// with its best vectors. The folder appears whole or not at all.
void run_from_trial(const std::string& trial, const std::string& folder, const std::string& data_folder, int threads);

/// Seconds of training and evaluation that a run has written down.
double trained_seconds(const std::string& folder);

/// Writes a JSON file, whole or not at all.
void write_json(const std::string& path, const nlohmann::ordered_json& json);

}  // namespace dream_cli
