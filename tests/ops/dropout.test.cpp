#include <dream/ops/dropout.hpp>

#include <cmath>
#include <limits>

#include <dream/testing/gradient_check.hpp>

#include "ops/inputs.hpp"
#include "ops/outcome.hpp"
#include "support/catch.hpp"

namespace dream_tests::ops_dropout {

using namespace dream;
using dream_test::random_matrix;
using dream_test::require_same_by_kernels;

namespace {

/// Which values of a matrix of ones are kept, in order.
std::vector<bool> kept(index_t rows, index_t cols, double rate, std::uint64_t seed, std::uint32_t stream,
                       std::uint32_t step) {
  Context<Cpu> context(2);
  Matrix<float, Cpu> ones(rows, cols), y(rows, cols);
  ones.fill(1);
  Dropout<float, Cpu> op(rate, seed, stream);
  op.select(step);
  op.forward(context, std::as_const(ones).view(), y.view());
  std::vector<bool> found;
  for (index_t i = 0; i < rows; ++i)
    for (index_t j = 0; j < cols; ++j) {
      if (y(i, j) != 0) REQUIRE(y(i, j) == static_cast<float>(1 / (1 - rate)));
      found.push_back(y(i, j) != 0);
    }
  return found;
}

/// The correlation of two masks that keep a share `p`, in standard deviations of what independent ones give.
double dependence(const std::vector<bool>& a, const std::vector<bool>& b, double p) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += (a[k] - p) * (b[k] - p);
  return std::abs(sum) / (p * (1 - p) * std::sqrt(static_cast<double>(a.size())));
}

}  // namespace

TEST_CASE("Dropout and its gradient keep the contract of an op") {
  for (const double rate : {0.0, 0.1, 0.5, 0.9})
    for (const index_t rows : {1, 33, 600})
      for (const index_t cols : {1, 3, 64, 65}) {
        const auto x = random_matrix(rows, cols, 1);
        Dropout<double, Cpu> op(rate, 5);
        op.select(7);
        const OpReport report = check_op(op, {x.view()}, {.entries = 8});
        INFO("rate " << rate << ", " << rows << " x " << cols << ": " << report.text());
        CHECK(report.ok());
      }
}

TEST_CASE("Dropout keeps as many values as it should, in every column and of each four neighbours") {
  for (const double rate : {0.05, 0.3, 0.5, 0.8}) {
    constexpr index_t rows = 4000, cols = 13;
    const std::vector<bool> mask = kept(rows, cols, rate, 11, 0, 3);
    const double p = 1 - rate;
    // Five standard deviations of a count of independent draws: a chance of 1e-6.
    const auto near = [&](double count, double draws) {
      return std::abs(count - p * draws) <= 5 * std::sqrt(p * (1 - p) * draws);
    };
    double all = 0;
    for (index_t j = 0; j < cols; ++j) {
      double column = 0;
      for (index_t i = 0; i < rows; ++i) column += mask[static_cast<std::size_t>(i * cols + j)];
      CHECK(near(column, rows));
      all += column;
    }
    CHECK(near(all, rows * cols));
    // Neighbours, whether their words are of one block or of two, are independent.
    const std::vector<bool> left(mask.begin(), mask.end() - 1), right(mask.begin() + 1, mask.end());
    CHECK(dependence(left, right, p) <= 5);
  }
}

TEST_CASE("A mask is that of its seed, stream and step, and others are independent of it") {
  const auto mask = [](std::uint64_t seed, std::uint32_t stream, std::uint32_t step) {
    return kept(500, 16, 0.4, seed, stream, step);
  };
  const std::vector<bool> one = mask(1, 0, 0);
  CHECK(mask(1, 0, 0) == one);
  CHECK(dependence(mask(2, 0, 0), one, 0.6) <= 5);
  CHECK(dependence(mask(1, 1, 0), one, 0.6) <= 5);
  CHECK(dependence(mask(1, 0, 1), one, 0.6) <= 5);
  CHECK(dependence(mask(1, (1u << 24) - 1, 0xffffffffu), one, 0.6) <= 5);
}

TEST_CASE("A larger rate drops what a smaller one drops, and more") {
  const std::vector<bool> few = kept(100, 30, 0.2, 1, 0, 0), many = kept(100, 30, 0.6, 1, 0, 0);
  int both = 0;
  for (std::size_t k = 0; k < few.size(); ++k) {
    if (!few[k]) REQUIRE(!many[k]);
    both += few[k] && !many[k];
  }
  CHECK(both > 0);
}

TEMPLATE_TEST_CASE("Dropout by kernels has the host's masks to the last value", "", float, double) {
  for (const double rate : {0.0, 0.25, 0.7})
    for (const index_t rows : {0, 1, 31, 129})
      for (const index_t cols : {1, 3, 64, 65}) {
        INFO("rate " << rate << ", " << rows << " x " << cols);
        const auto x = random_matrix<TestType>(rows, cols, 1);
        const auto make = [&]<class B>(B) {
          Dropout<TestType, B> op(rate, 3, 2);
          op.select(9);
          return op;
        };
        require_same_by_kernels<TestType>(make, {x.view()}, 2 * std::numeric_limits<TestType>::epsilon());
      }
}

TEST_CASE("A captured dropout replays with the mask of the step that stands in memory") {
  constexpr index_t rows = 20, cols = 10;
  Context<Emulated> context;
  Context<Cpu> host(1);
  const auto x = random_matrix<float>(rows, cols, 4);
  const Matrix<float, Emulated> on_device = upload<float>(context, x.view());
  Matrix<float, Emulated> y(context, rows, cols), dx(context, rows, cols);
  Array<std::uint32_t, Emulated> step(context, 1);
  Dropout<float, Emulated> op(0.5, 8, 1);
  op.select(0, step.data());
  LaunchGraph<Emulated> graph;
  graph.capture(context, [&] {
    op.forward(context, on_device.view(), y.view());
    op.backward(context, on_device.view(), std::as_const(y).view(), on_device.view(), {dx.view(), 0, true});
  });
  for (const std::uint32_t now : {0u, 1u, 77u}) {
    upload<std::uint32_t>(context, std::span(&now, 1), step.data());
    graph.replay(context);
    Matrix<float, Cpu> expected(rows, cols);
    Dropout<float, Cpu> same(0.5, 8, 1);
    same.select(12345, &now);
    same.forward(host, x.view(), expected.view());
    CHECK(dream_test::distance(download<float>(context, std::as_const(y).view()), expected) == 0);
    CHECK(dream_test::distance(download<float>(context, std::as_const(dx).view()), expected) == 0);
  }
}

TEST_CASE("What dropout keeps of values that are not finite is not finite, and what it drops is zero") {
  Context<Cpu> context(1);
  Matrix<double, Cpu> x(50, 3), y(50, 3);
  x.fill(std::nan(""));
  Dropout<double, Cpu> op(0.5);
  op.forward(context, std::as_const(x).view(), y.view());
  int zeros = 0, others = 0;
  for (index_t i = 0; i < 50; ++i)
    for (index_t j = 0; j < 3; ++j) {
      zeros += y(i, j) == 0;
      others += std::isnan(y(i, j));
    }
  CHECK(zeros > 40);
  CHECK(others > 40);
  CHECK(zeros + others == 150);
}

TEST_CASE("Dropout refuses rates outside 0 to 1 and streams that its numbers have no room for") {
  REQUIRE_ERROR((Dropout<float, Cpu>(-0.1)), "a rate of -0.1");
  REQUIRE_ERROR((Dropout<float, Cpu>(1.0)), "must be at least 0 and below 1");
  REQUIRE_ERROR((Dropout<float, Cpu>(std::nan(""))), "a rate of nan");
  REQUIRE_ERROR((Dropout<float, Cpu>(0.5, 1, 1u << 24)), "stream 16777216 is not below");
}

}  // namespace dream_tests::ops_dropout
