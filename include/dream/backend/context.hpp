// Backends are types. A Context<B> holds what running on B needs: threads and scratch memory here,
// a stream and library handles on a GPU. Every op takes it first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/instruction_set.hpp>
#include <dream/core/thread_pool.hpp>
#include <dream/core/view.hpp>

namespace dream {

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
/// serves one calling thread at a time; threads of your own take one each.
template <>
class Context<Cpu> {
 public:
  /// threads <= 0: available_processors().
  explicit Context(int threads = 0) : pool_(threads), scratch_(static_cast<std::size_t>(pool_.threads())) {}

  int threads() const { return pool_.threads(); }

  /// Calls f(i) for i in 0 .. count-1, in any order, in parallel; one after the other where the caller is in a parallel
  /// loop already. The first exception is rethrown here.
  template <class F>
  void parallel_for(std::int64_t count, F&& f) {
    pool_.parallel_for(count, std::forward<F>(f));
  }

  /// Calls f(begin, end) for consecutive ranges of `block` out of 0 .. count-1, in parallel.
  template <class F>
  void parallel_blocks(std::int64_t count, std::int64_t block, F&& f) {
    pool_.parallel_blocks(count, block, std::forward<F>(f));
  }

  /// The calling thread's scratch memory number `slot` for `count` values, aligned to 64 bytes, contents unspecified.
  /// Valid until the same thread asks for the same slot again. Grows, never shrinks: steady loops do not allocate.
  template <class T>
  T* scratch(int slot, std::int64_t count) {
    DREAM_EXPECT(slot >= 0 && count >= 0, "scratch: slot ", slot, " for ", count, " values");
    auto& slots = scratch_[static_cast<std::size_t>(pool_.thread_number())].slots;
    if (slots.size() <= static_cast<std::size_t>(slot)) slots.resize(static_cast<std::size_t>(slot) + 1);
    auto& piece = slots[static_cast<std::size_t>(slot)];
    if (piece.bytes / sizeof(T) < static_cast<std::size_t>(count)) {
      piece.memory = detail::allocate_aligned<T>(count);
      piece.bytes = static_cast<std::size_t>(count) * sizeof(T);
    }
    return reinterpret_cast<T*>(piece.memory.get());
  }

 private:
  struct Piece {
    detail::AlignedBytes memory;
    std::size_t bytes = 0;
  };
  struct alignas(64) ThreadScratch {
    std::vector<Piece> slots;
  };

  ThreadPool pool_;
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
