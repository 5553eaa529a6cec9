// Which thread has which elements of a matrix, for kernels that treat every element alike.
//
// A row is cut into units of 16 bytes, or of one value where a row of some operand does not begin at a multiple of 16
// bytes. A row's units lie side by side in a power of two of threads, up to the block, and the block takes as many rows
// as that leaves room for: no division per element, and neighbouring threads touch neighbouring memory. A matrix
// without gaps between its rows is one long row. Passes of the block follow each other in a stride of the grid.
#pragma once

#include <cstdint>
#include <type_traits>

#include <dream/core/view.hpp>
#include <dream/kernels/entry.cuh>

#if defined(__CUDA_ARCH__)
/// Keeps the loop that follows as it is in device code: copies of a long body cost registers, hence threads in flight.
#define DREAM_KEEP_LOOP _Pragma("unroll 1")
#else
#define DREAM_KEEP_LOOP
#endif

namespace dream {

/// Values of T in 16 bytes, the widest load.
template <class T>
inline constexpr int pack_width = static_cast<int>(16 / sizeof(T));

/// A number of values, as a type.
template <int N>
using Width = std::integral_constant<int, N>;

/// Where a kernel puts a gradient: view = value + beta * view. With beta 0 the old contents are not read. Without data
/// nobody wants it.
template <class T>
struct GradientTarget {
  MatrixView<T> view;
  T beta = T{0};

  DREAM_HOST_DEVICE bool wanted() const { return view.data != nullptr; }
};

/// Whether every row begins at a multiple of 16 bytes; true of a view without data.
template <class T>
DREAM_HOST_DEVICE bool takes_packs(const MatrixView<T>& m) {
  return reinterpret_cast<std::uintptr_t>(m.data) % 16 == 0 && (m.rows <= 1 || m.stride % pack_width<T> == 0);
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

/// The smallest power of two that is at least `wanted`, at most `most` (a power of two).
DREAM_HOST_DEVICE constexpr int threads_side_by_side(std::int64_t wanted, int most) {
  int count = 1;
  while (count < most && count < wanted) count *= 2;
  return count;
}

/// How a grid goes over rows x cols elements.
struct Sweep {
  static constexpr int threads = 256;  ///< of a block
  static constexpr std::int64_t most_blocks = 1 << 14;

  std::int64_t rows = 0;
  std::int64_t cols = 0;
  bool packs = false;  ///< units are 16 bytes

  /// Rows and columns kept apart, for operands that go with rows or columns.
  template <class First, class... Others>
  DREAM_HOST_DEVICE static Sweep by_rows(const First& first, const Others&... others) {
    return {first.rows, first.cols, takes_packs(first) && (takes_packs(others) && ... && true)};
  }
  /// One long row where possible.
  template <class First, class... Others>
  DREAM_HOST_DEVICE static Sweep flat(const First& first, const Others&... others) {
    Sweep sweep = by_rows(first, others...);
    if (is_contiguous(first) && (is_contiguous(others) && ... && true)) {
      sweep.cols *= sweep.rows;
      sweep.rows = sweep.cols > 0 ? 1 : 0;
    }
    return sweep;
  }

  template <class T, class... Others>
  DREAM_HOST_DEVICE static Sweep flat(const VectorView<T>& first, const VectorView<Others>&... others) {
    const bool packs = reinterpret_cast<std::uintptr_t>(first.data) % 16 == 0 &&
                       ((reinterpret_cast<std::uintptr_t>(others.data) % 16 == 0) && ... && true);
    return {first.size > 0 ? 1 : 0, first.size, packs};
  }

  /// What the block does at a time, for units of `width` values.
  struct Passes {
    int side_by_side;            ///< threads along a row
    std::int64_t strips, count;  ///< passes for a row, passes in all
  };
  DREAM_HOST_DEVICE Passes passes(int width) const {
    const std::int64_t units = (cols + width - 1) / width;
    const int side_by_side = threads_side_by_side(units, threads);
    const int together = threads / side_by_side;
    const std::int64_t strips = (units + side_by_side - 1) / side_by_side;
    return {side_by_side, strips, (rows + together - 1) / together * strips};
  }
  template <class T>
  int grid(std::int64_t most = most_blocks) const {
    const std::int64_t count = passes(packs ? pack_width<T> : 1).count;
    return static_cast<int>(count < most ? count : most);
  }
};

/// body(row, col, Width<N>{}) for this thread's units of N values; the last unit of a row may come as single values.
template <int N, class Thread, class Body>
DREAM_HOST_DEVICE void sweep_units(const Thread& th, const Sweep& sweep, const Body& body) {
  static_assert(Thread::block_threads() == Sweep::threads);
  const Sweep::Passes passes = sweep.passes(N);
  const int together = Sweep::threads / passes.side_by_side;
  const int row_of_thread = th.thread() / passes.side_by_side;
  const int unit_of_thread = th.thread() % passes.side_by_side;
  DREAM_KEEP_LOOP
  for (std::int64_t pass = th.block(); pass < passes.count; pass += th.grid_blocks()) {
    const std::int64_t group = passes.strips == 1 ? pass : passes.strips == passes.count ? 0 : pass / passes.strips;
    const std::int64_t row = group * together + row_of_thread;
    const std::int64_t col = ((pass - group * passes.strips) * passes.side_by_side + unit_of_thread) * N;
    if (row >= sweep.rows) continue;
    if (col + N <= sweep.cols) {
      body(row, col, Width<N>{});
    } else if constexpr (N > 1) {
      DREAM_KEEP_LOOP
      for (std::int64_t c = col; c < sweep.cols; ++c) body(row, c, Width<1>{});
    }
  }
}
/// The same with the units that the sweep allows for T.
template <class T, class Thread, class Body>
DREAM_HOST_DEVICE void sweep_elements(const Thread& th, const Sweep& sweep, const Body& body) {
  if (sweep.packs)
    sweep_units<pack_width<T>>(th, sweep, body);
  else
    sweep_units<1>(th, sweep, body);
}

/// N neighbouring values, aligned to their size.
template <int N, class Thread, class T>
DREAM_HOST_DEVICE Pack<std::remove_const_t<T>, N> read(const Thread& th, T* from) {
  return th.load(as_pack<N>(static_cast<const T*>(from)));
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
/// alpha * [*scale]; no scale is 1.
template <class Thread, class T>
DREAM_HOST_DEVICE T scaled(const Thread& th, T alpha, const T* scale) {
  return scale == nullptr ? alpha : alpha * th.load(scale);
}

}  // namespace dream
