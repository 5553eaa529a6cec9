// Selection of the k best (value, index) pairs of many rows, fed with pieces of rows or columns of a matrix that is
// never held as a whole. The order is strict and total (larger value first, then smaller index), so what is selected
// depends neither on the order of feeding nor on the pieces. NaN and -infinity are never selected.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/core/error.hpp>

#if defined(__CUDACC__)  // hands the pragmas for GCC on, but warns of them
#pragma nv_diagnostic push
#pragma nv_diag_suppress 1675
#endif

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

inline namespace DREAM_INSTRUCTION_SET {
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

  /// Empties the selection and sizes it; memory: rows x about 2k candidates. k is at most 2^30 - 4.
  void reset(index_t rows, index_t k) {
    const std::int64_t capacity = (std::max(2 * std::int64_t{k}, std::int64_t{k} + 32) + 7) / 8 * 8;
    DREAM_EXPECT(rows >= 0 && k >= 1 && capacity <= std::numeric_limits<index_t>::max(), "selection: ", rows,
                 " rows, k ", k);
    rows_ = rows;
    k_ = k;
    capacity_ = static_cast<index_t>(capacity);
    candidates_.resize(std::int64_t{rows} * capacity_);
    counts_.assign(static_cast<std::size_t>(rows), 0);
    bound_indices_.assign(static_cast<std::size_t>(rows), std::numeric_limits<index_t>::max());
    bounds_.assign(static_cast<std::size_t>(rows) + cpu::compared_lanes, std::numeric_limits<T>::lowest());
  }
  index_t rows() const { return rows_; }
  index_t k() const { return k_; }

  /// Offers one candidate to a row.
  void offer(index_t row, T value, index_t index) {
    if (value >= bounds_[static_cast<std::size_t>(row)]) append(row, value, index);
  }

  /// Offers `count` values to one row; candidate l has index first + l, or ids[l] where ids are given.
  void offer_row(index_t row, const T* values, index_t count, index_t first, const index_t* ids = nullptr) {
    const std::size_t r = static_cast<std::size_t>(row);
    if (bounds_[r] == std::numeric_limits<T>::lowest() && count / 4 >= k_)
      bounds_[r] = std::max(bounds_[r], lower_bound(values, count));
    index_t j = 0;
    for (; j + 4 * cpu::compared_lanes <= count; j += 4 * cpu::compared_lanes) {
      const T* bound = &bounds_[r];
      std::uint64_t mask = 0;
      for (int part = 0; part < 4; ++part)
        mask |= std::uint64_t{cpu::lanes_at_least<0>(values + j + part * cpu::compared_lanes, bound)}
                << (part * cpu::compared_lanes);
      for (; mask != 0; mask &= mask - 1) {
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
    bool sorted = false;
    if constexpr (std::is_same_v<T, float>) {
      sorted = count <= ranked_limit;
      if (sorted) sort_by_rank(all, count);
    }
    if (!sorted) {
      if (count > k_) std::nth_element(all, all + k_ - 1, all + count, ranks_before<T>);
      std::sort(all, all + std::min(count, k_), ranks_before<T>);
    }
    if (count < k_) return;
    counts_[r] = k_;
    bounds_[r] = all[k_ - 1].value;
    bound_indices_[r] = all[k_ - 1].index;
  }

  /// Sorts few candidates by counting for each how many come before it: no branches to mispredict, and a vector at a
  /// time. Value and index become one whole number of the same order.
  void sort_by_rank(Scored<T>* all, index_t count) const requires std::is_same_v<T, float> {
    using Keys = typename cpu::Simd<std::int64_t>::type;
    constexpr index_t width = cpu::Simd<std::int64_t>::width;
    alignas(64) std::int64_t keys[ranked_limit];
    Scored<T> unsorted[ranked_limit];
    for (index_t i = 0; i < count; ++i) {
      unsorted[i] = all[i];
      const std::int32_t bits = std::bit_cast<std::int32_t>(all[i].value + 0.0f);  // -0 becomes 0
      const std::int32_t ordered = bits ^ ((bits >> 31) & 0x7fffffff);
      keys[i] = static_cast<std::int64_t>(std::uint64_t{static_cast<std::uint32_t>(ordered)} << 32 |
                                          static_cast<std::uint32_t>(~all[i].index));
    }
    std::fill(keys + count, keys + (count + width - 1) / width * width, std::numeric_limits<std::int64_t>::min());
    for (index_t i = 0; i < count; i += width) {
      const Keys own = *reinterpret_cast<const Keys*>(keys + i);
      Keys rank = {};
      for (index_t j = 0; j < count; ++j) rank -= keys[j] > own;  // true is -1
      const index_t last = std::min(width, count - i);
      for (index_t l = 0; l < last; ++l)
        if (rank[l] < k_) all[rank[l]] = unsorted[i + l];
    }
  }

  /// A value that at least k of the given ones reach: about the k-th largest of the maxima of interleaved groups.
  T lower_bound(const T* values, index_t count) const {
    constexpr index_t width = cpu::Simd<T>::width;
    if (2 * k_ <= 5 * width) return lower_bound_of_groups<4>(values, count);
    if (2 * k_ <= 8 * width) return lower_bound_of_groups<6>(values, count);
    if (2 * k_ <= 12 * width) return lower_bound_of_groups<8>(values, count);
    if (2 * k_ <= 24 * width) return lower_bound_of_groups<16>(values, count);
    return std::numeric_limits<T>::lowest();
  }

  template <int Vectors>
  T lower_bound_of_groups(const T* values, index_t count) const {
    using Values = typename cpu::Simd<T>::type;
    using Loose = typename cpu::Simd<T>::loose;
    constexpr index_t width = cpu::Simd<T>::width, lanes = cpu::compared_lanes;
    constexpr index_t groups = (Vectors * width + lanes - 1) / lanes * lanes, vectors = groups / width;
    if (count < 2 * groups) return std::numeric_limits<T>::lowest();
    Values largest[vectors];
    for (Values& v : largest) v = Values{} + std::numeric_limits<T>::lowest();
    for (index_t j = 0; j + groups <= count; j += groups) {
#pragma GCC unroll 16
      for (index_t g = 0; g < vectors; ++g) {
        const Values v = *reinterpret_cast<const Loose*>(values + j + g * width);
        largest[g] = v > largest[g] ? v : largest[g];
      }
    }
    alignas(64) T best[groups];
    for (index_t g = 0; g < vectors; ++g) *reinterpret_cast<Values*>(best + g * width) = largest[g];
    // A few halvings between the extremes: always a value that at least k maxima reach, close to the largest such.
    T low = *std::min_element(best, best + groups), high = *std::max_element(best, best + groups);
    for (int step = 0; step < 10; ++step) {
      const T middle = low / 2 + high / 2;
      int reached = 0;
      for (index_t g = 0; g < groups; g += lanes) reached += std::popcount(cpu::lanes_at_least<0>(best + g, &middle));
      (reached >= k_ ? low : high) = middle;
    }
    return low;
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

}  // namespace DREAM_INSTRUCTION_SET
}  // namespace dream

#if defined(__CUDACC__)
#pragma nv_diagnostic pop
#endif
