#include <dream/data/k_core.hpp>

#include <dream/core/random.hpp>

#include "support/catch.hpp"

namespace dream_tests::data_k_core {

using dream::index_t;
using Flags = std::vector<std::uint8_t>;

TEST_CASE("removal goes on until every user and item that is left has k interactions") {
  // A chain u0-i0-u1-i1-u2 falls apart from its ends at k = 2; the square u3,u4 x i2,i3 stays.
  const std::vector<index_t> user{0, 1, 1, 2, 3, 3, 4, 4}, item{0, 0, 1, 1, 2, 3, 2, 3};
  const auto core = dream::k_core(user, item, 6, 5, 2);
  REQUIRE(core.user == Flags{0, 0, 0, 1, 1, 0});
  REQUIRE(core.item == Flags{0, 0, 1, 1, 0});
  const auto all = dream::k_core(user, item, 6, 5, 0);
  REQUIRE(all.user == Flags(6, 1));
  const auto used = dream::k_core(user, item, 6, 5, 1);
  REQUIRE(used.user == Flags{1, 1, 1, 1, 1, 0});
  REQUIRE(dream::k_core(user, item, 6, 5, 3).item == Flags(5, 0));
  REQUIRE(dream::k_core({}, {}, 0, 0, 5).user.empty());
  REQUIRE_ERROR(dream::k_core(user, item, 6, 5, -1), "must not be negative");
}

TEST_CASE("the k-core equals repeated passes over everything") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const dream::RandomStream random{seed};
    std::vector<index_t> user, item;
    for (std::uint64_t i = 0; i < 600; ++i) {
      user.push_back(static_cast<index_t>(random.below(2 * i, 100)));
      item.push_back(static_cast<index_t>(random.below(2 * i + 1, 150)));
    }
    for (int k : {2, 4, 5, 6}) {
      Flags users(100, 1), items(150, 1);
      for (bool changed = true; changed;) {
        changed = false;
        std::vector<int> of_user(100, 0), of_item(150, 0);
        for (std::size_t i = 0; i < user.size(); ++i)
          if (users[user[i]] && items[item[i]]) ++of_user[user[i]], ++of_item[item[i]];
        for (std::size_t u = 0; u < 100; ++u)
          if (users[u] && of_user[u] < k) users[u] = 0, changed = true;
        for (std::size_t i = 0; i < 150; ++i)
          if (items[i] && of_item[i] < k) items[i] = 0, changed = true;
      }
      const auto core = dream::k_core(user, item, 100, 150, k);
      REQUIRE(core.user == users);
      REQUIRE(core.item == items);
    }
  }
}

}  // namespace dream_tests::data_k_core
