#include <cstdint>
#include <vector>

#include <dream/kernels/graph_propagation.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/row_sums.hpp"

namespace dream_tests::kernels_graph_propagation {

using namespace dream;
using namespace dream::kernels;
using namespace dream_test::row_sums;

TEST_CASE("The mean of propagated layers has all of them, at the listed rows") {
  const Graph<double> a(all_kinds(), all_columns);
  for (const int layers : {0, 1, 3, inner_layer_limit + 1})
    for (const bool balanced : {false, true})
      for (const index_t d : {5, 64})
        for (const index_t gap : {0, 1}) {
          CAPTURE(layers, balanced, d, gap);
          const std::vector<index_t> rows{11, 0, 3, 3, 9, 14, 1};
          const auto ego = random_dense<double>(a.rows, d, 10, gap), last = random_dense<double>(a.cols, d, 11, gap);
          std::vector<Dense<double>> inner;
          for (int l = 0; l + 1 < layers; ++l)
            inner.push_back(random_dense<double>(a.rows, d, static_cast<std::uint32_t>(12 + l), gap));
          Dense<double> out(static_cast<index_t>(rows.size()), d);
          const SpmmPlan plan = plan_for(a, balanced);
          Workspace<double> workspace(listed_row_sum_workspace(plan, size_of(rows), d));
          const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
            PropagatedMeanRowsArguments<double> p;
            p.layers = layers;
            p.graph = a.input(use);
            p.rows = use_list(use, rows);
            p.ego = use.input(ego.view());
            for (std::size_t l = 0; l < inner.size(); ++l) p.inner[l] = use.input(std::as_const(inner[l]).view());
            p.last = use.input(last.view());
            p.out = use.output(out.view());
            p.plan = plan;
            p.workspace = workspace.output(use);
            propagated_mean_rows(context, p);
          });
          REQUIRE(report.text() == "");
          require_near(out, [&](index_t k, index_t j) {
            const index_t r = rows[static_cast<std::size_t>(k)];
            double base = ego(r, j);
            for (const auto& layer : inner) base += layer(r, j);
            const auto column = [&](index_t c) { return layers > 0 ? c : -1; };
            Sum sum = reference(a, r, last, j, column, 1.0 / (layers + 1), 0, 0, base);
            sum.size += layers + 1;  // base is itself a sum of values below 1
            return sum;
          });
        }
}

TEST_CASE("More layers than the kernels can add are an error") {
  Context<Emulated> context;
  PropagatedMeanRowsArguments<double> p;
  p.layers = inner_layer_limit + 2;
  REQUIRE_ERROR(propagated_mean_rows(context, p), "the mean of 10 propagated layers, of which at most 9");
}

TEST_CASE("A step of the propagated gradient adds the compact gradient to the product") {
  const Graph<double> a(all_kinds(), all_columns);
  enum class Other { none, compact, dense };
  for (const Other other : {Other::none, Other::compact, Other::dense})
    for (const bool balanced : {false, true})
      for (const double beta : {0.0, 1.0, 0.25})
        for (const index_t d : {7, 64}) {
          CAPTURE(static_cast<int>(other), balanced, beta, d);
          index_t count = 0, other_count = 0;
          const std::vector<index_t> places = random_places(a.rows, 3, count);
          const std::vector<index_t> other_places = random_places(a.cols, 5, other_count);
          const auto sums = random_dense<double>(count, d, 13), other_sums = random_dense<double>(other_count, d, 14);
          const auto h = random_dense<double>(a.cols, d, 15);
          auto out = output_for<double>(a.rows, d, beta);
          const auto old = out;
          const double scale = 1.0 / 3;
          const SpmmPlan plan = plan_for(a, balanced);
          Workspace<double> workspace(row_sum_workspace(plan, d));
          const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
            PropagatedGradientArguments<double> p;
            p.layers = other == Other::none ? 0 : 2;
            p.graph = a.input(use);
            p.places = use_list(use, places);
            p.sums = use.input(sums.view());
            p.other_places = use_list(use, other_places);
            p.other_sums = use.input(other_sums.view());
            if (other == Other::dense) p.h = use.input(h.view());
            p.scale = scale;
            p.beta = beta;
            p.out = use.output(out.view());
            p.plan = plan;
            p.workspace = workspace.output(use);
            propagated_gradient(context, p);
          });
          REQUIRE(report.text() == "");
          require_near(out, [&](index_t i, index_t j) {
            const index_t place = places[static_cast<std::size_t>(i)];
            const double base = place >= 0 ? sums(place, j) : 0;
            const auto column = [&](index_t c) {
              return other == Other::dense ? c : other == Other::none ? -1 : other_places[static_cast<std::size_t>(c)];
            };
            return reference(a, i, other == Other::dense ? h : other_sums, j, column, scale, beta, old(i, j), base);
          });
        }
}

}  // namespace dream_tests::kernels_graph_propagation
