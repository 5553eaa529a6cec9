#include <dream/graph/relation.hpp>

#include <cmath>
#include <vector>

#include "graph/reference.hpp"
#include "support/catch.hpp"

namespace dream_tests::graph_relation {

using namespace dream;

namespace {

Pairs random_pairs(index_t users, index_t items, int count, std::uint64_t seed) {
  Pairs pairs;
  const RandomStream random{seed};
  for (int e = 0; users > 0 && items > 0 && e < count; ++e) {
    pairs.user.push_back(
        static_cast<index_t>(random.below(2 * static_cast<std::uint64_t>(e), static_cast<std::uint64_t>(users))));
    pairs.item.push_back(
        static_cast<index_t>(random.below(2 * static_cast<std::uint64_t>(e) + 1, static_cast<std::uint64_t>(items))));
  }
  return pairs;
}

template <class T>
void require_same_graph(const Csr<T, Cpu>& a, const Csr<T, Cpu>& b, double tolerance) {
  REQUIRE(a.rows == b.rows);
  REQUIRE(a.entries() == b.entries());
  for (index_t i = 0; i < a.rows; ++i) REQUIRE(a.offsets[i + 1] == b.offsets[i + 1]);
  for (std::int64_t e = 0; e < a.entries(); ++e) {
    REQUIRE(a.indices[e] == b.indices[e]);
    REQUIRE(std::abs(static_cast<double>(a.values[e]) - static_cast<double>(b.values[e])) <= tolerance);
  }
}

}  // namespace

TEST_CASE("The Gram matrix is X X^T and symmetric to the bit for any block") {
  Context<Cpu> context(2);
  for (const index_t rows : {0, 1, 2, 31, 33, 257}) {
    const auto x = reference::random_matrix<float>(rows, 77, 4);
    const auto gram = gram_matrix<float>(context, x.view());
    const auto other = gram_matrix<float>(context, x.view(), 19);
    for (index_t i = 0; i < rows; ++i)
      for (index_t j = 0; j < rows; ++j) {
        double sum = 0;
        for (index_t c = 0; c < 77; ++c) sum += double{x.view()(i, c)} * double{x.view()(j, c)};
        REQUIRE(std::abs(static_cast<double>(gram.view()(i, j)) - sum) < 1e-4);
        REQUIRE(gram.view()(i, j) == gram.view()(j, i));
        REQUIRE(gram.view()(i, j) == other.view()(i, j));
      }
  }
}

TEST_CASE("The user graph through the items' inner products equals the direct one on mean features") {
  Context<Cpu> context(2);
  for (const index_t users : {1, 2, 31, 33, 257, 300})
    for (const index_t items : {1, 40, 301}) {
      const auto features = reference::random_matrix<double>(items, 50, static_cast<std::uint64_t>(users + items));
      // Few enough pairs to leave users without items and many to make means of many.
      const auto r = interaction_matrix<double>(context, random_pairs(users, items, 900, 6), users, items);
      // Users with equal items tie exactly only where both ways see them as equal: make every user's items differ.
      Csr<double, Cpu> mean = user_mean_operator(context, r.view());
      for (index_t u = 0; u < users; ++u) {
        double sum = 0;
        for (std::int64_t e = mean.offsets[u]; e < mean.offsets[u + 1]; ++e)
          sum += mean.values[e] *= 1 + 0.01 * static_cast<double>((u * 7 + mean.indices[e] * 3) % 101);
        for (std::int64_t e = mean.offsets[u]; e < mean.offsets[u + 1]; ++e) mean.values[e] /= sum;
      }
      if (items == 1) continue;  // all users have one direction: ties decided by rounding
      RelationOptions options;
      options.user.k = 7;
      options.similarity = UserSimilarity::direct;
      const auto direct = user_graph<double>(context, features.view(), mean.view(), options);
      options.similarity = UserSimilarity::gram;
      const auto through = user_graph<double>(context, features.view(), mean.view(), options);
      require_same_graph(direct, through, 1e-10);
    }
}

TEST_CASE("Users with the same items tie exactly through inner products, the smaller index first") {
  Context<Cpu> context(2);
  const auto features = reference::random_matrix<float>(30, 90, 5);
  Pairs pairs;
  for (index_t u = 0; u < 120; ++u)
    for (const index_t offset : {0, 3, 11}) {
      pairs.user.push_back(u);
      pairs.item.push_back((u % 10 + offset) % 30);
    }
  const auto r = interaction_matrix<float>(context, pairs, 120, 30);
  const auto mean = user_mean_operator(context, r.view());
  const auto gram = gram_matrix<float>(context, features.view());
  const auto found = nearest_users<float>(context, gram.view(), mean.view(), 5);
  for (index_t u = 0; u < 120; ++u)
    for (index_t c = 0; c < 5; ++c) REQUIRE(found.indices(u)[c] == u % 10 + 10 * c);
}

TEST_CASE("Both relation graphs together equal the two made apart, whatever the threads and the budget") {
  const auto features = reference::random_matrix<double>(90, 200, 15);
  Context<Cpu> one(1), two(2);
  const auto r = interaction_matrix<double>(one, random_pairs(80, 90, 600, 2), 80, 90);
  const auto mean = user_mean_operator(one, r.view());
  RelationOptions options{.item = {.k = 6, .weights = KnnWeights::binary}, .user = {.k = 9}};
  const auto graphs = relation_graphs<double>(one, features.view(), mean.view(), options);
  const auto parallel = relation_graphs<double>(two, features.view(), mean.view(), options);
  require_same_graph(graphs.item, parallel.item, 0);
  require_same_graph(graphs.user, parallel.user, 0);
  require_same_graph(graphs.item, knn_graph<double>(two, features.view(), options.item), 0);
  options.gram_bytes = 0;
  const auto direct = relation_graphs<double>(two, features.view(), mean.view(), options);
  require_same_graph(graphs.item, direct.item, 0);
  require_same_graph(graphs.user, direct.user, 1e-12);
}

TEST_CASE("The user graph does not depend on the scale of the features, in whatever way it is made") {
  Context<Cpu> context(2);
  const index_t users = 120, items = 20, cols = 300;  // few items: the automatic way is the Gram matrix
  const auto unscaled = reference::random_matrix<float>(items, cols, 8);
  // Different numbers of times an item: nearest users do not tie.
  Pairs pairs = random_pairs(users, items, 700, 9);
  const auto r = interaction_matrix<float>(context, pairs, users, items);
  const auto mean = user_mean_operator(context, r.view());
  const auto expected = user_graph<float>(context, unscaled.view(), mean.view(),
                                          {.user = {.k = 5}, .similarity = UserSimilarity::direct});
  std::int64_t joined = 0;
  for (std::int64_t e = 0; e < expected.entries(); ++e) joined += expected.values[e] != 0;
  REQUIRE(joined == expected.entries());
  for (const float scale : {1.0f, 0x1p-70f, 0x1p-90f, 0x1p66f, 0x1p100f}) {
    Matrix<float, Cpu> features(items, cols);
    for (std::int64_t e = 0; e < features.size(); ++e) features.data()[e] = scale * unscaled.data()[e];
    for (const UserSimilarity way : {UserSimilarity::automatic, UserSimilarity::direct, UserSimilarity::gram}) {
      const RelationOptions options{.item = {.k = 4}, .user = {.k = 5}, .similarity = way};
      INFO("scale " << scale << ", way " << static_cast<int>(way));
      require_same_graph(expected, user_graph<float>(context, features.view(), mean.view(), options), 1e-5);
      require_same_graph(expected, relation_graphs<float>(context, features.view(), mean.view(), options).user, 1e-5);
    }
  }
}

TEST_CASE("Users without items, and users whose items cancel, keep only themselves with weight 0") {
  Context<Cpu> context(2);
  Matrix<float, Cpu> features(3, 2);
  const float values[] = {0.3f, 0.7f, -0.3f, -0.7f, 1, 0};
  std::copy_n(values, 6, features.data());
  const auto r = interaction_matrix<float>(context, Pairs{{0, 0, 2, 3}, {0, 1, 2, 0}, {}}, 4, 3);
  const auto mean = user_mean_operator(context, r.view());
  for (const UserSimilarity way : {UserSimilarity::direct, UserSimilarity::gram}) {
    RelationOptions options;
    options.similarity = way;
    options.user.k = 2;
    const auto graph = user_graph<float>(context, features.view(), mean.view(), options);
    for (const index_t u : {0, 1}) {
      REQUIRE(graph.offsets[u + 1] - graph.offsets[u] == 1);
      REQUIRE(graph.indices[graph.offsets[u]] == u);
      REQUIRE(graph.values[graph.offsets[u]] == 0);
    }
    REQUIRE(graph.offsets[3] - graph.offsets[2] == 2);
  }
}

TEST_CASE("Relation graphs of no users or no items are empty") {
  Context<Cpu> context(2);
  const Matrix<float, Cpu> none(0, 8);
  const auto r = interaction_matrix<float>(context, Pairs{}, 5, 0);
  const auto graphs = relation_graphs<float>(context, none.view(), user_mean_operator(context, r.view()).view());
  REQUIRE(graphs.item.rows == 0);
  REQUIRE(graphs.user.rows == 5);
  const auto features = reference::random_matrix<float>(4, 8, 1);
  const auto nobody = interaction_matrix<float>(context, Pairs{}, 0, 4);
  REQUIRE(
      relation_graphs<float>(context, features.view(), user_mean_operator(context, nobody.view()).view()).user.rows ==
      0);
}

}  // namespace dream_tests::graph_relation
