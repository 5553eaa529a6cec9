// Neighbours and relation graphs by kernels, against those of the host.
#include <dream/graph/knn_kernels.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include <dream/graph/relation.hpp>
#include <dream/testing/emulated.hpp>

#include "graph/reference.hpp"
#include "support/catch.hpp"

namespace dream_tests::graph_knn_kernels {

using namespace dream;

namespace {

/// The lists by kernels are the host's, similarities to rounding.
template <class T>
void require_same_lists(const Matrix<T, Cpu>& x, const KnnOptions& options, double tolerance) {
  CAPTURE(x.rows(), x.cols(), options.k, options.block);
  Context<Cpu> host(1);
  const Neighbours<T> expected = nearest_neighbours<T>(host, x.view(), {.k = options.k});
  Context<Emulated> context({.lock_memory = true});
  const Matrix<T, Emulated> on_device = upload<T>(context, x.view());
  const NeighbourLists<T, Emulated> found = nearest_neighbours<T>(context, on_device.view(), options);
  const Matrix<index_t, Cpu> index = download<index_t>(context, found.index.view());
  const Matrix<T, Cpu> similarity = download<T>(context, found.similarity.view());
  REQUIRE(index.rows() == x.rows());
  REQUIRE(index.cols() == expected.k);
  std::int64_t wrong = 0;
  for (std::int64_t e = 0; e < index.size(); ++e) {
    wrong += index.data()[e] != expected.index[static_cast<std::size_t>(e)];
    wrong += !(std::abs(static_cast<double>(similarity.data()[e] - expected.similarity[static_cast<std::size_t>(e)])) <=
               tolerance);
  }
  REQUIRE(wrong == 0);
}

template <class T>
void require_same_graph(const Csr<T, Cpu>& found, const Csr<T, Cpu>& expected, double tolerance) {
  REQUIRE(found.rows == expected.rows);
  REQUIRE(found.cols == expected.cols);
  REQUIRE(found.offsets.size() == expected.offsets.size());
  REQUIRE(found.entries() == expected.entries());
  std::int64_t wrong = 0;
  for (index_t i = 0; i <= found.rows; ++i) wrong += found.offsets[i] != expected.offsets[i];
  for (std::int64_t e = 0; e < found.entries(); ++e) {
    wrong += found.indices[e] != expected.indices[e];
    wrong += !(std::abs(static_cast<double>(found.values[e] - expected.values[e])) <= tolerance);
  }
  REQUIRE(wrong == 0);
}

/// Random rows, every eleventh of them zero.
template <class T>
Matrix<T, Cpu> rows_with_zeros(index_t rows, index_t cols, std::uint64_t seed) {
  Matrix<T, Cpu> x = reference::random_matrix<T>(rows, cols, seed);
  for (index_t i = 3; i < rows; i += 11) std::fill_n(x.view().row(i), cols, T{0});
  return x;
}

}  // namespace

TEST_CASE("Neighbours by kernels are the host's at all sizes, for one tile and for many that overlap", "[exhaustive]") {
  for (const index_t rows : {0, 1, 31, 33, 129})
    for (const index_t cols : {1, 7, 64}) {
      if (cols == 1 && rows > 1) continue;  // one column: all cosines are 1 or -1 up to rounding
      const Matrix<double, Cpu> x = rows_with_zeros<double>(rows, cols, static_cast<std::uint64_t>(rows * 100 + cols));
      for (const index_t k : {1, 5, 200})
        // Tiles of 4 x 64 at most: 129 rows in 33 strips of 4 and 3 tiles of 43, whose last ones begin among the
        // others'.
        for (const index_t block : {768, 4}) require_same_lists(x, {.k = k, .block = block}, 1e-13);
    }
}

TEST_CASE("Equal rows tie exactly by kernels and the smaller index comes first, whatever the tiles") {
  // Small whole numbers with norms that are powers of two: cosines are exact.
  Matrix<float, Cpu> exact(150, 4);
  const RandomStream random{8};
  for (std::int64_t e = 0; e < exact.size(); ++e)
    exact.data()[e] = e / 4 % 17 == 0 ? 0.0f : (random.below(static_cast<std::uint64_t>(e), 2) != 0 ? 1.0f : -1.0f);
  for (const index_t block : {3, 768}) require_same_lists(exact, {.k = 40, .block = block}, 0);
  // Numbers that round: a row's copies must have the same cosine with it, in whatever tiles they are.
  Matrix<float, Cpu> copies(150, 33);
  for (index_t i = 0; i < 150; ++i)
    for (index_t c = 0; c < 33; ++c) copies.view()(i, c) = 0.1f * static_cast<float>((i % 3 + 1) * (c % 5) - c) + 0.3f;
  for (const index_t block : {3, 768}) {
    Context<Emulated> context;
    const Matrix<float, Emulated> x = upload<float>(context, copies.view());
    const auto found = nearest_neighbours<float>(context, x.view(), {.k = 5, .block = block});
    const Matrix<index_t, Cpu> index = download<index_t>(context, found.index.view());
    for (index_t i = 0; i < 150; ++i)
      for (index_t c = 0; c < 5; ++c) REQUIRE(index(i, c) == i % 3 + 3 * c);
  }
}

TEST_CASE("Rows of extreme length have the neighbours of their directions by kernels") {
  for (const float scale : {1e-30f, 1e30f}) {
    Matrix<float, Cpu> x = rows_with_zeros<float>(40, 6, 21);
    for (index_t c = 0; c < 6; ++c) x.view()(7, c) *= scale;
    require_same_lists(x, {.k = 4, .block = 9}, 1e-6);
  }
}

TEST_CASE("A value that is not finite is the host's error by kernels, and so is a k below 1") {
  Context<Cpu> host(1);
  Context<Emulated> context;
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 1e200}) {
    Matrix<double, Cpu> x = reference::random_matrix<double>(3, 5, 1);
    x.view()(1, 2) = bad;
    const Matrix<double, Emulated> on_device = upload<double>(context, x.view());
    const char* text = "nearest neighbours: row 1 has a value that is not finite or too large";
    REQUIRE_ERROR((nearest_neighbours<double>(host, x.view(), {})), text);
    REQUIRE_ERROR((nearest_neighbours<double>(context, on_device.view(), {})), text);
  }
  const Matrix<double, Emulated> good = upload<double>(context, reference::random_matrix<double>(3, 5, 1).view());
  REQUIRE_ERROR((knn_graph<double>(context, good.view(), {.k = 0})), "k 0");
  REQUIRE_ERROR((knn_graph<double>(context, good.view(), {.block = 0})), "block 0");
}

TEST_CASE("The graph of neighbours by kernels is the host's, with cosine and binary weights") {
  Context<Cpu> host(1);
  for (const index_t rows : {0, 1, 31, 33, 129})
    for (const KnnWeights weights : {KnnWeights::cosine, KnnWeights::binary}) {
      CAPTURE(rows, weights);
      // Positive features: row sums stay away from 0, which would magnify rounding.
      Matrix<double, Cpu> x = rows_with_zeros<double>(rows, 20, 5);
      for (std::int64_t e = 0; e < x.size(); ++e) x.data()[e] = std::abs(x.data()[e]);
      const KnnOptions options{.k = 6, .weights = weights, .block = 5};
      Context<Emulated> context({.lock_memory = true});
      const Matrix<double, Emulated> on_device = upload<double>(context, x.view());
      const Csr<double, Emulated> graph = knn_graph<double>(context, on_device.view(), options);
      require_same_graph(download(context, graph), knn_graph<double>(host, x.view(), options), 1e-12);
      // A product with it runs as with an uploaded one.
      const Csr<double, Cpu> back = download(context, graph);
      REQUIRE(graph.plan.entries == back.entries());
      REQUIRE(graph.plan.longest_row == kernels::make_spmm_plan(back.offsets.data(), back.rows).longest_row);
    }
}

TEST_CASE("Rows without columns are zero rows by kernels: each keeps itself with weight 0") {
  Context<Emulated> context;
  const Matrix<float, Emulated> x(context, 4, 0);
  const Csr<float, Cpu> graph = download(context, knn_graph<float>(context, x.view(), {}));
  REQUIRE(graph.entries() == 4);
  for (index_t i = 0; i < 4; ++i) {
    REQUIRE(graph.indices[i] == i);
    REQUIRE(graph.values[i] == 0);
  }
}

TEST_CASE("Both relation graphs by kernels are the host's, and a graph that is not asked for is empty") {
  Context<Cpu> host(1);
  Context<Emulated> context({.lock_memory = true});
  Matrix<double, Cpu> features = reference::random_matrix<double>(70, 24, 15);
  for (std::int64_t e = 0; e < features.size(); ++e) features.data()[e] = std::abs(features.data()[e]);
  Pairs pairs;
  const RandomStream random{2};
  for (std::uint64_t e = 0; e < 500; ++e) {
    pairs.user.push_back(static_cast<index_t>(random.below(2 * e, 78)));  // the last two users have no items
    pairs.item.push_back(static_cast<index_t>(random.below(2 * e + 1, 70)));
  }
  const auto r = interaction_matrix<double>(host, pairs, 80, 70);
  const Csr<double, Cpu> mean = user_mean_operator<double>(host, r.view());
  RelationOptions options{.item = {.k = 6, .weights = KnnWeights::binary, .block = 4}, .user = {.k = 9, .block = 4}};
  const auto expected = relation_graphs<double>(host, features.view(), mean.view(), options);
  const Matrix<double, Emulated> f = upload<double>(context, features.view());
  const Csr<double, Emulated> m = upload(context, mean);
  const auto found = relation_graphs<double>(context, f.view(), m, options);
  require_same_graph(download(context, found.item), expected.item, 1e-12);
  require_same_graph(download(context, found.user), expected.user, 1e-12);
  for (const bool items : {true, false}) {
    options.items = items;
    options.users = !items;
    const auto one = relation_graphs<double>(context, f.view(), m, options);
    const auto one_on_host = relation_graphs<double>(host, features.view(), mean.view(), options);
    REQUIRE(one.item.rows == (items ? 70 : 0));
    REQUIRE(one.user.rows == (items ? 0 : 80));
    REQUIRE(one_on_host.item.rows == one.item.rows);
    REQUIRE(one_on_host.user.rows == one.user.rows);
  }
}

TEST_CASE("Users with the same items tie exactly by kernels, also where one user has nearly all items") {
  Context<Cpu> host(1);
  Context<Emulated> context;
  const index_t items = 400;
  const auto features = reference::random_matrix<float>(items, 9, 5);
  Pairs pairs;
  for (index_t u = 0; u < 60; ++u)
    for (const index_t offset : {0, 3, 11, 12, 20}) {
      pairs.user.push_back(u);
      pairs.item.push_back(u % 10 + offset);
    }
  for (index_t i = 0; i < items; ++i) {  // such a row would be cut in pieces by a product that shares out its work
    pairs.user.push_back(60);
    pairs.item.push_back(i);
  }
  const auto r = interaction_matrix<float>(host, pairs, 61, items);
  const Csr<float, Emulated> mean = upload(context, user_mean_operator<float>(host, r.view()));
  const Matrix<float, Emulated> f = upload<float>(context, features.view());
  const auto means = user_mean_features<float>(context, mean, f.view());
  const auto lists = nearest_neighbours<float>(context, means.view(), {.k = 5, .block = 2});
  const Matrix<index_t, Cpu> index = download<index_t>(context, lists.index.view());
  for (index_t u = 0; u < 60; ++u)
    for (index_t c = 0; c < 5; ++c) REQUIRE(index(u, c) == u % 10 + 10 * c);
}

TEST_CASE("Neighbours by kernels take memory for lists and a tile, and give all back but the graph", "[exhaustive]") {
  Context<Emulated> context;
  const index_t rows = 1500, k = 4, block = 8;
  const Matrix<float, Emulated> x = upload<float>(context, reference::random_matrix<float>(rows, 3, 1).view());
  const std::size_t before = context.held_bytes();
  {
    const Csr<float, Emulated> graph = knn_graph<float>(context, x.view(), {.k = k, .block = block});
    // Lists and entries: 8 bytes each of k; norms, sums, offsets: 20 a row; a tile; a page a piece.
    const std::size_t bound = std::size_t{rows} * (2 * 8 * k + 20) + std::size_t{block} * 16 * block * 4 + 10 * 4096;
    CHECK(context.most_held_bytes() - before <= bound);
    CHECK(bound < std::size_t{rows} * rows * 4 / 10);
  }
  CHECK(context.held_bytes() == before);
}

}  // namespace dream_tests::graph_knn_kernels
