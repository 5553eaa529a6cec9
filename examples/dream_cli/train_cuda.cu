#include <dream/cuda/cuda.cuh>

#include "cuda_backend.hpp"

namespace dream_cli {

std::string why_no_gpu() {
  std::string why;
  return dream::cuda_is_usable(&why) ? "" : why;
}

int train_on_cuda(const dream::ModelData<float, dream::Cpu>& data, const dream::ModelDataOptions& prepared,
                  const TrainingRun& training) {
  dream::Context<dream::Cuda> context;
  const auto uploaded = dream::upload<float>(context, data);
  return train_on(context, uploaded, prepared, training);
}

}  // namespace dream_cli
