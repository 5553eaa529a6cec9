#include <dream/components/modal_fusion.hpp>

#include <dream/testing/gradient_check.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::components_modal_fusion {

using namespace dream;
using dream_test::random_matrix;
using dream_test::random_rows;
using dream_test::view;

namespace {

/// Who has what: every pattern occurs, nobody's included.
Matrix<double, Cpu> presence(index_t entities, index_t modalities) {
  Matrix<double, Cpu> p(entities, modalities);
  for (index_t i = 0; i < entities; ++i)
    for (index_t m = 0; m < modalities; ++m) p(i, m) = (i + 1) >> m & 1;
  return p;
}

}  // namespace

TEST_CASE("Fusion across modalities keeps the contract of an op with equal, given, zero and learned weights") {
  for (const index_t modalities : {1, 2, 3})
    for (const index_t batch : {1, 2, 33, 300})
      for (const index_t d : {1, 5, 65})
        for (const int weights : {0, 1, 2, 3}) {          // equal, given, given with a zero, learned
          if (weights == 2 && modalities == 1) continue;  // one weight must be above 0
          INFO(modalities << " modalities, " << batch << " rows, " << d << " columns, weights " << weights);
          const auto present = presence(40, modalities);
          const auto rows = random_rows(batch, 40, 9);
          std::vector<double> a;
          for (index_t m = 0; m < modalities && weights < 3; ++m)
            a.push_back(weights == 0 ? 1.0 / modalities : m == 0 && weights == 2 ? 0.0 : m + 0.5);
          std::vector<Matrix<double, Cpu>> h;
          std::vector<MatrixView<const double>> inputs;
          for (index_t m = 0; m < modalities; ++m) h.push_back(random_matrix(batch, d, static_cast<std::uint64_t>(m)));
          const auto logits = random_matrix(1, modalities, 77);
          for (const auto& m : h) inputs.push_back(m.view());
          if (weights == 3) inputs.push_back(logits.view());
          ModalFusion<double, Cpu> op(present.view(), a);
          op.select(view(rows));
          const OpReport report = check_op(op, inputs, {.entries = 6});
          INFO(report.text());
          CHECK(report.ok());
        }
}

TEST_CASE("Fusion renormalises over the modalities an entity has, and gives a zero row to one that has none") {
  Context<Cpu> context(1);
  Matrix<double, Cpu> present(4, 2);
  const double has[4][2] = {{1, 1}, {1, 0}, {0, 1}, {0, 0}};
  for (index_t i = 0; i < 4; ++i)
    for (index_t m = 0; m < 2; ++m) present(i, m) = has[i][m];
  Matrix<double, Cpu> first(4, 1), second(4, 1), out(4, 1);
  first.fill(10);
  second.fill(20);
  const std::vector<index_t> rows{0, 1, 2, 3};
  ModalFusion<double, Cpu> op(present.view(), {1.0, 3.0});
  op.select(view(rows));
  const std::vector<MatrixView<const double>> in{first.view(), second.view()};
  op.forward(context, in, out.view());
  CHECK(out(0, 0) == Approx(0.25 * 10 + 0.75 * 20));
  CHECK(out(1, 0) == 10.0);
  CHECK(out(2, 0) == 20.0);
  CHECK(out(3, 0) == 0.0);
}

TEST_CASE("Learned weights survive logits whose exponentials overflow") {
  Context<Cpu> context(1);
  Matrix<float, Cpu> present(1, 2), h(1, 1), other(1, 1), logits(1, 2), out(1, 1);
  present.fill(1);
  h(0, 0) = 5;
  other(0, 0) = 7;
  logits(0, 0) = 500;
  logits(0, 1) = 499;
  const std::vector<index_t> rows{0};
  ModalFusion<float, Cpu> op(present.view(), {});
  op.select(view(rows));
  const std::vector<MatrixView<const float>> in{h.view(), other.view(), logits.view()};
  op.forward(context, in, out.view());
  CHECK(out(0, 0) == Approx((5 * std::exp(1.0) + 7) / (std::exp(1.0) + 1)).epsilon(1e-6));
}

TEST_CASE("Fusion refuses negative weights, a wrong number of them, and inputs of other shapes") {
  const auto present = presence(5, 2);
  REQUIRE_ERROR((ModalFusion<double, Cpu>(present.view(), {0.5, -0.1})), "a modality weight is -0.1");
  REQUIRE_ERROR((ModalFusion<double, Cpu>(present.view(), {0, 0})), "every modality weight is 0");
  REQUIRE_ERROR((ModalFusion<double, Cpu>(present.view(), {0.5})), "1 weights for 2 modalities");
  ModalFusion<double, Cpu> op(present.view(), {0.5, 0.5});
  const std::vector<index_t> rows{0, 1};
  op.select(view(rows));
  const auto a = random_matrix(2, 3, 1), b = random_matrix(2, 4, 1);
  const std::vector<MatrixView<const double>> unequal{a.view(), b.view()}, one{a.view()};
  REQUIRE_ERROR(op.shape(unequal), "modality 1 is 2 x 4, expected 2 x 3");
  REQUIRE_ERROR(op.shape(one), "1 inputs, expected 2");
}

}  // namespace dream_tests::components_modal_fusion
