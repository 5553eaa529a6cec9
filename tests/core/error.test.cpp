#include <dream/core/error.hpp>

#include <clocale>
#include <locale>
#include <string>

#include <dream/core/file.hpp>
#include <dream/data/ids.hpp>
#include <dream/data/npy.hpp>

#include "support/catch.hpp"

namespace dream_tests::core_error {

namespace {

/// Numbers as in German: 1.234,5.
struct GermanNumbers : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

/// Makes them the program's while it lives.
struct GermanLocale {
  std::locale before = std::locale::global(std::locale(std::locale::classic(), new GermanNumbers));
  ~GermanLocale() { std::locale::global(before); }
};

}  // namespace

TEST_CASE("messages have their numbers as in C whatever the global locale is") {
  const GermanLocale german;
  std::ostringstream other;
  other << 1234.5;
  REQUIRE(other.str() == "1.234,5");  // the locale works
  CHECK(dream::concat(1234567, ' ', 1234.5, ' ', -0.25F, ' ', true) == "1234567 1234.5 -0.25 1");
  CHECK(dream::concat(std::int64_t{-1500}, std::uint64_t{18446744073709551615U}, std::string("a"), "b", 'c', 1e300) ==
        "-150018446744073709551615abc1e+300");
  REQUIRE_ERROR(dream::fail("row ", 1500), "row 1500");
}

TEST_CASE("files have their numbers as in C whatever the global locale is") {
  std::string folder = (std::filesystem::temp_directory_path() / "dream-locale-XXXXXX").string();
  REQUIRE(::mkdtemp(folder.data()));
  const dream::IdMap ids{1200, std::vector<std::string>(1200, "name")};
  const std::vector<float> values(3000, 0.5F);
  {
    const GermanLocale german;
    dream::write_npy(folder + "/a.npy", {values.data(), 1500, 2, 2});
    dream::write_ids(folder + "/ids.tsv", ids);
  }
  const std::string npy = dream::read_file(folder + "/a.npy"), table = dream::read_file(folder + "/ids.tsv");
  std::filesystem::remove_all(folder);
  CHECK(npy.find("'shape': (1500, 2)") != std::string::npos);
  CHECK(table.ends_with("\n1199\tname\n"));
}

}  // namespace dream_tests::core_error
