#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "cli/program.hpp"

namespace dream_tests::cli_report {

using namespace dream_test;
using Json = nlohmann::ordered_json;

namespace {

/// The lines of a TSV file below its head, as name -> text.
std::vector<std::map<std::string, std::string>> tsv(const std::string& text) {
  const auto split = [](const std::string& joined, char by) {
    std::vector<std::string> parts(1);
    for (const char c : joined) {
      if (c == by) {
        parts.emplace_back();
      } else {
        parts.back() += c;
      }
    }
    return parts;
  };
  std::vector<std::string> lines = split(text, '\n');
  REQUIRE(lines.back().empty());
  lines.pop_back();
  const std::vector<std::string> names = split(lines.at(0), '\t');
  std::vector<std::map<std::string, std::string>> rows;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> fields = split(lines[i], '\t');
    REQUIRE(fields.size() == names.size());
    rows.emplace_back();
    for (std::size_t c = 0; c < names.size(); ++c) rows.back()[names[c]] = fields[c];
  }
  return rows;
}

/// A small study: DREAM with three seeds, a model whose name is hard on HTML with two of three, one frozen part and one
/// ablation that did not begin, VBPR with and without alignment.
struct StudyFolder : Workplace {
  Json study;

  StudyFolder() {
    study = Json::parse(R"({"version": 1,
      "data": {"name": "small <set>", "fingerprint": "00ff", "users": 100, "items": 50, "train": 400, "valid": 50, "test": 50,
               "cold_items": 2, "modalities": [{"name": "image", "columns": 8, "items": 50}]},
      "split": "given", "metric": "recall@20", "top_k": [10, 20], "seeds": [1, 2, 3], "settings": {"epochs": 9},
      "parts": [
       {"id": "dream", "group": "models", "label": "DREAM", "model": "dream", "settings": {},
        "grid": {"reg_weight": [0.05, 0.1]}, "chosen": {"reg_weight": 0.1}},
       {"id": "mf", "group": "models", "label": "MF <b>&\"x\"", "model": "mf", "settings": {},
        "grid": {"reg_weight": [1, 2, 3]}, "chosen": null},
       {"id": "vbpr", "group": "models", "label": "VBPR", "model": "vbpr", "settings": {}, "grid": {}, "chosen": {}},
       {"id": "no-gate", "group": "ablations", "label": "no gate", "model": "dream", "settings": {"gate": "none"}, "grid": {}, "chosen": {}},
       {"id": "frozen", "group": "embeddings", "label": "frozen", "model": "dream", "settings": {"train_features": false}, "grid": {}, "chosen": {}},
       {"id": "vbpr+bma", "group": "alignment", "label": "VBPR with BMA", "model": "vbpr", "settings": {"bma": "on"}, "grid": {}, "chosen": {}}]})");
    put_study();
    for (int seed = 1; seed <= 3; ++seed) {
      run("dream", seed, 0.10 + 0.01 * seed, true);
      run("vbpr", seed, 0.05 + 0.02 * seed, false);
      run("vbpr+bma", seed, 0.08, false);
      run("frozen", seed, 0.09 + 0.01 * seed, false);
    }
    run("mf", 1, 0.02, false);
    run("mf", 2, 0.04, false);
    write("s/runs/mf/seed-3/metrics.jsonl", epoch(1, 0.01, false).dump() + "\n{\"epoch\": 2, \"los");
    trial("dream", 0, R"({"reg_weight": 0.05})", 0.2);
    trial("dream", 1, R"({"reg_weight": 0.1})", 0.3);
    trial("mf", 0, R"({"reg_weight": 1})", 0.1);
    write(
        "s/significance.json",
        R"([{"part": "dream", "against": "mf", "metric": "recall@20", "seeds": [1, 2], "difference": 0.09, "low": 0.07,
               "high": 0.11, "p": 0.001, "users": 40},
              {"part": "vbpr", "against": "dream", "metric": "recall@20", "seeds": [3, 1, 2], "difference": -0.03,
               "low": -0.05, "high": 0.01, "p": 0.2, "users": 40}])");
  }

  void put_study() const { write("s/study.json", study.dump(1)); }

  static Json metrics(double recall) {
    return {{"recall@10", recall / 2}, {"ndcg@10", recall / 8}, {"recall@20", recall}, {"ndcg@20", recall / 4}};
  }

  static Json epoch(int number, double valid, bool trains_features) {
    Json line{{"epoch", number}, {"losses", {{"total", 1.0}}}, {"valid", metrics(valid)},
              {"seconds", 3.0},  {"train_seconds", number},    {"eval_seconds", 1.0}};
    Json& found = line["diagnostics"];
    if (trains_features) found["forgetting"]["image"] = 0.1 * number;
    if (trains_features) found["shares"] = {{"image", 0.25}, {"text", 0.75}};
    found["misalignment"]["items"] = {{"mean_cosine", 0.25 * number}, {"histogram", {0, 1, 2, number}}};
    found["alignment"] = 1.0 / number;
    found["uniformity"] = {{"users", -1.0 * number}, {"items", -2.0}};
    return line;
  }

  using Workplace::run;
  /// A run of three epochs whose best is the second.
  void run(const std::string& id, int seed, double recall, bool trains_features) const {
    const std::string folder = "s/runs/" + id + "/seed-" + std::to_string(seed);
    std::string lines;
    for (int e = 1; e <= 3; ++e) lines += epoch(e, recall * e, trains_features).dump() + "\n";
    write(folder + "/metrics.jsonl", lines);
    const Json result{{"model", id},
                      {"seed", seed},
                      {"best_epoch", 2},
                      {"epochs", 3},
                      {"valid", metrics(2 * recall)},
                      {"test", metrics(recall)},
                      {"test_warm", metrics(recall)},
                      {"test_cold", Json::object()},
                      {"test_users", {{"all", 40}, {"warm", 40}, {"cold", 0}}}};
    write(folder + "/result.json", result.dump());
  }

  void trial(const std::string& id, int number, const std::string& settings, double valid) const {
    const std::string folder = "s/search/" + id + "/trial-" + std::to_string(number);
    write(folder + "/trial.json", settings);
    write(folder + "/result.json", Json{{"best_epoch", 4}, {"valid", metrics(valid)}}.dump());
  }

  /// Tests of parts against DREAM and of VBPR with alignment against VBPR, over these seeds.
  void compare(const std::vector<std::string>& parts, const std::vector<int>& seeds) const {
    Json tests = Json::array();
    const auto add = [&](const std::string& part, const std::string& against) {
      tests.push_back({{"part", part},
                       {"against", against},
                       {"metric", "recall@20"},
                       {"seeds", seeds},
                       {"difference", 0.01},
                       {"low", 0.005},
                       {"high", 0.015},
                       {"p", 0.03},
                       {"users", 40}});
    };
    for (const std::string& part : parts) add(part, "dream");
    add("vbpr+bma", "vbpr");
    write("s/significance.json", tests.dump());
  }

  void report() const {
    const Outcome outcome = Workplace::run("report --study s");
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    CHECK(outcome.out == "s/report.html\n");
  }

  std::vector<std::map<std::string, std::string>> table(const std::string& name) const {
    return tsv(read("s/tables/" + name + ".tsv"));
  }

  /// The row whose column holds this text.
  std::map<std::string, std::string> row(const std::string& name, const std::string& column,
                                         const std::string& text) const {
    for (const auto& found : table(name))
      if (found.at(column) == text) return found;
    FAIL("no row " << text << " in " << name);
    return {};
  }

  /// The report refuses with this text, and nothing is written.
  void refuses(const std::string& text) const {
    CHECK_FAILS(Workplace::run("report --study s"), 1, text);
    CHECK_FALSE(has("s/report.html"));
    CHECK_FALSE(has("s/tables"));
  }
};

/// A number of a table, to the eight digits that are written.
void check_number(const std::map<std::string, std::string>& row, const std::string& column, double expected) {
  INFO(column);
  const std::string& text = row.at(column);
  REQUIRE_FALSE(text.empty());
  CHECK(std::abs(std::stod(text) - expected) <= 1e-8 * std::max(1.0, std::abs(expected)));
}

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("the tables of a report hold the means and sample deviations of the runs that are over") {
  NEEDS_PROGRAM();
  const StudyFolder place;
  place.report();
  const auto dream = place.row("models", "part", "dream");
  check_number(dream, "recall@20_mean", 0.12);
  check_number(dream, "recall@20_deviation", 0.01);
  check_number(dream, "ndcg@10_mean", 0.015);
  check_number(dream, "ndcg@10_deviation", 0.00125);
  check_number(dream, "valid_recall@20_mean", 0.24);
  check_number(dream, "best_epoch_mean", 2);
  check_number(dream, "seconds_per_epoch_mean", 2);
  CHECK(dream.at("runs") == "3");
  const auto mf = place.row("models", "part", "mf");
  check_number(mf, "recall@20_mean", 0.03);
  check_number(mf, "recall@20_deviation", std::sqrt(0.0002));
  CHECK(mf.at("runs") == "2");
  const auto cold = place.row("warm_and_cold", "part", "dream");
  check_number(cold, "warm_recall@20_mean", 0.12);
  CHECK(cold.at("cold_recall@20_mean").empty());
  check_number(place.row("data", "what", "Density (interactions of all user-item pairs)"), "number", 0.1);
}

TEST_CASE("differences in a report are of the means, with the interval that was tested, whichever way it was stored") {
  NEEDS_PROGRAM();
  const StudyFolder place;
  place.report();
  const auto mf = place.row("differences", "against", "mf");
  check_number(mf, "difference", 0.09);
  check_number(mf, "percent", 300);
  check_number(mf, "high", 0.11);
  const auto vbpr = place.row("differences", "against", "vbpr");
  check_number(vbpr, "difference", 0.03);
  check_number(vbpr, "low", -0.01);
  check_number(vbpr, "high", 0.05);
  check_number(vbpr, "p", 0.2);
  check_number(place.row("embeddings", "part", "frozen"), "difference", -0.01);
  CHECK(place.row("embeddings", "part", "frozen").at("p").empty());
  check_number(place.row("alignment_as_plugin", "part", "vbpr+bma"), "difference", -0.01);
  CHECK(contains(place.read("s/report.html"),
                 "is first on test Recall@20 with 0.1150 \u00b1 0.0071 (mean of 2 seeds), "
                 "0.0350 (43.8 %) ahead of VBPR"));
  CHECK(contains(place.read("s/report.html"), "The difference is not significant"));
}

TEST_CASE("a report compares and ranks over the seeds that are over on both sides") {
  NEEDS_PROGRAM();
  StudyFolder place;
  std::filesystem::remove_all(place / "s/runs/dream/seed-1");
  std::filesystem::remove(place / "s/significance.json");
  place.report();
  check_number(place.row("differences", "against", "vbpr"), "difference", 0.125 - 0.10);
  check_number(place.row("differences", "against", "vbpr"), "percent", 25);
  check_number(place.row("differences", "against", "mf"), "difference", 0.12 - 0.04);
  check_number(place.row("embeddings", "part", "frozen"), "difference", -0.01);
  check_number(place.row("models", "part", "dream"), "recall@20_mean", 0.125);
  CHECK(contains(place.read("s/report.html"), "with 0.1200 (one seed), 0.0300 (33.3 %) ahead of VBPR"));
  // The other way round by the seeds that both have, though DREAM's two are the larger ones.
  place.run("vbpr", 1, 0.01, false);
  for (int seed = 2; seed <= 3; ++seed) place.run("vbpr", seed, 0.13 + 0.01 * seed, false);
  std::filesystem::remove_all(place / "s/runs/mf");
  place.report();
  const std::string page = place.read("s/report.html");
  CHECK(contains(page, "<strong>VBPR</strong> is first on test Recall@20 with 0.1550"));
  CHECK(contains(page, "<strong>0.1067 \u00b1"));  // in bold, though its mean over three seeds is below DREAM's
  CHECK_FALSE(contains(page, "<strong>0.1250 \u00b1"));
  place.run("mf", 1, 0.02, false);
  place.report();
  CHECK(contains(place.read("s/report.html"),
                 "No seed is finished for all models that have finished runs, so they are not"));
}

TEST_CASE("a report has the tests on NDCG beside those on Recall, where both were made") {
  NEEDS_PROGRAM();
  const StudyFolder place;
  const auto pair = [](const char* part, const char* against, const char* metric, double difference) {
    return Json{{"part", part},
                {"against", against},
                {"metric", metric},
                {"seeds", {1, 2, 3}},
                {"difference", difference},
                {"low", difference - 0.01},
                {"high", difference + 0.01},
                {"p", 0.01},
                {"users", 40}};
  };
  place.write("s/significance.json",
              Json{pair("dream", "vbpr", "recall@20", 0.03), pair("dream", "vbpr", "ndcg@20", 0.02),
                   pair("frozen", "dream", "ndcg@20", -0.03)}
                  .dump());
  place.report();
  int rows = 0;
  for (const auto& row : place.table("differences")) {
    if (row.at("against") != "vbpr") continue;
    ++rows;
    check_number(row, "difference", row.at("metric") == "ndcg@20" ? 0.02 : 0.03);
  }
  CHECK(rows == 2);
  const auto frozen = place.row("embeddings", "part", "frozen");
  CHECK(frozen.at("p").empty());
  check_number(frozen, "ndcg@20_p", 0.01);
  check_number(frozen, "ndcg@20_low", -0.04);
  check_number(frozen, "ndcg@20_difference", -0.0025);
  CHECK(contains(place.read("s/report.html"), "On NDCG@20, against VBPR, the difference is significant"));
}

TEST_CASE("a report says what failed and why, and which command trains the rest") {
  NEEDS_PROGRAM();
  StudyFolder place;
  place.study["options"] = "--models dream,mf --set 'epochs=9'";
  place.put_study();
  place.write("s/runs/mf/seed-3/failed.json", R"({"error": "training diverged: x"})");
  place.write("s/search/mf/trial-1/trial.json", R"({"reg_weight": 2})");
  place.write("s/search/mf/trial-1/failed.json", R"({"error": "training diverged: y"})");
  place.report();
  CHECK(place.row("missing", "what", "search").at("missing") == "2 of 3 trials are finished");
  CHECK(contains(place.read("s/tables/missing.tsv"), "seed 3 (failed: training diverged: x)"));
  CHECK(contains(place.read("s/report.html"), "<td>failed</td>"));
  CHECK(contains(place.read("s/report.html"),
                 "dream study --data DATA --out s --models dream,mf --set &#39;epochs=9&#39;<"));
}

TEST_CASE("the diagnostics of a report are those of the best epoch, and its curves means over seeds") {
  NEEDS_PROGRAM();
  const StudyFolder place;
  place.report();
  check_number(place.row("misalignment", "part", "vbpr"), "items_cosine_mean", 0.5);
  CHECK(place.row("misalignment", "part", "vbpr").at("users_cosine_mean").empty());
  check_number(place.row("alignment_and_uniformity", "part", "dream"), "alignment_mean", 0.5);
  check_number(place.row("modality_shares", "part", "dream"), "image_mean", 0.25);
  check_number(place.row("modality_shares", "part", "dream"), "text_mean", 0.75);
  check_number(place.row("alignment_and_uniformity", "part", "dream"), "user_uniformity_mean", -2);
  int bins = 0, epochs = 0, forgetting = 0;
  for (const auto& row : place.table("misalignment_histograms")) {
    if (row.at("part") != "vbpr") continue;
    check_number(row, "low", -1 + 0.5 * bins);
    check_number(row, "count", 3 * (bins == 3 ? 2 : bins));
    ++bins;
  }
  CHECK(bins == 4);
  for (const auto& row : place.table("valid_by_epoch")) {
    if (row.at("part") != "mf") continue;
    check_number(row, "mean", 0.03 * ++epochs);
    CHECK(row.at("runs") == "2");
  }
  CHECK(epochs == 3);
  for (const auto& row : place.table("forgetting_by_epoch")) {
    CHECK(row.at("part") == "dream");
    CHECK(row.at("modality") == "image");
    check_number(row, "mean", 0.1 * ++forgetting);
  }
  CHECK(forgetting == 3);
}

TEST_CASE("a report says what the test lists are beside their hits, at the K of the metric, over the seeds") {
  NEEDS_PROGRAM();
  StudyFolder place;
  place.report();
  CHECK(contains(place.read("s/report.html"), "They are computed when the study\u2019s command ends"));
  CHECK(place.row("lists", "part", "dream").at("coverage@20_mean").empty());
  for (int seed = 1; seed <= 3; ++seed) {
    const Json lists{
        {"coverage@10", 0.1},        {"gini@10", 0.9}, {"popularity@10", 70},          {"distance_image@10", 0.7},
        {"coverage@20", 0.3 * seed}, {"gini@20", 0.5}, {"popularity@20", 10.0 * seed}, {"distance_image@20", 0.25}};
    place.write("s/runs/dream/seed-" + std::to_string(seed) + "/test_users.json",
                Json{{"metrics", Json::object()}, {"lists", lists}}.dump());
  }
  place.write("s/runs/mf/seed-1/test_users.json", R"({"lists": {"coverage@20": 0.125}})");
  place.write("s/runs/vbpr/seed-1/test_users.json", R"({"metrics": {"recall@20": [1]}})");  // of an earlier program
  place.write("s/runs/mf/seed-3/test_users.json", R"({"lists": {"coverage@20": 1}})");      // of a run that is not over
  place.report();
  const auto dream = place.row("lists", "part", "dream");
  check_number(dream, "coverage@20_mean", 0.6);
  check_number(dream, "coverage@20_deviation", 0.3);
  check_number(dream, "gini@20_mean", 0.5);
  check_number(dream, "popularity@20_mean", 20);
  check_number(dream, "distance_image@20_mean", 0.25);
  CHECK(dream.count("coverage@10_mean") == 0);
  CHECK(dream.count("distance_image@10_mean") == 0);
  check_number(place.row("lists", "part", "mf"), "coverage@20_mean", 0.125);
  CHECK(place.row("lists", "part", "mf").at("gini@20_mean").empty());
  CHECK(place.row("lists", "part", "vbpr").at("coverage@20_mean").empty());
  CHECK(place.row("lists", "part", "no-gate").at("runs") == "0");
  const std::string page = place.read("s/report.html");
  CHECK_FALSE(contains(page, "They are computed when"));
  for (const char* text : {"Coverage@20</th>", "Gini index@20</th>", "Intra-list distance@20, image</th>",
                           "<td>20.00 \u00b1 10.00</td>", "Of the first 20 items", "in some user\u2019s list"})
    CHECK_THAT(page, DREAM_MATCHES_SUBSTRING(text));
  place.study["data"]["test"] = 0;
  place.put_study();
  std::filesystem::remove_all(place / "s/runs");
  place.report();
  CHECK(place.row("lists", "part", "dream").at("coverage@20_mean").empty());
}

TEST_CASE("a report lists every run and search that is not over, and the command that goes on") {
  NEEDS_PROGRAM();
  const StudyFolder place;
  place.report();
  std::string missing;
  for (const auto& row : place.table("missing"))
    missing += row.at("part") + " " + row.at("what") + ": " + row.at("missing") + "\n";
  CHECK(missing ==
        "mf search: 1 of 3 trials are finished\nmf runs: seed 3 (at epoch 1)\nno-gate runs: all seeds\n"
        "frozen comparison: with DREAM on Recall@20\nvbpr+bma comparison: with VBPR on Recall@20\n");
  const std::string page = place.read("s/report.html");
  CHECK(contains(page, "dream study --data DATA --out s<"));
  CHECK(contains(page, "14 of the study\u2019s 18 runs are finished, so this may change"));
  const auto trials = place.table("search");
  REQUIRE(trials.size() == 3);
  CHECK(trials[0].at("chosen") == "no");
  CHECK(trials[1].at("chosen") == "yes");
  check_number(trials[1], "valid", 0.3);
}

TEST_CASE("a whole study misses nothing, and one without any run still has a report") {
  NEEDS_PROGRAM();
  StudyFolder place;
  place.study["parts"][1]["chosen"] = {{"reg_weight", 1}};
  place.put_study();
  place.run("mf", 3, 0.03, false);
  for (int seed = 1; seed <= 3; ++seed) place.run("no-gate", seed, 0.1, true);
  place.compare({"mf", "vbpr", "no-gate", "frozen"}, {1, 2, 3});
  place.report();
  CHECK(place.table("missing").empty());
  const std::string page = place.read("s/report.html");
  CHECK(contains(page, "All 18 runs of the study are finished"));
  CHECK_FALSE(contains(page, "dream study --data"));
  std::filesystem::remove_all(place / "s/runs");
  std::filesystem::remove_all(place / "s/search");
  std::filesystem::remove(place / "s/significance.json");
  place.report();
  CHECK(place.table("missing").size() == 6);
  CHECK(contains(place.read("s/report.html"), "there is nothing to compare yet"));
  CHECK(occurrences(place.read("s/report.html"), "<svg") == 0);
}

TEST_CASE("a report is one page that asks for nothing from a network, with every name as text") {
  NEEDS_PROGRAM();
  const StudyFolder place;
  place.report();
  const std::string page = place.read("s/report.html");
  CHECK_FALSE(contains(page, "http"));
  CHECK_FALSE(contains(page, "<script"));
  CHECK_FALSE(contains(page, "<link"));
  CHECK_FALSE(contains(page, "@import"));
  CHECK_FALSE(contains(page, "url("));
  CHECK_FALSE(contains(page, "MF <b>"));
  CHECK_FALSE(contains(page, "small <set>"));
  CHECK(contains(page, "MF &lt;b&gt;&amp;&quot;x&quot;"));
  CHECK(contains(page, "<title>Study of small &lt;set&gt;</title>"));
  CHECK(place.row("models", "part", "mf").at("label") == "MF <b>&\"x\"");
  // Curves of three models, forgetting, bars of both kinds, and three histograms.
  CHECK(occurrences(page, "<svg") == 7);
  CHECK(occurrences(page, "<svg") == occurrences(page, "</svg>"));
  CHECK(occurrences(page, "<table") == occurrences(page, "</table>"));
  CHECK_FALSE(contains(page, "nan"));
  for (const char* part : {"data", "models", "curves", "embeddings", "misalignment", "plugin", "ablations", "shares",
                           "uniformity", "lists", "fidelity", "missing"}) {
    CHECK(occurrences(page, "<section id=\"" + std::string(part) + "\"") == 1);
    CHECK(contains(page, "href=\"#" + std::string(part) + "\""));
  }
}

TEST_CASE("folders that are no study, and studies of another version, are refused with what to do") {
  NEEDS_PROGRAM();
  StudyFolder place;
  CHECK_FAILS(place.Workplace::run("report --study nowhere"), 1,
              "nowhere: there is no such folder; `dream study --data DATA --out nowhere`");
  std::filesystem::create_directory(place / "hollow");
  CHECK_FAILS(place.Workplace::run("report --study hollow"), 1,
              "hollow: is not the folder of a study: it has no study.json");
  CHECK(std::filesystem::is_empty(place / "hollow"));
  CHECK_FAILS(place.Workplace::run("report"), 2, "--study");
  place.study["version"] = 2;
  place.put_study();
  place.refuses("s/study.json: the study is of version 2, this program reads version 1");
}

TEST_CASE("a study.json that does not hold what it should is refused with the place and what to do") {
  NEEDS_PROGRAM();
  const auto with = [](const std::string& file, const std::string& text, const std::string& message) {
    INFO(file << ": " << text);
    const StudyFolder place;
    place.write("s/" + file, text);
    place.refuses("s/" + file + message);
  };
  with("study.json", "{\"version\": 1", ": not a JSON object; take it from a copy, or begin again: dream study");
  with("study.json", "[]", ": not a JSON object");
  with("study.json", "{}", ": version is missing");
  with("study.json", "{\"version\": \"1\"}", ": version is not a whole number");
  StudyFolder place;
  place.study["parts"][0]["id"] = "../x";
  place.put_study();
  place.refuses("s/study.json: parts[0].id is not the name of a folder");
  place.study["parts"][0]["id"] = "mf";
  place.put_study();
  place.refuses("s/study.json: parts[1] is not the only part 'mf'");
}

TEST_CASE("a damaged file of a study is taken as missing and listed, with its line and what to do") {
  NEEDS_PROGRAM();
  const auto lists = [](const std::string& file, const std::string& text, const std::string& part,
                        const std::string& what, const std::string& message) {
    INFO(file << ": " << text);
    StudyFolder place;
    place.write("s/" + file, text);
    const Outcome outcome = place.Workplace::run("report --study s");
    INFO(outcome.err);
    CHECK(outcome.out == "s/report.html\n");
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.err, DREAM_MATCHES_SUBSTRING("dream: error: s/" + file + message));
    std::string found;
    for (const auto& row : place.table("missing"))
      if (row.at("part") == part && row.at("what") == what) found = row.at("missing");
    CHECK_THAT(found, DREAM_MATCHES_SUBSTRING("s/" + file + message));
    CHECK(contains(place.read("s/report.html"), "s/" + file));
    return place.row("models", "part", "mf").at("runs");
  };
  const std::string again = "train this run again: dream study --data DATA --out s",
                    result = "runs/mf/seed-1/result.json";
  CHECK(lists(result, "{", "mf", "runs", ": not a JSON object; remove s/runs/mf/seed-1 and " + again) == "1");
  CHECK(lists(result, "{\"best_epoch\": 2, \"valid\": {}}", "mf", "runs", ": test is missing; remove") == "1");
  CHECK(lists(result, "{\"best_epoch\": 2, \"valid\": {\"recall@20\": []}}", "mf", "runs",
              ": valid.recall@20 is not a number") == "1");
  CHECK(lists(result, "{\"best_epoch\": -2}", "mf", "runs", ": best_epoch is not a whole number") == "1");
  const std::string curve = "runs/mf/seed-3/metrics.jsonl";
  lists(curve, "{\"epoch\": 1, \"seconds\": 1}\n{\"epoch\": \n", "mf", "curve",
        ":2: not a JSON object; remove s/runs/mf/seed-3 and " + again);
  lists(curve, "{\"epoch\": 1}\n7\n", "mf", "curve", ":1: seconds is missing");
  lists("runs/mf/seed-3/failed.json", "{", "mf", "runs", ": not a JSON object; remove s/runs/mf/seed-3 and " + again);
  lists("search/mf/trial-0/result.json", "", "mf", "search",
        ": not a JSON object; remove s/search/mf/trial-0 and train this trial again");
  lists("search/mf/trial-0/trial.json", "7", "mf", "search", ": not a JSON object");
  CHECK(lists("runs/mf/seed-1/test_users.json", "{", "mf", "lists",
              ": not a JSON object; remove it and compute it again: dream study") == "2");
  lists("runs/mf/seed-1/test_users.json", "{\"lists\": {\"gini@20\": \"x\"}}", "mf", "lists",
        ": lists.gini@20 is not a number");
  lists("significance.json", "{}", "", "comparison", ": not a JSON list; remove it and compute it again: dream study");
  lists("significance.json", "[{\"part\": \"dream\"}]", "", "comparison", ": [0].against is missing");
}

TEST_CASE("a run with a damaged line in its curve keeps its result, and other epochs do not pass for its best") {
  NEEDS_PROGRAM();
  const StudyFolder place;
  const std::string path = "s/runs/vbpr/seed-1/metrics.jsonl", whole = place.read(path);
  const std::size_t second = whole.find('\n') + 1, third = whole.find('\n', second) + 1;
  place.write(path, whole.substr(0, third) + "{\"epoch\": \n[]\n");
  const Outcome last = place.Workplace::run("report --study s");
  CHECK(contains(place.read("s/tables/missing.tsv"),
                 path + ":3: not a JSON object; the result counts, the curve lacks this line; to have it too, take the "
                        "file from a copy, or remove s/runs/vbpr/seed-1 and train this run again: dream study --data "
                        "DATA --out s (damaged lines in all: 2)"));
  CHECK(place.row("models", "part", "vbpr").at("runs") == "3");
  check_number(place.row("models", "part", "vbpr"), "recall@20_mean", 0.09);
  check_number(place.row("alignment_and_uniformity", "part", "vbpr"), "alignment_deviation", 0);
  // The best epoch is the second.
  place.write(path, whole.substr(0, second) + "{\n" + whole.substr(third));
  place.Workplace::run("report --study s");
  check_number(place.row("models", "part", "vbpr"), "recall@20_mean", 0.09);
  check_number(place.row("misalignment", "part", "vbpr"), "items_cosine_mean", 0.5);
  check_number(place.row("misalignment", "part", "vbpr"), "items_cosine_deviation", 0);
}

TEST_CASE("a report has no test that was made with other seeds than those that are over") {
  NEEDS_PROGRAM();
  const StudyFolder place;
  place.compare({"vbpr", "frozen"}, {1, 2});
  place.report();
  CHECK(place.row("differences", "against", "vbpr").at("p").empty());
  check_number(place.row("differences", "against", "vbpr"), "difference", 0.03);
  CHECK(place.row("embeddings", "part", "frozen").at("p").empty());
  CHECK(place.row("alignment_as_plugin", "part", "vbpr+bma").at("low").empty());
  CHECK(contains(place.read("s/report.html"), "Whether this is more than chance has not been tested"));
  std::string missing;
  for (const auto& row : place.table("missing"))
    if (row.at("what") == "comparison") missing += row.at("part") + ": " + row.at("missing") + "\n";
  const std::string stale =
      " on Recall@20: the test that there is was made with other seeds (1, 2) than those that are finished (1, 2, 3)\n";
  CHECK(missing == "mf: with DREAM on Recall@20\nvbpr: with DREAM" + stale + "frozen: with DREAM" + stale +
                       "vbpr+bma: with VBPR" + stale);
  // Without a seed, they are those that are over.
  for (const char* id : {"vbpr", "frozen", "vbpr+bma"})
    std::filesystem::remove_all(place / ("s/runs/" + std::string(id) + "/seed-3"));
  place.report();
  check_number(place.row("differences", "against", "vbpr"), "p", 0.03);
  check_number(place.row("embeddings", "part", "frozen"), "p", 0.03);
  check_number(place.row("alignment_as_plugin", "part", "vbpr+bma"), "p", 0.03);
}

TEST_CASE("a report that cannot be written leaves the one that is there") {
  NEEDS_PROGRAM();
  const StudyFolder place;
  place.report();
  const std::string page = place.read("s/report.html");
  std::filesystem::remove_all(place / "s/tables");
  place.write("s/tables", "in the way");
  CHECK_FAILS(place.Workplace::run("report --study s"), 1, "s/tables: cannot make this folder");
  CHECK(place.read("s/report.html") == page);
}

TEST_CASE("a report lists what failed apart from what its command goes on with") {
  NEEDS_PROGRAM();
  const StudyFolder place;
  place.write("s/runs/mf/seed-3/failed.json", R"({"error": "training diverged: x"})");
  place.report();
  std::string unfinished;
  for (const auto& row : place.table("unfinished"))
    if (row.at("what") != "comparison")
      unfinished += row.at("part") + " " + row.at("what") + ": " + row.at("missing") + "\n";
  CHECK(unfinished == "mf search: 1 of 3 trials are finished\nno-gate runs: all seeds\n");
  REQUIRE(place.table("failures").size() == 1);
  const auto failed = place.row("failures", "part", "mf");
  CHECK(failed.at("what") == "seed 3");
  CHECK(failed.at("why") == "training diverged: x");
  CHECK(failed.at("folder") == "s/runs/mf/seed-3");
  const std::string page = place.read("s/report.html");
  CHECK(contains(page, "14 of the study\u2019s 18 runs are finished, 1 failed, so this may change"));
  CHECK(contains(page, "keeps what failed and does not train it again"));
}

TEST_CASE("a report does not say that more will come where all that is left failed") {
  NEEDS_PROGRAM();
  StudyFolder place;
  place.study["parts"][1]["chosen"] = {{"reg_weight", 1}};
  place.put_study();
  for (int seed = 1; seed <= 3; ++seed) place.run("no-gate", seed, 0.1, true);
  place.write("s/runs/mf/seed-3/failed.json", R"({"error": "training diverged: x"})");
  Json tests = Json::array();
  for (const char* id : {"mf", "vbpr", "no-gate", "frozen", "vbpr+bma"}) {
    const std::string part = id;
    tests.push_back({{"part", part},
                     {"against", part == "vbpr+bma" ? "vbpr" : "dream"},
                     {"metric", "recall@20"},
                     {"seeds", part == "mf" ? Json{1, 2} : Json{1, 2, 3}},
                     {"difference", -0.01},
                     {"low", -0.02},
                     {"high", 0.01},
                     {"p", 0.2},
                     {"users", 40}});
  }
  place.write("s/significance.json", tests.dump());
  place.report();
  std::string page = place.read("s/report.html");
  CHECK(place.table("unfinished").empty());
  CHECK(
      contains(page, "17 of the study\u2019s 18 runs are finished and 1 failed: <a href=\"#missing\">what failed</a>"));
  CHECK_FALSE(contains(page, "so this may change"));
  CHECK_FALSE(contains(page, "goes on where the study stopped"));
  // A comparison that was not made yet is what a command makes.
  std::filesystem::remove(place / "s/significance.json");
  place.report();
  CHECK(place.row("unfinished", "part", "mf").at("what") == "comparison");
  // A model without any trial to choose from is left out, and its runs are nothing to wait for.
  std::filesystem::remove_all(place / "s/runs/mf");
  std::filesystem::remove_all(place / "s/search/mf");
  place.study["parts"][1]["chosen"] = nullptr;
  place.put_study();
  for (const char* trial : {"0", "1", "2"}) {
    place.write(std::string("s/search/mf/trial-") + trial + "/trial.json", R"({"reg_weight": 2})");
    place.write(std::string("s/search/mf/trial-") + trial + "/failed.json", R"({"error": "training diverged: y"})");
  }
  place.report();
  for (const auto& row : place.table("unfinished")) CHECK(row.at("part") != "mf");
  const auto failures = place.table("failures");
  REQUIRE(failures.size() == 2);
  CHECK(failures[0].at("why") == "every trial failed; the first: training diverged: y");
  CHECK(failures[1].at("what") == "runs");
  CHECK(contains(place.read("s/report.html"), "15 of the study\u2019s 18 runs are finished and 3 failed"));
}

TEST_CASE("a report of a study without DREAM says that nothing is tested there") {
  NEEDS_PROGRAM();
  StudyFolder place;
  place.study["parts"].erase(0);
  place.put_study();
  place.report();
  const std::string page = place.read("s/report.html");
  CHECK(contains(page,
                 "this study does not train it; the study\u2019s command with <code>--models dream</code> adds it"));
  CHECK(contains(page, "among models only differences from DREAM are, and this study does not train it."));
  CHECK_FALSE(contains(page, "has not been tested"));
  CHECK_FALSE(contains(page, "No other model"));
}

TEST_CASE("a report says what a comparison that has not been made waits for") {
  NEEDS_PROGRAM();
  const StudyFolder place;
  std::filesystem::remove(place / "s/significance.json");
  place.report();
  CHECK(contains(place.read("s/report.html"), "Whether this is more than chance has not been tested yet."));
  for (int seed = 1; seed <= 3; ++seed) place.run("mf", seed, 0.2, false);
  place.report();  // MF, DREAM, VBPR
  CHECK(contains(place.read("s/report.html"), "has not been tested yet."));
  for (int seed = 1; seed <= 3; ++seed) place.run("vbpr", seed, 0.3, false);
  place.report();  // VBPR, MF, DREAM
  CHECK(contains(place.read("s/report.html"), "is not tested: among models only differences from DREAM are."));
  std::filesystem::remove_all(place / "s/runs/dream");
  place.report();
  CHECK(contains(place.read("s/report.html"), "<p>DREAM has no finished run yet.</p>"));
}

TEST_CASE("a report says why nothing was diagnosed") {
  NEEDS_PROGRAM();
  StudyFolder place;
  const auto without_diagnostics = [&](const std::string& id, int seed) {
    Json line = StudyFolder::epoch(2, 0.1, false);
    line.erase("diagnostics");
    place.write("s/runs/" + id + "/seed-" + std::to_string(seed) + "/metrics.jsonl", line.dump() + "\n");
  };
  for (const char* id : {"dream", "vbpr", "vbpr+bma", "frozen", "mf"})
    for (int seed = 1; seed <= 3; ++seed) without_diagnostics(id, seed);
  place.study["settings"]["diagnostics"] = false;
  place.put_study();
  place.report();
  std::string page = place.read("s/report.html");
  // Forgetting, shares, misalignment, uniformity.
  CHECK(occurrences(page, "was made with <code>diagnostics = false</code>") == 4);
  CHECK_FALSE(contains(page, "evaluated yet"));
  place.study["settings"].erase("diagnostics");
  place.study["shared"] = {{{"key", "diagnostics"}, {"value", false}, {"default", true}, {"differs", true}}};
  place.put_study();
  place.report();
  CHECK(occurrences(place.read("s/report.html"), "was made with <code>diagnostics = false</code>") == 4);

  const StudyFolder plain;
  for (int seed = 1; seed <= 3; ++seed) plain.run("dream", seed, 0.1, false);
  plain.report();
  page = plain.read("s/report.html");
  CHECK(contains(page, "No run evaluated so far is of a model with trained modal embeddings."));
  CHECK(contains(page, "No run evaluated so far is of a model with a modal representation of items."));
  std::filesystem::remove_all(plain / "s/runs");
  plain.report();
  CHECK(contains(plain.read("s/report.html"), "<p>No run has been evaluated yet.</p>"));
}

TEST_CASE("a report sets in bold what is shown as the best, and nothing where all are level or zero") {
  NEEDS_PROGRAM();
  const StudyFolder place;
  for (int seed = 1; seed <= 3; ++seed) {
    place.run("dream", seed, 0.120004, true);
    place.run("vbpr", seed, 0.120001, false);
    place.run("mf", seed, 0.1, false);
  }
  place.report();
  std::string page = place.read("s/report.html");
  CHECK(occurrences(page, "<td><strong>0.1200 \u00b1 0.0000</strong></td>") ==
        4);  // Recall@20, all items and warm ones
  CHECK(contains(page,
                 "<strong>DREAM</strong> and <strong>VBPR</strong> are level on test Recall@20 at 0.1200 "
                 "(mean of 3 seeds), 0.0200 (20.0 %) ahead of MF"));
  CHECK(contains(page, "On NDCG@20 DREAM and VBPR are level."));
  for (int seed = 1; seed <= 3; ++seed) place.run("mf", seed, 0.12, false);
  place.report();
  page = place.read("s/report.html");
  CHECK(occurrences(page, "<td><strong>") == 1);  // that of the chosen trial
  CHECK(contains(page, "On NDCG@20 all are level."));
  CHECK_FALSE(contains(page, "0.0 %"));
  for (const char* id : {"dream", "vbpr", "mf"})
    for (int seed = 1; seed <= 3; ++seed) place.run(id, seed, 0, false);
  place.report();
  CHECK(occurrences(place.read("s/report.html"), "<td><strong>") == 1);
}

TEST_CASE("the charts of a report have whole epochs, and three numbers or more beside a histogram") {
  NEEDS_PROGRAM();
  const StudyFolder place;
  place.report();
  CHECK_FALSE(contains(place.read("s/report.html"), "class=\"tick\">1.5<"));
  CHECK(contains(place.read("s/report.html"), "class=\"tick\">2<"));
  for (int seed = 1; seed <= 3; ++seed) {
    Json line = StudyFolder::epoch(2, 0.1, false);
    line["diagnostics"]["misalignment"]["items"]["histogram"] = {0, 0, 9, 91};
    place.write("s/runs/vbpr/seed-" + std::to_string(seed) + "/metrics.jsonl", line.dump() + "\n");
    std::filesystem::remove_all(place / "s/runs/vbpr+bma");
  }
  place.report();
  for (const char* percent : {"20", "40", "60", "80"})
    CHECK(contains(place.read("s/report.html"), "class=\"tick\">" + std::string(percent) + "<"));
}

TEST_CASE("a report says what its numbers are in words that need no other page") {
  NEEDS_PROGRAM();
  const StudyFolder place;
  place.report();
  const std::string page = place.read("s/report.html");
  CHECK(contains(page, "<th scope=\"col\">Validation Recall@20</th>"));
  CHECK(contains(page, "Means over the finished seeds, "));
  CHECK(contains(page, "the higher it is, the better the two are aligned"));
  CHECK(contains(page, "A setting that a model does not have has no effect on that model."));
  CHECK_FALSE(contains(page, "is ours"));
}

}  // namespace dream_tests::cli_report
