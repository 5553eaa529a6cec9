// Dense passes that treat every element alike:
//
//   Fill          y = value
//   Axpby         y = alpha [*scale] x + beta y
//   MaskedAxpby   y = x + beta y, x zero where keep[row] is 0
//   AddToRows     y += 1 b^T
//
// Backward of Axpby in x: Axpby. Of MaskedAxpby: MaskedAxpby. Of AddToRows in b: column_sums (column_sums.cuh).
//
// All are bound by memory: each value is read once and written once, 4 (Fill) to 12 bytes a float, with next to no
// operations.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_access.cuh>

namespace dream::kernels {

/// y = value.
template <class T>
struct Fill {
  static constexpr int threads = Sweep::threads;
  struct Params {
    T value;
    MatrixView<T> y;
  };
  struct Shared {};
  DREAM_HOST_DEVICE static Sweep sweep(const Params& p) { return Sweep::flat(p.y); }
  static int grid(const Params& p) { return sweep(p).template grid<T>(); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    sweep_elements<T>(th, sweep(p), [&]<int N>(std::int64_t row, std::int64_t col, Width<N>) {
      Pack<T, N> values;
      DREAM_UNROLL
      for (int k = 0; k < N; ++k) values[k] = p.value;
      write<N>(th, element(p.y, row, col), values);
    });
  }
};

/// y = alpha [*scale] x + beta y; `scale` is in device memory, none: 1. y may be x. S3 scales its gradient so.
template <class T>
struct Axpby {
  static constexpr int threads = Sweep::threads;
  struct Params {
    T alpha;
    const T* scale;
    MatrixView<const T> x;
    T beta;
    MatrixView<T> y;
  };
  struct Shared {};
  DREAM_HOST_DEVICE static Sweep sweep(const Params& p) { return Sweep::flat(p.y, p.x); }
  static int grid(const Params& p) { return sweep(p).template grid<T>(); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const T alpha = scaled(th, p.alpha, p.scale);
    sweep_elements<T>(th, sweep(p), [&]<int N>(std::int64_t row, std::int64_t col, Width<N>) {
      Pack<T, N> values = read<N>(th, element(p.x, row, col));
      DREAM_UNROLL
      for (int k = 0; k < N; ++k) values[k] *= alpha;
      write<N>(th, element(p.y, row, col), values, p.beta);
    });
  }
};

/// y = x + beta y in the rows where keep is not 0, beta y in the others, whose x is not used. y may be x.
template <class T>
struct MaskedAxpby {
  static constexpr int threads = Sweep::threads;
  struct Params {
    VectorView<const std::uint8_t> keep;  ///< one a row
    MatrixView<const T> x;
    T beta;
    MatrixView<T> y;
  };
  struct Shared {};
  DREAM_HOST_DEVICE static Sweep sweep(const Params& p) { return Sweep::by_rows(p.y, p.x); }
  static int grid(const Params& p) { return sweep(p).template grid<T>(); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    sweep_elements<T>(th, sweep(p), [&]<int N>(std::int64_t row, std::int64_t col, Width<N>) {
      const bool kept = th.load_readonly(p.keep.data + row) != 0;
      Pack<T, N> values = read<N>(th, element(p.x, row, col));
      DREAM_UNROLL
      for (int k = 0; k < N; ++k) values[k] = kept ? values[k] : T{0};
      write<N>(th, element(p.y, row, col), values, p.beta);
    });
  }
};

/// y += b in every row.
template <class T>
struct AddToRows {
  static constexpr int threads = Sweep::threads;
  struct Params {
    MatrixView<const T> b;  ///< 1 x cols
    MatrixView<T> y;
  };
  struct Shared {};
  DREAM_HOST_DEVICE static Sweep sweep(const Params& p) { return Sweep::by_rows(p.y, p.b); }
  static int grid(const Params& p) { return sweep(p).template grid<T>(); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    sweep_elements<T>(th, sweep(p), [&]<int N>(std::int64_t row, std::int64_t col, Width<N>) {
      const Pack<T, N> b = th.load_readonly(as_pack<N>(p.b.data + col));
      write<N>(th, element(p.y, row, col), b, T{1});
    });
  }
};

}  // namespace dream::kernels
