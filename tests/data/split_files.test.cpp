#include <dream/data/split_files.hpp>

#include <dream/data/read_dataset.hpp>

#include "data/folder.hpp"
#include "data/notes.hpp"
#include "support/catch.hpp"

namespace dream_tests::data_split_files {

namespace {

using dream::Dataset;
using dream::index_t;
using dream::read_dataset;
using dream::ReadOptions;
using dream::SplitRule;
using dream_test::noted;
using dream_test::notes_with;
using Names = std::vector<std::string>;
using Rows = std::vector<index_t>;
using Times = std::vector<std::int64_t>;

/// The part files of one split, as NAME.train.inter in a folder of its own.
void write_parts(const TemporaryFolder& folder, const std::string& train, const std::string& valid,
                 const std::string& test) {
  folder.write("a.train.inter", train);
  folder.write("a.valid.inter", valid);
  folder.write("a.test.inter", test);
}

const std::string header = "user_id:token\titem_id:token\ttimestamp:float\n";

}  // namespace

TEST_CASE("RecBole's benchmark files are the parts of a split, with features and a file of items beside them") {
  TemporaryFolder folder;
  write_parts(folder, header + "u1\ti1\t5\nu2\ti2\t6\n", header + "u2\ti1\t7\n", header + "u1\ti3\t8\nu3\ti1\t9\n");
  folder.write("a.item", "item_id:token\timage:float_seq\ni3\t1 2\ni1\t3 4\n");
  const Dataset data = read_dataset(folder.path());
  REQUIRE(data.name == std::filesystem::path(folder.path()).filename().string());
  REQUIRE(data.users.names == Names{"u1", "u2", "u3"});
  REQUIRE(data.items.names == Names{"i1", "i2", "i3"});
  REQUIRE(data.train.user == Rows{0, 1});
  REQUIRE(data.train.timestamp == Times{5, 6});
  REQUIRE(data.valid.user == Rows{1});
  REQUIRE(data.valid.item == Rows{0});
  REQUIRE(data.test.user == Rows{0, 2});
  REQUIRE(data.test.item == Rows{2, 0});
  REQUIRE(data.test.timestamp == Times{8, 9});
  REQUIRE(data.modalities.size() == 1);
  REQUIRE(data.modalities[0].values == std::vector<float>{3, 4, 0, 0, 1, 2});
  REQUIRE(!noted(data, "random"));
  // One of the files alone is a table.
  REQUIRE(read_dataset(folder / "a.test.inter").items.names == Names{"i3", "i1"});
}

TEST_CASE("train, valid and test as .csv or .tsv are the parts of a split, each with a header or without") {
  const std::string features = [] {
    TemporaryFolder folder;
    const std::vector<float> values{1, 2, 3, 4};
    dream::write_npy(folder / "x", {values.data(), 4, 1, 1});
    return dream::read_file(folder / "x");
  }();
  for (const char* ending : {".csv", ".tsv"}) {
    const char by = ending[1] == 'c' ? ',' : '\t';
    const auto text = [by](std::string lines) {
      std::replace(lines.begin(), lines.end(), ' ', by);
      return lines;
    };
    for (const char* valid : {"valid", "validation", "val", "dev"}) {
      TemporaryFolder folder;
      folder.write(dream::concat("train", ending), text("7 0\n9 2\n"));
      folder.write(dream::concat(valid, ending), text("item user\n3 9\n"));
      folder.write(dream::concat("test", ending), text("user item rating\n3 0 4.5\n"));
      folder.write("image_feat.npy", features);
      const Dataset data = read_dataset(folder.path());
      REQUIRE(data.users.names == Names{"3", "7", "9"});
      REQUIRE(data.items.is_identity());
      REQUIRE(data.train.user == Rows{1, 2});
      REQUIRE(data.train.item == Rows{0, 2});
      REQUIRE(data.valid.user == Rows{2});
      REQUIRE(data.valid.item == Rows{3});
      REQUIRE(data.test.user == Rows{0});
      REQUIRE(data.modalities.size() == 1);
      REQUIRE(data.modalities[0].rows == 4);
      REQUIRE(noted(data, "There is a rating column"));
    }
  }
}

TEST_CASE("where the file of valid is missing it is drawn from train, and a missing test is noted") {
  TemporaryFolder folder;
  std::string train, test = "0,99\n";
  for (int i = 0; i < 18; ++i) train += dream::concat("0,", i, '\n');
  folder.write("train.csv", train);
  folder.write("test.csv", test);
  const Dataset data = read_dataset(folder.path());
  REQUIRE(data.train.size() == 16);
  REQUIRE(data.valid.size() == 2);
  REQUIRE(data.test.size() == 1);
  REQUIRE(noted(data, "There is no valid.csv, so valid interactions were drawn at random from train.csv."));
  folder.write("l/train.txt", "0 1 2 3 4 5 6 7 8 9 10\n");
  folder.write("l/test.txt", "0 99\n");
  REQUIRE(noted(read_dataset(folder / "l"), "There is no valid.txt, so valid interactions were drawn at random from"));

  std::filesystem::rename(folder / "test.csv", folder / "dev.csv");
  const Dataset untested = read_dataset(folder.path());
  REQUIRE(untested.train.size() == 18);
  REQUIRE(untested.valid.size() == 1);
  REQUIRE(noted(untested, "There are no test interactions."));
  folder.write("test.csv", "user,item\n");  // a header alone is the same
  REQUIRE(noted(read_dataset(folder.path()), "There are no test interactions."));
  folder.write("train.csv", "user,item\n");
  REQUIRE_ERROR(read_dataset(folder.path()), "train.csv: holds no interactions");

  // Train alone is no split: it is read as one file.
  folder.write("b/train.csv", train);
  const Dataset alone = read_dataset(folder / "b");
  REQUIRE(noted(alone, "The files hold no split, so the interactions were split at random."));
  REQUIRE(alone.test.size() == 1);
  folder.write("c/a.train.inter", "user_id\titem_id\tx_label\n0\t0\t0\n0\t1\t2\n");
  REQUIRE(read_dataset(folder / "c").test.size() == 1);
}

TEST_CASE("files that make no split together are errors that name them") {
  TemporaryFolder folder;
  const auto refused = [&](const std::vector<const char*>& files, const std::string& message) {
    TemporaryFolder own;
    for (const char* file : files) own.write(file, "user_id\titem_id\n0\t0\n");
    REQUIRE_ERROR(read_dataset(own.path()), own.path() + ": found " + message);
  };
  refused({"a.inter", "a.train.inter", "a.test.inter"},
          "a.inter and a.train.inter, a table and a part of a split; expected one of both (give the path of a.inter to "
          "read it alone, or move it away)");
  refused({"a.inter", "test.csv"}, "a.inter and test.csv, a table and a part of a split");
  refused({"a.train.inter", "b.test.inter"},
          "a.train.inter and b.test.inter, which are parts of two splits; expected one (move the files of the other "
          "away)");
  refused({"train.csv", "test.tsv"}, "train.csv and test.tsv, which are parts of two splits");
  refused({"train.csv", "train.txt"}, "train.csv and train.txt, which are parts of two splits");
  refused({"a.train.inter", "train.txt"}, "train.txt and a.train.inter, which are parts of two splits");
  refused({"train.csv", "valid.csv", "dev.csv"},
          "dev.csv and valid.csv, which are names of the same part; expected one of both");
  refused({"a.valid.inter", "a.test.inter"}, "a.valid.inter but no a.train.inter, expected the train part too");
  refused({"test.tsv"}, "test.tsv but no train.tsv, expected the train part too");
  refused({"a.train", "b.csv"}, "neither an .inter file nor train.txt, train.csv or train.tsv");
  // The file named like its folder is a table, whatever the folder is called.
  folder.write("a.train/a.train.inter", "user_id\titem_id\n0\t0\n");
  REQUIRE(read_dataset(folder / "a.train").train.size() == 1);
}

TEST_CASE("an x_label column must say what its file says") {
  TemporaryFolder folder;
  const std::string labels = "user_id\titem_id\tx_label\n", none = "user_id\titem_id\n";
  write_parts(folder, labels + "0\t0\t0\n", none + "0\t1\n", labels + "0\t2\t2\n");
  const Dataset data = read_dataset(folder.path());
  REQUIRE(data.valid.item == Rows{1});
  REQUIRE(data.test.item == Rows{2});
  folder.write("a.test.inter", labels + "0\t2\t2\n\n0\t3\t1\n");
  REQUIRE_ERROR(read_dataset(folder.path()),
                "a.test.inter:4: found the x_label 1, expected 2, as the file is the test part of a split (delete the "
                "column, or join the parts to one file)");
}

TEST_CASE("times are compared exactly over all parts of a split") {
  TemporaryFolder folder;
  ReadOptions options;
  options.split = SplitRule::time;
  options.ratios = {0.5, 0.25, 0.25};
  // The decimals of the last file decide the order within the first one.
  for (const auto& [a, b, c, d] : {std::tuple{"3", "1", "4", "2"},
                                   {"1700000000", "1700000000.1", "1700000000.123456789", "1700000000.123456788"},
                                   {"2023-01-31", "2023-01-31T00:00:01", "2023-02-01", "2023-01-31T12:00:00+01:00"}}) {
    write_parts(folder, dream::concat(header, "0\t0\t", a, "\n0\t1\t", b, '\n'),
                dream::concat(header, "0\t2\t", c, '\n'), dream::concat(header, "0\t3\t", d, '\n'));
    const Dataset data = read_dataset(folder.path(), options);
    REQUIRE(data.train.size() == 2);
    REQUIRE(data.test.item == Rows{2});
    REQUIRE(data.valid.item == (a[0] == '3' ? Rows{0} : Rows{3}));
  }
  options.split = SplitRule::last;
  REQUIRE(read_dataset(folder.path(), options).valid.item == Rows{3});
  options.split = SplitRule::date;
  options.valid_from = "2023-01-31T06:00:00";
  options.test_from = "2023-01-31T11:00:01";
  const Dataset dated = read_dataset(folder.path(), options);
  REQUIRE(dated.train.item == Rows{0, 1});
  REQUIRE(dated.valid.item == Rows{3});
  REQUIRE(dated.test.item == Rows{2});
  options = {};
  options.split = SplitRule::random;
  options.ratios = {1, 0, 3};
  REQUIRE(read_dataset(folder.path(), options).test.size() == 3);

  folder.write("a.test.inter", header + "0\t4\t2023-02-01\n\n0\t3\t1700000000\n");
  REQUIRE_ERROR(read_dataset(folder.path()),
                "a.test.inter:4: found the timestamp '1700000000', expected a number or a "
                "date, 2023-01-31 or 2023-01-31T12:34:56Z, like all others");
  folder.write("a.test.inter", "\nuser_id\titem_id\n0\t3\n");
  REQUIRE_ERROR(read_dataset(folder.path()),
                "a.test.inter:2: found no timestamp column, expected one in every part or "
                "in none (" +
                    (folder / "a.train.inter has one; time_column names it)"));
  folder.write("c/train.csv", "0,1\n");
  folder.write("c/test.csv", "0,2,17\n");
  REQUIRE_ERROR(read_dataset(folder / "c"), "test.csv:1: found a timestamp column, expected one in every part");
  // Ratings without a header are told from times by all parts together.
  folder.write("c/train.csv", "0,1,5\n0,3,4\n");
  folder.write("c/test.csv", "0,2,1\n");
  REQUIRE(noted(read_dataset(folder / "c"), "The third column was read as timestamps but looks like ratings"));
  options.split = SplitRule::time;
  REQUIRE_ERROR(read_dataset(folder / "c", options), "train.csv:1: the third column looks like ratings");
  folder.write("c/test.csv", "0,2,1700000000\n");
  options.ratios = {2, 0, 1};
  REQUIRE(read_dataset(folder / "c", options).test.item == Rows{1});
}

TEST_CASE("columns, ids and lines of every part are checked and named") {
  TemporaryFolder folder;
  ReadOptions options;
  options.columns = {.user = "who", .item = "what", .separator = ";"};
  folder.write("train.csv", "who;what\n0;1\n");
  folder.write("test.csv", "what;who\n\"2\";0\n");
  REQUIRE(read_dataset(folder.path(), options).test.item == Rows{1});
  folder.write("test.csv", "0;2\n");
  REQUIRE_ERROR(read_dataset(folder.path(), options), "test.csv:1: found no column named who, the user_column");
  options.columns = {.user = "2", .item = "1", .separator = ";"};
  folder.write("train.csv", "1;0\n");
  folder.write("test.csv", "2;0\n3;0;1\n");
  REQUIRE_ERROR(read_dataset(folder.path(), options), "test.csv:2: found more than 2 columns");
  folder.write("test.csv", "2;0\nx;0\n");
  REQUIRE_ERROR(read_dataset(folder.path(), options),
                "test.csv:2: found the item id 'x', expected a whole number like the first item id");
  folder.write("test.csv", "");
  REQUIRE_ERROR(read_dataset(folder.path(), options), "test.csv: is empty, expected interactions");

  write_parts(folder, "user_id\titem_id\n0\t0\n", "user_id\titem_id\n0\t1\n", "user_id\tthing\n0\t2\n");
  for (const char* file : {"train.csv", "test.csv"}) std::filesystem::remove(folder / file);
  REQUIRE_ERROR(read_dataset(folder.path()), "a.test.inter:1: missing column: found the columns user_id, thing");
  folder.write("a.test.inter", "user_id\titem_id\n\n0\t2\n1\t7\n");
  const std::vector<float> values{1, 2, 3, 4};
  dream::write_npy(folder / "image_feat.npy", {values.data(), 4, 1, 1});
  REQUIRE_ERROR(read_dataset(folder.path()), "a.test.inter:4: found the item id 7, expected at most 3");
}

TEST_CASE("weights are read in every part, or noted once") {
  TemporaryFolder folder;
  const std::string names = "user_id\titem_id\tplays\n";
  write_parts(folder, names + "0\t0\t3\n0\t1\t0.5\n", names + "0\t2\t2\n", names + "0\t3\t7\n");
  ReadOptions options;
  const Dataset plain = read_dataset(folder.path(), options);
  REQUIRE(notes_with(plain, "There is a column plays, which is not used") == 1);
  options.columns.weight = "plays";
  const Dataset data = read_dataset(folder.path(), options);
  REQUIRE(data.train.weight == std::vector<float>{3, 0.5F});
  REQUIRE(data.test.weight == std::vector<float>{7});
  folder.write("a.valid.inter", "user_id\titem_id\n0\t2\n");
  REQUIRE_ERROR(read_dataset(folder.path(), options),
                "a.valid.inter:1: missing column: found the columns user_id, item_id");
}

TEST_CASE("a pair in two parts is an error that names both lines, or the first one stays") {
  TemporaryFolder folder;
  write_parts(folder, header + "0\t0\t1\n0\t1\t2\n", header + "\n0\t2\t3\n", header + "0\t3\t4\n0\t1\t5\n0\t2\t6\n");
  REQUIRE_ERROR(read_dataset(folder.path()), (folder / "a.test.inter:3") +
                                                 ": found user 0 with item 1 again, first at " +
                                                 (folder / "a.train.inter:3") + " (merge_duplicates keeps the first)");
  ReadOptions options;
  options.merge_duplicates = true;
  const Dataset data = read_dataset(folder.path(), options);
  REQUIRE(data.train.item == Rows{0, 1});
  REQUIRE(data.valid.item == Rows{2});
  REQUIRE(data.test.item == Rows{3});
  REQUIRE(data.test.timestamp == Times{4});
  REQUIRE(noted(data, "2 repeated interactions were removed"));
}

TEST_CASE("ratings and the k-core are taken over all parts") {
  TemporaryFolder folder;
  folder.write("train.csv", "user,item,rating\n0,0,5\n0,1,2\n1,0,3\n");
  folder.write("test.csv", "user,item,rating\n1,1,4\n2,0,1\n");
  ReadOptions options;
  options.min_rating = 3;
  const Dataset data = read_dataset(folder.path(), options);
  REQUIRE(data.train.size() + data.valid.size() == 2);
  REQUIRE(data.test.item == Rows{1});
  REQUIRE(noted(data, "2 of 5 interactions have a rating below 3"));
  folder.write("test.csv", "user,item\n1,1\n");
  REQUIRE_ERROR(read_dataset(folder.path(), options), "test.csv: has no rating column, which min_rating needs");
  options = {};
  options.k_core = 2;
  const Dataset core = read_dataset(folder.path(), options);
  REQUIRE(core.user_count() == 2);
  REQUIRE(core.test.size() == 1);
  REQUIRE(core.train.size() + core.valid.size() == 3);
}

}  // namespace dream_tests::data_split_files
