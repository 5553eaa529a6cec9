#include <cmath>
#include <limits>

#include <dream/kernels/ranking_loss.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

namespace dream_tests::kernels_ranking_loss {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

template <class T>
struct Triples {
  KernelMatrix<T> u, p, n;

  Triples(index_t rows, index_t cols, Layout layout = {}, double scale = 1)
      : u(KernelMatrix<T>::random(rows, cols, 1, layout, scale)),
        p(KernelMatrix<T>::random(rows, cols, 2, layouts[layout.gap % 4])),
        n(KernelMatrix<T>::random(rows, cols, 3, layout)) {}

  double z(index_t a) const {
    double sum = 0;
    for (index_t j = 0; j < u.cols(); ++j) sum += u.at(a, j) * (p.at(a, j) - n.at(a, j));
    return sum;
  }
  /// In long double, whose exponential overflows at 11,000 only.
  double loss() const {
    long double sum = 0;
    for (index_t a = 0; a < u.rows(); ++a) sum += std::log1p(std::exp(-static_cast<long double>(z(a))));
    return u.rows() == 0 ? 0 : static_cast<double>(sum / u.rows());
  }
  double squares() const {
    double sum = 0;
    for (const auto* m : {&u, &p, &n})
      for (index_t i = 0; i < m->rows(); ++i)
        for (index_t j = 0; j < m->cols(); ++j) sum += m->at(i, j) * m->at(i, j);
    return sum;
  }
  double slope(index_t a) const { return static_cast<double>(-1 / (1 + std::exp(static_cast<long double>(z(a))))); }
  double du(index_t a, index_t j) const { return slope(a) * (p.at(a, j) - n.at(a, j)) / u.rows(); }
  double dp(index_t a, index_t j) const { return slope(a) * u.at(a, j) / u.rows(); }
};

template <class T>
struct Forward {
  KernelMatrix<T> loss, slope;
};
template <class T>
Forward<T> forward(Triples<T>& x, const std::vector<float>& weights = {}) {
  Forward<T> found{{1, 1}, {1, x.u.rows()}};
  KernelMatrix<double> workspace(1, static_cast<index_t>(bpr_forward_workspace()));
  const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    bpr_forward(context, BprForwardArguments<T>{use.input(x.u.view()), use.input(x.p.view()), use.input(x.n.view()),
                                                use.output(found.slope.vector()), use.output(found.loss.view()).data,
                                                use.output(workspace.vector()).data,
                                                weights.empty() ? VectorView<const float>{}
                                                                : use.input(VectorView<const float>{
                                                                      weights.data(), std::ssize(weights)})});
  });
  REQUIRE(report.text() == "");
  return found;
}

/// Weights of triples, from 0.1 to 3.
std::vector<float> weights_of(index_t rows) {
  std::vector<float> weights;
  for (index_t a = 0; a < rows; ++a) weights.push_back(0.1F + static_cast<float>(a * 7 % 30) / 10);
  return weights;
}

template <class T>
double tolerance_of_slopes(const Triples<T>& x) {
  // z is a sum of up to 4099 products in double, then rounded to T; a sigmoid's slope is at most a quarter.
  double most = 0;
  for (index_t a = 0; a < x.u.rows(); ++a) most = std::max(most, std::abs(x.z(a)));
  return (4 + std::min(most, 100.0)) * rounding<T> + 1e-12;
}

}  // namespace

TEMPLATE_TEST_CASE("Weights multiply the terms of BPR's loss and its slopes", "", float, double) {
  using T = TestType;
  for (const MatrixShape& s : {MatrixShape{1, 5}, MatrixShape{37, 64}, MatrixShape{300, 3}}) {
    Triples<T> x(s.rows, s.cols);
    const std::vector<float> weights = weights_of(s.rows);
    const Forward<T> found = forward(x, weights);
    long double loss = 0;
    for (index_t a = 0; a < s.rows; ++a)
      loss += weights[static_cast<std::size_t>(a)] * std::log1p(std::exp(-static_cast<long double>(x.z(a))));
    const double expected = static_cast<double>(loss / s.rows);
    CAPTURE(s.rows, s.cols, found.loss.at(0, 0), expected);
    CHECK(std::abs(found.loss.at(0, 0) - expected) <= (8 * rounding<T> + 1e-13) * std::abs(expected));
    require_near(
        found.slope,
        [&](auto, index_t a) { return static_cast<double>(weights[static_cast<std::size_t>(a)]) * x.slope(a); },
        4 * tolerance_of_slopes(x));
  }
}

TEMPLATE_TEST_CASE("BPR's loss and slopes are those of the formula", "", float, double) {
  using T = TestType;
  int turn = 0;
  for (const MatrixShape& s : matrix_shapes) {
    Triples<T> x(s.rows, s.cols, layouts[turn++ % 4]);
    const Forward<T> found = forward(x);
    CAPTURE(s.rows, s.cols, found.loss.at(0, 0), x.loss());
    // Terms of a few roundings each; the mean, rounded to T.
    REQUIRE(std::abs(found.loss.at(0, 0) - x.loss()) <= (8 * rounding<T> + 1e-13) * std::abs(x.loss()));
    require_near(
        found.slope, [&](auto, index_t a) { return x.slope(a); }, tolerance_of_slopes(x));
  }
}

TEMPLATE_TEST_CASE("BPR's loss does not overflow, and NaN stays", "", float, double) {
  using T = TestType;
  const auto of = [](double z) {
    Triples<T> x(3, 2);
    x.u.fill([](auto, index_t j) { return j == 0 ? 1 : 0; });
    x.n.fill([](auto, auto) { return 0; });
    x.p.fill([&](index_t i, index_t j) { return i == 1 && j == 0 ? z : 0; });
    return forward(x);
  };
  const double infinity = std::numeric_limits<double>::infinity(), rest = 2 * std::log(2.0);
  REQUIRE(of(1000).loss.at(0, 0) == Approx(rest / 3));
  REQUIRE(of(1000).slope.at(0, 1) == 0);
  REQUIRE(of(-1000).loss.at(0, 0) == Approx((rest + 1000) / 3));
  REQUIRE(of(-1000).slope.at(0, 1) == -1);
  REQUIRE(of(infinity).loss.at(0, 0) == Approx(rest / 3));
  REQUIRE(of(-infinity).loss.at(0, 0) == infinity);
  REQUIRE(std::isnan(of(std::nan("")).loss.at(0, 0)));
  REQUIRE(std::isnan(of(std::nan("")).slope.at(0, 1)));
}

TEMPLATE_TEST_CASE("BPR's backward writes the gradients that are wanted, each with its beta", "", float, double) {
  using T = TestType;
  int turn = 0;
  for (const MatrixShape& s : matrix_shapes) {
    const Layout layout = layouts[turn % 4], out = layouts[(turn / 4 + turn) % 4];
    Triples<T> x(s.rows, s.cols, layout);
    T d_loss = T{-1.5};
    KernelMatrix<T> slope(1, s.rows);
    slope.fill([&](auto, index_t a) { return x.slope(a); });
    std::vector<KernelMatrix<T>> d;
    const T betas[] = {turn % 2 ? T{1} : T{0}, turn % 3 ? T{0} : T{2}, turn % 5 ? T{0} : T{1}};
    for (const T beta : betas)
      d.push_back(beta == T{0} ? KernelMatrix<T>(s.rows, s.cols, out)
                               : KernelMatrix<T>::random(s.rows, s.cols, 9, out));
    const std::vector<KernelMatrix<T>> before = d;
    const int unwanted = turn % 4;
    const auto report = check_kernel<BprBackward<T>>([&](KernelBuffers& use) {
      GradientTarget<T> targets[3];
      for (int i = 0; i < 3; ++i) {
        const MatrixView<T> view = use.output(d[static_cast<std::size_t>(i)].view());
        if (i != unwanted) targets[i] = {view, betas[i]};
      }
      return typename BprBackward<T>::Params{{use.input(x.u.view()), use.input(x.p.view()), use.input(x.n.view())},
                                             use.input(slope.vector()),
                                             use.input(&d_loss, 1),
                                             targets[0],
                                             targets[1],
                                             targets[2]};
    });
    REQUIRE(report.text() == "");
    for (int i = 0; i < 3; ++i)
      // Four products of numbers below 10 and a sum.
      require_near(
          d[static_cast<std::size_t>(i)],
          [&](index_t a, index_t j) {
            const double old = before[static_cast<std::size_t>(i)].at(a, j);
            if (i == unwanted) return old;
            const double g = i == 0 ? x.du(a, j) : i == 1 ? x.dp(a, j) : -x.dp(a, j);
            return -1.5 * g + (betas[i] == T{0} ? 0 : static_cast<double>(betas[i]) * old);
          },
          60 * rounding<T>);
    ++turn;
  }
}

TEST_CASE("Two gradients of BPR may share their memory") {
  Triples<double> x(33, 70);
  KernelMatrix<double> slope(1, 33), d(33, 70);
  slope.fill([&](auto, index_t a) { return x.slope(a); });
  double d_loss = 1;
  const auto report = check_kernel<BprBackward<double>>([&](KernelBuffers& use) {
    const MatrixView<double> view = use.output(d.view());
    return BprBackward<double>::Params{{use.input(x.u.view()), use.input(x.p.view()), use.input(x.n.view())},
                                       use.input(slope.vector()),
                                       use.input(&d_loss, 1),
                                       {view, 0},
                                       {view, 1},
                                       {}};
  });
  REQUIRE(report.text() == "");
  require_near(
      d, [&](index_t a, index_t j) { return x.du(a, j) + x.dp(a, j); }, 1e-15);  // sums of numbers below 1
}

TEMPLATE_TEST_CASE("BPR with the squares gives the loss and all gradients in one pass", "", float, double) {
  using T = TestType;
  int turn = 0;
  for (const MatrixShape& s : matrix_shapes) {
    const Layout layout = layouts[turn % 4], out = layouts[(turn / 4 + turn) % 4];
    ++turn;
    Triples<T> x(s.rows, s.cols, layout);
    KernelMatrix<T> loss(1, 1), du(s.rows, s.cols, out), dp(s.rows, s.cols, layout), dn(s.rows, s.cols, out);
    KernelMatrix<double> workspace(1, static_cast<index_t>(bpr_with_squares_workspace()));
    const T c = T{0.125};
    const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
      bpr_with_squares(
          context, BprWithSquaresArguments<T>{use.input(x.u.view()), use.input(x.p.view()), use.input(x.n.view()), c,
                                              use.output(du.view()), use.output(dp.view()), use.output(dn.view()),
                                              use.output(loss.view()).data, use.output(workspace.vector()).data});
    });
    REQUIRE(report.text() == "");
    const double expected = x.loss() + 0.0625 * x.squares();
    CAPTURE(s.rows, s.cols);
    // Terms of a few roundings each; the sum, rounded to T.
    REQUIRE(std::abs(loss.at(0, 0) - expected) <= (8 * rounding<T> + 1e-12) * expected);
    const double tolerance = 10 * tolerance_of_slopes(x);  // times numbers below 10
    require_near(
        du, [&](index_t a, index_t j) { return x.du(a, j) + 0.125 * x.u.at(a, j); }, tolerance);
    require_near(
        dp, [&](index_t a, index_t j) { return x.dp(a, j) + 0.125 * x.p.at(a, j); }, tolerance);
    require_near(
        dn, [&](index_t a, index_t j) { return -x.dp(a, j) + 0.125 * x.n.at(a, j); }, tolerance);
  }
}

TEST_CASE("BPR's gradients are those of finite differences") {
  Triples<double> x(6, 5);
  KernelMatrix<double> loss(1, 1), du(6, 5), dp(6, 5), dn(6, 5);
  std::vector<double> workspace(static_cast<std::size_t>(bpr_with_squares_workspace()));
  Context<Emulated> context;
  const double c = 0.3;
  bpr_with_squares(context, BprWithSquaresArguments<double>{x.u.view(), x.p.view(), x.n.view(), c, du.view(), dp.view(),
                                                            dn.view(), &loss(0, 0), workspace.data()});
  constexpr double h = 1e-5;
  const auto difference = [&](KernelMatrix<double>& m, index_t i, index_t j) {
    const double old = m(i, j);
    m(i, j) = old + h;
    const double up = x.loss() + 0.5 * c * x.squares();
    m(i, j) = old - h;
    const double down = x.loss() + 0.5 * c * x.squares();
    m(i, j) = old;
    return (up - down) / (2 * h);
  };
  // Central differences: third derivatives times h^2, and rounding of a loss of about 15 over h.
  require_near(
      du, [&](index_t i, index_t j) { return difference(x.u, i, j); }, 1e-8);
  require_near(
      dp, [&](index_t i, index_t j) { return difference(x.p, i, j); }, 1e-8);
  require_near(
      dn, [&](index_t i, index_t j) { return difference(x.n, i, j); }, 1e-8);
}

TEST_CASE("BPR of many rows sums them over blocks that take several") {
  Triples<double> x(3000, 64, {}, 0.2);
  const Forward<double> found = forward(x);
  REQUIRE(found.loss.at(0, 0) == Approx(x.loss()).epsilon(1e-12));  // sums in two orders, of 3000 terms
}

}  // namespace dream_tests::kernels_ranking_loss
