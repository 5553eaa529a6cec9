// Moment distance of two representations X, Y (b x d): how far apart their means and variances are.
//
//   forward    L = (1/d) sum_j ( |mean(X_j) - mean(Y_j)| + |var(X_j) - var(Y_j)| ), over the rows, variance unbiased
//              (0 of a single row)
//   backward   dx_aj = ( sign(mean difference) / b + sign(variance difference) 2 (x_aj - mean_j) / (b - 1) ) / d,
//              dy the same with both signs turned and Y's mean
//
// Two passes: means first, then squares about them, all in double; then the gradient. X and Y are read three times and
// the gradients written once, 5 * 2 b d values; of a batch that fits the L2 cache, memory sees 2 * 2 b d.
// Lanes lie along the columns, so rows are read whole; the rows are cut into at most 64 pieces, whose sums are added
// in order by a warp for a column. The second pass adds up the first one's sums itself: no launch between them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/shapes.cuh>

namespace dream::kernels {

namespace detail {

/// The sums of pieces of rows, for each of X and Y and each column: side and column first, so that a warp reads the
/// pieces of a column together.
struct MomentPieces {
  static constexpr index_t most = 64;
  double* sums = nullptr;
  index_t pieces = 0;
  index_t cols = 0;

  DREAM_HOST_DEVICE double& operator()(int side, index_t col, index_t piece) const {
    return sums[(std::int64_t{side} * cols + col) * pieces + piece];
  }
  /// All pieces of a column added, in every lane of the warp.
  template <class Thread>
  DREAM_HOST_DEVICE double total(const Thread& th, int side, index_t col) const {
    double sum = 0;
    for (index_t piece = th.lane(); piece < pieces; piece += warp_lanes) sum += (*this)(side, col, piece);
    return warp_sum(th, sum);
  }
  /// At least 32 rows each; as many as 64.
  static index_t count(index_t rows) { return std::min<index_t>(most, rows / 32 + (rows % 32 != 0)); }
};

/// 1 / n, and 0 of nothing.
DREAM_HOST_DEVICE constexpr double inverse_or_0(index_t n) { return n > 0 ? 1.0 / n : 0.0; }

}  // namespace detail

/// The sums of pieces of the rows: of the values or, `Centred`, of the squares of their distances to the mean.
/// A block has a piece of 32 columns of X or Y, a warp every eighth row of it.
template <class T, bool Centred>
struct MomentSums {
  static constexpr int warps = 8;
  static constexpr int threads = warps * warp_lanes;
  struct Params {
    MatrixView<const T> x, y;
    detail::MomentPieces values;   ///< what is written, or read where Centred
    detail::MomentPieces squares;  ///< what is written where Centred
  };
  struct Shared {
    double warps_sums[warps][warp_lanes];
    double means[warp_lanes];
  };
  static int grid(const Params& p) { return 2 * p.values.pieces * col_groups(p); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const int groups = col_groups(p);
    const int side = th.block() / (p.values.pieces * groups);
    const index_t piece = th.block() / groups % p.values.pieces;
    const index_t first_col = th.block() % groups * warp_lanes;
    const MatrixView<const T> m = side == 0 ? p.x : p.y;
    const bool inside = th.lane() < m.cols - first_col;
    const index_t col = inside ? first_col + th.lane() : first_col;

    double mean = 0;
    if constexpr (Centred) {
      for (int k = th.warp(); k < warp_lanes && k < m.cols - first_col; k += warps) {
        const double total = p.values.total(th, side, first_col + k);
        if (th.lane() == 0) shared.means[k] = total * detail::inverse_or_0(m.rows);
      }
      th.sync();
      mean = shared.means[col - first_col];
    }
    const auto begin = static_cast<index_t>(std::int64_t{m.rows} * piece / p.values.pieces);
    const auto end = static_cast<index_t>(std::int64_t{m.rows} * (piece + 1) / p.values.pieces);
    double sum = 0;
    for (index_t row = begin + th.warp(); row < end; row += warps) {
      const double v = static_cast<double>(th.load_readonly(m.row(row) + col)) - mean;
      sum += Centred ? v * v : v;
    }
    shared.warps_sums[th.warp()][th.lane()] = sum;
    th.sync();
    if (th.warp() == 0 && inside) {
      sum = 0;
      DREAM_UNROLL
      for (int w = 0; w < warps; ++w) sum += shared.warps_sums[w][th.lane()];
      (Centred ? p.squares : p.values)(side, col, piece) = sum;
    }
  }

 private:
  DREAM_HOST_DEVICE static int col_groups(const Params& p) {
    return p.x.cols / warp_lanes + (p.x.cols % warp_lanes != 0);
  }
};

/// What a column's gradient is made of: dx = first + second (x - means[0]), dy = -first - second (y - means[1]).
struct MomentSlopes {
  double means[2];
  double first, second;
};

/// The loss and every column's slopes out of the sums. One block, a warp a column.
template <class T>
struct MomentLoss {
  static constexpr int threads = 512;
  struct Params {
    index_t rows;
    detail::MomentPieces values, squares;
    MomentSlopes* slopes;
    T* loss;
  };
  struct Shared {
    BlockScratch<double, threads> scratch;
  };
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    using std::abs;
    const index_t cols = p.values.cols;
    const double inverse = detail::inverse_or_0(p.rows), unbiased = detail::inverse_or_0(p.rows - 1);
    double loss = 0;
    for (index_t col = th.warp(); col < cols; col += threads / warp_lanes) {
      MomentSlopes slopes;
      double variances[2];
      DREAM_UNROLL
      for (int side = 0; side < 2; ++side) {
        slopes.means[side] = p.values.total(th, side, col) * inverse;
        variances[side] = p.squares.total(th, side, col) * unbiased;
      }
      const double means_apart = slopes.means[0] - slopes.means[1], variances_apart = variances[0] - variances[1];
      slopes.first = sign(means_apart) * inverse / cols;
      slopes.second = 2 * sign(variances_apart) * unbiased / cols;
      if (th.lane() == 0) {
        p.slopes[col] = slopes;
        loss += (abs(means_apart) + abs(variances_apart)) / cols;
      }
    }
    loss = block_sum(th, loss, shared.scratch);
    if (th.thread() == 0) *p.loss = static_cast<T>(loss);
  }

 private:
  /// NaN stays NaN.
  DREAM_HOST_DEVICE static double sign(double v) { return v > 0 ? 1 : v < 0 ? -1 : v; }
};

/// Both gradients. A block has 32 columns of 32 rows of both, a lane a column.
template <class T>
struct MomentGradient {
  static constexpr int warps = 8, rows_a_block = 32;
  static constexpr int threads = warps * warp_lanes;
  struct Params {
    MatrixView<const T> x, y;
    const MomentSlopes* slopes;
    MatrixView<T> dx, dy;
  };
  struct Shared {};
  static int grid(const Params& p) {
    return (p.x.rows / rows_a_block + (p.x.rows % rows_a_block != 0)) * col_groups(p);
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const int groups = col_groups(p);
    const index_t col = th.block() % groups * warp_lanes + th.lane();
    if (col >= p.x.cols) return;
    const MomentSlopes slopes = p.slopes[col];
    const index_t first_row = th.block() / groups * rows_a_block;
    DREAM_UNROLL
    for (int n = 0; n < rows_a_block / warps; ++n) {
      const index_t row = first_row + th.warp() + n * warps;
      if (row >= p.x.rows) break;
      const double x = static_cast<double>(th.load_readonly(p.x.row(row) + col)) - slopes.means[0];
      const double y = static_cast<double>(th.load_readonly(p.y.row(row) + col)) - slopes.means[1];
      p.dx(row, col) = static_cast<T>(slopes.first + slopes.second * x);
      p.dy(row, col) = static_cast<T>(-slopes.first - slopes.second * y);
    }
  }

 private:
  DREAM_HOST_DEVICE static int col_groups(const Params& p) {
    return p.x.cols / warp_lanes + (p.x.cols % warp_lanes != 0);
  }
};

/// The loss of X and Y and its gradients (not added to what is there).
template <class T>
struct MomentDistanceArguments {
  MatrixView<const T> x, y;     ///< b x d
  T* loss = nullptr;            ///< one value on the device; 0 where b or d is 0
  MatrixView<T> dx, dy;         ///< b x d
  double* workspace = nullptr;  ///< moment_distance_workspace() values
};

/// How many doubles moment_distance() needs.
inline std::int64_t moment_distance_workspace(index_t b, index_t d) {
  constexpr std::int64_t slopes = sizeof(MomentSlopes) / sizeof(double);
  return std::int64_t{d} * (slopes + 4 * detail::MomentPieces::count(b));
}

/// Four launches.
template <class Context, class T>
void moment_distance(Context& context, const MomentDistanceArguments<T>& a) {
  expect_shape("moment_distance, Y", a.y, a.x.rows, a.x.cols);
  expect_shape("moment_distance, dX", a.dx, a.x.rows, a.x.cols);
  expect_shape("moment_distance, dY", a.dy, a.x.rows, a.x.cols);
  const index_t d = a.x.cols, pieces = detail::MomentPieces::count(a.x.rows);
  auto* slopes = reinterpret_cast<MomentSlopes*>(a.workspace);
  double* sums = a.workspace + std::int64_t{d} * (sizeof(MomentSlopes) / sizeof(double));
  const detail::MomentPieces values{sums, pieces, d}, squares{sums + std::int64_t{2} * d * pieces, pieces, d};
  launch<MomentSums<T, false>>(context, {a.x, a.y, values, squares});
  launch<MomentSums<T, true>>(context, {a.x, a.y, values, squares});
  launch<MomentLoss<T>>(context, {a.x.rows, values, squares, slopes, a.loss});
  launch<MomentGradient<T>>(context, {a.x, a.y, slopes, a.dx, a.dy});
}

}  // namespace dream::kernels
