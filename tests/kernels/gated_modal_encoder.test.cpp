#include <cmath>
#include <limits>

#include <dream/kernels/gated_modal_encoder.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

namespace dream_tests::kernels_gated_modal_encoder {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

template <class T>
struct Gated {
  KernelMatrix<T> gate, h;
};
template <class T>
Gated<T> gate(KernelMatrix<T>& e, KernelMatrix<T>& b, const KernelMatrix<T>& pre, Layout out = {}) {
  Gated<T> found{pre, {e.rows(), e.cols(), out}};
  const auto report = check_kernel<GateForward<T>>([&](KernelBuffers& use) {
    return typename GateForward<T>::Params{use.input(e.view()), use.input(b.view()), use.output(found.gate.view()),
                                           use.output(found.h.view())};
  });
  REQUIRE(report.text() == "");
  return found;
}

}  // namespace

TEMPLATE_TEST_CASE("The gate is the sigmoid of the biased values, and multiplies", "", float, double) {
  using T = TestType;
  int turn = 0;
  for (const MatrixShape& s : matrix_shapes)
    for (int k = 0; k < 2; ++k, ++turn) {
      const Layout in = layouts[turn % 4], out = layouts[(turn / 4 + turn) % 4];
      auto e = KernelMatrix<T>::random(s.rows, s.cols, 1, in), b = KernelMatrix<T>::random(1, s.cols, 2, in);
      const auto pre = KernelMatrix<T>::random(s.rows, s.cols, 3, out, 5);
      const Gated<T> found = gate(e, b, pre, out);
      const auto sigmoid = [&](index_t i, index_t j) { return 1 / (1 + std::exp(-(pre.at(i, j) + b.at(0, j)))); };
      // The argument, up to 25, is rounded once; a sigmoid's slope is at most a quarter.
      require_near(found.gate, sigmoid, 10 * rounding<T>);
      require_near(
          found.h, [&](index_t i, index_t j) { return e.at(i, j) * sigmoid(i, j); }, 50 * rounding<T>);
    }
}

TEST_CASE("Gates of large values are 0 and 1, and NaN stays") {
  auto e = KernelMatrix<float>(1, 6), b = KernelMatrix<float>(1, 6), pre = KernelMatrix<float>(1, 6);
  const float infinity = std::numeric_limits<float>::infinity();
  const float values[] = {1000, -1000, infinity, -infinity, std::nanf(""), 0};
  const double expected[] = {1, 0, 1, 0, std::nan(""), 0.5};
  e.fill([](auto, auto) { return 2; });
  b.fill([](auto, auto) { return 0; });
  pre.fill([&](auto, index_t j) { return values[j]; });
  const Gated<float> found = gate(e, b, pre);
  require_near(
      found.gate, [&](auto, index_t j) { return expected[j]; }, 0);
  require_near(
      found.h, [&](auto, index_t j) { return 2 * expected[j]; }, 0);
}

TEMPLATE_TEST_CASE("The gate's backward gives both gradients, or the one that is wanted", "", float, double) {
  using T = TestType;
  int turn = 0;
  for (const MatrixShape& s : matrix_shapes)
    for (int k = 0; k < 2; ++k, ++turn) {
      const Layout in = layouts[turn % 4], out = layouts[(turn / 4 + turn) % 4];
      const T beta = turn % 3 == 0 ? T{0} : T{-0.5};
      const bool wanted = turn % 5 != 2;
      auto e = KernelMatrix<T>::random(s.rows, s.cols, 4, in), gates = KernelMatrix<T>::random(s.rows, s.cols, 5, in),
           dh = KernelMatrix<T>::random(s.rows, s.cols, 6, in);
      gates.fill([&](index_t i, index_t j) { return 1 / (1 + std::exp(-gates.at(i, j))); });
      KernelMatrix<T> d_pre(s.rows, s.cols, in), de(s.rows, s.cols, out);
      if (beta != T{0}) de = KernelMatrix<T>::random(s.rows, s.cols, 7, out);
      const KernelMatrix<T> before = de;
      const auto report = check_kernel<GateBackward<T>>([&](KernelBuffers& use) {
        GradientTarget<T> target{use.output(de.view()), beta};
        if (!wanted) target = {};
        return typename GateBackward<T>::Params{use.input(e.view()), use.input(gates.view()), use.input(dh.view()),
                                                use.output(d_pre.view()), target};
      });
      REQUIRE(report.text() == "");
      // Products of up to four numbers, of 5 * 5 at most.
      require_near(
          d_pre, [&](index_t i, index_t j) { return dh.at(i, j) * e.at(i, j) * gates.at(i, j) * (1 - gates.at(i, j)); },
          30 * rounding<T>);
      require_near(
          de,
          [&](index_t i, index_t j) {
            if (!wanted) return before.at(i, j);
            return dh.at(i, j) * gates.at(i, j) + (beta == T{0} ? 0 : -0.5 * before.at(i, j));
          },
          10 * rounding<T>);
    }
}

TEST_CASE("The gate's gradients are those of finite differences") {
  const index_t rows = 5, cols = 7;
  auto e = KernelMatrix<double>::random(rows, cols, 8), b = KernelMatrix<double>::random(1, cols, 9);
  auto pre = KernelMatrix<double>::random(rows, cols, 10), dh = KernelMatrix<double>::random(rows, cols, 11);
  Gated<double> found = gate(e, b, pre);
  KernelMatrix<double> d_pre(rows, cols), de(rows, cols);
  Context<Emulated> context;
  launch<GateBackward<double>>(context, {e.view(), found.gate.view(), dh.view(), d_pre.view(), {de.view(), 0}});
  const auto loss = [&](double change_pre, double change_e, index_t i, index_t j) {
    return dh.at(i, j) * (e.at(i, j) + change_e) / (1 + std::exp(-(pre.at(i, j) + change_pre + b.at(0, j))));
  };
  // Central differences: third derivatives times h^2, and rounding over h.
  constexpr double h = 1e-5;
  require_near(
      d_pre, [&](index_t i, index_t j) { return (loss(h, 0, i, j) - loss(-h, 0, i, j)) / (2 * h); }, 1e-9);
  require_near(
      de, [&](index_t i, index_t j) { return (loss(0, h, i, j) - loss(0, -h, i, j)) / (2 * h); }, 1e-9);
}

}  // namespace dream_tests::kernels_gated_modal_encoder
