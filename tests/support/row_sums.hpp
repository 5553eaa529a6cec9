// Sparse matrices, dense ones and their sums in double, for the tests of kernels that sum rows.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/core/view.hpp>
#include <dream/kernels/spmm_plan.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"

namespace dream_test::row_sums {

using namespace dream;
using namespace dream::kernels;

inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

inline std::int64_t size_of(const auto& values) { return static_cast<std::int64_t>(values.size()); }

/// A matrix whose rows are `gap` values apart and begin `shift` values from a multiple of 16 bytes.
template <class T>
struct Dense {
  index_t rows, cols, gap, shift;
  std::vector<T> memory;

  Dense(index_t r, index_t c, index_t g = 0, index_t s = 0)
      : rows(r),
        cols(c),
        gap(g),
        shift(s),
        memory(static_cast<std::size_t>((c + g) * r + s), static_cast<T>(not_a_number)) {}
  MatrixView<T> view() { return {memory.data() + shift, rows, cols, cols + gap}; }
  MatrixView<const T> view() const { return {memory.data() + shift, rows, cols, cols + gap}; }
  T& operator()(index_t i, index_t j) { return view()(i, j); }
  T operator()(index_t i, index_t j) const { return view()(i, j); }
};

template <class T>
Dense<T> random_dense(index_t rows, index_t cols, std::uint32_t seed, index_t gap = 0, index_t shift = 0) {
  const RandomStream random{23, RandomUse::user, seed};
  Dense<T> m(rows, cols, gap, shift);
  for (index_t i = 0; i < rows; ++i)
    for (index_t j = 0; j < cols; ++j)
      m(i, j) = static_cast<T>(2 * random.uniform(static_cast<std::uint64_t>(std::int64_t{i} * cols + j)) - 1);
  return m;
}

/// A sparse matrix with rows of given lengths.
template <class T>
struct Graph {
  index_t rows = 0, cols = 0;
  std::vector<std::int64_t> offsets{0};
  std::vector<index_t> indices;
  std::vector<T> values;

  Graph(const std::vector<index_t>& lengths, index_t columns, std::uint32_t seed = 1, bool weighted = true)
      : rows(static_cast<index_t>(lengths.size())), cols(columns) {
    const RandomStream random{29, RandomUse::user, seed};
    for (const index_t length : lengths) {
      for (index_t e = 0; e < length; ++e) {
        const auto k = static_cast<std::uint64_t>(indices.size());
        indices.push_back(length == cols ? e
                                         : static_cast<index_t>(random.below(2 * k, static_cast<std::uint64_t>(cols))));
        if (weighted) values.push_back(static_cast<T>(random.uniform(2 * k + 1) + 0.1));
      }
      offsets.push_back(size_of(indices));
    }
  }
  CsrView<T> input(KernelBuffers& use) const {
    CsrView<T> a =
        use.input(CsrView<T>{rows, cols, offsets.data(), indices.data(), values.empty() ? nullptr : values.data()});
    if (values.empty()) a.values = nullptr;
    return a;
  }
};

/// Few long rows, many short ones: lengths fall with the power of the rank, in shuffled order.
inline std::vector<index_t> power_law(index_t rows, index_t longest) {
  std::vector<index_t> lengths(static_cast<std::size_t>(rows));
  const RandomStream random{31};
  for (index_t i = 0; i < rows; ++i)
    lengths[static_cast<std::size_t>(i)] = static_cast<index_t>(longest / std::pow(1.0 + i, 1.1));
  for (std::size_t i = lengths.size(); i > 1; --i) std::swap(lengths[i - 1], lengths[random.below(i, i)]);
  return lengths;
}
/// Rows of every kind: none, one, about a warp, all columns, thousands.
inline std::vector<index_t> all_kinds() { return {0, 1, 31, 4099, 32, 33, 0, 0, 257, 5, 300, 4096, 1, 2, 0}; }
inline constexpr index_t all_columns = 257;

/// A plan that makes the choice.
inline SpmmPlan plan_for(const auto& graph, bool balanced) {
  SpmmPlan plan = make_spmm_plan(graph.offsets.data(), graph.rows);
  plan.longest_row = balanced ? std::int64_t{1} << 40 : 0;
  return plan;
}

template <class T>
struct Workspace {
  std::vector<T> carries;
  std::vector<index_t> carry_rows;
  std::vector<std::int64_t> list_offsets;

  explicit Workspace(const RowSumSpace& space)
      : carries(static_cast<std::size_t>(space.carries), static_cast<T>(not_a_number)),
        carry_rows(static_cast<std::size_t>(space.carry_rows), -7),
        list_offsets(static_cast<std::size_t>(space.list_offsets), -7) {}
  RowSumWorkspace<T> output(KernelBuffers& use) {
    return {use.output(carries.data(), size_of(carries)), use.output(carry_rows.data(), size_of(carry_rows)),
            use.output(list_offsets.data(), size_of(list_offsets))};
  }
};

inline VectorView<const index_t> use_list(KernelBuffers& use, const std::vector<index_t>& list) {
  return use.input(VectorView<const index_t>{list.data(), size_of(list)});
}

/// A sum in double, with what bounds its rounding.
struct Sum {
  double value = 0, size = 0;
  int terms = 0;

  void add(double term) {
    value += term;
    size += std::abs(term);
    ++terms;
  }
  void scale(double by) {
    value *= by;
    size *= std::abs(by);
  }
  /// Any order of `terms` additions of rounded products errs by at most about terms + 3 roundings of the sum of sizes;
  /// twice, since this sum is rounded as well.
  template <class T>
  bool near(T other) const {
    const double bound = 2.0 * (terms + 8) * static_cast<double>(std::numeric_limits<T>::epsilon()) * size;
    return std::abs(static_cast<double>(other) - value) <= bound;
  }
};

/// scale (base + sum over row r of a) + beta old, where column c stands for row column_row(c) of x, negative: none.
template <class T>
Sum reference(const Graph<T>& a, index_t r, const Dense<T>& x, index_t j, const auto& column_row, double scale,
              double beta, double old, double base = 0) {
  Sum sum;
  sum.add(base);
  for (std::int64_t e = a.offsets[static_cast<std::size_t>(r)]; e < a.offsets[static_cast<std::size_t>(r) + 1]; ++e) {
    const index_t row = column_row(a.indices[static_cast<std::size_t>(e)]);
    if (row >= 0)
      sum.add((a.values.empty() ? 1.0 : static_cast<double>(a.values[static_cast<std::size_t>(e)])) *
              static_cast<double>(x(row, j)));
  }
  sum.scale(scale);
  if (beta != 0) sum.add(beta * old);
  return sum;
}
inline constexpr auto itself = [](index_t c) { return c; };
inline auto by(const std::vector<index_t>& places) {
  return [&places](index_t c) { return places[static_cast<std::size_t>(c)]; };
}

template <class T>
void require_near(const Dense<T>& y, const auto& expected) {
  int wrong = 0;
  for (index_t i = 0; i < y.rows; ++i)
    for (index_t j = 0; j < y.cols; ++j) {
      const Sum sum = expected(i, j);
      if (!sum.near(y(i, j)) && wrong++ == 0) {
        CAPTURE(i, j, sum.value, y(i, j), y.rows, y.cols);
        REQUIRE(sum.near(y(i, j)));
      }
    }
  REQUIRE(wrong == 0);
}

template <class T>
Dense<T> output_for(index_t rows, index_t cols, double beta, index_t gap = 0, index_t shift = 0) {
  return beta == 0 ? Dense<T>(rows, cols, gap, shift) : random_dense<T>(rows, cols, 99, gap, shift);
}

/// Places for `total` rows: about one in `every` has one, as many as there are.
inline std::vector<index_t> random_places(index_t total, int every, index_t& count) {
  const RandomStream random{37};
  std::vector<index_t> places(static_cast<std::size_t>(total), -1);
  count = 0;
  for (std::size_t i = 0; i < places.size(); ++i)
    if (random.below(i, static_cast<std::uint64_t>(every)) == 0) places[i] = count++;
  return places;
}

inline constexpr index_t common_dims[] = {1, 3, 31, 32, 33, 64, 100, 128, 256};

}  // namespace dream_test::row_sums
