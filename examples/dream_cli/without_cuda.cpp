#include "kernel_backends.hpp"

namespace dream_cli {

std::string why_no_gpu() { return "this program was built without CUDA"; }
const KernelCommands* cuda_commands() { return nullptr; }

}  // namespace dream_cli
