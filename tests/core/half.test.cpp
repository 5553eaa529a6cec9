#include <cmath>
#include <cstdint>
#include <limits>

#include <dream/core/half.hpp>
#include <dream/core/random.hpp>

#include "support/catch.hpp"

namespace dream_tests::core_half {

using namespace dream;

namespace {

/// What the bits mean by the definition of a format: exponent and fraction bits beside one sign bit.
double meaning(std::uint16_t bits, int fraction_bits) {
  const int exponent_bits = 15 - fraction_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1)
    return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
}

template <class From, class To>
void check_format(int fraction_bits, From from, To to) {
  int wrong = 0;
  for (std::uint32_t b = 0; b < 0x10000; ++b) {
    const std::uint16_t bits = static_cast<std::uint16_t>(b);
    const double expected = meaning(bits, fraction_bits);
    const float value = from(bits);
    if (std::isnan(expected)) {
      wrong += !std::isnan(value) || !std::isnan(from(to(value)));
      continue;
    }
    wrong += value != expected || std::signbit(value) != std::signbit(expected) || to(value) != bits;
    // Up to the next number of the format: what lies nearer is taken, and the even one in the middle.
    const std::uint16_t after = static_cast<std::uint16_t>(bits + 1);
    const double next = meaning(after, fraction_bits);
    if (!std::isfinite(expected) || !std::isfinite(next) || std::signbit(next) != std::signbit(expected)) continue;
    const double middle = (expected + next) / 2;
    wrong += to(static_cast<float>(middle)) != (bits % 2 == 0 ? bits : after);
    wrong += to(std::nextafter(static_cast<float>(middle), static_cast<float>(expected))) != bits;
    wrong += to(std::nextafter(static_cast<float>(middle), static_cast<float>(next))) != after;
  }
  CHECK(wrong == 0);
  constexpr float infinity = std::numeric_limits<float>::infinity();
  CHECK(from(to(infinity)) == infinity);
  CHECK(from(to(-infinity)) == -infinity);
  CHECK(std::isnan(from(to(std::numeric_limits<float>::quiet_NaN()))));
  CHECK(from(to(std::numeric_limits<float>::max())) == infinity);
  CHECK(std::isnan(from(to(__builtin_bit_cast(float, 0x7f800001U)))));  // a NaN whose upper bits are those of infinity
}

}  // namespace

TEST_CASE("Every bfloat16 is read by its definition, and floats are rounded to the nearest, ties to even") {
  check_format(7, from_bfloat16, to_bfloat16);
}

TEST_CASE("Every float16 is read by its definition, and floats are rounded to the nearest, ties to even") {
  check_format(10, from_float16, to_float16);
  CHECK(from_float16(to_float16(65519.0F)) == 65504.0F);
  CHECK(std::isinf(from_float16(to_float16(65520.0F))));
  CHECK(to_float16(1e-9F) == 0);
  CHECK(to_float16(-1e-9F) == 0x8000);
}

}  // namespace dream_tests::core_half
