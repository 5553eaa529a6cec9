#include "config_file.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/train/json_text.hpp>

#include "other_names.hpp"

namespace dream_cli {

namespace {

using nlohmann::json;

/// What a plain YAML scalar means: a truth value, a number, nothing, or text.
json plain_scalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const char* begin = text.data() + (text.front() == '+' ? 1 : 0);
  const char* end = text.data() + text.size();
  std::int64_t whole = 0;
  if (const auto r = std::from_chars(begin, end, whole); r.ec == std::errc() && r.ptr == end) return whole;
  double number = 0;
  if (const auto r = std::from_chars(begin, end, number);
      r.ec == std::errc() && r.ptr == end && std::isfinite(number)) {
    return number;
  }
  return text;
}

std::string place_of(const std::string& name, const YAML::Mark& mark) {
  return mark.line >= 0 ? dream::concat(name, ":", mark.line + 1) : name;
}

/// Groups of keys are values of other codebases' keys only.
void expect_flat(bool is_group, const std::string& key, const std::string& place) {
  if (is_group && !find_other_name(key))
    dream::fail(place, ": ", key, ": expected a value, found a group of keys; the keys are flat");
}

/// Reads the values of a YAML text. An alias stands for all of its anchor's value, in which it may be itself; so there
/// are bounds.
class YamlValues {
 public:
  json read(const YAML::Node& node, const std::string& place, std::size_t level = 1) {
    if (level > dream::json_levels) dream::fail(place, ": nested deeper than ", dream::json_levels, " levels");
    if (++count_ > most) dream::fail(place, ": more than ", most, " values in all");
    return read_kind(node, place, level);
  }

 private:
  static constexpr std::size_t most = 100000;

  json read_kind(const YAML::Node& node, const std::string& place, std::size_t level);

  std::size_t count_ = 0;
};

json YamlValues::read_kind(const YAML::Node& node, const std::string& place, std::size_t level) {
  switch (node.Type()) {
    case YAML::NodeType::Null:
    case YAML::NodeType::Undefined:
      return nullptr;
    case YAML::NodeType::Scalar:
      return node.Tag() == "!" ? json(node.Scalar()) : plain_scalar(node.Scalar());
    case YAML::NodeType::Sequence: {
      json list = json::array();
      for (const YAML::Node& element : node) {
        if (!element.IsScalar()) dream::fail(place, ": a list may hold numbers and words only");
        list.push_back(read(element, place, level + 1));
      }
      return list;
    }
    case YAML::NodeType::Map:
      break;
  }
  json group = json::object();
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) dream::fail(place, ": a key must be a name");
    group[entry.first.Scalar()] = read(entry.second, place, level + 1);
  }
  return group;
}

std::vector<Given> read_yaml(const std::string& path, const std::string& text) {
  YAML::Node root;
  try {
    root = YAML::Load(text);
  } catch (const YAML::Exception& e) {
    dream::fail(place_of(path, e.mark), ": not YAML: ", e.msg);
  }
  if (root.IsNull()) return {};
  if (!root.IsMap()) dream::fail(path, ": expected lines `key: value`");
  std::vector<Given> given;
  YamlValues values;
  for (const auto& entry : root) {
    const std::string place = place_of(path, entry.first.Mark());
    if (!entry.first.IsScalar()) dream::fail(place, ": a key must be a name");
    const std::string key = entry.first.Scalar();
    expect_flat(entry.second.IsMap(), key, place);
    given.push_back({key, values.read(entry.second, dream::concat(place, ": ", key)), place});
  }
  return given;
}

std::vector<Given> read_json(const std::string& path, const std::string& text) {
  dream::JsonFault fault;
  const json root = dream::parse_json(text, path, &fault);
  DREAM_EXPECT(!root.is_discarded(), path, ":", fault.line, ": ", fault.reason);
  DREAM_EXPECT(root.is_object(), path, ": expected a JSON object of keys");
  std::vector<Given> given;
  dream::for_json_keys(text, path, [&](const dream::JsonKey& key) {
    if (key.level > 1) return;
    const std::string name = key.name(), place = dream::concat(path, ":", key.line);
    expect_flat(root.at(name).is_object(), name, place);
    given.push_back({name, root.at(name), place});
  });
  return given;
}

}  // namespace

std::vector<Given> read_config_file(const std::string& path) {
  const std::string text = dream::read_file(path);
  return path.ends_with(".json") ? read_json(path, text) : read_yaml(path, text);
}

Given parse_assignment(const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::string place = "--set " + text;
  if (equals == std::string::npos || equals == 0) dream::fail(place, ": expected key=value");
  try {
    const std::string key = text.substr(0, equals);
    const YAML::Node value = YAML::Load(text.substr(equals + 1));
    expect_flat(value.IsMap(), key, place);
    return {key, YamlValues().read(value, place), place};
  } catch (const YAML::Exception& e) {
    dream::fail(place, ": the value is not YAML: ", e.msg);
  }
}

}  // namespace dream_cli
