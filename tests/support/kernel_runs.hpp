// For tests of kernels that only some of the time can afford to be run in every thread order.
#pragma once

#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"

namespace dream_test {

/// Calls launches(context, buffers): with `check` in every thread order and poison, else once.
template <class Launches>
void run_kernels(const Launches& launches, bool check) {
  if (check) {
    REQUIRE(dream::check_kernels(launches).text() == "");
    return;
  }
  dream::Context<dream::Emulated> context;
  dream::KernelBuffers buffers(context.options());
  launches(context, buffers);
  buffers.write_back();
}

}  // namespace dream_test
