// Whole models trained on a GPU, against the same models on the host.
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include <dream/cuda/cuda.cuh>
#include <dream/data/synthetic.hpp>
#include <dream/models/dream.hpp>
#include <dream/train/fit.hpp>

#include "cuda/needs_gpu.cuh"
#include "support/catch.hpp"
#include "support/differences.hpp"

using namespace dream;
using namespace dream_test;

namespace {

constexpr index_t batch_size = 40;

/// An epoch has ten steps, the last of which is short.
Dataset small_world() {
  Dataset data =
      make_synthetic({.users = 60, .items = 45, .interactions = 500, .modalities = {{"image", 12}, {"text", 7}}});
  data.train.user.resize(390);
  data.train.item.resize(390);
  return data;
}

/// What two epochs end with, ten steps each.
struct Run {
  std::vector<double> losses, parameters;
  double recall = 0;
};

template <class T, class B>
Run train(const Dataset& dataset, DreamOptions options, bool replay = true) {
  options.embedding_size = 16;
  options.batch_size = batch_size;
  options.data.user_graph = UserGraph::knn;
  Context<Cpu> host(1);
  Context<B> context;
  const ModelData<T, B> data = [&] {
    if constexpr (KernelBackend<B>)
      return prepare_data<T>(context, host, dataset, options.data);
    else
      return prepare_data<T>(context, dataset, options.data);
  }();
  Dream<T, B> model(context, data, options, 1);
  FitOptions fit;
  fit.batch_size = batch_size;
  fit.adam.learning_rate = 0.01;
  fit.replay_steps = replay;
  Trainer<Dream<T, B>> trainer(context, model, dataset, fit);
  Run run;
  for (int epoch = 0; epoch < 2; ++epoch)
    for (const auto& [name, value] : trainer.run_epoch().losses) run.losses.push_back(value);
  const auto keep = [&](const T* from, std::int64_t count) {
    std::vector<T> values(static_cast<std::size_t>(count));
    download<T>(context, from, values);
    run.parameters.insert(run.parameters.end(), values.begin(), values.end());
  };
  keep(model.parameters().values().data, model.parameters().values().size);
  for (auto& large : model.large_parameters()) keep(large.value.data(), large.value.size());
  run.recall = trainer.evaluate(Split::valid).at("recall@20");
  return run;
}

}  // namespace

TEST_CASE("Ten and twenty steps of DREAM on a GPU are those on the host") {
  NEEDS_GPU();
  const Dataset dataset = small_world();
  for (const bool trainable : {false, true}) {
    INFO("trainable features: " << trainable);
    DreamOptions options;
    options.train_features = trainable;
    const Run expected = train<double, Cpu>(dataset, options), found = train<double, Cuda>(dataset, options);
    // Sums in another order, and Adam's quotients of small gradients.
    CHECK(worst(found.losses, expected.losses) < 1e-8);
    CHECK(worst(found.parameters, expected.parameters) < 1e-8);
    CHECK(found.recall == Approx(expected.recall));
  }
}

TEST_CASE("DREAM in single precision on a GPU stays near the host") {
  NEEDS_GPU();
  const Dataset dataset = small_world();
  const Run expected = train<float, Cpu>(dataset, {}), found = train<float, Cuda>(dataset, {});
  CHECK(worst(found.losses, expected.losses) < 1e-3);
  // Adam turns the last bits of a gradient near zero into a step of full size: lr = 0.01, twenty times.
  CHECK(worst(found.parameters, expected.parameters) < 0.1);
}

TEST_CASE("The same seed gives the same bits on a GPU, and so do steps launched one by one") {
  NEEDS_GPU();
  const Dataset dataset = small_world();
  const Run first = train<float, Cuda>(dataset, {}), second = train<float, Cuda>(dataset, {}),
            launched = train<float, Cuda>(dataset, {}, false);
  CHECK(first.parameters == second.parameters);
  CHECK(first.losses == second.losses);
  CHECK(first.parameters == launched.parameters);
  CHECK(first.losses == launched.losses);
}
