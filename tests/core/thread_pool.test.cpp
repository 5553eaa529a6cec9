#include <dream/core/thread_pool.hpp>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <system_error>
#include <thread>

#include "support/catch.hpp"

namespace dream_tests::core_thread_pool {

using namespace dream;

namespace {

/// Processor seconds that this process has used.
double processor_seconds() {
  timespec t;
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

TEST_CASE("Pieces of a loop run at the same time on as many threads as there are, numbered from 0") {
  ThreadPool pool(4);
  // Each of four pieces waits until all four have begun, so one thread alone would never end.
  std::atomic<int> begun = 0;
  std::array<int, 4> numbers{};
  pool.parallel_for(4, [&](std::int64_t i) {
    numbers[static_cast<std::size_t>(i)] = pool.thread_number();
    ++begun;
    while (begun < 4) std::this_thread::yield();
  });
  std::sort(numbers.begin(), numbers.end());
  CHECK(numbers == std::array<int, 4>{0, 1, 2, 3});
  CHECK(pool.thread_number() == 0);
}

TEST_CASE("Loop after loop, of every size, loses no piece and no sum") {
  for (const int threads : {2, 3, 8}) {
    ThreadPool pool(threads);
    std::int64_t wrong = 0;
    for (std::int64_t run = 0; run < 20000; ++run) {
      const std::int64_t count = run % 17;
      std::atomic<std::int64_t> sum = 0;
      pool.parallel_for(count, [&](std::int64_t i) { sum += i + 1; });
      wrong += sum != count * (count + 1) / 2;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("Threads without work sleep") {
  ThreadPool pool(3);
  std::atomic<int> visits = 0;
  for (int run = 0; run < 10; ++run) pool.parallel_for(64, [&](std::int64_t) { ++visits; });
  const double before = processor_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  // Threads that spin would take two times 0.3 s.
  CHECK(processor_seconds() - before < 0.1);
  pool.parallel_for(64, [&](std::int64_t) { ++visits; });
  CHECK(visits == 11 * 64);
}

TEST_CASE("After an exception no piece is begun") {
  ThreadPool pool(2);
  std::atomic<int> begun = 0;
  CHECK_THROWS_AS(pool.parallel_for(1000000,
                                    [&](std::int64_t) {
                                      ++begun;
                                      throw 1;
                                    }),
                  int);
  CHECK(begun <= 2);
}

TEST_CASE("Where the system gives no more threads, loops run on those there are, and whoever asked is told once") {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    // The limit counts a user's threads and does not bind root.
    const rlimit none{0, 0};
    if ((::geteuid() == 0 && ::setuid(65534) != 0) || ::setrlimit(RLIMIT_NPROC, &none) != 0) ::_exit(1);
    bool refused = false;
    try {
      std::thread([] {}).join();
    } catch (const std::system_error&) {
      refused = true;
    }
    if (!refused) ::_exit(2);
    static int told = 0, missing = 0;
    on_missing_threads = [](int threads, int wanted) {
      ++told;
      missing = wanted - threads;
    };
    ThreadPool pool(3);
    std::int64_t sum = 0;
    for (int run = 0; run < 2; ++run) pool.parallel_for(100, [&](std::int64_t i) { sum += i; });
    if (told != 1 || missing != 2) ::_exit(4);
    ::_exit(sum == 2 * 4950 ? 0 : 3);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

}  // namespace dream_tests::core_thread_pool
