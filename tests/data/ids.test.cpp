#include <dream/data/ids.hpp>

#include "data/folder.hpp"
#include "support/catch.hpp"

namespace dream_tests::data_ids {

using Names = std::vector<std::string>;

TEST_CASE("ids are written and read back, with or without the header") {
  TemporaryFolder folder;
  const dream::IdMap ids{3, {"B0 a", "7", "x,y"}};
  dream::write_ids(folder / "a.tsv", ids);
  REQUIRE(dream::read_file(folder / "a.tsv") == "row\tid\n0\tB0 a\n1\t7\n2\tx,y\n");
  REQUIRE(dream::read_ids(folder / "a.tsv").names == ids.names);
  const auto other = dream::read_ids(folder.write("b.tsv", "0\trow\r\n\r\n1\tid"));
  REQUIRE(other.count == 2);
  REQUIRE(other.names == Names{"row", "id"});
  for (const char* text : {"\xEF\xBB\xBFrow\tid\n0\ta\n",
                           "\xEF\xBB\xBF"
                           "0\ta\n",
                           "\n\r\nrow\tid\n\n0\ta\n"})
    REQUIRE(dream::read_ids(folder.write("c.tsv", text)).names == Names{"a"});
}

TEST_CASE("ids that equal their rows are the identity") {
  TemporaryFolder folder;
  dream::write_ids(folder / "a.tsv", dream::IdMap{12, {}});
  const auto ids = dream::read_ids(folder / "a.tsv");
  REQUIRE(ids.is_identity());
  REQUIRE(ids.count == 12);
}

TEST_CASE("a malformed list of ids is an error that names file and line") {
  TemporaryFolder folder;
  const auto rejects = [&](const char* text, const char* message) {
    REQUIRE_ERROR(dream::read_ids(folder.write("a.tsv", text)), message);
  };
  rejects("", "a.tsv: is empty");
  rejects("row\tid\n", "a.tsv: is empty");
  rejects("row\tid\nrow\tid\n", "a.tsv:2: found row 'row', expected 0");
  rejects("row\tid\r0\ta\n1\tb\n", "a.tsv:1: found row 'row', expected 0");
  rejects("0\ta\r1\n", "a.tsv:1: found '0\\x09a\\x0d1', expected");
  rejects("0\ta\n2\tb\n", "a.tsv:2: found row '2', expected 1");
  rejects("row\tid\n0\ta\n1\ta\n", "a.tsv:3: the id 'a' is already on line 2");
  rejects("0\ta\n1\n", "a.tsv:2: found '1', expected a row, a TAB and an id");
  rejects("0\ta\tb\n", "a.tsv:1: found '0\\x09a\\x09b', expected");
  REQUIRE_ERROR(dream::write_ids(folder / "b.tsv", dream::IdMap{1, {"a\tb"}}), "the id of row 0");
  REQUIRE_FALSE(std::filesystem::exists(folder / "b.tsv"));
}

TEST_CASE("an index finds names, or canonical numbers where rows are ids") {
  const dream::IdMap names{2, {"5", "b"}};
  const dream::IdIndex named(names);
  REQUIRE(named.find("5") == 0);
  REQUIRE(named.find("b") == 1);
  REQUIRE(named.find("0") == -1);
  const dream::IdMap identity{11, {}};
  const dream::IdIndex numbers(identity);
  REQUIRE(numbers.find("0") == 0);
  REQUIRE(numbers.find("10") == 10);
  for (const char* id : {"11", "-1", "05", "5 ", "", "x", "99999999999"}) REQUIRE(numbers.find(id) == -1);
}

}  // namespace dream_tests::data_ids
