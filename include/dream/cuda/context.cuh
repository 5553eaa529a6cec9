// The backend on a GPU: one stream, memory in the stream's order, the handles of cuBLAS and cuSPARSE, checked launches.
//
//   Context<Cuda> context;                               // the current device, a stream of its own
//   launch<MyKernel>(context, {x, y});                   // dream/kernels/entry.cuh says what a kernel is
//   context.download(y.data, host.data(), bytes);        // waits; all else is ordered on the stream and returns at
//   once
//
// Needs nvcc; compiles to a program that also starts where there is no driver (cuda_is_usable tells).
#pragma once

#include <cxxabi.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusparse.h>

#include <dream/backend/context.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/core/error.hpp>
#include <dream/cuda/device.cuh>
#include <dream/cuda/error.cuh>
#include <dream/cuda/staging.cuh>
#include <dream/kernels/entry.cuh>

namespace dream {

/// The arithmetic of float matrix products: fp32, or tensor cores that round the factors to 10 bits of mantissa.
enum class MatrixProducts { fp32, tf32 };

struct CudaOptions {
  int device = -1;  ///< -1: the calling thread's current one
  /// Null: one of its own. A stream of yours must be of the same device and outlive the context; the default streams
  /// are cudaStreamLegacy and cudaStreamPerThread.
  cudaStream_t stream = nullptr;
  MatrixProducts products = MatrixProducts::fp32;
};

/// Kernels, copies and library calls of one context run in the order of its stream. It serves one thread at a time and
/// must outlive the memory and graphs that come from it.
template <>
class Context<Cuda> {
 public:
  explicit Context(const CudaOptions& options = {})
      : device_(detail::usable_device(options.device)), products_(options.products), stream_(options.stream) {
    const detail::DeviceScope scope(device_);
    if (stream_ != nullptr) {
      int of_stream = device_;
      DREAM_CUDA_TRY(cudaStreamGetDevice(stream_, &of_stream));
      DREAM_EXPECT(of_stream == device_, "CUDA: the stream is of GPU ", of_stream, ", the context of GPU ", device_);
    } else {
      DREAM_CUDA_TRY(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
      own_stream_.reset(stream_);
    }
    cudaMemPoolProps wanted{};
    wanted.allocType = cudaMemAllocationTypePinned;
    wanted.location.type = cudaMemLocationTypeDevice;
    wanted.location.id = device_;
    cudaMemPool_t pool = nullptr;
    DREAM_CUDA_TRY(cudaMemPoolCreate(&pool, &wanted));
    pool_.reset(pool);
    std::uint64_t keep = std::numeric_limits<std::uint64_t>::max();
    DREAM_CUDA_TRY(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() {
    const detail::DeviceScope scope(device_, std::nothrow);
    (void)cudaStreamSynchronize(stream_);
    scratch_ = {};
    release_postponed();
    blas_.reset();
    sparse_.reset();
    release(blas_workspace_);
    own_stream_.reset();
    pool_.reset();
    (void)cudaGetLastError();
  }

  int device() const { return device_; }
  cudaStream_t stream() const { return stream_; }
  MatrixProducts products() const { return products_; }

  /// Waits for all work so far. Throws what went wrong in it.
  void synchronise() {
    expect_no_capture("a synchronisation");
    const detail::DeviceScope scope(device_);
    DREAM_CUDA_TRY(cudaStreamSynchronize(stream_));
    release_postponed();
  }

  /// Memory in the stream's order, aligned to 256 bytes, from a pool that keeps what is released; of 0 bytes: null.
  void* allocate(std::size_t bytes) {
    if (bytes == 0) return nullptr;
    if (is_capturing())
      fail("CUDA: an allocation of ", bytes, " bytes while a graph is captured; run the work once before, so that its ",
           "buffers are there");
    const detail::DeviceScope scope(device_);
    release_postponed();
    void* memory = nullptr;
    cudaError_t code = cudaMallocFromPoolAsync(&memory, bytes, pool_.get(), stream_);
    if (code == cudaErrorMemoryAllocation) {  // what the pool holds in pieces of other sizes goes back first
      (void)cudaGetLastError();
      DREAM_CUDA_TRY(cudaStreamSynchronize(stream_));
      DREAM_CUDA_TRY(cudaMemPoolTrimTo(pool_.get(), 0));
      code = cudaMallocFromPoolAsync(&memory, bytes, pool_.get(), stream_);
    }
    if (code == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      std::size_t free = 0, total = 0;
      std::uint64_t used = 0;
      (void)cudaMemGetInfo(&free, &total);
      (void)cudaMemPoolGetAttribute(pool_.get(), cudaMemPoolAttrUsedMemCurrent, &used);
      (void)cudaGetLastError();
      fail("out of device memory: asked for ", bytes, " bytes; of the ", total >> 20, " MiB of GPU ", device_, " ",
           free >> 20, " MiB are free, ", used >> 20, " MiB are held by this context");
    }
    DREAM_CUDA_TRY(code);
    return memory;
  }

  /// Gives memory of allocate() back, in the stream's order; while a graph is captured, afterwards.
  void release(void* memory) noexcept {
    if (memory == nullptr) return;
    ++releases_;
    const detail::DeviceScope scope(device_, std::nothrow);
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    if (cudaStreamIsCapturing(stream_, &status) == cudaSuccess && status != cudaStreamCaptureStatusNone) {
      postponed_.push_back(memory);
      return;
    }
    if (cudaFreeAsync(memory, stream_) != cudaSuccess) (void)cudaGetLastError();
  }

  /// Whether launches can be captured here: CUDA does not capture what goes to the legacy default stream.
  bool can_capture() const { return stream_ != cudaStreamLegacy; }
  /// How often memory was given back: a captured graph is good for as long as this stays the same.
  std::int64_t releases() const { return releases_; }
  /// Working memory number `slot` for `count` values, contents unspecified; valid until the slot is asked for again.
  template <class T>
  T* scratch(int slot, std::int64_t count) {
    return scratch_.get<T>(*this, slot, count);
  }

  /// Copies from the host; `from` may change as soon as this returns.
  void upload(const void* from, void* to, std::size_t bytes) {
    expect_no_capture("a copy from the host");
    const detail::DeviceScope scope(device_);
    staging_.upload(stream_, from, to, bytes);
  }
  /// Copies to the host and waits for it.
  void download(const void* from, void* to, std::size_t bytes) {
    expect_no_capture("a copy to the host");
    const detail::DeviceScope scope(device_);
    staging_.download(stream_, from, to, bytes);
  }
  /// Copies within the device; the two must not overlap.
  void copy(const void* from, void* to, std::size_t bytes) {
    if (bytes == 0) return;
    const detail::DeviceScope scope(device_);
    DREAM_CUDA_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_));
  }
  /// Sets every byte: 0 makes zeros, 0xFF makes NaN of floats.
  void fill(void* to, unsigned char byte, std::size_t bytes) {
    if (bytes == 0) return;
    const detail::DeviceScope scope(device_);
    DREAM_CUDA_TRY(cudaMemsetAsync(to, byte, bytes, stream_));
  }

  /// cuBLAS on this stream, with a workspace of its own, so that results repeat and graphs can hold its calls. Made at
  /// the first use.
  cublasHandle_t blas() {
    if (blas_) return blas_.get();
    expect_no_capture("the first use of cuBLAS");
    const detail::DeviceScope scope(device_);
    int major = 0;
    DREAM_CUDA_TRY(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device_));
    const std::size_t workspace_bytes = std::size_t{major >= 9 ? 32u : 4u} << 20;  // what its manual recommends
    if (blas_workspace_ == nullptr) blas_workspace_ = allocate(workspace_bytes);
    cublasHandle_t handle = nullptr;
    DREAM_CUBLAS_TRY(cublasCreate(&handle));
    CudaHandle<cublasHandle_t, cublasDestroy> owner(handle);
    DREAM_CUBLAS_TRY(cublasSetStream(handle, stream_));  // resets the workspace, so comes first
    DREAM_CUBLAS_TRY(cublasSetWorkspace(handle, blas_workspace_, workspace_bytes));
    DREAM_CUBLAS_TRY(cublasSetAtomicsMode(handle, CUBLAS_ATOMICS_NOT_ALLOWED));
    blas_ = std::move(owner);
    return handle;
  }

  /// cuSPARSE on this stream. Made at the first use.
  cusparseHandle_t sparse() {
    if (sparse_) return sparse_.get();
    expect_no_capture("the first use of cuSPARSE");
    const detail::DeviceScope scope(device_);
    cusparseHandle_t handle = nullptr;
    DREAM_CUSPARSE_TRY(cusparseCreate(&handle));
    sparse_.reset(handle);
    DREAM_CUSPARSE_TRY(cusparseSetStream(handle, stream_));
    return handle;
  }

  /// Whether the stream records a graph in place of running.
  bool is_capturing() const {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    DREAM_CUDA_TRY(cudaStreamIsCapturing(stream_, &status));
    return status != cudaStreamCaptureStatusNone;
  }
  /// Throws while a graph is captured, which `what` cannot be part of.
  void expect_no_capture(const char* what) const {
    if (is_capturing()) fail("CUDA: ", what, " while a graph is captured; it belongs before or after the capture");
  }

 private:
  void release_postponed() noexcept {
    for (void* memory : postponed_)
      if (cudaFreeAsync(memory, stream_) != cudaSuccess) (void)cudaGetLastError();
    postponed_.clear();
  }

  int device_;
  MatrixProducts products_;
  cudaStream_t stream_;
  CudaStream own_stream_;
  CudaHandle<cudaMemPool_t, cudaMemPoolDestroy> pool_;
  PinnedStaging staging_;
  ScratchSlots<Cuda> scratch_;
  std::int64_t releases_ = 0;
  std::vector<void*> postponed_;  // released while a graph was captured
  void* blas_workspace_ = nullptr;
  CudaHandle<cublasHandle_t, cublasDestroy> blas_;
  CudaHandle<cusparseHandle_t, cusparseDestroy> sparse_;
};

namespace detail {

/// A launch without the kernel's type.
struct CudaLaunch {
  const void* entry = nullptr;
  const std::type_info* kernel = nullptr;
  int grid = 0;
  int threads = 0;
  std::size_t shared_bytes = 0;
  std::atomic<std::uint64_t>* shared_allowed = nullptr;  // a bit a device

  std::string name() const {
    int status = 0;
    const std::unique_ptr<char, Destroy<std::free>> readable(
        abi::__cxa_demangle(kernel->name(), nullptr, nullptr, &status));
    return concat("kernel ", readable ? readable.get() : kernel->name());
  }
};

/// Lets a kernel have more shared memory than is static, once on each device.
inline void allow_shared_memory(const CudaLaunch& launch, int device) {
  const std::uint64_t bit = device < 64 ? std::uint64_t{1} << device : 0;
  if ((launch.shared_allowed->load(std::memory_order_relaxed) & bit) != 0) return;
  int limit = 0;
  DREAM_CUDA_TRY(cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  DREAM_EXPECT(launch.shared_bytes <= static_cast<std::size_t>(limit), launch.name(), ": needs ", launch.shared_bytes,
               " bytes of shared memory a block, GPU ", device, " has ", limit);
  DREAM_CUDA_TRY(cudaFuncSetAttribute(launch.entry, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(launch.shared_bytes)));
  launch.shared_allowed->fetch_or(bit, std::memory_order_relaxed);
}

inline void run(Context<Cuda>& context, const CudaLaunch& launch, const void* params) {
  if (launch.grid == 0) return;
  DREAM_EXPECT(launch.grid > 0, launch.name(), ": a grid of ", launch.grid, " blocks; it is too large for one launch");
  const DeviceScope scope(context.device());
  if (launch.shared_bytes > 0) allow_shared_memory(launch, context.device());
  void* arguments[] = {const_cast<void*>(params)};
  const cudaError_t code =
      cudaLaunchKernel(launch.entry, dim3(static_cast<unsigned>(launch.grid)),
                       dim3(static_cast<unsigned>(launch.threads)), arguments, launch.shared_bytes, context.stream());
  if (code != cudaSuccess) [[unlikely]]
    fail_cuda(code, concat(launch.name(), " with ", launch.grid, " blocks").c_str(), __FILE__, __LINE__);
}

}  // namespace detail

/// Runs Kernel::grid(params) blocks on the context's stream, none where it is 0. Throws if the launch is refused; what
/// goes wrong in the kernel shows at a later call that waits.
template <IsKernel Kernel>
void launch(Context<Cuda>& context, const typename Kernel::Params& params) {
  static std::atomic<std::uint64_t> shared_allowed{0};
  detail::run(context,
              {reinterpret_cast<const void*>(&kernel_entry<Kernel>), &typeid(Kernel), Kernel::grid(params),
               Kernel::threads, launch_shared_bytes<Kernel>, &shared_allowed},
              &params);
}

}  // namespace dream
