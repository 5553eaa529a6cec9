// DREAM at one shape on a GPU: a training step launched piece by piece and as a replayed graph, full-ranking
// evaluation, device memory. Prints one JSON line with the keys of training.cpp.
//
//   gpu_step [--data FOLDER] [--features 4096,384] [--trainable] [--steps 100] [--evaluations 5] [--batch 2048]
//            [--dim 64] [--user-graph knn|none] [--inter-weight 0.01]
//
// Without --data: random interactions with the counts of the baby set. Steps are those of whole epochs, sampling
// included. A step's time is that between events behind it and behind the step before; what the epoch waits for, which
// is its first step and every 64th, is left out by the median.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <dream/cuda/cuda.cuh>
#include <dream/dream.hpp>

#include "one_shape.hpp"

namespace {

using namespace dream_benchmarks;

using Model = Dream<float, Cuda>;

struct Times {
  double median = 0, least = 0;

  explicit Times(std::vector<double> all) {
    if (all.empty()) return;
    std::sort(all.begin(), all.end());
    median = all[all.size() / 2];
    least = all.front();
  }
};

double used_mib() {
  std::size_t free = 0, total = 0;
  DREAM_CUDA_TRY(cudaMemGetInfo(&free, &total));
  return static_cast<double>(total - free) / (1 << 20);
}

/// Seconds of `steps` or some more steps after a warm-up of as many as it takes to capture one.
Times step_times(Context<Cuda>& context, Trainer<Model>& trainer, int steps) {
  std::vector<CudaEvent> events;
  const auto record = [&] {
    cudaEvent_t event = nullptr;
    DREAM_CUDA_TRY(cudaEventCreate(&event));
    events.emplace_back(event);
    DREAM_CUDA_TRY(cudaEventRecord(event, context.stream()));
  };
  constexpr std::size_t warm_up = 5;
  while (events.size() < warm_up + 1 + static_cast<std::size_t>(steps))
    trainer.run_epoch([&](const StepReport&) {
      record();
      return true;
    });
  context.synchronise();
  std::vector<double> seconds;
  for (std::size_t e = warm_up + 1; e < events.size(); ++e) {
    float milliseconds = 0;
    DREAM_CUDA_TRY(cudaEventElapsedTime(&milliseconds, events[e - 1].get(), events[e].get()));
    seconds.push_back(1e-3 * static_cast<double>(milliseconds));
  }
  return Times(seconds);
}

void measure(const Arguments& given) {
  std::string why;
  DREAM_EXPECT(cuda_is_usable(&why), why);
  Dataset data = given.has("data") ? read_dataset(given.word("data")) : random_interactions(999);
  if (given.has("features") || data.modalities.empty()) add_features(data, given.word("features", "4096,384"), 999);

  const DreamOptions options = options_of(given);
  Context<Cpu> host;
  Context<Cuda> context;
  cudaDeviceProp properties{};
  DREAM_CUDA_TRY(cudaGetDeviceProperties(&properties, context.device()));
  (void)context.blas();
  context.synchronise();
  const double before = used_mib(), start = now();
  const auto prepared = prepare_data_releasing_features<float>(context, host, data, options.data);
  context.synchronise();
  const double graphs = now() - start, with_data = used_mib();  // what the search for neighbours took included

  // Each way in a model of its own, from the same start.
  std::vector<Times> steps;
  std::vector<double> evaluation;
  double recall = 0, with_training = 0;
  for (const bool replay : {true, false}) {
    Model model(context, prepared, options, 999);
    FitOptions fit;
    fit.batch_size = options.batch_size;
    fit.eval_step = fit.epochs;
    fit.replay_steps = replay;
    Trainer<Model> trainer(context, model, data, fit);
    steps.push_back(step_times(context, trainer, given.number("steps", 100)));
    if (!replay) continue;
    with_training = used_mib();  // the context keeps what it ever took
    for (int r = 0; r < given.number("evaluations", 5) + 1; ++r) {
      const double begun = now();
      recall = trainer.evaluate(Split::valid).at("recall@20");
      if (r > 0) evaluation.push_back(now() - begun);
    }
  }
  const Times ranked(evaluation);
  std::printf(
      "{\"what\": \"dream on a GPU\", \"gpu\": \"%s\", \"users\": %d, \"items\": %d, \"train\": %lld, \"trainable\": "
      "%s, "
      "\"graph_seconds\": {\"total\": %.4f}, "
      "\"step_seconds\": {\"median\": %.6f, \"min\": %.6f}, \"eager_step_seconds\": {\"median\": %.6f, \"min\": %.6f}, "
      "\"evaluation_seconds\": {\"median\": %.6f, \"min\": %.6f}, \"valid\": {\"recall@20\": %.5f}, "
      "\"device_mib\": {\"before\": %.0f, \"with_data\": %.0f, \"with_training\": %.0f, \"peak\": %.0f}}\n",
      properties.name, data.user_count(), data.item_count(), static_cast<long long>(data.train.size()),
      options.train_features ? "true" : "false", graphs, steps[0].median, steps[0].least, steps[1].median,
      steps[1].least, ranked.median, ranked.least, recall, before, with_data, with_training, with_training - before);
}

}  // namespace

int main(int argc, char** argv) { return run_program("gpu_step", argc, argv, {"trainable"}, measure); }
