#include <dream/eval/ranking.hpp>

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <dream/graph/bipartite.hpp>
#include <dream/testing/emulated.hpp>

#include "graph/reference.hpp"
#include "support/catch.hpp"

namespace dream_tests::eval_ranking {

using namespace dream;

namespace {

using Sets = std::vector<std::set<index_t>>;

Csr<double, Cpu> matrix(const Sets& sets, index_t items) {
  Context<Cpu> context(1);
  Pairs pairs;
  for (std::size_t u = 0; u < sets.size(); ++u)
    for (const index_t i : sets[u]) {
      pairs.user.push_back(static_cast<index_t>(u));
      pairs.item.push_back(i);
    }
  return interaction_matrix<double>(context, pairs, static_cast<index_t>(sets.size()), items);
}

Sets random_sets(index_t users, index_t items, double share, std::uint64_t seed) {
  Sets sets(static_cast<std::size_t>(users));
  const RandomStream random{seed};
  for (index_t u = 0; u < users; ++u)
    for (index_t i = 0; i < items; ++i)
      if (random.uniform(static_cast<std::uint64_t>(u * items + i)) < share)
        sets[static_cast<std::size_t>(u)].insert(i);
  return sets;
}

/// recall, ndcg, precision, map, hit, mrr by the definitions, from a ranking of `pool` without the masked items.
std::map<std::string, double> reference_means(MatrixView<const double> u, MatrixView<const double> v, const Sets& train,
                                              const Sets& held_out, const std::set<index_t>& pool, int k,
                                              std::int64_t& users) {
  std::map<std::string, double> sum;
  users = 0;
  for (std::size_t r = 0; r < train.size(); ++r) {
    if (train[r].empty() || held_out[r].empty()) continue;
    std::vector<std::pair<double, index_t>> order;
    for (const index_t i : pool) {
      if (train[r].count(i) != 0) continue;
      double score = 0;
      for (index_t c = 0; c < u.cols; ++c) score += u(static_cast<index_t>(r), c) * v(i, c);
      order.emplace_back(-score, i);
    }
    std::sort(order.begin(), order.end());
    const int possible = std::min(k, static_cast<int>(held_out[r].size()));
    double hits = 0, dcg = 0, ideal = 0, ap = 0, mrr = 0;
    for (int j = 1; j <= k; ++j) {
      if (j <= possible) ideal += 1 / std::log2(j + 1.0);
      if (j > static_cast<int>(order.size()) || held_out[r].count(order[static_cast<std::size_t>(j - 1)].second) == 0)
        continue;
      hits += 1;
      dcg += 1 / std::log2(j + 1.0);
      ap += hits / j;
      if (mrr == 0) mrr = 1.0 / j;
    }
    ++users;
    sum["recall"] += hits / static_cast<double>(held_out[r].size());
    sum["ndcg"] += dcg / ideal;
    sum["precision"] += hits / k;
    sum["map"] += ap / possible;
    sum["hit"] += hits > 0;
    sum["mrr"] += mrr;
  }
  for (auto& entry : sum) entry.second /= static_cast<double>(users);
  return sum;
}

void require_near(const MetricTable& found, const MetricTable& expected) {
  REQUIRE(found.users == expected.users);
  REQUIRE(found.values.size() == expected.values.size());
  for (std::size_t v = 0; v < found.values.size(); ++v) {
    CAPTURE(expected.values[v].first);
    REQUIRE(found.values[v].first == expected.values[v].first);
    REQUIRE(std::abs(found.values[v].second - expected.values[v].second) < 1e-12);
  }
}

/// Evaluation by kernels is that on the host; how many users it is over.
std::int64_t require_same_by_kernels(const Matrix<double, Cpu>& u, const Matrix<double, Cpu>& v,
                                     const Csr<double, Cpu>& train, const Csr<double, Cpu>& held_out,
                                     const EvaluationOptions& options) {
  Context<Cpu> host(1);
  Context<Emulated> context({.lock_memory = true});
  const Evaluation expected =
      evaluate<double>(host, u.view(), v.view(), train.view(), train.view(), held_out.view(), options);
  const auto users = upload<double>(context, u.view()), items = upload<double>(context, v.view());
  const Csr<double, Emulated> masked = upload(context, train);
  const Evaluation found = evaluate<double>(context, host, users.view(), items.view(), train.view(), masked.view(),
                                            held_out.view(), options);
  require_near(found.all, expected.all);
  require_near(found.warm, expected.warm);
  require_near(found.cold, expected.cold);
  require_near(found.cold_among_cold, expected.cold_among_cold);
  REQUIRE(found.users_without_training == expected.users_without_training);
  REQUIRE(found.users_without_held_out == expected.users_without_held_out);
  REQUIRE(found.cold_items == expected.cold_items);
  return found.all.users;
}

}  // namespace

TEST_CASE("Evaluation equals the definitions computed user by user, for all, warm and cold items") {
  for (const index_t users : {1, 33, 257, 600}) {
    const index_t items = 90;
    const auto u = reference::random_matrix<double>(users, 9, 1), v = reference::random_matrix<double>(items, 9, 2);
    Sets train = random_sets(users, items, 0.05, 3), held_out = random_sets(users, items, 0.03, 4);
    std::set<index_t> all, warm, cold;
    for (index_t i = 0; i < items; ++i) all.insert(i);
    for (std::size_t r = 0; r < train.size(); ++r) {
      for (index_t i = 80; i < items; ++i) train[r].erase(i);  // the last ten items are cold
      if (r % 9 == 4) train[r].clear();
      for (const index_t i : train[r]) held_out[r].erase(i), warm.insert(i);
    }
    for (const index_t i : all)
      if (warm.count(i) == 0) cold.insert(i);
    Sets warm_held(held_out.size()), cold_held(held_out.size());
    std::int64_t without_training = 0, without_held_out = 0, counted = 0;
    for (std::size_t r = 0; r < train.size(); ++r) {
      without_held_out += held_out[r].empty();
      without_training += train[r].empty() && !held_out[r].empty();
      for (const index_t i : held_out[r]) (warm.count(i) ? warm_held : cold_held)[r].insert(i);
    }
    Context<Cpu> context(2);
    const auto r = matrix(train, items), h = matrix(held_out, items);
    const EvaluationOptions options{.top_k = {1, 5, 20}};
    const Evaluation e = evaluate<double>(context, u.view(), v.view(), r.view(), r.view(), h.view(), options);
    REQUIRE(e.users_without_training == without_training);
    REQUIRE(e.users_without_held_out == without_held_out);
    REQUIRE(e.cold_items == static_cast<index_t>(cold.size()));
    for (const int k : options.top_k) {
      const struct {
        const MetricTable& table;
        const Sets& held;
        const std::set<index_t>& pool;
      } reports[] = {{e.all, held_out, all},
                     {e.warm, warm_held, all},
                     {e.cold, cold_held, all},
                     {e.cold_among_cold, cold_held, cold}};
      for (const auto& report : reports) {
        const auto expected = reference_means(u.view(), v.view(), train, report.held, report.pool, k, counted);
        REQUIRE(report.table.users == counted);
        for (const auto& [name, value] : expected)
          REQUIRE(report.table.at(concat(name, "@", k)) == Approx(value).epsilon(1e-12).margin(1e-15));
      }
    }
  }
}

TEST_CASE("Evaluation has the same bits for any number of threads and any blocks") {
  const auto u = reference::random_matrix<float>(700, 16, 1), v = reference::random_matrix<float>(120, 16, 2);
  Context<Cpu> one(1), two(2);
  Pairs train, test;
  const RandomStream random{4};
  for (std::uint64_t e = 0; e < 4000; ++e) {
    Pairs& to = e % 4 == 0 ? test : train;
    to.user.push_back(static_cast<index_t>(random.below(2 * e, 700)));
    to.item.push_back(static_cast<index_t>(random.below(2 * e + 1, 120)));
  }
  const auto r = interaction_matrix<float>(one, train, 700, 120), h = interaction_matrix<float>(one, test, 700, 120);
  const Evaluation a = evaluate<float>(one, u.view(), v.view(), r.view(), r.view(), h.view());
  const Evaluation b = evaluate<float>(two, u.view(), v.view(), r.view(), r.view(), h.view(),
                                       {.blocks = {.user_block = 7, .item_block = 64}});
  REQUIRE(a.all.values == b.all.values);
  REQUIRE(a.warm.values == b.warm.values);
}

TEST_CASE("A user who has seen everything scores zero and nothing breaks") {
  Context<Cpu> context(2);
  const auto u = reference::random_matrix<double>(2, 4, 1), v = reference::random_matrix<double>(3, 4, 2);
  const auto r = matrix({{0, 1, 2}, {0}}, 3), h = matrix({{1}, {2}}, 3);
  const Evaluation e = evaluate<double>(context, u.view(), v.view(), r.view(), r.view(), h.view(), {.top_k = {3}});
  REQUIRE(e.all.users == 2);
  REQUIRE(e.at("recall@3") == 0.5);
}

TEST_CASE("Masking valid items as well takes them out of the ranking") {
  Context<Cpu> context(1);
  Matrix<double, Cpu> u(1, 1), v(4, 1);
  u.fill(1);
  for (index_t i = 0; i < 4; ++i) v.view()(i, 0) = 4 - i;
  const auto train = matrix({{0}}, 4), both = matrix({{0, 1}}, 4), test = matrix({{2}}, 4);
  const EvaluationOptions options{.top_k = {1}};
  REQUIRE(evaluate<double>(context, u.view(), v.view(), train.view(), train.view(), test.view(), options).at("hit@1") ==
          0);
  REQUIRE(evaluate<double>(context, u.view(), v.view(), train.view(), both.view(), test.view(), options).at("hit@1") ==
          1);
}

TEST_CASE("No users, no held-out items or no training give empty reports; k beyond the items is an error") {
  Context<Cpu> context(2);
  const auto u = reference::random_matrix<double>(2, 4, 1), v = reference::random_matrix<double>(30, 4, 2);
  const auto some = matrix({{0}, {1}}, 30), none = matrix({{}, {}}, 30);
  const Evaluation a = evaluate<double>(context, u.view(), v.view(), some.view(), some.view(), none.view());
  REQUIRE(a.users_without_held_out == 2);
  REQUIRE(a.all.users == 0);
  REQUIRE(a.at("recall@20") == 0);
  const Evaluation b = evaluate<double>(context, u.view(), v.view(), none.view(), none.view(), some.view());
  REQUIRE(b.users_without_training == 2);
  REQUIRE(b.cold_items == 30);
  const Matrix<double, Cpu> nobody(0, 4);
  const auto empty = matrix({}, 30);
  REQUIRE(evaluate<double>(context, nobody.view(), v.view(), empty.view(), empty.view(), empty.view()).all.users == 0);
  REQUIRE_ERROR((evaluate<double>(context, u.view(), v.view(), some.view(), some.view(), some.view(), {.top_k = {31}})),
                "k is 31 and there are 30 items");
}

TEST_CASE("Evaluation by kernels is the host's, for all, warm and cold items") {
  for (const index_t users : {0, 1, 33, 257, 300}) {
    CAPTURE(users);
    const index_t items = 70;
    const auto u = reference::random_matrix<double>(users, 9, 1), v = reference::random_matrix<double>(items, 9, 2);
    Sets train = random_sets(users, items, 0.05, 3), held_out = random_sets(users, items, 0.04, 4);
    for (std::size_t r = 0; r < train.size(); ++r) {
      for (index_t i = 60; i < items; ++i) train[r].erase(i);  // the last ten items are cold
      if (r % 9 == 4) train[r].clear();
      if (r % 9 == 5) held_out[r].clear();
      for (const index_t i : train[r]) held_out[r].erase(i);
    }
    const auto r = matrix(train, items), h = matrix(held_out, items);
    const std::int64_t counted = require_same_by_kernels(u, v, r, h, {.top_k = {1, 5, 20}});
    if (users > 1) CHECK(counted > users / 2);
    require_same_by_kernels(u, v, r, h, {.top_k = {20, 3}, .warm_and_cold = false});
  }
}

TEST_CASE("Evaluation by kernels is the host's for held-out items out of order and repeated") {
  const auto u = reference::random_matrix<double>(3, 4, 1), v = reference::random_matrix<double>(30, 4, 2);
  const auto train = matrix({{0}, {1}, {2}}, 30);
  Csr<double, Cpu> held_out = matrix({{4, 9, 17}, {8}, {5, 6}}, 30);
  const index_t untidy[] = {17, 4, 17, 8, 6, 5};
  std::copy_n(untidy, 6, held_out.indices.data());
  CHECK(require_same_by_kernels(u, v, train, held_out, {.top_k = {3, 30}}) == 3);
}

TEST_CASE("Evaluation by kernels is the host's for more and for deeper cut-offs than the kernel takes") {
  const index_t items = 1100;
  const auto u = reference::random_matrix<double>(5, 4, 1), v = reference::random_matrix<double>(items, 4, 2);
  const auto train = matrix(random_sets(5, items, 0.02, 3), items),
             held_out = matrix(random_sets(5, items, 0.01, 4), items);
  CHECK(require_same_by_kernels(u, v, train, held_out, {.top_k = {1025}}) > 0);
  EvaluationOptions many;
  many.top_k.clear();
  for (int k = 1; k <= 17; ++k) many.top_k.push_back(k);
  CHECK(require_same_by_kernels(u, v, train, held_out, many) > 0);
}

}  // namespace dream_tests::eval_ranking
