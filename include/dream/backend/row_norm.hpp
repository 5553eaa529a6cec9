// Norms of rows whose squares leave the range of numbers.
#pragma once

#include <algorithm>
#include <cmath>

#include <dream/core/view.hpp>

namespace dream::cpu {

/// A row x and its norm without overflow or underflow: x / |x| = x / largest * scale.
template <class T>
struct RowNorm {
  T largest = 0;     ///< magnitude
  double scale = 0;  ///< 0 for a zero row and for one with values that are not finite

  T unit(T x) const { return static_cast<T>(static_cast<double>(x) / static_cast<double>(largest) * scale); }
};

template <class T>
RowNorm<T> row_norm(const T* x, index_t cols) {
  RowNorm<T> norm;
  for (index_t j = 0; j < cols; ++j) norm.largest = std::max(norm.largest, std::abs(x[j]));
  double sum = 0;
  for (index_t j = 0; norm.largest > 0 && j < cols; ++j) {
    const double v = static_cast<double>(x[j]) / static_cast<double>(norm.largest);
    sum += v * v;
  }
  norm.scale = sum > 0 ? 1.0 / std::sqrt(sum) : 0.0;
  return norm;
}

}  // namespace dream::cpu
