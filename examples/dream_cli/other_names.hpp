// The keys that users of MMRec, RecBole, Cornac and implicit write, and what becomes of them here.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace dream_cli {

struct OtherName {
  enum class Fate {
    same,     ///< means exactly what our key `text` means
    called,   ///< an error: `text` is our key, with a near meaning or a choice to make
    missing,  ///< an error that gives the reason `text`, or a note where the value is `harmless`
  };
  std::string name;
  Fate fate;
  std::string text;
  /// Whether a run here does what the value asks for, so that the key may be left out.
  bool (*harmless)(const nlohmann::json&);
};

/// All of them, by subject; none is a key of ours.
const std::vector<OtherName>& other_names();

/// The entry of a name, or null.
const OtherName* find_other_name(const std::string& name);

}  // namespace dream_cli
