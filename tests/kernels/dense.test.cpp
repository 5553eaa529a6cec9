#include <cmath>
#include <limits>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/kernels/dense.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

/// f(shape, layout of inputs, layout of outputs, turn) for all shapes, with layouts that meet each other by turns.
template <class F>
void for_all_shapes(F&& f) {
  int turn = 0;
  for (const MatrixShape& shape : matrix_shapes)
    for (int k = 0; k < 2; ++k, ++turn) f(shape, layouts[turn % 4], layouts[(turn / 4 + turn) % 4], turn);
}

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

TEMPLATE_TEST_CASE("Column sums agree with plain loops, over several pieces too", "", float, double) {
  using T = TestType;
  const auto check = [](MatrixShape s, Layout layout, int turn) {
    const T beta = turn % 3 == 0 ? T{0} : T{2};
    auto x = KernelMatrix<T>::random(s.rows, s.cols, 8, layout), sums = KernelMatrix<T>(1, s.cols);
    if (beta != T{0}) sums = KernelMatrix<T>::random(1, s.cols, 9);
    const KernelMatrix<T> before = sums;
    KernelMatrix<T> workspace(1, static_cast<index_t>(column_sums_workspace<T>(s.rows, s.cols)));
    const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
      column_sums(context, ColumnSumsArguments<T>{T{-0.5}, use.input(x.view()), beta, use.output(sums.vector()),
                                                  use.output(workspace.vector()).data});
    });
    REQUIRE(report.text() == "");
    // Each of n terms, up to 5, is in at most n sums, in a random walk of roundings.
    require_near(
        sums,
        [&](index_t, index_t j) {
          double sum = 0;
          for (index_t i = 0; i < s.rows; ++i) sum += x.at(i, j);
          return -0.5 * sum + (beta == T{0} ? 0 : 2 * before.at(0, j));
        },
        (20 + 5 * s.rows) * rounding<T>);
  };
  for_all_shapes([&](MatrixShape s, Layout in, Layout, int turn) { check(s, in, turn); });
  check({1000, 5}, {}, 0);
  check({33000, 2}, {3, 1}, 1);  // pieces of more than 64 rows
}

TEST_CASE("Column sums have the same bits wherever the matrix lies") {
  auto x = KernelMatrix<float>::random(150, 37, 10), apart = KernelMatrix<float>::random(150, 37, 10, {3, 1});
  const auto sums_of = [](KernelMatrix<float>& m) {
    Context<Emulated> context;
    KernelMatrix<float> sums(1, m.cols());
    std::vector<float> workspace(static_cast<std::size_t>(column_sums_workspace<float>(m.rows(), m.cols())));
    column_sums(context, ColumnSumsArguments<float>{1, m.view(), 0, sums.vector(), workspace.data()});
    return sums;
  };
  const KernelMatrix<float> expected = sums_of(x);
  require_near(
      sums_of(apart), [&](index_t i, index_t j) { return expected.at(i, j); }, 0);
}

TEMPLATE_TEST_CASE("Dot products of several pairs agree with plain loops and add up", "", float, double) {
  using T = TestType;
  const auto check = [](MatrixShape s, Layout in, Layout other, int turn) {
    const double beta = turn % 2;
    auto x = KernelMatrix<T>::random(s.rows, s.cols, 11, in), y = KernelMatrix<T>::random(s.rows, s.cols, 12, other);
    auto z = KernelMatrix<T>::random(7, 5, 13);
    std::vector<double> out(3, beta == 0 ? std::nan("") : 10);
    std::vector<double> workspace(static_cast<std::size_t>(dot_products_workspace(3)), std::nan(""));
    const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
      const MatrixView<const T> a = use.input(x.view()), b = use.input(y.view()), c = use.input(z.view());
      dot_products(context, DotProductsArguments<T>{{a, a, c},
                                                    {b, a, c},
                                                    3,
                                                    beta,
                                                    use.output(out.data(), 3),
                                                    use.output(workspace.data(), dot_products_workspace(3))});
    });
    REQUIRE(report.text() == "");
    double expected[] = {0, 0, 0}, size = 0;
    for (index_t i = 0; i < s.rows; ++i)
      for (index_t j = 0; j < s.cols; ++j) {
        expected[0] += x.at(i, j) * y.at(i, j);
        expected[1] += x.at(i, j) * x.at(i, j);
        size += std::abs(x.at(i, j) * y.at(i, j)) + x.at(i, j) * x.at(i, j);
      }
    for (index_t i = 0; i < 7; ++i)
      for (index_t j = 0; j < 5; ++j) expected[2] += z.at(i, j) * z.at(i, j);
    // Sums in double, of at most 8192 terms in two orders.
    const double tolerance = 1e-13 * (size + 100);
    for (std::size_t k = 0; k < 3; ++k) REQUIRE(std::abs(out[k] - expected[k] - (beta == 0 ? 0 : 10)) <= tolerance);
  };
  for_all_shapes(check);
  check({2500, 3}, {}, {}, 0);
}

TEST_CASE("Dot products do not overflow in float, and keep NaN") {
  auto x = KernelMatrix<float>(3, 50);
  x.fill([](auto, auto) { return 1e30; });
  const auto square = [&] {
    Context<Emulated> context;
    std::vector<double> workspace(static_cast<std::size_t>(dot_products_workspace(1)));
    double out = 0;
    DotProductsArguments<float> a{{x.view()}, {x.view()}, 1, 0, &out, workspace.data()};
    dot_products(context, a);
    return out;
  };
  REQUIRE(square() == Approx(150e60));  // exact but for 1e30 in float
  x(2, 49) = std::numeric_limits<float>::quiet_NaN();
  REQUIRE(std::isnan(square()));
}
