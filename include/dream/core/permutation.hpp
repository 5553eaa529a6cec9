// A random permutation of 0 .. size-1, computed place by place, on the host and in kernels: a Feistel network on the
// next power of two, walked along its cycle until it lands inside (Black and Rogaway, "Ciphers with arbitrary finite
// domains", CT-RSA 2002).
#pragma once

#include <cstdint>

#include <dream/core/random.hpp>
#include <dream/core/view.hpp>

namespace dream {

/// The permutation of one random stream. Trivially copyable.
struct FeistelPermutation {
  static constexpr int rounds = 6;

  std::uint64_t size;
  int left_bits, right_bits;
  std::uint64_t key[rounds];

  /// One key of the network; all of them together cost `rounds` random blocks.
  DREAM_HOST_DEVICE static constexpr std::uint64_t round_key(const RandomStream& random, int round) {
    return random.block(static_cast<std::uint64_t>(round)).low();
  }
  /// The permutation without its keys.
  DREAM_HOST_DEVICE static constexpr FeistelPermutation without_keys(std::uint64_t size) {
    int bits = 2;
    while (bits < 64 && (size > 0 ? size - 1 : 0) >> bits != 0) ++bits;
    return {size, bits - bits / 2, bits / 2, {}};
  }
  DREAM_HOST_DEVICE static constexpr FeistelPermutation of(std::uint64_t size, const RandomStream& random) {
    FeistelPermutation p = without_keys(size);
    for (int r = 0; r < rounds; ++r) p.key[r] = round_key(random, r);
    return p;
  }

  /// Where `place` goes; it must be below size, or the walk may not end.
  DREAM_HOST_DEVICE constexpr std::uint64_t operator()(std::uint64_t place) const {
    do place = scramble(place);
    while (place >= size);
    return place;
  }

 private:
  DREAM_HOST_DEVICE static constexpr std::uint64_t mix(std::uint64_t x) {
    x *= 0x9E3779B97F4A7C15u;
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93u;
    return x ^ (x >> 32);
  }
  // The halves may differ by a bit; each round maps one half through a function of the other, which can be undone.
  DREAM_HOST_DEVICE constexpr std::uint64_t scramble(std::uint64_t x) const {
    const std::uint64_t right_mask = (std::uint64_t{1} << right_bits) - 1,
                        left_mask = (std::uint64_t{1} << left_bits) - 1;
    std::uint64_t left = x >> right_bits, right = x & right_mask;
    for (int r = 0; r < rounds; r += 2) {
      left ^= mix(right + key[r]) & left_mask;
      right ^= mix(left + key[r + 1]) & right_mask;
    }
    return (left << right_bits) | right;
  }
};

}  // namespace dream
