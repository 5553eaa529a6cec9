#include "config_file.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>

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

json to_json(const YAML::Node& node, const std::string& place) {
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
        list.push_back(to_json(element, place));
      }
      return list;
    }
    case YAML::NodeType::Map:
      break;
  }
  json group = json::object();
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) dream::fail(place, ": a key must be a name");
    group[entry.first.Scalar()] = to_json(entry.second, place);
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
  for (const auto& entry : root) {
    const std::string place = place_of(path, entry.first.Mark());
    if (!entry.first.IsScalar()) dream::fail(place, ": a key must be a name");
    const std::string key = entry.first.Scalar();
    expect_flat(entry.second.IsMap(), key, place);
    given.push_back({key, to_json(entry.second, dream::concat(place, ": ", key)), place});
  }
  return given;
}

int line_of_byte(const std::string& text, std::size_t byte) {
  return 1 + static_cast<int>(std::count(
                 text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(byte, text.size())), '\n'));
}

std::vector<Given> read_json(const std::string& path, const std::string& text) {
  std::vector<std::string> keys;
  json root;
  try {
    root = json::parse(text, [&](int depth, json::parse_event_t event, json& parsed) {
      if (event == json::parse_event_t::key && depth == 1) keys.push_back(parsed.get<std::string>());
      return true;
    });
  } catch (const json::parse_error& e) {
    dream::fail(path, ":", line_of_byte(text, e.byte > 0 ? e.byte - 1 : 0), ": not JSON");
  } catch (const json::exception& e) {  // a number beyond every range
    dream::fail(path, ": ", e.what());
  }
  if (!root.is_object()) dream::fail(path, ": expected a JSON object of keys");
  std::vector<Given> given;
  std::size_t from = 0;
  for (const std::string& key : keys) {
    const std::size_t found = text.find(json(key).dump(), from);
    const std::string place = found == std::string::npos ? path : dream::concat(path, ":", line_of_byte(text, found));
    if (found != std::string::npos) from = found + key.size();
    expect_flat(root.at(key).is_object(), key, place);
    given.push_back({key, root.at(key), place});
  }
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
    return {key, to_json(value, place), place};
  } catch (const YAML::Exception& e) {
    dream::fail(place, ": the value is not YAML: ", e.msg);
  }
}

}  // namespace dream_cli
