// One function for each kind of value that a key may take: its bounds, how it is read and what is said where it does
// not fit.
#pragma once

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <dream/train/json_text.hpp>

#include "settings.hpp"

namespace dream_cli::key_makers {

using nlohmann::json;

inline std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// The bounds of a number, and how they read.
struct Range {
  double low;
  double high = std::numeric_limits<double>::infinity();
  bool open = false;  ///< low itself is outside

  bool holds(double v) const { return (open ? v > low : v >= low) && v <= high; }
  std::string text() const {
    if (std::isfinite(high)) return (open ? "> " : ">= ") + bound(low) + " and <= " + bound(high);
    return (open ? "> " : ">= ") + bound(low);
  }
  static std::string bound(double v) {
    return v == std::floor(v) && std::abs(v) < 1e16 ? std::to_string(static_cast<std::int64_t>(v)) : json(v).dump();
  }
};

constexpr double largest_index = 2147483647.0;

/// A whole number, also when written 1e3 or 20.0.
inline bool whole(const json& value, std::int64_t& out) {
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > 9223372036854775807u) return false;
  if (value.is_number_integer()) {
    out = value.get<std::int64_t>();
    return true;
  }
  if (!value.is_number_float()) return false;
  const double v = value.get<double>();
  if (v != std::floor(v) || std::abs(v) > static_cast<double>(largest_whole)) return false;
  out = static_cast<std::int64_t>(v);
  return true;
}

/// A text as a number, truth value or quoted text of JSON; is_discarded() where it is none.
inline json plain_value(const std::string& text) {
  if (text.find_first_of("[{") != std::string::npos) return json(json::value_t::discarded);
  return dream::parse_json(text, text);
}

/// A list, also when written as one value or as text with commas.
inline json as_list(const json& value) {
  if (value.is_array()) return value;
  json list = json::array();
  if (!value.is_string()) {
    list.push_back(value);
    return list;
  }
  const std::string text = value.get<std::string>();
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    json piece = plain_value(text.substr(begin, end - begin));
    list.push_back(piece.is_discarded() ? json(text.substr(begin, end - begin)) : piece);
    begin = end + 1;
  }
  return list;
}

template <class Field>
Key number(std::string name, std::string help, Field field, Range range) {
  std::string expected = "a number " + range.text();
  return {std::move(name), expected, std::move(help),
          [field](const Settings& s) { return json(static_cast<double>(field(s))); },
          [field, range, expected](Settings& s, const json& v) -> std::string {
            if (!v.is_number() || !range.holds(v.get<double>())) return expected;
            field(s) = static_cast<std::remove_reference_t<decltype(field(s))>>(v.get<double>());
            return "";
          }};
}

template <class Field>
Key integer(std::string name, std::string help, Field field, Range range) {
  range.high = std::min(range.high, static_cast<double>(largest_whole));
  std::string expected = "a whole number " + range.text();
  return {std::move(name), expected, std::move(help), [field](const Settings& s) { return json(field(s)); },
          [field, range, expected](Settings& s, const json& v) -> std::string {
            std::int64_t n = 0;
            if (!whole(v, n) || !range.holds(static_cast<double>(n))) return expected;
            field(s) = static_cast<std::remove_reference_t<decltype(field(s))>>(n);
            return "";
          }};
}

template <class Field>
Key flag(std::string name, std::string help, Field field) {
  return {std::move(name), "true | false", std::move(help),
          [field](const Settings& s) { return json(static_cast<bool>(field(s))); },
          [field](Settings& s, const json& v) -> std::string {
            const std::string word = v.is_string() ? lower(v.get<std::string>()) : "";
            if (v.is_boolean()) {
              field(s) = v.get<bool>();
            } else if (word == "yes" || word == "on") {
              field(s) = true;
            } else if (word == "no" || word == "off") {
              field(s) = false;
            } else {
              return "true or false";
            }
            return "";
          }};
}

template <class Enum, class Field>
Key choice(std::string name, std::string help, Field field, std::vector<std::pair<std::string, Enum>> words) {
  std::string values;
  for (const auto& w : words) values += (values.empty() ? "" : " | ") + w.first;
  return {std::move(name), values, std::move(help),
          [field, words](const Settings& s) {
            for (const auto& w : words) {
              if (w.second == field(s)) return json(w.first);
            }
            return json();
          },
          [field, words, values](Settings& s, const json& v) -> std::string {
            std::string word = v.is_string() ? lower(v.get<std::string>()) : v.is_null() ? "none" : "";
            if (v == json(false)) word = "none";
            for (const auto& w : words) {
              if (w.first == word) {
                field(s) = w.second;
                return "";
              }
            }
            return "one of " + values;
          }};
}

template <class T, class U>
void assign(std::vector<U>& to, const std::vector<T>& from) {
  to.assign(from.begin(), from.end());
}
template <class T, class Fixed>
void assign(Fixed& to, const std::vector<T>& from) {
  std::copy(from.begin(), from.end(), to.begin());
}

template <class T, class Field>
Key numbers(std::string name, std::string help, std::string expected, Field field,
            std::function<bool(const std::vector<T>&)> fits) {
  return {std::move(name), expected, std::move(help),
          [field](const Settings& s) {
            json list = json::array();
            for (const auto& v : field(s)) list.push_back(v);
            return list;
          },
          [field, fits, expected](Settings& s, const json& given) -> std::string {
            std::vector<T> list;
            for (const json& v : as_list(given)) {
              std::int64_t n = 0;
              if (!v.is_number() ||
                  (std::is_integral_v<T> && (!whole(v, n) || std::abs(static_cast<double>(n)) > largest_index)))
                return expected;
              list.push_back(v.get<T>());
            }
            if (!fits(list)) return expected;
            assign(field(s), list);
            return "";
          }};
}

template <class Field>
Key names(std::string name, std::string help, Field field) {
  return {std::move(name), "a list of names", std::move(help), [field](const Settings& s) { return json(field(s)); },
          [field](Settings& s, const json& given) -> std::string {
            std::vector<std::string> list;
            for (const json& v : as_list(given)) {
              if (!v.is_string() || v.get<std::string>().empty()) return "a list of names";
              list.push_back(v.get<std::string>());
            }
            field(s) = list;
            return "";
          }};
}

/// A text, also when written as a number; `fits` says what was expected where it does not fit.
template <class Field>
Key text(std::string name, std::string values, std::string help, Field field,
         const std::function<std::string(const std::string&)>& fits) {
  return {std::move(name), std::move(values), std::move(help), [field](const Settings& s) { return json(field(s)); },
          [field, fits](Settings& s, const json& v) -> std::string {
            if (!v.is_string() && !v.is_number() && !v.is_null()) return "a text";
            const std::string given = v.is_string() ? v.get<std::string>() : v.is_null() ? "" : v.dump();
            std::string expected = fits(given);
            if (expected.empty()) field(s) = given;
            return expected;
          }};
}

/// A weight that several models have: fields(settings) lists them by the model's name. Given, it is set in all; read,
/// it is that of the present model, or of the first one where the present one has none.
template <class Fields>
Key weight_of_models(std::string name, std::string help, Fields fields) {
  const Range range{0};
  std::string expected = "a number " + range.text();
  return {std::move(name), expected, std::move(help),
          [fields](const Settings& s) {
            const auto all = fields(s);
            for (const auto& [model, field] : all)
              if (s.model_name == model) return json(*field);
            return json(*all.front().second);
          },
          [fields, range, expected](Settings& s, const json& v) -> std::string {
            if (!v.is_number() || !range.holds(v.get<double>())) return expected;
            for (const auto& [model, field] : fields(s)) *field = v.get<double>();
            return "";
          }};
}

}  // namespace dream_cli::key_makers
