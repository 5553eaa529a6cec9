#include <dream/eval/beyond_accuracy.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <dream/backend/matrix.hpp>
#include <dream/core/random.hpp>

#include "support/catch.hpp"

namespace dream_tests::eval_beyond_accuracy {

using namespace dream;

namespace {

/// Items with some training interactions and two modalities, of which the second lacks every third item.
Dataset random_data(index_t items, std::uint64_t seed) {
  Dataset data;
  data.items.count = items;
  data.users.count = 50;
  const RandomStream random{seed};
  std::uint64_t draw = 0;
  for (index_t u = 0; u < 50; ++u)
    for (index_t i = 0; i < items; ++i)
      if (random.uniform(draw++) < 2.0 / (i + 2)) {
        data.train.user.push_back(u);
        data.train.item.push_back(i);
      }
  for (const index_t cols : {5, 3}) {
    Modality& m = data.modalities.emplace_back();
    m.name = cols == 5 ? "image" : "text";
    m.rows = items;
    m.cols = cols;
    m.present.assign(static_cast<std::size_t>(items), 1);
    for (index_t i = 0; i < items; ++i) {
      if (cols == 3 && i % 3 == 0) m.present[static_cast<std::size_t>(i)] = 0;
      for (index_t j = 0; j < cols; ++j)
        m.values.push_back(m.present[static_cast<std::size_t>(i)] ? static_cast<float>(random.normal(draw++)) : 0.0F);
    }
  }
  return data;
}

/// Lists of random different items, some of them shorter than the width.
Matrix<index_t, Cpu> random_lists(index_t rows, index_t width, index_t items, std::uint64_t seed) {
  Matrix<index_t, Cpu> lists(rows, width);
  lists.fill(-1);
  const RandomStream random{seed};
  std::uint64_t draw = 0;
  for (index_t r = 0; r < rows; ++r) {
    std::set<index_t> had;
    const index_t length = r % 4 == 0 ? r % (width + 1) : width;
    for (index_t c = 0; c < length; ++c) {
      index_t item = 0;
      do item = static_cast<index_t>(random.below(draw++, static_cast<std::uint64_t>(items)));
      while (!had.insert(item).second);
      lists(r, c) = item;
    }
  }
  return lists;
}

double cosine(const Modality& m, index_t a, index_t b) {
  double ab = 0, aa = 0, bb = 0;
  for (index_t j = 0; j < m.cols; ++j) {
    const double x = m.features()(a, j), y = m.features()(b, j);
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return ab / std::sqrt(aa * bb);
}

}  // namespace

TEST_CASE("Coverage, Gini index, popularity and distance are those of their definitions", "[beyond_accuracy]") {
  const index_t items = 40, width = 9;
  const Dataset data = random_data(items, 5);
  const Matrix<index_t, Cpu> lists = random_lists(130, width, items, 6);
  Context<Cpu> context(3);
  const std::vector<int> cutoffs{1, 4, 9};
  const auto found = beyond_accuracy(context, lists.view(), cutoffs, data);
  REQUIRE(found.size() == 3 * 5);
  std::map<std::string, double> by_name(found.begin(), found.end());
  for (const int k : cutoffs) {
    const auto at = [&](const std::string& name) { return by_name.at(name + "@" + std::to_string(k)); };
    std::map<index_t, double> shown;
    double popularity = 0, filled = 0;
    std::map<std::string, double> distance, lists_with;
    for (index_t r = 0; r < lists.rows(); ++r) {
      std::vector<index_t> list;
      for (index_t c = 0; c < k; ++c)
        if (lists(r, c) >= 0) list.push_back(lists(r, c));
      if (list.empty()) continue;
      filled += 1;
      for (const index_t i : list) {
        shown[i] += 1;
        popularity += static_cast<double>(std::count(data.train.item.begin(), data.train.item.end(), i)) /
                      static_cast<double>(list.size());
      }
      for (const Modality& m : data.modalities) {
        double sum = 0, pairs = 0;
        for (std::size_t a = 0; a < list.size(); ++a)
          for (std::size_t b = 0; b < a; ++b) {
            if (!m.present[static_cast<std::size_t>(list[a])] || !m.present[static_cast<std::size_t>(list[b])])
              continue;
            sum += 1 - cosine(m, list[a], list[b]);
            pairs += 1;
          }
        if (pairs == 0) continue;
        distance[m.name] += sum / pairs;
        lists_with[m.name] += 1;
      }
    }
    CHECK(at("coverage") == Approx(static_cast<double>(shown.size()) / items));
    CHECK(at("popularity") == Approx(popularity / filled));
    for (const Modality& m : data.modalities)
      CHECK(at("distance_" + m.name) ==
            Approx(lists_with[m.name] > 0 ? distance[m.name] / lists_with[m.name] : 0.0).margin(1e-9));
    // The Gini index as half the relative mean absolute difference.
    double difference = 0, all = 0;
    for (index_t i = 0; i < items; ++i) {
      all += shown[i];
      for (index_t j = 0; j < items; ++j) difference += std::abs(shown[i] - shown[j]);
    }
    CHECK(at("gini") == Approx(difference / (2.0 * items * all)));
  }
}

TEST_CASE("The same lists for all cover k items, and one item alone has the largest Gini index", "[beyond_accuracy]") {
  const Dataset data = random_data(20, 7);
  Context<Cpu> context(1);
  Matrix<index_t, Cpu> lists(30, 1);
  lists.fill(3);
  const std::vector<int> cutoffs{1};
  const auto found = beyond_accuracy(context, lists.view(), cutoffs, data);
  CHECK(found[0] == std::pair<std::string, double>("coverage@1", 0.05));
  CHECK(found[1].second == Approx(1 - 1.0 / 20));
  const std::vector<int> deeper{2};
  CHECK_THROWS_WITH(beyond_accuracy(context, lists.view(), deeper, data),
                    DREAM_MATCHES_SUBSTRING("k is 2, lists have 1 items"));
}

}  // namespace dream_tests::eval_beyond_accuracy
