// The regulariser on the rows of a batch, of matrices X_i:
//
//   squares    L = (1/2) sum_i |X_i|^2 / batch_size      dX_i = d_loss X_i / batch_size + beta dX_i
//   norms      L = sum_i |X_i| / rows                    dX_i = d_loss X_i / (|X_i| rows) + beta dX_i, 0 for |X_i| = 0
//
// Forward is dot_products (dot_products.cuh): 4 bytes a float, sums in double; the norms stay in device memory for
// backward, which is elementwise: 8 bytes a float.
#pragma once

#include <cmath>
#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/dot_products.cuh>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

/// norms[i] = sqrt(norms[i]), and the loss from them. One thread.
template <class T>
struct RegulariserFinish {
  static constexpr int threads = 1;
  struct Params {
    double* norms;  ///< holds the squares
    int count;
    bool squares;    ///< the form
    double divisor;  ///< batch_size or rows
    T* loss;
  };
  struct Shared {};
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    using std::sqrt;
    double sum = 0;
    for (int i = 0; i < p.count; ++i) {
      const double square = th.load(p.norms + i), norm = sqrt(square);
      sum += p.squares ? 0.5 * square : norm;
      th.store(p.norms + i, norm);
    }
    th.store(p.loss, static_cast<T>(p.divisor > 0 ? sum / p.divisor : sum));
  }
};

/// dx_i = d_loss * (unit gradient) + beta dx_i where wanted, in this order: two of them may share their memory
/// where their x do too.
template <class T>
struct RegulariserBackward {
  static constexpr int threads = Sweep::threads;
  struct Params {
    MatrixView<const T> x[most_products];
    GradientTarget<T> dx[most_products];
    int count;
    bool squares;
    double divisor;
    const double* norms;
    const T* d_loss;  ///< in device memory
  };
  struct Shared {};
  DREAM_HOST_DEVICE static Sweep sweep(const Params& p, int i) {
    return p.dx[i].wanted() ? Sweep::flat(p.x[i], p.dx[i].view) : Sweep{};
  }
  static int grid(const Params& p) {
    int most = 0;
    for (int i = 0; i < p.count; ++i) {
      const int blocks = sweep(p, i).template grid<T>();
      most = most > blocks ? most : blocks;
    }
    return most;
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    for (int i = 0; i < p.count; ++i) {
      const double size = (p.squares ? 1.0 : th.load_readonly(p.norms + i)) * p.divisor;
      const T factor = static_cast<T>(size == 0 ? 0 : 1 / size) * th.load_readonly(p.d_loss);
      sweep_elements<T>(th, sweep(p, i), [&]<int N>(std::int64_t row, std::int64_t col, Width<N>) {
        Pack<T, N> values = th.load_readonly(as_pack<N>(element(p.x[i], row, col)));
        DREAM_UNROLL
        for (int k = 0; k < N; ++k) values[k] *= factor;
        write<N>(th, element(p.dx[i].view, row, col), values, p.dx[i].beta);
      });
    }
  }
};

/// The loss and the norms of up to most_products matrices.
template <class T>
struct RegulariserForwardArguments {
  MatrixView<const T> x[most_products];
  int count;
  bool squares;     ///< the form; false: norms
  index_t divisor;  ///< squares: the configured batch size; norms: the rows
  double* norms;    ///< one a matrix, for backward
  T* loss;
  double* workspace;  ///< regulariser_forward_workspace(count) values
};
inline std::int64_t regulariser_forward_workspace(int count) { return dot_products_workspace(count); }
template <class Context, class T>
void regulariser_forward(Context& context, const RegulariserForwardArguments<T>& a) {
  DotProductsArguments<T> squares{};
  for (int i = 0; i < a.count; ++i) squares.x[i] = squares.y[i] = a.x[i];
  squares.count = a.count;
  squares.out = a.norms;
  squares.workspace = a.workspace;
  dot_products(context, squares);
  launch<RegulariserFinish<T>>(context, {a.norms, a.count, a.squares, static_cast<double>(a.divisor), a.loss});
}

}  // namespace dream::kernels
