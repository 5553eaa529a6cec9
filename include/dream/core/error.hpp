// Errors: one exception type, and the check that guards every public boundary.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace dream {

/// Everything the library throws: bad input, bad shapes, exhausted resources. The message says what and where.
class error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Joins its arguments into one string through operator<<.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Throws dream::error with the joined message.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw error(concat(parts...));
}

}  // namespace dream

/// Throws dream::error with the remaining arguments joined into the message, unless the condition holds.
#define DREAM_EXPECT(condition, ...) \
  do {                               \
    if (!(condition)) [[unlikely]]   \
      ::dream::fail(__VA_ARGS__);    \
  } while (false)
