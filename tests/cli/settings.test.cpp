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
      "n_ui_layers: 1\nlearning_rate: 5e-3\ngate: 'none'\ntopk: [5, 20]\nvalid_metric: NDCG@5\nseed: 1\nepochs: 9\n"
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

TEST_CASE("keys of other codebases are taken where they mean the same") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  place.write("ours.yaml",
              "learning_rate: 0.01\ntrain_batch_size: 64\nembedding_size: 8\ntemperature: 0.3\nepochs: 1\n"
              "user_column: user_id\nitem_column: item_id\ntopk: [10]\nvalid_metric: recall@10\n");
  place.write("theirs.yaml",
              "lr: 0.01\nbatch_size: 64\nfactors: 8\ntau: 0.3\nepochs: 1\nUSER_ID_FIELD: user_id:token\n"
              "ITEM_ID_FIELD: item_id:token\ntopk: 10\nvalid_metric: Recall@10\n");
  std::string table = place.read("data/data.inter");
  table.replace(0, table.find('\n'), "user_id:token\titem_id:token\tx_label:float");
  place.write("data/data.inter", table);
  const Outcome ours = place.run("train --data data --out ours --config ours.yaml");
  INFO(ours.err);
  REQUIRE(ours.code == 0);
  const Outcome theirs = place.run("train --data data --out theirs --config theirs.yaml");
  INFO(theirs.err);
  REQUIRE(theirs.code == 0);
  std::string config = place.read("theirs/config.json");
  for (const std::string name : {"user_id", "item_id"})
    config.replace(config.find(name + ":token"), name.size() + 6, name);
  CHECK(config == place.read("ours/config.json"));
}

TEST_CASE("a key of another codebase that asks for what is done anyway is noted with its place") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  place.write("mmrec.yaml",
              "gpu_id: 0\nuse_gpu: False\ndata_path: 'data/'\ninter_splitting_label: 'x_label'\n"
              "filter_out_cod_start_users: True\nis_multimodal_model: True\ncheckpoint_dir: 'saved'\n"
              "save_recommended_topk: True\nrecommend_topk: 'recommend_topk/'\nembedding_size: 8\nweight_decay: 0.0\n"
              "req_training: True\nepochs: 1\nlearner: adam\nlearning_rate_scheduler: [1.0, 50]\n"
              "training_neg_sample_num: 1\nuse_neg_sampling: True\nuse_full_sampling: False\nNEG_PREFIX: neg__\n"
              "field_separator: \"\\t\"\nmetrics: [\"Recall\", \"NDCG\", \"Precision\", \"MAP\"]\ntopk: [5, 20]\n"
              "valid_metric: Recall@20\neval_batch_size: 4096\nend2end: False\nneg_sampling:\n  uniform: 1\n");
  const Outcome run = place.run(
      "train --data data --out o --config mmrec.yaml --set clip_grad_norm=~ "
      "--set 'benchmark_filename=[train, valid, test]'");
  INFO(run.err);
  REQUIRE(run.code == 0);
  for (const std::string text :
       {"note: mmrec.yaml:1: gpu_id has no effect here: ", "note: mmrec.yaml:4: inter_splitting_label has no effect",
        "note: mmrec.yaml:11: weight_decay has no effect", "note: mmrec.yaml:14: learner has no effect",
        "note: mmrec.yaml:21: metrics has no effect", "note: mmrec.yaml:24: eval_batch_size has no effect here: the",
        "note: mmrec.yaml:26: neg_sampling has no effect",
        "note: --set clip_grad_norm=~: clip_grad_norm has no effect"})
    CHECK_THAT(run.err, DREAM_MATCHES_SUBSTRING(text));
  CHECK_FALSE(contains(run.err, "embedding_size has no effect"));
  CHECK_FALSE(contains(place.read("o/config.json"), "eval_batch_size"));
}

TEST_CASE("a key of another codebase that means something else is an error that says what it is called here") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  const auto refused = [&](const std::string& lines, const std::string& text) {
    place.write("other.yaml", "epochs: 1\n" + lines + "\n");
    CHECK_FAILS(place.run("train --data data --out o --config other.yaml"), 1, "other.yaml:2: " + text);
  };
  refused("n_layers: 2", "unknown key 'n_layers': here it is called n_ui_layers");
  refused("dropout: 0.8", "unknown key 'dropout': here it is called edge_dropout");
  refused("early_stop: 5", "unknown key 'early_stop': here it is called stopping_step");
  refused("user_inter_num_interval: '[5,inf)'", "unknown key 'user_inter_num_interval': here it is called k_core");
  refused("eval_args:\n  split: {'RS': [0.8, 0.1, 0.1]}\n  mode: full",
          "unknown key 'eval_args': here it is called split");
  refused("val_interval: {rating: '[3,inf)'}", "unknown key 'val_interval': here it is called min_rating");
  refused("weight_decay: 0.01", "unknown key 'weight_decay': there is no such thing here: ");
  refused("learner: sgd", "unknown key 'learner': there is no such thing here: Adam trains every model");
  refused("metrics: [Recall, GAUC]", "unknown key 'metrics': there is no such thing here: recall, ndcg");
  refused("train_neg_sample_args: {distribution: popularity, sample_num: 1}", "unknown key 'train_neg_sample_args': ");
  refused("neg_sampling: {uniform: 4}", "unknown key 'neg_sampling': ");
  refused("inter_splitting_label: part", "unknown key 'inter_splitting_label': ");
  refused("benchmark_filename: [part1, part2, part3]",
          "unknown key 'benchmark_filename': there is no such thing here: NAME.train.inter, NAME.valid.inter");
  refused("MAX_ITEM_LIST_LENGTH: 50", "unknown key 'MAX_ITEM_LIST_LENGTH': ");
  refused("load_col: {inter: [user_id], item: [item_id]}", "unknown key 'load_col': ");
  place.write("twice.yaml", "lr: 0.1\nlearning_rate: 0.2\n");
  CHECK_FAILS(place.run("train --data data --out o --config twice.yaml"), 1,
              "twice.yaml:2: 'learning_rate' is already set at twice.yaml:1");
  CHECK_FAILS(place.run("train --data data --out o --set n_layers=2"), 1, "--set n_layers=2: unknown key 'n_layers'");
  CHECK_FALSE(place.has("o"));
}

TEST_CASE("the help lists the keys of other codebases, and none of them is a key of ours") {
  NEEDS_PROGRAM();
  const Workplace place;
  const std::string help = place.run("train --help-config").out;
  const std::size_t begin = help.find("Keys of MMRec, RecBole and others:");
  REQUIRE(begin != std::string::npos);
  int count = 0;
  for (std::size_t at = help.find("\n  ", begin); at != std::string::npos; at = help.find("\n  ", at + 1)) {
    if (help[at + 3] == ' ') continue;  // a description
    const std::string name = help.substr(at + 3, help.find('\n', at + 1) - at - 3);
    INFO(name);
    CHECK(help.find("\n  " + name + " = ") == std::string::npos);
    CHECK(help.find("\n  " + name + "\n", at + 1) == std::string::npos);
    ++count;
  }
  CHECK(count > 60);
  // What an alias stands for is a key.
  for (std::size_t at = help.find("the same as "); at != std::string::npos; at = help.find("the same as ", at + 1)) {
    const std::string ours = help.substr(at + 12, help.find('\n', at) - at - 12);
    INFO(ours);
    CHECK(contains(help, "\n  " + ours + " = "));
  }
}

}  // namespace dream_tests::cli_settings
