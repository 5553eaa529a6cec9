#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/kernels/row_gather.cuh>
#include <dream/kernels/row_groups.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/row_sums.hpp"

namespace dream_tests::kernels_row_gather {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test::row_sums;

TEST_CASE("Gathered rows are copies") {
  const RandomStream random{43};
  for (const index_t listed : dream_test::sizes({0, 1, 33, 129}, {0, 1, 31, 32, 33, 127, 128, 129, 257, 1500}))
    for (const index_t d : common_dims) {
      if (listed > 129 && d != 64) continue;
      for (const index_t shift : {0, 1}) {
        std::vector<index_t> rows(static_cast<std::size_t>(listed));
        for (std::size_t k = 0; k < rows.size(); ++k) rows[k] = static_cast<index_t>(random.below(k, 90));
        const auto x = random_dense<float>(90, d, 8, 4, shift);
        Dense<float> y(listed, d, 8);
        const KernelReport report = check_kernel<GatherRows<float>>([&](KernelBuffers& use) {
          return GatherRows<float>::Params{use.input(x.view()), use_list(use, rows), use.output(y.view())};
        });
        REQUIRE(report.text() == "");
        bool equal = true;
        for (index_t k = 0; k < listed; ++k)
          for (index_t j = 0; j < d; ++j) equal = equal && y(k, j) == x(rows[static_cast<std::size_t>(k)], j);
        CAPTURE(listed, d, shift);
        REQUIRE(equal);
      }
    }
}

TEST_CASE("Rows are summed by group and scattered back, however large a group is") {
  const RandomStream random{47};
  for (const index_t listed : dream_test::sizes({0, 1, 33, 129}, {0, 1, 31, 32, 33, 127, 128, 129, 257, 5000}))
    for (const index_t d : {3, 64}) {
      const index_t total = 200, room = listed + 3;
      std::vector<index_t> rows(static_cast<std::size_t>(listed));
      for (std::size_t k = 0; k < rows.size(); ++k)  // half of them one row
        rows[k] = k % 2 == 0 ? 120 : static_cast<index_t>(random.below(k, static_cast<std::uint64_t>(total)));
      const auto dy = random_dense<double>(listed, d, 16);
      Dense<double> sums(room, d);
      const auto old = random_dense<double>(total, d, 17);
      Dense<double> written(total, d), added = old, scaled = old;
      std::vector<index_t> group_rows(static_cast<std::size_t>(room)), positions(rows.size()), places(total), count(1);
      std::vector<std::int64_t> offsets(static_cast<std::size_t>(room) + 1);
      Workspace<double> workspace(sum_groups_workspace(listed, d));
      const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
        const RowGroupsView groups{use.output(VectorView<index_t>{group_rows.data(), room}),
                                   use.output(offsets.data(), room + 1), use.output(positions.data(), listed),
                                   use.output(VectorView<index_t>{places.data(), total}), use.output(count.data(), 1)};
        build_row_groups(context, {use_list(use, rows), groups, false, nullptr});
        const MatrixView<double> s = use.output(sums.view());
        sum_groups(context, SumGroupsArguments<double>{groups.count,
                                                       groups.offsets,
                                                       {groups.positions, listed},
                                                       use.input(dy.view()),
                                                       s,
                                                       workspace.output(use)});
        for (auto [beta, dx] : {std::pair{0.0, &written}, {1.0, &added}, {-2.0, &scaled}})
          launch<ScatterGroups<double>>(
              context, {groups.count, groups.group_rows, groups.places, s, beta, use.output(dx->view())});
      });
      CAPTURE(listed, d);
      REQUIRE(report.text() == "");
      const auto gradient = [&](index_t r, index_t j, double beta) {
        Sum sum;
        for (index_t k = 0; k < listed; ++k)
          if (rows[static_cast<std::size_t>(k)] == r) sum.add(dy(k, j));
        if (beta != 0) sum.add(beta * old(r, j));
        return sum;
      };
      require_near(written, [&](index_t r, index_t j) { return gradient(r, j, 0); });
      require_near(added, [&](index_t r, index_t j) { return gradient(r, j, 1); });
      require_near(scaled, [&](index_t r, index_t j) { return gradient(r, j, -2); });
      for (index_t g = 0; g < room; ++g) REQUIRE(std::isnan(sums(g, 0)) == (g >= count[0]));
    }
}

}  // namespace dream_tests::kernels_row_gather
