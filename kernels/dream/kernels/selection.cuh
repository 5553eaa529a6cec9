// Selection of the k best (value, index) pairs of each row, a warp a row: of a matrix tile in memory (a block of
// similarities that a library's product made), merged into running lists; also of the lists that splits of a row left.
//
//   best = the k first of {(v_j, j)} by larger v, then by smaller j;  v_j NaN or -infinity is never selected.
//
// The order is strict and total, so what is selected depends neither on the tiles nor on their order. No gradient.
// A warp's lanes read along its row and drop at once what does not come before the row's present k-th pair. What is
// left is collected until there are 32, sorted by a bitonic network and merged into the list, 32 ranks at a time from
// the first rank that changes; k has no limit. The list lies in memory and is seldom touched: for values in random
// order some (1 + ln(cols / k)) k / 32 times.
//
// Floor: rows cols sizeof(T) bytes read; one comparison a value.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/shapes.cuh>

namespace dream::kernels {

/// A value and whose it is.
template <class T>
struct Ranked {
  T value;
  index_t index;

  /// Stands at ranks without a pair, behind all others.
  DREAM_HOST_DEVICE static constexpr Ranked none() { return {lowest_value<T>, -1}; }
};

/// Larger value first; equal values by smaller index.
template <class T>
DREAM_HOST_DEVICE constexpr bool ranks_before(const Ranked<T>& a, const Ranked<T>& b) {
  // No short cuts, which would be branches.
  return (a.value > b.value) | ((a.value == b.value) & (a.index < b.index));
}

namespace detail {

/// Leaves the better of two lanes' pairs in one of them; equal pairs are the same.
template <class Thread, class T>
DREAM_HOST_DEVICE void exchange_ranked(const Thread& th, Ranked<T>& own, int stride, bool keep_better,
                                       typename Thread::Place place) {
  const T value = th.shfl_xor(own.value, stride, place);
  const Ranked<T> other{value, th.shfl_xor(own.index, stride, place)};
  if (ranks_before(other, own) == keep_better) own = other;
}

/// Sorts pairs that rise and fall, or fall and rise, once over the lanes; the best into lane 0.
template <class Thread, class T>
DREAM_HOST_DEVICE void sort_bitonic(const Thread& th, Ranked<T>& own, typename Thread::Place place) {
  DREAM_UNROLL
  for (int stride = warp_lanes / 2; stride > 0; stride /= 2)
    exchange_ranked(th, own, stride, (th.lane() & stride) == 0, place);
}

}  // namespace detail

/// Sorts a warp's 32 pairs, the best into lane 0. No value may be NaN.
template <class Thread, class T>
DREAM_HOST_DEVICE Ranked<T> warp_sort(const Thread& th, Ranked<T> pair,
                                      typename Thread::Place place = Thread::Place::here()) {
  DREAM_UNROLL
  for (int size = 2; size <= warp_lanes; size *= 2) {
    DREAM_UNROLL
    for (int stride = size / 2; stride > 0; stride /= 2)
      detail::exchange_ranked(th, pair, stride, ((th.lane() & stride) == 0) == ((th.lane() & size) == 0), place);
  }
  return pair;
}

/// Merges 32 pairs, one a lane, into a list of the k best in memory, best first, and gives the value and index at rank
/// k - 1: what does not come before it is not among the k best. Lane l reads and writes ranks l, l + 32, .. alone.
template <class Thread, class T>
DREAM_HOST_DEVICE Ranked<T> merge_ranked(const Thread& th, Ranked<T> pair, T* values, index_t* indices, index_t k) {
  const auto place = Thread::Place::here();
  pair = warp_sort(th, pair, place);
  Ranked<T> listed = Ranked<T>::none();
  for (index_t first = 0; first < k; first += warp_lanes) {
    const index_t rank = first + th.lane();
    listed = rank < k ? Ranked<T>{th.load(values + rank), th.load(indices + rank)} : Ranked<T>::none();
    // Best first against worst first: the better of each two are the 32 best of both, rising and falling once.
    const T value = th.shfl(pair.value, warp_lanes - 1 - th.lane(), place);
    const Ranked<T> opposite{value, th.shfl(pair.index, warp_lanes - 1 - th.lane(), place)};
    const bool overtakes = ranks_before(opposite, listed);
    if (!th.any(overtakes, place)) continue;
    pair = overtakes ? listed : opposite;
    if (overtakes) listed = opposite;
    detail::sort_bitonic(th, listed, place);
    detail::sort_bitonic(th, pair, place);
    if (rank < k) {
      th.store(values + rank, listed.value);
      th.store(indices + rank, listed.index);
    }
  }
  const T value = th.shfl(listed.value, (k - 1) % warp_lanes, place);
  return {value, th.shfl(listed.index, (k - 1) % warp_lanes, place)};
}

/// Begins a list of the k best without pairs.
template <class Thread, class T>
DREAM_HOST_DEVICE void clear_ranked(const Thread& th, T* values, index_t* indices, index_t k) {
  for (index_t rank = th.lane(); rank < k; rank += warp_lanes) {
    th.store(values + rank, lowest_value<T>);
    th.store(indices + rank, -1);
  }
}

/// Pairs of one row on their way into its list; a warp's shared memory.
template <class T>
struct SelectionQueue {
  T values[warp_lanes];
  index_t indices[warp_lanes];
};

/// Appends the pairs of the lanes that pass to the `count` pairs of the queue; whenever 32 are there, take(pair) is
/// given one a lane. `count` is the same in all lanes.
template <class Thread, class T, class Take>
DREAM_HOST_DEVICE void enqueue(const Thread& th, SelectionQueue<T>& queue, int& count, bool passes, Ranked<T> pair,
                               Take&& take) {
  const std::uint32_t passing = th.ballot(passes);
  if (passing == 0) return;
  const int place = count + th.popcount(passing & ((std::uint32_t{1} << th.lane()) - 1));
  if (passes && place < warp_lanes) {
    queue.values[place] = pair.value;
    queue.indices[place] = pair.index;
  }
  count += th.popcount(passing);
  if (count < warp_lanes) return;
  th.sync_warp();
  const Ranked<T> queued{queue.values[th.lane()], queue.indices[th.lane()]};
  th.sync_warp();
  if (passes && place >= warp_lanes) {
    queue.values[place - warp_lanes] = pair.value;
    queue.indices[place - warp_lanes] = pair.index;
  }
  count -= warp_lanes;
  take(queued);
}

/// What is left in the queue: this lane's pair, or none.
template <class Thread, class T>
DREAM_HOST_DEVICE Ranked<T> queue_rest(const Thread& th, const SelectionQueue<T>& queue, int count) {
  th.sync_warp();
  return th.lane() < count ? Ranked<T>{queue.values[th.lane()], queue.indices[th.lane()]} : Ranked<T>::none();
}

/// Merges the pairs of each row of a tile into the row's running list of its k best. With `Listed` the values' indices
/// are given; without, they are the columns.
template <class T, bool Listed = false>
struct TopKRows {
  static constexpr int threads = 128;
  static constexpr int rows_a_block = threads / warp_lanes;
  struct Params {
    MatrixView<const T> tile;         ///< rows x cols
    MatrixView<const index_t> ids;    ///< with Listed: of the tile's values, -1: none
    index_t offset;                   ///< of the tile's first column
    VectorView<const T> row_factors;  ///< not Listed: value (row_i col_j) is what counts; without data: the value
    VectorView<const T> col_factors;  ///< of the tile's columns
    MatrixView<T> values;             ///< rows x k, best first
    MatrixView<index_t> indices;      ///< rows x k; -1 (and value -infinity) where there are fewer than k
    bool fresh;                       ///< the lists hold nothing yet and are not read
  };
  struct Shared {
    SelectionQueue<T> queues[rows_a_block];
  };
  static int grid(const Params& p) {
    return static_cast<int>((std::int64_t{p.tile.rows} + rows_a_block - 1) / rows_a_block);
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const index_t row = th.block() * rows_a_block + th.warp();
    if (row >= p.tile.rows) return;
    const index_t k = p.indices.cols, cols = p.tile.cols;
    const T* from = p.tile.row(row);
    const bool scaled = p.row_factors.data != nullptr;
    const T own_factor = scaled ? th.load_readonly(p.row_factors.data + row) : T{1};
    const auto index_at = [&](index_t j) -> index_t {
      if constexpr (Listed)
        return th.load(p.ids.row(row) + j);
      else
        return p.offset + j;
    };
    const auto value_at = [&](index_t j) {
      const T value = th.load(from + j);
      return scaled ? value * (own_factor * th.load_readonly(p.col_factors.data + j)) : value;
    };

    T* values = p.values.row(row);
    index_t* indices = p.indices.row(row);
    Ranked<T> bound = Ranked<T>::none();
    if (p.fresh)
      clear_ranked(th, values, indices, k);
    else
      bound = {th.load(values + k - 1), th.load(indices + k - 1)};
    th.sync_warp();
    SelectionQueue<T>& queue = shared.queues[th.warp()];
    int queued = 0;
    const auto take = [&](const Ranked<T>& pair) { bound = merge_ranked(th, pair, values, indices, k); };
    // A lane tells by a bit which of its values of a step may be among the best; most steps have none. All loads of a
    // step are under way at once.
    for (index_t first = 0; first<cols; first = cols - first> step_cols ? first + step_cols : cols) {
      const index_t own = first + th.lane(), left = cols - own;
      T value[values_a_lane];
      std::uint32_t passing = 0;
      DREAM_UNROLL
      for (int e = 0; e < values_a_lane; ++e)
        value[e] = e * warp_lanes < left ? th.load(from + own + e * warp_lanes) : T{0};
      if (scaled) {
        DREAM_UNROLL
        for (int e = 0; e < values_a_lane; ++e)
          value[e] *=
              own_factor * (e * warp_lanes < left ? th.load_readonly(p.col_factors.data + own + e * warp_lanes) : T{0});
      }
      DREAM_UNROLL
      for (int e = 0; e < values_a_lane; ++e) {
        const bool inside = e * warp_lanes < left;
        const Ranked<T> pair{value[e], inside ? index_at(own + e * warp_lanes) : 0};
        passing |= static_cast<std::uint32_t>(inside & ranks_before(pair, bound)) << e;
      }
      while (th.any(passing != 0)) {
        const std::uint32_t lowest = passing & (~passing + 1);
        Ranked<T> pair = Ranked<T>::none();
        if (passing != 0) {
          const index_t j = own + th.popcount(lowest - 1) * warp_lanes;
          pair = {value_at(j), index_at(j)};
        }
        passing ^= lowest;
        enqueue(th, queue, queued, ranks_before(pair, bound), pair, take);
      }
    }
    if (queued > 0) take(queue_rest(th, queue, queued));
  }

 private:
  static constexpr int values_a_lane = 64 / sizeof(T);  // loads in flight
  static constexpr int step_cols = values_a_lane * warp_lanes;
};

/// What top_k_rows works on; see TopKRows.
template <class T>
struct TopKRowsArguments {
  MatrixView<const T> tile;
  index_t offset = 0;
  VectorView<const T> row_factors = {};
  VectorView<const T> col_factors = {};
  MatrixView<T> values;
  MatrixView<index_t> indices;
  bool fresh = false;
};

/// Merges the pairs of each row of a tile into running lists; k = indices.cols. One launch.
template <class Context, class T>
void top_k_rows(Context& context, const TopKRowsArguments<T>& a) {
  expect_shape("top_k_rows, the values", a.values, a.tile.rows, a.indices.cols);
  expect_shape("top_k_rows, the indices", a.indices, a.tile.rows, a.indices.cols);
  launch<TopKRows<T>>(context, {a.tile, {}, a.offset, a.row_factors, a.col_factors, a.values, a.indices, a.fresh});
}

}  // namespace dream::kernels
