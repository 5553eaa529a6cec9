#include <dream/data/read_dataset.hpp>

#include <sys/resource.h>

#include <cmath>
#include <cstdlib>
#include <set>

#include <dream/data/fingerprint.hpp>
#include <dream/data/write_dataset.hpp>

#include "data/folder.hpp"
#include "data/notes.hpp"
#include "support/catch.hpp"

namespace dream_tests::data_read_dataset {

namespace {

using dream::Dataset;
using dream::index_t;
using dream::read_dataset;
using dream::ReadOptions;
using dream_test::noted;
using Rows = std::vector<index_t>;
using Names = std::vector<std::string>;

const std::string header = "userID\titemID\tx_label\n";
/// Three users, four items, one of each split.
const std::string usual = header + "0\t1\t0\n0\t3\t1\n1\t0\t0\n2\t2\t0\n2\t1\t2\n";

void write_features(const TemporaryFolder& folder, const std::string& name, index_t rows, std::vector<float> values) {
  const index_t cols = static_cast<index_t>(values.size()) / rows;
  dream::write_npy(folder / (name + "_feat.npy"), {values.data(), rows, cols, cols});
}

}  // namespace

TEST_CASE("an MMRec folder is read: splits, rows as ids, modalities sorted by name") {
  TemporaryFolder folder;
  folder.write("a.inter", usual);
  write_features(folder, "text", 6, {1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 9, 10});
  write_features(folder, "image", 6, {1, 2, NAN, 4, 5, INFINITY});
  const Dataset data = read_dataset(folder.path());
  REQUIRE(data.name == std::filesystem::path(folder.path()).filename().string());
  REQUIRE(data.user_count() == 3);
  REQUIRE(data.item_count() == 6);  // two of them cold, known by their features
  REQUIRE(data.users.is_identity());
  REQUIRE(data.train.user == Rows{0, 1, 2});
  REQUIRE(data.train.item == Rows{1, 0, 2});
  REQUIRE(data.valid.item == Rows{3});
  REQUIRE(data.test.user == Rows{2});
  REQUIRE(data.train.timestamp.empty());
  REQUIRE(data.modalities.size() == 2);
  REQUIRE(data.modalities[0].name == "image");
  REQUIRE(data.modalities[0].present == std::vector<std::uint8_t>{1, 1, 0, 1, 1, 0});
  REQUIRE(data.modalities[0].values == std::vector<float>{1, 2, 0, 4, 5, 0});
  REQUIRE(data.modalities[1].present == std::vector<std::uint8_t>{1, 1, 0, 1, 1, 1});
  REQUIRE(data.modalities[1].cols == 2);
  REQUIRE(noted(data, "image: 2 of 6 items have no features"));
  REQUIRE(noted(data, "text: 1 of 6 items"));
  REQUIRE(noted(data, "2 of 6 items have no interactions"));
  REQUIRE(read_dataset(folder.path() + "/").name == data.name);
  REQUIRE(read_dataset(folder / "a.inter").modalities.size() == 2);
}

TEST_CASE("a selection of modalities is read, and an unknown one is an error") {
  TemporaryFolder folder;
  folder.write("a.inter", usual);
  write_features(folder, "text", 4, {1, 2, 3, 4});
  write_features(folder, "image", 4, {1, 2, 3, 4});
  ReadOptions options;
  options.modalities = {"text"};
  const Dataset data = read_dataset(folder.path(), options);
  REQUIRE(data.modalities.size() == 1);
  REQUIRE(data.modalities[0].name == "text");
  options.modalities = {"audio"};
  REQUIRE_ERROR(read_dataset(folder.path(), options), "audio_feat.npy: there is no such file");
}

TEST_CASE("columns come in any order, with RecBole's types, other columns, CRLF, blank lines and no final line end") {
  TemporaryFolder folder;
  folder.write("a.inter",
               "\xEF\xBB\xBFtimestamp:float\titem_id:token\trating:float\tx_label\tuser_id:token\r\n"
               "978300760\t10\t4.5\t0\t7\r\n\r\n1.5e3\t2\t\t2\t0\n-12.0\t0\tx y\t1\t7");
  const Dataset data = read_dataset(folder.path());
  REQUIRE(data.users.names == Names{"0", "7"});
  REQUIRE(data.items.names == Names{"0", "2", "10"});
  REQUIRE(data.train.user == Rows{1});
  REQUIRE(data.train.item == Rows{2});
  REQUIRE(data.train.timestamp == std::vector<std::int64_t>{978300760});
  REQUIRE(data.test.timestamp == std::vector<std::int64_t>{1500});
  REQUIRE(data.valid.timestamp == std::vector<std::int64_t>{-12});
}

TEST_CASE("string ids get rows in order of first appearance and map back") {
  TemporaryFolder folder;
  folder.write("a.inter", header + "bob x\tB01\t0\nal\t007\t0\nbob x\t007\t2\n");
  const Dataset data = read_dataset(folder.path());
  REQUIRE(data.users.names == Names{"bob x", "al"});
  REQUIRE(data.items.names == Names{"B01", "007"});
  REQUIRE(data.items.name(1) == "007");
  REQUIRE(data.test.item == Rows{1});

  folder.write("a.inter", header + "5\t007\t0\n9\tB01\t0\n");  // users are numbers, items are not
  const Dataset mixed = read_dataset(folder.path());
  REQUIRE(mixed.users.names == Names{"5", "9"});
  REQUIRE(mixed.items.names == Names{"007", "B01"});

  ReadOptions options;
  options.ids = dream::IdKind::strings;
  REQUIRE(read_dataset(folder.path(), options).users.names == Names{"5", "9"});
  options.ids = dream::IdKind::integers;
  REQUIRE_ERROR(read_dataset(folder.path(), options), "a.inter:2: found the item id '007', expected a whole number");
}

TEST_CASE("string item ids need item_ids.tsv to know whose features a row holds") {
  TemporaryFolder folder;
  folder.write("a.inter", header + "u\tb\t0\nv\ta\t0\n");
  write_features(folder, "text", 3, {1, 2, 3});
  REQUIRE_ERROR(read_dataset(folder.path()), "the item ids are strings; expected");
  folder.write("item_ids.tsv", "row\tid\n0\ta\n1\tcold\n2\tb\n");
  const Dataset data = read_dataset(folder.path());
  REQUIRE(data.items.names == Names{"a", "cold", "b"});
  REQUIRE(data.train.item == Rows{2, 0});
  REQUIRE(data.users.names == Names{"u", "v"});

  folder.write("item_ids.tsv", "0\ta\n1\tb\n");
  REQUIRE_ERROR(read_dataset(folder.path()), "item_ids.tsv: found 2 items, expected 3, the rows of text_feat.npy");
  folder.write("item_ids.tsv", "0\ta\n1\tc\n2\td\n");
  REQUIRE_ERROR(read_dataset(folder.path()), "a.inter:2: found the item id 'b', which is not in");
  folder.write("item_ids.tsv", "0\ta\n1\tc\n2\tb\n");
  folder.write("user_ids.tsv", "0\tw\n1\tv\n2\tu\n");
  REQUIRE(read_dataset(folder.path()).train.user == Rows{2, 1});
}

TEST_CASE("LightGCN lists are read, and valid is carved out of train where there is no valid.txt") {
  TemporaryFolder folder;
  folder.write("train.txt", "0 1 2 3 4 5 6 7 8 9 10\n2 4 \n3\n");
  folder.write("test.txt", "0 0\r\n1\t5,6\n");
  const Dataset data = read_dataset(folder.path());
  REQUIRE(data.user_count() == 4);
  REQUIRE(data.item_count() == 11);
  REQUIRE(data.train.size() == 10);
  REQUIRE(data.valid.user == Rows{0});
  REQUIRE(data.test.user == Rows{0, 1, 1});
  REQUIRE(data.test.item == Rows{0, 5, 6});
  REQUIRE(noted(data, "no valid.txt"));
  ReadOptions options;
  options.seed = 4;
  REQUIRE(read_dataset(folder.path(), options).valid.item != data.valid.item);

  folder.write("valid.txt", "2 5\n");
  const Dataset given = read_dataset(folder.path());
  REQUIRE(given.train.size() == 11);
  REQUIRE(given.valid.item == Rows{5});
  folder.write("valid.txt", "2 5\n\n2 1 4\n");
  REQUIRE_ERROR(read_dataset(folder.path()),
                "valid.txt:3: found user 2 with item 4 again, first at " + (folder / "train.txt:2"));
  folder.write("valid.txt", "2 5 x\n");
  REQUIRE_ERROR(read_dataset(folder.path()), "valid.txt:1: found the item id 'x', expected a whole number");
  std::filesystem::remove(folder / "test.txt");
  REQUIRE_ERROR(read_dataset(folder.path()), "valid.txt:1");
  folder.write("valid.txt", "2 5\n");
  REQUIRE_ERROR(read_dataset(folder.path()), "test.txt: cannot open");
}

TEST_CASE("a plain file is read with blanks, TABs or commas, with or without a header") {
  TemporaryFolder folder;
  for (const char* text :
       {"0 1 30\n0 2 10\n\n  0   3 20 \n1 1 5", "user,item,timestamp\n0,1,30\n0,2,10\n0,3,20\n1,1,5\n",
        "timestamp item_id user_id\n30 1 0\n10 2 0\n20 3 0\n5 1 1\n",
        "0\t1\t30\r\n0\t2\t10\r\n0\t3\t20\r\n1, 1 ,5\r\n"}) {
    ReadOptions options;
    options.split = dream::SplitRule::time;
    const Dataset data = read_dataset(folder.write("clicks.csv", text), options);
    REQUIRE(data.name == "clicks");
    REQUIRE(data.items.names == Names{"1", "2", "3"});
    REQUIRE(data.train.item == Rows{1, 0});
    REQUIRE(data.valid.item == Rows{2});
    REQUIRE(data.test.item == Rows{0});
    REQUIRE(data.test.timestamp == std::vector<std::int64_t>{30});
  }
  const Dataset pairs = read_dataset(folder.write("p.txt", "ann x\nbob y\nann y\n"));
  REQUIRE(pairs.users.names == Names{"ann", "bob"});
  REQUIRE(noted(pairs, "split at random"));
  const Dataset labelled = read_dataset(folder.write("p.txt", "user item x_label\n0 0 0\n0 1 2\n"));
  REQUIRE(labelled.test.item == Rows{1});

  const auto rejects = [&](const char* text, const char* message) {
    REQUIRE_ERROR(read_dataset(folder.write("p.txt", text)), message);
  };
  rejects("0 1 2 3\n", "p.txt:1: found 4 columns, expected user, item and perhaps timestamp, or a header line");
  rejects("0\n", "p.txt:1: found 1 column,");
  rejects("0 1\n1\n", "p.txt:2: found 1 columns, expected 2");
  rejects("0 1\n1 2 3\n", "p.txt:2: found more than 2 columns");
  rejects("0,1\n1,,2\n", "p.txt:2: found an empty item id");
  rejects("0 1 noon\n", "p.txt:1: found the timestamp 'noon', expected a number");
  rejects("user item\rtimestamp\n0 1\n", "p.txt:1: found a stray carriage return");
  rejects("user thing\n0 1\n", "p.txt:1: missing column: found the columns user, thing, expected one named itemID");
}

TEST_CASE("timestamps with fractions keep their order, whatever stands before them, and when they are written") {
  TemporaryFolder folder;
  ReadOptions options;
  options.split = dream::SplitRule::time;
  options.ratios = {1, 0, 0};
  const std::vector<std::string> ascending{"-1e15",  "-7.75",     "-7.5",        "-1",  "-0.25", "0",
                                           "1e-300", "0.1",       "0.2",         "0.9", "1",     "1.5",
                                           "2.0",    "978300760", "978300760.5", "8e18"};
  for (const std::size_t step : {1, 3, 5, 7, 9, 15}) {  // orders in which they stand in the file
    std::string text = "user item timestamp\n";
    for (std::size_t i = 0, at = step; i < 16; ++i, at = (at + step) % 16)
      text += dream::concat("0 ", at, ' ', ascending[at], '\n');
    const Dataset data = read_dataset(folder.write("p.txt", text), options);
    std::vector<std::int64_t> time(16);
    for (std::size_t i = 0; i < 16; ++i) time[static_cast<std::size_t>(data.train.item[i])] = data.train.timestamp[i];
    for (std::size_t at = 1; at < 16; ++at) REQUIRE(time[at - 1] < time[at]);
    dream::write_dataset(data, folder / "copy", dream::Existing::replace);
    REQUIRE(read_dataset(folder / "copy").train.timestamp == data.train.timestamp);
  }
  options.ratios = {0.8, 0, 0.2};
  const Dataset data = read_dataset(
      folder.write("p.txt", "user item timestamp\n0 0 0.9\n0 1 0.1\n0 2 0.2\n0 3 0.3\n0 4 0.4\n"), options);
  REQUIRE(data.test.item == Rows{0});
  // -0 is 0: equal times stay in the order of the file.
  const Dataset zeros = read_dataset(folder.write("p.txt", "user item timestamp\n0 0 0.5\n0 1 0\n0 2 -0.0\n"), options);
  REQUIRE(zeros.train.timestamp == std::vector<std::int64_t>{0, 0});
  REQUIRE(zeros.test.item == Rows{0});
}

TEST_CASE("integer ids with gaps are the users and items that lines name, in the order of their numbers") {
  TemporaryFolder folder;
  const Dataset data = read_dataset(folder.write("p.txt", "27 5\n7 2147483646\n17 5\n7 64\n128 63\n"));
  REQUIRE(data.users.names == Names{"7", "17", "27", "128"});
  REQUIRE(data.items.names == Names{"5", "63", "64", "2147483646"});
  REQUIRE(data.users.count == 4);
  REQUIRE(data.items.count == 4);
  REQUIRE(data.train.user == Rows{2, 0, 1, 3});
  REQUIRE(data.train.item == Rows{0, 3, 0, 1});
  REQUIRE(data.test.user == Rows{0});
  REQUIRE(data.test.item == Rows{2});

  // The lines give the same data set as strings would in this order; without a gap rows are numbers as ever.
  REQUIRE(read_dataset(folder.write("p.txt", "1 1\n2 2\n")).users.names == Names{"1", "2"});
  const Dataset whole = read_dataset(folder.write("p.txt", "1 1\n0 0\n"));
  REQUIRE(whole.users.is_identity());
  REQUIRE(whole.train.user == Rows{1, 0});

  folder.write("l/train.txt", "0 1\n1999999999\n");  // a user without items is named all the same
  folder.write("l/test.txt", "0 2\n");
  REQUIRE(read_dataset(folder / "l").users.names == Names{"0", "1999999999"});
  REQUIRE(read_dataset(folder / "l").items.names == Names{"1", "2"});
}

TEST_CASE("integer ids far above the number of lines take no memory by their size, and rows are in their order") {
  TemporaryFolder folder;
  rusage before, after;
  REQUIRE(::getrusage(RUSAGE_SELF, &before) == 0);
  const Dataset small = read_dataset(folder.write("p.txt", "2147483646 0\n0 2147483646\n2147483645 2147483645\n0 0\n"));
  REQUIRE(::getrusage(RUSAGE_SELF, &after) == 0);
  CHECK(after.ru_maxrss - before.ru_maxrss < 100'000);  // KiB; a bit for every integer up to the largest is 256 MiB
  CHECK(small.users.names == Names{"0", "2147483645", "2147483646"});
  CHECK(small.items.names == Names{"0", "2147483645", "2147483646"});

  // Ids of all sizes, each several times, so that some stand in the list before the bits reach them.
  std::string text;
  std::vector<std::pair<index_t, index_t>> pairs;
  std::uint32_t state = 1;
  const auto draw = [&state](std::uint32_t below) {
    state = state * 1664525u + 1013904223u;
    return (state >> 4) % below;
  };
  std::set<std::pair<index_t, index_t>> seen;
  std::set<index_t> users, items;
  for (int line = 0; line < 20000; ++line) {
    const std::uint32_t reach = line % 3 == 0 ? 50u : line % 3 == 1 ? 1500000u : 200000000u;
    const auto user = static_cast<index_t>(draw(reach) / 40 * 40), item = static_cast<index_t>(draw(reach) / 7 * 7);
    if (!seen.emplace(user, item).second) continue;
    users.insert(user);
    items.insert(item);
    pairs.emplace_back(user, item);
    text += std::to_string(user) + "\t" + std::to_string(item) + "\t0\n";
  }
  const Dataset data = read_dataset(folder.write("q/q.inter", header + text));
  REQUIRE(data.users.count == static_cast<index_t>(users.size()));
  REQUIRE(data.items.count == static_cast<index_t>(items.size()));
  REQUIRE(data.train.size() == static_cast<std::int64_t>(pairs.size()));
  const std::vector<index_t> user_of(users.begin(), users.end()), item_of(items.begin(), items.end());
  bool right = true;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const auto user = static_cast<std::size_t>(data.train.user[i]), item = static_cast<std::size_t>(data.train.item[i]);
    right = right && user_of[user] == pairs[i].first && data.users.names[user] == std::to_string(pairs[i].first);
    right = right && item_of[item] == pairs[i].second && data.items.names[item] == std::to_string(pairs[i].second);
  }
  CHECK(right);
}

TEST_CASE("with integer ids, rows of features that no line names are items where they hold features") {
  TemporaryFolder folder;
  folder.write("f/f.inter", header + "0\t1\t0\n0\t4\t2\n");
  write_features(folder, "f/text", 6, {1, 0, 0, 3, 0, 0});
  write_features(folder, "f/image", 6, {0, 0, NAN, 0, 5, 0});
  const Dataset data = read_dataset(folder / "f");
  REQUIRE(data.items.names == Names{"0", "1", "3", "4"});
  REQUIRE(data.train.item == Rows{1});
  REQUIRE(data.test.item == Rows{3});
  REQUIRE(data.modalities[0].rows == 4);
  REQUIRE(data.modalities[0].values == std::vector<float>{0, 0, 0, 5});
  REQUIRE(data.modalities[1].values == std::vector<float>{1, 0, 3, 0});
  REQUIRE(data.modalities[1].present == std::vector<std::uint8_t>{1, 0, 1, 0});
  REQUIRE(noted(data, "2 rows of the features are no items"));
  folder.write("f/item_ids.tsv", "0\t0\n1\t1\n2\t2\n3\t3\n4\t4\n5\t5\n");  // names them all
  REQUIRE(read_dataset(folder / "f").item_count() == 6);

  // A large catalogue whose rows all have features keeps its numbers.
  folder.write("g/g.inter", header + "0\t100300\t0\n");
  write_features(folder, "g/text", 100301, std::vector<float>(100301, 1.0f));
  const Dataset large = read_dataset(folder / "g");
  REQUIRE(large.items.is_identity());
  REQUIRE(large.item_count() == 100301);
}

TEST_CASE("names that all equal their rows are the identity, so that a data set keeps its fingerprint when written") {
  TemporaryFolder folder;
  ReadOptions strings, cored;
  strings.ids = dream::IdKind::strings;
  cored.k_core = 2;
  const Dataset by_name = read_dataset(folder.write("s.txt", "0 0\n1 1\n1 0\n2 1\n"), strings);
  const Dataset core = read_dataset(folder.write("k.txt", "0 0\n0 1\n1 0\n1 1\n2 2\n"), cored);
  REQUIRE(core.user_count() == 2);
  for (const Dataset* data : {&by_name, &core}) {
    REQUIRE(data->users.is_identity());
    REQUIRE(data->items.is_identity());
    dream::write_dataset(*data, folder / data->name);
    REQUIRE(dream::fingerprint(read_dataset(folder / data->name)) == dream::fingerprint(*data));
  }
  REQUIRE(read_dataset(folder.write("s.txt", "1 0\n0 1\n"), strings).users.names == Names{"1", "0"});
}

TEST_CASE("empty lines before the first one, and blanks before it in a plain file, are skipped") {
  TemporaryFolder folder;
  for (const char* text : {"  0 1\n0 2\n", "\n0 1\n0 2\n", "\r\n \t\n\t0 1\n0 2\n", "\xEF\xBB\xBF\n  0 1\n0 2\n",
                           "\n  user item\n0 1\n0 2\n"}) {
    const Dataset data = read_dataset(folder.write("p.txt", text));
    REQUIRE(data.user_count() == 1);
    REQUIRE(data.items.names == Names{"1", "2"});
    REQUIRE(data.train.size() + data.valid.size() + data.test.size() == 2);
  }
  REQUIRE_ERROR(read_dataset(folder.write("p.txt", "\n\n 0\n")), "p.txt:3: found 1 column,");
  REQUIRE_ERROR(read_dataset(folder.write("p.txt", "\n \n")), "p.txt: holds no interactions");
  folder.write("a.inter", "\n\r\n" + usual);
  REQUIRE(read_dataset(folder.path()).train.size() == 3);
  folder.write("a.inter", "\nuserID\tx_label\n");
  REQUIRE_ERROR(read_dataset(folder.path()), "a.inter:2: missing column");
  folder.write("a.inter", "\n\n");
  REQUIRE_ERROR(read_dataset(folder.path()), "a.inter: holds no interactions");
}

TEST_CASE("a split can be drawn anew over the labels of the file") {
  TemporaryFolder folder;
  std::string text = "userID\titemID\ttimestamp\tx_label\n";
  for (int i = 0; i < 20; ++i) text += dream::concat("0\t", i, '\t', 100 - i, "\t0\n");
  folder.write("a.inter", text);
  ReadOptions options;
  REQUIRE(noted(read_dataset(folder.path()), "There are no valid interactions"));
  REQUIRE(noted(read_dataset(folder.path()), "There are no test interactions"));
  options.split = dream::SplitRule::time;
  REQUIRE(read_dataset(folder.path(), options).test.item == Rows{0, 1});
  options.split = dream::SplitRule::random;
  const Dataset data = read_dataset(folder.path(), options);
  REQUIRE(data.train.size() == 16);
  REQUIRE(data.valid.size() == 2);
  options.ratios = {1, 1, 2};
  REQUIRE(read_dataset(folder.path(), options).test.size() == 10);
}

TEST_CASE("the k-core filter compacts rows, keeps labels, features and original ids") {
  TemporaryFolder folder;
  folder.write("a.inter", header + "0\t0\t0\n2\t1\t0\n2\t3\t2\n4\t1\t1\n4\t3\t0\n4\t0\t0\n");
  write_features(folder, "text", 5, {1, 2, 3, 0, 5});
  ReadOptions options;
  options.k_core = 2;
  const Dataset data = read_dataset(folder.path(), options);
  REQUIRE(data.users.names == Names{"2", "4"});
  REQUIRE(data.items.names == Names{"1", "3"});
  REQUIRE(data.train.user == Rows{0, 1});
  REQUIRE(data.train.item == Rows{0, 1});
  REQUIRE(data.valid.item == Rows{0});
  REQUIRE(data.test.item == Rows{1});
  REQUIRE(data.modalities[0].values == std::vector<float>{2, 0});
  REQUIRE(data.modalities[0].present == std::vector<std::uint8_t>{1, 0});
  REQUIRE(data.modalities[0].rows == 2);
  REQUIRE(noted(data, "removed 1 users, 3 items and 2 interactions"));
  options.k_core = 3;
  REQUIRE_ERROR(read_dataset(folder.path(), options),
                folder.path() + ": no interaction is left by the k-core filter with k = 3");
  write_features(folder, "text", 5, {1, 0, 3, 0, 5});
  options.k_core = 2;
  REQUIRE_ERROR(read_dataset(folder.path(), options),
                folder.path() + ": no item of the 2-core has features of the modality 'text'");
}

TEST_CASE("repeated pairs are an error that names both lines, or are merged on request") {
  TemporaryFolder folder;
  folder.write("a.inter", header + "0\t1\t0\n\n1\t0\t0\n0\t1\t2\n1\t0\t0\n");
  REQUIRE_ERROR(read_dataset(folder.path()), "a.inter:5: found user 0 with item 1 again, first at " +
                                                 (folder / "a.inter:2") + " (merge_duplicates keeps the first)");
  ReadOptions options;
  options.merge_duplicates = true;
  const Dataset data = read_dataset(folder.path(), options);
  REQUIRE(data.train.size() == 2);
  REQUIRE(data.test.size() == 0);
  REQUIRE(noted(data, "2 repeated interactions were removed"));
}

TEST_CASE("missing files and folders are errors") {
  TemporaryFolder folder;
  REQUIRE_ERROR(read_dataset(folder / "none"), "none: no such file or folder");
  REQUIRE_ERROR(read_dataset(folder.path()), "found neither an .inter file nor train.txt");
  REQUIRE_ERROR(read_dataset(folder.write("empty.txt", "")), "empty.txt: is empty");
  REQUIRE_ERROR(read_dataset(folder.write("e/e.inter", "")), "e.inter: is empty");
  REQUIRE_ERROR(read_dataset(folder.write("e/e.inter", header)), "e.inter: holds no interactions");
  folder.write("e/f.inter", usual);
  folder.write("e/e.inter", usual);
  REQUIRE(read_dataset(folder / "e").train.size() == 3);  // the one named like the folder
  std::filesystem::remove(folder / "e/e.inter");
  folder.write("e/g.inter", usual);
  REQUIRE_ERROR(read_dataset(folder / "e"), "found 2 .inter files, expected one, or one named e.inter");
}

TEST_CASE("every malformed table is an error that names file, line, what was found and what was expected") {
  TemporaryFolder folder;
  const auto rejects = [&](const std::string& text, const std::string& message) {
    folder.write("a.inter", text);
    REQUIRE_ERROR(read_dataset(folder.path()), "a.inter:" + message);
  };
  rejects("userID\tx_label\n0\t0\n", "1: missing column: found the columns userID, x_label, expected one named itemID");
  rejects("userID\titemID\rx_label\n0\t0\n", "1: found a stray carriage return");
  rejects("userID\titemID\r\r\n0\t0\n", "1: found a stray carriage return");
  rejects("itemID\trating\n0\t0\n", "1: missing column: found the columns itemID, rating, expected one named userID");
  rejects("userID\titemID\tuser_id\n0\t0\t0\n", "1: found the column 'user_id' a second time");
  rejects(header + "0\t1\t0\nx\t1\t0\n",
          "3: found the user id 'x', expected a whole number like the first user id (or read ids as strings: ids = "
          "strings)");
  rejects(header + "0\t1\t0\n1\t1.5\t0\n", "3: found the item id '1.5', expected a whole number");
  rejects(header + "0\t1\t0\n1\t01\t0\n", "3: found the item id '01', expected a whole number");
  rejects(header + "0\t1\t0\n1\t-3\t0\n", "3: found the negative item id '-3', expected ids from 0");
  rejects(header + "-1\t1\t0\n", "2: found the negative user id '-1', expected ids from 0");
  rejects(header + "0\t1\t0\n2147483647\t1\t0\n",
          "3: found the user id '2147483647', expected at most 2147483646 (or read ids as strings: ids = strings)");
  rejects(header + "0\t1\t0\n99999999999999999999\t1\t0\n",
          "3: found the user id '99999999999999999999', expected at most");
  rejects(header + "0\t1\t0\n\t1\t0\n", "3: found an empty user id");
  rejects(header + "a\tb\t0\na\t\t0\n", "3: found an empty item id");
  for (const char* label : {"3", "-1", "", "0.0", "train", "10"})
    rejects(header + "0\t1\t" + label + "\n",
            std::string("2: found the x_label '") + label + "', expected 0 (train), 1 (valid) or 2 (test)");
  rejects(header + "0\t1\n", "2: found 2 columns, expected 3");
  rejects(header + "0\t1\t0\t0\n", "2: found more than 3 columns");
  rejects(header + "0\t1\t0\t\n", "2: found");
  rejects(header + "0\t1\t0\r0\t2\t0\n", "2: found a stray carriage return");
  rejects("userID\titemID\ttimestamp\n0\t1\t12x\n", "2: found the timestamp '12x', expected a number");
  rejects("userID\titemID\ttimestamp\n0\t1\tnan\n", "2: found the timestamp 'nan', expected a number");

  folder.write("a.inter", header + "0\t1\t1\n0\t2\t2\n");
  REQUIRE_ERROR(read_dataset(folder.path()), "has no training interactions (1 valid, 1 test)");
  folder.write("a.inter", usual);
  ReadOptions options;
  options.split = dream::SplitRule::time;
  REQUIRE_ERROR(read_dataset(folder.path(), options), "a.inter: has no timestamp column, which a split by time needs");
}

TEST_CASE("files that look like features and are not read are named in a note") {
  TemporaryFolder folder;
  folder.write("a.inter", usual);
  write_features(folder, "image", 4, {1, 2, 3, 4});
  folder.write("best.npz", "");
  REQUIRE(!noted(read_dataset(folder.path()), "Not read"));
  for (const char* name : {"text_features.npz", "audio_features.npy", "Video_Feat.pt", "raw.npy", "other.item"})
    folder.write(name, "");
  folder.write("deep/text_feat.npy", "");
  const Dataset data = read_dataset(folder.path());
  for (const char* name :
       {"text_features.npz", "audio_features.npy", "Video_Feat.pt", "raw.npy", "other.item", "deep/text_feat.npy"})
    REQUIRE(noted(data, name));
  REQUIRE(!noted(data, "image_feat.npy"));
  REQUIRE(data.modalities.size() == 1);
}

TEST_CASE("features that do not fit the interactions or each other are errors") {
  TemporaryFolder folder;
  folder.write("a.inter", usual);
  write_features(folder, "text", 3, {1, 2, 3});
  REQUIRE_ERROR(read_dataset(folder.path()),
                "a.inter:3: found the item id 3, expected at most 2, as text_feat.npy has 3 rows");
  write_features(folder, "text", 4, {1, 2, 3, 4});
  write_features(folder, "image", 5, {1, 2, 3, 4, 5});
  REQUIRE_ERROR(read_dataset(folder.path()), "text_feat.npy: found 4 rows, expected 5 as in image_feat.npy");
  write_features(folder, "image", 4, {NAN, 0, NAN, -INFINITY});
  REQUIRE_ERROR(read_dataset(folder.path()), "image_feat.npy: all 4 rows are zero or not finite");
  folder.write("image_feat.npy", "junk");
  REQUIRE_ERROR(read_dataset(folder.path()), "image_feat.npy: byte 0: found no .npy magic string");
}

TEST_CASE("the development data sets are read with their published counts") {
  const char* root = std::getenv("DREAM_DATA");
  if (!root) DREAM_SKIP("DREAM_DATA is not set");
  const Dataset tiktok = read_dataset(std::string(root) + "/tiktok");
  REQUIRE(tiktok.user_count() == 9308);
  REQUIRE(tiktok.item_count() == 6710);
  REQUIRE(tiktok.train.size() == 59541);
  REQUIRE(tiktok.valid.size() == 3051);
  REQUIRE(tiktok.test.size() == 6130);
  REQUIRE(tiktok.modalities.size() == 2);
  const Dataset sports = read_dataset(std::string(root) + "/sports");
  REQUIRE(sports.train.size() == 218409);
  REQUIRE(sports.modalities[1].name == "text");
  REQUIRE(sports.modalities[1].rows == 18357);
}

}  // namespace dream_tests::data_read_dataset
