// Adam, flat and with the gradient multiplied out where it is used; beside the latter a product by cuBLAS and flat
// Adam.
#include <cmath>
#include <memory>
#include <span>
#include <string>

#include <dream/kernels/adam.cuh>

#include "cases.cuh"

namespace dream_benchmarks {

namespace {

/// p, m and v of rows x cols parameters, and the scalars of a step.
struct AdamState {
  AdamState(Inputs& inputs, index_t rows, index_t cols)
      : p(inputs.uniform(rows, cols)), m(inputs.uniform(rows, cols)), v(inputs.uniform(rows, cols, 0, 1)) {
    const kernels::AdamScalars<float> step{0.9F, 0.999F, 1e-8F, 1e-3F, 1.0F, 0};
    scalars = inputs.copied<kernels::AdamScalars<float>>(std::span(&step, 1)).data;
  }
  static VectorView<float> flat(MatrixView<float> m) { return {m.data, m.size()}; }
  void update(Context<Cuda>& context, MatrixView<const float> g) const {
    launch<kernels::AdamUpdate<float>>(context, {scalars, {g.data, g.size()}, flat(p), flat(m), flat(v)});
  }
  /// Runs the step once more and compares it on the first and the last rows; gradient(i, j) in double.
  template <class Run, class Gradient>
  void check(Context<Cuda>& context, Run&& run, Gradient&& gradient) const {
    at_both_ends(p.rows, [&](index_t first, index_t rows) {
      const HostRows p0(context, p, first, rows), m0(context, m, first, rows), v0(context, v, first, rows);
      run();
      const HostRows p1(context, p, first, rows), v1(context, v, first, rows);
      Difference difference;
      for (index_t i = 0; i < rows; ++i)
        for (index_t j = 0; j < p.cols; ++j) {
          const double g = gradient(first + i, j);
          const double mean = 0.9 * m0(i, j) + 0.1 * g, square = 0.999 * v0(i, j) + 0.001 * g * g;
          difference.add(v1(i, j), square);
          difference.add(p1(i, j), p0(i, j) - 1e-3 * mean / (std::sqrt(square) + 1e-8));
        }
      difference.expect_below(1e-5, "the step");
    });
  }

  MatrixView<float> p, m, v;
  const kernels::AdamScalars<float>* scalars;
};

Work adam(index_t rows, index_t cols) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const AdamState state(*inputs, rows, cols);
  const MatrixView<const float> g = inputs->uniform(rows, cols);
  const auto run = [=, &context] { state.update(context, g); };
  return memory_bound(inputs, 28.0 * rows * cols, run, [=, &context] {
    const HostRows gradient(context, g, 0, rows);
    state.check(context, run, [&](index_t i, index_t j) { return gradient(i, j); });
  });
}

Work adam_factored(index_t rows, index_t cols, index_t factors) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const AdamState state(*inputs, rows, cols);
  const MatrixView<const float> left = inputs->uniform(rows, factors), right = inputs->uniform(cols, factors);
  const MatrixView<float> g = inputs->matrix(rows, cols);
  const auto run = [=, &context] {
    launch<kernels::AdamUpdateFactored<float>>(context, {state.scalars, left, right, state.p, state.m, state.v});
  };
  Work work = memory_bound(inputs, 24.0 * rows * cols, run, [=, &context] {
    const HostRows a(context, left, 0, rows), b(context, right, 0, cols);
    state.check(context, run, [&](index_t i, index_t j) {
      double sum = 0;
      for (index_t k = 0; k < factors; ++k) sum += a(i, k) * b(j, k);
      return sum;
    });
  });
  work.operations = 2.0 * rows * cols * factors;
  work.contenders.insert(work.contenders.begin() + 1, {"cublas_and_flat", [=, &context] {
                                                         gemm<float>(context, Op::none, Op::transpose, 1.0F, left,
                                                                     right, 0.0F, g);
                                                         state.update(context, g);
                                                       }});
  return work;
}

}  // namespace

void add_adam_cases() {
  struct Shape {
    index_t rows, cols;
  };
  for (const Shape s : {Shape{26495, 64}, Shape{7050, 4480}})
    add_case("adam/" + std::to_string(s.rows) + "x" + std::to_string(s.cols), {"dream", "copy"},
             [s] { return adam(s.rows, s.cols); });
  add_case("adam_factored/7050x4096/64", {"dream", "cublas_and_flat", "copy"},
           [] { return adam_factored(7050, 4096, 64); });
}

}  // namespace dream_benchmarks
