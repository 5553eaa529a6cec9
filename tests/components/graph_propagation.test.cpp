#include <dream/components/graph_propagation.hpp>

#include <dream/testing/gradient_check.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::components_graph_propagation {

using namespace dream;
using dream_test::random_matrix;
using dream_test::random_pair;
using dream_test::random_rows;
using dream_test::view;

namespace {

/// mean(X_0 .. X_L) of the formula, dense: users' rows, then items'.
Matrix<double, Cpu> propagated(const SparsePair<double, Cpu>& graph, const Matrix<double, Cpu>& users,
                               const Matrix<double, Cpu>& items, int layers) {
  const auto r = dream_test::dense_of(graph.forward.view());
  const index_t n = users.rows(), q = items.rows(), d = users.cols();
  Matrix<double, Cpu> level(n + q, d), next(n + q, d), mean(n + q, d);
  for (index_t i = 0; i < n + q; ++i)
    for (index_t j = 0; j < d; ++j) mean(i, j) = level(i, j) = i < n ? users(i, j) : items(i - n, j);
  for (int l = 0; l < layers; ++l) {
    next.fill(0);
    for (index_t u = 0; u < n; ++u)
      for (index_t i = 0; i < q; ++i)
        for (index_t j = 0; j < d; ++j) {
          next(u, j) += r(u, i) * level(n + i, j);
          next(n + i, j) += r(u, i) * level(u, j);
        }
    std::swap(level, next);
    for (index_t i = 0; i < n + q; ++i)
      for (index_t j = 0; j < d; ++j) mean(i, j) += level(i, j);
  }
  for (std::int64_t k = 0; k < mean.size(); ++k) mean.data()[k] /= layers + 1;
  return mean;
}

}  // namespace

TEST_CASE(
    "Propagation is the mean over layers of the formula, and its gradients are right, with duplicates in the batch") {
  for (int layers = 0; layers <= 3; ++layers)
    for (const index_t users : {1, 2, 31, 129})
      for (const index_t dim : {1, 5, 16, 65})
        for (const index_t batch : {1, 70}) {
          if (users == 129 && dim == 16) continue;
          INFO(layers << " layers, " << users << " users, " << dim << " columns, batch of " << batch);
          const index_t items = users + 4;
          const auto graph = random_pair(users, items, 3, 5);
          const auto eu = random_matrix(users, dim, 1), ei = random_matrix(items, dim, 2);
          const auto of_users = random_rows(batch, users, 3), of_items = random_rows(2 * batch, items, 4);
          GraphPropagation<double, Cpu> op(graph, layers);
          op.select(view(of_users), view(of_items));
          const OpReport report = check_op(op, {eu.view(), ei.view()}, {.entries = 6});
          INFO(report.text());
          CHECK(report.ok());

          Context<Cpu> context(2);
          Matrix<double, Cpu> out(3 * batch, dim);
          op.forward(context, eu.view(), ei.view(), out.view());
          const auto expected = propagated(graph, eu, ei, layers);
          for (index_t k = 0; k < 3 * batch; ++k)
            for (index_t j = 0; j < dim; ++j) {
              const index_t row = k < batch ? of_users[static_cast<std::size_t>(k)]
                                            : users + of_items[static_cast<std::size_t>(k - batch)];
              REQUIRE(std::abs(out(k, j) - expected(row, j)) <= 1e-10 * std::max(1.0, std::abs(expected(row, j))));
            }
        }
}

TEST_CASE("Propagation gives the right gradients again after the batch changed in size and rows") {
  const auto graph = random_pair(60, 45, 4, 9);
  const auto eu = random_matrix(60, 7, 1), ei = random_matrix(45, 7, 2);
  GraphPropagation<double, Cpu> op(graph, 2);
  for (const index_t batch : {50, 1, 80, 0, 20}) {
    const auto users = random_rows(batch, 60, static_cast<std::uint64_t>(batch));
    const auto items = random_rows(batch / 2, 45, 77);
    op.select(view(users), view(items));
    const OpReport report = check_op(op, {eu.view(), ei.view()}, {.entries = 6});
    INFO("batch of " << batch << ": " << report.text());
    CHECK(report.ok());
  }
}

TEST_CASE("Propagation of one column more than a SIMD step in float follows double") {
  const auto graph = random_pair(300, 200, 6, 5);
  const auto graph32 = random_pair<float>(300, 200, 6, 5);
  const auto eu = random_matrix(300, 65, 1), ei = random_matrix(200, 65, 2);
  const auto eu32 = random_matrix<float>(300, 65, 1), ei32 = random_matrix<float>(200, 65, 2);
  std::vector<index_t> users(300), items(200);
  for (index_t k = 0; k < 300; ++k) users[static_cast<std::size_t>(k)] = k;
  for (index_t k = 0; k < 200; ++k) items[static_cast<std::size_t>(k)] = k;
  Context<Cpu> context(2);
  GraphPropagation<double, Cpu> exact(graph, 3);
  GraphPropagation<float, Cpu> rounded(graph32, 3);
  exact.select(view(users), view(items));
  rounded.select(view(users), view(items));
  Matrix<double, Cpu> out(500, 65);
  Matrix<float, Cpu> out32(500, 65);
  exact.forward(context, eu.view(), ei.view(), out.view());
  rounded.forward(context, eu32.view(), ei32.view(), out32.view());
  double largest = 0, worst = 0;
  for (std::int64_t k = 0; k < out.size(); ++k) {
    largest = std::max(largest, std::abs(out.data()[k]));
    worst = std::max(worst, std::abs(out.data()[k] - static_cast<double>(out32.data()[k])));
  }
  CHECK(worst < 1e-6 * largest);
}

TEST_CASE("Propagation refuses embeddings and rows that are not the graph's, and a negative depth") {
  const auto graph = random_pair(6, 5, 2, 1);
  const auto eu = random_matrix(6, 3, 1), ei = random_matrix(5, 3, 2), wide = random_matrix(5, 4, 2);
  Context<Cpu> context(1);
  Matrix<double, Cpu> out(2, 3);
  const std::vector<index_t> good{0}, bad{5};
  REQUIRE_ERROR((GraphPropagation<double, Cpu>(graph, -1)), "cannot have -1 layers");
  GraphPropagation<double, Cpu> op(graph, 2);
  op.select(view(good), view(bad));
  REQUIRE_ERROR(op.forward(context, eu.view(), ei.view(), out.view()), "row 5 at place 0");
  op.select(view(good), view(good));
  REQUIRE_ERROR(op.forward(context, ei.view(), eu.view(), out.view()), "the graph joins 6 to 5");
  REQUIRE_ERROR(op.forward(context, eu.view(), wide.view(), out.view()), "items 5 x 4");
}

}  // namespace dream_tests::components_graph_propagation
