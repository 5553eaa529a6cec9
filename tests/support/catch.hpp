// The one place that knows which Catch2 is installed: Debian 12 has version 2 (<catch2/catch.hpp>), others version 3.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#define DREAM_MATCHES_SUBSTRING(text) Catch::Matchers::ContainsSubstring(text)
#else
#include <catch2/catch.hpp>
#define DREAM_MATCHES_SUBSTRING(text) Catch::Matchers::Contains(text)
#endif

#include <cstdlib>
#include <initializer_list>
#include <vector>

#include <dream/core/error.hpp>

/// Ends the test case and counts it as skipped, where it needs something that is not here.
#define DREAM_SKIP(reason)       \
  do {                           \
    dream_test::skipped = true;  \
    WARN("skipped: " << reason); \
    SUCCEED();                   \
    return;                      \
  } while (false)

namespace dream_test {
inline bool skipped = false;  ///< whether a test case of this run called DREAM_SKIP

/// Whether tests take all sizes, types and orders, as those with ctest's label `exhaustive` do, or a telling few.
inline bool exhaustive() { return std::getenv("DREAM_TEST_EXHAUSTIVE") != nullptr; }

/// The sizes that a test takes: all of them in exhaustive tests, else a telling few. A test case that calls it has the
/// tag [sizes], by which ctest runs it both ways (kernel tests are run both ways anyhow).
template <class T = int>
std::vector<T> sizes(std::initializer_list<T> few, std::initializer_list<T> all) {
  return exhaustive() ? all : few;
}
}  // namespace dream_test

/// The expression throws dream::error whose message contains the text.
#define REQUIRE_ERROR(expression, text)                                                      \
  REQUIRE_THROWS_MATCHES(expression, dream::error,                                           \
                         Catch::Matchers::Predicate<dream::error>(                           \
                             [&](const dream::error& e) {                                    \
                               UNSCOPED_INFO(e.what());                                      \
                               return std::string(e.what()).find(text) != std::string::npos; \
                             },                                                              \
                             std::string("mentions: ") + (text)))
