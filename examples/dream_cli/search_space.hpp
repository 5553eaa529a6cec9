// What a search tries: settings of which some keys have a list of values.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "settings.hpp"

namespace dream_cli {

/// A key and the values it takes.
struct Dimension {
  std::string key;
  std::vector<nlohmann::json> values;
};

/// Values of some keys, by key.
using Assignment = std::vector<std::pair<std::string, nlohmann::json>>;

struct SearchSpace {
  Settings settings;  ///< of all trials
  std::vector<Dimension> dimensions;

  /// Takes a key with one value into the settings, and one with a list where one value is expected as a dimension;
  /// either takes the place of what was given for that key before. A value that does not fit is an error that names its
  /// place.
  void add(const Given& given);
  /// The same for a key that is searched over in any case: one value counts as a list of one.
  void add_dimension(const Given& given);

  /// How many combinations there are.
  std::int64_t size() const;
  /// The combination of that number; the last key varies fastest.
  Assignment at(std::int64_t number) const;
};

/// `count` different numbers below `size`, drawn at random; those of a larger count begin with those of a smaller one.
std::vector<std::int64_t> drawn_trials(std::int64_t size, std::int64_t count, std::uint64_t seed);

/// Takes the keys into the order that they have in an object of keys and lists; false where those are not the same keys
/// with the same values.
bool take_order(SearchSpace& space, const nlohmann::ordered_json& keys);
/// {"reg_weight": [0.1, 1], ..}.
nlohmann::ordered_json dimensions_json(const SearchSpace& space);

/// Settings with these values; they have been checked by SearchSpace::add.
Settings with(Settings settings, const Assignment& values);

/// "reg_weight=0.1 n_ui_layers=2".
std::string assignment_text(const Assignment& values);
nlohmann::ordered_json assignment_json(const Assignment& values);

}  // namespace dream_cli
