// The k best items of every user over all items; the scores never exist in memory.
//
//   s_ui = e_u . e_i;   best_u = the k first of {(s_ui, i)} by larger s, then by smaller i; i not in the user's row of
//   `seen`, s_ui not NaN and not -infinity.   No gradient.
//
// A block has 64 users against a range of the items (top_k_products.cuh). Few users leave multiprocessors idle, so the
// items are split among blocks, by sizes alone, and lists are merged. Ties are exact, and results do not depend on
// tiles, splits, lists of users or candidates, since a score is the same chain of operations wherever it is computed.
//
// Floor: 2 n q d operations; (n + q) d sizeof(T) bytes read once, n k (4 + sizeof(T)) written.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/selection.cuh>
#include <dream/kernels/shapes.cuh>
#include <dream/kernels/top_k_products.cuh>

namespace dream::kernels {

/// What top_k works on. Ranks without an item get index -1 and score -infinity.
template <class T>
struct TopKArguments {
  MatrixView<const T> users;                  ///< n x d
  MatrixView<const T> items;                  ///< q x d
  VectorView<const index_t> user_rows = {};   ///< rank only these rows of users and seen; without data: all
  VectorView<const index_t> candidates = {};  ///< ascending items to choose from; without data: all
  CsrView<T> seen = {};                       ///< n x q, columns ascending, left out; no rows: nothing is
  MatrixView<index_t> indices;                ///< ranked rows x k, best first
  MatrixView<T> scores = {};                  ///< likewise; without data: not wanted
  index_t splits = 0;                         ///< ranges of items; 0: by the sizes. Changes time, never the result
  T* list_values = nullptr;                   ///< workspace
  index_t* list_indices = nullptr;            ///< workspace
};

/// Ranges of items for `rows` users and `chosen` items: some 1,024 blocks, of 1,024 items or more each.
inline index_t top_k_splits(index_t rows, index_t chosen) {
  const std::int64_t row_blocks = (std::int64_t{rows} + 63) / 64, most = chosen / 1024;
  const std::int64_t wanted = row_blocks == 0 ? 1 : 1024 / row_blocks;
  const std::int64_t splits = wanted < most ? wanted : most;
  return static_cast<index_t>(splits < 1 ? 1 : splits > 256 ? 256 : splits);
}

/// Values that top_k needs as workspace.
struct TopKWorkspace {
  index_t splits;        ///< ranges of items
  std::int64_t values;   ///< of list_values: the lists of the ranges, and the scores where they are not wanted
  std::int64_t indices;  ///< of list_indices
};

template <class T>
TopKWorkspace top_k_workspace(const TopKArguments<T>& a) {
  const index_t chosen = a.candidates.data == nullptr ? a.items.rows : static_cast<index_t>(a.candidates.size);
  const index_t splits = a.splits > 0 ? a.splits : top_k_splits(a.indices.rows, chosen);
  const std::int64_t lists = splits > 1 ? a.indices.size() * splits : 0;
  return {splits, lists + (a.scores.data == nullptr ? a.indices.size() : 0), lists};
}

/// The k best items of every ranked user; k = indices.cols. Two launches, one where the items are not split.
template <class Context, class T>
void top_k(Context& context, const TopKArguments<T>& a) {
  DREAM_EXPECT(a.users.cols == a.items.cols, "top_k: the users are ", shape(a.users), ", the items ", shape(a.items));
  expect_shape("top_k, the indices", a.indices, a.user_rows.data == nullptr ? a.users.rows : a.user_rows.size,
               a.indices.cols);
  expect_shape_if_given("top_k, the scores", a.scores, a.indices.rows, a.indices.cols);
  const TopKWorkspace needed = top_k_workspace(a);
  const index_t k = a.indices.cols;
  MatrixView<T> scores = a.scores;
  if (scores.data == nullptr) scores = {a.list_values + needed.indices, a.indices.rows, k, k};
  if (needed.splits == 1) {
    launch<TopKProducts<T>>(context, {a.users, a.items, a.user_rows, a.candidates, a.seen, k, 1, scores, a.indices});
    return;
  }
  const std::int64_t stride = std::int64_t{needed.splits} * k;
  const MatrixView<T> values{a.list_values, a.indices.rows, static_cast<index_t>(stride), stride};
  const MatrixView<index_t> indices{a.list_indices, a.indices.rows, static_cast<index_t>(stride), stride};
  launch<TopKProducts<T>>(context,
                          {a.users, a.items, a.user_rows, a.candidates, a.seen, k, needed.splits, values, indices});
  launch<TopKRows<T, true>>(context, {values, indices, 0, {}, {}, scores, a.indices, true});
}

}  // namespace dream::kernels
