// Which lanes of a warp have which columns, for kernels whose rows lie anywhere.
//
// 2^n lanes lie along the columns, 16 bytes each (4 or 8 bytes where some row is not aligned); a group of so many lanes
// is a worker. Columns beyond 32 lanes are further workers' tiles.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_access.cuh>

namespace dream::kernels {

namespace detail {

/// How the lanes of a warp lie along the columns: 2^bits lanes of `width` columns each, `tiles` times.
struct ColumnLanes {
  int bits;
  int width;
  index_t tiles;

  template <class T>
  DREAM_HOST_DEVICE static ColumnLanes of(index_t cols, bool packed) {
    ColumnLanes lanes{0, packed && cols % pack_width<T> == 0 ? pack_width<T> : 1, 0};
    const index_t units = cols / lanes.width;
    while (lanes.bits < 5 && (index_t{1} << lanes.bits) < units) ++lanes.bits;
    lanes.tiles = units / warp_lanes + (units % warp_lanes != 0 ? 1 : 0);
    return lanes;
  }
  /// Blocks for as many workers.
  int blocks(std::int64_t workers, int threads) const {
    const std::int64_t here = threads >> bits;
    return static_cast<int>((workers + here - 1) / here);
  }
  template <class Thread>
  DREAM_HOST_DEVICE std::int64_t worker(const Thread& th) const {
    return (std::int64_t{th.block()} * Thread::block_threads() + th.thread()) >> bits;
  }
  template <class Thread>
  DREAM_HOST_DEVICE index_t column(const Thread& th, std::int64_t tile) const {
    return static_cast<index_t>(tile * warp_lanes + (th.lane() & ((1 << bits) - 1))) * width;
  }
  DREAM_HOST_DEVICE std::int64_t row(std::int64_t worker) const { return tiles == 1 ? worker : worker / tiles; }
};

/// body(Width<N>{}) for the lanes' width N.
template <class T, class Body>
DREAM_HOST_DEVICE void with_width(const ColumnLanes& lanes, const Body& body) {
  if (lanes.width == 1)
    body(Width<1>{});
  else
    body(Width<pack_width<T>>{});
}

}  // namespace detail

}  // namespace dream::kernels
