// Ops on raw features, which are constant and may be stored in 16 bits.
#pragma once

#include <dream/autograd/tape.hpp>
#include <dream/backend/algebra.hpp>
#include <dream/backend/features.hpp>
#include <dream/ops/dense.hpp>

namespace dream {

/// Y = F W for constant features F (rows x in) and W (in x out).  dW = F^T dY.
/// Where F is stored in 16 bits, its values are expanded some rows at a time and the products are those of T.
template <class T, class B>
class FeatureProduct {
 public:
  /// What `features` views must outlive this.
  explicit FeatureProduct(FeatureView<T> features) : features_(features) {}

  Shape shape(MatrixView<const T> w) const {
    DREAM_EXPECT(features_.cols == w.rows, "feature product: F is ", dream::shape(features_), ", W is ",
                 dream::shape(w));
    return {features_.rows, w.cols};
  }
  void forward(Context<B>& context, MatrixView<const T> w, MatrixView<T> y) {
    for_expanded_rows(context, features_, scratch_slot, [&](index_t first, MatrixView<const T> f) {
      gemm(context, Op::none, Op::none, T{1}, f, w, T{0}, y.middle_rows(first, f.rows));
    });
  }
  void backward(Context<B>& context, MatrixView<const T>, MatrixView<const T>, MatrixView<const T> dy, GradView<T> dw) {
    if (!dw.wanted()) return;
    for_expanded_rows(context, features_, scratch_slot, [&](index_t first, MatrixView<const T> f) {
      gemm(context, Op::transpose, Op::none, T{1}, f, dy.middle_rows(first, f.rows), first == 0 ? dw.beta : T{1},
           dw.view);
    });
  }

 private:
  static constexpr int scratch_slot = 8;  // of none of the products

  FeatureView<T> features_;
};

/// Y = F W + 1 b^T, as FeatureProduct, for b (1 x out).  db = column sums of dY.
template <class T, class B>
class FeatureProjection {
 public:
  explicit FeatureProjection(FeatureView<T> features) : product_(features) {}

  Shape shape(MatrixView<const T> w, MatrixView<const T> b) const {
    DREAM_EXPECT(b.rows == 1 && b.cols == w.cols, "feature projection: W is ", dream::shape(w), ", b is ",
                 dream::shape(b));
    return product_.shape(w);
  }
  void forward(Context<B>& context, MatrixView<const T> w, MatrixView<const T> b, MatrixView<T> y) {
    product_.forward(context, w, y);
    add_to_rows(context, b, y);
  }
  void backward(Context<B>& context, MatrixView<const T> w, MatrixView<const T>, MatrixView<const T> y,
                MatrixView<const T> dy, GradView<T> dw, GradView<T> db) {
    product_.backward(context, w, y, dy, dw);
    if (db.wanted()) column_sums(context, T{1}, dy, db.beta, db.view);
  }

 private:
  FeatureProduct<T, B> product_;
};

}  // namespace dream
