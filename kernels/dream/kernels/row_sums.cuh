// The sum that sparse products and the gathers of training batches are, row by row:
//
//   y[k] = scale (base[k] + sum_e values[e] x[indices[e]]) + beta y[k],   e over the entries of a row r(k) of A,
//
// where r(k) = k or rows[k], `base` may be a compact matrix or a sum of layers, and x may be compact by places.
//
// Mapping. RowSums gives a worker a row: 2^n lanes of a warp along the columns of x (column_lanes.cuh), which keep 8
// entries in flight. Index and value are loaded by all lanes of a row from one address, which costs what a shuffle
// would and needs no lanes in step. Each y is written once, in entry order. Where one row holds more than its share,
// balanced_row_sums.cuh shares it out.
//
// Floor, entries E, n rows, d columns, s bytes a value: E (4 + s + d s) + n (8 + d s) bytes and 2 E d operations, a
// quarter to half an operation a byte: the memory's or, where x fits there, the L2 cache's rate.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/column_lanes.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_access.cuh>

namespace dream::kernels {

/// How many inner layers a RowSum can add to its base.
inline constexpr int inner_layer_limit = 8;

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
      if (b >= 0) add_values<N>(th, p.base.row(b) + column, sum);
      for (int l = 0; l < p.layer_count; ++l) add_values<N>(th, p.layers[l].row(r) + column, sum);
    }
    const T scale = r >= 0 ? p.scale : row_not_there<T>;
    DREAM_UNROLL
    for (int n = 0; n < N; ++n) sum[n] *= scale;
    write<N>(th, p.y.row(k) + column, sum, p.beta);
  }
};

/// body(RowSumLane) for a lane at `column`.
template <bool Placed, class T, class Body>
DREAM_HOST_DEVICE void with_row_sum_lane(const RowSum<T>& p, const ColumnLanes& lanes, index_t column,
                                         const Body& body) {
  with_width<T>(lanes, [&]<int N>(Width<N>) { body(RowSumLane<T, N, Placed>{p, column}); });
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
    detail::with_row_sum_lane<Placed>(p, lanes, column, [&](const auto& lane) {
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

}  // namespace dream::kernels
