// Dense ops: affine map, sum of values, and the last step of every loss.
#pragma once

#include <vector>

#include <dream/autograd/tape.hpp>
#include <dream/backend/algebra.hpp>

namespace dream {

/// Y = X W + 1 b^T for X (rows x in), W (in x out), b (1 x out).
/// dX = dY W^T,  dW = X^T dY,  db = column sums of dY.
template <class T, class B>
class Linear {
 public:
  Shape shape(MatrixView<const T> x, MatrixView<const T> w, MatrixView<const T> b) const {
    DREAM_EXPECT(x.cols == w.rows && b.rows == 1 && b.cols == w.cols, "linear: X is ", dream::shape(x), ", W is ",
                 dream::shape(w), ", b is ", dream::shape(b));
    return {x.rows, w.cols};
  }
  void forward(Context<B>& context, MatrixView<const T> x, MatrixView<const T> w, MatrixView<const T> b,
               MatrixView<T> y) {
    gemm(context, Op::none, Op::none, T{1}, x, w, T{0}, y);
    add_to_rows(context, b, y);
  }
  void backward(Context<B>& context, MatrixView<const T> x, MatrixView<const T> w, MatrixView<const T>,
                MatrixView<const T>, MatrixView<const T> dy, GradView<T> dx, GradView<T> dw, GradView<T> db) {
    if (dx.wanted()) gemm(context, Op::none, Op::transpose, T{1}, dy, w, dx.beta, dx.view);
    if (dw.wanted()) gemm(context, Op::transpose, Op::none, T{1}, x, dy, dw.beta, dw.view);
    if (db.wanted()) column_sums(context, T{1}, dy, db.beta, db.view);
  }
};

/// Y = sum_i w_i X_i of any number of values of one shape.  dX_i = w_i dY.
template <class T, class B>
class WeightedSum {
 public:
  WeightedSum() = default;
  explicit WeightedSum(std::vector<T> weights) : weights_(std::move(weights)) {}
  /// One weight an input, in the order of the inputs.
  void set_weights(std::span<const T> weights) { weights_.assign(weights.begin(), weights.end()); }

  Shape shape(std::span<const MatrixView<const T>> x) const {
    DREAM_EXPECT(!x.empty() && x.size() == weights_.size(), "weighted sum: ", weights_.size(), " weights for ",
                 x.size(), " values");
    for (const auto& v : x)
      DREAM_EXPECT(v.rows == x[0].rows && v.cols == x[0].cols, "weighted sum: a value is ", dream::shape(v),
                   ", the first ", dream::shape(x[0]));
    return {x[0].rows, x[0].cols};
  }
  void forward(Context<B>& context, std::span<const MatrixView<const T>> x, MatrixView<T> y) {
    for (std::size_t i = 0; i < x.size(); ++i) axpby(context, weights_[i], x[i], i == 0 ? T{0} : T{1}, y);
  }
  void backward(Context<B>& context, std::span<const MatrixView<const T>>, MatrixView<const T>, MatrixView<const T> dy,
                std::span<const GradView<T>> dx) {
    for (std::size_t i = 0; i < dx.size(); ++i)
      if (dx[i].wanted()) axpby(context, weights_[i], dy, dx[i].beta, dx[i].view);
  }

 private:
  std::vector<T> weights_;
};

/// Y = X with the rows where `keep` is 0 set to zero; dX = dY with the same rows zero.
template <class T, class B>
class MaskRows {
 public:
  explicit MaskRows(VectorView<const std::uint8_t> keep) : keep_(keep) {}

  Shape shape(MatrixView<const T> x) const {
    DREAM_EXPECT(keep_.size == x.rows, "row mask: ", keep_.size, " flags for ", x.rows, " rows");
    return {x.rows, x.cols};
  }
  void forward(Context<B>& context, MatrixView<const T> x, MatrixView<T> y) { apply(context, x, T{0}, y); }
  void backward(Context<B>& context, MatrixView<const T>, MatrixView<const T>, MatrixView<const T> dy, GradView<T> dx) {
    if (dx.wanted()) apply(context, dy, dx.beta, dx.view);
  }

 private:
  void apply(Context<B>& context, MatrixView<const T> x, T beta, MatrixView<T> y) const {
    masked_axpby(context, keep_, x, beta, y);
  }

  VectorView<const std::uint8_t> keep_;
};

/// Adds the 1 x cols row b to every row of y.
template <class T>
void add_to_rows(Context<Cpu>& context, MatrixView<const T> b, MatrixView<T> y) {
  context.parallel_blocks(y.rows, 512, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i)
      for (index_t j = 0; j < y.cols; ++j) y(i, j) += b(0, j);
  });
}

/// y = x + beta y in the rows where keep is not 0, beta y in the others.
template <class T>
void masked_axpby(Context<Cpu>& context, VectorView<const std::uint8_t> keep, MatrixView<const T> x, T beta,
                  MatrixView<T> y) {
  context.parallel_blocks(y.rows, 512, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i)
      for (index_t j = 0; j < y.cols; ++j)
        y(i, j) = (keep[i] ? x(i, j) : T{0}) + (beta == T{0} ? T{0} : beta * y(i, j));
  });
}

/// The 1 x 1 result of a loss op and its unit gradients. Loss ops compute both in one go, because they share all work;
/// backward then only scales.
template <class T, class B>
class UnitGradient {
 public:
  MatrixView<T> resize(Context<B>& context, index_t rows, index_t cols) {
    gradient_.resize(context, rows, cols);
    return gradient_.view();
  }
  MatrixView<T> view() { return gradient_.view(); }
  /// dx = beta dx + d_loss * unit gradient.
  void scale_into(Context<B>& context, MatrixView<const T> d_loss, GradView<T> dx) {
    if (dx.wanted()) scaled_axpby<T>(context, T{1}, d_loss, gradient_.view(), dx.beta, dx.view);
  }

 private:
  Matrix<T, B> gradient_;
};

template <class T, KernelBackend B>
void add_to_rows(Context<B>& context, MatrixView<const T> b, MatrixView<T> y) {
  launch<kernels::AddToRows<T>>(context, {b, y});
}

template <class T, KernelBackend B>
void masked_axpby(Context<B>& context, VectorView<const std::uint8_t> keep, MatrixView<const T> x, T beta,
                  MatrixView<T> y) {
  launch<kernels::MaskedAxpby<T>>(context, {keep, x, beta, y});
}

}  // namespace dream
