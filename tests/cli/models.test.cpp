#include <nlohmann/json.hpp>

#include "cli/program.hpp"

namespace dream_tests::cli_models {

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
  // One modality has no other to be aligned with.
  refused("dream", "--set intra=modalities --set modalities=text", "data has but one (text); take intra=moments");
  CHECK_FAILS(place.run("train --data data --out o --set intra=modalities --set modalities=text" + small), 1,
              "data has but one (text)");
  CHECK(place.run("train --data data --bma off --out e --set intra=modalities --set modalities=text" + small).code ==
        0);
}

TEST_CASE("Weights of the modalities are a model's own or as said, and none is ignored") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const auto items = [&](const std::string& name, const std::string& more) {
    REQUIRE(place.run("train --data data --out " + name + small + more).code == 0);
    return place.read(name + "/item_embeddings.npy");
  };
  const auto given = [](const std::string& values) {
    return " --set modality_weights=given --set modality_weight_values=" + values;
  };
  // FREEDOM's own are 0.9 for the text, DREAM's are equal.
  const std::string freedom = " --model freedom", dream = " --model dream";
  const std::string own = items("f", freedom), equal = items("fe", freedom + " --set modality_weights=equal");
  CHECK(own == items("fg", freedom + given("0.1,0.9")));
  CHECK(equal == items("fh", freedom + given("0.5,0.5")));
  CHECK(own != equal);
  CHECK(items("d", dream) == items("de", dream + " --set modality_weights=equal"));
  for (const std::string& model : {freedom, dream}) {
    INFO(model);
    CHECK_FAILS(place.run("train --data data --out o" + small + model + " --set modality_weight_values=0.1,0.9"), 1,
                "modality_weights is not given, so it would not be read; set modality_weights=given too");
    CHECK_FAILS(place.run("train --data data --out o" + small + model + given("0,0")), 1,
                "all are 0; one must be above");
    CHECK_FAILS(place.run("train --data data --out o" + small + model + given("1")), 1,
                "has 1 values for 2 modalities");
  }
  CHECK_FAILS(place.run("train --data data --out o" + small + freedom + " --set modality_weights=learned"), 1,
              "modality_weights is learned, which dream alone has; take own, equal or given for freedom");
  CHECK_FALSE(place.has("o"));
}

TEST_CASE("A modality that is called like a part of the model is refused with the file to rename") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  std::filesystem::copy(place / "data/text_feat.npy", place / "data/attention_feat.npy");
  std::filesystem::copy(place / "data/text_feat.npy", place / "data/predictor_feat.npy");
  CHECK_FAILS(place.run("train --data data --model mgcn --out o" + small), 1,
              "data: mgcn calls parameters of its own attention; rename attention_feat.npy");
  CHECK_FAILS(place.run("train --data data --model bm3 --out o" + small), 1,
              "data: bm3 calls parameters of its own predictor; rename predictor_feat.npy");
  CHECK_FALSE(place.has("o"));
  CHECK(place.run("train --data data --model freedom --out f" + small).code == 0);
}

TEST_CASE("Without a valid split there are diagnostics all the same") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const std::string split = " --set split=random --set split_ratio=[0.8,0,0.2]";
  REQUIRE(place.run("train --data data --out a" + small + split).code == 0);
  const json line = last_line(place, "a");
  CHECK_FALSE(line.contains("valid"));
  CHECK(line.at("diagnostics").contains("misalignment"));
  REQUIRE(place.run("train --data data --out b --set eval_step=2 --set diagnostics=false" + small + split).code == 0);
  CHECK_FALSE(last_line(place, "b").contains("diagnostics"));
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

}  // namespace dream_tests::cli_models
