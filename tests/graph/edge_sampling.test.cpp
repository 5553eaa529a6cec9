#include <cmath>
#include <set>
#include <vector>

#include <dream/graph/edge_sampling.hpp>

#include "support/catch.hpp"

namespace dream_tests::graph_edge_sampling {

using namespace dream;

namespace {

/// Interactions of users with 1 to 4 of 4 items.
Csr<double, Cpu> small(Context<Cpu>& context) {
  const Pairs pairs{.user = {0, 0, 0, 0, 1, 1, 2}, .item = {0, 1, 2, 3, 0, 1, 0}, .timestamp = {}};
  return interaction_matrix<double>(context, pairs, 3, 4);
}

/// Probability that an entry is among the first `count` of draws without replacement, by all sequences of draws.
void add_inclusions(const std::vector<double>& weights, std::vector<bool>& taken, int count, double probability,
                    std::vector<double>& inclusion) {
  if (count == 0) return;
  double left = 0;
  for (std::size_t e = 0; e < weights.size(); ++e) left += taken[e] ? 0 : weights[e];
  for (std::size_t e = 0; e < weights.size(); ++e) {
    if (taken[e]) continue;
    const double p = probability * weights[e] / left;
    inclusion[e] += p;
    taken[e] = true;
    add_inclusions(weights, taken, count - 1, p, inclusion);
    taken[e] = false;
  }
}

}  // namespace

TEST_CASE("Interactions are drawn without replacement with the probabilities of one draw after another") {
  Context<Cpu> context(1);
  const auto r = small(context);
  // 1 / sqrt(degree of the user * degree of the item); items 0 to 3 have 3, 2, 1, 1 users.
  const double user[] = {4, 4, 4, 4, 2, 2, 1}, item[] = {3, 2, 1, 1, 3, 2, 3};
  std::vector<double> weights, expected(7);
  for (int e = 0; e < 7; ++e) weights.push_back(1 / std::sqrt(user[e] * item[e]));
  std::vector<bool> taken(7);
  add_inclusions(weights, taken, 3, 1, expected);

  constexpr int draws = 40000;
  std::vector<int> seen(7);
  for (int s = 0; s < draws; ++s) {
    const auto kept =
        sample_interactions<double>(context, r.view(), 3, {7, RandomUse::edges, static_cast<std::uint32_t>(s)});
    REQUIRE(kept.entries() == 3);
    for (index_t u = 0; u < 3; ++u)
      for (std::int64_t k = kept.offsets[u]; k < kept.offsets[u + 1]; ++k)
        for (std::int64_t e = r.offsets[u]; e < r.offsets[u + 1]; ++e)
          seen[static_cast<std::size_t>(e)] += r.indices[e] == kept.indices[k];
  }
  for (std::size_t e = 0; e < 7; ++e) {
    INFO("entry " << e);
    // Five standard deviations of a share of 40,000 draws.
    const double p = expected[e];
    CHECK(std::abs(seen[e] / static_cast<double>(draws) - p) < 5 * std::sqrt(p * (1 - p) / draws));
  }
}

TEST_CASE("A sample of interactions keeps their order, is the same on any threads, and another in another epoch") {
  Context<Cpu> one(1), two(2);
  Pairs pairs;
  const RandomStream random{3};
  for (index_t u = 0; u < 700; ++u)
    for (std::uint64_t k = 0; k < 9; ++k) {
      pairs.user.push_back(u);
      pairs.item.push_back(static_cast<index_t>(random.below(static_cast<std::uint64_t>(u) * 16 + k, 90)));
    }
  const auto r = interaction_matrix<float>(one, pairs, 700, 90);
  const std::int64_t count = r.entries() / 5;
  const auto a = sample_interactions<float>(one, r.view(), count, {1, RandomUse::edges, 0}),
             b = sample_interactions<float>(two, r.view(), count, {1, RandomUse::edges, 0}),
             c = sample_interactions<float>(two, r.view(), count, {1, RandomUse::edges, 1});
  REQUIRE(a.entries() == count);
  std::int64_t same = 0, common = 0;
  for (index_t u = 0; u < 700; ++u) {
    REQUIRE(a.offsets[u + 1] == b.offsets[u + 1]);
    std::set<index_t> all(r.indices.data() + r.offsets[u], r.indices.data() + r.offsets[u + 1]),
        other(c.indices.data() + c.offsets[u], c.indices.data() + c.offsets[u + 1]);
    for (std::int64_t e = a.offsets[u]; e < a.offsets[u + 1]; ++e) {
      same += a.indices[e] == b.indices[e];
      common += other.count(a.indices[e]) > 0;
      CHECK(all.count(a.indices[e]) == 1);
      if (e > a.offsets[u]) CHECK(a.indices[e - 1] < a.indices[e]);
    }
  }
  CHECK(same == count);
  CHECK(common < count / 2);  // about a fifth by chance
}

TEST_CASE("A sample of none and of all interactions are none and all, and of more an error") {
  Context<Cpu> context(1);
  const auto r = small(context);
  CHECK(sample_interactions<double>(context, r.view(), 0, {1}).entries() == 0);
  const auto all = sample_interactions<double>(context, r.view(), 7, {1});
  for (std::int64_t e = 0; e < 7; ++e) CHECK(all.indices[e] == r.indices[e]);
  REQUIRE_ERROR(sample_interactions<double>(context, r.view(), 8, {1}), "8 of 7");
}

}  // namespace dream_tests::graph_edge_sampling
