// Graphs of the k nearest rows by cosine (DREAM's relation graphs, FREEDOM's and MGCN's item graphs).
//
// Exact: the similarity matrix is visited in square blocks, each unordered pair of row blocks once, and each block
// offers its values to the selections of both sides; it is never held as a whole. Cost: N^2 d / 2 multiply-adds and
// O(N k + block^2) memory. For N where that is too slow see approximate_neighbours in knn_approximate.hpp; by kernels:
// knn_kernels.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <mutex>
#include <vector>

#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/backend/row_norm.hpp>
#include <dream/backend/selection.hpp>

namespace dream {

/// What the kept similarities become as edge weights.
enum class KnnWeights {
  cosine,  ///< the similarity s_ij
  binary,  ///< 1 (FREEDOM)
};

struct KnnOptions {
  index_t k = 10;  ///< neighbours a row, itself included; more than there are rows means all
  KnnWeights weights = KnnWeights::cosine;
  index_t block = 768;  ///< rows of a block of similarities; changes time and memory, never the result
};

/// The nearest rows of every row, best first: row i's are at i * k .. i * k + k - 1. Places that stay free hold index
/// -1 and similarity 0.
template <class T>
struct Neighbours {
  index_t rows = 0;
  index_t k = 0;
  std::vector<index_t> index;
  std::vector<T> similarity;

  const index_t* indices(index_t row) const { return index.data() + std::int64_t{row} * k; }
  const T* similarities(index_t row) const { return similarity.data() + std::int64_t{row} * k; }
};

namespace detail {

inline void expect_finite_row(bool finite, index_t row, const char* what) {
  DREAM_EXPECT(finite, what, ": row ", row, " has a value that is not finite or too large");
}

/// 1 / |x_i|, and 0 for zero rows. A value that is not finite is an error.
template <class T>
std::vector<T> inverse_norms(Context<Cpu>& context, MatrixView<const T> x) {
  std::vector<T> inverse(static_cast<std::size_t>(x.rows));
  context.parallel_blocks(x.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      const double sum = cpu::product_of_rows(x.row(i), x.row(i), x.cols);
      expect_finite_row(std::isfinite(sum), i, "nearest neighbours");
      inverse[static_cast<std::size_t>(i)] = sum > 0 ? static_cast<T>(1.0 / std::sqrt(sum)) : T{0};
    }
  });
  return inverse;
}

/// Whether products of two rows and of two inverse norms keep clear of overflow and underflow.
template <class T>
bool norms_are_moderate(const std::vector<T>& inverse) {
  const T limit = std::sqrt(std::sqrt(std::numeric_limits<T>::max())) / T{8};
  return std::all_of(inverse.begin(), inverse.end(), [&](T v) { return v == T{0} || (v < limit && v > T{1} / limit); });
}

/// The selected candidates as neighbour lists. Rows whose norm is zero keep only themselves, with similarity 0.
template <class T>
Neighbours<T> finish_neighbours(Context<Cpu>& context, RowSelection<T>& selection, const std::vector<T>& inverse) {
  Neighbours<T> out;
  out.rows = selection.rows();
  out.k = selection.k();
  const std::size_t size = static_cast<std::size_t>(out.rows) * static_cast<std::size_t>(out.k);
  out.index.assign(size, -1);
  out.similarity.assign(size, T{0});
  context.parallel_blocks(out.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      index_t* index = out.index.data() + std::int64_t{i} * out.k;
      T* similarity = out.similarity.data() + std::int64_t{i} * out.k;
      if (inverse[static_cast<std::size_t>(i)] == T{0}) {
        index[0] = i;
        continue;
      }
      const index_t count = selection.finish(i);
      const Scored<T>* best = selection.selected(i);
      for (index_t c = 0; c < count; ++c) {
        index[c] = best[c].index;
        similarity[c] = best[c].value;
      }
    }
  });
  return out;
}

/// Calls f(i, j) once for every unordered pair of blocks, i = j included, in parallel. Neighbouring calls share no
/// block on their first side, so threads seldom wait for the same rows.
template <class F>
void for_block_pairs(Context<Cpu>& context, std::int64_t blocks, F&& f) {
  context.parallel_for(blocks * (blocks + 1) / 2, [&](std::int64_t task) {
    const std::int64_t distance = task / blocks, i = task % blocks;
    f(i, (i + distance) % blocks);
  });
}

/// out (rows x cols) = the products of rows i0.. and rows j0.. of x, in strips whose packed columns stay in the cache.
/// Where both are the same rows, only on and above the diagonal; below it values are unspecified.
template <class T>
void inner_products(Context<Cpu>& context, MatrixView<const T> x, index_t i0, index_t rows, index_t j0, index_t cols,
                    T* out, std::int64_t stride) {
  constexpr index_t strip = 3 * cpu::tile_cols<T>;
  for (index_t j = 0; j < cols; j += strip)
    cpu::gemm_block<T>(context, i0 == j0 ? std::min(rows, j + strip) : rows, std::min(strip, cols - j), x.cols, T{1},
                       {x.row(i0), x.stride, 1}, {x.row(j0 + j), 1, x.stride}, T{0}, out + j, stride);
}

inline constexpr int similarity_slot = 12;  // scratch; the product itself uses slots below 4

}  // namespace detail

/// The rows divided by their norms; zero rows stay zero.
template <class T>
Matrix<T, Cpu> unit_rows(Context<Cpu>& context, MatrixView<const T> x) {
  Matrix<T, Cpu> out(x.rows, x.cols);
  const MatrixView<T> view = out.view();
  context.parallel_blocks(x.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      const cpu::RowNorm<T> norm = cpu::row_norm(x.row(i), x.cols);
      for (index_t j = 0; j < x.cols; ++j) view(i, j) = norm.scale > 0 ? norm.unit(x(i, j)) : T{0};
    }
  });
  return out;
}

/// The k rows of largest cosine for every row of x, itself a candidate too; ties go to the smaller index, zero rows
/// keep only themselves. The same bits for any block and any number of threads. Rows of extreme norm cost a copy of x.
template <class T>
Neighbours<T> nearest_neighbours(Context<Cpu>& context, MatrixView<const T> x, const KnnOptions& options) {
  DREAM_EXPECT(options.k >= 1 && options.block >= 1, "nearest neighbours: k ", options.k, ", block ", options.block);
  if (x.rows == 0) return {};
  std::vector<T> inverse = detail::inverse_norms(context, x);
  Matrix<T, Cpu> unit;
  if (!detail::norms_are_moderate(inverse)) {
    unit = unit_rows(context, x);
    x = unit.view();
    inverse = detail::inverse_norms(context, x);
  }
  RowSelection<T> selection(x.rows, std::min(options.k, x.rows));
  const index_t block = std::min(options.block, x.rows);
  const index_t blocks = (x.rows + block - 1) / block;
  std::vector<std::mutex> owner(static_cast<std::size_t>(blocks));
  detail::for_block_pairs(context, blocks, [&](std::int64_t bi, std::int64_t bj) {
    const index_t i0 = static_cast<index_t>(bi) * block, rows = std::min(block, x.rows - i0);
    const index_t j0 = static_cast<index_t>(bj) * block, cols = std::min(block, x.rows - j0);
    T* values = context.scratch<T>(detail::similarity_slot, std::int64_t{block} * block);
    detail::inner_products(context, x, i0, rows, j0, cols, values, cols);
    for (index_t i = 0; i < rows; ++i) {
      const T own = inverse[static_cast<std::size_t>(i0 + i)];
      for (index_t j = bi == bj ? i : 0; j < cols; ++j)
        values[std::int64_t{i} * cols + j] *= own * inverse[static_cast<std::size_t>(j0 + j)];
    }
    {
      const std::lock_guard<std::mutex> lock(owner[static_cast<std::size_t>(bi)]);
      for (index_t i = 0; i < rows; ++i) {
        const index_t j = bi == bj ? i : 0;
        selection.offer_row(i0 + i, values + std::int64_t{i} * cols + j, cols - j, j0 + j);
      }
    }
    const std::lock_guard<std::mutex> lock(owner[static_cast<std::size_t>(bj)]);
    for (index_t i = 0; i < rows; ++i) {
      const index_t j = bi == bj ? i + 1 : 0;
      selection.offer_column(j0 + j, values + std::int64_t{i} * cols + j, cols - j, i0 + i);
    }
  });
  return detail::finish_neighbours(context, selection, inverse);
}

/// The graph of neighbour lists: S_ij = s_ij / sqrt(r_i r_j) with r_i the sum of row i's kept values, 0 where r_i or
/// r_j is not positive (docs/components.md, 2). Binary: every kept value is 1 first, zero rows' 0. Not symmetrised.
template <class T>
Csr<T, Cpu> knn_weights(Context<Cpu>& context, const Neighbours<T>& neighbours, KnnWeights weights) {
  Csr<T, Cpu> graph;
  graph.rows = graph.cols = neighbours.rows;
  graph.offsets.resize(std::int64_t{graph.rows} + 1);
  graph.offsets[0] = 0;
  std::vector<double> sums(static_cast<std::size_t>(graph.rows));
  // A row without a positive norm is recognised by its list: itself alone, with similarity 0.
  const auto value = [&](index_t i, index_t c) {
    const T s = neighbours.similarities(i)[c];
    if (weights == KnnWeights::cosine) return static_cast<double>(s);
    const bool zero_row = neighbours.indices(i)[0] == i && neighbours.similarities(i)[0] == T{0};
    return zero_row ? 0.0 : 1.0;
  };
  for (index_t i = 0; i < graph.rows; ++i) {
    index_t count = 0;
    double sum = 0;
    for (; count < neighbours.k && neighbours.indices(i)[count] >= 0; ++count) sum += value(i, count);
    sums[static_cast<std::size_t>(i)] = sum;
    graph.offsets[std::int64_t{i} + 1] = graph.offsets[i] + count;
  }
  graph.indices.resize(graph.offsets[graph.rows]);
  graph.values.resize(graph.offsets[graph.rows]);
  context.parallel_blocks(graph.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    std::vector<Scored<double>> row;
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      const std::int64_t first = graph.offsets[i], count = graph.offsets[std::int64_t{i} + 1] - first;
      row.clear();
      for (index_t c = 0; c < count; ++c) row.push_back({value(i, c), neighbours.indices(i)[c]});
      std::sort(row.begin(), row.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
      for (std::int64_t c = 0; c < count; ++c) {
        const Scored<double>& entry = row[static_cast<std::size_t>(c)];
        const double own = sums[static_cast<std::size_t>(i)], other = sums[static_cast<std::size_t>(entry.index)];
        graph.indices[first + c] = entry.index;
        graph.values[first + c] = own > 0 && other > 0 ? static_cast<T>(entry.value / std::sqrt(own * other)) : T{0};
      }
    }
  });
  return graph;
}

/// The relation graph of the rows of x (rows x rows): the item-item graph on features, or the user-user graph on mean
/// features.
template <class T>
Csr<T, Cpu> knn_graph(Context<Cpu>& context, MatrixView<const T> x, const KnnOptions& options) {
  return knn_weights(context, nearest_neighbours(context, x, options), options.weights);
}

}  // namespace dream
