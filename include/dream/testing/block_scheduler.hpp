// Runs the threads of one CUDA block on the host: a fiber each, meeting at barriers and in warps.
//
// A warp runs until each of its lanes waits at the block's barrier or has returned, then the next warp does; between
// two calls of a warp its lanes run one after another. So of any two threads one runs a whole stretch between two
// meetings before the other, and in the reverse order after it: a missing barrier between them shows as a different
// result.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/random.hpp>
#include <dream/core/view.hpp>
#include <dream/kernels/entry.cuh>
#include <dream/testing/fiber.hpp>

namespace dream {

/// In which order the threads of a block, and the blocks, take their turns.
enum class ThreadOrder { forward, reverse, shuffled };

inline const char* name_of(ThreadOrder order) {
  return order == ThreadOrder::forward ? "forward" : order == ThreadOrder::reverse ? "reverse" : "shuffled";
}

namespace detail {

/// A line of source.
struct CallPlace {
  const char* file = "";
  int line = 0;

  DREAM_HOST_DEVICE static constexpr CallPlace here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

/// The calls in which threads meet.
enum class Meeting { sync, sync_warp, shfl, shfl_xor, shfl_down, any, all, ballot };

inline const char* name_of(Meeting meeting) {
  constexpr const char* names[] = {"sync()",      "sync_warp()", "shfl()", "shfl_xor()",
                                   "shfl_down()", "any()",       "all()",  "ballot()"};
  return names[static_cast<int>(meeting)];
}

/// Thrown through a thread that will not go on because another one failed.
struct Abandoned {};

/// What a block is: its kernel's name, its number, its threads, and what a thread of it does.
struct BlockJob {
  const char* kernel = "";
  int block = 0;
  int threads = 0;
  ThreadOrder order = ThreadOrder::forward;
  std::uint64_t seed = 0;
  void (*run_thread)(const void* argument, int thread) = nullptr;
  const void* argument = nullptr;
};

class BlockScheduler {
 public:
  explicit BlockScheduler(std::size_t stack_bytes) : stack_bytes_(stack_bytes) {}
  BlockScheduler(const BlockScheduler&) = delete;
  BlockScheduler& operator=(const BlockScheduler&) = delete;

  /// Runs all threads to their ends, or throws dream::error with the first fault; then every thread has been unwound.
  void run(const BlockJob& job) {
    begin(job);
    try {
      while (running_ > 0)
        if (!run_warps()) fail_stuck();
      check_stacks();
    } catch (...) {
      abandon();
      throw;
    }
  }

  /// Called by thread `thread`: waits for the others, returns what the call gives it. `source` is a lane.
  std::uint64_t meet(int thread, Meeting meeting, std::uint64_t value, int source, CallPlace place) {
    Thread& self = *threads_[static_cast<std::size_t>(thread)];
    if (abandoning_) throw Abandoned{};
    if (source < 0 || source >= warp_lanes)
      fail_at(thread, meeting, place, " reads lane ", source, ", outside the warp");
    self.meeting = meeting;
    self.place = place;
    self.value = value;
    self.source = source;
    self.state = meeting == Meeting::sync ? State::at_block : State::at_warp;
    self.fiber.suspend();
    if (abandoning_) throw Abandoned{};
    return self.value;
  }

  /// Throws dream::error: "kernel, block, thread: call at file:line" and the parts.
  template <class... Parts>
  [[noreturn]] void fail_at(int thread, Meeting meeting, CallPlace place, const Parts&... parts) const {
    fail_thread(thread, name_of(meeting), " at ", place.file, ":", place.line, parts...);
  }
  template <class... Parts>
  [[noreturn]] void fail_thread(int thread, const Parts&... parts) const {
    fail(job_.kernel, ", block ", job_.block, ", thread ", thread, ": ", parts...);
  }

  /// Changes from one stack to another so far.
  std::int64_t switches() const { return switches_; }

 private:
  enum class State { ready, at_warp, at_block, returned };

  struct Thread {
    explicit Thread(std::size_t stack_bytes) : fiber(stack_bytes) {}

    Fiber<> fiber;
    BlockScheduler* scheduler = nullptr;
    int number = 0;
    State state = State::ready;
    bool begun = false;
    Meeting meeting = Meeting::sync;
    CallPlace place;
    std::uint64_t value = 0;
    int source = 0;
    std::exception_ptr thrown;
  };
  struct Warp {
    int at_warp = 0;  ///< lanes that wait for this warp
    int live = 0;     ///< lanes that have not returned
  };

  Thread& thread(int t) { return *threads_[static_cast<std::size_t>(t)]; }
  int lanes(int warp) const { return std::min(warp_lanes, job_.threads - warp * warp_lanes); }

  static void run_fiber(void* argument) {
    Thread& self = *static_cast<Thread*>(argument);
    const BlockJob& job = self.scheduler->job_;
    self.begun = true;
    try {
      job.run_thread(job.argument, self.number);
    } catch (const Abandoned&) {
    } catch (...) {
      self.thrown = std::current_exception();
    }
    self.state = State::returned;
  }

  void begin(const BlockJob& job) {
    job_ = job;
    while (threads_.size() < static_cast<std::size_t>(job.threads))
      threads_.push_back(std::make_unique<Thread>(stack_bytes_));
    for (int t = 0; t < job.threads; ++t) {
      Thread& self = thread(t);
      self.scheduler = this;
      self.number = t;
      self.state = State::ready;
      self.begun = false;
      self.thrown = nullptr;
      self.fiber.start(&BlockScheduler::run_fiber, &self);
    }
    const int warps = (job.threads + warp_lanes - 1) / warp_lanes;
    warps_.assign(static_cast<std::size_t>(warps), {});
    for (int w = 0; w < warps; ++w) warps_[static_cast<std::size_t>(w)].live = lanes(w);
    running_ = job.threads;
    at_block_ = 0;
    abandoning_ = false;
    put_in_order(warp_order_, warps, 0);
    put_in_order(lane_order_, warp_lanes, 1);
  }

  void put_in_order(std::vector<int>& order, int count, std::uint64_t which) const {
    order.resize(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    if (job_.order == ThreadOrder::reverse) std::reverse(order.begin(), order.end());
    if (job_.order != ThreadOrder::shuffled) return;
    const RandomStream random{job_.seed, RandomUse::shuffle, static_cast<std::uint32_t>(job_.block)};
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(2 * i + which, i)]);
  }

  /// One round over the warps, from the first again when the block's barrier opens. False: nobody could go on.
  bool run_warps() {
    bool moved = false;
    for (const int w : warp_order_) {
      bool opened = false;
      while (run_lanes(w, opened)) moved = true;
      if (opened) return true;
    }
    return moved;
  }

  /// Each lane that can go on does, up to its next meeting. False: none could, or all wait at the block's barrier.
  bool run_lanes(int w, bool& opened) {
    bool moved = false;
    Warp& warp = warps_[static_cast<std::size_t>(w)];
    for (const int lane : lane_order_) {
      if (lane >= lanes(w)) continue;
      Thread& self = thread(w * warp_lanes + lane);
      if (self.state != State::ready) continue;
      moved = true;
      switches_ += 2;
      self.fiber.resume();
      if (self.thrown) std::rethrow_exception(self.thrown);
      if (self.state == State::returned) {
        --running_;
        --warp.live;
      }
      if (self.state == State::at_warp) ++warp.at_warp;
      if (warp.at_warp > 0 && warp.at_warp == warp.live) complete_warp(w);
      if (self.state == State::at_block && ++at_block_ == job_.threads) {
        open_barrier();
        opened = true;
        return false;
      }
    }
    return moved;
  }

  /// All lanes of a warp that have not returned wait in it.
  void complete_warp(int w) {
    const int first_thread = w * warp_lanes;
    const Thread* first = nullptr;
    std::uint32_t waiting = 0, votes = 0;
    std::uint64_t values[warp_lanes] = {};
    for (int lane = 0; lane < lanes(w); ++lane) {
      const Thread& self = thread(first_thread + lane);
      if (self.state != State::at_warp) continue;
      if (first == nullptr) first = &self;
      if (self.meeting != first->meeting || !same(self.place, first->place))
        fail_apart("the lanes of a warp must meet in one call", *first, self);
      waiting |= 1u << lane;
      if (self.value != 0) votes |= 1u << lane;
      values[lane] = self.value;
    }
    const Meeting meeting = first->meeting;
    for (int lane = 0; lane < lanes(w); ++lane) {
      Thread& self = thread(first_thread + lane);
      if (self.state != State::at_warp) continue;
      if (meeting == Meeting::any) {
        self.value = votes != 0;
      } else if (meeting == Meeting::all) {
        self.value = votes == waiting;
      } else if (meeting == Meeting::ballot) {
        self.value = votes;
      } else if (meeting != Meeting::sync_warp) {
        if (self.source >= lanes(w))
          fail_at(self.number, meeting, self.place, " reads lane ", self.source, ", which this warp of ", lanes(w),
                  " threads does not have");
        if ((waiting >> self.source & 1u) == 0)
          fail_at(self.number, meeting, self.place, " reads lane ", self.source, ", which has returned");
        self.value = values[self.source];
      }
      self.state = State::ready;
    }
    warps_[static_cast<std::size_t>(w)].at_warp = 0;
  }

  /// All threads of the block wait at its barrier.
  void open_barrier() {
    const Thread& first = thread(0);
    for (int t = 1; t < job_.threads; ++t)
      if (!same(thread(t).place, first.place))
        fail_apart("the threads of a block must meet at one barrier", first, thread(t));
    for (int t = 0; t < job_.threads; ++t) thread(t).state = State::ready;
    at_block_ = 0;
  }

  static bool same(const CallPlace& a, const CallPlace& b) {
    return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
  }

  [[noreturn]] void fail_apart(const char* rule, const Thread& a, const Thread& b) const {
    fail_at(a.number, a.meeting, a.place, " while thread ", b.number, " is in ", name_of(b.meeting), " at ",
            b.place.file, ":", b.place.line, ": ", rule);
  }

  /// Somebody waits for threads that will not come.
  [[noreturn]] void fail_stuck() {
    const Thread* at_block = nullptr;
    const Thread* returned = nullptr;
    for (int t = 0; t < job_.threads; ++t) {
      const Thread& self = thread(t);
      if (self.state == State::at_warp) {
        const int first = t / warp_lanes * warp_lanes;
        for (int other = first; other < first + lanes(t / warp_lanes); ++other)
          if (thread(other).state == State::at_block)
            fail_apart("the lanes of a warp must meet in one call", self, thread(other));
      }
      if (self.state == State::at_block && at_block == nullptr) at_block = &self;
      if (self.state == State::returned && returned == nullptr) returned = &self;
    }
    fail_at(at_block->number, Meeting::sync, at_block->place, " waits for thread ", returned->number,
            ", which has returned");
  }

  void check_stacks() const {
    for (int t = 0; t < job_.threads; ++t)
      if (threads_[static_cast<std::size_t>(t)]->fiber.overflowed())
        fail_thread(t, "its stack of ", stack_bytes_, " bytes overflowed; EmulatedOptions::stack_bytes gives more");
  }

  /// Unwinds the threads that wait; those that were not begun never are.
  void abandon() {
    abandoning_ = true;
    for (int t = 0; t < job_.threads; ++t) {
      Thread& self = thread(t);
      if (self.begun && self.state != State::returned) self.fiber.resume();
      if (self.fiber.overflowed()) threads_[static_cast<std::size_t>(t)] = std::make_unique<Thread>(stack_bytes_);
    }
  }

  std::size_t stack_bytes_;
  BlockJob job_;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<Warp> warps_;
  std::vector<int> warp_order_, lane_order_;
  int running_ = 0;   ///< threads that have not returned
  int at_block_ = 0;  ///< threads that wait at the block's barrier
  bool abandoning_ = false;
  std::int64_t switches_ = 0;
};

}  // namespace detail
}  // namespace dream
