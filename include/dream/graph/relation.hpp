// Both relation graphs of a modality (docs/components.md, 2): item-item on the features F, user-user on the mean
// features f_u = mean of F over the user's items.
//
// With M the averaging operator (users x items), f_u . f_v = (M K M^T)_uv, K = F F^T. Users have few items and features
// many columns, so once K is there a similarity of two users costs as many additions as one of them has items, where
// the direct product costs d. K also holds every similarity of two items. It is used where it fits into a stated
// budget.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/backend/selection.hpp>
#include <dream/graph/bipartite.hpp>
#include <dream/graph/knn.hpp>
#include <dream/graph/knn_kernels.hpp>

#if defined(__CUDACC__)  // hands the pragmas for GCC on, but warns of them
#pragma nv_diagnostic push
#pragma nv_diag_suppress 1675
#endif

namespace dream {

/// How similarities of users are computed; both agree to rounding.
enum class UserSimilarity {
  automatic,  ///< the way with fewer operations, `gram` only within the budget
  direct,     ///< nearest_neighbours on the mean features: memory O(N k + block) beside these
  gram,       ///< through K = F F^T: memory O(items^2); direct where norms of items are so extreme that K is lost
};

struct RelationOptions {
  KnnOptions item{};
  KnnOptions user{.k = 20};
  UserSimilarity similarity = UserSimilarity::automatic;
  std::int64_t gram_bytes = std::int64_t{256} << 20;  ///< K must fit into this for `automatic` to choose it
  bool items = true;                                  ///< whether relation_graphs makes the item-item graph
  bool users = true;                                  ///< whether it makes the user-user graph
};

template <class T, class B>
struct RelationGraphs {
  Csr<T, B> item;  ///< S_m, items x items
  Csr<T, B> user;  ///< T_m, users x users
};

/// K = X X^T, symmetric to the bit: each unordered pair of blocks is computed once and written to both places.
template <class T>
Matrix<T, Cpu> gram_matrix(Context<Cpu>& context, MatrixView<const T> x, index_t block = 768) {
  DREAM_EXPECT(block >= 1, "gram matrix: block ", block);
  Matrix<T, Cpu> gram(x.rows, x.rows);
  const MatrixView<T> k = gram.view();
  detail::for_block_pairs(context, (std::int64_t{x.rows} + block - 1) / block, [&](std::int64_t bi, std::int64_t bj) {
    const index_t i0 = static_cast<index_t>(bi) * block, rows = std::min(block, x.rows - i0);
    const index_t j0 = static_cast<index_t>(bj) * block, cols = std::min(block, x.rows - j0);
    detail::inner_products(context, x, i0, rows, j0, cols, k.row(i0) + j0, k.stride);
    constexpr index_t tile = 16;
    for (index_t i = i0; i < i0 + rows; i += tile)
      for (index_t j = j0; j < j0 + cols; j += tile)
        for (index_t jj = j; jj < std::min(j + tile, j0 + cols); ++jj)
          for (index_t ii = i; ii < std::min(i + tile, bi == bj ? jj : i0 + rows); ++ii) k(jj, ii) = k(ii, jj);
  });
  return gram;
}

namespace detail {

/// nearest_neighbours of the rows whose inner products are in `gram` and whose inverse norms are given: the same bits.
template <class T>
Neighbours<T> nearest_in_gram(Context<Cpu>& context, MatrixView<const T> gram, const std::vector<T>& inverse,
                              index_t k) {
  if (gram.rows == 0) return {};
  RowSelection<T> selection(gram.rows, std::min(k, gram.rows));
  context.parallel_blocks(gram.rows, 16, [&](std::int64_t begin, std::int64_t end) {
    T* row = context.scratch<T>(similarity_slot, gram.cols);
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      const T own = inverse[static_cast<std::size_t>(i)];
      const T* from = gram.row(i);
      for (index_t j = 0; j < gram.cols; ++j) row[j] = from[j] * (own * inverse[static_cast<std::size_t>(j)]);
      selection.offer_row(i, row, gram.cols, 0);
    }
  });
  return finish_neighbours(context, selection, inverse);
}

/// 1 / |f_u| = 1 / sqrt(m_u K m_u^T). Where the items cancel to what rounding leaves, the mean counts as zero.
template <class T>
std::vector<T> inverse_mean_norms(Context<Cpu>& context, MatrixView<const T> gram, CsrView<T> mean) {
  std::vector<T> inverse(static_cast<std::size_t>(mean.rows));
  context.parallel_blocks(mean.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t u = begin; u < end; ++u) {
      double square = 0, items = 0;
      for (std::int64_t e = mean.offsets[u]; e < mean.offsets[u + 1]; ++e) {
        const T* row = gram.row(mean.indices[e]);
        double sum = 0;
        for (std::int64_t f = mean.offsets[u]; f < mean.offsets[u + 1]; ++f)
          sum += static_cast<double>(mean.values[f]) * static_cast<double>(row[mean.indices[f]]);
        square += static_cast<double>(mean.values[e]) * sum;
        items += static_cast<double>(mean.values[e]) * static_cast<double>(row[mean.indices[e]]);
      }
      DREAM_EXPECT(std::isfinite(square), "user means: user ", u, " has items whose features are not finite");
      const bool zero = square <= 8.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * items;
      inverse[static_cast<std::size_t>(u)] = zero ? T{0} : static_cast<T>(1.0 / std::sqrt(square));
    }
  });
  return inverse;
}

}  // namespace detail

/// The k nearest users by cosine of mean features, from the inner products K of the items and the averaging operator.
///
/// A piece of 16 users: G = M_piece K, laid out with the 16 values of an item together; then every user v in turn adds
/// up the few rows of G that belong to its items, and the 16 sums meet the 16 bounds. Users with equal items tie
/// exactly.
template <class T>
Neighbours<T> nearest_users(Context<Cpu>& context, MatrixView<const T> gram, CsrView<T> mean, index_t k) {
  DREAM_EXPECT(gram.rows == gram.cols && gram.cols == mean.cols, "nearest users: K ", shape(gram), ", operator ",
               shape(mean));
  DREAM_EXPECT(k >= 1, "nearest users: k is ", k);
  if (mean.rows == 0) return {};
  using V = typename cpu::Simd<T>::type;
  using Loose = typename cpu::Simd<T>::loose;
  constexpr index_t piece = 16, vectors = piece / cpu::Simd<T>::width;
  constexpr index_t chunk = 512, padded = chunk + 16, lanes = 16;
  const index_t users = mean.rows, items = mean.cols;
  const std::vector<T> inverse = detail::inverse_mean_norms(context, gram, mean);
  RowSelection<T> selection(users, std::min(k, users));
  // Users of equally many items follow each other, so that the loop over a user's items has a predictable length.
  std::vector<index_t> order(static_cast<std::size_t>(users));
  for (index_t u = 0; u < users; ++u) order[static_cast<std::size_t>(u)] = u;
  std::stable_sort(order.begin(), order.end(), [&](index_t a, index_t b) {
    return mean.offsets[a + 1] - mean.offsets[a] < mean.offsets[b + 1] - mean.offsets[b];
  });

  context.parallel_blocks(users, piece, [&](std::int64_t begin, std::int64_t end) {
    const index_t u0 = static_cast<index_t>(begin), count = static_cast<index_t>(end - begin);
    T* g = context.scratch<T>(detail::similarity_slot, (std::int64_t{items} + lanes) * piece);
    T* sums = context.scratch<T>(detail::similarity_slot + 1, std::int64_t{piece} * padded);
    for (index_t c0 = 0; c0 < items; c0 += chunk) {
      const index_t width = std::min(chunk, items - c0);
      std::fill_n(sums, std::int64_t{piece} * padded, T{0});
      for (index_t u = 0; u < count; ++u) {
        T* sum = sums + std::int64_t{u} * padded;
        const T scale = inverse[static_cast<std::size_t>(u0 + u)];
        for (std::int64_t e = mean.offsets[u0 + u]; e < mean.offsets[u0 + u + 1]; ++e) {
          const T weight = mean.values[e] * scale;
          const T* row = gram.row(mean.indices[e]) + c0;
          for (index_t j = 0; j < width; ++j) sum[j] += weight * row[j];
        }
      }
      // Turned a cache line at a time; what lies beyond the items is never read.
      for (index_t j = 0; j < width; j += lanes)
        for (index_t u = 0; u < piece; ++u) {
          const T* from = sums + std::int64_t{u} * padded + j;
          T* to = g + std::int64_t{c0 + j} * piece + u;
#pragma GCC unroll 16
          for (index_t l = 0; l < lanes; ++l) to[l * piece] = from[l];
        }
    }
    alignas(64) T values[piece];
    for (const index_t v : order) {
      V sum[vectors] = {};
      for (std::int64_t e = mean.offsets[v]; e < mean.offsets[v + 1]; ++e) {
        const T* row = g + std::int64_t{mean.indices[e]} * piece;
        const T weight = mean.values[e];
#pragma GCC unroll 8
        for (index_t l = 0; l < vectors; ++l)
          sum[l] += weight * *reinterpret_cast<const Loose*>(row + l * cpu::Simd<T>::width);
      }
      const T scale = inverse[static_cast<std::size_t>(v)];
#pragma GCC unroll 8
      for (index_t l = 0; l < vectors; ++l)
        *reinterpret_cast<Loose*>(values + l * cpu::Simd<T>::width) = sum[l] * scale;
      selection.offer_column(u0, values, count, v);
    }
  });
  return detail::finish_neighbours(context, selection, inverse);
}

/// The user-user graph T_m (users x users) on the mean features, by the way the options name or the cheaper one.
/// `gram`, where not empty, is K = F F^T already computed.
template <class T>
Csr<T, Cpu> user_graph(Context<Cpu>& context, MatrixView<const T> features, CsrView<T> mean,
                       const RelationOptions& options, MatrixView<const T> gram = {}) {
  DREAM_EXPECT(mean.cols == features.rows, "user graph: operator ", shape(mean), ", features ", shape(features));
  const double users = mean.rows, items = features.rows, dim = features.cols;
  const double entries = static_cast<double>(mean.entries());
  // Sums of gathered rows run at about an eighth of the product's rate.
  const double sparse = 8.0 * entries * (2.0 * users + 2.0 * items);
  const double through_gram = sparse + (gram.empty() ? items * items * dim : 0.0);
  const bool fits = items * items * sizeof(T) <= static_cast<double>(options.gram_bytes);
  const bool wanted =
      options.similarity == UserSimilarity::gram || (options.similarity == UserSimilarity::automatic &&
                                                     (fits || !gram.empty()) && through_gram < users * users * dim);
  const bool use_gram = wanted && detail::norms_are_moderate(detail::inverse_norms(context, features));
  Matrix<T, Cpu> own;
  if (use_gram) {
    if (gram.empty()) {
      own = gram_matrix(context, features);
      gram = own.view();
    }
    return knn_weights(context, nearest_users(context, gram, mean, options.user.k), options.user.weights);
  }
  const Matrix<T, Cpu> means = user_mean_features(context, mean, features);
  return knn_graph<T>(context, means.view(), options.user);
}

/// Item-item and user-user graph of one modality; K = F F^T is computed once for both where it is used at all. A
/// graph that the options leave out is empty.
template <class T>
RelationGraphs<T, Cpu> relation_graphs(Context<Cpu>& context, MatrixView<const T> features, CsrView<T> mean,
                                       const RelationOptions& options = {}) {
  RelationGraphs<T, Cpu> graphs;
  const double bytes = static_cast<double>(features.rows) * features.rows * sizeof(T);
  const bool may_share = options.items && options.users && options.similarity != UserSimilarity::direct &&
                         bytes <= static_cast<double>(options.gram_bytes) && features.rows > 0;
  const std::vector<T> inverse = may_share ? detail::inverse_norms(context, features) : std::vector<T>{};
  if (!may_share || !detail::norms_are_moderate(inverse)) {
    if (options.items) graphs.item = knn_graph(context, features, options.item);
    if (options.users) graphs.user = user_graph(context, features, mean, options);
    return graphs;
  }
  const Matrix<T, Cpu> gram = gram_matrix(context, features);
  DREAM_EXPECT(options.item.k >= 1, "nearest neighbours: k ", options.item.k);
  graphs.item = knn_weights(context, detail::nearest_in_gram<T>(context, gram.view(), inverse, options.item.k),
                            options.item.weights);
  graphs.user = user_graph<T>(context, features, mean, options, gram.view());
  return graphs;
}

/// The same by kernels, everything in device memory: both graphs by comparing all rows, the users' of their mean
/// features; `similarity` and `gram_bytes` are not read. Beside the arguments and the graphs, memory for the means
/// (users x d) and for what nearest_neighbours needs; it is given back.
template <class T, KernelBackend B>
RelationGraphs<T, B> relation_graphs(Context<B>& context, MatrixView<const T> features, const Csr<T, B>& mean,
                                     const RelationOptions& options = {}) {
  RelationGraphs<T, B> graphs;
  if (options.items) graphs.item = knn_graph<T>(context, features, options.item);
  if (options.users) {
    const Matrix<T, B> means = user_mean_features<T>(context, mean, features);
    graphs.user = knn_graph<T>(context, means.view(), options.user);
  }
  return graphs;
}

}  // namespace dream

#if defined(__CUDACC__)
#pragma nv_diagnostic pop
#endif
