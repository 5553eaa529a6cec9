#include <dream/components/contrastive_alignment.hpp>

#include <dream/testing/gradient_check.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::components_contrastive_alignment {

using namespace dream;
using dream_test::random_matrix;

namespace {

template <class T>
struct Result {
  double loss;
  Matrix<T, Cpu> dx, dy;
};

template <class T>
Result<T> run(int threads, MatrixView<const T> x, MatrixView<const T> y, typename InfoNce<T, Cpu>::Options options) {
  Context<Cpu> context(threads);
  InfoNce<T, Cpu> op(options);
  Matrix<T, Cpu> loss(1, 1), one(1, 1);
  one(0, 0) = T{1};
  Result<T> out{0, Matrix<T, Cpu>(x.rows, x.cols), Matrix<T, Cpu>(x.rows, x.cols)};
  op.forward(context, x, y, loss.view());
  op.backward(context, x, y, loss.view(), one.view(), {out.dx.view(), T{0}, true}, {out.dy.view(), T{0}, true});
  out.loss = static_cast<double>(loss(0, 0));
  return out;
}

/// InfoNCE of the formula, row by row in double; the largest logit taken out first.
template <class T>
Result<double> naive(MatrixView<const T> x, MatrixView<const T> y, double tau) {
  const index_t b = x.rows, d = x.cols;
  const auto normalised = [&](MatrixView<const T> m, std::vector<double>& norms) {
    Matrix<double, Cpu> out(b, d);
    for (index_t i = 0; i < b; ++i) {
      double sum = 0;
      for (index_t j = 0; j < d; ++j) sum += static_cast<double>(m(i, j)) * static_cast<double>(m(i, j));
      norms.push_back(std::sqrt(sum));
      for (index_t j = 0; j < d; ++j) out(i, j) = sum > 0 ? static_cast<double>(m(i, j)) / norms.back() : 0;
    }
    return out;
  };
  std::vector<double> nx, ny;
  const auto xh = normalised(x, nx), yh = normalised(y, ny);
  Result<double> out{0, Matrix<double, Cpu>(b, d), Matrix<double, Cpu>(b, d)};
  out.dx.fill(0);
  out.dy.fill(0);
  std::vector<double> s(static_cast<std::size_t>(b));
  for (index_t a = 0; a < b; ++a) {
    double largest = -1e300, sum = 0;
    for (index_t c = 0; c < b; ++c) {
      double cosine = 0;
      for (index_t j = 0; j < d; ++j) cosine += xh(a, j) * yh(c, j);
      s[static_cast<std::size_t>(c)] = cosine / tau;
      largest = std::max(largest, cosine / tau);
    }
    for (const double v : s) sum += std::exp(v - largest);
    out.loss += (largest + std::log(sum) - s[static_cast<std::size_t>(a)]) / b;
    for (index_t c = 0; c < b; ++c) {
      const double g = (std::exp(s[static_cast<std::size_t>(c)] - largest) / sum - (a == c)) / (tau * b);
      for (index_t j = 0; j < d; ++j) {
        out.dx(a, j) += g * yh(c, j);
        out.dy(c, j) += g * xh(a, j);
      }
    }
  }
  const auto through_norm = [&](Matrix<double, Cpu>& g, const Matrix<double, Cpu>& hat, const std::vector<double>& n) {
    for (index_t i = 0; i < b; ++i) {
      double along = 0;
      for (index_t j = 0; j < d; ++j) along += g(i, j) * hat(i, j);
      const double norm = n[static_cast<std::size_t>(i)];
      for (index_t j = 0; j < d; ++j) g(i, j) = norm > 0 ? (g(i, j) - hat(i, j) * along) / norm : 0;
    }
  };
  through_norm(out.dx, xh, nx);
  through_norm(out.dy, yh, ny);
  return out;
}

/// The largest difference, relative to the largest entry of `b`, or to `scale` if that is larger.
template <class A>
double relative(const Matrix<A, Cpu>& a, const Matrix<double, Cpu>& b, double scale = 1e-300) {
  double worst = 0;
  for (std::int64_t k = 0; k < a.size(); ++k) {
    const double difference = std::abs(static_cast<double>(a.data()[k]) - b.data()[k]);
    worst = difference <= worst ? worst : difference == difference ? difference : 1e300;
    scale = std::max(scale, std::abs(b.data()[k]));
  }
  return worst / scale;
}

}  // namespace

TEST_CASE("InfoNCE keeps the contract of an op in both directions, zero rows included", "[sizes]") {
  for (const index_t b : dream_test::sizes({1, 33}, {1, 2, 31, 33, 129, 257}))
    for (const index_t d : dream_test::sizes({1, 65}, {1, 5, 16, 64, 65}))
      for (const Directions directions : {Directions::one, Directions::both}) {
        if (b > 33 && d != 5 && d != 65) continue;
        INFO(b << " rows, " << d << " columns, " << (directions == Directions::both ? "both" : "one"));
        const auto x = random_matrix(b, d, 1, 9), y = random_matrix(b, d, 2, 13);
        InfoNce<double, Cpu> op({.temperature = 0.2, .directions = directions});
        // One column: cosines are +-1 and do not move.
        const OpReport report =
            check_op(op, {x.view(), y.view()}, {.entries = b > 33 ? 2 : 8, .move_zero_rows = false});
        INFO(report.text());
        CHECK(report.ok());
      }
}

TEST_CASE("InfoNCE agrees with its formula at temperatures whose naive exponential overflows") {
  for (const index_t b : {1, 2, 31, 257})
    for (const double tau : {0.001, 0.01, 0.2, 5.0}) {
      INFO(b << " rows, temperature " << tau);
      const auto x = random_matrix(b, 16, 3, 11), y = random_matrix(b, 16, 4, 17);
      const auto expected = naive<double>(x.view(), y.view(), tau);
      REQUIRE(std::isfinite(expected.loss));
      const auto found = run<double>(2, x.view(), y.view(), {.temperature = tau});
      CHECK(std::abs(found.loss - expected.loss) <= 1e-10 * std::max(1.0, expected.loss));
      if (b > 1) {  // a single row has loss and gradients 0
        // Where one probability is nearly 1, its distance from 1 is known to a rounding of 1 only.
        CHECK(relative(found.dx, expected.dx, 0.01 / (tau * b)) < 1e-10);
        CHECK(relative(found.dy, expected.dy, 0.01 / (tau * b)) < 1e-10);
      } else {
        CHECK(found.loss == 0.0);
        for (index_t j = 0; j < 16; ++j) CHECK((found.dx(0, j) == 0.0 && found.dy(0, j) == 0.0));
      }
      const auto x32 = random_matrix<float>(b, 16, 3, 11), y32 = random_matrix<float>(b, 16, 4, 17);
      const auto rounded = run<float>(1, x32.view(), y32.view(), {.temperature = static_cast<float>(tau)});
      // A cosine is off by 1e-7; divided by the temperature it is the error of a logit.
      CHECK(std::abs(rounded.loss - expected.loss) <= 1e-6 * std::max(1.0, 1 / tau));
    }
}

TEST_CASE("InfoNCE in both directions is the mean of the two, value and gradients") {
  const auto x = random_matrix(100, 12, 3), y = random_matrix(100, 12, 4);
  const auto there = naive<double>(x.view(), y.view(), 0.1), back = naive<double>(y.view(), x.view(), 0.1);
  const auto both = run<double>(2, x.view(), y.view(), {.temperature = 0.1, .directions = Directions::both});
  CHECK(std::abs(both.loss - (there.loss + back.loss) / 2) < 1e-12);
  Matrix<double, Cpu> dx(100, 12), dy(100, 12);
  for (std::int64_t k = 0; k < dx.size(); ++k) {
    dx.data()[k] = (there.dx.data()[k] + back.dy.data()[k]) / 2;
    dy.data()[k] = (there.dy.data()[k] + back.dx.data()[k]) / 2;
  }
  CHECK(relative(both.dx, dx) < 1e-11);
  CHECK(relative(both.dy, dy) < 1e-11);
}

TEST_CASE("InfoNCE on many blocks of rows in float follows the formula in double, with the same bits on any threads") {
  const index_t b = 3001, d = 8;
  // The second half of Y lies near X, so that losses are small and probabilities uneven.
  auto x = random_matrix<float>(b, d, 5, 100), y = random_matrix<float>(b, d, 6, 71);
  for (index_t i = b / 2; i < b; ++i)
    for (index_t j = 0; j < d; ++j) y(i, j) = x(i, j) + 0.3f * y(i, j);
  const auto expected = naive<float>(x.view(), y.view(), 0.1);
  const auto one = run<float>(1, x.view(), y.view(), {.temperature = 0.1f});
  CHECK(std::abs(one.loss - expected.loss) < 1e-5 * expected.loss);
  CHECK(relative(one.dx, expected.dx) < 2e-5);
  CHECK(relative(one.dy, expected.dy) < 2e-5);
  for (const int threads : {2, 3}) {
    const auto more = run<float>(threads, x.view(), y.view(), {.temperature = 0.1f});
    CHECK(more.loss == one.loss);
    CHECK(std::equal(more.dx.data(), more.dx.data() + more.dx.size(), one.dx.data()));
    CHECK(std::equal(more.dy.data(), more.dy.data() + more.dy.size(), one.dy.data()));
  }
}

TEST_CASE("Rows of zeros get no gradient from any alignment, and NaN reaches the loss") {
  auto x = random_matrix(20, 6, 1, 4);
  const auto y = random_matrix(20, 6, 2);
  const auto result = run<double>(1, x.view(), y.view(), {.temperature = 0.2, .directions = Directions::both});
  for (index_t i = 3; i < 20; i += 4)
    for (index_t j = 0; j < 6; ++j) CHECK(result.dx(i, j) == 0.0);

  x(7, 2) = std::nan("");
  Context<Cpu> context(1);
  Matrix<double, Cpu> loss(1, 1);
  InfoNce<double, Cpu> contrast;
  contrast.forward(context, x.view(), y.view(), loss.view());
  CHECK(std::isnan(loss(0, 0)));
  CosineDistance<double, Cpu> distance;
  distance.forward(context, x.view(), y.view(), loss.view());
  CHECK(std::isnan(loss(0, 0)));
  MomentDistance<double, Cpu> moments;
  moments.forward(context, x.view(), y.view(), loss.view());
  CHECK(std::isnan(loss(0, 0)));
}

TEST_CASE("Cosine distance and moment distance keep the contract of an op") {
  for (const index_t b : {1, 2, 31, 33, 129, 600})
    for (const index_t d : {1, 5, 16, 65}) {
      INFO(b << " rows, " << d << " columns");
      const auto x = random_matrix(b, d, 1, 8), y = random_matrix(b, d, 2, 6);
      CosineDistance<double, Cpu> cosine;
      const OpReport of_cosine = check_op(cosine, {x.view(), y.view()}, {.entries = 6, .move_zero_rows = false});
      INFO(of_cosine.text());
      CHECK(of_cosine.ok());
      MomentDistance<double, Cpu> moments;
      const OpReport of_moments = check_op(moments, {x.view(), y.view()}, {.entries = 6});
      INFO(of_moments.text());
      CHECK(of_moments.ok());
    }
}

TEST_CASE("Alignments of a representation with itself are zero, and of opposites largest") {
  Context<Cpu> context(1);
  const auto x = random_matrix(50, 8, 1);
  auto opposite = random_matrix(50, 8, 1);
  for (std::int64_t k = 0; k < opposite.size(); ++k) opposite.data()[k] *= -2;
  Matrix<double, Cpu> loss(1, 1);
  CosineDistance<double, Cpu> cosine;
  cosine.forward(context, x.view(), x.view(), loss.view());
  CHECK(std::abs(loss(0, 0)) < 1e-12);
  cosine.forward(context, x.view(), opposite.view(), loss.view());
  CHECK(std::abs(loss(0, 0) - 2) < 1e-12);
  MomentDistance<double, Cpu> moments;
  moments.forward(context, x.view(), x.view(), loss.view());
  CHECK(loss(0, 0) == 0.0);
}

TEST_CASE("Alignments refuse an empty batch, unequal shapes and a temperature that is not positive") {
  const auto x = random_matrix(3, 4, 1), y = random_matrix(2, 4, 1);
  const Matrix<double, Cpu> none(0, 4);
  REQUIRE_ERROR((InfoNce<double, Cpu>().shape(x.view(), y.view())), "X is 3 x 4, Y is 2 x 4");
  REQUIRE_ERROR((InfoNce<double, Cpu>().shape(none.view(), none.view())), "X is 0 x 4");
  REQUIRE_ERROR((InfoNce<double, Cpu>({.temperature = 0.0})), "must be positive, not 0");
  REQUIRE_ERROR((CosineDistance<double, Cpu>().shape(x.view(), y.view())), "X is 3 x 4");
  REQUIRE_ERROR((MomentDistance<double, Cpu>().shape(none.view(), none.view())), "X is 0 x 4");
}

}  // namespace dream_tests::components_contrastive_alignment
