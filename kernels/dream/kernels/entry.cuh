// What a kernel is, and the vocabulary of the thread it is told.
//
//   struct Scale {
//     static constexpr int threads = 128;                     // threads a block, 1 to 1024
//     struct Params { VectorView<float> x; float factor; };   // trivially copyable, at most 4 KiB
//     struct Shared {};                                       // a block's shared memory; starts uninitialised
//     static int grid(const Params& p) { return static_cast<int>((p.x.size + threads - 1) / threads); }
//     template <class Thread>
//     DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
//       const std::int64_t i = std::int64_t{th.block()} * threads + th.thread();
//       if (i < p.x.size) p.x[i] *= p.factor;
//     }
//   };
//
// One source runs on a GPU (Thread = DeviceThread, through kernel_entry) and on the host (Thread = EmulatedThread,
// dream/testing/emulated.hpp). Both know these words and no others:
//
//   thread() block_threads() lane() warp() block() grid_blocks()    where this thread stands; grids are 1-dimensional
//   sync() sync_warp()                                              barriers of the block and of the warp
//   shfl(v, lane) shfl_xor(v, mask) shfl_down(v, delta)             4- and 8-byte arithmetic types
//   any(p) all(p) ballot(p) popcount(bits)
//   load(p) store(p, v) load_readonly(p)                            values and Packs, aligned to their size
//   atomic_add(p, v)                                                returns what stood there
//
// A block's barrier is for all its threads: none may have returned. A warp's words are for all lanes of the warp that
// have not returned, at the same line of source; no lane may read one that has returned or that a block's last, partial
// warp does not have. Shuffles and votes order no memory: sync_warp() does. Kernels call nothing that throws.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <dream/core/view.hpp>

#if defined(__CUDA_ARCH__)
/// Unrolls the loop that follows in device code; the host compiler would not know the words.
#define DREAM_UNROLL _Pragma("unroll")
#else
#define DREAM_UNROLL
#endif

namespace dream {

inline constexpr int warp_lanes = 32;
inline constexpr std::size_t static_shared_limit = 48 * 1024;  ///< bytes; a larger Shared is given at launch

/// What launches require of a kernel. A Shared has no initialisers: nothing constructs it.
template <class K>
concept IsKernel = std::is_trivially_copyable_v<typename K::Params> &&(sizeof(typename K::Params) <= 4096) &&
                   std::is_trivially_default_constructible_v<typename K::Shared>&& std::is_trivially_destructible_v<
                       typename K::Shared> &&
                   (K::threads >= 1) && (K::threads <= 1024) && requires(const typename K::Params& p) {
  { K::grid(p) } -> std::same_as<int>;
};

/// What shuffles carry.
template <class T>
concept Shuffled = std::is_arithmetic_v<T> &&(sizeof(T) == 4 || sizeof(T) == 8);

/// What atomic_add adds to. Sums of floats depend on who comes first: keep them out of gradients.
template <class T>
concept AtomicallyAdded = Shuffled<T>;

/// N values that are loaded and stored together: up to 16 bytes in one instruction.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  static_assert(N >= 1 && (N & (N - 1)) == 0 && sizeof(T) * N <= 16);
  T value[N];

  DREAM_HOST_DEVICE T& operator[](int i) { return value[i]; }
  DREAM_HOST_DEVICE const T& operator[](int i) const { return value[i]; }
};

/// Names N consecutive values as a Pack, to be handed to load, store or load_readonly; `p` must be aligned to it.
template <int N, class T>
DREAM_HOST_DEVICE Pack<T, N>* as_pack(T* p) {
  return reinterpret_cast<Pack<T, N>*>(p);
}
template <int N, class T>
DREAM_HOST_DEVICE const Pack<T, N>* as_pack(const T* p) {
  return reinterpret_cast<const Pack<T, N>*>(p);
}

/// Bytes of shared memory that a launch must ask for; 0 where the kernel's Shared is static.
template <IsKernel Kernel>
inline constexpr std::size_t launch_shared_bytes = sizeof(typename Kernel::Shared) > static_shared_limit
                                                       ? sizeof(typename Kernel::Shared)
                                                       : 0;

#if defined(__CUDACC__)

namespace detail {

/// An unsigned type of the size of T, as the read-only load knows it.
template <std::size_t bytes>
struct LoadedAs;
template <>
struct LoadedAs<1> {
  using type = unsigned char;
};
template <>
struct LoadedAs<2> {
  using type = unsigned short;
};
template <>
struct LoadedAs<4> {
  using type = unsigned int;
};
template <>
struct LoadedAs<8> {
  using type = uint2;
};
template <>
struct LoadedAs<16> {
  using type = uint4;
};

/// What atomicAdd knows for T: two's complement adds signed numbers as unsigned ones.
template <class T>
using AddedAs = std::conditional_t<
    std::is_floating_point_v<T>, T,
    std::conditional_t<sizeof(T) == 4, unsigned int, unsigned long long>>;  // NOLINT(google-runtime-int)

}  // namespace detail

/// A thread of a block of `Threads` on a GPU.
template <int Threads>
class DeviceThread {
 public:
  /// Where a collective was called; of no use on a GPU.
  struct Place {
    DREAM_HOST_DEVICE static constexpr Place here() { return {}; }
  };

  __device__ static int thread() { return static_cast<int>(threadIdx.x); }
  DREAM_HOST_DEVICE static constexpr int block_threads() { return Threads; }
  __device__ static int lane() { return thread() % warp_lanes; }
  __device__ static int warp() { return thread() / warp_lanes; }
  __device__ static int block() { return static_cast<int>(blockIdx.x); }
  __device__ static int grid_blocks() { return static_cast<int>(gridDim.x); }

  __device__ static void sync(Place = {}) { __syncthreads(); }
  __device__ static void sync_warp(Place = {}) { __syncwarp(); }

  template <Shuffled T>
  __device__ static T shfl(T value, int source_lane, Place = {}) {
    return __shfl_sync(all_lanes, value, source_lane);
  }
  template <Shuffled T>
  __device__ static T shfl_xor(T value, int mask, Place = {}) {
    return __shfl_xor_sync(all_lanes, value, mask);
  }
  template <Shuffled T>
  __device__ static T shfl_down(T value, int delta, Place = {}) {
    return __shfl_down_sync(all_lanes, value, static_cast<unsigned>(delta));
  }
  __device__ static bool any(bool predicate, Place = {}) { return __any_sync(all_lanes, predicate) != 0; }
  __device__ static bool all(bool predicate, Place = {}) { return __all_sync(all_lanes, predicate) != 0; }
  __device__ static std::uint32_t ballot(bool predicate, Place = {}) { return __ballot_sync(all_lanes, predicate); }
  __device__ static int popcount(std::uint32_t bits) { return __popc(bits); }

  template <class T>
  __device__ static T load(const T* p) {
    return *p;
  }
  template <class T>
  __device__ static void store(T* p, std::type_identity_t<T> value) {
    *p = value;
  }
  /// Through the read-only path: nothing may write there while the kernel runs.
  template <class T>
  __device__ static T load_readonly(const T* p) {
    using Raw = typename detail::LoadedAs<sizeof(T)>::type;
    return __builtin_bit_cast(T, __ldg(reinterpret_cast<const Raw*>(p)));
  }
  template <AtomicallyAdded T>
  __device__ static T atomic_add(T* p, std::type_identity_t<T> value) {
    using Raw = detail::AddedAs<T>;
    return static_cast<T>(atomicAdd(reinterpret_cast<Raw*>(p), static_cast<Raw>(value)));
  }

 private:
  static constexpr unsigned all_lanes = 0xffffffffu;
};

/// The one entry of all kernels: Kernel::grid(params) blocks of Kernel::threads, with launch_shared_bytes<Kernel>.
template <IsKernel Kernel>
__global__ __launch_bounds__(Kernel::threads) void kernel_entry(const __grid_constant__
                                                                typename Kernel::Params params) {
  using Shared = typename Kernel::Shared;
  const DeviceThread<Kernel::threads> th;
  if constexpr (std::is_empty_v<Shared>) {
    Shared none;
    Kernel{}(th, params, none);
  } else if constexpr (launch_shared_bytes<Kernel> == 0) {
    __shared__ Shared shared;
    Kernel{}(th, params, shared);
  } else {
    static_assert(alignof(Shared) <= 128);
    extern __shared__ __align__(128) unsigned char launch_shared[];
    Kernel{}(th, params, *reinterpret_cast<Shared*>(launch_shared));
  }
}

#endif

}  // namespace dream
