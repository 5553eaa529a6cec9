#include <dream/data/synthetic.hpp>

#include <algorithm>
#include <cmath>
#include <new>
#include <numeric>
#include <set>
#include <string>

#include <dream/data/fingerprint.hpp>
#include <dream/data/read_dataset.hpp>

#include "data/folder.hpp"
#include "support/catch.hpp"

namespace dream_tests::data_synthetic {

using dream::index_t;

TEST_CASE("synthetic data has the counts that were asked for and no duplicates") {
  dream::SyntheticOptions options;
  for (const auto& [users, items, interactions] :
       {std::tuple{300, 200, 6000}, {1, 10, 3}, {7, 3, 7}, {50, 40, 1400}, {1, 1, 1}}) {
    options.users = users;
    options.items = items;
    options.interactions = interactions;
    options.cold_fraction = items < 10 ? 0 : 0.05;
    const dream::Dataset data = dream::make_synthetic(options);
    REQUIRE(data.user_count() == users);
    REQUIRE(data.item_count() == items);
    std::set<std::pair<index_t, index_t>> pairs;
    for (const dream::Pairs* split : {&data.train, &data.valid, &data.test})
      for (std::size_t i = 0; i < split->user.size(); ++i) {
        REQUIRE(split->user[i] < users);
        REQUIRE(split->item[i] >= 0);
        REQUIRE(split->item[i] < items);
        REQUIRE(pairs.emplace(split->user[i], split->item[i]).second);
      }
    REQUIRE(static_cast<int>(pairs.size()) == interactions);
    REQUIRE(data.modalities.size() == 2);
    REQUIRE(data.modalities[0].cols == 64);
    REQUIRE(data.modalities[1].values.size() == static_cast<std::size_t>(items) * 32);
  }
}

TEST_CASE("modalities come in the order of their names, so that synthetic data keep their fingerprint when written") {
  TemporaryFolder folder;
  dream::SyntheticOptions options;
  options.users = 50;
  options.items = 30;
  options.interactions = 300;
  options.modalities = {{"text", 4}, {"image", 3}, {"audio", 2}};
  const dream::Dataset data = dream::make_synthetic(options);
  REQUIRE(data.modalities[0].name == "audio");
  REQUIRE(data.modalities[0].cols == 2);
  REQUIRE(data.modalities[2].name == "text");
  dream::write_dataset(data, folder / "s");
  REQUIRE(dream::fingerprint(dream::read_dataset(folder / "s")) == dream::fingerprint(data));
}

TEST_CASE("a user takes at most three quarters of the items that are not cold, rounded up") {
  dream::SyntheticOptions options;
  options.users = 2;
  options.cold_fraction = 0;
  for (const auto& [items, most] : {std::pair{1, 1}, {2, 2}, {3, 3}, {4, 3}, {5, 4}, {8, 6}}) {
    options.items = items;
    options.interactions = 2 * most;
    const dream::Dataset data = dream::make_synthetic(options);
    REQUIRE(data.train.size() + data.valid.size() + data.test.size() == 2 * most);
    ++options.interactions;
    REQUIRE_ERROR(dream::make_synthetic(options), dream::concat("who take at most ", most, " of the ", items));
  }
}

TEST_CASE("every user has the minimum, shares are long-tailed and splits follow 8:1:1") {
  dream::SyntheticOptions options;
  const dream::Dataset data = dream::make_synthetic(options);
  std::vector<std::array<std::int64_t, 3>> sizes(2000);
  for (int s = 0; s < 3; ++s)
    for (const index_t u : data.pairs(static_cast<dream::Split>(s)).user) ++sizes[static_cast<std::size_t>(u)][s];
  std::int64_t most = 0;
  for (const auto& s : sizes) {
    const std::int64_t degree = s[0] + s[1] + s[2];
    most = std::max(most, degree);
    REQUIRE(degree >= 5);
    REQUIRE(s == dream::split_sizes(degree, {0.8, 0.1, 0.1}));
  }
  REQUIRE(most > 5 * 20);  // five times the mean
}

TEST_CASE("cold items have features and held-out interactions but no training ones") {
  dream::SyntheticOptions options;
  options.cold_fraction = 0.1;
  const dream::Dataset data = dream::make_synthetic(options);
  std::vector<std::uint8_t> trained(1000, 0);
  for (const index_t i : data.train.item) trained[static_cast<std::size_t>(i)] = 1;
  const auto cold = std::count(trained.begin(), trained.end(), 0);
  REQUIRE(cold > 60);
  REQUIRE(cold < 150);
  std::int64_t tested = 0;
  for (const index_t i : data.test.item) tested += !trained[static_cast<std::size_t>(i)];
  REQUIRE(tested > data.test.size() / 25);
  for (const dream::Modality& modality : data.modalities) {
    std::int64_t missing = 0;
    for (index_t i = 0; i < modality.rows; ++i) {
      const bool zero = std::all_of(modality.features().row(i), modality.features().row(i) + modality.cols,
                                    [](float x) { return x == 0; });
      REQUIRE(zero == !modality.present[static_cast<std::size_t>(i)]);
      missing += zero;
    }
    REQUIRE(missing > 25);  // of 50 expected
    REQUIRE(missing < 85);
  }
}

TEST_CASE("features help: items near a user's training items beat popular ones, cold items included", "[exhaustive]") {
  dream::SyntheticOptions options;
  options.items = 2000;
  options.missing_fraction = 0;
  const dream::Dataset data = dream::make_synthetic(options);
  std::vector<double> popularity(2000, 0.0);
  for (const index_t i : data.train.item) ++popularity[static_cast<std::size_t>(i)];
  std::vector<std::vector<index_t>> train(2000), test(2000);
  for (std::size_t k = 0; k < data.train.user.size(); ++k) train[data.train.user[k]].push_back(data.train.item[k]);
  for (std::size_t k = 0; k < data.test.user.size(); ++k) test[data.test.user[k]].push_back(data.test.item[k]);

  // Unit rows of both modalities side by side.
  std::vector<std::vector<double>> rows(2000);
  for (const dream::Modality& modality : data.modalities)
    for (index_t i = 0; i < 2000; ++i) {
      const float* row = modality.features().row(i);
      const double norm = std::sqrt(std::inner_product(row, row + modality.cols, row, 0.0));
      for (index_t j = 0; j < modality.cols; ++j) rows[i].push_back(row[j] / norm);
    }
  const auto recall_at_100 = [&](auto&& scores_of, bool cold_only) {
    double hits = 0, all = 0;
    for (std::size_t u = 0; u < 400; ++u) {
      std::vector<double> score = scores_of(u);
      for (const index_t i : train[u]) score[i] = -1e300;
      std::vector<double> sorted = score;
      std::nth_element(sorted.begin(), sorted.begin() + 99, sorted.end(), std::greater<>());
      for (const index_t i : test[u])
        if (!cold_only || popularity[i] == 0) ++all, hits += score[i] >= sorted[99];
    }
    REQUIRE(all > 0);
    return hits / all;
  };
  const auto by_popularity = [&](std::size_t) { return popularity; };
  const auto by_features = [&](std::size_t u) {
    std::vector<double> score(2000);
    for (std::size_t i = 0; i < 2000; ++i)
      for (const index_t j : train[u])
        score[i] += std::pow(std::inner_product(rows[i].begin(), rows[i].end(), rows[j].begin(), 0.0), 3);
    return score;
  };
  const double popular = recall_at_100(by_popularity, false), near = recall_at_100(by_features, false);
  const double near_cold = recall_at_100(by_features, true);
  INFO("popularity " << popular << ", features " << near << ", features on cold items " << near_cold);
  REQUIRE(near > 1.5 * popular);
  REQUIRE(near_cold > 3 * 0.05);  // chance: 100 of 2000
}

TEST_CASE("the same options give the same bits on any number of threads, another seed gives others") {
  dream::SyntheticOptions options;
  const std::uint64_t first = dream::fingerprint(dream::make_synthetic(options));
  for (const int threads : {1, 3}) {
    options.threads = threads;
    REQUIRE(dream::fingerprint(dream::make_synthetic(options)) == first);
  }
  options.seed = 1;
  REQUIRE(dream::fingerprint(dream::make_synthetic(options)) != first);
}

TEST_CASE("impossible options are errors") {
  const auto rejects = [](auto&& change, const char* message) {
    dream::SyntheticOptions options;
    change(options);
    REQUIRE_ERROR(dream::make_synthetic(options), message);
  };
  rejects([](auto& o) { o.users = 0; }, "must be positive");
  rejects([](auto& o) { o.interactions = 0; }, "must be positive");
  rejects([](auto& o) { o.interactions = 2000 * 1000; }, "are too many for 2000 users");
  rejects([](auto& o) { o.cold_fraction = 1; }, "must lie in [0, 1)");
  rejects([](auto& o) { o.missing_fraction = NAN; }, "must lie in [0, 1)");
  rejects([](auto& o) { o.groups = 0; }, "expected groups > 0");
  rejects([](auto& o) { o.modalities[0].cols = 0; }, "needs a name and columns");
  rejects([](auto& o) { o.modalities[0].name = "text"; }, "two modalities are named 'text'");
}

}  // namespace dream_tests::data_synthetic
