// Dense building blocks: elementwise passes, sums over rows, sums over everything.
//
//   Fill         y = value                                     MaskedAxpby   y = x + beta y, x zero where keep[row] is
//   0 Axpby        y = alpha [*scale] x + beta y                 AddToRows     y += 1 b^T column_sums  sums = alpha
//   (column sums of x) + beta sums dot_products out[i] = x_i . y_i + beta out[i], in double; x_i = y_i: the square of a
//   norm
//
// Backward of Axpby in x: Axpby.  Of AddToRows in b, and of a bias: column_sums.  Of MaskedAxpby: MaskedAxpby.
//
// All are bound by memory: each value is read once and written once, 4 (Fill) to 12 bytes a float, with next to no
// operations. Elementwise passes follow elementwise.cuh. Sums take two launches: blocks sum pieces of the rows, whose
// borders depend on sizes alone, and write what they have; then the pieces are added in order. No atomics.
// normalise_rows and its backward are in row_norm.cuh.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_norm.cuh>

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

/// The sums of the columns of pieces of x: row i of `pieces` is that of piece i.  Teams of threads along the columns
/// take every so many rows; their sums are added in order.
template <class T>
struct ColumnSumPieces {
  static constexpr int threads = Sweep::threads;
  static constexpr int width = pack_width<T>;
  struct Params {
    MatrixView<const T> x;
    T* pieces;  ///< count(rows) x cols
  };
  struct alignas(16) Shared {
    T sums[threads * width];
  };
  /// Rows of a piece, of which there are at most 512.
  DREAM_HOST_DEVICE static index_t rows_of_piece(index_t rows) {
    const index_t rows_of_512 = rows / 512 + (rows % 512 != 0);
    return rows_of_512 > 64 ? rows_of_512 : 64;
  }
  DREAM_HOST_DEVICE static index_t count(index_t rows) {
    const index_t piece = rows_of_piece(rows);
    return rows / piece + (rows % piece != 0);
  }
  DREAM_HOST_DEVICE static int side_by_side(index_t cols) {
    return 1 << shift_for((std::int64_t{cols} + width - 1) / width, 5);
  }
  DREAM_HOST_DEVICE static int strips(index_t cols) {
    const std::int64_t strip = std::int64_t{side_by_side(cols)} * width;
    return static_cast<int>((cols + strip - 1) / strip);
  }
  static int grid(const Params& p) { return count(p.x.rows) * strips(p.x.cols); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const MatrixView<const T>& x = p.x;
    const int lanes = side_by_side(x.cols), teams = threads / lanes, team = th.thread() / lanes;
    const int piece = th.block() / strips(x.cols);
    const std::int64_t first_col = std::int64_t{th.block() - piece * strips(x.cols)} * lanes * width;
    const std::int64_t col = first_col + th.thread() % lanes * width;
    const std::int64_t begin = std::int64_t{piece} * rows_of_piece(x.rows);
    const std::int64_t end = begin + rows_of_piece(x.rows) < x.rows ? begin + rows_of_piece(x.rows) : x.rows;
    Pack<T, width> sum{};
    if (takes_packs(x) && col + width <= x.cols) {
      for (std::int64_t row = begin + team; row < end; row += teams) {
        const Pack<T, width> values = th.load_readonly(as_pack<width>(element(x, row, col)));
        DREAM_UNROLL
        for (int k = 0; k < width; ++k) sum[k] += values[k];
      }
    } else {
      for (std::int64_t row = begin + team; row < end; row += teams) {
        DREAM_UNROLL
        for (int k = 0; k < width; ++k)
          if (col + k < x.cols) sum[k] += th.load_readonly(element(x, row, col + k));
      }
    }
    th.store(as_pack<width>(shared.sums + th.thread() * width), sum);
    th.sync();
    for (int c = th.thread(); c < lanes * width && first_col + c < x.cols; c += threads) {
      T all = shared.sums[c];
      for (int t = 1; t < teams; ++t) all += shared.sums[t * lanes * width + c];
      th.store(p.pieces + std::int64_t{piece} * x.cols + first_col + c, all);
    }
  }
};

/// sums = alpha (sum of the pieces) + beta sums: a warp's lanes along 32 columns, each warp every eighth piece.
template <class T>
struct ColumnSumFinish {
  static constexpr int threads = 256, warps = threads / warp_lanes;
  struct Params {
    const T* pieces;
    index_t count;
    T alpha, beta;
    VectorView<T> sums;
  };
  struct Shared {
    double sums[threads];
  };
  static int grid(const Params& p) { return static_cast<int>((p.sums.size + warp_lanes - 1) / warp_lanes); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const std::int64_t col = std::int64_t{th.block()} * warp_lanes + th.lane();
    double sum = 0;
    if (col < p.sums.size)
      for (index_t i = th.warp(); i < p.count; i += warps)
        sum += static_cast<double>(th.load_readonly(p.pieces + i * p.sums.size + col));
    shared.sums[th.thread()] = sum;
    th.sync();
    if (th.warp() != 0 || col >= p.sums.size) return;
    for (int w = 1; w < warps; ++w) sum += shared.sums[w * warp_lanes + th.lane()];
    write<1>(th, p.sums.data + col, Pack<T, 1>{{p.alpha * static_cast<T>(sum)}}, p.beta);
  }
};

/// sums = alpha (column sums of x) + beta sums.
template <class T>
struct ColumnSumsArguments {
  T alpha;
  MatrixView<const T> x;
  T beta;
  VectorView<T> sums;
  T* workspace;  ///< column_sums_workspace<T>(rows, cols) values
};
template <class T>
std::int64_t column_sums_workspace(index_t rows, index_t cols) {
  return std::int64_t{ColumnSumPieces<T>::count(rows)} * cols;
}
template <class Context, class T>
void column_sums(Context& context, const ColumnSumsArguments<T>& a) {
  launch<ColumnSumPieces<T>>(context, {a.x, a.workspace});
  launch<ColumnSumFinish<T>>(context, {a.workspace, ColumnSumPieces<T>::count(a.x.rows), a.alpha, a.beta, a.sums});
}

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
