// A thread of an emulated block: the vocabulary of dream/kernels/entry.cuh on top of the block's scheduler.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include <dream/core/view.hpp>
#include <dream/kernels/entry.cuh>
#include <dream/testing/block_scheduler.hpp>

namespace dream {
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

}  // namespace dream
