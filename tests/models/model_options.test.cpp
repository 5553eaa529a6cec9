// What a model cannot be built with, in code, and what its options are by themselves.
#include <dream/data/synthetic.hpp>
#include <dream/models/bm3.hpp>
#include <dream/models/dream.hpp>
#include <dream/models/freedom.hpp>
#include <dream/models/lightgcn.hpp>
#include <dream/models/mf.hpp>
#include <dream/models/mgcn.hpp>
#include <dream/models/vbpr.hpp>

#include "support/catch.hpp"

namespace dream_tests::models_model_options {

using namespace dream;

namespace {

ModelData<float, Cpu> some_data(Context<Cpu>& context, const std::string& modality = "image") {
  const Dataset dataset =
      make_synthetic({.users = 30, .items = 20, .interactions = 150, .modalities = {{modality, 6}, {"text", 4}}});
  return prepare_data<float>(context, dataset, {.item_graph = ItemGraph::binary});
}

}  // namespace

TEST_CASE("FREEDOM weighs a text nine to one, and modalities equally where there is none") {
  using List = std::vector<double>;
  const auto close = [](const List& found, const List& expected) {
    REQUIRE(found.size() == expected.size());
    for (std::size_t m = 0; m < found.size(); ++m) CHECK(found[m] == Approx(expected[m]));
  };
  close(freedom_weights({"image", "text"}), {0.1, 0.9});
  close(freedom_weights({"textual", "visual"}), {0.9, 0.1});
  close(freedom_weights({"audio", "image", "text"}), {0.05, 0.05, 0.9});
  close(freedom_weights({"audio", "image"}), {0.5, 0.5});
  close(freedom_weights({"text"}), {1});
}

TEST_CASE("Modality weights that cannot be used are errors") {
  Context<Cpu> context(1);
  const auto data = some_data(context);
  const auto freedom = [&](std::vector<double> weights) {
    FreedomOptions options;
    options.modality_weights = std::move(weights);
    Freedom<float, Cpu> model(context, data, options, 1);
  };
  const auto dream = [&](std::vector<double> weights) {
    DreamOptions options;
    options.modality_weights = ModalityWeights::given;
    options.modality_weight_values = std::move(weights);
    Dream<float, Cpu> model(context, data, options, 1);
  };
  REQUIRE_ERROR(freedom({0, 0}), "every modality weight is 0");
  REQUIRE_ERROR(dream({0, 0}), "every modality weight is 0");
  REQUIRE_ERROR(freedom({1, -1}), "a modality weight is -1");
  REQUIRE_ERROR(dream({1, std::nan("")}), "a modality weight is nan");
  REQUIRE_ERROR(freedom({1}), "1 values for 2 modalities");
  REQUIRE_ERROR(dream({1, 1, 1}), "3 values for 2 modalities");
  dream({0, 1});
  freedom({0, 2});
}

TEST_CASE("Alignment that a model cannot have is an error where the model is built") {
  Context<Cpu> context(1);
  const auto data = some_data(context);
  const auto build = [&]<template <class, class> class Model>(auto options, AlignmentOptions alignment) {
    options.align = true;
    options.alignment = alignment;
    Model<float, Cpu> model(context, data, options, 1);
  };
  const auto build_all = [&](AlignmentOptions alignment, const std::string& text) {
    REQUIRE_ERROR(build.template operator()<Vbpr>(VbprOptions{}, alignment), text);
    REQUIRE_ERROR(build.template operator()<Bm3>(Bm3Options{}, alignment), text);
    REQUIRE_ERROR(build.template operator()<Freedom>(FreedomOptions{}, alignment), text);
    REQUIRE_ERROR(build.template operator()<Mgcn>(MgcnOptions{}, alignment), text);
  };
  build_all({.intra = Intra::modalities}, "has no intra=modalities, which dream alone has");
  build_all({.inter_weight = 0, .intra = Intra::none}, "nothing would be aligned");
  build_all({.inter_weight = -1}, "inter_weight cannot be -1");
  build_all({.intra_weight = -1}, "intra_weight cannot be -1");
  REQUIRE_ERROR(build.template operator()<Bm3>(Bm3Options{}, {.intra = Intra::pairs}), "bm3 aligns items alone");
  REQUIRE_ERROR(build.template operator()<Freedom>(FreedomOptions{}, {.intra = Intra::pairs}),
                "freedom aligns items alone");
  build.template operator()<Vbpr>(VbprOptions{}, {.intra = Intra::pairs});
  build.template operator()<Mgcn>(MgcnOptions{}, {.intra = Intra::pairs});
}

TEST_CASE("Weights and layers below zero are errors with their name") {
  Context<Cpu> context(1);
  const auto data = some_data(context);
  const auto refused = [&]<template <class, class> class Model>(auto options, const std::string& text) {
    REQUIRE_ERROR((Model<float, Cpu>(context, data, options, 1)), text);
  };
  refused.template operator()<MatrixFactorisation>(MatrixFactorisationOptions{.reg_weight = -1},
                                                   "reg_weight cannot be");
  refused.template operator()<LightGcn>(LightGcnOptions{.reg_weight = -1}, "reg_weight cannot be -1");
  refused.template operator()<LightGcn>(LightGcnOptions{.n_ui_layers = -1}, "layers");
  refused.template operator()<Vbpr>(VbprOptions{.reg_weight = std::nan("")}, "reg_weight cannot be nan");
  refused.template operator()<Bm3>(Bm3Options{.cl_weight = -2}, "cl_weight cannot be -2");
  refused.template operator()<Freedom>(FreedomOptions{.n_mm_layers = -1}, "n_mm_layers cannot be -1");
  refused.template operator()<Freedom>(FreedomOptions{.reg_weight = -1}, "reg_weight cannot be -1");
  refused.template operator()<Mgcn>(MgcnOptions{.n_mm_layers = -1}, "n_mm_layers cannot be -1");
  refused.template operator()<Mgcn>(MgcnOptions{.cl_weight = -1}, "cl_weight cannot be -1");
  refused.template operator()<Dream>(DreamOptions{.n_mm_layers = -1}, "n_mm_layers cannot be -1");
  refused.template operator()<Dream>(DreamOptions{.s3_weight = -1}, "s3_weight cannot be -1");
  refused.template operator()<Dream>(DreamOptions{.reg_weight = -1}, "reg_weight cannot be -1");
}

TEST_CASE("A modality that is called like a part of the model is an error") {
  Context<Cpu> context(1);
  const auto attention = some_data(context, "attention"), predictor = some_data(context, "predictor");
  REQUIRE_ERROR((Mgcn<float, Cpu>(context, attention, {}, 1)), "mgcn calls parameters of its own attention");
  REQUIRE_ERROR((Bm3<float, Cpu>(context, predictor, {}, 1)), "bm3 calls parameters of its own predictor");
  Mgcn<float, Cpu> mgcn(context, predictor, {}, 1);
  Bm3<float, Cpu> bm3(context, attention, {}, 1);
}

}  // namespace dream_tests::models_model_options
