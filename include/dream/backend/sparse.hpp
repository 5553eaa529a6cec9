// Sparse times dense on the host, and the row gather that training batches need.
//
// One task is a few rows of the result; a row is summed in registers over the entries of its sparse row, in order.
// Backward passes gather too (through the transposed matrix, or through the positions of a row in a batch), so no
// result depends on who came first.
#pragma once

#include <algorithm>
#include <cstdint>

#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/kernels/check_rows.cuh>
#include <dream/kernels/row_gather.cuh>
#include <dream/kernels/row_groups.cuh>
#include <dream/kernels/sparse_products.cuh>
#include <dream/kernels/spmm_plan.cuh>

#if defined(__CUDACC__)  // hands the pragmas for GCC on, but warns of them
#pragma nv_diagnostic push
#pragma nv_diag_suppress 1675
#endif

namespace dream {

inline namespace DREAM_INSTRUCTION_SET {
namespace cpu {

/// out[0..cols) = scale * (base + sum_e values[e] * x.row(indices[e])) + beta * out. `base` may be null; null
/// `values` count as ones.
template <class T>
inline void sum_rows(std::int64_t entries, const index_t* indices, const T* values, MatrixView<const T> x,
                     const T* base, T scale, T beta, T* out) {
  using V = typename Simd<T>::type;
  using Loose = typename Simd<T>::loose;
  constexpr index_t width = Simd<T>::width;
  constexpr int vectors = 4;
  index_t j = 0;
  const auto run = [&]<int Count>(std::integral_constant<int, Count>) {
    V sum[Count] = {};
    if (base) {
#pragma GCC unroll 4
      for (int v = 0; v < Count; ++v) sum[v] = *reinterpret_cast<const Loose*>(base + j + v * width);
    }
    for (std::int64_t e = 0; e < entries; ++e) {
      const T s = values ? values[e] : T{1};
      const T* row = x.row(indices[e]) + j;
      if (e + 8 < entries) {
        const char* ahead = reinterpret_cast<const char*>(x.row(indices[e + 8]) + j);
        for (int v = 0; v < Count * vector_bytes; v += 64) __builtin_prefetch(ahead + v);
      }
#pragma GCC unroll 4
      for (int v = 0; v < Count; ++v) sum[v] += s * *reinterpret_cast<const Loose*>(row + v * width);
    }
#pragma GCC unroll 4
    for (int v = 0; v < Count; ++v) {
      Loose* o = reinterpret_cast<Loose*>(out + j + v * width);
      *o = beta == T{0} ? scale * sum[v] : scale * sum[v] + beta * *o;
    }
    j += Count * width;
  };
  while (j + vectors * width <= x.cols) run(std::integral_constant<int, vectors>{});
  while (j + width <= x.cols) run(std::integral_constant<int, 1>{});
  for (; j < x.cols; ++j) {
    T sum = base ? base[j] : T{0};
    for (std::int64_t e = 0; e < entries; ++e) sum += (values ? values[e] : T{1}) * x(indices[e], j);
    out[j] = beta == T{0} ? scale * sum : scale * sum + beta * out[j];
  }
}

/// sum_rows over row i of A, whose column c stands for row places[c] of x, or for a zero row where that is negative.
template <class T>
inline void sum_placed_rows(CsrView<T> a, std::int64_t i, VectorView<const index_t> places, MatrixView<const T> x,
                            const T* base, T scale, T beta, T* out) {
  constexpr int chunk = 64;
  index_t index[chunk];
  T value[chunk];
  int filled = 0;
  bool first = true;
  const auto flush = [&] {
    sum_rows<T>(filled, index, value, x, first ? base : nullptr, scale, first ? beta : T{1}, out);
    first = false;
    filled = 0;
  };
  for (std::int64_t e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
    const index_t place = places[a.indices[e]];
    index[filled] = place;
    value[filled] = a.values[e];
    filled += place >= 0;
    if (filled == chunk) flush();
  }
  if (first || filled > 0) flush();
}

/// Rows of a result that one task computes.
inline constexpr std::int64_t rows_per_task = 64;

}  // namespace cpu
}  // namespace DREAM_INSTRUCTION_SET

/// Y = alpha A X + beta Y, A sparse. Y is not read when beta is 0.
template <class T>
void spmm(Context<Cpu>& context, T alpha, CsrView<T> a, MatrixView<const T> x, T beta, MatrixView<T> y) {
  DREAM_EXPECT(a.cols == x.rows && a.rows == y.rows && x.cols == y.cols, "spmm: A is ", shape(a), ", X is ", shape(x),
               ", Y is ", shape(y));
  context.parallel_blocks(a.rows, cpu::rows_per_task, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = a.offsets[i];
      cpu::sum_rows<T>(a.offsets[i + 1] - first, a.indices + first, a.values + first, x, nullptr, alpha, beta,
                       y.row(static_cast<index_t>(i)));
    }
  });
}

/// Throws unless every row number is in 0 .. limit - 1.
inline void check_rows(Context<Cpu>&, VectorView<const index_t> rows, index_t limit) {
  for (std::int64_t k = 0; k < rows.size; ++k)
    DREAM_EXPECT(rows[k] >= 0 && rows[k] < limit, "row ", rows[k], " at place ", k, " of a batch is outside 0 .. ",
                 limit - 1);
}

/// Y = A[rows] X: only the listed rows of the product.
template <class T>
void spmm_rows(Context<Cpu>& context, CsrView<T> a, VectorView<const index_t> rows, MatrixView<const T> x,
               MatrixView<T> y) {
  DREAM_EXPECT(a.cols == x.rows && y.rows == rows.size && x.cols == y.cols, "spmm_rows: A is ", shape(a), ", X is ",
               shape(x), ", ", rows.size, " rows, Y is ", shape(y));
  check_rows(context, rows, a.rows);
  context.parallel_blocks(rows.size, cpu::rows_per_task, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      const std::int64_t first = a.offsets[rows[k]];
      cpu::sum_rows<T>(a.offsets[rows[k] + 1] - first, a.indices + first, a.values + first, x, nullptr, T{1}, T{0},
                       y.row(static_cast<index_t>(k)));
    }
  });
}

/// Y = X[rows].
template <class T>
void gather_rows(Context<Cpu>& context, MatrixView<const T> x, VectorView<const index_t> rows, MatrixView<T> y) {
  DREAM_EXPECT(y.rows == rows.size && x.cols == y.cols, "gather_rows: X is ", shape(x), ", ", rows.size, " rows, Y is ",
               shape(y));
  check_rows(context, rows, x.rows);
  context.parallel_blocks(rows.size, 256, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) std::copy_n(x.row(rows[k]), x.cols, y.row(static_cast<index_t>(k)));
  });
}

/// The distinct rows of a batch, ascending, and the batch positions of each: what turns the backward of a gather (a
/// scatter with collisions) into a gather again. Buffers are kept between batches.
template <class B>
class RowGroups;

template <>
class RowGroups<Cpu> {
 public:
  /// Groups the positions of `rows` by value. Values are below `total_rows`.
  void build(Context<Cpu>& context, VectorView<const index_t> rows, index_t total_rows) {
    keys_.resize(rows.size);
    check_rows(context, rows, total_rows);
    for (std::int64_t k = 0; k < rows.size; ++k) {
      keys_[k] = (static_cast<std::uint64_t>(rows[k]) << 32) | static_cast<std::uint64_t>(k);
    }
    std::sort(keys_.data(), keys_.data() + keys_.size());
    if (place_.size() != total_rows) {
      place_.resize(total_rows);
      place_.fill(-1);
    } else {
      for (std::int64_t g = 0; g < count_; ++g) place_[rows_[g]] = -1;
    }
    rows_.resize(rows.size);
    positions_.resize(rows.size);
    offsets_.resize(rows.size + 1);
    count_ = 0;
    for (std::int64_t k = 0; k < keys_.size(); ++k) {
      const index_t row = static_cast<index_t>(keys_[k] >> 32);
      if (count_ == 0 || rows_[count_ - 1] != row) {
        place_[row] = static_cast<index_t>(count_);
        rows_[count_] = row;
        offsets_[count_++] = k;
      }
      positions_[k] = static_cast<index_t>(keys_[k] & 0xffffffffu);
    }
    offsets_[count_] = keys_.size();
  }

  /// Rows of the batch, repeated ones counted.
  std::int64_t batch() const { return positions_.size(); }
  /// Number of distinct rows.
  index_t count() const { return static_cast<index_t>(count_); }
  VectorView<const index_t> rows() const { return {rows_.data(), count_}; }
  /// Per row of the whole matrix: its place among the distinct rows, or -1.
  VectorView<const index_t> places() const { return place_.view(); }
  /// The summing matrix: row g adds up the batch positions of distinct row g (values null: ones).
  template <class T>
  CsrView<T> sum_matrix() const {
    return {count(), static_cast<index_t>(positions_.size()), offsets_.data(), positions_.data(), nullptr};
  }

 private:
  Array<std::uint64_t, Cpu> keys_;
  Array<index_t, Cpu> place_;
  Array<index_t, Cpu> rows_;
  Array<index_t, Cpu> positions_;
  Array<std::int64_t, Cpu> offsets_;
  std::int64_t count_ = 0;
};

/// The backward of gather_rows, compact: row g of `sums` is the sum of the rows of dy at the positions of group g.
template <class T>
void sum_groups(Context<Cpu>& context, const RowGroups<Cpu>& groups, MatrixView<const T> dy, MatrixView<T> sums) {
  DREAM_EXPECT(sums.rows == groups.count() && sums.cols == dy.cols, "sum_groups: sums are ", shape(sums), " for ",
               groups.count(), " groups of ", shape(dy));
  const CsrView<T> a = groups.sum_matrix<T>();
  context.parallel_blocks(a.rows, cpu::rows_per_task, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t g = begin; g < end; ++g)
      cpu::sum_rows<T>(a.offsets[g + 1] - a.offsets[g], a.indices + a.offsets[g], nullptr, dy, nullptr, T{1}, T{0},
                       sums.row(static_cast<index_t>(g)));
  });
}

/// dX = beta dX + the rows of `sums` at the groups' rows; every other row of dX becomes beta times itself.
template <class T>
void scatter_groups(Context<Cpu>& context, const RowGroups<Cpu>& groups, MatrixView<const T> sums, T beta,
                    MatrixView<T> dx) {
  const VectorView<const index_t> places = groups.places();
  DREAM_EXPECT(places.size == dx.rows && sums.rows == groups.count() && sums.cols == dx.cols,
               "scatter_groups: sums are ", shape(sums), ", dX is ", shape(dx));
  if (beta == T{1}) {
    context.parallel_blocks(groups.count(), 256, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t g = begin; g < end; ++g) {
        T* out = dx.row(groups.rows()[g]);
        const T* from = sums.row(static_cast<index_t>(g));
        for (index_t j = 0; j < dx.cols; ++j) out[j] += from[j];
      }
    });
    return;
  }
  context.parallel_blocks(dx.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      T* out = dx.row(i);
      const T* from = places[i] >= 0 ? sums.row(places[i]) : nullptr;
      for (index_t j = 0; j < dx.cols; ++j) out[j] = (beta == T{0} ? T{0} : beta * out[j]) + (from ? from[j] : T{0});
    }
  });
}

/// Y = alpha A S + beta Y where S has the compact rows `x` at the places that `places` gives (negative: a zero row).
template <class T>
void spmm_places(Context<Cpu>& context, T alpha, CsrView<T> a, VectorView<const index_t> places, MatrixView<const T> x,
                 T beta, MatrixView<T> y) {
  DREAM_EXPECT(a.cols == places.size && a.rows == y.rows && x.cols == y.cols, "spmm_places: A is ", shape(a), ", ",
               places.size, " places, Y is ", shape(y));
  context.parallel_blocks(a.rows, cpu::rows_per_task, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      cpu::sum_placed_rows<T>(a, i, places, x, nullptr, alpha, beta, y.row(static_cast<index_t>(i)));
  });
}

// The same with the owner of A, as ops have it.

template <class T>
void spmm(Context<Cpu>& context, T alpha, const Csr<T, Cpu>& a, MatrixView<const T> x, T beta, MatrixView<T> y) {
  spmm<T>(context, alpha, a.view(), x, beta, y);
}
template <class T>
void spmm_rows(Context<Cpu>& context, const Csr<T, Cpu>& a, VectorView<const index_t> rows, MatrixView<const T> x,
               MatrixView<T> y) {
  spmm_rows<T>(context, a.view(), rows, x, y);
}
template <class T>
void spmm_places(Context<Cpu>& context, T alpha, const Csr<T, Cpu>& a, VectorView<const index_t> places,
                 MatrixView<const T> x, T beta, MatrixView<T> y) {
  spmm_places<T>(context, alpha, a.view(), places, x, beta, y);
}

// The same by kernels. Row numbers are in device memory and are not checked: a wrong one makes NaN, and
// nothing outside the matrices is read; expect_rows() looks at them.

template <KernelBackend B>
class RowGroups<B> {
 public:
  void build(Context<B>& context, VectorView<const index_t> rows, index_t total_rows) {
    const bool grows = rows.size > rows_.capacity() || total_rows != place_.size();
    if (grows) {
      place_.resize(context, total_rows);
      rows_.resize(context, rows.size);
      positions_.resize(context, rows.size);
      offsets_.resize(context, rows.size + 1);
      count_.resize(context, 1);
    }
    batch_ = rows.size;
    kernels::RowGroupsArguments a;
    a.rows = rows;
    a.groups = {rows_.view(), offsets_.data(), positions_.data(), place_.view(), count_.data()};
    a.built_before = !grows;
    a.workspace = context.template scratch<std::uint64_t>(5, kernels::row_groups_workspace(rows.size));
    kernels::build_row_groups(context, a);
  }

  std::int64_t batch() const { return batch_; }
  /// Number of distinct rows; in device memory.
  const index_t* count() const { return count_.data(); }
  VectorView<const index_t> rows() const { return rows_.view(); }
  VectorView<const index_t> places() const { return place_.view(); }
  const std::int64_t* offsets() const { return offsets_.data(); }
  VectorView<const index_t> positions() const { return {positions_.data(), batch_}; }

 private:
  Array<index_t, B> place_, rows_, positions_, count_;
  Array<std::int64_t, B> offsets_;
  std::int64_t batch_ = 0;
};

/// A row sum's workspace in the context's scratch memory.
template <class T, KernelBackend B>
kernels::RowSumWorkspace<T> row_sum_scratch(Context<B>& context, const kernels::RowSumSpace& space) {
  return {context.template scratch<T>(2, space.carries), context.template scratch<index_t>(3, space.carry_rows),
          context.template scratch<std::int64_t>(4, space.list_offsets)};
}

template <class T, KernelBackend B>
void spmm(Context<B>& context, T alpha, const Csr<T, B>& a, MatrixView<const T> x, T beta, MatrixView<T> y) {
  DREAM_EXPECT(a.cols == x.rows && a.rows == y.rows && x.cols == y.cols, "spmm: A is ", shape(a), ", X is ", shape(x),
               ", Y is ", shape(y));
  kernels::spmm(context,
                kernels::SpmmArguments<T>{alpha, a.view(), x, beta, y, a.plan,
                                          row_sum_scratch<T>(context, kernels::row_sum_workspace(a.plan, y.cols))});
}

template <class T, KernelBackend B>
void spmm_rows(Context<B>& context, const Csr<T, B>& a, VectorView<const index_t> rows, MatrixView<const T> x,
               MatrixView<T> y) {
  DREAM_EXPECT(a.cols == x.rows && y.rows == rows.size && x.cols == y.cols, "spmm_rows: A is ", shape(a), ", X is ",
               shape(x), ", ", rows.size, " rows, Y is ", shape(y));
  kernels::spmm_rows(context,
                     kernels::SpmmRowsArguments<T>{
                         a.view(), rows, x, y, a.plan,
                         row_sum_scratch<T>(context, kernels::listed_row_sum_workspace(a.plan, rows.size, y.cols))});
}

template <class T, KernelBackend B>
void spmm_places(Context<B>& context, T alpha, const Csr<T, B>& a, VectorView<const index_t> places,
                 MatrixView<const T> x, T beta, MatrixView<T> y) {
  DREAM_EXPECT(a.cols == places.size && a.rows == y.rows && x.cols == y.cols, "spmm_places: A is ", shape(a), ", ",
               places.size, " places, Y is ", shape(y));
  kernels::spmm_places(context, kernels::SpmmPlacesArguments<T>{
                                    alpha, a.view(), places, x, beta, y, a.plan,
                                    row_sum_scratch<T>(context, kernels::row_sum_workspace(a.plan, y.cols))});
}

template <KernelBackend B>
void check_rows(Context<B>&, VectorView<const index_t>, index_t) {}

/// Throws unless every row number is in 0 .. limit - 1. Waits for the device: not for use within a step.
inline void expect_rows(Context<Cpu>& context, VectorView<const index_t> rows, index_t limit) {
  check_rows(context, rows, limit);
}
template <KernelBackend B>
void expect_rows(Context<B>& context, VectorView<const index_t> rows, index_t limit) {
  Array<index_t, B> first_bad(context, 1);
  launch<kernels::CheckRows>(context, {rows, limit, first_bad.data()});
  index_t place = -1, row = 0;
  download<index_t>(context, first_bad.data(), std::span(&place, 1));
  if (place < 0) return;
  download<index_t>(context, rows.data + place, std::span(&row, 1));
  fail("row ", row, " at place ", place, " of a batch is outside 0 .. ", limit - 1);
}

template <class T, KernelBackend B>
void gather_rows(Context<B>& context, MatrixView<const T> x, VectorView<const index_t> rows, MatrixView<T> y) {
  DREAM_EXPECT(y.rows == rows.size && x.cols == y.cols, "gather_rows: X is ", shape(x), ", ", rows.size, " rows, Y is ",
               shape(y));
  launch<kernels::GatherRows<T>>(context, {x, rows, y});
}

template <class T, KernelBackend B>
void sum_groups(Context<B>& context, const RowGroups<B>& groups, MatrixView<const T> dy, MatrixView<T> sums) {
  DREAM_EXPECT(sums.rows == groups.batch() && sums.cols == dy.cols, "sum_groups: sums are ", shape(sums), " for ",
               groups.batch(), " rows of ", shape(dy));
  kernels::sum_groups(context,
                      kernels::SumGroupsArguments<T>{
                          groups.count(), groups.offsets(), groups.positions(), dy, sums,
                          row_sum_scratch<T>(context, kernels::sum_groups_workspace(groups.batch(), sums.cols))});
}

template <class T, KernelBackend B>
void scatter_groups(Context<B>& context, const RowGroups<B>& groups, MatrixView<const T> sums, T beta,
                    MatrixView<T> dx) {
  DREAM_EXPECT(sums.rows == groups.batch() && sums.cols == dx.cols && dx.rows == groups.places().size,
               "scatter_groups: sums are ", shape(sums), " for ", groups.batch(), " of ", groups.places().size,
               " rows, dX is ", shape(dx));
  launch<kernels::ScatterGroups<T>>(context, {groups.count(), groups.rows(), groups.places(), sums, beta, dx});
}

}  // namespace dream

#if defined(__CUDACC__)
#pragma nv_diagnostic pop
#endif
