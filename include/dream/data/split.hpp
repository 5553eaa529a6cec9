// Split rules: which interactions train, which choose hyper-parameters (valid) and which are scored once (test).
// Every rule but that by date works within each user, as RecBole and MMRec do. All return a label (number of Split) per
// interaction.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/random.hpp>
#include <dream/data/interactions.hpp>

namespace dream {

/// Where the split comes from: the file's own labels, at random, by time (the oldest train, the newest test), by
/// leaving the last two out, or by dates.
enum class SplitRule { given, random, time, last, date };

/// How many of a user's n interactions go to train, valid and test (RecBole's rule): valid and test get
/// floor(share * n), train the rest; then test and after it valid, if their share is positive but below one
/// interaction, take one from train as long as train keeps at least one.
inline std::array<std::int64_t, 3> split_sizes(std::int64_t n, const std::array<double, 3>& ratios) {
  double sum = 0;
  for (const double r : ratios) {
    DREAM_EXPECT(std::isfinite(r) && r >= 0, "split ratios must be finite and not negative, found ", r);
    sum += r;
  }
  DREAM_EXPECT(ratios[0] > 0, "the split ratio of train must be positive, found ", ratios[0]);
  std::array<std::int64_t, 3> sizes{};
  for (std::size_t s = 1; s < 3; ++s)
    sizes[s] = static_cast<std::int64_t>(ratios[s] / sum * static_cast<double>(n) + 1e-9);  // 1e-9: 0.1 * 30 is 3
  sizes[0] = n - sizes[1] - sizes[2];
  for (std::size_t s = 2; s >= 1 && sizes[0] > 1; --s)
    if (ratios[s] > 0 && sizes[s] == 0) {
      ++sizes[s];
      --sizes[0];
    }
  return sizes;
}

namespace detail {

/// Calls arrange(user, positions) for each user, which puts the user's positions in split order, and labels them by
/// sizes_of(count).
template <class Sizes, class Arrange>
std::vector<std::uint8_t> split_per_user(std::span<const index_t> user, index_t users, Sizes&& sizes_of,
                                         Arrange&& arrange) {
  Grouping groups = group_by(user, users);
  std::vector<std::uint8_t> labels(user.size(), 0);
  for (index_t u = 0; u < users; ++u) {
    const std::size_t row = static_cast<std::size_t>(u);
    const std::int64_t n = groups.offsets[row + 1] - groups.offsets[row];
    const std::span<std::int64_t> positions(groups.order.data() + groups.offsets[row], static_cast<std::size_t>(n));
    const auto sizes = sizes_of(n);
    arrange(u, positions);
    for (std::int64_t j = 0; j < n; ++j)
      labels[static_cast<std::size_t>(positions[static_cast<std::size_t>(j)])] = j < sizes[0] ? std::uint8_t{0}
                                                                                 : j < sizes[0] + sizes[1]
                                                                                     ? std::uint8_t{1}
                                                                                     : std::uint8_t{2};
  }
  return labels;
}

/// The sizes by ratios, which are checked now.
inline auto sizes_by(const std::array<double, 3>& ratios) {
  split_sizes(0, ratios);
  return [ratios](std::int64_t n) { return split_sizes(n, ratios); };
}

/// Puts positions in the order of their times, equal ones as they are.
inline auto by_time(std::span<const std::int64_t> timestamp) {
  return [timestamp](index_t, std::span<std::int64_t> positions) {
    std::stable_sort(positions.begin(), positions.end(), [&](std::int64_t a, std::int64_t b) {
      return timestamp[static_cast<std::size_t>(a)] < timestamp[static_cast<std::size_t>(b)];
    });
  };
}

}  // namespace detail

/// Shuffles each user's interactions (Fisher-Yates, keyed by seed and user row) and cuts them by split_sizes.
inline std::vector<std::uint8_t> split_random(std::span<const index_t> user, index_t users,
                                              const std::array<double, 3>& ratios, std::uint64_t seed) {
  return detail::split_per_user(user, users, detail::sizes_by(ratios),
                                [seed](index_t u, std::span<std::int64_t> positions) {
                                  const RandomStream random{seed, RandomUse::split, static_cast<std::uint32_t>(u)};
                                  for (std::size_t j = positions.size(); j > 1; --j)
                                    std::swap(positions[j - 1], positions[random.below(j, j)]);
                                });
}

/// Orders each user's interactions by timestamp (equal ones by position) and cuts them by split_sizes.
inline std::vector<std::uint8_t> split_by_time(std::span<const index_t> user, index_t users,
                                               std::span<const std::int64_t> timestamp,
                                               const std::array<double, 3>& ratios) {
  DREAM_EXPECT(timestamp.size() == user.size(), "split by time: ", timestamp.size(), " timestamps for ", user.size(),
               " interactions");
  return detail::split_per_user(user, users, detail::sizes_by(ratios), detail::by_time(timestamp));
}

/// RecBole's leave-one-out: the newest interaction of each user to test, the second newest to valid, equal times by
/// position; of two, one trains and one is test, and a single one trains.
inline std::vector<std::uint8_t> split_last(std::span<const index_t> user, index_t users,
                                            std::span<const std::int64_t> timestamp) {
  DREAM_EXPECT(timestamp.size() == user.size(), "split last: ", timestamp.size(), " timestamps for ", user.size(),
               " interactions");
  const auto sizes = [](std::int64_t n) {
    return std::array<std::int64_t, 3>{n - (n > 1) - (n > 2), std::int64_t{n > 2}, std::int64_t{n > 1}};
  };
  return detail::split_per_user(user, users, sizes, detail::by_time(timestamp));
}

/// All interactions from `test_from` on to test, the others from `valid_from` on to valid, the rest to train.
inline std::vector<std::uint8_t> split_by_date(std::span<const std::int64_t> timestamp, std::int64_t valid_from,
                                               std::int64_t test_from) {
  std::vector<std::uint8_t> labels(timestamp.size());
  for (std::size_t i = 0; i < labels.size(); ++i)
    labels[i] = timestamp[i] >= test_from    ? std::uint8_t{2}
                : timestamp[i] >= valid_from ? std::uint8_t{1}
                                             : std::uint8_t{0};
  return labels;
}

/// Moves a part of the interactions labelled train to valid, by split_random with ratios {train, valid, 0} on them.
inline void carve_valid(std::span<const index_t> user, index_t users, const std::array<double, 3>& ratios,
                        std::uint64_t seed, std::vector<std::uint8_t>& labels) {
  DREAM_EXPECT(labels.size() == user.size(), "carve_valid: ", labels.size(), " labels for ", user.size(),
               " interactions");
  std::vector<index_t> train_user;
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (labels[i] == 0) train_user.push_back(user[i]);
  const auto carved = split_random(train_user, users, {ratios[0], ratios[1], 0.0}, seed);
  std::size_t next = 0;
  for (auto& label : labels)
    if (label == 0) label = carved[next++];
}

}  // namespace dream
