#include <dream/data/interactions.hpp>

#include <map>

#include <dream/core/random.hpp>

#include "support/catch.hpp"

namespace dream_tests::data_interactions {

using dream::index_t;

TEST_CASE("positions are grouped by key in ascending order, empty groups included") {
  const std::vector<index_t> keys{2, 0, 2, 3, 0};
  const auto groups = dream::group_by(keys, 5);
  REQUIRE(groups.offsets == std::vector<std::int64_t>{0, 2, 2, 4, 5, 5});
  REQUIRE(groups.order == std::vector<std::int64_t>{1, 4, 0, 2, 3});
  REQUIRE(dream::group_by({}, 0).offsets == std::vector<std::int64_t>{0});
  REQUIRE_ERROR(dream::group_by(keys, 3), "key 3");
}

TEST_CASE("duplicates are found as a map finds them, and the earliest repetition is reported") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const dream::RandomStream random{seed};
    dream::Interactions data;
    data.users.count = 9;
    data.items.count = 11;
    for (std::uint64_t i = 0; i < 60; ++i) {
      data.user.push_back(static_cast<index_t>(random.below(2 * i, 9)));
      data.item.push_back(static_cast<index_t>(random.below(2 * i + 1, 11)));
      data.timestamp.push_back(static_cast<std::int64_t>(i));
    }
    std::map<std::pair<index_t, index_t>, std::int64_t> first;
    std::vector<std::uint8_t> expected;
    std::int64_t earliest = -1, of = -1;
    for (std::int64_t i = 0; i < 60; ++i) {
      const auto [entry, added] = first.emplace(std::pair{data.user[i], data.item[i]}, i);
      expected.push_back(added);
      if (!added && earliest < 0) {
        earliest = i;
        of = entry->second;
      }
    }
    std::vector<std::uint8_t> keep;
    const auto found = dream::find_duplicates(data, keep);
    REQUIRE(keep == expected);
    REQUIRE(found.has_value());
    REQUIRE(found->second == earliest);
    REQUIRE(found->first == of);
    data.filter(keep);
    REQUIRE(data.size() == static_cast<std::int64_t>(first.size()));
    for (std::size_t i = 0; i < data.user.size(); ++i)
      REQUIRE(first.at({data.user[i], data.item[i]}) == data.timestamp[i]);
    REQUIRE(data.label.empty());
    REQUIRE_FALSE(dream::find_duplicates(data, keep).has_value());
  }
}

}  // namespace dream_tests::data_interactions
