#include "kernel_backends.hpp"

namespace dream_cli {

const KernelCommands* emulated_commands() { return nullptr; }

}  // namespace dream_cli
