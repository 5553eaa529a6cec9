// Selection of the k best (value, index) pairs of many rows, fed with pieces of rows or columns of a matrix that is
// never held as a whole. The order is strict and total (larger value first, then smaller index), so what is selected
// depends neither on the order of feeding nor on the pieces. NaN and -infinity are never selected.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#include <dream/backend/matrix.hpp>
#include <dream/core/error.hpp>

namespace dream {

/// A candidate and its score or similarity.
template <class T>
struct Scored {
  T value;
  index_t index;
};

/// Larger value first; equal values by smaller index.
template <class T>
constexpr bool ranks_before(const Scored<T>& a, const Scored<T>& b) {
  return a.value > b.value || (a.value == b.value && a.index < b.index);
}

namespace cpu {

inline constexpr index_t compared_lanes = 16;

/// Bit l is set where values[l] >= bounds[l * Step], l < 16; never for NaN. Step 0 compares all with one bound.
template <int Step, class T>
inline std::uint32_t lanes_at_least(const T* values, const T* bounds) {
  std::uint32_t mask = 0;
  for (int l = 0; l < compared_lanes; ++l) mask |= std::uint32_t{values[l] >= bounds[l * Step]} << l;
  return mask;
}

#if defined(__AVX512F__)
template <int Step>
inline std::uint32_t lanes_at_least(const float* values, const float* bounds) {
  const __m512 bound = Step == 0 ? _mm512_set1_ps(*bounds) : _mm512_loadu_ps(bounds);
  return _mm512_cmp_ps_mask(_mm512_loadu_ps(values), bound, _CMP_GE_OQ);
}
#elif defined(__AVX2__)
template <int Step>
inline std::uint32_t lanes_at_least(const float* values, const float* bounds) {
  const __m256 low = Step == 0 ? _mm256_set1_ps(*bounds) : _mm256_loadu_ps(bounds);
  const __m256 high = Step == 0 ? low : _mm256_loadu_ps(bounds + (Step == 0 ? 0 : 8));
  const int a = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(values), low, _CMP_GE_OQ));
  const int b = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(values + 8), high, _CMP_GE_OQ));
  return static_cast<std::uint32_t>(a) | (static_cast<std::uint32_t>(b) << 8);
}
#endif

}  // namespace cpu

/// The k best candidates of each of `rows` rows. Candidates that may still be among the best are appended to a short
/// buffer, which is cut down to k when it is full. Different rows may be fed from different threads at the same time.
template <class T>
class RowSelection {
 public:
  RowSelection() = default;
  RowSelection(index_t rows, index_t k) { reset(rows, k); }

  /// Empties the selection and sizes it; memory: rows x about 2k candidates.
  void reset(index_t rows, index_t k) {
    DREAM_EXPECT(rows >= 0 && k >= 1, "selection: ", rows, " rows, k ", k);
    rows_ = rows;
    k_ = k;
    capacity_ = (std::max<index_t>(2 * k, k + 32) + 7) / 8 * 8;
    candidates_.resize(std::int64_t{rows} * capacity_);
    counts_.assign(static_cast<std::size_t>(rows), 0);
    bound_indices_.assign(static_cast<std::size_t>(rows), std::numeric_limits<index_t>::max());
    bounds_.assign(static_cast<std::size_t>(rows + cpu::compared_lanes), std::numeric_limits<T>::lowest());
  }
  index_t rows() const { return rows_; }
  index_t k() const { return k_; }

  /// Offers one candidate to a row.
  void offer(index_t row, T value, index_t index) {
    if (value >= bounds_[static_cast<std::size_t>(row)]) append(row, value, index);
  }

  /// Offers `count` values to one row; candidate l has index first + l, or ids[l] where ids are given.
  void offer_row(index_t row, const T* values, index_t count, index_t first, const index_t* ids = nullptr) {
    T& bound = bounds_[static_cast<std::size_t>(row)];
    if (counts_[static_cast<std::size_t>(row)] == 0 && count / 4 >= k_)
      bound = std::max(bound, lower_bound(values, count));
    index_t j = 0;
    for (; j + cpu::compared_lanes <= count; j += cpu::compared_lanes) {
      for (std::uint32_t mask = cpu::lanes_at_least<0>(values + j, &bound); mask != 0; mask &= mask - 1) {
        const index_t l = j + std::countr_zero(mask);
        offer(row, values[l], ids ? ids[l] : first + l);
      }
    }
    for (; j < count; ++j) offer(row, values[j], ids ? ids[j] : first + j);
  }

  /// Offers candidate `index` to rows first_row .. first_row + count - 1 with the value of each.
  void offer_column(index_t first_row, const T* values, index_t count, index_t index) {
    const T* bounds = bounds_.data() + first_row;
    index_t j = 0;
    for (; j + cpu::compared_lanes <= count; j += cpu::compared_lanes) {
      for (std::uint32_t mask = cpu::lanes_at_least<1>(values + j, bounds + j); mask != 0; mask &= mask - 1) {
        const index_t l = j + std::countr_zero(mask);
        append(first_row + l, values[l], index);
      }
    }
    for (; j < count; ++j) offer(first_row + j, values[j], index);
  }

  /// Sorts a row's selection, best first, and returns how many there are (at most k).
  index_t finish(index_t row) {
    cut(row);
    return counts_[static_cast<std::size_t>(row)];
  }
  const Scored<T>* selected(index_t row) const { return candidates_.data() + std::int64_t{row} * capacity_; }

 private:
  void append(index_t row, T value, index_t index) {
    const std::size_t r = static_cast<std::size_t>(row);
    if (value == bounds_[r] && index > bound_indices_[r]) return;
    candidates_[std::int64_t{row} * capacity_ + counts_[r]] = {value, index};
    if (++counts_[r] == capacity_) cut(row);
  }

  /// Sorts the buffer and drops what is behind the k-th candidate.
  void cut(index_t row) {
    const std::size_t r = static_cast<std::size_t>(row);
    Scored<T>* all = candidates_.data() + std::int64_t{row} * capacity_;
    const index_t count = counts_[r];
    if (count <= ranked_limit) {
      sort_by_rank(all, count);
    } else {
      if (count > k_) std::nth_element(all, all + k_ - 1, all + count, ranks_before<T>);
      std::sort(all, all + std::min(count, k_), ranks_before<T>);
    }
    if (count < k_) return;
    counts_[r] = k_;
    bounds_[r] = all[k_ - 1].value;
    bound_indices_[r] = all[k_ - 1].index;
  }

  /// A candidate's place is the number of candidates before it: no branches to mispredict, and it vectorises.
  void sort_by_rank(Scored<T>* all, index_t count) const {
    T values[ranked_limit];
    index_t indices[ranked_limit];
    for (index_t i = 0; i < count; ++i) {
      values[i] = all[i].value;
      indices[i] = all[i].index;
    }
    for (index_t i = 0; i < count; ++i) {
      const T value = values[i];
      const index_t index = indices[i];
      index_t rank = 0;
      for (index_t j = 0; j < count; ++j)
        rank += index_t{values[j] > value} | (index_t{values[j] == value} & index_t{indices[j] < index});
      if (rank < k_) all[rank] = {value, index};
    }
  }

  /// A value that at least k of the given ones reach: the k-th largest of the maxima of interleaved groups.
  T lower_bound(const T* values, index_t count) const {
    constexpr index_t lanes = cpu::compared_lanes;
    const index_t groups = (3 * k_ / 2 + lanes - 1) / lanes * lanes;
    if (groups > ranked_limit || count < 2 * groups) return std::numeric_limits<T>::lowest();
    T best[ranked_limit];
    std::fill_n(best, groups, std::numeric_limits<T>::lowest());
    for (index_t j = 0; j + groups <= count; j += groups)
      for (index_t g = 0; g < groups; g += lanes)
        for (index_t l = 0; l < lanes; ++l)
          best[g + l] = values[j + g + l] > best[g + l] ? values[j + g + l] : best[g + l];
    std::nth_element(best, best + k_ - 1, best + groups, [](T a, T b) { return a > b; });
    return best[k_ - 1];
  }

  static constexpr index_t ranked_limit = 256;

  index_t rows_ = 0;
  index_t k_ = 0;
  index_t capacity_ = 0;
  Array<Scored<T>, Cpu> candidates_;
  std::vector<index_t> counts_;
  std::vector<T> bounds_;               ///< nothing below can still be selected
  std::vector<index_t> bound_indices_;  ///< index of the k-th candidate where the bound is its value
};

}  // namespace dream
