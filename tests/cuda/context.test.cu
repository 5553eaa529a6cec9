// The context on a GPU: what it says where there is none, memory, launches, graphs.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dream/backend/context.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/cuda/context.cuh>
#include <dream/cuda/launch_graph.cuh>
#include <dream/kernels/entry.cuh>

#include "cuda/needs_gpu.cuh"
#include "support/catch.hpp"

using namespace dream;
using namespace dream::kernels;

namespace {

struct ScaleValues {
  static constexpr int threads = 128;
  struct Params {
    VectorView<float> x;
    float factor;
    int grid = -1;  // as x needs
  };
  struct Shared {};
  static int grid(const Params& p) {
    return p.grid != -1 ? p.grid : static_cast<int>((p.x.size + threads - 1) / threads);
  }
  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const std::int64_t i = std::int64_t{th.block()} * threads + th.thread();
    if (i < p.x.size) p.x[i] *= p.factor;
  }
};

/// Reverses a block's piece of x through shared memory of Bytes bytes, from its far end.
template <int Bytes>
struct ReverseInShared {
  static constexpr int threads = 128;
  struct Params {
    VectorView<float> x;
  };
  struct Shared {
    float values[Bytes / sizeof(float)];
  };
  static int grid(const Params& p) { return static_cast<int>(p.x.size / threads); }
  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    constexpr int last = Bytes / static_cast<int>(sizeof(float)) - 1;
    float* x = p.x.data + std::int64_t{th.block()} * threads;
    shared.values[last - th.thread()] = x[th.thread()];
    th.sync();
    x[th.thread()] = shared.values[last - (threads - 1) + th.thread()];
  }
};

/// Several launches, found through the context as in dream/kernels.
template <class AnyContext>
void scale_twice(AnyContext& context, VectorView<float> x, float factor) {
  launch<ScaleValues>(context, {x, factor});
  launch<ScaleValues>(context, {x, factor});
}

/// Values on the device.
struct DeviceValues {
  DeviceValues(Context<Cuda>& c, const std::vector<float>& host)
      : context(c), values(dream::upload<float>(c, std::span<const float>(host))) {}
  VectorView<float> view() { return values.view(); }
  std::vector<float> download() {
    std::vector<float> host(static_cast<std::size_t>(values.size()));
    context.download(values.data(), host.data(), host.size() * sizeof(float));
    return host;
  }
  Context<Cuda>& context;
  Array<float, Cuda> values;
};

std::vector<float> ascending(std::size_t count) {
  std::vector<float> x(count);
  for (std::size_t i = 0; i < count; ++i) x[i] = static_cast<float>(i);
  return x;
}

std::string error_of_context() {
  try {
    const Context<Cuda> context;
    return "no error";
  } catch (const error& e) {
    return e.what();
  }
}

}  // namespace

TEST_CASE("Without a usable GPU the context says why in a sentence, and the process goes on") {
  std::string why;
  if (cuda_is_usable(&why)) DREAM_SKIP("there is a usable GPU");
  INFO(why);
  CHECK(why.find("CUDA: ") == 0);
  CHECK(error_of_context() == why);
  int driver = -1;
  REQUIRE(cudaDriverGetVersion(&driver) == cudaSuccess);
  if (driver == 0) CHECK(why.find("no NVIDIA driver is installed") != std::string::npos);
  CHECK_FALSE(cuda_is_usable());
  CHECK(error_of_context() == why);  // and not what an earlier call has left behind
  Context<Cpu> host(1);
  int ran = 0;
  host.parallel_for(3, [&](std::int64_t) { ++ran; });
  CHECK(ran == 3);
}

TEST_CASE("Errors of CUDA that a user can mend say what to do") {
  const std::vector<std::pair<cudaError_t, std::string>> expected = {
      {cudaErrorInsufficientDriver, "driver"},
      {cudaErrorNoDevice, "CUDA_VISIBLE_DEVICES"},
      {cudaErrorSystemDriverMismatch, "restart"},
      {cudaErrorDevicesUnavailable, "another process"},
      {cudaErrorNoKernelImageForDevice, "CMAKE_CUDA_ARCHITECTURES"},
      {cudaErrorUnsupportedPtxVersion, "install a newer"},
      {cudaErrorInvalidResourceHandle, "another device"},
      {cudaErrorStreamCaptureUnsupported, "before the capture"},
      {cudaErrorIllegalAddress, "compute-sanitizer"},
      {cudaErrorInvalidValue, cudaGetErrorString(cudaErrorInvalidValue)},
  };
  for (const auto& [code, words] : expected) {
    INFO(cudaGetErrorName(code) << ": " << cuda_sentence(code));
    CHECK(cuda_sentence(code).find(words) != std::string::npos);
  }
}

TEST_CASE("A failed call of CUDA or its libraries is an error with the call and its place") {
  const auto refuse = [](auto code) { return code; };
  const std::string place = concat("context.test.cu:", __LINE__ + 1);
  REQUIRE_ERROR([&] { DREAM_CUDA_TRY(refuse(cudaErrorInvalidValue)); }(), place);
  REQUIRE_ERROR([&] { DREAM_CUDA_TRY(refuse(cudaErrorInvalidValue)); }(),
                "cudaErrorInvalidValue by refuse(cudaErrorInvalidValue)");
  REQUIRE_ERROR([&] { DREAM_CUBLAS_TRY(refuse(CUBLAS_STATUS_ALLOC_FAILED)); }(), "cuBLAS: out of memory");
  REQUIRE_ERROR([&] { DREAM_CUBLAS_TRY(refuse(CUBLAS_STATUS_INVALID_VALUE)); }(), "CUBLAS_STATUS_INVALID_VALUE by ");
  REQUIRE_ERROR([&] { DREAM_CUSPARSE_TRY(refuse(CUSPARSE_STATUS_NOT_SUPPORTED)); }(),
                "CUSPARSE_STATUS_NOT_SUPPORTED by ");
  CHECK_NOTHROW([&] { DREAM_CUDA_TRY(refuse(cudaSuccess)); }());
}

TEST_CASE("A GPU that is not there is named with the number of those that are") {
  NEEDS_GPU();
  REQUIRE_ERROR(Context<Cuda>({.device = 4711}), "there is no GPU 4711");
  std::string why;
  CHECK_FALSE(cuda_is_usable(&why, 4711));
  CHECK(why.find("4711") != std::string::npos);
  CHECK_NOTHROW(Context<Cuda>());
}

TEST_CASE("What is uploaded comes back, whatever the size, and the source may change at once") {
  NEEDS_GPU();
  Context<Cuda> context;
  constexpr std::size_t piece = std::size_t{2} << 20;
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, piece - 1, piece, piece + 1, 2 * piece, 5 * piece + 3}) {
    INFO(size << " bytes");
    std::vector<unsigned char> sent(size), received(size);
    for (std::size_t i = 0; i < size; ++i) sent[i] = static_cast<unsigned char>(i * 7 + i / 251);
    const std::vector<unsigned char> kept = sent;
    Array<unsigned char, Cuda> first(context, static_cast<std::int64_t>(size)), second;
    second.resize(context, static_cast<std::int64_t>(size));
    CHECK((first.data() == nullptr) == (size == 0));
    context.upload(sent.data(), first.data(), size);
    std::fill(sent.begin(), sent.end(), static_cast<unsigned char>(0));
    context.copy(first.data(), second.data(), size);
    context.fill(first.data(), 0xFF, size);
    context.download(second.data(), received.data(), size);
    CHECK(received == kept);
    context.download(first.data(), received.data(), size);
    CHECK(received == std::vector<unsigned char>(size, 0xFF));
  }
}

TEST_CASE("Too large an allocation says what was asked and what was free, and the next one works") {
  NEEDS_GPU();
  Context<Cuda> context;
  const Array<std::byte, Cuda> held(context, std::int64_t{8} << 20);
  for (int i = 0; i < 2; ++i) {
    REQUIRE_ERROR(context.allocate(std::size_t{1} << 42), "asked for 4398046511104 bytes");
    REQUIRE_ERROR(context.allocate(std::size_t{1} << 42), "MiB are free, 8 MiB are held by this context");
    CHECK(cudaGetLastError() == cudaSuccess);
    const Array<std::byte, Cuda> memory(context, 1000);
    CHECK(memory.data() != nullptr);
  }
}

TEST_CASE("Memory that was released is used again without asking the driver") {
  NEEDS_GPU();
  Context<Cuda> context;
  void* first = context.allocate(std::size_t{4} << 20);
  context.release(first);
  context.synchronise();
  void* second = context.allocate(std::size_t{4} << 20);
  CHECK(second == first);
  context.release(second);
}

TEST_CASE("A launch runs the grid that the kernel wants; no block is no launch, too many are an error") {
  NEEDS_GPU();
  Context<Cuda> context;
  const std::vector<float> x = ascending(1000);
  DeviceValues values(context, x);
  scale_twice(context, values.view(), 3);
  launch<ScaleValues>(context, {values.view(), 100, 0});
  launch<ScaleValues>(context, {{}, 100});
  const std::vector<float> y = values.download();
  for (std::size_t i = 0; i < x.size(); ++i) REQUIRE(y[i] == 9 * x[i]);
  REQUIRE_ERROR(launch<ScaleValues>(context, {values.view(), 1, -7}), "ScaleValues: a grid of -7 blocks");
  context.synchronise();
}

TEST_CASE("A kernel has as much shared memory as it asks for, up to what the GPU has") {
  NEEDS_GPU();
  Context<Cuda> context;
  const std::vector<float> x = ascending(256);
  DeviceValues values(context, x);
  const auto reversed = [&](const std::vector<float>& before, const std::vector<float>& after) {
    for (std::size_t i = 0; i < before.size(); ++i) REQUIRE(after[i] == before[i / 128 * 128 + 127 - i % 128]);
  };
  launch<ReverseInShared<1024>>(context, {values.view()});
  std::vector<float> y = values.download();
  reversed(x, y);
  for (int i = 0; i < 2; ++i) {
    launch<ReverseInShared<96 * 1024>>(context, {values.view()});
    const std::vector<float> z = values.download();
    reversed(y, z);
    y = z;
  }
  REQUIRE_ERROR(launch<ReverseInShared<512 * 1024>>(context, {values.view()}), "needs 524288 bytes of shared memory");
  CHECK(values.download() == y);
}

TEST_CASE("A stream of the caller is used and left alive; one of another GPU is refused") {
  NEEDS_GPU();
  cudaStream_t raw = nullptr;
  DREAM_CUDA_TRY(cudaStreamCreate(&raw));
  const CudaStream stream(raw);
  {
    Context<Cuda> context({.stream = stream.get()});
    CHECK(context.stream() == stream.get());
    DeviceValues values(context, {1, 2, 3});
    scale_twice(context, values.view(), 2);
    CHECK(values.download() == std::vector<float>{4, 8, 12});
  }
  CHECK(cudaStreamQuery(stream.get()) == cudaSuccess);
  {
    Context<Cuda> context({.stream = cudaStreamLegacy});
    DeviceValues values(context, {1});
    CHECK(values.download() == std::vector<float>{1});
  }
  int devices = 0;
  DREAM_CUDA_TRY(cudaGetDeviceCount(&devices));
  if (devices < 2) DREAM_SKIP("only one GPU");
  const int here = Context<Cuda>().device();
  REQUIRE_ERROR(Context<Cuda>({.device = (here + 1) % devices, .stream = stream.get()}), "the stream is of GPU");
}

TEST_CASE("A captured graph replays what the function did, and runs nothing while it is captured") {
  NEEDS_GPU();
  Context<Cuda> context;
  DeviceValues values(context, {1, 2, 3});
  scale_twice(context, values.view(), 1);  // kernels are loaded at their first use
  LaunchGraph<Cuda> graph;
  CHECK_FALSE(graph.is_captured());
  REQUIRE_ERROR(graph.replay(context), "not captured");
  graph.capture(context, [&] {
    CHECK(context.is_capturing());
    scale_twice(context, values.view(), 2);
  });
  CHECK_FALSE(context.is_capturing());
  CHECK(graph.size() == 2);
  CHECK(values.download() == std::vector<float>{1, 2, 3});
  for (int i = 0; i < 3; ++i) graph.replay(context);
  CHECK(values.download() == std::vector<float>{64, 128, 192});
  LaunchGraph<Cuda> moved = std::move(graph);
  moved.replay(context);
  CHECK(values.download() == std::vector<float>{256, 512, 768});
  moved.capture(context, [&] { context.fill(values.view().data, 0, 12); });
  moved.replay(context);
  CHECK(values.download() == std::vector<float>{0, 0, 0});
}

TEST_CASE("What a graph cannot hold is an error that says so, and the context goes on") {
  NEEDS_GPU();
  Context<Cuda> context;
  DeviceValues values(context, {1, 2, 3});
  scale_twice(context, values.view(), 1);
  LaunchGraph<Cuda> graph;
  float host = 0;
  const std::vector<std::pair<std::string, std::function<void()>>> refused = {
      {"an allocation of 64 bytes", [&] { context.allocate(64); }},
      {"a synchronisation", [&] { context.synchronise(); }},
      {"a copy from the host", [&] { context.upload(&host, values.view().data, 4); }},
      {"a copy to the host", [&] { context.download(values.view().data, &host, 4); }},
      {"the first use of cuBLAS", [&] { context.blas(); }},
      {"another capture", [&] { LaunchGraph<Cuda>().capture(context, [] {}); }},
      {"mine", [] { fail("mine"); }},
  };
  for (const auto& [words, work] : refused) {
    const auto captured = [&, &work = work] {
      scale_twice(context, values.view(), 2);
      work();
    };
    REQUIRE_ERROR(graph.capture(context, captured), words);
    CHECK_FALSE(context.is_capturing());
    CHECK_FALSE(graph.is_captured());
    CHECK(values.download() == std::vector<float>{1, 2, 3});
  }
}

TEST_CASE("Memory that is released during a capture is given back afterwards") {
  NEEDS_GPU();
  Context<Cuda> context;
  LaunchGraph<Cuda> graph;
  void* memory = context.allocate(std::size_t{4} << 20);
  graph.capture(context, [&] { context.release(memory); });
  context.synchronise();
  void* again = context.allocate(std::size_t{4} << 20);
  CHECK(again == memory);
  context.release(again);
}
