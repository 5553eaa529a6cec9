// Reductions and scans over the threads of a warp and of a block, in an order that depends on nothing but the size of
// the block: the same values give the same bits, in every thread. All threads of the warp or block must take part.
//
// A warp halves: lane i takes lane i + 16, then i + 8, .. i + 1. A block then goes over its warps in ascending order
// (or halves again above 8 warps). Scans double: lane i takes lane i - 1, then i - 2, .. i - 16.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include <dream/core/view.hpp>
#include <dream/kernels/entry.cuh>

namespace dream {

/// What no value is below. A variable, since device code may not call std::numeric_limits.
template <class T>
inline constexpr T lowest_value = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                                       : std::numeric_limits<T>::lowest();

/// The larger; NaN where one is.
template <class T>
DREAM_HOST_DEVICE T larger(T a, T b) {
  return a > b ? a : b >= a ? b : a + b;
}

/// A running log(sum exp(x)) that cannot overflow: `sum` of exp(x - max). Of no numbers at all: -inf, 0.
template <class T>
struct LogSumExp {
  T max;
  T sum;

  DREAM_HOST_DEVICE static constexpr LogSumExp none() { return {lowest_value<T>, T{0}}; }
  DREAM_HOST_DEVICE static constexpr LogSumExp of(T x) { return {x, T{1}}; }
  /// log(sum exp(x)); -inf of no numbers.
  DREAM_HOST_DEVICE T value() const {
    using std::log;
    return max + log(sum);
  }
};

/// Of the numbers of both. Infinities are numbers like others, NaN stays NaN.
template <class T>
DREAM_HOST_DEVICE LogSumExp<T> combine(const LogSumExp<T>& a, const LogSumExp<T>& b) {
  using std::exp;
  const T max = larger(a.max, b.max);
  const T scale_a = a.max == max ? T{1} : exp(a.max - max);
  const T scale_b = b.max == max ? T{1} : exp(b.max - max);
  return {max, a.sum * scale_a + b.sum * scale_b};
}

/// What reductions combine values with. `symmetric`: a with b has the bits of b with a.
struct AddValues {
  static constexpr bool symmetric = true;
  template <class T>
  DREAM_HOST_DEVICE static T identity(const T&) {
    return T{0};
  }
  template <class T>
  DREAM_HOST_DEVICE T operator()(const T& a, const T& b) const {
    return a + b;
  }
};

struct MaxValues {
  static constexpr bool symmetric = false;  // of 0 and -0
  template <class T>
  DREAM_HOST_DEVICE static T identity(const T&) {
    return lowest_value<T>;
  }
  template <class T>
  DREAM_HOST_DEVICE T operator()(const T& a, const T& b) const {
    return larger(a, b);
  }
};

struct AddExponentials {
  static constexpr bool symmetric = false;  // a product may be fused into the sum
  template <class T>
  DREAM_HOST_DEVICE static LogSumExp<T> identity(const LogSumExp<T>&) {
    return LogSumExp<T>::none();
  }
  template <class T>
  DREAM_HOST_DEVICE LogSumExp<T> operator()(const LogSumExp<T>& a, const LogSumExp<T>& b) const {
    return combine(a, b);
  }
};

namespace detail {

template <class Thread, Shuffled T>
DREAM_HOST_DEVICE T from_lane(const Thread& th, T value, int lane, typename Thread::Place place) {
  return th.shfl(value, lane, place);
}
template <class Thread, class T>
DREAM_HOST_DEVICE LogSumExp<T> from_lane(const Thread& th, LogSumExp<T> value, int lane, typename Thread::Place place) {
  const T max = th.shfl(value.max, lane, place);
  return {max, th.shfl(value.sum, lane, place)};
}

template <class Thread>
inline constexpr bool whole_warps = Thread::block_threads() % warp_lanes == 0;
template <class Thread>
inline constexpr int warps_of_block = (Thread::block_threads() + warp_lanes - 1) / warp_lanes;

/// The lanes of this thread's warp: fewer than 32 in a block's last warp.
template <class Thread>
DREAM_HOST_DEVICE int lanes_here(const Thread& th) {
  const int rest = Thread::block_threads() - th.warp() * warp_lanes;
  return whole_warps<Thread> || rest > warp_lanes ? warp_lanes : rest;
}

}  // namespace detail

/// All values of the warp combined, in every lane.
template <class Thread, class T, class Operation>
DREAM_HOST_DEVICE T warp_reduce(const Thread& th, T value, Operation operation,
                                typename Thread::Place place = Thread::Place::here()) {
  if constexpr (detail::whole_warps<Thread> && Operation::symmetric) {
    DREAM_UNROLL
    for (int mask = warp_lanes / 2; mask > 0; mask /= 2)
      value = operation(value, detail::from_lane(th, value, th.lane() ^ mask, place));
    return value;
  } else {
    const int lanes = detail::lanes_here(th);
    DREAM_UNROLL
    for (int delta = warp_lanes / 2; delta > 0; delta /= 2) {
      const bool there = th.lane() + delta < lanes;
      const T other = detail::from_lane(th, value, there ? th.lane() + delta : th.lane(), place);
      if (there) value = operation(value, other);
    }
    return detail::from_lane(th, value, 0, place);
  }
}

/// The values of lanes 0 .. this one combined.
template <class Thread, class T, class Operation>
DREAM_HOST_DEVICE T warp_scan(const Thread& th, T value, Operation operation,
                              typename Thread::Place place = Thread::Place::here()) {
  DREAM_UNROLL
  for (int delta = 1; delta < warp_lanes; delta *= 2) {
    const bool there = th.lane() >= delta;
    const T other = detail::from_lane(th, value, there ? th.lane() - delta : th.lane(), place);
    if (there) value = operation(other, value);
  }
  return value;
}

/// Shared memory for the block's collectives: one at a time, of the same type; free again when the call returns.
template <class T, int Threads>
struct BlockScratch {
  T warps[(Threads + warp_lanes - 1) / warp_lanes];
};

/// All values of the block combined, in every thread.
template <class Thread, class T, class Operation, int Threads>
DREAM_HOST_DEVICE T block_reduce(const Thread& th, T value, Operation operation, BlockScratch<T, Threads>& scratch,
                                 typename Thread::Place place = Thread::Place::here()) {
  static_assert(Threads == Thread::block_threads());
  constexpr int warps = detail::warps_of_block<Thread>;
  value = warp_reduce(th, value, operation, place);
  if constexpr (warps > 1) {
    if (th.lane() == 0) scratch.warps[th.warp()] = value;
    th.sync(place);
    if constexpr (warps > 8 && detail::whole_warps<Thread>) {
      value = th.lane() < warps ? scratch.warps[th.lane()] : Operation::identity(value);
      value = warp_reduce(th, value, operation, place);
    } else {
      value = scratch.warps[0];
      DREAM_UNROLL
      for (int w = 1; w < warps; ++w) value = operation(value, scratch.warps[w]);
    }
    th.sync(place);
  }
  return value;
}

/// What block_scan gives a thread: the values of the threads before it, of them and its own, and of the whole block.
template <class T>
struct Scanned {
  T before;
  T through;
  T total;
};

template <class Thread, class T, class Operation, int Threads>
DREAM_HOST_DEVICE Scanned<T> block_scan(const Thread& th, T value, Operation operation,
                                        BlockScratch<T, Threads>& scratch,
                                        typename Thread::Place place = Thread::Place::here()) {
  static_assert(Threads == Thread::block_threads());
  constexpr int warps = detail::warps_of_block<Thread>;
  const int last_lane = detail::lanes_here(th) - 1;
  const T none = Operation::identity(value);
  const T through = warp_scan(th, value, operation, place);
  const T left = detail::from_lane(th, through, th.lane() > 0 ? th.lane() - 1 : 0, place);
  const T before = th.lane() > 0 ? left : none;
  if constexpr (warps == 1) {
    return {before, through, detail::from_lane(th, through, last_lane, place)};
  } else {
    if (th.lane() == last_lane) scratch.warps[th.warp()] = through;
    th.sync(place);
    T running = none, warps_before = none;
    DREAM_UNROLL
    for (int w = 0; w < warps; ++w) {
      if (w == th.warp()) warps_before = running;
      running = operation(running, scratch.warps[w]);
    }
    th.sync(place);
    return {operation(warps_before, before), operation(warps_before, through), running};
  }
}

template <class Thread, Shuffled T>
DREAM_HOST_DEVICE T warp_sum(const Thread& th, T value, typename Thread::Place place = Thread::Place::here()) {
  return warp_reduce(th, value, AddValues{}, place);
}
template <class Thread, Shuffled T>
DREAM_HOST_DEVICE T warp_max(const Thread& th, T value, typename Thread::Place place = Thread::Place::here()) {
  return warp_reduce(th, value, MaxValues{}, place);
}
template <class Thread, class T>
DREAM_HOST_DEVICE LogSumExp<T> warp_log_sum_exp(const Thread& th, LogSumExp<T> value,
                                                typename Thread::Place place = Thread::Place::here()) {
  return warp_reduce(th, value, AddExponentials{}, place);
}
template <class Thread, Shuffled T, int Threads>
DREAM_HOST_DEVICE T block_sum(const Thread& th, T value, BlockScratch<T, Threads>& scratch,
                              typename Thread::Place place = Thread::Place::here()) {
  return block_reduce(th, value, AddValues{}, scratch, place);
}
template <class Thread, Shuffled T, int Threads>
DREAM_HOST_DEVICE T block_max(const Thread& th, T value, BlockScratch<T, Threads>& scratch,
                              typename Thread::Place place = Thread::Place::here()) {
  return block_reduce(th, value, MaxValues{}, scratch, place);
}
template <class Thread, class T, int Threads>
DREAM_HOST_DEVICE LogSumExp<T> block_log_sum_exp(const Thread& th, LogSumExp<T> value,
                                                 BlockScratch<LogSumExp<T>, Threads>& scratch,
                                                 typename Thread::Place place = Thread::Place::here()) {
  return block_reduce(th, value, AddExponentials{}, scratch, place);
}

}  // namespace dream
