#include <dream/core/random.hpp>

#include <cmath>
#include <set>
#include <vector>

#include "support/catch.hpp"

namespace dream_tests::core_random {

using dream::RandomStream;
using dream::RandomUse;

TEST_CASE("Philox4x32-10 gives the known answers that Random123 publishes") {
  const auto check = [](std::uint64_t low, std::uint64_t high, std::uint64_t key, std::vector<std::uint32_t> expected) {
    const dream::RandomBlock b = dream::philox4x32(low, high, key);
    REQUIRE(std::vector<std::uint32_t>(b.word, b.word + 4) == expected);
  };
  check(0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  check(~0ull, ~0ull, ~0ull, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  check(0x85a308d3243f6a88, 0x0370734413198a2e, 0x299f31d0a4093822, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("Philox can be evaluated at compile time") {
  constexpr auto block = dream::philox4x32(0, 0, 0);
  STATIC_REQUIRE(block.word[0] == 0x6627e8d5);
  STATIC_REQUIRE(block.low() == 0xe169c58d6627e8d5);
}

TEST_CASE("a number depends on seed, use, step and index, and on nothing else") {
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed : {1, 2})
    for (RandomUse use : {RandomUse::shuffle, RandomUse::split})
      for (std::uint32_t step : {0u, 1u})
        for (std::uint64_t index : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 40})
          seen.insert(RandomStream{seed, use, step}.block(index).low());
  REQUIRE(seen.size() == 24);
  REQUIRE(RandomStream{7, RandomUse::user, 3}.block(5).low() == RandomStream{7, RandomUse::user, 3}.block(5).low());
}

TEST_CASE("to_unit lies in [0, 1) at both ends") {
  REQUIRE(dream::to_unit(0) == 0.0);
  REQUIRE(dream::to_unit(~0ull) == 1.0 - 0x1p-53);
}

TEST_CASE("to_below is the high half of the 128-bit product") {
  REQUIRE(dream::to_below(~0ull, 1) == 0);
  REQUIRE(dream::to_below(~0ull, 10) == 9);
  REQUIRE(dream::to_below(0, 10) == 0);
  REQUIRE(dream::to_below(~0ull, ~0ull) == ~0ull - 1);
  REQUIRE(dream::to_below(1ull << 63, 10) == 5);
  REQUIRE(dream::to_below(0x123456789abcdef0, 0xfedcba9876543210) == 0x121fa00ad77d7422);
}

TEST_CASE("uniform, below and normal have the moments of their distributions") {
  const RandomStream random{11, RandomUse::user, 0};
  const int n = 200000;
  double sum = 0, squares = 0, normal_sum = 0, normal_squares = 0, normal_fourth = 0;
  std::vector<int> counts(7, 0);
  for (std::uint64_t i = 0; i < n; ++i) {
    const double u = random.uniform(i), z = random.normal(i);
    sum += u;
    squares += u * u;
    normal_sum += z;
    normal_squares += z * z;
    normal_fourth += z * z * z * z;
    ++counts[random.below(i, 7)];
  }
  // Five standard errors of each mean.
  REQUIRE(std::abs(sum / n - 0.5) < 5 * std::sqrt(1.0 / 12 / n));
  REQUIRE(std::abs(squares / n - 1.0 / 3) < 5 * std::sqrt(4.0 / 45 / n));
  REQUIRE(std::abs(normal_sum / n) < 5 * std::sqrt(1.0 / n));
  REQUIRE(std::abs(normal_squares / n - 1) < 5 * std::sqrt(2.0 / n));
  REQUIRE(std::abs(normal_fourth / n - 3) < 5 * std::sqrt(96.0 / n));
  for (const int count : counts) REQUIRE(std::abs(count - n / 7.0) < 5 * std::sqrt(n * 6.0 / 49));
}

}  // namespace dream_tests::core_random
