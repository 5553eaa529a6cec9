#include <dream/cuda/cuda.cuh>

#include "on_kernels.hpp"

namespace dream_cli {

std::string why_no_gpu() {
  std::string why;
  return dream::cuda_is_usable(&why) ? "" : why;
}

const KernelCommands* cuda_commands() {
  struct CudaContext : dream::Context<dream::Cuda> {
    explicit CudaContext(int) {}
  };
  return commands_on<CudaContext>();
}

}  // namespace dream_cli
