// Sparse times dense (the sums and their mapping: row_sums.cuh, balanced_row_sums.cuh):
//
//   spmm          Y = alpha A X + beta Y         (backward in X: the same with A^T)
//   spmm_rows     Y[k] = A[rows[k]] X
//   spmm_places   Y = alpha A S + beta Y, S compact
#pragma once

#include <dream/core/view.hpp>
#include <dream/kernels/balanced_row_sums.cuh>
#include <dream/kernels/row_sums.cuh>
#include <dream/kernels/shapes.cuh>
#include <dream/kernels/spmm_plan.cuh>

namespace dream::kernels {

/// Y = alpha A S + beta Y, where column c of A is row places[c] of x, or a zero row where that is negative.
template <class T>
struct SpmmPlacesArguments {
  T alpha = T{1};
  CsrView<T> a;
  VectorView<const index_t> places;  ///< without data: S is x
  MatrixView<const T> x;
  T beta = T{0};
  MatrixView<T> y;
  SpmmPlan plan;                 ///< of a
  RowSumWorkspace<T> workspace;  ///< of row_sum_workspace
};
template <class Context, class T>
void spmm_places(Context& context, const SpmmPlacesArguments<T>& p) {
  DREAM_EXPECT(
      p.a.rows == p.y.rows && p.x.cols == p.y.cols && p.a.cols == (p.places.data == nullptr ? p.x.rows : p.places.size),
      "sparse product: A is ", shape(p.a), ", X is ", shape(p.x), ", ", p.places.size, " places, Y is ", shape(p.y));
  RowSum<T> sum;
  sum.a = p.a;
  sum.x = p.x;
  sum.places = p.places.data;
  sum.scale = p.alpha;
  sum.beta = p.beta;
  sum.y = p.y;
  detail::launch_row_sum(context, sum, p.plan, p.workspace);
}

/// Y = alpha A X + beta Y.
template <class T>
struct SpmmArguments {
  T alpha = T{1};
  CsrView<T> a;
  MatrixView<const T> x;
  T beta = T{0};
  MatrixView<T> y;
  SpmmPlan plan;                 ///< of a
  RowSumWorkspace<T> workspace;  ///< of row_sum_workspace
};
template <class Context, class T>
void spmm(Context& context, const SpmmArguments<T>& p) {
  spmm_places(context, SpmmPlacesArguments<T>{p.alpha, p.a, {}, p.x, p.beta, p.y, p.plan, p.workspace});
}

/// Y[k] = A[rows[k]] X.
template <class T>
struct SpmmRowsArguments {
  CsrView<T> a;
  VectorView<const index_t> rows;
  MatrixView<const T> x;
  MatrixView<T> y;
  SpmmPlan plan;                 ///< of a
  RowSumWorkspace<T> workspace;  ///< of listed_row_sum_workspace
};
template <class Context, class T>
void spmm_rows(Context& context, const SpmmRowsArguments<T>& p) {
  DREAM_EXPECT(p.a.cols == p.x.rows && p.rows.size == p.y.rows && p.x.cols == p.y.cols, "sparse product: A is ",
               shape(p.a), ", ", p.rows.size, " rows, X is ", shape(p.x), ", Y is ", shape(p.y));
  RowSum<T> sum;
  sum.a = p.a;
  sum.x = p.x;
  sum.rows = p.rows.data;
  sum.y = p.y;
  detail::launch_row_sum(context, sum, p.plan, p.workspace);
}

}  // namespace dream::kernels
