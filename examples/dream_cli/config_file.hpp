// Reads settings as written by a person: YAML or JSON files and key=value arguments, each value with its place.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace dream_cli {

/// One key with its value and where it was written, for messages: "run.yaml:3" or "--set knn_k=5".
struct Given {
  std::string key;
  nlohmann::json value;
  std::string place;
};

/// The keys of a flat YAML or JSON file (by its ending .json), in file order. Nested mappings are errors, unless the
/// key is one of other_names.hpp.
std::vector<Given> read_config_file(const std::string& path);

/// The key and value of a `--set key=value` argument; the value is read as YAML.
Given parse_assignment(const std::string& text);

}  // namespace dream_cli
