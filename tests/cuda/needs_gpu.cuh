// For test cases that need a GPU.
#pragma once

#include <string>

#include <dream/cuda/device.cuh>

#include "support/catch.hpp"

/// Skips the test case where there is no usable GPU, and says why.
#define NEEDS_GPU()                                                     \
  do {                                                                  \
    if (std::string why; !dream::cuda_is_usable(&why)) DREAM_SKIP(why); \
  } while (false)
