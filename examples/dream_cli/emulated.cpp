#include <dream/testing/emulated.hpp>

#include "on_kernels.hpp"

namespace dream_cli {

const KernelCommands* emulated_commands() {
  struct EmulatedContext : dream::Context<dream::Emulated> {
    explicit EmulatedContext(int threads) : Context({.threads = threads}) {}
  };
  return commands_on<EmulatedContext>();
}

}  // namespace dream_cli
