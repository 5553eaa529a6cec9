// Dense building blocks on the host beside the matrix product: sums, norms, row normalisation, elementwise passes.
// Sums over many rows are taken in fixed pieces, added in order.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <Eigen/Core>

#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/backend/row_norm.hpp>
#include <dream/kernels/column_sums.cuh>
#include <dream/kernels/dense.cuh>
#include <dream/kernels/dot_products.cuh>
#include <dream/kernels/row_norm.cuh>

namespace dream {

inline namespace DREAM_INSTRUCTION_SET {
namespace cpu {
inline constexpr std::int64_t rows_per_sum = 512;  ///< rows in one piece of a sum
}

/// Sum over pieces of `count` of f(begin, end), in double, in piece order.
template <class F>
double ordered_sum(Context<Cpu>& context, std::int64_t count, std::int64_t piece, F&& f) {
  const std::int64_t pieces = (count + piece - 1) / piece;
  double* partial = context.scratch<double>(4, std::max<std::int64_t>(pieces, 1));
  context.parallel_for(pieces, [&](std::int64_t p) { partial[p] = f(p * piece, std::min(count, (p + 1) * piece)); });
  double sum = 0;
  for (std::int64_t p = 0; p < pieces; ++p) sum += partial[p];
  return sum;
}

inline namespace DREAM_INSTRUCTION_SET {

/// x[i] = exp(x[i]), with Eigen's vectorised exponential: NaN only for NaN, 0 or infinite where the result leaves the
/// range. The last bit may depend on the place in the array, as the places at its ends are not computed in vectors.
template <class T>
void exponential(T* x, std::int64_t count) {
  Eigen::Map<Eigen::Array<T, Eigen::Dynamic, 1>> a(x, count);
  a = a.exp();
}

/// x[i] = tanh(x[i]), vectorised for floats; NaN only for NaN. The last bit may depend on the place, as above.
template <class T>
void hyperbolic_tangent(T* x, std::int64_t count) {
  Eigen::Map<Eigen::Array<T, Eigen::Dynamic, 1>> a(x, count);
  a = a.tanh();
}

}  // namespace DREAM_INSTRUCTION_SET

/// y = alpha x + beta y, elementwise.
template <class T>
void axpby(Context<Cpu>& context, T alpha, MatrixView<const T> x, T beta, MatrixView<T> y) {
  DREAM_EXPECT(x.rows == y.rows && x.cols == y.cols, "axpby: x is ", shape(x), ", y is ", shape(y));
  context.parallel_blocks(y.rows, 512, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      const T* from = x.row(i);
      T* to = y.row(i);
      if (beta == T{0}) {
        for (index_t j = 0; j < y.cols; ++j) to[j] = alpha * from[j];
      } else {
        for (index_t j = 0; j < y.cols; ++j) to[j] = alpha * from[j] + beta * to[j];
      }
    }
  });
}

/// y = alpha scale x + beta y, elementwise; `scale` is a 1 x 1 matrix, such as the gradient of a loss.
template <class T>
void scaled_axpby(Context<Cpu>& context, T alpha, MatrixView<const T> scale, MatrixView<const T> x, T beta,
                  MatrixView<T> y) {
  axpby<T>(context, alpha * scale(0, 0), x, beta, y);
}

/// sums[j] = alpha * (sum over rows of x(., j)) + beta * sums[j]; sums is 1 x cols.
template <class T>
void column_sums(Context<Cpu>& context, T alpha, MatrixView<const T> x, T beta, MatrixView<T> sums) {
  DREAM_EXPECT(sums.rows == 1 && sums.cols == x.cols, "column_sums: x is ", shape(x), ", sums are ", shape(sums));
  const std::int64_t pieces = (x.rows + cpu::rows_per_sum - 1) / cpu::rows_per_sum;
  T* partial = context.scratch<T>(5, std::max<std::int64_t>(pieces, 1) * x.cols);
  context.parallel_for(pieces, [&](std::int64_t p) {
    T* sum = partial + p * x.cols;
    std::fill_n(sum, x.cols, T{0});
    const std::int64_t end = std::min<std::int64_t>(x.rows, (p + 1) * cpu::rows_per_sum);
    for (index_t i = static_cast<index_t>(p * cpu::rows_per_sum); i < end; ++i) {
      const T* row = x.row(i);
      for (index_t j = 0; j < x.cols; ++j) sum[j] += row[j];
    }
  });
  for (index_t j = 0; j < x.cols; ++j) {
    T sum = 0;
    for (std::int64_t p = 0; p < pieces; ++p) sum += partial[p * x.cols + j];
    sums(0, j) = beta == T{0} ? alpha * sum : alpha * sum + beta * sums(0, j);
  }
}

/// x . y over all elements, in double.
template <class T>
double dot(Context<Cpu>& context, MatrixView<const T> x, MatrixView<const T> y) {
  DREAM_EXPECT(x.rows == y.rows && x.cols == y.cols, "dot: x is ", shape(x), ", y is ", shape(y));
  return ordered_sum(context, x.rows, cpu::rows_per_sum, [&](std::int64_t begin, std::int64_t end) {
    double sum = 0;
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      const T *a = x.row(i), *b = y.row(i);
      sum += cpu::product_of_rows(a, b, x.cols);
    }
    return sum;
  });
}

/// Whether no value of x is NaN or infinite.
template <class T>
bool all_finite(Context<Cpu>&, MatrixView<const T> x) {
  for (index_t i = 0; i < x.rows; ++i) {
    T sum = 0;  // 0 for finite values, else NaN
    for (index_t j = 0; j < x.cols; ++j) sum += x(i, j) * T{0};
    if (!(sum == T{0})) return false;
  }
  return true;
}

inline namespace DREAM_INSTRUCTION_SET {
namespace cpu {

/// 1 / |row|, 0 for a zero row and for one with a value that is not finite; at most the largest number.
template <class T>
inline T inverse_row_norm(const T* row, index_t cols) {
  // Squares below this lose digits.
  constexpr double least = std::numeric_limits<double>::min() / std::numeric_limits<double>::epsilon();
  const double sum = product_of_rows(row, row, cols);
  double found = 1 / std::sqrt(sum);
  if (!(sum >= least && std::isfinite(sum))) [[unlikely]] {
    const RowNorm<T> norm = row_norm(row, cols);
    found = norm.scale > 0 ? norm.scale / static_cast<double>(norm.largest) : 0.0;
  }
  return static_cast<T>(std::min(found, static_cast<double>(std::numeric_limits<T>::max())));
}

}  // namespace cpu
}  // namespace DREAM_INSTRUCTION_SET

/// inverse[i] = 1 / |row i of x|, 0 for a zero row and for one with a value that is not finite; at most the largest
/// number, for rows too short for their inverse.
template <class T>
void inverse_row_norms(Context<Cpu>& context, MatrixView<const T> x, VectorView<T> inverse) {
  DREAM_EXPECT(inverse.size == x.rows, "inverse_row_norms: ", inverse.size, " places for ", x.rows, " rows");
  context.parallel_blocks(x.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) inverse[i] = cpu::inverse_row_norm(x.row(i), x.cols);
  });
}

/// y = x with every row divided by its norm; zero rows stay zero. `inverse` receives the inverse norms.
template <class T>
void normalise_rows(Context<Cpu>& context, MatrixView<const T> x, MatrixView<T> y, VectorView<T> inverse) {
  DREAM_EXPECT(inverse.size == x.rows && y.rows == x.rows && y.cols == x.cols, "normalise_rows: X is ", shape(x),
               ", Y is ", shape(y), ", ", inverse.size, " places");
  context.parallel_blocks(x.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      const T* from = x.row(i);
      const T v = inverse[i] = cpu::inverse_row_norm(from, x.cols);
      if (v == T{0} || (v >= std::numeric_limits<T>::min() && v < std::numeric_limits<T>::max())) [[likely]] {
        T* to = y.row(i);
        for (index_t j = 0; j < x.cols; ++j) to[j] = from[j] * v;
      } else {  // the inverse has too few digits, or is beyond the range
        const cpu::RowNorm<T> norm = cpu::row_norm(from, x.cols);
        for (index_t j = 0; j < x.cols; ++j) y(i, j) = norm.unit(from[j]);
      }
    }
  });
}

/// The backward of y = x / |x| by rows: dx = beta dx + alpha (dy - y (y . dy)) / |x|; zero rows get no gradient.
template <class T>
void normalise_rows_backward(Context<Cpu>& context, T alpha, MatrixView<const T> y, VectorView<const T> inverse,
                             MatrixView<const T> dy, T beta, MatrixView<T> dx) {
  context.parallel_blocks(y.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      const T *yi = y.row(i), *di = dy.row(i);
      T* out = dx.row(i);
      const T along = static_cast<T>(cpu::product_of_rows(yi, di, y.cols));
      constexpr T most = std::numeric_limits<T>::max();
      const T factor = std::clamp(alpha * inverse[i], -most, most);  // infinite, it would turn zeros into NaN
      for (index_t j = 0; j < y.cols; ++j) {
        const T g = factor * (di[j] - yi[j] * along);
        out[j] = beta == T{0} ? g : g + beta * out[j];
      }
    }
  });
}

/// The same times `scale`, a 1 x 1 matrix.
template <class T>
void normalise_rows_backward(Context<Cpu>& context, T alpha, MatrixView<const T> scale, MatrixView<const T> y,
                             VectorView<const T> inverse, MatrixView<const T> dy, T beta, MatrixView<T> dx) {
  normalise_rows_backward<T>(context, alpha * scale(0, 0), y, inverse, dy, beta, dx);
}

// The same by kernels.

template <class T, KernelBackend B>
void axpby(Context<B>& context, T alpha, MatrixView<const T> x, T beta, MatrixView<T> y) {
  DREAM_EXPECT(x.rows == y.rows && x.cols == y.cols, "axpby: x is ", shape(x), ", y is ", shape(y));
  launch<kernels::Axpby<T>>(context, {alpha, nullptr, x, beta, y});
}

template <class T, KernelBackend B>
void scaled_axpby(Context<B>& context, T alpha, MatrixView<const T> scale, MatrixView<const T> x, T beta,
                  MatrixView<T> y) {
  DREAM_EXPECT(x.rows == y.rows && x.cols == y.cols, "axpby: x is ", shape(x), ", y is ", shape(y));
  launch<kernels::Axpby<T>>(context, {alpha, scale.data, x, beta, y});
}

template <class T, KernelBackend B>
void column_sums(Context<B>& context, T alpha, MatrixView<const T> x, T beta, MatrixView<T> sums) {
  DREAM_EXPECT(sums.rows == 1 && sums.cols == x.cols, "column_sums: x is ", shape(x), ", sums are ", shape(sums));
  T* workspace = context.template scratch<T>(0, kernels::column_sums_workspace<T>(x.rows, x.cols));
  kernels::column_sums(context, kernels::ColumnSumsArguments<T>{alpha, x, beta, {sums.data, sums.cols}, workspace});
}

/// out[0] = the sum over all elements of x * y, in device memory.
template <class T, KernelBackend B>
void dot(Context<B>& context, MatrixView<const T> x, MatrixView<const T> y, VectorView<double> out) {
  DREAM_EXPECT(x.rows == y.rows && x.cols == y.cols && out.size == 1, "dot: x is ", shape(x), ", y is ", shape(y));
  kernels::DotProductsArguments<T> a{};
  a.x[0] = x;
  a.y[0] = y;
  a.count = 1;
  a.out = out.data;
  a.workspace = context.template scratch<double>(0, kernels::dot_products_workspace(1));
  kernels::dot_products(context, a);
}

/// Waits for the answer.
template <class T, KernelBackend B>
bool all_finite(Context<B>& context, MatrixView<const T> x) {
  // A square of a finite number is finite in double, and so is their sum, unless they are near the end of double.
  double* sum = context.template scratch<double>(1, 1);
  dot<T>(context, x, x, VectorView<double>{sum, 1});
  double found = 0;
  download<double>(context, sum, std::span(&found, 1));
  return std::isfinite(found);
}

template <class T, KernelBackend B>
void inverse_row_norms(Context<B>& context, MatrixView<const T> x, VectorView<T> inverse) {
  DREAM_EXPECT(inverse.size == x.rows, "inverse_row_norms: ", inverse.size, " places for ", x.rows, " rows");
  kernels::inverse_row_norms(context, x, inverse);
}

template <class T, KernelBackend B>
void normalise_rows(Context<B>& context, MatrixView<const T> x, MatrixView<T> y, VectorView<T> inverse) {
  DREAM_EXPECT(inverse.size == x.rows, "normalise_rows: ", inverse.size, " places for ", x.rows, " rows");
  kernels::normalise_rows(context, kernels::NormaliseRowsArguments<T>{x, y, inverse});
}

template <class T, KernelBackend B>
void normalise_rows_backward(Context<B>& context, T alpha, MatrixView<const T> scale, MatrixView<const T> y,
                             VectorView<const T> inverse, MatrixView<const T> dy, T beta, MatrixView<T> dx) {
  kernels::normalise_rows_backward(
      context, kernels::NormaliseRowsBackwardArguments<T>{alpha, scale.data, y, inverse, dy, beta, dx});
}

}  // namespace dream
