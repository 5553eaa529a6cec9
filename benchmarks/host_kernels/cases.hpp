// What the kernel benchmarks of the host share: cases that are done in two ways on the same memory, checked against
// each other before they are timed, and the ceilings of the machine.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // false alarms in AVX-512 intrinsics before GCC 13 (GCC bug 105593)
#include <Eigen/Core>
#pragma GCC diagnostic pop

#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/core/random.hpp>

namespace dream_benchmarks {

using namespace dream;

using HostMatrix = Matrix<float, Cpu>;
using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A matrix as Eigen sees it, on the same memory.
inline Eigen::Map<RowMajor> eigen(HostMatrix& m) { return {m.data(), m.rows(), m.cols()}; }
inline Eigen::Map<const RowMajor> eigen(const HostMatrix& m) { return {m.data(), m.rows(), m.cols()}; }

/// Uniform numbers from low to high.
inline HostMatrix uniform(index_t rows, index_t cols, std::uint64_t seed, float low = -1, float high = 1) {
  HostMatrix m(rows, cols);
  const RandomStream random{seed};
  for (std::int64_t e = 0; e < m.size(); ++e)
    m.data()[e] = low + (high - low) * static_cast<float>(random.uniform(static_cast<std::uint64_t>(e)));
  return m;
}
/// NaN: what nothing has been written to yet.
inline HostMatrix room(index_t rows, index_t cols) {
  HostMatrix m(rows, cols);
  m.fill(std::numeric_limits<float>::quiet_NaN());
  return m;
}

/// Throws where |found - expected| > tolerance |expected|, or is NaN.
inline void expect_close(const std::string& what, const HostMatrix& found, const HostMatrix& expected,
                         double tolerance) {
  DREAM_EXPECT(found.size() == expected.size(), what, ": ", found.size(), " values, expected ", expected.size());
  double difference = 0, norm = 0;
  for (std::int64_t e = 0; e < found.size(); ++e) {
    const double a = static_cast<double>(found.data()[e]), b = static_cast<double>(expected.data()[e]);
    difference += (a - b) * (a - b);
    norm += b * b;
  }
  const double relative = std::sqrt(difference) / std::max(std::sqrt(norm), 1e-30);
  DREAM_EXPECT(relative <= tolerance, what, " differs by ", relative, " of its size, where ", tolerance, " is allowed");
}

/// Work that both do; each has its results to itself. Whatever the functions use they hold.
struct HostWork {
  std::function<void()> dream, eigen;
  double bytes = 0;             ///< what must move at least
  double operations = 0;        ///< 0: not worth counting
  std::function<void()> check;  ///< throws dream::error where results differ after each was run once
};

/// The best that the machine does with these threads.
struct HostCeilings {
  double copy = 0;     ///< bytes a second, read and written
  double product = 0;  ///< operations a second of a large product, by the better of the two
};

/// The context that this library's side runs on, the ceilings, and the case that is measured at present.
class HostSession {
 public:
  Context<Cpu> context;
  HostCeilings ceilings;
  bool all_right = true;

  void measure(benchmark::State& state, const std::string& name, bool by_eigen,
               const std::function<HostWork(Context<Cpu>&)>& prepare) {
    if (name_ != name) begin(name, prepare);
    if (!wrong_.empty()) {
      state.SkipWithError(wrong_.c_str());
      return;
    }
    const std::function<void()>& run = by_eigen ? work_.eigen : work_.dream;
    for ([[maybe_unused]] auto _ : state) run();
    const auto rate = [&](const char* counter, double amount) {
      state.counters[counter] = benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
    };
    rate("bytes_per_second", work_.bytes);
    rate("of_copy", work_.bytes / ceilings.copy);
    if (work_.operations > 0) {
      rate("operations_per_second", work_.operations);
      rate("of_product", work_.operations / ceilings.product);
    }
  }

 private:
  void begin(const std::string& name, const std::function<HostWork(Context<Cpu>&)>& prepare) {
    name_ = name;
    wrong_.clear();
    work_ = {};
    try {
      work_ = prepare(context);
      work_.dream();
      work_.eigen();
      work_.check();
    } catch (const std::exception& e) {
      wrong_ = e.what();
      all_right = false;
    }
  }

  std::string name_, wrong_;
  HostWork work_;
};

inline HostSession& host() {
  static HostSession session;
  return session;
}

/// Registers NAME/dream and NAME/eigen.
inline void add_host_case(const std::string& name, const std::function<HostWork(Context<Cpu>&)>& prepare) {
  for (const bool by_eigen : {false, true})
    benchmark::RegisterBenchmark(
        (name + (by_eigen ? "/eigen" : "/dream")).c_str(),
        [name, by_eigen, prepare](benchmark::State& state) { host().measure(state, name, by_eigen, prepare); })
        ->MeasureProcessCPUTime()
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
}

/// The best of a few copies of 256 MiB, cut among the threads, and of a few products of 2304 x 2304 matrices.
inline HostCeilings measured_host_ceilings(Context<Cpu>& context) {
  const auto seconds = [](const auto& f) {
    const auto start = std::chrono::steady_clock::now();
    f();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const index_t n = 2304, rows = 1 << 16, cols = 1 << 10;
  const HostMatrix from = uniform(rows, cols, 1), a = uniform(n, n, 2), b = uniform(n, n, 3);
  HostMatrix to = room(rows, cols), c = room(n, n), d = room(n, n);
  HostCeilings best;
  for (int r = 0; r < 5; ++r) {
    const double copy = seconds([&] {
      context.parallel_blocks(rows, 1 << 10, [&](std::int64_t begin, std::int64_t end) {
        std::memcpy(to.data() + begin * cols, from.data() + begin * cols,
                    static_cast<std::size_t>((end - begin) * cols) * sizeof(float));
      });
    });
    const double ours =
        seconds([&] { gemm<float>(context, Op::none, Op::none, 1.0F, a.view(), b.view(), 0.0F, c.view()); });
    const double theirs = seconds([&] { eigen(d).noalias() = eigen(a) * eigen(b); });
    best.copy = std::max(best.copy, 2.0 * sizeof(float) * static_cast<double>(from.size()) / copy);
    best.product = std::max(best.product, 2.0 * n * n * n / std::min(ours, theirs));
  }
  return best;
}

}  // namespace dream_benchmarks
