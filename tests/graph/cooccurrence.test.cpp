#include <dream/graph/cooccurrence.hpp>

#include <cmath>
#include <map>
#include <vector>

#include <dream/graph/bipartite.hpp>

#include "graph/reference.hpp"
#include "support/catch.hpp"

namespace dream_tests::graph_cooccurrence {

using namespace dream;

TEST_CASE("Shared items of three users by hand become softmax weights without the user itself") {
  Context<Cpu> context(2);
  // user 0: items 0 1 2, user 1: items 0 1, user 2: item 2, user 3: nothing.
  const auto r = interaction_matrix<double>(context, Pairs{{0, 0, 0, 1, 1, 2}, {0, 1, 2, 0, 1, 2}, {}}, 4, 4);
  const auto t = transpose(context, r.view());
  const auto graph = cooccurrence_graph(context, r.view(), t.view(), 2);
  const std::vector<index_t> columns(graph.indices.data(), graph.indices.data() + graph.entries());
  REQUIRE(columns == std::vector<index_t>{1, 2, 0, 0});
  REQUIRE(graph.values[0] == Approx(std::exp(2.0) / (std::exp(2.0) + std::exp(1.0))));
  REQUIRE(graph.values[1] == Approx(std::exp(1.0) / (std::exp(2.0) + std::exp(1.0))));
  REQUIRE(graph.values[2] == 1);
  REQUIRE(graph.offsets[3] == graph.offsets[4]);
  REQUIRE_ERROR(cooccurrence_graph(context, r.view(), t.view(), 0), "k is 0");
  REQUIRE_ERROR(cooccurrence_graph(context, r.view(), r.view(), 0), "co-occurrence");
}

TEST_CASE("The co-occurrence graph equals counting all pairs of users, ties to the smaller index, for any threads") {
  for (const index_t users : {0, 1, 2, 31, 33, 257})
    for (const index_t k : {1, 3, 20, 300}) {
      const index_t items = 19;
      Pairs pairs;
      const RandomStream random{static_cast<std::uint64_t>(users)};
      for (std::uint64_t e = 0; users > 0 && e < 700; ++e) {
        pairs.user.push_back(static_cast<index_t>(random.below(2 * e, static_cast<std::uint64_t>(users))));
        const double u = random.uniform(2 * e + 1);
        pairs.item.push_back(static_cast<index_t>(u * u * items));  // some items far more popular than others
      }
      Context<Cpu> one(1), two(2);
      const auto r = interaction_matrix<double>(one, pairs, users, items);
      const auto t = transpose(one, r.view());
      const auto graph = cooccurrence_graph(one, r.view(), t.view(), k);
      const auto again = cooccurrence_graph(two, r.view(), t.view(), k);
      REQUIRE(graph.rows == users);
      REQUIRE(graph.entries() == again.entries());
      for (std::int64_t e = 0; e < graph.entries(); ++e) {
        REQUIRE(graph.indices[e] == again.indices[e]);
        REQUIRE(graph.values[e] == again.values[e]);
      }
      std::vector<std::vector<int>> has(static_cast<std::size_t>(users), std::vector<int>(items));
      for (std::size_t e = 0; e < pairs.user.size(); ++e)
        has[static_cast<std::size_t>(pairs.user[e])][static_cast<std::size_t>(pairs.item[e])] = 1;
      for (index_t u = 0; u < users; ++u) {
        std::vector<std::pair<int, index_t>> shared;
        for (index_t v = 0; v < users; ++v) {
          int count = 0;
          for (std::size_t i = 0; i < has[0].size(); ++i)
            count += has[static_cast<std::size_t>(u)][i] * has[static_cast<std::size_t>(v)][i];
          if (v != u && count > 0) shared.emplace_back(-count, v);
        }
        std::sort(shared.begin(), shared.end());
        if (shared.size() > static_cast<std::size_t>(k)) shared.resize(static_cast<std::size_t>(k));
        double sum = 0;
        for (const auto& s : shared) sum += std::exp(-s.first);
        std::map<index_t, double> expected;
        for (const auto& s : shared) expected[s.second] = std::exp(-s.first) / sum;
        REQUIRE(graph.offsets[u + 1] - graph.offsets[u] == static_cast<std::int64_t>(expected.size()));
        std::int64_t e = graph.offsets[u];
        for (const auto& [v, weight] : expected) {
          REQUIRE(graph.indices[e] == v);
          REQUIRE(graph.values[e++] == Approx(weight).epsilon(1e-12));
        }
      }
    }
}

}  // namespace dream_tests::graph_cooccurrence
