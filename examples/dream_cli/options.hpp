// Everything that a run can be told, in the library's own option structs.
#pragma once

#include <dream/data/read_dataset.hpp>
#include <dream/models/bm3.hpp>
#include <dream/models/dream.hpp>
#include <dream/models/freedom.hpp>
#include <dream/models/lightgcn.hpp>
#include <dream/models/mf.hpp>
#include <dream/models/mgcn.hpp>
#include <dream/models/vbpr.hpp>
#include <dream/train/fit.hpp>
#include <string>

namespace dream_cli {

/// Behaviour-modal alignment in the loss: as the model has it by itself (DREAM alone does), or put on or off.
enum class Bma { own, on, off };

/// Weights of the modalities: as the model has them by itself (DREAM equal ones, FREEDOM its published ones), or as
/// said.
enum class ModalityWeights { own, equal, given, learned };

/// The learning rate is multiplied by factor^(epoch / period).
struct LearningRateSchedule {
  double factor = 1.0;
  double period = 50.0;
};

struct Settings {
  std::string model_name = "dream";
  std::string backend = "cpu";
  dream::DreamOptions model;
  dream::LightGcnOptions lightgcn;       ///< sizes are those of `model`
  dream::MatrixFactorisationOptions mf;  ///< likewise, as for those that follow
  dream::VbprOptions vbpr;
  dream::Bm3Options bm3;
  dream::FreedomOptions freedom;
  dream::MgcnOptions mgcn;
  Bma bma = Bma::own;
  ModalityWeights modality_weights = ModalityWeights::own;  ///< of dream and freedom
  bool diagnostics = true;                                  ///< of the model, beside every evaluation on valid
  LearningRateSchedule schedule;
  LearningRateSchedule mgcn_schedule{0.96, 50.0};  ///< the published one
  dream::FitOptions fit;                           ///< without the schedule
  dream::ReadOptions read;

  const LearningRateSchedule& own_schedule() const { return model_name == "mgcn" ? mgcn_schedule : schedule; }
};

/// How the settings' model is trained.
inline dream::FitOptions fit_options(const Settings& s) {
  dream::FitOptions options = s.fit;
  options.learning_rate_factor = s.own_schedule().factor;
  options.learning_rate_period = s.own_schedule().period;
  return options;
}

}  // namespace dream_cli
