// The row gathers of training batches, and their backward:
//
//   GatherRows      Y = X[rows]
//   sum_groups      sums[g] = sum of dy at the positions of group g    (the groups: row_groups.cuh), then
//   ScatterGroups   dX = beta dX, + sums[g] in the row of group g
//
// Copies have four rows in flight a worker (column_lanes.cuh); sums are those of balanced_row_sums.cuh. 2 s d bytes a
// row, d columns of s bytes.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/balanced_row_sums.cuh>
#include <dream/kernels/column_lanes.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_access.cuh>
#include <dream/kernels/row_sums.cuh>
#include <dream/kernels/shapes.cuh>
#include <dream/kernels/spmm_plan.cuh>

namespace dream::kernels {

namespace detail {

/// Copies of rows: a worker has `flight` of them in flight.
struct RowCopies {
  static constexpr int threads = 128;
  static constexpr int flight = 4;

  static int grid(const ColumnLanes& lanes, std::int64_t items) {
    return lanes.blocks((items * lanes.tiles + flight - 1) / flight, threads);
  }
  /// Row `to` of y = row `from` of x + beta times what is there, for every item; locate(item, from, to) says which.
  /// Where `from` stays negative `missing` stands for x; where `to` does nothing is written.
  template <class Thread, class T, class Locate>
  DREAM_HOST_DEVICE static void copy(const Thread& th, const ColumnLanes& lanes, std::int64_t items,
                                     const MatrixView<const T>& x, T missing, T beta, const MatrixView<T>& y,
                                     const Locate& locate) {
    with_width<T>(lanes, [&]<int N>(Width<N>) {
      const std::int64_t workers = std::int64_t{th.grid_blocks()} * (threads >> lanes.bits);
      index_t from[flight], to[flight], column[flight];
      DREAM_UNROLL
      for (int u = 0; u < flight; ++u) {
        const std::int64_t worker = lanes.worker(th) + u * workers, item = lanes.row(worker);
        column[u] = lanes.column(th, worker - item * lanes.tiles);
        from[u] = to[u] = -1;
        if (column[u] < y.cols && item < items) locate(item, from[u], to[u]);
      }
      Pack<T, N> row[flight];
      DREAM_UNROLL
      for (int u = 0; u < flight; ++u) {
        DREAM_UNROLL
        for (int n = 0; n < N; ++n) row[u][n] = missing;
        if (to[u] >= 0 && from[u] >= 0) row[u] = th.load_readonly(as_pack<N>(x.row(from[u]) + column[u]));
      }
      DREAM_UNROLL
      for (int u = 0; u < flight; ++u)
        if (to[u] >= 0) write<N>(th, y.row(to[u]) + column[u], row[u], beta);
    });
  }
};

}  // namespace detail

/// Y = X[rows]; a row outside X gives NaN. 2 s d + 4 bytes a row.
template <class T>
struct GatherRows {
  static constexpr int threads = detail::RowCopies::threads;
  struct Params {
    MatrixView<const T> x;
    VectorView<const index_t> rows;
    MatrixView<T> y;

    DREAM_HOST_DEVICE detail::ColumnLanes lanes() const {
      return detail::ColumnLanes::of<T>(y.cols, takes_packs(x) && takes_packs(y));
    }
  };
  struct Shared {};
  static int grid(const Params& p) { return detail::RowCopies::grid(p.lanes(), p.rows.size); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    detail::RowCopies::copy(th, p.lanes(), p.rows.size, p.x, row_not_there<T>, T{0}, p.y,
                            [&](std::int64_t item, index_t& from, index_t& to) {
                              const index_t row = th.load_readonly(p.rows.data + item);
                              if (row < p.x.rows) from = row;
                              to = static_cast<index_t>(item);
                            });
  }
};

/// dX = beta dX + the rows of `sums` at the groups' rows (docs of RowGroups: dream/kernels/row_groups.cuh). With beta 1
/// the groups' rows alone are touched, 3 s d bytes each, else all rows of dX are written.
template <class T>
struct ScatterGroups {
  static constexpr int threads = detail::RowCopies::threads;
  struct Params {
    const index_t* count = nullptr;        ///< groups, on the device
    VectorView<const index_t> group_rows;  ///< room for at least as many
    VectorView<const index_t> places;      ///< of every row of dx: its group, or negative
    MatrixView<const T> sums;
    T beta = T{0};
    MatrixView<T> dx;

    DREAM_HOST_DEVICE bool by_groups() const { return beta == T{1}; }
    DREAM_HOST_DEVICE std::int64_t items() const { return by_groups() ? group_rows.size : std::int64_t{dx.rows}; }
    DREAM_HOST_DEVICE detail::ColumnLanes lanes() const {
      return detail::ColumnLanes::of<T>(dx.cols, takes_packs(sums) && takes_packs(dx));
    }
  };
  struct Shared {};
  static int grid(const Params& p) { return detail::RowCopies::grid(p.lanes(), p.items()); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const std::int64_t items = p.by_groups() ? th.load_readonly(p.count) : p.items();
    detail::RowCopies::copy(th, p.lanes(), items, p.sums, T{0}, p.beta, p.dx,
                            [&](std::int64_t item, index_t& from, index_t& to) {
                              if (p.by_groups()) {
                                const index_t row = th.load_readonly(p.group_rows.data + item);
                                from = static_cast<index_t>(item);
                                if (row < p.dx.rows) to = row;
                              } else {
                                from = th.load_readonly(p.places.data + item);
                                to = static_cast<index_t>(item);
                              }
                            });
  }
};

/// Row g of sums = the rows of dy at positions offsets[g] .. offsets[g + 1] - 1 of `positions`, added in that order,
/// for g < *count; later rows are left alone.
template <class T>
struct SumGroupsArguments {
  const index_t* count = nullptr;         ///< groups, on the device
  const std::int64_t* offsets = nullptr;  ///< *count + 1, up to all positions
  VectorView<const index_t> positions;
  MatrixView<const T> dy;
  MatrixView<T> sums;            ///< as many rows as there can be groups
  RowSumWorkspace<T> workspace;  ///< of sum_groups_workspace
};
template <class Context, class T>
void sum_groups(Context& context, const SumGroupsArguments<T>& p) {
  expect_size("sum_groups, the positions", p.positions, p.dy.rows);
  DREAM_EXPECT(p.sums.cols == p.dy.cols, "sum_groups: the sums are ", shape(p.sums), ", dY is ", shape(p.dy));
  RowSum<T> sum;
  sum.a = {p.sums.rows, static_cast<index_t>(p.positions.size), p.offsets, p.positions.data, nullptr};
  sum.x = p.dy;
  sum.count = p.count;
  sum.y = p.sums;
  detail::launch_balanced(context, sum, p.offsets, sum_groups_workspace(p.positions.size, p.sums.cols).carry_rows,
                          p.workspace);
}

}  // namespace dream::kernels
