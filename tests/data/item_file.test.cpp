#include <dream/data/item_file.hpp>

#include <dream/data/fingerprint.hpp>
#include <dream/data/read_dataset.hpp>
#include <dream/data/write_dataset.hpp>

#include "data/folder.hpp"
#include "data/notes.hpp"
#include "support/catch.hpp"

namespace dream_tests::data_item_file {

namespace {

using dream::Dataset;
using dream::read_dataset;
using dream::ReadOptions;
using dream_test::notes_with;
using Names = std::vector<std::string>;
using Values = std::vector<float>;
using Flags = std::vector<std::uint8_t>;

const std::string inter = "user_id:token\titem_id:token\tx_label:float\n";
const std::string header = "item_id:token\ttitle:token_seq\timage:float_seq\ttext:float_seq\n";

}  // namespace

TEST_CASE("float_seq columns of NAME.item are modalities, by item id, whatever the order of the lines") {
  TemporaryFolder folder;
  folder.write("a/a.inter", inter + "u\tb\t0\nv\ta\t0\nv\tb\t2\nu\tc\t1\n");
  folder.write("a/a.item", header + "d\tnew\t1 2\t7\r\na\told  one\t3  4 \t\n\nb\t\t-5e-1 .5\t8.25\n");
  const Dataset data = read_dataset(folder / "a");
  REQUIRE(data.items.names == Names{"b", "a", "c", "d"});  // c has no line, d no interaction
  REQUIRE(data.modalities.size() == 2);
  REQUIRE(data.modalities[0].name == "image");
  REQUIRE(data.modalities[0].rows == 4);
  REQUIRE(data.modalities[0].cols == 2);
  REQUIRE(data.modalities[0].values == Values{-0.5f, 0.5f, 3, 4, 0, 0, 1, 2});
  REQUIRE(data.modalities[0].present == Flags{1, 1, 0, 1});
  REQUIRE(data.modalities[1].values == Values{8.25f, 0, 0, 7});
  REQUIRE(data.modalities[1].present == Flags{1, 0, 0, 1});
  REQUIRE(notes_with(data, "a.item: columns that are not read: title:token_seq") == 1);
  REQUIRE(notes_with(data, "text: 2 of 4 items have no features in") == 1);
  REQUIRE(notes_with(data, "Not read") == 0);
  // From the table itself too, and what is written reads back.
  REQUIRE(dream::fingerprint(read_dataset(folder / "a/a.inter")) == dream::fingerprint(data));
  dream::write_dataset(data, folder / "copy");
  REQUIRE(dream::fingerprint(read_dataset(folder / "copy")) == dream::fingerprint(data));
  // In its own folder it replaces the files that it came from.
  folder.write("a/old_feat.npz", "");
  dream::write_dataset(data, folder / "a", dream::Existing::replace);
  REQUIRE(dream::fingerprint(read_dataset(folder / "a")) == dream::fingerprint(data));
}

TEST_CASE("integer ids of NAME.item and of the table are numbered together") {
  TemporaryFolder folder;
  folder.write("a/a.inter", inter + "1\t40\t0\n2\t7\t0\n1\t7\t2\n");
  folder.write("a/a.item", "image:float_seq\titem_id:token\n1\t50\n2\t7\n3\t9\n\t8\n");
  const Dataset data = read_dataset(folder / "a");
  REQUIRE(data.items.names == Names{"7", "9", "40", "50"});  // 8 has neither a value nor an interaction
  REQUIRE(data.train.item == std::vector<dream::index_t>{2, 0});
  REQUIRE(data.modalities[0].values == Values{2, 3, 0, 1});
  ReadOptions core;
  core.k_core = 2;
  folder.write("a/a.inter", inter + "1\t40\t0\n2\t7\t0\n1\t7\t0\n2\t40\t0\n3\t9\t0\n");
  REQUIRE(read_dataset(folder / "a", core).items.names == Names{"7", "40"});
}

TEST_CASE("a list of items decides which ids NAME.item may have") {
  TemporaryFolder folder;
  folder.write("a/a.inter", inter + "u\tb\t0\n");
  folder.write("a/item_ids.tsv", "0\ta\n1\tb\n2\tc\n");
  folder.write("a/a.item", "item_id:token\timage:float_seq\nc\t3\nb\t2\n");
  const Dataset data = read_dataset(folder / "a");
  REQUIRE(data.items.names == Names{"a", "b", "c"});
  REQUIRE(data.modalities[0].values == Values{0, 2, 3});
  folder.write("a/a.item", "item_id:token\timage:float_seq\nc\t3\nx\t2\n");
  REQUIRE_ERROR(read_dataset(folder / "a"), "a.item:3: found the item id 'x', which is not in");
}

TEST_CASE("columns of NAME.item stand beside files of features; of one name they are an error") {
  TemporaryFolder folder;
  folder.write("a/a.inter", inter + "0\t1\t0\n1\t2\t0\n");
  folder.write("a/a.item", "item_id:token\timage:float_seq\taudio:float_seq\n2\t3 4\t5\n0\t1 2\t\n");
  const Values text{1, 2, 3};
  dream::write_npy(folder / "a/text_feat.npy", {text.data(), 3, 1, 1});
  const Dataset data = read_dataset(folder / "a");
  REQUIRE(data.modalities.size() == 3);
  REQUIRE(data.modalities[0].name == "audio");
  REQUIRE(data.modalities[0].values == Values{0, 0, 5});
  REQUIRE(data.modalities[1].values == Values{1, 2, 0, 0, 3, 4});
  REQUIRE(data.modalities[2].values == text);
  ReadOptions options;
  options.modalities = {"image"};
  const Dataset image = read_dataset(folder / "a", options);
  REQUIRE(image.modalities.size() == 1);
  REQUIRE(image.modalities[0].name == "image");
  options.modalities = {"video"};
  REQUIRE_ERROR(read_dataset(folder / "a", options), "there is no such file, expected the features of the modality");
  dream::write_npy(folder / "a/audio_feat.npy", {text.data(), 3, 1, 1});
  REQUIRE_ERROR(read_dataset(folder / "a"), "audio_feat.npy: the modality 'audio' is also a column of ");
  std::filesystem::remove(folder / "a/audio_feat.npy");
  folder.write("a/a.item", "item_id:token\timage:float_seq\n2\t3\n3\t1\n");
  REQUIRE_ERROR(read_dataset(folder / "a"),
                "a.item:3: found the item id 3, expected at most 2, as text_feat.npy has 3 rows");
}

TEST_CASE("NAME.item without a float_seq column is noted and read no further") {
  TemporaryFolder folder;
  folder.write("a/a.inter", inter + "u\tb\t0\n");
  folder.write("a/a.item", "item_id:token\ttitle:token_seq\tprice:float\nz\tone two\t3\nbroken\n");
  const Dataset data = read_dataset(folder / "a");
  REQUIRE(data.items.names == Names{"b"});
  REQUIRE(data.modalities.empty());
  REQUIRE(notes_with(data, "title:token_seq, price:float") == 1);
}

TEST_CASE("the column of ids has any known name, or the one that the options give; fields may be separated otherwise") {
  TemporaryFolder folder;
  folder.write("a/a.inter", "user\tmovie\tx_label\n1\t4\t0\n");
  folder.write("a/a.item", "movie:token\titem_id:token\timage:float_seq\n4\tx\t2 3\n");
  ReadOptions options;
  options.columns.item = "movie";
  REQUIRE(read_dataset(folder / "a", options).modalities[0].values == Values{2, 3});
  options.columns.separator = ",";
  folder.write("a/a.inter", "user,movie,x_label\n1,4,0\n");
  folder.write("a/a.item", "image:float_seq,movie:token\n\"2 3\",4\n");
  REQUIRE(read_dataset(folder / "a", options).modalities[0].values == Values{2, 3});
  options.columns.item = "movie:token";
  folder.write("a/a.inter", "user,movie:token,x_label\n1,4,0\n");
  REQUIRE(read_dataset(folder / "a", options).modalities[0].values == Values{2, 3});
}

TEST_CASE("lists have NAME.item by the name of the folder") {
  TemporaryFolder folder;
  folder.write("a/train.txt", "0 1 2\n");
  folder.write("a/test.txt", "0 3\n");
  folder.write("a/a.item", "item_id:token\timage:float_seq\n3\t1\n1\t2\n");
  const Dataset data = read_dataset(folder / "a");
  REQUIRE(data.items.names == Names{"1", "2", "3"});
  REQUIRE(data.modalities[0].values == Values{2, 0, 1});
}

TEST_CASE("every malformed NAME.item is an error that names file and line") {
  TemporaryFolder folder;
  folder.write("a/a.inter", inter + "1\t2\t0\n");
  const auto rejects = [&](const std::string& text, const std::string& message) {
    folder.write("a/a.item", text);
    REQUIRE_ERROR(read_dataset(folder / "a"), "a.item" + message);
  };
  const std::string top = "item_id:token\timage:float_seq\n";
  rejects("", ": is empty, expected a header and items");
  rejects("image:float_seq\n1 2\n", ":1: missing column: found no column of item ids");
  rejects("item_id:token\timage:float_seq\timage:float_seq\n", ":1: found the column 'image:float_seq' a second time");
  rejects("item_id:token\titem:token\timage:float_seq\n", ":1: found the column 'item:token' beside another");
  rejects("item_id:token\t:float_seq\n", ":1: found the column ':float_seq', expected a name");
  rejects("item_id:token\ta/b:float_seq\n", ":1: found the column 'a/b:float_seq', expected a name");
  rejects(top + "2\t1 2\n\n3\t1\n", ":4: found 1 numbers in image:float_seq, expected 2 as in the rows before");
  rejects(top + "2\t1 x2\n", ":2: found 'x2' in image:float_seq, expected numbers");
  rejects(top + "2\t1,2\n", ":2: found '1,2' in image:float_seq, expected numbers");
  rejects(top + "2\t1\n3\t1\n2\t1\n", ":4: found the item '2' again, first on line 2");
  rejects(top + "2\n", ":2: found 1 columns, expected 2");
  rejects(top + "2\t1\t3\n", ":2: found more than 2 columns");
  rejects(top + "\t1\n", ":2: found an empty item id");
  rejects(top + "x\t1\n", ":2: found the item id 'x', expected a whole number");
  rejects(top + "2\t1\r3\t1\n", ":2: found a stray carriage return");
  rejects(top + "2\t\n3\t0\n4\tnan\n", ": the column image:float_seq holds no features");
  rejects(top, ": the column image:float_seq holds no features");
  rejects(std::string("PK\x03\x04", 4), ": byte 0: found zip");
}

}  // namespace dream_tests::data_item_file
