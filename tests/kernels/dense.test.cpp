#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <dream/kernels/dense.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

namespace dream_tests::kernels_dense {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

template <class T>
std::vector<std::uint8_t> every_third_dropped(index_t rows) {
  std::vector<std::uint8_t> keep(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < keep.size(); ++i) keep[i] = i % 3 != 1;
  return keep;
}

}  // namespace

TEMPLATE_TEST_CASE("Fill writes every element and nothing between the rows", "", float, double) {
  using T = TestType;
  for_all_shapes([](MatrixShape s, Layout, Layout layout, int) {
    KernelMatrix<T> y(s.rows, s.cols, layout);
    const auto report = check_kernel<Fill<T>>([&](KernelBuffers& use) {
      return typename Fill<T>::Params{T{2.5}, use.output(y.view())};
    });
    REQUIRE(report.text() == "");
    require_near(
        y, [](auto, auto) { return 2.5; }, 0);
  });
}

TEMPLATE_TEST_CASE("Axpby is alpha scale x + beta y, and with beta 0 does not read y", "", float, double) {
  using T = TestType;
  for_all_shapes([](MatrixShape s, Layout in, Layout out, int turn) {
    const T beta = turn % 3 == 0 ? T{0} : turn % 3 == 1 ? T{1} : T{-0.75};
    T scale = turn % 4 < 2 ? T{1} : T{3};
    auto x = KernelMatrix<T>::random(s.rows, s.cols, 1, in), y = KernelMatrix<T>(s.rows, s.cols, out);
    if (beta != T{0}) y = KernelMatrix<T>::random(s.rows, s.cols, 2, out);
    const KernelMatrix<T> before = y;
    const auto report = check_kernel<Axpby<T>>([&](KernelBuffers& use) {
      return typename Axpby<T>::Params{T{1.5}, scale == T{1} ? nullptr : use.input(&scale, 1), use.input(x.view()),
                                       beta, use.output(y.view())};
    });
    REQUIRE(report.text() == "");
    // Two products and a sum, of numbers up to 5 * 4.5.
    require_near(
        y,
        [&](index_t i, index_t j) {
          return 1.5 * static_cast<double>(scale) * x.at(i, j) +
                 (beta == T{0} ? 0 : static_cast<double>(beta) * before.at(i, j));
        },
        60 * rounding<T>);
  });
}

TEST_CASE("Axpby scales a matrix in its place") {
  auto x = KernelMatrix<double>::random(37, 65, 3, {3, 1});
  const KernelMatrix<double> before = x;
  double scale = -2;
  const auto report = check_kernel<Axpby<double>>([&](KernelBuffers& use) {
    const MatrixView<double> view = use.output(x.view());
    return Axpby<double>::Params{0.5, use.input(&scale, 1), view, 0, view};
  });
  REQUIRE(report.text() == "");
  require_near(
      x, [&](index_t i, index_t j) { return -before.at(i, j); }, 0);
}

TEMPLATE_TEST_CASE("MaskedAxpby takes x of the kept rows only, whatever the others hold", "", float, double) {
  using T = TestType;
  for_all_shapes([](MatrixShape s, Layout in, Layout out, int turn) {
    const T beta = turn % 3 == 0 ? T{0} : T{1};
    std::vector<std::uint8_t> keep = every_third_dropped<T>(s.rows);
    auto x = KernelMatrix<T>::random(s.rows, s.cols, 4, in), y = KernelMatrix<T>(s.rows, s.cols, out);
    for (index_t i = 1; i < s.rows; i += 3)
      for (index_t j = 0; j < s.cols; ++j) x(i, j) = std::numeric_limits<T>::quiet_NaN();
    if (beta != T{0}) y = KernelMatrix<T>::random(s.rows, s.cols, 5, out);
    const KernelMatrix<T> before = y;
    const auto report = check_kernel<MaskedAxpby<T>>([&](KernelBuffers& use) {
      return typename MaskedAxpby<T>::Params{
          use.input(VectorView<const std::uint8_t>{keep.data(), static_cast<std::int64_t>(keep.size())}),
          use.input(x.view()), beta, use.output(y.view())};
    });
    REQUIRE(report.text() == "");
    // One sum of numbers up to 5.
    require_near(
        y, [&](index_t i, index_t j) { return (i % 3 != 1 ? x.at(i, j) : 0) + (beta == T{0} ? 0 : before.at(i, j)); },
        10 * rounding<T>);
  });
}

TEMPLATE_TEST_CASE("AddToRows adds the row to every row", "", float, double) {
  using T = TestType;
  for_all_shapes([](MatrixShape s, Layout in, Layout out, int) {
    auto b = KernelMatrix<T>::random(1, s.cols, 6, in), y = KernelMatrix<T>::random(s.rows, s.cols, 7, out);
    const KernelMatrix<T> before = y;
    const auto report = check_kernel<AddToRows<T>>([&](KernelBuffers& use) {
      return typename AddToRows<T>::Params{use.input(b.view()), use.output(y.view())};
    });
    REQUIRE(report.text() == "");
    // One sum of numbers up to 5.
    require_near(
        y, [&](index_t i, index_t j) { return before.at(i, j) + b.at(0, j); }, 10 * rounding<T>);
  });
}

}  // namespace dream_tests::kernels_dense
