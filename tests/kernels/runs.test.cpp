// How often check_kernel runs a kernel in these tests: in two ways, or, where `exhaustive` says so, in all.
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"

namespace dream_tests::kernels_runs {

namespace {

const bool chosen = [] {
  dream::kernel_runs = dream_test::exhaustive() ? dream::KernelRuns::all : dream::KernelRuns::two;
  return true;
}();

}  // namespace

TEST_CASE("Kernels are checked in two ways, or, in exhaustive tests, in all") {
  CHECK(chosen);
  CHECK((dream::kernel_runs == dream::KernelRuns::all) == dream_test::exhaustive());
}

}  // namespace dream_tests::kernels_runs
