#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/kernels/entry.cuh>
#include <dream/testing/emulated.hpp>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"

namespace dream_tests::testing_emulated {

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

/// A kernel made of a function without captures.
template <int Threads, auto body, class T = float>
struct On : KernelOn<Threads, T> {
  template <class Thread>
  void operator()(const Thread& th, const InOut<T>& p, typename KernelOn<Threads, T>::Shared& shared) const {
    body(th, p, shared);
  }
};

/// Adds 1 to the first `cols` values of each row, a block a row.
struct Rows {
  static constexpr int threads = 32;
  struct Params {
    MatrixView<float> m;
    index_t cols;
  };
  struct Shared {};
  static int grid(const Params& p) { return p.m.rows; }
  template <class Thread>
  void operator()(const Thread& th, const Params& p, Shared&) const {
    if (th.thread() < p.cols) p.m(th.block(), th.thread()) += 1;
  }
};

/// y += A x, a block a row, through far more shared memory than it needs.
struct RowSums {
  static constexpr int threads = 32;
  struct Params {
    CsrView<float> a;
    VectorView<const float> x;
    MatrixView<float> y;
  };
  struct Shared {
    float far_away[25000];
    float sum;
  };
  static int grid(const Params& p) { return p.a.rows; }
  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    if (th.thread() == 0) {
      shared.sum = 0;
      for (std::int64_t k = p.a.offsets[th.block()]; k < p.a.offsets[th.block() + 1]; ++k)
        shared.sum += p.a.values[k] * p.x[p.a.indices[k]];
    }
    th.sync();
    if (th.thread() == 31) p.y(th.block(), 0) += shared.sum;
  }
};

/// The message of the fault with which one block of a kernel ends.
template <class Kernel>
std::string fault(ThreadOrder order = ThreadOrder::forward, const EmulatedOptions& options = {}) {
  std::vector<float> in = numbers(4096), out(4096, 0.0f);
  EmulatedOptions ordered = options;
  ordered.order = order;
  Context<Emulated> context(ordered);
  try {
    launch<Kernel>(context, {{in.data(), 4096}, {out.data(), 4096}, 1});
  } catch (const error& e) {
    return e.what();
  }
  return "no fault";
}

bool contains(const std::string& text, const std::string& part) {
  UNSCOPED_INFO(text);
  return text.find(part) != std::string::npos;
}

/// Lines of the calls that a planted fault is about.
struct Lines {
  int first = 0, second = 0;
} lines;

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

TEST_CASE("Warps that shuffle a different number of times before a barrier are legal and give the right sums") {
  constexpr auto body = [](const auto& th, const auto& p, auto& shared) {
    float v = p.in[th.thread()];
    for (int round = 0; round < 5 * th.warp(); ++round) v += th.shfl_xor(v, 1 + round % 31) * 0.5f;
    shared.values[th.thread()] = v;
    th.sync();
    p.out[th.thread()] = shared.values[(th.thread() + 32) % 128];
    th.sync();
    for (int round = th.warp(); round < 4; ++round) th.sync_warp();
    shared.values[th.thread()] = v + 1;
    th.sync();
    p.out[th.thread()] += shared.values[(th.thread() + 64) % 128];
  };
  const auto in = numbers(128);
  std::vector<float> out(128), v = in, expected(128);
  for (std::size_t w = 0; w < 4; ++w)
    for (std::size_t round = 0; round < 5 * w; ++round) {
      const std::vector<float> before = v;
      for (std::size_t lane = 0; lane < 32; ++lane)
        v[32 * w + lane] += before[32 * w + (lane ^ (1 + round % 31))] * 0.5f;
    }
  for (std::size_t t = 0; t < 128; ++t) expected[t] = v[(t + 32) % 128] + (v[(t + 64) % 128] + 1);
  REQUIRE(check<On<128, body>>(in, out, 1).text() == "");
  REQUIRE(out == expected);
}

TEST_CASE("A barrier that is missing at the end of a loop is found") {
  constexpr auto body = [](const auto& th, const auto& p, auto& shared) {
    float v = p.in[th.thread()];
    for (int round = 0; round < 3; ++round) {
      shared.values[th.thread()] = v;
      th.sync();
      v += shared.values[(th.thread() + 40) % 128];
    }
    p.out[th.thread()] = v;
  };
  std::vector<float> out(128);
  REQUIRE(mentions(check<On<128, body>>(numbers(128), out, 1), "threads reverse", "a barrier is missing"));
}

TEST_CASE("A barrier that is missing between warps is found although one of them shuffles first") {
  constexpr auto body = [](const auto& th, const auto& p, auto& shared) {
    float v = p.in[th.thread()];
    if (th.warp() == 0)
      for (int round = 0; round < 4; ++round) v += th.shfl_xor(v, 1 << round);
    if (th.warp() == 0) shared.values[th.thread()] = v;
    p.out[th.thread()] = th.warp() == 0 ? v : shared.values[th.thread() - 32];
  };
  std::vector<float> out(64);
  REQUIRE(mentions(check<On<64, body>>(numbers(64), out, 1), "threads reverse", "a barrier is missing"));
}

TEST_CASE("A warp that exchanges values through shared memory needs its barrier") {
  constexpr auto right = [](const auto& th, const auto& p, auto& shared) {
    float sum = 0;
    for (int round = 0; round < 3; ++round) {
      shared.values[th.thread()] = p.in[th.thread()] + static_cast<float>(round);
      th.sync_warp();
      sum += shared.values[th.thread() ^ 1];
      th.sync_warp();
    }
    p.out[th.thread()] = sum;
  };
  constexpr auto missing = [](const auto& th, const auto& p, auto& shared) {
    float sum = 0;
    for (int round = 0; round < 3; ++round) {
      shared.values[th.thread()] = p.in[th.thread()] + static_cast<float>(round);
      th.sync_warp();
      sum += shared.values[th.thread() ^ 1];
    }
    p.out[th.thread()] = sum;
  };
  const auto in = numbers(64);
  std::vector<float> out(64);
  REQUIRE(check<On<64, right>>(in, out, 1).text() == "");
  for (std::size_t t = 0; t < 64; ++t) REQUIRE(out[t] == 3 * in[t ^ 1] + 3);
  REQUIRE(mentions(check<On<64, missing>>(in, out, 1), "threads reverse", "a barrier is missing"));
}

TEST_CASE("A block's barrier reached at two lines is an error that names both") {
  constexpr auto body = [](const auto& th, const auto&, auto&) {
    if (th.thread() < 64) {
      lines.first = __LINE__ + 1;
      th.sync();
    } else {
      lines.second = __LINE__ + 1;
      th.sync();
    }
  };
  for (const ThreadOrder order : orders) {
    const std::string message = fault<On<128, body>>(order);
    REQUIRE(contains(message, "block 0, thread 0: sync() at "));
    REQUIRE(contains(message, at(lines.first) + " while thread 64 is in sync() at "));
    REQUIRE(contains(message, at(lines.second)));
  }
}

TEST_CASE("A block's barrier that some threads never reach is an error") {
  constexpr auto body = [](const auto& th, const auto&, auto&) {
    if (th.thread() >= 70) return;
    lines.first = __LINE__ + 1;
    th.sync();
  };
  for (const ThreadOrder order : orders) {
    const std::string message = fault<On<128, body>>(order);
    REQUIRE(contains(message, "thread 0: sync() at "));
    REQUIRE(contains(message, at(lines.first) + " waits for thread 70, which has returned"));
  }
}

TEST_CASE("Lanes of a warp in different calls are an error that names both") {
  constexpr auto shuffles = [](const auto& th, const auto& p, auto&) {
    float v = 0;
    if (th.lane() % 2 == 0) {
      lines.first = __LINE__ + 1;
      v = th.shfl_xor(1.0f, 1);
    } else {
      lines.second = __LINE__ + 1;
      v = th.shfl(1.0f, 0);
    }
    p.out[th.thread()] = v;
  };
  constexpr auto barrier = [](const auto& th, const auto& p, auto&) {
    if (th.thread() == 33) {
      lines.second = __LINE__ + 1;
      th.sync();
    }
    lines.first = __LINE__ + 1;
    p.out[th.thread()] = th.any(true);
  };
  for (const ThreadOrder order : orders) {
    std::string message = fault<On<64, shuffles>>(order);
    REQUIRE(contains(message, "shfl_xor() at "));
    REQUIRE(contains(message, at(lines.first) + " while thread "));
    REQUIRE(contains(message, "is in shfl() at "));
    REQUIRE(contains(message, at(lines.second)));
    message = fault<On<64, barrier>>(order);
    REQUIRE(contains(message, "thread 32: any() at "));
    REQUIRE(contains(message, at(lines.first) + " while thread 33 is in sync() at "));
    REQUIRE(contains(message, at(lines.second)));
  }
}

TEST_CASE("A lane that reads one that has returned is an error, and votes without it are not") {
  constexpr auto reads = [](const auto& th, const auto& p, auto&) {
    if (th.lane() == 5) return;
    lines.first = __LINE__ + 1;
    p.out[th.thread()] = th.shfl_down(1.0f, 1);
  };
  constexpr auto votes = [](const auto& th, const auto& p, auto&) {
    p.out[th.thread()] = 0;
    if (th.lane() % 4 == 3) return;
    const bool all = th.all(th.lane() % 4 != 3);
    const bool any = th.any(th.lane() % 4 == 3);
    p.out[th.thread()] =
        static_cast<float>(th.popcount(th.ballot(th.lane() < 16))) + (all ? 100.0f : 0.0f) + (any ? 1000.0f : 0.0f);
  };
  for (const ThreadOrder order : orders) {
    const std::string message = fault<On<32, reads>>(order);
    REQUIRE(contains(message, "thread 4: shfl_down() at "));
    REQUIRE(contains(message, at(lines.first) + " reads lane 5, which has returned"));
  }
  std::vector<float> out(64);
  REQUIRE(check<On<64, votes>>(numbers(64), out, 1).text() == "");
  for (std::size_t t = 0; t < 64; ++t) REQUIRE(out[t] == (t % 4 == 3 ? 0.0f : 112.0f));
}

TEST_CASE("A lane outside the warp, or missing in the last warp of a block, is an error") {
  constexpr auto outside = [](const auto& th, const auto& p, auto&) {
    p.out[th.thread()] = th.shfl(1.0f, th.lane() + 1);
  };
  constexpr auto mask = [](const auto& th, const auto& p, auto&) { p.out[th.thread()] = th.shfl_xor(1.0f, 32); };
  constexpr auto delta = [](const auto& th, const auto& p, auto&) { p.out[th.thread()] = th.shfl_down(1.0f, 32); };
  constexpr auto missing = [](const auto& th, const auto& p, auto&) { p.out[th.thread()] = th.shfl_xor(1.0f, 1); };
  for (const ThreadOrder order : orders) {
    REQUIRE(contains(fault<On<32, outside>>(order), "thread 31: shfl() at "));
    REQUIRE(contains(fault<On<32, outside>>(order), "reads lane 32, outside the warp"));
    REQUIRE(contains(fault<On<32, mask>>(order), "outside the warp"));
    REQUIRE(contains(fault<On<32, delta>>(order), "outside the warp"));
    REQUIRE(contains(fault<On<33, missing>>(order), "thread 32: shfl_xor() at "));
    REQUIRE(contains(fault<On<33, missing>>(order), "reads lane 1, which this warp of 1 threads does not have"));
  }
}

TEST_CASE("Writes just outside an output, and any into an input, are found") {
  constexpr auto behind = [](const auto& th, const auto& p, auto&) { p.out.data[th.thread()] = 1; };
  constexpr auto before = [](const auto& th, const auto& p, auto&) { p.out.data[th.thread() - 2] = 1; };
  constexpr auto into = [](const auto& th, const auto& p, auto&) {
    const_cast<float&>(p.in[th.thread()]) += 1;
    p.out[th.thread()] = 0;
  };
  const EmulatedOptions options{.trap = false};
  std::vector<float> out(31);
  REQUIRE(mentions(check<On<32, behind>>(numbers(32), out, 1, options), "output 0", "write, 0 bytes behind its last"));
  REQUIRE(mentions(check<On<32, before>>(numbers(32), out, 1, options), "output 0", "write, 8 bytes before its first"));
  out.resize(32);
  REQUIRE(mentions(check<On<32, into>>(numbers(32), out, 1, options), "input 0", "is written"));
}

TEST_CASE("Writes into the gaps between rows are found, also where they add to what stands there") {
  std::vector<float> values(40, 2.0f);
  const auto run = [&](index_t cols) {
    return check_kernel<Rows>(
        [&](KernelBuffers& use) {
          return Rows::Params{use.output(MatrixView<float>{values.data(), 4, 7, 10}), cols};
        },
        {.trap = false});
  };
  REQUIRE(run(7).text() == "");
  for (int i = 0; i < 40; ++i) REQUIRE(values[static_cast<std::size_t>(i)] == (i % 10 < 7 ? 3.0f : 2.0f));
  REQUIRE(mentions(run(8), "output 0", "between rows 0 and 1"));
}

TEST_CASE("Reads just outside an input show in the results") {
  constexpr auto body = [](const auto& th, const auto& p, auto&) {
    p.out[th.thread()] = std::max(p.in.data[th.thread() + 1], 0.0f);
  };
  std::vector<float> out(32);
  REQUIRE(mentions(check<On<32, body>>(numbers(32), out, 1, {.trap = false}), "poison 90", "memory outside a buffer"));
}

TEST_CASE("Reads of unwritten shared memory are found, also by a minimum, a maximum and as integers") {
  constexpr auto sum = [](const auto& th, const auto& p, auto& shared) {
    if (th.thread() != 9) shared.values[th.thread()] = 1;
    th.sync();
    p.out[th.thread()] = 0;
    for (int i = 0; i < 32; ++i) p.out[th.thread()] += shared.values[i];
  };
  constexpr auto maximum = [](const auto& th, const auto& p, auto& shared) {
    p.out[th.thread()] = std::fmax(p.in[th.thread()], shared.values[th.thread()]);
  };
  constexpr auto minimum = [](const auto& th, const auto& p, auto& shared) {
    p.out[th.thread()] = std::fmin(p.in[th.thread()], shared.values[th.thread()]);
  };
  constexpr auto none = [](const auto& th, const auto& p, auto&) { p.out[th.thread()] = p.in[th.thread()]; };
  std::vector<float> out(32);
  const std::string found = "shared memory is read before it is written";
  REQUIRE(mentions(check<On<32, sum>>(numbers(32), out, 1), found));
  REQUIRE(mentions(check<On<32, maximum>>(numbers(32), out, 1), found));
  REQUIRE(mentions(check<On<32, minimum>>(numbers(32), out, 1), found));
  std::vector<int> counts(32);
  constexpr auto count = [](const auto& th, const auto& p, auto& shared) {
    th.atomic_add(&shared.values[0], 1);
    th.sync();
    p.out[th.thread()] = shared.values[0];
  };
  REQUIRE(mentions(check<On<32, count, int>>(numbers<int>(32), counts, 1), found));
  REQUIRE(check<On<32, none>>(numbers(32), out, 1).text() == "");
}

TEST_CASE("Shared memory is unwritten again in every block") {
  constexpr auto body = [](const auto& th, const auto& p, auto& shared) {
    if (th.block() == 0) shared.values[th.thread()] = 1;
    p.out[32 * th.block() + th.thread()] = shared.values[th.thread()];
  };
  std::vector<float> out(64);
  REQUIRE_FALSE(check<On<32, body>>(numbers(32), out, 2).ok());
  REQUIRE(std::isnan(out[40]));
}

TEST_CASE("Writes outside shared memory are found") {
  constexpr auto beyond = [](const auto& th, const auto&, auto& shared) {
    float* values = shared.values;
    values[th.thread() + 1] = 1;
  };
  constexpr auto before = [](const auto& th, const auto&, auto& shared) {
    float* values = shared.values;
    values[th.thread() - 1] = 1;
  };
  REQUIRE(contains(fault<On<32, beyond>>(ThreadOrder::forward, {.trap = false}), "writes beyond its shared memory"));
  REQUIRE(contains(fault<On<32, before>>(ThreadOrder::forward, {.trap = false}), "writes before its shared memory"));
}

TEST_CASE("Misaligned loads and read-only loads of what the kernel writes are errors") {
  constexpr auto pack = [](const auto& th, const auto& p, auto&) {
    lines.first = __LINE__ + 1;
    p.out[th.thread()] = th.load(as_pack<4>(p.in.data + 4 * th.thread() + (th.thread() == 3 ? 1 : 0)))[2];
  };
  const std::string message = fault<On<32, pack>>();
  REQUIRE(contains(message, "thread 3: load() at "));
  REQUIRE(contains(message, at(lines.first) + " of 16 bytes from an address that is no multiple of 16"));

  constexpr auto readonly = [](const auto& th, const auto& p, auto&) {
    p.out[th.thread()] = th.load_readonly(p.in.data + th.thread()) + th.load_readonly(p.out.data + th.thread());
  };
  std::vector<float> out(32);
  REQUIRE(mentions(check<On<32, readonly>>(numbers(32), out, 1), "load_readonly() at", "that the kernel writes"));
}

TEST_CASE("Packs are loaded and stored whole, wherever a buffer begins") {
  constexpr auto body = [](const auto& th, const auto& p, auto&) {
    const Pack<float, 4> a = th.load_readonly(as_pack<4>(p.in.data + 4 * th.thread()));
    const Pack<float, 4> b = th.load(as_pack<4>(p.out.data + 4 * th.thread()));
    Pack<float, 2> ends{{a[0] + b[0], a[3] + b[3]}};
    th.store(as_pack<2>(p.out.data + 4 * th.thread()) + 1, ends);
    th.store(p.out.data + 4 * th.thread(), a[1]);
  };
  alignas(64) float in[260], out[260];
  const auto values = numbers(260);
  for (const int offset : {0, 4, 1}) {
    std::copy(values.begin(), values.end(), in);
    std::copy(values.rbegin(), values.rend(), out);
    const KernelReport report = check_kernel<On<64, body>>([&](KernelBuffers& use) {
      return InOut<float>{use.input(VectorView<const float>{in + offset, 256}),
                          use.output(VectorView<float>{out + offset, 256}), 1};
    });
    if (offset == 1) {
      REQUIRE(mentions(report, "load_readonly() at", "of 16 bytes from an address that is no multiple of 16"));
      continue;
    }
    REQUIRE(report.text() == "");
    for (std::size_t i = 0; i < 260; ++i) {
      const auto o = static_cast<std::size_t>(offset);
      const auto before = [&](std::size_t k) { return values[259 - k]; };
      float expected = before(i);
      if (i >= o && i < o + 256) {
        const std::size_t first = o + (i - o) / 4 * 4;
        if (i == first) expected = values[first + 1];
        if (i == first + 2) expected = values[first] + before(first);
        if (i == first + 3) expected = values[first + 3] + before(first + 3);
      }
      REQUIRE(out[i] == expected);
    }
  }
}

TEST_CASE("A sparse matrix is an input like others, and shared memory may exceed what is static on a GPU") {
  static_assert(launch_shared_bytes<RowSums> == 100004 && launch_shared_bytes<Rows> == 0);
  // Row 1 is empty.
  const std::vector<std::int64_t> offsets = {0, 2, 2, 3};
  const std::vector<index_t> indices = {0, 2, 1};
  const std::vector<float> values = {2, 3, 4};
  std::vector<float> out(6, 1.0f), x = {1, 10, 100};
  const auto run = [&](CsrView<float> a) {
    return check_kernel<RowSums>([&](KernelBuffers& use) {
      return RowSums::Params{use.input(a), use.input(VectorView<float>{x.data(), 3}),
                             use.output(MatrixView<float>{out.data(), 3, 1, 2})};
    });
  };
  REQUIRE(run({3, 3, offsets.data(), indices.data(), values.data()}).text() == "");
  REQUIRE(out == std::vector<float>{303, 1, 1, 1, 41, 1});
  REQUIRE(run({0, 3, nullptr, nullptr, nullptr}).text() == "");
  REQUIRE(out == std::vector<float>{303, 1, 1, 1, 41, 1});
}

TEST_CASE("Blocks that depend on each other are found") {
  constexpr auto body = [](const auto& th, const auto& p, auto&) {
    p.out[th.thread()] = static_cast<float>(th.block());
  };
  std::vector<float> out(32);
  REQUIRE(mentions(check<On<32, body>>(numbers(32), out, 7), "threads reverse", "blocks depend on each other"));
}

TEST_CASE("A stack that overflows is an error, and a larger one is enough") {
  struct Recursion {
    /// Uses the stack to just beyond `bytes` below `from`.
    [[gnu::noinline]] static int fill(std::uintptr_t from, std::uintptr_t bytes) {  // NOLINT(misc-no-recursion)
      volatile char frame[16] = {};
      frame[0] = 1;
      return from - reinterpret_cast<std::uintptr_t>(frame) >= bytes ? 0 : frame[0] + fill(from, bytes);
    }
  };
  constexpr auto body = [](const auto& th, const auto& p, auto&) {
    const volatile char here = 0;
    const auto from = reinterpret_cast<std::uintptr_t>(&here);
    p.out[th.thread()] = static_cast<float>(th.thread() == 6 ? Recursion::fill(from, 16 * 1024) : 0);
  };
  if (detail::AddressSanitizer::on) DREAM_SKIP("frames may lie elsewhere than on the stack under AddressSanitizer");
  REQUIRE(contains(fault<On<32, body>>(ThreadOrder::forward, {.stack_bytes = 16 * 1024}),
                   "thread 6: its stack of 16384 bytes overflowed"));
  REQUIRE(fault<On<32, body>>(ThreadOrder::forward, {.stack_bytes = 32 * 1024}) == "no fault");
}

TEST_CASE("After a fault every thread has been unwound and the context goes on") {
  static int alive = 0;
  struct Counted {
    Counted() { ++alive; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    ~Counted() { --alive; }
  };
  constexpr auto body = [](const auto& th, const auto& p, auto&) {
    const Counted counted;
    th.sync_warp();
    if (p.blocks == 2 && th.block() == 1 && th.thread() == 40) return;
    th.sync();
    p.out[128 * th.block() + th.thread()] = p.in[th.thread()];
  };
  const auto in = numbers(128);
  std::vector<float> out(3 * 128);
  Context<Emulated> context;
  for (int again = 0; again < 3; ++again) {
    const VectorView<float> view{out.data(), 3 * 128};
    REQUIRE_ERROR((launch<On<128, body>>(context, {{in.data(), 128}, view, 2})), "block 1, thread 0: sync() at");
    REQUIRE(alive == 0);
    launch<On<128, body>>(context, {{in.data(), 128}, view, 3});
    REQUIRE(alive == 0);
    REQUIRE(std::equal(in.begin(), in.end(), out.begin() + 256));
  }
}

TEST_CASE("Blocks spread over host threads give the same results and the same first fault") {
  constexpr auto body = [](const auto& th, const auto& p, auto& shared) {
    shared.values[th.thread()] = p.in[th.thread()] * static_cast<float>(th.block());
    th.sync();
    p.out[64 * th.block() + th.thread()] = shared.values[63 - th.thread()];
  };
  constexpr auto faulty = [](const auto& th, const auto&, auto&) {
    if (th.block() >= 5 && th.block() % 2 == 1 && th.thread() == 2) return;
    th.sync();
  };
  const auto in = numbers(64);
  std::vector<float> expected(64 * 20);
  REQUIRE(check<On<64, body>>(in, expected, 20).text() == "");
  for (const int threads : {2, 3}) {
    std::vector<float> out(64 * 20);
    REQUIRE(check<On<64, body>>(in, out, 20, {.threads = threads}).text() == "");
    REQUIRE(out == expected);
    Context<Emulated> context({.threads = threads});
    REQUIRE_ERROR((launch<On<64, faulty>>(context, {{}, {}, 20})), "block 5, thread 0");
  }
}

TEST_CASE("Atomic sums count every thread in every type") {
  constexpr auto body = [](const auto& th, const auto& p, auto&) {
    th.atomic_add(p.out.data + th.lane(), static_cast<std::remove_reference_t<decltype(p.out[0])>>(1 + th.block()));
  };
  const auto run = [&]<class T>(T) {
    std::vector<T> out(32, T{3});
    REQUIRE(check<On<128, body, T>>({}, out, 6, {.threads = 2}).text() == "");
    REQUIRE(std::all_of(out.begin(), out.end(), [](T v) { return v == T{3 + 4 * (1 + 2 + 3 + 4 + 5 + 6)}; }));
  };
  run(std::int32_t{});
  run(std::uint32_t{});
  run(std::int64_t{});
  run(std::uint64_t{});
  run(0ULL);
  run(0.0f);
  run(0.0);
}

TEST_CASE("Shuffles carry every type unchanged") {
  constexpr auto body = [](const auto& th, const auto& p, auto&) {
    auto* out = p.out.data + 3 * th.thread();
    const auto v = p.in[th.thread()];
    out[0] = th.shfl(v, 31 - th.lane());
    out[1] = th.shfl_xor(v, 5);
    out[2] = th.shfl_down(v, 7);
  };
  const auto run = [&]<class T>(T scale) {
    std::vector<T> in = numbers<T>(64), out(3 * 64);
    for (T& v : in) v = v * scale;
    REQUIRE(check<On<64, body, T>>(in, out, 1).text() == "");
    for (std::size_t t = 0; t < 64; ++t) {
      const std::size_t warp = t / 32 * 32, lane = t % 32;
      REQUIRE(out[3 * t] == in[warp + 31 - lane]);
      REQUIRE(out[3 * t + 1] == in[warp + (lane ^ 5)]);
      REQUIRE(out[3 * t + 2] == in[lane + 7 < 32 ? t + 7 : t]);
    }
  };
  run(std::int32_t{-1234567});
  run(std::uint32_t{4000000});
  run(std::int64_t{-1234567890123});
  run(std::uint64_t{1} << 50);
  run(-0.3f);
  run(-1e300 / 7);
}

TEST_CASE("A negative grid is an error and an empty one runs nothing") {
  constexpr auto body = [](const auto&, const auto& p, auto&) { p.out.data[0] = 1; };
  Context<Emulated> context;
  float value = 0;
  REQUIRE_ERROR((launch<On<32, body>>(context, {{}, {&value, 1}, -1})), "a grid of -1 blocks");
  launch<On<32, body>>(context, {{}, {&value, 1}, 0});
  REQUIRE(value == 0);
}

TEMPLATE_TEST_CASE("Fibers keep their values and catch their exceptions on either kind of switch", "",
                   detail::StackSwitch, detail::UcontextSwitch) {
  struct State {
    detail::Fiber<TestType> fiber{64 * 1024};
    int rounds = 0;
    bool caught = false;
  };
  std::vector<std::unique_ptr<State>> states;
  for (int i = 0; i < 5; ++i) states.push_back(std::make_unique<State>());
  for (int again = 0; again < 2; ++again) {
    for (auto& state : states) {
      state->rounds = 0;
      state->caught = false;
      state->fiber.start(
          [](void* argument) {
            State& self = *static_cast<State*>(argument);
            double value = 1;
            for (; self.rounds < 10; ++self.rounds) {
              value *= 3;
              self.fiber.suspend();
            }
            try {
              fail("value ", value);
            } catch (const error& e) {
              self.caught = e.what() == std::string("value 59049");
            }
          },
          state.get());
    }
    for (int round = 0; round <= 10; ++round)
      for (auto& state : states) {
        REQUIRE(state->fiber.running());
        state->fiber.resume();
      }
    for (const auto& state : states) REQUIRE((state->caught && !state->fiber.running() && !state->fiber.overflowed()));
  }
}

}  // namespace dream_tests::testing_emulated
