// Mean and gradient of propagated layers (the sums and their mapping: row_sums.cuh, balanced_row_sums.cuh):
//
//   propagated_mean_rows    out[k] = (ego[r] + layers[.][r] + A[r] last) / (L + 1), r = rows[k]
//   propagated_gradient     out = scale (G + A H) + beta out, G compact, H dense or compact
#pragma once

#include <dream/core/error.hpp>
#include <dream/core/view.hpp>
#include <dream/kernels/balanced_row_sums.cuh>
#include <dream/kernels/row_sums.cuh>
#include <dream/kernels/shapes.cuh>
#include <dream/kernels/spmm_plan.cuh>

namespace dream::kernels {

/// out[k] = (ego[r] + inner[0][r] + .. + inner[L - 2][r] + A[r] last) / (L + 1), r = rows[k]; L = 0: ego[r].
template <class T>
struct PropagatedMeanRowsArguments {
  int layers = 0;  ///< L
  CsrView<T> graph;
  VectorView<const index_t> rows;
  MatrixView<const T> ego;
  MatrixView<const T> inner[inner_layer_limit]{};
  MatrixView<const T> last;
  MatrixView<T> out;
  SpmmPlan plan;                 ///< of graph
  RowSumWorkspace<T> workspace;  ///< of listed_row_sum_workspace
};
template <class Context, class T>
void propagated_mean_rows(Context& context, const PropagatedMeanRowsArguments<T>& p) {
  DREAM_EXPECT(p.layers >= 0 && p.layers - 1 <= inner_layer_limit, "the mean of ", p.layers,
               " propagated layers, of which at most ", inner_layer_limit + 1, " can be added on a device");
  expect_shape("propagated_mean_rows, the result", p.out, p.rows.size, p.ego.cols);
  for (int l = 0; l + 1 < p.layers; ++l)
    expect_shape("propagated_mean_rows, an inner layer", p.inner[l], p.ego.rows, p.ego.cols);
  if (p.layers > 0) expect_shape("propagated_mean_rows, the last layer", p.last, p.graph.cols, p.ego.cols);
  RowSum<T> sum;
  if (p.layers > 0) {
    sum.a = p.graph;
    sum.x = p.last;
  }
  sum.a.rows = p.ego.rows;
  sum.rows = p.rows.data;
  sum.base = p.ego;
  for (int l = 0; l + 1 < p.layers; ++l) sum.layers[sum.layer_count++] = p.inner[l];
  sum.scale = T{1} / static_cast<T>(p.layers + 1);
  sum.y = p.out;
  detail::launch_row_sum(context, sum, p.plan, p.workspace);
}

/// out = scale (G + A H) + beta out: row i of G is row places[i] of sums, row c of H that of h, or, where h has no
/// data, row other_places[c] of other_sums; zero where a place is negative. L = 0: no product.
template <class T>
struct PropagatedGradientArguments {
  int layers = 0;  ///< L
  CsrView<T> graph;
  VectorView<const index_t> places;
  MatrixView<const T> sums;
  VectorView<const index_t> other_places;
  MatrixView<const T> other_sums;
  MatrixView<const T> h;
  T scale = T{1};
  T beta = T{0};
  MatrixView<T> out;
  SpmmPlan plan;                 ///< of graph
  RowSumWorkspace<T> workspace;  ///< of row_sum_workspace
};
template <class Context, class T>
void propagated_gradient(Context& context, const PropagatedGradientArguments<T>& p) {
  expect_size("propagated_gradient, the places", p.places, p.out.rows);
  DREAM_EXPECT(p.sums.cols == p.out.cols, "propagated_gradient: the sums are ", shape(p.sums), ", the result is ",
               shape(p.out));
  if (p.layers > 0) {
    DREAM_EXPECT(p.graph.rows == p.out.rows, "propagated_gradient: the graph is ", shape(p.graph), ", the result is ",
                 shape(p.out));
    if (p.h.data != nullptr)
      expect_shape("propagated_gradient, H", p.h, p.graph.cols, p.out.cols);
    else
      expect_size("propagated_gradient, the other places", p.other_places, p.graph.cols);
  }
  RowSum<T> sum;
  if (p.layers > 0) {
    sum.a = p.graph;
    sum.x = p.h.data == nullptr ? p.other_sums : p.h;
    if (p.h.data == nullptr) sum.places = p.other_places.data;
  }
  sum.base = p.sums;
  sum.base_places = p.places.data;
  sum.scale = p.scale;
  sum.beta = p.beta;
  sum.y = p.out;
  detail::launch_row_sum(context, sum, p.plan, p.workspace);
}

}  // namespace dream::kernels
