#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include <dream/testing/fiber.hpp>

#include "cli/program.hpp"

using namespace dream_test;
using nlohmann::json;

namespace {

const std::string small_model =
    " --epochs 2 --set embedding_size=8 --set train_batch_size=256 --set knn_k=4 --set s3_target_norm=exact ";

}  // namespace

TEST_CASE("The program trains on emulated kernels as on the host, to the same metrics, and resumes there") {
  NEEDS_PROGRAM();
  if (dream::detail::AddressSanitizer::on) DREAM_SKIP("emulating kernels under sanitizers takes minutes");
  const Workplace place;
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
  CHECK_FALSE(place.has("p"));
  CHECK(place.run("train --data data --out o --resume --epochs 3 --backend auto").code == 0);
}
