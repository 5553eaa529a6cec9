// Training a model, whatever it is and wherever it runs; what the train command and its backends share.
#pragma once

#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include <dream/eval/diagnostics.hpp>
#include <dream/train/checkpoint.hpp>
#include <dream/train/fit.hpp>
#include <dream/train/warm_start.hpp>

#include "activity.hpp"
#include "commands.hpp"
#include "messages.hpp"
#include "models.hpp"
#include "progress.hpp"
#include "run_folder.hpp"
#include "settings.hpp"
#include "signals.hpp"
#include "table.hpp"

namespace dream_cli {

/// What is trained on what, and where it goes.
struct TrainingRun {
  const Settings& settings;
  RunFolder& folder;
  const dream::Dataset& data;
  std::uint64_t fingerprint;
  bool resume;
  std::string from;   ///< a checkpoint whose parameters are taken over; empty: none
  bool score_test;    ///< rank the test split in the end
  bool says_notes;    ///< about the data, on standard error
  bool says_outcome;  ///< on standard output; and how to go on where it was interrupted
  Signals& signals;
};

/// How settings are trained that are put together.
struct TrainingChoice {
  bool resume = false;    ///< go on from the folder's checkpoint
  std::string from = {};  ///< start from the parameters of this checkpoint; empty: anew
  bool score_test = true;
  bool says_notes = true;  ///< about the data
  bool says_outcome = true;
  int threads = 0;
  std::optional<std::uint64_t> fingerprint = {};  ///< of the data; others are an error
};

/// Trains settings whose backend can be used, into a folder. Returns the exit code.
int train_settings(const Settings& settings, const std::string& data_folder, RunFolder& folder,
                   const TrainingChoice& choice, Signals& signals);

nlohmann::ordered_json metrics_json(const std::vector<std::pair<std::string, double>>& values);
/// The metrics; none where there was nobody to take means over.
nlohmann::ordered_json table_json(const dream::MetricTable& table);
nlohmann::ordered_json epoch_json(const dream::EpochReport& report);
nlohmann::ordered_json diagnostics_json(const dream::Diagnostics& found);
/// Puts test metrics into the result of a run.
void put_test(nlohmann::ordered_json& result, const dream::Evaluation& test);
/// The test metrics as a table, for all, warm and cold items.
std::string result_text(const dream::Evaluation& test);

/// The diagnostics of a trainer's model as it is.
template <class B, class Model>
dream::Diagnostics diagnose_trained(dream::Context<B>& context, dream::Trainer<Model>& trainer, Model& model,
                                    const dream::ModelData<float, B>& data) {
  const auto vectors = trainer.represent();
  const auto users = dream::download<float>(context, vectors[0]), items = dream::download<float>(context, vectors[1]);
  return dream::diagnose(context, trainer.host(), model, data, users.view(), items.view(),
                         trainer.train_interactions());
}

/// Says on standard error what a run starts from.
void say(const dream::WarmStart& taken, const std::string& checkpoint, const dream::Dataset& data);

/// The build of this program, for checkpoints.
std::string this_build();

/// Trains a model that is ready; everything that does not depend on what it is.
template <class B, class Model>
int run(dream::Context<B>& context, Model& model, const dream::ModelData<float, B>& prepared,
        const TrainingRun& training) {
  const Settings& settings = training.settings;
  const dream::Dataset& data = training.data;
  RunFolder& folder = training.folder;
  dream::FitOptions options = fit_options(settings);
  // Where training ends is decided here, so that a run in pieces evaluates at the same epochs as a run in one.
  options.epochs = std::numeric_limits<int>::max();
  doing("training");
  dream::Trainer<Model> trainer(context, model, data, options);
  const dream::CheckpointOrigin origin{settings.model_name, to_json(settings).dump(), training.fingerprint, true,
                                       this_build()};
  if (training.resume)
    dream::load_checkpoint(folder.checkpoint(), trainer, origin);
  else if (!training.from.empty())
    say(dream::warm_start(training.from, trainer, data), training.from, data);
  if (training.says_notes && trainer.sampler().users_without_negatives() > 0)
    print_note(trainer.sampler().users_without_negatives(), " users have every item and are not trained on");
  training.signals.catch_them();
  folder.begin(to_json(settings), trainer.state().epoch);
  if (!training.resume) folder.save(trainer, origin, data);

  double ranking_loss = 0;
  const auto finished = [&] { return trainer.state().epoch >= settings.fit.epochs || trainer.finished(); };
  if (!finished()) {
    Progress progress(trainer.state().epoch + 1, settings.fit.epochs, trainer.sampler().size());
    bool saved = true;
    while (!finished() && !training.signals.stop_asked()) {
      const dream::EpochReport report = trainer.run_epoch([&](const dream::StepReport& step) {
        progress.step(step.epoch, step.interactions, step.loss);
        return !training.signals.stop_asked();
      });
      if (trainer.state().epoch < report.epoch) break;  // interrupted within the epoch: its work is lost
      nlohmann::ordered_json line = epoch_json(report);
      if (settings.diagnostics && report.epoch % settings.fit.eval_step == 0)
        line["diagnostics"] = diagnostics_json(diagnose_trained(context, trainer, model, prepared));
      folder.add_epoch(line);
      if (report.losses.front().first == "bpr") ranking_loss = report.losses.front().second;
      const std::string& metric = settings.fit.valid_metric;
      progress.epoch_done(report.epoch, report.losses.back().second, report.train_seconds,
                          report.evaluated
                              ? metric + " " + metric_text(report.valid.at(metric)) + (report.improved ? " (best)" : "")
                              : "");
      saved = folder.save_when_due(trainer, origin, data);
      if (!saved && (finished() || training.signals.stop_asked())) {
        folder.save(trainer, origin, data);
        saved = true;
      }
    }
  }
  if (training.signals.stop_asked()) {
    if (training.says_outcome)
      print_message("dream: interrupted; go on with: dream train --data ... --out ", folder.path(), " --resume");
    return Exit::interrupted;
  }

  if (ranking_loss > 0.99 * std::log(2.0))
    print_note("the ranking loss ended at ", metric_text(ranking_loss),
               ", where guessing has ln 2 = 0.6931. If more epochs do not lower it, reg_weight is too large for these "
               "data");

  const dream::FitState& state = trainer.state();
  const bool has_best = state.best_epoch > 0;
  std::array<dream::Matrix<float, dream::Cpu>, 2> last;
  if (!has_best) {
    const auto vectors = trainer.represent();
    for (std::size_t side = 0; side < 2; ++side) last[side] = dream::download<float>(context, vectors[side]);
  }
  const dream::MatrixView<const float> users = (has_best ? trainer.best_users() : last[0]).view();
  const dream::MatrixView<const float> items = (has_best ? trainer.best_items() : last[1]).view();
  const int best_epoch = has_best ? state.best_epoch : state.epoch;
  nlohmann::ordered_json result;
  result["model"] = settings.model_name;
  result["seed"] = settings.fit.seed;
  result["best_epoch"] = best_epoch;
  result["epochs"] = state.epoch;
  if (has_best) {
    result["valid"] = metrics_json(state.best_valid);
  } else {
    result["valid"] = data.valid.size() > 0
                          ? table_json(trainer.evaluate_vectors(users, items, dream::Split::valid).all)
                          : nlohmann::ordered_json::object();
  }
  const bool score_test = training.score_test && data.test.size() > 0;
  dream::Evaluation test;
  if (score_test) test = trainer.evaluate_vectors(users, items, dream::Split::test);
  if (training.score_test) put_test(result, test);
  folder.finish(result, origin, best_epoch, users, items, data);
  if (!training.says_outcome) return Exit::success;
  std::printf("%s: best epoch %d of %d\n", settings.model_name.c_str(), best_epoch, state.epoch);
  if (score_test) std::printf("\n%s", result_text(test).c_str());
  return Exit::success;
}

/// Trains the model that the settings name.
template <class B>
int train_on(dream::Context<B>& context, const dream::ModelData<float, B>& data,
             const dream::ModelDataOptions& prepared, const TrainingRun& training) {
  dream::AnyModel<float, B> model = make_model(context, data, prepared, training.settings);
  return run(context, model, data, training);
}

}  // namespace dream_cli
