// The sums of a matrix's columns: sums = alpha (column sums of x) + beta sums. Backward of a bias.
//
// 4 bytes a float are read, in two launches: blocks sum pieces of the rows, whose borders depend on sizes alone, and
// write what they have; then the pieces are added in order, in double. No atomics.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_access.cuh>
#include <dream/kernels/shapes.cuh>

namespace dream::kernels {

/// The sums of the columns of pieces of x: row i of `pieces` is that of piece i.  Teams of threads along the columns
/// take every so many rows; their sums are added in order.
template <class T>
struct ColumnSumPieces {
  static constexpr int threads = Sweep::threads;
  static constexpr int width = pack_width<T>;
  struct Params {
    MatrixView<const T> x;
    T* pieces;  ///< count(rows) x cols
  };
  struct alignas(16) Shared {
    T sums[threads * width];
  };
  /// Rows of a piece, of which there are at most 512.
  DREAM_HOST_DEVICE static index_t rows_of_piece(index_t rows) {
    const index_t rows_of_512 = rows / 512 + (rows % 512 != 0);
    return rows_of_512 > 64 ? rows_of_512 : 64;
  }
  DREAM_HOST_DEVICE static index_t count(index_t rows) {
    const index_t piece = rows_of_piece(rows);
    return rows / piece + (rows % piece != 0);
  }
  DREAM_HOST_DEVICE static int side_by_side(index_t cols) {
    return 1 << shift_for((std::int64_t{cols} + width - 1) / width, 5);
  }
  DREAM_HOST_DEVICE static int strips(index_t cols) {
    const std::int64_t strip = std::int64_t{side_by_side(cols)} * width;
    return static_cast<int>((cols + strip - 1) / strip);
  }
  static int grid(const Params& p) { return count(p.x.rows) * strips(p.x.cols); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const MatrixView<const T>& x = p.x;
    const int lanes = side_by_side(x.cols), teams = threads / lanes, team = th.thread() / lanes;
    const int piece = th.block() / strips(x.cols);
    const std::int64_t first_col = std::int64_t{th.block() - piece * strips(x.cols)} * lanes * width;
    const std::int64_t col = first_col + th.thread() % lanes * width;
    const std::int64_t begin = std::int64_t{piece} * rows_of_piece(x.rows);
    const std::int64_t end = begin + rows_of_piece(x.rows) < x.rows ? begin + rows_of_piece(x.rows) : x.rows;
    Pack<T, width> sum{};
    if (takes_packs(x) && col + width <= x.cols) {
      for (std::int64_t row = begin + team; row < end; row += teams) add_values<width>(th, element(x, row, col), sum);
    } else {
      for (std::int64_t row = begin + team; row < end; row += teams) {
        DREAM_UNROLL
        for (int k = 0; k < width; ++k)
          if (col + k < x.cols) sum[k] += th.load_readonly(element(x, row, col + k));
      }
    }
    th.store(as_pack<width>(shared.sums + th.thread() * width), sum);
    th.sync();
    for (int c = th.thread(); c < lanes * width && first_col + c < x.cols; c += threads) {
      T all = shared.sums[c];
      for (int t = 1; t < teams; ++t) all += shared.sums[t * lanes * width + c];
      th.store(p.pieces + std::int64_t{piece} * x.cols + first_col + c, all);
    }
  }
};

/// sums = alpha (sum of the pieces) + beta sums: a warp's lanes along 32 columns, each warp every eighth piece.
template <class T>
struct ColumnSumFinish {
  static constexpr int threads = 256, warps = threads / warp_lanes;
  struct Params {
    const T* pieces;
    index_t count;
    T alpha, beta;
    VectorView<T> sums;
  };
  struct Shared {
    double sums[threads];
  };
  static int grid(const Params& p) { return static_cast<int>((p.sums.size + warp_lanes - 1) / warp_lanes); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const std::int64_t col = std::int64_t{th.block()} * warp_lanes + th.lane();
    double sum = 0;
    if (col < p.sums.size)
      for (index_t i = th.warp(); i < p.count; i += warps)
        sum += static_cast<double>(th.load_readonly(p.pieces + i * p.sums.size + col));
    shared.sums[th.thread()] = sum;
    th.sync();
    if (th.warp() != 0 || col >= p.sums.size) return;
    for (int w = 1; w < warps; ++w) sum += shared.sums[w * warp_lanes + th.lane()];
    write<1>(th, p.sums.data + col, Pack<T, 1>{{p.alpha * static_cast<T>(sum)}}, p.beta);
  }
};

/// sums = alpha (column sums of x) + beta sums.
template <class T>
struct ColumnSumsArguments {
  T alpha;
  MatrixView<const T> x;
  T beta;
  VectorView<T> sums;
  T* workspace;  ///< column_sums_workspace<T>(rows, cols) values
};
template <class T>
std::int64_t column_sums_workspace(index_t rows, index_t cols) {
  return std::int64_t{ColumnSumPieces<T>::count(rows)} * cols;
}
template <class Context, class T>
void column_sums(Context& context, const ColumnSumsArguments<T>& a) {
  expect_size("column_sums, the sums", a.sums, a.x.cols);
  launch<ColumnSumPieces<T>>(context, {a.x, a.workspace});
  launch<ColumnSumFinish<T>>(context, {a.workspace, ColumnSumPieces<T>::count(a.x.rows), a.alpha, a.beta, a.sums});
}

}  // namespace dream::kernels
