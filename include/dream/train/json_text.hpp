// JSON from outside, parsed in time linear in its length, and never so deeply nested that walking through it takes the
// stack.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <dream/core/error.hpp>
#include <nlohmann/json.hpp>

namespace dream {

/// Levels of lists and objects in each other that a JSON text may have.
inline constexpr std::size_t json_levels = 64;
/// Keys that an object may have where their order is kept: nlohmann::ordered_json looks through all at every new one.
inline constexpr std::size_t ordered_json_keys = 4096;

/// A key in a JSON text.
struct JsonKey {
  std::size_t level;   ///< of its object, 1 for the outermost
  std::size_t object;  ///< the number of its object, by their opening brackets
  int line;
  std::string_view quoted;  ///< as the text has it

  std::string name() const { return nlohmann::json::parse(quoted).get<std::string>(); }
};

/// Why a text could not be parsed, and where.
struct JsonFault {
  std::size_t byte = 0;
  int line = 1;
  const char* reason = "";
};

/// Calls f(key) for every key of a JSON text, in its order; a JsonKey's name() needs a text that could be parsed.
/// More levels or more keys in an object are an error with the place.
template <class F>
void for_json_keys(std::string_view text, const std::string& place, std::size_t most_keys, F&& f) {
  struct Level {
    std::size_t object, keys;
    bool key_next;
  };
  std::vector<Level> levels;
  std::size_t objects = 0;
  int line = 1;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') ++line;
    if (c == '{' || c == '[') {
      if (levels.size() == json_levels) fail(place, ": byte ", i, ": JSON nested deeper than ", json_levels, " levels");
      levels.push_back({objects++, 0, c == '{'});
    } else if ((c == '}' || c == ']') && !levels.empty()) {
      levels.pop_back();
    } else if (c == ',' && !levels.empty()) {
      levels.back().key_next = levels.back().keys > 0;
    } else if (c == '"') {
      const std::size_t begin = i;
      while (++i < text.size() && text[i] != '"') i += text[i] == '\\';
      if (levels.empty() || !levels.back().key_next) continue;
      levels.back().key_next = false;
      if (++levels.back().keys > most_keys)
        fail(place, ": byte ", begin, ": an object with more than ", most_keys, " keys");
      f(JsonKey{levels.size(), levels.back().object, line, text.substr(begin, i + 1 - begin)});
    }
  }
}
template <class F>
void for_json_keys(std::string_view text, const std::string& place, F&& f) {
  for_json_keys(text, place, std::numeric_limits<std::size_t>::max(), f);
}

/// The value of a JSON text; one that is_discarded() where it has none, with the fault. What is nested too deeply is an
/// error with the place, and so is an ordered object with too many keys.
template <class Json = nlohmann::json>
Json parse_json(std::string_view text, const std::string& place, JsonFault* fault = nullptr) {
  constexpr bool ordered = std::is_same_v<Json, nlohmann::ordered_json>;
  for_json_keys(text, place, ordered ? ordered_json_keys : std::numeric_limits<std::size_t>::max(),
                [](const JsonKey&) {});
  JsonFault found;
  // Without a callback: with one, nlohmann::json looks through a list whenever an object in it ends.
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const typename Json::parse_error& error) {
    found = {error.byte > 0 ? error.byte - 1 : 0, 1, "not JSON"};
  } catch (const typename Json::exception& error) {  // its message has the number in quotes
    const std::string_view message = error.what();
    const std::size_t open = message.find('\''), close = message.rfind('\'');
    const std::size_t at = open < close ? text.find(message.substr(open + 1, close - open - 1)) : 0;
    found = {at == std::string_view::npos ? 0 : at, 1, "a number is too large"};
  }
  found.byte = std::min(found.byte, text.size());
  found.line +=
      static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(found.byte), '\n'));
  if (fault != nullptr) *fault = found;
  return Json(Json::value_t::discarded);
}

}  // namespace dream
