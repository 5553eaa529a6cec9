#include <dream/components/modality_attention.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include <dream/testing/gradient_check.hpp>

#include "ops/inputs.hpp"
#include "ops/outcome.hpp"
#include "support/catch.hpp"

namespace dream_tests::components_modality_attention {

using namespace dream;
using dream_test::random_matrix;
using dream_test::require_same_by_kernels;

namespace {

/// Modalities, A, a0 and q.
template <class T>
struct Inputs {
  std::vector<Matrix<T, Cpu>> held;
  std::vector<MatrixView<const T>> views;

  Inputs(index_t modalities, index_t b, index_t d, index_t k) {
    for (index_t m = 0; m < modalities; ++m) add(b, d, 1);
    add(d, k, 1 / std::sqrt(static_cast<double>(d)));
    add(1, k, 0.5);
    add(k, 1, 2 / std::sqrt(static_cast<double>(k)));
    for (const auto& m : std::as_const(held)) views.push_back(m.view());
  }

 private:
  void add(index_t rows, index_t cols, double scale) {
    held.push_back(random_matrix<T>(rows, cols, 40 + held.size()));
    for (index_t i = 0; i < rows; ++i)
      for (index_t j = 0; j < cols; ++j) held.back()(i, j) *= static_cast<T>(scale);
  }
};

struct Size {
  index_t b, d, k;
};

}  // namespace

TEST_CASE("Attention over modalities keeps the contract of an op") {
  for (const index_t modalities : {1, 2, 3, 9})
    for (const Size& s : {Size{1, 1, 1}, {1, 4, 4}, {5, 5, 5}, {2, 65, 3}, {33, 5, 33}, {300, 8, 4}}) {
      INFO(modalities << " modalities, " << s.b << " rows, " << s.d << " columns, k = " << s.k);
      const Inputs<double> in(modalities, s.b, s.d, s.k);
      ModalityAttention<double, Cpu> op;
      const OpReport report = check_op(op, in.views, {.entries = 6});
      INFO(report.text());
      CHECK(report.ok());
    }
}

TEST_CASE("Rows are weighted by the softmax of tanh(C A + a0) q") {
  Context<Cpu> context(1);
  const Inputs<double> in(3, 4, 6, 5);
  const auto &a = in.held[3], &a0 = in.held[4], &q = in.held[5];
  Matrix<double, Cpu> out(4, 6);
  ModalityAttention<double, Cpu> op;
  op.forward(context, in.views, out.view());
  for (index_t i = 0; i < 4; ++i) {
    double power[3], total = 0;
    for (std::size_t m = 0; m < 3; ++m) {
      double score = 0;
      for (index_t j = 0; j < 5; ++j) {
        double pre = a0(0, j);
        for (index_t l = 0; l < 6; ++l) pre += in.held[m](i, l) * a(l, j);
        score += std::tanh(pre) * q(j, 0);
      }
      total += power[m] = std::exp(score);
    }
    for (index_t l = 0; l < 6; ++l) {
      double expected = 0;
      for (std::size_t m = 0; m < 3; ++m) expected += power[m] / total * in.held[m](i, l);
      CHECK(out(i, l) == Approx(expected).epsilon(1e-13));
    }
    for (index_t m = 0; m < 3; ++m) CHECK(op.attention()(m, i) == Approx(power[m] / total).epsilon(1e-13));
  }
}

TEMPLATE_TEST_CASE("Attention over modalities by kernels is that of the host", "", float, double) {
  for (const index_t modalities : {1, 2, 3, 8})
    for (const Size& s : {Size{0, 4, 4}, {1, 1, 1}, {33, 65, 3}, {129, 64, 64}, {5, 3, 1030}}) {
      INFO(modalities << " modalities, " << s.b << " rows, " << s.d << " columns, k = " << s.k);
      const Inputs<TestType> in(modalities, s.b, s.d, s.k);
      // Sums of up to 1030 rounded products along rows, or over 8 * 129 rows; an exponential of a score below 10.
      require_same_by_kernels<TestType>([]<class B>(B) { return ModalityAttention<TestType, B>(); }, in.views,
                                        100 * std::numeric_limits<TestType>::epsilon());
    }
}

TEST_CASE("A column q and its gradient may have gaps on the device as on the host") {
  constexpr index_t b = 7, d = 5, k = 6;
  const Inputs<double> in(2, b, d, k);
  Context<Emulated> context;
  std::vector<Matrix<double, Emulated>> held;
  std::vector<MatrixView<const double>> views;
  for (const auto& x : in.views) held.push_back(upload<double>(context, x));
  for (const auto& x : held) views.push_back(x.view());
  Matrix<double, Cpu> wide(k, 3);
  for (index_t i = 0; i < k; ++i)
    for (index_t j = 0; j < 3; ++j) wide(i, j) = j == 1 ? in.held[4](i, 0) : 100;
  const Matrix<double, Emulated> wide_q = upload<double>(context, std::as_const(wide).view());
  const auto run = [&](MatrixView<const double> q, MatrixView<double> dq) {
    views.back() = q;
    ModalityAttention<double, Emulated> op;
    Matrix<double, Emulated> out(context, b, d);
    std::vector<GradView<double>> grads(5);
    grads[4] = {dq, 0.5, true};
    op.forward(context, views, out.view());
    op.backward(context, views, std::as_const(out).view(), held[0].view(), grads);
    return download<double>(context, std::as_const(out).view());
  };
  Matrix<double, Emulated> dense = upload<double>(context, in.views[4]),
                           apart = upload<double>(context, std::as_const(wide).view());
  const auto expected = run(held[4].view(), dense.view());
  CHECK(dream_test::distance(run(wide_q.view().middle_cols(1, 1), apart.view().middle_cols(1, 1)), expected) == 0);
  const auto found = download<double>(context, std::as_const(apart).view());
  const auto one = download<double>(context, std::as_const(dense).view());
  for (index_t i = 0; i < k; ++i) {
    CHECK(found(i, 1) == Approx(one(i, 0)).epsilon(1e-14));
    CHECK(found(i, 0) == 100);
    CHECK(found(i, 2) == 100);
  }
}

TEST_CASE("Scores whose exponentials overflow still give weights, and NaN shows") {
  Context<Cpu> context(1);
  Inputs<float> in(2, 3, 2, 2);
  in.held[2].fill(100);  // tanh is 1 or -1
  in.held[3].fill(0);
  in.held[4].fill(1000);
  const float rows[3][2] = {{1, 1}, {-1, -1}, {1, std::nanf("")}};
  for (index_t i = 0; i < 3; ++i)
    for (index_t j = 0; j < 2; ++j) {
      in.held[0](i, j) = rows[i][j];
      in.held[1](i, j) = 3;
    }
  Matrix<float, Cpu> out(3, 2);
  ModalityAttention<float, Cpu> op;
  op.forward(context, in.views, out.view());
  for (index_t j = 0; j < 2; ++j) {
    CHECK(out(0, j) == 2);  // scores of 2000 each
    CHECK(out(1, j) == 3);  // -2000 and 2000
    CHECK(std::isnan(out(2, j)));
  }
}

TEST_CASE("NaN stays NaN in a hyperbolic tangent, wherever in a row it stands") {
  for (index_t place = 0; place < 37; ++place) {
    std::vector<float> x(37, 0.5F);
    x[static_cast<std::size_t>(place)] = std::nanf("");
    hyperbolic_tangent(x.data(), 37);
    for (index_t j = 0; j < 37; ++j) {
      if (j == place)
        REQUIRE(std::isnan(x[static_cast<std::size_t>(j)]));
      else
        REQUIRE(x[static_cast<std::size_t>(j)] == Approx(std::tanh(0.5)).epsilon(1e-6));
    }
  }
}

TEST_CASE("One modality has all the weight, and its scores no gradient") {
  Context<Cpu> context(1);
  const Inputs<double> in(1, 4, 3, 2);
  Matrix<double, Cpu> out(4, 3), dq(2, 1);
  ModalityAttention<double, Cpu> op;
  op.forward(context, in.views, out.view());
  std::vector<GradView<double>> grads(4);
  grads[3] = {dq.view(), 0, true};
  op.backward(context, in.views, std::as_const(out).view(), in.views[0], grads);
  CHECK(dream_test::distance(out, in.held[0]) == 0);
  CHECK(dq(0, 0) == 0);
  CHECK(dq(1, 0) == 0);
}

TEST_CASE("Attention refuses inputs of other shapes and says which") {
  const Inputs<double> in(2, 4, 3, 5);
  const ModalityAttention<double, Cpu> op;
  auto views = in.views;
  std::swap(views[1], views[2]);
  REQUIRE_ERROR(op.shape(views), "modality 1 is 3 x 5, the first 4 x 3");
  views = in.views;
  std::swap(views[3], views[4]);
  REQUIRE_ERROR(op.shape(views), "A is 3 x 5, a0 is 5 x 1, q is 1 x 5");
  views = {in.views.begin() + 2, in.views.end()};
  REQUIRE_ERROR(op.shape(views), "3 inputs, expected modalities, A, a0 and q");
  const Inputs<float> many(9, 2, 3, 2);
  Context<Emulated> context;
  std::vector<Matrix<float, Emulated>> held;
  std::vector<MatrixView<const float>> on_device;
  for (const auto& x : many.views) held.push_back(upload<float>(context, x));
  for (const auto& x : held) on_device.push_back(x.view());
  Matrix<float, Emulated> out(context, 2, 3);
  REQUIRE_ERROR((ModalityAttention<float, Emulated>().forward(context, on_device, out.view())),
                "9 modalities, kernels take 8");
}

}  // namespace dream_tests::components_modality_attention
