// Brute-force nearest neighbours in double, for comparison.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <dream/backend/matrix.hpp>
#include <dream/core/random.hpp>

namespace reference {

using dream::Cpu;
using dream::index_t;

template <class T>
dream::Matrix<T, Cpu> random_matrix(index_t rows, index_t cols, std::uint64_t seed) {
  dream::Matrix<T, Cpu> m(rows, cols);
  const dream::RandomStream random{seed};
  for (std::int64_t e = 0; e < m.size(); ++e)
    m.data()[e] = static_cast<T>(random.normal(static_cast<std::uint64_t>(e)));
  return m;
}

struct Edge {
  index_t index;
  double similarity;
};

/// The definition, word by word: all cosines, sorted by (cosine descending, index ascending), the first k.
template <class T>
std::vector<std::vector<Edge>> neighbours(dream::MatrixView<const T> x, index_t k) {
  std::vector<std::vector<Edge>> out(static_cast<std::size_t>(x.rows));
  const auto dot = [&](index_t i, index_t j) {
    double sum = 0;
    for (index_t c = 0; c < x.cols; ++c) sum += static_cast<double>(x(i, c)) * static_cast<double>(x(j, c));
    return sum;
  };
  for (index_t i = 0; i < x.rows; ++i) {
    auto& row = out[static_cast<std::size_t>(i)];
    const double own = dot(i, i);
    if (own == 0) {
      row.push_back({i, 0});
      continue;
    }
    for (index_t j = 0; j < x.rows; ++j) {
      const double other = dot(j, j);
      row.push_back({j, other == 0 ? 0 : dot(i, j) / std::sqrt(own * other)});
    }
    std::stable_sort(row.begin(), row.end(), [](const Edge& a, const Edge& b) { return a.similarity > b.similarity; });
    if (row.size() > static_cast<std::size_t>(k)) row.resize(static_cast<std::size_t>(k));
  }
  return out;
}

/// The weighted graph of neighbour lists, dense.
inline std::vector<double> weights(const std::vector<std::vector<Edge>>& lists, bool binary) {
  const std::size_t n = lists.size();
  std::vector<double> s(n * n), sum(n);
  for (std::size_t i = 0; i < n; ++i)
    for (const Edge& e : lists[i]) {
      const bool zero_row = lists[i].size() == 1 && lists[i][0].similarity == 0;
      const double v = binary ? (zero_row ? 0.0 : 1.0) : e.similarity;
      s[i * n + static_cast<std::size_t>(e.index)] = v;
      sum[i] += v;
    }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      s[i * n + j] = sum[i] > 0 && sum[j] > 0 ? s[i * n + j] / std::sqrt(sum[i] * sum[j]) : 0.0;
  return s;
}

}  // namespace reference
