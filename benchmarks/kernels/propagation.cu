// Propagation for a batch: rows of the mean of layers, and the gradient from the rows that the batch has. Rows are
// drawn by their entries, as training draws them. Beside them what cuSPARSE, with its analysis kept, needs for the
// same: a product for all rows.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>

#include <dream/kernels/graph_propagation.cuh>
#include <dream/kernels/row_gather.cuh>
#include <dream/kernels/sparse_products.cuh>
#include <dream/kernels/spmm_plan.cuh>

#include "cases.cuh"
#include "graph_batch.cuh"

namespace dream_benchmarks {

namespace {

using Prepared = std::shared_ptr<GraphBatch>;

kernels::RowSumWorkspace<float> workspace(Inputs& inputs, const kernels::RowSumSpace& space) {
  return {inputs.room<float>(space.carries), inputs.room<index_t>(space.carry_rows),
          inputs.room<std::int64_t>(space.list_offsets)};
}

/// A case with the library's way beside it, which must give the same as `found`.
Work beside(const std::shared_ptr<Inputs>& inputs, const Prepared& g, const std::function<void()>& run,
            const char* library, const std::function<void()>& by_library, MatrixView<const float> found,
            MatrixView<const float> expected) {
  Work work;
  work.inputs = inputs;
  work.shared = g;
  work.contenders = {{"dream", run}, {library, by_library}};
  work.check = [&context = inputs->context(), by_library, found, expected] {
    by_library();
    expect_close(context, "the result", found, expected, 1e-5);
  };
  return work;
}

/// The same, and compares rows at both ends with row(i, j) in double.
template <class Row>
void check_in_double(Work& work, MatrixView<const float> found, const Row& row) {
  work.check = [&context = work.inputs->context(), found, row, others = work.check] {
    others();
    at_both_ends(found.rows, [&](index_t first, index_t rows) {
      const HostRows values(context, found, first, rows);
      const auto expected = row(context);
      Difference difference;
      for (index_t i = 0; i < rows; ++i)
        for (index_t j = 0; j < found.cols; ++j) difference.add(values(i, j), expected(first + i, j));
      difference.expect_below(1e-5, "the result, against sums in double,");
    });
  };
}

/// (ego + inner + A last) / 3 in the batch's rows: the mean after two layers. The library's way makes all rows.
Work mean_rows(const Prepared& g, index_t dim) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const auto batch = static_cast<index_t>(g->rows.size());
  kernels::PropagatedMeanRowsArguments<float> a;
  a.layers = 2;
  a.graph = g->card.view();
  a.rows = inputs->copied<index_t>(g->rows);
  a.ego = inputs->uniform(g->host.rows, dim);
  a.inner[0] = inputs->uniform(g->host.rows, dim);
  a.last = inputs->uniform(g->host.cols, dim);
  a.out = inputs->matrix(batch, dim);
  a.plan = g->card.plan;
  a.workspace = workspace(*inputs, kernels::listed_row_sum_workspace(a.plan, batch, dim));
  const MatrixView<float> all = inputs->matrix(g->host.rows, dim), expected = inputs->matrix(batch, dim);
  Work work = beside(
      inputs, g, [&context, a] { kernels::propagated_mean_rows(context, a); }, "cusparse_and_gather",
      [&context, g, a, all, expected] {
        launch<kernels::Axpby<float>>(context, {1.0F, nullptr, a.ego, 0.0F, all});
        launch<kernels::Axpby<float>>(context, {1.0F, nullptr, a.inner[0], 1.0F, all});
        g->cusparse.multiply(context, 1.0F / 3, a.last, 1.0F / 3, all);
        launch<kernels::GatherRows<float>>(context, {all, a.rows, expected});
      },
      a.out, expected);
  const Touched touched(*g);
  work.operations = 2 * touched.summed * dim;
  work.bytes =
      4.0 * batch * (dim + 1.0) + touched.rows * (16 + 8.0 * dim) + 8 * touched.entries + 4 * touched.columns * dim;
  work.contenders.push_back(copy_of(*inputs, work.bytes));
  check_in_double(work, a.out, [g, a](Context<Cuda>& from) {
    return [g, ego = HostRows(from, a.ego, 0, a.ego.rows), inner = HostRows(from, a.inner[0], 0, a.ego.rows),
            last = HostRows(from, a.last, 0, a.last.rows)](index_t k, index_t j) {
      const index_t r = g->rows[static_cast<std::size_t>(k)];
      double sum = ego(r, j) + inner(r, j);
      g->for_each_entry(r, [&](index_t c, float value) { sum += static_cast<double>(value) * last(c, j); });
      return sum / 3;
    };
  });
  return work;
}

/// A X in the batch's rows.
Work product_rows(const Prepared& g, index_t dim) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const auto batch = static_cast<index_t>(g->rows.size());
  kernels::SpmmRowsArguments<float> a;
  a.a = g->card.view();
  a.rows = inputs->copied<index_t>(g->rows);
  a.x = inputs->uniform(g->host.cols, dim);
  a.y = inputs->matrix(batch, dim);
  a.plan = g->card.plan;
  a.workspace = workspace(*inputs, kernels::listed_row_sum_workspace(a.plan, batch, dim));
  const MatrixView<float> all = inputs->matrix(g->host.rows, dim), expected = inputs->matrix(batch, dim);
  Work work = beside(
      inputs, g, [&context, a] { kernels::spmm_rows(context, a); }, "cusparse_and_gather",
      [&context, g, a, all, expected] {
        g->cusparse.multiply(context, 1.0F, a.x, 0.0F, all);
        launch<kernels::GatherRows<float>>(context, {all, a.rows, expected});
      },
      a.y, expected);
  const Touched touched(*g);
  work.operations = 2 * touched.summed * dim;
  work.bytes = 4.0 * batch * (dim + 1.0) + 16 * touched.rows + 8 * touched.entries + 4 * touched.columns * dim;
  work.contenders.push_back(copy_of(*inputs, work.bytes));
  check_in_double(work, a.y, [g, a](Context<Cuda>& from) {
    return [g, x = HostRows(from, a.x, 0, a.x.rows)](index_t k, index_t j) {
      double sum = 0;
      g->for_each_entry(g->rows[static_cast<std::size_t>(k)],
                        [&](index_t c, float value) { sum += static_cast<double>(value) * x(c, j); });
      return sum;
    };
  });
  return work;
}

/// A S, where S has rows at the batch's columns alone. The library takes S with its zero rows.
Work product_places(const Prepared& g, index_t dim) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const auto columns = std::make_shared<const Places>(g->columns, g->host.cols);
  kernels::SpmmPlacesArguments<float> a;
  a.a = g->card.view();
  a.places = inputs->copied<index_t>(columns->of);
  a.x = inputs->uniform(columns->count, dim);
  a.y = inputs->matrix(g->host.rows, dim);
  a.plan = g->card.plan;
  a.workspace = workspace(*inputs, kernels::row_sum_workspace(a.plan, dim));
  const MatrixView<float> dense = inputs->matrix(g->host.cols, dim), expected = inputs->matrix(g->host.rows, dim);
  Work work = beside(
      inputs, g, [&context, a] { kernels::spmm_places(context, a); }, "scatter_and_cusparse",
      [&context, g, a, dense, expected] {
        launch<kernels::ScatterGroups<float>>(context, {nullptr, {}, a.places, a.x, 0.0F, dense});
        g->cusparse.multiply(context, 1.0F, dense, 0.0F, expected);
      },
      a.y, expected);
  const double entries = placed_entries(*g, *columns);
  work.operations = 2 * entries * dim;
  work.bytes = 4.0 * static_cast<double>(g->host.entries()) + 4 * entries + 4.0 * g->host.cols + 8.0 * g->host.rows +
               4.0 * (columns->count + g->host.rows) * dim;
  work.contenders.push_back(copy_of(*inputs, work.bytes));
  check_in_double(work, a.y, [g, a, columns](Context<Cuda>& from) {
    return [g, columns, x = HostRows(from, a.x, 0, a.x.rows)](index_t i, index_t j) {
      double sum = 0;
      g->for_each_entry(i, [&](index_t c, float value) {
        if ((*columns)[c] >= 0) sum += static_cast<double>(value) * x((*columns)[c], j);
      });
      return sum;
    };
  });
  return work;
}

/// (G + A H) / 3, G with rows where the batch has some; H dense, or of the batch's columns alone, as it is for the
/// layer that comes first. The library scatters G, and a compact H, and then multiplies.
template <bool Compact>
Work gradient(const Prepared& g, index_t dim) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const auto rows = std::make_shared<const Places>(g->rows, g->host.rows);
  const auto columns = std::make_shared<const Places>(g->columns, g->host.cols);
  kernels::PropagatedGradientArguments<float> a;
  a.layers = 2;
  a.graph = g->card.view();
  a.places = inputs->copied<index_t>(rows->of);
  a.sums = inputs->uniform(rows->count, dim);
  if (Compact) {
    a.other_places = inputs->copied<index_t>(columns->of);
    a.other_sums = inputs->uniform(columns->count, dim);
  } else {
    a.h = inputs->uniform(g->host.cols, dim);
  }
  a.scale = 1.0F / 3;
  a.out = inputs->matrix(g->host.rows, dim);
  a.plan = g->card.plan;
  a.workspace = workspace(*inputs, kernels::row_sum_workspace(a.plan, dim));
  const MatrixView<float> dense = inputs->matrix(g->host.cols, dim), expected = inputs->matrix(g->host.rows, dim);
  Work work = beside(
      inputs, g, [&context, a] { kernels::propagated_gradient(context, a); }, "scatter_and_cusparse",
      [&context, g, a, dense, expected] {
        if (Compact)
          launch<kernels::ScatterGroups<float>>(context, {nullptr, {}, a.other_places, a.other_sums, 0, dense});
        launch<kernels::ScatterGroups<float>>(context, {nullptr, {}, a.places, a.sums, 0, expected});
        g->cusparse.multiply(context, a.scale, Compact ? dense : a.h, a.scale, expected);
      },
      a.out, expected);
  const double all = static_cast<double>(g->host.entries()), entries = Compact ? placed_entries(*g, *columns) : all;
  const double from = Compact ? columns->count : std::min(all, static_cast<double>(g->host.cols));
  work.operations = 2 * entries * dim;
  work.bytes = 4 * all + 4 * entries + (Compact ? 4.0 * g->host.cols : 0) + 12.0 * g->host.rows +
               4.0 * (from + rows->count + g->host.rows) * dim;
  work.contenders.push_back(copy_of(*inputs, work.bytes));
  check_in_double(work, a.out, [g, a, rows, columns](Context<Cuda>& card) {
    const MatrixView<const float> of = Compact ? a.other_sums : a.h;
    return [g, rows, columns, sums = HostRows(card, a.sums, 0, a.sums.rows), h = HostRows(card, of, 0, of.rows)](
               index_t i, index_t j) {
      double sum = (*rows)[i] >= 0 ? sums((*rows)[i], j) : 0;
      g->for_each_entry(i, [&](index_t c, float value) {
        const index_t row = Compact ? (*columns)[c] : c;
        if (row >= 0) sum += static_cast<double>(value) * h(row, j);
      });
      return sum / 3;
    };
  });
  return work;
}

}  // namespace

void add_propagation_cases() {
  struct Kernel {
    const char* name;
    const char* library;
    Work (*prepare)(const Prepared& graph, index_t dim);
  };
  const auto add = [](const Kernel& kernel, const GraphSize& size, bool transposed, index_t batch) {
    const std::string graph = size.name + (transposed ? "_items" : "_users");
    add_case(std::string(kernel.name) + "/" + std::to_string(batch) + "_of_" + graph + "/64",
             {"dream", kernel.library, "copy"},
             [=] { return kernel.prepare(std::make_shared<GraphBatch>(gpu(), size, transposed, batch), 64); });
  };
  for (const Kernel kernel : {Kernel{"propagated_mean_rows", "cusparse_and_gather", mean_rows},
                              Kernel{"propagated_gradient", "scatter_and_cusparse", gradient<false>},
                              Kernel{"propagated_gradient_compact", "scatter_and_cusparse", gradient<true>},
                              Kernel{"spmm_rows", "cusparse_and_gather", product_rows},
                              Kernel{"spmm_places", "scatter_and_cusparse", product_places}})
    for (const GraphSize& size : graph_sizes)
      for (const bool transposed : {false, true})
        for (const index_t batch : {2048, 8192, 65536})
          if (batch == 2048 || size.name == "baby") add(kernel, size, transposed, batch);
}

}  // namespace dream_benchmarks
