// Whole models trained on a GPU, against the same models on the host.
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <dream/cuda/cuda.cuh>
#include <dream/models/any_model.hpp>
#include <dream/models/bm3.hpp>
#include <dream/models/dream.hpp>
#include <dream/models/freedom.hpp>
#include <dream/models/lightgcn.hpp>
#include <dream/models/mf.hpp>
#include <dream/models/mgcn.hpp>
#include <dream/models/vbpr.hpp>
#include <dream/train/fit.hpp>

#include "cuda/needs_gpu.cuh"
#include "models/ten_steps.hpp"
#include "support/catch.hpp"
#include "support/differences.hpp"

using namespace dream;
using namespace dream_test;

namespace {

constexpr index_t batch_size = 40;

/// How a model is trained; an evaluation gives memory back, so that the next step is captured anew.
struct Course {
  int epochs = 2;
  int eval_step = 1;
  bool replay = true;
};

/// What it ends with: the losses of every epoch, all parameters, the fused rows of all users and items.
struct Run {
  std::vector<double> losses, parameters, rows;
  double recall = 0;
};

/// The trainer sees an AnyModel, as in the program: it is compiled once a backend, not once a model.
template <template <class, class> class Model, class T, class B, class Options>
Run train(const Dataset& dataset, const ModelDataOptions& prepared, Options options, const Course& course = {}) {
  options.embedding_size = 16;
  if constexpr (requires { options.batch_size; }) options.batch_size = batch_size;
  Context<Cpu> host(1);
  Context<B> context;
  const ModelData<T, B> data = [&] {
    if constexpr (KernelBackend<B>)
      return prepare_data<T>(context, host, dataset, prepared);
    else
      return prepare_data<T>(context, dataset, prepared);
  }();
  AnyModel<T, B> model(std::make_unique<Model<T, B>>(context, data, options, 1));
  FitOptions fit;
  fit.batch_size = batch_size;
  fit.adam.learning_rate = 0.01;
  fit.eval_step = course.eval_step;
  fit.replay_steps = course.replay;
  Trainer<AnyModel<T, B>> trainer(context, model, dataset, fit);
  Run run;
  for (int epoch = 0; epoch < course.epochs; ++epoch)
    for (const auto& [name, value] : trainer.run_epoch().losses) run.losses.push_back(value);
  const auto keep = [&](MatrixView<const T> from, std::vector<double>& to) {
    const Matrix<T, Cpu> values = download<T>(context, from);
    to.insert(to.end(), values.data(), values.data() + values.size());
  };
  for (int p = 0; p < model.parameters().count(); ++p) keep(model.parameters().value({p}), run.parameters);
  for (auto& large : model.large_parameters()) keep(large.value.view(), run.parameters);
  for (const auto& rows : trainer.represent()) keep(rows, run.rows);
  run.recall = trainer.evaluate(Split::valid).at("recall@20");
  return run;
}

/// DREAM on the data that its options ask for, with nearest users.
template <class T, class B>
Run train_dream(const Dataset& dataset, DreamOptions options, const Course& course = {}) {
  options.data.user_graph = UserGraph::knn;
  return train<Dream, T, B>(dataset, options.data, options, course);
}

void check_same_bits(const Run& a, const Run& b) {
  CHECK(a.losses == b.losses);
  CHECK(a.parameters == b.parameters);
  CHECK(a.rows == b.rows);
}

/// In double: sums in another order, and Adam's quotients of small gradients.
void check_near(const Run& found, const Run& expected) {
  CHECK(worst(found.losses, expected.losses) < 1e-8);
  CHECK(worst(found.parameters, expected.parameters) < 1e-8);
  CHECK(worst(found.rows, expected.rows) < 1e-8);
  CHECK(found.recall == Approx(expected.recall));
}

/// Three epochs on a GPU against the same on the host, and against steps that are launched one by one: of whole batches
/// alone and with a short one; with an evaluation after every epoch and with none, so that nothing but a model's graph
/// drawn anew comes between a captured step and the next epoch.
template <template <class, class> class Model, class Options>
void compare_fits(const std::string& name, const ModelDataOptions& prepared, const Options& options) {
  for (const std::size_t pairs : {9 * batch_size, 9 * batch_size + 16}) {
    Dataset dataset = small_world();
    REQUIRE(dataset.train.user.size() >= pairs);
    dataset.train.user.resize(pairs);
    dataset.train.item.resize(pairs);
    for (const int eval_step : {1, 4}) {
      INFO(name << ", " << pairs << " pairs, an evaluation every " << eval_step);
      Course course;
      course.epochs = 3;
      course.eval_step = eval_step;
      const Run found = train<Model, double, Cuda>(dataset, prepared, options, course);
      check_near(found, train<Model, double, Cpu>(dataset, prepared, options, course));
      course.replay = false;
      check_same_bits(found, train<Model, double, Cuda>(dataset, prepared, options, course));
    }
  }
}

/// An alignment that weighs as much as the other terms.
constexpr AlignmentOptions alignment{.inter_weight = 0.1, .intra = Intra::moments, .intra_weight = 0.1};

/// With and without it.
template <template <class, class> class Model, class Options>
void compare_fits_both_ways(const std::string& name, const ModelDataOptions& prepared, Options options) {
  options.alignment = alignment;
  for (const bool align : {false, true}) {
    options.align = align;
    compare_fits<Model>(name + (align ? " with alignment" : ""), prepared, options);
  }
}

}  // namespace

TEST_CASE("Ten and twenty steps of DREAM on a GPU are those on the host") {
  NEEDS_GPU();
  const Dataset dataset = small_world();
  for (const bool trainable : {false, true}) {
    INFO("trainable features: " << trainable);
    DreamOptions options;
    options.train_features = trainable;
    check_near(train_dream<double, Cuda>(dataset, options), train_dream<double, Cpu>(dataset, options));
  }
}

TEST_CASE("DREAM in single precision on a GPU stays near the host") {
  NEEDS_GPU();
  const Dataset dataset = small_world();
  const Run expected = train_dream<float, Cpu>(dataset, {}), found = train_dream<float, Cuda>(dataset, {});
  CHECK(worst(found.losses, expected.losses) < 1e-3);
  // Adam turns the last bits of a gradient near zero into a step of full size: lr = 0.01, twenty times.
  CHECK(worst(found.parameters, expected.parameters) < 0.1);
}

TEST_CASE("The same seed gives the same bits on a GPU, and so do steps launched one by one") {
  NEEDS_GPU();
  const Dataset dataset = small_world();
  const Run first = train_dream<float, Cuda>(dataset, {});
  check_same_bits(first, train_dream<float, Cuda>(dataset, {}));
  check_same_bits(first, train_dream<float, Cuda>(dataset, {}, {.replay = false}));
}

TEST_CASE("Fits of matrix factorisation and of LightGCN on a GPU are those on the host") {
  NEEDS_GPU();
  compare_fits<MatrixFactorisation>("MF", {.modal = false}, MatrixFactorisationOptions{});
  compare_fits<LightGcn>("LightGCN", {.modal = false}, LightGcnOptions{});
}

TEST_CASE("Fits of VBPR on a GPU are those on the host") {
  NEEDS_GPU();
  compare_fits_both_ways<Vbpr>("VBPR", {.item_graph = ItemGraph::none}, VbprOptions{});
}

TEST_CASE("Fits of BM3 on a GPU, replayed with the dropout of every step, are those on the host") {
  NEEDS_GPU();
  Bm3Options options;
  options.n_ui_layers = 2;
  options.dropout = 0.5;
  compare_fits_both_ways<Bm3>("BM3", {.item_graph = ItemGraph::none}, options);
}

TEST_CASE("Fits of FREEDOM on a GPU, its graph pruned anew for every epoch, are those on the host") {
  NEEDS_GPU();
  FreedomOptions options;
  options.n_mm_layers = 2;
  options.edge_dropout = 0.8;
  compare_fits_both_ways<Freedom>("FREEDOM", {.item_graph = ItemGraph::binary}, options);
}

TEST_CASE("Fits of MGCN on a GPU are those on the host") {
  NEEDS_GPU();
  MgcnOptions options;
  options.n_mm_layers = 2;
  options.cl_weight = 0.1;
  compare_fits_both_ways<Mgcn>("MGCN", {}, options);
}
