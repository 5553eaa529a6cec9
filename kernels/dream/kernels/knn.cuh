// The graph of the k nearest rows from each row's list of neighbours (docs/components.md, 2).
//
//   inverse_i = 1 / |x_i|, 0 of a zero row, which keeps only itself with similarity 0;
//   S_ij = s_ij / sqrt(r_i r_j), r_i = sum of row i's kept s, 0 where r_i or r_j is not positive.  Binary: every kept s
//   is 1 first, zero rows' 0. Not symmetrised; the entries of a row ascend. No gradient.
//
// The lists themselves are TopKRows' (selection.cuh), fed with tiles of products and the inverse norms as factors, or
// top_k's of the rows with themselves. Here: inverse norms by a warp a row; the lists ended, a thread a pair; then a
// thread a row sums its list in order, blocks count entries and a single block turns counts into offsets; last a thread
// an entry finds its place by counting the smaller columns of its row, and its weight. Sums and weights are taken in
// double.
//
// Floor: n k (sizeof(T) + 4) bytes read twice and written once, n k sums of other rows gathered; n d sizeof(T) for
// norms; n k 4 bytes read to end the lists.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/shapes.cuh>

namespace dream::kernels {

/// 1 / |x_i| of every row; 0 of zero rows, NaN where the norm is not finite.
template <class T>
struct InverseNorms {
  static constexpr int threads = 256;
  struct Params {
    MatrixView<const T> x;
    VectorView<T> inverse;  ///< x.rows
  };
  struct Shared {};
  static int grid(const Params& p) {
    return static_cast<int>((std::int64_t{p.x.rows} * warp_lanes + threads - 1) / threads);
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    using std::sqrt;
    const std::int64_t row = std::int64_t{th.block()} * (threads / warp_lanes) + th.warp();
    if (row >= p.x.rows) return;
    const T* x = p.x.row(static_cast<index_t>(row));
    double sum = 0;
    for (index_t j = th.lane(); j < p.x.cols; j += warp_lanes) {
      const double v = static_cast<double>(th.load_readonly(x + j));
      sum += v * v;
    }
    sum = warp_sum(th, sum);
    if (th.lane() != 0) return;
    const bool finite = sum < -lowest_value<double>;
    const double inverse = sum == 0 ? 0 : finite ? 1 / sqrt(sum) : not_a_number;
    th.store(p.inverse.data + row, static_cast<T>(inverse));
  }

 private:
  static constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
};

/// Makes neighbour lists of what the selection found: lists of zero rows become the row alone, and the similarities
/// after the end of a list 0.
template <class T>
struct EndNeighbourLists {
  static constexpr int threads = 256;
  struct Params {
    VectorView<const T> inverse_norms;  ///< n; 0 of zero rows
    MatrixView<T> similarities;         ///< n x k
    MatrixView<index_t> neighbours;     ///< n x k; the first -1 ends a list
  };
  struct Shared {};
  static int grid(const Params& p) { return static_cast<int>((p.neighbours.size() + threads - 1) / threads); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const std::int64_t pair = std::int64_t{th.block()} * threads + th.thread();
    if (pair >= p.neighbours.size()) return;
    const index_t row = static_cast<index_t>(pair / p.neighbours.cols);
    const index_t rank = static_cast<index_t>(pair % p.neighbours.cols);
    index_t* neighbour = p.neighbours.row(row) + rank;
    const bool zero_row = th.load_readonly(p.inverse_norms.data + row) == T{0};
    if (zero_row) th.store(neighbour, rank == 0 ? row : -1);
    if (zero_row || th.load(neighbour) < 0) th.store(p.similarities.row(row) + rank, T{0});
  }
};

/// What knn_weights works on: for each of n rows its k nearest, best first.
template <class T>
struct KnnWeightsArguments {
  MatrixView<const T> similarities;      ///< n x k
  MatrixView<const index_t> neighbours;  ///< n x k; the first -1 ends a list, that of a zero row is the row alone
  bool binary = false;                   ///< every kept similarity counts as 1
  std::int64_t* offsets = nullptr;       ///< out: n + 1; the last is the number of entries
  index_t* columns = nullptr;            ///< out: as many as entries, at most n k
  T* weights = nullptr;                  ///< out: likewise
  double* sums = nullptr;                ///< workspace: n
  std::int64_t* pieces = nullptr;        ///< workspace: knn_weights_pieces(n)
};

namespace detail {

inline constexpr int knn_rows_a_piece = 256;

/// Takes the lists' sums and leaves each row's number of entries where its offset will be.
template <class T>
struct KnnSums {
  static constexpr int threads = knn_rows_a_piece;
  using Params = KnnWeightsArguments<T>;
  struct Shared {
    BlockScratch<std::int64_t, threads> scratch;
  };
  static int grid(const Params& p) {
    return static_cast<int>((std::int64_t{p.neighbours.rows} + threads - 1) / threads);
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const std::int64_t i = std::int64_t{th.block()} * threads + th.thread();
    std::int64_t count = 0;
    if (i < p.neighbours.rows) {
      const index_t row = static_cast<index_t>(i), k = p.neighbours.cols;
      const T* similarity = p.similarities.row(row);
      const index_t* neighbour = p.neighbours.row(row);
      const bool zero_row = k > 0 && th.load_readonly(neighbour) == row && th.load_readonly(similarity) == T{0};
      double sum = 0;
      for (; count < k && th.load_readonly(neighbour + count) >= 0; ++count)
        sum += p.binary ? (zero_row ? 0.0 : 1.0) : static_cast<double>(th.load_readonly(similarity + count));
      th.store(p.sums + i, sum);
      th.store(p.offsets + i, count);
    }
    count = block_sum(th, count, shared.scratch);
    if (th.thread() == 0) th.store(p.pieces + th.block(), count);
  }
};

/// Each piece's number of entries becomes that of the pieces before it; a single block.
template <class T>
struct KnnPieces {
  static constexpr int threads = 1024;
  using Params = KnnWeightsArguments<T>;
  struct Shared {
    BlockScratch<std::int64_t, threads> scratch;
  };
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const index_t n = p.neighbours.rows, pieces = n / knn_rows_a_piece + (n % knn_rows_a_piece != 0);
    std::int64_t before = 0;
    for (index_t first = 0; first < pieces; first += threads) {
      const index_t piece = first + th.thread();
      const std::int64_t count = piece < pieces ? th.load(p.pieces + piece) : 0;
      const auto scanned = block_scan(th, count, AddValues{}, shared.scratch);
      if (piece < pieces) th.store(p.pieces + piece, before + scanned.before);
      before += scanned.total;
    }
    if (th.thread() == 0) th.store(p.offsets + n, before);
  }
};

/// Offsets, columns in ascending order, weights.
template <class T>
struct KnnEntries {
  static constexpr int threads = knn_rows_a_piece;
  using Params = KnnWeightsArguments<T>;
  struct Shared {
    BlockScratch<std::int64_t, threads> scratch;
    std::int64_t offsets[threads];
    index_t counts[threads];
  };
  static int grid(const Params& p) { return KnnSums<T>::grid(p); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    using std::sqrt;
    const std::int64_t first = std::int64_t{th.block()} * threads, left = p.neighbours.rows - first;
    const int rows = left < threads ? static_cast<int>(left) : threads;
    const std::int64_t count = th.thread() < rows ? th.load(p.offsets + first + th.thread()) : 0;
    const std::int64_t offset =
        th.load_readonly(p.pieces + th.block()) + block_scan(th, count, AddValues{}, shared.scratch).before;
    shared.offsets[th.thread()] = offset;
    shared.counts[th.thread()] = static_cast<index_t>(count);
    if (th.thread() < rows) th.store(p.offsets + first + th.thread(), offset);
    th.sync();
    const std::int64_t k = p.neighbours.cols;
    for (std::int64_t e = th.thread(); e < rows * k; e += threads) {
      const int r = static_cast<int>(e / k);
      const index_t c = static_cast<index_t>(e % k), row = static_cast<index_t>(first + r);
      if (c >= shared.counts[r]) continue;
      const index_t* neighbours = p.neighbours.row(row);
      const T* similarities = p.similarities.row(row);
      const index_t column = th.load_readonly(neighbours + c);
      std::int64_t at = shared.offsets[r];
      for (index_t other = 0; other < shared.counts[r]; ++other) at += th.load_readonly(neighbours + other) < column;
      const T similarity = th.load_readonly(similarities + c);
      const bool zero_row = th.load_readonly(neighbours) == row && th.load_readonly(similarities) == T{0};
      const double value = p.binary ? (zero_row ? 0.0 : 1.0) : static_cast<double>(similarity);
      const double own = th.load_readonly(p.sums + row), other = th.load_readonly(p.sums + column);
      th.store(p.columns + at, column);
      th.store(p.weights + at, own > 0 && other > 0 ? static_cast<T>(value / sqrt(own * other)) : T{0});
    }
  }
};

}  // namespace detail

/// Values of `pieces`.
inline std::int64_t knn_weights_pieces(index_t rows) {
  return (std::int64_t{rows} + detail::knn_rows_a_piece - 1) / detail::knn_rows_a_piece;
}

/// The graph of neighbour lists, n x n in CSR. Three launches.
template <class Context, class T>
void knn_weights(Context& context, const KnnWeightsArguments<T>& a) {
  expect_shape("knn_weights, the neighbours", a.neighbours, a.similarities.rows, a.similarities.cols);
  launch<detail::KnnSums<T>>(context, a);
  launch<detail::KnnPieces<T>>(context, a);
  launch<detail::KnnEntries<T>>(context, a);
}

}  // namespace dream::kernels
