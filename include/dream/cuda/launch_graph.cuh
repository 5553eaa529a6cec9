// CUDA graphs: the work that a function gives to a context, recorded once and started again with one call.
//
//   step();                                   // once, so that buffers and handles are there
//   LaunchGraph<Cuda> graph;
//   graph.capture(context, step);
//   for (;;) graph.replay(context);
//
// The work must not depend on the host from replay to replay: what changes lies in device memory.
#pragma once

#include <cstddef>
#include <utility>

#include <cuda_runtime.h>

#include <dream/backend/context.hpp>
#include <dream/cuda/context.cuh>

namespace dream {

/// Owns a recorded graph; move-only. The context and every buffer that the work used must outlive its replays.
template <>
class LaunchGraph<Cuda> {
 public:
  /// Calls f() while the context's stream records. Allocating, synchronising or copying to and from the host in f is an
  /// error; f runs nothing. Replaces what was recorded before; after an error there is none.
  template <class F>
  void capture(Context<Cuda>& context, F&& f) {
    context.expect_no_capture("another capture");
    graph_.reset();
    runnable_.reset();
    const detail::DeviceScope scope(context.device());
    DREAM_CUDA_TRY(cudaStreamBeginCapture(context.stream(), cudaStreamCaptureModeThreadLocal));
    try {
      std::forward<F>(f)();
    } catch (...) {
      (void)end(context);
      graph_.reset();
      (void)cudaGetLastError();
      throw;
    }
    DREAM_CUDA_TRY(end(context));
    cudaGraphExec_t runnable = nullptr;
    DREAM_CUDA_TRY(cudaGraphInstantiate(&runnable, graph_.get(), 0));
    runnable_.reset(runnable);
    DREAM_CUDA_TRY(cudaGraphUpload(runnable, context.stream()));
    device_ = context.device();
  }

  /// Starts the recorded work on the context's stream, which may be another than that of the capture.
  void replay(Context<Cuda>& context) {
    DREAM_EXPECT(runnable_ != nullptr, "CUDA: replay of a graph that was not captured");
    DREAM_EXPECT(context.device() == device_, "CUDA: the graph was captured on GPU ", device_,
                 ", the context is of GPU ", context.device());
    const detail::DeviceScope scope(device_);
    DREAM_CUDA_TRY(cudaGraphLaunch(runnable_.get(), context.stream()));
  }

  bool is_captured() const { return runnable_ != nullptr; }
  /// Kernels, copies and fills in the graph.
  std::size_t size() const {
    std::size_t nodes = 0;
    if (graph_) DREAM_CUDA_TRY(cudaGraphGetNodes(graph_.get(), nullptr, &nodes));
    return nodes;
  }

 private:
  cudaError_t end(Context<Cuda>& context) {
    cudaGraph_t graph = nullptr;
    const cudaError_t code = cudaStreamEndCapture(context.stream(), &graph);
    graph_.reset(graph);
    return code;
  }

  CudaHandle<cudaGraph_t, cudaGraphDestroy> graph_;
  CudaHandle<cudaGraphExec_t, cudaGraphExecDestroy> runnable_;
  int device_ = -1;
};

}  // namespace dream
