// Losses on the rows of a batch, forward and backward: BPR as training has it and with its regulariser in one pass, the
// regulariser, dot products, the cosine distance. Memory bounds them: beside each a copy of as many bytes.
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>

#include <dream/kernels/cosine_distance.cuh>
#include <dream/kernels/dot_products.cuh>
#include <dream/kernels/embedding_regulariser.cuh>
#include <dream/kernels/ranking_loss.cuh>
#include <dream/kernels/row_norm.cuh>

#include "cases.cuh"

namespace dream_benchmarks {

namespace {

constexpr float upstream = 0.75F;  ///< the gradient of a loss

/// A device scalar.
const float* scalar(Inputs& inputs, float value) { return inputs.copied<float>(std::span(&value, 1)).data; }

void expect_scalar(Context<Cuda>& context, const std::string& what, const float* found, double expected) {
  Difference difference;
  difference.add(static_cast<double>(on_host(context, found, 1)[0]), expected);
  difference.expect_below(1e-5, what);
}

/// The users', positive and negative items' rows, and their gradients.
struct Triples {
  Triples(Inputs& inputs, index_t b, index_t d)
      : u(inputs.uniform(b, d)),
        p(inputs.uniform(b, d)),
        n(inputs.uniform(b, d)),
        du(inputs.matrix(b, d)),
        dp(inputs.matrix(b, d)),
        dn(inputs.matrix(b, d)) {}
  /// Compares the loss, and at both ends gradients of `share` times BPR's mean and `factor` times half the squares.
  void check(Context<Cuda>& context, const float* loss, double share, double factor) const {
    const index_t b = u.rows, d = u.cols;
    const HostRows users(context, u, 0, b), positives(context, p, 0, b), negatives(context, n, 0, b);
    std::vector<double> z(static_cast<std::size_t>(b));
    double total = 0;
    for (index_t i = 0; i < b; ++i) {
      double squares = 0, margin = 0;
      for (index_t j = 0; j < d; ++j) {
        margin += users(i, j) * (positives(i, j) - negatives(i, j));
        squares += users(i, j) * users(i, j) + positives(i, j) * positives(i, j) + negatives(i, j) * negatives(i, j);
      }
      z[static_cast<std::size_t>(i)] = margin;
      total += std::max(-margin, 0.0) + std::log1p(std::exp(-std::abs(margin)));
      total += 0.5 * factor * squares * b;
    }
    expect_scalar(context, "the loss", loss, total / b);
    at_both_ends(b, [&](index_t first, index_t rows) {
      const HostRows to_u(context, du, first, rows), to_p(context, dp, first, rows), to_n(context, dn, first, rows);
      Difference difference;
      for (index_t i = 0; i < rows; ++i) {
        const index_t a = first + i;
        const double g = -share / (1 + std::exp(z[static_cast<std::size_t>(a)])) / b;
        for (index_t j = 0; j < d; ++j) {
          difference.add(to_u(i, j), g * (positives(a, j) - negatives(a, j)) + factor * users(a, j));
          difference.add(to_p(i, j), g * users(a, j) + factor * positives(a, j));
          difference.add(to_n(i, j), -g * users(a, j) + factor * negatives(a, j));
        }
      }
      difference.expect_below(1e-5, "the gradients");
    });
  }

  MatrixView<float> u, p, n, du, dp, dn;
};

Work bpr(index_t b, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const Triples x(*inputs, b, d);
  kernels::BprForwardArguments<float> forward;
  forward.u = x.u;
  forward.p = x.p;
  forward.n = x.n;
  forward.slope = inputs->values(b);
  forward.loss = inputs->room<float>(1);
  forward.workspace = inputs->room<double>(kernels::bpr_forward_workspace());
  kernels::BprBackward<float>::Params backward{};
  backward.x = {x.u, x.p, x.n};
  backward.slope = forward.slope;
  backward.d_loss = scalar(*inputs, upstream);
  backward.du.view = x.du;
  backward.dp.view = x.dp;
  backward.dn.view = x.dn;
  return memory_bound(
      inputs, 36.0 * b * d + 8.0 * b,
      [=, &context] {
        kernels::bpr_forward(context, forward);
        launch<kernels::BprBackward<float>>(context, backward);
      },
      [=, &context] { x.check(context, forward.loss, upstream, 0); });
}

Work bpr_with_squares(index_t b, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const Triples x(*inputs, b, d);
  kernels::BprWithSquaresArguments<float> a;
  a.u = x.u;
  a.p = x.p;
  a.n = x.n;
  a.regulariser = 1.0F / static_cast<float>(b);
  a.du = x.du;
  a.dp = x.dp;
  a.dn = x.dn;
  a.loss = inputs->room<float>(1);
  a.workspace = inputs->room<double>(kernels::bpr_with_squares_workspace());
  return memory_bound(
      inputs, 24.0 * b * d, [=, &context] { kernels::bpr_with_squares(context, a); },
      [=, &context] { x.check(context, a.loss, 1, static_cast<double>(a.regulariser)); });
}

/// Both forms of the regulariser on three matrices.
template <bool Squares>
Work regulariser(index_t b, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  kernels::RegulariserForwardArguments<float> forward{};
  kernels::RegulariserBackward<float>::Params backward{};
  forward.count = backward.count = 3;
  forward.squares = backward.squares = Squares;
  forward.divisor = Squares ? 4096 : b;
  backward.divisor = forward.divisor;
  for (int m = 0; m < 3; ++m) {
    forward.x[m] = backward.x[m] = inputs->uniform(b, d);
    backward.dx[m].view = inputs->matrix(b, d);
  }
  forward.norms = inputs->room<double>(3);
  backward.norms = forward.norms;
  forward.loss = inputs->room<float>(1);
  forward.workspace = inputs->room<double>(kernels::regulariser_forward_workspace(3));
  backward.d_loss = scalar(*inputs, upstream);
  return memory_bound(
      inputs, 36.0 * b * d,
      [=, &context] {
        kernels::regulariser_forward(context, forward);
        launch<kernels::RegulariserBackward<float>>(context, backward);
      },
      [=, &context] {
        double loss = 0;
        for (int m = 0; m < 3; ++m) {
          double square = 0;
          for (const float v : on_host(context, forward.x[m].data, forward.x[m].size()))
            square += static_cast<double>(v) * static_cast<double>(v);
          loss += (Squares ? 0.5 * square : std::sqrt(square)) / backward.divisor;
          const double factor = static_cast<double>(upstream) / (backward.divisor * (Squares ? 1 : std::sqrt(square)));
          at_both_ends(b, [&](index_t first, index_t rows) {
            const HostRows x(context, forward.x[m], first, rows), dx(context, backward.dx[m].view, first, rows);
            Difference difference;
            for (index_t i = 0; i < rows; ++i)
              for (index_t j = 0; j < d; ++j) difference.add(dx(i, j), factor * x(i, j));
            difference.expect_below(1e-5, "a gradient");
          });
        }
        expect_scalar(context, "the loss", forward.loss, loss);
      });
}

double dot_on_host(Context<Cuda>& context, MatrixView<const float> x, MatrixView<const float> y) {
  const auto a = on_host(context, x.data, x.size()), b = on_host(context, y.data, y.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

Work dot_products(index_t b, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  kernels::DotProductsArguments<float> a{};
  a.count = 2;
  for (int i = 0; i < 2; ++i) {
    a.x[i] = inputs->uniform(b, d, -0.5F, 1);
    a.y[i] = inputs->uniform(b, d, -0.5F, 1);
  }
  a.out = inputs->room<double>(2);
  a.workspace = inputs->room<double>(kernels::dot_products_workspace(2));
  return memory_bound(
      inputs, 16.0 * b * d, [=, &context] { kernels::dot_products(context, a); },
      [=, &context] {
        const auto found = on_host<double>(context, a.out, 2);
        Difference difference;
        for (int i = 0; i < 2; ++i)
          difference.add(found[static_cast<std::size_t>(i)], dot_on_host(context, a.x[i], a.y[i]));
        difference.expect_below(1e-9, "the products");
      });
}

/// 1 - the mean cosine of pairs of rows: both sides normalised, the products, and back through the normalisation.
struct CosineDistance {
  CosineDistance(Inputs& inputs, index_t b, index_t d)
      : x(inputs.uniform(b, d, -0.5F, 1)), y(inputs.uniform(b, d, -0.5F, 1)) {
    for (auto* unit : {&x_unit, &y_unit, &dx, &dy}) *unit = inputs.matrix(b, d);
    x_inverse = inputs.values(b);
    y_inverse = inputs.values(b);
    sum = inputs.room<double>(1);
    workspace = inputs.room<double>(kernels::dot_products_workspace(1));
    loss = inputs.room<float>(1);
    d_loss = scalar(inputs, upstream);
  }
  void run(Context<Cuda>& context) const {
    kernels::normalise_rows(context, kernels::NormaliseRowsArguments<float>{x, x_unit, x_inverse});
    kernels::normalise_rows(context, kernels::NormaliseRowsArguments<float>{y, y_unit, y_inverse});
    kernels::dot_products(context, kernels::DotProductsArguments<float>{{x_unit}, {y_unit}, 1, 0, sum, workspace});
    launch<kernels::OneMinusMean<float>>(context, {sum, x.rows, loss});
    const float share = -1.0F / static_cast<float>(x.rows);
    using Backward = kernels::NormaliseRowsBackwardArguments<float>;
    kernels::normalise_rows_backward(context, Backward{share, d_loss, x_unit, x_inverse, y_unit, 0, dx});
    kernels::normalise_rows_backward(context, Backward{share, d_loss, y_unit, y_inverse, x_unit, 0, dy});
  }
  void check(Context<Cuda>& context) const {
    const index_t b = x.rows, d = x.cols;
    const HostRows from_x(context, x, 0, b), from_y(context, y, 0, b);
    const HostRows to_x(context, dx, 0, b), to_y(context, dy, 0, b);
    Difference gradients;
    double cosines = 0;
    for (index_t i = 0; i < b; ++i) {
      double xx = 0, yy = 0, xy = 0;
      for (index_t j = 0; j < d; ++j) {
        xx += from_x(i, j) * from_x(i, j);
        yy += from_y(i, j) * from_y(i, j);
        xy += from_x(i, j) * from_y(i, j);
      }
      const double norms = std::sqrt(xx * yy), factor = -static_cast<double>(upstream) / b / norms;
      cosines += xy / norms;
      for (index_t j = 0; j < d; ++j) {
        gradients.add(to_x(i, j), factor * (from_y(i, j) - from_x(i, j) * xy / xx));
        gradients.add(to_y(i, j), factor * (from_x(i, j) - from_y(i, j) * xy / yy));
      }
    }
    expect_scalar(context, "the loss", loss, 1 - cosines / b);
    gradients.expect_below(1e-5, "the gradients");
  }

  MatrixView<const float> x, y;
  MatrixView<float> x_unit, y_unit, dx, dy;
  VectorView<float> x_inverse, y_inverse;
  double *sum, *workspace;
  float* loss;
  const float* d_loss;
};

Work cosine_distance(index_t b, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const CosineDistance pairs(*inputs, b, d);
  // Twice forward and backward of a normalisation, and the products.
  const double bytes = 2 * (8.0 + 12.0) * b * d + 8.0 * b * d + 16.0 * b;
  return memory_bound(
      inputs, bytes, [=, &context] { pairs.run(context); }, [=, &context] { pairs.check(context); });
}

}  // namespace

void add_batch_cases() {
  struct Loss {
    const char* name;
    Work (*prepare)(index_t rows, index_t cols);
  };
  const auto add = [](const Loss& loss, index_t b, index_t d) {
    add_case(std::string(loss.name) + "/" + std::to_string(b) + "x" + std::to_string(d), {"dream", "copy"},
             [loss, b, d] { return loss.prepare(b, d); });
  };
  constexpr Loss bpr_alone{"bpr", bpr}, bpr_and_squares{"bpr_with_squares", bpr_with_squares};
  for (const Loss loss : {bpr_alone, bpr_and_squares, Loss{"regulariser", regulariser<true>},
                          Loss{"regulariser_norms", regulariser<false>}, Loss{"dot_products", dot_products},
                          Loss{"cosine_distance", cosine_distance}})
    for (const index_t b : {2048, 8192, 65536}) add(loss, b, 64);
  for (const Loss& loss : {bpr_alone, bpr_and_squares}) {
    for (const index_t d : {32, 128, 256}) add(loss, 8192, d);
    add(loss, 1 << 20, 64);
  }
}

}  // namespace dream_benchmarks
