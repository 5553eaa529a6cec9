// Threads for parallel loops: they look for work for some microseconds, then sleep. The caller of a loop works too and
// waits only for threads that hold a piece of it, so a thread that the system does not run delays nobody.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <dream/core/processors.hpp>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace dream {

namespace detail {

/// What a thread knows of itself.
struct ThreadPlace {
  const void* pool = nullptr;  // the pool that made it
  int number = 0;              // in that pool, from 1
  int loops = 0;               // that it is inside of
};
inline thread_local constinit ThreadPlace thread_place{};

/// Tells the processor that the thread is waiting in a loop.
inline void pause_thread() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace detail

/// Called once a pool, with the threads that it has and those it wanted, where the system gives no more. Whoever tells
/// a user sets it.
inline std::atomic<void (*)(int threads, int wanted)> on_missing_threads = nullptr;

/// A pool serves one calling thread at a time; several threads take a pool each. Its threads start with the first loop
/// that needs them. Where the system gives no more threads, loops run on those there are, and on_missing_threads is
/// told.
class ThreadPool {
 public:
  /// threads <= 0: available_processors().
  explicit ThreadPool(int threads = 0)
      : processors_(threads == 1 ? 1 : available_processors()), threads_(threads > 0 ? threads : processors_) {}
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() {
    stop_.store(true, std::memory_order_relaxed);
    announced_.fetch_add(1, std::memory_order_release);
    announced_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  /// The most threads a loop runs on, its caller included.
  int threads() const { return threads_; }

  /// The calling thread's number in this pool's loops, below threads(); 0 for the caller of a loop.
  int thread_number() const { return detail::thread_place.pool == this ? detail::thread_place.number : 0; }

  /// Calls f(i) for i in 0 .. count-1, each once, in any order and in parallel; one after the other where the calling
  /// thread is inside a piece of a loop already, of this pool or another. After an exception no piece is begun, and
  /// the first exception is rethrown here.
  template <class F>
  void parallel_for(std::int64_t count, F&& f) {
    if (count <= 1 || threads_ == 1 || detail::thread_place.loops > 0) {
      for (std::int64_t i = 0; i < count; ++i) f(i);
      return;
    }
    start_workers(count - 1);
    run_piece_ = [](void* g, std::int64_t i) { (*static_cast<std::remove_reference_t<F>*>(g))(i); };
    piece_ = const_cast<void*>(static_cast<const void*>(&f));
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    state_.store(open, std::memory_order_release);
    announced_.fetch_add(1, std::memory_order_release);
    announced_.notify_one();  // who joins wakes the next one, so the caller begins at once

    ++detail::thread_place.loops;
    run_pieces();
    --detail::thread_place.loops;

    state_.fetch_and(~open, std::memory_order_acq_rel);
    wait_while([&](std::uint32_t inside) { return inside != 0; }, state_);
    failed_.store(false, std::memory_order_relaxed);
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  /// Calls f(begin, end) for consecutive ranges of `block` out of 0 .. count-1, in parallel.
  template <class F>
  void parallel_blocks(std::int64_t count, std::int64_t block, F&& f) {
    parallel_for((count + block - 1) / block, [&](std::int64_t b) { f(b * block, std::min(count, (b + 1) * block)); });
  }

 private:
  static constexpr std::uint32_t open = 1U << 31;
  static constexpr std::chrono::microseconds looking_time{20};

  void start_workers(std::int64_t wanted) {
    while (may_start_ && static_cast<int>(workers_.size()) < threads_ - 1 &&
           static_cast<std::int64_t>(workers_.size()) < wanted) {
      const int number = static_cast<int>(workers_.size()) + 1;
      try {
        workers_.emplace_back([this, number] { work(number); });
      } catch (const std::system_error&) {
        may_start_ = false;
        if (const auto tell = on_missing_threads.load()) tell(number, threads_);
      }
    }
  }

  void work(int number) {
    detail::thread_place = {this, number, 1};
    for (std::uint32_t known = 0;;) {
      known = wait_while([&](std::uint32_t announced) { return announced == known; }, announced_);
      if (stop_.load(std::memory_order_relaxed)) return;
      if (!enter()) continue;
      if (next_.load(std::memory_order_relaxed) < count_) announced_.notify_one();
      run_pieces();
      if (state_.fetch_sub(1, std::memory_order_acq_rel) == 1) state_.notify_one();
    }
  }

  /// Counts a worker into the loop that is open; false where none is.
  bool enter() {
    std::uint32_t state = state_.load(std::memory_order_relaxed);
    while (state & open)
      if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire, std::memory_order_relaxed))
        return true;
    return false;
  }

  void run_pieces() {
    for (std::int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) {
      try {
        run_piece_(piece_, i);
      } catch (...) {
        next_.store(count_, std::memory_order_relaxed);
        if (!failed_.exchange(true, std::memory_order_acq_rel)) error_ = std::current_exception();
      }
    }
  }

  /// Waits while waiting(value) holds, at first awake, unless there are more threads than processors. Returns the
  /// value.
  template <class Waiting>
  std::uint32_t wait_while(Waiting waiting, const std::atomic<std::uint32_t>& value) const {
    std::uint32_t found = value.load(std::memory_order_acquire);
    if (!waiting(found)) return found;
    if (threads_ <= processors_) {
      const auto until = std::chrono::steady_clock::now() + looking_time;
      do {
        for (int i = 0; i < 16; ++i) {
          detail::pause_thread();
          found = value.load(std::memory_order_acquire);
          if (!waiting(found)) return found;
        }
      } while (std::chrono::steady_clock::now() < until);
    }
    while (waiting(found)) {
      value.wait(found, std::memory_order_acquire);
      found = value.load(std::memory_order_acquire);
    }
    return found;
  }

  const int processors_, threads_;
  bool may_start_ = true;
  std::vector<std::thread> workers_;

  // The loop: written by its caller while it is closed and nobody is inside.
  void (*run_piece_)(void*, std::int64_t) = nullptr;
  void* piece_ = nullptr;
  std::int64_t count_ = 0;
  std::exception_ptr error_;

  alignas(64) std::atomic<std::int64_t> next_ = 0;        // the next piece
  alignas(64) std::atomic<std::uint32_t> state_ = 0;      // `open`, and the number of workers inside
  alignas(64) std::atomic<std::uint32_t> announced_ = 0;  // loops so far
  std::atomic<bool> stop_ = false, failed_ = false;
};

}  // namespace dream
