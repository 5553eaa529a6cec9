// The settings of a run: the library's own option structs, and the table that gives each of their fields a name.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config_file.hpp"
#include "options.hpp"

namespace dream_cli {

/// The largest whole number that every reader of JSON takes as it is (below 2^53).
constexpr std::int64_t largest_whole = 9'000'000'000'000'000;

/// One key that a config file or --set may give.
struct Key {
  std::string name;
  std::string values;  ///< what it takes, for people: "number > 0", "row | none | standard"
  std::string help;
  std::function<nlohmann::json(const Settings&)> get;
  /// Sets the field; returns what was expected instead where the value does not fit, else "".
  std::function<std::string(Settings&, const nlohmann::json&)> set;
};

/// The models that there are, DREAM first.
const std::vector<std::string>& model_names();

/// Every key, by subject.
const std::vector<Key>& keys();

/// The name that a key has here, for a name that other codebases give it and that means the same.
std::string own_name(const std::string& key);

/// Whether a name is one of keys().
bool is_key(const std::string& name);

/// Applies one given key. An unknown key or a value that does not fit is an error that names the place and, for a key,
/// what it is called here or the nearest known name. A key of another codebase (other_names.hpp) whose value asks for
/// what is done anyway is noted on standard error.
void apply(Settings& settings, const Given& given);

/// The keys of a config file, none where no file is named; a key that is set twice, by whatever name, is an error.
std::vector<Given> given_in_file(const std::string& path);

/// All settings by key.
nlohmann::ordered_json to_json(const Settings& settings);

/// The settings that to_json() gave; `place` is named in errors.
Settings settings_from_json(const nlohmann::json& values, const std::string& place);

/// A key of to_json() for which two settings have other values.
struct Difference {
  std::string key;
  nlohmann::json first, second;
};
/// The first such key, in the order of keys().
std::optional<Difference> first_difference(const Settings& first, const Settings& second);

/// A list of all keys with values, default and meaning.
std::string describe_keys();

/// "; did you mean '...'?" with the nearest of `known`, or nothing where it is more than (letters + 1) / 3 edits away.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& known);

}  // namespace dream_cli
