// Synthetic multimodal data with planted structure: item factors drive both who interacts with what and what the
// features are, so modalities help, most of all for cold items. Time and memory linear in the interactions; every
// number is drawn by its index, so the result does not depend on the number of threads.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/random.hpp>
#include <dream/core/thread_pool.hpp>
#include <dream/data/dataset.hpp>
#include <dream/data/split.hpp>
#include <dream/data/synthetic_world.hpp>
#include <dream/data/write_dataset.hpp>

namespace dream {

namespace detail {

/// What a thread needs to draw users.
struct UserDraws {
  std::vector<index_t> seen, drawn;
  std::vector<std::uint8_t> kinds;
};

}  // namespace detail

/// Generates a data set. The same options give the same bits on any number of threads.
inline Dataset make_synthetic(const SyntheticOptions& options) {
  const auto fraction = [](double f) { return f >= 0 && f < 1; };
  DREAM_EXPECT(options.users > 0 && options.items > 0 && options.interactions > 0,
               "synthetic data: users, items and interactions must be positive, found ", options.users, ", ",
               options.items, " and ", options.interactions);
  DREAM_EXPECT(options.groups > 0 && options.noise >= 0 && std::isfinite(options.noise) && options.min_per_user >= 0,
               "synthetic data: expected groups > 0, noise >= 0 and min_per_user >= 0, found ", options.groups, ", ",
               options.noise, " and ", options.min_per_user);
  DREAM_EXPECT(fraction(options.cold_fraction) && fraction(options.missing_fraction) && fraction(options.popularity),
               "synthetic data: cold_fraction, missing_fraction and popularity must lie in [0, 1), found ",
               options.cold_fraction, ", ", options.missing_fraction, " and ", options.popularity);
  for (std::size_t m = 0; m < options.modalities.size(); ++m) {
    DREAM_EXPECT(options.modalities[m].cols > 0 && !options.modalities[m].name.empty(),
                 "synthetic data: every modality needs a name and columns");
    for (std::size_t n = 0; n < m; ++n)
      DREAM_EXPECT(options.modalities[n].name != options.modalities[m].name,
                   "synthetic data: two modalities are named '", options.modalities[m].name, "'");
  }
  const detail::SyntheticWorld world(options);
  const std::int64_t most = (std::int64_t{world.warm_items()} * 3 + 3) / 4;  // leaves something of 4 and more
  DREAM_EXPECT(options.interactions <= most * options.users, "synthetic data: ", options.interactions,
               " interactions are too many for ", options.users, " users, who take at most ", most, " of the ",
               world.warm_items(), " items that are not cold");

  const std::vector<index_t> degree = world.degrees(most);
  constexpr std::array<double, 3> ratios{0.8, 0.1, 0.1};
  std::array<std::vector<std::int64_t>, 3> offsets;
  for (auto& o : offsets) o.assign(degree.size() + 1, 0);
  for (std::size_t u = 0; u < degree.size(); ++u) {
    const auto sizes = split_sizes(degree[u], ratios);
    for (std::size_t s = 0; s < 3; ++s) offsets[s][u + 1] = offsets[s][u] + sizes[s];
  }

  Dataset data;
  data.name = "synthetic";
  data.users.count = options.users;
  data.items.count = options.items;
  const std::array<Pairs*, 3> pairs{&data.train, &data.valid, &data.test};
  for (std::size_t s = 0; s < 3; ++s) {
    pairs[s]->user.resize(static_cast<std::size_t>(offsets[s].back()));
    pairs[s]->item.resize(pairs[s]->user.size());
  }
  ThreadPool threads(options.threads);
  std::vector<detail::UserDraws> draws(static_cast<std::size_t>(threads.threads()));
  const auto draw_user = [&](index_t u, detail::UserDraws& own) {
    if (own.seen.empty()) own.seen.assign(static_cast<std::size_t>(options.items), -1);
    const std::size_t row = static_cast<std::size_t>(u);
    std::vector<std::uint8_t>& kinds = own.kinds;
    kinds.clear();
    std::array<std::size_t, 3> next;
    for (std::size_t s = 0; s < 3; ++s) {
      next[s] = static_cast<std::size_t>(offsets[s][row]);
      kinds.insert(kinds.end(), static_cast<std::size_t>(offsets[s][row + 1]) - next[s], static_cast<std::uint8_t>(s));
    }
    // Mixed, so that train does not get first pick.
    const RandomStream mix{options.seed, RandomUse::split, static_cast<std::uint32_t>(u)};
    for (std::size_t j = kinds.size(); j > 1; --j) std::swap(kinds[j - 1], kinds[mix.below(j, j)]);
    world.draw_user(u, kinds, own.seen, own.drawn);
    for (std::size_t j = 0; j < own.drawn.size(); ++j) {
      const std::size_t at = next[kinds[j]]++;
      pairs[kinds[j]]->user[at] = u;
      pairs[kinds[j]]->item[at] = own.drawn[j];
    }
  };
  threads.parallel_blocks(options.users, 256, [&](std::int64_t begin, std::int64_t end) {
    detail::UserDraws& own = draws[static_cast<std::size_t>(threads.thread_number())];
    for (std::int64_t u = begin; u < end; ++u) draw_user(static_cast<index_t>(u), own);
  });
  for (std::size_t m = 0; m < options.modalities.size(); ++m) data.modalities.push_back(world.features(m, threads));
  std::sort(data.modalities.begin(), data.modalities.end(),  // as read_dataset gives them
            [](const Modality& a, const Modality& b) { return a.name < b.name; });
  return data;
}

}  // namespace dream
