#include <dream/backend/context.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::backend_context {

using namespace dream;

TEST_CASE("A parallel loop visits every index once, on any number of threads") {
  for (const int threads : {1, 2, 3, 7}) {
    Context<Cpu> context(threads);
    for (const std::int64_t count : {0, 1, 2, 5, 1000}) {
      std::vector<std::atomic<int>> visits(1000);
      context.parallel_for(count, [&](std::int64_t i) { ++visits[static_cast<std::size_t>(i)]; });
      for (std::int64_t i = 0; i < 1000; ++i) REQUIRE(visits[static_cast<std::size_t>(i)] == (i < count ? 1 : 0));
      for (const std::int64_t block : {1, 3, 1000}) {
        for (auto& v : visits) v = 0;
        context.parallel_blocks(count, block, [&](std::int64_t begin, std::int64_t end) {
          if (begin % block != 0 || end - begin > block || end > count) throw std::logic_error("a wrong block");
          for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
        });
        for (std::int64_t i = 0; i < count; ++i) REQUIRE(visits[static_cast<std::size_t>(i)] == 1);
      }
    }
  }
}

TEST_CASE("An exception inside a parallel loop is rethrown to its caller, who can go on") {
  for (const int threads : {1, 2, 3}) {
    Context<Cpu> context(threads);
    for (const std::int64_t count : {1, 2, 100}) {
      REQUIRE_ERROR(context.parallel_for(count,
                                         [&](std::int64_t i) {
                                           if (i == count - 1) fail("broken at ", i);
                                         }),
                    "broken at " + std::to_string(count - 1));
      // All of them throw: one arrives.
      REQUIRE_ERROR(context.parallel_for(count, [&](std::int64_t) { fail("all broken"); }), "all broken");
      REQUIRE_THROWS_AS(context.parallel_for(count, [&](std::int64_t) { throw 7; }), int);
    }
    std::atomic<int> done = 0;
    context.parallel_for(10, [&](std::int64_t) { ++done; });
    CHECK(done == 10);
  }
}

TEST_CASE("Scratch memory is aligned, large enough, apart from other slots and threads, and kept") {
  Context<Cpu> context(3);
  for (const int slot : {0, 5, 2})
    for (const std::int64_t count : {0, 1, 1000, 10})
      CHECK(reinterpret_cast<std::uintptr_t>(context.scratch<double>(slot, count)) % 64 == 0);
  double* const first = context.scratch<double>(0, 1000);
  double* const second = context.scratch<double>(1, 1000);
  CHECK((second >= first + 1000 || first >= second + 1000));
  CHECK(context.scratch<double>(0, 500) == first);
  CHECK(context.scratch<float>(0, 2000) == reinterpret_cast<float*>(first));
  double* const ninth = context.scratch<double>(9, 10);  // more slots leave the memory of the others where it is
  CHECK(ninth != nullptr);
  CHECK(context.scratch<double>(0, 1000) == first);

  std::atomic<int> mixed = 0;
  context.parallel_for(300, [&](std::int64_t i) {
    std::int64_t* own = context.scratch<std::int64_t>(0, 64);
    for (int k = 0; k < 64; ++k) own[k] = i;
    for (int k = 0; k < 64; ++k) mixed += own[k] != i;
  });
  CHECK(mixed == 0);
}

TEST_CASE("A loop inside a piece of a loop runs in the piece's thread, with its scratch and no other's") {
  Context<Cpu> context(3);
  std::atomic<int> mixed = 0, visits = 0;
  for (int run = 0; run < 20; ++run)
    context.parallel_for(30, [&](std::int64_t i) {
      std::int64_t* const outer = context.scratch<std::int64_t>(0, 500);
      std::fill_n(outer, 500, i);
      context.parallel_for(40, [&](std::int64_t j) {
        ++visits;
        mixed += context.scratch<std::int64_t>(0, 500) != outer;  // the thread that has the outer piece
        std::int64_t* const inner = context.scratch<std::int64_t>(1, 500);
        std::fill_n(inner, 500, 100 * i + j);
        for (int k = 0; k < 500; ++k) mixed += inner[k] != 100 * i + j;
      });
      for (int k = 0; k < 500; ++k) mixed += outer[k] != i;
    });
  CHECK(mixed == 0);
  CHECK(visits == 20 * 30 * 40);
}

TEST_CASE("Products inside a parallel loop equal those outside") {
  Context<Cpu> context(3);
  const auto a = dream_test::random_matrix<float>(150, 90, 1), b = dream_test::random_matrix<float>(70, 90, 2);
  Matrix<float, Cpu> expected(150, 70);
  gemm<float>(context, Op::none, Op::transpose, 1.0f, a.view(), b.view(), 0.0f, expected.view());
  std::vector<Matrix<float, Cpu>> found;
  for (int i = 0; i < 24; ++i) found.emplace_back(150, 70);
  context.parallel_for(24, [&](std::int64_t i) {
    gemm<float>(context, Op::none, Op::transpose, 1.0f, a.view(), b.view(), 0.0f,
                found[static_cast<std::size_t>(i)].view());
  });
  for (const auto& c : found) CHECK(std::equal(c.data(), c.data() + c.size(), expected.data()));
}

TEST_CASE("Threads of the caller can each have a context of their own") {
  for (const int threads : {1, 2, 3}) {
    std::atomic<int> wrong = 0;
    std::vector<std::thread> callers;
    for (int c = 0; c < 4; ++c)
      callers.emplace_back([&] {
        Context<Cpu> own(threads);
        double* const first = own.scratch<double>(0, 100);
        std::vector<std::atomic<int>> visits(50);
        for (int run = 0; run < 100; ++run)
          own.parallel_for(50, [&](std::int64_t i) {
            ++visits[static_cast<std::size_t>(i)];
            double* const scratch = own.scratch<double>(0, 100);
            std::fill_n(scratch, 100, static_cast<double>(i));
            for (int k = 0; k < 100; ++k) wrong += scratch[k] != static_cast<double>(i);
          });
        for (const auto& v : visits) wrong += v != 100;
        wrong += own.scratch<double>(0, 100) != first;
      });
    for (std::thread& caller : callers) caller.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("A context made in a piece of a loop runs its own loops in that piece's thread") {
  Context<Cpu> outer(3);
  std::atomic<int> wrong = 0;
  outer.parallel_for(30, [&](std::int64_t) {
    const std::thread::id here = std::this_thread::get_id();
    Context<Cpu> own(3);
    int visits = 0;
    own.parallel_for(40, [&](std::int64_t) {
      ++visits;
      wrong += std::this_thread::get_id() != here;
    });
    wrong += visits != 40;
  });
  CHECK(wrong == 0);
}

TEST_CASE("A context has the number of threads asked for, or one for each processor it may use") {
  CHECK(Context<Cpu>(1).threads() == 1);
  CHECK(Context<Cpu>(5).threads() == 5);
  CHECK(Context<Cpu>().threads() == available_processors());
  CHECK(Context<Cpu>(-3).threads() == Context<Cpu>().threads());
}

TEST_CASE("Arrays and matrices keep their memory when they shrink, and refuse negative sizes") {
  Array<float, Cpu> a(100);
  float* const data = a.data();
  CHECK(reinterpret_cast<std::uintptr_t>(data) % 64 == 0);
  a.resize(10);
  CHECK(a.size() == 10);
  CHECK(a.data() == data);
  a.resize(100);
  CHECK(a.data() == data);
  Array<float, Cpu> moved = std::move(a);
  CHECK(moved.data() == data);
  CHECK(a.empty());
  a.resize(3);  // usable after it was moved from
  CHECK(a.size() == 3);
  REQUIRE_ERROR(a.resize(-1), "cannot have -1 values");
  REQUIRE_ERROR((Matrix<float, Cpu>(2, -1)), "cannot be 2 x -1");
  Context<Cpu> context(1);
  Matrix<float, Cpu> from(2, 3), to(3, 2);
  REQUIRE_ERROR(copy<float>(context, from.view(), to.view()), "from 2 x 3 to 3 x 2");
}

TEST_CASE("Sizes whose bytes no pointer can count are errors, and what was there stays") {
  const std::int64_t many = std::int64_t{1} << 61;
  Array<double, Cpu> a(5);
  a.fill(2.0);
  REQUIRE_ERROR(a.resize(many), "out of memory: asked for 2305843009213693952 values of 8 bytes");
  REQUIRE_ERROR(a.resize(std::int64_t{1} << 60), "out of memory: asked for 1152921504606846976 values of 8 bytes");
  CHECK(a.size() == 5);
  CHECK(a[4] == 2.0);
  Context<Cpu> context(1);
  double* const before = context.scratch<double>(0, 10);
  REQUIRE_ERROR(context.scratch<double>(0, many), "out of memory");
  REQUIRE_ERROR(context.scratch<double>(0, -1), "scratch: slot 0 for -1 values");
  CHECK(context.scratch<double>(0, 10) == before);
}

TEST_CASE("Memory that the machine does not have is an error that says how much") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  DREAM_SKIP("sanitizers end the program at such a size");
#else
  Array<double, Cpu> a;
  REQUIRE_ERROR(a.resize(std::int64_t{1} << 57), "out of memory: asked for 1152921504606846976 bytes");
#endif
}

}  // namespace dream_tests::backend_context
