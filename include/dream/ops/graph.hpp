// Ops on graphs and rows: sparse products and gathers, with gradients that gather too.
#pragma once

#include <dream/autograd/tape.hpp>
#include <dream/backend/sparse.hpp>

namespace dream {

/// A sparse matrix together with its transpose, which its gradient needs.
template <class T, class B>
struct SparsePair {
  Csr<T, B> forward;
  Csr<T, B> transposed;

  index_t rows() const { return forward.rows; }
  index_t cols() const { return forward.cols; }
};

/// Makes `sums` as large as sum_groups needs it. The memory is as for distinct rows, so that no later batch of the same
/// size allocates; where only the device knows how many rows are distinct, it stays so large.
template <class T, class B>
MatrixView<T> resize_for_groups(Context<B>& context, Matrix<T, B>& sums, const RowGroups<B>& groups, index_t cols) {
  sums.resize(context, static_cast<index_t>(groups.batch()), cols);
  if constexpr (!KernelBackend<B>) sums.resize(context, groups.count(), cols);
  return sums.view();
}

/// Y = A X.  dX = A^T dY.
template <class T, class B>
class SparseProduct {
 public:
  explicit SparseProduct(const SparsePair<T, B>& a) : a_(&a) {}

  Shape shape(MatrixView<const T> x) const { return {a_->rows(), x.cols}; }
  void forward(Context<B>& context, MatrixView<const T> x, MatrixView<T> y) {
    spmm<T>(context, T{1}, a_->forward, x, T{0}, y);
  }
  void backward(Context<B>& context, MatrixView<const T>, MatrixView<const T>, MatrixView<const T> dy, GradView<T> dx) {
    if (dx.wanted()) spmm<T>(context, T{1}, a_->transposed, dy, dx.beta, dx.view);
  }

 private:
  const SparsePair<T, B>* a_;
};

/// Y = X[rows].  dX[r] = sum of dY at the places where r stands in rows.
template <class T, class B>
class GatherRows {
 public:
  /// The rows of this batch; the memory must outlive the step.
  void select(VectorView<const index_t> rows) { rows_ = rows; }

  Shape shape(MatrixView<const T> x) const { return {row_count("gather", rows_.size), x.cols}; }
  void forward(Context<B>& context, MatrixView<const T> x, MatrixView<T> y) { gather_rows<T>(context, x, rows_, y); }
  void backward(Context<B>& context, MatrixView<const T>, MatrixView<const T>, MatrixView<const T> dy, GradView<T> dx) {
    if (!dx.wanted()) return;
    groups_.build(context, rows_, dx.view.rows);
    sum_groups<T>(context, groups_, dy, resize_for_groups(context, sums_, groups_, dy.cols));
    scatter_groups<T>(context, groups_, sums_.view(), dx.beta, dx.view);
  }

 private:
  VectorView<const index_t> rows_;
  RowGroups<B> groups_;
  Matrix<T, B> sums_;
};

/// Y = A[rows] X: a sparse product of which only a batch's rows are computed.
/// dX = A[rows]^T dY, as A^T times dY summed by row, skipping the rows that the batch does not have.
template <class T, class B>
class SparseProductRows {
 public:
  explicit SparseProductRows(const SparsePair<T, B>& a) : a_(&a) {}
  void select(VectorView<const index_t> rows) { rows_ = rows; }

  Shape shape(MatrixView<const T> x) const { return {row_count("sparse product", rows_.size), x.cols}; }
  void forward(Context<B>& context, MatrixView<const T> x, MatrixView<T> y) {
    spmm_rows<T>(context, a_->forward, rows_, x, y);
  }
  void backward(Context<B>& context, MatrixView<const T>, MatrixView<const T>, MatrixView<const T> dy, GradView<T> dx) {
    if (!dx.wanted()) return;
    groups_.build(context, rows_, a_->rows());
    sum_groups<T>(context, groups_, dy, resize_for_groups(context, sums_, groups_, dy.cols));
    spmm_places<T>(context, T{1}, a_->transposed, groups_.places(), sums_.view(), dx.beta, dx.view);
  }

 private:
  const SparsePair<T, B>* a_;
  VectorView<const index_t> rows_;
  RowGroups<B> groups_;
  Matrix<T, B> sums_;
};

}  // namespace dream
