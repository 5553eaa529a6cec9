// Interactions as they stand in files, before they are split: one after another, in file order.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/view.hpp>
#include <dream/data/dataset.hpp>

namespace dream {

/// Interactions in file order. `timestamp`, `rating`, `weight` and `label` (numbers of Split) are empty or as long as
/// the rest.
struct Interactions {
  IdMap users;
  IdMap items;
  std::vector<index_t> user;
  std::vector<index_t> item;
  std::vector<std::int64_t> timestamp;
  std::vector<double> rating;
  std::vector<float> weight;
  std::vector<std::uint8_t> label;
  std::int64_t valid_from = 0;  ///< of a split by date, as the timestamps are
  std::int64_t test_from = 0;

  std::int64_t size() const { return static_cast<std::int64_t>(user.size()); }

  /// Keeps the interactions i with keep[i] != 0, in order.
  void filter(std::span<const std::uint8_t> keep) {
    DREAM_EXPECT(keep.size() == user.size(), "filter: ", keep.size(), " flags for ", user.size(), " interactions");
    const auto pick = [&](auto& values) {
      if (values.empty()) return;
      std::size_t out = 0;
      for (std::size_t i = 0; i < keep.size(); ++i)
        if (keep[i]) values[out++] = values[i];
      values.resize(out);
    };
    pick(user);
    pick(item);
    pick(timestamp);
    pick(rating);
    pick(weight);
    pick(label);
  }
};

/// Positions 0 .. keys.size()-1 grouped by key: those of key k are order[offsets[k]] .. order[offsets[k+1]-1],
/// ascending.
struct Grouping {
  std::vector<std::int64_t> offsets;
  std::vector<std::int64_t> order;
};

/// Groups positions by key in two passes; keys must lie in 0 .. count-1.
inline Grouping group_by(std::span<const index_t> keys, index_t count) {
  Grouping groups;
  groups.offsets.assign(static_cast<std::size_t>(count) + 1, 0);
  for (const index_t key : keys) {
    DREAM_EXPECT(key >= 0 && key < count, "group_by: key ", key, ", expected 0 .. ", count - 1);
    ++groups.offsets[static_cast<std::size_t>(key) + 1];
  }
  for (std::size_t k = 1; k < groups.offsets.size(); ++k) groups.offsets[k] += groups.offsets[k - 1];
  groups.order.resize(keys.size());
  std::vector<std::int64_t> next(groups.offsets.begin(), groups.offsets.end() - 1);
  for (std::size_t i = 0; i < keys.size(); ++i)
    groups.order[static_cast<std::size_t>(next[static_cast<std::size_t>(keys[i])]++)] = static_cast<std::int64_t>(i);
  return groups;
}

/// A pair that occurs at two positions, the second being the earliest repetition.
struct Repetition {
  std::int64_t first = 0;
  std::int64_t second = 0;
};

/// Flags every interaction whose pair occurred before with keep 0, and returns the earliest one, if any.
inline std::optional<Repetition> find_duplicates(const Interactions& data, std::vector<std::uint8_t>& keep) {
  keep.assign(data.user.size(), 1);
  const Grouping groups = group_by(data.user, data.users.count);
  // Per item, the last user seen with it and where: no sorting and no hashing.
  std::vector<index_t> last_user(static_cast<std::size_t>(data.items.count), -1);
  std::vector<std::int64_t> last_place(static_cast<std::size_t>(data.items.count), 0);
  std::optional<Repetition> earliest;
  for (index_t u = 0; u < data.users.count; ++u) {
    const std::size_t row = static_cast<std::size_t>(u);
    for (std::int64_t at = groups.offsets[row]; at < groups.offsets[row + 1]; ++at) {
      const std::int64_t i = groups.order[static_cast<std::size_t>(at)];
      const std::size_t item = static_cast<std::size_t>(data.item[static_cast<std::size_t>(i)]);
      if (last_user[item] == u) {
        keep[static_cast<std::size_t>(i)] = 0;
        if (!earliest || i < earliest->second) earliest = Repetition{last_place[item], i};
      } else {
        last_user[item] = u;
        last_place[item] = i;
      }
    }
  }
  return earliest;
}

}  // namespace dream
