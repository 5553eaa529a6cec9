// Owners of memory on a backend: dense matrices, arrays and sparse matrices. Move-only, uninitialised unless said.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <dream/backend/context.hpp>
#include <dream/core/view.hpp>
#include <dream/kernels/dense.cuh>
#include <dream/kernels/spmm_plan.cuh>

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

  void resize(Context<Cpu>&, std::int64_t size) { resize(size); }
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

/// Values in the memory of a backend that runs kernels; it must not outlive the context that it was last resized with.
/// `resize` keeps the memory when it is large enough and never keeps contents.
template <class T, KernelBackend B>
class Array<T, B> {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Array() = default;
  Array(Context<B>& context, std::int64_t size) { resize(context, size); }
  Array(Array&& other) noexcept { swap(other); }
  Array& operator=(Array&& other) noexcept {
    Array moved(std::move(other));
    swap(moved);
    return *this;
  }
  ~Array() {
    if (data_) context_->release(data_);
  }

  void resize(Context<B>& context, std::int64_t size) {
    DREAM_EXPECT(size >= 0, "an array cannot have ", size, " values");
    if (size > capacity_) {
      DREAM_EXPECT(size <= std::numeric_limits<std::ptrdiff_t>::max() / static_cast<std::int64_t>(sizeof(T)),
                   "out of memory: asked for ", size, " values of ", sizeof(T), " bytes");
      *this = Array();  // first give back, then take
      data_ = static_cast<T*>(context.allocate(static_cast<std::size_t>(size) * sizeof(T)));
      context_ = &context;
      capacity_ = size;
    }
    size_ = size;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::int64_t size() const { return size_; }
  /// Values that the memory has room for.
  std::int64_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  VectorView<T> view() { return {data_, size_}; }
  VectorView<const T> view() const { return {data_, size_}; }

 private:
  void swap(Array& other) noexcept {
    std::swap(context_, other.context_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  Context<B>* context_ = nullptr;
  T* data_ = nullptr;
  std::int64_t size_ = 0;
  std::int64_t capacity_ = 0;
};

/// A dense row-major matrix on backend B.
template <class T, class B>
class Matrix {
 public:
  Matrix() = default;
  Matrix(index_t rows, index_t cols) { resize(rows, cols); }
  Matrix(Context<B>& context, index_t rows, index_t cols) { resize(context, rows, cols); }

  void resize(index_t rows, index_t cols) {
    values_.resize(checked_size(rows, cols));
    rows_ = rows;
    cols_ = cols;
  }
  void resize(Context<B>& context, index_t rows, index_t cols) {
    values_.resize(context, checked_size(rows, cols));
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
  static std::int64_t checked_size(index_t rows, index_t cols) {
    DREAM_EXPECT(rows >= 0 && cols >= 0, "a matrix cannot be ", rows, " x ", cols);
    return std::int64_t{rows} * cols;
  }

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
  kernels::SpmmPlan plan;  ///< where kernels run: how products with it are cut

  std::int64_t entries() const { return indices.size(); }
  CsrView<T> view() const { return {rows, cols, offsets.data(), indices.data(), values.data()}; }
};

/// The working memory of a context of B: numbered pieces that grow and never shrink.
template <KernelBackend B>
class ScratchSlots {
 public:
  template <class T>
  T* get(Context<B>& context, int slot, std::int64_t count) {
    DREAM_EXPECT(slot >= 0 && count >= 0, "scratch: slot ", slot, " for ", count, " values");
    if (slots_.size() <= static_cast<std::size_t>(slot)) slots_.resize(static_cast<std::size_t>(slot) + 1);
    auto& piece = slots_[static_cast<std::size_t>(slot)];
    piece.resize(context, count * static_cast<std::int64_t>(sizeof(T)));
    return reinterpret_cast<T*>(piece.data());
  }

 private:
  std::vector<Array<std::byte, B>> slots_;
};

/// y = x.
template <class T>
void copy(Context<Cpu>&, MatrixView<const T> from, MatrixView<T> to) {
  DREAM_EXPECT(from.rows == to.rows && from.cols == to.cols, "copy: from ", shape(from), " to ", shape(to));
  for (index_t i = 0; i < from.rows; ++i) std::copy_n(from.row(i), from.cols, to.row(i));
}

/// m = value, everywhere.
template <class T>
void fill(Context<Cpu>&, MatrixView<T> m, T value) {
  for (index_t i = 0; i < m.rows; ++i) std::fill_n(m.row(i), m.cols, value);
}

template <class T, KernelBackend B>
void copy(Context<B>& context, MatrixView<const T> from, MatrixView<T> to) {
  DREAM_EXPECT(from.rows == to.rows && from.cols == to.cols, "copy: from ", shape(from), " to ", shape(to));
  launch<kernels::Axpby<T>>(context, {T{1}, nullptr, from, T{0}, to});
}
template <class T, KernelBackend B>
void fill(Context<B>& context, MatrixView<T> m, T value) {
  launch<kernels::Fill<T>>(context, {value, m});
}

/// v = value, everywhere.
template <class T, class B>
void fill(Context<B>& context, VectorView<T> v, T value) {
  constexpr std::int64_t piece = std::int64_t{1} << 30;  // columns of a matrix have 32 bits
  for (std::int64_t first = 0; first < v.size; first += piece) {
    const std::int64_t count = std::min(piece, v.size - first);
    fill(context, MatrixView<T>{v.data + first, 1, static_cast<index_t>(count), count}, value);
  }
}

/// From host memory to backend B; the host's may be reused at once.
template <class T>
void upload(Context<Cpu>&, std::span<const T> from, T* to) {
  if (!from.empty()) std::memcpy(to, from.data(), from.size_bytes());
}
template <class T, KernelBackend B>
void upload(Context<B>& context, std::span<const T> from, T* to) {
  if (!from.empty()) context.upload(from.data(), to, from.size_bytes());
}
template <class T, class B>
Array<T, B> upload(Context<B>& context, std::span<const T> from) {
  Array<T, B> a;
  a.resize(context, static_cast<std::int64_t>(from.size()));
  upload<T>(context, from, a.data());
  return a;
}
/// 0 .. count - 1: the numbers of all rows.
template <class B>
Array<index_t, B> upload_range(Context<B>& context, index_t count) {
  std::vector<index_t> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), index_t{0});
  return upload<index_t>(context, std::span<const index_t>(numbers));
}
template <class T, class B>
Matrix<T, B> upload(Context<B>& context, MatrixView<const T> from) {
  DREAM_EXPECT(from.stride == from.cols || from.rows <= 1, "upload: the rows of ", shape(from), " have gaps");
  Matrix<T, B> m(context, from.rows, from.cols);
  upload<T>(context, std::span<const T>(from.data, static_cast<std::size_t>(from.size())), m.data());
  return m;
}
template <class T, class B>
Csr<T, B> upload(Context<B>& context, const Csr<T, Cpu>& from) {
  const auto all = [](const auto& a) { return std::span(a.data(), static_cast<std::size_t>(a.size())); };
  Csr<T, B> to;
  to.rows = from.rows;
  to.cols = from.cols;
  to.offsets = upload<std::int64_t>(context, all(from.offsets));
  to.indices = upload<index_t>(context, all(from.indices));
  to.values = upload<T>(context, all(from.values));
  to.plan = kernels::make_spmm_plan(from.offsets.data(), from.rows);
  return to;
}

/// From backend B to host memory, when all that was asked of the context before is done.
template <class T>
void download(Context<Cpu>&, const T* from, std::span<T> to) {
  if (!to.empty()) std::memcpy(to.data(), from, to.size_bytes());
}
template <class T, KernelBackend B>
void download(Context<B>& context, const T* from, std::span<T> to) {
  if (!to.empty()) context.download(from, to.data(), to.size_bytes());
}
template <class T, class B>
Matrix<T, Cpu> download(Context<B>& context, MatrixView<const T> from) {
  DREAM_EXPECT(from.stride == from.cols || from.rows <= 1, "download: the rows of ", shape(from), " have gaps");
  Matrix<T, Cpu> m(from.rows, from.cols);
  download<T>(context, from.data, std::span<T>(m.data(), static_cast<std::size_t>(m.size())));
  return m;
}

template <class T, class B>
Csr<T, Cpu> download(Context<B>& context, const Csr<T, B>& from) {
  Csr<T, Cpu> to;
  to.rows = from.rows;
  to.cols = from.cols;
  to.plan = from.plan;
  const auto all = [&](const auto& source, auto& target) {
    target.resize(source.size());
    download(context, source.data(), std::span(target.data(), static_cast<std::size_t>(target.size())));
  };
  all(from.offsets, to.offsets);
  all(from.indices, to.indices);
  all(from.values, to.values);
  return to;
}

}  // namespace dream
