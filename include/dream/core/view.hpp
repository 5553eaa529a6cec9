// Views: non-owning, trivially copyable descriptions of memory that a kernel or an op works on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#include <dream/core/error.hpp>

#if defined(__CUDACC__)
#define DREAM_HOST_DEVICE __host__ __device__
#else
#define DREAM_HOST_DEVICE
#endif

namespace dream {

/// Row, column, user and item numbers. Products of two are taken in 64 bits.
using index_t = std::int32_t;

/// A number of rows or columns, which there are up to 2^31 - 1; `what` they are of begins the error.
inline index_t row_count(const char* what, std::int64_t count) {
  DREAM_EXPECT(count >= 0 && count <= std::numeric_limits<index_t>::max(), what, ": ", count,
               " rows; a matrix can have ", std::numeric_limits<index_t>::max());
  return static_cast<index_t>(count);
}

/// `size` consecutive values.
template <class T>
struct VectorView {
  T* data = nullptr;
  std::int64_t size = 0;

  DREAM_HOST_DEVICE T& operator[](std::int64_t i) const { return data[i]; }
  DREAM_HOST_DEVICE T* begin() const { return data; }
  DREAM_HOST_DEVICE T* end() const { return data + size; }
  DREAM_HOST_DEVICE bool empty() const { return size == 0; }
  /// To a view of constants. (Not a plain operator: nvcc warns of one from a type to itself, which T = const U would
  /// be.)
  template <class U>
  requires(std::is_same_v<U, const T> && !std::is_const_v<T>) DREAM_HOST_DEVICE operator VectorView<U>() const {
    return {data, size};
  }
};

/// A row-major matrix; row i starts at data + i * stride.
template <class T>
struct MatrixView {
  T* data = nullptr;
  index_t rows = 0;
  index_t cols = 0;
  std::int64_t stride = 0;

  DREAM_HOST_DEVICE T* row(index_t i) const { return data + i * stride; }
  DREAM_HOST_DEVICE T& operator()(index_t i, index_t j) const { return data[i * stride + j]; }
  DREAM_HOST_DEVICE bool empty() const { return rows == 0 || cols == 0; }
  DREAM_HOST_DEVICE std::int64_t size() const { return std::int64_t{rows} * cols; }
  /// Rows first .. first + count - 1 of this matrix.
  DREAM_HOST_DEVICE MatrixView middle_rows(index_t first, index_t count) const {
    return {data + first * stride, count, cols, stride};
  }
  /// Columns first .. first + count - 1 of this matrix.
  DREAM_HOST_DEVICE MatrixView middle_cols(index_t first, index_t count) const {
    return {data + first, rows, count, stride};
  }
  template <class U>
  requires(std::is_same_v<U, const T> && !std::is_const_v<T>) DREAM_HOST_DEVICE operator MatrixView<U>() const {
    return {data, rows, cols, stride};
  }
};

/// A sparse matrix by rows: the entries of row i are offsets[i] .. offsets[i+1]-1 of indices (columns) and values.
template <class T>
struct CsrView {
  index_t rows = 0;
  index_t cols = 0;
  const std::int64_t* offsets = nullptr;
  const index_t* indices = nullptr;
  const T* values = nullptr;

  DREAM_HOST_DEVICE std::int64_t entries() const { return rows == 0 ? 0 : offsets[rows]; }
};

/// "rows x cols", for messages.
template <class View>
std::string shape(const View& v) {
  return concat(v.rows, " x ", v.cols);
}

}  // namespace dream
