// Values side by side.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include <dream/autograd/tape.hpp>
#include <dream/backend/algebra.hpp>

namespace dream {

/// Y = [X_1 | X_2 | ..]: any number of values of as many rows, side by side.  dX_i = its columns of dY.
template <class T, class B>
class ConcatColumns {
 public:
  Shape shape(std::span<const MatrixView<const T>> x) const {
    DREAM_EXPECT(!x.empty(), "columns side by side: no values");
    std::int64_t cols = 0;
    for (const auto& v : x) {
      DREAM_EXPECT(v.rows == x[0].rows, "columns side by side: a value is ", dream::shape(v), ", the first ",
                   dream::shape(x[0]));
      cols += v.cols;
    }
    DREAM_EXPECT(cols <= std::numeric_limits<index_t>::max(), "columns side by side: ", cols, " are too many");
    return {x[0].rows, static_cast<index_t>(cols)};
  }
  void forward(Context<B>& context, std::span<const MatrixView<const T>> x, MatrixView<T> y) {
    index_t first = 0;
    for (const auto& v : x) {
      axpby<T>(context, T{1}, v, T{0}, y.middle_cols(first, v.cols));
      first += v.cols;
    }
  }
  void backward(Context<B>& context, std::span<const MatrixView<const T>> x, MatrixView<const T>,
                MatrixView<const T> dy, std::span<const GradView<T>> dx) {
    index_t first = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (dx[i].wanted()) axpby<T>(context, T{1}, dy.middle_cols(first, x[i].cols), dx[i].beta, dx[i].view);
      first += x[i].cols;
    }
  }
};

/// Y = columns first .. first + count - 1 of X.  dX = dY there, 0 elsewhere.
template <class T, class B>
class TakeColumns {
 public:
  TakeColumns(index_t first, index_t count) : first_(first), count_(count) {}

  Shape shape(MatrixView<const T> x) const {
    DREAM_EXPECT(first_ >= 0 && count_ >= 0 && std::int64_t{first_} + count_ <= x.cols, "columns ", first_, " to ",
                 std::int64_t{first_} + count_, " of a value that is ", dream::shape(x));
    return {x.rows, count_};
  }
  void forward(Context<B>& context, MatrixView<const T> x, MatrixView<T> y) {
    axpby<T>(context, T{1}, x.middle_cols(first_, count_), T{0}, y);
  }
  void backward(Context<B>& context, MatrixView<const T>, MatrixView<const T>, MatrixView<const T> dy, GradView<T> dx) {
    if (!dx.wanted()) return;
    if (dx.beta == T{0}) {
      fill(context, dx.view, T{0});
    } else if (dx.beta != T{1}) {
      axpby<T>(context, dx.beta, dx.view, T{0}, dx.view);
    }
    axpby<T>(context, T{1}, dy, T{1}, dx.view.middle_cols(first_, count_));
  }

 private:
  index_t first_, count_;
};

}  // namespace dream
