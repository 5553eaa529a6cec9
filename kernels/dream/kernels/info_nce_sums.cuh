// The first pass of InfoNCE (contrastive_alignment.cuh) over the similarities: the rows' sums of 2^s and the columns',
// and the loss out of them.
//
// Row sums run in registers, column sums in the block's own part of the workspace.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/info_nce_tile.cuh>
#include <dream/kernels/power_sum.cuh>

namespace dream::kernels {

/// Pass 1: of each row range and column range the rows' sums of 2^s, for `Both` the columns' too, and the diagonal.
template <class T, bool Both>
struct InfoNceSums {
  using Tile = detail::InfoNceTile<T>;
  static constexpr int threads = Tile::threads;
  static constexpr int warps = threads / warp_lanes;
  struct Params {
    MatrixView<const T> x, y;
    T scale;  ///< log2(e) / tau
    InfoNceRanges ranges;
    detail::PowerSums<T> rows;  ///< ranges.cols times b
    detail::PowerSums<T> cols;  ///< ranges.rows times b; for Both
    T* diagonal;                ///< s_aa
  };
  struct Shared {
    detail::InfoNceOperands<T> operands;
    detail::PowerSum<T> cols[Both ? warps * Tile::cols : 1];
    detail::InfoNceRectangle block;  ///< not in registers, which the tiles need
  };
  static int grid(const Params& p) { return p.x.rows == 0 ? 0 : p.ranges.rows * p.ranges.cols; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    constexpr int mine = Tile::mine;
    const index_t b = p.x.rows, d = p.x.cols;
    const int t = th.thread();
    const detail::InfoNceRectangle& block = shared.block;
    if (t == 0) shared.block = detail::info_nce_rectangle<T>(th.block(), b, p.ranges);
    th.sync();
    for (index_t row_tile = block.first_row; row_tile < block.end_row; ++row_tile) {
      const index_t a0 = row_tile * Tile::rows;
      detail::PowerSum<T> row_sums[mine];
      DREAM_UNROLL
      for (int i = 0; i < mine; ++i) row_sums[i] = detail::PowerSum<T>::none();
      for (index_t col_tile = block.first_col; col_tile < block.end_col; ++col_tile) {
        const index_t c0 = col_tile * Tile::cols;
        T s[mine][mine] = {};
        if (d == 0) th.sync();  // else those of the slices keep the tiles apart
        for (index_t k = 0; k < d; k += Tile::slice) {
          th.sync();
          if (d > Tile::slice || col_tile == block.first_col)
            detail::load_slice<Tile::rows>(th, p.x, a0, k, p.scale, shared.operands.x);
          detail::load_slice<Tile::cols>(th, p.y, c0, k, T{1}, shared.operands.y);
          th.sync();
          Tile::multiply_rows(t, shared.operands.x, shared.operands.y, s);
        }
        if (a0 < c0 + Tile::cols && c0 < a0 + Tile::rows) {
          DREAM_UNROLL
          for (int i = 0; i < mine; ++i) {
            DREAM_UNROLL
            for (int j = 0; j < mine; ++j) {
              const index_t a = a0 + Tile::row(t, i);
              if (a == c0 + Tile::col(t, j) && a < b) p.diagonal[a] = s[i][j];
            }
          }
        }
        if (b - a0 < Tile::rows || b - c0 < Tile::cols) {  // entries beyond the end count for nothing
          DREAM_UNROLL
          for (int i = 0; i < mine; ++i) {
            DREAM_UNROLL
            for (int j = 0; j < mine; ++j)
              if (Tile::row(t, i) >= b - a0 || Tile::col(t, j) >= b - c0) s[i][j] = lowest_value<T>;
          }
        }
        DREAM_UNROLL
        for (int i = 0; i < mine; ++i) row_sums[i].template add_values<mine, 1>(s[i]);
        if constexpr (Both) add_columns(th, p, shared, block, row_tile == block.first_row, c0, s);
      }
      DREAM_UNROLL
      for (int i = 0; i < mine; ++i) {
        DREAM_UNROLL
        for (int mask = 1; mask < Tile::threads_x; mask *= 2)
          row_sums[i].add({th.shfl_xor(row_sums[i].max, mask), th.shfl_xor(row_sums[i].sum, mask)});
        const index_t a = a0 + Tile::row(t, i);
        if (t % Tile::threads_x == 0 && a < b) p.rows.set(block.col_range, a, row_sums[i]);
      }
    }
  }

 private:
  /// Adds the columns of a tile to the block's own part.
  template <class Thread>
  DREAM_HOST_DEVICE static void add_columns(const Thread& th, const Params& p, Shared& shared,
                                            const detail::InfoNceRectangle& block, bool first, index_t c0,
                                            const T (&s)[Tile::mine][Tile::mine]) {
    const int t = th.thread();
    DREAM_UNROLL
    for (int j = 0; j < Tile::mine; ++j) {
      auto sum = detail::PowerSum<T>::none();
      sum.template add_values<Tile::mine, Tile::mine>(&s[0][0] + j);
      DREAM_UNROLL
      for (int mask = Tile::threads_x; mask < warp_lanes; mask *= 2)
        sum.add({th.shfl_xor(sum.max, mask), th.shfl_xor(sum.sum, mask)});
      if (th.lane() < Tile::threads_x) shared.cols[th.warp() * Tile::cols + Tile::col(t, j)] = sum;
    }
    th.sync();
    if (t < Tile::cols && t < p.x.rows - c0) {  // the next to write shared.cols pass a barrier in between
      auto sum = first ? detail::PowerSum<T>::none() : p.cols.get(block.row_range, c0 + t);
      DREAM_UNROLL
      for (int w = 0; w < warps; ++w) sum.add(shared.cols[w * Tile::cols + t]);
      p.cols.set(block.row_range, c0 + t, sum);
    }
  }
};

/// The ranges' sums put together: log2 of each row's sum, and of each column's where there are any.
template <class T>
struct InfoNceLogSums {
  static constexpr int threads = 128;
  struct Params {
    detail::PowerSums<T> rows, cols;  ///< cols.count may be 0
    T* log_rows;
    T* log_cols;
  };
  struct Shared {};
  DREAM_HOST_DEVICE static int blocks_of(index_t b) { return b / threads + (b % threads != 0); }
  static int grid(const Params& p) { return blocks_of(p.rows.b) * (p.cols.count > 0 ? 2 : 1); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const int blocks = blocks_of(p.rows.b);
    const bool of_cols = th.block() >= blocks;
    const detail::PowerSums<T>& parts = of_cols ? p.cols : p.rows;
    const std::int64_t i = std::int64_t{th.block() % blocks} * threads + th.thread();
    if (i >= parts.b) return;
    auto sum = detail::PowerSum<T>::none();
    for (index_t range = 0; range < parts.count; ++range) sum.add(parts.get(range, static_cast<index_t>(i)));
    (of_cols ? p.log_cols : p.log_rows)[i] = sum.log2();
  }
};

/// The loss out of the sums: factor * sum_a (log2 of row a's sum - s_aa), the columns' added. One block, in double.
template <class T>
struct InfoNceLoss {
  static constexpr int threads = 1024;
  struct Params {
    VectorView<const T> log_rows, log_cols;  ///< log_cols may be empty
    const T* diagonal;
    double factor;
    T* loss;
  };
  struct Shared {
    BlockScratch<double, threads> scratch;
  };
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    double sum = 0;
    for (std::int64_t a = th.thread(); a < p.log_rows.size; a += threads) {
      const double own = static_cast<double>(th.load_readonly(p.diagonal + a));
      sum += static_cast<double>(th.load_readonly(p.log_rows.data + a)) - own;
      if (!p.log_cols.empty()) sum += static_cast<double>(th.load_readonly(p.log_cols.data + a)) - own;
    }
    sum = block_sum(th, sum, shared.scratch);
    if (th.thread() == 0) *p.loss = static_cast<T>(p.factor * sum);
  }
};

}  // namespace dream::kernels
