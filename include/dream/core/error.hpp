// Errors: one exception type, and the check that guards every public boundary.
#pragma once

#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>

#include <dream/core/printable.hpp>

namespace dream {

/// Everything the library throws: bad input, bad shapes, exhausted resources. The message says what and where.
class error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Joins its arguments into one string through operator<<, numbers as in C whatever the global locale is.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  (out << ... << parts);
  return out.str();
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
