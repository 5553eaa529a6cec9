#include <dream/data/fingerprint.hpp>

#include <functional>
#include <set>

#include "support/catch.hpp"

namespace dream_tests::data_fingerprint {

TEST_CASE("every part of a data set changes its fingerprint, its name and notes do not") {
  dream::Dataset base;
  base.users.count = 3;
  base.items.count = 2;
  base.train = {{0, 1, 2}, {1, 0, 1}, {}};
  base.valid = {{0}, {0}, {}};
  base.modalities.push_back({"text", 2, 2, {1, 2, 3, 4}, {1, 1}});
  const std::uint64_t original = dream::fingerprint(base);

  dream::Dataset renamed = base;
  renamed.name = "other";
  renamed.notes = {"x"};
  REQUIRE(dream::fingerprint(renamed) == original);

  const std::vector<std::function<void(dream::Dataset&)>> changes{
      [](auto& d) { d.users.count = 4; },
      [](auto& d) { d.items.count = 3; },
      [](auto& d) {
        d.users.names = {"a", "b", "c"};
      },
      [](auto& d) {
        d.users.names = {"ab", "", "c"};
      },
      [](auto& d) {
        d.items.names = {"0", "1"};
      },
      [](auto& d) { d.train.item[2] = 0; },
      [](auto& d) { std::swap(d.train.user[0], d.train.user[1]); },
      [](auto& d) {
        d.train.timestamp = {1, 2, 3};
      },
      [](auto& d) { std::swap(d.valid, d.test); },
      [](auto& d) {
        d.train = {{0, 1}, {1, 0}, {}}, d.valid = {{2, 0}, {1, 0}, {}};
      },
      [](auto& d) { d.modalities[0].name = "image"; },
      [](auto& d) { d.modalities[0].values[3] = 5; },
      [](auto& d) { d.modalities[0].rows = 1, d.modalities[0].cols = 4; },
      [](auto& d) { d.modalities[0].present[1] = 0; },
      [](auto& d) { d.modalities.push_back(d.modalities[0]); },
      [](auto& d) { d.modalities.clear(); },
  };
  std::set<std::uint64_t> seen{original};
  for (std::size_t c = 0; c < changes.size(); ++c) {
    dream::Dataset changed = base;
    changes[c](changed);
    INFO("change " << c);
    REQUIRE(seen.insert(dream::fingerprint(changed)).second);
  }
}

}  // namespace dream_tests::data_fingerprint
