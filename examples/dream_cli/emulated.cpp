#include <dream/testing/emulated.hpp>

#include "on_kernels.hpp"

namespace dream_cli {

int train_on_emulated(int threads, const dream::ModelData<float, dream::Cpu>& data,
                      const dream::ModelDataOptions& prepared, const TrainingRun& training) {
  dream::Context<dream::Emulated> context({.threads = threads});
  return train_with(context, data, prepared, training);
}

dream::Evaluation evaluate_on_emulated(int threads, const EvaluationRun& e) {
  dream::Context<dream::Emulated> context({.threads = threads});
  return evaluate_with(context, e);
}

void recommend_on_emulated(int threads, const RecommendationRun& r) {
  dream::Context<dream::Emulated> context({.threads = threads});
  recommend_with(context, r);
}

}  // namespace dream_cli
