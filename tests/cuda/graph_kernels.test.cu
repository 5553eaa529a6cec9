// Sparse, row, selection and sampling kernels on a GPU against the same kernels on the emulator.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include <dream/kernels/check_rows.cuh>
#include <dream/kernels/graph_propagation.cuh>
#include <dream/kernels/knn.cuh>
#include <dream/kernels/ranking_metrics.cuh>
#include <dream/kernels/row_gather.cuh>
#include <dream/kernels/row_groups.cuh>
#include <dream/kernels/sampler.cuh>
#include <dream/kernels/sparse_products.cuh>
#include <dream/kernels/spmm_plan.cuh>
#include <dream/kernels/top_k.cuh>

#include "cuda/on_both.cuh"

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

/// A matrix on a backend whose first row has nearly everything, and whose last row has nothing.
template <class T>
struct SkewedMatrix {
  CsrView<T> view;
  SpmmPlan plan;
  VectorView<index_t> indices;

  template <class On>
  SkewedMatrix(On& on, index_t rows, index_t cols) {
    std::vector<std::int64_t> offsets{0};
    std::vector<index_t> columns;
    const RandomStream random{11};
    for (index_t i = 0; i < rows; ++i) {
      for (index_t c = 0; c < cols && i + 1 < rows; ++c)
        if (i == 0 ? c % 5 != 0 : random.below(static_cast<std::uint64_t>(i) * cols + c, 40) == 0) columns.push_back(c);
      offsets.push_back(static_cast<std::int64_t>(columns.size()));
    }
    indices = on.template copied<index_t>(columns);
    view = {rows, cols, on.template copied<std::int64_t>(offsets).data, indices.data,
            on.template input<T>(1, static_cast<index_t>(columns.size())).data};
    plan = make_spmm_plan(offsets.data(), rows);
  }
};

/// The groups of a batch of rows below `total`, compared as far as there are any.
template <class On>
RowGroupsView build_groups(On& on, VectorView<const index_t> rows, index_t total, bool again) {
  const auto count = static_cast<index_t>(rows.size);
  const RowGroupsView groups{on.template output<index_t>(count), on.template output<std::int64_t>(count + 1).data,
                             on.template output<index_t>(count).data, on.template output<index_t>(total),
                             on.template output<index_t>(1).data};
  RowGroupsArguments a{rows, groups, false, on.template room<std::uint64_t>(row_groups_workspace(count))};
  build_row_groups(on.context, a);
  if (again) {
    a.built_before = true;
    build_row_groups(on.context, a);
  }
  return groups;
}

}  // namespace

TEST_CASE("Sparse sums on a GPU are those of the emulator, by rows and by chunks") {
  NEEDS_GPU();
  for_types_and_sizes([](auto zero, index_t n) {
    using T = decltype(zero);
    for (const index_t d : {33, 64})
      for (const bool balanced : {false, true})
        compare(tolerance<T>, [&](auto& on) {
          constexpr index_t cols = 300, listed = 70;
          SkewedMatrix<T> a(on, n, cols);
          a.plan.longest_row = balanced ? std::numeric_limits<index_t>::max() : 0;
          const auto space = [&](const RowSumSpace& s) {
            return RowSumWorkspace<T>{on.template room<T>(s.carries), on.template room<index_t>(s.carry_rows),
                                      on.template room<std::int64_t>(s.list_offsets)};
          };
          const RowSumWorkspace<T> all = space(row_sum_workspace(a.plan, d));
          const RowSumWorkspace<T> some = space(listed_row_sum_workspace(a.plan, listed, d));
          const auto x = on.template input<T>(cols, d), y = on.template input<T>(n, d);
          on.watch(y);
          spmm(on.context, SpmmArguments<T>{T(0.5), a.view, x, T(2), y, a.plan, all});
          const VectorView<const index_t> rows = on.numbers(listed, n);
          spmm_rows(on.context, SpmmRowsArguments<T>{a.view, rows, x, on.template output<T>(listed, d), a.plan, some});
          const auto compact = on.template input<T>(50, d);
          std::vector<index_t> place(cols, -1);
          for (index_t c = 0; c < 50; ++c) place[static_cast<std::size_t>(6 * c + 1)] = c;
          const VectorView<const index_t> places = on.template copied<index_t>(place);
          spmm_places(on.context, SpmmPlacesArguments<T>{T(0.5), a.view, places, compact, T{0},
                                                         on.template output<T>(n, d), a.plan, all});
          PropagatedMeanRowsArguments<T> mean;
          mean.layers = 2;
          mean.graph = a.view;
          mean.rows = rows;
          mean.ego = on.template input<T>(n, d);
          mean.inner[0] = on.template input<T>(n, d);
          mean.last = x;
          mean.out = on.template output<T>(listed, d);
          mean.plan = a.plan;
          mean.workspace = some;
          propagated_mean_rows(on.context, mean);
          PropagatedGradientArguments<T> gradient;
          gradient.layers = 2;
          gradient.graph = a.view;
          gradient.places = on.numbers(n, 20);
          gradient.sums = on.template input<T>(20, d);
          gradient.h = x;
          gradient.scale = T(0.25);
          gradient.out = on.template output<T>(n, d);
          gradient.plan = a.plan;
          gradient.workspace = all;
          propagated_gradient(on.context, gradient);
        });
  });
}

TEST_CASE("Gathered rows, their groups and the scatter back on a GPU are those of the emulator") {
  NEEDS_GPU();
  for_types_and_sizes([](auto zero, index_t n) {
    using T = decltype(zero);
    for (const index_t d : {33, 64})
      for (const T beta : {T{0}, T{1}})
        compare(tolerance<T>, [&](auto& on) {
          constexpr index_t total = 150;
          const VectorView<const index_t> rows = on.numbers(n, total);
          launch<GatherRows<T>>(on.context, {on.template input<T>(total, d), rows, on.template output<T>(n, d)});
          const RowGroupsView groups = build_groups(on, rows, total, true);
          SumGroupsArguments<T> sum;
          sum.count = groups.count;
          sum.offsets = groups.offsets;
          sum.positions = {groups.positions, n};
          sum.dy = on.template input<T>(n, d);
          sum.sums = on.template output<T>(n, d);
          const RowSumSpace space = sum_groups_workspace(n, d);
          sum.workspace = {on.template room<T>(space.carries), on.template room<index_t>(space.carry_rows), nullptr};
          sum_groups(on.context, sum);
          const auto dx = on.template input<T>(total, d);
          on.watch(dx);
          launch<ScatterGroups<T>>(on.context, {groups.count, groups.group_rows, groups.places, sum.sums, beta, dx});
        });
  });
}

TEST_CASE("The groups of large batches on a GPU are those of the emulator") {
  NEEDS_GPU();
  for (const index_t rows : {5000, 17000})
    compare(0, [&](auto& on) {
      index_t* bad = on.template output<index_t>(1).data;
      const auto batch = on.numbers(rows, 70000);
      build_groups(on, batch, 70000, false);
      launch<CheckRows>(on.context, {batch, 69999, bad});
    });
}

TEST_CASE("The best items and the nearest rows on a GPU are those of the emulator") {
  NEEDS_GPU();
  for_types_and_sizes([](auto zero, index_t n) {
    using T = decltype(zero);
    for (const index_t splits : {1, 3})
      compare(tolerance<T>, [&](auto& on) {
        constexpr index_t items = 300, d = 20, k = 17;
        TopKArguments<T> a;
        a.users = on.template input<T>(n, d);
        a.items = on.template input<T>(items, d);
        a.seen = SkewedMatrix<T>(on, n, items).view;
        a.indices = on.template output<index_t>(n, k);
        a.scores = on.template output<T>(n, k);
        a.splits = splits;
        const TopKWorkspace space = top_k_workspace(a);
        a.list_values = on.template room<T>(space.values);
        a.list_indices = on.template room<index_t>(space.indices);
        top_k(on.context, a);

        const auto values = on.template output<T>(n, k);
        const auto indices = on.template output<index_t>(n, k);
        const auto factors = on.template output<T>(n);
        launch<InverseNorms<T>>(on.context, {a.users, factors});
        for (const index_t offset : {0, n})
          top_k_rows(on.context, TopKRowsArguments<T>{on.template input<T>(n, n, 0, 1), offset, factors, factors,
                                                      values, indices, offset == 0});
        launch<EndNeighbourLists<T>>(on.context, {factors, values, indices});
        // Neighbours are numbered among the rows themselves.
        const auto similarities = on.template input<T>(n, k, 0, 1);
        std::vector<index_t> neighbour(static_cast<std::size_t>(n) * k);
        for (index_t e = 0; e < n * k; ++e) neighbour[static_cast<std::size_t>(e)] = (e / k + 7 * (e % k)) % n;
        KnnWeightsArguments<T> graph;
        graph.similarities = similarities;
        graph.neighbours = {on.template copied<index_t>(neighbour).data, n, k, k};
        graph.offsets = on.template output<std::int64_t>(n + 1).data;
        graph.columns = on.template output<index_t>(std::int64_t{n} * k).data;
        graph.weights = on.template output<T>(std::int64_t{n} * k).data;
        graph.sums = on.template room<double>(n);
        graph.pieces = on.template room<std::int64_t>(knn_weights_pieces(n));
        knn_weights(on.context, graph);
      });
  });
}

TEST_CASE("Drawn batches and ranking metrics on a GPU are those of the emulator") {
  NEEDS_GPU();
  for (const index_t n : {33, 129, 257})
    compare(1e-12, [&](auto& on) {
      constexpr index_t items = 120, depth = 30;
      const SkewedMatrix<float> seen(on, n, items);
      // The interactions of all users but the last, who has none.
      std::vector<std::int64_t> offsets(static_cast<std::size_t>(n) + 1);
      on.context.download(seen.view.offsets, offsets.data(), offsets.size() * sizeof(std::int64_t));
      std::vector<index_t> users, candidates(items);
      for (index_t u = 0; u < n; ++u)
        users.insert(
            users.end(),
            static_cast<std::size_t>(offsets[static_cast<std::size_t>(u) + 1] - offsets[static_cast<std::size_t>(u)]),
            u);
      std::iota(candidates.begin(), candidates.end(), index_t{0});
      BatchPlace* place = on.template room<BatchPlace>(1);
      const BatchPlace first{1, 0, 0};
      on.context.upload(&first, place, sizeof first);
      DrawPairs::Params p{};
      p.source = {on.template copied<index_t>(users),
                  seen.indices,
                  on.template copied<index_t>(candidates),
                  seen.view.offsets,
                  seen.indices.data,
                  7};
      p.place = place;
      p.batch_size = 100;
      for (int batch = 0; batch < 2; ++batch) {
        launch<AdvanceBatch>(on.context, {place, 3});
        p.users = on.template output<index_t>(100);
        p.positives = on.template output<index_t>(100);
        p.negatives = on.template output<index_t>(100);
        launch<DrawPairs>(on.context, p);
      }
      RankingMetricsArguments metrics;
      std::vector<index_t> ranked(static_cast<std::size_t>(n) * depth);
      for (index_t e = 0; e < n * depth; ++e)
        ranked[static_cast<std::size_t>(e)] = (e / depth + 7 * (e % depth)) % items;
      metrics.ranked = {on.template copied<index_t>(ranked).data, n, depth, depth};
      metrics.held_out_offsets = seen.view.offsets;
      metrics.held_out_indices = seen.view.indices;
      metrics.cutoffs[0] = 10;
      metrics.cutoffs[1] = depth;
      metrics.cutoff_count = 2;
      metrics.table = on.template output<double>(ranking_metrics_table(2)).data;
      metrics.pieces = on.template room<double>(ranking_metrics_workspace(n, 2));
      ranking_metrics(on.context, metrics);
    });
}
