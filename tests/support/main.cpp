// Catch2's main. Where DREAM_SKIP_RETURN_CODE is set (ctest does), a run without failures that skipped something
// returns that code, and failures return 1 whatever their number, so that the two cannot be mixed up.
#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
#endif
#include <cstdlib>
#include <string>

#include "support/catch.hpp"

/// AddressSanitizer's own setting, which the code that it checks reads at the start of every function. It keeps the
/// frames of each stack for a while, to find uses after a return; for the thousand stacks of an emulated kernel that
/// takes two thirds of the time.
extern "C" [[gnu::weak]] int __asan_option_detect_stack_use_after_return;  // NOLINT(*-reserved-identifier)

namespace {

#if __has_include(<catch2/catch_session.hpp>)
using Listener = Catch::EventListenerBase;
#else
using Listener = Catch::TestEventListenerBase;
#endif

/// Uses after a return are looked for where no kernel is emulated.
struct KeepsFramesOfTheHostAlone : Listener {
  using Listener::Listener;

  void testCaseStarting(const Catch::TestCaseInfo& test) override {
    const std::string file = test.lineInfo.file;
    const auto names = [&](const char* part) { return file.find(part) != std::string::npos; };
    const bool emulated = names("tests/kernels/") || names("_kernels.test") || names("emulated");
    if (emulated && &__asan_option_detect_stack_use_after_return != nullptr)
      __asan_option_detect_stack_use_after_return = 0;
  }
};
CATCH_REGISTER_LISTENER(KeepsFramesOfTheHostAlone)

}  // namespace

int main(int argc, char** argv) {
  const int result = Catch::Session().run(argc, argv);
  const char* skip_code = std::getenv("DREAM_SKIP_RETURN_CODE");
  if (skip_code == nullptr) return result;
  if (result != 0) return 1;
  return dream_test::skipped ? std::atoi(skip_code) : 0;
}
