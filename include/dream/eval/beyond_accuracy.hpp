// What ranked lists look like beside their hits: how much of the catalogue they show, how evenly, how popular it is and
// how different the items of a list are (docs/components.md, 6).
//   Coverage@k = items in some list / q;
//   Gini@k = sum_i (2 i - q - 1) c_i / (q sum_i c_i), c_1 <= ... <= c_q the numbers of lists that items are in: 0 where
//   all are in as many, 1 - 1/q where one is alone;
//   Popularity@k = mean over lists of the mean number of training interactions of their items;
//   Distance@k of a modality = mean over lists of the mean of 1 - cosine over pairs of their items that have it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dream/backend/context.hpp>
#include <dream/core/error.hpp>
#include <dream/data/dataset.hpp>

namespace dream {

namespace detail {

/// Mean over lists of the mean distance of their pairs; lists with fewer than two items of the modality do not count.
/// With unit rows x, the sum of cosines over pairs is (|sum x|^2 - n) / 2.
inline double mean_list_distance(Context<Cpu>& context, MatrixView<const index_t> lists, index_t depth,
                                 const Modality& modality) {
  constexpr std::int64_t piece = 64;
  const std::size_t pieces = static_cast<std::size_t>((lists.rows + piece - 1) / piece);
  std::vector<double> sums(pieces), counts(pieces);
  context.parallel_blocks(lists.rows, piece, [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> sum(static_cast<std::size_t>(modality.cols));
    for (index_t r = static_cast<index_t>(begin); r < end; ++r) {
      std::fill(sum.begin(), sum.end(), 0.0);
      double items = 0;
      for (index_t c = 0; c < depth && lists(r, c) >= 0; ++c) {
        if (modality.present[static_cast<std::size_t>(lists(r, c))] == 0) continue;
        const float* x = modality.features().row(lists(r, c));
        double square = 0;
        for (index_t j = 0; j < modality.cols; ++j) square += static_cast<double>(x[j]) * static_cast<double>(x[j]);
        const double inverse = 1 / std::sqrt(square);
        for (index_t j = 0; j < modality.cols; ++j)
          sum[static_cast<std::size_t>(j)] += static_cast<double>(x[j]) * inverse;
        items += 1;
      }
      if (items < 2) continue;
      double square = 0;
      for (const double s : sum) square += s * s;
      sums[static_cast<std::size_t>(begin / piece)] += 1 - (square - items) / (items * (items - 1));
      counts[static_cast<std::size_t>(begin / piece)] += 1;
    }
  });
  double sum = 0, count = 0;
  for (std::size_t p = 0; p < pieces; ++p) {
    sum += sums[p];
    count += counts[p];
  }
  return count > 0 ? sum / count : 0.0;
}

}  // namespace detail

/// The values by name ("coverage@20", "gini@20", "popularity@20", "distance_image@20") at every cut-off for lists of
/// items, best first, filled up with -1. `data` says how popular items are and has their features; a modality whose
/// features were released is left out. A cut-off above the lists' width is an error.
inline std::vector<std::pair<std::string, double>> beyond_accuracy(Context<Cpu>& context,
                                                                   MatrixView<const index_t> lists,
                                                                   std::span<const int> cutoffs, const Dataset& data) {
  const std::size_t items = static_cast<std::size_t>(data.item_count());
  std::vector<std::int64_t> popularity(items, 0);
  for (const index_t item : data.train.item) ++popularity[static_cast<std::size_t>(item)];
  std::vector<std::pair<std::string, double>> values;
  for (const int k : cutoffs) {
    DREAM_EXPECT(k >= 1 && k <= lists.cols, "beyond accuracy: k is ", k, ", lists have ", lists.cols, " items");
    std::vector<std::int64_t> shown(items, 0);
    double popular = 0, filled = 0;
    for (index_t r = 0; r < lists.rows; ++r) {
      double sum = 0, length = 0;
      for (index_t c = 0; c < k && lists(r, c) >= 0; ++c) {
        const std::size_t item = static_cast<std::size_t>(lists(r, c));
        DREAM_EXPECT(item < items, "beyond accuracy: list ", r, " has item ", item, " of ", items);
        ++shown[item];
        sum += static_cast<double>(popularity[item]);
        length += 1;
      }
      if (length == 0) continue;
      popular += sum / length;
      filled += 1;
    }
    const std::int64_t covered = static_cast<std::int64_t>(items) - std::count(shown.begin(), shown.end(), 0);
    std::sort(shown.begin(), shown.end());
    double weighted = 0, all = 0;
    for (std::size_t i = 0; i < items; ++i) {
      const double count = static_cast<double>(shown[i]);
      weighted += (2.0 * static_cast<double>(i + 1) - static_cast<double>(items) - 1) * count;
      all += count;
    }
    const auto add = [&](const std::string& name, double value) { values.emplace_back(concat(name, "@", k), value); };
    add("coverage", items > 0 ? static_cast<double>(covered) / static_cast<double>(items) : 0.0);
    add("gini", all > 0 ? weighted / (static_cast<double>(items) * all) : 0.0);
    add("popularity", filled > 0 ? popular / filled : 0.0);
    for (const Modality& modality : data.modalities)
      if (!modality.values.empty())
        add("distance_" + modality.name, detail::mean_list_distance(context, lists, k, modality));
  }
  return values;
}

}  // namespace dream
