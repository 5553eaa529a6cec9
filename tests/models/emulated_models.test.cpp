// Whole models on their kernels, against the same models on the host.
#include <functional>
#include <string>
#include <vector>

#include <dream/data/synthetic.hpp>
#include <dream/models/dream.hpp>
#include <dream/models/lightgcn.hpp>
#include <dream/models/mf.hpp>
#include <dream/testing/emulated.hpp>
#include <dream/train/adam.hpp>
#include <dream/train/loss_monitor.hpp>
#include <dream/train/sampler.hpp>

#include "support/catch.hpp"
#include "support/differences.hpp"

using namespace dream;
using namespace dream_test;

namespace {

/// Training by hand on one backend: the losses of every step, and the
/// parameters in the end.
template <class T, class B, class Model>
struct Trained {
  std::vector<std::vector<double>> losses;
  std::vector<double> parameters;

  Trained(Context<B>& context, Model& model, PairSampler& sampler, int steps, index_t batch_size) {
    Context<Cpu> host(1);
    Adam<T, B> adam(context, model.parameters(), model.large_parameters(), {.learning_rate = 0.01});
    Tape<T, B> tape(context);
    for (int step = 0; step < steps; ++step) {
      const std::int64_t batches = sampler.batches(batch_size);
      const Batch drawn = sampler.draw(host, static_cast<std::uint32_t>(step / batches), step % batches, batch_size);
      const auto users = upload<index_t>(context, std::span(drawn.users.data, drawn.users.data + drawn.users.size));
      const auto items = upload<index_t>(context, std::span(drawn.items.data, drawn.items.data + drawn.items.size));
      const auto number = upload<std::uint32_t>(context, std::span(&drawn.step, 1));
      const Batch batch{users.view(), items.view(), 0, number.data()};
      tape.clear();
      const Losses found = model.losses(tape, batch);
      LossMonitor<T, B> monitor(context);
      monitor.add(context, tape, found);
      auto& values = losses.emplace_back();
      for (const auto& [name, value] : monitor.collect(context)) values.push_back(value);
      tape.backward(found.total);
      model.bind_large_gradients(tape);
      adam.step(context);
    }
    const auto keep = [&](MatrixView<const T> m) {
      const Matrix<T, Cpu> values = download<T>(context, m);
      for (std::int64_t k = 0; k < values.size(); ++k) parameters.push_back(static_cast<double>(values.data()[k]));
    };
    for (int p = 0; p < model.parameters().count(); ++p) keep(model.parameters().value({p}));
    for (auto& large : model.large_parameters()) keep(large.value.view());
  }
};

Dataset small_world() {
  SyntheticOptions world{.users = 60, .items = 45, .interactions = 500, .modalities = {{"image", 12}, {"text", 7}}};
  world.groups = 4;
  world.cold_fraction = 0.1;
  world.missing_fraction = 0.15;
  return make_synthetic(world);
}

/// Ten steps on both backends from the same start; `make(context, data)` builds
/// the model. `locked`: the host is kept from the device's memory, which costs
/// two system calls an array and launch.
template <class T, class Make>
void compare(const Dataset& dataset, const ModelDataOptions& options, double tolerance, bool locked, Make&& make) {
  Context<Cpu> host(1);
  const ModelData<T, Cpu> data = prepare_data<T>(host, dataset, options);
  const auto interactions = interaction_matrix<T>(host, dataset.train, dataset.user_count(), dataset.item_count());
  PairSampler sampler(interactions.view(), 3);
  constexpr int steps = 10;
  const index_t batch_size = 48;  // the epoch ends with a shorter batch

  auto model = make(host, data);
  const Trained<T, Cpu, std::decay_t<decltype(*model)>> expected(host, *model, sampler, steps, batch_size);
  Context<Emulated> context({.lock_memory = locked});
  const ModelData<T, Emulated> uploaded = upload<T>(context, data);
  auto again = make(context, uploaded);
  const Trained<T, Emulated, std::decay_t<decltype(*again)>> found(context, *again, sampler, steps, batch_size);
  for (std::size_t step = 0; step < expected.losses.size(); ++step) {
    INFO("step " << step);
    CHECK(worst(found.losses[step], expected.losses[step]) < tolerance);
  }
  CHECK(worst(found.parameters, expected.parameters) < tolerance);
}

template <class T>
void compare_dream(const char* name, const Dataset& dataset, double tolerance, bool locked, DreamOptions options) {
  INFO(name);
  options.embedding_size = 16;
  options.batch_size = 48;
  compare<T>(dataset, options.data, tolerance, locked, [&](auto& context, const auto& data) {
    using B = typename std::decay_t<decltype(data)>::Backend;
    return std::make_unique<Dream<T, B>>(context, data, options, 1);
  });
}

/// In double, sums in another order differ by some 1e-16 of their terms; Adam
/// divides by the root of squares, which makes that of small gradients some
/// 1e-12.
constexpr double tolerance = 1e-9;

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
    compare_dream<double>(variant.name, dataset, tolerance, false, options);
  }
}

/// Emulation under AddressSanitizer takes minutes; there the defaults must do.
#define ONLY_WITHOUT_SANITIZERS() \
  if (detail::AddressSanitizer::on) DREAM_SKIP("too slow under AddressSanitizer; the defaults are run")

}  // namespace

TEST_CASE(
    "Ten steps of DREAM on its kernels are those on the host, and the "
    "host leaves the device's memory alone") {
  compare_dream<double>("defaults", small_world(), tolerance, true, {});
}

TEST_CASE(
    "Ten steps of DREAM on its kernels are those on the host, for every "
    "form of the modal line") {
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
  });
}

TEST_CASE(
    "Ten steps of DREAM on its kernels are those on the host, for every "
    "form of the alignment") {
  ONLY_WITHOUT_SANITIZERS();
  compare_variants({
      {"pairs", [](DreamOptions& o) { o.alignment.intra = Intra::pairs; }},
      {"modalities", [](DreamOptions& o) { o.alignment.intra = Intra::modalities; }},
      {"no intra", [](DreamOptions& o) { o.alignment.intra = Intra::none; }},
      {"both directions", [](DreamOptions& o) { o.alignment.inter_directions = Directions::both; }},
      {"no inter", [](DreamOptions& o) { o.alignment.inter_weight = 0; }},
  });
}

TEST_CASE(
    "Ten steps of DREAM on its kernels are those on the host, for every "
    "form of S3") {
  ONLY_WITHOUT_SANITIZERS();
  compare_variants({
      {"dot products", [](DreamOptions& o) { o.s3_form = SimilarityForm::dot; }},
      {"root", [](DreamOptions& o) { o.s3_root = true; }},
      {"items alone", [](DreamOptions& o) { o.s3_user_weight = 0; }},
      {"none", [](DreamOptions& o) { o.s3_weight = 0; }},
  });
}

TEST_CASE(
    "Ten steps of DREAM on its kernels are those on the host, with parts "
    "of it switched off") {
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
    "those on the host") {
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
  compare<double>(dataset, options, tolerance, true, [](auto& context, const auto& data) {
    using B = typename std::decay_t<decltype(data)>::Backend;
    return std::make_unique<LightGcn<double, B>>(context, data, LightGcnOptions{.embedding_size = 16}, 1);
  });
  compare<double>(dataset, options, tolerance, true, [](auto& context, const auto& data) {
    using B = typename std::decay_t<decltype(data)>::Backend;
    return std::make_unique<MatrixFactorisation<double, B>>(context, data,
                                                            MatrixFactorisationOptions{.embedding_size = 16}, 1);
  });
}
