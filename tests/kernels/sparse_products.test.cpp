#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/kernels/graph_propagation.cuh>
#include <dream/kernels/row_gather.cuh>
#include <dream/kernels/sparse_products.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/row_sums.hpp"

namespace dream_tests::kernels_sparse_products {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test::row_sums;

namespace {

template <class T>
void check_spmm(const Graph<T>& a, index_t d, bool balanced, double alpha, double beta, index_t gap = 0,
                index_t shift = 0) {
  CAPTURE(a.rows, a.cols, d, balanced, alpha, beta, gap, shift);
  const auto x = random_dense<T>(a.cols, d, 2, gap, shift);
  auto y = output_for<T>(a.rows, d, beta, gap, shift);
  const auto old = y;
  const SpmmPlan plan = plan_for(a, balanced);
  Workspace<T> workspace(row_sum_workspace(plan, d));
  const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    spmm(context, SpmmArguments<T>{static_cast<T>(alpha), a.input(use), use.input(x.view()), static_cast<T>(beta),
                                   use.output(y.view()), plan, workspace.output(use)});
  });
  REQUIRE(report.text() == "");
  require_near(y, [&](index_t i, index_t j) {
    return reference(a, i, x, j, itself, alpha, beta, static_cast<double>(old(i, j)));
  });
}

}  // namespace

TEST_CASE(
    "Both mappings of the sparse product agree with plain loops for rows of every kind and every number of columns") {
  const Graph<double> a(all_kinds(), all_columns);
  for (const bool balanced : {false, true})
    for (const index_t d : common_dims) check_spmm(a, d, balanced, 1, 0);
}

TEST_CASE("Both mappings of the sparse product agree with plain loops on power laws of every size") {
  for (const bool balanced : {false, true})
    for (const index_t rows : dream_test::sizes({0, 1, 33, 129}, {0, 1, 31, 32, 33, 127, 128, 129, 257}))
      check_spmm(Graph<double>(power_law(rows, 900), 200, static_cast<std::uint32_t>(rows)), 6, balanced, -1.5, 0.5);
}

TEST_CASE("Matrices of empty rows, of one row and of one column are summed by both mappings") {
  for (const bool balanced : {false, true}) {
    for (const double beta : {0.0, 1.0}) {
      check_spmm(Graph<double>(std::vector<index_t>(70, 0), 10), 8, balanced, 1, beta);
      check_spmm(Graph<double>({9000}, 20), 8, balanced, 1, beta);
      check_spmm(Graph<double>(std::vector<index_t>(500, 1), 1), 8, balanced, 1, beta);
      std::vector<index_t> last_is_long(100, 0);
      last_is_long.back() = 3000;
      check_spmm(Graph<double>(last_is_long, 50), 8, balanced, 1, beta);
      std::reverse(last_is_long.begin(), last_is_long.end());
      check_spmm(Graph<double>(last_is_long, 50), 8, balanced, 1, beta);
    }
    check_spmm(Graph<double>(all_kinds(), all_columns), 0, balanced, 1, 0);
  }
}

TEST_CASE("Gaps between rows and addresses off 16 bytes change nothing but the way") {
  const Graph<double> a(power_law(60, 400), 100);
  const Graph<float> b(power_law(60, 400), 100);
  for (const bool balanced : {false, true})
    for (const index_t gap : {0, 1, 3, 4})
      for (const index_t shift : {0, 1}) {
        check_spmm(a, 64, balanced, 1, 0.5, gap, shift);
        check_spmm(b, 36, balanced, 1, 0.5, gap, shift);
      }
}

TEST_CASE("Without values entries count as ones, in float as in double") {
  for (const bool balanced : {false, true}) {
    check_spmm(Graph<float>(all_kinds(), all_columns, 5, false), 64, balanced, 0.5, 0);
    check_spmm(Graph<float>(all_kinds(), all_columns, 5, true), 64, balanced, 1, 1);
    check_spmm(Graph<double>(power_law(129, 700), 300, 5, false), 5, balanced, 1, 1);
  }
}

TEST_CASE("A row that no entry refers to may hold anything") {
  const Graph<double> a({3, 700, 0, 9}, 50);
  Dense<double> x = random_dense<double>(50, 4, 3);
  std::vector<index_t> places(50);
  std::iota(places.begin(), places.end(), 0);
  Graph<double> infinite = a;
  for (std::size_t e = 0; e < a.indices.size(); ++e)
    if (a.indices[e] % 5 == 0) infinite.values[e] = std::numeric_limits<double>::infinity();
  for (std::size_t c = 0; c < 50; c += 5) places[c] = -1;
  for (index_t c = 0; c < 50; c += 5) x(c, 1) = not_a_number;
  for (const bool balanced : {false, true}) {
    Dense<double> y(4, 4);
    const SpmmPlan plan = plan_for(a, balanced);
    Workspace<double> workspace(row_sum_workspace(plan, 4));
    const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
      spmm_places(context,
                  SpmmPlacesArguments<double>{1, infinite.input(use), use_list(use, places), use.input(x.view()), 0,
                                              use.output(y.view()), plan, workspace.output(use)});
    });
    REQUIRE(report.text() == "");
    require_near(y, [&](index_t i, index_t j) { return reference(infinite, i, x, j, by(places), 1, 0, 0); });
  }
}

TEST_CASE("A compact matrix is multiplied by its places") {
  for (const int every : {1, 3, 40})
    for (const bool balanced : {false, true})
      for (const double beta : {0.0, 1.0, -0.5})
        for (const index_t d : {3, 64}) {
          CAPTURE(every, balanced, beta, d);
          const Graph<double> a(all_kinds(), all_columns);
          index_t count = 0;
          const std::vector<index_t> places = random_places(a.cols, every, count);
          const auto s = random_dense<double>(count, d, 4);
          auto y = output_for<double>(a.rows, d, beta);
          const auto old = y;
          const SpmmPlan plan = plan_for(a, balanced);
          Workspace<double> workspace(row_sum_workspace(plan, d));
          const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
            spmm_places(context,
                        SpmmPlacesArguments<double>{2, a.input(use), use_list(use, places), use.input(s.view()), beta,
                                                    use.output(y.view()), plan, workspace.output(use)});
          });
          REQUIRE(report.text() == "");
          require_near(y, [&](index_t i, index_t j) { return reference(a, i, s, j, by(places), 2, beta, old(i, j)); });
        }
}

TEST_CASE("Only the listed rows of a product are computed, in any order and again and again") {
  const Graph<double> a(all_kinds(), all_columns);
  const RandomStream random{41};
  for (const bool balanced : {false, true})
    for (const std::int64_t listed :
         dream_test::sizes<std::int64_t>({0, 1, 33, 129}, {0, 1, 31, 32, 33, 127, 128, 129, 257})) {
      CAPTURE(balanced, listed);
      const index_t d = listed == 33 ? 64 : 4;
      std::vector<index_t> rows(static_cast<std::size_t>(listed));
      for (std::size_t k = 0; k < rows.size(); ++k)
        rows[k] = static_cast<index_t>(random.below(k, k % 16 == 1 ? 15u : 3u));  // the two long rows a few times
      const auto x = random_dense<double>(a.cols, d, 6);
      Dense<double> y(static_cast<index_t>(listed), d);
      const SpmmPlan plan = plan_for(a, balanced);
      Workspace<double> workspace(listed_row_sum_workspace(plan, listed, d));
      const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
        spmm_rows(context, SpmmRowsArguments<double>{a.input(use), use_list(use, rows), use.input(x.view()),
                                                     use.output(y.view()), plan, workspace.output(use)});
      });
      REQUIRE(report.text() == "");
      require_near(y, [&](index_t k, index_t j) {
        return reference(a, rows[static_cast<std::size_t>(k)], x, j, itself, 1, 0, 0);
      });
    }
}

TEST_CASE("A list of more rows than a block scans at a time is summed") {
  std::vector<index_t> lengths(400, 0);
  lengths[1] = 1;
  lengths[2] = 300;
  lengths[3] = 7;
  const Graph<float> a(lengths, 40);
  std::vector<index_t> rows(8192 + 33);
  for (std::size_t k = 0; k < rows.size(); ++k) rows[k] = k % 1000 == 3 ? 2 : static_cast<index_t>(k * 7 % 5 % 2 * 3);
  const auto x = random_dense<float>(a.cols, 4, 6);
  Dense<float> y(static_cast<index_t>(rows.size()), 4);
  const SpmmPlan plan = plan_for(a, true);
  Workspace<float> workspace(listed_row_sum_workspace(plan, size_of(rows), 4));
  const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    spmm_rows(context, SpmmRowsArguments<float>{a.input(use), use_list(use, rows), use.input(x.view()),
                                                use.output(y.view()), plan, workspace.output(use)});
  });
  REQUIRE(report.text() == "");
  require_near(
      y, [&](index_t k, index_t j) { return reference(a, rows[static_cast<std::size_t>(k)], x, j, itself, 1, 0, 0); });
}

TEST_CASE("A listed row that is outside the matrix gives NaN and leaves the others alone") {
  const Graph<double> a(all_kinds(), all_columns);
  const std::vector<index_t> rows{3, -1, 4, a.rows, std::numeric_limits<index_t>::max(), 11, -1};
  const auto bad = [&](index_t k) {
    return rows[static_cast<std::size_t>(k)] < 0 || rows[static_cast<std::size_t>(k)] >= a.rows;
  };
  const index_t d = 6, listed = static_cast<index_t>(rows.size());
  const auto x = random_dense<double>(a.cols, d, 6), ego = random_dense<double>(a.rows, d, 7);
  for (const bool balanced : {false, true}) {
    Dense<double> y(listed, d), gathered(listed, d), mean(listed, d);
    const SpmmPlan plan = plan_for(a, balanced);
    Workspace<double> workspace(listed_row_sum_workspace(plan, listed, d));
    const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
      const CsrView<double> graph = a.input(use);
      const VectorView<const index_t> list = use_list(use, rows);
      const RowSumWorkspace<double> space = workspace.output(use);
      spmm_rows(context,
                SpmmRowsArguments<double>{graph, list, use.input(x.view()), use.output(y.view()), plan, space});
      launch<GatherRows<double>>(context, {use.input(ego.view()), list, use.output(gathered.view())});
      PropagatedMeanRowsArguments<double> p;
      p.layers = 1;
      p.graph = graph;
      p.rows = list;
      p.ego = use.input(ego.view());
      p.last = use.input(x.view());
      p.out = use.output(mean.view());
      p.plan = plan;
      p.workspace = space;
      propagated_mean_rows(context, p);
    });
    REQUIRE(report.text() == "");
    for (index_t k = 0; k < listed; ++k)
      for (index_t j = 0; j < d; ++j) {
        CAPTURE(balanced, k, j);
        REQUIRE(std::isnan(y(k, j)) == bad(k));
        REQUIRE(std::isnan(gathered(k, j)) == bad(k));
        REQUIRE(std::isnan(mean(k, j)) == bad(k));
        if (!bad(k)) REQUIRE(reference(a, rows[static_cast<std::size_t>(k)], x, j, itself, 1, 0, 0).near(y(k, j)));
      }
  }
}

}  // namespace dream_tests::kernels_sparse_products
