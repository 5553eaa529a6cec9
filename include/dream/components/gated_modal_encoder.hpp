// The filter gate of the modal line (docs/components.md, 2). With X = Z W1 + b1 from a linear op and A = X W2 + b2, G =
// sigmoid(A):
//
//   `id` gate    H = E * G    dE = dH * G,  dA = dH * E * G * (1 - G)
//   `self` gate  H = X * G    dX = dH * G + dA W2^T,  dA = dH * X * G * (1 - G)
//   both                      dW2 = X^T dA,  db2 = column sums of dA;  id: dX = dA W2^T
//
// (* elementwise.) The gate form is our choice; `id` is the form of MGCN (Yu et al., ACM MM 2023).
#pragma once

#include <cmath>
#include <utility>

#include <dream/autograd/tape.hpp>
#include <dream/kernels/gated_modal_encoder.cuh>
#include <dream/ops/dense.hpp>

namespace dream {

/// How the filter gate enters the modal line.
enum class Gate { id, self, none };

/// H = E * sigmoid(X W2 + b2).  Inputs X, E (rows x d), W2 (d x d), b2 (1 x d).
template <class T, class B>
class IdentityGate {
 public:
  Shape shape(MatrixView<const T> x, MatrixView<const T> e, MatrixView<const T> w, MatrixView<const T> b) const {
    DREAM_EXPECT(x.cols == w.rows && e.cols == w.cols && b.cols == w.cols && b.rows == 1 && e.rows == x.rows,
                 "filter gate: X is ", dream::shape(x), ", E is ", dream::shape(e), ", W2 is ", dream::shape(w),
                 ", b2 is ", dream::shape(b));
    return {x.rows, w.cols};
  }
  void forward(Context<B>& context, MatrixView<const T> x, MatrixView<const T> e, MatrixView<const T> w,
               MatrixView<const T> b, MatrixView<T> h) {
    gate_.resize(context, x.rows, w.cols);
    gemm(context, Op::none, Op::none, T{1}, x, w, T{0}, gate_.view());
    gate_forward<T>(context, e, b, gate_.view(), h);
  }
  void backward(Context<B>& context, MatrixView<const T> x, MatrixView<const T> e, MatrixView<const T> w,
                MatrixView<const T>, MatrixView<const T>, MatrixView<const T> dh, GradView<T> dx, GradView<T> de,
                GradView<T> dw, GradView<T> db) {
    d_pre_.resize(context, x.rows, w.cols);
    // de is written with the gate's gradient, before dx: where x and e are one value it comes first.
    if (dx.wanted() && de.wanted() && dx.view.data == de.view.data) std::swap(dx.beta, de.beta);
    gate_backward<T>(context, e, gate_.view(), dh, d_pre_.view(), de);
    if (dx.wanted()) gemm<T>(context, Op::none, Op::transpose, T{1}, d_pre_.view(), w, dx.beta, dx.view);
    if (dw.wanted()) gemm<T>(context, Op::transpose, Op::none, T{1}, x, d_pre_.view(), dw.beta, dw.view);
    if (db.wanted()) column_sums<T>(context, T{1}, d_pre_.view(), db.beta, db.view);
  }

 private:
  Matrix<T, B> gate_, d_pre_;
};

/// H = X * sigmoid(X W2 + b2).  Inputs X (rows x d), W2 (d x d), b2 (1 x d).
template <class T, class B>
class SelfGate {
 public:
  Shape shape(MatrixView<const T> x, MatrixView<const T> w, MatrixView<const T> b) const {
    DREAM_EXPECT(x.cols == w.rows && x.cols == w.cols && b.cols == w.cols && b.rows == 1, "filter gate: X is ",
                 dream::shape(x), ", W2 is ", dream::shape(w), ", b2 is ", dream::shape(b));
    return {x.rows, x.cols};
  }
  void forward(Context<B>& context, MatrixView<const T> x, MatrixView<const T> w, MatrixView<const T> b,
               MatrixView<T> h) {
    gate_.resize(context, x.rows, w.cols);
    gemm(context, Op::none, Op::none, T{1}, x, w, T{0}, gate_.view());
    gate_forward<T>(context, x, b, gate_.view(), h);
  }
  void backward(Context<B>& context, MatrixView<const T> x, MatrixView<const T> w, MatrixView<const T>,
                MatrixView<const T>, MatrixView<const T> dh, GradView<T> dx, GradView<T> dw, GradView<T> db) {
    d_pre_.resize(context, x.rows, w.cols);
    gate_backward<T>(context, x, gate_.view(), dh, d_pre_.view(), dx);
    if (dw.wanted()) gemm<T>(context, Op::transpose, Op::none, T{1}, x, d_pre_.view(), dw.beta, dw.view);
    if (db.wanted()) column_sums<T>(context, T{1}, d_pre_.view(), db.beta, db.view);
    if (dx.wanted()) gemm<T>(context, Op::none, Op::transpose, T{1}, d_pre_.view(), w, T{1}, dx.view);
  }

 private:
  Matrix<T, B> gate_, d_pre_;
};

/// gate = sigmoid(gate + b), h = e * gate.
template <class T>
void gate_forward(Context<Cpu>& context, MatrixView<const T> e, MatrixView<const T> b, MatrixView<T> gate,
                  MatrixView<T> h) {
  context.parallel_blocks(e.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      T* g = gate.row(i);
      for (index_t j = 0; j < e.cols; ++j) g[j] = -(g[j] + b(0, j));
      exponential(g, e.cols);
      for (index_t j = 0; j < e.cols; ++j) {
        g[j] = T{1} / (T{1} + g[j]);
        h(i, j) = e(i, j) * g[j];
      }
    }
  });
}

/// d_pre = dh * e * gate * (1 - gate); de = dh * gate where wanted.
template <class T>
void gate_backward(Context<Cpu>& context, MatrixView<const T> e, MatrixView<const T> gate, MatrixView<const T> dh,
                   MatrixView<T> d_pre, GradView<T> de) {
  context.parallel_blocks(e.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      const T *g = gate.row(i), *d = dh.row(i), *x = e.row(i);
      T* out = d_pre.row(i);
      for (index_t j = 0; j < e.cols; ++j) out[j] = d[j] * x[j] * g[j] * (T{1} - g[j]);
      if (!de.wanted()) continue;
      T* to = de.view.row(i);
      if (de.beta == T{0}) {
        for (index_t j = 0; j < e.cols; ++j) to[j] = d[j] * g[j];
      } else {
        for (index_t j = 0; j < e.cols; ++j) to[j] = d[j] * g[j] + de.beta * to[j];
      }
    }
  });
}

template <class T, KernelBackend B>
void gate_forward(Context<B>& context, MatrixView<const T> e, MatrixView<const T> b, MatrixView<T> gate,
                  MatrixView<T> h) {
  launch<kernels::GateForward<T>>(context, {e, b, gate, h});
}

template <class T, KernelBackend B>
void gate_backward(Context<B>& context, MatrixView<const T> e, MatrixView<const T> gate, MatrixView<const T> dh,
                   MatrixView<T> d_pre, GradView<T> de) {
  launch<kernels::GateBackward<T>>(context, {e, gate, dh, d_pre, kernel_target(de)});
}

}  // namespace dream
