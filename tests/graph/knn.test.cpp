#include <dream/graph/knn.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include "graph/reference.hpp"
#include "support/catch.hpp"

namespace dream_tests::graph_knn {

using namespace dream;

namespace {

template <class T>
void require_reference(Context<Cpu>& context, MatrixView<const T> x, const KnnOptions& options, double tolerance,
                       double weight_tolerance) {
  const auto expected = reference::neighbours(x, options.k);
  const auto found = nearest_neighbours(context, x, options);
  for (index_t i = 0; i < x.rows; ++i) {
    const auto& row = expected[static_cast<std::size_t>(i)];
    for (index_t c = 0; c < found.k; ++c) {
      if (c >= static_cast<index_t>(row.size())) {
        REQUIRE(found.indices(i)[c] == -1);
        continue;
      }
      REQUIRE(found.indices(i)[c] == row[static_cast<std::size_t>(c)].index);
      REQUIRE(std::abs(static_cast<double>(found.similarities(i)[c]) - row[static_cast<std::size_t>(c)].similarity) <
              tolerance);
    }
  }
  const auto weights = reference::weights(expected, options.weights == KnnWeights::binary);
  const auto graph = knn_graph(context, x, options);
  REQUIRE(graph.rows == x.rows);
  REQUIRE(graph.cols == x.rows);
  std::vector<double> dense(weights.size());
  for (index_t i = 0; i < x.rows; ++i) {
    REQUIRE(graph.offsets[i + 1] - graph.offsets[i] ==
            static_cast<std::int64_t>(expected[static_cast<std::size_t>(i)].size()));
    for (std::int64_t e = graph.offsets[i]; e < graph.offsets[i + 1]; ++e) {
      REQUIRE((e == graph.offsets[i] || graph.indices[e - 1] < graph.indices[e]));
      dense[static_cast<std::size_t>(i) * static_cast<std::size_t>(x.rows) +
            static_cast<std::size_t>(graph.indices[e])] = static_cast<double>(graph.values[e]);
    }
  }
  for (std::size_t e = 0; e < dense.size(); ++e)
    REQUIRE(std::abs(dense[e] - weights[e]) < weight_tolerance * (1 + std::abs(weights[e])));
}

}  // namespace

TEST_CASE("Three rows by hand: cosines, a zero row that keeps itself with weight 0, and the normalisation") {
  Context<Cpu> context(2);
  Matrix<double, Cpu> x(4, 2);
  const double values[] = {1, 0, 0, 0, 3, 4, 0, 2};
  std::copy_n(values, 8, x.data());
  const auto graph = knn_graph<double>(context, x.view(), {.k = 2});
  // cos: (0,2) = 0.6, (2,3) = 0.8, (0,3) = 0. Row sums: 1.6, 0, 1.8, 1.8.
  const std::vector<index_t> columns(graph.indices.data(), graph.indices.data() + graph.entries());
  REQUIRE(columns == std::vector<index_t>{0, 2, 1, 2, 3, 2, 3});
  REQUIRE(graph.values[0] == Approx(1 / 1.6));
  REQUIRE(graph.values[1] == Approx(0.6 / std::sqrt(1.6 * 1.8)));
  REQUIRE(graph.values[2] == 0);
  REQUIRE(graph.values[4] == Approx(0.8 / 1.8));
  const auto binary = knn_graph<double>(context, x.view(), {.k = 2, .weights = KnnWeights::binary});
  REQUIRE(binary.values[0] == Approx(0.5));
  REQUIRE(binary.values[1] == Approx(0.5));
  REQUIRE(binary.values[2] == 0);
}

TEST_CASE("Nearest neighbours equal the brute-force definition in double at all sizes", "[sizes]") {
  Context<Cpu> context(2);
  for (const index_t rows : dream_test::sizes({1, 2, 33}, {1, 2, 3, 31, 32, 33, 257}))
    for (const index_t cols : dream_test::sizes({1, 7, 129}, {1, 7, 64, 129})) {
      if (cols == 1 && rows > 2) continue;  // one column: all cosines are 1 or -1 up to rounding
      const auto x = reference::random_matrix<double>(rows, cols, static_cast<std::uint64_t>(rows * 1000 + cols));
      for (const index_t k : {1, 5, 40})
        for (const KnnWeights weights : {KnnWeights::cosine, KnnWeights::binary})
          // Weights divide by row sums that may be near 0, which magnifies rounding.
          require_reference<double>(context, x.view(), {.k = k, .weights = weights, .block = 50}, 1e-13, 1e-9);
    }
}

TEST_CASE("Equal rows tie exactly and the smaller index comes first, among rows that repeat many times") {
  Context<Cpu> context(2);
  // Small whole numbers with norms that are powers of two: cosines are exact, so ties are ties in any arithmetic.
  const index_t rows = 300;
  Matrix<float, Cpu> x(rows, 4);
  const RandomStream random{8};
  for (index_t i = 0; i < rows; ++i)
    for (index_t c = 0; c < 4; ++c)
      x.view()(i, c) =
          i % 17 == 0 ? 0.0f : (random.below(static_cast<std::uint64_t>(i * 4 + c), 2) != 0 ? 1.0f : -1.0f);
  for (const index_t block : {7, 64, 480})
    require_reference<float>(context, x.view(), {.k = 12, .block = block}, 1e-6, 1e-6);
  Matrix<float, Cpu> same(70, 33);
  for (index_t i = 0; i < 70; ++i)
    for (index_t c = 0; c < 33; ++c) same.view()(i, c) = 0.1f * static_cast<float>(c) + 0.3f;
  const auto found = nearest_neighbours<float>(context, same.view(), {.k = 5, .block = 32});
  for (index_t i = 0; i < 70; ++i)
    for (index_t c = 0; c < 5; ++c) REQUIRE(found.indices(i)[c] == c);
}

TEST_CASE("Neighbours have the same bits for any block size and number of threads", "[sizes]") {
  const auto x = reference::random_matrix<float>(523, 700, 11);
  Context<Cpu> one(1);
  const auto expected = nearest_neighbours<float>(one, x.view(), {.k = 9, .block = 480});
  for (const int threads : {1, 2, 3})
    for (const index_t block : dream_test::sizes({13, 600}, {1, 13, 64, 100, 600})) {
      if (block == 1 && threads > 1) continue;
      Context<Cpu> context(threads);
      const auto found = nearest_neighbours<float>(context, x.view(), {.k = 9, .block = block});
      REQUIRE(found.index == expected.index);
      REQUIRE(found.similarity == expected.similarity);
    }
}

TEST_CASE("More neighbours than rows means all rows; no rows give an empty graph; bad options are errors") {
  Context<Cpu> context(2);
  const auto x = reference::random_matrix<float>(3, 5, 1);
  REQUIRE(knn_graph<float>(context, x.view(), {.k = 10}).entries() == 9);
  const Matrix<float, Cpu> none(0, 5);
  REQUIRE(knn_graph<float>(context, none.view(), {}).rows == 0);
  const Matrix<float, Cpu> no_columns(4, 0);
  REQUIRE(knn_graph<float>(context, no_columns.view(), {}).entries() == 4);
  REQUIRE_ERROR((knn_graph<float>(context, x.view(), {.k = 0})), "k 0");
  auto bad = reference::random_matrix<float>(3, 5, 1);
  bad.view()(1, 2) = std::numeric_limits<float>::quiet_NaN();
  REQUIRE_ERROR((knn_graph<float>(context, bad.view(), {})), "row 1 has a value that is not finite");
}

TEST_CASE("Rows of extreme length have the neighbours of their directions") {
  Context<Cpu> context(2);
  const auto x = reference::random_matrix<float>(40, 6, 21);
  const auto expected = nearest_neighbours<float>(context, x.view(), {.k = 4});
  for (const float scale : {1e-30f, 1e30f}) {
    auto scaled = reference::random_matrix<float>(40, 6, 21);
    for (index_t c = 0; c < 6; ++c) scaled.view()(7, c) *= scale;
    REQUIRE(nearest_neighbours<float>(context, scaled.view(), {.k = 4}).index == expected.index);
  }
}

}  // namespace dream_tests::graph_knn
