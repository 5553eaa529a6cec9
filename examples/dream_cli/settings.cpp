#include "settings.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include <dream/core/error.hpp>

#include "key_makers.hpp"
#include "messages.hpp"
#include "other_names.hpp"

namespace dream_cli {

namespace {

/// Says once on standard error that a key was given without effect.
void note_without_effect(const Given& given, const std::string& reason) {
  static std::set<std::string> said;  // a key may be looked at more than once
  const std::string note = dream::concat(given.place, ": ", given.key, " has no effect here: ", reason);
  if (said.insert(note).second) print_note(note);
}

}  // namespace

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
  if (word.size() > 100) return "";
  const std::string a = key_makers::lower(word);
  std::string best;
  std::size_t best_edits = std::numeric_limits<std::size_t>::max();
  for (const std::string& name : known) {
    const std::string b = key_makers::lower(name);
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= b.size(); ++j) {
        const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
      }
    }
    if (row.back() < best_edits) {
      best_edits = row.back();
      best = name;
    }
  }
  if (best_edits > (a.size() + 1) / 3) return "";
  return "; did you mean '" + best + "'?";
}

std::string own_name(const std::string& key) {
  const OtherName* const other = find_other_name(key);
  return other != nullptr && other->fate == OtherName::Fate::same ? other->text : key;
}

bool is_key(const std::string& name) {
  return std::any_of(keys().begin(), keys().end(), [&](const Key& key) { return key.name == name; });
}

void apply(Settings& settings, const Given& given) {
  const std::string name = own_name(given.key);
  for (const Key& key : keys()) {
    if (key.name != name) continue;
    const std::string expected = key.set(settings, given.value);
    DREAM_EXPECT(expected.empty(), given.place, ": ", given.key, " is ", given.value.dump(), ", expected ", expected);
    return;
  }
  if (const OtherName* const other = find_other_name(given.key)) {
    if (other->harmless(given.value)) return note_without_effect(given, other->text);
    dream::fail(given.place, ": unknown key '", given.key,
                other->fate == OtherName::Fate::called ? "': here it is called " : "': there is no such thing here: ",
                other->text);
  }
  std::vector<std::string> known;
  for (const Key& key : keys()) known.push_back(key.name);
  dream::fail(given.place, ": unknown key '", given.key, "'", did_you_mean(given.key, known));
}

std::vector<Given> given_in_file(const std::string& path) {
  if (path.empty()) return {};
  std::vector<Given> all = read_config_file(path);
  std::map<std::string, const Given*> seen;  // by our name of the key
  for (const Given& given : all) {
    const auto [first, is_first] = seen.emplace(own_name(given.key), &given);
    DREAM_EXPECT(is_first, given.place, ": '", first->first, "' is already set at ", first->second->place);
  }
  return all;
}

nlohmann::ordered_json to_json(const Settings& settings) {
  nlohmann::ordered_json all;
  for (const Key& key : keys()) all[key.name] = key.get(settings);
  return all;
}

Settings settings_from_json(const nlohmann::json& values, const std::string& place) {
  DREAM_EXPECT(values.is_object(), place, ": the settings are not an object");
  Settings settings;
  for (const auto& [name, value] : values.items()) apply(settings, {name, value, place});
  return settings;
}

std::optional<Difference> first_difference(const Settings& first, const Settings& second) {
  for (const Key& key : keys()) {
    Difference found{key.name, key.get(first), key.get(second)};
    if (found.first != found.second) return found;
  }
  return std::nullopt;
}

std::string describe_keys() {
  const Settings defaults;
  std::string text;
  for (const Key& key : keys()) {
    text += "  " + key.name + " = " + key.get(defaults).dump() + "\n      " + key.help + " (" + key.values + ")\n";
  }
  text += "\nKeys of MMRec, RecBole and others:\n\n";
  for (const OtherName& other : other_names()) {
    using Fate = OtherName::Fate;
    text += "  " + other.name +
            (other.fate == Fate::same     ? "\n      the same as "
             : other.fate == Fate::called ? "\n      called "
                                          : "\n      no such thing: ") +
            other.text + "\n";
  }
  return text;
}

}  // namespace dream_cli
