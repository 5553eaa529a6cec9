// A stable radix sort of the rows of a batch, 8 bits a pass. Lanes find the lanes of their digit by eight votes, warps
// count by themselves, and one scan over digits and warps gives the places.
//
// DigitSort sorts what one block holds. CountDigits and MoveByDigit make a pass over any number: blocks of 4096, each
// of which adds up the few counts of the blocks before it. 12 bytes a position and pass. Integers only.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

namespace detail {

/// A stable sort of a block's keys by one digit of 8 bits.
struct DigitSort {
  static constexpr int threads = 1024, warps = threads / warp_lanes, bits = 8, digits = 1 << bits;
  static constexpr int pitch = digits + 1;  ///< one more, so that a warp reads the counts of many warps at once
  static constexpr int quarters = threads / digits;

  struct Shared {
    int count[warps * pitch];
    BlockScratch<int, threads> scratch;
  };

  DREAM_HOST_DEVICE static int digit(std::uint32_t key, int shift) {
    return static_cast<int>(key >> shift) & (digits - 1);
  }
  /// The number of the thread's key u in a block's keys, of which a warp has 32 Items in a row.
  template <int Items, class Thread>
  DREAM_HOST_DEVICE static int number(const Thread& th, int u) {
    return (th.warp() * Items + u) * warp_lanes + th.lane();
  }
  /// Adds to the upper half of rank[u] where key(u) stands when the block's keys are sorted by one digit, stably. Then
  /// shared.count[d] is where digit d begins.
  template <int Items, class Thread, class Key>
  DREAM_HOST_DEVICE static void rank(const Thread& th, const Key& key, int shift, std::uint32_t (&rank)[Items],
                                     Shared& shared) {
    int* mine = shared.count + th.warp() * pitch;
    for (int d = th.lane(); d < digits; d += warp_lanes) mine[d] = 0;
    th.sync_warp();
    DREAM_UNROLL
    for (int u = 0; u < Items; ++u) {
      const int d = digit(key(u), shift);
      std::uint32_t same = 0xffffffffu;
      DREAM_UNROLL
      for (int bit = 0; bit < bits; ++bit) {
        const std::uint32_t ones = th.ballot((d >> bit & 1) != 0);
        same &= (d >> bit & 1) != 0 ? ones : ~ones;
      }
      const int before = th.popcount(same & ((1u << th.lane()) - 1));
      const int earlier = mine[d];
      rank[u] += static_cast<std::uint32_t>(earlier + before) << 16;
      th.sync_warp();
      if (before == 0) mine[d] = earlier + th.popcount(same);
      th.sync_warp();
    }
    th.sync();
    // A thread adds up a digit over a quarter of the warps; threads scan in the order of digits, then warps.
    const int d = th.thread() / quarters, first_warp = th.thread() % quarters * (warps / quarters);
    int sum = 0;
    DREAM_UNROLL
    for (int w = 0; w < warps / quarters; ++w) sum += shared.count[(first_warp + w) * pitch + d];
    int running = block_scan(th, sum, AddValues{}, shared.scratch).before;
    DREAM_UNROLL
    for (int w = 0; w < warps / quarters; ++w) {
      int& count = shared.count[(first_warp + w) * pitch + d];
      const int here = count;
      count = running;
      running += here;
    }
    th.sync();
    DREAM_UNROLL
    for (int u = 0; u < Items; ++u) rank[u] += static_cast<std::uint32_t>(mine[digit(key(u), shift)]) << 16;
  }
};

/// The key of place k of a batch: its row, or `limit` where there is none.
template <class Thread>
DREAM_HOST_DEVICE std::uint32_t row_key(const Thread& th, VectorView<const index_t> rows, std::int64_t k,
                                        std::int64_t limit) {
  const index_t row = k < rows.size ? th.load_readonly(rows.data + k) : -1;
  return static_cast<std::uint32_t>(row >= 0 && row < limit ? row : limit);
}

}  // namespace detail

/// Pairs of a key (upper half) and a position, and how many keys of each block have each digit.
struct SortedPairs {
  static constexpr int items = 4;                                   ///< a thread
  static constexpr int block = detail::DigitSort::threads * items;  ///< a block

  VectorView<const index_t> rows;  ///< what is sorted if `pairs` is null
  std::int64_t limit = 0;          ///< rows are below
  const std::uint64_t* pairs = nullptr;
  index_t* counts = nullptr;  ///< blocks x 256

  int blocks() const { return static_cast<int>((rows.size + block - 1) / block); }
  template <class Thread>
  DREAM_HOST_DEVICE std::uint64_t sorted(const Thread& th, std::int64_t k) const {
    return th.load_readonly(pairs + k);
  }
  template <class Thread>
  DREAM_HOST_DEVICE std::uint64_t load(const Thread& th, std::int64_t k) const {
    if (pairs != nullptr) return sorted(th, k);
    return std::uint64_t{detail::row_key(th, rows, k, limit)} << 32 | static_cast<std::uint64_t>(k);
  }
};

/// The digits of each block, counted.
struct CountDigits {
  static constexpr int threads = detail::DigitSort::threads;
  struct Params {
    SortedPairs from;
    int shift = 0;
  };
  struct Shared {
    int count[detail::DigitSort::digits];
  };
  static int grid(const Params& p) { return p.from.blocks(); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    using Sort = detail::DigitSort;
    if (th.thread() < Sort::digits) shared.count[th.thread()] = 0;
    th.sync();
    DREAM_UNROLL
    for (int u = 0; u < SortedPairs::items; ++u) {
      const std::int64_t k = std::int64_t{th.block()} * SortedPairs::block + u * threads + th.thread();
      if (k >= p.from.rows.size) continue;
      th.atomic_add(&shared.count[Sort::digit(static_cast<std::uint32_t>(p.from.load(th, k) >> 32), p.shift)], 1);
    }
    th.sync();
    if (th.thread() < Sort::digits)
      th.store(p.from.counts + std::int64_t{th.block()} * Sort::digits + th.thread(), shared.count[th.thread()]);
  }
};

/// The pairs, stably sorted by one digit.
struct MoveByDigit {
  static constexpr int threads = detail::DigitSort::threads;
  struct Params {
    SortedPairs from;
    int shift = 0;
    std::uint64_t* to = nullptr;
  };
  struct Shared {
    detail::DigitSort::Shared sort;
    std::int64_t first[detail::DigitSort::digits];  ///< where this block's keys of each digit go, less their rank
  };
  static int grid(const Params& p) { return p.from.blocks(); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    using Sort = detail::DigitSort;
    constexpr int items = SortedPairs::items;
    const std::int64_t start = std::int64_t{th.block()} * SortedPairs::block;
    std::uint64_t pair[items];
    std::uint32_t key[items], rank[items];
    DREAM_UNROLL
    for (int u = 0; u < items; ++u) {
      const std::int64_t k = start + Sort::number<items>(th, u);
      // What the last block lacks stands behind the rest and moves no other key.
      pair[u] = k < p.from.rows.size ? p.from.load(th, k) : ~std::uint64_t{0};
      key[u] = static_cast<std::uint32_t>(pair[u] >> 32);
      rank[u] = 0;
    }
    int all = 0, before = 0;
    if (th.thread() < Sort::digits)
      for (int b = 0; b < th.grid_blocks(); ++b) {
        const int here = th.load_readonly(p.from.counts + std::int64_t{b} * Sort::digits + th.thread());
        all += here;
        before += b < th.block() ? here : 0;
      }
    const int digits_before = block_scan(th, all, AddValues{}, shared.sort.scratch).before;
    Sort::rank<items>(
        th, [&](int u) { return key[u]; }, p.shift, rank, shared.sort);
    if (th.thread() < Sort::digits) shared.first[th.thread()] = std::int64_t{digits_before} + before;
    th.sync();
    DREAM_UNROLL
    for (int u = 0; u < items; ++u) {
      const int d = Sort::digit(key[u], p.shift);
      if (start + Sort::number<items>(th, u) < p.from.rows.size)
        th.store(p.to + shared.first[d] + static_cast<int>(rank[u] >> 16) - shared.sort.count[d], pair[u]);
    }
  }
};

}  // namespace dream::kernels
