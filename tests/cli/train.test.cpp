#include <signal.h>

#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include <dream/data/npy.hpp>
#include <dream/train/safetensors.hpp>

#include "cli/program.hpp"

namespace dream_tests::cli_train {

using namespace dream_test;
using nlohmann::json;

namespace {

const std::string small_model = " --set embedding_size=8 --set train_batch_size=128 --set knn_k=4 --set user_knn_k=4 ";

std::vector<json> lines_of(const std::string& text) {
  std::vector<json> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    lines.push_back(json::parse(text.substr(begin, end - begin)));
    begin = end == std::string::npos ? text.size() : end + 1;
  }
  return lines;
}

const std::vector<std::string> endless{
    "train", "--data",           "data",      "--out", "o", "--epochs", "1000000", "--set", "stopping_step=1000000",
    "--set", "embedding_size=8", "--threads", "1"};

/// How many epochs the checkpoint in `o` has behind it; an error where it is not whole.
int checkpoint_epoch(const Workplace& place) {
  const dream::SafetensorsFile file(place / "o/checkpoint.safetensors");
  return json::parse(file.meta("state")).at("epoch").get<int>();
}

}  // namespace

TEST_CASE("training writes settings, metrics, result, checkpoints and embeddings that belong together") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  const Outcome run = place.run("train --data data --out deep/o --epochs 4 --seed 5" + small_model);
  INFO(run.err);
  REQUIRE(run.code == 0);
  CHECK(place.listing("deep/o") ==
        "best.safetensors checkpoint.safetensors config.json export.json item_embeddings.npy metrics.jsonl result.json "
        "user_embeddings.npy ");
  const json config = json::parse(place.read("deep/o/config.json"));
  CHECK(config.at("seed") == 5);
  CHECK(config.at("epochs") == 4);
  const std::vector<json> epochs = lines_of(place.read("deep/o/metrics.jsonl"));
  REQUIRE(epochs.size() == 4);
  double best = -1;
  int best_epoch = 0;
  for (std::size_t e = 0; e < epochs.size(); ++e) {
    CHECK(epochs[e].at("epoch") == e + 1);
    CHECK(epochs[e].at("seconds").get<double>() >= 0);
    CHECK(epochs[e].at("losses").at("bpr").get<double>() > 0);
    CHECK(epochs[e].at("losses").contains("total"));
    const double recall = epochs[e].at("valid").at("recall@20");
    if (recall > best) {
      best = recall;
      best_epoch = static_cast<int>(e) + 1;
    }
  }
  const json result = json::parse(place.read("deep/o/result.json"));
  CHECK(result.at("model") == "dream");
  CHECK(result.at("seed") == 5);
  CHECK(result.at("best_epoch") == best_epoch);
  CHECK(result.at("valid").at("recall@20") == best);
  for (const char* name : {"recall@10", "recall@20", "ndcg@10", "ndcg@20"}) CHECK(result.at("test").contains(name));
  const dream::NpyMatrix users = dream::read_npy(place / "deep/o/user_embeddings.npy");
  const dream::NpyMatrix items = dream::read_npy(place / "deep/o/item_embeddings.npy");
  CHECK(users.rows == 60);
  CHECK(items.rows == 50);
  CHECK(users.cols == 8);
  dream::SafetensorsFile stored(place / "deep/o/best.safetensors");
  CHECK(stored.values<float>("user_vectors") == users.values);
  CHECK(stored.values<float>("item_vectors") == items.values);
}

TEST_CASE("every model trains, and what evaluate prints is what training reported") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  for (const std::string model : {"dream", "lightgcn", "mf"}) {
    const Outcome run = place.run("train --data data --out " + model + " --epochs 3 --model " + model + small_model);
    INFO(run.err);
    REQUIRE(run.code == 0);
    const json result = json::parse(place.read(model + "/result.json"));
    CHECK(result.at("model") == model);
    for (const std::string split : {"valid", "test"}) {
      const Outcome evaluated =
          place.run("evaluate --data data --checkpoint " + model + "/best.safetensors --json --split " + split);
      INFO(evaluated.err);
      REQUIRE(evaluated.code == 0);
      const json all = json::parse(evaluated.out).at("all");
      for (const auto& [name, value] : result.at(split).items()) CHECK(all.at(name) == value);
    }
  }
  const Outcome table = place.run("compare --data data dream lightgcn mf");
  INFO(table.err);
  CHECK(table.code == 0);
  for (const char* text : {"recall@20", "popularity", "dream", "lightgcn", "mf"})
    CHECK_THAT(table.out, DREAM_MATCHES_SUBSTRING(text));
}

TEST_CASE("the number of threads changes no byte of a checkpoint") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  for (const std::string threads : {"1", "2", "3"}) {
    const Outcome run =
        place.run("train --data data --out t" + threads + " --epochs 3 --threads " + threads + small_model);
    INFO(run.err);
    REQUIRE(run.code == 0);
  }
  for (const std::string other : {"2", "3"})
    for (const std::string file :
         {"checkpoint.safetensors", "best.safetensors", "user_embeddings.npy", "result.json"}) {
      INFO(other << " threads, " << file);
      CHECK(place.read("t1/" + file) == place.read("t" + other + "/" + file));
    }
}

TEST_CASE("a run in pieces gives the bytes of a run in one") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  for (const std::string extra :
       {"", " --set train_features=true --set eval_step=2 ", " --model lightgcn ", " --model mf ",
        " --set learning_rate_scheduler=[0.9,2] --set modality_weights=learned "}) {
    INFO(extra);
    std::filesystem::remove_all(place / "whole");
    std::filesystem::remove_all(place / "parts");
    REQUIRE(place.run("train --data data --out whole --epochs 7" + small_model + extra).code == 0);
    for (const std::string until : {"2", "3", "7"}) {
      const Outcome run = place.run("train --data data --out parts --resume --epochs " + until + small_model + extra);
      INFO(run.err);
      REQUIRE(run.code == 0);
    }
    for (const std::string file :
         {"checkpoint.safetensors", "best.safetensors", "user_embeddings.npy", "result.json", "config.json"}) {
      INFO(file);
      CHECK(place.read("whole/" + file) == place.read("parts/" + file));
    }
    std::vector<json> whole = lines_of(place.read("whole/metrics.jsonl")),
                      parts = lines_of(place.read("parts/metrics.jsonl"));
    for (auto* lines : {&whole, &parts})
      for (json& line : *lines)
        for (const char* name : {"seconds", "train_seconds", "eval_seconds"}) line.erase(name);
    CHECK(whole == parts);
  }
}

TEST_CASE("a run that early stopping ended stays ended on resume") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  const std::string arguments = "train --data data --out o --epochs 500 --set stopping_step=1" + small_model;
  REQUIRE(place.run(arguments).code == 0);
  const std::string checkpoint = place.read("o/checkpoint.safetensors"), result = place.read("o/result.json");
  REQUIRE(lines_of(place.read("o/metrics.jsonl")).size() < 500);
  REQUIRE(place.run(arguments + " --resume").code == 0);
  CHECK(place.read("o/checkpoint.safetensors") == checkpoint);
  CHECK(place.read("o/result.json") == result);
}

TEST_CASE("a folder with a checkpoint is not trained into again by accident") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  REQUIRE(place.run("train --data data --out o --epochs 1" + small_model).code == 0);
  const std::string before = place.read("o/checkpoint.safetensors");
  CHECK_FAILS(place.run("train --data data --out o --epochs 2" + small_model), 1, "--resume");
  CHECK(place.read("o/checkpoint.safetensors") == before);
}

TEST_CASE("a run that is over is not trained into again where its checkpoint is gone, nor is a search or a study") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const std::string more = " --model mf --epochs 1" + small_model;
  REQUIRE(place.run("train --data data --out o" + more).code == 0);
  std::filesystem::remove(place / "o/checkpoint.safetensors");
  const std::string result = place.read("o/result.json");
  for (const std::string resume : {"", " --resume"})
    CHECK_FAILS(place.run("train --data data --out o" + resume + more), 1,
                "o/result.json: is of another run, which has no checkpoint.safetensors to go on from; choose another");
  std::filesystem::remove(place / "o/result.json");
  CHECK_FAILS(place.run("train --data data --out o --resume" + more), 1, "o/best.safetensors: is of another run");
  place.write("t/tune.json", "{}");
  CHECK_FAILS(
      place.run("train --data data --out t" + more), 1,
      "t: is the folder of a search of `dream tune` (it holds tune.json), not of a training run; choose another");
  place.write("s/plan.json", "{}");
  CHECK_FAILS(place.run("train --data data --out s" + more), 1, "s: is the folder of a study (it holds plan.json)");
  CHECK_FAILS(place.run("tune --data data --out s --set 'reg_weight=[0.1, 1]'"), 1, "s: is the folder of a study");
  CHECK_FAILS(place.run("study --data data --out t"), 1, "t: is the folder of a search");
  CHECK_FAILS(place.run("study --data data --out o"), 1, "o: is the folder of a training run");
  CHECK(place.listing("s") == "plan.json ");
  CHECK(place.listing("t") == "tune.json ");
}

TEST_CASE("a run resumes only with the settings, model and data that it began with") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  REQUIRE(place.run("train --data data --out o --epochs 1" + small_model).code == 0);
  const std::string before = place.read("o/checkpoint.safetensors");
  const std::string resume = "train --data data --out o --resume --epochs 2" + small_model;
  CHECK_FAILS(place.run(resume + "--set learning_rate=0.5"), 1, "learning_rate");
  CHECK_FAILS(place.run(resume + "--model mf"), 1, "model");
  CHECK_FAILS(place.run(resume + "--seed 4"), 1, "seed");
  REQUIRE(place
              .run("synth --out other --users 60 --items 50 --interactions 900 --modality image=12 --modality text=6 "
                   "--seed 4")
              .code == 0);
  CHECK_FAILS(place.run("train --data other --out o --resume --epochs 2" + small_model), 1, "other");
  CHECK(place.read("o/checkpoint.safetensors") == before);
}

TEST_CASE("a damaged checkpoint is refused and left as it is") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  REQUIRE(place.run("train --data data --out o --epochs 1" + small_model).code == 0);
  const std::string whole = place.read("o/checkpoint.safetensors");
  const std::string resume = "train --data data --out o --resume --epochs 2" + small_model;
  std::string forged = whole;
  forged.replace(0, 8, std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8));
  std::string renamed = whole;
  const std::size_t at = renamed.find("\"user_vectors");
  REQUIRE(at != std::string::npos);
  renamed.replace(at, 5, "\"uber");
  for (const std::string& damaged :
       {whole.substr(0, whole.size() - 1), whole.substr(0, 100), std::string(), whole + "x", forged}) {
    place.write("o/checkpoint.safetensors", damaged);
    CHECK_FAILS(place.run(resume), 1, "checkpoint.safetensors");
    CHECK(place.read("o/checkpoint.safetensors") == damaged);
    for (const std::string command : {"evaluate --data data", "recommend --data data --k 2 --out t.tsv",
                                      "similar --data data --item 1", "export --out vectors"})
      CHECK_FAILS(place.run(command + " --checkpoint o/checkpoint.safetensors"), 1, "checkpoint.safetensors");
  }
  place.write("o/checkpoint.safetensors", renamed);
  CHECK_FAILS(place.run("export --checkpoint o/checkpoint.safetensors --out vectors"), 1,
              "checkpoint.safetensors: metadata 'checksums' has none of 'user_vectors'");
  CHECK_FALSE(place.has("t.tsv"));
  CHECK_FALSE(place.has("vectors"));
}

TEST_CASE("a checkpoint whose state cannot be is refused") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  REQUIRE(place.run("train --data data --out o --epochs 2" + small_model).code == 0);
  const std::string path = place / "o/checkpoint.safetensors";
  const std::string whole = place.read("o/checkpoint.safetensors");
  for (const auto& [key, value] : std::vector<std::pair<std::string, json>>{{"epoch", 1000000000000},
                                                                            {"epoch", -5},
                                                                            {"epoch", 1.5},
                                                                            {"best_epoch", 3},
                                                                            {"adam_steps", -1},
                                                                            {"evaluations_without_gain", -1}}) {
    INFO(key << " = " << value);
    place.write("o/checkpoint.safetensors", whole);
    std::vector<dream::Tensor> tensors;
    std::map<std::string, std::string> metadata;
    {
      dream::SafetensorsFile file(path);
      metadata = file.metadata();
      for (const auto& entry : file.entries()) tensors.push_back(file.tensor(entry));
    }
    json state = json::parse(metadata.at("state"));
    state[key] = value;
    metadata["state"] = state.dump();
    metadata.erase("checksums");
    std::vector<dream::TensorView> views;
    for (const dream::Tensor& t : tensors) views.push_back({t.name, t.dtype, t.shape, t.bytes.data()});
    dream::write_safetensors(path, views, metadata);
    CHECK_FAILS(place.run("train --data data --out o --resume --epochs 4" + small_model), 1, key + " = ");
  }
}

TEST_CASE("killed at any moment, training leaves a whole checkpoint to go on from") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  int epochs_before = 0;
  for (int attempt = 0; attempt < 5; ++attempt) {
    std::vector<std::string> arguments = endless;
    if (attempt > 0) arguments.push_back("--resume");
    const pid_t child = place.start(arguments);
    const bool begun = place.appears("o/checkpoint.safetensors");
    std::this_thread::sleep_for(std::chrono::milliseconds(150 + 37 * attempt));
    ::kill(child, SIGKILL);
    const int code = ended(child);
    INFO(place.read(".stderr"));
    REQUIRE(begun);
    REQUIRE(code == -SIGKILL);
    const int epoch = checkpoint_epoch(place);
    CHECK(epoch >= epochs_before);
    epochs_before = epoch;
    CHECK_FALSE(place.has("o/result.json"));
    if (place.has("o/best.safetensors"))
      CHECK(place.run("export --checkpoint o/best.safetensors --out vectors").code == 0);
  }
  // What the pieces add up to is what one run gives.
  const std::string until = std::to_string(epochs_before + 2);
  const std::string settings = " --set stopping_step=1000000 --set embedding_size=8 --epochs " + until;
  REQUIRE(place.run("train --data data --out o --resume" + settings).code == 0);
  REQUIRE(place.run("train --data data --out one" + settings).code == 0);
  CHECK(place.read("o/checkpoint.safetensors") == place.read("one/checkpoint.safetensors"));
  CHECK(lines_of(place.read("o/metrics.jsonl")).size() == static_cast<std::size_t>(epochs_before + 2));
  CHECK_FALSE(contains(place.listing("o"), "partial"));
}

TEST_CASE("a run that another build began goes on with a note, and one of the same build without") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  const std::string common =
      "train --data data --out o --model mf --set embedding_size=4 --set topk=5 --set valid_metric=recall@5 ";
  REQUIRE(place.run(common + "--epochs 1").code == 0);
  const Outcome same = place.run(common + "--epochs 2 --resume");
  CHECK(same.code == 0);
  CHECK_FALSE(contains(same.err, "another build"));
  dream::SafetensorsFile file(place / "o/checkpoint.safetensors");
  std::vector<dream::Tensor> tensors;
  for (const auto& entry : file.entries()) tensors.push_back(file.tensor(entry));
  auto metadata = file.metadata();
  metadata.erase("checksums");
  metadata["build"] = "gcc 1.0, baseline";
  dream::write_safetensors(place / "o/checkpoint.safetensors", tensors, metadata);
  const Outcome other = place.run(common + "--epochs 3 --resume");
  INFO(other.err);
  CHECK(other.code == 0);
  CHECK(contains(other.err, "was begun by another build (gcc 1.0, baseline; this one is "));
}

}  // namespace dream_tests::cli_train
