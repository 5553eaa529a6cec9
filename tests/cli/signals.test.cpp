// What signals and killed processes leave, and that one command at a time trains into a folder.
#include <sys/file.h>

#include <csignal>

#include <nlohmann/json.hpp>

#include <dream/train/safetensors.hpp>

#include "cli/program.hpp"

namespace dream_tests::cli_signals {

using namespace dream_test;
using nlohmann::json;

namespace {

const std::string small = " --model mf --set stopping_step=1000000 --set embedding_size=8 ";
const std::vector<std::string> endless{"train",
                                       "--data",
                                       "data",
                                       "--out",
                                       "o",
                                       "--model",
                                       "mf",
                                       "--epochs",
                                       "1000000000",
                                       "--set",
                                       "stopping_step=1000000",
                                       "--set",
                                       "embedding_size=8",
                                       "--threads",
                                       "1"};

int checkpoint_epoch(const Workplace& place) {
  const dream::SafetensorsFile file(place / "o/checkpoint.safetensors");
  return json::parse(file.meta("state")).at("epoch").get<int>();
}

/// A run whose recommendations take seconds to write.
struct Written : Workplace {
  Written() {
    REQUIRE(run("synth --out data --users 8000 --items 500 --interactions 40000 --modality none").code == 0);
    REQUIRE(run("train --data data --out o --model mf --epochs 0 --set embedding_size=4").code == 0);
  }
  const std::vector<std::string> recommend{"recommend", "--data", "data",  "--checkpoint", "o/best.safetensors",
                                           "--k",       "200",    "--out", "top.tsv"};
};

/// The id of a process that is over.
pid_t dead_process() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  REQUIRE(ended(child) == 0);
  return child;
}

/// Starts the program with a signal ignored, as nohup does.
pid_t start_ignoring(const Workplace& place, int number, const std::vector<std::string>& arguments) {
  const auto before = ::signal(number, SIG_IGN);
  const pid_t child = place.start(arguments);
  ::signal(number, before);
  return child;
}

}  // namespace

TEST_CASE("a signal ends recommend with its status, and leaves the file as it was and nothing beside it") {
  NEEDS_PROGRAM();
  const Written place;
  place.write("top.tsv", "before");
  const std::string files = place.listing(".");
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    INFO("signal " << number);
    const pid_t child = place.start(place.recommend);
    const bool begun = place.appears("top.tsv.partial-", true);
    ::kill(child, number);
    ::kill(child, number);  // as `timeout` does
    CHECK(ended(child) == -number);
    CHECK(begun);
    CHECK(place.read("top.tsv") == "before");
    CHECK(place.listing(".") == files);
  }
}

TEST_CASE("a signal that was ignored from the start stays ignored") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const pid_t child = start_ignoring(place, SIGHUP, endless);
  const bool begun = place.appears("o/checkpoint.safetensors");
  for (int i = 0; i < 3; ++i) ::kill(child, SIGHUP);
  const int epoch = begun ? checkpoint_epoch(place) : 0;
  for (int i = 0; begun && i < 3000 && checkpoint_epoch(place) == epoch; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  ::kill(child, SIGTERM);
  CHECK(ended(child) == 130);
  REQUIRE(begun);
  CHECK(checkpoint_epoch(place) > epoch);
}

TEST_CASE("what a killed recommend left goes with the next one for the same file, and nothing else does") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  REQUIRE(place.run("train --data data --out o --epochs 0" + small).code == 0);
  const std::string dead = std::to_string(dead_process()), live = std::to_string(::getpid());
  place.write("top.tsv.partial-" + dead + "-0", "user\t");
  for (const std::string& kept :
       {"top.tsv.partial-" + live + "-0", "other.tsv.partial-" + dead + "-0", std::string("top.tsv.partial-draft")})
    place.write(kept, "mine");
  REQUIRE(place.run("recommend --data data --checkpoint o/best.safetensors --k 2 --out top.tsv").code == 0);
  CHECK_FALSE(place.has("top.tsv.partial-" + dead + "-0"));
  CHECK(place.has("top.tsv.partial-" + live + "-0"));
  CHECK(place.has("other.tsv.partial-" + dead + "-0"));
  CHECK(place.has("top.tsv.partial-draft"));
  place.write("vectors/user_embeddings.npy.partial-" + dead + "-0", "");
  REQUIRE(place.run("export --checkpoint o/best.safetensors --out vectors").code == 0);
  CHECK(place.listing("vectors") == "export.json item_embeddings.npy user_embeddings.npy ");
}

TEST_CASE("asked to stop by a signal, training ends with code 130, says how to go on, and can") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    INFO("signal " << number);
    std::filesystem::remove_all(place / "o");
    const pid_t child = place.start(endless);
    const bool begun = place.appears("o/checkpoint.safetensors");
    ::kill(child, number);
    CHECK(ended(child) == 130);
    REQUIRE(begun);
    CHECK_THAT(place.read(".stderr"), DREAM_MATCHES_SUBSTRING("--resume"));
    CHECK_FALSE(place.has("o/result.json"));
    CHECK_FALSE(place.has("o/lock"));
    const int until = checkpoint_epoch(place) + 1;
    CHECK(place.run(dream::concat("train --data data --out o --resume --epochs ", until, small)).code == 0);
    CHECK(place.has("o/result.json"));
  }
}

TEST_CASE("a second signal ends training at once, with what it was writing removed") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  for (const auto& [first, second] : {std::pair{SIGINT, SIGTERM}, {SIGHUP, SIGINT}, {SIGTERM, SIGHUP}}) {
    std::filesystem::remove_all(place / "o");
    const pid_t child = place.start(endless);
    const bool begun = place.appears("o/checkpoint.safetensors");
    for (const int number : {SIGSTOP, first, second, SIGCONT}) ::kill(child, number);  // both are there when it goes on
    const int code = ended(child);
    CHECK((code == -first || code == -second));
    REQUIRE(begun);
    CHECK_FALSE(place.has("o/lock"));
    CHECK_FALSE(contains(place.listing("o"), "partial"));
  }
}

TEST_CASE("two commands do not train into one folder, and the second one leaves the first alone") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const pid_t child = place.start(endless);
  const bool begun = place.appears("o/checkpoint.safetensors");
  const std::string refused = "o: another command is at work in this folder; wait for it, or choose another --out";
  const std::string config = begun ? place.read("o/config.json") : "";
  for (const std::string more :
       {"--data data", "--data data --resume", "--data nowhere", "--data data --config nowhere"})
    CHECK_FAILS(place.run("train --out o --epochs 1 --model lightgcn " + more), 1, refused);
  CHECK(::kill(child, SIGTERM) == 0);
  CHECK(ended(child) == 130);
  REQUIRE(begun);
  CHECK(place.read("o/config.json") == config);
  CHECK(place.listing("o").find("lock") == std::string::npos);
  CHECK_FALSE(contains(place.listing("o"), "partial"));
}

TEST_CASE("a search does not train into a trial's folder that another command is at work in") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  place.write("t/trial-1/lock", "");
  const int held = ::open((place / "t/trial-1/lock").c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(::flock(held, LOCK_EX) == 0);
  const std::string search = "tune --data data --out t --set epochs=1 --set 'reg_weight=[0.1, 1]'" + small;
  CHECK_FAILS(place.run(search), 1, "t/trial-1: another command is at work in this folder");
  CHECK(place.listing("t/trial-1") == "lock ");
  ::close(held);
  CHECK(place.run(search).code == 0);
  CHECK_FALSE(place.has("t/lock"));
  CHECK_FALSE(place.has("t/trial-1/lock"));
}

TEST_CASE("of commands that begin at once one trains, and its settings and results belong together") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::filesystem::remove_all(place / "r");
    std::vector<pid_t> children;
    for (const std::string model : {"mf", "lightgcn", "mf", "lightgcn"})
      children.push_back(place.start({"train", "--data", "data", "--out", "r", "--model", model, "--epochs", "30",
                                      "--set", "embedding_size=8", "--threads", "1"}));
    int successes = 0;
    for (const pid_t child : children) {
      const int code = ended(child);
      CHECK((code == 0 || code == 1));
      successes += code == 0;
    }
    CHECK(successes == 1);
    CHECK(json::parse(place.read("r/config.json")).at("model") == json::parse(place.read("r/result.json")).at("model"));
    CHECK(
        place.listing("r") ==
        "best.safetensors checkpoint.safetensors config.json export.json item_embeddings.npy metrics.jsonl result.json "
        "user_embeddings.npy ");
  }
}

TEST_CASE("a lock that a killed process left does not block, and goes; a file of that name stays") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const pid_t child = place.start(endless);
  const bool begun = place.appears("o/checkpoint.safetensors");
  ::kill(child, SIGKILL);
  CHECK(ended(child) == -SIGKILL);
  REQUIRE(begun);
  CHECK(place.has("o/lock"));
  const std::string until = std::to_string(checkpoint_epoch(place) + 1);
  CHECK(place.run("train --data data --out o --resume --epochs " + until + small).code == 0);
  CHECK_FALSE(place.has("o/lock"));
  place.write("p/lock", "mine");
  CHECK(place.run("train --data data --out p --epochs 1" + small).code == 0);
  CHECK(place.read("p/lock") == "mine");
}

TEST_CASE("a start that fails leaves no folder that it made") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  std::filesystem::create_directory(place / "empty");
  for (const std::string command : {"train", "tune --set 'reg_weight=[0.1, 1]'", "study"}) {
    CHECK_FAILS(place.run(command + " --data nowhere --out new/r"), 1, "nowhere");
    CHECK_FALSE(place.has("new"));
    CHECK_FAILS(place.run(command + " --data nowhere --out empty"), 1, "nowhere");
    CHECK(place.listing("empty").empty());
  }
  CHECK_FAILS(place.run("export --checkpoint nowhere --out new/r"), 1, "nowhere");
  CHECK_FALSE(place.has("new"));
}

}  // namespace dream_tests::cli_signals
