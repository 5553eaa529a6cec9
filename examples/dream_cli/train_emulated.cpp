#include <dream/testing/emulated.hpp>

#include "training_run.hpp"

namespace dream_cli {

int train_on_emulated(int threads, const dream::ModelData<float, dream::Cpu>& data,
                      const dream::ModelDataOptions& prepared, const TrainingRun& training) {
  dream::Context<dream::Emulated> context({.threads = threads});
  const auto uploaded = dream::upload<float>(context, data);
  return train_on(context, uploaded, prepared, training);
}

}  // namespace dream_cli
