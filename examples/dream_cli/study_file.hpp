// plan.json and study.json: what a study is, however many commands take part in it.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "commands.hpp"
#include "study_plan.hpp"

namespace dream_cli {

/// A study: what this command asks for, and what earlier ones did.
struct StudyPlan {
  std::string out, data_folder;
  Settings common;               ///< of all runs
  nlohmann::ordered_json given;  ///< the keys of them that were given
  nlohmann::ordered_json data;   ///< what was read, for people
  std::uint64_t fingerprint = 0;
  std::string programs;              ///< versions that took part, the earliest first: "0.1.0, 0.2.0"
  std::vector<std::string> notes;    ///< about the data, and what is added to what was asked for
  std::vector<StudyPart> parts;      ///< of this command and of earlier ones, in order
  std::vector<StudyPart> asked;      ///< of this command
  std::vector<std::uint64_t> seeds;  ///< likewise all
  std::vector<std::uint64_t> asked_seeds;
  std::map<std::string, SearchSpace> spaces;  ///< by the models of `parts`

  std::string run_folder(const StudyPart& part, std::uint64_t seed) const;
  std::string trial_folder(const std::string& model, std::int64_t trial) const;  ///< from 0
  Settings run_settings(const StudyPart& part, const Assignment& chosen, std::uint64_t seed) const;
};

/// Puts together what the command line asks for and what the folder's plan.json has. What cannot be trained, and a
/// folder of another study, data set, version or backend, is an error that names the first thing that differs; nothing
/// is written.
StudyPlan make_plan(const StudyArguments& arguments);

void write_plan(const StudyPlan& plan);

/// The trial with the best valid metric, from 0; none while a trial is not over, where all failed, or without a search.
std::optional<std::int64_t> chosen_trial(const StudyPlan& plan, const std::string& model);
/// Its combination; that of a model without a search is empty.
std::optional<Assignment> choice_of(const StudyPlan& plan, const std::string& model);

/// Writes study.json, which the report reads.
void write_study(const StudyPlan& plan);

}  // namespace dream_cli
