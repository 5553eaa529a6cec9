#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"

namespace dream_tests::kernels_collectives {

using namespace dream;

namespace {

/// Everything that collectives give a thread.
template <class T>
struct Results {
  T warp_sum, warp_max, warp_log_sum, warp_scan;
  T block_sum, block_max, block_log_sum;
  T before, through, total;
};

template <class T, int Threads>
struct AllCollectives {
  static constexpr int threads = Threads;
  struct Params {
    VectorView<const T> in;
    VectorView<Results<T>> out;
  };
  struct Shared {
    BlockScratch<T, Threads> numbers;
    BlockScratch<LogSumExp<T>, Threads> pairs;
  };
  static int grid(const Params& p) { return static_cast<int>(p.in.size / Threads); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const std::int64_t i = std::int64_t{th.block()} * Threads + th.thread();
    const T v = th.load_readonly(p.in.data + i);
    Results<T>& out = p.out[i];
    out.warp_sum = warp_sum(th, v);
    out.warp_max = warp_max(th, v);
    out.warp_scan = warp_scan(th, v, AddValues{});
    // One scratch for call after call: each must leave it free for the next.
    out.block_sum = block_sum(th, v, shared.numbers);
    out.block_max = block_max(th, v, shared.numbers);
    const Scanned<T> scanned = block_scan(th, v, AddValues{}, shared.numbers);
    out.before = scanned.before;
    out.through = scanned.through;
    out.total = scanned.total;
    if constexpr (std::is_floating_point_v<T>) {
      out.warp_log_sum = warp_log_sum_exp(th, LogSumExp<T>::of(v)).value();
      out.block_log_sum = block_log_sum_exp(th, LogSumExp<T>::of(v), shared.pairs).value();
    } else {
      out.warp_log_sum = out.block_log_sum = 0;
    }
  }
};

template <class T, int Threads>
std::vector<Results<T>> run(const std::vector<T>& in, int host_threads = 1) {
  std::vector<Results<T>> out(in.size());
  using Kernel = AllCollectives<T, Threads>;
  const KernelReport report = check_kernel<Kernel>(
      [&](KernelBuffers& use) {
        return typename Kernel::Params{
            use.input(VectorView<const T>{in.data(), static_cast<std::int64_t>(in.size())}),
            use.output(VectorView<Results<T>>{out.data(), static_cast<std::int64_t>(out.size())})};
      },
      {.threads = host_threads});
  REQUIRE(report.text() == "");
  return out;
}

/// log(sum exp) by the definition, in long double.
template <class T>
double plain_log_sum_exp(const T* begin, const T* end) {
  const long double max = *std::max_element(begin, end);
  if (std::isinf(max)) return static_cast<double>(max);
  long double sum = 0;
  for (const T* x = begin; x != end; ++x) sum += std::exp(static_cast<long double>(*x) - max);
  return static_cast<double>(max + std::log(sum));
}

/// Rounding: sums of n terms in a tree or a chain of at most 32 + 5 + 5 steps, of values below 4.
template <class T>
double sum_tolerance(int count) {
  return 42 * static_cast<double>(std::numeric_limits<T>::epsilon()) * 4 * count;
}

template <class T, int Threads>
void check_against_loops() {
  const int blocks = Threads > 256 ? 2 : 5;
  const RandomStream random{7, RandomUse::user, Threads};
  std::vector<T> in(static_cast<std::size_t>(Threads * blocks));
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<T>(std::floor(random.uniform(i) * 8e6) / 1e6 - 4);
  if constexpr (std::is_integral_v<T>)
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<T>(random.below(i, 2000000)) - T{1000000};
  const auto out = run<T, Threads>(in, 2);

  const double tolerance = std::is_integral_v<T> ? 0 : sum_tolerance<T>(Threads);
  const auto near = [&](T a, double b) { return std::abs(static_cast<double>(a) - b) <= tolerance; };
  bool sums = true, maxima = true, scans = true, logarithms = true, equal = true;
  for (int b = 0; b < blocks; ++b) {
    const T* block = in.data() + b * Threads;
    double running = 0, warp_running = 0;
    for (int t = 0; t < Threads; ++t) {
      const Results<T>& r = out[static_cast<std::size_t>(b * Threads + t)];
      const Results<T>& first_of_block = out[static_cast<std::size_t>(b * Threads)];
      const int first = t / 32 * 32, last = std::min(first + 32, Threads);
      const Results<T>& first_of_warp = out[static_cast<std::size_t>(b * Threads + first)];
      double warp_total = 0, total = 0;
      for (int k = first; k < last; ++k) warp_total += static_cast<double>(block[k]);
      for (int k = 0; k < Threads; ++k) total += static_cast<double>(block[k]);
      if (t == first) warp_running = 0;
      scans &= near(r.before, running);
      running += static_cast<double>(block[t]);
      warp_running += static_cast<double>(block[t]);
      scans &= near(r.through, running) && near(r.total, total) && near(r.warp_scan, warp_running);
      sums &= near(r.warp_sum, warp_total) && near(r.block_sum, total);
      maxima &= r.warp_max == *std::max_element(block + first, block + last);
      maxima &= r.block_max == *std::max_element(block, block + Threads);
      equal &= r.warp_sum == first_of_warp.warp_sum && r.warp_log_sum == first_of_warp.warp_log_sum;
      equal &= r.block_sum == first_of_block.block_sum && r.total == first_of_block.total;
      equal &= r.block_log_sum == first_of_block.block_log_sum;
      if constexpr (std::is_floating_point_v<T>) {
        logarithms &= near(r.warp_log_sum, plain_log_sum_exp(block + first, block + last));
        logarithms &= near(r.block_log_sum, plain_log_sum_exp(block, block + Threads));
      }
    }
  }
  CAPTURE(Threads);
  REQUIRE(sums);
  REQUIRE(maxima);
  REQUIRE(scans);
  REQUIRE(logarithms);
  REQUIRE(equal);
}

template <class T>
void check_all_sizes() {
  check_against_loops<T, 1>();
  check_against_loops<T, 2>();
  check_against_loops<T, 31>();
  check_against_loops<T, 32>();
  check_against_loops<T, 33>();
  check_against_loops<T, 127>();
  check_against_loops<T, 128>();
  check_against_loops<T, 256>();
  check_against_loops<T, 300>();
  check_against_loops<T, 512>();
  check_against_loops<T, 1024>();
}

/// Half of the block takes one sum, half another.
struct SplitSum {
  static constexpr int threads = 64;
  struct Params {
    VectorView<float> out;
  };
  struct Shared {
    BlockScratch<float, threads> scratch;
  };
  static int grid(const Params&) { return 1; }
  static constexpr int first_line = __LINE__ + 4;
  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    float v = 1;
    if (th.warp() == 0) v = block_sum(th, v, shared.scratch);
    if (th.warp() == 1) v = block_sum(th, v, shared.scratch);
    p.out[th.thread()] = v;
  }
};

}  // namespace

TEST_CASE("Reductions and scans agree with plain loops in float, the same in every thread and thread order") {
  check_all_sizes<float>();
}
TEST_CASE("Reductions and scans agree with plain loops in double, the same in every thread and thread order") {
  check_all_sizes<double>();
}
TEST_CASE("Reductions and scans of integers are exact") {
  check_all_sizes<std::int32_t>();
  check_against_loops<std::int64_t, 33>();
  check_against_loops<std::int64_t, 256>();
}

TEMPLATE_TEST_CASE("A warp's sum halves the warp, to the bit", "", float, double) {
  const RandomStream random{11};
  std::vector<TestType> in(96);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<TestType>(random.normal(i));
  const auto out = run<TestType, 96>(in);
  for (std::size_t w = 0; w < 3; ++w) {
    std::vector<TestType> v(in.begin() + static_cast<std::ptrdiff_t>(32 * w),
                            in.begin() + static_cast<std::ptrdiff_t>(32 * w + 32));
    for (std::size_t half = 16; half > 0; half /= 2)
      for (std::size_t i = 0; i < half; ++i) v[i] += v[i + half];
    REQUIRE(out[32 * w].warp_sum == v[0]);
  }
  REQUIRE(out[0].block_sum == out[0].warp_sum + out[32].warp_sum + out[64].warp_sum);
}

TEMPLATE_TEST_CASE("Log-sum-exp neither overflows nor loses infinities and NaN", "", float, double) {
  using T = TestType;
  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const auto of_block = [](const std::vector<T>& in) { return run<T, 128>(in)[77].block_log_sum; };
  std::vector<T> in(128, T{10000});
  REQUIRE(of_block(in) == Approx(10000 + std::log(128.0)));
  in.assign(128, T{-10000});
  REQUIRE(of_block(in) == Approx(-10000 + std::log(128.0)));
  in[3] = T{10000};
  REQUIRE(of_block(in) == T{10000});
  in.assign(128, -infinity);
  REQUIRE(of_block(in) == -infinity);
  in[100] = T{2.5};
  REQUIRE(of_block(in) == T{2.5});
  in[50] = infinity;
  REQUIRE(of_block(in) == infinity);
  in[31] = nan;
  REQUIRE(std::isnan(of_block(in)));
  REQUIRE(std::isnan(run<T, 128>(in)[0].block_max));
  REQUIRE(LogSumExp<T>::none().value() == -infinity);
  REQUIRE(combine(LogSumExp<T>::none(), LogSumExp<T>::none()).value() == -infinity);
}

TEST_CASE("Two sums that should have been one are an error at the lines that called them") {
  std::vector<float> out(64);
  for (const ThreadOrder order : {ThreadOrder::forward, ThreadOrder::reverse, ThreadOrder::shuffled}) {
    Context<Emulated> context({.order = order});
    const std::string first = "collectives.test.cpp:" + std::to_string(SplitSum::first_line);
    const std::string second = "collectives.test.cpp:" + std::to_string(SplitSum::first_line + 1);
    REQUIRE_ERROR(launch<SplitSum>(context, {{out.data(), 64}}), first + " while thread 32 is in sync() at ");
    REQUIRE_ERROR(launch<SplitSum>(context, {{out.data(), 64}}), second);
  }
}

}  // namespace dream_tests::kernels_collectives
