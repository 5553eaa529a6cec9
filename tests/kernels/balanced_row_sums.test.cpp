#include <cstdint>
#include <utility>
#include <vector>

#include <dream/kernels/balanced_row_sums.cuh>
#include <dream/kernels/row_sums.cuh>
#include <dream/kernels/spmm_plan.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/row_sums.hpp"

namespace dream_tests::kernels_balanced_row_sums {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test::row_sums;

TEST_CASE("Each kernel of a balanced sum reads only what it does not write") {
  const Graph<float> a(power_law(40, 600), 100);
  const std::vector<index_t> rows{5, 1, 30, 39, 5, 5, 0, 17};
  const auto x = random_dense<float>(a.cols, 36, 18);
  const auto listed = static_cast<index_t>(rows.size());
  std::vector<std::int64_t> list_offsets(rows.size() + 1);
  const KernelReport scanned = check_kernel<ListOffsets>([&](KernelBuffers& use) {
    return ListOffsets::Params{use_list(use, rows), use.input(a.offsets.data(), size_of(a.offsets)), a.rows,
                               use.output(list_offsets.data(), size_of(list_offsets))};
  });
  REQUIRE(scanned.text() == "");
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const auto r = static_cast<std::size_t>(rows[k]);
    REQUIRE(list_offsets[k + 1] - list_offsets[k] == a.offsets[r + 1] - a.offsets[r]);
  }
  Dense<float> y(listed, 36), carries(20, 36);
  std::vector<index_t> carry_rows(20);
  const auto params = [&](KernelBuffers& use, bool second) {
    ChunkedRowSum<float> p;
    p.sum.a = a.input(use);
    p.sum.x = use.input(x.view());
    p.sum.rows = use_list(use, rows).data;
    p.sum.y = use.output(y.view());
    p.offsets = use.input(list_offsets.data(), size_of(list_offsets));
    p.chunks = 20;
    // The second pass only reads the parts, which its Params hold as memory to write.
    const auto parts = std::as_const(carries).view();
    const auto& part_rows = std::as_const(carry_rows);
    p.carries =
        second ? MatrixView<float>{const_cast<float*>(use.input(parts).data), 20, 36, 36} : use.output(carries.view());
    p.carry_rows = second ? const_cast<index_t*>(use.input(part_rows.data(), 20)) : use.output(carry_rows.data(), 20);
    return p;
  };
  const KernelReport first =
      check_kernel<BalancedRowSums<float>>([&](KernelBuffers& use) { return params(use, false); });
  REQUIRE(first.text() == "");
  const KernelReport last = check_kernel<AddCarries<float>>([&](KernelBuffers& use) { return params(use, true); });
  REQUIRE(last.text() == "");
  const auto expected = [&](index_t k, index_t j) {
    return reference(a, rows[static_cast<std::size_t>(k)], x, j, itself, 1, 0, 0);
  };
  require_near(y, expected);
  const KernelReport by_rows = check_kernel<RowSums<float>>([&](KernelBuffers& use) { return params(use, false).sum; });
  REQUIRE(by_rows.text() == "");
  require_near(y, expected);
}

TEST_CASE("Balanced sums are planned where one row is long beside a device's share, and only they need memory") {
  const auto plan_of = [](const std::vector<index_t>& lengths) {
    return make_spmm_plan(Graph<float>(lengths, 100).offsets.data(), static_cast<index_t>(lengths.size()));
  };
  REQUIRE(plan_of({}).longest_row == 0);
  REQUIRE(plan_of({}).entries == 0);
  const SpmmPlan even = plan_of(std::vector<index_t>(300, 20)), skewed = plan_of(power_law(300, 900));
  REQUIRE(even.entries == 6000);
  REQUIRE(even.longest_row == 20);
  REQUIRE(skewed.longest_row == 900);
  REQUIRE(!even.balanced(even.items()));
  REQUIRE(skewed.balanced(skewed.items()));
  REQUIRE(row_sum_workspace(even, 64).carries == 0);
  REQUIRE(listed_row_sum_workspace(even, 1000, 64).list_offsets == 0);
  REQUIRE(row_sum_workspace(skewed, 64).carries == 64 * ((skewed.items() + 31) / 32));
  REQUIRE(listed_row_sum_workspace(skewed, 1000, 64).list_offsets == 1001);
  // A hundred million entries keep every worker busy longer than a row of 5000 does.
  REQUIRE(!SpmmPlan{1000000, 100000000, 5000}.balanced(101000000));
  REQUIRE(SpmmPlan{1000000, 100000000, 50000}.balanced(101000000));
  REQUIRE(SpmmPlan::chunks(101000000) == 32768);
  // A short last batch is balanced where the whole ones are not: their workspace serves it.
  const SpmmPlan middling{1000, 50000, 150};
  const std::int64_t batch = 40000;
  REQUIRE(!middling.balanced(middling.items_of_list(batch)));
  REQUIRE(middling.balanced(middling.items_of_list(100)));
  REQUIRE(listed_row_sum_workspace(middling, batch, 8).list_offsets == batch + 1);
  REQUIRE(listed_row_sum_workspace(middling, batch, 8).carries >= listed_row_sum_workspace(middling, 100, 8).carries);
}

}  // namespace dream_tests::kernels_balanced_row_sums
