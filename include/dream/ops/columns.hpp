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

}  // namespace dream
