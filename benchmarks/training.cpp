// One model at one shape, measured piece by piece: graphs, sampling, training step, evaluation, memory. Prints one JSON
// line with the keys of peers/dream_torch.py, so that peers/compare.py can put the two beside each other.
//
//   training [--model dream|mf|lightgcn|vbpr|bm3|freedom|mgcn]
//            [--data FOLDER | --synthetic USERS,ITEMS,INTERACTIONS] [--features 4096,384] [--trainable] [--threads 2]
//            [--steps 20] [--epoch] [--evaluations 3] [--batch 2048] [--dim 64] [--user-graph knn|none]
//            [--knn exact|approximate] [--inter-weight 0.01]
//
// Models other than dream have their own defaults and no --user-graph and --inter-weight. --synthetic plants structure
// as `dream synth` does, with two modalities of 128 columns. With neither it nor --data: random interactions with the
// counts of the baby set. --features generates standard-normal features of these widths in place of the data's own; mf
// and lightgcn need none. --epoch trains a whole epoch after the measured steps.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <dream/dream.hpp>

#include "one_shape.hpp"

namespace {

using namespace dream_benchmarks;

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

template <class F>
double seconds_of(F&& f) {
  const double start = now();
  f();
  return now() - start;
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

Dataset synthetic(const std::string& text) {
  const std::vector<std::int64_t> counts = numbers(text);
  DREAM_EXPECT(counts.size() == 3, "--synthetic takes USERS,ITEMS,INTERACTIONS, not '", text, "'");
  return make_synthetic({.users = static_cast<index_t>(counts[0]),
                         .items = static_cast<index_t>(counts[1]),
                         .interactions = counts[2],
                         .modalities = {{"image", 128}, {"text", 128}}});
}

/// A model of any kind. Trainer::step begins an epoch before every step; here only the first of an epoch's does, so
/// that what a model does once an epoch (FREEDOM prunes its graph) is in no step, and is timed apart.
class Measured : public AnyModel<float, Cpu> {
 public:
  using AnyModel::AnyModel;

  void begin_epoch(Context<Cpu>& context, Context<Cpu>& host, CsrView<float> interactions, std::uint32_t epoch) {
    if (begun_ == epoch) return;
    begun_ = epoch;
    seconds_ = seconds_of([&] { AnyModel::begin_epoch(context, host, interactions, epoch); });
  }
  /// Of the last begin_epoch.
  double epoch_start_seconds() const { return seconds_; }
  void forget_epoch() { begun_ = -1; }

 private:
  std::int64_t begun_ = -1;
  double seconds_ = 0;
};

/// What the model needs of the data.
ModelDataOptions data_options(const std::string& name, ModelDataOptions options) {
  if (name == "dream") return options;
  options.modal = name != "mf" && name != "lightgcn";
  options.user_graph = UserGraph::none;
  options.user_similarity = false;
  options.item_graph = name == "mgcn" ? ItemGraph::knn : name == "freedom" ? ItemGraph::binary : ItemGraph::none;
  return options;
}

/// The model `name`: DREAM as `dream_options` says, another with its defaults and the same sizes.
Measured make_model(const std::string& name, Context<Cpu>& context, const ModelData<float, Cpu>& data,
                    const DreamOptions& dream_options) {
  const auto made = [&]<template <class, class> class Model>(auto options) {
    if constexpr (!std::is_same_v<decltype(options), DreamOptions>) {
      options.embedding_size = dream_options.embedding_size;
      if constexpr (requires { options.batch_size; }) options.batch_size = dream_options.batch_size;
      if constexpr (requires { options.train_features; }) options.train_features = dream_options.train_features;
    }
    return Measured(std::make_unique<Model<float, Cpu>>(context, data, options, 999));
  };
  if (name == "dream") return made.operator()<Dream>(dream_options);
  if (name == "mf") return made.operator()<MatrixFactorisation>(MatrixFactorisationOptions{});
  if (name == "lightgcn") return made.operator()<LightGcn>(LightGcnOptions{});
  if (name == "vbpr") return made.operator()<Vbpr>(VbprOptions{});
  if (name == "bm3") return made.operator()<Bm3>(Bm3Options{});
  if (name == "freedom") return made.operator()<Freedom>(FreedomOptions{});
  return made.operator()<Mgcn>(MgcnOptions{});
}

void measure(const Arguments& given) {
  const std::string name = given.word("model", "dream");
  constexpr const char* names[] = {"dream", "mf", "lightgcn", "vbpr", "bm3", "freedom", "mgcn"};
  DREAM_EXPECT(std::find(std::begin(names), std::end(names), name) != std::end(names), "--model '", name,
               "' is none of dream, mf, lightgcn, vbpr, bm3, freedom, mgcn");
  for (const char* key : {"user-graph", "inter-weight"})
    DREAM_EXPECT(name == "dream" || !given.has(key), "--", key, " is an option of dream, not of ", name);
  Context<Cpu> context(given.number("threads", 2));
  Dataset data;
  const double reading = seconds_of([&] {
    data = given.has("data")        ? read_dataset(given.word("data"))
           : given.has("synthetic") ? synthetic(given.word("synthetic"))
                                    : random_interactions(999);
  });
  if (given.has("features")) add_features(data, given.word("features"), 999);

  DreamOptions options = options_of(given);
  options.data = data_options(name, options.data);
  DREAM_EXPECT(!options.data.modal || !data.modalities.empty(), "the data has no features, and ", name,
               " needs them; give --features 4096,384");
  options.data.knn_method = given.word("knn", "exact") == "approximate" ? KnnMethod::approximate : KnnMethod::exact;

  double used = processor_seconds();
  ModelData<float, Cpu> prepared;
  const double graphs =
      seconds_of([&] { prepared = prepare_data_releasing_features<float>(context, data, options.data); });
  const double graph_processor = processor_seconds() - used, peak_graphs = peak_mib();

  Measured model = make_model(name, context, prepared, options);
  FitOptions fit;
  fit.batch_size = options.batch_size;
  Trainer<Measured> trainer(context, model, data, fit);

  std::vector<index_t> users(static_cast<std::size_t>(trainer.sampler().size())), positives(users), negatives(users);
  std::vector<double> sampling;
  for (std::uint32_t epoch = 0; epoch < 7; ++epoch)
    sampling.push_back(seconds_of([&] {
      trainer.sampler().draw_range(context, epoch, 0, trainer.sampler().size(), users.data(), positives.data(),
                                   negatives.data());
    }));

  const int warmup = 3, steps = given.number("steps", 20);
  const std::int64_t full = std::max<std::int64_t>(1, trainer.sampler().size() / options.batch_size);
  std::vector<double> times;
  for (int s = 0; s < warmup + steps; ++s) {
    if (s == warmup) used = processor_seconds();
    const double taken =
        seconds_of([&] { trainer.step(trainer.sampler().draw(context, 0, s % full, options.batch_size)); });
    if (s >= warmup) times.push_back(taken);
  }
  const double step_processor = (processor_seconds() - used) / steps;
  const double epoch_start = model.epoch_start_seconds();
  model.forget_epoch();
  const double epoch = given.has("epoch") ? trainer.run_epoch().train_seconds : 0;
  const double peak_training = peak_mib();

  std::vector<double> evaluation;
  double recall = 0;
  used = processor_seconds();
  const int evaluations = given.number("evaluations", 3);
  for (int r = 0; r < evaluations; ++r)
    evaluation.push_back(seconds_of([&] {
      const auto vectors = trainer.represent();
      recall = trainer.evaluate_vectors(vectors[0], vectors[1], Split::valid).at("recall@20");
    }));
  const double evaluation_processor = (processor_seconds() - used) / std::max(1, evaluations);
  if (evaluations == 0) evaluation.push_back(0);

  std::printf(
      "{\"what\": \"dream\", \"model\": \"%s\", \"users\": %d, \"items\": %d, \"train\": %lld, \"trainable\": %s, "
      "\"threads\": %d, "
      "\"data_seconds\": %.2f, \"epoch_seconds\": %.2f, "
      "\"graph_seconds\": {\"total\": %.4f, \"processor\": %.4f}, \"peak_mib_after_graphs\": %.0f, "
      "\"sampling_seconds\": %.6f, "
      "\"step_seconds\": {\"median\": %.5f, \"min\": %.5f, \"processor\": %.5f}, \"steps_per_epoch\": %lld, "
      "\"epoch_start_seconds\": %.5f, \"peak_mib_after_training\": %.0f, "
      "\"evaluation_seconds\": {\"median\": %.4f, \"min\": %.4f, \"processor\": %.4f}, \"valid\": {\"recall@20\": "
      "%.5f}, "
      "\"peak_mib\": %.0f}\n",
      name.c_str(), data.user_count(), data.item_count(), static_cast<long long>(data.train.size()),
      options.train_features ? "true" : "false", context.threads(), reading, epoch, graphs, graph_processor,
      peak_graphs, median(sampling), median(times), *std::min_element(times.begin(), times.end()), step_processor,
      static_cast<long long>(trainer.sampler().batches(options.batch_size)), epoch_start, peak_training,
      median(evaluation), *std::min_element(evaluation.begin(), evaluation.end()), evaluation_processor, recall,
      peak_mib());
}

}  // namespace

int main(int argc, char** argv) { return run_program("training", argc, argv, {"trainable", "epoch"}, measure); }
