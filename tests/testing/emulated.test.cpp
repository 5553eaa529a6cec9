#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/kernels/entry.cuh>
#include <dream/testing/emulated.hpp>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"

using namespace dream;

namespace {

constexpr ThreadOrder orders[] = {ThreadOrder::forward, ThreadOrder::reverse, ThreadOrder::shuffled};

/// Most kernels here: one vector in, one out, `Blocks` of `Threads`.
template <class T>
struct InOut {
  VectorView<const T> in;
  VectorView<T> out;
  int blocks;
};

/// What a kernel of this file is, but for its operator().
template <int Threads, class T = float>
struct KernelOn {
  static constexpr int threads = Threads;
  using Params = InOut<T>;
  struct Shared {
    T values[Threads];
  };
  static int grid(const Params& p) { return p.blocks; }
};

template <class Kernel, class T>
KernelReport check(const std::vector<T>& in, std::vector<T>& out, int blocks, const EmulatedOptions& options = {}) {
  return check_kernel<Kernel>(
      [&](KernelBuffers& use) {
        return typename Kernel::Params{use.input(VectorView<const T>{in.data(), static_cast<std::int64_t>(in.size())}),
                                       use.output(VectorView<T>{out.data(), static_cast<std::int64_t>(out.size())}),
                                       blocks};
      },
      options);
}

template <class T = float>
std::vector<T> numbers(std::size_t count) {
  std::vector<T> v(count);
  const RandomStream random{42};
  for (std::size_t i = 0; i < count; ++i) v[i] = static_cast<T>(1 + random.below(i, 1000));
  return v;
}

/// Both texts are in the report, in one line.
bool mentions(const KernelReport& report, const std::string& a, const std::string& b = "") {
  UNSCOPED_INFO(report.text());
  for (const std::string& line : report.failures)
    if (line.find(a) != std::string::npos && line.find(b) != std::string::npos) return true;
  return false;
}

std::string at(int line) { return "emulated.test.cpp:" + std::to_string(line); }

/// Every thread says where it is.
template <int Threads>
struct Places : KernelOn<Threads, int> {
  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const InOut<int>& p,
                                    typename KernelOn<Threads, int>::Shared&) const {
    int* mine = p.out.data + 6 * (std::int64_t{th.block()} * Threads + th.thread());
    mine[0] = th.block();
    mine[1] = th.thread();
    mine[2] = th.warp();
    mine[3] = th.lane();
    mine[4] = th.grid_blocks();
    mine[5] = Thread::block_threads();
  }
};

template <int Threads>
void check_places() {
  for (const int blocks : {0, 1, 3}) {
    std::vector<int> out(static_cast<std::size_t>(6 * Threads * blocks), -7);
    const KernelReport report = check<Places<Threads>, int>({}, out, blocks);
    REQUIRE(report.text() == "");
    bool right = true;
    for (int b = 0; b < blocks; ++b)
      for (int t = 0; t < Threads; ++t) {
        const int expected[6] = {b, t, t / 32, t % 32, blocks, Threads};
        right &= std::equal(expected, expected + 6, out.data() + 6 * (b * Threads + t));
      }
    REQUIRE(right);
  }
}

/// Turns a block's values around through shared memory.
template <int Threads, bool Barrier = true>
struct Reverse : KernelOn<Threads> {
  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const InOut<float>& p,
                                    typename KernelOn<Threads>::Shared& shared) const {
    const std::int64_t first = std::int64_t{th.block()} * Threads;
    shared.values[th.thread()] = p.in[first + th.thread()];
    if constexpr (Barrier) th.sync();
    p.out[first + th.thread()] = shared.values[Threads - 1 - th.thread()];
  }
};

template <int Threads>
void check_reverse() {
  for (const int blocks : {0, 1, 5}) {
    const auto in = numbers(static_cast<std::size_t>(Threads * blocks));
    std::vector<float> out(in.size(), -1.0f), expected;
    for (int b = 0; b < blocks; ++b)
      expected.insert(expected.end(), in.rbegin() + Threads * (blocks - 1 - b), in.rbegin() + Threads * (blocks - b));
    REQUIRE(check<Reverse<Threads>>(in, out, blocks).text() == "");
    REQUIRE(out == expected);
    if (Threads > 1 && blocks > 0) {
      const KernelReport report = check<Reverse<Threads, false>>(in, out, blocks);
      REQUIRE(mentions(report, "threads reverse", "a barrier is missing"));
      REQUIRE(mentions(report, "threads forward", "read before it is written"));
    }
  }
}

}  // namespace

TEST_CASE("Threads know their place in blocks of every size and grids of none, one and many") {
  check_places<1>();
  check_places<31>();
  check_places<32>();
  check_places<33>();
  check_places<128>();
  check_places<256>();
  check_places<1024>();
}

TEST_CASE("A kernel that turns blocks around works with its barrier, and its missing barrier is found") {
  check_reverse<1>();
  check_reverse<31>();
  check_reverse<32>();
  check_reverse<33>();
  check_reverse<128>();
  check_reverse<256>();
  check_reverse<1024>();
}
