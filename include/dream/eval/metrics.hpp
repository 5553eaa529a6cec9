// Ranking metrics of one user (docs/components.md, 6). With hit_j = 1 where rank j holds a held-out item, P held-out
// items:
//   Recall@k = sum hit_j / P;  Precision@k = sum hit_j / k;  HitRate@k = any hit;  MRR@k = 1 / rank of the first hit;
//   NDCG@k = sum hit_j / log2(j + 1)  over  sum_{j <= min(k, P)} 1 / log2(j + 1);
//   MAP@k = sum hit_j (hits up to j) / j  over  min(k, P).  All sums are over j <= k; no rounding.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/view.hpp>

namespace dream {

/// The metrics, in the order of RankingMetrics::names and of every report.
struct RankingMetrics {
  static constexpr int count = 6;
  static constexpr std::array<const char*, count> names = {"recall", "ndcg", "precision", "map", "hit", "mrr"};

  std::array<double, count> values{};

  double recall() const { return values[0]; }
  double ndcg() const { return values[1]; }
  double precision() const { return values[2]; }
  double map() const { return values[3]; }
  double hit() const { return values[4]; }
  double mrr() const { return values[5]; }
};

/// The metrics at k of one ranked list, best first, against the held-out items (ascending, without repeats, at least
/// one). Ranks without an item hold -1; a list shorter than k counts as filled up with misses.
inline RankingMetrics ranking_metrics(std::span<const index_t> ranked, std::span<const index_t> held_out, int k) {
  DREAM_EXPECT(k >= 1, "ranking metrics: k is ", k);
  DREAM_EXPECT(!held_out.empty(), "ranking metrics: no held-out items");
  const std::size_t depth = std::min(ranked.size(), static_cast<std::size_t>(k));
  double hits = 0, gain = 0, precision_sum = 0, first = 0;
  for (std::size_t j = 0; j < depth; ++j) {
    if (ranked[j] < 0 || !std::binary_search(held_out.begin(), held_out.end(), ranked[j])) continue;
    const double rank = static_cast<double>(j + 1);
    hits += 1;
    gain += 1.0 / std::log2(rank + 1.0);
    precision_sum += hits / rank;
    if (first == 0) first = 1.0 / rank;
  }
  const std::size_t possible = std::min(held_out.size(), static_cast<std::size_t>(k));
  double ideal = 0;
  for (std::size_t j = 1; j <= possible; ++j) ideal += 1.0 / std::log2(static_cast<double>(j) + 1.0);
  RankingMetrics m;
  m.values = {hits / static_cast<double>(held_out.size()),   gain / ideal,         hits / k,
              precision_sum / static_cast<double>(possible), hits > 0 ? 1.0 : 0.0, first};
  return m;
}

/// Mean metrics over some users, by name: "recall@20", "ndcg@20", "precision@20", "map@20", "hit@20", "mrr@20".
struct MetricTable {
  std::int64_t users = 0;  ///< that the means are over
  std::vector<std::pair<std::string, double>> values;

  /// The named mean; an unknown name is an error. All means over no users are 0.
  double at(std::string_view name) const {
    for (const auto& [key, value] : values)
      if (key == name) return value;
    fail("no metric named '", name, "' was computed");
  }
};

}  // namespace dream
