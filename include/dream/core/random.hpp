// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// A number is a pure function of (seed, stream, index), so every backend and any number of threads draw the same ones.
#pragma once

#include <cmath>
#include <cstdint>

#include <dream/core/view.hpp>

namespace dream {

/// One Philox output block.
struct RandomBlock {
  std::uint32_t word[4];

  DREAM_HOST_DEVICE constexpr std::uint64_t low() const { return word[0] | (std::uint64_t{word[1]} << 32); }
  DREAM_HOST_DEVICE constexpr std::uint64_t high() const { return word[2] | (std::uint64_t{word[3]} << 32); }
};

/// Ten rounds of Philox4x32 on a 128-bit counter (low, high) under a 64-bit key.
DREAM_HOST_DEVICE constexpr RandomBlock philox4x32(std::uint64_t counter_low, std::uint64_t counter_high,
                                                   std::uint64_t key) {
  std::uint32_t c0 = static_cast<std::uint32_t>(counter_low), c1 = static_cast<std::uint32_t>(counter_low >> 32);
  std::uint32_t c2 = static_cast<std::uint32_t>(counter_high), c3 = static_cast<std::uint32_t>(counter_high >> 32);
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c2;
    const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(p1);
    c3 = static_cast<std::uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

/// Uniform in [0, 1) with 53 random bits.
DREAM_HOST_DEVICE constexpr double to_unit(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

/// Uniform in {0, .., n-1}: the high half of bits * n (bias below n / 2^64).
DREAM_HOST_DEVICE constexpr std::uint64_t to_below(std::uint64_t bits, std::uint64_t n) {
  const std::uint64_t a = bits >> 32, b = bits & 0xffffffffu, c = n >> 32, d = n & 0xffffffffu;
  const std::uint64_t middle = a * d + ((b * d) >> 32);
  const std::uint64_t cross = b * c + (middle & 0xffffffffu);
  return a * c + (middle >> 32) + (cross >> 32);
}

/// What a random number is for; keeps the streams of one seed apart.
enum class RandomUse : std::uint32_t {
  initialise = 1,
  shuffle,
  negatives,
  split,
  synthetic,
  estimate,
  dropout,
  edges,
  user = 1000
};

/// The random numbers of one purpose and one step under a seed, addressed by index.
struct RandomStream {
  std::uint64_t seed = 0;
  RandomUse use = RandomUse::user;
  std::uint32_t step = 0;

  DREAM_HOST_DEVICE constexpr RandomBlock block(std::uint64_t index) const {
    return philox4x32(index, (std::uint64_t{static_cast<std::uint32_t>(use)} << 32) | step, seed);
  }
  /// Uniform in [0, 1).
  DREAM_HOST_DEVICE constexpr double uniform(std::uint64_t index) const { return to_unit(block(index).low()); }
  /// Uniform in {0, .., n-1}.
  DREAM_HOST_DEVICE constexpr std::uint64_t below(std::uint64_t index, std::uint64_t n) const {
    return to_below(block(index).low(), n);
  }
  /// Standard normal (Box-Muller).
  double normal(std::uint64_t index) const {
    const RandomBlock b = block(index);
    const double u = to_unit(b.low()), v = to_unit(b.high());
    return std::sqrt(-2.0 * std::log(1.0 - u)) * std::cos(6.283185307179586476925286766559 * v);
  }
};

}  // namespace dream
