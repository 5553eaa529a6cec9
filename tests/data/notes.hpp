// What a data set's notes say, for the tests of readers.
#pragma once

#include <algorithm>
#include <string>

#include <dream/data/dataset.hpp>

namespace dream_test {

/// How many notes have this text.
inline std::ptrdiff_t notes_with(const dream::Dataset& data, const std::string& text) {
  return std::count_if(data.notes.begin(), data.notes.end(),
                       [&](const std::string& note) { return note.find(text) != std::string::npos; });
}
inline bool noted(const dream::Dataset& data, const std::string& text) { return notes_with(data, text) > 0; }

}  // namespace dream_test
