#include <algorithm>
#include <cmath>
#include <limits>

#include <dream/backend/algebra.hpp>
#include <dream/kernels/row_norm.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

namespace dream_tests::kernels_row_norm {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

template <class T>
long double norm_of_row(const KernelMatrix<T>& x, index_t i) {
  long double sum = 0;
  for (index_t j = 0; j < x.cols(); ++j) sum += static_cast<long double>(x.at(i, j)) * x.at(i, j);
  return std::sqrt(sum);
}

template <class T>
struct Normalised {
  KernelMatrix<T> y, inverse;
};
/// What the kernels make of x, in all thread orders.
template <class T>
Normalised<T> normalise(KernelMatrix<T>& x, Layout out = {}, bool wants_y = true) {
  Normalised<T> found{{x.rows(), x.cols(), out}, {1, x.rows()}};
  const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    const MatrixView<T> y = use.output(found.y.view());
    normalise_rows(context, NormaliseRowsArguments<T>{use.input(x.view()), wants_y ? y : MatrixView<T>{},
                                                      use.output(found.inverse.vector())});
  });
  REQUIRE(report.text() == "");
  return found;
}

/// Exact to rounding against long double, whose range holds the squares of all finite numbers.
template <class T>
void require_normalised(const KernelMatrix<T>& x, const Normalised<T>& found) {
  const auto norm = [&](index_t i) { return norm_of_row(x, i); };
  const auto unit = [&](index_t i, index_t j) {
    return norm(i) == 0 ? 0 : static_cast<double>(static_cast<long double>(x.at(i, j)) / norm(i));
  };
  const auto inverse = [&](index_t, index_t i) {
    constexpr long double most = std::numeric_limits<T>::max();
    return norm(i) == 0 ? 0 : static_cast<double>(std::min(most, 1 / norm(i)));
  };
  // The sum of squares, in double, is rounded to T; root, quotient and product add half a unit each. In double the sum
  // of up to 128 terms in each thread and a tree adds a few.
  constexpr double units = sizeof(T) == 4 ? 2 : 10, least = std::numeric_limits<T>::denorm_min();
  require_near(found.y, unit, [&](index_t i, index_t j) { return units * rounding<T> * std::abs(unit(i, j)) + least; });
  require_near(found.inverse, inverse,
               [&](index_t i, index_t j) { return units * rounding<T> * inverse(i, j) + least; });
}

}  // namespace

TEMPLATE_TEST_CASE("Rows are divided by their norms, exact to rounding", "", float, double) {
  using T = TestType;
  std::size_t turn = 0;
  for (const MatrixShape& s : matrix_shapes)
    for (int k = 0; k < 2; ++k, ++turn) {
      auto x = KernelMatrix<T>::random(s.rows, s.cols, 1, layouts[turn % 4], 3);
      require_normalised(x, normalise(x, layouts[(turn / 4 + turn) % 4]));
    }
}

TEMPLATE_TEST_CASE("Rows of any finite size are divided by their norms, exact to rounding", "", float, double) {
  using T = TestType;
  for (const index_t cols : dream_test::sizes({1, 64}, {1, 5, 64, 100, 1100})) {
    auto x = KernelMatrix<T>::random(60, cols, 2, {0, 1});
    for (index_t i = 0; i < x.rows(); ++i)
      for (index_t j = 0; j < cols; ++j) {
        // From the least magnitude to the largest: every row its own.
        const int span = std::numeric_limits<T>::max_exponent - std::numeric_limits<T>::min_exponent +
                         std::numeric_limits<T>::digits;
        const int exponent =
            std::numeric_limits<T>::min_exponent - std::numeric_limits<T>::digits + span * i / x.rows() - 1;
        x(i, j) = std::ldexp(std::clamp(x(i, j), T{-1.5}, T{1.5}), exponent);
      }
    for (index_t j = 0; j < cols; ++j) {
      x(0, j) = 0;
      x(1, j) = std::numeric_limits<T>::denorm_min();
      x(2, j) = std::numeric_limits<T>::max();
      x(3, j) = j == cols / 2 ? std::numeric_limits<T>::denorm_min() : T{0};
      x(4, j) = j == cols / 2 ? std::numeric_limits<T>::max() : std::numeric_limits<T>::denorm_min();
      x(5, j) = -std::numeric_limits<T>::min();
    }
    require_normalised(x, normalise(x));
  }
}

TEMPLATE_TEST_CASE("Zero rows and rows with values that are not finite come out as on the host", "", float, double) {
  using T = TestType;
  constexpr T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  for (const index_t cols : {1, 7, 64, 1025}) {
    auto x = KernelMatrix<T>::random(40, cols, 3);
    const index_t last = cols - 1;
    for (index_t j = 0; j < cols; ++j) x(2, j) = x(3, j) = x(20, j) = 0;
    x(3, last) = nan;
    x(4, last) = nan;
    x(5, 0) = infinity;
    x(6, last) = -infinity;
    x(30, 0) = infinity;
    x(30, last) = nan;
    const Normalised<T> found = normalise(x);
    Context<Cpu> host;
    Normalised<T> expected{{40, cols}, {1, 40}};
    normalise_rows<T>(host, x.view(), expected.y.view(), expected.inverse.vector());
    // The same roundings, but for the order of the sum.
    require_near(
        found.y, [&](index_t i, index_t j) { return expected.y.at(i, j); }, 3 * rounding<T>);
    for (const index_t i : {2, 3, 4, 5, 6, 20, 30}) REQUIRE(found.inverse.at(0, i) == 0);
    REQUIRE(std::isnan(found.y.at(5, 0)));
  }
}

TEST_CASE("Inverse norms alone leave everything else as it is") {
  auto x = KernelMatrix<float>::random(33, 100, 4);
  const Normalised<float> both = normalise(x), alone = normalise(x, {}, false);
  require_near(
      alone.inverse, [&](index_t i, index_t j) { return both.inverse.at(i, j); }, 0);
  require_near(
      alone.y, [](auto, auto) { return std::nan(""); }, 0);
}

TEST_CASE("Rows can be divided in place, with the same bits wherever they lie") {
  auto x = KernelMatrix<float>::random(33, 70, 5, {3, 1}), aligned = KernelMatrix<float>::random(33, 70, 5);
  const Normalised<float> expected = normalise(aligned);
  KernelMatrix<float> inverse(1, 33);
  const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    const MatrixView<float> view = use.output(x.view());
    normalise_rows(context, NormaliseRowsArguments<float>{view, view, use.output(inverse.vector())});
  });
  REQUIRE(report.text() == "");
  require_near(
      x, [&](index_t i, index_t j) { return expected.y.at(i, j); }, 0);
}

TEMPLATE_TEST_CASE("The gradient through the norms is scale (dy - y (y . dy)) / |x|, added with beta", "", float,
                   double) {
  using T = TestType;
  int turn = 0;
  for (const MatrixShape& s : matrix_shapes)
    for (int k = 0; k < 2; ++k, ++turn) {
      const Layout in = layouts[turn % 4], out = layouts[(turn / 4 + turn) % 4];
      const T beta = turn % 3 == 0 ? T{0} : T{1};
      T scale = T{-1.5};
      auto x = KernelMatrix<T>::random(s.rows, s.cols, 6), dy = KernelMatrix<T>::random(s.rows, s.cols, 7, in);
      KernelMatrix<T> y(s.rows, s.cols, in), inverse(1, s.rows), dx(s.rows, s.cols, out);
      for (index_t i = 0; i < s.rows; ++i) {
        const double norm = i == 2 ? 0 : static_cast<double>(norm_of_row(x, i));
        inverse(0, i) = norm == 0 ? T{0} : static_cast<T>(1 / norm);
        for (index_t j = 0; j < s.cols; ++j) y(i, j) = norm == 0 ? T{0} : static_cast<T>(x.at(i, j) / norm);
      }
      if (beta != T{0}) dx = KernelMatrix<T>::random(s.rows, s.cols, 8, out);
      const KernelMatrix<T> before = dx;
      const bool scales = turn % 2 == 1;
      const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
        normalise_rows_backward(context,
                                NormaliseRowsBackwardArguments<T>{T{2}, scales ? use.input(&scale, 1) : nullptr,
                                                                  use.input(y.view()), use.input(inverse.vector()),
                                                                  use.input(dy.view()), beta, use.output(dx.view())});
      });
      REQUIRE(report.text() == "");
      const auto expected = [&](index_t i, index_t j) {
        double along = 0;
        for (index_t c = 0; c < s.cols; ++c) along += y.at(i, c) * dy.at(i, c);
        const double g = (scales ? -3 : 2) * inverse.at(0, i) * (dy.at(i, j) - y.at(i, j) * along);
        return g + (beta == T{0} ? 0 : before.at(i, j));
      };
      // y . dy is a sum of up to 4099 terms below 5 times a unit vector's; a row of one value has 1 / |x| up to 1000.
      require_near(dx, expected, [&](index_t i, index_t) { return rounding<T> * (40 + 400 * inverse.at(0, i)); });
    }
}

TEST_CASE("An inverse norm beyond the range of numbers gives no NaN") {
  KernelMatrix<float> y(1, 5), inverse(1, 1), dy(1, 5), dx(1, 5);
  y.fill([](auto, index_t j) { return j == 0 ? 1 : 0; });
  dy.fill([](auto, index_t j) { return j < 2 ? 2 : 0; });
  inverse(0, 0) = std::numeric_limits<float>::max();
  const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    normalise_rows_backward(
        context, NormaliseRowsBackwardArguments<float>{10, nullptr, use.input(y.view()), use.input(inverse.vector()),
                                                       use.input(dy.view()), 0, use.output(dx.view())});
  });
  REQUIRE(report.text() == "");
  REQUIRE(dx(0, 0) == 0);
  REQUIRE(dx(0, 1) == std::numeric_limits<float>::infinity());
  for (index_t j = 2; j < 5; ++j) REQUIRE(dx(0, j) == 0);
}

}  // namespace dream_tests::kernels_row_norm
