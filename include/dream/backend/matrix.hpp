// Owners of memory on a backend: dense matrices, arrays and sparse matrices. Move-only, uninitialised unless said.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <dream/backend/context.hpp>
#include <dream/core/view.hpp>

namespace dream {

template <class T, class B>
class Array;

/// Values on the host, aligned to 64 bytes. `resize` keeps the memory when it is large enough and never keeps contents.
template <class T>
class Array<T, Cpu> {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Array() = default;
  explicit Array(std::int64_t size) { resize(size); }
  Array(Array&& other) noexcept { swap(other); }
  Array& operator=(Array&& other) noexcept {
    Array moved(std::move(other));
    swap(moved);
    return *this;
  }

  void resize(std::int64_t size) {
    DREAM_EXPECT(size >= 0, "an array cannot have ", size, " values");
    if (size > capacity_) {
      memory_ = detail::allocate_aligned<T>(size);
      capacity_ = size;
    }
    size_ = size;
  }
  void fill(T value) { std::fill_n(data(), size_, value); }

  T* data() { return reinterpret_cast<T*>(memory_.get()); }
  const T* data() const { return reinterpret_cast<const T*>(memory_.get()); }
  std::int64_t size() const { return size_; }
  /// Values that the memory has room for.
  std::int64_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  T& operator[](std::int64_t i) { return data()[i]; }
  const T& operator[](std::int64_t i) const { return data()[i]; }
  VectorView<T> view() { return {data(), size_}; }
  VectorView<const T> view() const { return {data(), size_}; }

 private:
  void swap(Array& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  detail::AlignedBytes memory_;
  std::int64_t size_ = 0;
  std::int64_t capacity_ = 0;
};

/// A dense row-major matrix on backend B.
template <class T, class B>
class Matrix {
 public:
  Matrix() = default;
  Matrix(index_t rows, index_t cols) { resize(rows, cols); }

  void resize(index_t rows, index_t cols) {
    DREAM_EXPECT(rows >= 0 && cols >= 0, "a matrix cannot be ", rows, " x ", cols);
    values_.resize(std::int64_t{rows} * cols);
    rows_ = rows;
    cols_ = cols;
  }
  index_t rows() const { return rows_; }
  index_t cols() const { return cols_; }
  std::int64_t size() const { return values_.size(); }
  T* data() { return values_.data(); }
  const T* data() const { return values_.data(); }
  void fill(T value) { values_.fill(value); }
  T& operator()(index_t i, index_t j) { return values_[std::int64_t{i} * cols_ + j]; }
  const T& operator()(index_t i, index_t j) const { return values_[std::int64_t{i} * cols_ + j]; }
  MatrixView<T> view() { return {values_.data(), rows_, cols_, cols_}; }
  MatrixView<const T> view() const { return {values_.data(), rows_, cols_, cols_}; }

 private:
  Array<T, B> values_;
  index_t rows_ = 0;
  index_t cols_ = 0;
};

/// A sparse matrix by rows (CSR) on backend B. Column numbers ascend within a row.
template <class T, class B>
struct Csr {
  index_t rows = 0;
  index_t cols = 0;
  Array<std::int64_t, B> offsets;
  Array<index_t, B> indices;
  Array<T, B> values;

  std::int64_t entries() const { return indices.size(); }
  CsrView<T> view() const { return {rows, cols, offsets.data(), indices.data(), values.data()}; }
};

/// Copies between host memory and backend B; on Cpu a plain copy.
template <class T>
Array<T, Cpu> upload(Context<Cpu>&, std::span<const T> host) {
  Array<T, Cpu> a(static_cast<std::int64_t>(host.size()));
  if (!host.empty()) std::memcpy(a.data(), host.data(), host.size_bytes());
  return a;
}

template <class T>
void copy(Context<Cpu>&, MatrixView<const T> from, MatrixView<T> to) {
  DREAM_EXPECT(from.rows == to.rows && from.cols == to.cols, "copy: from ", shape(from), " to ", shape(to));
  for (index_t i = 0; i < from.rows; ++i) std::copy_n(from.row(i), from.cols, to.row(i));
}

}  // namespace dream
