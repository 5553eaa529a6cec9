// The distinct rows of a batch, ascending, and the batch positions of each: what turns the backward of a gather (a
// scatter with collisions) into a gather again. From rows[0 .. b):
//
//   group_rows   the distinct rows, ascending            count     how many
//   positions    0 .. b - 1 by row, ascending in a row   offsets   where the positions of each group begin
//   places       of every row of the whole matrix: its group, or -1
//
// Mapping. A stable radix sort of (row, position), as many passes as row numbers have bytes (digit_sort.cuh). Up to
// 16384 rows one block does everything in shared memory, in one launch; beyond, blocks of 4096 sort in two launches a
// pass and two more make the groups. Integers only: the result depends on nothing but the input.
//
// Floor: 12 bytes a position and pass plus 20; what counts is the chain of passes, some microseconds each.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/digit_sort.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_places.cuh>

namespace dream::kernels {

namespace detail {

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

}  // namespace detail

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
