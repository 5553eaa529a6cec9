#include <cmath>
#include <vector>

#include <dream/eval/paired_test.hpp>

#include "support/catch.hpp"

namespace dream_tests::eval_paired_test {

using namespace dream;

namespace {

/// `count` users whose metrics differ by `shift` and normal noise of deviation 1.
std::vector<double> noisy(std::size_t count, double shift, std::uint64_t seed) {
  const RandomStream random{seed};
  std::vector<double> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(shift + random.normal(i));
  return values;
}

}  // namespace

TEST_CASE("The randomisation test has the exact probability where few users allow to count it") {
  Context<Cpu> context(2);
  // Of the 2^4 exchanges of differences 1, 2, 3, 4 only two reach |10|: 1/8, within five deviations of 10,000 draws.
  const PairedDifference found =
      paired_difference(context, std::vector<double>{1, 2, 3, 4}, std::vector<double>{0, 0, 0, 0});
  CHECK(found.difference == 2.5);
  CHECK(std::abs(found.p - 0.125) < 5 * std::sqrt(0.125 * 0.875 / 10000));
  CHECK(found.users == 4);
  CHECK(found.low >= 1);
  CHECK(found.high <= 4);
}

TEST_CASE("A clear difference is significant, none is not, and the interval has the width of its standard error") {
  Context<Cpu> context(2);
  const std::vector<double> zeros(2000, 0.0);
  const PairedDifference clear = paired_difference(context, noisy(2000, 0.2, 1), zeros);
  CHECK(clear.p < 0.001);
  CHECK(clear.low > 0);
  // 2 x 1.96 / sqrt(2000) = 0.0877, of 2,000 samples within some percent.
  CHECK(std::abs((clear.high - clear.low) - 0.0877) < 0.01);
  const PairedDifference none = paired_difference(context, noisy(2000, 0, 2), noisy(2000, 0, 3));
  CHECK(none.p > 0.01);
  CHECK(none.low < 0);
  CHECK(none.high > 0);
  const PairedDifference same = paired_difference(context, zeros, zeros);
  CHECK(same.p == 1);
  CHECK(same.difference == 0);
}

TEST_CASE("Paired differences are the same on any number of threads, and need as many users on both sides") {
  Context<Cpu> one(1), two(2);
  const auto a = noisy(700, 0.05, 4), b = noisy(700, 0, 5);
  const PairedDifference x = paired_difference(one, a, b), y = paired_difference(two, a, b);
  CHECK(x.p == y.p);
  CHECK(x.low == y.low);
  CHECK(x.high == y.high);
  CHECK(paired_difference(one, {}, {}).p == 1);
  REQUIRE_ERROR(paired_difference(one, a, std::vector<double>(3)), "700 and 3 users");
}

}  // namespace dream_tests::eval_paired_test
