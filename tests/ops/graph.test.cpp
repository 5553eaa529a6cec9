#include <dream/ops/graph.hpp>

#include <dream/testing/gradient_check.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::ops_graph {

using namespace dream;
using dream_test::random_matrix;
using dream_test::random_pair;
using dream_test::random_rows;
using dream_test::view;

TEST_CASE("A sparse product and its gradient are right at every size, empty rows and long rows included") {
  for (const index_t rows : {1, 2, 31, 33, 129, 257})
    for (const index_t dim : {1, 5, 16, 64, 65}) {
      if (rows > 33 && dim > 16 && dim != 65) continue;
      INFO(rows << " rows, " << dim << " columns");
      const auto graph = random_pair(rows, rows / 2 + 1, 4, 7);
      const auto x = random_matrix(graph.cols(), dim, 3, 5);
      SparseProduct<double, Cpu> op(graph);
      const OpReport report = check_op(op, {x.view()}, {.entries = 16});
      INFO(report.text());
      CHECK(report.ok());
    }
}

TEST_CASE("A sparse product of selected rows is the full product's rows, duplicates included, and so is its gradient") {
  for (const index_t rows : {1, 2, 31, 129, 257})
    for (const index_t dim : {1, 5, 64, 65})
      for (const index_t batch : {1, 33, 300}) {
        if (batch == 300 && dim == 64) continue;
        INFO(rows << " rows, " << dim << " columns, batch of " << batch);
        const auto graph = random_pair(rows, rows + 3, 5, 8);
        const auto x = random_matrix(graph.cols(), dim, 4);
        const auto selected = random_rows(batch, rows, 5);
        SparseProductRows<double, Cpu> op(graph);
        op.select(view(selected));
        const OpReport report = check_op(op, {x.view()}, {.entries = 12});
        INFO(report.text());
        CHECK(report.ok());

        Context<Cpu> context(2);
        Matrix<double, Cpu> all(rows, dim), some(batch, dim);
        SparseProduct<double, Cpu>(graph).forward(context, x.view(), all.view());
        op.forward(context, x.view(), some.view());
        for (index_t k = 0; k < batch; ++k)
          for (index_t j = 0; j < dim; ++j) REQUIRE(some(k, j) == all(selected[static_cast<std::size_t>(k)], j));
      }
}

TEST_CASE("A gather takes rows in order, and its gradient adds up duplicates") {
  for (const index_t rows : {1, 2, 31, 257})
    for (const index_t dim : {1, 5, 16, 65})
      for (const index_t batch : {1, 33, 300}) {
        INFO(rows << " rows, " << dim << " columns, batch of " << batch);
        const auto x = random_matrix(rows, dim, 4);
        const auto selected = random_rows(batch, rows, 6);
        GatherRows<double, Cpu> op;
        op.select(view(selected));
        const OpReport report = check_op(op, {x.view()}, {.entries = 12});
        INFO(report.text());
        CHECK(report.ok());

        Context<Cpu> context(1);
        Matrix<double, Cpu> y(batch, dim);
        op.forward(context, x.view(), y.view());
        for (index_t k = 0; k < batch; ++k)
          for (index_t j = 0; j < dim; ++j) REQUIRE(y(k, j) == x(selected[static_cast<std::size_t>(k)], j));
      }
}

TEST_CASE("A selection may change between steps, in size and in rows, without a trace of the step before") {
  const auto graph = random_pair(40, 50, 4, 1);
  const auto x = random_matrix(50, 9, 2);
  SparseProductRows<double, Cpu> product(graph);
  GatherRows<double, Cpu> gather;
  for (const index_t batch : {60, 1, 40, 2, 59}) {
    const auto of_graph = random_rows(batch, 40, static_cast<std::uint64_t>(batch));
    const auto of_x = random_rows(batch, 50, static_cast<std::uint64_t>(batch) + 100);
    product.select(view(of_graph));
    gather.select(view(of_x));
    CHECK(check_op(product, {x.view()}, {.entries = 8}).ok());
    CHECK(check_op(gather, {x.view()}, {.entries = 8}).ok());
  }
}

TEST_CASE("An empty selection gives no rows and a zero gradient") {
  const auto graph = random_pair(6, 5, 2, 1);
  const auto x = random_matrix(5, 3, 2);
  SparseProductRows<double, Cpu> product(graph);
  GatherRows<double, Cpu> gather;
  const OpReport of_product = check_op(product, {x.view()}), of_gather = check_op(gather, {x.view()});
  INFO(of_product.text() << of_gather.text());
  CHECK(of_product.ok());
  CHECK(of_gather.ok());
}

TEST_CASE("Row numbers outside the matrix are errors") {
  const auto graph = random_pair(6, 5, 2, 1);
  const auto x = random_matrix(5, 3, 2);
  Context<Cpu> context(1);
  for (const index_t bad : {-1, 6, 2000000000}) {
    const std::vector<index_t> rows{0, bad};
    Matrix<double, Cpu> y(2, 3);
    SparseProductRows<double, Cpu> product(graph);
    product.select(view(rows));
    REQUIRE_ERROR(product.forward(context, x.view(), y.view()), "at place 1 of a batch is outside 0 .. 5");
    GatherRows<double, Cpu> gather;
    gather.select(view(rows));
    REQUIRE_ERROR(gather.forward(context, x.view(), y.view()), "at place 1 of a batch is outside 0 .. 4");
  }
}

TEST_CASE("Sparse products in float follow those in double") {
  const auto exact = random_pair(200, 150, 9, 3);
  const auto rounded = random_pair<float>(200, 150, 9, 3);
  const auto x = random_matrix(150, 64, 4);
  const auto x32 = random_matrix<float>(150, 64, 4);
  Context<Cpu> context(2);
  Matrix<double, Cpu> y(200, 64);
  Matrix<float, Cpu> y32(200, 64);
  SparseProduct<double, Cpu>(exact).forward(context, x.view(), y.view());
  SparseProduct<float, Cpu>(rounded).forward(context, x32.view(), y32.view());
  for (index_t i = 0; i < 200; ++i)  // the longest row sums 112 products of normals: 112^(1/2) roundings of 6e-8 each
    for (index_t j = 0; j < 64; ++j) REQUIRE(std::abs(static_cast<double>(y32(i, j)) - y(i, j)) < 3e-5);
}

}  // namespace dream_tests::ops_graph
