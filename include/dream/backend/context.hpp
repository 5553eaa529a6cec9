// Backends are types. A Context<B> holds what running on B needs: threads and scratch memory here,
// a stream and library handles on a GPU. Every op takes it first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include <dream/core/error.hpp>
#include <dream/core/view.hpp>

namespace dream {

/// The host, with OpenMP threads where the compiler has them.
struct Cpu {};

/// A GPU of NVIDIA's. Context<Cuda> is defined in <dream/cuda/context.cuh>, which nvcc compiles.
struct Cuda {
  static constexpr bool runs_kernels = true;
};

/// Backends whose arithmetic is done by kernels (dream/kernels/), in memory that the host reaches only by copies.
template <class B>
concept KernelBackend = requires {
  requires B::runs_kernels;
};

template <class B>
class Context;

/// Work that was given to a context of B, kept to be done again: capture(context, f), replay(context), is_captured().
/// For backends that run kernels; on the host there is nothing to keep.
template <class B>
class LaunchGraph;
template <>
class LaunchGraph<Cpu> {};

namespace detail {

struct AlignedDelete {
  void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{64}); }
};
using AlignedBytes = std::unique_ptr<std::byte[], AlignedDelete>;

/// Memory for `count` values, aligned to 64 bytes.
template <class T>
AlignedBytes allocate_aligned(std::int64_t count) {
  DREAM_EXPECT(count <= std::numeric_limits<std::ptrdiff_t>::max() / static_cast<std::int64_t>(sizeof(T)),
               "out of memory: asked for ", count, " values of ", sizeof(T), " bytes");
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
  try {
    return AlignedBytes(
        static_cast<std::byte*>(::operator new[](std::max<std::size_t>(bytes, 64), std::align_val_t{64})));
  } catch (const std::bad_alloc&) {
    fail("out of memory: asked for ", bytes, " bytes");
  }
}

}  // namespace detail

/// Runs loops on `threads` threads. Work is cut into pieces whose borders do not depend on the number of threads, and
/// every sum over pieces is taken in piece order, so results have the same bits for any number of threads. A context
/// serves one calling thread at a time; threads of a parallel region of yours take one each.
template <>
class Context<Cpu> {
 public:
  /// threads <= 0: as many as OpenMP would use.
  explicit Context(int threads = 0) {
#if defined(_OPENMP)
    threads_ = threads > 0 ? threads : omp_get_max_threads();
#else
    (void)threads;
    threads_ = 1;
#endif
    scratch_.resize(static_cast<std::size_t>(threads_));
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  int threads() const { return threads_; }

  /// Calls f(i) for i in 0 .. count-1, in any order, in parallel; one after the other where the caller is in a parallel
  /// region already, a piece of such a loop included. The first exception is rethrown here.
  template <class F>
  void parallel_for(std::int64_t count, F&& f) {
    if (count <= 0) return;
    if (count == 1 || threads_ == 1 || is_inside()) {
      for (std::int64_t i = 0; i < count; ++i) f(i);
      return;
    }
    std::exception_ptr caught;
#if defined(_OPENMP)
    region_ = omp_get_level() + 1;
#endif
#pragma omp parallel for schedule(dynamic) num_threads(threads_)
    for (std::int64_t i = 0; i < count; ++i) {
      try {
        f(i);
      } catch (...) {
#pragma omp critical(dream_parallel_for)
        if (!caught) caught = std::current_exception();
      }
    }
    region_ = 0;
    if (caught) std::rethrow_exception(caught);
  }

  /// Calls f(begin, end) for consecutive ranges of `block` out of 0 .. count-1, in parallel.
  template <class F>
  void parallel_blocks(std::int64_t count, std::int64_t block, F&& f) {
    parallel_for((count + block - 1) / block, [&](std::int64_t b) { f(b * block, std::min(count, (b + 1) * block)); });
  }

  /// The calling thread's scratch memory number `slot` for `count` values, aligned to 64 bytes, contents unspecified.
  /// Valid until the same thread asks for the same slot again. Grows, never shrinks: steady loops do not allocate.
  template <class T>
  T* scratch(int slot, std::int64_t count) {
    DREAM_EXPECT(slot >= 0 && count >= 0, "scratch: slot ", slot, " for ", count, " values");
    int thread = 0;
#if defined(_OPENMP)
    // By its number in this context's region: one inside or around it numbers its threads differently.
    if (region_ > 0) thread = omp_get_ancestor_thread_num(region_);
#endif
    auto& slots = scratch_[static_cast<std::size_t>(thread)].slots;
    if (slots.size() <= static_cast<std::size_t>(slot)) slots.resize(static_cast<std::size_t>(slot) + 1);
    auto& piece = slots[static_cast<std::size_t>(slot)];
    if (piece.bytes / sizeof(T) < static_cast<std::size_t>(count)) {
      piece.memory = detail::allocate_aligned<T>(count);
      piece.bytes = static_cast<std::size_t>(count) * sizeof(T);
    }
    return reinterpret_cast<T*>(piece.memory.get());
  }

 private:
  /// Whether the caller is in a parallel region, this context's or another.
  bool is_inside() const {
#if defined(_OPENMP)
    return region_ > 0 || omp_in_parallel();
#else
    return false;
#endif
  }

  struct Piece {
    detail::AlignedBytes memory;
    std::size_t bytes = 0;
  };
  struct alignas(64) ThreadScratch {
    std::vector<Piece> slots;
  };

  int threads_ = 1;
  int region_ = 0;  // OpenMP's level of the region that is open; 0: none
  std::vector<ThreadScratch> scratch_;
};

/// The context for what is done on the host beside B: the same one where B is Cpu.
template <class B>
class HostContext {
 public:
  explicit HostContext(Context<B>&) {}
  Context<Cpu>& get() { return own_; }

 private:
  Context<Cpu> own_;
};

template <>
class HostContext<Cpu> {
 public:
  explicit HostContext(Context<Cpu>& context) : context_(&context) {}
  Context<Cpu>& get() { return *context_; }

 private:
  Context<Cpu>* context_;
};

}  // namespace dream
