// Products of matrices over all their elements, in double: out[i] = x_i . y_i + beta out[i]; x_i = y_i: the square of a
// norm.
//
// 8 bytes a pair of floats are read (4 for a square), in two launches: blocks sum pieces, whose borders depend on sizes
// alone, and write what they have; then the pieces are added in order. No atomics.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_access.cuh>
#include <dream/kernels/shapes.cuh>

namespace dream::kernels {

inline constexpr int most_products = 8;       ///< of one dot_products()
inline constexpr int most_dot_pieces = 1024;  ///< of one product

/// Sums of x_i * y_i over pieces of the matrices: those of pair i begin at pieces[i * most_dot_pieces].
template <class T>
struct DotPieces {
  static constexpr int threads = Sweep::threads;
  struct Params {
    MatrixView<const T> x[most_products], y[most_products];
    int count;  ///< pairs
    double* pieces;
  };
  struct Shared {
    BlockScratch<double, threads> sums;
  };
  /// Of sizes alone, whatever the alignment.
  DREAM_HOST_DEVICE static Sweep sweep(const MatrixView<const T>& x) { return {x.rows, x.cols, true}; }
  DREAM_HOST_DEVICE static int pieces_of(const MatrixView<const T>& x) {
    return sweep(x).blocks(pack_width<T>, most_dot_pieces);
  }
  static int most_pieces(const Params& p) {
    int most = 0;
    for (int i = 0; i < p.count; ++i) most = most > pieces_of(p.x[i]) ? most : pieces_of(p.x[i]);
    return most;
  }
  static int grid(const Params& p) { return most_pieces(p); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    for (int i = 0; i < p.count; ++i) {
      const MatrixView<const T>&x = p.x[i], &y = p.y[i];
      const bool square = x.data == y.data && x.stride == y.stride, packs = takes_packs(x) && takes_packs(y);
      double sum = 0;
      sweep_units<pack_width<T>>(th, sweep(x), pieces_of(x), [&]<int N>(std::int64_t row, std::int64_t col, Width<N>) {
        const Pack<T, N> a = read_unit<N>(th, x, row, col, packs),
                         b = square ? a : read_unit<N>(th, y, row, col, packs);
        DREAM_UNROLL
        for (int k = 0; k < N; ++k) sum += static_cast<double>(a[k]) * static_cast<double>(b[k]);
      });
      sum = block_sum(th, sum, shared.sums);
      if (th.thread() == 0 && th.block() < pieces_of(x))
        th.store(p.pieces + std::int64_t{i} * most_dot_pieces + th.block(), sum);
    }
  }

 private:
  /// Zeros beyond the row's end.
  template <int N, class Thread>
  DREAM_HOST_DEVICE static Pack<T, N> read_unit(const Thread& th, const MatrixView<const T>& x, std::int64_t row,
                                                std::int64_t col, bool packs) {
    const T* from = element(x, row, col);
    if (packs && col + N <= x.cols) return th.load_readonly(as_pack<N>(from));
    Pack<T, N> values;
    DREAM_UNROLL
    for (int k = 0; k < N; ++k) values[k] = col + k < x.cols ? th.load_readonly(from + k) : T{0};
    return values;
  }
};

/// The sum of `count` pieces, the same in every thread of the block.
template <class Thread, int Threads>
DREAM_HOST_DEVICE double sum_of_pieces(const Thread& th, const double* pieces, std::int64_t count,
                                       BlockScratch<double, Threads>& scratch) {
  double sum = 0;
  for (std::int64_t i = th.thread(); i < count; i += Threads) sum += th.load_readonly(pieces + i);
  return block_sum(th, sum, scratch);
}

/// out[i] = (sum of pair i's pieces) + beta out[i], a block a pair.
struct DotFinish {
  static constexpr int threads = 256;
  struct Params {
    const double* pieces;
    int pieces_of[most_products];
    int count;
    double beta;
    double* out;
  };
  struct Shared {
    BlockScratch<double, threads> sums;
  };
  static int grid(const Params& p) { return p.count; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const int i = th.block();
    const double sum = sum_of_pieces(th, p.pieces + std::int64_t{i} * most_dot_pieces, p.pieces_of[i], shared.sums);
    if (th.thread() == 0) write<1>(th, p.out + i, Pack<double, 1>{{sum}}, p.beta);
  }
};

/// out[i] = x_i . y_i + beta out[i] over all elements, for `count` pairs of matrices; beta 1 adds up strips.
template <class T>
struct DotProductsArguments {
  MatrixView<const T> x[most_products], y[most_products];
  int count;
  double beta;
  double* out;        ///< one a pair
  double* workspace;  ///< dot_products_workspace(count) values
};
inline std::int64_t dot_products_workspace(int count) { return std::int64_t{count} * most_dot_pieces; }
template <class Context, class T>
void dot_products(Context& context, const DotProductsArguments<T>& a) {
  DREAM_EXPECT(a.count >= 0 && a.count <= most_products, "dot_products: ", a.count, " pairs, of which there can be ",
               most_products);
  for (int i = 0; i < a.count; ++i) expect_shape("dot_products, Y", a.y[i], a.x[i].rows, a.x[i].cols);
  typename DotPieces<T>::Params pieces{};
  DotFinish::Params finish{a.workspace, {}, a.count, a.beta, a.out};
  for (int i = 0; i < a.count; ++i) {
    pieces.x[i] = a.x[i];
    pieces.y[i] = a.y[i];
    finish.pieces_of[i] = DotPieces<T>::pieces_of(a.x[i]);
  }
  pieces.count = a.count;
  pieces.pieces = a.workspace;
  launch<DotPieces<T>>(context, pieces);
  launch<DotFinish>(context, finish);
}

}  // namespace dream::kernels
