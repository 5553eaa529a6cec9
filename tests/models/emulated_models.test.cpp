// Whole models on their kernels, against the same models on the host.
#include <functional>
#include <string>
#include <vector>

#include <dream/models/dream.hpp>
#include <dream/models/lightgcn.hpp>
#include <dream/models/mf.hpp>

#include "models/ten_steps.hpp"
#include "support/catch.hpp"

namespace dream_tests::models_emulated_models {

using namespace dream;
using namespace dream_test;

namespace {

template <class T>
void compare_dream(const char* name, const Dataset& dataset, double tolerance, bool locked, DreamOptions options) {
  INFO(name);
  options.embedding_size = 16;
  options.batch_size = 48;
  compare_ten_steps<T>(dataset, options.data, tolerance, locked, [&](auto& context, const auto& data) {
    using B = typename std::decay_t<decltype(data)>::Backend;
    return std::make_unique<Dream<T, B>>(context, data, options, 1);
  });
}

struct Variant {
  const char* name;
  std::function<void(DreamOptions&)> change;
};

void compare_variants(const std::vector<Variant>& variants) {
  const Dataset dataset = small_world();
  for (const Variant& variant : variants) {
    DreamOptions options;
    options.s3_target_norm = TargetNorm::exact;  // quicker to emulate than 1024 pairs
    variant.change(options);
    compare_dream<double>(variant.name, dataset, ten_steps_tolerance, false, options);
  }
}

/// Emulation under AddressSanitizer takes minutes; there the defaults must do.
#define ONLY_WITHOUT_SANITIZERS() \
  if (detail::AddressSanitizer::on) DREAM_SKIP("too slow under AddressSanitizer; the defaults are run")

}  // namespace

TEST_CASE(
    "Ten steps of DREAM on its kernels are those on the host, and the "
    "host leaves the device's memory alone",
    "[sizes]") {
  compare_dream<double>("defaults", small_world(), ten_steps_tolerance, true, {});
}

TEST_CASE(
    "Ten steps of DREAM on its kernels are those on the host, for every "
    "form of the modal line",
    "[exhaustive]") {
  ONLY_WITHOUT_SANITIZERS();
  compare_variants({
      {"frozen features", [](DreamOptions& o) { o.train_features = false; }},
      {"frozen features in bfloat16",
       [](DreamOptions& o) {
         o.train_features = false;
         o.data.feature_storage = FeatureStorage::bfloat16;
       }},
      {"trained features that start in float16",
       [](DreamOptions& o) { o.data.feature_storage = FeatureStorage::float16; }},
      {"features as they are", [](DreamOptions& o) { o.data.feature_normalisation = FeatureNormalisation::none; }},
      {"standardised features", [](DreamOptions& o) { o.data.feature_normalisation = FeatureNormalisation::standard; }},
      {"self gate", [](DreamOptions& o) { o.gate = Gate::self; }},
      {"no gate", [](DreamOptions& o) { o.gate = Gate::none; }},
      {"both relation graphs", [](DreamOptions& o) { o.data.user_graph = UserGraph::knn; }},
      {"users by shared items", [](DreamOptions& o) { o.data.user_graph = UserGraph::cooccurrence; }},
      {"binary item graph, two layers",
       [](DreamOptions& o) {
         o.data.item_graph = ItemGraph::binary;
         o.n_mm_layers = 2;
       }},
      {"no item graph", [](DreamOptions& o) { o.data.item_graph = ItemGraph::none; }},
      {"learned weights", [](DreamOptions& o) { o.modality_weights = ModalityWeights::learned; }},
      {"given weights",
       [](DreamOptions& o) {
         o.modality_weights = ModalityWeights::given;
         o.modality_weight_values = {0.9, 0.1};
       }},
      {"a light modal line", [](DreamOptions& o) { o.modal_weight = 0.3; }},
  });
}

TEST_CASE(
    "Ten steps of DREAM on its kernels are those on the host, for every "
    "form of the alignment",
    "[exhaustive]") {
  ONLY_WITHOUT_SANITIZERS();
  compare_variants({
      {"pairs", [](DreamOptions& o) { o.alignment.intra = Intra::pairs; }},
      {"modalities", [](DreamOptions& o) { o.alignment.intra = Intra::modalities; }},
      {"no intra", [](DreamOptions& o) { o.alignment.intra = Intra::none; }},
      {"both directions", [](DreamOptions& o) { o.alignment.inter_directions = Directions::both; }},
      {"no inter", [](DreamOptions& o) { o.alignment.inter_weight = 0; }},
      {"another temperature", [](DreamOptions& o) { o.alignment.temperature = 0.5; }},
  });
}

TEST_CASE(
    "Ten steps of DREAM on its kernels are those on the host, for every "
    "form of S3",
    "[exhaustive]") {
  ONLY_WITHOUT_SANITIZERS();
  compare_variants({
      {"dot products", [](DreamOptions& o) { o.s3_form = SimilarityForm::dot; }},
      {"root", [](DreamOptions& o) { o.s3_root = true; }},
      {"root of dot products",
       [](DreamOptions& o) {
         o.s3_form = SimilarityForm::dot;
         o.s3_root = true;
       }},
      {"items alone", [](DreamOptions& o) { o.s3_user_weight = 0; }},
      {"none", [](DreamOptions& o) { o.s3_weight = 0; }},
  });
}

TEST_CASE(
    "Ten steps of DREAM on its kernels are those on the host, with parts "
    "of it switched off",
    "[exhaustive]") {
  ONLY_WITHOUT_SANITIZERS();
  compare_variants({
      {"no layers", [](DreamOptions& o) { o.n_ui_layers = 0; }},
      {"one layer", [](DreamOptions& o) { o.n_ui_layers = 1; }},
      {"three layers", [](DreamOptions& o) { o.n_ui_layers = 3; }},
      {"no regulariser", [](DreamOptions& o) { o.reg_weight = 0; }},
      {"behaviour line alone", [](DreamOptions& o) { o.modal_line = false; }},
      {"modal line alone", [](DreamOptions& o) { o.behaviour_line = false; }},
  });
}

TEST_CASE(
    "Ten steps of DREAM in single precision on its kernels stay near "
    "those on the host",
    "[exhaustive]") {
  ONLY_WITHOUT_SANITIZERS();
  // Adam turns the last bits of a gradient near zero into a step of full size:
  // lr = 0.01, ten times.
  compare_dream<float>("defaults", small_world(), 0.05, false, {});
}

TEST_CASE(
    "Ten steps of LightGCN and of matrix factorisation on kernels are "
    "those on the host") {
  const Dataset dataset = small_world();
  ModelDataOptions options;
  options.modal = false;
  compare_ten_steps<double>(dataset, options, ten_steps_tolerance, true, [](auto& context, const auto& data) {
    using B = typename std::decay_t<decltype(data)>::Backend;
    return std::make_unique<LightGcn<double, B>>(context, data, LightGcnOptions{.embedding_size = 16}, 1);
  });
  compare_ten_steps<double>(dataset, options, ten_steps_tolerance, true, [](auto& context, const auto& data) {
    using B = typename std::decay_t<decltype(data)>::Backend;
    return std::make_unique<MatrixFactorisation<double, B>>(context, data,
                                                            MatrixFactorisationOptions{.embedding_size = 16}, 1);
  });
}

}  // namespace dream_tests::models_emulated_models
