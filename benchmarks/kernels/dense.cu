// Passes over dense rows, which memory bounds: beside each a copy of as many bytes. Gradients where there are some.
// Each is checked in double on its first and its last rows.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include <dream/kernels/column_sums.cuh>
#include <dream/kernels/gated_modal_encoder.cuh>
#include <dream/kernels/modal_fusion.cuh>
#include <dream/kernels/row_norm.cuh>

#include "cases.cuh"

namespace dream_benchmarks {

namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

Work normalise(index_t n, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const MatrixView<const float> x = inputs->uniform(n, d);
  const MatrixView<float> y = inputs->matrix(n, d);
  const VectorView<float> inverse = inputs->values(n);
  return memory_bound(
      inputs, 8.0 * n * d + 4.0 * n,
      [=, &context] {
        kernels::normalise_rows(context, kernels::NormaliseRowsArguments<float>{x, y, inverse});
      },
      [=, &context] {
        at_both_ends(n, [&](index_t first, index_t rows) {
          const HostRows from(context, x, first, rows), found(context, y, first, rows);
          Difference difference;
          for (index_t i = 0; i < rows; ++i) {
            double square = 0;
            for (index_t j = 0; j < d; ++j) square += from(i, j) * from(i, j);
            for (index_t j = 0; j < d; ++j) difference.add(found(i, j), from(i, j) / std::sqrt(square));
          }
          difference.expect_below(1e-6, "Y");
        });
      });
}

Work normalise_backward(index_t n, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const MatrixView<const float> y = inputs->unit_rows(n, d), dy = inputs->uniform(n, d);
  const MatrixView<const float> inverse = inputs->uniform(n, 1, 0.5F, 2);
  const MatrixView<float> dx = inputs->matrix(n, d);
  return memory_bound(
      inputs, 12.0 * n * d + 4.0 * n,
      [=, &context] {
        kernels::normalise_rows_backward(
            context, kernels::NormaliseRowsBackwardArguments<float>{1, nullptr, y, {inverse.data, n}, dy, 0, dx});
      },
      [=, &context] {
        at_both_ends(n, [&](index_t first, index_t rows) {
          const HostRows unit(context, y, first, rows), in(context, dy, first, rows);
          const HostRows factor(context, inverse, first, rows), found(context, dx, first, rows);
          Difference difference;
          for (index_t i = 0; i < rows; ++i) {
            double along = 0;
            for (index_t j = 0; j < d; ++j) along += unit(i, j) * in(i, j);
            for (index_t j = 0; j < d; ++j) difference.add(found(i, j), factor(i, 0) * (in(i, j) - along * unit(i, j)));
          }
          difference.expect_below(1e-5, "dX");
        });
      });
}

Work gate(index_t n, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const MatrixView<const float> e = inputs->uniform(n, d), b = inputs->uniform(1, d), dh = inputs->uniform(n, d);
  const MatrixView<float> g = inputs->uniform(n, d), h = inputs->matrix(n, d);
  const MatrixView<float> d_pre = inputs->matrix(n, d), de = inputs->matrix(n, d);
  const auto forward = [=, &context] { launch<kernels::GateForward<float>>(context, {e, b, g, h}); };
  return memory_bound(
      inputs, 36.0 * n * d,
      [=, &context] {
        forward();
        launch<kernels::GateBackward<float>>(context, {e, g, dh, d_pre, {de, 0.0F}});
      },
      [=, &context] {
        at_both_ends(n, [&](index_t first, index_t rows) {
          // The gate was written over what it is made of.
          launch<FillUniform>(context, {{g.data, g.size()}, 77, -4, 4});
          const HostRows pre(context, g, first, rows);
          forward();
          launch<kernels::GateBackward<float>>(context, {e, g, dh, d_pre, {de, 0.0F}});
          const HostRows in(context, e, first, rows), bias(context, b, 0, 1), out(context, h, first, rows);
          const HostRows upstream(context, dh, first, rows), to_pre(context, d_pre, first, rows);
          const HostRows to_e(context, de, first, rows);
          Difference difference;
          for (index_t i = 0; i < rows; ++i)
            for (index_t j = 0; j < d; ++j) {
              const double gate_value = sigmoid(pre(i, j) + bias(0, j));
              difference.add(out(i, j), in(i, j) * gate_value);
              difference.add(to_e(i, j), upstream(i, j) * gate_value);
              difference.add(to_pre(i, j), upstream(i, j) * in(i, j) * gate_value * (1 - gate_value));
            }
          difference.expect_below(1e-5, "the gate");
        });
      });
}

Work fusion(index_t n, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  std::vector<index_t> all(static_cast<std::size_t>(n));
  for (index_t i = 0; i < n; ++i) all[static_cast<std::size_t>(i)] = i;
  const MatrixView<float> present = inputs->matrix(n, 2);
  std::vector<float> has(2 * static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < has.size(); ++i) has[i] = i % 7 == 3 ? 0.0F : 1.0F;
  context.upload(has.data(), present.data, has.size() * sizeof(float));
  const float weights[] = {0.25F, 0.75F};
  const kernels::FusionWeights<float> by{inputs->copied<float>(weights).data, present, inputs->copied<index_t>(all)};
  kernels::FuseModalitiesArguments<float> forward{
      by, {inputs->uniform(n, d), inputs->uniform(n, d)}, inputs->matrix(n, d)};
  kernels::FuseModalitiesBackwardArguments<float> backward{};
  backward.by = by;
  backward.in[0] = forward.in[0];
  backward.in[1] = forward.in[1];
  backward.d_out = inputs->uniform(n, d);
  backward.d_in[0] = {inputs->matrix(n, d), 0.0F};
  backward.d_in[1] = {inputs->matrix(n, d), 0.0F};
  backward.d_logits = inputs->values(2);
  backward.workspace = inputs->room<double>(kernels::fuse_modalities_backward_workspace());
  return memory_bound(
      inputs, 32.0 * n * d + 24.0 * n,
      [=, &context] {
        kernels::fuse_modalities(context, forward);
        kernels::fuse_modalities_backward(context, backward);
      },
      [=, &context] {
        at_both_ends(n, [&](index_t first, index_t rows) {
          const HostRows a(context, forward.in[0], first, rows), b(context, forward.in[1], first, rows);
          const HostRows out(context, forward.out, first, rows), d_out(context, backward.d_out, first, rows);
          const HostRows da(context, backward.d_in[0].view, first, rows), p(context, present, first, rows);
          Difference difference;
          for (index_t i = 0; i < rows; ++i) {
            const double total = 0.25 * p(i, 0) + 0.75 * p(i, 1), w = total > 0 ? 0.25 * p(i, 0) / total : 0;
            for (index_t j = 0; j < d; ++j) {
              difference.add(out(i, j), total > 0 ? w * a(i, j) + (1 - w) * b(i, j) : 0);
              difference.add(da(i, j), w * d_out(i, j));
            }
          }
          difference.expect_below(1e-5, "the fusion");
        });
      });
}

Work column_sums(index_t n, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const MatrixView<const float> x = inputs->uniform(n, d, -0.5F, 1);
  const VectorView<float> sums = inputs->values(d);
  float* workspace = inputs->room<float>(kernels::column_sums_workspace<float>(n, d));
  return memory_bound(
      inputs, 4.0 * n * d,
      [=, &context] {
        kernels::column_sums(context, kernels::ColumnSumsArguments<float>{1, x, 0, sums, workspace});
      },
      [=, &context] {
        const auto from = on_host(context, x.data, x.size()), found = on_host<float>(context, sums.data, d);
        std::vector<double> expected(static_cast<std::size_t>(d));
        for (std::size_t i = 0; i < from.size(); ++i)
          expected[i % static_cast<std::size_t>(d)] += static_cast<double>(from[i]);
        Difference difference;
        for (std::size_t j = 0; j < expected.size(); ++j) difference.add(static_cast<double>(found[j]), expected[j]);
        difference.expect_below(1e-5, "the sums");
      });
}

}  // namespace

void add_dense_cases() {
  struct Pass {
    const char* name;
    Work (*prepare)(index_t rows, index_t cols);
  };
  struct Shape {
    index_t rows, cols;
  };
  constexpr Pass passes[] = {{"normalise", normalise},
                             {"normalise_backward", normalise_backward},
                             {"gate", gate},
                             {"fusion", fusion},
                             {"column_sums", column_sums}};
  const auto add = [](const Pass& pass, const Shape& s) {
    add_case(std::string(pass.name) + "/" + std::to_string(s.rows) + "x" + std::to_string(s.cols), {"dream", "copy"},
             [pass, s] { return pass.prepare(s.rows, s.cols); });
  };
  for (const Pass& pass : passes)
    for (const Shape s : {Shape{2048, 64}, Shape{7050, 64}, Shape{8192, 64}, Shape{65536, 64}, Shape{1 << 20, 64}})
      add(pass, s);
  for (const Pass& pass : {passes[0], passes[1], passes[2]})
    for (const index_t cols : {32, 128, 256}) add(pass, {7050, cols});
  add(passes[0], {7050, 4096});
}

}  // namespace dream_benchmarks
