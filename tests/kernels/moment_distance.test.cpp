#include <cmath>
#include <limits>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/kernels/moment_distance.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"

namespace dream_tests::kernels_moment_distance {

using namespace dream;
using namespace dream::kernels;

namespace {

/// X and Y in T, and what came out.
template <class T>
struct Example {
  index_t b, d;
  std::int64_t stride;
  std::vector<T> x, y;
  T loss = std::numeric_limits<T>::quiet_NaN();
  std::vector<T> dx, dy;

  Example(index_t rows, index_t cols, index_t gap = 0, double offset = 0) : b(rows), d(cols), stride(cols + gap) {
    const RandomStream random{5, RandomUse::user, static_cast<std::uint32_t>(b * 1000 + d)};
    x.assign(static_cast<std::size_t>(b * stride), loss);
    y = x;
    for (index_t i = 0; i < b; ++i)
      for (index_t j = 0; j < d; ++j) {
        const std::uint64_t at = (static_cast<std::uint64_t>(i) * 8192 + static_cast<std::uint64_t>(j)) * 2;
        x[i * stride + j] = static_cast<T>(random.normal(at) + offset);
        y[i * stride + j] = static_cast<T>((j % 3 + 1) * 0.6 * random.normal(at + 1) + 0.1 * (j % 5 - 2) + offset);
      }
    dx.assign(static_cast<std::size_t>(b) * d, loss);
    dy = dx;
  }
  void run() {
    const std::int64_t values = moment_distance_workspace(b, d);
    std::vector<double> workspace(static_cast<std::size_t>(values), std::numeric_limits<double>::quiet_NaN());
    const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
      MomentDistanceArguments<T> a;
      a.x = use.input(MatrixView<const T>{x.data(), b, d, stride});
      a.y = use.input(MatrixView<const T>{y.data(), b, d, stride});
      a.loss = use.output(&loss, 1);
      a.dx = use.output(MatrixView<T>{dx.data(), b, d, d});
      a.dy = use.output(MatrixView<T>{dy.data(), b, d, d});
      a.workspace = use.output(workspace.data(), values);
      moment_distance(context, a);
    });
    REQUIRE(report.text() == "");
  }
};

/// The distance by the definition, in long double.
template <class T>
double distance(const Example<T>& e) {
  long double sum = 0;
  for (index_t j = 0; j < e.d; ++j) {
    long double means[2] = {}, variances[2] = {};
    for (int side = 0; side < 2; ++side) {
      const std::vector<T>& m = side == 0 ? e.x : e.y;
      for (index_t i = 0; i < e.b; ++i) means[side] += m[i * e.stride + j];
      means[side] /= e.b;
      for (index_t i = 0; i < e.b; ++i) variances[side] += std::pow(m[i * e.stride + j] - means[side], 2.0L);
      variances[side] /= e.b > 1 ? e.b - 1 : 1;
    }
    sum += std::abs(means[0] - means[1]) + std::abs(variances[0] - variances[1]);
  }
  return static_cast<double>(sum / e.d);
}

/// The gradient of X (or Y) by the definition.
template <class T>
std::vector<double> gradient(const Example<T>& e, bool of_y) {
  std::vector<double> g(static_cast<std::size_t>(e.b) * e.d);
  for (index_t j = 0; j < e.d; ++j) {
    long double means[2] = {}, squares[2] = {};
    for (int side = 0; side < 2; ++side) {
      const std::vector<T>& m = side == 0 ? e.x : e.y;
      for (index_t i = 0; i < e.b; ++i) means[side] += static_cast<long double>(m[i * e.stride + j]) / e.b;
      for (index_t i = 0; i < e.b; ++i) squares[side] += std::pow(m[i * e.stride + j] - means[side], 2.0L);
    }
    const auto sign = [](long double v) { return v > 0 ? 1 : v < 0 ? -1 : 0; };
    const int side = of_y ? 1 : 0, turn = of_y ? -1 : 1;
    for (index_t i = 0; i < e.b; ++i) {
      const long double away = (of_y ? e.y : e.x)[i * e.stride + j] - means[side];
      const long double variance = e.b > 1 ? 2 * away / (e.b - 1) : 0;
      g[i * e.d + j] = static_cast<double>(
          turn *
          (static_cast<long double>(sign(means[0] - means[1])) / e.b + sign(squares[0] - squares[1]) * variance) / e.d);
    }
  }
  return g;
}

template <class T>
void check(Example<T> e) {
  CAPTURE(e.b, e.d);
  e.run();
  // Sums are taken in double: of b terms in a few chains. The results are rounded to T once; values lie below 10.
  const double tolerance = 100 * std::numeric_limits<double>::epsilon() * std::sqrt(e.b);
  const double once = 4 * static_cast<double>(std::numeric_limits<T>::epsilon());
  REQUIRE(static_cast<double>(e.loss) == Approx(distance(e)).epsilon(once).margin(tolerance));
  const std::vector<double> dx = gradient(e, false), dy = gradient(e, true);
  bool equal = true;
  for (std::size_t i = 0; i < dx.size(); ++i) {
    equal &= std::abs(static_cast<double>(e.dx[i]) - dx[i]) <= once * std::abs(dx[i]) + tolerance / e.b;
    equal &= std::abs(static_cast<double>(e.dy[i]) - dy[i]) <= once * std::abs(dy[i]) + tolerance / e.b;
  }
  REQUIRE(equal);
}

}  // namespace

TEMPLATE_TEST_CASE("The moment distance and its gradients are the definition's at every size", "", float, double) {
  for (const index_t b : dream_test::sizes({1, 33, 129}, {1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 257}))
    check(Example<TestType>(b, 5));
  for (const index_t d : dream_test::sizes({1, 33, 129}, {1, 3, 31, 32, 33, 64, 127, 128, 129, 257}))
    check(Example<TestType>(40, d));
}

TEST_CASE("The moment distance adds up more rows than there are pieces for") {
  check(Example<double>(2500, 3));
  check(Example<float>(2100, 33));
}

TEST_CASE("The moment distance reads rows that do not lie next to each other") { check(Example<float>(70, 37, 4)); }

TEST_CASE("Variances survive means a million times larger") {
  Example<double> e(300, 4, 0, 1e6);
  e.run();
  REQUIRE(e.loss == Approx(distance(e)).epsilon(1e-9));  // means round to 1e6 * epsilon, of a distance of about 1
}

TEST_CASE("Equal moments are at distance 0, where the gradient is 0") {
  Example<double> e(50, 6);
  e.y = e.x;
  e.run();
  REQUIRE(e.loss == 0);
  for (const double g : e.dx) REQUIRE(g == 0);
  for (const double g : e.dy) REQUIRE(g == 0);
}

TEST_CASE("A single row has a mean and no variance") {
  Example<double> e(1, 2);
  e.x = {3, -1};
  e.y = {1, -1};
  e.run();
  REQUIRE(e.loss == 1);
  REQUIRE(e.dx == std::vector<double>{0.5, 0});
  REQUIRE(e.dy == std::vector<double>{-0.5, 0});
}

TEST_CASE("No rows or no columns are at distance 0") {
  for (const auto& [b, d] : {std::pair<index_t, index_t>{0, 5}, {5, 0}, {0, 0}}) {
    Example<float> e(b, d);
    e.run();
    REQUIRE(e.loss == 0);
  }
}

TEMPLATE_TEST_CASE("NaN and infinities make the distance NaN", "", float, double) {
  for (const TestType bad : {std::numeric_limits<TestType>::quiet_NaN(), std::numeric_limits<TestType>::infinity()}) {
    Example<TestType> e(100, 40);
    e.y[99 * 40 + 37] = bad;
    e.run();
    REQUIRE(std::isnan(e.loss));
    REQUIRE(std::isnan(e.dx[37]));
    REQUIRE(!std::isnan(e.dx[36]));
  }
}

TEST_CASE("The moment distance's gradients are its slopes") {
  Example<double> e(37, 6);
  e.run();
  const double step = 1e-6;  // no sign changes within it; cuts off about step, rounds 1e-16 / step
  for (const std::size_t i : {0, 7, 100, 221})
    for (const bool in_y : {false, true}) {
      Example<double> up = e, down = e;
      (in_y ? up.y : up.x)[i] += step;
      (in_y ? down.y : down.x)[i] -= step;
      REQUIRE((in_y ? e.dy : e.dx)[i] == Approx((distance(up) - distance(down)) / (2 * step)).margin(1e-7));
    }
}

}  // namespace dream_tests::kernels_moment_distance
