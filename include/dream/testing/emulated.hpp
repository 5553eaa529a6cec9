// The backend on which CUDA kernels run on the host: the same kernel sources, a fiber a thread, faults reported.
//
//   Context<Emulated> context({.order = ThreadOrder::reverse});
//   launch<MyKernel>(context, {x.view(), y.view()});   // throws dream::error that names kernel, block, thread and line
//
// What is found at once: threads at different barriers, lanes of a warp in different calls, reads of lanes that are not
// there, misaligned loads and atomics, writes beyond shared memory, stacks too small. What shows as a difference
// between two runs (check_kernel in dream/testing/kernel_check.hpp compares them): missing barriers, reads of unwritten
// shared memory, blocks that depend on each other. What is not seen: a sync_warp() that is missing where a shuffle or
// vote stands between a write and a read.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <dream/backend/context.hpp>
#include <dream/core/error.hpp>
#include <dream/kernels/entry.cuh>
#include <dream/testing/block_scheduler.hpp>

namespace dream {

/// The host in the role of a GPU.
struct Emulated {};

struct EmulatedOptions {
  ThreadOrder order = ThreadOrder::forward;
  std::uint64_t seed = 1;       ///< of the shuffled order
  unsigned char poison = 0xFF;  ///< fills shared memory before each block; 0xFF makes NaN of floats and -1 of integers
  int threads = 1;              ///< host threads over which the blocks are spread
  /// Of each emulated thread; larger under AddressSanitizer, whose frames are.
  std::size_t stack_bytes = std::size_t{64 * 1024} * (detail::AddressSanitizer::on ? 4 : 1);
  /// Under AddressSanitizer end the process where shared memory is overrun, with the line, rather than throw
  /// afterwards.
  bool trap = true;
};

namespace detail {

/// Memory from `begin` up to `end`.
struct MemoryRange {
  const std::byte* begin = nullptr;
  const std::byte* end = nullptr;
};

/// What a running block is to its threads.
struct EmulatedBlock {
  BlockScheduler* scheduler = nullptr;
  const std::vector<MemoryRange>* written = nullptr;
  int block = 0;
  int grid_blocks = 0;

  /// The scheduler, reached through pointers: nvcc warns of calls from device code to host code, however unused.
  std::uint64_t (*meet)(const EmulatedBlock&, int thread, Meeting, std::uint64_t value, int source,
                        CallPlace) = &EmulatedBlock::meet_in_scheduler;
  void (*check)(const EmulatedBlock&, int thread, const char* what, const void* p, std::size_t bytes,
                std::size_t alignment, bool readonly, CallPlace) = &EmulatedBlock::check_access;
  std::int32_t (*add_32)(std::int32_t*, std::int32_t) = &EmulatedBlock::add<std::int32_t>;
  std::int64_t (*add_64)(std::int64_t*, std::int64_t) = &EmulatedBlock::add<std::int64_t>;
  float (*add_float)(float*, float) = &EmulatedBlock::add<float>;
  double (*add_double)(double*, double) = &EmulatedBlock::add<double>;

 private:
  static std::uint64_t meet_in_scheduler(const EmulatedBlock& b, int thread, Meeting meeting, std::uint64_t value,
                                         int source, CallPlace place) {
    return b.scheduler->meet(thread, meeting, value, source, place);
  }
  static void check_access(const EmulatedBlock& b, int thread, const char* what, const void* p, std::size_t bytes,
                           std::size_t alignment, bool readonly, CallPlace place) {
    if (reinterpret_cast<std::uintptr_t>(p) % alignment != 0)
      b.scheduler->fail_thread(thread, what, " at ", place.file, ":", place.line, " of ", bytes,
                               " bytes from an address that is no multiple of ", alignment);
    if (!readonly) return;
    const auto* begin = static_cast<const std::byte*>(p);
    for (const MemoryRange& range : *b.written)
      if (begin < range.end && begin + bytes > range.begin)
        b.scheduler->fail_thread(thread, what, " at ", place.file, ":", place.line,
                                 " from memory that the kernel writes");
  }
  template <class T>
  static T add(T* p, T value) {
    return std::atomic_ref<T>(*p).fetch_add(value, std::memory_order_relaxed);
  }
};

/// The name of a type, for messages.
template <class T>
const char* pretty_function_of() {
  return __PRETTY_FUNCTION__;
}
template <class T>
std::string type_name() {
  const std::string pretty = pretty_function_of<T>();  // "... [with T = NAME]" or "... [T = NAME]"
  const std::size_t begin = pretty.find("T = ");
  return begin == std::string::npos ? pretty : pretty.substr(begin + 4, pretty.size() - begin - 5);
}

}  // namespace detail

/// A thread of an emulated block; the vocabulary is described in dream/kernels/entry.cuh.
template <int Threads>
class EmulatedThread {
 public:
  /// Where a collective was called, for messages.
  using Place = detail::CallPlace;

  DREAM_HOST_DEVICE EmulatedThread(const detail::EmulatedBlock& block, int thread) : block_(block), thread_(thread) {}

  DREAM_HOST_DEVICE int thread() const { return thread_; }
  DREAM_HOST_DEVICE static constexpr int block_threads() { return Threads; }
  DREAM_HOST_DEVICE int lane() const { return thread_ % warp_lanes; }
  DREAM_HOST_DEVICE int warp() const { return thread_ / warp_lanes; }
  DREAM_HOST_DEVICE int block() const { return block_.block; }
  DREAM_HOST_DEVICE int grid_blocks() const { return block_.grid_blocks; }

  DREAM_HOST_DEVICE void sync(Place place = Place::here()) const { meet(detail::Meeting::sync, 0, place); }
  DREAM_HOST_DEVICE void sync_warp(Place place = Place::here()) const { meet(detail::Meeting::sync_warp, 0, place); }

  template <Shuffled T>
  DREAM_HOST_DEVICE T shfl(T value, int source_lane, Place place = Place::here()) const {
    return exchange(detail::Meeting::shfl, value, source_lane, place);
  }
  template <Shuffled T>
  DREAM_HOST_DEVICE T shfl_xor(T value, int mask, Place place = Place::here()) const {
    return exchange(detail::Meeting::shfl_xor, value, lane() ^ mask, place);
  }
  template <Shuffled T>
  DREAM_HOST_DEVICE T shfl_down(T value, int delta, Place place = Place::here()) const {
    const bool inside = delta >= 0 && delta < warp_lanes;
    const int source = inside && lane() + delta >= warp_lanes ? lane() : lane() + delta;
    return exchange(detail::Meeting::shfl_down, value, inside ? source : delta, place);
  }
  DREAM_HOST_DEVICE bool any(bool predicate, Place place = Place::here()) const {
    return meet(detail::Meeting::any, predicate, place) != 0;
  }
  DREAM_HOST_DEVICE bool all(bool predicate, Place place = Place::here()) const {
    return meet(detail::Meeting::all, predicate, place) != 0;
  }
  DREAM_HOST_DEVICE std::uint32_t ballot(bool predicate, Place place = Place::here()) const {
    return static_cast<std::uint32_t>(meet(detail::Meeting::ballot, predicate, place));
  }
  DREAM_HOST_DEVICE int popcount(std::uint32_t bits) const {
    int count = 0;
    for (; bits != 0; bits &= bits - 1) ++count;
    return count;
  }

  template <class T>
  DREAM_HOST_DEVICE T load(const T* p, Place place = Place::here()) const {
    check("load()", p, false, place);
    return *p;
  }
  template <class T>
  DREAM_HOST_DEVICE void store(T* p, std::type_identity_t<T> value, Place place = Place::here()) const {
    check("store()", p, false, place);
    *p = value;
  }
  template <class T>
  DREAM_HOST_DEVICE T load_readonly(const T* p, Place place = Place::here()) const {
    check("load_readonly()", p, true, place);
    return *p;
  }
  template <AtomicallyAdded T>
  DREAM_HOST_DEVICE T atomic_add(T* p, std::type_identity_t<T> value, Place place = Place::here()) const {
    check("atomic_add()", p, false, place);
    if constexpr (std::is_same_v<T, float>) {
      return block_.add_float(p, value);
    } else if constexpr (std::is_same_v<T, double>) {
      return block_.add_double(p, value);
    } else if constexpr (sizeof(T) == 4) {  // signed and unsigned integers of a size may name each other's memory
      return static_cast<T>(block_.add_32(reinterpret_cast<std::int32_t*>(p), static_cast<std::int32_t>(value)));
    } else {
      return static_cast<T>(block_.add_64(reinterpret_cast<std::int64_t*>(p), static_cast<std::int64_t>(value)));
    }
  }

 private:
  DREAM_HOST_DEVICE std::uint64_t meet(detail::Meeting meeting, std::uint64_t value, Place place) const {
    return block_.meet(block_, thread_, meeting, value, lane(), place);
  }
  template <class T>
  DREAM_HOST_DEVICE T exchange(detail::Meeting meeting, T value, int source, Place place) const {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    const std::uint64_t sent = __builtin_bit_cast(Bits, value);
    return __builtin_bit_cast(T, static_cast<Bits>(block_.meet(block_, thread_, meeting, sent, source, place)));
  }
  template <class T>
  DREAM_HOST_DEVICE void check(const char* what, const T* p, bool readonly, Place place) const {
    block_.check(block_, thread_, what, p, sizeof(T), alignof(T), readonly, place);
  }

  const detail::EmulatedBlock& block_;
  int thread_;
};

/// Runs kernels block after block, or on several host threads at once.
template <>
class Context<Emulated> {
 public:
  explicit Context(const EmulatedOptions& options = {}) : options_(options), host_(std::max(1, options.threads)) {
    schedulers_.resize(static_cast<std::size_t>(host_.threads()));
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const EmulatedOptions& options() const { return options_; }
  void set_order(ThreadOrder order) { options_.order = order; }
  void set_poison(unsigned char poison) { options_.poison = poison; }
  /// For what a GPU leaves to its libraries, such as dense products.
  Context<Cpu>& host() { return host_; }
  /// Changes of stack so far, to tell what emulation costs.
  std::int64_t switches() const {
    std::int64_t all = 0;
    for (const auto& scheduler : schedulers_)
      if (scheduler) all += scheduler->switches();
    return all;
  }
  /// Memory that kernels write from now on, where load_readonly() is an error; empty: unknown.
  void set_written(std::vector<detail::MemoryRange> ranges) { written_ = std::move(ranges); }

  /// Use launch<Kernel>(context, params).
  template <IsKernel Kernel>
  void run(const typename Kernel::Params& params) {
    const int grid = Kernel::grid(params);
    const std::string name = "kernel " + detail::type_name<Kernel>();
    DREAM_EXPECT(grid >= 0, name, ": a grid of ", grid, " blocks");
    std::vector<int> order;
    if (options_.order == ThreadOrder::shuffled) {
      order.resize(static_cast<std::size_t>(grid));
      std::iota(order.begin(), order.end(), 0);
      const RandomStream random{options_.seed, RandomUse::shuffle, 0xffffffffu};
      for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i, i)]);
    }
    std::mutex mutex;
    std::exception_ptr thrown;
    std::int64_t thrown_at = grid;  // so that the first fault in block order is the one reported
    host_.parallel_for(host_.threads(), [&](std::int64_t worker) {
      auto& scheduler = schedulers_[static_cast<std::size_t>(worker)];
      if (!scheduler) scheduler = std::make_unique<detail::BlockScheduler>(options_.stack_bytes);
      for (std::int64_t i = worker; i < grid; i += host_.threads()) {
        {
          const std::lock_guard<std::mutex> lock(mutex);
          if (i > thrown_at) return;
        }
        const int block = options_.order == ThreadOrder::forward   ? static_cast<int>(i)
                          : options_.order == ThreadOrder::reverse ? static_cast<int>(grid - 1 - i)
                                                                   : order[static_cast<std::size_t>(i)];
        try {
          run_block<Kernel>(*scheduler, params, name, block, grid);
        } catch (...) {
          const std::lock_guard<std::mutex> lock(mutex);
          if (i < thrown_at) {
            thrown = std::current_exception();
            thrown_at = i;
          }
          return;
        }
      }
    });
    if (thrown) std::rethrow_exception(thrown);
  }

 private:
  template <class Kernel>
  void run_block(detail::BlockScheduler& scheduler, const typename Kernel::Params& params, const std::string& name,
                 int block, int grid) {
    using Shared = typename Kernel::Shared;
    using Thread = EmulatedThread<Kernel::threads>;
    constexpr std::size_t guard = 256;
    constexpr std::size_t size = std::is_empty_v<Shared> ? 0 : sizeof(Shared);
    struct alignas(128) alignas(Shared) Memory {
      unsigned char before[guard];
      unsigned char shared[size + guard];
    };
    static_assert(guard % alignof(Shared) == 0);
    const auto memory = std::make_unique_for_overwrite<Memory>();
    std::memset(memory.get(), options_.poison, sizeof(Memory));
    if (options_.trap) {
      detail::AddressSanitizer::forbid(memory->before, guard);
      detail::AddressSanitizer::forbid(memory->shared + size, guard);
    }
    struct Block {
      detail::EmulatedBlock block;
      const typename Kernel::Params* params;
      Shared* shared;
    } state{{&scheduler, &written_, block, grid}, &params, reinterpret_cast<Shared*>(memory->shared)};
    const auto run_thread = [](const void* argument, int thread) {
      const Block& b = *static_cast<const Block*>(argument);
      Kernel{}(Thread(b.block, thread), *b.params, *b.shared);
    };
    struct Allow {
      Memory& memory;
      ~Allow() { detail::AddressSanitizer::allow(&memory, sizeof memory); }
    };
    {
      const Allow allow{*memory};
      scheduler.run({name.c_str(), block, Kernel::threads, options_.order, options_.seed, run_thread, &state});
    }
    const auto intact = [&](const unsigned char* p) {
      return std::all_of(p, p + guard, [&](unsigned char byte) { return byte == options_.poison; });
    };
    DREAM_EXPECT(intact(memory->before), name, ", block ", block, ": writes before its shared memory");
    DREAM_EXPECT(intact(memory->shared + size), name, ", block ", block, ": writes beyond its shared memory of ", size,
                 " bytes");
  }

  EmulatedOptions options_;
  Context<Cpu> host_;
  std::vector<std::unique_ptr<detail::BlockScheduler>> schedulers_;
  std::vector<detail::MemoryRange> written_;
};

/// Runs Kernel::grid(params) blocks, none where it is 0; throws dream::error at the first fault.
template <IsKernel Kernel>
void launch(Context<Emulated>& context, const typename Kernel::Params& params) {
  context.run<Kernel>(params);
}

}  // namespace dream
