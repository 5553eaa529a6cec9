#include <dream/kernels/loss_sums.cuh>

#include <limits>
#include <vector>

#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"

namespace dream_tests::kernels_loss_sums {

using namespace dream;
using namespace dream::kernels;

namespace {

/// Adds each of `steps` (terms of one step) in turn.
template <class T>
void add(const std::vector<std::vector<T>>& steps, std::vector<double>& sums, LossWatch& watch) {
  for (const std::vector<T>& terms : steps) {
    const KernelReport report = check_kernel<AddLosses<T>>([&](KernelBuffers& use) {
      typename AddLosses<T>::Params p{};
      for (std::size_t t = 0; t < terms.size(); ++t) p.terms[t] = use.input(&terms[t], 1);
      p.count = static_cast<int>(terms.size());
      p.sums = use.output(sums.data(), static_cast<std::int64_t>(sums.size()));
      p.watch = use.output(&watch, 1);
      return p;
    });
    INFO(report.text());
    REQUIRE(report.ok());
  }
}

}  // namespace

TEST_CASE("Losses are summed term by term, and steps are counted") {
  std::vector<double> sums{0, 10, 0};
  LossWatch watch{-1, -1, 0, 0, 0};
  add<float>({{1.5F, 2, -1}, {0.25F, 1, 1e30F}}, sums, watch);
  CHECK(sums == std::vector<double>{1.75, 13, static_cast<double>(1e30F) - 1});
  CHECK(watch.bad_term == -1);
  CHECK(watch.steps == 2);
}

TEST_CASE("The first loss term that is not finite is kept with its step, and nothing is summed from there on") {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    std::vector<double> sums{0, 0};
    LossWatch watch{-1, -1, 0, 0, 0};
    add<double>({{1, 2}, {3, bad}, {bad, 5}, {1, 1}}, sums, watch);
    CHECK(sums == std::vector<double>{1, 2});
    CHECK(watch.bad_term == 1);
    CHECK(watch.bad_step == 1);
    CHECK(watch.steps == 1);
    CHECK_FALSE(watch.bad_value < 1e300);
  }
}

}  // namespace dream_tests::kernels_loss_sums
