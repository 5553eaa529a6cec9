#include <dream/data/write_dataset.hpp>

#include <dream/data/fingerprint.hpp>
#include <dream/data/read_dataset.hpp>

#include "data/folder.hpp"
#include "support/catch.hpp"

namespace dream_tests::data_write_dataset {

namespace {

dream::Dataset small() {
  dream::Dataset data;
  data.users.count = 4;  // the last one has no interactions
  data.items.count = 3;
  data.train = {{2, 0, 1}, {1, 0, 1}, {}};
  data.valid = {{0}, {1}, {}};
  data.test = {{1}, {0}, {}};
  data.modalities.push_back({"text", 3, 2, {1, 2, 0, 0, 5, 6}, {1, 0, 1}});
  return data;
}

}  // namespace

TEST_CASE("what is written is read back equal, whatever the ids") {
  const dream::Dataset plain = small();
  dream::Dataset named = small(), timed = small(), bare = small();
  named.users.names = {"u 1", "7", "0", "x"};
  named.items.names = {"17", "5", "9"};
  timed.train.timestamp = {5, -1, 3};
  timed.valid.timestamp = {9};
  timed.test.timestamp = {10};
  bare.modalities.clear();
  dream::Dataset inner = small();  // user 1 and item 1 are in no line, and item 1 has no features
  inner.train = {{2, 0}, {0, 0}, {}};
  inner.valid = {{0}, {2}, {}};
  inner.test = {{3}, {0}, {}};
  for (const dream::Dataset& data : {plain, named, timed, bare, inner}) {
    TemporaryFolder folder;
    dream::write_dataset(data, folder / "set");
    const dream::Dataset back = dream::read_dataset(folder / "set");
    REQUIRE(back.name == "set");
    REQUIRE(back.users.count == data.users.count);
    REQUIRE(back.items.names == data.items.names);
    REQUIRE(back.train.item == data.train.item);
    REQUIRE(dream::fingerprint(back) == dream::fingerprint(data));
  }
}

TEST_CASE("a folder that is not empty is refused unless it is to be replaced, and then only data set files go") {
  TemporaryFolder folder;
  folder.write("set/notes.txt", "mine");
  REQUIRE_ERROR(dream::write_dataset(small(), folder / "set"), "set: the folder is not empty (found notes.txt)");
  folder.write("set/audio_feat.npy", "x");
  folder.write("set/item_ids.tsv", "x");
  REQUIRE_ERROR(dream::write_dataset(small(), folder / "set", dream::Existing::replace),
                "set: holds no data set to replace (found audio_feat.npy and no .inter file); delete what is there");
  REQUIRE(dream::read_file(folder / "set/audio_feat.npy") == "x");
  folder.write("set/old.inter", "x");
  dream::write_dataset(small(), folder / "set", dream::Existing::replace);
  REQUIRE(dream::read_file(folder / "set/notes.txt") == "mine");
  REQUIRE(dream::fingerprint(dream::read_dataset(folder / "set")) == dream::fingerprint(small()));
  REQUIRE_ERROR(dream::write_dataset(small(), folder / "set/notes.txt"), "cannot make this folder");
}

TEST_CASE("a data set that cannot be written whole leaves no table") {
  TemporaryFolder folder;
  dream::Dataset data = small();
  data.items.names = {"a", "b\nc", "d"};
  REQUIRE_ERROR(dream::write_dataset(data, folder / "set"), "item_ids.tsv: the id of row 1");
  REQUIRE_ERROR(dream::read_dataset(folder / "set"), "found neither an .inter file");
  data = small();
  data.modalities[0].name = "a/b";
  REQUIRE_ERROR(dream::write_dataset(data, folder / "other"), "the modality name 'a/b'");
}

}  // namespace dream_tests::data_write_dataset
