#include <dream/graph/bipartite.hpp>

#include <cmath>
#include <vector>

#include <dream/core/random.hpp>

#include "support/catch.hpp"

namespace dream_tests::graph_bipartite {

using namespace dream;

namespace {

double at(const Csr<double, Cpu>& a, index_t i, index_t j) {
  for (std::int64_t e = a.offsets[i]; e < a.offsets[i + 1]; ++e)
    if (a.indices[e] == j) return a.values[e];
  return 0;
}

// Users 0..2, items 0..3; item 3 and nobody's: user 1 has no item.
const Pairs three_by_four{{0, 0, 2, 2, 2, 0}, {0, 2, 2, 0, 1, 0}, {}};

}  // namespace

TEST_CASE("Interactions become ones, duplicates once, and the normalised graph divides by the root of both degrees") {
  Context<Cpu> context(2);
  const auto r = interaction_matrix<double>(context, three_by_four, 3, 4);
  REQUIRE(r.entries() == 5);
  REQUIRE(at(r, 0, 0) == 1);
  const auto graph = bipartite_graph(context, r.view());
  // Degrees: users 2, 0, 3; items 2, 1, 2, 0.
  REQUIRE(at(graph.user_item, 0, 0) == Approx(1 / std::sqrt(4.0)).epsilon(1e-15));
  REQUIRE(at(graph.user_item, 2, 1) == Approx(1 / std::sqrt(3.0)).epsilon(1e-15));
  REQUIRE(at(graph.user_item, 2, 2) == Approx(1 / std::sqrt(6.0)).epsilon(1e-15));
  REQUIRE(at(graph.item_user, 2, 2) == at(graph.user_item, 2, 2));
  REQUIRE(graph.user_item.offsets[1] == graph.user_item.offsets[2]);
  REQUIRE(graph.item_user.rows == 4);
  REQUIRE(graph.item_user.offsets[3] == graph.item_user.offsets[4]);
  REQUIRE_ERROR((interaction_matrix<double>(context, three_by_four, 3, 2)), "outside a matrix of 3 x 2");
}

TEST_CASE("The square graph is the definition D^-1/2 A D^-1/2 and symmetric") {
  Context<Cpu> context(2);
  const index_t users = 23, items = 31;
  Pairs pairs;
  const RandomStream random{3};
  for (std::uint64_t e = 0; e < 150; ++e) {
    pairs.user.push_back(static_cast<index_t>(random.below(2 * e, users)));
    pairs.item.push_back(static_cast<index_t>(random.below(2 * e + 1, items - 2)));
  }
  const auto r = interaction_matrix<double>(context, pairs, users, items);
  const auto square = square_graph(context, bipartite_graph(context, r.view()));
  REQUIRE(square.rows == users + items);
  std::vector<std::vector<double>> a(users + items, std::vector<double>(users + items));
  for (std::size_t e = 0; e < pairs.user.size(); ++e) {
    a[static_cast<std::size_t>(pairs.user[e])][static_cast<std::size_t>(users + pairs.item[e])] = 1;
    a[static_cast<std::size_t>(users + pairs.item[e])][static_cast<std::size_t>(pairs.user[e])] = 1;
  }
  std::vector<double> degree(users + items);
  for (std::size_t i = 0; i < a.size(); ++i)
    for (const double v : a[i]) degree[i] += v;
  for (index_t i = 0; i < users + items; ++i) {
    for (index_t j = 0; j < users + items; ++j) {
      const std::size_t x = static_cast<std::size_t>(i), y = static_cast<std::size_t>(j);
      const double expected = a[x][y] == 0 ? 0 : 1 / std::sqrt(degree[x] * degree[y]);
      REQUIRE(at(square, i, j) == Approx(expected).epsilon(1e-14));
      REQUIRE(at(square, i, j) == at(square, j, i));
    }
    for (std::int64_t e = square.offsets[i] + 1; e < square.offsets[i + 1]; ++e)
      REQUIRE(square.indices[e - 1] < square.indices[e]);
  }
}

TEST_CASE("A user's mean features are the mean over the items that have the modality; nobody's is zero") {
  Context<Cpu> context(2);
  const auto r = interaction_matrix<double>(context, three_by_four, 3, 4);
  Matrix<double, Cpu> features(4, 2);
  const double values[] = {1, 2, 3, 5, 0, 0, 7, 8};
  std::copy_n(values, 8, features.data());
  const auto all = user_mean_features<double>(context, user_mean_operator(context, r.view()).view(), features.view());
  REQUIRE(all.view()(0, 0) == 0.5);
  REQUIRE(all.view()(0, 1) == 1);
  REQUIRE(all.view()(1, 0) == 0);
  REQUIRE(all.view()(2, 0) == Approx(4 / 3.0).epsilon(1e-15));
  REQUIRE(all.view()(2, 1) == Approx(7 / 3.0).epsilon(1e-15));
  const std::vector<std::uint8_t> present{1, 1, 0, 1};
  const auto mean = user_mean_operator(context, r.view(), present);
  REQUIRE(mean.entries() == 3);
  const auto some = user_mean_features<double>(context, mean.view(), features.view());
  REQUIRE(some.view()(0, 0) == 1);
  REQUIRE(some.view()(2, 1) == 3.5);
  REQUIRE_ERROR(user_mean_operator(context, r.view(), std::vector<std::uint8_t>(3)), "presence of 3 items");
}

TEST_CASE("Graphs of no interactions, no users or no items are empty and whole") {
  Context<Cpu> context(2);
  for (const index_t users : {0, 3})
    for (const index_t items : {0, 4}) {
      const auto r = interaction_matrix<float>(context, Pairs{}, users, items);
      const auto graph = bipartite_graph(context, r.view());
      REQUIRE(graph.user_item.rows == users);
      REQUIRE(graph.item_user.rows == items);
      REQUIRE(square_graph(context, graph).rows == users + items);
      REQUIRE(square_graph(context, graph).entries() == 0);
      REQUIRE(user_mean_operator(context, r.view()).rows == users);
    }
}

}  // namespace dream_tests::graph_bipartite
