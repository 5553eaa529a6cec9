// The k-core of the interactions: the largest part in which every user and every item has at least k interactions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/data/interactions.hpp>

namespace dream {

/// 1 for every user and item of the k-core, 0 for the others.
struct KCore {
  std::vector<std::uint8_t> user;
  std::vector<std::uint8_t> item;
};

/// Takes away users and items with fewer than k interactions until none is left. Time linear in the interactions.
inline KCore k_core(std::span<const index_t> user, std::span<const index_t> item, index_t users, index_t items, int k) {
  DREAM_EXPECT(user.size() == item.size(), "k_core: ", user.size(), " users for ", item.size(), " items");
  DREAM_EXPECT(k >= 0, "k_core: k must not be negative, found ", k);
  const Grouping by_user = group_by(user, users), by_item = group_by(item, items);
  // Nodes: users, then items.
  const std::size_t nodes = static_cast<std::size_t>(users) + static_cast<std::size_t>(items);
  std::vector<std::int64_t> degree(nodes);
  std::vector<std::size_t> leaving;
  std::vector<std::uint8_t> kept(nodes, 1);
  for (std::size_t n = 0; n < nodes; ++n) {
    const bool is_user = n < static_cast<std::size_t>(users);
    const auto& offsets = is_user ? by_user.offsets : by_item.offsets;
    const std::size_t row = is_user ? n : n - static_cast<std::size_t>(users);
    degree[n] = offsets[row + 1] - offsets[row];
    if (degree[n] < k) {
      kept[n] = 0;
      leaving.push_back(n);
    }
  }
  while (!leaving.empty()) {
    const std::size_t n = leaving.back();
    leaving.pop_back();
    const bool is_user = n < static_cast<std::size_t>(users);
    const Grouping& own = is_user ? by_user : by_item;
    const std::size_t row = is_user ? n : n - static_cast<std::size_t>(users);
    for (std::int64_t at = own.offsets[row]; at < own.offsets[row + 1]; ++at) {
      const std::size_t i = static_cast<std::size_t>(own.order[static_cast<std::size_t>(at)]);
      const std::size_t other = is_user ? static_cast<std::size_t>(users) + static_cast<std::size_t>(item[i])
                                        : static_cast<std::size_t>(user[i]);
      if (--degree[other] < k && kept[other]) {
        kept[other] = 0;
        leaving.push_back(other);
      }
    }
  }
  KCore core;
  core.user.assign(kept.begin(), kept.begin() + users);
  core.item.assign(kept.begin() + users, kept.end());
  return core;
}

}  // namespace dream
