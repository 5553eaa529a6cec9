// The kernels at real shapes, beside NVIDIA's libraries, plain kernels and copies, timed by events on the card:
//
//   kernels [--benchmark_filter=spmm] [--benchmark_out=kernels.json --benchmark_out_format=json] ...
//
// Graphs are those of the sets baby, sports and tiktok in the folder that DREAM_DATA names, else random ones of their
// sizes; larger ones are always random, and so are the held-out items of ranking_metrics. Work repeats within a
// captured CUDA graph, so that gaps between launches stay out of the times. `of_copy` is the share of the bandwidth of
// a large copy, of the bytes that must move; `of_product` that of the fp32 rate of a large product by cuBLAS. Both are
// measured in the same run. benchmarks/README.md lists the cases.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "cases.cuh"

namespace dream_benchmarks {

namespace {

class Clock {
 public:
  explicit Clock(Context<Cuda>& context) : context_(&context) {
    for (CudaEvent* event : {&begin_, &end_}) {
      cudaEvent_t made = nullptr;
      DREAM_CUDA_TRY(cudaEventCreate(&made));
      event->reset(made);
    }
  }
  /// How long the card takes for what f gives to the stream.
  template <class F>
  double seconds(F&& f) {
    DREAM_CUDA_TRY(cudaEventRecord(begin_.get(), context_->stream()));
    f();
    DREAM_CUDA_TRY(cudaEventRecord(end_.get(), context_->stream()));
    DREAM_CUDA_TRY(cudaEventSynchronize(end_.get()));
    float milliseconds = 0;
    DREAM_CUDA_TRY(cudaEventElapsedTime(&milliseconds, begin_.get(), end_.get()));
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  Context<Cuda>* context_;
  CudaEvent begin_, end_;
};

/// A contender made ready: short work several times in a graph, long work as it is.
struct Repeated {
  std::function<void()> run;
  LaunchGraph<Cuda> graph;
  int repeats = 1;

  void operator()(Context<Cuda>& context) {
    if (graph.is_captured())
      graph.replay(context);
    else
      run();
  }
};

/// The card, its ceilings and the case that is measured at present.
struct Session {
  Context<Cuda> context;
  Clock clock{context};
  Ceilings ceilings;
  std::string name, wrong;
  Work work;
  std::map<std::string, Repeated> ready;

  void begin(const std::string& case_name, const std::function<Work()>& prepare) {
    ready.clear();
    const std::shared_ptr<const void> shared = std::move(work.shared);
    work = {};
    wrong.clear();
    name = case_name;
    try {
      work = prepare();
      work.contenders.front().run();
      work.check();
    } catch (const std::exception& e) {
      wrong = e.what();
    }
  }
  Repeated& made_ready(const std::string& who) {
    Repeated& repeated = ready[who];
    if (repeated.run) return repeated;
    const auto contender =
        std::find_if(work.contenders.begin(), work.contenders.end(), [&](const Contender& c) { return c.who == who; });
    DREAM_EXPECT(contender != work.contenders.end(), name, " has no contender ", who);
    contender->run();  // buffers and handles
    context.synchronise();
    const double once = clock.seconds(contender->run);
    if (once < 5e-3 && !contender->waits) {
      repeated.repeats = static_cast<int>(std::clamp(2e-3 / std::max(once, 1e-7), 1.0, 50.0));
      repeated.graph.capture(context, [&] {
        for (int r = 0; r < repeated.repeats; ++r) contender->run();
      });
      repeated.graph.replay(context);
    }
    repeated.run = contender->run;
    return repeated;
  }
};

std::optional<Session>& session() {
  static std::optional<Session> the_one;
  return the_one;
}

void measure(benchmark::State& state, const std::string& name, const std::string& who,
             const std::function<Work()>& prepare) {
  Session& s = *session();
  if (s.name != name) s.begin(name, prepare);
  if (!s.wrong.empty()) {
    state.SkipWithError(s.wrong.c_str());
    return;
  }
  try {
    Repeated& repeated = s.made_ready(who);
    while (state.KeepRunningBatch(repeated.repeats))
      state.SetIterationTime(s.clock.seconds([&] { repeated(s.context); }));
  } catch (const std::exception& e) {
    state.SkipWithError(e.what());
    return;
  }
  constexpr auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["bytes"] = s.work.bytes;
  state.counters["of_copy"] = benchmark::Counter(s.work.bytes / s.ceilings.copy, rate);
  if (s.work.operations > 0) {
    state.counters["operations"] = s.work.operations;
    state.counters["of_product"] = benchmark::Counter(s.work.operations / s.ceilings.product, rate);
  }
  for (const auto& [key, value] : s.work.numbers) state.counters[key] = value;
}

/// The best of a few copies of 1 GiB, and of a few products of 8192 x 8192 matrices; less where memory is short.
Ceilings measured_ceilings(Context<Cuda>& context, Clock& clock) {
  std::size_t free = 0, total = 0;
  DREAM_CUDA_TRY(cudaMemGetInfo(&free, &total));
  const auto half = static_cast<std::int64_t>(std::min(free / 8, std::size_t{1} << 30));
  const index_t n = free > (std::size_t{2} << 30) ? 8192 : 4096;
  Inputs inputs(context);
  const auto from = inputs.uniform(1, static_cast<index_t>(half / 4)), to = inputs.matrix(1, from.cols);
  const auto a = inputs.uniform(n, n), b = inputs.uniform(n, n), c = inputs.matrix(n, n);
  Ceilings best;
  for (int r = 0; r < 6; ++r) {
    const double copy = clock.seconds([&] { context.copy(from.data, to.data, static_cast<std::size_t>(half)); });
    const double product = clock.seconds([&] { gemm<float>(context, Op::none, Op::none, 1.0F, a, b, 0.0F, c); });
    if (r == 0) continue;  // the first ones load code
    best.copy = std::max(best.copy, 2.0 * static_cast<double>(half) / copy);
    best.product = std::max(best.product, 2.0 * n * n * n / product);
  }
  return best;
}

}  // namespace

Context<Cuda>& gpu() { return session()->context; }

void add_case(const std::string& name, const std::vector<std::string>& who, std::function<Work()> prepare) {
  for (const std::string& contender : who) {
    benchmark::RegisterBenchmark(
        (name + "/" + contender).c_str(),
        [name, contender, prepare](benchmark::State& state) { measure(state, name, contender, prepare); })
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

bool has_room(const std::string& name, std::int64_t bytes) {
  std::size_t free = 0, total = 0;
  DREAM_CUDA_TRY(cudaMemGetInfo(&free, &total));
  if (bytes <= static_cast<std::int64_t>(free / 4 * 3)) return true;
  std::fprintf(stderr, "%s is left out: it needs %lld MiB of device memory\n", name.c_str(),
               static_cast<long long>(bytes >> 20));
  return false;
}

Contender copy_of(Inputs& inputs, double bytes) {
  const auto half = static_cast<std::int64_t>(bytes / 2);
  const std::byte* from = inputs.room<std::byte>(half);
  std::byte* to = inputs.room<std::byte>(half);
  return {"copy",
          [&context = inputs.context(), from, to, half] { context.copy(from, to, static_cast<std::size_t>(half)); }};
}

Work memory_bound(const std::shared_ptr<Inputs>& inputs, double bytes, std::function<void()> run,
                  std::function<void()> check) {
  Work work;
  work.inputs = inputs;
  work.bytes = bytes;
  work.contenders = {{"dream", std::move(run)}, copy_of(*inputs, bytes)};
  work.check = std::move(check);
  return work;
}

}  // namespace dream_benchmarks

int main(int argc, char** argv) {
  using namespace dream_benchmarks;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  std::string why;
  if (!cuda_is_usable(&why)) {
    std::fprintf(stderr, "kernels: %s\n", why.c_str());
    return 1;
  }
  try {
    Session& s = session().emplace();
    s.ceilings = measured_ceilings(s.context, s.clock);
    cudaDeviceProp properties{};
    DREAM_CUDA_TRY(cudaGetDeviceProperties(&properties, s.context.device()));
    const auto text = [](const char* format, double value) {
      char written[64];
      std::snprintf(written, sizeof written, format, value);
      return std::string(written);
    };
    benchmark::AddCustomContext("gpu", properties.name);
    benchmark::AddCustomContext("copy_bytes_per_second", text("%.4g", s.ceilings.copy));
    benchmark::AddCustomContext("product_operations_per_second", text("%.4g", s.ceilings.product));
    add_sparse_product_cases();
    add_propagation_cases();
    add_row_cases();
    add_alignment_cases();
    add_similarity_cases();
    add_batch_cases();
    add_attention_cases();
    add_feature_cases();
    add_dense_cases();
    add_elementwise_cases();
    add_adam_cases();
    add_ranking_cases();
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "kernels: error: %s\n", e.what());
    return 1;
  }
  session().reset();
  benchmark::Shutdown();
  return 0;
}
