#include <dream/eval/metrics.hpp>

#include <cmath>
#include <vector>

#include "support/catch.hpp"

namespace dream_tests::eval_metrics {

using namespace dream;

TEST_CASE("The metrics of a list with hits at ranks 2 and 4 of three held-out items are those computed by hand") {
  const std::vector<index_t> ranked{9, 3, 5, 7, 1}, held_out{2, 3, 7};
  const RankingMetrics m = ranking_metrics(ranked, held_out, 5);
  REQUIRE(m.recall() == Approx(2.0 / 3));
  REQUIRE(m.precision() == Approx(2.0 / 5));
  REQUIRE(m.ndcg() ==
          Approx((1 / std::log2(3.0) + 1 / std::log2(5.0)) / (1 + 1 / std::log2(3.0) + 1 / std::log2(4.0))));
  REQUIRE(m.map() == Approx((1.0 / 2 + 2.0 / 4) / 3));
  REQUIRE(m.hit() == 1);
  REQUIRE(m.mrr() == 0.5);
  const RankingMetrics two = ranking_metrics(ranked, held_out, 2);
  REQUIRE(two.recall() == Approx(1.0 / 3));
  REQUIRE(two.precision() == 0.5);
  REQUIRE(two.ndcg() == Approx(1 / std::log2(3.0) / (1 + 1 / std::log2(3.0))));
  REQUIRE(two.map() == Approx(0.25));
  const RankingMetrics one = ranking_metrics(ranked, held_out, 1);
  for (const double v : one.values) REQUIRE(v == 0);
}

TEST_CASE("A perfect list scores 1, and lists that end early or hold -1 count as misses") {
  const std::vector<index_t> held_out{4, 6};
  const RankingMetrics perfect = ranking_metrics(std::vector<index_t>{6, 4, 0}, held_out, 2);
  for (const double v : perfect.values) REQUIRE(v == Approx(1.0));
  const RankingMetrics padded = ranking_metrics(std::vector<index_t>{6, -1, -1}, held_out, 3);
  const RankingMetrics ended = ranking_metrics(std::vector<index_t>{6}, held_out, 3);
  REQUIRE(padded.values == ended.values);
  REQUIRE(padded.recall() == 0.5);
  REQUIRE(padded.precision() == Approx(1.0 / 3));
  const RankingMetrics nothing = ranking_metrics(std::vector<index_t>{}, held_out, 3);
  for (const double v : nothing.values) REQUIRE(v == 0);
  REQUIRE_ERROR(ranking_metrics(std::vector<index_t>{1}, std::vector<index_t>{}, 3), "no held-out");
  REQUIRE_ERROR(ranking_metrics(std::vector<index_t>{1}, held_out, 0), "k is 0");
}

TEST_CASE("A table of means is read by name") {
  MetricTable table;
  table.values = {{"recall@20", 0.25}};
  REQUIRE(table.at("recall@20") == 0.25);
  REQUIRE_ERROR(table.at("recall@21"), "'recall@21'");
}

}  // namespace dream_tests::eval_metrics
