#include <dream/graph/knn_approximate.hpp>

#include <limits>
#include <vector>

#include "graph/reference.hpp"
#include "support/catch.hpp"

namespace dream_tests::graph_knn_approximate {

using namespace dream;

namespace {

/// Rows scattered about a few centres: what features of real items look like more than noise does.
Matrix<float, Cpu> clustered(index_t rows, index_t cols, index_t centres, float noise) {
  Matrix<float, Cpu> x = reference::random_matrix<float>(rows, cols, 31);
  const auto centre = reference::random_matrix<float>(centres, cols, 32);
  for (index_t i = 0; i < rows; ++i)
    for (index_t c = 0; c < cols; ++c) x.view()(i, c) = x.view()(i, c) * noise + centre.view()(i * 7 % centres, c);
  return x;
}

}  // namespace

TEST_CASE("Probing every list finds exactly the nearest neighbours") {
  Context<Cpu> context(2);
  for (const index_t rows : {1, 2, 31, 33, 257, 1000}) {
    auto x = reference::random_matrix<float>(rows, 20, 5);
    if (rows > 40)
      for (index_t c = 0; c < 20; ++c) x.view()(17, c) = 0;
    const auto exact = nearest_neighbours<float>(context, x.view(), {.k = 8});
    const auto found = approximate_neighbours<float>(context, x.view(), {.k = 8, .lists = 9, .probes = 9});
    if (rows > 8) REQUIRE(found.index == exact.index);
    REQUIRE(found.similarity == exact.similarity);
    REQUIRE(knn_recall<float>(context, x.view(), found, 100) == 1.0);
  }
}

TEST_CASE("A few probes find most neighbours of clustered rows, more probes more, and recall measures it") {
  Context<Cpu> context(2);
  const auto x = clustered(4000, 24, 150, 0.6f);
  const auto exact = nearest_neighbours<float>(context, x.view(), {.k = 10});
  double before = 0;
  for (const index_t probes : {1, 4, 16}) {
    const auto found = approximate_neighbours<float>(context, x.view(), {.k = 10, .probes = probes});
    std::int64_t hits = 0;
    for (index_t i = 0; i < 4000; ++i)
      for (index_t c = 0; c < 10; ++c)
        for (index_t e = 0; e < 10; ++e) hits += found.indices(i)[c] == exact.indices(i)[e];
    const double recall = static_cast<double>(hits) / 40000;
    // No two similarities are equal here, so that counting indices and counting similarities agree.
    REQUIRE(knn_recall<float>(context, x.view(), found, 4000) == Approx(recall).epsilon(1e-12));
    REQUIRE(recall > before);
    before = recall;
  }
  REQUIRE(before > 0.95);
  REQUIRE(before < 1.0);
}

TEST_CASE("Approximate neighbours have the same bits for any number of threads, and the seed decides them") {
  const auto x = clustered(1500, 16, 400, 1.0f);
  Context<Cpu> one(1), two(2);
  const ApproximateKnnOptions options{.k = 6, .probes = 2};
  const auto a = approximate_neighbours<float>(one, x.view(), options);
  const auto b = approximate_neighbours<float>(two, x.view(), options);
  REQUIRE(a.index == b.index);
  REQUIRE(a.similarity == b.similarity);
  ApproximateKnnOptions other = options;
  other.seed = 1;
  REQUIRE(approximate_neighbours<float>(two, x.view(), other).index != a.index);
}

TEST_CASE("Equal rows, zero rows and no rows are handled; bad options are errors") {
  Context<Cpu> context(2);
  Matrix<float, Cpu> same(300, 3);
  same.fill(0.7f);
  const auto found = approximate_neighbours<float>(context, same.view(), {.k = 4, .probes = 1});
  for (index_t i = 0; i < 300; ++i)
    for (index_t c = 0; c < 4; ++c) REQUIRE(found.indices(i)[c] == c);
  Matrix<float, Cpu> zero(5, 3);
  zero.fill(0);
  const auto graph = approximate_knn_graph<float>(context, zero.view(), {.k = 4});
  REQUIRE(graph.entries() == 5);
  REQUIRE(graph.values[2] == 0);
  REQUIRE(knn_recall<float>(context, zero.view(), approximate_neighbours<float>(context, zero.view(), {}), 5) == 1.0);
  const Matrix<float, Cpu> none(0, 3);
  REQUIRE(approximate_neighbours<float>(context, none.view(), {}).rows == 0);
  REQUIRE_ERROR(approximate_neighbours<float>(context, same.view(), {.probes = 0}), "probes 0");
}

}  // namespace dream_tests::graph_knn_approximate
