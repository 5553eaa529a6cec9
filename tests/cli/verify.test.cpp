// Damage of what the program wrote is found by `dream verify`, and by the commands that read it.
#include <limits>
#include <map>
#include <vector>

#include <dream/data/npy.hpp>
#include <dream/train/safetensors.hpp>

#include "cli/program.hpp"

namespace dream_tests::cli_verify {

using namespace dream_test;
namespace fs = std::filesystem;

namespace {

const std::string small = " --model mf --set embedding_size=8 ";

/// Data, a run of three epochs and an export of it.
struct Place : Workplace {
  Place() {
    make_data();
    REQUIRE(run("train --data data --out r --epochs 3" + small).code == 0);
    REQUIRE(run("export --checkpoint r/best.safetensors --out v").code == 0);
  }
  void wrong(const std::string& path, const std::string& text) const {
    const Outcome outcome = run("verify " + path);
    INFO(outcome.out << outcome.err);
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.out, DREAM_MATCHES_SUBSTRING("wrong  "));
    CHECK_THAT(outcome.out, DREAM_MATCHES_SUBSTRING(text));
  }
  void whole(const std::string& path) const {
    const Outcome outcome = run("verify " + path);
    INFO(outcome.out << outcome.err);
    CHECK(outcome.code == 0);
    CHECK_FALSE(contains(outcome.out, "wrong"));
  }
};

/// Writes a checkpoint again, with or without checksums, after `change` of its tensors.
template <class Change>
void rewrite(const std::string& path, bool checksums, Change change) {
  std::vector<dream::Tensor> tensors;
  std::map<std::string, std::string> metadata;
  {
    const dream::SafetensorsFile file(path);
    metadata = file.metadata();
    for (const auto& entry : file.entries()) tensors.push_back(file.tensor(entry));
  }
  for (dream::Tensor& t : tensors) change(t);
  metadata.erase("checksums");
  std::vector<dream::TensorView> views;
  for (const dream::Tensor& t : tensors) views.push_back({t.name, t.dtype, t.shape, t.bytes.data()});
  if (checksums) dream::add_checksums(views, metadata);
  dream::write_safetensors(path, views, metadata);
}

}  // namespace

TEST_CASE("verify prints a line a file of a run and of an export, and ends with 0 where all are whole") {
  NEEDS_PROGRAM();
  const Place place;
  const Outcome outcome = place.run("verify r v");
  INFO(outcome.out << outcome.err);
  CHECK(outcome.code == 0);
  for (const char* line : {"ok     r/best.safetensors: 4 tensors\n", "ok     r/checkpoint.safetensors: ",
                           "ok     r/config.json\n", "ok     r/export.json: 2 files\n", "ok     r/result.json\n",
                           "ok     r/user_embeddings.npy: 60 x 8\n", "ok     r/item_embeddings.npy: 50 x 8\n",
                           "ok     r/metrics.jsonl: 3 epochs\n", "ok     v/export.json: 2 files\n"})
    CHECK(contains(outcome.out, line));
  for (const char* path : {".", "r/best.safetensors v/user_embeddings.npy", "r/metrics.jsonl r/result.json"})
    place.whole(path);
  CHECK_FAILS(place.run("verify nowhere"), 1, "nowhere: no such file or folder");
  CHECK_FAILS(place.run("verify data/data.inter"), 1, "data/data.inter: is no file that is verified");
  CHECK_FAILS(place.run("verify"), 2, "paths");
}

TEST_CASE("verify finds what is wrong with a file of a run or an export") {
  NEEDS_PROGRAM();
  const Place place;
  const auto with = [&](const std::string& name, const std::string& text, const std::string& message) {
    INFO(name);
    const std::string before = place.read(name);
    place.write(name, text);
    place.wrong(fs::path(name).parent_path().string(), message);
    place.write(name, before);
  };
  const auto flipped = [&](const std::string& name, std::size_t from_end) {
    std::string bytes = place.read(name);
    bytes[bytes.size() - from_end] ^= 4;
    return bytes;
  };
  const auto without_last = [&](const std::string& name) {
    const std::string text = place.read(name);
    return text.substr(0, text.size() - 1);
  };
  with("r/best.safetensors", flipped("r/best.safetensors", 5),
       "r/best.safetensors: tensor 'item_vectors' has the checksum");
  with("r/checkpoint.safetensors", flipped("r/checkpoint.safetensors", 2001), "r/checkpoint.safetensors: tensor '");
  with("r/checkpoint.safetensors", without_last("r/checkpoint.safetensors"), "r/checkpoint.safetensors: ");
  with("r/config.json", without_last("r/config.json").substr(0, 30), "r/config.json: is not whole JSON");
  with("r/metrics.jsonl", without_last("r/metrics.jsonl"), "r/metrics.jsonl: has no lines of epochs 3");
  with("r/metrics.jsonl", "", "r/metrics.jsonl: has no lines of epochs 1 to 3");
  with("r/metrics.jsonl", place.read("r/metrics.jsonl") + "{\"epo", "r/metrics.jsonl:4: is no whole line of an epoch");
  with("r/metrics.jsonl", place.read("r/metrics.jsonl") + "{\"epoch\": 5}\n",
       "r/metrics.jsonl:4: found epoch 5, expected 4");
  with("r/user_embeddings.npy", without_last("r/user_embeddings.npy"), "r/user_embeddings.npy: ");
  with("r/user_embeddings.npy", place.read("r/item_embeddings.npy"),
       "r/user_embeddings.npy: has 50 rows, expected 60 as in the files beside it");
  with("v/item_embeddings.npy", flipped("v/item_embeddings.npy", 1), "v/item_embeddings.npy: has the checksum ");
  fs::remove(place / "v/export.json");
  place.wrong("v", "v/export.json: is missing beside user_embeddings.npy");
  fs::remove(place / "r/best.safetensors");
  place.wrong("r", "r/best.safetensors: is missing beside result.json");
}

TEST_CASE("a bit that flips in a checkpoint's values stops the commands that read it, with file and tensor") {
  NEEDS_PROGRAM();
  const Place place;
  std::string best = place.read("r/best.safetensors"), checkpoint = place.read("r/checkpoint.safetensors");
  best[best.size() - 9] ^= 1;
  place.write("r/best.safetensors", best);
  for (const std::string command : {"evaluate --data data", "recommend --data data --k 2 --out t.tsv",
                                    "similar --data data --item 1", "export --out w"})
    CHECK_FAILS(place.run(command + " --checkpoint r/best.safetensors"), 1,
                "r/best.safetensors: tensor 'item_vectors' has the checksum ");
  const dream::SafetensorsFile file(place / "r/checkpoint.safetensors");
  checkpoint[static_cast<std::size_t>(file.at("adam.m.user_embedding").begin) + 6] ^= 1;
  place.write("r/checkpoint.safetensors", checkpoint);
  CHECK_FAILS(place.run("train --data data --out r --resume --epochs 5" + small), 1,
              "r/checkpoint.safetensors: tensor 'adam.m.user_embedding' has the checksum ");
  CHECK(place.read("r/checkpoint.safetensors") == checkpoint);
  CHECK_FALSE(place.has("t.tsv"));
  CHECK_FALSE(place.has("w"));
}

TEST_CASE("a checkpoint without checksums is read, with a note") {
  NEEDS_PROGRAM();
  const Place place;
  for (const std::string name : {"r/best.safetensors", "r/checkpoint.safetensors"})
    rewrite(place / name, false, [](dream::Tensor&) {});
  const Outcome evaluated = place.run("evaluate --data data --checkpoint r/best.safetensors");
  CHECK(evaluated.code == 0);
  CHECK(contains(evaluated.err, "note: r/best.safetensors: has no checksums"));
  const Outcome resumed = place.run("train --data data --out r --resume --epochs 4" + small);
  CHECK(resumed.code == 0);
  CHECK(contains(resumed.err, "note: r/checkpoint.safetensors: has no checksums"));
  CHECK_FALSE(contains(place.run("train --data data --out r --resume --epochs 5" + small).err, "checksums"));
}

TEST_CASE("vectors and parameters that are not finite are refused with file, tensor and row") {
  NEEDS_PROGRAM();
  const Place place;
  fs::copy(place / "r", place / "s");
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    INFO(bad);
    const auto spoil = [&](const std::string& tensor, std::size_t row) {
      return [=](dream::Tensor& t) {
        if (t.name == tensor) std::memcpy(t.bytes.data() + (row * 8 + 3) * sizeof(float), &bad, sizeof bad);
      };
    };
    rewrite(place / "r/best.safetensors", true, spoil("item_vectors", 7));
    for (const std::string command : {"evaluate --data data", "recommend --data data --k 2 --out t.tsv",
                                      "similar --data data --item 1", "export --out w"})
      CHECK_FAILS(place.run(command + " --checkpoint r/best.safetensors"), 1,
                  "r/best.safetensors: tensor 'item_vectors': row 7 holds ");
    place.wrong("r/best.safetensors", "tensor 'item_vectors': row 7 holds ");
    fs::copy(place / "s/best.safetensors", place / "r/best.safetensors", fs::copy_options::overwrite_existing);
    fs::copy(place / "s/checkpoint.safetensors", place / "r/checkpoint.safetensors",
             fs::copy_options::overwrite_existing);
    rewrite(place / "r/checkpoint.safetensors", true, spoil("parameter.user_embedding", 59));
    CHECK_FAILS(place.run("train --data data --out r --resume --epochs 5" + small), 1,
                "r/checkpoint.safetensors: tensor 'parameter.user_embedding': row 59 holds ");
    CHECK_FAILS(place.run("train --data data --out n --epochs 1 --from r/checkpoint.safetensors"), 1,
                "tensor 'parameter.user_embedding': row 59 holds ");
  }
  CHECK_FALSE(place.has("t.tsv"));
  CHECK_FALSE(place.has("w"));
}

TEST_CASE("a run that goes on without lines of metrics says which epochs are missing") {
  NEEDS_PROGRAM();
  const Place place;
  const auto resume = [&](int epochs) {
    const Outcome outcome = place.run("train --data data --out r --resume --epochs " + std::to_string(epochs) + small);
    INFO(outcome.err);
    CHECK(outcome.code == 0);
    return outcome.err;
  };
  CHECK_FALSE(contains(resume(4), "metrics.jsonl"));
  const std::string text = place.read("r/metrics.jsonl");
  const std::size_t second = text.find('\n') + 1, third = text.find('\n', second) + 1;
  place.write("r/metrics.jsonl", text.substr(0, second) + text.substr(third, text.size() - third - 5));
  CHECK(contains(resume(5), "note: r/metrics.jsonl: has no lines of epochs 2, 4, which the checkpoint has"));
  place.wrong("r", "r/metrics.jsonl: has no lines of epochs 2, 4, which r/checkpoint.safetensors has");
  fs::remove(place / "r/metrics.jsonl");
  CHECK(contains(resume(6), "note: r/metrics.jsonl: has no lines of epochs 1 to 5, which the checkpoint has"));
  // The line of epoch 6 is kept, although it is the first of the file.
  CHECK(contains(resume(7), "epochs 1 to 5, which"));
  place.wrong("r", "has no lines of epochs 1 to 5");
}

TEST_CASE("an export that is killed leaves the files of one model, or no export.json") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  for (const std::string seed : {"1", "2"})
    REQUIRE(place.run("train --data data --out r" + seed + " --epochs 0 --seed " + seed + small).code == 0);
  std::map<std::string, std::string> users, items;
  for (const std::string seed : {"1", "2"}) {
    users[seed] = place.read("r" + seed + "/user_embeddings.npy");
    items[seed] = place.read("r" + seed + "/item_embeddings.npy");
  }
  REQUIRE(users["1"] != users["2"]);
  for (int attempt = 0; attempt < 20; ++attempt) {
    const std::string seed = attempt % 2 == 0 ? "1" : "2";
    const pid_t child = place.start({"export", "--checkpoint", "r" + seed + "/best.safetensors", "--out", "v"});
    if (attempt > 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(1500 * attempt));
      ::kill(child, SIGKILL);
    }
    ended(child);
    if (!place.has("v/export.json")) continue;
    const std::string of = place.read("v/user_embeddings.npy") == users["1"] ? "1" : "2";
    CHECK(place.read("v/user_embeddings.npy") == users[of]);
    CHECK(place.read("v/item_embeddings.npy") == items[of]);
    CHECK(place.run("verify v").code == 0);
  }
  REQUIRE(place.run("export --checkpoint r1/best.safetensors --out v").code == 0);
  CHECK(place.listing("v") == "export.json item_embeddings.npy user_embeddings.npy ");
  CHECK(place.read("v/user_embeddings.npy") == users["1"]);
  CHECK_THAT(place.read("v/export.json"), DREAM_MATCHES_SUBSTRING("\"model\": \"mf\""));
}

TEST_CASE("an export that cannot write all its files leaves those that were there") {
  NEEDS_PROGRAM();
  const Place place;
  REQUIRE(place.run("train --data data --out t --epochs 1 --seed 5 --model mf --set embedding_size=16").code == 0);
  const std::string users = place.read("v/user_embeddings.npy"), items = place.read("v/item_embeddings.npy");
  // The items fit into 7 blocks of 512 bytes, the users do not.
  CHECK_FAILS(place.run("export --checkpoint t/best.safetensors --out v", "trap '' XFSZ; ulimit -f 7;"), 1,
              "v/user_embeddings.npy: failed while writing");
  CHECK(place.read("v/user_embeddings.npy") == users);
  CHECK(place.read("v/item_embeddings.npy") == items);
  place.whole("v");
}

}  // namespace dream_tests::cli_verify
