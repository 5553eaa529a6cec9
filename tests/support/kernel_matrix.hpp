// Matrices for kernel tests: with gaps between their rows, beside a multiple of 16 bytes, of random values or NaN.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/core/view.hpp>

#include "support/catch.hpp"

namespace dream_test {

/// How a matrix lies in memory: `gap` values between its rows, the first one `offset` values behind 64 bytes' multiple.
struct Layout {
  int gap = 0;
  int offset = 0;
};
/// Contiguous; with aligned rows that are apart; with rows at any place; contiguous at any place.
inline constexpr Layout layouts[] = {{0, 0}, {4, 0}, {3, 0}, {0, 1}};

struct MatrixShape {
  dream::index_t rows;
  dream::index_t cols;
};
/// Around the sizes of warps, blocks and packs; empty; long rows.
inline constexpr MatrixShape matrix_shapes[] = {
    {0, 64}, {1, 64},  {31, 64},  {32, 65}, {33, 31},  {127, 3},  {128, 64}, {129, 32}, {257, 7},
    {33, 1}, {5, 100}, {33, 128}, {9, 256}, {3, 1024}, {3, 1030}, {2, 4096}, {1, 4099}, {300, 1},
};

/// f(shape, layout of inputs, layout of outputs, turn) for all shapes, with layouts that meet each other by turns.
template <class F>
void for_all_shapes(F&& f) {
  int turn = 0;
  for (const MatrixShape& shape : matrix_shapes)
    for (int k = 0; k < 2; ++k, ++turn) f(shape, layouts[turn % 4], layouts[(turn / 4 + turn) % 4], turn);
}

template <class T>
class KernelMatrix {
 public:
  KernelMatrix() = default;
  KernelMatrix(dream::index_t rows, dream::index_t cols, Layout layout = {})
      : rows_(rows),
        cols_(cols),
        layout_(layout),
        lines_((static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols + layout.gap) +
                static_cast<std::size_t>(layout.offset)) *
                   sizeof(T) / 64 +
               1) {
    fill([](auto, auto) { return std::numeric_limits<double>::quiet_NaN(); });
  }
  /// Normal numbers times `scale`.
  static KernelMatrix random(dream::index_t rows, dream::index_t cols, std::uint32_t seed, Layout layout = {},
                             double scale = 1) {
    KernelMatrix m(rows, cols, layout);
    const dream::RandomStream random{seed, dream::RandomUse::user};
    m.fill([&](dream::index_t i, dream::index_t j) {
      return scale * random.normal(static_cast<std::uint64_t>(i) * static_cast<std::uint64_t>(cols) +
                                   static_cast<std::uint64_t>(j));
    });
    return m;
  }

  dream::index_t rows() const { return rows_; }
  dream::index_t cols() const { return cols_; }
  dream::MatrixView<T> view() {
    return {reinterpret_cast<T*>(lines_.data()) + layout_.offset, rows_, cols_, std::int64_t{cols_} + layout_.gap};
  }
  dream::VectorView<T> vector() { return {view().data, std::int64_t{rows_} * cols_}; }
  T& operator()(dream::index_t i, dream::index_t j) { return view()(i, j); }
  double at(dream::index_t i, dream::index_t j) const {
    return static_cast<double>(const_cast<KernelMatrix*>(this)->view()(i, j));
  }
  template <class F>
  void fill(F&& f) {
    for (dream::index_t i = 0; i < rows_; ++i)
      for (dream::index_t j = 0; j < cols_; ++j) view()(i, j) = static_cast<T>(f(i, j));
  }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  dream::index_t rows_ = 0, cols_ = 0;
  Layout layout_;
  std::vector<Line> lines_;
};

/// Every element is within tolerance(i, j) of expected(i, j), or NaN where that is.
template <class T, class Expected, class Tolerance>
requires std::invocable<Tolerance, int, int>
void require_near(const KernelMatrix<T>& found, Expected&& expected, Tolerance&& tolerance) {
  std::int64_t wrong = 0;
  for (dream::index_t i = 0; i < found.rows(); ++i)
    for (dream::index_t j = 0; j < found.cols(); ++j) {
      const double a = found.at(i, j), b = expected(i, j);
      if (a == b || (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= tolerance(i, j)) continue;
      if (wrong++ == 0) UNSCOPED_INFO("row " << i << ", column " << j << ": " << a << ", expected " << b);
    }
  CAPTURE(found.rows(), found.cols());
  REQUIRE(wrong == 0);
}
template <class T, class Expected>
void require_near(const KernelMatrix<T>& found, Expected&& expected, double tolerance) {
  require_near(found, expected, [&](auto, auto) { return tolerance; });
}

/// The rounding error of T in a number of size 1.
template <class T>
inline constexpr double rounding = static_cast<double>(std::numeric_limits<T>::epsilon());

}  // namespace dream_test
