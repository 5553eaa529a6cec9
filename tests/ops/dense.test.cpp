#include <dream/ops/dense.hpp>

#include <dream/testing/gradient_check.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::ops_dense {

using namespace dream;
using dream_test::random_matrix;

TEST_CASE("The affine map and its three gradients are right at every size") {
  for (const index_t rows : {1, 2, 31, 129, 257})
    for (const auto& [in, out] : {std::pair<index_t, index_t>{1, 1}, {5, 16}, {64, 5}, {65, 64}, {130, 65}}) {
      INFO(rows << " x " << in << " times " << in << " x " << out);
      const auto x = random_matrix(rows, in, 1, 4), w = random_matrix(in, out, 2), b = random_matrix(1, out, 3);
      Linear<double, Cpu> op;
      const OpReport report = check_op(op, {x.view(), w.view(), b.view()}, {.entries = 8});
      INFO(report.text());
      CHECK(report.ok());
    }
}

TEST_CASE("The affine map of a long batch sums its weight gradient in pieces and stays exact") {
  const auto x = random_matrix(2500, 3, 1), w = random_matrix(3, 2, 2), b = random_matrix(1, 2, 3);
  Linear<double, Cpu> op;
  const OpReport report = check_op(op, {x.view(), w.view(), b.view()}, {.entries = 8});
  INFO(report.text());
  CHECK(report.ok());
}

TEST_CASE("A weighted sum of any number of values and its gradients are right") {
  for (const std::size_t count : {1, 2, 3, 7})
    for (const index_t rows : {1, 33, 600}) {
      std::vector<Matrix<double, Cpu>> values;
      std::vector<MatrixView<const double>> views;
      std::vector<double> weights;
      for (std::size_t i = 0; i < count; ++i) {
        values.push_back(random_matrix(rows, 5, i));
        weights.push_back(static_cast<double>(i) - 1.5);
      }
      for (const auto& m : values) views.push_back(m.view());
      WeightedSum<double, Cpu> op(weights);
      const OpReport report = check_op(op, views, {.entries = 8});
      INFO(count << " values of " << rows << " rows: " << report.text());
      CHECK(report.ok());
    }
}

TEST_CASE("A row mask zeroes its rows, there and in the gradient") {
  for (const index_t rows : {1, 2, 31, 257, 1030}) {
    std::vector<std::uint8_t> keep(static_cast<std::size_t>(rows));
    for (std::size_t i = 0; i < keep.size(); ++i) keep[i] = i % 3 != 0;
    const auto x = random_matrix(rows, 7, 1);
    MaskRows<double, Cpu> op({keep.data(), rows});
    const OpReport report = check_op(op, {x.view()}, {.entries = 16});
    INFO(report.text());
    CHECK(report.ok());
  }
}

TEST_CASE("Dense ops refuse shapes that do not fit and say which") {
  Context<Cpu> context(1);
  Tape<double, Cpu> tape(context);
  const auto a = random_matrix(3, 4, 1), b = random_matrix(5, 2, 2), bias = random_matrix(1, 2, 3);
  const Var va = tape.constant(a.view()), vb = tape.constant(b.view()), vbias = tape.constant(bias.view());
  REQUIRE_ERROR(tape.apply(Linear<double, Cpu>{}, va, vb, vbias), "X is 3 x 4, W is 5 x 2, b is 1 x 2");
  const std::array<Var, 2> both{va, vb};
  REQUIRE_ERROR(tape.apply_to_all(WeightedSum<double, Cpu>({1.0, 1.0}), std::span<const Var>(both)),
                "a value is 5 x 2, the first 3 x 4");
  REQUIRE_ERROR(tape.apply_to_all(WeightedSum<double, Cpu>({1.0}), std::span<const Var>(both)), "1 weights for 2");
  const std::vector<std::uint8_t> keep(2, 1);
  REQUIRE_ERROR(tape.apply(MaskRows<double, Cpu>({keep.data(), 2}), va), "2 flags for 3 rows");
}

}  // namespace dream_tests::ops_dense
