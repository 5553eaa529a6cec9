// Numbers of 16 bits as they are stored: bfloat16 (the upper half of a float) and IEEE 754 binary16. Arithmetic is
// never done in them. Bits, not library types: the same code runs on the host and in kernels.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>

namespace dream {

namespace detail {

DREAM_HOST_DEVICE constexpr std::uint32_t float_bits(float v) { return __builtin_bit_cast(std::uint32_t, v); }
DREAM_HOST_DEVICE constexpr float bits_float(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }

}  // namespace detail

/// The float with these bits as its upper half.
DREAM_HOST_DEVICE constexpr float from_bfloat16(std::uint16_t bits) {
  return detail::bits_float(static_cast<std::uint32_t>(bits) << 16);
}

/// The nearest bfloat16, ties to even; beyond its range infinity. NaN stays NaN.
DREAM_HOST_DEVICE constexpr std::uint16_t to_bfloat16(float v) {
  const std::uint32_t bits = detail::float_bits(v);
  if (v != v) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// The float of the same value; every binary16, subnormal ones too, is one.
DREAM_HOST_DEVICE constexpr float from_float16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
  const std::uint32_t magnitude = bits & 0x7fff;
  if (magnitude >= 0x7c00) return detail::bits_float(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
  // The exponents differ by 112: one product moves normal and subnormal values to their place exactly.
  const float scaled = detail::bits_float(magnitude << 13) * detail::bits_float(std::uint32_t{127 + 112} << 23);
  return detail::bits_float(sign | detail::float_bits(scaled));
}

/// The nearest binary16, ties to even; beyond its range (65504) infinity. NaN stays NaN.
DREAM_HOST_DEVICE constexpr std::uint16_t to_float16(float v) {
  const std::uint32_t bits = detail::float_bits(v);
  const std::uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<std::uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x47800000) return static_cast<std::uint16_t>(sign | 0x7c00);  // 65536 and above
  if (magnitude < 0x38800000) {
    // Below the least normal number, 2^-14: adding 1/2 rounds to a multiple of 2^-24, the step of a float there.
    const float shifted = detail::bits_float(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign | (detail::float_bits(shifted) - detail::float_bits(0.5F)));
  }
  const std::uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return static_cast<std::uint16_t>(sign | ((rounded >> 13) - (std::uint32_t{112} << 10)));
}

}  // namespace dream
