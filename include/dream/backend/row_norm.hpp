// Products of rows, and norms of rows whose squares leave the range of numbers.
#pragma once

#include <algorithm>
#include <cmath>

#include <dream/core/instruction_set.hpp>
#include <dream/core/view.hpp>

namespace dream {
inline namespace DREAM_INSTRUCTION_SET {
namespace cpu {

/// a . b in double: eight sums side by side, which a compiler can keep in vectors, added by halves.
template <class T>
inline double product_of_rows(const T* a, const T* b, index_t cols) {
  constexpr index_t lanes = 8;
  double part[lanes] = {};
  index_t j = 0;
  for (; j + lanes <= cols; j += lanes)
    for (index_t l = 0; l < lanes; ++l) part[l] += static_cast<double>(a[j + l]) * static_cast<double>(b[j + l]);
  for (index_t l = 0; j + l < cols; ++l) part[l] += static_cast<double>(a[j + l]) * static_cast<double>(b[j + l]);
  return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
}

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

}  // namespace cpu
}  // namespace DREAM_INSTRUCTION_SET
}  // namespace dream
