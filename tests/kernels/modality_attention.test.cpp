#include <cmath>
#include <limits>
#include <vector>

#include <dream/kernels/modality_attention.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

namespace dream_tests::kernels_modality_attention {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

/// Rows, columns of the modalities, and columns of the products.
struct Size {
  index_t b, d, k;
};
constexpr Size sizes[] = {{0, 64, 64},  {1, 64, 64},   {31, 64, 32},  {32, 33, 64},  {33, 1, 31},    {127, 3, 5},
                          {128, 64, 1}, {129, 32, 32}, {257, 7, 129}, {5, 1030, 64}, {3, 257, 1030}, {2, 128, 4099}};

/// Products, modalities and what the formulas make of them, in double.
template <class T>
struct Case {
  Size size;
  int count;
  std::vector<KernelMatrix<T>> in;
  KernelMatrix<T> hidden, a0, q;

  Case(const Size& s, int modalities, Layout layout, Layout of_hidden)
      : size(s),
        count(modalities),
        hidden(KernelMatrix<T>::random(modalities * s.b, s.k, 1, of_hidden)),
        a0(KernelMatrix<T>::random(1, s.k, 2, {0, modalities % 2})),
        q(KernelMatrix<T>::random(1, s.k, 3, {0, modalities / 2 % 2}, 2 / std::sqrt(static_cast<double>(s.k)))) {
    for (int m = 0; m < count; ++m)
      in.push_back(
          KernelMatrix<T>::random(s.b, s.d, static_cast<std::uint32_t>(10 + m), layouts[(m + layout.gap) % 4]));
  }
  double t(index_t i, int m, index_t j) const { return std::tanh(hidden.at(m * size.b + i, j) + a0.at(0, j)); }
  /// The weights of row i.
  std::vector<double> attention(index_t i) const {
    std::vector<double> a;
    double largest = -std::numeric_limits<double>::infinity(), total = 0;
    for (int m = 0; m < count; ++m) {
      double score = 0;
      for (index_t j = 0; j < size.k; ++j) score += t(i, m, j) * q.at(0, j);
      a.push_back(score);
      largest = std::max(largest, score);
    }
    for (double& x : a) total += x = std::exp(x - largest);
    for (double& x : a) x /= total;
    return a;
  }
};

/// A matrix of the formulas' numbers, taken once.
template <class F>
std::vector<double> values_of(index_t rows, index_t cols, F&& f) {
  std::vector<double> values;
  for (index_t i = 0; i < rows; ++i)
    for (index_t j = 0; j < cols; ++j) values.push_back(f(i, j));
  return values;
}

}  // namespace

TEMPLATE_TEST_CASE("Modalities are weighted by the softmax of their scores in every row", "", float, double) {
  using T = TestType;
  int turn = 0;
  for (const Size& s : sizes) {
    const int count = 1 + turn % 8;
    const Layout of_in = layouts[turn % 4], of_out = layouts[(turn + 1) % 4], of_hidden = layouts[turn / 2 % 4];
    ++turn;
    Case<T> c(s, count, of_in, of_hidden);
    KernelMatrix<T> hidden = c.hidden, attention(count, s.b), out(s.b, s.d, of_out);
    const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
      AttendModalitiesArguments<T> a{use.output(hidden.view()),    use.input(c.a0.vector()),
                                     use.input(c.q.vector()),      {},
                                     use.output(attention.view()), use.output(out.view())};
      for (int m = 0; m < count; ++m) a.in[m] = use.input(c.in[static_cast<std::size_t>(m)].view());
      attend_modalities(context, a);
    });
    REQUIRE(report.text() == "");
    std::vector<std::vector<double>> weights;
    for (index_t i = 0; i < s.b; ++i) weights.push_back(c.attention(i));
    // The argument, up to 10, is rounded once; a hyperbolic tangent's slope is at most 1.
    require_near(
        hidden,
        [&](index_t r, index_t j) { return c.t(s.b > 0 ? r % s.b : 0, static_cast<int>(s.b > 0 ? r / s.b : 0), j); },
        10 * rounding<T>);
    // A score of products of which the largest sum is 8 * size 1, each off by 10 roundings; weights go with the score.
    require_near(
        attention,
        [&](index_t m, index_t i) { return weights[static_cast<std::size_t>(i)][static_cast<std::size_t>(m)]; },
        100 * rounding<T>);
    require_near(
        out,
        [&](index_t i, index_t j) {
          double sum = 0;
          for (std::size_t m = 0; m < c.in.size(); ++m)
            sum += weights[static_cast<std::size_t>(i)][m] * c.in[m].at(i, j);
          return sum;
        },
        500 * rounding<T>);
  }
}

TEMPLATE_TEST_CASE("The slopes of the scores and the modalities' own gradients are those of the formula", "", float,
                   double) {
  using T = TestType;
  int turn = 0;
  for (const Size& s : sizes)
    for (int k = 0; k < 2; ++k) {
      const int count = 1 + (turn + 3) % 8;
      const Layout of_in = layouts[turn % 4], of_out = layouts[(turn / 4 + turn) % 4];
      const T beta = turn % 3 == 0 ? T{0} : T{-0.5};
      ++turn;
      Case<T> c({s.b, s.d, 4}, count, of_in, {});
      KernelMatrix<T> attention(count, s.b), slopes(count, s.b), d_out = KernelMatrix<T>::random(s.b, s.d, 4, of_in);
      attention.fill([&](index_t m, index_t i) { return c.attention(i)[static_cast<std::size_t>(m)]; });
      std::vector<KernelMatrix<T>> d_in;
      for (int m = 0; m < count; ++m)
        d_in.push_back(beta == T{0} ? KernelMatrix<T>(s.b, s.d, of_out)
                                    : KernelMatrix<T>::random(s.b, s.d, 30, of_out));
      const std::vector<KernelMatrix<T>> before = d_in;
      const auto is_wanted = [&](int m) { return m % 3 != 1; };
      const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
        AttendModalitiesBackwardArguments<T> a{};
        a.attention = use.input(attention.view());
        a.d_out = use.input(d_out.view());
        a.slopes = use.output(slopes.view());
        for (int m = 0; m < count; ++m) {
          a.in[m] = use.input(c.in[static_cast<std::size_t>(m)].view());
          const MatrixView<T> target = use.output(d_in[static_cast<std::size_t>(m)].view());
          if (is_wanted(m)) a.d_in[m] = {target, beta};
        }
        attend_modalities_backward(context, a);
      });
      REQUIRE(report.text() == "");
      const std::vector<double> along = values_of(count, s.b, [&](index_t m, index_t i) {
        double sum = 0;
        for (index_t j = 0; j < s.d; ++j) sum += d_out.at(i, j) * c.in[static_cast<std::size_t>(m)].at(i, j);
        return sum;
      });
      // Sums of d products of normal numbers, in parts of 4 and more.
      require_near(
          slopes,
          [&](index_t m, index_t i) {
            double mean = 0;
            for (index_t n = 0; n < count; ++n)
              mean += attention.at(n, i) * along[static_cast<std::size_t>(n * s.b + i)];
            return attention.at(m, i) * (along[static_cast<std::size_t>(m * s.b + i)] - mean);
          },
          (100 + s.d) * rounding<T>);
      for (int m = 0; m < count; ++m)
        require_near(
            d_in[static_cast<std::size_t>(m)],
            [&](index_t i, index_t j) {
              const double old = before[static_cast<std::size_t>(m)].at(i, j);
              if (!is_wanted(m)) return old;
              return attention.at(m, i) * d_out.at(i, j) + (beta == T{0} ? 0 : -0.5 * old);
            },
            10 * rounding<T>);
    }
}

TEMPLATE_TEST_CASE("The gradient before the tangent and its sums are those of the formula, or those that are wanted",
                   "", float, double) {
  using T = TestType;
  using Pieces = ColumnSumPieces<T>;
  constexpr MatrixShape shapes[] = {{0, 8},   {1, 1},    {31, 64},  {32, 31},  {33, 33},  {127, 128},
                                    {128, 3}, {129, 32}, {257, 64}, {9, 1030}, {2, 4099}, {1000, 4}};
  int turn = 0;
  for (const MatrixShape& s : shapes)
    for (int k = 0; k < 2; ++k, ++turn) {
      const Layout of_t = layouts[turn % 4], of_pre = layouts[(turn / 4 + turn) % 4];
      const bool wants_pre = turn % 5 != 1, wants_a0 = turn % 4 != 2, wants_q = turn % 4 != 3;
      auto t = KernelMatrix<T>::random(s.rows, s.cols, 5, of_t), q = KernelMatrix<T>::random(1, s.cols, 6);
      t.fill([&](index_t i, index_t j) { return std::tanh(t.at(i, j)); });
      auto slopes = KernelMatrix<T>::random(1, s.rows, 7);
      const index_t pieces = Pieces::count(s.rows);
      KernelMatrix<T> d_pre(s.rows, s.cols, of_pre), a0_pieces(pieces, s.cols), q_pieces(pieces, s.cols);
      const T beta = turn % 3 == 0 ? T{0} : T{1};
      KernelMatrix<T> a0_sums(1, s.cols), q_sums(1, s.cols);
      if (beta != T{0}) a0_sums = q_sums = KernelMatrix<T>::random(1, s.cols, 8);
      const KernelMatrix<T> before = a0_sums;
      const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
        typename AttentionPreGradient<T>::Params p{
            use.input(t.view()),      use.input(slopes.vector()).data,     use.input(q.vector()),
            use.output(d_pre.view()), use.output(a0_pieces.vector()).data, use.output(q_pieces.vector()).data};
        if (!wants_pre) p.d_pre = {};
        if (!wants_a0) p.a0_pieces = nullptr;
        if (!wants_q) p.q_pieces = nullptr;
        const VectorView<T> sums[] = {use.output(a0_sums.vector()), use.output(q_sums.vector())};
        launch<AttentionPreGradient<T>>(context, p);
        if (wants_a0) launch<ColumnSumFinish<T>>(context, {p.a0_pieces, pieces, T{1}, beta, sums[0]});
        if (wants_q) launch<ColumnSumFinish<T>>(context, {p.q_pieces, pieces, T{1}, beta, sums[1]});
      });
      REQUIRE(report.text() == "");
      const auto pre = [&](index_t i, index_t j) {
        return slopes.at(0, i) * q.at(0, j) * (1 - t.at(i, j) * t.at(i, j));
      };
      // Four roundings of numbers up to 25.
      require_near(
          d_pre, [&](index_t i, index_t j) { return wants_pre ? pre(i, j) : std::nan(""); }, 50 * rounding<T>);
      const auto sum = [&](index_t j, bool of_a0) {
        double all = beta == T{0} ? 0 : before.at(0, j);
        for (index_t i = 0; i < s.rows; ++i) all += of_a0 ? pre(i, j) : slopes.at(0, i) * t.at(i, j);
        return all;
      };
      const auto unless = [&](bool wanted, index_t j, double value) { return wanted ? value : before.at(0, j); };
      // Sums of that many such numbers, in parts.
      const double tolerance = (50 + 2 * s.rows) * rounding<T>;
      require_near(
          a0_sums, [&](auto, index_t j) { return unless(wants_a0, j, sum(j, true)); }, tolerance);
      require_near(
          q_sums, [&](auto, index_t j) { return unless(wants_q, j, sum(j, false)); }, tolerance);
    }
}

TEST_CASE("Modalities whose gradients share memory add up in their order") {
  Case<double> c({40, 20, 4}, 3, {}, {});
  KernelMatrix<double> attention(3, 40), slopes(3, 40), d_in(40, 20);
  attention.fill([&](index_t m, index_t i) { return c.attention(i)[static_cast<std::size_t>(m)]; });
  auto d_out = KernelMatrix<double>::random(40, 20, 4);
  const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    AttendModalitiesBackwardArguments<double> a{};
    a.attention = use.input(attention.view());
    a.d_out = use.input(d_out.view());
    a.slopes = use.output(slopes.view());
    const MatrixView<double> target = use.output(d_in.view());
    for (std::size_t m = 0; m < 3; ++m) {
      a.in[m] = use.input(c.in[m].view());
      a.d_in[m] = {target, m == 0 ? 0.0 : 1.0};
    }
    attend_modalities_backward(context, a);
  });
  REQUIRE(report.text() == "");
  // The weights' sum is 1.
  require_near(
      d_in, [&](index_t i, index_t j) { return d_out.at(i, j); }, 20 * rounding<double>);
}

TEMPLATE_TEST_CASE("Weights of scores whose exponentials overflow are right, and NaN shows in its row alone", "", float,
                   double) {
  using T = TestType;
  KernelMatrix<T> hidden(6, 8), a0(1, 8), q(1, 8), in(3, 8), other(3, 8), attention(2, 3), out(3, 8);
  a0.fill([](auto, auto) { return 0; });
  q.fill([](auto, auto) { return 1000; });
  in.fill([](auto, auto) { return 1; });
  other.fill([](auto, auto) { return 5; });
  // Rows 0 to 2 of the first modality, then of the second: equal, smaller, NaN.
  hidden.fill([](index_t r, index_t j) { return r == 1 ? -100 : r == 2 && j == 6 ? std::nan("") : 100; });
  Context<Emulated> context;
  attend_modalities(context, AttendModalitiesArguments<T>{hidden.view(),
                                                          {a0.view().data, 8},
                                                          {q.view().data, 8},
                                                          {in.view(), other.view()},
                                                          attention.view(),
                                                          out.view()});
  const double expected[] = {3, 5, std::nan("")};
  require_near(
      out, [&](index_t i, auto) { return expected[i]; }, 0);
}

}  // namespace dream_tests::kernels_modality_attention
