// Training batches for pairwise ranking: every training interaction once an epoch in random order, each with a negative
// drawn uniformly from the items that occur in training, redrawn while the user has it in training (docs/components.md,
// 6).
//
// All draws are pure functions of (seed, epoch, place), so a sampler has no state but the epoch: batches can be made in
// any order, on any number of threads, and resumed anywhere.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include <dream/backend/matrix.hpp>
#include <dream/core/random.hpp>
#include <dream/models/model.hpp>

namespace dream {

/// A random permutation of 0 .. size-1, computed place by place: a Feistel network on the next power of two, walked
/// along its cycle until it lands inside (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002).
class Permutation {
 public:
  Permutation(std::uint64_t size, const RandomStream& random) : size_(size) {
    const int bits = std::max(2, static_cast<int>(std::bit_width(size > 0 ? size - 1 : 0)));
    right_bits_ = bits / 2;
    left_bits_ = bits - right_bits_;
    for (int r = 0; r < rounds; ++r) key_[r] = random.block(static_cast<std::uint64_t>(r)).low();
  }

  std::uint64_t operator()(std::uint64_t place) const {
    do place = scramble(place);
    while (place >= size_);
    return place;
  }

 private:
  static constexpr int rounds = 6;

  static std::uint64_t mix(std::uint64_t x) {
    x *= 0x9E3779B97F4A7C15u;
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93u;
    return x ^ (x >> 32);
  }
  // The halves may differ by a bit; each round maps one half through a function of the other, which can be undone.
  std::uint64_t scramble(std::uint64_t x) const {
    const std::uint64_t right_mask = (std::uint64_t{1} << right_bits_) - 1,
                        left_mask = (std::uint64_t{1} << left_bits_) - 1;
    std::uint64_t left = x >> right_bits_, right = x & right_mask;
    for (int r = 0; r < rounds; r += 2) {
      left ^= mix(right + key_[r]) & left_mask;
      right ^= mix(left + key_[r + 1]) & right_mask;
    }
    return (left << right_bits_) | right;
  }

  std::uint64_t size_;
  int left_bits_, right_bits_;
  std::uint64_t key_[rounds];
};

/// Draws BPR batches on the host.
class PairSampler {
 public:
  /// `interactions` is R (n x q, columns ascending), which must outlive the sampler. Interactions of users who have
  /// every candidate item are left out, because no negative exists for them.
  template <class T>
  PairSampler(CsrView<T> interactions, std::uint64_t seed) : seed_(seed) {
    offsets_ = interactions.offsets;
    indices_ = interactions.indices;
    std::vector<std::uint8_t> occurs(static_cast<std::size_t>(interactions.cols));
    for (std::int64_t e = 0; e < interactions.entries(); ++e) occurs[static_cast<std::size_t>(indices_[e])] = 1;
    for (index_t i = 0; i < interactions.cols; ++i)
      if (occurs[static_cast<std::size_t>(i)]) candidates_.push_back(i);
    users_.reserve(static_cast<std::size_t>(interactions.entries()));
    entries_.reserve(static_cast<std::size_t>(interactions.entries()));
    for (index_t u = 0; u < interactions.rows; ++u) {
      const std::int64_t degree = offsets_[u + 1] - offsets_[u];
      if (degree == static_cast<std::int64_t>(candidates_.size())) {
        users_without_negatives_ += degree > 0;
        continue;
      }
      for (std::int64_t e = offsets_[u]; e < offsets_[u + 1]; ++e) {
        users_.push_back(u);
        entries_.push_back(indices_[e]);
      }
    }
    DREAM_EXPECT(!users_.empty(), "no negative can be drawn: there are ", interactions.entries(),
                 " training interactions on ", candidates_.size(), " items and every user has all of them");
  }

  /// Interactions an epoch.
  std::int64_t size() const { return static_cast<std::int64_t>(users_.size()); }
  std::int64_t batches(index_t batch_size) const { return (size() + batch_size - 1) / batch_size; }
  /// Users who have interacted with every item that occurs in training.
  std::int64_t users_without_negatives() const { return users_without_negatives_; }

  /// Batch number `batch` of an epoch; the last one may be short. The views stay valid until the next call.
  Batch draw(Context<Cpu>& context, std::uint32_t epoch, std::int64_t batch, index_t batch_size) {
    const std::int64_t first = batch * batch_size, count = std::min<std::int64_t>(batch_size, size() - first);
    DREAM_EXPECT(batch >= 0 && count > 0, "batch ", batch, " of ", batches(batch_size));
    batch_users_.resize(count);
    batch_items_.resize(2 * count);
    draw_range(context, epoch, first, count, batch_users_.data(), batch_items_.data(), batch_items_.data() + count);
    return {batch_users_.view(), batch_items_.view(), static_cast<std::uint32_t>(epoch * batches(batch_size) + batch)};
  }

  /// Places first .. first + count - 1 of an epoch's order.
  void draw_range(Context<Cpu>& context, std::uint32_t epoch, std::int64_t first, std::int64_t count, index_t* users,
                  index_t* positives, index_t* negatives) const {
    const Permutation order(static_cast<std::uint64_t>(size()), {seed_, RandomUse::shuffle, epoch});
    const RandomStream random{seed_, RandomUse::negatives, epoch};
    context.parallel_blocks(count, 512, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t k = begin; k < end; ++k) {
        const std::uint64_t place = static_cast<std::uint64_t>(first + k);
        const std::size_t pick = static_cast<std::size_t>(order(place));
        users[k] = users_[pick];
        positives[k] = entries_[pick];
        negatives[k] = negative(random, place, users_[pick]);
      }
    });
  }

 private:
  bool has(index_t user, index_t item) const {
    const index_t *begin = indices_ + offsets_[user], *end = indices_ + offsets_[user + 1];
    if (end - begin > 32) return std::binary_search(begin, end, item);
    bool found = false;
    for (const index_t* i = begin; i != end; ++i) found |= *i == item;
    return found;
  }

  index_t negative(const RandomStream& random, std::uint64_t place, index_t user) const {
    const std::uint64_t count = candidates_.size();
    for (std::uint64_t attempt = 0; attempt < 32; ++attempt) {
      const RandomBlock block = random.block((attempt << 48) | place);
      for (const std::uint64_t bits : {block.low(), block.high()}) {
        const index_t item = candidates_[static_cast<std::size_t>(to_below(bits, count))];
        if (!has(user, item)) return item;
      }
    }
    // A user who has nearly everything: take the r-th candidate that is left.
    const std::uint64_t left = count - static_cast<std::uint64_t>(offsets_[user + 1] - offsets_[user]);
    std::uint64_t r = random.below((std::uint64_t{32} << 48) | place, left);
    for (const index_t item : candidates_)
      if (!has(user, item) && r-- == 0) return item;
    fail("the user-item graph changed while batches were drawn");
  }

  std::uint64_t seed_;
  const std::int64_t* offsets_;
  const index_t* indices_;
  std::vector<index_t> users_, entries_, candidates_;
  std::int64_t users_without_negatives_ = 0;
  Array<index_t, Cpu> batch_users_, batch_items_;
};

}  // namespace dream
