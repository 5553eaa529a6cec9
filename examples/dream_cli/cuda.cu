#include <dream/cuda/cuda.cuh>

#include "on_kernels.hpp"

namespace dream_cli {

std::string why_no_gpu() {
  std::string why;
  return dream::cuda_is_usable(&why) ? "" : why;
}

int train_on_cuda(const Preparation& p, const TrainingRun& training) {
  dream::Context<dream::Cuda> context;
  return train_with(context, p, training);
}

dream::Evaluation evaluate_on_cuda(const EvaluationRun& e) {
  dream::Context<dream::Cuda> context;
  return evaluate_with(context, e);
}

void recommend_on_cuda(const RecommendationRun& r) {
  dream::Context<dream::Cuda> context;
  recommend_with(context, r);
}

std::vector<dream::Scored<double>> similar_on_cuda(const SimilarityRun& s) {
  dream::Context<dream::Cuda> context;
  return similar_with(context, s);
}

}  // namespace dream_cli
