// What synthetic data are drawn from: groups of items, latent item vectors, popularity, and users with tastes.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/core/thread_pool.hpp>
#include <dream/data/dataset.hpp>
#include <dream/data/interactions.hpp>

namespace dream {

/// A modality to generate.
struct SyntheticModality {
  std::string name;
  index_t cols = 0;
};

/// What make_synthetic generates.
struct SyntheticOptions {
  index_t users = 2000;
  index_t items = 1000;
  std::int64_t interactions = 40000;  ///< in all, without duplicates; 8:1:1 per user
  std::vector<SyntheticModality> modalities{{"image", 64}, {"text", 32}};
  double cold_fraction = 0.05;     ///< of the items: features, but no training interactions
  double missing_fraction = 0.05;  ///< of the items, per modality: no features
  int groups = 20;                 ///< kinds of items
  double noise = 0.5;              ///< standard deviation of a feature's noise; its signal's is about 1
  double popularity = 0.6;         ///< an item of rank r in its group is drawn in proportion to r^-popularity
  index_t min_per_user = 5;        ///< interactions that every user has (fewer if there are fewer on average)
  std::uint64_t seed = 999;
  int threads = 0;  ///< to draw with; <= 0: available_processors(). The data do not depend on it
};

namespace detail {

/// The planted world: latent item vectors, groups, and the draws of users.
class SyntheticWorld {
 public:
  static constexpr int dim = 16;
  using Latent = std::array<float, dim>;

  explicit SyntheticWorld(const SyntheticOptions& options) : options_(options) {
    const index_t items = options.items;
    groups_ = std::min<index_t>(options.groups, items);
    centres_.resize(static_cast<std::size_t>(groups_));
    for (std::size_t g = 0; g < centres_.size(); ++g) centres_[g] = normals(Step::centre, g);
    latent_.resize(static_cast<std::size_t>(items));
    std::vector<index_t> group(latent_.size());
    cold_.resize(latent_.size());
    const RandomStream membership = stream(Step::group), coldness = stream(Step::cold);
    for (std::size_t i = 0; i < latent_.size(); ++i) {
      group[i] = static_cast<index_t>(i < centres_.size() ? i : membership.below(i, centres_.size()));
      const Latent own = normals(Step::item, i), &centre = centres_[static_cast<std::size_t>(group[i])];
      for (std::size_t k = 0; k < dim; ++k) latent_[i][k] = 0.75f * centre[k] + 0.66f * own[k];
      cold_[i] = coldness.uniform(i) < options.cold_fraction;
      if (!cold_[i]) warm_.push_back(static_cast<index_t>(i));
    }
    if (warm_.empty()) {
      cold_[0] = 0;
      warm_.push_back(0);
    }
    // Within a group, popularity ranks are a random order: item numbers say nothing about popularity.
    members_ = group_by(group, groups_);
    const RandomStream ranks = stream(Step::rank);
    for (std::size_t g = 0; g < centres_.size(); ++g)
      for (std::int64_t n = members_.offsets[g + 1] - members_.offsets[g]; n > 1; --n) {
        std::int64_t* first = members_.order.data() + members_.offsets[g];
        const std::uint64_t index = (std::uint64_t{g} << 32) | static_cast<std::uint64_t>(n);
        std::swap(first[n - 1], first[ranks.below(index, static_cast<std::uint64_t>(n))]);
      }
    by_place_.reserve(latent_.size());
    for (const std::int64_t i : members_.order) by_place_.push_back(latent_[static_cast<std::size_t>(i)]);
    // A uniform number to this power, times the group's size, is a rank r with density ~ r^-popularity.
    rank_exponent_ = static_cast<float>(1.0 / (1.0 - options.popularity));
  }

  index_t warm_items() const { return static_cast<index_t>(warm_.size()); }

  /// How many interactions each user has: a minimum and a long-tailed share of the rest, at most `most`.
  std::vector<index_t> degrees(std::int64_t most) const {
    const std::size_t users = static_cast<std::size_t>(options_.users);
    const std::int64_t least =
        std::min<std::int64_t>({options_.min_per_user, options_.interactions / options_.users, most});
    const std::int64_t rest = options_.interactions - least * options_.users;
    const RandomStream random = stream(Step::degree);
    std::vector<double> shares(users + 1, 0.0);
    for (std::size_t u = 0; u < users; ++u)
      shares[u + 1] = shares[u] + std::min(100.0, std::pow(1.0 - random.uniform(u), -0.5)) - 0.9;
    std::vector<index_t> degree(users);
    std::int64_t given = 0, excess = 0;
    for (std::size_t u = 0; u < users; ++u) {
      const std::int64_t until =
          u + 1 == users ? rest : static_cast<std::int64_t>(shares[u + 1] / shares[users] * static_cast<double>(rest));
      const std::int64_t wanted = least + std::max<std::int64_t>(0, until - given);
      given = std::max(given, until);
      degree[u] = static_cast<index_t>(std::min(wanted, most));
      excess += wanted - degree[u];
    }
    while (excess > 0) {  // what the heaviest users cannot take goes evenly to the others
      const std::int64_t open = std::count_if(degree.begin(), degree.end(), [most](index_t d) { return d < most; });
      const std::int64_t each = (excess + open - 1) / open;
      for (std::size_t u = 0; u < users && excess > 0; ++u) {
        const std::int64_t more = std::min({each, most - degree[u], excess});
        degree[u] += static_cast<index_t>(more);
        excess -= more;
      }
    }
    return degree;
  }

  /// Draws what one user interacts with: item j goes to split kinds[j], never a cold item to train, none twice.
  /// `seen` has an entry per item and never holds this user's number before.
  void draw_user(index_t user, const std::vector<std::uint8_t>& kinds, std::vector<index_t>& seen,
                 std::vector<index_t>& out) const {
    const std::uint64_t base = std::uint64_t{static_cast<std::uint32_t>(user)} << 32;
    const RandomStream random = stream(Step::choice);
    std::uint32_t counter = 0;
    const Latent taste = normals(Step::taste, static_cast<std::uint64_t>(user));
    std::array<std::uint64_t, 3> favourites;
    for (auto& g : favourites) g = random.below(base | counter++, static_cast<std::uint64_t>(groups_));
    out.clear();
    for (const std::uint8_t kind : kinds) {
      const auto open = [&](index_t i) {
        return seen[static_cast<std::size_t>(i)] != user && !(kind == 0 && cold_[static_cast<std::size_t>(i)]);
      };
      index_t item = -1;
      for (int attempt = 0; attempt < 16 && item < 0; ++attempt) {
        const RandomBlock b = random.block(base | counter++);
        const double u = to_unit(b.low());
        // The high half both chooses the group of a stroll and, its low bits, the item.
        const double lot = static_cast<double>(b.high() & 0xffffffffu) * 0x1p-32;
        const std::uint64_t g = u < 0.55  ? favourites[0]
                                : u < 0.8 ? favourites[1]
                                : u < 0.9 ? favourites[2]
                                          : to_below(b.high(), static_cast<std::uint64_t>(groups_));
        item = choose(random, base, counter, taste, g, lot, open);
      }
      for (int attempt = 0; attempt < 64 && item < 0; ++attempt) {  // the favourite groups are used up
        const index_t i = warm_[random.below(base | counter++, warm_.size())];
        if (open(i)) item = i;
      }
      for (std::size_t w = 0; item < 0; ++w)
        if (open(warm_[w])) item = warm_[w];
      seen[static_cast<std::size_t>(item)] = user;
      out.push_back(item);
    }
  }

  /// Number m of the modalities: a random linear map of its part of the latent vectors, and noise.
  Modality features(std::size_t m, ThreadPool& threads) const {
    const SyntheticModality& wanted = options_.modalities[m];
    Modality modality;
    modality.name = wanted.name;
    modality.rows = options_.items;
    modality.cols = wanted.cols;
    modality.values.resize(static_cast<std::size_t>(modality.rows) * static_cast<std::size_t>(modality.cols));
    modality.present.assign(static_cast<std::size_t>(modality.rows), 1);
    const std::size_t cols = static_cast<std::size_t>(wanted.cols), parts = options_.modalities.size();
    std::vector<Latent> map(cols);
    const float scale = std::sqrt(static_cast<float>(std::min<std::size_t>(parts, dim)) / dim);
    for (std::size_t j = 0; j < cols; ++j) {
      map[j] = normals(Step::map, (std::uint64_t{m} << 32) | j);
      for (std::size_t k = 0; k < dim; ++k)
        map[j][k] = k % std::min<std::size_t>(parts, dim) == m % dim ? scale * map[j][k] : 0.0f;
    }
    const RandomStream noise{options_.seed, RandomUse::synthetic,
                             static_cast<std::uint32_t>(Step::noise) + static_cast<std::uint32_t>(m)};
    const RandomStream missing = stream(Step::missing);
    const std::uint64_t blocks = (cols + 1) / 2;
    const auto draw_item = [&](std::uint64_t row) {
      if (row > 0 && missing.uniform(row * parts + m) < options_.missing_fraction) {  // item 0 keeps every modality
        modality.present[row] = 0;
        return;
      }
      float* to = modality.values.data() + row * cols;
      for (std::size_t j = 0; j < cols; ++j) {
        float sum = 0;
        for (std::size_t k = 0; k < dim; ++k) sum += map[j][k] * latent_[row][k];
        to[j] = sum;
      }
      if (options_.noise > 0)
        for (std::uint64_t b = 0; b < blocks; ++b) {
          const auto [first, second] = two_normals(noise.block(row * blocks + b));
          to[2 * b] += static_cast<float>(options_.noise * first);
          if (2 * b + 1 < cols) to[2 * b + 1] += static_cast<float>(options_.noise * second);
        }
    };
    threads.parallel_blocks(modality.rows, 256, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) draw_item(static_cast<std::uint64_t>(i));
    });
    return modality;
  }

 private:
  enum class Step : std::uint32_t {
    centre = 1,
    item,
    group,
    cold,
    rank,
    degree,
    taste,
    choice,
    map,
    missing,
    noise = 1000
  };

  RandomStream stream(Step step) const {
    return {options_.seed, RandomUse::synthetic, static_cast<std::uint32_t>(step)};
  }
  /// Both normals of a Box-Muller pair.
  static std::pair<double, double> two_normals(const RandomBlock& b) {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - to_unit(b.low())));
    const double angle = 6.283185307179586476925286766559 * to_unit(b.high());
    return {radius * std::cos(angle), radius * std::sin(angle)};
  }
  Latent normals(Step step, std::uint64_t index) const {
    const RandomStream random = stream(step);
    Latent values;
    for (std::size_t k = 0; k < dim; k += 2) {
      const auto [first, second] = two_normals(random.block(index * dim + k));
      values[k] = static_cast<float>(first);
      values[k + 1] = static_cast<float>(second);
    }
    return values;
  }
  /// A softmax choice among four items drawn from the group by popularity; -1 if none is open.
  template <class Open>
  index_t choose(const RandomStream& random, std::uint64_t base, std::uint32_t& counter, const Latent& taste,
                 std::uint64_t g, double lot, const Open& open) const {
    const std::int64_t first = members_.offsets[g], count = members_.offsets[g + 1] - first;
    std::array<index_t, 4> candidates;
    std::array<double, 4> until;  // running sums of the weights
    double sum = 0;
    for (std::size_t c = 0; c < 4; c += 2) {
      const RandomBlock b = random.block(base | counter++);
      for (std::size_t half = 0; half < 2; ++half) {
        const float u = std::pow(static_cast<float>(to_unit(half == 0 ? b.low() : b.high())), rank_exponent_);
        const std::int64_t rank = std::min(count - 1, static_cast<std::int64_t>(u * static_cast<float>(count)));
        const std::size_t place = static_cast<std::size_t>(first + rank);
        candidates[c + half] = static_cast<index_t>(members_.order[place]);
        if (open(candidates[c + half])) {
          float dot = 0;
          for (std::size_t k = 0; k < dim; ++k) dot += taste[k] * by_place_[place][k];
          sum += std::exp(std::min(dot, 80.0f));
        }
        until[c + half] = sum;
      }
    }
    for (std::size_t c = 0; c < 4; ++c)
      if (lot * sum < until[c]) return candidates[c];
    return -1;
  }

  const SyntheticOptions& options_;
  index_t groups_ = 0;
  std::vector<Latent> centres_;
  std::vector<Latent> latent_;    // by item
  std::vector<Latent> by_place_;  // the same in the order of members_: what is popular lies together
  float rank_exponent_ = 1;
  std::vector<std::uint8_t> cold_;
  std::vector<index_t> warm_;
  Grouping members_;  // items by group, most popular first
};

}  // namespace detail

}  // namespace dream
