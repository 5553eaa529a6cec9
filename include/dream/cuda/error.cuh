// Errors of CUDA and its libraries as dream::error: a sentence with a hint, then the call and its place.
//
//   DREAM_CUDA_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream));
//
// The runtime's memory of the error is cleared, so the process can go on, unless the sentence says that it cannot.
#pragma once

#include <memory>
#include <string>
#include <type_traits>

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusparse.h>

#include <dream/core/error.hpp>

#if !defined(__CUDACC__)
#error "dream/cuda needs nvcc; what runs on any backend is in the other folders"
#endif
#if CUDART_VERSION < 12080
#error "dream/cuda needs CUDA 12.8 or newer"
#endif

namespace dream {

/// What an error means and what to do about it.
inline std::string cuda_sentence(cudaError_t code) {
  const auto version = [](int v) { return concat(v / 1000, ".", v % 1000 / 10); };
  switch (code) {
    case cudaErrorInsufficientDriver: {
      int driver = 0, runtime = 0;
      (void)cudaDriverGetVersion(&driver);
      (void)cudaRuntimeGetVersion(&runtime);
      if (driver == 0)
        return "no NVIDIA driver is installed (there is no libcuda.so.1); a container must be started with its GPUs";
      return concat("the NVIDIA driver is too old: it knows CUDA ", version(driver), ", this program needs ",
                    version(runtime), "; install a newer driver");
    }
    case cudaErrorNoDevice:
      return "there is no NVIDIA GPU, or CUDA_VISIBLE_DEVICES hides it";
    case cudaErrorStubLibrary:
      return "the stub of libcuda.so was loaded in place of the driver; take its folder out of LD_LIBRARY_PATH";
    case cudaErrorSystemDriverMismatch:
      return "libcuda.so and the driver's kernel module are of different versions; restart after a driver update";
    case cudaErrorCompatNotSupportedOnDevice:
      return "this GPU cannot use the compatibility package of a newer CUDA; install a newer driver";
    case cudaErrorSystemNotReady:
      return "the GPUs are not ready; the fabric manager may not be running";
    case cudaErrorDevicesUnavailable:
      return "the GPU is taken: it is in exclusive mode, and another process holds it";
    case cudaErrorInvalidDevice:
      return "there is no GPU of this number";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
      return "the program has no kernels for this GPU; compile it with CMAKE_CUDA_ARCHITECTURES that include it";
    case cudaErrorUnsupportedPtxVersion:
      return "the NVIDIA driver is too old for the program's PTX; install a newer one, or compile for this GPU";
    case cudaErrorMemoryAllocation:
      return "out of device memory";
    case cudaErrorInvalidResourceHandle:
    case cudaErrorDeviceUninitialized:
      return "a stream or another handle belongs to another device, or is gone";
    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureInvalidated:
    case cudaErrorStreamCaptureUnjoined:
    case cudaErrorStreamCaptureIsolation:
    case cudaErrorStreamCaptureImplicit:
    case cudaErrorStreamCaptureWrongThread:
      return "a CUDA graph cannot hold this; synchronisation, allocation and first uses belong before the capture";
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorIllegalInstruction:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorAssert:
      return concat("a kernel failed, in this call or an earlier one (", cudaGetErrorString(code),
                    "); this process can use the GPU no more; compute-sanitizer names the kernel");
    default:
      return cudaGetErrorString(code);
  }
}

namespace detail {

[[noreturn]] inline void fail_cuda(cudaError_t code, const char* call, const char* file, int line) {
  (void)cudaGetLastError();
  fail("CUDA: ", cuda_sentence(code), " [", cudaGetErrorName(code), " by ", call, ", ", file, ":", line, "]");
}
[[noreturn]] inline void fail_cublas(cublasStatus_t code, const char* call, const char* file, int line) {
  (void)cudaGetLastError();
  fail("cuBLAS: ", code == CUBLAS_STATUS_ALLOC_FAILED ? "out of memory" : cublasGetStatusString(code), " [",
       cublasGetStatusName(code), " by ", call, ", ", file, ":", line, "]");
}
[[noreturn]] inline void fail_cusparse(cusparseStatus_t code, const char* call, const char* file, int line) {
  (void)cudaGetLastError();
  fail("cuSPARSE: ", cusparseGetErrorString(code), " [", cusparseGetErrorName(code), " by ", call, ", ", file, ":",
       line, "]");
}

template <auto destroy>
struct Destroy {
  template <class Raw>
  void operator()(Raw raw) const noexcept {
    (void)destroy(raw);
  }
};

}  // namespace detail

/// Owns what a C library made; move-only.
template <class Raw, auto destroy>
using CudaHandle = std::unique_ptr<std::remove_pointer_t<Raw>, detail::Destroy<destroy>>;

using CudaStream = CudaHandle<cudaStream_t, cudaStreamDestroy>;
using CudaEvent = CudaHandle<cudaEvent_t, cudaEventDestroy>;

}  // namespace dream

#define DREAM_TRY_CALL(Status, success, report, ...)                           \
  do {                                                                         \
    const Status dream_status = (__VA_ARGS__);                                 \
    if (dream_status != success) [[unlikely]]                                  \
      ::dream::detail::report(dream_status, #__VA_ARGS__, __FILE__, __LINE__); \
  } while (false)

/// Throws dream::error with the call and its place unless a call of CUDA's runtime succeeds.
#define DREAM_CUDA_TRY(...) DREAM_TRY_CALL(cudaError_t, cudaSuccess, fail_cuda, __VA_ARGS__)
/// The same of cuBLAS.
#define DREAM_CUBLAS_TRY(...) DREAM_TRY_CALL(cublasStatus_t, CUBLAS_STATUS_SUCCESS, fail_cublas, __VA_ARGS__)
/// The same of cuSPARSE.
#define DREAM_CUSPARSE_TRY(...) DREAM_TRY_CALL(cusparseStatus_t, CUSPARSE_STATUS_SUCCESS, fail_cusparse, __VA_ARGS__)
