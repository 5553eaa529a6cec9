#include "cuda_backend.hpp"

namespace dream_cli {

std::string why_no_gpu() { return "this program was built without CUDA"; }

int train_on_cuda(const dream::ModelData<float, dream::Cpu>&, const dream::ModelDataOptions&, const TrainingRun&) {
  dream::fail("--backend cuda: ", why_no_gpu());
}

}  // namespace dream_cli
