// Items near an item: by the cosine of their embeddings.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <dream/backend/context.hpp>
#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/backend/selection.hpp>
#include <dream/core/view.hpp>
#include <dream/graph/knn_kernels.hpp>
#include <dream/kernels/selection.cuh>

namespace dream {

namespace detail {

inline void expect_item(index_t item, index_t items, index_t k) {
  DREAM_EXPECT(item >= 0 && item < items, "similar_items: item ", item, " of ", items);
  DREAM_EXPECT(k >= 1, "similar_items: k is ", k, ", expected at least 1");
}

}  // namespace detail

/// The k items (all others where there are fewer) whose embeddings have the largest cosine with that of `item`, itself
/// left out, best first; ties by smaller item number. Rows of zeros have cosine 0. items: q x d. A value that is not
/// finite is an error.
template <class T>
std::vector<Scored<double>> similar_items(Context<Cpu>& context, MatrixView<const T> items, index_t item, index_t k) {
  detail::expect_item(item, items.rows, k);
  const T* a = items.row(item);
  std::vector<double> cosine(static_cast<std::size_t>(items.rows));
  const auto dot = [&](const T* x, const T* y) {
    double sum = 0;
    for (index_t j = 0; j < items.cols; ++j) sum += static_cast<double>(x[j]) * static_cast<double>(y[j]);
    return sum;
  };
  const double length = std::sqrt(dot(a, a));
  context.parallel_blocks(items.rows, 1024, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T* b = items.row(static_cast<index_t>(i));
      const double square = dot(b, b);
      detail::expect_finite_row(std::isfinite(square), static_cast<index_t>(i), "similar_items");
      const double product = length * std::sqrt(square);
      cosine[static_cast<std::size_t>(i)] = product > 0 ? dot(a, b) / product : 0.0;
    }
  });
  std::vector<Scored<double>> found;
  found.reserve(cosine.size());
  for (index_t i = 0; i < items.rows; ++i) {
    if (i != item) found.push_back({cosine[static_cast<std::size_t>(i)], i});
  }
  const std::size_t kept = std::min(found.size(), static_cast<std::size_t>(k));
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(kept), found.end(),
                    ranks_before<double>);
  found.resize(kept);
  return found;
}

/// The same by kernels, with the items in the backend's memory, in the arithmetic of T.
template <class T, KernelBackend B>
std::vector<Scored<double>> similar_items(Context<B>& context, MatrixView<const T> items, index_t item, index_t k) {
  detail::expect_item(item, items.rows, k);
  const detail::ComparableRows<T, B> rows = detail::comparable_rows<T>(context, items, "similar_items");
  const VectorView<const T> inverse = rows.inverse_norms.view();
  Matrix<T, B> products(context, 1, items.rows);
  gemm<T>(context, Op::none, Op::transpose, T{1}, rows.x.middle_rows(item, 1), rows.x, T{0}, products.view());
  // One more than asked for, as the item itself will be among them, or be left out for others that tie with it.
  const index_t most = k < items.rows ? k + 1 : items.rows;
  Matrix<T, B> cosines(context, 1, most);
  Matrix<index_t, B> indices(context, 1, most);
  kernels::top_k_rows(context, kernels::TopKRowsArguments<T>{.tile = products.view(),
                                                             .row_factors = {inverse.data + item, 1},
                                                             .col_factors = inverse,
                                                             .values = cosines.view(),
                                                             .indices = indices.view(),
                                                             .fresh = true});
  const Matrix<T, Cpu> values = download<T>(context, cosines.view());
  const Matrix<index_t, Cpu> which = download<index_t>(context, indices.view());
  std::vector<Scored<double>> found;
  for (index_t r = 0; r < most; ++r)
    if (which(0, r) != item) found.push_back({static_cast<double>(values(0, r)), which(0, r)});
  found.resize(std::min(found.size(), static_cast<std::size_t>(k)));
  return found;
}

}  // namespace dream
