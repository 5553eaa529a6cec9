#include "cli/program.hpp"

namespace dream_tests::cli_settings {

using namespace dream_test;

TEST_CASE("the program explains itself and every command, with examples") {
  NEEDS_PROGRAM();
  const Workplace place;
  const Outcome top = place.run("--help");
  CHECK(top.code == 0);
  for (const std::string name :
       {"train", "evaluate", "recommend", "similar", "export", "inspect", "synth", "compare"}) {
    CHECK_THAT(top.out, DREAM_MATCHES_SUBSTRING(name));
    const Outcome help = place.run(name + " --help");
    CHECK(help.code == 0);
    CHECK(help.err.empty());
    CHECK_THAT(help.out, DREAM_MATCHES_SUBSTRING("Examples:\n  dream " + name));
  }
  const Outcome keys = place.run("train --help-config");
  CHECK(keys.code == 0);
  for (const std::string name :
       {"embedding_size", "knn_k", "learning_rate", "stopping_step", "reg_weight", "topk", "k_core"})
    CHECK_THAT(keys.out, DREAM_MATCHES_SUBSTRING(name + " = "));
}

TEST_CASE("a command line that makes no sense ends with exit code 2 and the nearest thing that does") {
  NEEDS_PROGRAM();
  const Workplace place;
  CHECK_FAILS(place.run(""), 2, "subcommand");
  CHECK(place.run("zebra").err.find("did you mean") == std::string::npos);
  CHECK_FAILS(place.run("trian"), 2, "unknown argument 'trian'; did you mean 'train'?");
  CHECK_FAILS(place.run("train"), 2, "--data");
  CHECK_FAILS(place.run("train --data d"), 2, "--out");
  CHECK_FAILS(place.run("train --data d --out o --epoch 3"), 2, "did you mean '--epochs'?");
  CHECK_FAILS(place.run("train --data d --out o --model svd"), 2, "svd");
  CHECK_FAILS(place.run("train --data d --out o --backend tpu"), 2, "tpu");
  CHECK_FAILS(place.run("train --data d --out o --epochs many"), 2, "many");
  CHECK_FAILS(place.run("train --data d --out o --seed -1"), 2, "-1");
  CHECK_FAILS(place.run("train --data d --out o --threads -2"), 2, "-2");
  CHECK_FAILS(place.run("evaluate --data d --checkpoint c --split train"), 2, "train");
  CHECK_FAILS(place.run("recommend --data d --checkpoint c --out o --k 0"), 2, "0");
  CHECK_FAILS(place.run("recommend --data d --checkpoint c --out o"), 2, "--k");
  CHECK(place.listing(".") == ".stderr .stdout ");
}

TEST_CASE("an unknown key or value is an error with its place and the nearest known name") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  place.write("typo.yaml", "# comment\nepochs: 2\nlearning_rat: 0.1\n");
  place.write("value.yaml", "gate: maybe\n");
  place.write("type.yaml", "\n\nknn_k: many\n");
  place.write("range.yaml", "temperature: 0\n");
  place.write("twice.yaml", "epochs: 2\nseed: 1\nepochs: 3\n");
  place.write("nested.yaml", "model:\n  epochs: 2\n");
  place.write("list.yaml", "reg_weight: [0.1, 0.2]\n");
  place.write("broken.yaml", "epochs: [1, 2\nseed: 3\n");
  place.write("words.yaml", "just words\n");
  place.write("typo.json", "{\"epochs\": 2,\n \"embeding_size\": 8}\n");
  place.write("broken.json", "{\"epochs\": 2,\n \"seed\": }\n");
  place.write("nested.json", "{\"fit\": {\"epochs\": 2}}\n");
  const auto with = [&](const std::string& file) { return place.run("train --data data --out o --config " + file); };
  CHECK_FAILS(with("typo.yaml"), 1, "typo.yaml:3: unknown key 'learning_rat'; did you mean 'learning_rate'?");
  CHECK_FAILS(with("value.yaml"), 1, "value.yaml:1: gate is \"maybe\", expected one of id | self | none");
  CHECK_FAILS(with("type.yaml"), 1, "type.yaml:3: knn_k is \"many\", expected a whole number >= 1");
  CHECK_FAILS(with("range.yaml"), 1, "range.yaml:1: temperature is 0, expected a number > 0");
  CHECK_FAILS(with("twice.yaml"), 1, "twice.yaml:3: 'epochs' is already set at twice.yaml:1");
  CHECK_FAILS(with("nested.yaml"), 1, "nested.yaml:1: model: expected a value, found a group of keys");
  CHECK_FAILS(with("list.yaml"), 1, "list.yaml:1: reg_weight is [0.1,0.2], expected a number >= 0");
  CHECK_FAILS(with("broken.yaml"), 1, "broken.yaml:");
  CHECK_FAILS(with("words.yaml"), 1, "words.yaml: expected lines `key: value`");
  CHECK_FAILS(with("typo.json"), 1, "typo.json:2: unknown key 'embeding_size'; did you mean 'embedding_size'?");
  CHECK_FAILS(with("broken.json"), 1, "broken.json:2: not JSON");
  CHECK_FAILS(with("nested.json"), 1, "nested.json:1: fit: expected a value");
  CHECK_FAILS(with("absent.yaml"), 1, "absent.yaml");
  CHECK_FAILS(place.run("train --data data --out o --set epochs"), 1, "--set epochs: expected key=value");
  CHECK_FAILS(place.run("train --data data --out o --set epoch=3"), 1, "did you mean 'epochs'?");
  CHECK_FAILS(place.run("train --data data --out o --set valid_metric=recall"), 1, "valid_metric");
  CHECK_FAILS(place.run("train --data data --out o --set valid_metric=gain@20"), 1, "valid_metric");
  CHECK_FAILS(place.run("train --data data --out o --set topk=[0]"), 1, "topk is [0]");
  CHECK_FAILS(place.run("train --data data --out o --set split_ratio=0.8,0.2"), 1, "split_ratio");
  CHECK_FAILS(place.run("train --data data --out o --set embedding_size=12.5"), 1, "embedding_size is 12.5");
  CHECK_FAILS(place.run("train --data data --out o --set reg_weight=.nan"), 1, "reg_weight");
  CHECK_FALSE(place.has("o"));
}

TEST_CASE("the command line wins over --set, --set over the file, the file over the defaults") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  place.write(
      "run.yaml",
      "n_layers: 1\nlearning_rate: 5e-3\ngate: 'none'\ntopk: [5, 20]\nvalid_metric: NDCG@5\nseed: 1\nepochs: 9\n"
      "train_features: yes\nmodel: mf\n");
  const Outcome run = place.run(
      "train --data data --out o --config run.yaml --set seed=2 --set epochs=8 --set embedding_size=8 --epochs 1 "
      "--model lightgcn");
  INFO(run.err);
  REQUIRE(run.code == 0);
  const std::string config = place.read("o/config.json");
  for (const std::string text : {"\"model\": \"lightgcn\"", "\"n_ui_layers\": 1", "\"learning_rate\": 0.005",
                                 "\"gate\": \"none\"", "\"valid_metric\": \"ndcg@5\"", "\"seed\": 2", "\"epochs\": 1",
                                 "\"embedding_size\": 8", "\"train_features\": true", "\"knn_k\": 10"})
    CHECK_THAT(config, DREAM_MATCHES_SUBSTRING(text));
  // What was merged is itself a config file, and gives the same run.
  const Outcome again = place.run("train --data data --out p --config o/config.json");
  INFO(again.err);
  REQUIRE(again.code == 0);
  CHECK(place.read("p/config.json") == config);
  CHECK(place.read("p/checkpoint.safetensors") == place.read("o/checkpoint.safetensors"));
}

}  // namespace dream_tests::cli_settings
