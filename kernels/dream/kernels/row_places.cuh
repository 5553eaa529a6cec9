// The groups of the rows of a batch, as row_groups.cuh makes them, and the places of rows among them: not cleared for
// each batch, but put back where the groups of before had set them.
#pragma once

#include <algorithm>
#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

/// What build_row_groups makes, on the device.
struct RowGroupsView {
  VectorView<index_t> group_rows;   ///< room for as many groups as batches have rows
  std::int64_t* offsets = nullptr;  ///< one more
  index_t* positions = nullptr;     ///< as many as batches have rows
  VectorView<index_t> places;       ///< one for every row of the whole matrix
  index_t* count = nullptr;
};

namespace detail {

/// places = -1 at the rows of the groups that `out` has, for every so manyth group. Memory that never held groups does
/// no harm but to places.
template <class Thread>
DREAM_HOST_DEVICE void put_back_places(const Thread& th, const RowGroupsView& out, std::int64_t first,
                                       std::int64_t step) {
  const std::int64_t count = th.load(out.count);
  for (std::int64_t g = first; g < count && g < out.group_rows.size; g += step) {
    const index_t row = th.load(out.group_rows.data + g);
    if (row >= 0 && row < out.places.size) th.store(out.places.data + row, -1);
  }
}

}  // namespace detail

/// places = -1 everywhere.
struct ClearPlaces {
  static constexpr int threads = 256;
  static constexpr int each = 8;
  struct Params {
    VectorView<index_t> places;
  };
  struct Shared {};
  static int grid(const Params& p) { return static_cast<int>((p.places.size + threads * each - 1) / (threads * each)); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const std::int64_t first = std::int64_t{th.block()} * threads * each + th.thread();
    DREAM_UNROLL
    for (int u = 0; u < each; ++u)
      if (first + u * threads < p.places.size) th.store(p.places.data + first + u * threads, -1);
  }
};

/// places = -1 at the rows of the groups of before.
struct PutBackPlaces {
  static constexpr int threads = 256;
  struct Params {
    RowGroupsView groups;
  };
  struct Shared {};
  static int grid(const Params& p) {
    return static_cast<int>(std::min<std::int64_t>((p.groups.group_rows.size + threads - 1) / threads, 256));
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    detail::put_back_places(th, p.groups, std::int64_t{th.block()} * threads + th.thread(),
                            std::int64_t{th.grid_blocks()} * threads);
  }
};

}  // namespace dream::kernels
