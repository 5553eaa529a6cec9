// A user's items that are left out of a ranking, met in ascending order as tiles of scores come by.
#pragma once

#include <cstdint>
#include <limits>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/entry.cuh>

namespace dream::kernels::detail {

/// Items to choose from, ascending; without data all: place i is item i.
struct Candidates {
  VectorView<const index_t> items;

  template <class Thread>
  DREAM_HOST_DEVICE index_t item(const Thread& th, index_t place) const {
    return items.data == nullptr ? place : th.load_readonly(items.data + place);
  }
  /// Where an item stands among `count` places from first_place on, counted from there; -1: nowhere. With candidates it
  /// must not be behind them.
  template <class Thread>
  DREAM_HOST_DEVICE int offset(const Thread& th, index_t item, index_t first_place, int count) const {
    if (items.data == nullptr) return item < first_place ? -1 : item - first_place;
    int begin = 0;
    for (int end = count; begin < end;) {
      const int middle = (begin + end) / 2;
      if (th.load_readonly(items.data + first_place + middle) < item)
        begin = middle + 1;
      else
        end = middle;
    }
    return th.load_readonly(items.data + first_place + begin) == item ? begin : -1;
  }
};

/// A place in a user's row of the items seen, which ascend.
struct SeenCursor {
  static constexpr index_t no_item = std::numeric_limits<index_t>::max();  ///< behind all items

  index_t next = no_item;  ///< the item here
  std::int64_t at = 0;     ///< into seen.indices
  std::int64_t end = 0;

  /// At the first item seen that is not before `item`.
  template <class Thread, class T>
  DREAM_HOST_DEVICE void begin(const Thread& th, const CsrView<T>& seen, index_t user, index_t item) {
    std::int64_t first = th.load_readonly(seen.offsets + user);
    end = th.load_readonly(seen.offsets + user + 1);
    for (std::int64_t last = end; first < last;) {
      const std::int64_t middle = first + (last - first) / 2;
      if (th.load_readonly(seen.indices + middle) < item)
        first = middle + 1;
      else
        last = middle;
    }
    at = first;
    if (first < end) next = th.load_readonly(seen.indices + first);
  }
  /// The warp sets the scores of the items seen, of the user whose cursor lane r has, to -infinity, up to the last of
  /// `count` places from first_place on, and moves that cursor behind it. scores[i] is that of place first_place + i.
  template <class Thread, class T>
  DREAM_HOST_DEVICE void remove(const Thread& th, const CsrView<T>& seen, const Candidates& candidates, int r,
                                index_t first_place, int count, index_t last_item, T* scores) {
    std::int64_t cursor = th.shfl(at, r);
    const std::int64_t behind = th.shfl(end, r);
    index_t open = no_item;
    for (bool more = true; more;) {
      const std::int64_t own = cursor + th.lane();
      const index_t item = own < behind ? th.load_readonly(seen.indices + own) : no_item;
      const bool inside = own < behind && item <= last_item;
      if (inside) {
        const int place = candidates.offset(th, item, first_place, count);
        if (place >= 0) scores[place] = lowest_value<T>;
      }
      const int passed = th.popcount(th.ballot(inside));
      cursor += passed;
      more = passed == warp_lanes;
      if (!more) open = th.shfl(item, passed);
    }
    if (th.lane() == r) {
      at = cursor;
      next = open;
    }
    th.sync_warp();
  }
};

}  // namespace dream::kernels::detail
