#include <nlohmann/json.hpp>

#include "cli/program.hpp"

using namespace dream_test;
using nlohmann::json;

namespace {

const std::string small = " --epochs 2 --set embedding_size=8 --set train_batch_size=128 --set knn_k=4 ";

json last_line(const Workplace& place, const std::string& run) {
  const std::string text = place.read(run + "/metrics.jsonl");
  return json::parse(text.substr(text.rfind('\n', text.size() - 2) + 1));
}

}  // namespace

TEST_CASE("Every model trains, is evaluated from its checkpoint, and reports the diagnostics it has") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  for (const std::string model : {"dream", "mf", "lightgcn", "vbpr", "bm3", "freedom", "mgcn"}) {
    INFO(model);
    const Outcome outcome = place.run("train --data data --model " + model + " --out " + model + small);
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    const json result = json::parse(place.read(model + "/result.json"));
    CHECK(result.at("model") == model);
    const Outcome evaluated = place.run("evaluate --data data --json --checkpoint " + model + "/best.safetensors");
    REQUIRE(evaluated.code == 0);
    CHECK(json::parse(evaluated.out).at("all").at("recall@20") == result.at("test").at("recall@20"));
    const json found = last_line(place, model).at("diagnostics");
    const bool has_domains = model != "mf" && model != "lightgcn";
    CHECK(found.contains("misalignment") == has_domains);
    CHECK(found.contains("forgetting") == (has_domains && model != "vbpr"));
    CHECK(found.contains("shares") == has_domains);
    CHECK(found.at("uniformity").at("items").is_number());
    // What is written during training is what is found afterwards.
    const std::string diagnose = "diagnose --data data --checkpoint " + model + "/checkpoint.safetensors";
    const Outcome diagnosed = place.run(diagnose + " --json");
    INFO(diagnosed.err);
    REQUIRE(diagnosed.code == 0);
    json after = json::parse(diagnosed.out);
    CHECK(after.at("model") == model);
    CHECK(after.at("epoch") == last_line(place, model).at("epoch"));
    after.erase("model");
    after.erase("epoch");
    CHECK(after == found);
    const Outcome shown = place.run(diagnose);
    CHECK((shown.out.find("cosine of the two domains") != std::string::npos) == has_domains);
    CHECK_FAILS(place.run("diagnose --data data --checkpoint " + model + "/best.safetensors"), 1,
                "holds the vectors that rank, not a model");
  }
}

TEST_CASE("BMA joins the loss of any model with two domains and leaves that of DREAM when told") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  for (const std::string model : {"vbpr", "bm3", "freedom", "mgcn"}) {
    INFO(model);
    REQUIRE(place.run("train --data data --bma on --model " + model + " --out " + model + small).code == 0);
    CHECK(last_line(place, model).at("losses").contains("inter"));
  }
  REQUIRE(place.run("train --data data --bma off --out d" + small).code == 0);
  CHECK_FALSE(last_line(place, "d").at("losses").contains("inter"));
  CHECK_FAILS(place.run("train --data data --bma on --model mf --out m" + small), 1,
              "mf has no modal representations to align");
  CHECK_FAILS(place.run("train --data data --bma on --set modal_line=false --out m" + small), 1,
              "dream has no modal representations");
}

TEST_CASE("BMA of which nothing or half would be in the loss is refused with what to set instead") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const auto refused = [&](const std::string& model, const std::string& set, const std::string& text) {
    CHECK_FAILS(place.run("train --data data --bma on --out o --model " + model + small + set), 1, text);
  };
  for (const std::string model : {"dream", "mgcn", "vbpr", "bm3", "freedom"}) {
    refused(model, "--set behaviour_line=false", "behaviour_line is false: there is no behaviour to align with; leave");
    refused(model, "--set inter_weight=0 --set intra_weight=0", "nothing would be aligned; set one of them");
    refused(model, "--set inter_weight=0 --set intra=none", "nothing would be aligned");
  }
  for (const std::string model : {"mgcn", "vbpr", "bm3", "freedom"})
    refused(model, "--set intra=modalities", model + " has no intra=modalities, which dream alone has; take intra=mom");
  for (const std::string model : {"bm3", "freedom"})
    refused(model, "--set intra=pairs", model + " aligns items alone, where intra=pairs needs users too; take");
  CHECK_FALSE(place.has("o"));
  const std::string train = "train --data data --bma on " + small;
  CHECK(place.run(train + "--out a --model mgcn --set intra=pairs").code == 0);
  CHECK(last_line(place, "a").at("losses").contains("intra"));
  CHECK(place.run(train + "--out b --model bm3 --set intra=none").code == 0);
  CHECK(place.run(train + "--out c --set intra=modalities --set inter_weight=0").code == 0);
  CHECK_FAILS(place.run("train --data data --out d --model mgcn --set item_graph=none" + small), 1,
              "mgcn needs item-item graphs; leave item_graph out");
}

TEST_CASE("What models call by one name has each one's default, and one given value for all") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const auto config = [&](const std::string& name, const std::string& more) {
    REQUIRE(place.run("train --data data --out " + name + small + more).code == 0);
    return json::parse(place.read(name + "/config.json"));
  };
  const json mgcn = config("a", "--model mgcn"), mf = config("b", "--model mf");
  CHECK(mgcn.at("learning_rate_scheduler") == json({0.96, 50}));
  CHECK(mgcn.at("reg_weight") == 1e-4);
  CHECK(mf.at("learning_rate_scheduler") == json({1, 50}));
  CHECK(mf.at("reg_weight") == 1e-2);
  const json given = config("c", "--model mgcn --set learning_rate_scheduler=[0.5,7] --set reg_weight=0.25");
  CHECK(given.at("learning_rate_scheduler") == json({0.5, 7}));
  CHECK(given.at("reg_weight") == 0.25);
}

TEST_CASE("Every model trains with each of its weights at 0") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const std::vector<std::pair<std::string, std::vector<std::string>>> weights{
      {"dream", {"reg_weight", "inter_weight", "intra_weight", "s3_weight", "s3_user_weight"}},
      {"mf", {"reg_weight"}},
      {"lightgcn", {"reg_weight"}},
      {"vbpr", {"reg_weight"}},
      {"bm3", {"reg_weight", "cl_weight", "target_dropout"}},
      {"freedom", {"reg_weight", "edge_dropout"}},
      {"mgcn", {"reg_weight", "cl_weight"}}};
  for (const auto& [model, keys] : weights)
    for (const std::string& key : keys) {
      INFO(model << " " << key);
      const Outcome outcome = place.run("train --data data --model " + model + " --out " + model + "-" + key + small +
                                        "--set " + key + "=0");
      INFO(outcome.err);
      CHECK(outcome.code == 0);
    }
}

TEST_CASE("A model that needs features says so on data without") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  for (const char* name : {"data/image_feat.npy", "data/text_feat.npy"}) std::filesystem::remove(place / name);
  for (const std::string model : {"dream", "vbpr", "bm3", "freedom", "mgcn"})
    CHECK_FAILS(place.run("train --data data --model " + model + " --out o" + small), 1,
                "data: has no features, and " + model + " needs them");
  CHECK(place.run("train --data data --model lightgcn --out o" + small).code == 0);
}

TEST_CASE("FREEDOM prunes the same graphs when it is resumed") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const std::string run = "train --data data --model freedom --set edge_dropout=0.5 --set embedding_size=8 ";
  REQUIRE(place.run(run + "--epochs 4 --out whole").code == 0);
  REQUIRE(place.run(run + "--epochs 2 --out pieces").code == 0);
  REQUIRE(place.run(run + "--epochs 4 --out pieces --resume").code == 0);
  CHECK(place.read("whole/user_embeddings.npy") == place.read("pieces/user_embeddings.npy"));
  CHECK(place.read("whole/item_embeddings.npy") == place.read("pieces/item_embeddings.npy"));
}
