// Contrastive alignment of two representations of the same entities (docs/components.md, 4).
//
//   InfoNCE(X, Y) = -(1/b) sum_a log( exp(s_aa) / sum_c exp(s_ac) ),   s_ac = cos(x_a, y_c) / tau
//   with P = softmax of s by rows:  d x^_a = (P y^ - y^_a) / (tau b),   d y^_c = (P^T x^ - x^_c) / (tau b)
//
// x^ = x / |x|. The b x b similarities exist only a block of rows at a time, so memory is O(b d). Value and gradient
// come from the same pass: a block is multiplied out, exponentiated and multiplied back while it is in cache.
#pragma once

#include <cmath>
#include <vector>

#include <dream/autograd/tape.hpp>
#include <dream/kernels/contrastive_alignment.cuh>
#include <dream/kernels/cosine_distance.cuh>
#include <dream/kernels/moment_distance.cuh>
#include <dream/ops/dense.hpp>

namespace dream {

/// Whose rows are told apart from whose: the rows of X among those of Y, or the mean of that and the reverse.
enum class Directions { one, both };

/// InfoNCE(X, Y), or the mean of InfoNCE(X, Y) and InfoNCE(Y, X).  Inputs X, Y (b x d), result 1 x 1.
/// Zero rows have cosine 0 with everything and get no gradient.
template <class T, class B>
class InfoNce {
 public:
  struct Options {
    T temperature = T(0.2);
    Directions directions = Directions::one;
  };

  explicit InfoNce(Options options = {}) : options_(options) {
    DREAM_EXPECT(options.temperature > T{0}, "InfoNCE: the temperature must be positive, not ", options.temperature);
  }

  Shape shape(MatrixView<const T> x, MatrixView<const T> y) const {
    DREAM_EXPECT(x.rows == y.rows && x.cols == y.cols && x.rows > 0, "InfoNCE: X is ", dream::shape(x), ", Y is ",
                 dream::shape(y));
    return {1, 1};
  }
  void forward(Context<B>& context, MatrixView<const T> x, MatrixView<const T> y, MatrixView<T> loss) {
    for (auto* m : {&x_hat_, &y_hat_, &dx_hat_, &dy_hat_}) m->resize(context, x.rows, x.cols);
    for (auto* inverse : {&x_inverse_, &y_inverse_}) inverse->resize(context, x.rows);
    normalise_rows<T>(context, x, x_hat_.view(), x_inverse_.view());
    normalise_rows<T>(context, y, y_hat_.view(), y_inverse_.view());
    info_nce<T>(context, options_.directions, options_.temperature, x_hat_.view(), y_hat_.view(), loss, dx_hat_.view(),
                dy_hat_.view(), workspace_);
  }
  void backward(Context<B>& context, MatrixView<const T>, MatrixView<const T>, MatrixView<const T>,
                MatrixView<const T> d_loss, GradView<T> dx, GradView<T> dy) {
    if (dx.wanted())
      normalise_rows_backward<T>(context, T{1}, d_loss, x_hat_.view(), x_inverse_.view(), dx_hat_.view(), dx.beta,
                                 dx.view);
    if (dy.wanted())
      normalise_rows_backward<T>(context, T{1}, d_loss, y_hat_.view(), y_inverse_.view(), dy_hat_.view(), dy.beta,
                                 dy.view);
  }

 private:
  Options options_;
  Matrix<T, B> x_hat_, y_hat_, dx_hat_, dy_hat_;
  Array<T, B> x_inverse_, y_inverse_;
  Array<T, B> workspace_;
};

namespace detail {

/// One direction on rows of length 1 (or 0), times `share`: returns the loss and writes dx = beta dx + .., dy = beta dy
/// + .. The rows are cut into at most eight fixed parts; each part sums its own dy, and the parts are added in order.
template <class T>
double info_nce(Context<Cpu>& context, MatrixView<const T> x, MatrixView<const T> y, T temperature, T share, T beta,
                MatrixView<T> dx, MatrixView<T> dy, Array<T, Cpu>& workspace) {
  constexpr index_t cols = cpu::tile_cols<T>;
  const index_t b = x.rows, d = x.cols;
  const index_t panels = (b + cols - 1) / cols;
  const std::int64_t stride = std::int64_t{panels} * cols;
  // A block of similarities of about half a megabyte stays in the L2 cache.
  const index_t fit = static_cast<index_t>((std::int64_t{1} << 19) / static_cast<std::int64_t>(sizeof(T)) / stride);
  const index_t block = std::clamp<index_t>(fit / cpu::tile_rows * cpu::tile_rows, cpu::tile_rows, 8 * cpu::tile_rows);
  const index_t blocks = (b + block - 1) / block;
  const index_t blocks_a_part = (blocks + 7) / 8;
  const index_t parts = (blocks + blocks_a_part - 1) / blocks_a_part;

  workspace.resize(stride * d + std::int64_t{parts} * b * d);
  T* packed = workspace.data();  // y transposed, panel by panel
  T* part_dy = workspace.data() + stride * d;
  context.parallel_for(panels, [&](std::int64_t q) {
    cpu::detail::pack_columns<T>(d, std::min<index_t>(cols, b - static_cast<index_t>(q) * cols),
                                 {y.row(static_cast<index_t>(q) * cols), 1, y.stride}, packed + q * cols * d);
  });

  double loss[8] = {};
  const T weight = share / (temperature * static_cast<T>(b));
  context.parallel_for(parts, [&](std::int64_t part) {
    T* s = context.scratch<T>(6, block * stride);
    const MatrixView<T> own_dy{part_dy + part * b * d, b, d, d};
    const index_t first_block = static_cast<index_t>(part) * blocks_a_part;
    for (index_t k = first_block; k < std::min(blocks, first_block + blocks_a_part); ++k) {
      const index_t a0 = k * block, rows = std::min(block, b - a0);
      for (index_t q = 0; q < panels; ++q)
        for (index_t r = 0; r < rows; r += cpu::tile_rows)
          cpu::detail::gemm_tile_rows<T>(std::min<index_t>(cpu::tile_rows, rows - r), d, T{1} / temperature,
                                         {x.row(a0 + r), x.stride, 1}, packed + std::int64_t{q} * cols * d, cols, T{0},
                                         s + r * stride + std::int64_t{q} * cols, stride);
      for (index_t r = 0; r < rows; ++r) {
        Eigen::Map<Eigen::Array<T, 1, Eigen::Dynamic>> row(s + r * stride, b);
        const T own = row[a0 + r], largest = row.maxCoeff();
        row = (row - largest).exp();
        const T sum = row.sum();
        loss[part] += static_cast<double>(largest) - static_cast<double>(own) + std::log(static_cast<double>(sum));
        const T scale = weight / sum;
        row *= scale;
        row[a0 + r] -= weight;
      }
      cpu::gemm_block<T>(context, rows, d, b, T{1}, {s, stride, 1}, {y.data, y.stride, 1}, beta, dx.row(a0), dx.stride);
      cpu::gemm_block<T>(context, b, d, rows, T{1}, {s, 1, stride}, {x.row(a0), x.stride, 1},
                         k == first_block ? T{0} : T{1}, own_dy.data, d);
    }
  });
  context.parallel_blocks(b, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i)
      for (index_t j = 0; j < d; ++j) {
        T sum = 0;
        for (index_t part = 0; part < parts; ++part) sum += part_dy[(std::int64_t{part} * b + i) * d + j];
        dy(i, j) = beta == T{0} ? sum : sum + beta * dy(i, j);
      }
  });
  double total = 0;
  for (const double l : loss) total += l;
  return static_cast<double>(share) * total / b;
}

}  // namespace detail

/// The loss on rows of length 1 (or 0) and its gradients with respect to them.
template <class T>
void info_nce(Context<Cpu>& context, Directions directions, T temperature, MatrixView<const T> x, MatrixView<const T> y,
              MatrixView<T> loss, MatrixView<T> dx, MatrixView<T> dy, Array<T, Cpu>& workspace) {
  const bool both = directions == Directions::both;
  const T share = both ? T{1} / T{2} : T{1};
  double value = detail::info_nce<T>(context, x, y, temperature, share, T{0}, dx, dy, workspace);
  if (both) value += detail::info_nce<T>(context, y, x, temperature, share, T{1}, dy, dx, workspace);
  loss(0, 0) = static_cast<T>(value);
}

/// Intra-alignment, reading `pairs`: mean over the batch of 1 - cos(x_a, y_a).  Inputs X, Y (b x d), result 1 x 1.
template <class T, class B>
class CosineDistance {
 public:
  Shape shape(MatrixView<const T> x, MatrixView<const T> y) const {
    DREAM_EXPECT(x.rows == y.rows && x.cols == y.cols && x.rows > 0, "cosine distance: X is ", dream::shape(x),
                 ", Y is ", dream::shape(y));
    return {1, 1};
  }
  void forward(Context<B>& context, MatrixView<const T> x, MatrixView<const T> y, MatrixView<T> loss) {
    for (auto* m : {&x_hat_, &y_hat_}) m->resize(context, x.rows, x.cols);
    for (auto* inverse : {&x_inverse_, &y_inverse_}) inverse->resize(context, x.rows);
    normalise_rows<T>(context, x, x_hat_.view(), x_inverse_.view());
    normalise_rows<T>(context, y, y_hat_.view(), y_inverse_.view());
    cosine_distance<T>(context, x_hat_.view(), y_hat_.view(), loss);
  }
  void backward(Context<B>& context, MatrixView<const T> x, MatrixView<const T>, MatrixView<const T>,
                MatrixView<const T> d_loss, GradView<T> dx, GradView<T> dy) {
    const T g = T{-1} / static_cast<T>(x.rows);
    if (dx.wanted())
      normalise_rows_backward<T>(context, g, d_loss, x_hat_.view(), x_inverse_.view(), y_hat_.view(), dx.beta, dx.view);
    if (dy.wanted())
      normalise_rows_backward<T>(context, g, d_loss, y_hat_.view(), y_inverse_.view(), x_hat_.view(), dy.beta, dy.view);
  }

 private:
  Matrix<T, B> x_hat_, y_hat_;
  Array<T, B> x_inverse_, y_inverse_;
};

/// loss = 1 - the mean over the rows of x . y.
template <class T>
void cosine_distance(Context<Cpu>& context, MatrixView<const T> x, MatrixView<const T> y, MatrixView<T> loss) {
  loss(0, 0) = static_cast<T>(1.0 - dot<T>(context, x, y) / x.rows);
}

/// Intra-alignment, reading `moments`: mean over dimensions of |mean(X) - mean(Y)| + |var(X) - var(Y)|, both over the
/// rows, variance unbiased (0 for a single row).  Inputs X, Y (b x d), result 1 x 1.
/// d x_aj = ( sign(mean difference) / b + sign(variance difference) 2 (x_aj - mean_j) / (b - 1) ) / d
template <class T, class B>
class MomentDistance {
 public:
  Shape shape(MatrixView<const T> x, MatrixView<const T> y) const {
    DREAM_EXPECT(x.rows == y.rows && x.cols == y.cols && x.rows > 0, "moment distance: X is ", dream::shape(x),
                 ", Y is ", dream::shape(y));
    return {1, 1};
  }
  void forward(Context<B>& context, MatrixView<const T> x, MatrixView<const T> y, MatrixView<T> loss) {
    moment_distance<T>(context, x, y, loss, dx_.resize(context, x.rows, x.cols), dy_.resize(context, x.rows, x.cols));
  }
  void backward(Context<B>& context, MatrixView<const T>, MatrixView<const T>, MatrixView<const T>,
                MatrixView<const T> d_loss, GradView<T> dx, GradView<T> dy) {
    dx_.scale_into(context, d_loss, dx);
    dy_.scale_into(context, d_loss, dy);
  }

 private:
  UnitGradient<T, B> dx_, dy_;
};

/// The loss and its gradients.
template <class T>
void moment_distance(Context<Cpu>& context, MatrixView<const T> x, MatrixView<const T> y, MatrixView<T> loss,
                     MatrixView<T> dx, MatrixView<T> dy) {
  const index_t b = x.rows, d = x.cols;
  const double inverse = 1.0 / b, unbiased = b > 1 ? 1.0 / (b - 1) : 0.0;
  const double total = ordered_sum(context, d, 16, [&](std::int64_t begin, std::int64_t end) {
    double sum = 0;
    for (index_t j = static_cast<index_t>(begin); j < end; ++j) {
      double mx = 0, my = 0, vx = 0, vy = 0;
      for (index_t i = 0; i < b; ++i) mx += x(i, j), my += y(i, j);
      mx *= inverse, my *= inverse;
      for (index_t i = 0; i < b; ++i) vx += (x(i, j) - mx) * (x(i, j) - mx), vy += (y(i, j) - my) * (y(i, j) - my);
      vx *= unbiased, vy *= unbiased;
      const auto sign = [](double v) { return v > 0 ? 1.0 : v < 0 ? -1.0 : 0.0; };
      const double first = sign(mx - my) * inverse / d, second = 2 * sign(vx - vy) * unbiased / d;
      for (index_t i = 0; i < b; ++i) {
        dx(i, j) = static_cast<T>(first + second * (x(i, j) - mx));
        dy(i, j) = static_cast<T>(-first - second * (y(i, j) - my));
      }
      sum += (std::abs(mx - my) + std::abs(vx - vy)) / d;
    }
    return sum;
  });
  loss(0, 0) = static_cast<T>(total);
}

// The same by kernels.

template <class T, KernelBackend B>
void info_nce(Context<B>& context, Directions directions, T temperature, MatrixView<const T> x, MatrixView<const T> y,
              MatrixView<T> loss, MatrixView<T> dx, MatrixView<T> dy, Array<T, B>& workspace) {
  kernels::InfoNceArguments<T> a;
  a.x = x;
  a.y = y;
  a.temperature = temperature;
  a.both = directions == Directions::both;
  a.loss = loss.data;
  a.dx = dx;
  a.dy = dy;
  workspace.resize(context, kernels::info_nce_workspace<T>(x.rows, x.cols, a.both));
  a.workspace = workspace.data();
  kernels::info_nce(context, a);
}

template <class T, KernelBackend B>
void cosine_distance(Context<B>& context, MatrixView<const T> x, MatrixView<const T> y, MatrixView<T> loss) {
  double* sum = context.template scratch<double>(1, 1);
  dot<T>(context, x, y, VectorView<double>{sum, 1});
  launch<kernels::OneMinusMean<T>>(context, {sum, x.rows, loss.data});
}

template <class T, KernelBackend B>
void moment_distance(Context<B>& context, MatrixView<const T> x, MatrixView<const T> y, MatrixView<T> loss,
                     MatrixView<T> dx, MatrixView<T> dy) {
  double* workspace = context.template scratch<double>(0, kernels::moment_distance_workspace(x.rows, x.cols));
  kernels::moment_distance(context, kernels::MomentDistanceArguments<T>{x, y, loss.data, dx, dy, workspace});
}

}  // namespace dream
