#include <cmath>
#include <limits>
#include <vector>

#include <dream/kernels/modal_fusion.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_matrix.hpp"

namespace dream_tests::kernels_modal_fusion {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

/// Modalities of some entities, a batch of them, and what the formulas make of it, in double.
template <class T>
struct Case {
  static constexpr index_t entities = 50;
  index_t batch, cols;
  int count;
  KernelMatrix<T> weights, present, d_out;
  std::vector<KernelMatrix<T>> in;
  std::vector<index_t> rows;

  Case(index_t b, index_t d, int modalities, Layout layout)
      : batch(b),
        cols(d),
        count(modalities),
        weights(1, modalities),
        present(entities, modalities),
        d_out(KernelMatrix<T>::random(b, d, 1, layout)) {
    const RandomStream random{3};
    weights.fill([&](auto, index_t m) { return 0.25 + random.uniform(static_cast<std::uint64_t>(m)); });
    present.fill([&](index_t i, index_t m) {
      return i % 7 == 3 || random.uniform(static_cast<std::uint64_t>(100 + i * 8 + m)) < 0.3 ? 0 : 1;
    });
    for (int m = 0; m < count; ++m)
      in.push_back(KernelMatrix<T>::random(b, d, static_cast<std::uint32_t>(10 + m), layouts[(m + layout.gap) % 4]));
    for (index_t k = 0; k < b; ++k)
      rows.push_back(static_cast<index_t>(random.below(static_cast<std::uint64_t>(1000 + k), entities)));
  }
  FusionWeights<T> by(KernelBuffers& use) {
    return {use.input(weights.vector()).data, use.input(present.view()),
            use.input(VectorView<const index_t>{rows.data(), batch})};
  }
  double has(index_t k, int m) const { return present.at(rows[static_cast<std::size_t>(k)], m); }
  double total(index_t k, const std::vector<double>& a) const {
    double sum = 0;
    for (int m = 0; m < count; ++m) sum += a[static_cast<std::size_t>(m)] * has(k, m);
    return sum;
  }
  double weight(index_t k, int m, const std::vector<double>& a) const {
    return total(k, a) > 0 ? a[static_cast<std::size_t>(m)] * has(k, m) / total(k, a) : 0;
  }
  std::vector<double> given() const {
    std::vector<double> a;
    for (int m = 0; m < count; ++m) a.push_back(weights.at(0, m));
    return a;
  }
  double fused(index_t k, index_t j, const std::vector<double>& a) const {
    double sum = 0;
    for (int m = 0; m < count; ++m)
      if (has(k, m) != 0) sum += weight(k, m, a) * in[static_cast<std::size_t>(m)].at(k, j);
    return sum;
  }
  /// d_out . fused, whose derivatives are the gradients.
  double loss(const std::vector<double>& a) const {
    double sum = 0;
    for (index_t k = 0; k < batch; ++k)
      for (index_t j = 0; j < cols; ++j) sum += d_out.at(k, j) * fused(k, j, a);
    return sum;
  }
};

std::vector<double> softmax(const std::vector<double>& logits) {
  std::vector<double> a;
  double sum = 0;
  for (const double x : logits) sum += std::exp(x);
  for (const double x : logits) a.push_back(std::exp(x) / sum);
  return a;
}

template <class T>
void check_forward(Case<T>& c, Layout layout) {
  KernelMatrix<T> out(c.batch, c.cols, layout);
  const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    FuseModalitiesArguments<T> a{c.by(use), {}, use.output(out.view())};
    for (int m = 0; m < c.count; ++m) a.in[m] = use.input(c.in[static_cast<std::size_t>(m)].view());
    fuse_modalities(context, a);
  });
  REQUIRE(report.text() == "");
  // Weights of four roundings, sums of up to eight products below 5.
  require_near(
      out, [&](index_t k, index_t j) { return c.fused(k, j, c.given()); }, 60 * rounding<T>);
}

template <class T>
void check_backward(Case<T>& c, Layout layout, T beta) {
  std::vector<KernelMatrix<T>> d_in;
  for (int m = 0; m < c.count; ++m)
    d_in.push_back(beta == T{0} ? KernelMatrix<T>(c.batch, c.cols, layout)
                                : KernelMatrix<T>::random(c.batch, c.cols, 30, layout));
  const std::vector<KernelMatrix<T>> before = d_in;
  const auto is_wanted = [&](int m) { return c.count == 1 || m != 1; };
  const std::vector<double> weights = c.given();
  std::vector<double> logits;
  double sum = 0;
  for (const double a : weights) sum += a;
  for (const double a : weights) logits.push_back(std::log(a / sum));
  c.weights.fill([&](auto, index_t m) { return weights[static_cast<std::size_t>(m)] / sum; });
  KernelMatrix<T> d_logits(1, c.count);
  if (beta != T{0}) d_logits = KernelMatrix<T>::random(1, c.count, 31);
  const KernelMatrix<T> logits_before = d_logits;
  KernelMatrix<double> workspace(1, static_cast<index_t>(fuse_modalities_backward_workspace()));
  const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    FuseModalitiesBackwardArguments<T> a{};
    a.by = c.by(use);
    for (int m = 0; m < c.count; ++m) {
      a.in[m] = use.input(c.in[static_cast<std::size_t>(m)].view());
      const MatrixView<T> target = use.output(d_in[static_cast<std::size_t>(m)].view());
      if (is_wanted(m)) a.d_in[m] = {target, beta};
    }
    a.d_out = use.input(c.d_out.view());
    a.d_logits = use.output(d_logits.vector());
    a.logits_beta = beta;
    a.workspace = use.output(workspace.vector()).data;
    fuse_modalities_backward(context, a);
  });
  REQUIRE(report.text() == "");
  const std::vector<double> a = c.given();
  for (int m = 0; m < c.count; ++m) {
    // A weight of four roundings times a number below 5, and a sum.
    require_near(
        d_in[static_cast<std::size_t>(m)],
        [&](index_t k, index_t j) {
          const double old = before[static_cast<std::size_t>(m)].at(k, j);
          if (!is_wanted(m)) return old;
          return c.weight(k, m, a) * c.d_out.at(k, j) + (beta == T{0} ? 0 : static_cast<double>(beta) * old);
        },
        30 * rounding<T>);
    // Central differences: third derivatives times h^2 and rounding over h, both of sums over batch x cols values. In
    // float the weights of each row are rounded.
    constexpr double h = 1e-4;
    std::vector<double> up = logits, down = logits;
    up[static_cast<std::size_t>(m)] += h;
    down[static_cast<std::size_t>(m)] -= h;
    double expected = (c.loss(softmax(up)) - c.loss(softmax(down))) / (2 * h);
    if (beta != T{0}) expected += static_cast<double>(beta) * logits_before.at(0, m);
    CAPTURE(c.batch, c.cols, c.count, m, expected, d_logits.at(0, m));
    REQUIRE(std::abs(d_logits.at(0, m) - expected) <= (1e-8 + 5 * rounding<T>)*(10 + c.batch * c.cols));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("Fused modalities are weighted means over those that an entity has", "", float, double) {
  int turn = 0;
  for (const MatrixShape& s : matrix_shapes) {
    const int count = 1 + turn % 8;
    const Layout in = layouts[turn % 4], out = layouts[(turn / 4 + turn) % 4];
    Case<TestType> c(s.rows, s.cols, count, in);
    check_forward(c, out);
    ++turn;
  }
}

TEMPLATE_TEST_CASE("The gradients of fused modalities and of their logits are those of the formula", "", float,
                   double) {
  int turn = 0;
  for (const MatrixShape& s : matrix_shapes) {
    const int count = 1 + (turn + 1) % 8;
    const Layout in = layouts[turn % 4], out = layouts[(turn / 4 + turn) % 4];
    Case<TestType> c(s.rows, s.cols, count, in);
    check_backward(c, out, turn % 3 == 0 ? TestType{0} : TestType{1});
    ++turn;
  }
}

TEST_CASE("An entity without modalities gets a zero row, and what an absent modality holds is not used") {
  Case<double> c(40, 20, 3, {});
  bool has_empty = false;
  for (index_t k = 0; k < c.batch; ++k) {
    has_empty |= c.total(k, c.given()) == 0;
    for (int m = 0; m < 3; ++m)
      for (index_t j = 0; j < c.cols; ++j)
        if (c.has(k, m) == 0) c.in[static_cast<std::size_t>(m)](k, j) = std::nan("");
  }
  REQUIRE(has_empty);
  check_forward(c, {});
}

TEST_CASE("Without the logits' gradient the modalities are not read") {
  Case<float> c(33, 64, 2, {});
  std::vector<KernelMatrix<float>> d_in(2, KernelMatrix<float>(33, 64));
  const auto report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    FuseModalitiesBackwardArguments<float> a{};
    a.by = c.by(use);
    a.d_out = use.input(c.d_out.view());
    for (std::size_t m = 0; m < 2; ++m) a.d_in[m] = {use.output(d_in[m].view()), 0};
    fuse_modalities_backward(context, a);
  });
  REQUIRE(report.text() == "");
  for (int m = 0; m < 2; ++m)
    require_near(
        d_in[static_cast<std::size_t>(m)],
        [&](index_t k, index_t j) { return c.weight(k, m, c.given()) * c.d_out.at(k, j); }, 30 * rounding<float>);
}

TEMPLATE_TEST_CASE("The softmax of the logits neither overflows nor hides NaN", "", float, double) {
  using T = TestType;
  const auto weights_of = [](std::vector<T> logits) {
    KernelMatrix<T> weights(1, static_cast<index_t>(logits.size()));
    const auto report = check_kernel<ModalitySoftmax<T>>([&](KernelBuffers& use) {
      return typename ModalitySoftmax<T>::Params{
          use.input(VectorView<const T>{logits.data(), static_cast<std::int64_t>(logits.size())}),
          use.output(weights.vector())};
    });
    REQUIRE(report.text() == "");
    return weights;
  };
  const std::vector<double> logits = {0.5, -1, 2, 0, 0.25, -3, 1, 1.5};
  for (std::size_t count = 1; count <= 8; ++count) {
    const std::vector<double> first(logits.begin(), logits.begin() + static_cast<std::ptrdiff_t>(count));
    // Exponentials of at most 1 rounding each, a sum and a quotient.
    require_near(
        weights_of(std::vector<T>(first.begin(), first.end())),
        [&](auto, index_t m) { return softmax(first)[static_cast<std::size_t>(m)]; }, 4 * rounding<T>);
  }
  const KernelMatrix<T> large = weights_of({T{10000}, T{9999}, T{-10000}});
  REQUIRE(large.at(0, 0) == Approx(1 / (1 + std::exp(-1.0))));
  REQUIRE(large.at(0, 2) == 0);
  require_near(
      weights_of({T{1}, std::numeric_limits<T>::quiet_NaN()}), [](auto, auto) { return std::nan(""); }, 0);
}

TEST_CASE("NaN among the weights shows in every row that has a modality") {
  Case<double> c(40, 5, 2, {});
  c.weights(0, 1) = std::nan("");
  KernelMatrix<double> out(40, 5);
  Context<Emulated> context;
  fuse_modalities(context,
                  FuseModalitiesArguments<double>{{c.weights.view().data, c.present.view(), {c.rows.data(), c.batch}},
                                                  {c.in[0].view(), c.in[1].view()},
                                                  out.view()});
  for (index_t k = 0; k < 40; ++k)
    if (c.has(k, 1) != 0) REQUIRE(std::isnan(out.at(k, 0)));
}

}  // namespace dream_tests::kernels_modal_fusion
