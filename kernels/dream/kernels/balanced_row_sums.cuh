// The sums of row_sums.cuh where one row holds more than its share of the entries.
//
// A worker has a chunk of the merged list of row ends and entries, equally many each (Merrill and Garland, "Merge-based
// parallel sparse matrix-vector multiplication", SC 2016): a row that does not end in its chunk leaves a partial sum,
// which AddCarries adds in chunk order. Chunks depend on sizes alone. Carries add at most 2 d s bytes to the 32 d s of
// a chunk, d columns of s bytes.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/column_lanes.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_access.cuh>
#include <dream/kernels/row_sums.cuh>
#include <dream/kernels/spmm_plan.cuh>

namespace dream::kernels {

/// A RowSum by chunks of equally many row ends and entries.
template <class T>
struct ChunkedRowSum {
  RowSum<T> sum;
  /// Where the entries of each row of y begin in a list of them all: a.offsets, or what ListOffsets makes.
  const std::int64_t* offsets = nullptr;
  index_t chunks = 0;
  MatrixView<T> carries;          ///< chunks x cols: of each chunk the part of the row that does not end in it
  index_t* carry_rows = nullptr;  ///< chunks: that row of y, or -1

  DREAM_HOST_DEVICE detail::ColumnLanes lanes() const {
    return detail::ColumnLanes::of<T>(sum.y.cols, sum.packed() && takes_packs(carries));
  }
  DREAM_HOST_DEVICE std::int64_t chunk_items(std::int64_t items) const { return (items + chunks - 1) / chunks; }
};

/// The first pass: sums of all chunks. Item i + offsets[i + 1] of the merged list is the end of row i.
template <class T, bool Placed = false>
struct BalancedRowSums {
  static constexpr int threads = 128;
  using Params = ChunkedRowSum<T>;
  struct Shared {};
  static int grid(const Params& p) {
    const auto lanes = p.lanes();
    return p.sum.y.rows == 0 ? 0 : lanes.blocks(std::int64_t{p.chunks} * lanes.tiles, threads);
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const auto lanes = p.lanes();
    const index_t rows = p.sum.used_rows(th);
    const std::int64_t items = rows + th.load_readonly(p.offsets + rows), size = p.chunk_items(items);
    const auto worker = static_cast<index_t>(lanes.worker(th)),
               chunk = lanes.tiles == 1 ? worker : worker / lanes.tiles;
    const std::int64_t begin = chunk * size < items ? chunk * size : items;
    const std::int64_t end = begin + size < items ? begin + size : items;
    const index_t first_row = rows_ended(th, p.offsets, rows, begin, lanes.bits);
    if (chunk >= p.chunks) return;
    const index_t column = lanes.column(th, worker - chunk * lanes.tiles);
    if (column >= p.sum.y.cols) return;

    detail::with_row_sum_lane<Placed>(p.sum, lanes, column, [&](const auto& lane) {
      index_t i = first_row, carried = -1;
      std::int64_t e = begin - i;
      for (auto left = static_cast<int>(end - begin); left > 0; ++i) {
        const std::int64_t open = th.load_readonly(p.offsets + i + 1) - e;
        const int entries = open < left ? static_cast<int>(open) : left;
        std::int64_t at = e;
        if (p.sum.rows != nullptr && entries > 0)
          at += th.load_readonly(p.sum.a.offsets + p.sum.rows[i]) - th.load_readonly(p.offsets + i);
        const auto part = lane.entries_sum(th, at, entries);
        e += entries;
        left -= entries;
        if (left > 0) {
          lane.finish(th, i, part);
          --left;
        } else {
          carried = i;
          write(th, p.carries.row(chunk) + column, part);
        }
      }
      if (column == 0) th.store(p.carry_rows + chunk, carried);
    });
  }

 private:
  /// How many rows end among the first `items` items. The 2^bits lanes of a worker look at as many rows at once; all
  /// lanes of the warp take part.
  template <class Thread>
  DREAM_HOST_DEVICE static index_t rows_ended(const Thread& th, const std::int64_t* offsets, index_t rows,
                                              std::int64_t items, int bits) {
    const int lanes = 1 << bits, mine = th.lane() & (lanes - 1);
    const std::uint32_t worker_lanes = 0xffffffffu >> (warp_lanes - lanes);
    std::int64_t ended = 0;
    for (std::int64_t open = rows; open > 0;) {
      const std::int64_t step = open / (lanes + 1) + 1, row = ended + (mine + 1) * step - 1;
      const bool ends = row < rows && row + th.load_readonly(offsets + row + 1) < items;
      ended += step * th.popcount((th.ballot(ends) >> (th.lane() - mine)) & worker_lanes);
      open = step - 1;
    }
    return static_cast<index_t>(ended);
  }
};

/// The second pass: a block adds the parts of one row, each of its groups of lanes every so manyth, groups in order.
template <class T>
struct AddCarries {
  static constexpr int threads = 128;
  using Params = ChunkedRowSum<T>;
  struct Shared {
    alignas(16) T part[threads * pack_width<T>];
  };
  static int grid(const Params& p) {
    return p.sum.y.rows == 0 ? 0 : static_cast<int>(std::int64_t{p.chunks} * p.lanes().tiles);
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const auto lanes = p.lanes();
    const index_t chunk = static_cast<index_t>(lanes.row(th.block())), tile = th.block() - chunk * lanes.tiles;
    const index_t row = th.load_readonly(p.carry_rows + chunk);
    if (row < 0 || (chunk > 0 && th.load_readonly(p.carry_rows + chunk - 1) == row)) return;
    const index_t rows = p.sum.used_rows(th);
    const std::int64_t items = rows + th.load_readonly(p.offsets + rows);
    const auto last = static_cast<index_t>((row + th.load_readonly(p.offsets + row + 1)) / p.chunk_items(items));
    detail::with_width<T>(lanes, [&]<int N>(Width<N>) { add<N>(th, p, shared, lanes, tile, row, chunk, last); });
  }

 private:
  template <int N, class Thread>
  DREAM_HOST_DEVICE static void add(const Thread& th, const Params& p, Shared& shared, const detail::ColumnLanes& lanes,
                                    index_t tile, index_t row, index_t first, index_t last) {
    const index_t column = lanes.column(th, tile);
    const int groups = threads >> lanes.bits, group = th.thread() >> lanes.bits;
    Pack<T, N> sum{};
    if (column < p.sum.y.cols) {
      for (index_t c = first + group; c < last; c += groups) add_values<N>(th, p.carries.row(c) + column, sum);
    }
    if (last - first > 1) {
      Pack<T, N>* parts = as_pack<N>(shared.part);
      parts[th.thread()] = sum;
      th.sync();
      if (group == 0)
        for (int g = 1; g < groups && g < last - first; ++g) {
          const Pack<T, N> part = parts[th.thread() + (g << lanes.bits)];
          DREAM_UNROLL
          for (int n = 0; n < N; ++n) sum[n] += part[n];
        }
    }
    if (group != 0 || column >= p.sum.y.cols) return;
    DREAM_UNROLL
    for (int n = 0; n < N; ++n) sum[n] *= p.sum.scale;
    write<N>(th, p.sum.y.row(row) + column, sum, T{1});
  }
};

/// out[k] = how many entries the rows before rows[k] of the list have, out[rows.size] all of them, in one block. A row
/// outside 0 .. a_rows - 1 has none.
struct ListOffsets {
  static constexpr int threads = 1024;
  static constexpr int each = 8;
  struct Params {
    VectorView<const index_t> rows;
    const std::int64_t* a_offsets = nullptr;
    index_t a_rows = 0;
    std::int64_t* out = nullptr;  ///< rows.size + 1
  };
  struct Shared {
    BlockScratch<std::int64_t, threads> scratch;
  };
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    std::int64_t running = 0;
    for (std::int64_t start = 0; start < p.rows.size; start += threads * each) {
      const std::int64_t first = start + th.thread() * each;
      std::int64_t entries[each], sum = 0;
      DREAM_UNROLL
      for (int u = 0; u < each; ++u) {
        const index_t r = first + u < p.rows.size ? th.load_readonly(p.rows.data + first + u) : -1;
        const bool there = r >= 0 && r < p.a_rows;
        entries[u] = there ? th.load_readonly(p.a_offsets + r + 1) - th.load_readonly(p.a_offsets + r) : 0;
        sum += entries[u];
      }
      const Scanned<std::int64_t> scanned = block_scan(th, sum, AddValues{}, shared.scratch);
      std::int64_t before = running + scanned.before;
      DREAM_UNROLL
      for (int u = 0; u < each; ++u) {
        if (first + u < p.rows.size) th.store(p.out + first + u, before);
        before += entries[u];
      }
      running += scanned.total;
    }
    if (th.thread() == 0) th.store(p.out + p.rows.size, running);
  }
};

namespace detail {

template <class Context, class T>
void launch_balanced(Context& context, const RowSum<T>& sum, const std::int64_t* offsets, std::int64_t chunks,
                     const RowSumWorkspace<T>& workspace) {
  const auto rows = static_cast<index_t>(chunks);
  const ChunkedRowSum<T> chunked{
      sum, offsets, rows, {workspace.carries, rows, sum.y.cols, sum.y.cols}, workspace.carry_rows};
  if (sum.places == nullptr)
    launch<BalancedRowSums<T>>(context, chunked);
  else
    launch<BalancedRowSums<T, true>>(context, chunked);
  launch<AddCarries<T>>(context, chunked);
}

/// The mapping that suits the plan.
template <class Context, class T>
void launch_row_sum(Context& context, const RowSum<T>& sum, const SpmmPlan& plan, const RowSumWorkspace<T>& workspace) {
  const std::int64_t items = sum.rows == nullptr ? plan.items() : plan.items_of_list(sum.y.rows);
  if (sum.a.offsets == nullptr || sum.y.empty() || !plan.balanced(items)) {
    if (sum.places == nullptr)
      launch<RowSums<T>>(context, sum);
    else
      launch<RowSums<T, true>>(context, sum);
    return;
  }
  const std::int64_t* offsets = sum.a.offsets;
  if (sum.rows != nullptr) {
    offsets = workspace.list_offsets;
    launch<ListOffsets>(context, {{sum.rows, sum.y.rows}, sum.a.offsets, sum.a.rows, workspace.list_offsets});
  }
  launch_balanced(context, sum, offsets, SpmmPlan::chunks(items), workspace);
}

}  // namespace detail

}  // namespace dream::kernels
