// A data set's fingerprint: tells whether a checkpoint was trained on the data at hand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <dream/data/dataset.hpp>

namespace dream {

namespace detail {

inline constexpr std::uint64_t xxh_prime[5] = {0x9E3779B185EBCA87u, 0xC2B2AE3D27D4EB4Fu, 0x165667B19E3779F9u,
                                               0x85EBCA77C2B2AE63u, 0x27D4EB2F165667C5u};

constexpr std::uint64_t rotate_left(std::uint64_t x, int by) { return x << by | x >> (64 - by); }
constexpr std::uint64_t xxh_round(std::uint64_t lane, std::uint64_t word) {
  return rotate_left(lane + word * xxh_prime[1], 31) * xxh_prime[0];
}

}  // namespace detail

/// The XXH64 hash of bytes (Collet's xxHash specification, little-endian).
inline std::uint64_t hash_bytes(const void* data, std::size_t bytes, std::uint64_t seed = 0) {
  using detail::rotate_left, detail::xxh_prime, detail::xxh_round;
  const unsigned char* p = static_cast<const unsigned char*>(data);
  const auto word = [](const unsigned char* at) {
    std::uint64_t w;
    std::memcpy(&w, at, 8);
    return w;
  };
  std::size_t left = bytes;
  std::uint64_t h = seed + xxh_prime[4];
  if (left >= 32) {
    std::uint64_t lane[4] = {seed + xxh_prime[0] + xxh_prime[1], seed + xxh_prime[1], seed, seed - xxh_prime[0]};
    for (; left >= 32; p += 32, left -= 32)
      for (int i = 0; i < 4; ++i) lane[i] = xxh_round(lane[i], word(p + 8 * i));
    h = rotate_left(lane[0], 1) + rotate_left(lane[1], 7) + rotate_left(lane[2], 12) + rotate_left(lane[3], 18);
    for (const std::uint64_t l : lane) h = (h ^ xxh_round(0, l)) * xxh_prime[0] + xxh_prime[3];
  }
  h += bytes;
  for (; left >= 8; p += 8, left -= 8) h = rotate_left(h ^ xxh_round(0, word(p)), 27) * xxh_prime[0] + xxh_prime[3];
  if (left >= 4) {
    std::uint32_t w;
    std::memcpy(&w, p, 4);
    h = rotate_left(h ^ w * xxh_prime[0], 23) * xxh_prime[1] + xxh_prime[2];
    p += 4;
    left -= 4;
  }
  for (; left > 0; ++p, --left) h = rotate_left(h ^ *p * xxh_prime[4], 11) * xxh_prime[0];
  h = (h ^ h >> 33) * xxh_prime[1];
  h = (h ^ h >> 29) * xxh_prime[2];
  return h ^ h >> 32;
}

/// A hash of counts, ids, the pairs of each split in order, and the modalities (names, shapes, values). The data set's
/// own name and its notes do not count.
inline std::uint64_t fingerprint(const Dataset& data) {
  std::uint64_t h = 0;
  // Sizes are hashed too, so that moving a border between two lists changes the result.
  const auto add_number = [&h](std::uint64_t value) { h = hash_bytes(&value, sizeof value, h); };
  const auto add = [&](const auto& list) {
    add_number(list.size());
    h = hash_bytes(list.data(), list.size() * sizeof(list[0]), h);
  };
  for (const IdMap* ids : {&data.users, &data.items}) {
    add_number(static_cast<std::uint64_t>(ids->count));
    add_number(ids->names.size());
    for (const std::string& name : ids->names) add(name);
  }
  for (const Pairs* pairs : {&data.train, &data.valid, &data.test}) {
    add(pairs->user);
    add(pairs->item);
    add(pairs->timestamp);
    if (!pairs->weight.empty()) add(pairs->weight);
  }
  add_number(data.modalities.size());
  for (const Modality& modality : data.modalities) {
    add(modality.name);
    add_number(static_cast<std::uint64_t>(modality.rows));
    add_number(static_cast<std::uint64_t>(modality.cols));
    add(modality.values);
    add(modality.present);
  }
  return h;
}

}  // namespace dream
