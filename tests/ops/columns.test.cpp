#include <dream/ops/columns.hpp>

#include <dream/testing/gradient_check.hpp>

#include "ops/inputs.hpp"
#include "ops/outcome.hpp"
#include "support/catch.hpp"

namespace dream_tests::ops_columns {

using namespace dream;
using dream_test::random_matrix;
using dream_test::require_same_by_kernels;

namespace {

/// Values of `rows` rows and these columns, and views of them.
template <class T>
struct Values {
  std::vector<Matrix<T, Cpu>> held;
  std::vector<MatrixView<const T>> views;

  Values(index_t rows, const std::vector<index_t>& columns) {
    for (const index_t c : columns) held.push_back(random_matrix<T>(rows, c, held.size()));
    for (const auto& m : std::as_const(held)) views.push_back(m.view());
  }
};

const std::vector<index_t> widths[] = {{1}, {3, 4}, {64, 64, 64}, {5, 0, 31, 33}, {7, 7}};

}  // namespace

TEST_CASE("Values side by side and their gradients are right") {
  for (const auto& columns : widths)
    for (const index_t rows : {1, 2, 33, 600}) {
      const Values<double> x(rows, columns);
      ConcatColumns<double, Cpu> op;
      const OpReport report = check_op(op, x.views, {.entries = 8});
      INFO(columns.size() << " values of " << rows << " rows: " << report.text());
      CHECK(report.ok());
    }
}

TEST_CASE("Values stand side by side in their order") {
  Context<Cpu> context(1);
  const Values<double> x(3, {2, 1});
  Matrix<double, Cpu> y(3, 3);
  ConcatColumns<double, Cpu>().forward(context, x.views, y.view());
  for (index_t i = 0; i < 3; ++i) {
    CHECK(y(i, 0) == x.held[0](i, 0));
    CHECK(y(i, 1) == x.held[0](i, 1));
    CHECK(y(i, 2) == x.held[1](i, 0));
  }
}

TEMPLATE_TEST_CASE("Values side by side by kernels are those of the host", "", float, double) {
  for (const auto& columns : widths)
    for (const index_t rows : {0, 1, 33, 129}) {
      INFO(columns.size() << " values of " << rows << " rows");
      const Values<TestType> x(rows, columns);
      require_same_by_kernels<TestType>([]<class B>(B) { return ConcatColumns<TestType, B>(); }, x.views, 0);
    }
}

TEST_CASE("Values of unequal numbers of rows cannot stand side by side") {
  const auto a = random_matrix(3, 4, 1), b = random_matrix(2, 4, 2);
  const std::vector<MatrixView<const double>> both{a.view(), b.view()};
  const ConcatColumns<double, Cpu> op;
  REQUIRE_ERROR(op.shape(both), "a value is 2 x 4, the first 3 x 4");
  REQUIRE_ERROR(op.shape({}), "no values");
}

TEST_CASE("Columns taken from a value and their gradient are right, the other columns' gradient is zero") {
  for (const auto& [first, count] : {std::pair<index_t, index_t>{0, 3}, {2, 5}, {4, 5}, {0, 9}, {3, 0}})
    for (const index_t rows : {1, 33, 600}) {
      const auto x = random_matrix(rows, 9, 1);
      TakeColumns<double, Cpu> op(first, count);
      const OpReport report = check_op(op, {x.view()}, {.entries = 9});
      INFO(count << " columns from " << first << ", " << rows << " rows: " << report.text());
      CHECK(report.ok());
    }
  Context<Cpu> context(1);
  Tape<double, Cpu> tape(context);
  const auto x = random_matrix(3, 4, 1);
  REQUIRE_ERROR(tape.apply(TakeColumns<double, Cpu>(2, 3), tape.constant(x.view())), "columns 2 to 5");
}

}  // namespace dream_tests::ops_columns
