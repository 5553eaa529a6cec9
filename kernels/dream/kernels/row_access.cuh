// How kernels read and write pieces of rows: 16 bytes at a time where rows begin at multiples of 16 bytes, else value
// by value.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include <dream/core/view.hpp>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

/// Values of T in 16 bytes, the widest load.
template <class T>
inline constexpr int pack_width = static_cast<int>(16 / sizeof(T));

/// A number of values, as a type.
template <int N>
using Width = std::integral_constant<int, N>;

DREAM_HOST_DEVICE inline bool begins_pack(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; }
/// Whether every row begins at a multiple of 16 bytes; true of a view without data.
template <class T>
DREAM_HOST_DEVICE bool takes_packs(const MatrixView<T>& m) {
  return begins_pack(m.data) && (m.rows <= 1 || m.stride % pack_width<T> == 0);
}
/// Whether no gap lies between the rows; true of a view without data.
template <class T>
DREAM_HOST_DEVICE bool is_contiguous(const MatrixView<T>& m) {
  return m.rows <= 1 || m.stride == m.cols;
}
/// Element (row, col) of a matrix, or of one long row.
template <class T>
DREAM_HOST_DEVICE T* element(const MatrixView<T>& m, std::int64_t row, std::int64_t col) {
  return m.data + row * m.stride + col;
}

/// N neighbouring values, aligned to their size.
template <int N, class Thread, class T>
DREAM_HOST_DEVICE Pack<std::remove_const_t<T>, N> read(const Thread& th, T* from) {
  return th.load(as_pack<N>(static_cast<const T*>(from)));
}
/// sum += N neighbouring values, which nothing may write while the kernel runs.
template <int N, class Thread, class T>
DREAM_HOST_DEVICE void add_values(const Thread& th, const T* from, Pack<T, N>& sum) {
  const Pack<T, N> values = th.load_readonly(as_pack<N>(from));
  DREAM_UNROLL
  for (int k = 0; k < N; ++k) sum[k] += values[k];
}
/// to = values.
template <int N, class Thread, class T>
DREAM_HOST_DEVICE void write(const Thread& th, T* to, const Pack<T, N>& values) {
  th.store(as_pack<N>(to), values);
}
/// to = values + beta * to; with beta 0 what stands there is not read.
template <int N, class Thread, class T>
DREAM_HOST_DEVICE void write(const Thread& th, T* to, Pack<T, N> values, T beta) {
  if (beta != T{0}) {
    const Pack<T, N> old = read<N>(th, to);
    DREAM_UNROLL
    for (int k = 0; k < N; ++k) values[k] += beta * old[k];
  }
  write<N>(th, to, values);
}

/// Where a kernel puts a gradient: view = value + beta * view. With beta 0 the old contents are not read. Without data
/// nobody wants it.
template <class T>
struct GradientTarget {
  MatrixView<T> view;
  T beta = T{0};

  DREAM_HOST_DEVICE bool wanted() const { return view.data != nullptr; }
};

/// What a row that is not there reads as. A variable, since device code may not call std::numeric_limits.
template <class T>
inline constexpr T row_not_there = std::numeric_limits<T>::quiet_NaN();

}  // namespace dream::kernels
