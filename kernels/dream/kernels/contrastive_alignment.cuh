// InfoNCE of two representations X, Y (b x d) of the same entities, rows of length 1 (or 0).
//
//   forward    s_ac = x_a . y_c / tau,   L = (1/b) sum_a ( log sum_c exp(s_ac) - s_aa )
//   backward   dx_a = (sum_c P_ac y_c - y_a) / (tau b),   dy_c = (sum_a P_ac x_a - x_c) / (tau b),
//              P_ac = exp(s_ac - log sum_c' exp(s_ac'))
//   both       the mean of InfoNCE(X, Y) and InfoNCE(Y, X): Q_ac = exp(s_ac - log sum_a' exp(s_a'c)) joins P,
//              dx_a = (sum_c (P + Q)_ac y_c - 2 y_a) / (2 tau b), and dy alike
//
// Operations: a unit is 2 b^2 d. Four of them, one direction or both: S for the sums; S again, G Y and G^T X for the
// gradients, G = P (+ Q) - diagonal. Fewer cannot do: without storing S, a column's gradient weighs each row by its
// sum, which is known after a whole pass over the row only. Bytes beside them: the partial sums below, written and read
// once.
//
// The b x b similarities are cut into row ranges x column ranges, a block each (16 x 32 where b >= 2048: two waves of a
// card with 128 multiprocessors, and of sizes alone). A block walks its rectangle in tiles (info_nce_tile.cuh), for the
// sums (info_nce_sums.cuh) and again for the gradients (info_nce_gradient.cuh), and leaves its own part of both. Parts
// are then added in order: no atomics, the same bits every time. Memory: (16 + 32) b d for the parts, nothing of b x b.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include <dream/core/view.hpp>
#include <dream/kernels/info_nce_gradient.cuh>
#include <dream/kernels/info_nce_sums.cuh>
#include <dream/kernels/info_nce_tile.cuh>
#include <dream/kernels/power_sum.cuh>
#include <dream/kernels/shapes.cuh>

namespace dream::kernels {

/// The loss and, where dx and dy have data, its gradients.
template <class T>
struct InfoNceArguments {
  MatrixView<const T> x, y;  ///< b x d, rows of length 1 or 0
  T temperature = T(0.2);
  bool both = false;     ///< the mean of both directions, rather than rows of x among those of y alone
  T weight = T{1};       ///< times the loss and its gradients
  T* loss = nullptr;     ///< one value on the device; 0 where b is 0
  MatrixView<T> dx, dy;  ///< both or neither: beta * what is there + the gradient
  T beta_x = T{0}, beta_y = T{0};
  T* workspace = nullptr;  ///< info_nce_workspace() values, from a multiple of 16 bytes
  InfoNceRanges ranges;    ///< 0: info_nce_ranges()
};

/// How the similarities of b rows are cut unless asked otherwise: up to 16 x 32, no range without a tile.
template <class T>
InfoNceRanges info_nce_ranges(index_t b) {
  using Tile = detail::InfoNceTile<T>;
  return {std::min<index_t>(16, Tile::tiles_of(b, Tile::rows)), std::min<index_t>(32, Tile::tiles_of(b, Tile::cols))};
}

namespace detail {

/// Where things lie in the workspace of info_nce().
template <class T>
struct InfoNceWorkspace {
  InfoNceRanges ranges;
  std::int64_t part_stride = 0;
  T *dx_parts = nullptr, *dy_parts = nullptr;
  PowerSums<T> rows, cols;
  T *log_rows = nullptr, *log_cols = nullptr, *diagonal = nullptr;
  std::int64_t size = 0;

  InfoNceWorkspace(index_t b, index_t d, bool both, bool gradients, InfoNceRanges asked, T* data) {
    using Tile = InfoNceTile<T>;
    const InfoNceRanges usual = info_nce_ranges<T>(b);
    ranges.rows = asked.rows == 0 ? usual.rows : std::min<index_t>(asked.rows, Tile::tiles_of(b, Tile::rows));
    ranges.cols = asked.cols == 0 ? usual.cols : std::min<index_t>(asked.cols, Tile::tiles_of(b, Tile::cols));
    part_stride = (std::int64_t{d} + Tile::vector - 1) / Tile::vector * Tile::vector;
    const auto take = [&](std::int64_t values) {
      T* at = data == nullptr ? nullptr : data + size;
      size += values;
      return at;
    };
    if (gradients) {
      dx_parts = take(ranges.cols * part_stride * b);
      dy_parts = take(ranges.rows * part_stride * b);
    }
    const auto sums = [&](index_t count) {
      T* max = take(std::int64_t{count} * b);
      return PowerSums<T>{max, take(std::int64_t{count} * b), count, b};
    };
    rows = sums(ranges.cols);
    cols = sums(both ? ranges.rows : 0);
    log_rows = take(b);
    log_cols = take(both ? b : 0);
    diagonal = take(b);
  }
};

template <bool Both, class Context, class T>
void info_nce(Context& context, const InfoNceArguments<T>& a, const InfoNceWorkspace<T>& w) {
  const index_t b = a.x.rows;
  constexpr double log2_of_e = 1.4426950408889634;
  const double tau = static_cast<double>(a.temperature);
  const double share = static_cast<double>(a.weight) * (Both ? 0.5 : 1.0) / std::max<index_t>(b, 1);
  const T scale = static_cast<T>(log2_of_e / tau);
  launch<InfoNceSums<T, Both>>(context, {a.x, a.y, scale, w.ranges, w.rows, w.cols, w.diagonal});
  launch<InfoNceLogSums<T>>(context, {w.rows, w.cols, w.log_rows, w.log_cols});
  launch<InfoNceLoss<T>>(context, {{w.log_rows, b}, {w.log_cols, Both ? b : 0}, w.diagonal, share / log2_of_e, a.loss});
  if (w.dx_parts == nullptr) return;
  const auto gradient = [&]<bool Short>(std::bool_constant<Short>) {
    launch<InfoNceGradient<T, Both, Short>>(
        context, {a.x, a.y, scale, w.ranges, w.log_rows, w.log_cols, w.dx_parts, w.dy_parts, w.part_stride});
  };
  if (a.x.cols <= InfoNceTile<T>::slice)
    gradient(std::true_type{});
  else
    gradient(std::false_type{});
  launch<InfoNceAddParts<T>>(
      context, {{w.dx_parts, w.ranges.cols, static_cast<T>(share / tau), a.beta_x, a.dx},
                {w.dy_parts, w.ranges.rows, static_cast<T>(share / tau / static_cast<double>(scale)), a.beta_y, a.dy},
                w.part_stride});
}

}  // namespace detail

/// How many values info_nce() needs: about (16 + 32) b d with gradients, (16 + 32) 2 b more in any case.
template <class T>
std::int64_t info_nce_workspace(index_t b, index_t d, bool both, bool gradients = true, InfoNceRanges ranges = {}) {
  return detail::InfoNceWorkspace<T>(b, d, both, gradients, ranges, nullptr).size;
}

/// The loss in three launches; with the gradients five.
template <class Context, class T>
void info_nce(Context& context, const InfoNceArguments<T>& a) {
  expect_shape("info_nce, Y", a.y, a.x.rows, a.x.cols);
  DREAM_EXPECT((a.dx.data == nullptr) == (a.dy.data == nullptr), "info_nce: dX and dY are wanted both or neither");
  expect_shape_if_given("info_nce, dX", a.dx, a.x.rows, a.x.cols);
  expect_shape_if_given("info_nce, dY", a.dy, a.x.rows, a.x.cols);
  const bool gradients = a.dx.data != nullptr && !a.x.empty();
  const detail::InfoNceWorkspace<T> w(a.x.rows, a.x.cols, a.both, gradients, a.ranges, a.workspace);
  if (a.both)
    detail::info_nce<true>(context, a, w);
  else
    detail::info_nce<false>(context, a, w);
}

}  // namespace dream::kernels
