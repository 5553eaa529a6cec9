// The filter gate of the modal line around its dense product, A = X W2 + b2.
//
//   forward    G = sigmoid(X W2 + b2),  H = E * G                                  (E = X in the self gate)
//   backward   dA = dH * E * G * (1 - G),  dE = dH * G + beta dE                    (* elementwise)
//              then dX = dA W2^T and dW2 = X^T dA by the caller's products, db2 by column_sums (column_sums.cuh)
//
// Elementwise and bound by memory: 16 bytes a float forward (X W2 and E read, G and H written), 16 to 24 backward (dH,
// E, G read, dA written; dE written where wanted, read where beta is not 0). G takes the place of X W2.
#pragma once

#include <cmath>
#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

/// gate = sigmoid(gate + b), h = e * gate. Large values give 0 or 1, NaN stays. h may be e.
template <class T>
struct GateForward {
  static constexpr int threads = Sweep::threads;
  struct Params {
    MatrixView<const T> e;
    MatrixView<const T> b;  ///< 1 x cols
    MatrixView<T> gate;     ///< holds X W2
    MatrixView<T> h;
  };
  struct Shared {};
  DREAM_HOST_DEVICE static Sweep sweep(const Params& p) { return Sweep::by_rows(p.gate, p.e, p.b, p.h); }
  static int grid(const Params& p) { return sweep(p).template grid<T>(); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    sweep_elements<T>(th, sweep(p), [&]<int N>(std::int64_t row, std::int64_t col, Width<N>) {
      using std::exp;
      Pack<T, N> gate = read<N>(th, element(p.gate, row, col)), h = read<N>(th, element(p.e, row, col));
      const Pack<T, N> b = th.load_readonly(as_pack<N>(p.b.data + col));
      DREAM_UNROLL
      for (int k = 0; k < N; ++k) {
        gate[k] = T{1} / (T{1} + exp(-(gate[k] + b[k])));
        h[k] *= gate[k];
      }
      write<N>(th, element(p.gate, row, col), gate);
      write<N>(th, element(p.h, row, col), h);
    });
  }
};

/// d_pre = dh * e * gate * (1 - gate); de = dh * gate + beta de where wanted. d_pre may be gate or dh.
template <class T>
struct GateBackward {
  static constexpr int threads = Sweep::threads;
  struct Params {
    MatrixView<const T> e, gate, dh;
    MatrixView<T> d_pre;
    GradientTarget<T> de;
  };
  struct Shared {};
  DREAM_HOST_DEVICE static Sweep sweep(const Params& p) { return Sweep::flat(p.d_pre, p.e, p.gate, p.dh, p.de.view); }
  static int grid(const Params& p) { return sweep(p).template grid<T>(); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    sweep_elements<T>(th, sweep(p), [&]<int N>(std::int64_t row, std::int64_t col, Width<N>) {
      const Pack<T, N> gate = read<N>(th, element(p.gate, row, col)), e = read<N>(th, element(p.e, row, col));
      Pack<T, N> along_e = read<N>(th, element(p.dh, row, col)), d_pre;
      DREAM_UNROLL
      for (int k = 0; k < N; ++k) {
        along_e[k] *= gate[k];
        d_pre[k] = along_e[k] * e[k] * (T{1} - gate[k]);
      }
      write<N>(th, element(p.d_pre, row, col), d_pre);
      if (p.de.wanted()) write<N>(th, element(p.de.view, row, col), along_e, p.de.beta);
    });
  }
};

}  // namespace dream::kernels
