// Dropout: values set to zero at random during training, the others scaled so that the mean stays.
#pragma once

#include <algorithm>
#include <cstdint>

#include <dream/autograd/tape.hpp>
#include <dream/backend/algebra.hpp>
#include <dream/kernels/dropout.cuh>

namespace dream {

/// Y = X * K / (1 - rate) elementwise, K_ij = 1 with probability 1 - rate, else 0.  dX = dY * K / (1 - rate).
/// K is a pure function of (seed, stream, step), the shape and the place, the same on every backend. A value that is
/// dropped is not used: it is 0 even where X is not finite.
template <class T, class B>
class Dropout {
 public:
  /// `rate` in [0, 1) is how much is dropped; 0 copies. `stream`, below 2^24, keeps several dropouts of one seed apart.
  explicit Dropout(double rate, std::uint64_t seed = 0, std::uint32_t stream = 0) {
    DREAM_EXPECT(rate >= 0 && rate < 1, "dropout: a rate of ", rate, "; it must be at least 0 and below 1");
    DREAM_EXPECT(stream < kernels::DropoutMask::most_streams, "dropout: stream ", stream, " is not below ",
                 kernels::DropoutMask::most_streams);
    mask_.seed = seed;
    mask_.stream = stream;
    mask_.threshold = static_cast<std::uint32_t>(rate * 0x1.0p32);
    scale_ = static_cast<T>(1 / (1 - rate));
  }

  /// `step` varies the mask; it is read from `step_at`, in the backend's memory, where that is given, and must stay the
  /// same from forward to backward.
  void select(std::uint32_t step, const std::uint32_t* step_at = nullptr) {
    mask_.step = step;
    mask_.step_at = step_at;
  }

  Shape shape(MatrixView<const T> x) const { return {x.rows, x.cols}; }
  void forward(Context<B>& context, MatrixView<const T> x, MatrixView<T> y) { apply(context, x, T{0}, y); }
  void backward(Context<B>& context, MatrixView<const T>, MatrixView<const T>, MatrixView<const T> dy, GradView<T> dx) {
    if (dx.wanted()) apply(context, dy, dx.beta, dx.view);
  }

 private:
  void apply(Context<B>& context, MatrixView<const T> x, T beta, MatrixView<T> y) const {
    if (mask_.threshold == 0)
      axpby<T>(context, scale_, x, beta, y);
    else
      drop_values<T>(context, mask_, scale_, x, beta, y);
  }

  kernels::DropoutMask mask_;
  T scale_ = T{1};
};

/// y = the values of x that the mask keeps times scale, 0 in place of the others, + beta y.
template <class T>
void drop_values(Context<Cpu>& context, const kernels::DropoutMask& mask, T scale, MatrixView<const T> x, T beta,
                 MatrixView<T> y) {
  const std::uint32_t step = mask.step_at ? *mask.step_at : mask.step;
  context.parallel_blocks(y.rows, 512, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i)
      for (std::int64_t j = 0; j < y.cols; j += kernels::DropoutMask::unit) {
        const RandomBlock random = mask.words(step, i, j, y.cols);
        const T* from = x.row(i) + j;
        T* to = y.row(i) + j;
        const std::int64_t count = std::min<std::int64_t>(kernels::DropoutMask::unit, y.cols - j);
        for (std::int64_t k = 0; k < count; ++k) {
          const T value = mask.apply(random.word[k], from[k], scale);
          to[k] = beta == T{0} ? value : value + beta * to[k];
        }
      }
  });
}

template <class T, KernelBackend B>
void drop_values(Context<B>& context, const kernels::DropoutMask& mask, T scale, MatrixView<const T> x, T beta,
                 MatrixView<T> y) {
  launch<kernels::DropValues<T>>(context, {mask, scale, x, beta, y});
}

}  // namespace dream
