#include "backends.hpp"

#include "messages.hpp"

namespace dream_cli {

const KernelCommands* kernel_commands(const std::string& backend) {
  return backend == "cuda" ? cuda_commands() : backend == "emulated" ? emulated_commands() : nullptr;
}

std::string usable_backend(const std::string& asked) {
  DREAM_EXPECT(asked != "emulated" || emulated_commands() != nullptr,
               "--backend emulated: this program was built without it; dream_emulated, a program of the tests, has it");
  if (asked != "auto" && asked != "cuda") return asked;
  const std::string why = why_no_gpu();
  if (asked == "cuda") {
    DREAM_EXPECT(why.empty(), "--backend cuda: ", why);
    return asked;
  }
  if (why.empty())
    print_note("on the GPU");
  else
    print_note("on the CPU: ", why);
  return why.empty() ? "cuda" : "cpu";
}

}  // namespace dream_cli
