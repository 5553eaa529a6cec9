#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/kernels/contrastive_alignment.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"

namespace dream_tests::kernels_contrastive_alignment {

using namespace dream;
using namespace dream::kernels;

namespace {

/// X and Y in T, what is asked of them, and what came out.
template <class T>
struct Example {
  index_t b, d;
  double tau = 0.2;
  bool both = false;
  double weight = 1;
  InfoNceRanges ranges = {};
  std::int64_t stride = 0;  ///< of x and y; 0: d
  std::vector<T> x, y;
  T loss = 0;
  std::vector<T> dx, dy;

  Example(index_t rows, index_t cols, std::uint64_t seed = 1, std::int64_t row_stride = 0) : b(rows), d(cols) {
    stride = row_stride == 0 ? d : row_stride;
    const RandomStream random{seed, RandomUse::user, static_cast<std::uint32_t>(b * 1000 + d)};
    x.assign(static_cast<std::size_t>(b * stride), std::numeric_limits<T>::quiet_NaN());
    y = x;
    for (index_t i = 0; i < b; ++i) {
      double xx = 0, yy = 0;
      const auto at = [&](index_t j, int which) { return random.normal((std::uint64_t(i) * 4096 + j) * 2 + which); };
      for (index_t j = 0; j < d; ++j) xx += at(j, 0) * at(j, 0), yy += std::pow(at(j, 1) + at(j, 0), 2);
      for (index_t j = 0; j < d; ++j) {
        x[i * stride + j] = static_cast<T>(at(j, 0) / std::sqrt(xx));
        y[i * stride + j] = static_cast<T>((at(j, 1) + at(j, 0)) / std::sqrt(yy));
      }
    }
    reset();
  }
  /// Poisoned results.
  void reset() {
    loss = std::numeric_limits<T>::quiet_NaN();
    dx.assign(static_cast<std::size_t>(b) * d, loss);
    dy = dx;
  }
  InfoNceArguments<T> arguments() {
    InfoNceArguments<T> a;
    a.x = {x.data(), b, d, stride};
    a.y = {y.data(), b, d, stride};
    a.temperature = static_cast<T>(tau);
    a.both = both;
    a.weight = static_cast<T>(weight);
    a.ranges = ranges;
    a.loss = &loss;
    a.dx = {dx.data(), b, d, d};
    a.dy = {dy.data(), b, d, d};
    return a;
  }
  /// Checks the launches in all thread orders; the results stay here.
  void run(T beta = 0, bool gradients = true) {
    const std::int64_t values = info_nce_workspace<T>(b, d, both, gradients, ranges);
    std::vector<T> memory(static_cast<std::size_t>(values) + 16, std::numeric_limits<T>::quiet_NaN());
    T* workspace = memory.data();
    while (reinterpret_cast<std::uintptr_t>(workspace) % 16 != 0) ++workspace;
    const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
      InfoNceArguments<T> a = arguments();
      a.x = use.input(a.x);
      a.y = use.input(a.y);
      a.loss = use.output(a.loss, 1);
      a.dx = gradients ? use.output(a.dx) : MatrixView<T>{};
      a.dy = gradients ? use.output(a.dy) : MatrixView<T>{};
      a.beta_x = a.beta_y = beta;
      a.workspace = use.output(workspace, values);
      info_nce(context, a);
    });
    REQUIRE(report.text() == "");
  }
};

/// The loss and its gradients by the definition, in double.
struct Reference {
  double loss = 0;
  std::vector<double> dx, dy;
};

void add_direction(const std::vector<double>& x, const std::vector<double>& y, index_t b, index_t d, double tau,
                   double weight, double& loss, std::vector<double>& dx, std::vector<double>& dy) {
  std::vector<double> s(static_cast<std::size_t>(b));
  for (index_t a = 0; a < b; ++a) {
    double max = -std::numeric_limits<double>::infinity(), sum = 0;
    for (index_t c = 0; c < b; ++c) {
      s[c] = 0;
      for (index_t j = 0; j < d; ++j) s[c] += x[a * d + j] * y[c * d + j];
      s[c] /= tau;
      max = std::max(max, s[c]);
    }
    for (index_t c = 0; c < b; ++c) sum += std::exp(s[c] - max);
    loss += weight / b * (max + std::log(sum) - s[a]);
    for (index_t c = 0; c < b; ++c) {
      const double g = weight / b / tau * (std::exp(s[c] - max) / sum - (a == c));
      for (index_t j = 0; j < d; ++j) dx[a * d + j] += g * y[c * d + j], dy[c * d + j] += g * x[a * d + j];
    }
  }
}

template <class T>
Reference reference(const Example<T>& e) {
  std::vector<double> x, y;
  for (index_t i = 0; i < e.b; ++i)
    for (index_t j = 0; j < e.d; ++j) {
      x.push_back(static_cast<double>(e.x[i * e.stride + j]));
      y.push_back(static_cast<double>(e.y[i * e.stride + j]));
    }
  Reference r{0, std::vector<double>(x.size()), std::vector<double>(x.size())};
  const double weight = e.weight * (e.both ? 0.5 : 1), tau = static_cast<double>(static_cast<T>(e.tau));
  add_direction(x, y, e.b, e.d, tau, weight, r.loss, r.dx, r.dy);
  if (e.both) add_direction(y, x, e.b, e.d, tau, weight, r.loss, r.dy, r.dx);
  return r;
}

/// Sums of d and of b terms, each term of a dot product no larger than 1 / tau: their rounding errors add up like a
/// random walk, and an error of a similarity is the relative error of its exponential.
template <class T>
double rounding(const Example<T>& e) {
  return 4 * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::sqrt(e.d + e.b + 16.0) * (1 + 1 / e.tau);
}

/// The largest error of what came out of `before` * beta + gradient, in units of what rounding allows.
template <class T>
void require_equal(const Example<T>& e, double before = 0) {
  const Reference r = reference(e);
  CAPTURE(e.b, e.d, e.tau, e.both, e.ranges.rows, e.ranges.cols);
  const double tolerance = rounding(e);
  REQUIRE(std::abs(static_cast<double>(e.loss) - r.loss) <= e.weight * tolerance);
  double worst = 0;
  for (std::size_t i = 0; i < r.dx.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(e.dx[i]) - before - r.dx[i]));
    worst = std::max(worst, std::abs(static_cast<double>(e.dy[i]) - before - r.dy[i]));
    if (std::isnan(e.dx[i]) || std::isnan(e.dy[i])) worst = std::numeric_limits<double>::infinity();
  }
  REQUIRE(worst <= e.weight * tolerance / (e.tau * e.b) + 2 * std::abs(before) * std::numeric_limits<T>::epsilon());
}

template <class T>
void check(Example<T> e) {
  for (const bool both : {false, true}) {
    e.both = both;
    e.reset();
    e.run();
    require_equal(e);
  }
}

}  // namespace

TEST_CASE("InfoNCE and its gradients are the definition's at every number of rows") {
  for (const index_t b : dream_test::sizes({1, 33, 129}, {1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 257}))
    check(Example<double>(b, 5));
}

TEST_CASE("InfoNCE and its gradients are the definition's at every dimension") {
  for (const index_t d : dream_test::sizes({1, 33}, {1, 3, 31, 32, 33, 64, 65, 128, 256}))
    check(Example<double>(70, d));
}

TEST_CASE("InfoNCE in float is as near to the definition as float allows") {
  for (const index_t b : {1, 33, 129, 257}) check(Example<float>(b, 32));
  for (const index_t d : dream_test::sizes({1, 65}, {1, 3, 64, 65, 128, 256})) check(Example<float>(130, d));
}

TEMPLATE_TEST_CASE("InfoNCE neither overflows nor underflows at small temperatures", "", float, double) {
  for (const double tau : {0.05, 0.5, 1e-3}) {
    Example<TestType> e(130, 16);
    e.tau = tau;
    check(e);
    for (TestType& v : e.y) v = -v;  // every row's own similarity is its lowest
    check(e);
  }
}

TEST_CASE("InfoNCE does not depend on how the similarities are cut") {
  for (const InfoNceRanges ranges :
       dream_test::sizes<InfoNceRanges>({{1, 3}, {3, 4}}, {{1, 1}, {1, 3}, {2, 1}, {3, 4}, {1000, 1000}}))
    for (const index_t d : dream_test::sizes({40}, {7, 40})) {
      Example<double> e(150, d);
      e.ranges = ranges;
      check(e);
    }
  Example<float> e(300, 70);
  e.ranges = {2, 3};
  check(e);
}

TEST_CASE("InfoNCE cuts at most 16 x 32 ranges, and needs within 1 GiB for 65,536 rows of 64 floats") {
  const InfoNceRanges large = info_nce_ranges<float>(65536), small = info_nce_ranges<float>(129);
  REQUIRE(large.rows == 16);
  REQUIRE(large.cols == 32);
  REQUIRE(info_nce_ranges<float>(2048).rows * info_nce_ranges<float>(2048).cols == 512);
  REQUIRE(small.rows == 2);
  REQUIRE(small.cols == 3);
  const std::int64_t inputs_and_gradients = 4 * std::int64_t{65536} * 64;
  REQUIRE((info_nce_workspace<float>(65536, 64, true) + inputs_and_gradients) * 4 < (std::int64_t{1} << 30));
  REQUIRE(info_nce_workspace<float>(65536, 64, true, false) * 4 < std::int64_t{32} << 20);
}

TEST_CASE("InfoNCE adds to gradients where beta is 1, and weighs them") {
  for (const bool both : {false, true}) {
    Example<double> e(67, 33);
    e.both = both;
    e.weight = 0.01;
    std::fill(e.dx.begin(), e.dx.end(), 2.0);
    std::fill(e.dy.begin(), e.dy.end(), 2.0);
    e.run(1);
    require_equal(e, 2);
  }
}

TEST_CASE("InfoNCE reads rows that are neither aligned nor adjacent") {
  check(Example<double>(40, 9, 2, 13));
  check(Example<double>(40, 9, 2, 12));
  check(Example<float>(150, 64, 2, 68));
  check(Example<float>(150, 66, 2, 71));
}

TEMPLATE_TEST_CASE("The loss alone has the bits of the loss with gradients", "", float, double) {
  for (const bool both : {false, true}) {
    Example<TestType> e(129, 20);
    e.both = both;
    e.run();
    const TestType loss = e.loss;
    e.reset();
    e.run(0, false);
    REQUIRE(e.loss == loss);
    REQUIRE(std::isnan(e.dx[0]));
  }
}

TEMPLATE_TEST_CASE("A single row has no one to be told apart from: loss 0 and gradient 0", "", float, double) {
  for (const double tau : {0.2, 1e-3})
    for (const bool both : {false, true}) {
      Example<TestType> e(1, 65);
      e.tau = tau;
      e.both = both;
      e.run();
      REQUIRE(e.loss == TestType{0});
      for (std::size_t j = 0; j < 65; ++j) REQUIRE((e.dx[j] == TestType{0} && e.dy[j] == TestType{0}));
    }
}

TEST_CASE("Equal rows cost the logarithm of their number") {
  for (const index_t b : {2, 33, 128}) {
    Example<double> e(b, 24);
    for (index_t i = 0; i < b; ++i)
      for (index_t j = 0; j < 24; ++j) e.x[i * 24 + j] = e.y[i * 24 + j] = e.x[j];
    check(e);
    e.run();
    REQUIRE(e.loss == Approx(std::log(static_cast<double>(b))));
  }
}

TEST_CASE("Zero rows have similarity 0 with every row") {
  Example<double> e(70, 10);
  for (const index_t i : {0, 3, 69})
    for (index_t j = 0; j < 10; ++j) e.x[i * 10 + j] = 0;
  for (const index_t i : {3, 40})
    for (index_t j = 0; j < 10; ++j) e.y[i * 10 + j] = 0;
  check(e);
  std::fill(e.x.begin(), e.x.end(), 0.0);
  check(e);
  e.both = true;
  e.run();
  REQUIRE(e.loss == Approx(std::log(70.0)));
}

TEMPLATE_TEST_CASE("One NaN anywhere makes the loss NaN", "", float, double) {
  for (const bool both : {false, true})
    for (const bool in_y : {false, true})
      for (const index_t row : {0, 70, 149}) {
        Example<TestType> e(150, 3);
        e.both = both;
        (in_y ? e.y : e.x)[static_cast<std::size_t>(row) * 3 + 1] = std::numeric_limits<TestType>::quiet_NaN();
        e.run(0, false);
        CAPTURE(both, in_y, row);
        REQUIRE(std::isnan(e.loss));
      }
  Example<TestType> all(40, 3);
  std::fill(all.x.begin(), all.x.end(), std::numeric_limits<TestType>::quiet_NaN());
  all.run(0, false);
  REQUIRE(std::isnan(all.loss));
}

TEST_CASE("No rows cost nothing") {
  for (const bool both : {false, true}) {
    Example<double> e(0, 8);
    e.both = both;
    e.run();
    REQUIRE(e.loss == 0);
  }
}

TEST_CASE("InfoNCE's gradients are the slopes of its loss") {
  for (const bool both : {false, true}) {
    Example<double> e(37, 3);
    e.both = both;
    e.run();
    const double step = 1e-5;  // cuts off about step^2 / tau^3, rounds 1e-16 / step: both below 1e-7
    for (const std::size_t i : {0, 1, 50, 110})
      for (const bool in_y : {false, true}) {
        Example<double> up = e, down = e;
        (in_y ? up.y : up.x)[i] += step;
        (in_y ? down.y : down.x)[i] -= step;
        up.run(0, false);
        down.run(0, false);
        REQUIRE((in_y ? e.dy : e.dx)[i] == Approx((up.loss - down.loss) / (2 * step)).margin(1e-7));
      }
  }
}

}  // namespace dream_tests::kernels_contrastive_alignment
