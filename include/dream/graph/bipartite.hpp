// The user-item graph: interactions, their symmetric normalisation, and averages over a user's items.
//
// With A = [[0, R], [R^T, 0]] and its degrees D, D^-1/2 A D^-1/2 = [[0, Rn], [Rn^T, 0]], Rn = D_U^-1/2 R D_I^-1/2.
// So propagation needs Rn and Rn^T only: half the entries of the square matrix are never read twice.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include <dream/backend/matrix.hpp>
#include <dream/data/dataset.hpp>
#include <dream/graph/csr.hpp>
#include <dream/kernels/sparse_products.cuh>

namespace dream {

/// R (users x items): 1 where a pair occurs, once or more often. A pair outside is an error.
template <class T>
Csr<T, Cpu> interaction_matrix(Context<Cpu>& context, const Pairs& pairs, index_t users, index_t items) {
  return csr_from_triplets<T>(context, users, items, pairs.user, pairs.item, {}, Duplicates::keep_first);
}

/// Rn = D_U^-1/2 R D_I^-1/2 (users x items), D the numbers of entries of rows and columns, 0^-1/2 := 0
/// (docs/components.md, 1).
template <class T>
Csr<T, Cpu> normalised(Context<Cpu>& context, CsrView<T> interactions) {
  Csr<T, Cpu> out = clone(interactions);
  Array<std::int64_t, Cpu> degree(interactions.cols);
  degree.fill(0);
  for (std::int64_t e = 0; e < interactions.entries(); ++e) ++degree[interactions.indices[e]];
  context.parallel_blocks(out.rows, 1024, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t u = begin; u < end; ++u) {
      const double own = static_cast<double>(out.offsets[u + 1] - out.offsets[u]);
      for (std::int64_t e = out.offsets[u]; e < out.offsets[u + 1]; ++e)
        out.values[e] = static_cast<T>(1.0 / std::sqrt(own * static_cast<double>(degree[out.indices[e]])));
    }
  });
  return out;
}

/// Rn and Rn^T, what propagation on the user-item graph reads.
template <class T, class B>
struct BipartiteGraph {
  Csr<T, B> user_item;  ///< Rn, users x items
  Csr<T, B> item_user;  ///< Rn^T, items x users
};

template <class T>
BipartiteGraph<T, Cpu> bipartite_graph(Context<Cpu>& context, CsrView<T> interactions) {
  BipartiteGraph<T, Cpu> graph;
  graph.user_item = normalised(context, interactions);
  graph.item_user = transpose(context, graph.user_item.view());
  return graph;
}

/// D^-1/2 A D^-1/2 as one square symmetric matrix over users, then items.
template <class T>
Csr<T, Cpu> square_graph(Context<Cpu>&, const BipartiteGraph<T, Cpu>& graph) {
  const Csr<T, Cpu>&r = graph.user_item, &t = graph.item_user;
  DREAM_EXPECT(r.rows == t.cols && r.cols == t.rows && r.entries() == t.entries(), "square graph: ", shape(r.view()),
               " and its transpose ", shape(t.view()));
  DREAM_EXPECT(std::int64_t{r.rows} + r.cols <= 0x7fffffff, "square graph: ", r.rows, " users and ", r.cols,
               " items are too many");
  Csr<T, Cpu> a;
  a.rows = a.cols = r.rows + r.cols;
  a.offsets.resize(std::int64_t{a.rows} + 1);
  a.indices.resize(r.entries() + t.entries());
  a.values.resize(r.entries() + t.entries());
  for (index_t u = 0; u <= r.rows; ++u) a.offsets[u] = r.offsets[u];
  for (index_t i = 0; i <= t.rows; ++i) a.offsets[std::int64_t{r.rows} + i] = r.entries() + t.offsets[i];
  for (std::int64_t e = 0; e < r.entries(); ++e) {
    a.indices[e] = r.rows + r.indices[e];
    a.values[e] = r.values[e];
    a.indices[r.entries() + e] = t.indices[e];
    a.values[r.entries() + e] = t.values[e];
  }
  return a;
}

/// The operator that averages item rows over each user's items: rows of R scaled by 1/count. Items where `present` is 0
/// are left out of sum and count; an empty `present` keeps all. A user without items has an empty row.
template <class T>
Csr<T, Cpu> user_mean_operator(Context<Cpu>&, CsrView<T> interactions, std::span<const std::uint8_t> present = {}) {
  DREAM_EXPECT(present.empty() || static_cast<std::int64_t>(present.size()) == interactions.cols,
               "user means: presence of ", present.size(), " items, interactions ", shape(interactions));
  Csr<T, Cpu> out;
  out.rows = interactions.rows;
  out.cols = interactions.cols;
  out.offsets.resize(std::int64_t{out.rows} + 1);
  out.offsets[0] = 0;
  out.indices.resize(interactions.entries());
  out.values.resize(interactions.entries());
  std::int64_t kept = 0;
  for (index_t u = 0; u < out.rows; ++u) {
    const std::int64_t start = kept;
    for (std::int64_t e = interactions.offsets[u]; e < interactions.offsets[u + 1]; ++e) {
      const index_t item = interactions.indices[e];
      if (present.empty() || present[static_cast<std::size_t>(item)] != 0) out.indices[kept++] = item;
    }
    for (std::int64_t e = start; e < kept; ++e) out.values[e] = static_cast<T>(1.0 / static_cast<double>(kept - start));
    out.offsets[std::int64_t{u} + 1] = kept;
  }
  detail::shorten(out.indices, kept);
  detail::shorten(out.values, kept);
  return out;
}

/// f_u = mean of the rows of F over the user's items (users x d), with the operator of user_mean_operator; a user
/// without items has a zero row.
template <class T>
Matrix<T, Cpu> user_mean_features(Context<Cpu>& context, CsrView<T> mean, MatrixView<const T> features) {
  DREAM_EXPECT(mean.cols == features.rows, "user means: operator ", shape(mean), ", features ", shape(features));
  Matrix<T, Cpu> out(mean.rows, features.cols);
  const MatrixView<T> view = out.view();
  context.parallel_blocks(mean.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (index_t u = static_cast<index_t>(begin); u < end; ++u) {
      T* sum = view.row(u);
      std::fill_n(sum, features.cols, T{0});
      for (std::int64_t e = mean.offsets[u]; e < mean.offsets[u + 1]; ++e) {
        const T weight = mean.values[e];
        const T* from = features.row(mean.indices[e]);
        for (index_t j = 0; j < features.cols; ++j) sum[j] += weight * from[j];
      }
    }
  });
  return out;
}

/// The same by kernels. A row is summed in the order of its entries however long it is, so that users with the same
/// items have the same means to the bit.
template <class T, KernelBackend B>
Matrix<T, B> user_mean_features(Context<B>& context, const Csr<T, B>& mean, MatrixView<const T> features) {
  DREAM_EXPECT(mean.cols == features.rows, "user means: operator ", shape(mean), ", features ", shape(features));
  Matrix<T, B> out(context, mean.rows, features.cols);
  kernels::spmm(context, kernels::SpmmArguments<T>{T{1}, mean.view(), features, T{0}, out.view(), {}, {}});
  return out;
}

}  // namespace dream
