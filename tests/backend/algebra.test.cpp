#include <dream/backend/algebra.hpp>

#include <cmath>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

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

TEST_CASE("The vectorised exponential agrees with the library's and stays finite at the ends of the range") {
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
  std::vector<float> ends(20, -1000.0f);
  ends[3] = 1000.0f;
  exponential(ends.data(), 20);
  for (const float v : ends) REQUIRE((v >= 0 && !std::isnan(v)));
}
