// A value of a JSON file that can say where it is: reading what others may have changed.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/train/json_text.hpp>

namespace dream_cli {

/// A JSON text, where it is from ("FILE" or "FILE:LINE"), and what to do where it is not what it should be.
struct JsonSource {
  nlohmann::ordered_json json;
  std::string place;
  std::string remedy;
};

/// What `read` returns; its errors get the remedy behind them.
template <class Read>
auto or_remedy(const std::string& remedy, Read&& read) {
  try {
    return read();
  } catch (const dream::error& error) {
    dream::fail(error.what(), "; ", remedy);
  }
}

/// An object out of a text; anything else is an error with the place and the remedy.
inline JsonSource parse_object(const std::string& text, const std::string& place, const std::string& remedy) {
  JsonSource source{or_remedy(remedy, [&] { return dream::parse_json<nlohmann::ordered_json>(text, place); }), place,
                    remedy};
  DREAM_EXPECT(source.json.is_object(), source.place, ": not a JSON object; ", source.remedy);
  return source;
}

/// The same out of a file.
inline JsonSource read_object(const std::string& path, const std::string& remedy) {
  return parse_object(dream::read_file(path), path, remedy);
}

/// Looks at a value of a source, which must outlive it.
class JsonNode {
 public:
  explicit JsonNode(const JsonSource& source) : JsonNode(source.json, source, "") {}

  const nlohmann::ordered_json& json() const { return *value_; }

  /// The member of an object; missing or null is an error.
  JsonNode at(const std::string& key) const {
    const std::optional<JsonNode> found = find(key);
    if (!found) dream::fail(source_->place, ": ", under(key), " is missing; ", source_->remedy);
    return *found;
  }

  /// The member of an object; none where it is missing or null.
  std::optional<JsonNode> find(const std::string& key) const {
    expect(value_->is_object(), "an object");
    const auto member = value_->find(key);
    if (member == value_->end() || member->is_null()) return std::nullopt;
    return JsonNode(*member, *source_, under(key));
  }

  std::string text() const {
    expect(value_->is_string(), "a text");
    return value_->get<std::string>();
  }
  bool truth() const {
    expect(value_->is_boolean(), "true or false");
    return value_->get<bool>();
  }
  double number() const {
    expect(value_->is_number(), "a number");
    return value_->get<double>();
  }
  /// A whole number that is not negative.
  std::int64_t count() const {
    const bool whole =
        value_->is_number_integer() && (value_->is_number_unsigned() || value_->get<std::int64_t>() >= 0);
    expect(whole && value_->get<std::uint64_t>() <= std::uint64_t{INT64_MAX}, "a whole number");
    return value_->get<std::int64_t>();
  }
  std::vector<JsonNode> list() const {
    expect(value_->is_array(), "a list");
    std::vector<JsonNode> nodes;
    for (std::size_t i = 0; i < value_->size(); ++i)
      nodes.push_back(JsonNode((*value_)[i], *source_, path_ + "[" + std::to_string(i) + "]"));
    return nodes;
  }
  /// Keys and values of an object, in the file's order; null values are left out.
  std::vector<std::pair<std::string, JsonNode>> members() const {
    expect(value_->is_object(), "an object");
    std::vector<std::pair<std::string, JsonNode>> found;
    for (const auto& [key, value] : value_->items())
      if (!value.is_null()) found.emplace_back(key, JsonNode(value, *source_, under(key)));
    return found;
  }

  /// Fails with what the value should have been.
  void expect(bool condition, const std::string& what) const {
    if (!condition)
      dream::fail(source_->place, ": ", path_.empty() ? "the file" : path_, " is not ", what, "; ", source_->remedy);
  }

 private:
  JsonNode(const nlohmann::ordered_json& value, const JsonSource& source, std::string path)
      : value_(&value), source_(&source), path_(std::move(path)) {}

  std::string under(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }

  const nlohmann::ordered_json* value_;
  const JsonSource* source_;
  std::string path_;
};

}  // namespace dream_cli
