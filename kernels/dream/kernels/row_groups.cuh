// The distinct rows of a batch, ascending, and the batch positions of each: what turns the backward of a gather (a
// scatter with collisions) into a gather again. From rows[0 .. b):
//
//   group_rows   the distinct rows, ascending            count     how many
//   positions    0 .. b - 1 by row, ascending in a row   offsets   where the positions of each group begin
//   places       of every row of the whole matrix: its group, or -1
//
// Mapping. A stable radix sort of (row, position), 8 bits a pass, as many passes as row numbers have bytes. Lanes find
// the lanes of their digit by eight votes, warps count by themselves, and one scan over digits and warps gives the
// places. Up to 16384 rows one block does everything in shared memory, in one launch; beyond, blocks of 4096 sort in
// two launches a pass (each adds up the few counts of the blocks before it) and two more make the groups. Integers
// only: the result depends on nothing but the input.
//
// Floor: 12 bytes a position and pass plus 20; what counts is the chain of passes, some microseconds each. `places` is
// not cleared but put back where the groups of before had set it.
#pragma once

#include <algorithm>
#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

/// What build_row_groups makes, on the device.
struct RowGroupsView {
  VectorView<index_t> group_rows;   ///< room for as many groups as batches have rows
  std::int64_t* offsets = nullptr;  ///< one more
  index_t* positions = nullptr;     ///< as many as batches have rows
  VectorView<index_t> places;       ///< one for every row of the whole matrix
  index_t* count = nullptr;
};

namespace detail {

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

/// Writes the groups of a block's sorted keys, the first of which is number `start` of all; key(i) gives any of them
/// and `groups_before` begin before. `warp_groups` has an int for each warp.
template <int Items, class Thread, class KeyAt>
DREAM_HOST_DEVICE void write_groups(const Thread& th, const RowGroupsView& out, std::int64_t start, std::int64_t size,
                                    int groups_before, const std::uint32_t (&position)[Items], const KeyAt& key,
                                    int* warp_groups) {  // NOLINT(readability-non-const-parameter): is written
  const auto limit = static_cast<std::uint32_t>(out.places.size);
  const std::uint32_t lanes_to_here = 0xffffffffu >> (warp_lanes - 1 - th.lane());
  const auto begins = [&](std::int64_t i) {
    return th.ballot(i < size && key(i) < limit && (i == 0 || key(i - 1) != key(i)));
  };
  int mine = 0;
  for (int u = 0; u < Items; ++u) mine += th.popcount(begins(start + DigitSort::number<Items>(th, u)));
  if (th.lane() == 0) warp_groups[th.warp()] = mine;
  th.sync();
  int group = groups_before + warp_sum(th, th.lane() < th.warp() ? warp_groups[th.lane()] : 0);
  DREAM_UNROLL
  for (int u = 0; u < Items; ++u) {
    const std::int64_t i = start + DigitSort::number<Items>(th, u);
    if (i < size) th.store(out.positions + i, static_cast<index_t>(position[u]));
  }
  for (int u = 0; u < Items; ++u) {
    const std::int64_t i = start + DigitSort::number<Items>(th, u);
    const std::uint32_t heads = begins(i);
    const index_t g = group + th.popcount(heads & lanes_to_here) - 1;
    group += th.popcount(heads);
    if (i == 0 && (size == 0 || key(0) >= limit)) {
      th.store(out.count, 0);
      th.store(out.offsets, 0);
    }
    if (i >= size || key(i) >= limit) continue;
    if ((heads >> th.lane() & 1) != 0) {
      th.store(out.group_rows.data + g, static_cast<index_t>(key(i)));
      th.store(out.offsets + g, i);
      th.store(out.places.data + key(i), g);
    }
    if (i + 1 == size || key(i + 1) >= limit) {
      th.store(out.count, g + 1);
      th.store(out.offsets + g + 1, i + 1);
    }
  }
}

/// places = -1 at the rows of the groups that `out` has, for every so manyth group. Memory that never held groups does
/// no harm but to places.
template <class Thread>
DREAM_HOST_DEVICE void put_back_places(const Thread& th, const RowGroupsView& out, std::int64_t first,
                                       std::int64_t step) {
  const std::int64_t count = th.load(out.count);
  for (std::int64_t g = first; g < count && g < out.group_rows.size; g += step) {
    const index_t row = th.load(out.group_rows.data + g);
    if (row >= 0 && row < out.places.size) th.store(out.places.data + row, -1);
  }
}

}  // namespace detail

/// places = -1 everywhere.
struct ClearPlaces {
  static constexpr int threads = 256;
  static constexpr int each = 8;
  struct Params {
    VectorView<index_t> places;
  };
  struct Shared {};
  static int grid(const Params& p) { return static_cast<int>((p.places.size + threads * each - 1) / (threads * each)); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const std::int64_t first = std::int64_t{th.block()} * threads * each + th.thread();
    DREAM_UNROLL
    for (int u = 0; u < each; ++u)
      if (first + u * threads < p.places.size) th.store(p.places.data + first + u * threads, -1);
  }
};

/// places = -1 at the rows of the groups of before.
struct PutBackPlaces {
  static constexpr int threads = 256;
  struct Params {
    RowGroupsView groups;
  };
  struct Shared {};
  static int grid(const Params& p) {
    return static_cast<int>(std::min<std::int64_t>((p.groups.group_rows.size + threads - 1) / threads, 256));
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    detail::put_back_places(th, p.groups, std::int64_t{th.block()} * threads + th.thread(),
                            std::int64_t{th.grid_blocks()} * threads);
  }
};

/// All of it in one block, for up to 1024 Items rows.
template <int Items>
struct BuildRowGroups {
  static constexpr int threads = detail::DigitSort::threads;
  static constexpr int limit = threads * Items;
  static_assert(limit <= 1 << 16, "a position has half a word");
  struct Params {
    VectorView<const index_t> rows;
    RowGroupsView groups;
    bool put_back = false;  ///< first set the places of the groups of before to -1
    int passes = 0;
  };
  struct Shared {
    std::uint32_t exchange[limit];
    detail::DigitSort::Shared sort;
    int warp_groups[detail::DigitSort::warps];
  };
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    using Sort = detail::DigitSort;
    // The sort's barriers stand between this and the writes of what it reads.
    if (p.put_back) detail::put_back_places(th, p.groups, th.thread(), threads);
    // Keys stay in shared memory, since registers are short; the upper half of position[u] is its rank.
    std::uint32_t position[Items];
    DREAM_UNROLL
    for (int u = 0; u < Items; ++u) {
      position[u] = static_cast<std::uint32_t>(Sort::number<Items>(th, u));
      shared.exchange[position[u]] = detail::row_key(th, p.rows, position[u], p.groups.places.size);
    }
    for (int pass = 0; pass < p.passes; ++pass) {
      const auto key_at = [&](int u) { return shared.exchange[Sort::number<Items>(th, u)]; };
      Sort::rank<Items>(th, key_at, pass * Sort::bits, position, shared.sort);
      std::uint32_t key[Items];
      DREAM_UNROLL
      for (int u = 0; u < Items; ++u) key[u] = key_at(u);
      th.sync();
      DREAM_UNROLL
      for (int u = 0; u < Items; ++u) shared.exchange[position[u] >> 16] = position[u] & 0xffff;
      th.sync();
      DREAM_UNROLL
      for (int u = 0; u < Items; ++u) position[u] = (position[u] & 0xffff0000) | key_at(u);
      th.sync();
      DREAM_UNROLL
      for (int u = 0; u < Items; ++u) {
        shared.exchange[position[u] >> 16] = key[u];
        position[u] &= 0xffff;
      }
      th.sync();
    }
    detail::write_groups<Items>(
        th, p.groups, 0, p.rows.size, 0, position, [&](std::int64_t i) { return shared.exchange[i]; },
        shared.warp_groups);
  }
};

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

/// How many groups begin in each block of the sorted pairs.
struct CountGroups {
  static constexpr int threads = detail::DigitSort::threads;
  struct Params {
    SortedPairs sorted;
    index_t* groups = nullptr;  ///< one a block
  };
  struct Shared {
    BlockScratch<int, threads> scratch;
  };
  static int grid(const Params& p) { return p.sorted.blocks(); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    int mine = 0;
    DREAM_UNROLL
    for (int u = 0; u < SortedPairs::items; ++u) {
      const std::int64_t i = std::int64_t{th.block()} * SortedPairs::block + u * threads + th.thread();
      if (i >= p.sorted.rows.size) continue;
      const std::uint64_t key = p.sorted.sorted(th, i) >> 32;
      mine += static_cast<std::int64_t>(key) < p.sorted.limit && (i == 0 || p.sorted.sorted(th, i - 1) >> 32 != key);
    }
    const int all = block_sum(th, mine, shared.scratch);
    if (th.thread() == 0) th.store(p.groups + th.block(), all);
  }
};

/// The groups of the sorted pairs.
struct WriteGroups {
  static constexpr int threads = detail::DigitSort::threads;
  struct Params {
    SortedPairs sorted;
    const index_t* groups = nullptr;  ///< of CountGroups
    RowGroupsView out;
  };
  struct Shared {
    BlockScratch<int, threads> scratch;
    int warp_groups[detail::DigitSort::warps];
  };
  static int grid(const Params& p) { return p.sorted.blocks(); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    constexpr int items = SortedPairs::items;
    int before = 0;
    for (int b = th.thread(); b < th.block(); b += threads) before += th.load_readonly(p.groups + b);
    before = block_sum(th, before, shared.scratch);
    const std::int64_t start = std::int64_t{th.block()} * SortedPairs::block;
    std::uint32_t position[items];
    DREAM_UNROLL
    for (int u = 0; u < items; ++u) {
      const std::int64_t i = start + detail::DigitSort::number<items>(th, u);
      position[u] = i < p.sorted.rows.size ? static_cast<std::uint32_t>(p.sorted.sorted(th, i)) : 0;
    }
    detail::write_groups<items>(
        th, p.out, start, p.sorted.rows.size, before, position,
        [&](std::int64_t i) { return static_cast<std::uint32_t>(p.sorted.sorted(th, i) >> 32); }, shared.warp_groups);
  }
};

/// The first place of a batch whose row is outside 0 .. limit - 1, or -1; one block.
struct CheckRows {
  static constexpr int threads = 1024;
  static constexpr int each = 4;
  struct Params {
    VectorView<const index_t> rows;
    index_t limit = 0;
    index_t* first_bad = nullptr;
  };
  struct Shared {
    BlockScratch<int, threads> scratch;
  };
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    constexpr int none = 0x7fffffff;
    int first = none;
    for (std::int64_t start = th.thread(); start < p.rows.size; start += threads * each) {
      index_t row[each];
      DREAM_UNROLL
      for (int u = 0; u < each; ++u)
        row[u] = start + u * threads < p.rows.size ? th.load_readonly(p.rows.data + start + u * threads) : 0;
      DREAM_UNROLL
      for (int u = 0; u < each; ++u) {
        const std::int64_t k = start + u * threads;
        if (k < p.rows.size && k < first && (row[u] < 0 || row[u] >= p.limit)) first = static_cast<int>(k);
      }
    }
    first = -block_max(th, -first, shared.scratch);
    if (th.thread() == 0) th.store(p.first_bad, first == none ? -1 : first);
  }
};

/// Passes that sort row numbers below total_rows, and total_rows itself for those outside.
inline int row_groups_passes(std::int64_t total_rows) {
  int passes = 1;
  while ((total_rows >>= detail::DigitSort::bits) > 0) ++passes;
  return passes;
}

/// How many values of 8 bytes build_row_groups needs as workspace for batches of up to `rows` rows.
inline std::int64_t row_groups_workspace(std::int64_t rows) {
  if (rows <= BuildRowGroups<16>::limit) return 0;
  const std::int64_t blocks = (rows + SortedPairs::block - 1) / SortedPairs::block;
  return 2 * rows + (blocks * (detail::DigitSort::digits + 1) + 1) / 2;
}

struct RowGroupsArguments {
  /// Rows outside 0 .. groups.places.size - 1 belong to no group: their positions come after offsets[count].
  VectorView<const index_t> rows;
  RowGroupsView groups;
  /// Whether `groups` still is as the last call left it, as in a captured step. Else all of places is cleared first.
  bool built_before = false;
  std::uint64_t* workspace = nullptr;
};

/// Makes the groups of a batch. One launch for up to 16384 rows, one more where nothing was built before.
template <class Context>
void build_row_groups(Context& context, const RowGroupsArguments& a) {
  const RowGroupsView& groups = a.groups;
  if (!a.built_before) launch<ClearPlaces>(context, {groups.places});
  const int passes = row_groups_passes(groups.places.size);
  if (a.rows.size <= BuildRowGroups<4>::limit) {
    launch<BuildRowGroups<4>>(context, {a.rows, groups, a.built_before, passes});
    return;
  }
  if (a.rows.size <= BuildRowGroups<16>::limit) {
    launch<BuildRowGroups<16>>(context, {a.rows, groups, a.built_before, passes});
    return;
  }
  if (a.built_before) launch<PutBackPlaces>(context, {groups});
  SortedPairs pairs{a.rows, groups.places.size};
  std::uint64_t* buffers[] = {a.workspace, a.workspace + a.rows.size};
  pairs.counts = reinterpret_cast<index_t*>(a.workspace + 2 * a.rows.size);
  for (int pass = 0; pass < passes; ++pass) {
    const int shift = pass * detail::DigitSort::bits;
    launch<CountDigits>(context, {pairs, shift});
    launch<MoveByDigit>(context, {pairs, shift, buffers[pass % 2]});
    pairs.pairs = buffers[pass % 2];
  }
  index_t* block_groups = pairs.counts + std::int64_t{pairs.blocks()} * detail::DigitSort::digits;
  launch<CountGroups>(context, {pairs, block_groups});
  launch<WriteGroups>(context, {pairs, block_groups, groups});
}

}  // namespace dream::kernels
