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
}

/// The expression throws dream::error whose message contains the text.
#define REQUIRE_ERROR(expression, text)                                                      \
  REQUIRE_THROWS_MATCHES(expression, dream::error,                                           \
                         Catch::Matchers::Predicate<dream::error>(                           \
                             [&](const dream::error& e) {                                    \
                               UNSCOPED_INFO(e.what());                                      \
                               return std::string(e.what()).find(text) != std::string::npos; \
                             },                                                              \
                             std::string("mentions: ") + (text)))
