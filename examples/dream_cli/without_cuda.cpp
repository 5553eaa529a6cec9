#include "backends.hpp"

namespace dream_cli {

std::string why_no_gpu() { return "this program was built without CUDA"; }

int train_on_cuda(const Preparation&, const TrainingRun&) { dream::fail("--backend cuda: ", why_no_gpu()); }
dream::Evaluation evaluate_on_cuda(const EvaluationRun&) { dream::fail("--backend cuda: ", why_no_gpu()); }
void recommend_on_cuda(const RecommendationRun&) { dream::fail("--backend cuda: ", why_no_gpu()); }
std::vector<dream::Scored<double>> similar_on_cuda(const SimilarityRun&) {
  dream::fail("--backend cuda: ", why_no_gpu());
}

}  // namespace dream_cli
