// Exact nearest neighbours and their graph by kernels.
//
// A strip of rows meets all rows, tile by tile: the backend's library multiplies, and a warp a row merges the tile's
// cosines into the row's list (kernels/selection.cuh) while the tile is in the device's cache. Cost: N^2 d
// multiply-adds and N^2 sizeof(T) bytes written and read; O(N k) memory and a tile beside the rows.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <dream/backend/algebra.hpp>
#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/graph/knn.hpp>
#include <dream/kernels/knn.cuh>
#include <dream/kernels/selection.cuh>

namespace dream {

/// The nearest rows of every row (n x k), best first, in the memory of a backend. Places that stay free hold index -1
/// and similarity 0.
template <class T, KernelBackend B>
struct NeighbourLists {
  Matrix<index_t, B> index;
  Matrix<T, B> similarity;
};

namespace detail {

/// Rows whose products keep clear of overflow and underflow: those that were given, or their directions.
template <class T, KernelBackend B>
struct ComparableRows {
  MatrixView<const T> x;
  Array<T, B> inverse_norms;  ///< 0 of zero rows
  Matrix<T, B> directions;    ///< empty where the given rows will do
};

/// As nearest_neighbours has them on the host. A value that is not finite is an error of `what`. Waits for the norms.
template <class T, KernelBackend B>
ComparableRows<T, B> comparable_rows(Context<B>& context, MatrixView<const T> x, const char* what) {
  ComparableRows<T, B> rows{x, Array<T, B>(context, x.rows), {}};
  std::vector<T> inverse(static_cast<std::size_t>(x.rows));
  launch<kernels::InverseNorms<T>>(context, {x, rows.inverse_norms.view()});
  download<T>(context, rows.inverse_norms.data(), inverse);
  for (index_t i = 0; i < x.rows; ++i) expect_finite_row(!std::isnan(inverse[static_cast<std::size_t>(i)]), i, what);
  if (norms_are_moderate(inverse)) return rows;
  rows.directions.resize(context, x.rows, x.cols);
  normalise_rows<T>(context, x, rows.directions.view(), rows.inverse_norms.view());
  rows.x = rows.directions.view();
  launch<kernels::InverseNorms<T>>(context, {rows.x, rows.inverse_norms.view()});
  return rows;
}

/// `total` rows in pieces of one size, at most `most`; so the last piece begins among the rows of the one before it.
struct EqualPieces {
  index_t total, count, size;

  EqualPieces(index_t rows, std::int64_t most)
      : total(rows),
        count(static_cast<index_t>((rows + most - 1) / most)),
        size(count > 0 ? static_cast<index_t>((std::int64_t{rows} + count - 1) / count) : 0) {}
  index_t begin(index_t piece) const {
    return static_cast<index_t>(std::min(std::int64_t{piece} * size, std::int64_t{total} - size));
  }
  /// Rows at its beginning that the piece before has too.
  index_t repeated(index_t piece) const { return static_cast<index_t>(std::int64_t{piece} * size - begin(piece)); }
};

inline constexpr std::int64_t blocks_across = 16;  // a tile of 768 rows is 36 MiB of floats: within a large L2 cache

}  // namespace detail

/// The k rows of largest cosine for every row of x, which is in device memory; itself is a candidate too. Ties, zero
/// rows, extreme norms and errors are those of the host. A tile has up to `options.block` rows and 16 times as many
/// columns. All products have one shape, so that a library which chooses by shape sums them in one order and equal
/// rows tie.
template <class T, KernelBackend B>
NeighbourLists<T, B> nearest_neighbours(Context<B>& context, MatrixView<const T> x, const KnnOptions& options) {
  DREAM_EXPECT(options.k >= 1 && options.block >= 1, "nearest neighbours: k ", options.k, ", block ", options.block);
  const index_t k = std::min(options.k, x.rows);
  NeighbourLists<T, B> lists{Matrix<index_t, B>(context, x.rows, k), Matrix<T, B>(context, x.rows, k)};
  const detail::ComparableRows<T, B> rows = detail::comparable_rows<T>(context, x, "nearest neighbours");
  const detail::EqualPieces strips(x.rows, options.block), tiles(x.rows, detail::blocks_across * options.block);
  Matrix<T, B> tile(context, strips.size, tiles.size);
  const VectorView<const T> inverse = rows.inverse_norms.view();
  for (index_t s = 0; s < strips.count; ++s)
    for (index_t t = 0; t < tiles.count; ++t) {
      gemm<T>(context, Op::none, Op::transpose, T{1}, rows.x.middle_rows(strips.begin(s), strips.size),
              rows.x.middle_rows(tiles.begin(t), tiles.size), T{0}, tile.view());
      const index_t above = strips.repeated(s), first = strips.begin(s) + above, count = strips.size - above;
      const index_t before = tiles.repeated(t), left = tiles.begin(t) + before, width = tiles.size - before;
      kernels::top_k_rows(context, kernels::TopKRowsArguments<T>{
                                       .tile = tile.view().middle_rows(above, count).middle_cols(before, width),
                                       .offset = left,
                                       .row_factors = {inverse.data + first, count},
                                       .col_factors = {inverse.data + left, width},
                                       .values = lists.similarity.view().middle_rows(first, count),
                                       .indices = lists.index.view().middle_rows(first, count),
                                       .fresh = t == 0});
    }
  launch<kernels::EndNeighbourLists<T>>(context, {inverse, lists.similarity.view(), lists.index.view()});
  return lists;
}

/// The relation graph of the rows of x in device memory; see knn_weights. Waits for its number of entries.
template <class T, KernelBackend B>
Csr<T, B> knn_graph(Context<B>& context, MatrixView<const T> x, const KnnOptions& options) {
  const NeighbourLists<T, B> lists = nearest_neighbours<T>(context, x, options);
  Csr<T, B> graph;
  graph.rows = graph.cols = x.rows;
  graph.offsets.resize(context, std::int64_t{x.rows} + 1);
  graph.indices.resize(context, lists.index.size());
  graph.values.resize(context, lists.index.size());
  Array<double, B> sums(context, x.rows);
  Array<std::int64_t, B> pieces(context, kernels::knn_weights_pieces(x.rows));
  kernels::knn_weights(context, kernels::KnnWeightsArguments<T>{.similarities = lists.similarity.view(),
                                                                .neighbours = lists.index.view(),
                                                                .binary = options.weights == KnnWeights::binary,
                                                                .offsets = graph.offsets.data(),
                                                                .columns = graph.indices.data(),
                                                                .weights = graph.values.data(),
                                                                .sums = sums.data(),
                                                                .pieces = pieces.data()});
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(graph.offsets.size()));
  download<std::int64_t>(context, graph.offsets.data(), offsets);
  graph.indices.resize(context, offsets.back());
  graph.values.resize(context, offsets.back());
  graph.plan = kernels::make_spmm_plan(offsets.data(), graph.rows);
  return graph;
}

}  // namespace dream
