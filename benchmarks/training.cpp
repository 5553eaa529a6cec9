// One model at one shape, measured piece by piece: graphs, sampling, training step, evaluation, memory. Prints one JSON
// line with the keys of peers/dream_torch.py, so that peers/compare.py can put the two beside each other.
//
//   training [--data FOLDER | --synthetic USERS,ITEMS,INTERACTIONS] [--features 4096,384] [--trainable] [--threads 2]
//            [--steps 20] [--epoch] [--evaluations 3] [--batch 2048] [--dim 64] [--user-graph knn|none]
//            [--knn exact|approximate] [--inter-weight 0.01]
//
// --synthetic plants structure as `dream synth` does, with two modalities of 128 columns. With neither it nor --data:
// random interactions with the counts of the baby set. --features generates standard-normal features of these widths in
// place of the data's own. --epoch trains a whole epoch after the measured steps.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <string>
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

void measure(const Arguments& given) {
  Context<Cpu> context(given.number("threads", 2));
  Dataset data;
  const double reading = seconds_of([&] {
    data = given.has("data")        ? read_dataset(given.word("data"))
           : given.has("synthetic") ? synthetic(given.word("synthetic"))
                                    : random_interactions(999);
  });
  if (given.has("features")) add_features(data, given.word("features"), 999);
  DREAM_EXPECT(!data.modalities.empty(), "the data has no features; give --features 4096,384");

  DreamOptions options = options_of(given);
  options.data.knn_method = given.word("knn", "exact") == "approximate" ? KnnMethod::approximate : KnnMethod::exact;

  double used = processor_seconds();
  ModelData<float, Cpu> prepared;
  const double graphs =
      seconds_of([&] { prepared = prepare_data_releasing_features<float>(context, data, options.data); });
  const double graph_processor = processor_seconds() - used, peak_graphs = peak_mib();

  Dream<float, Cpu> model(context, prepared, options, 999);
  FitOptions fit;
  fit.batch_size = options.batch_size;
  Trainer<Dream<float, Cpu>> trainer(context, model, data, fit);

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
      "{\"what\": \"dream\", \"users\": %d, \"items\": %d, \"train\": %lld, \"trainable\": %s, \"threads\": %d, "
      "\"data_seconds\": %.2f, \"epoch_seconds\": %.2f, "
      "\"graph_seconds\": {\"total\": %.4f, \"processor\": %.4f}, \"peak_mib_after_graphs\": %.0f, "
      "\"sampling_seconds\": %.6f, "
      "\"step_seconds\": {\"median\": %.5f, \"min\": %.5f, \"processor\": %.5f}, \"peak_mib_after_training\": %.0f, "
      "\"evaluation_seconds\": {\"median\": %.4f, \"min\": %.4f, \"processor\": %.4f}, \"valid\": {\"recall@20\": "
      "%.5f}, "
      "\"peak_mib\": %.0f}\n",
      data.user_count(), data.item_count(), static_cast<long long>(data.train.size()),
      options.train_features ? "true" : "false", context.threads(), reading, epoch, graphs, graph_processor,
      peak_graphs, median(sampling), median(times), *std::min_element(times.begin(), times.end()), step_processor,
      peak_training, median(evaluation), *std::min_element(evaluation.begin(), evaluation.end()), evaluation_processor,
      recall, peak_mib());
}

}  // namespace

int main(int argc, char** argv) { return run_program("training", argc, argv, {"trainable", "epoch"}, measure); }
