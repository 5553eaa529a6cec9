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

#include <chrono>
#include <cstdio>
#include <map>
#include <sstream>
#include <string>

#include <dream/dream.hpp>

namespace {

using namespace dream;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

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

/// The counts of the baby set, users and items drawn uniformly, split 8 : 1 : 1.
Dataset random_interactions(std::uint64_t seed) {
  Dataset data;
  data.name = "random";
  data.users.count = 19445;
  data.items.count = 7050;
  const RandomStream random{seed, RandomUse::synthetic, 0};
  for (std::uint64_t k = 0; k < 160792; ++k) {
    const RandomBlock block = random.block(k);
    const index_t user = static_cast<index_t>(to_below(block.low(), 19445));
    const index_t item = static_cast<index_t>(to_below(block.high(), 7050));
    Pairs& split = k < 118551 ? data.train : k < 140233 ? data.valid : data.test;
    split.user.push_back(user);
    split.item.push_back(item);
  }
  return data;
}

/// Whole numbers between commas.
std::vector<std::int64_t> numbers(const std::string& text) {
  std::istringstream list(text);
  std::vector<std::int64_t> all;
  for (std::string word; std::getline(list, word, ',');) all.push_back(std::stoll(word));
  return all;
}

Dataset synthetic(const std::string& text) {
  const std::vector<std::int64_t> counts = numbers(text);
  DREAM_EXPECT(counts.size() == 3, "--synthetic takes USERS,ITEMS,INTERACTIONS, not '", text, "'");
  return make_synthetic({.users = static_cast<index_t>(counts[0]),
                         .items = static_cast<index_t>(counts[1]),
                         .interactions = counts[2],
                         .modalities = {{"image", 128}, {"text", 128}}});
}

void add_features(Dataset& data, const std::string& widths, std::uint64_t seed) {
  data.modalities.clear();
  std::uint32_t m = 0;
  for (const std::int64_t width : numbers(widths)) {
    Modality& modality = data.modalities.emplace_back();
    modality.name = "generated" + std::to_string(m);
    modality.rows = data.item_count();
    modality.cols = static_cast<index_t>(width);
    const std::int64_t size = std::int64_t{modality.rows} * modality.cols;
    modality.values.resize(static_cast<std::size_t>(size));
    modality.present.assign(static_cast<std::size_t>(modality.rows), 1);
    const RandomStream random{seed, RandomUse::synthetic, ++m};
#pragma omp parallel for
    for (std::int64_t i = 0; i < size; ++i)
      modality.values[static_cast<std::size_t>(i)] = static_cast<float>(random.normal(static_cast<std::uint64_t>(i)));
  }
}

int measure(std::map<std::string, std::string> given) {
  const auto number = [&](const char* key, int otherwise) {
    return given.count(key) ? std::stoi(given[key]) : otherwise;
  };
  Context<Cpu> context(number("threads", 2));
  const auto word = [&](const char* key, const char* otherwise) { return given.count(key) ? given[key] : otherwise; };
  Dataset data;
  const double reading = seconds_of([&] {
    data = given.count("data")        ? read_dataset(given["data"])
           : given.count("synthetic") ? synthetic(given["synthetic"])
                                      : random_interactions(999);
  });
  if (given.count("features")) add_features(data, given["features"], 999);
  DREAM_EXPECT(!data.modalities.empty(), "the data has no features; give --features 4096,384");

  DreamOptions options;
  options.embedding_size = number("dim", 64);
  options.batch_size = number("batch", 2048);
  options.train_features = given.count("trainable") > 0;
  options.alignment.intra = Intra::moments;
  options.alignment.inter_weight = std::stod(word("inter-weight", "0.01"));
  options.alignment.intra_weight = 0.001;
  options.s3_weight = options.s3_user_weight = 0.1;
  options.data.user_graph = word("user-graph", "knn") == "none" ? UserGraph::none : UserGraph::knn;
  options.data.knn_method = word("knn", "exact") == "approximate" ? KnnMethod::approximate : KnnMethod::exact;

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

  const int warmup = 3, steps = number("steps", 20);
  const std::int64_t full = std::max<std::int64_t>(1, trainer.sampler().size() / options.batch_size);
  std::vector<double> times;
  for (int s = 0; s < warmup + steps; ++s) {
    if (s == warmup) used = processor_seconds();
    const double taken =
        seconds_of([&] { trainer.step(trainer.sampler().draw(context, 0, s % full, options.batch_size)); });
    if (s >= warmup) times.push_back(taken);
  }
  const double step_processor = (processor_seconds() - used) / steps;
  const double epoch = given.count("epoch") ? trainer.run_epoch().train_seconds : 0;
  const double peak_training = peak_mib();

  std::vector<double> evaluation;
  double recall = 0;
  used = processor_seconds();
  const int evaluations = number("evaluations", 3);
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
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> given;
  for (int i = 1; i < argc; ++i) {
    std::string key = argv[i];
    if (key.rfind("--", 0) != 0) {
      std::fprintf(stderr, "training: unknown argument '%s'\n", argv[i]);
      return 2;
    }
    key.erase(0, 2);
    given[key] = key == "trainable" || key == "epoch" || i + 1 == argc ? "1" : argv[++i];
  }
  try {
    return measure(std::move(given));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "training: error: %s\n", e.what());
    return 1;
  }
}
