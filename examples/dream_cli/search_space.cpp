#include "search_space.hpp"

#include <algorithm>

#include <dream/core/random.hpp>

namespace dream_cli {

void SearchSpace::add(const Given& given) {
  const auto fits = [&](const nlohmann::json& value) {
    Settings tried = settings;
    try {
      apply(tried, {given.key, value, given.place});
      return true;
    } catch (const dream::error&) {
      return false;
    }
  };
  const bool is_list = given.value.is_array() && !given.value.empty() && !fits(given.value);
  if (!is_list) {
    apply(settings, given);
    return;
  }
  Dimension dimension{own_name(given.key), {}};
  for (const nlohmann::json& value : given.value) {
    Settings tried = settings;
    apply(tried, {given.key, value, given.place});  // the error of the value that does not fit
    DREAM_EXPECT(std::find(dimension.values.begin(), dimension.values.end(), value) == dimension.values.end(),
                 given.place, ": ", given.key, " has the value ", value.dump(), " twice");
    dimension.values.push_back(value);
  }
  DREAM_EXPECT(dimension.key != "seed" && dimension.key != "topk" && dimension.key != "valid_metric", given.place, ": ",
               given.key, " is not searched over: trials could not be compared");
  const auto same = std::find_if(dimensions.begin(), dimensions.end(),
                                 [&](const Dimension& other) { return other.key == dimension.key; });
  if (same != dimensions.end()) dimensions.erase(same);
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

std::vector<std::int64_t> chosen_trials(std::int64_t size, std::int64_t count, std::uint64_t seed) {
  std::vector<std::int64_t> numbers;
  const dream::RandomStream random{seed, dream::RandomUse::user};
  for (std::int64_t n = 0; n < std::min(count, size); ++n) {
    std::int64_t number = n;
    if (count < size) {
      // Floyd's way: of the first size - count + n + 1 numbers one at random, or the last where that one is taken.
      const std::int64_t last = size - count + n;
      number =
          static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(n), static_cast<std::uint64_t>(last) + 1));
      if (std::find(numbers.begin(), numbers.end(), number) != numbers.end()) number = last;
    }
    numbers.push_back(number);
  }
  return numbers;
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
