#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>

#include <dream/core/file.hpp>

#include "commands.hpp"
#include "folder_lock.hpp"
#include "messages.hpp"
#include "outputs.hpp"
#include "report/report.hpp"
#include "report/study_files.hpp"
#include "study_file.hpp"
#include "study_progress.hpp"
#include "study_significance.hpp"
#include "trials.hpp"

namespace dream_cli {

namespace {

/// Every training run that the command makes or finds: the searches of the models that have parts, and the parts.
std::vector<StudyRun> runs_of(const StudyPlan& plan) {
  std::vector<StudyRun> runs;
  std::set<std::string> searched;
  for (const StudyPart& part : plan.asked) {
    const SearchSpace& space = plan.spaces.at(part.model);
    if (!space.dimensions.empty() && searched.insert(part.model).second)
      for (std::int64_t t = 0; t < space.size(); ++t)
        runs.push_back({plan.trial_folder(part.model, t), part.model + ", " + assignment_text(space.at(t)),
                        "search of " + part.model, part.model});
    for (const std::uint64_t seed : plan.asked_seeds)
      runs.push_back({plan.run_folder(part, seed), dream::concat(part.id, ", seed ", seed), part.id, part.model});
  }
  return runs;
}

/// Trains what a plan asks for, one run after another.
class StudyTraining {
 public:
  StudyTraining(const StudyPlan& plan, int threads) : plan_(plan), threads_(threads), progress_(runs_of(plan)) {}

  /// False where a signal asked to stop.
  bool train_all() {
    for (const StudyPart& part : plan_.asked) {
      if (!search(part.model)) return false;
      const auto chosen = choice_of(plan_, part.model);
      for (const std::uint64_t seed : plan_.asked_seeds) {
        if (!chosen || takes_trial(part, seed)) continue;
        if (!train(plan_.run_settings(part, *chosen, seed), plan_.run_folder(part, seed), true)) return false;
      }
    }
    return true;
  }

  /// What could not be trained, a sentence each.
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  /// All trials of a model's grid.
  bool search(const std::string& model) {
    const SearchSpace& space = plan_.spaces.at(model);
    if (space.dimensions.empty() || !searched_.insert(model).second) return true;
    for (std::int64_t t = 0; t < space.size(); ++t) {
      const std::string folder = plan_.trial_folder(model, t);
      const Assignment values = space.at(t);
      if (!is_over(folder)) {
        dream::make_folder(folder);
        write_json(folder + "/trial.json", assignment_json(values));
      }
      if (!train(with(space.settings, values), folder, false)) return false;
    }
    if (!choice_of(plan_, model))
      problems_.push_back("every trial of the search of " + model + " failed (" +
                          trial_failure(plan_.trial_folder(model, 0)) + "), so " + model + " is left out");
    write_study(plan_);
    return true;
  }

  /// Whether the search has trained this run already, its winner with the first seed: then that trial becomes the run.
  bool takes_trial(const StudyPart& part, std::uint64_t seed) {
    const auto trial = chosen_trial(plan_, part.model);
    const std::string folder = plan_.run_folder(part, seed);
    if (!trial || !part.changes.empty() || seed != plan_.common.fit.seed || dream::file_exists(folder)) return false;
    progress_.begin(folder);
    run_from_trial(plan_.trial_folder(part.model, *trial), folder, plan_.data_folder, threads_);
    progress_.end(folder);
    return true;
  }

  bool train(const Settings& settings, const std::string& folder, bool score_test) {
    const bool was_over = is_over(folder);
    if (!was_over) progress_.begin(folder);
    const TrainingChoice choice{.score_test = score_test,
                                .says_notes = false,
                                .says_outcome = false,
                                .threads = threads_,
                                .fingerprint = plan_.fingerprint};
    const int code = run_trial(settings, plan_.data_folder, folder, choice, signals_);
    if (code == Exit::interrupted) return false;
    if (!was_over) progress_.end(folder);
    if (code == Exit::failure) {
      const std::string problem = folder + ": " + trial_failure(folder);
      print_note(problem);
      if (score_test) problems_.push_back(problem);
    }
    return true;
  }

  const StudyPlan& plan_;
  int threads_;
  StudyProgress progress_;
  Signals signals_;
  std::set<std::string> searched_;
  std::vector<std::string> problems_;
};

}  // namespace

int study(const StudyArguments& arguments) {
  expect_out_folder(arguments.out, OutFolder::study,
                    {arguments.data, {{"--config", arguments.config}, {"--grids", arguments.grids}}});
  const FolderLock lock(arguments.out);
  const StudyPlan plan = make_plan(arguments);
  write_plan(plan);
  write_study(plan);
  for (const std::string& note : plan.notes) print_note(note);
  StudyTraining training(plan, arguments.threads);
  const bool done = training.train_all();
  write_study(plan);
  std::vector<std::string> problems = training.problems();
  try {
    const auto untested = write_significance(plan, arguments.threads);
    problems.insert(problems.end(), untested.begin(), untested.end());
  } catch (const std::exception& error) {
    problems.emplace_back(error.what());
  }
  write_report(plan.out);
  for (const std::string& problem : problems) print_error(problem);
  const bool damaged = study_report::say_damages(plan.out);
  if (!done) {
    print_message("dream: the study was stopped; the same command goes on. ", plan.out,
                  "/report.html has what there is");
    return Exit::interrupted;
  }
  std::printf("%s/report.html\n", plan.out.c_str());
  return problems.empty() && !damaged ? Exit::success : Exit::failure;
}

}  // namespace dream_cli
