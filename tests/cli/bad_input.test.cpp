#include <cmath>
#include <vector>

#include <dream/train/safetensors.hpp>

#include "cli/program.hpp"

namespace dream_tests::cli_bad_input {

using namespace dream_test;

namespace {

/// A .npy file of rows x cols zeros and ones (diagonal), with what its header says.
std::string npy(const std::string& header, int values, const std::string& length = "") {
  std::string padded = header;
  while ((10 + padded.size() + 1) % 64 != 0) padded += ' ';
  padded += '\n';
  const char size[2] = {static_cast<char>(padded.size() & 255), static_cast<char>(padded.size() >> 8)};
  std::string file("\x93NUMPY\x01\x00", 8);
  file += length.empty() ? std::string(size, 2) : length;
  file += padded;
  for (int i = 0; i < values; ++i) {
    const float value = static_cast<float>(1 + i % 7);
    file.append(reinterpret_cast<const char*>(&value), 4);
  }
  return file;
}

std::string header(const std::string& descr, const std::string& order, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

/// Every number of every tensor of a checkpoint is finite.
void check_finite(const std::string& path) {
  dream::SafetensorsFile file(path);
  int tensors = 0;
  for (const auto& entry : file.entries()) {
    if (entry.dtype != dream::Dtype::f32) continue;
    INFO(entry.name);
    const std::vector<float> values = file.values<float>(entry.name);
    CHECK(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }));
    ++tensors;
  }
  CHECK(tensors > 0);
}

constexpr const char* table =
    "userID\titemID\tx_label\n0\t0\t0\n0\t1\t0\n0\t2\t1\n1\t1\t0\n1\t2\t0\n1\t3\t2\n2\t3\t0\n2\t0\t0\n2\t1\t1\n";

/// A small data set in `d` that is right, to be broken by a test.
struct Small : Workplace {
  Small() {
    write("d/d.inter", table);
    write("d/image_feat.npy", npy(header("<f4", "False", "(4, 3)"), 12));
  }
  /// Both the reader alone and training refuse it, and training leaves nothing that looks finished.
  void refuses(const std::string& text) const {
    CHECK_FAILS(run("inspect --data d"), 1, text);
    CHECK_FAILS(run("train --data d --out o --epochs 2"), 1, text);
    CHECK_FALSE(has("o/result.json"));
    CHECK_FALSE(has("o/checkpoint.safetensors"));
  }
};

}  // namespace

TEST_CASE("the small data set of these tests is itself accepted") {
  NEEDS_PROGRAM();
  const Small place;
  const Outcome inspected = place.run("inspect --data d");
  INFO(inspected.err);
  CHECK(inspected.code == 0);
  const Outcome trained = place.run("train --data d --out o --epochs 2 --set topk=[2] --set valid_metric=recall@2");
  INFO(trained.err);
  CHECK(trained.code == 0);
  CHECK(place.has("o/result.json"));
}

TEST_CASE("missing, empty and malformed interaction files are refused with file and line") {
  NEEDS_PROGRAM();
  const Small place;
  CHECK_FAILS(place.run("inspect --data nowhere"), 1, "nowhere");
  CHECK_FAILS(place.run("train --data nowhere --out o"), 1, "nowhere");
  CHECK_FALSE(place.has("o"));
  std::filesystem::create_directory(place / "hollow");
  CHECK_FAILS(place.run("inspect --data hollow"), 1, "hollow");
  const auto with = [&](const std::string& text, const std::string& message) {
    INFO(text);
    place.write("d/d.inter", text);
    place.refuses(message);
  };
  with("", "d.inter");
  with("userID\titemID\tx_label\n", "d.inter");
  with("userID\tx_label\n0\t0\n", "d.inter:1");
  with("userID\titemID\tx_label\n0\t0\t0\n0\tone\t0\n", "d.inter:3");
  with("userID\titemID\tx_label\n0\t0\t0\n0\t-1\t0\n", "d.inter:3");
  with("userID\titemID\tx_label\n0\t0\t0\n0\t1\n", "d.inter:3");
  with("userID\titemID\tx_label\n0\t0\t0\n0\t1\t3\n", "d.inter:3");
  with("userID\titemID\tx_label\n0\t0\t0\n0\t1\t0\n1\t1\t0\n0\t0\t0\n", "d.inter:5");
  with("userID\titemID\tx_label\n0\t0\t0\n0\t4\t0\n", "d.inter:3");
  with("userID\titemID\tx_label\n0\t0\t1\n0\t1\t2\n", "no training interactions");
}

TEST_CASE("malformed feature files are refused with file and reason") {
  NEEDS_PROGRAM();
  const Small place;
  const auto with = [&](const std::string& file) {
    place.write("d/image_feat.npy", file);
    place.refuses("image_feat.npy");
  };
  const std::string right = npy(header("<f4", "False", "(4, 3)"), 12);
  with("");
  with("not numpy at all, but long enough to look like something");
  with(right.substr(0, right.size() - 1));
  with(right.substr(0, 20));
  with(right + "x");
  with(npy(header("<f4", "True", "(4, 3)"), 12));
  with(npy(header("|O", "False", "(4, 3)"), 12));
  with(npy(header(">f4", "False", "(4, 3)"), 12));
  with(npy(header("<f4", "False", "(4, 3)"), 12, std::string("\xff\xff", 2)));
  with(npy(header("<f4", "False", "(12,)"), 12));
  with(npy(header("<f4", "False", "(4294967296, 4294967296)"), 12));
  with(npy(header("<f4", "False", "(3, 4)"), 12));
  place.write("d/image_feat.npy", right);
  place.write("d/text_feat.npy", npy(header("<f4", "False", "(5, 2)"), 10));
  place.refuses("text_feat.npy");
}

TEST_CASE("a modality without a single number is refused") {
  NEEDS_PROGRAM();
  const Small place;
  std::string file = npy(header("<f4", "False", "(4, 3)"), 0);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (int i = 0; i < 12; ++i) file.append(reinterpret_cast<const char*>(&nan), 4);
  place.write("d/image_feat.npy", file);
  place.refuses("image_feat.npy");
}

TEST_CASE("more items asked for than there are is an error") {
  NEEDS_PROGRAM();
  const Small place;
  CHECK_FAILS(place.run("train --data d --out o --epochs 1"), 1, "4 items");
  REQUIRE(place.run("train --data d --out p --epochs 1 --set topk=2 --set valid_metric=recall@2").code == 0);
  CHECK_FAILS(place.run("recommend --data d --checkpoint p/best.safetensors --k 5 --out top.tsv"), 1, "only 4 items");
  CHECK_FAILS(place.run("similar --data d --checkpoint p/best.safetensors --item 0 --k 4"), 1, "only 3 other items");
  CHECK_FALSE(place.has("top.tsv"));
}

TEST_CASE("a batch larger than the data trains") {
  NEEDS_PROGRAM();
  const Small place;
  const Outcome run = place.run(
      "train --data d --out o --epochs 3 --set topk=2 --set valid_metric=recall@2 --set train_batch_size=1000000");
  INFO(run.err);
  CHECK(run.code == 0);
}

TEST_CASE("a user who has everything neither stops training nor gets recommendations") {
  NEEDS_PROGRAM();
  const Small place;
  place.write("d/d.inter", "userID\titemID\tx_label\n0\t0\t0\n0\t1\t0\n0\t2\t0\n0\t3\t0\n1\t1\t0\n1\t2\t1\n1\t3\t2\n");
  const Outcome run = place.run("train --data d --out o --epochs 3 --set topk=2 --set valid_metric=recall@2");
  INFO(run.err);
  REQUIRE(run.code == 0);
  REQUIRE(place.run("recommend --data d --checkpoint o/best.safetensors --k 4 --exclude train --out top.tsv").code ==
          0);
  const std::string top = place.read("top.tsv");
  CHECK_FALSE(contains(top, "\n0\t"));
  CHECK(std::count(top.begin(), top.end(), '\n') == 4);
  place.write("d/d.inter", "userID\titemID\tx_label\n0\t0\t0\n0\t1\t0\n0\t2\t0\n0\t3\t0\n");
  CHECK_FAILS(place.run("train --data d --out p --epochs 3 --set topk=2 --set valid_metric=recall@2"), 1, "negative");
}

TEST_CASE("a loss that is no number stops training, names the term and keeps the last good checkpoint") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  // The rate grows a millionfold every epoch: the first ones train, a later one diverges.
  const std::string growing =
      " --set embedding_size=8 --set learning_rate_scheduler=[1e9,1] --set train_batch_size=100";
  REQUIRE(place.run("train --data data --out o --epochs 1" + growing).code == 0);
  CHECK_FAILS(place.run("train --data data --out o --epochs 20 --resume" + growing), 1, "bpr");
  CHECK_FALSE(place.has("o/result.json"));
  const Outcome kept = place.run("evaluate --data data --checkpoint o/checkpoint.safetensors");
  INFO(kept.err);
  CHECK(kept.code == 0);
  check_finite(place / "o/checkpoint.safetensors");
}

TEST_CASE("a step that spoils the parameters is not saved") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  // One step an epoch: its loss is still finite, what it leaves is not.
  CHECK_FAILS(place.run("train --data data --out o --epochs 5 --set learning_rate=1e38 --set train_batch_size=100000"),
              1, "parameter '");
  CHECK_FALSE(place.has("o/result.json"));
  check_finite(place / "o/checkpoint.safetensors");
}

TEST_CASE("nothing is written into a data folder, and nobody's files are removed") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  const std::string files = place.listing("data");
  CHECK_FAILS(place.run("train --data data --out data --epochs 1"), 1, "data: is a data folder");
  place.write("mine/thesis.partial-draft.txt", "years of work");
  place.write("mine/result.json.partial-12-0", "{");
  REQUIRE(place.run("train --data data --out mine --epochs 1 --set embedding_size=8").code == 0);
  CHECK(place.read("mine/thesis.partial-draft.txt") == "years of work");
  CHECK_FALSE(place.has("mine/result.json.partial-12-0"));
  CHECK_FAILS(place.run("export --checkpoint mine/best.safetensors --out data"), 1, "data: is a data folder");
  CHECK(place.listing("data") == files);
}

TEST_CASE("a folder that cannot be written ends the run before training") {
  NEEDS_PROGRAM();
  const Small place;
  place.write("file", "in the way");
  CHECK_FAILS(place.run("train --data d --set topk=2 --set valid_metric=recall@2 --out file"), 1, "file");
  CHECK_FAILS(place.run("train --data d --set topk=2 --set valid_metric=recall@2 --out file/below"), 1, "file/below");
  CHECK_FAILS(place.run("train --data d --set topk=2 --set valid_metric=recall@2 --out /proc/dream"), 1, "/proc/dream");
  CHECK_FAILS(place.run("synth --out file/below"), 1, "file/below");
  CHECK(place.read("file") == "in the way");
}

TEST_CASE("a full disk ends the run with an error and leaves what was whole before") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  REQUIRE(place.run("train --data data --out o --epochs 1 --set embedding_size=8").code == 0);
  const std::string before = place.read("o/checkpoint.safetensors");
  // Files may not pass 8 KiB (ulimit counts blocks of 512 bytes in sh): the settings fit, a checkpoint does not.
  const std::string limit = "trap '' XFSZ; ulimit -f 16;";
  CHECK_FAILS(place.run("train --data data --out o --epochs 3 --set embedding_size=8 --resume", limit), 1,
              "safetensors");
  CHECK(place.read("o/checkpoint.safetensors") == before);
  CHECK_FAILS(place.run("train --data data --out p --epochs 1 --set embedding_size=64", limit), 1, "safetensors");
  CHECK_FALSE(place.has("p/checkpoint.safetensors"));
  CHECK_FALSE(place.has("p/result.json"));
  CHECK_FALSE(contains(place.listing("p"), "partial"));
  CHECK_FAILS(place.run("recommend --data data --checkpoint o/best.safetensors --k 20 --out top.tsv", limit), 1,
              "top.tsv");
  CHECK_FALSE(place.has("top.tsv"));
}

TEST_CASE("training that cannot fit into the memory limit is refused with both figures, and leaves no folder") {
  NEEDS_PROGRAM();
#if defined(__SANITIZE_ADDRESS__)
  DREAM_SKIP("the sanitizers reserve address space");
#endif
  const Workplace place;
  REQUIRE(place.run("synth --out data --users 3000 --items 1000 --interactions 20000 --modality none").code == 0);
  // The libraries of a program with CUDA take up more than a gigabyte of addresses.
  CHECK_FAILS(place.run("train --data data --out o --model lightgcn --set embedding_size=65536", "ulimit -v 3000000;"),
              1, "data: training lightgcn takes at least 3.9 GiB of memory, and this process may use 2.9 GiB");
  CHECK_FALSE(place.has("o"));
}

}  // namespace dream_tests::cli_bad_input
