// Files that are made to disturb: nesting that takes the stack, texts that take a terminal over, values without end.
#include <algorithm>

#include <dream/train/safetensors.hpp>

#include "cli/program.hpp"

namespace dream_tests::cli_hostile_files {

using namespace dream_test;

namespace {

const std::string nested = std::string(100000, '[') + std::string(100000, ']');

/// The checkpoint with another metadata value.
void write_checkpoint(const std::string& from, const std::string& to, const std::string& key,
                      const std::string& value) {
  dream::SafetensorsFile file(from);
  std::vector<dream::Tensor> tensors;
  for (const auto& entry : file.entries()) tensors.push_back(file.tensor(entry));
  auto metadata = file.metadata();
  metadata.erase("checksums");
  metadata[key] = value;
  dream::write_safetensors(to, tensors, metadata);
}

bool is_printable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto value = static_cast<unsigned char>(c);
    return c == '\n' || (value >= 0x20 && value < 0x7F);
  });
}

}  // namespace

TEST_CASE("deep nesting in any JSON or YAML file is an error that names the file") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  REQUIRE(place.run("train --data data --out o --model mf --epochs 1 --set embedding_size=4").code == 0);
  const std::string deep = "JSON nested deeper than 64 levels";
  place.write("c.json", "{\"seed\": " + nested + "}");
  CHECK_FAILS(place.run("train --data data --out p --config c.json"), 1, "c.json: byte 72: " + deep);
  place.write("g.json", "{\"mf\": {\"reg_weight\": " + nested + "}}");
  CHECK_FAILS(place.run("study --data data --out s --grids g.json"), 1, "g.json: byte 84: " + deep);
  for (const std::string& text : {nested, "- " + nested, "{a: " + nested + "}"}) {
    place.write("c.yaml", "seed: " + text);
    CHECK_FAILS(place.run("train --data data --out p --config c.yaml"), 1, "c.yaml:1: not YAML");
  }
  CHECK_FAILS(place.run("train --data data --out p --set 'seed=" + std::string(20000, '[') + "'"), 1, "--set seed=");
  CHECK_FAILS(place.run("train --data data --out p --set 'topk=\"" + std::string(50000, '[') + "\"'"), 1, "topk is ");

  const std::string best = place / "o/best.safetensors", checkpoint = place / "o/checkpoint.safetensors";
  write_checkpoint(best, place / "x.safetensors", "config", nested);
  CHECK_FAILS(place.run("evaluate --data data --checkpoint x.safetensors"), 1,
              "x.safetensors: config: byte 64: " + deep);
  write_checkpoint(checkpoint, place / "y.safetensors", "state", "{\"epoch\": " + nested + "}");
  CHECK_FAILS(place.run("diagnose --data data --checkpoint y.safetensors"), 1,
              "y.safetensors: metadata 'state': byte 73: " + deep);

  place.write("t/tune.json", "{\"settings\": " + nested + "}");
  CHECK_FAILS(place.run("tune --data data --out t --set 'reg_weight=[0.1, 1]' --set epochs=1"), 1,
              "t/tune.json: byte 76: " + deep);
  place.write("s/study.json", "{\"parts\": " + nested + "}");
  CHECK_FAILS(place.run("report --study s"), 1, "s/study.json: byte 73: " + deep);
  place.write("o/result.json", nested);
  CHECK_FAILS(place.run("compare o o"), 1, "o/result.json: byte 64: " + deep);
}

TEST_CASE("aliases in YAML that stand for themselves, or for values without end, are an error with the place") {
  NEEDS_PROGRAM();
  Workplace place;
  const auto refuses = [&](const std::string& text, const std::string& message) {
    place.write("c.yaml", text);
    INFO(text);
    CHECK_FAILS(place.run("train --data data --out p --config c.yaml"), 1, message);
  };
  refuses("eval_args: &a {again: *a}\n", "c.yaml:1: eval_args: nested deeper than 64 levels");
  std::string doubling = "eval_args:\n  x0: &a0 {p: 1}\n";
  for (int i = 1; i < 40; ++i) {
    const std::string before = std::to_string(i - 1), now = std::to_string(i);
    doubling += "  x" + now + ": &a" + now + " {p: *a" + before + ", q: *a" + before + "}\n";
  }
  refuses(doubling, "c.yaml:1: eval_args: more than 100000 values in all");
}

TEST_CASE("what a file says does not reach the terminal as control characters, and ids in tables stay as they are") {
  NEEDS_PROGRAM();
  Workplace place;
  std::string text = "userID\titemID\tx_label\n";
  for (int u = 0; u < 12; ++u)
    for (int i = 0; i < 4; ++i)
      text += "u\x1b[31m" + std::to_string(u) + "\ti\x1b]0;x\a" + std::to_string((u + i) % 8) + "\t" +
              std::to_string(i == 3   ? 2
                             : i == 2 ? 1
                                      : 0) +
              "\n";
  place.write("data/d.inter", text);
  const std::string serve = "recommend --data data --checkpoint o/best.safetensors --k 3 --out top.tsv ";
  REQUIRE(place
              .run("train --data data --out o --model mf --epochs 1 --set embedding_size=4 --set 'topk=[2]' --set "
                   "valid_metric=recall@2")
              .code == 0);
  place.write("users.txt", "u\x1b[31m1\nnobody\x1b[2J\nu\xc2\x9b\x7f\n");
  const Outcome noted = place.run(serve + "--users users.txt");
  CHECK(noted.code == 0);
  CHECK(is_printable(noted.err));
  CHECK_THAT(noted.err, DREAM_MATCHES_SUBSTRING("users.txt:2: no user 'nobody\\x1b[2J' in the data"));
  CHECK_THAT(noted.err, DREAM_MATCHES_SUBSTRING("users.txt:3: no user 'u\\xc2\\x9b\\x7f' in the data"));
  CHECK_THAT(place.read("top.tsv"), DREAM_MATCHES_SUBSTRING("u\x1b[31m1\ti\x1b]0;x\a"));
  for (const std::string& command : {serve + "--strict --users users.txt", std::string("inspect --data 'no\x1b[2J'"),
                                     std::string("train --data data --out p --set 'a\x1b=1'"), std::string("'\x1b[2J'"),
                                     std::string("train --data data --out p '--\x1b[2J'")}) {
    const Outcome failed = place.run(command);
    INFO(failed.err);
    CHECK(failed.code != 0);
    CHECK(is_printable(failed.err));
    CHECK_THAT(failed.err, DREAM_MATCHES_SUBSTRING("\\x1b"));
  }
}

TEST_CASE("an error shows the ends of a value that is megabytes long") {
  NEEDS_PROGRAM();
  Workplace place;
  place.write("c.json", "{\"seed\": \"" + std::string(5000000, 'x') + "\"}");
  place.write("key.json", "{\"" + std::string(5000000, 'x') + "\": 1}");
  place.write("data/d.inter", "userID\titemID\tx_label\n1\t1\t" + std::string(3000000, '7') + "\n");
  for (const std::string command : {"train --data data --out p --config c.json",
                                    "train --data data --out p --config key.json", "inspect --data data"}) {
    const Outcome failed = place.run(command);
    INFO(command);
    CHECK(failed.code == 1);
    CHECK_THAT(failed.err, DREAM_MATCHES_SUBSTRING("dream: error: "));
    CHECK(failed.err.size() < 2000);
  }
}

}  // namespace dream_tests::cli_hostile_files
