// The k best items of every user, over all items: product, mask and selection fused in blocks that stay in the cache.
//
// The items are brought once into the order in which the product's register tile reads them and shared by all threads;
// a block of users then meets them a few thousand at a time, and the scores of that piece are masked and scanned before
// they leave the cache. The scores of all users and items never exist together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/backend/selection.hpp>
#include <dream/kernels/top_k.cuh>

namespace dream {

struct TopKOptions {
  index_t k = 20;
  index_t user_block = 24;    ///< users a piece of work; changes time and memory, never the result
  index_t item_block = 8192;  ///< items scored before they are scanned; likewise
};

/// For each user (row of `users`, b x d) the k items (rows of `items`, q x d) of largest dot product, best first, ties
/// to the smaller index. Items in the user's row of `seen` are left out, and so are scores that are NaN or -infinity.
/// Ranks without an item get index -1 and score -infinity. k > q is an error. `indices` is b x k, `scores` too or
/// empty. `seen` with 0 rows masks nothing. `user_rows`: rank only these rows of `users` (and `seen`); b is then their
/// number. `candidates`: ascending item numbers to choose from; empty means all.
template <class T>
void top_k(Context<Cpu>& context, MatrixView<const T> users, MatrixView<const T> items, CsrView<T> seen,
           const TopKOptions& options, MatrixView<index_t> indices, MatrixView<T> scores = {},
           std::span<const index_t> user_rows = {}, std::span<const index_t> candidates = {}) {
  const index_t k = options.k, dim = users.cols;
  const index_t count = user_rows.empty() ? users.rows : static_cast<index_t>(user_rows.size());
  const index_t chosen = candidates.empty() ? items.rows : static_cast<index_t>(candidates.size());
  DREAM_EXPECT(users.cols == items.cols, "top k: users ", shape(users), ", items ", shape(items));
  DREAM_EXPECT(k >= 1 && k <= items.rows, "top k: k is ", k, " and there are ", items.rows, " items");
  DREAM_EXPECT(options.user_block >= 1 && options.item_block >= 1, "top k: blocks of ", options.user_block,
               " users and ", options.item_block, " items");
  DREAM_EXPECT(seen.rows == 0 || (seen.rows == users.rows && seen.cols == items.rows), "top k: mask ", shape(seen),
               ", scores ", users.rows, " x ", items.rows);
  DREAM_EXPECT(indices.rows == count && indices.cols == k, "top k: indices ", shape(indices), ", needed ", count, " x ",
               k);
  DREAM_EXPECT(scores.rows == 0 || (scores.rows == count && scores.cols == k), "top k: scores ", shape(scores),
               ", needed ", count, " x ", k);
  for (const index_t u : user_rows)
    DREAM_EXPECT(u >= 0 && u < users.rows, "top k: no user row ", u, " of ", users.rows);
  for (std::size_t c = 0; c < candidates.size(); ++c)
    DREAM_EXPECT(candidates[c] >= 0 && candidates[c] < items.rows && (c == 0 || candidates[c - 1] < candidates[c]),
                 "top k: candidate ", c, " (item ", candidates[c], ") is out of range or order");

  constexpr index_t panel = cpu::tile_cols<T>;
  const index_t panels = (chosen + panel - 1) / panel;
  Array<T, Cpu> packed(std::int64_t{panels} * panel * dim);
  context.parallel_for(panels, [&](std::int64_t q) {
    const index_t first = static_cast<index_t>(q) * panel, width = std::min(panel, chosen - first);
    T* to = packed.data() + q * panel * dim;
    for (index_t j = 0; j < panel; ++j) {
      const T* from = j < width ? items.row(candidates.empty() ? first + j : candidates[first + j]) : nullptr;
      for (index_t p = 0; p < dim; ++p) to[std::int64_t{p} * panel + j] = from ? from[p] : T{0};
    }
  });
  // Where an item stands among the candidates, for the mask.
  std::vector<index_t> place;
  if (!candidates.empty() && seen.rows > 0) {
    place.assign(static_cast<std::size_t>(items.rows), -1);
    for (index_t c = 0; c < chosen; ++c) place[static_cast<std::size_t>(candidates[c])] = c;
  }

  const index_t piece_panels = std::max<index_t>(1, options.item_block / panel);
  const index_t user_block = std::min(options.user_block, std::max<index_t>(count, 1));
  // A row of scores is padded so that consecutive rows do not compete for the same cache sets.
  const std::int64_t stride = std::int64_t{std::min(piece_panels, std::max<index_t>(panels, 1))} * panel + 16;
  constexpr int score_slot = 12, user_slot = 13;
  constexpr T lowest = -std::numeric_limits<T>::infinity();

  context.parallel_blocks(count, user_block, [&](std::int64_t begin, std::int64_t end) {
    const index_t first_user = static_cast<index_t>(begin), block = static_cast<index_t>(end - begin);
    T* piece = context.scratch<T>(score_slot, stride * user_block);
    const auto row_of = [&](index_t r) { return user_rows.empty() ? first_user + r : user_rows[first_user + r]; };
    cpu::Strided<T> a{users.data + std::int64_t{first_user} * users.stride, users.stride, 1};
    if (!user_rows.empty()) {
      T* gathered = context.scratch<T>(user_slot, std::int64_t{user_block} * dim);
      for (index_t r = 0; r < block; ++r) std::copy_n(users.row(row_of(r)), dim, gathered + std::int64_t{r} * dim);
      a = {gathered, dim, 1};
    }
    RowSelection<T> selection(block, k);
    std::vector<std::int64_t> cursor(static_cast<std::size_t>(block));
    for (index_t r = 0; r < block; ++r)
      cursor[static_cast<std::size_t>(r)] = seen.rows > 0 ? seen.offsets[row_of(r)] : 0;

    for (index_t q0 = 0; q0 < panels; q0 += piece_panels) {
      const index_t q1 = std::min(panels, q0 + piece_panels);
      const index_t first_item = q0 * panel, width = std::min(chosen, q1 * panel) - first_item;
      for (index_t q = q0; q < q1; ++q)
        for (index_t r = 0; r < block; r += cpu::tile_rows) {
          const index_t rows = std::min<index_t>(cpu::tile_rows, block - r);
          cpu::detail::gemm_tile_rows<T>(rows, dim, T{1}, {a.data + r * a.row_stride, a.row_stride, 1},
                                         packed.data() + std::int64_t{q} * panel * dim, panel, T{0},
                                         piece + r * stride + std::int64_t{q - q0} * panel, stride);
        }
      for (index_t r = 0; r < block; ++r) {
        T* row = piece + r * stride;
        if (seen.rows > 0) {
          std::int64_t& e = cursor[static_cast<std::size_t>(r)];
          const std::int64_t last = seen.offsets[row_of(r) + 1];
          for (; e < last; ++e) {
            const index_t item = place.empty() ? seen.indices[e] : place[static_cast<std::size_t>(seen.indices[e])];
            if (item < 0) continue;
            if (item >= first_item + width) break;
            row[item - first_item] = lowest;
          }
        }
        selection.offer_row(r, row, width, first_item, candidates.empty() ? nullptr : candidates.data() + first_item);
      }
    }
    for (index_t r = 0; r < block; ++r) {
      const index_t found = selection.finish(r);
      const Scored<T>* best = selection.selected(r);
      for (index_t c = 0; c < k; ++c) {
        indices(first_user + r, c) = c < found ? best[c].index : -1;
        if (scores.rows > 0) scores(first_user + r, c) = c < found ? best[c].value : lowest;
      }
    }
  });
}

/// The same by kernels: all views are in device memory, `k` columns are those of `indices`. An empty `user_rows` or
/// `candidates` means all.
template <class T, KernelBackend B>
void top_k(Context<B>& context, MatrixView<const T> users, MatrixView<const T> items, CsrView<T> seen,
           MatrixView<index_t> indices, MatrixView<T> scores = {}, VectorView<const index_t> user_rows = {},
           VectorView<const index_t> candidates = {}) {
  const index_t count = user_rows.empty() ? users.rows : static_cast<index_t>(user_rows.size);
  DREAM_EXPECT(users.cols == items.cols, "top k: users ", shape(users), ", items ", shape(items));
  DREAM_EXPECT(indices.cols >= 1 && indices.cols <= items.rows, "top k: k is ", indices.cols, " and there are ",
               items.rows, " items");
  DREAM_EXPECT(indices.rows == count, "top k: indices ", shape(indices), " for ", count, " users");
  DREAM_EXPECT(seen.rows == 0 || (seen.rows == users.rows && seen.cols == items.rows), "top k: mask ", shape(seen),
               ", scores ", users.rows, " x ", items.rows);
  DREAM_EXPECT(scores.rows == 0 || (scores.rows == count && scores.cols == indices.cols), "top k: scores ",
               shape(scores), ", indices ", shape(indices));
  kernels::TopKArguments<T> a;
  a.users = users;
  a.items = items;
  a.user_rows = user_rows;
  a.candidates = candidates;
  a.seen = seen;
  a.indices = indices;
  a.scores = scores;
  const kernels::TopKWorkspace needed = kernels::top_k_workspace(a);
  a.list_values = context.template scratch<T>(6, needed.values);
  a.list_indices = context.template scratch<index_t>(7, needed.indices);
  kernels::top_k(context, a);
}

}  // namespace dream
