// Which thread has which elements of a matrix, for kernels that treat every element alike.
//
// A row is cut into units of 16 bytes, or of one value where a row of some operand does not begin at a multiple of 16
// bytes or has a rest, and for doubles. A row's units lie side by side in a power of two of threads, up to the block,
// and the block takes as many rows as that leaves room for: no division per element, and neighbouring threads touch
// neighbouring memory. A matrix without gaps between its rows is one long row. Passes of the block follow each other in
// a stride of the grid.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_access.cuh>

#if defined(__CUDA_ARCH__)
/// Keeps the loop that follows as it is in device code: copies of a long body cost registers, hence threads in flight.
#define DREAM_KEEP_LOOP _Pragma("unroll 1")
#else
#define DREAM_KEEP_LOOP
#endif

namespace dream::kernels {

/// Values of T in a unit that is loaded at once. Doubles come singly: a warp's 256 bytes travel as well as 512, in half
/// the registers.
template <class T>
inline constexpr int unit_width = sizeof(T) <= 4 ? pack_width<T> : 1;

/// The least s with 2^s >= wanted; at most `most`.
DREAM_HOST_DEVICE constexpr int shift_for(std::int64_t wanted, int most) {
  int shift = 0;
  while (shift < most && std::int64_t{1} << shift < wanted) ++shift;
  return shift;
}

/// How a grid goes over rows x cols elements.
struct Sweep {
  static constexpr int threads_shift = 8, threads = 1 << threads_shift;  ///< of a block
  static constexpr int most_blocks = 1 << 14;

  std::int64_t rows = 0;
  std::int64_t cols = 0;
  bool packs = false;  ///< units are 16 bytes

  /// Rows and columns kept apart, for operands that go with rows or columns.
  template <class T, class... Others>
  DREAM_HOST_DEVICE static Sweep by_rows(const MatrixView<T>& first, const MatrixView<Others>&... others) {
    const bool packs = first.cols % unit_width<T> == 0 && takes_packs(first);
    return {first.rows, first.cols, packs && (takes_packs(others) && ... && true)};
  }
  /// One long row where possible.
  template <class T, class... Others>
  DREAM_HOST_DEVICE static Sweep flat(const MatrixView<T>& first, const MatrixView<Others>&... others) {
    if (!(is_contiguous(first) && (is_contiguous(others) && ... && true))) return by_rows(first, others...);
    return flat(VectorView<T>{first.data, first.size()}, VectorView<Others>{others.data, 0}...);
  }
  template <class T, class... Others>
  DREAM_HOST_DEVICE static Sweep flat(const VectorView<T>& first, const VectorView<Others>&... others) {
    const bool packs = first.size % unit_width<T> == 0 && begins_pack(first.data);
    return {first.size > 0 ? 1 : 0, first.size, packs && (begins_pack(others.data) && ... && true)};
  }

  /// The matrix cut into what a block does at a time, for units of `width` values: groups of rows x strips of columns.
  struct Cut {
    int shift;  ///< 2^shift threads lie along a row
    std::int64_t groups, strips;
  };
  DREAM_HOST_DEVICE Cut cut(int width) const {
    const std::int64_t units = (cols + width - 1) / width;
    const int shift = shift_for(units, threads_shift);
    const int rows_shift = threads_shift - shift;
    return {shift, (rows + (1 << rows_shift) - 1) >> rows_shift, (units + (1 << shift) - 1) >> shift};
  }
  /// Blocks for units of `width` values, at most `most`.
  DREAM_HOST_DEVICE int blocks(int width, int most) const {
    const Cut c = cut(width);
    if (c.groups >= most) return most;
    const std::int64_t for_all = c.groups * c.strips, even = c.groups * (most / (c.groups > 0 ? c.groups : 1));
    return static_cast<int>(for_all < even ? for_all : even);
  }
  template <class T>
  int grid() const {
    return blocks(packs ? unit_width<T> : 1, most_blocks);
  }
};

/// body(row, col, Width<N>{}) for this thread's units of N values, of which the last of a row may end beyond it. The
/// first `blocks` blocks take part.
template <int N, class Thread, class Body>
DREAM_HOST_DEVICE void sweep_units(const Thread& th, const Sweep& sweep, int blocks, const Body& body) {
  static_assert(Thread::block_threads() == Sweep::threads);
  const Sweep::Cut cut = sweep.cut(N);
  // Neighbouring blocks share a group of rows where there are more blocks than groups.
  const std::int64_t at_a_group = cut.groups < blocks ? blocks / static_cast<int>(cut.groups > 0 ? cut.groups : 1) : 1;
  const int sharing = static_cast<int>(at_a_group < cut.strips ? at_a_group : cut.strips > 0 ? cut.strips : 1);
  const int rows_shift = Sweep::threads_shift - cut.shift, group_step = blocks / sharing;
  std::int64_t row = (std::int64_t{th.block() / sharing} << rows_shift) + (th.thread() >> cut.shift);
  if (th.block() >= group_step * sharing) return;
  const std::int64_t first_col =
      ((std::int64_t{th.block() % sharing} << cut.shift) + (th.thread() & ((1 << cut.shift) - 1))) * N;
  DREAM_KEEP_LOOP
  for (; row < sweep.rows; row += std::int64_t{group_step} << rows_shift) {
    DREAM_KEEP_LOOP
    for (std::int64_t col = first_col; col < sweep.cols; col += (std::int64_t{sharing} << cut.shift) * N)
      body(row, col, Width<N>{});
  }
}
/// The same with the units that the sweep allows for T; all are whole.
template <class T, class Thread, class Body>
DREAM_HOST_DEVICE void sweep_elements(const Thread& th, const Sweep& sweep, const Body& body) {
  if constexpr (unit_width < T >> 1) {
    if (sweep.packs) return sweep_units<unit_width<T>>(th, sweep, th.grid_blocks(), body);
  }
  sweep_units<1>(th, sweep, th.grid_blocks(), body);
}

/// alpha * [*scale]; no scale is 1.
template <class Thread, class T>
DREAM_HOST_DEVICE T scaled(const Thread& th, T alpha, const T* scale) {
  return scale == nullptr ? alpha : alpha * th.load(scale);
}

}  // namespace dream::kernels
