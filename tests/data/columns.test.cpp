#include <dream/data/columns.hpp>

#include <dream/data/read_dataset.hpp>

#include "data/folder.hpp"
#include "data/notes.hpp"
#include "support/catch.hpp"

namespace dream_tests::data_columns {

namespace {

using dream::Dataset;
using dream::index_t;
using dream::read_dataset;
using dream::ReadOptions;
using Names = std::vector<std::string>;

/// Two interactions of users 0 and 1 with items 1 and 0, whose split no option changes.
bool is_usual(const Dataset& data) {
  return data.train.user == std::vector<index_t>{0, 1} && data.train.item == std::vector<index_t>{1, 0} &&
         data.users.is_identity() && data.items.is_identity();
}

}  // namespace

TEST_CASE("a header is known by its names without regard to case and underscores") {
  TemporaryFolder folder;
  for (const char* names :
       {"userId,movieId", "uid,iid", "User_ID,Item_ID", "customer_id,article_id", "USER,ITEM", "user_id,parent_asin",
        "reviewerID,asin", "user_id:token,business_id:token", "user-id,item-id"})
    REQUIRE(is_usual(read_dataset(folder.write("p.csv", std::string(names) + "\n0,1\n1,0\n"))));
  folder.write("a.inter", "UserID\tITEM_ID\n0\t1\n1\t0\n");
  REQUIRE(is_usual(read_dataset(folder.path())));
  folder.write("a.inter", "uid:token\tthing:token\n0\t1\n");
  REQUIRE_ERROR(read_dataset(folder.path()), "a.inter:1: missing column: found the columns uid:token, thing:token");
  REQUIRE_ERROR(read_dataset(folder.write("p.csv", "user_id,asin,parent_asin\n0,1,1\n")),
                "p.csv:1: found the column 'parent_asin' a second time (item_column names the one to read)");
}

TEST_CASE("options name the columns of a header, or number those of a file without one") {
  TemporaryFolder folder;
  ReadOptions options;
  options.columns = {.user = "who", .item = "what"};
  REQUIRE(is_usual(read_dataset(folder.write("p.csv", "what,user_id,who\n1,9,0\n0,9,1\n"), options)));
  folder.write("a.inter", "what:token\twho:token\n1\t0\n0\t1\n");
  REQUIRE(is_usual(read_dataset(folder.path(), options)));
  options.columns.time = "when";
  REQUIRE_ERROR(read_dataset(folder.path(), options),
                "a.inter:1: missing column: found the columns what:token, who:token, expected one named when, the "
                "time_column");
  REQUIRE_ERROR(read_dataset(folder.write("p.csv", "0,1\n1,0\n"), options), "p.csv:1: found no column named who");

  options.columns = {.user = "2", .item = "1"};
  REQUIRE(is_usual(read_dataset(folder.write("p.csv", "1,0,5,7\n0,1,4,8\n"), options)));
  options.columns.time = "4";
  REQUIRE(read_dataset(folder / "p.csv", options).train.timestamp == std::vector<std::int64_t>{7, 8});
  options.columns.time = "5";
  REQUIRE_ERROR(read_dataset(folder / "p.csv", options), "p.csv:1: found 4 columns, expected the time_column 5");
  options.columns.time = "1";
  REQUIRE_ERROR(read_dataset(folder / "p.csv", options), "column 1 is given twice, also as time_column");
  options.columns.time = "when";
  REQUIRE_ERROR(read_dataset(folder / "p.csv", options), "by number and by name");
  options.columns = {.user = "1"};
  REQUIRE_ERROR(read_dataset(folder.path(), options), "a.inter: has a header, expected columns by name");
}

TEST_CASE("a first line unlike all others is an error, in lists too, unless columns are given by number") {
  TemporaryFolder folder;
  const std::string what = "p.txt:1: found the user 'who' and the item 'what', unlike those of all other lines";
  REQUIRE_ERROR(read_dataset(folder.write("p.txt", "who what\n0 1\n1 0\n")), what);
  REQUIRE_ERROR(read_dataset(folder.write("p.txt", "who what\nu0 i1\nu1 i0\n")), what);
  REQUIRE_ERROR(read_dataset(folder.write("p.txt", "who 7\n0 1\n")), "p.txt:1: found the user 'who'");
  REQUIRE(read_dataset(folder.write("p.txt", "ann 7\nbob 1\n")).users.names == Names{"ann", "bob"});
  ReadOptions options;
  options.columns.user = "1";
  REQUIRE(read_dataset(folder.write("p.txt", "who what\n0 1\n"), options).users.names == Names{"who", "0"});
  folder.write("l/test.txt", "0 3\n");
  folder.write("l/train.txt", "user items\n0 1 2\n");
  REQUIRE_ERROR(read_dataset(folder / "l"), "train.txt:1: found the header 'user ...' (lists have no header");
  folder.write("l/train.txt", "org remap\n0 1 2\n");
  REQUIRE_ERROR(read_dataset(folder / "l"), "train.txt:1: found the user 'org' and the item 'remap', unlike");
}

TEST_CASE("comments before the first line are skipped, and lines keep their numbers") {
  TemporaryFolder folder;
  REQUIRE(is_usual(read_dataset(folder.write("p.txt", "# pairs\n#\n0 1\n1 0\n"))));
  REQUIRE(is_usual(read_dataset(folder.write("p.txt", "\n# pairs\nuid iid\n0 1\n1 0\n"))));
  REQUIRE_ERROR(read_dataset(folder.write("p.txt", "# pairs\n0 1\n0 1\n")), "p.txt:3: found user 0 with item 1 again");
  REQUIRE(read_dataset(folder.write("p.txt", "#a x\n#b x\n")).users.names == Names{"#a", "#b"});
  folder.write("l/train.txt", "# lists\n0 1\n1 0\n");
  folder.write("l/test.txt", "0 1\n");
  REQUIRE_ERROR(read_dataset(folder / "l"), "first at " + (folder / "l/train.txt:2"));
}

TEST_CASE("fields are separated as the options say, and quoted ones are unquoted by the rules of CSV") {
  TemporaryFolder folder;
  ReadOptions options;
  for (const auto& [name, line] : {std::pair{"::", "0::1\n1::0\n"},
                                   {";", "user;item\n0;1\n1; 0\n"},
                                   {"|", "0|1\n1|0\n"},
                                   {",", "user,item,title\n0,1,a b\n1,0,\n"},
                                   {"TAB", "user\titem\ttitle\n0\t1\ta, b\n1\t0\tc\n"},
                                   {"blank", "\"0\"  1\n1 0 \n"}}) {
    options.columns.separator = name;
    REQUIRE(is_usual(read_dataset(folder.write("p.txt", line), options)));
  }
  options.columns.separator = "::";
  REQUIRE_ERROR(read_dataset(folder.write("p.txt", "0::1\n\n1\n"), options), "p.txt:3: found 1 columns, expected 2");
  options.columns.separator = "slash";
  REQUIRE_ERROR(read_dataset(folder / "p.txt", options), "found 'slash', expected one of TAB , ; | :: blank");

  const Dataset quoted = read_dataset(
      folder.write("q.csv", "\"user\",\"item\"\n\"Smith, J\",\"the \"\"x\"\"\"\r\n\"ann\",b\"c\nann,\"b\"\n"));
  REQUIRE(quoted.users.names == Names{"Smith, J", "ann"});
  REQUIRE(quoted.items.names == Names{"the \"x\"", "b\"c", "b"});
  const auto rejects = [&](const char* text, const char* message) {
    REQUIRE_ERROR(read_dataset(folder.write("q.csv", text)), message);
  };
  rejects("a,b\n\"c,d\ne,f\n", "q.csv:2: found a quoted field with a line end in it");
  rejects("a,b\n\"c\"x,d\n", "q.csv:2: found text behind a closing quote");
  folder.write("a.inter", "user\titem\n\"a\"\tb\n");
  REQUIRE_ERROR(read_dataset(folder.path()), "a.inter:2: found the user id '\"a\"', which begins with a quote");
  options.columns.separator = "TAB";
  REQUIRE(read_dataset(folder.path(), options).users.names == Names{"a"});
}

TEST_CASE("what is no text is an error that names the encoding and the remedy") {
  using namespace std::string_literals;
  TemporaryFolder folder;
  const auto rejects = [&](const std::string& text, const char* message) {
    REQUIRE_ERROR(read_dataset(folder.write("p.csv", text)), message);
    folder.write("a/a.inter", text);
    REQUIRE_ERROR(read_dataset(folder / "a"), message);
  };
  rejects(
      "\xFF\xFE"
      "0\0,\0"s,
      "text in UTF-16, expected UTF-8 (iconv -f UTF-16 -t UTF-8 converts it)");
  rejects(
      "\xFE\xFF\0"
      "0\0,"s,
      "text in UTF-16, expected UTF-8");
  rejects(
      "0\0,\0"
      "1\0\n\0"s,
      "text in UTF-16LE, expected UTF-8");
  rejects(
      "\0"
      "0\0,\0"
      "1\0\n"s,
      "text in UTF-16BE, expected UTF-8");
  rejects("\x1F\x8B\x08 0 1\n", "found gzip, expected text (unpack the file first)");
  rejects("PK\x03\x04", "found zip, expected text");
  rejects(
      "0,1\n1,\0"
      "2\n0,0 and more of it\n"s,
      ":2: found a NUL byte, expected text");
  folder.write("b/b.inter", "user\titem\n0\t1\n");
  folder.write("b/item_ids.tsv",
               "\xFF\xFE"
               "0\0"s);
  REQUIRE_ERROR(read_dataset(folder / "b"), "item_ids.tsv: byte 0: found text in UTF-16");
}

TEST_CASE("weights are read from the column that is named, follow their interactions, and are above 0") {
  TemporaryFolder folder;
  const std::string table = "user,item,count,time\n0,1,3,5\n1,0,0.5,4\n1,1,7,9\n0,0,2,8\n";
  folder.write("p.csv", table);
  const Dataset plain = read_dataset(folder / "p.csv");
  CHECK(plain.train.weight.empty());
  CHECK(dream_test::noted(plain, "weight_column = count"));
  ReadOptions options;
  options.columns.weight = "count";
  options.columns.time = "time";
  options.split = dream::SplitRule::time;
  options.ratios = {0.5, 0.0, 0.5};
  const Dataset data = read_dataset(folder / "p.csv", options);
  for (const dream::Pairs* pairs : {&data.train, &data.test}) {
    REQUIRE(pairs->weight.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
      const std::string user = data.users.name(pairs->user[i]), item = data.items.name(pairs->item[i]);
      CHECK(pairs->weight[i] == (user == "0" ? (item == "1" ? 3.0F : 2.0F) : item == "0" ? 0.5F : 7.0F));
    }
  }
  options.split = dream::SplitRule::given;
  for (const char* bad : {"0", "-1", "nan", "inf", "", "two"}) {
    folder.write("p.csv", table + "2,1," + bad + ",7\n");
    REQUIRE_ERROR(read_dataset(folder / "p.csv", options), "p.csv:6: found the weight '");
  }
  options.columns.weight = "plays";
  REQUIRE_ERROR(read_dataset(folder.write("p.csv", table), options), "the weight_column");
  TemporaryFolder lists;
  lists.write("train.txt", "0 1 2\n1 0 2\n");
  lists.write("test.txt", "0 0\n");
  options.columns.time.clear();
  REQUIRE_ERROR(read_dataset(lists.path(), options), "lists have no columns, but weight_column = plays");
}

}  // namespace dream_tests::data_columns
