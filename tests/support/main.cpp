// Catch2's main. Where DREAM_SKIP_RETURN_CODE is set (ctest does), a run without failures that skipped something
// returns that code, and failures return 1 whatever their number, so that the two cannot be mixed up.
#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
#endif
#include <cstdlib>

#include "support/catch.hpp"

int main(int argc, char** argv) {
  const int result = Catch::Session().run(argc, argv);
  const char* skip_code = std::getenv("DREAM_SKIP_RETURN_CODE");
  if (skip_code == nullptr) return result;
  if (result != 0) return 1;
  return dream_test::skipped ? std::atoi(skip_code) : 0;
}
