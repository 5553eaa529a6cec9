// Sparse times dense on a device, and the row gathers and scatters of training batches. All of it is one sum,
//
//   y[k] = scale (base[k] + sum_e values[e] x[indices[e]]) + beta y[k],   e over the entries of a row r(k) of A,
//
// where r(k) = k or rows[k], `base` may be a compact matrix or a sum of layers, and x may be compact by places:
//   spmm                   Y = alpha A X + beta Y                             (backward in X: the same with A^T)
//   spmm_rows              Y[k] = A[rows[k]] X
//   spmm_places            Y = alpha A S + beta Y, S compact
//   propagated_mean_rows   out[k] = (ego[r] + layers[.][r] + A[r] last) / (L + 1), r = rows[k]
//   propagated_gradient    out = scale (G + A H) + beta out, G compact, H dense or compact
//   sum_groups             sums[g] = sum of dy at the positions of group g    (backward of a gather, then
//   ScatterGroups)
//
// Mapping. 2^n lanes of a warp lie along the columns of x, 16 bytes each (4 or 8 bytes where x is not aligned), and
// keep 8 entries in flight; columns beyond 32 lanes are further workers. Index and value are loaded by all lanes of a
// row from one address, which costs what a shuffle would and needs no lanes in step. Each y is written once, in entry
// order. RowSums gives a worker a row. BalancedRowSums gives it a chunk of the merged list of row ends and entries,
// equally many each (Merrill and Garland, "Merge-based parallel sparse matrix-vector multiplication", SC 2016): a row
// that does not end in its chunk leaves a partial sum, which AddCarries adds in chunk order. Chunks depend on sizes
// alone.
//
// Floor, entries E, n rows, d columns, s bytes a value: E (4 + s + d s) + n (8 + d s) bytes and 2 E d operations, a
// quarter to half an operation a byte: the memory's or, where x fits there, the L2 cache's rate. Carries add at most
// 2 d s bytes to the 32 d s of a chunk.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include <dream/core/error.hpp>
#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

/// How many inner layers propagated_mean_rows can add.
inline constexpr int inner_layer_limit = 8;

namespace detail {

/// What a row that is not there gives. A variable, since device code may not call std::numeric_limits.
template <class T>
inline constexpr T row_not_there = std::numeric_limits<T>::quiet_NaN();

/// How the lanes of a warp lie along the columns: 2^bits lanes of `width` columns each, `tiles` times.
struct ColumnLanes {
  int bits;
  int width;
  index_t tiles;

  template <class T>
  DREAM_HOST_DEVICE static ColumnLanes of(index_t cols, bool packed) {
    ColumnLanes lanes{0, packed && cols % pack_width<T> == 0 ? pack_width<T> : 1, 0};
    const index_t units = cols / lanes.width;
    while (lanes.bits < 5 && (index_t{1} << lanes.bits) < units) ++lanes.bits;
    lanes.tiles = units / warp_lanes + (units % warp_lanes != 0 ? 1 : 0);
    return lanes;
  }
  /// Blocks for as many workers.
  int blocks(std::int64_t workers, int threads) const {
    const std::int64_t here = threads >> bits;
    return static_cast<int>((workers + here - 1) / here);
  }
  template <class Thread>
  DREAM_HOST_DEVICE std::int64_t worker(const Thread& th) const {
    return (std::int64_t{th.block()} * Thread::block_threads() + th.thread()) >> bits;
  }
  template <class Thread>
  DREAM_HOST_DEVICE index_t column(const Thread& th, std::int64_t tile) const {
    return static_cast<index_t>(tile * warp_lanes + (th.lane() & ((1 << bits) - 1))) * width;
  }
  DREAM_HOST_DEVICE std::int64_t row(std::int64_t worker) const { return tiles == 1 ? worker : worker / tiles; }
};

template <int N, class Thread, class T>
DREAM_HOST_DEVICE void add_row(const Thread& th, const T* from, Pack<T, N>& sum) {
  const Pack<T, N> row = th.load_readonly(as_pack<N>(from));
  DREAM_UNROLL
  for (int n = 0; n < N; ++n) sum[n] += row[n];
}

/// to = value + beta to; `to` is not read when beta is 0.
template <int N, class Thread, class T>
DREAM_HOST_DEVICE void store_row(const Thread& th, T* to, Pack<T, N> value, T beta) {
  if (beta != T{0}) {
    const Pack<T, N> old = th.load(as_pack<N>(to));
    DREAM_UNROLL
    for (int n = 0; n < N; ++n) value[n] += beta * old[n];
  }
  th.store(as_pack<N>(to), value);
}

}  // namespace detail

/// y[k] = scale (base + sum of entries) + beta y[k]; see the top of the file. Rows outside 0 .. a.rows - 1 give NaN. A
/// row has below 2^31 entries.
template <class T>
struct RowSum {
  CsrView<T> a;                          ///< offsets null: no product; values null: ones
  MatrixView<const T> x;                 ///< what the columns of a stand for; its stride is below 2^31
  const index_t* places = nullptr;       ///< column c is row places[c] of x, or zero where negative; null: row c
  const index_t* rows = nullptr;         ///< the rows of a (and of base, layers) that y has; null: all
  const index_t* count = nullptr;        ///< how many rows of y are asked for, on the device; null: all
  MatrixView<const T> base;              ///< data null: none
  const index_t* base_places = nullptr;  ///< row r is row base_places[r] of base, or zero; null: row r
  MatrixView<const T> layers[inner_layer_limit]{};  ///< added to base
  int layer_count = 0;
  T scale = T{1};
  T beta = T{0};
  MatrixView<T> y;

  DREAM_HOST_DEVICE bool packed() const {
    bool all = takes_packs(y) && (a.offsets == nullptr || takes_packs(x));
    if (base.data != nullptr) all = all && takes_packs(base);
    for (int l = 0; l < layer_count; ++l) all = all && takes_packs(layers[l]);
    return all;
  }
  template <class Thread>
  DREAM_HOST_DEVICE index_t used_rows(const Thread& th) const {
    if (count == nullptr) return y.rows;
    const index_t used = th.load(count);
    return used < y.rows ? used : y.rows;
  }
  /// The row of a that row k of y asks for, or -1.
  template <class Thread>
  DREAM_HOST_DEVICE index_t row_of(const Thread& th, index_t k) const {
    if (rows == nullptr) return k;
    const index_t r = th.load_readonly(rows + k);
    return r >= 0 && r < a.rows ? r : -1;
  }
};

namespace detail {

/// The two inner parts of every row sum, for a lane at `column` with N columns.
template <class T, int N, bool Placed>
struct RowSumLane {
  /// Entries that are looked up at a time; as many as registers hold without spilling.
  static constexpr int flight = sizeof(T) == 8 && !Placed ? 7 : 8;
  static constexpr int held = Placed ? flight / 2 : flight;  ///< rows that are asked for before the first is needed
  static_assert(flight % held == 0);

  const RowSum<T>& p;
  index_t column;

  /// Adds up to `flight` entries to sum, all of them where Whole.
  template <bool Whole, class Thread>
  DREAM_HOST_DEVICE void add_batch(const Thread& th, std::int64_t e, int left, Pack<T, N>& sum) const {
    index_t from[flight];
    DREAM_UNROLL
    for (int u = 0; u < flight; ++u) from[u] = Whole || u < left ? th.load_readonly(p.a.indices + e + u) : -1;
    unsigned there = (1u << flight) - 1;
    if constexpr (Placed) {
      DREAM_UNROLL
      for (int u = 0; u < flight; ++u) {
        if (Whole || u < left) from[u] = th.load_readonly(p.places + from[u]);
        if (from[u] < 0) there ^= 1u << u;
      }
    } else if constexpr (!Whole) {
      there >>= flight - left;
    }
    const T* x = p.x.data + column;
    const auto stride = static_cast<index_t>(p.x.stride);  // one instruction less than a product of 64 bits
    DREAM_UNROLL
    for (int begin = 0; begin < flight; begin += held) {
      Pack<T, N> row[held];
      DREAM_UNROLL
      for (int u = 0; u < held; ++u)
        if ((there >> (begin + u) & 1) != 0)
          row[u] = th.load_readonly(as_pack<N>(x + std::int64_t{from[begin + u]} * stride));
      T value[held];
      DREAM_UNROLL
      for (int u = 0; u < held; ++u) {
        const bool weighted = p.a.values != nullptr && (Whole || begin + u < left);
        value[u] = weighted ? th.load_readonly(p.a.values + e + begin + u) : T{1};
      }
      DREAM_UNROLL
      for (int u = 0; u < held; ++u) {
        if ((there >> (begin + u) & 1) == 0) continue;
        DREAM_UNROLL
        for (int n = 0; n < N; ++n) sum[n] += value[u] * row[u][n];
      }
    }
  }
  /// The sum of `entries` entries from entry e on.
  template <class Thread>
  DREAM_HOST_DEVICE Pack<T, N> entries_sum(const Thread& th, std::int64_t e, int entries) const {
    Pack<T, N> sum{};
    int left = entries;
    for (; left >= flight; left -= flight, e += flight) add_batch<true>(th, e, flight, sum);
    if (left > 0) add_batch<false>(th, e, left, sum);
    return sum;
  }
  /// Row k of y from the sum of its entries.
  template <class Thread>
  DREAM_HOST_DEVICE void finish(const Thread& th, index_t k, Pack<T, N> sum) const {
    const index_t r = p.row_of(th, k);
    if (p.base.data != nullptr && r >= 0) {
      const index_t b = p.base_places == nullptr ? r : th.load_readonly(p.base_places + r);
      if (b >= 0) add_row<N>(th, p.base.row(b) + column, sum);
      for (int l = 0; l < p.layer_count; ++l) add_row<N>(th, p.layers[l].row(r) + column, sum);
    }
    const T scale = r >= 0 ? p.scale : row_not_there<T>;
    DREAM_UNROLL
    for (int n = 0; n < N; ++n) sum[n] *= scale;
    store_row<N>(th, p.y.row(k) + column, sum, p.beta);
  }
};

/// Calls body(RowSumLane) for the lane's width.
template <bool Placed, class T, class Body>
DREAM_HOST_DEVICE void with_row_sum_lane(const RowSum<T>& p, int width, index_t column, const Body& body) {
  if (width == 1)
    body(RowSumLane<T, 1, Placed>{p, column});
  else
    body(RowSumLane<T, pack_width<T>, Placed>{p, column});
}

}  // namespace detail

/// A RowSum by rows: a worker (2^n lanes) a row, or a tile of columns of a row. Placed: the sum has places.
template <class T, bool Placed = false>
struct RowSums {
  static constexpr int threads = 128;
  using Params = RowSum<T>;
  struct Shared {};
  static int grid(const Params& p) {
    const auto lanes = detail::ColumnLanes::of<T>(p.y.cols, p.packed());
    return lanes.blocks(std::int64_t{p.y.rows} * lanes.tiles, threads);
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const auto lanes = detail::ColumnLanes::of<T>(p.y.cols, p.packed());
    const std::int64_t worker = lanes.worker(th), k = lanes.row(worker);
    const index_t column = lanes.column(th, worker - k * lanes.tiles);
    if (k >= p.used_rows(th) || column >= p.y.cols) return;
    detail::with_row_sum_lane<Placed>(p, lanes.width, column, [&](const auto& lane) {
      const index_t r = p.row_of(th, static_cast<index_t>(k));
      std::int64_t first = 0, last = 0;
      if (p.a.offsets != nullptr && r >= 0) {
        first = th.load_readonly(p.a.offsets + r);
        last = th.load_readonly(p.a.offsets + r + 1);
      }
      lane.finish(th, static_cast<index_t>(k), lane.entries_sum(th, first, static_cast<int>(last - first)));
    });
  }
};

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

    detail::with_row_sum_lane<Placed>(p.sum, lanes.width, column, [&](const auto& lane) {
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
          store_part(th, p.carries.row(chunk) + column, part);
        }
      }
      if (column == 0) th.store(p.carry_rows + chunk, carried);
    });
  }

 private:
  template <class Thread, int N>
  DREAM_HOST_DEVICE static void store_part(const Thread& th, T* to, const Pack<T, N>& part) {
    th.store(as_pack<N>(to), part);
  }
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
    if (lanes.width == 1)
      add<1>(th, p, shared, lanes, tile, row, chunk, last);
    else
      add<pack_width<T>>(th, p, shared, lanes, tile, row, chunk, last);
  }

 private:
  template <int N, class Thread>
  DREAM_HOST_DEVICE static void add(const Thread& th, const Params& p, Shared& shared, const detail::ColumnLanes& lanes,
                                    index_t tile, index_t row, index_t first, index_t last) {
    const index_t column = lanes.column(th, tile);
    const int groups = threads >> lanes.bits, group = th.thread() >> lanes.bits;
    Pack<T, N> sum{};
    if (column < p.sum.y.cols) {
      for (index_t c = first + group; c < last; c += groups) detail::add_row<N>(th, p.carries.row(c) + column, sum);
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
    detail::store_row<N>(th, p.sum.y.row(row) + column, sum, T{1});
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

/// Y = X[rows]; a row outside X gives NaN. 2 s d + 4 bytes a row; a worker has four rows in flight.
template <class T>
struct GatherRows {
  static constexpr int threads = 128;
  static constexpr int flight = 4;
  struct Params {
    MatrixView<const T> x;
    VectorView<const index_t> rows;
    MatrixView<T> y;

    DREAM_HOST_DEVICE detail::ColumnLanes lanes() const {
      return detail::ColumnLanes::of<T>(y.cols, takes_packs(x) && takes_packs(y));
    }
  };
  struct Shared {};
  static int grid(const Params& p) {
    const auto lanes = p.lanes();
    return lanes.blocks((p.rows.size * lanes.tiles + flight - 1) / flight, threads);
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const auto lanes = p.lanes();
    if (lanes.width == 1)
      copy<1>(th, p, lanes);
    else
      copy<pack_width<T>>(th, p, lanes);
  }

 private:
  template <int N, class Thread>
  DREAM_HOST_DEVICE static void copy(const Thread& th, const Params& p, const detail::ColumnLanes& lanes) {
    const std::int64_t workers = std::int64_t{th.grid_blocks()} * (threads >> lanes.bits);
    index_t from[flight], column[flight];
    std::int64_t to[flight];
    DREAM_UNROLL
    for (int u = 0; u < flight; ++u) {
      const std::int64_t worker = lanes.worker(th) + u * workers;
      to[u] = lanes.row(worker);
      column[u] = lanes.column(th, worker - to[u] * lanes.tiles);
      if (column[u] >= p.y.cols) to[u] = p.rows.size;
      from[u] = to[u] < p.rows.size ? th.load_readonly(p.rows.data + to[u]) : -1;
    }
    Pack<T, N> row[flight];
    DREAM_UNROLL
    for (int u = 0; u < flight; ++u) {
      DREAM_UNROLL
      for (int n = 0; n < N; ++n) row[u][n] = detail::row_not_there<T>;
      if (from[u] >= 0 && from[u] < p.x.rows) row[u] = th.load_readonly(as_pack<N>(p.x.row(from[u]) + column[u]));
    }
    DREAM_UNROLL
    for (int u = 0; u < flight; ++u)
      if (to[u] < p.rows.size) th.store(as_pack<N>(p.y.row(static_cast<index_t>(to[u])) + column[u]), row[u]);
  }
};

/// dX = beta dX + the rows of `sums` at the groups' rows (docs of RowGroups: dream/kernels/row_groups.cuh). With beta 1
/// the groups' rows alone are touched, 3 s d bytes each, else all rows of dX are written.
template <class T>
struct ScatterGroups {
  static constexpr int threads = 128;
  static constexpr int flight = 4;
  struct Params {
    const index_t* count = nullptr;        ///< groups, on the device
    VectorView<const index_t> group_rows;  ///< room for at least as many
    VectorView<const index_t> places;      ///< of every row of dx: its group, or negative
    MatrixView<const T> sums;
    T beta = T{0};
    MatrixView<T> dx;

    DREAM_HOST_DEVICE bool by_groups() const { return beta == T{1}; }
    DREAM_HOST_DEVICE std::int64_t items() const { return by_groups() ? group_rows.size : std::int64_t{dx.rows}; }
    DREAM_HOST_DEVICE detail::ColumnLanes lanes() const {
      return detail::ColumnLanes::of<T>(dx.cols, takes_packs(sums) && takes_packs(dx));
    }
  };
  struct Shared {};
  static int grid(const Params& p) {
    const auto lanes = p.lanes();
    return lanes.blocks((p.items() * lanes.tiles + flight - 1) / flight, threads);
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const auto lanes = p.lanes();
    if (lanes.width == 1)
      scatter<1>(th, p, lanes);
    else
      scatter<pack_width<T>>(th, p, lanes);
  }

 private:
  template <int N, class Thread>
  DREAM_HOST_DEVICE static void scatter(const Thread& th, const Params& p, const detail::ColumnLanes& lanes) {
    const std::int64_t workers = std::int64_t{th.grid_blocks()} * (threads >> lanes.bits);
    const index_t count = th.load_readonly(p.count);
    index_t from[flight], to[flight], column[flight];
    DREAM_UNROLL
    for (int u = 0; u < flight; ++u) {
      const std::int64_t worker = lanes.worker(th) + u * workers, item = lanes.row(worker);
      column[u] = lanes.column(th, worker - item * lanes.tiles);
      from[u] = to[u] = -1;
      if (column[u] >= p.dx.cols || item >= (p.by_groups() ? count : p.items())) continue;
      if (p.by_groups()) {
        from[u] = static_cast<index_t>(item);
        to[u] = th.load_readonly(p.group_rows.data + item);
        if (to[u] >= p.dx.rows) to[u] = -1;
      } else {
        from[u] = th.load_readonly(p.places.data + item);
        to[u] = static_cast<index_t>(item);
      }
    }
    Pack<T, N> row[flight] = {};
    DREAM_UNROLL
    for (int u = 0; u < flight; ++u)
      if (to[u] >= 0 && from[u] >= 0) row[u] = th.load_readonly(as_pack<N>(p.sums.row(from[u]) + column[u]));
    DREAM_UNROLL
    for (int u = 0; u < flight; ++u)
      if (to[u] >= 0) detail::store_row<N>(th, p.dx.row(to[u]) + column[u], row[u], p.beta);
  }
};

/// What is measured of a matrix once, to cut its sums well.
struct SpmmPlan {
  index_t rows = 0;
  std::int64_t entries = 0;
  std::int64_t longest_row = 0;

  /// The longest row that a worker may have to itself in a sum of `items` row ends and entries: not much longer than
  /// what each of a large device's workers has to do.
  static std::int64_t longest_unsplit(std::int64_t items) { return std::max<std::int64_t>(128, items / 16384); }
  bool balanced(std::int64_t items) const { return longest_row > longest_unsplit(items); }
  /// Chunks of at least 32 items, and no more than their carries may take memory for.
  static index_t chunks(std::int64_t items) {
    return static_cast<index_t>(std::clamp<std::int64_t>((items + 31) / 32, 1, 32768));
  }
  std::int64_t items() const { return rows + entries; }
  /// About how many items a list of rows has. Batches draw rows by their entries, so twice the mean of all.
  std::int64_t items_of_list(std::int64_t listed) const {
    return rows == 0 ? listed : listed * (1 + 2 * entries / rows);
  }
};

/// The plan of a matrix of `rows` rows from its offsets, in host memory.
inline SpmmPlan make_spmm_plan(const std::int64_t* offsets, index_t rows) {
  SpmmPlan plan{rows, rows == 0 ? 0 : offsets[rows], 0};
  for (index_t i = 0; i < rows; ++i) plan.longest_row = std::max(plan.longest_row, offsets[i + 1] - offsets[i]);
  return plan;
}

/// How many values a sum's workspace needs.
struct RowSumSpace {
  std::int64_t carries = 0;
  std::int64_t carry_rows = 0;
  std::int64_t list_offsets = 0;
};

/// A sum's workspace, on the device; aligned to 16 bytes, or sums slow down.
template <class T>
struct RowSumWorkspace {
  T* carries = nullptr;
  index_t* carry_rows = nullptr;
  std::int64_t* list_offsets = nullptr;
};

/// For sums over all rows of a matrix: spmm, spmm_places, propagated_gradient.
inline RowSumSpace row_sum_workspace(const SpmmPlan& plan, index_t cols) {
  if (!plan.balanced(plan.items())) return {};
  const index_t chunks = SpmmPlan::chunks(plan.items());
  return {std::int64_t{chunks} * cols, chunks, 0};
}
/// For sums over up to `listed` rows of it: spmm_rows, propagated_mean_rows.
inline RowSumSpace listed_row_sum_workspace(const SpmmPlan& plan, std::int64_t listed, index_t cols) {
  if (!plan.balanced(0)) return {};  // fewer rows may be balanced where more are not
  const index_t chunks = SpmmPlan::chunks(plan.items_of_list(listed));
  return {std::int64_t{chunks} * cols, chunks, listed + 1};
}
/// For sum_groups over up to so many positions of a batch. Groups are short: small chunks keep many workers busy.
inline RowSumSpace sum_groups_workspace(std::int64_t positions, index_t cols) {
  const std::int64_t chunks = std::clamp<std::int64_t>((positions + 3) / 4, 1, 32768);
  return {chunks * cols, chunks, 0};
}

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

/// Y = alpha A X + beta Y.
template <class T>
struct SpmmArguments {
  T alpha = T{1};
  CsrView<T> a;
  MatrixView<const T> x;
  T beta = T{0};
  MatrixView<T> y;
  SpmmPlan plan;                 ///< of a
  RowSumWorkspace<T> workspace;  ///< of row_sum_workspace
};
template <class Context, class T>
void spmm(Context& context, const SpmmArguments<T>& p) {
  RowSum<T> sum;
  sum.a = p.a;
  sum.x = p.x;
  sum.scale = p.alpha;
  sum.beta = p.beta;
  sum.y = p.y;
  detail::launch_row_sum(context, sum, p.plan, p.workspace);
}

/// Y[k] = A[rows[k]] X.
template <class T>
struct SpmmRowsArguments {
  CsrView<T> a;
  VectorView<const index_t> rows;
  MatrixView<const T> x;
  MatrixView<T> y;
  SpmmPlan plan;                 ///< of a
  RowSumWorkspace<T> workspace;  ///< of listed_row_sum_workspace
};
template <class Context, class T>
void spmm_rows(Context& context, const SpmmRowsArguments<T>& p) {
  RowSum<T> sum;
  sum.a = p.a;
  sum.x = p.x;
  sum.rows = p.rows.data;
  sum.y = p.y;
  detail::launch_row_sum(context, sum, p.plan, p.workspace);
}

/// Y = alpha A S + beta Y, where column c of A is row places[c] of x, or a zero row where that is negative.
template <class T>
struct SpmmPlacesArguments {
  T alpha = T{1};
  CsrView<T> a;
  VectorView<const index_t> places;
  MatrixView<const T> x;
  T beta = T{0};
  MatrixView<T> y;
  SpmmPlan plan;                 ///< of a
  RowSumWorkspace<T> workspace;  ///< of row_sum_workspace
};
template <class Context, class T>
void spmm_places(Context& context, const SpmmPlacesArguments<T>& p) {
  RowSum<T> sum;
  sum.a = p.a;
  sum.x = p.x;
  sum.places = p.places.data;
  sum.scale = p.alpha;
  sum.beta = p.beta;
  sum.y = p.y;
  detail::launch_row_sum(context, sum, p.plan, p.workspace);
}

/// out[k] = (ego[r] + inner[0][r] + .. + inner[L - 2][r] + A[r] last) / (L + 1), r = rows[k]; L = 0: ego[r].
template <class T>
struct PropagatedMeanRowsArguments {
  int layers = 0;  ///< L
  CsrView<T> graph;
  VectorView<const index_t> rows;
  MatrixView<const T> ego;
  MatrixView<const T> inner[inner_layer_limit]{};
  MatrixView<const T> last;
  MatrixView<T> out;
  SpmmPlan plan;                 ///< of graph
  RowSumWorkspace<T> workspace;  ///< of listed_row_sum_workspace
};
template <class Context, class T>
void propagated_mean_rows(Context& context, const PropagatedMeanRowsArguments<T>& p) {
  DREAM_EXPECT(p.layers >= 0 && p.layers - 1 <= inner_layer_limit, "the mean of ", p.layers,
               " propagated layers, of which at most ", inner_layer_limit + 1, " can be added on a device");
  RowSum<T> sum;
  if (p.layers > 0) {
    sum.a = p.graph;
    sum.x = p.last;
  }
  sum.a.rows = p.ego.rows;
  sum.rows = p.rows.data;
  sum.base = p.ego;
  for (int l = 0; l + 1 < p.layers; ++l) sum.layers[sum.layer_count++] = p.inner[l];
  sum.scale = T{1} / static_cast<T>(p.layers + 1);
  sum.y = p.out;
  detail::launch_row_sum(context, sum, p.plan, p.workspace);
}

/// out = scale (G + A H) + beta out: row i of G is row places[i] of sums, row c of H that of h, or, where h has no
/// data, row other_places[c] of other_sums; zero where a place is negative. L = 0: no product.
template <class T>
struct PropagatedGradientArguments {
  int layers = 0;  ///< L
  CsrView<T> graph;
  VectorView<const index_t> places;
  MatrixView<const T> sums;
  VectorView<const index_t> other_places;
  MatrixView<const T> other_sums;
  MatrixView<const T> h;
  T scale = T{1};
  T beta = T{0};
  MatrixView<T> out;
  SpmmPlan plan;                 ///< of graph
  RowSumWorkspace<T> workspace;  ///< of row_sum_workspace
};
template <class Context, class T>
void propagated_gradient(Context& context, const PropagatedGradientArguments<T>& p) {
  RowSum<T> sum;
  if (p.layers > 0) {
    sum.a = p.graph;
    sum.x = p.h.data == nullptr ? p.other_sums : p.h;
    if (p.h.data == nullptr) sum.places = p.other_places.data;
  }
  sum.base = p.sums;
  sum.base_places = p.places.data;
  sum.scale = p.scale;
  sum.beta = p.beta;
  sum.y = p.out;
  detail::launch_row_sum(context, sum, p.plan, p.workspace);
}

/// Row g of sums = the rows of dy at positions offsets[g] .. offsets[g + 1] - 1 of `positions`, added in that order,
/// for g < *count; later rows are left alone.
template <class T>
struct SumGroupsArguments {
  const index_t* count = nullptr;         ///< groups, on the device
  const std::int64_t* offsets = nullptr;  ///< *count + 1, up to all positions
  VectorView<const index_t> positions;
  MatrixView<const T> dy;
  MatrixView<T> sums;            ///< as many rows as there can be groups
  RowSumWorkspace<T> workspace;  ///< of sum_groups_workspace
};
template <class Context, class T>
void sum_groups(Context& context, const SumGroupsArguments<T>& p) {
  RowSum<T> sum;
  sum.a = {p.sums.rows, static_cast<index_t>(p.positions.size), p.offsets, p.positions.data, nullptr};
  sum.x = p.dy;
  sum.count = p.count;
  sum.y = p.sums;
  detail::launch_balanced(context, sum, p.offsets, sum_groups_workspace(p.positions.size, p.sums.cols).carry_rows,
                          p.workspace);
}

}  // namespace dream::kernels
