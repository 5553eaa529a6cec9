#include "search_space.hpp"

#include <algorithm>
#include <iterator>
#include <set>

#include <dream/core/random.hpp>

namespace dream_cli {

namespace {

/// Keys that trials must share to be compared: what is measured, on which data, and by which arithmetic.
const std::vector<std::string>& shared_keys() {
  static const std::vector<std::string> all{"seed",
                                            "topk",
                                            "valid_metric",
                                            "mask_valid_in_test",
                                            "split",
                                            "ids",
                                            "split_ratio",
                                            "split_seed",
                                            "modalities",
                                            "k_core",
                                            "merge_duplicates",
                                            "backend",
                                            "user_column",
                                            "item_column",
                                            "rating_column",
                                            "time_column",
                                            "field_separator",
                                            "min_rating",
                                            "valid_from",
                                            "test_from"};
  return all;
}

bool fits(const Settings& settings, const Given& given) {
  Settings tried = settings;
  try {
    apply(tried, given);
    return true;
  } catch (const dream::error&) {
    return false;
  }
}

void forget(std::vector<Dimension>& dimensions, const std::string& key) {
  const auto same =
      std::find_if(dimensions.begin(), dimensions.end(), [&](const Dimension& other) { return other.key == key; });
  if (same != dimensions.end()) dimensions.erase(same);
}

}  // namespace

void SearchSpace::add(const Given& given) {
  if (given.value.is_array() && !given.value.empty() && !fits(settings, given)) {
    add_dimension(given);
    return;
  }
  apply(settings, given);
  forget(dimensions, own_name(given.key));
}

void SearchSpace::add_dimension(const Given& given) {
  Dimension dimension{own_name(given.key), {}};
  const bool one = !given.value.is_array() || given.value.empty() || fits(settings, given);
  for (const nlohmann::json& value : one ? nlohmann::json::array({given.value}) : given.value) {
    Settings tried = settings;
    apply(tried, {given.key, value, given.place});  // the error of the value that does not fit
    DREAM_EXPECT(std::find(dimension.values.begin(), dimension.values.end(), value) == dimension.values.end(),
                 given.place, ": ", given.key, " has the value ", value.dump(), " twice");
    dimension.values.push_back(value);
  }
  const auto& shared = shared_keys();
  DREAM_EXPECT(std::find(shared.begin(), shared.end(), dimension.key) == shared.end(), given.place, ": ", given.key,
               " is not searched over: trials could not be compared");
  forget(dimensions, dimension.key);
  dimensions.push_back(std::move(dimension));
}

std::int64_t SearchSpace::size() const {
  std::int64_t product = 1;
  for (const Dimension& d : dimensions) {
    const std::int64_t count = static_cast<std::int64_t>(d.values.size());
    DREAM_EXPECT(product <= largest_whole / count, "the search has more than ", largest_whole, " combinations");
    product *= count;
  }
  return product;
}

Assignment SearchSpace::at(std::int64_t number) const {
  Assignment values(dimensions.size());
  for (std::size_t d = dimensions.size(); d-- > 0;) {
    const std::int64_t count = static_cast<std::int64_t>(dimensions[d].values.size());
    values[d] = {dimensions[d].key, dimensions[d].values[static_cast<std::size_t>(number % count)]};
    number /= count;
  }
  return values;
}

std::vector<std::int64_t> drawn_trials(std::int64_t size, std::int64_t count, std::uint64_t seed) {
  std::vector<std::int64_t> numbers;
  std::set<std::int64_t> taken;
  const dream::RandomStream random{seed, dream::RandomUse::user};
  const std::int64_t wanted = std::min(count, size);
  for (std::uint64_t draw = 0; static_cast<std::int64_t>(numbers.size()) < wanted; ++draw) {
    const auto number = static_cast<std::int64_t>(random.below(draw, static_cast<std::uint64_t>(size)));
    if (taken.insert(number).second) numbers.push_back(number);
  }
  return numbers;
}

bool take_order(SearchSpace& space, const nlohmann::ordered_json& keys) {
  if (nlohmann::json(keys) != nlohmann::json(dimensions_json(space))) return false;
  const auto place = [&](const Dimension& d) { return std::distance(keys.begin(), keys.find(d.key)); };
  std::sort(space.dimensions.begin(), space.dimensions.end(),
            [&](const Dimension& a, const Dimension& b) { return place(a) < place(b); });
  return true;
}

nlohmann::ordered_json dimensions_json(const SearchSpace& space) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const Dimension& d : space.dimensions) json[d.key] = d.values;
  return json;
}

Settings with(Settings settings, const Assignment& values) {
  for (const auto& [key, value] : values) apply(settings, {key, value, key});
  return settings;
}

std::string assignment_text(const Assignment& values) {
  std::string text;
  for (const auto& [key, value] : values)
    text += (text.empty() ? "" : " ") + key + "=" + (value.is_string() ? value.get<std::string>() : value.dump());
  return text;
}

nlohmann::ordered_json assignment_json(const Assignment& values) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [key, value] : values) json[key] = value;
  return json;
}

}  // namespace dream_cli
