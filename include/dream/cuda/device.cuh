// Which GPU, and whether kernels of this program can run on it.
#pragma once

#include <new>
#include <string>

#include <cuda_runtime.h>

#include <dream/core/error.hpp>
#include <dream/cuda/error.cuh>
#include <dream/kernels/entry.cuh>

namespace dream {

namespace detail {

/// Makes a device the thread's current one, until the end of the scope.
class DeviceScope {
 public:
  /// For destructors: goes on where that fails.
  DeviceScope(int device, std::nothrow_t) noexcept {
    changed_ = cudaGetDevice(&before_) == cudaSuccess && before_ != device && cudaSetDevice(device) == cudaSuccess;
  }
  explicit DeviceScope(int device) {
    DREAM_CUDA_TRY(cudaGetDevice(&before_));
    if (before_ == device) return;
    DREAM_CUDA_TRY(cudaSetDevice(device));
    changed_ = true;
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;
  ~DeviceScope() {
    if (changed_) (void)cudaSetDevice(before_);
  }

 private:
  int before_ = 0;
  bool changed_ = false;
};

/// Does nothing: tells whether the program holds code for a device.
struct ProbeKernel {
  static constexpr int threads = 32;
  struct Params {};
  struct Shared {};
  static int grid(const Params&) { return 1; }
  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread&, const Params&, Shared&) const {}
};

/// The number of a device on which kernels of this program can run (-1: the current one), or throws.
inline int usable_device(int device) {
  int count = 0;
  DREAM_CUDA_TRY(cudaGetDeviceCount(&count));
  if (device < 0) DREAM_CUDA_TRY(cudaGetDevice(&device));
  DREAM_EXPECT(device < count, "CUDA: there is no GPU ", device, "; this process sees ", count, ", numbered from 0");
  const DeviceScope scope(device);
  DREAM_CUDA_TRY(cudaFree(nullptr));  // the first call that needs the device itself
  cudaFuncAttributes attributes{};
  const cudaError_t code = cudaFuncGetAttributes(&attributes, kernel_entry<ProbeKernel>);
  if (code == cudaErrorNoKernelImageForDevice || code == cudaErrorInvalidDeviceFunction) {
    (void)cudaGetLastError();
    cudaDeviceProp properties{};
    DREAM_CUDA_TRY(cudaGetDeviceProperties(&properties, device));
    fail("CUDA: this program has no kernels for GPU ", device, " (", properties.name, ", compute capability ",
         properties.major, ".", properties.minor, "); compile it with CMAKE_CUDA_ARCHITECTURES that include ",
         properties.major, properties.minor);
  }
  DREAM_CUDA_TRY(code);
  int pools = 0;
  DREAM_CUDA_TRY(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, device));
  DREAM_EXPECT(pools != 0, "CUDA: GPU ", device, " has no memory pools, which stream-ordered allocation needs");
  return device;
}

}  // namespace detail

/// Whether Context<Cuda> can be made here; if not, `why` receives the sentence that its error would say. Never throws
/// for want of a GPU.
inline bool cuda_is_usable(std::string* why = nullptr, int device = -1) {
  try {
    detail::usable_device(device);
    return true;
  } catch (const error& e) {
    if (why != nullptr) *why = e.what();
    return false;
  }
}

}  // namespace dream
