// Errors: one exception type, and the check that guards every public boundary.
#pragma once

#include <charconv>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include <dream/core/printable.hpp>

namespace dream {

/// Everything the library throws: bad input, bad shapes, exhausted resources. The message says what and where.
class error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

/// Appends what operator<< would print in the classic locale. Most parts are texts and whole numbers, which need no
/// stream: making one takes longer than all else.
template <class Part>
void append(std::string& text, const Part& part) {
  if constexpr (std::is_same_v<Part, char>) {
    text += part;
  } else if constexpr (std::is_convertible_v<const Part&, std::string_view>) {
    text += std::string_view(part);
  } else if constexpr (std::is_integral_v<Part> && sizeof(Part) > 1) {
    char digits[24];
    text.append(digits, std::to_chars(digits, digits + sizeof digits, part).ptr);
  } else {
    std::ostringstream out;
    out.imbue(std::locale::classic());
    out << part;
    text += out.str();
  }
}

}  // namespace detail

/// Joins its arguments into one string as operator<< prints them, whatever the global locale is.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string text;
  (detail::append(text, parts), ...);
  return text;
}

/// Throws dream::error with the joined message. Texts are joined as shown() has them, so what was read from a file
/// neither controls a terminal nor fills it.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw error(concat(shown(parts)...));
}

}  // namespace dream

/// Throws dream::error with the remaining arguments joined into the message, unless the condition holds.
#define DREAM_EXPECT(condition, ...) \
  do {                               \
    if (!(condition)) [[unlikely]]   \
      ::dream::fail(__VA_ARGS__);    \
  } while (false)
