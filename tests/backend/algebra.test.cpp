#include <dream/backend/algebra.hpp>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <vector>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::backend_algebra {

using namespace dream;
using dream_test::random_matrix;

TEST_CASE("Sums over rows agree with plain loops around the borders of pieces, with equal bits on any threads") {
  for (const index_t rows : {0, 1, 511, 512, 513, 1500})
    for (const index_t cols : {1, 7, 64}) {
      const auto x = random_matrix<float>(rows, cols, 1), y = random_matrix<float>(rows, cols, 2);
      double expected = 0;
      std::vector<double> columns(static_cast<std::size_t>(cols), 0.0);
      for (index_t i = 0; i < rows; ++i)
        for (index_t j = 0; j < cols; ++j) {
          expected += static_cast<double>(x(i, j)) * static_cast<double>(y(i, j));
          columns[static_cast<std::size_t>(j)] += static_cast<double>(x(i, j));
        }
      double first = 0;
      Matrix<float, Cpu> first_sums(1, cols);
      for (const int threads : {1, 2, 3}) {
        Context<Cpu> context(threads);
        const double found = dot<float>(context, x.view(), y.view());
        CHECK(std::abs(found - expected) <= 1e-10 * rows * cols);
        Matrix<float, Cpu> sums(1, cols);
        sums.fill(std::nanf(""));
        column_sums<float>(context, 2.0f, x.view(), 0.0f, sums.view());
        for (index_t j = 0; j < cols; ++j)
          CHECK(std::abs(static_cast<double>(sums(0, j)) - 2 * columns[static_cast<std::size_t>(j)]) <=
                1e-4 * (rows + 1));
        if (threads == 1) {
          first = found;
          copy<float>(context, sums.view(), first_sums.view());
        }
        CHECK(found == first);
        CHECK(std::equal(sums.data(), sums.data() + cols, first_sums.data()));
        column_sums<float>(context, 2.0f, x.view(), 1.0f, sums.view());
        for (index_t j = 0; j < cols; ++j) CHECK(sums(0, j) == 2 * first_sums(0, j));
      }
    }
}

TEST_CASE("Rows are normalised to length 1, tiny and huge ones too, and zero rows stay zero") {
  Context<Cpu> context(2);
  auto x = random_matrix<float>(300, 9, 1, 10);
  for (index_t j = 0; j < 9; ++j) x(0, j) *= 1e-25f, x(1, j) *= 1e25f;  // squares leave the range of floats
  Matrix<float, Cpu> y(300, 9);
  Array<float, Cpu> inverse(300);
  normalise_rows<float>(context, x.view(), y.view(), inverse.view());
  for (index_t i = 0; i < 300; ++i) {
    double squares = 0;
    for (index_t j = 0; j < 9; ++j) squares += static_cast<double>(y(i, j)) * static_cast<double>(y(i, j));
    CHECK(std::abs(squares - (i % 10 == 9 ? 0.0 : 1.0)) < 1e-6);
    CHECK((inverse[i] == 0.0f) == (i % 10 == 9));
  }
  normalise_rows<float>(context, x.view(), x.view(), inverse.view());  // in place
  CHECK(std::equal(x.data(), x.data() + x.size(), y.data()));
}

TEST_CASE("Rows of extreme norm become unit rows too, and others keep the bits of the plain formula") {
  const auto check = [](auto zero, std::initializer_list<double> magnitudes) {
    using T = decltype(zero);
    Context<Cpu> context(2);
    const index_t cols = 19;
    const auto pattern = random_matrix<T>(1, cols, 3);
    double squares = 0;
    for (index_t j = 0; j < cols; ++j)
      squares += static_cast<double>(pattern(0, j)) * static_cast<double>(pattern(0, j));
    for (const double magnitude : magnitudes) {
      Matrix<T, Cpu> x(2, cols), y(2, cols), dy(2, cols), dx(2, cols);
      for (index_t j = 0; j < cols; ++j) {
        x(0, j) = static_cast<T>(magnitude * static_cast<double>(pattern(0, j)));
        x(1, j) = pattern(0, j);
      }
      Array<T, Cpu> inverse(2);
      normalise_rows<T>(context, x.view(), y.view(), inverse.view());
      // Subnormal numbers have few digits.
      const double digits = std::max(4.0 * std::numeric_limits<T>::epsilon(),
                                     2 * static_cast<double>(std::numeric_limits<T>::denorm_min()) / magnitude);
      for (index_t j = 0; j < cols; ++j) {
        INFO(magnitude << " at " << j);
        REQUIRE(std::abs(static_cast<double>(y(0, j)) - static_cast<double>(pattern(0, j)) / std::sqrt(squares)) <=
                digits);
        REQUIRE(y(1, j) == pattern(0, j) * static_cast<T>(1 / std::sqrt(squares)));
      }
      REQUIRE((inverse[0] > 0 && std::isfinite(inverse[0])));
      const double expected = std::min(1 / magnitude / std::sqrt(squares), double{std::numeric_limits<T>::max()});
      REQUIRE(std::abs(static_cast<double>(inverse[0]) / expected - 1) <
              std::max(100 * digits, 2 * static_cast<double>(std::numeric_limits<T>::denorm_min()) / expected));
      // The gradient across the row is about 1 / |x|: too large for a number perhaps, but not NaN.
      dy.fill(0);
      normalise_rows_backward<T>(context, T{3}, y.view(), inverse.view(), dy.view(), T{0}, dx.view());
      for (index_t j = 0; j < cols; ++j) REQUIRE(dx(0, j) == T{0});
      normalise_rows<T>(context, x.view(), x.view(), inverse.view());  // in place
      REQUIRE(std::equal(x.data(), x.data() + x.size(), y.data()));
    }
    // What is not finite stays visible.
    Matrix<T, Cpu> x(2, 3), y(2, 3);
    x.fill(1);
    x(0, 1) = std::numeric_limits<T>::quiet_NaN();
    x(1, 1) = std::numeric_limits<T>::infinity();
    Array<T, Cpu> inverse(2);
    normalise_rows<T>(context, x.view(), y.view(), inverse.view());
    REQUIRE(std::isnan(y(0, 1)));
    REQUIRE(std::isnan(y(1, 1)));
    REQUIRE(inverse[0] == T{0});
    REQUIRE(inverse[1] == T{0});
  };
  check(0.0f, {1e-44, 1e-40, 1e-38, 1e-25, 1e25, 3e37, 1e38});
  check(0.0, {1e-320, 1e-310, 1e-200, 1e-160, 1e-150, 1e150, 1e160, 1e307, 5e307});
}

TEST_CASE("axpby reads y only when beta is not 0") {
  Context<Cpu> context(2);
  const auto x = random_matrix(600, 3, 1);
  Matrix<double, Cpu> y(600, 3);
  y.fill(std::nan(""));
  axpby<double>(context, 2.0, x.view(), 0.0, y.view());
  for (std::int64_t k = 0; k < y.size(); ++k) REQUIRE(y.data()[k] == 2 * x.data()[k]);
  axpby<double>(context, 1.0, x.view(), -0.5, y.view());
  for (std::int64_t k = 0; k < y.size(); ++k) REQUIRE(y.data()[k] == 0.0);
  Matrix<double, Cpu> other(600, 2);
  REQUIRE_ERROR(axpby<double>(context, 1.0, x.view(), 0.0, other.view()), "x is 600 x 3, y is 600 x 2");
}

TEST_CASE("The vectorised exponential agrees with the library's wherever a value stands") {
  for (const std::int64_t count : {1, 3, 16, 17, 1000}) {
    std::vector<float> x, expected;
    for (std::int64_t k = 0; k < count; ++k) {
      x.push_back(static_cast<float>(k) * 0.17f - 80.0f);
      if (x.back() > 80) x.back() = 80;
      expected.push_back(std::exp(x.back()));
    }
    exponential(x.data(), count);
    for (std::size_t k = 0; k < x.size(); ++k) REQUIRE(std::abs(x[k] / expected[k] - 1) < 1e-6f);
  }
  for (int k = 0; k < 100; ++k) {  // one value everywhere: the last bit may differ, no more
    std::vector<float> same(41, 0.06f * static_cast<float>(k) - 3.0f);
    exponential(same.data() + 1, 40);
    for (std::size_t j = 2; j < 41; ++j) REQUIRE(std::abs(same[j] / same[1] - 1) < 3e-7f);
  }
}

TEST_CASE("The vectorised exponential beyond the range is as good as 0 or infinite, and NaN for NaN only") {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    for (const std::size_t count : {1, 7, 16, 40})
      for (std::size_t at = 0; at < count; ++at) {
        std::vector<T> x(count, T{1});
        for (const T big : {T{1000}, std::numeric_limits<T>::max(), std::numeric_limits<T>::infinity()}) {
          x.assign(count, T{1});
          x[at] = big;
          exponential(x.data(), static_cast<std::int64_t>(count));
          REQUIRE(x[at] > std::numeric_limits<T>::max() / 2);
          x.assign(count, T{1});
          x[at] = -big;
          exponential(x.data(), static_cast<std::int64_t>(count));
          REQUIRE((x[at] >= 0 && x[at] < 2 * std::numeric_limits<T>::min()));
        }
        x.assign(count, T{1});
        x[at] = std::numeric_limits<T>::quiet_NaN();
        exponential(x.data(), static_cast<std::int64_t>(count));
        for (std::size_t j = 0; j < count; ++j) REQUIRE(std::isnan(x[j]) == (j == at));
      }
  };
  check(0.0f);
  check(0.0);
}

}  // namespace dream_tests::backend_algebra
