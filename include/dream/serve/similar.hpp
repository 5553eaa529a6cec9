// Items near an item: by the cosine of their embeddings.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <dream/backend/context.hpp>
#include <dream/backend/selection.hpp>
#include <dream/core/view.hpp>

namespace dream {

/// The k items (all others where there are fewer) whose embeddings have the largest cosine with that of `item`, itself
/// left out, best first; ties by smaller item number. Rows of zeros have cosine 0. items: q x d.
template <class T>
std::vector<Scored<double>> similar_items(Context<Cpu>& context, MatrixView<const T> items, index_t item, index_t k) {
  DREAM_EXPECT(item >= 0 && item < items.rows, "similar_items: item ", item, " of ", items.rows);
  DREAM_EXPECT(k >= 1, "similar_items: k is ", k, ", expected at least 1");
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
      const double product = length * std::sqrt(dot(b, b));
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

}  // namespace dream
