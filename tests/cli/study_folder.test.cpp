// A study's folder: who may go on in it, what joins it, and what is refused.
#include <sys/file.h>

#include <fcntl.h>

#include <nlohmann/json.hpp>

#include "cli/program.hpp"

namespace dream_tests::cli_study_folder {

using namespace dream_test;
using nlohmann::json;

namespace {

const std::string small = " --set epochs=1 --set embedding_size=8 --set knn_k=4 ";

json file(const Workplace& place, const std::string& name) { return json::parse(place.read(name)); }

/// Data and grids that search nothing.
struct StudyPlace : Workplace {
  explicit StudyPlace(std::string program = DREAM_PROGRAM) : Workplace(std::move(program)) {
    make_data();
    write("none.json", "{}");
  }
  std::string command(const std::string& more) const {
    return "study --data data --out s --grids none.json" + small + more;
  }
  Outcome succeeds(const std::string& more) const {
    const Outcome outcome = run(command(more));
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    return outcome;
  }
};

std::string column(const std::string& tsv) {
  std::string names;
  for (std::size_t at = tsv.find('\n') + 1; at < tsv.size(); at = tsv.find('\n', at) + 1)
    names += tsv.substr(at, tsv.find('\t', at) - at) + " ";
  return names;
}

}  // namespace

TEST_CASE("A study refuses the results of other settings in its folder, with the key and what to do") {
  NEEDS_PROGRAM();
  StudyPlace place;
  place.succeeds("--models lightgcn --groups models --seeds 1");
  const std::string plan = place.read("s/plan.json");
  REQUIRE(place.run("train --data data --model lightgcn --out s/runs/mf/seed-999" + small).code == 0);
  const std::string result = place.read("s/runs/mf/seed-999/result.json");
  CHECK_FAILS(place.run(place.command("--models mf --seeds 1")), 1,
              "s/runs/mf/seed-999/config.json: was trained with model = \"lightgcn\", not \"mf\"; delete "
              "s/runs/mf/seed-999 and give the same command again to train it anew, or choose another --out");
  CHECK(place.read("s/runs/mf/seed-999/result.json") == result);
  CHECK(place.read("s/plan.json") == plan);
  std::filesystem::remove_all(place / "s");
  place.succeeds("--models mf --seeds 1");
  json config = file(place, "s/runs/mf/seed-999/config.json");
  config["reg_weight"] = 0.5;
  place.write("s/runs/mf/seed-999/config.json", config.dump());
  CHECK_FAILS(place.run(place.command("--models mf --seeds 1")), 1, "was trained with reg_weight = 0.5, not 0.01;");
  std::filesystem::remove(place / "s/runs/mf/seed-999/config.json");
  CHECK_FAILS(place.run(place.command("--models mf --seeds 1")), 1, "config.json: is missing");
}

TEST_CASE("A study goes on with the backend that it began with, and with no other", "[exhaustive]") {
  NEEDS_EMULATED_PROGRAM();
  StudyPlace place(DREAM_EMULATED_PROGRAM);
  place.succeeds("--models mf --seeds 1 --backend emulated");
  CHECK(file(place, "s/plan.json").at("backend") == "emulated");
  CHECK(file(place, "s/plan.json").at("program") == "0.1.0");
  CHECK_FAILS(place.run(place.command("--models mf --seeds 1 --backend cpu")), 1,
              "s/plan.json: was begun with backend = emulated, not cpu; give the former to go on, or choose another");
  const Outcome again = place.succeeds("--models mf --seeds 1");
  CHECK(again.err.find("study: run") == std::string::npos);
  CHECK(contains(place.read("s/report.html"), "Trained by dream 0.1.0 on the backend <code>emulated</code>"));
  CHECK(
      contains(file(place, "s/study.json").at("options"), "--models mf --groups models --seeds 1 --backend emulated"));
}

TEST_CASE("Models, groups and seeds join a study, and what was there stays in its report") {
  NEEDS_PROGRAM();
  StudyPlace place;
  place.succeeds("--models mf --groups models --seeds 1");
  const Outcome joined = place.succeeds("--models lightgcn --groups models --seeds 2");
  CHECK(contains(joined.err, "run 1 of 2: lightgcn, seed 999"));
  CHECK(column(place.read("s/tables/models.tsv")) == "mf lightgcn ");
  CHECK(file(place, "s/study.json").at("seeds") == json({999, 1000}));
  CHECK(contains(place.read("s/tables/missing.tsv"), "mf\tMF-BPR\truns\tseed 1000 (not begun)"));
  // Fewer than before, and fewer models: the rest stays.
  place.succeeds("--models lightgcn --groups models --seeds 1");
  CHECK(column(place.read("s/tables/models.tsv")) == "mf lightgcn ");
  CHECK(file(place, "s/study.json").at("seeds") == json({999, 1000}));
  const std::string grid = R"({"mf": {"reg_weight": 0.25}})";
  place.write("grid.json", grid);
  CHECK_FAILS(place.run("study --data data --out s --models mf --grids grid.json" + small), 1,
              "s/plan.json: was begun with the grid {} of mf, not {\"reg_weight\":[0.25]}; give the former");
}

TEST_CASE("A study keeps a model's grid, and names the versions and the time that its runs take") {
  NEEDS_PROGRAM();
  StudyPlace place;
  place.write("mf.json", R"({"mf": {"reg_weight": [0.1, 1]}})");
  place.write("other.json", R"({"lightgcn": {"n_ui_layers": [1, 2]}})");
  const std::string study = "study --data data --out s --seeds 1" + small;
  const Outcome first = place.run(study + "--models mf --grids mf.json");
  INFO(first.err);
  REQUIRE(first.code == 0);
  CHECK_FALSE(contains(first.err, "run 1 of 3: mf, reg_weight=0.1;"));
  CHECK(contains(first.err, "run 2 of 3: mf, reg_weight=1; about "));
  json plan = file(place, "s/plan.json");
  plan["program"] = "0.0.9";
  place.write("s/plan.json", plan.dump());
  // Its own grid is not needed again, and another model's does not change it. Time is known from before.
  const Outcome second = place.run(study + "--models lightgcn --grids other.json");
  INFO(second.err);
  CHECK(second.code == 0);
  CHECK(contains(second.err, "run 1 of 3: lightgcn, n_ui_layers=1\n"));
  CHECK(file(place, "s/plan.json").at("grids").at("mf") == json({{"reg_weight", {0.1, 1}}}));
  CHECK_FALSE(contains(place.run(study + "--models mf").err, "study: run"));
  CHECK(contains(place.read("s/report.html"), "Trained by dream 0.0.9, 0.1.0 on the backend <code>cpu</code>"));
  std::filesystem::remove_all(place / "s/runs/mf");
  CHECK(contains(place.run(study + "--models mf").err, "run 3 of 3: mf, seed 999; about "));
}

TEST_CASE("The order of settings and the name of the data do not make another study") {
  NEEDS_PROGRAM();
  StudyPlace place;
  place.succeeds("--models mf --seeds 1");
  std::filesystem::rename(place / "data", place / "elsewhere");
  const std::string same = "study --data elsewhere --out s --grids none.json --models mf --seeds 1 ";
  const Outcome again =
      place.run(same + "--set knn_k=4 --set topk=[10,20] --set embedding_dim=8 --set n_ui_layers=2 --set epochs=1");
  INFO(again.err);
  CHECK(again.code == 0);
  CHECK(again.err.find("study: run") == std::string::npos);
  CHECK_FAILS(place.run(same + "--set epochs=1 --set embedding_size=8"), 1,
              "s/plan.json: was begun with knn_k = 4, not 10; give the former to go on, or choose another --out");
}

TEST_CASE("Groups alone bring what they are compared with, and count no other grid") {
  NEEDS_PROGRAM();
  StudyPlace place;
  place.write("grids.json", R"({"vbpr": {"reg_weight": 0.1}, "mf": {"reg_weight": [0.1, 1, 2]}})");
  const std::string study = "study --data data --out s --seeds 1 --models mf,vbpr --grids grids.json" + small;
  const Outcome outcome = place.run(study + "--groups alignment");
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK(contains(outcome.err, "note: vbpr is trained too: the group alignment is compared with it"));
  CHECK(contains(outcome.err, "run 3 of 3: vbpr+bma, seed 999"));
  CHECK(file(place, "s/significance.json").size() == 2);
  // A single value is a list of one, in the tables too.
  CHECK(contains(place.read("s/tables/grids.tsv"), "vbpr\tVBPR\treg_weight = [0.1]\treg_weight = 0.1\t1\t1"));
  CHECK(file(place, "s/runs/vbpr+bma/seed-999/config.json").at("reg_weight") == 0.1);
  const Outcome noted = place.run(study + "--groups models,ablations");
  CHECK(noted.code == 0);
  CHECK(contains(noted.err, "note: nothing of the group ablations is trained: it is of dream"));
}

TEST_CASE("What diverges in a study is recorded and left out, and the rest goes on") {
  NEEDS_PROGRAM();
  StudyPlace place;
  place.write("grids.json", R"({"mf": {"learning_rate": [1e30, 0.01]}, "lightgcn": {"learning_rate": [1e30, 1e31]}})");
  const std::string study =
      "study --data data --out s --seeds 1 --models mf,lightgcn --grids grids.json --set train_batch_size=128" + small;
  const Outcome outcome = place.run(study);
  INFO(outcome.err);
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, "dream: error: every trial of the search of lightgcn failed (training diverged"));
  CHECK(place.has("s/runs/mf/seed-999/result.json"));
  CHECK(file(place, "s/study.json").at("parts").at(0).at("chosen") == json({{"learning_rate", 0.01}}));
  CHECK(contains(place.read("s/tables/missing.tsv"), "search\tevery trial failed; the first: training diverged"));
  CHECK_FALSE(contains(place.run(study).err, "study: run"));
}

TEST_CASE("A broken result is refused with what to do, and lost vectors cost their tests alone") {
  NEEDS_PROGRAM();
  StudyPlace place;
  const std::string models = "--models mf,vbpr --seeds 2";
  place.succeeds(models);
  for (const char* name : {"best.safetensors", "test_users.json"})
    std::filesystem::remove(place / ("s/runs/vbpr/seed-999/" + std::string(name)));
  const Outcome lost = place.succeeds(models);
  CHECK(contains(lost.err, "note: s/runs/vbpr/seed-999/best.safetensors: is missing, so this run is left out of the"));
  CHECK(file(place, "s/significance.json").at(0).at("seeds") == json({1000}));
  // What the users got is kept.
  std::filesystem::remove(place / "s/runs/vbpr/seed-1000/best.safetensors");
  CHECK_FALSE(contains(place.succeeds(models).err, "vbpr/seed-1000/best.safetensors: is missing"));
  place.write("s/runs/mf/seed-999/result.json", "{");
  CHECK_FAILS(place.run(place.command(models)), 1,
              "s/runs/mf/seed-999/result.json: not a JSON object; delete s/runs/mf/seed-999 and give the same command");
}

TEST_CASE("A study's folder without its plan.json is nobody's to take over") {
  NEEDS_PROGRAM();
  StudyPlace place;
  place.succeeds("--models mf --seeds 1");
  std::filesystem::remove(place / "s/plan.json");
  REQUIRE(place.run("synth --out other --users 61 --items 50 --modality image=12 --seed 4").code == 0);
  const std::string study = place.read("s/study.json"), page = place.read("s/report.html");
  const std::string command = "study --data other --out s --grids none.json --models mf --seeds 1" + small;
  CHECK_FAILS(place.run(command), 1,
              "s/plan.json: is missing, but there is s/study.json of a study; take plan.json from a copy, or choose "
              "another --out");
  CHECK(place.read("s/study.json") == study);
  CHECK(place.read("s/report.html") == page);
  std::filesystem::remove(place / "s/study.json");
  CHECK_FAILS(place.run(command), 1, "s/plan.json: is missing, but there is s/runs of a study");
  std::filesystem::rename(place / "s/runs", place / "s/search");
  CHECK_FAILS(place.run(command), 1, "s/plan.json: is missing, but there is s/search of a study");
  CHECK_FALSE(place.has("s/plan.json"));
}

TEST_CASE("A plan.json that does not hold what it should is refused with the place and what to do") {
  NEEDS_PROGRAM();
  StudyPlace place;
  place.succeeds("--models mf --seeds 1");
  const json whole = file(place, "s/plan.json");
  const auto refuses = [&](const char* where, const json& value, const std::string& message) {
    json plan = whole;
    plan[json::json_pointer(where)] = value;
    place.write("s/plan.json", plan.dump());
    INFO(plan.dump());
    CHECK_FAILS(place.run(place.command("--models mf --seeds 1")), 1,
                "s/plan.json: " + message + "; take it from a copy, or choose another --out");
  };
  refuses("/parts", 5, "parts is not a list");
  refuses("/parts", json::array({1}), "parts[0] is not a text");
  refuses("/data", 3, "data is not an object");
  refuses("/data/fingerprint", 3, "data.fingerprint is not a text");
  refuses("/data/fingerprint", nullptr, "data.fingerprint is missing");
  refuses("/program", 4, "program is not a text");
  refuses("/backend", 4, "backend is not a text");
  refuses("/backend", "tpu", "backend is \"tpu\", expected one of cpu | cuda | emulated | auto");
  refuses("/seeds", 1, "seeds is not a list");
  refuses("/settings", 1, "settings is not an object");
  refuses("/settings/epochs", "x", "settings: epochs is \"x\", expected a whole number >= 0 and <= 1000000000");
  refuses("/grids", 1, "grids: is not an object of models and their grids");
  refuses("/grids/mf", 1, "grids: the grid of mf is not an object of keys and lists");
  refuses("/version", "1", "version is not a whole number");
  // An earlier program had the parts in study.json alone.
  json plan = whole;
  plan.erase("parts");
  place.write("s/plan.json", plan.dump());
  place.write("s/study.json", R"({"parts": [{"id": 4}]})");
  CHECK_FAILS(place.run(place.command("--models mf --seeds 1")), 1, "s/study.json: parts[0].id is not a text; take it");
}

TEST_CASE("A study writes its report whatever is damaged, says what is, and counts test users again where need be") {
  NEEDS_PROGRAM();
  StudyPlace place;
  const std::string models = "--models mf,vbpr --groups alignment --seeds 1", run = "s/runs/vbpr/seed-999/";
  place.succeeds(models);
  const std::string tests = place.read("s/significance.json"), users = place.read(run + "test_users.json");
  for (const char* broken : {"{\"metrics\": 1}", "null", ""}) {
    place.write(run + "test_users.json", broken);
    place.succeeds(models);
    CHECK(place.read(run + "test_users.json") == users);
  }
  json changed = json::parse(users);
  changed["metrics"]["recall@20"][0] = "x";
  place.write(run + "test_users.json", changed.dump());
  place.succeeds(models);
  CHECK(place.read(run + "test_users.json") == users);
  CHECK(place.read("s/significance.json") == tests);
  // A file of an earlier program has no lists: they are ranked again, or left out where there are no vectors any more.
  changed = json::parse(users);
  changed.erase("lists");
  place.write(run + "test_users.json", changed.dump());
  place.succeeds(models);
  CHECK(place.read(run + "test_users.json") == users);
  place.write(run + "test_users.json", changed.dump());
  std::filesystem::rename(place / (run + "best.safetensors"), place / "kept");
  place.succeeds(models);
  CHECK(place.read(run + "test_users.json") == changed.dump());
  CHECK(place.read("s/significance.json") == tests);
  std::filesystem::rename(place / "kept", place / (run + "best.safetensors"));
  // A curve costs a line, vectors that cannot be read cost their tests.
  place.write(run + "metrics.jsonl", "{\n");
  std::filesystem::remove(place / (run + "test_users.json"));
  place.write(run + "best.safetensors", "x");
  std::filesystem::remove(place / "s/report.html");
  const Outcome outcome = place.run(place.command(models));
  INFO(outcome.err);
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, "dream: error: " + run + "metrics.jsonl:1: not a JSON object; the result counts"));
  CHECK(contains(outcome.err, "dream: error: " + run + "best.safetensors: "));
  CHECK(contains(outcome.err, "left out of the tests of differences, delete s/runs/vbpr/seed-999 and give the same"));
  CHECK(contains(place.read("s/tables/models.tsv"), "\t1\n"));
  CHECK(contains(place.read("s/report.html"), run + "metrics.jsonl:1: not a JSON object"));
  CHECK(contains(place.read("s/tables/missing.tsv"), "vbpr+bma\tVBPR with BMA\tcomparison\twith VBPR on Recall@20"));
  // So does a significance.json that cannot be written.
  std::filesystem::remove(place / "s/significance.json");
  std::filesystem::create_directory(place / "s/significance.json");
  std::filesystem::remove(place / "s/report.html");
  CHECK_FAILS(place.run(place.command(models)), 1, "significance.json");
  CHECK(place.has("s/report.html"));
}

TEST_CASE("A part that is trained just as what it is compared with is refused with the key to leave out") {
  NEEDS_PROGRAM();
  StudyPlace place;
  const auto refuses = [&](const std::string& more, const std::string& part, const std::string& key,
                           const std::string& group) {
    CHECK_FAILS(place.run(place.command(more)), 1,
                "the study's part " + part +
                    ", which it is compared with, by the settings that all runs share; leave "
                    "out " +
                    key + "; or leave out the group " + group + ", by --groups");
  };
  refuses("--groups embeddings --set train_features=false", "dream-frozen: would be trained just as dream",
          "train_features", "embeddings");
  refuses("--groups alignment --models vbpr --set bma=on", "vbpr+bma: would be trained just as vbpr", "bma",
          "alignment");
  refuses("--groups ablations --set gate=none --set eval_batch_size=9", "no-gate: would be trained just as dream",
          "gate", "ablations");
  refuses("--groups ablations --set bma=off", "no-inter: would be trained just as dream", "bma", "ablations");
  refuses("--groups embeddings --set modal_line=false", "dream-frozen: would be trained just as dream", "modal_line",
          "embeddings");
  CHECK_FALSE(place.has("s"));
}

TEST_CASE("One command at a time works in a study's folder") {
  NEEDS_PROGRAM();
  StudyPlace place;
  place.write("s/lock", "");
  const int held = ::open((place / "s/lock").c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(::flock(held, LOCK_EX) == 0);
  CHECK_FAILS(place.run(place.command("--models mf")), 1,
              "s: another command is at work in this folder; wait for it, or choose another --out");
  CHECK_FAILS(place.run("tune --data data --out s --set 'reg_weight=[0.1, 1]'"), 1, "s: another command is at work");
  CHECK(place.listing("s") == "lock ");
  ::close(held);
}

TEST_CASE("The report of a study lists every setting, marks what differs, and tells the split as it was made") {
  NEEDS_PROGRAM();
  StudyPlace place;
  const std::string table = place.read("data/data.inter");
  std::string plain;
  for (std::size_t at = table.find('\n') + 1, end; (end = table.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string line = table.substr(at, end - at);
    plain += line.substr(0, line.find('\t', line.find('\t') + 1)) + "\n";
  }
  place.write("plain.txt", plain);
  const Outcome outcome = place.run("study --data plain.txt --out s --seeds 2 --models mf,lightgcn --grids none.json" +
                                    small + "--set mask_valid_in_test=true");
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  const std::string settings = place.read("s/tables/settings.tsv"), page = place.read("s/report.html");
  CHECK(contains(settings, "epochs\t1\t1000\tyes\n"));
  CHECK(contains(settings, "learning_rate\t0.001\t0.001\tno\n"));
  CHECK(contains(settings, "stopping_step\t20\t20\tno\n"));
  CHECK(contains(settings, "reg_weight\tlightgcn 0.001, mf 0.01\tlightgcn 0.001, mf 0.01\tno\n"));
  CHECK(contains(page, "Split: at random within each user, 0.8 : 0.1 : 0.1, with seed 999, as the files hold none."));
  CHECK(contains(page, "with the user\u2019s training and validation items left out"));
  // What was noticed about the data is said once, not by every run.
  const std::string note = "note: The files hold no split";
  CHECK(outcome.err.find(note) != std::string::npos);
  CHECK(outcome.err.find(note) == outcome.err.rfind(note));
}

}  // namespace dream_tests::cli_study_folder
