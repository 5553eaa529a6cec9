// The XXH64 hash (Collet's xxHash specification, little-endian), for fingerprints and checksums.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <dream/core/file.hpp>

namespace dream {

namespace detail {

inline constexpr std::uint64_t xxh_prime[5] = {0x9E3779B185EBCA87u, 0xC2B2AE3D27D4EB4Fu, 0x165667B19E3779F9u,
                                               0x85EBCA77C2B2AE63u, 0x27D4EB2F165667C5u};

constexpr std::uint64_t rotate_left(std::uint64_t x, int by) { return x << by | x >> (64 - by); }
constexpr std::uint64_t xxh_round(std::uint64_t lane, std::uint64_t word) {
  return rotate_left(lane + word * xxh_prime[1], 31) * xxh_prime[0];
}
inline std::uint64_t word_at(const unsigned char* at) {
  std::uint64_t word;
  std::memcpy(&word, at, 8);
  return word;
}

}  // namespace detail

/// The hash of bytes that come in pieces; how they are cut does not matter.
class Hash {
 public:
  explicit Hash(std::uint64_t seed = 0) : seed_(seed) {
    using detail::xxh_prime;
    lane_[0] = seed + xxh_prime[0] + xxh_prime[1];
    lane_[1] = seed + xxh_prime[1];
    lane_[2] = seed;
    lane_[3] = seed - xxh_prime[0];
  }

  void add(const void* data, std::size_t bytes) {
    if (bytes == 0) return;
    const unsigned char* p = static_cast<const unsigned char*>(data);
    const std::size_t held = static_cast<std::size_t>(bytes_ % 32);
    bytes_ += bytes;
    if (held > 0) {
      const std::size_t more = std::min(bytes, 32 - held);
      std::memcpy(held_ + held, p, more);
      if (held + more < 32) return;
      add_block(held_);
      p += more;
      bytes -= more;
    }
    for (; bytes >= 32; p += 32, bytes -= 32) add_block(p);
    if (bytes > 0) std::memcpy(held_, p, bytes);
  }

  std::uint64_t value() const {
    using detail::rotate_left, detail::xxh_prime, detail::xxh_round;
    std::uint64_t h = seed_ + xxh_prime[4];
    if (bytes_ >= 32) {
      h = rotate_left(lane_[0], 1) + rotate_left(lane_[1], 7) + rotate_left(lane_[2], 12) + rotate_left(lane_[3], 18);
      for (const std::uint64_t l : lane_) h = (h ^ xxh_round(0, l)) * xxh_prime[0] + xxh_prime[3];
    }
    h += bytes_;
    const unsigned char* p = held_;
    std::size_t left = static_cast<std::size_t>(bytes_ % 32);
    for (; left >= 8; p += 8, left -= 8)
      h = rotate_left(h ^ xxh_round(0, detail::word_at(p)), 27) * xxh_prime[0] + xxh_prime[3];
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

 private:
  void add_block(const unsigned char* p) {
    for (int i = 0; i < 4; ++i) lane_[i] = detail::xxh_round(lane_[i], detail::word_at(p + 8 * i));
  }

  std::uint64_t seed_;
  std::uint64_t lane_[4];
  std::uint64_t bytes_ = 0;
  unsigned char held_[32] = {};
};

/// The hash of bytes in memory.
inline std::uint64_t hash_bytes(const void* data, std::size_t bytes, std::uint64_t seed = 0) {
  Hash hash(seed);
  hash.add(data, bytes);
  return hash.value();
}

/// The hash of a part of a file, read a block at a time; up to its end unless `bytes` says less.
inline std::uint64_t hash_file(const FileReader& file, std::size_t at = 0, std::size_t bytes = SIZE_MAX) {
  bytes = std::min(bytes, file.size() - at);
  Hash hash;
  std::vector<char> block(std::min<std::size_t>(bytes, std::size_t{1} << 20));
  for (std::size_t done = 0; done < bytes; done += block.size()) {
    block.resize(std::min(block.size(), bytes - done));
    file.read(at + done, block.data(), block.size());
    hash.add(block.data(), block.size());
  }
  return hash.value();
}

/// A hash as 16 hexadecimal digits, as xxhsum writes it.
inline std::string hash_text(std::uint64_t value) {
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
  return text;
}

}  // namespace dream
