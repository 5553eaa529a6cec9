// What a program is linked with besides the host's backend: cuda.cu where it is built with nvcc, emulated.cpp where it
// is one for tests; without_cuda.cpp and without_emulated.cpp else.
#pragma once

#include <string>

namespace dream_cli {

struct KernelCommands;

/// Null where the program was built without.
const KernelCommands* cuda_commands();
const KernelCommands* emulated_commands();
/// Why no GPU can be used; empty where one can.
std::string why_no_gpu();

}  // namespace dream_cli
