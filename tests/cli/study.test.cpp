#include <nlohmann/json.hpp>

#include "cli/program.hpp"

namespace dream_tests::cli_study {

using namespace dream_test;
using nlohmann::json;

namespace {

const std::string small =
    " --set epochs=2 --set embedding_size=8 --set train_batch_size=128 --set knn_k=4 --set topk=[5,20] ";
const std::string grids = R"({"lightgcn": {"reg_weight": [0.001, 0.01]}})";

json file(const Workplace& place, const std::string& name) { return json::parse(place.read(name)); }

}  // namespace

TEST_CASE("A study searches, trains every seed, tests differences and writes its report") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  place.write("grids.json", grids);
  const std::string study =
      "study --data data --out s --seeds 2 --grids grids.json --models dream,lightgcn,vbpr" + small;
  const Outcome outcome = place.run(study);
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK(outcome.out == "s/report.html\n");
  // Two trials; three models, frozen embeddings, eight ablations and VBPR with BMA, twice each.
  CHECK(outcome.err.find("run 1 of 28: ") != std::string::npos);
  CHECK(outcome.err.find("run 28 of 28: vbpr+bma, seed 1000") != std::string::npos);
  double best = -1;
  json chosen;
  std::string winner;
  for (int t = 1; t <= 2; ++t) {
    const std::string folder = "s/search/lightgcn/trial-" + std::to_string(t);
    const json result = file(place, folder + "/result.json");
    CHECK_FALSE(result.contains("test"));
    if (result.at("valid").at("recall@20").get<double>() > best) {
      best = result.at("valid").at("recall@20").get<double>();
      chosen = file(place, folder + "/trial.json");
      winner = folder;
    }
  }
  const json stored = file(place, "s/study.json");
  CHECK(stored.at("seeds") == json({999, 1000}));
  CHECK(stored.at("data").at("users") == 60);
  int parts = 0;
  for (const json& part : stored.at("parts")) {
    const std::string id = part.at("id");
    INFO(id);
    if (id == "lightgcn") CHECK(part.at("chosen") == chosen);
    for (const char* seed : {"999", "1000"}) {
      const std::string folder = "s/runs/" + id + "/seed-" + seed;
      const json config = file(place, folder + "/config.json");
      CHECK(config.at("seed") == std::stoi(seed));
      CHECK(config.at("epochs") == 2);
      for (const auto& [key, value] : part.at("settings").items()) CHECK(config.at(key) == value);
      if (part.at("model") == "lightgcn") CHECK(config.at("reg_weight") == chosen.at("reg_weight"));
      CHECK(file(place, folder + "/result.json").at("test").contains("ndcg@5"));
      CHECK_FALSE(place.has(folder + "/checkpoint.safetensors"));
    }
    ++parts;
  }
  CHECK(parts == 13);
  // The difference that is tested is that of the means in the results.
  const auto mean = [&](const std::string& id, const std::string& metric) {
    double sum = 0;
    for (const char* seed : {"999", "1000"})
      sum += file(place, "s/runs/" + id + "/seed-" + seed + "/result.json").at("test").at(metric).get<double>();
    return sum / 2;
  };
  const json significance = file(place, "s/significance.json");
  CHECK(significance.size() == 2 * (2 + 9 + 1));  // on Recall and on NDCG
  for (const json& pair : significance) {
    const std::string part = pair.at("part"), against = pair.at("against"), metric = pair.at("metric");
    INFO(part << " against " << against << " on " << metric);
    CHECK(pair.at("seeds") == json({999, 1000}));
    CHECK(std::abs(pair.at("difference").get<double>() - (mean(part, metric) - mean(against, metric))) < 1e-12);
    CHECK(pair.at("low") <= pair.at("difference"));
    CHECK(pair.at("high") >= pair.at("difference"));
  }
  CHECK(place.read("s/report.html").find("DREAM") != std::string::npos);
  const std::string ablations = place.read("s/tables/ablations.tsv");
  CHECK(ablations.find("\tndcg@20_difference\tndcg@20_low\tndcg@20_high\tndcg@20_p\t") != std::string::npos);
  // DREAM's alignment taken out is what its own is drawn beside.
  CHECK(place.read("s/tables/misalignment.tsv").find("no-alignment\tDREAM, without") != std::string::npos);
  CHECK(file(place, "s/runs/no-alignment/seed-999/config.json").at("bma") == "off");

  // The lists are those that `dream evaluate` describes.
  const json lists = file(place, "s/runs/vbpr/seed-999/test_users.json").at("lists");
  const Outcome evaluated =
      place.run("evaluate --data data --checkpoint s/runs/vbpr/seed-999/best.safetensors --split test --json");
  REQUIRE(evaluated.code == 0);
  CHECK(lists == json::parse(evaluated.out).at("lists"));
  CHECK(lists.contains("coverage@5"));
  CHECK(lists.contains("distance_image@20"));
  CHECK(place.read("s/tables/lists.tsv").find("\tcoverage@20_mean\t") != std::string::npos);

  // The search has trained its winner with the first seed: the run is that trial, and what training anew would give.
  const std::string run = "s/runs/lightgcn/seed-999";
  CHECK(place.read(run + "/metrics.jsonl") == place.read(winner + "/metrics.jsonl"));
  CHECK_FALSE(place.has(run + "/trial.json"));
  REQUIRE(place
              .run("train --data data --out anew --model lightgcn --set reg_weight=" + chosen.at("reg_weight").dump() +
                   small)
              .code == 0);
  CHECK(file(place, "anew/result.json") == file(place, run + "/result.json"));

  // A second time nothing is trained.
  const auto written = std::filesystem::last_write_time(place / "s/runs/dream/seed-999/result.json");
  const Outcome again = place.run(study);
  CHECK(again.code == 0);
  CHECK(again.err.find("study: run") == std::string::npos);
  CHECK(std::filesystem::last_write_time(place / "s/runs/dream/seed-999/result.json") == written);
  CHECK_FAILS(place.run(study + "--set batch_size=64"), 1,
              "plan.json: was begun with train_batch_size = 128, not 64; give the former to go on");
  REQUIRE(place.run("synth --out other --users 61 --items 50 --modality image=12 --seed 4").code == 0);
  CHECK_FAILS(place.run("study --data other --out s --seeds 2 --grids grids.json" + small), 1,
              "plan.json: was begun with other data (60 users, 50 items, ");
}

TEST_CASE("A study of data without valid or test interactions is refused with what to do") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const std::string study = "study --data data --out s --seeds 1 --models mf" + small + "--set split=random ";
  const std::string remedy =
      "; take split=random or split=time, with a split_ratio that gives it a share, as [0.8,0.1,0.1]";
  CHECK_FAILS(place.run(study + "--set split_ratio=[0.9,0.1,0]"), 1,
              "data: has no test interactions to compare by" + remedy);
  CHECK_FAILS(place.run(study + "--set split_ratio=[0.9,0,0.1]"), 1,
              "data: has no valid interactions to choose by" + remedy);
  CHECK_FALSE(place.has("s"));
}

TEST_CASE("A study refuses grids and settings that it cannot use, and names the place") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const std::string study = "study --data data --out s --seeds 1 --models lightgcn" + small;
  place.write("grids.json", R"({"lightgcn": {"reg_weight": [0.1, -1]}})");
  CHECK_FAILS(place.run(study + "--grids grids.json"), 1, "grids.json:1: lightgcn: reg_weight is -1");
  place.write("grids.json", R"({"lightgcn": [1]})");
  CHECK_FAILS(place.run(study + "--grids grids.json"), 1, "grids.json:1: the grid of lightgcn is not an object");
  std::string list = "[0";
  for (int n = 1; n < 2000; ++n) list += ", " + std::to_string(n);
  place.write("grids.json", R"({"mf": {"reg_weight": )" + list + R"(], "stopping_step": )" + list + "]}}");
  CHECK_FAILS(place.run(study + "--models mf --grids grids.json"), 1,
              "grids.json: the grid of mf has 4000000 combinations, expected at most 100000");
  place.write("grids.json", R"({"lightgc": {"reg_weight": [0.1]}})");
  CHECK_FAILS(place.run(study + "--grids grids.json"), 1,
              "grids.json: unknown model 'lightgc'; did you mean 'lightgcn'?");
  place.write("grids.json", R"({"mf": {"regweight": [0.1]}})");
  CHECK_FAILS(place.run(study + "--grids grids.json"), 1,
              "grids.json:1: mf: unknown key 'regweight'; did you mean 'reg_weight'?");
  place.write("grids.json", R"({"lightgcn": {"split_seed": [1, 2]}})");
  CHECK_FAILS(place.run(study + "--grids grids.json"), 1, "split_seed is not searched over");
  CHECK_FAILS(
      place.run(study + "--set bma=on"), 1,
      "the study's part lightgcn: bma is on, and lightgcn has no modal representations to align; take vbpr, bm3, "
      "freedom, mgcn or dream with its modal line; or leave out the model lightgcn, by --models");
  CHECK_FAILS(place.run("study --data data --out s --models dream --set modal_line=false" + small), 1,
              "the study's part no-behaviour: behaviour_line and modal_line cannot both be off; or leave out the group "
              "ablations, by --groups");
  CHECK_FAILS(place.run("study --data data --out s --models dream --set modality_weights=given" + small), 1,
              "modality_weight_values has 0 values for 2 modalities");
  CHECK_FAILS(place.run(study + "--set topk=[20,60]"), 1, "topk asks for 60 items, but data has 50 items");
  CHECK_FAILS(place.run(study + "--set valid_metric=recall@7"), 1, "valid_metric recall@7 needs 7 in topk");
  CHECK_FAILS(place.run(study + "--groups ablations"), 1,
              "nothing of the group ablations is trained: it is of dream, and --models names none of them; add one to");
  for (const char* name : {"image", "text"})
    std::filesystem::rename(place / ("data/" + std::string(name) + "_feat.npy"), place / name);
  CHECK_FAILS(place.run("study --data data --out s --models mf,vbpr,dream" + small), 1,
              "data: has no features, and dream, vbpr would read them; add *_feat.npy, or take --models mf,lightgcn");
  const auto refuses = [&](const std::string& text, const std::string& message) {
    place.write("grids.json", text);
    INFO(text);
    CHECK_FAILS(place.run(study + "--grids grids.json"), 1, message);
  };
  refuses("{", "grids.json:1: not JSON");
  refuses("{\"mf\":\n{\"reg_weight\": [1,\n]}}", "grids.json:3: not JSON");
  refuses("{\"mf\": {\n\"reg_weight\": [1e999]}}", "grids.json:2: a number is too large");
  refuses("[{\"mf\": {}}]", "grids.json: expected a JSON object of models and their grids");
  refuses("{\"mf\": {\"reg_weight\": [1],\n\"reg_weight\": [2]}}",
          "grids.json:2: 'reg_weight' is already set at grids.json:1");
  refuses("{\n\"mf\": {\n\"lr\": [1],\n\n\"learning_rate\": [2]}}",
          "grids.json:5: 'lr' is already set at grids.json:3");
  refuses("{\"mf\": {},\n\"mf\": {}}", "grids.json:2: 'mf' is already set at grids.json:1");
  refuses("{\"vbpr\": {\"lr\": 1},\n\"mf\": {\"lr\": 1,\n\"reg_weight\": []}}",
          "grids.json:3: mf: reg_weight is [], expected a list with at least one value");
  CHECK_FAILS(place.run(study + "--set seed=3"), 1, "--set seed=3: seed is the study's own");
  CHECK_FALSE(place.has("s"));
  const Outcome printed = place.run("study --help-grids");
  CHECK(printed.code == 0);
  CHECK(json::parse(printed.out).contains("mgcn"));
}

}  // namespace dream_tests::cli_study
