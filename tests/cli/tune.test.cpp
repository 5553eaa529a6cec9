#include <nlohmann/json.hpp>

#include "cli/program.hpp"

namespace dream_tests::cli_tune {

using namespace dream_test;
using nlohmann::json;

namespace {

const std::string small = " --set embedding_size=8 --set train_batch_size=128 --set epochs=3 ";
const std::string grid =
    "tune --data data --out o --model lightgcn --set 'reg_weight=[0.001, 1]' --set "
    "'n_ui_layers=[1, 2, 3]'" +
    small;

json file(const Workplace& place, const std::string& name) { return json::parse(place.read(name)); }

}  // namespace

TEST_CASE("tune tries every combination, chooses on valid, and looks at test once, for the winner") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const Outcome outcome = place.run(grid);
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  double best = -1;
  std::string winner;
  for (int t = 1; t <= 6; ++t) {
    const std::string name = "trial-" + std::to_string(t), folder = "o/" + name;
    const json result = file(place, folder + "/result.json"), config = file(place, folder + "/config.json");
    CHECK_FALSE(result.contains("test"));
    CHECK_FALSE(place.has(folder + "/checkpoint.safetensors"));
    CHECK(config.at("reg_weight") == (t <= 3 ? 0.001 : 1.0));
    CHECK(config.at("n_ui_layers") == (t - 1) % 3 + 1);
    if (result.at("valid").at("recall@20").get<double>() > best) {
      best = result.at("valid").at("recall@20").get<double>();
      winner = name;
    }
  }
  const json result = file(place, "o/result.json");
  CHECK(result.at("winner") == winner);
  CHECK(result.at("valid").at("recall@20") == best);
  CHECK(outcome.out.find("chosen on valid: ") != std::string::npos);
  // The test metrics are those that a run of the same settings ends with.
  const json settings = result.at("settings");
  const Outcome alone =
      place.run("train --data data --out alone --model lightgcn --set reg_weight=" + settings.at("reg_weight").dump() +
                " --set n_ui_layers=" + settings.at("n_ui_layers").dump() + small);
  REQUIRE(alone.code == 0);
  CHECK(file(place, "alone/result.json").at("test") == result.at("test"));
}

TEST_CASE("tune goes on with what is missing, and refuses the folder of another search") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  REQUIRE(place.run(grid).code == 0);
  const std::string all = place.read("o/result.json");
  const auto written = std::filesystem::last_write_time(place / "o/trial-2/result.json");
  std::filesystem::remove(place / "o/result.json");
  std::filesystem::remove_all(place / "o/trial-5");
  const Outcome again = place.run(grid);
  REQUIRE(again.code == 0);
  CHECK(place.read("o/result.json") == all);
  CHECK(std::filesystem::last_write_time(place / "o/trial-2/result.json") == written);
  CHECK(again.err.find("trial-5 of 6: reg_weight=1 n_ui_layers=2") != std::string::npos);
  CHECK(again.err.find("trial-4") == std::string::npos);
  CHECK_FAILS(place.run(grid + "--set embedding_size=9"), 1, "tune.json: was begun with embedding_size = 8, not 9");
  CHECK_FAILS(place.run("tune --data data --out o --model lightgcn --set 'reg_weight=[1]'" + small), 1,
              "tune.json: was begun with the lists {\"reg_weight\":[0.001,1],\"n_ui_layers\":[1,2,3]}, not "
              "{\"reg_weight\":[1]}; give the former to go on");
  REQUIRE(place.run("synth --out other --users 61 --items 50 --modality image=12 --seed 4").code == 0);
  CHECK_FAILS(place.run("tune --data other --out o --model lightgcn --set 'n_ui_layers=[1, 2, 3]' --set "
                        "'reg_weight=[0.001, 1]'" +
                        small),
              1, "tune.json: was begun with other data than other");
  // The order of what is given does not matter, nor the name of the data.
  std::filesystem::rename(place / "data", place / "renamed");
  const Outcome same = place.run("tune --data renamed --out o --model lightgcn" + small +
                                 "--set 'n_ui_layers=[1, 2, 3]' --set 'reg_weight=[0.001, 1]'");
  CHECK(same.code == 0);
  CHECK(same.err.find("trial-") == std::string::npos);
}

TEST_CASE("tune takes lists from a file and draws some combinations at random, the same again with the same seed") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  place.write("lists.yaml", "model: mf\nreg_weight: [0, 0.1, 0.2, 0.3]\nlearning_rate: [0.01, 0.02]\ntopk: [5, 20]\n");
  const auto settings = [&](const std::string& out, const std::string& more) {
    const Outcome outcome =
        place.run("tune --data data --out " + out + " --config lists.yaml --random 3" + small + more);
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    CHECK_FALSE(place.has(out + "/trial-4"));
    std::string text;
    for (int t = 1; t <= 3; ++t) {
      const json config = file(place, out + "/trial-" + std::to_string(t) + "/config.json");
      CHECK(config.at("topk") == json({5, 20}));
      const std::string one = config.at("reg_weight").dump() + " " + config.at("learning_rate").dump() + "\n";
      CHECK(text.find(one) == std::string::npos);  // all different
      text += one;
    }
    return text;
  };
  const std::string first = settings("a", "");
  CHECK(settings("b", "") == first);
  CHECK(settings("c", "--draw-seed 2") != first);
}

TEST_CASE("a random search grows: more trials join those that are there") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const std::string tune = "tune --data data --out o --model mf --set 'reg_weight=[0, 0.1, 0.2, 0.3]'" + small;
  REQUIRE(place.run(tune + "--random 2").code == 0);
  const Outcome more = place.run(tune + "--random 3");
  INFO(more.err);
  CHECK(more.code == 0);
  CHECK(more.err.find("trial-3 of 3: ") != std::string::npos);
  CHECK(more.err.find("trial-2") == std::string::npos);
  CHECK(file(place, "o/result.json").at("trials") == 3);
  CHECK_FAILS(place.run(tune + "--random 2"), 1, "tune.json: has 3 trials already; give --random 3 or more");
  CHECK_FAILS(place.run(tune + "--random 3 --draw-seed 2"), 1, "was begun with --draw-seed 1, not 2");
  CHECK(place.run(tune).code == 0);
  CHECK(file(place, "o/result.json").at("trials") == 4);
}

TEST_CASE("a trial that diverges is recorded, never chosen, and does not stop the search") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const std::string tune = "tune --data data --out o --model mf" + small + "--set 'learning_rate=[1e30, 0.01]'";
  const Outcome outcome = place.run(tune);
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK(outcome.err.find("note: trial-1 failed: training diverged") != std::string::npos);
  CHECK(outcome.out.find("failed") != std::string::npos);
  CHECK(file(place, "o/trial-1/failed.json").at("error").get<std::string>().find("training diverged") == 0);
  CHECK_FALSE(place.has("o/trial-1/result.json"));
  CHECK(file(place, "o/result.json").at("winner") == "trial-2");
  CHECK(place.run(tune).err.find("trial-1 of 2") == std::string::npos);
  CHECK_FAILS(place.run("tune --data data --out p --model mf" + small + "--set 'learning_rate=[1e30, 1e31]'"), 1,
              "tune: every trial failed; the first: training diverged");
}

TEST_CASE("tune refuses a trial's folder with other settings, and says what to do with broken results") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const std::string tune = "tune --data data --out o --model mf --set 'reg_weight=[0, 0.1]'" + small;
  REQUIRE(place.run(tune).code == 0);
  const std::string result = place.read("o/trial-1/result.json");
  const std::string anew = "; delete o/trial-1 and give the same command again to train it anew";
  for (const auto& [text, message] :
       {std::pair{"{", "not a JSON object"},
        {"null", "not a JSON object"},
        {"{}", "valid is missing"},
        {R"({"valid": {"recall@20": "x"}, "best_epoch": 1})", "valid.recall@20 is not a number"},
        {R"({"valid": {"recall@20": null}, "best_epoch": 1})", "valid.recall@20 is missing"},
        {R"({"valid": {"recall@20": 1}, "best_epoch": "x"})", "best_epoch is not a whole number"}}) {
    INFO(text);
    place.write("o/trial-1/result.json", text);
    CHECK_FAILS(place.run(tune), 1, "o/trial-1/result.json: " + std::string(message) + anew);
  }
  place.write("o/trial-1/result.json", result);
  json changed = file(place, "o/trial-1/config.json");
  changed["learning_rate"] = "x";
  place.write("o/trial-1/config.json", changed.dump());
  CHECK_FAILS(place.run(tune), 1,
              "o/trial-1/config.json: learning_rate is \"x\", expected a number > 0 and <= 1e+300" + anew);
  std::filesystem::remove_all(place / "o/trial-1");
  std::filesystem::copy(place / "o/trial-2", place / "o/trial-1", std::filesystem::copy_options::recursive);
  CHECK_FAILS(place.run(tune), 1,
              "o/trial-1/config.json: was trained with reg_weight = 0.1, not 0.0; delete o/trial-1 and give the same");
}

TEST_CASE("tune refuses a plan of another version or one that is damaged, and writes a damaged result again") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const std::string tune = "tune --data data --out o --model mf --set 'reg_weight=[0, 0.1]'" + small;
  REQUIRE(place.run(tune).code == 0);
  const json whole = file(place, "o/tune.json");
  const auto refuses = [&](const char* key, const json& value, const std::string& message) {
    json plan = whole;
    plan[key] = value;
    place.write("o/tune.json", plan.dump());
    INFO(plan.dump());
    CHECK_FAILS(place.run(tune), 1, "o/tune.json: " + message);
  };
  refuses("version", 2,
          "the search is of version 2, this program goes on with version 1; use the program that began it, or choose "
          "another --out");
  const std::string remedy = "; take it from a copy, or choose another --out";
  refuses("version", nullptr, "version is missing" + remedy);
  refuses("trials", "x", "trials is not a whole number" + remedy);
  refuses("drawn", "x", "drawn is not true or false" + remedy);
  refuses("data", 1, "data is not a text" + remedy);
  refuses("settings", 1, "settings: the settings are not an object" + remedy);
  place.write("o/tune.json", "{");
  CHECK_FAILS(place.run(tune), 1, "o/tune.json: not a JSON object" + remedy);
  place.write("o/tune.json", whole.dump());
  const json result = file(place, "o/result.json");
  for (const auto& [key, value] :
       {std::pair<const char*, json>{"trials", "x"}, {"winner", 4}, {"test", 4}, {"test", {{"recall@20", "x"}}}}) {
    json changed = result;
    changed[key] = value;
    place.write("o/result.json", changed.dump());
    INFO(changed.dump());
    const Outcome outcome = place.run(tune);
    INFO(outcome.err);
    CHECK(outcome.code == 0);
    CHECK(file(place, "o/result.json") == result);
  }
}

TEST_CASE("tune names the model that won, and says what it noticed about the data once") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const std::string table = place.read("data/data.inter");
  std::string plain;
  std::size_t at = table.find('\n') + 1;
  for (std::size_t end; (end = table.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string line = table.substr(at, end - at);
    plain += line.substr(0, line.find('\t', line.find('\t') + 1)) + "\n";
  }
  place.write("plain.txt", plain);
  const Outcome outcome = place.run("tune --data plain.txt --out o --set 'model=[mf, lightgcn]'" + small);
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  const json result = file(place, "o/result.json");
  CHECK(result.at("model") == result.at("settings").at("model"));
  const std::string note = "note: The files hold no split";
  CHECK(outcome.err.find(note) != std::string::npos);
  CHECK(outcome.err.find(note) == outcome.err.rfind(note));
}

TEST_CASE("tune refuses what it cannot search over") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const std::string tune = "tune --data data --out o ";
  CHECK_FAILS(place.run(tune), 1, "nothing to search over");
  CHECK_FAILS(place.run(tune + "--set 'reg_weight=[0.1, -1]'"), 1, "reg_weight is -1, expected a number >= 0");
  CHECK_FAILS(place.run(tune + "--set 'reg_weight=[0.1, 0.1]'"), 1, "has the value 0.1 twice");
  CHECK_FAILS(place.run(tune + "--set 'seed=[1, 2]'"), 1, "seed is not searched over");
  for (const char* key :
       {"k_core=[0, 2]", "split_seed=[1, 2]", "split=[random, time]", "mask_valid_in_test=[true, false]",
        "backend=[cpu, emulated]", "valid_metric=[recall@20, ndcg@20]"})
    CHECK_FAILS(place.run(tune + "--set '" + key + "'"), 1, "is not searched over: trials could not be compared");
  place.write("twice.yaml", "reg_weight: [0.1, 1]\nlr: 0.1\nlearning_rate: 0.2\n");
  for (const std::string& command : {tune, std::string("study --data data --out o ")})
    CHECK_FAILS(place.run(command + "--config twice.yaml"), 1, "'learning_rate' is already set at twice.yaml:2");
  CHECK_FAILS(place.run(tune + "--set 'model=[mf, mgcn]' --bma on"), 1, "mf has no modal representations");
  // A later single value takes the place of a list.
  CHECK_FAILS(place.run(tune + "--set 'reg_weight=[0.1, 1]' --set reg_weight=1"), 1, "nothing to search over");
  CHECK_FAILS(place.run(tune + "--set 'regweight=[1, 2]'"), 1, "did you mean 'reg_weight'");
  CHECK_FAILS(place.run("tune --data nowhere --out o --set 'reg_weight=[0.1, 1]'"), 1, "nowhere");
  CHECK_FALSE(place.has("o"));
}

}  // namespace dream_tests::cli_tune
