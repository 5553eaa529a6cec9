#include <dream/testing/emulated.hpp>

#include "on_kernels.hpp"

namespace dream_cli {

int train_on_emulated(const Preparation& p, const TrainingRun& training) {
  dream::Context<dream::Emulated> context({.threads = p.host.threads()});
  return train_with(context, p, training);
}

dream::Evaluation evaluate_on_emulated(int threads, const EvaluationRun& e) {
  dream::Context<dream::Emulated> context({.threads = threads});
  return evaluate_with(context, e);
}

void recommend_on_emulated(int threads, const RecommendationRun& r) {
  dream::Context<dream::Emulated> context({.threads = threads});
  recommend_with(context, r);
}

std::vector<dream::Scored<double>> similar_on_emulated(int threads, const SimilarityRun& s) {
  dream::Context<dream::Emulated> context({.threads = threads});
  return similar_with(context, s);
}

}  // namespace dream_cli
