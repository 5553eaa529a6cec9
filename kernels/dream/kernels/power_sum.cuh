// Sums of powers of two that cannot overflow, of which parts can be added up.
#pragma once

#include <cmath>
#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

namespace detail {

/// The sum of 2^x over some x, as `sum` of 2^(x - max). NaN stays in the sum.
template <class T>
struct PowerSum {
  T max;
  T sum;

  DREAM_HOST_DEVICE static constexpr PowerSum none() { return {lowest_value<T>, T{0}}; }
  /// What is subtracted from exponents: max, or 0 while there is none.
  DREAM_HOST_DEVICE static T shift(T max) { return max == lowest_value<T> ? T{0} : max; }
  DREAM_HOST_DEVICE void add(const PowerSum& other) {
    using std::exp2;
    using std::fmax;
    const T m = fmax(max, other.max), by = shift(m);
    sum = sum * exp2(max - by) + other.sum * exp2(other.max - by);
    max = m;
  }
  /// Adds s[0], s[step], .., `Count` of them.
  template <int Count, int Step>
  DREAM_HOST_DEVICE void add_values(const T* s) {
    using std::exp2;
    using std::fmax;
    T m = max;
    DREAM_UNROLL
    for (int j = 0; j < Count; ++j) m = fmax(m, s[j * Step]);
    const T by = shift(m);
    sum *= exp2(max - by);
    DREAM_UNROLL
    for (int j = 0; j < Count; ++j) sum += exp2(s[j * Step] - by);
    max = m;
  }
  DREAM_HOST_DEVICE T log2() const {
    using std::log2;
    return max + log2(sum);
  }
};

/// `count` arrays of b PowerSums, one an entry and range.
template <class T>
struct PowerSums {
  T* max = nullptr;
  T* sum = nullptr;
  index_t count = 0;
  index_t b = 0;

  DREAM_HOST_DEVICE PowerSum<T> get(index_t range, index_t i) const {
    const std::int64_t at = std::int64_t{range} * b + i;
    return {max[at], sum[at]};
  }
  DREAM_HOST_DEVICE void set(index_t range, index_t i, const PowerSum<T>& value) const {
    const std::int64_t at = std::int64_t{range} * b + i;
    max[at] = value.max;
    sum[at] = value.sum;
  }
};

}  // namespace detail

}  // namespace dream::kernels
