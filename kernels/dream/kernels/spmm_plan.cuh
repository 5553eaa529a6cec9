// How sums over the rows of a sparse matrix are cut, and the memory that takes. On the host.
#pragma once

#include <algorithm>
#include <cstdint>

#include <dream/core/view.hpp>

namespace dream::kernels {

/// What is measured of a matrix once, to cut its sums well.
struct SpmmPlan {
  index_t rows = 0;
  std::int64_t entries = 0;
  std::int64_t longest_row = 0;

  /// The longest row that a worker may have to itself in a sum of `items` row ends and entries: not much longer than
  /// what each of a large device's workers has to do.
  static std::int64_t longest_unsplit(std::int64_t items) { return std::max<std::int64_t>(128, items / 16384); }
  bool balanced(std::int64_t items) const { return longest_row > longest_unsplit(items); }
  /// Chunks of at least 32 items, and no more than their carries may take memory for.
  static index_t chunks(std::int64_t items) {
    return static_cast<index_t>(std::clamp<std::int64_t>((items + 31) / 32, 1, 32768));
  }
  std::int64_t items() const { return rows + entries; }
  /// About how many items a list of rows has. Batches draw rows by their entries, so twice the mean of all.
  std::int64_t items_of_list(std::int64_t listed) const {
    return rows == 0 ? listed : listed * (1 + 2 * entries / rows);
  }
};

/// The plan of a matrix of `rows` rows from its offsets, in host memory.
inline SpmmPlan make_spmm_plan(const std::int64_t* offsets, index_t rows) {
  SpmmPlan plan{rows, rows == 0 ? 0 : offsets[rows], 0};
  for (index_t i = 0; i < rows; ++i) plan.longest_row = std::max(plan.longest_row, offsets[i + 1] - offsets[i]);
  return plan;
}

/// How many values a sum's workspace needs.
struct RowSumSpace {
  std::int64_t carries = 0;
  std::int64_t carry_rows = 0;
  std::int64_t list_offsets = 0;
};

/// A sum's workspace, on the device; aligned to 16 bytes, or sums slow down.
template <class T>
struct RowSumWorkspace {
  T* carries = nullptr;
  index_t* carry_rows = nullptr;
  std::int64_t* list_offsets = nullptr;
};

/// For sums over all rows of a matrix: spmm, spmm_places, propagated_gradient.
inline RowSumSpace row_sum_workspace(const SpmmPlan& plan, index_t cols) {
  if (!plan.balanced(plan.items())) return {};
  const index_t chunks = SpmmPlan::chunks(plan.items());
  return {std::int64_t{chunks} * cols, chunks, 0};
}
/// For sums over up to `listed` rows of it: spmm_rows, propagated_mean_rows.
inline RowSumSpace listed_row_sum_workspace(const SpmmPlan& plan, std::int64_t listed, index_t cols) {
  if (!plan.balanced(0)) return {};  // fewer rows may be balanced where more are not
  const index_t chunks = SpmmPlan::chunks(plan.items_of_list(listed));
  return {std::int64_t{chunks} * cols, chunks, listed + 1};
}
/// For sum_groups over up to so many positions of a batch. Groups are short: small chunks keep many workers busy.
inline RowSumSpace sum_groups_workspace(std::int64_t positions, index_t cols) {
  const std::int64_t chunks = std::clamp<std::int64_t>((positions + 3) / 4, 1, 32768);
  return {chunks * cols, chunks, 0};
}

}  // namespace dream::kernels
