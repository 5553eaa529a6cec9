#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <dream/testing/fiber.hpp>

#include "cli/program.hpp"

namespace dream_tests::cli_backend {

using namespace dream_test;
using nlohmann::json;

namespace {

const std::string small_model =
    " --epochs 2 --set embedding_size=8 --set train_batch_size=256 --set knn_k=4 --set s3_target_norm=exact ";

/// The item and the cosine of each line that `dream similar` prints.
std::vector<std::pair<std::string, double>> similar_rows(const std::string& text) {
  std::vector<std::pair<std::string, double>> rows;
  std::istringstream lines(text);
  std::string item, rank, cosine;
  lines >> item >> rank >> cosine;  // the head
  while (lines >> item >> rank >> cosine) rows.emplace_back(item, std::stod(cosine));
  return rows;
}

}  // namespace

TEST_CASE("The program trains on emulated kernels as on the host, to the same metrics, and resumes there",
          "[exhaustive]") {
  NEEDS_EMULATED_PROGRAM();
  if (dream::detail::AddressSanitizer::on) DREAM_SKIP("emulating kernels under sanitizers takes minutes");
  const Workplace place(DREAM_EMULATED_PROGRAM);
  place.make_data();
  const Outcome host = place.run("train --data data --out host" + small_model);
  INFO(host.err);
  REQUIRE(host.code == 0);
  const Outcome emulated = place.run("train --data data --out emulated --backend emulated" + small_model);
  INFO(emulated.err);
  REQUIRE(emulated.code == 0);
  const json expected = json::parse(place.read("host/result.json")),
             found = json::parse(place.read("emulated/result.json"));
  CHECK(found.at("best_epoch") == expected.at("best_epoch"));
  // Single precision: sums in another order may swap two items of nearly equal score.
  for (const char* split : {"valid", "test"})
    for (const auto& [name, value] : expected.at(split).items()) {
      INFO(split << " " << name);
      CHECK(std::abs(found.at(split).at(name).get<double>() - value.get<double>()) < 0.02);
    }
  CHECK(json::parse(place.read("emulated/config.json")).at("backend") == "emulated");

  const std::string served = " --data data --checkpoint emulated/best.safetensors ";
  for (const char* backend : {"cpu", "emulated"}) {
    CHECK(place.run("recommend --k 5 --out " + std::string(backend) + ".tsv --backend " + backend + served).code == 0);
    const Outcome evaluated = place.run("evaluate --json --backend " + std::string(backend) + served);
    INFO(evaluated.err);
    REQUIRE(evaluated.code == 0);
    CHECK(std::abs(json::parse(evaluated.out).at("all").at("recall@20").get<double>() -
                   found.at("test").at("recall@20").get<double>()) < 0.02);
  }
  const std::string nearest = "similar --item 7 --k 6" + served;
  const Outcome near_host = place.run(nearest), near_kernels = place.run(nearest + "--backend emulated");
  INFO(near_kernels.err);
  REQUIRE(near_kernels.code == 0);
  const auto by_rank = similar_rows(near_host.out), found_rows = similar_rows(near_kernels.out);
  REQUIRE(by_rank.size() == 6);
  REQUIRE(found_rows.size() == 6);
  for (std::size_t r = 0; r < 6; ++r) {
    CHECK(found_rows[r].first == by_rank[r].first);
    CHECK(std::abs(found_rows[r].second - by_rank[r].second) < 3e-6);  // single precision, printed to six digits
  }

  // The same users and as many items; scores agree to single precision.
  const std::string by_host = place.read("cpu.tsv"), by_kernels = place.read("emulated.tsv");
  CHECK(by_host.substr(0, by_host.find('\n', by_host.find('\n') + 1) - 3) ==
        by_kernels.substr(0, by_kernels.find('\n', by_kernels.find('\n') + 1) - 3));
  CHECK(std::count(by_host.begin(), by_host.end(), '\n') == std::count(by_kernels.begin(), by_kernels.end(), '\n'));

  const Outcome more = place.run("train --data data --out emulated --resume --epochs 3");
  INFO(more.err);
  REQUIRE(more.code == 0);
  CHECK(json::parse(place.read("emulated/result.json")).at("epochs") == 3);
  CHECK_FAILS(place.run("train --data data --out emulated --resume --epochs 4 --backend cpu"), 1,
              "the run began with backend = \"emulated\", not \"cpu\"");
}

TEST_CASE("The program builds the relation graphs on the backend that trains, and they are the host's",
          "[exhaustive]") {
  NEEDS_EMULATED_PROGRAM();
  if (dream::detail::AddressSanitizer::on) DREAM_SKIP("emulating kernels under sanitizers takes minutes");
  const Workplace place(DREAM_EMULATED_PROGRAM);
  place.make_data("--missing 0.2");
  std::map<std::string, json> losses;
  for (const std::string backend : {"cpu", "emulated"}) {
    // A small step keeps rounding small. Another neighbour for each user changes the loss by a hundredth.
    const Outcome run = place.run("train --data data --out " + backend + " --backend " + backend + small_model +
                                  "--set user_graph=knn --set user_knn_k=5 --set learning_rate=1e-5");
    INFO(run.err);
    REQUIRE(run.code == 0);
    const std::string log = place.read(backend + "/metrics.jsonl");
    losses[backend] = json::parse(log.substr(0, log.find('\n'))).at("losses");
  }
  for (const char* name : {"s3", "s3_users"}) {  // what the items' graph and the users' graph decide most
    const double expected = losses["cpu"].at(name).get<double>(), found = losses["emulated"].at(name).get<double>();
    CHECK(std::abs(found - expected) < 1e-5 * expected);
  }
}

TEST_CASE("Without a usable GPU the automatic backend is the host and says why, and cuda is an error that says why") {
  NEEDS_PROGRAM();
  const Workplace place;
  place.make_data();
  const Outcome automatic = place.run("train --data data --out o --backend auto" + small_model);
  INFO(automatic.err);
  REQUIRE(automatic.code == 0);
  if (contains(automatic.err, "note: on the GPU")) DREAM_SKIP("there is a GPU here");
  CHECK(contains(automatic.err, "note: on the CPU: "));
  CHECK(json::parse(place.read("o/config.json")).at("backend") == "cpu");
  CHECK_FAILS(place.run("train --data data --out p --backend cuda" + small_model), 1, "--backend cuda: ");
  CHECK_FAILS(place.run("train --data data --out p --backend emulated" + small_model), 1, "was built without it");
  CHECK_FALSE(place.has("p"));
  CHECK_FAILS(place.run("similar --data data --checkpoint o/best.safetensors --item 7 --backend cuda"), 1,
              "--backend cuda: ");
  CHECK(place.run("train --data data --out o --resume --epochs 3 --backend auto").code == 0);
}

}  // namespace dream_tests::cli_backend
