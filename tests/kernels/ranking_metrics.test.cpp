#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/eval/metrics.hpp>
#include <dream/eval/ranking.hpp>
#include <dream/kernels/ranking_metrics.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"

namespace dream_tests::kernels_ranking_metrics {

using namespace dream;
using namespace dream::kernels;

namespace {

struct Lists {
  index_t users, depth, items;
  std::vector<index_t> ranked;
  std::vector<std::int64_t> offsets{0};
  std::vector<index_t> held_out;
  std::vector<index_t> user_rows;
  std::vector<std::uint8_t> item_class;

  /// Lists without repeats, some with ranks that have no item, and held-out rows of 0 to many items.
  Lists(index_t n, index_t k, index_t q, std::uint64_t seed) : users(n), depth(k), items(q) {
    const RandomStream random{seed};
    for (index_t u = 0; u < n; ++u) {
      const std::uint64_t start = random.below(static_cast<std::uint64_t>(u), static_cast<std::uint64_t>(q));
      const index_t there = u % 4 == 1 ? k / 2 : std::min(k, q);
      for (index_t c = 0; c < k; ++c)
        ranked.push_back(c < there ? static_cast<index_t>((start + 7 * static_cast<std::uint64_t>(c)) %
                                                          static_cast<std::uint64_t>(q))
                                   : -1);
      const double share = u % 6 == 2 ? 0 : u % 6 == 5 ? 0.5 : 0.03;
      for (index_t i = 0; i < q; ++i)
        if (random.uniform(static_cast<std::uint64_t>(u + 1) * 100000 + static_cast<std::uint64_t>(i)) < share)
          held_out.push_back(i);
      offsets.push_back(static_cast<std::int64_t>(held_out.size()));
    }
  }
  index_t rows() const { return user_rows.empty() ? users : static_cast<index_t>(user_rows.size()); }
  MatrixView<const index_t> ranked_view() const { return {ranked.data(), rows(), depth, depth}; }
};

/// Six means a cut-off and the number of users.
std::vector<double> by_kernels(const Lists& lists, const std::vector<int>& cutoffs, int counted_class = 0) {
  const index_t n = lists.rows();
  const int count = static_cast<int>(cutoffs.size());
  const std::int64_t needed = ranking_metrics_workspace(n, count);
  std::vector<double> table(static_cast<std::size_t>(ranking_metrics_table(count)), -5);
  std::vector<double> pieces(static_cast<std::size_t>(needed) + 1, std::nan(""));
  const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    RankingMetricsArguments a{
        .ranked = use.input(lists.ranked_view()),
        .held_out_offsets = use.input(lists.offsets.data(), static_cast<std::int64_t>(lists.offsets.size())),
        .held_out_indices = use.input(lists.held_out.data(), static_cast<std::int64_t>(lists.held_out.size())),
        .cutoff_count = count,
        .table = use.output(table.data(), static_cast<std::int64_t>(table.size())),
        .pieces = use.output(pieces.data(), needed)};
    std::copy(cutoffs.begin(), cutoffs.end(), a.cutoffs);
    if (!lists.user_rows.empty()) a.user_rows = use.input(VectorView<const index_t>{lists.user_rows.data(), n});
    if (!lists.item_class.empty()) {
      a.item_class = use.input(lists.item_class.data(), lists.items);
      a.counted_class = static_cast<std::uint8_t>(counted_class);
    }
    ranking_metrics(context, a);
  });
  REQUIRE(report.text() == "");
  return table;
}

/// The same by the CPU's function for one user, and by its means.
std::vector<double> reference(const Lists& lists, const std::vector<int>& cutoffs, int counted_class = 0) {
  Context<Cpu> context(1);
  const MetricTable table =
      dream::detail::mean_metrics(context, lists.ranked_view(), cutoffs, [&](index_t r, std::vector<index_t>& out) {
        const std::size_t u =
            static_cast<std::size_t>(lists.user_rows.empty() ? r : lists.user_rows[static_cast<std::size_t>(r)]);
        out.clear();
        for (std::int64_t e = lists.offsets[u]; e < lists.offsets[u + 1]; ++e) {
          const index_t item = lists.held_out[static_cast<std::size_t>(e)];
          if (lists.item_class.empty() || lists.item_class[static_cast<std::size_t>(item)] == counted_class)
            out.push_back(item);
        }
      });
  std::vector<double> out;
  for (const auto& [name, value] : table.values) out.push_back(value);
  out.push_back(static_cast<double>(table.users));
  return out;
}

/// Rounding of sums of some hundred numbers below 1, in another order.
void require_near(const std::vector<double>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i, found[i], expected[i]);
    REQUIRE(std::abs(found[i] - expected[i]) < 1e-13);
  }
}

}  // namespace

TEST_CASE("One user by hand") {
  Lists lists(0, 5, 10, 1);
  lists.users = 1;
  lists.ranked = {4, 9, 2, -1, -1};
  lists.held_out = {2, 4, 7};
  lists.offsets = {0, 3};
  const std::vector<double> found = by_kernels(lists, {2, 5});
  const double second = 1 / std::log2(3.0), third = 0.5;
  require_near(found, {1.0 / 3, 1 / (1 + second), 0.5, 0.5, 1, 1,  // hit, miss
                       2.0 / 3, (1 + third) / (1 + second + third), 0.4, (1 + 2.0 / 3) / 3, 1, 1, 1});
}

TEST_CASE("The means of any number of users are the CPU's") {
  for (const index_t n : dream_test::sizes({0, 1, 33, 129}, {0, 1, 31, 32, 33, 127, 128, 129, 255, 256, 257, 600})) {
    const Lists lists(n, 20, 100, static_cast<std::uint64_t>(n));
    CAPTURE(n);
    require_near(by_kernels(lists, {10, 20}), reference(lists, {10, 20}));
  }
}

TEST_CASE("Cut-offs in any order, below, at and above the length of the lists") {
  for (const index_t depth : dream_test::sizes({1, 33, 129}, {1, 31, 32, 33, 64, 129})) {
    const Lists lists(50, depth, 400, static_cast<std::uint64_t>(depth));
    const std::vector<int> cutoffs{depth, 1, 2 * depth, 200, 1024, 5};
    CAPTURE(depth);
    require_near(by_kernels(lists, cutoffs), reference(lists, cutoffs));
  }
}

TEST_CASE("Sixteen cut-offs at a time") {
  const Lists lists(40, 20, 50, 8);
  std::vector<int> cutoffs;
  for (int k = 1; k <= ranking_cutoff_limit; ++k) cutoffs.push_back(k);
  require_near(by_kernels(lists, cutoffs), reference(lists, cutoffs));
}

TEST_CASE("Chosen users, and held-out items of one class of items") {
  Lists lists(300, 20, 90, 12);
  lists.user_rows.clear();
  for (index_t u = 5; u < 270; u += 2) lists.user_rows.push_back(u);
  for (index_t i = 0; i < 90; ++i) lists.item_class.push_back(static_cast<std::uint8_t>(i % 3 == 0));
  for (const int counted : {0, 1, 2}) {
    CAPTURE(counted);
    require_near(by_kernels(lists, {5, 20}, counted), reference(lists, {5, 20}, counted));
  }
  REQUIRE(by_kernels(lists, {5}, 2).back() == 0);  // no such items: no users, means 0
}

TEST_CASE("All metrics of a perfect ranking are 1, and of users without held-out items 0") {
  Lists lists(0, 3, 50, 1);
  for (index_t u = 0; u < 300; ++u) {
    for (index_t c = 0; c < 3; ++c) lists.ranked.push_back(40 - u % 30 - c);
    for (index_t c = 2; c >= 0; --c) lists.held_out.push_back(40 - u % 30 - c);
    lists.offsets.push_back(static_cast<std::int64_t>(lists.held_out.size()));
  }
  lists.users = 300;
  require_near(by_kernels(lists, {3}), {1, 1, 1, 1, 1, 1, 300});
  lists.offsets.assign(301, 0);
  require_near(by_kernels(lists, {3}), {0, 0, 0, 0, 0, 0, 0});
}

}  // namespace dream_tests::kernels_ranking_metrics
