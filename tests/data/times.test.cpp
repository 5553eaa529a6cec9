#include <dream/data/times.hpp>

#include <dream/data/read_dataset.hpp>

#include "data/folder.hpp"
#include "data/notes.hpp"
#include "support/catch.hpp"

namespace dream_tests::data_times {

using dream::index_t;
using dream::read_dataset;
using dream::ReadOptions;
using dream::detail::parse_date;
using dream::detail::parse_decimal;
using Rows = std::vector<index_t>;

TEST_CASE("decimals are compared exactly, negative ones and those with exponents too") {
  const char* const ascending[] = {"-8e18",
                                   "-7.75",
                                   "-7.7499999999999999999999",
                                   "-7",
                                   "-1e-300",
                                   "0",
                                   "1E-2",
                                   "0.1",
                                   "978300760.123456788",
                                   "978300760.123456789",
                                   "9783007602e-1",
                                   "8999999999999999999"};
  for (std::size_t i = 1; i < std::size(ascending); ++i)
    REQUIRE(*parse_decimal(ascending[i - 1]) < *parse_decimal(ascending[i]));
  for (const char* equal : {"150", "1.5e2", "15e+1", "150.000", "0150", "150."})
    REQUIRE(*parse_decimal(equal) == *parse_decimal("150.0"));
  REQUIRE(*parse_decimal("-0.0") == *parse_decimal("0"));
  for (const char* bad : {"", "-", ".", "1e", "1.2.3", "noon", "9e18", "1e9999", "1 ", "nan", "+1"})
    REQUIRE(!parse_decimal(bad));
}

TEST_CASE("ISO dates are seconds since 1970") {
  REQUIRE(parse_date("1970-01-01")->whole == 0);
  REQUIRE(parse_date("2023-01-31")->whole == 1675123200);
  for (const char* same : {"2023-01-31T12:34:56", "2023-01-31 12:34:56Z", "2023-01-31T13:34:56+01:00",
                           "2023-01-31T07:04:56-0530", "2023-01-31T12:34:56.000"})
    REQUIRE(*parse_date(same) == *parse_date("2023-01-31T12:34:56Z"));
  REQUIRE(*parse_date("2023-01-31T12:34:56.25") > *parse_date("2023-01-31T12:34:56.1999"));
  REQUIRE(*parse_date("2024-02-29 00:00") == *parse_date("2024-02-29"));
  for (const char* bad : {"", "2023", "2023-02-29", "2023-1-31", "2023-01-31T", "2023-01-31T25:00", "2023-01-31x",
                          "2023-01-31T12:00:00+1", "2023-01-31T12:00:00.", "31.01.2023"})
    REQUIRE(!parse_date(bad));
}

TEST_CASE("a split by time sees nanoseconds and dates; numbers and dates in one file are an error") {
  TemporaryFolder folder;
  ReadOptions options;
  options.split = dream::SplitRule::time;
  options.ratios = {0.5, 0.25, 0.25};
  for (const auto& [a, b, c, d] :
       {std::tuple{"1700000000.123456788", "1700000000.123456787", "1700000000.123456789", "1700000000.123456786"},
        {"2023-01-31T00:00:02", "2023-01-31T00:00:01Z", "2023-01-31T00:00:03", "2023-01-31"}}) {
    const std::string text = dream::concat("user,item,timestamp\n0,0,", a, "\n0,1,", b, "\n0,2,", c, "\n0,3,", d, "\n");
    const dream::Dataset data = read_dataset(folder.write("p.csv", text), options);
    REQUIRE(data.train.item == Rows{1, 3});
    REQUIRE(data.valid.item == Rows{0});
    REQUIRE(data.test.item == Rows{2});
  }
  REQUIRE_ERROR(read_dataset(folder.write("p.csv", "0,0,2023-01-31\n0,1,2023\n")), "p.csv:2: found the timestamp");
  REQUIRE_ERROR(read_dataset(folder.write("p.csv", "0,0,2023\n0,1,2023-01-31\n")), "p.csv:2: found the timestamp");
}

TEST_CASE("a split by date cuts exactly, with dates, decimals and whole numbers") {
  TemporaryFolder folder;
  ReadOptions options;
  options.split = dream::SplitRule::date;
  const auto check = [&](const std::string& times, const std::string& valid_from, const std::string& test_from) {
    std::string text = "user,item,timestamp\n";
    int item = 0;
    for (std::size_t at = 0; at < times.size();) {
      const std::size_t end = std::min(times.find(' ', at), times.size());
      text += dream::concat("0,", item++, ',', times.substr(at, end - at), '\n');
      at = end + 1;
    }
    options.valid_from = valid_from;
    options.test_from = test_from;
    const dream::Dataset data = read_dataset(folder.write("p.csv", text), options);
    return std::tuple{data.train.item, data.valid.item, data.test.item};
  };
  const auto cut = std::tuple{Rows{2}, Rows{0}, Rows{1}};
  REQUIRE(check("20 30 10", "11", "21.5") == cut);
  REQUIRE(check("1700000000.000000002 1700000000.000000003 1700000000.000000001", "1700000000.000000002",
                "1700000000.0000000025") == cut);
  REQUIRE(check("2023-02-01 2023-03-01 2023-01-01", "2023-02-01", "2023-02-01T00:00:01") == cut);
  REQUIRE(check("20 30 10", "", "30") == std::tuple{Rows{0, 2}, Rows{}, Rows{1}});
  REQUIRE(check("20 30 10", "20", "99") == std::tuple{Rows{2}, Rows{0, 1}, Rows{}});
  REQUIRE_ERROR(check("20 30 10", "2023-01-01", "30"), "found valid_from = '2023-01-01', expected a number");
  REQUIRE_ERROR(check("2023-02-01", "", "30"), "found test_from = '30', expected a date");
  REQUIRE_ERROR(check("20 30 10", "", ""), "found test_from = '', expected a number");
  REQUIRE_ERROR(check("20 30 10", "30", "20"), "found valid_from = 30 behind test_from = 20");
}

TEST_CASE("ratings are told from times, and low ones are dropped on request") {
  TemporaryFolder folder;
  using dream_test::noted;
  ReadOptions options;
  const std::string bare = "0 0 5\n0 1 1\n0 2 3.5\n1 0 5\n1 2 1\n";
  folder.write("p.txt", bare);
  options.split = dream::SplitRule::time;
  REQUIRE_ERROR(read_dataset(folder / "p.txt", options), "p.txt:1: the third column looks like ratings");
  options.columns.time = "3";
  REQUIRE(read_dataset(folder / "p.txt", options).train.size() > 0);
  options = {};
  options.columns.rating = "3";
  REQUIRE(noted(read_dataset(folder / "p.txt", options), "There is a rating column, which is not used"));
  options.min_rating = 3.5;
  const dream::Dataset data = read_dataset(folder / "p.txt", options);
  REQUIRE(data.train.size() + data.valid.size() + data.test.size() == 3);
  REQUIRE(noted(data, "2 of 5 interactions have a rating below 3.5 and were dropped"));
  options.min_rating = 6;
  REQUIRE_ERROR(read_dataset(folder / "p.txt", options), "no interaction has a rating of at least 6");
  options.columns = {};
  REQUIRE_ERROR(read_dataset(folder / "p.txt", options), "p.txt: has no rating column, which min_rating needs");
  REQUIRE_ERROR(read_dataset(folder.write("q.csv", "user,item,rating\n0,1,good\n"), options),
                "q.csv:2: found the rating 'good', expected a number");
  folder.write("l/train.txt", "0 1\n");
  folder.write("l/test.txt", "0 2\n");
  REQUIRE_ERROR(read_dataset(folder / "l", options), ": lists hold no ratings");
}

}  // namespace dream_tests::data_times
