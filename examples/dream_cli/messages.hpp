// What the program says on standard error. Texts in it come from files and arguments: a terminal must not obey them.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include <dream/core/error.hpp>

namespace dream_cli {

/// Prints a line, in one write.
inline void print_line(const std::string& line) { std::fputs((line + "\n").c_str(), stderr); }

/// Prints a line of parts, its texts as dream::shown() has them.
template <class... Parts>
void print_message(const Parts&... parts) {
  print_line(dream::concat(dream::shown(parts)...));
}

/// Something that is no error, but that a user should know.
template <class... Parts>
void print_note(const Parts&... parts) {
  print_message("note: ", parts...);
}

/// The message of a dream::error, whose parts were cut where they are too long.
inline void print_error(std::string_view message) { print_line("dream: error: " + dream::printable(message)); }

}  // namespace dream_cli
