#include <dream/core/printable.hpp>

#include <string>

#include <dream/core/error.hpp>

#include "support/catch.hpp"

namespace dream_tests::core_printable {

TEST_CASE("control characters and bytes that are no UTF-8 are shown as numbers, other text as it is") {
  using namespace std::string_literals;
  CHECK(dream::printable("") == "");
  CHECK(dream::printable("item 7: \u00e9\u4e16\U0001F600 \\x") == "item 7: \u00e9\u4e16\U0001F600 \\x");
  CHECK(dream::printable("\x1b[2J\a\n\t\x7f\0"s) == "\\x1b[2J\\x07\\x0a\\x09\\x7f\\x00");
  CHECK(dream::printable("\u0080\u009b31m\u009f\u00a0") == "\\xc2\\x80\\xc2\\x9b31m\\xc2\\x9f\u00a0");
  // Latin-1, a character that is cut off, overlong, a surrogate, beyond Unicode.
  CHECK(dream::printable("\xe9 \x9b") == "\\xe9 \\x9b");
  CHECK(dream::printable("\xe4\xb8") == "\\xe4\\xb8");
  CHECK(dream::printable("\xc0\x9b") == "\\xc0\\x9b");
  CHECK(dream::printable("\xe0\x82\x9b") == "\\xe0\\x82\\x9b");
  CHECK(dream::printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");
  CHECK(dream::printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");
  CHECK(dream::printable(dream::printable("\x1b")) == "\\x1b");
}

TEST_CASE("of a long text the beginning and the end are shown, cut between characters") {
  CHECK(dream::excerpt(std::string(800, 'a')) == std::string(800, 'a'));
  CHECK(dream::excerpt(std::string(5000000, 'a')) ==
        std::string(500, 'a') + " ... (5000000 bytes) ... " + std::string(200, 'a'));
  std::string accents;
  for (int i = 0; i < 500; ++i) accents += "\u4e16";  // 3 bytes each: neither 500 nor 200 is a border
  CHECK(dream::excerpt(accents).find("\\x") == std::string::npos);
}

TEST_CASE("a message escapes and cuts the texts that it quotes, and not its own words") {
  const std::string id = "\x1b[31mred", path = "folder/a.inter", value(5000000, 'x');
  REQUIRE_ERROR(dream::fail(path, ":3: no item '", id, "' \n", 'c', '\x1b', ' ', 7),
                "folder/a.inter:3: no item '\\x1b[31mred' \nc\\x1b 7");
  std::string message;
  try {
    dream::fail(path, ": found '", value, "', expected a number");
  } catch (const dream::error& e) {
    message = e.what();
  }
  CHECK(message.size() < 1000);
  CHECK(message.starts_with("folder/a.inter: found 'xxx"));
  CHECK(message.ends_with("xxx', expected a number"));
}

}  // namespace dream_tests::core_printable
