#include <dream/components/ranking_loss.hpp>

#include <dream/testing/gradient_check.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::components_ranking_loss {

using namespace dream;
using dream_test::random_matrix;

TEST_CASE("BPR and both regularisers keep the contract of an op at every size") {
  for (const index_t b : {1, 2, 31, 33, 129, 600})
    for (const index_t d : {1, 5, 16, 64, 65}) {
      INFO(b << " rows, " << d << " columns");
      const auto u = random_matrix(b, d, 1, 5), p = random_matrix(b, d, 2, 7), n = random_matrix(b, d, 3);
      const OpCheckOptions few{.entries = 6};
      BprLoss<double, Cpu> bpr;
      const OpReport of_bpr = check_op(bpr, {u.view(), p.view(), n.view()}, few);
      INFO(of_bpr.text());
      CHECK(of_bpr.ok());
      for (const RegulariserForm form : {RegulariserForm::squares, RegulariserForm::norms}) {
        EmbeddingRegulariser<double, Cpu> op(form, 10);
        const OpReport report = check_op(op, {u.view(), p.view(), n.view()}, few);
        INFO(report.text());
        CHECK(report.ok());
        EmbeddingRegulariser<double, Cpu> single(form, 10);
        CHECK(check_op(single, {n.view()}, few).ok());
      }
    }
}

TEST_CASE("BPR is right where the exponential over- or underflows") {
  Context<Cpu> context(1);
  Matrix<float, Cpu> u(3, 1), p(3, 1), n(3, 1), loss(1, 1), one(1, 1), du(3, 1);
  one(0, 0) = 1;
  const float margin[3] = {-1000, 0, 1000};
  for (index_t a = 0; a < 3; ++a) {
    u(a, 0) = 1;
    p(a, 0) = margin[a];
    n(a, 0) = 0;
  }
  BprLoss<float, Cpu> op;
  op.forward(context, u.view(), p.view(), n.view(), loss.view());
  op.backward(context, u.view(), p.view(), n.view(), loss.view(), one.view(), {du.view(), 0, true}, {}, {});
  CHECK(loss(0, 0) == Approx((1000 + std::log(2.0)) / 3).epsilon(1e-6));
  CHECK(du(0, 0) == Approx(1000.0 / 3).epsilon(1e-6));  // -sigmoid(1000) * -1000 / 3
  CHECK(du(1, 0) == 0.0f);
  CHECK(du(2, 0) == 0.0f);
  p(1, 0) = std::nanf("");
  op.forward(context, u.view(), p.view(), n.view(), loss.view());
  CHECK(std::isnan(loss(0, 0)));
}

TEST_CASE("The norm regulariser of zero rows is zero, with zero gradients") {
  Matrix<double, Cpu> zeros(4, 3), loss(1, 1), one(1, 1), dx(4, 3);
  zeros.fill(0);
  one(0, 0) = 1;
  dx.fill(std::nan(""));
  Context<Cpu> context(1);
  EmbeddingRegulariser<double, Cpu> op(RegulariserForm::norms);
  const std::vector<MatrixView<const double>> in{zeros.view()};
  const std::vector<GradView<double>> grads{{dx.view(), 0, true}};
  op.forward(context, in, loss.view());
  op.backward(context, in, loss.view(), one.view(), grads);
  CHECK(loss(0, 0) == 0.0);
  for (std::int64_t k = 0; k < dx.size(); ++k) CHECK(dx.data()[k] == 0.0);
}

TEST_CASE("BPR in float on a long batch follows double") {
  const auto u = random_matrix(5000, 64, 1), p = random_matrix(5000, 64, 2), n = random_matrix(5000, 64, 3);
  const auto u32 = random_matrix<float>(5000, 64, 1), p32 = random_matrix<float>(5000, 64, 2),
             n32 = random_matrix<float>(5000, 64, 3);
  Context<Cpu> context(2);
  Matrix<double, Cpu> loss(1, 1);
  Matrix<float, Cpu> loss32(1, 1);
  BprLoss<double, Cpu>().forward(context, u.view(), p.view(), n.view(), loss.view());
  BprLoss<float, Cpu>().forward(context, u32.view(), p32.view(), n32.view(), loss32.view());
  CHECK(std::abs(static_cast<double>(loss32(0, 0)) - loss(0, 0)) < 1e-6 * loss(0, 0));  // sums are taken in double
}

TEST_CASE("Ranking losses refuse unequal shapes, empty batches and a batch size of zero") {
  const auto a = random_matrix(3, 4, 1), b = random_matrix(2, 4, 1);
  const Matrix<double, Cpu> none(0, 4);
  REQUIRE_ERROR((BprLoss<double, Cpu>().shape(a.view(), a.view(), b.view())), "negatives 2 x 4");
  REQUIRE_ERROR((BprLoss<double, Cpu>().shape(none.view(), none.view(), none.view())), "users are 0 x 4");
  REQUIRE_ERROR((EmbeddingRegulariser<double, Cpu>(RegulariserForm::squares, 0)), "must be positive, not 0");
  EmbeddingRegulariser<double, Cpu> op(RegulariserForm::norms);
  REQUIRE_ERROR(op.shape({}), "nothing to regularise");
}

TEST_CASE("Weighted BPR keeps the contract of an op, and weights of another number are an error") {
  const auto u = random_matrix(33, 5, 1), p = random_matrix(33, 5, 2), n = random_matrix(33, 5, 3);
  std::vector<float> weights;
  for (int a = 0; a < 33; ++a) weights.push_back(0.25F * static_cast<float>(a % 9 + 1));
  BprLoss<double, Cpu> bpr, plain;
  bpr.weigh({weights.data(), 33});
  const OpReport report = check_op(bpr, {u.view(), p.view(), n.view()}, OpCheckOptions{});
  INFO(report.text());
  CHECK(report.ok());
  Context<Cpu> context(1);
  Matrix<double, Cpu> loss(1, 1);
  bpr.forward(context, u.view(), p.view(), n.view(), loss.view());
  double expected = 0;
  for (index_t a = 0; a < 33; ++a) {
    double z = 0;
    for (index_t j = 0; j < 5; ++j) z += u(a, j) * (p(a, j) - n(a, j));
    expected += static_cast<double>(weights[static_cast<std::size_t>(a)]) * std::log1p(std::exp(-z)) / 33;
  }
  CHECK(loss(0, 0) == Approx(expected));
  bpr.weigh({weights.data(), 32});
  REQUIRE_ERROR(bpr.forward(context, u.view(), p.view(), n.view(), loss.view()), "BPR: 32 weights for 33 rows");
}

}  // namespace dream_tests::components_ranking_loss
