// The k best items of every user over all items: product, mask and selection fused; the scores never exist in memory.
//
//   s_ui = e_u . e_i;   best_u = the k first of {(s_ui, i)} by larger s, then by smaller i; i not in the user's row of
//   `seen`, s_ui not NaN and not -infinity.   No gradient.
//
// A block takes 64 users against a range of the items, 64 at a time: a product in registers, 4 x 8 a thread, whose
// operands go through shared memory 16 columns at a time, the next ones being loaded meanwhile. A warp has 16 whole
// rows of the tile of scores; it drops at once what is not above the row's present k-th score (a later item of equal
// score cannot win), writes the tile down where something is left, removes the items seen there with a cursor into the
// row, and collects what passes 32 at a time for the row's sorted list, which lies in memory and is seldom touched.
// Few users leave multiprocessors idle, so the items are split among blocks, by sizes alone, and lists are merged.
//
// A score is one chain of fused multiply-adds over the columns in ascending order wherever the pair stands: ties are
// exact, and results do not depend on tiles, splits, lists of users or candidates.
//
// Floor: 2 n q d operations; (n + q) d sizeof(T) bytes read once, n k (4 + sizeof(T)) written.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/selection.cuh>

namespace dream::kernels {

/// The lists of the k best of a range of items each.
template <class T>
struct TopKProducts {
  static constexpr int threads = 128;
  static constexpr int tile_rows = 64;
  static constexpr int tile_items = 64;
  struct Params {
    MatrixView<const T> users;             ///< n x d
    MatrixView<const T> items;             ///< q x d
    VectorView<const index_t> user_rows;   ///< which rows of users and seen; without data: all
    VectorView<const index_t> candidates;  ///< ascending items to choose from; without data: all
    CsrView<T> seen;                       ///< n x q, columns ascending, values unused; no rows: nothing is masked
    index_t k;
    index_t splits;               ///< ranges of items
    MatrixView<T> values;         ///< ranked rows x (splits k); a range's list is best first
    MatrixView<index_t> indices;  ///< likewise; -1 (and value -infinity) where there are fewer than k
  };
  DREAM_HOST_DEVICE static index_t count_rows(const Params& p) {
    return p.user_rows.data == nullptr ? p.users.rows : static_cast<index_t>(p.user_rows.size);
  }
  DREAM_HOST_DEVICE static index_t count_items(const Params& p) {
    return p.candidates.data == nullptr ? p.items.rows : static_cast<index_t>(p.candidates.size);
  }
  static int grid(const Params& p) {
    return static_cast<int>((std::int64_t{count_rows(p)} + tile_rows - 1) / tile_rows * p.splits);
  }

 private:
  static constexpr int depth = 16;      // columns in shared memory at a time
  static constexpr int stride = 68;     // of a tile's line there: 16 bytes are aligned, few banks meet
  static constexpr int warp_rows = 16;  // of a tile
  static constexpr int own_rows = 4, own_items = 8;
  static constexpr index_t no_item = std::numeric_limits<index_t>::max();  // behind all items
  static constexpr int width = 16 / sizeof(T) < 4 ? 16 / sizeof(T) : 4;

  /// Four columns of two rows of each tile on their way from memory to shared memory.
  struct Moving {
    T users[2][4];
    T items[2][4];
  };
  /// What lane r of a warp knows of the warp's row r.
  struct Row {
    T bound;  ///< value of the k-th pair; above all where there is no row
    int queued;
    index_t next_seen;    ///< the item at the cursor
    std::int64_t cursor;  ///< into seen.indices
    std::int64_t seen_end;
  };

 public:
  struct Shared {
    alignas(16) T users[2][depth][stride];
    alignas(16) T items[2][depth][stride];
    alignas(16) T scores[tile_rows][stride];
    SelectionQueue<T> queues[tile_rows];
  };

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    using std::fma;
    const index_t rows = count_rows(p), chosen = count_items(p), dim = p.users.cols;
    const index_t row_blocks = blocks_of(rows, tile_rows), tiles = blocks_of(chosen, tile_items);
    const index_t tiles_a_split = blocks_of(tiles, p.splits), split = th.block() / row_blocks;
    const index_t first_row = th.block() % row_blocks * tile_rows;
    const std::int64_t first_tile = std::int64_t{split} * tiles_a_split;
    const int left = static_cast<int>(
        first_tile < tiles ? (tiles - first_tile < tiles_a_split ? tiles - first_tile : tiles_a_split) : 0);
    const index_t first_item = left == 0 ? 0 : static_cast<index_t>(first_tile * tile_items);
    const int chunks = dim == 0 ? 1 : blocks_of(dim, depth);
    const bool packs = packed(p.users) && packed(p.items);

    Row row = begin_row(th, p, rows, first_row, left == 0 ? -1 : first_item);
    clear_lists(th, p, rows, first_row, split);

    const int moved = th.thread() / 4, column = th.thread() % 4 * 4;
    const T* user_from[2];
    const T* item_from[2];
    // Behind the last user or item the last one stands in; what comes of it is not looked at.
    for (int h = 0; h < 2; ++h) user_from[h] = p.users.row(user_of(th, p, clamp(first_row, moved + 32 * h, rows)));
    const auto load = [&](Moving& to, int tile, int chunk) {
      if (chunk == 0)
        for (int h = 0; h < 2; ++h)
          item_from[h] = p.items.row(item_of(th, p, clamp(first_item + tile * tile_items, moved + 32 * h, chosen)));
      const int from = chunk * depth + column;
      if (packs && dim - chunk * depth >= depth) {
        DREAM_UNROLL
        for (int h = 0; h < 2; ++h) {
          load_packs(th, to.users[h], user_from[h] + from);
          load_packs(th, to.items[h], item_from[h] + from);
        }
      } else {
        DREAM_UNROLL
        for (int h = 0; h < 2; ++h) {
          load_values(th, to.users[h], user_from[h] + from, dim - from);
          load_values(th, to.items[h], item_from[h] + from, dim - from);
        }
      }
    };
    const auto put_down = [&](const Moving& from, int buffer) {
      DREAM_UNROLL
      for (int e = 0; e < 4; ++e) {
        DREAM_UNROLL
        for (int h = 0; h < 2; ++h) {
          shared.users[buffer][column + e][moved + 32 * h] = from.users[h][e];
          shared.items[buffer][column + e][moved + 32 * h] = from.items[h][e];
        }
      }
    };

    T sum[own_rows][own_items];
    const auto clear = [&] {
      DREAM_UNROLL
      for (int i = 0; i < own_rows; ++i) {  // NOLINT(modernize-loop-convert): to be unrolled
        DREAM_UNROLL
        for (int j = 0; j < own_items; ++j) sum[i][j] = T{0};
      }
    };
    clear();
    const int user_at = th.warp() * warp_rows + th.lane() / 8 * own_rows, item_at = th.lane() % 8 * 4;
    if (left > 0) {
      Moving moving;
      load(moving, 0, 0);
      put_down(moving, 0);
    }
    th.sync();
    int tile = 0, chunk = 0, buffer = 0;
    while (tile < left) {
      const bool last_chunk = chunk + 1 == chunks;
      const int next_tile = tile + last_chunk, next_chunk = last_chunk ? 0 : chunk + 1;
      Moving moving;
      if (next_tile < left) load(moving, next_tile, next_chunk);
      DREAM_UNROLL
      for (int c = 0; c < depth; ++c) {
        T a[own_rows], b[own_items];
        four(th, &shared.users[buffer][c][user_at], a);
        four(th, &shared.items[buffer][c][item_at], b);
        four(th, &shared.items[buffer][c][item_at + 32], b + 4);
        DREAM_UNROLL
        for (int i = 0; i < own_rows; ++i) {
          DREAM_UNROLL
          for (int j = 0; j < own_items; ++j) sum[i][j] = fma(a[i], b[j], sum[i][j]);
        }
      }
      if (next_tile < left) put_down(moving, 1 - buffer);
      if (last_chunk) {
        select(th, p, shared, row, sum, split, first_row, first_item + tile * tile_items, chosen);
        clear();
      }
      th.sync();
      tile = next_tile;
      chunk = next_chunk;
      buffer = 1 - buffer;
    }
    for (int r = 0; r < warp_rows; ++r) {
      const int queued = th.shfl(row.queued, r);
      if (queued == 0) continue;
      const int at = th.warp() * warp_rows + r;
      merge(th, p, first_row + at, split, queue_rest(th, shared.queues[at], queued));
    }
  }

 private:
  DREAM_HOST_DEVICE static index_t blocks_of(index_t size, index_t block) { return size / block + (size % block != 0); }
  DREAM_HOST_DEVICE static bool packed(const MatrixView<const T>& m) {
    return reinterpret_cast<std::uintptr_t>(m.data) % 16 == 0 && m.stride % width == 0;
  }

  template <class Thread>
  DREAM_HOST_DEVICE static index_t user_of(const Thread& th, const Params& p, index_t row) {
    return p.user_rows.data == nullptr ? row : th.load_readonly(p.user_rows.data + row);
  }
  template <class Thread>
  DREAM_HOST_DEVICE static index_t item_of(const Thread& th, const Params& p, index_t place) {
    return p.candidates.data == nullptr ? place : th.load_readonly(p.candidates.data + place);
  }
  /// begin + offset, and last - 1 where that is behind it.
  DREAM_HOST_DEVICE static index_t clamp(index_t begin, int offset, index_t last) {
    return offset < last - begin ? begin + offset : last - 1;
  }

  /// Four values that are aligned as packs are.
  template <class Thread>
  DREAM_HOST_DEVICE static void load_packs(const Thread& th, T (&to)[4], const T* from) {
    DREAM_UNROLL
    for (int e = 0; e < 4; e += width) {
      const auto pack = th.load_readonly(as_pack<width>(from + e));
      DREAM_UNROLL
      for (int i = 0; i < width; ++i) to[e + i] = pack[i];
    }
  }
  /// Four values of which `there` are there; zeros behind them.
  template <class Thread>
  DREAM_HOST_DEVICE static void load_values(const Thread& th, T (&to)[4], const T* from, int there) {
    DREAM_UNROLL
    for (int e = 0; e < 4; ++e) to[e] = e < there ? th.load_readonly(from + e) : T{0};
  }
  /// Four values in shared memory.
  template <class Thread>
  DREAM_HOST_DEVICE static void four(const Thread& th, const T* from, T* to) {
    DREAM_UNROLL
    for (int e = 0; e < 4; e += width) {
      const auto pack = th.load(as_pack<width>(from + e));
      DREAM_UNROLL
      for (int i = 0; i < width; ++i) to[e + i] = pack[i];
    }
  }

  /// Lane r begins the warp's row r, its cursor at the first item seen that is not before the range.
  template <class Thread>
  DREAM_HOST_DEVICE static Row begin_row(const Thread& th, const Params& p, index_t rows, index_t first_row,
                                         index_t first_place) {
    Row row{-lowest_value<T>, 0, no_item, 0, 0};
    const index_t r = first_row + th.warp() * warp_rows + th.lane();
    if (th.lane() >= warp_rows || r >= rows) return row;
    row.bound = lowest_value<T>;
    if (p.seen.rows == 0 || first_place < 0) return row;
    const index_t user = user_of(th, p, r), item = item_of(th, p, first_place);
    std::int64_t begin = th.load_readonly(p.seen.offsets + user);
    row.seen_end = th.load_readonly(p.seen.offsets + user + 1);
    for (std::int64_t end = row.seen_end; begin < end;) {
      const std::int64_t middle = begin + (end - begin) / 2;
      if (th.load_readonly(p.seen.indices + middle) < item)
        begin = middle + 1;
      else
        end = middle;
    }
    row.cursor = begin;
    if (begin < row.seen_end) row.next_seen = th.load_readonly(p.seen.indices + begin);
    return row;
  }

  template <class Thread>
  DREAM_HOST_DEVICE static void clear_lists(const Thread& th, const Params& p, index_t rows, index_t first_row,
                                            index_t split) {
    for (int r = 0; r < warp_rows; ++r) {
      const index_t row = first_row + th.warp() * warp_rows + r;
      if (row >= rows) return;
      const std::int64_t at = std::int64_t{split} * p.k;
      clear_ranked(th, p.values.row(row) + at, p.indices.row(row) + at, p.k);
    }
  }

  /// Merges 32 pairs into a row's list and gives its new bound.
  template <class Thread>
  DREAM_HOST_DEVICE static T merge(const Thread& th, const Params& p, index_t row, index_t split,
                                   const Ranked<T>& pair) {
    const std::int64_t at = std::int64_t{split} * p.k;
    return merge_ranked(th, pair, p.values.row(row) + at, p.indices.row(row) + at, p.k).value;
  }

  /// Offers a finished tile of scores to the lists of the warp's rows.
  template <class Thread>
  DREAM_HOST_DEVICE static void select(const Thread& th, const Params& p, Shared& shared, Row& row,
                                       const T (&sum)[own_rows][own_items], index_t split, index_t first_row,
                                       index_t first_place, index_t chosen) {
    const int group = th.lane() / 8, item_at = th.lane() % 8 * 4;
    std::uint32_t rows = 0;  // bit r: row r of the warp has a score that may count
    DREAM_UNROLL
    for (int i = 0; i < own_rows; ++i) {
      const T bound = th.shfl(row.bound, group * own_rows + i);
      bool above = false;
      DREAM_UNROLL
      for (int j = 0; j < own_items; ++j) above |= sum[i][j] > bound;
      rows |= std::uint32_t{above} << (group * own_rows + i);
    }
    if (!th.any(rows != 0)) return;
    DREAM_UNROLL
    for (int mask = 1; mask < warp_lanes; mask *= 2) rows |= th.shfl_xor(rows, mask);
    T(*scores)[stride] = shared.scores + th.warp() * warp_rows;
    th.sync_warp();
    DREAM_UNROLL
    for (int i = 0; i < own_rows; ++i) {
      DREAM_UNROLL
      for (int e = 0; e < own_items; e += width) {
        Pack<T, width> pack;
        DREAM_UNROLL
        for (int l = 0; l < width; ++l) pack[l] = sum[i][e + l];
        th.store(as_pack<width>(&scores[group * own_rows + i][item_at + e % 4 + e / 4 * 32]), pack);
      }
    }
    th.sync_warp();
    const int items = chosen - first_place < tile_items ? chosen - first_place : tile_items;
    const index_t last_item = item_of(th, p, first_place + items - 1);
    for (; rows != 0; rows &= rows - 1) {
      const int r = th.popcount((rows & (~rows + 1)) - 1);
      if (th.shfl(row.next_seen, r) <= last_item) remove_seen(th, p, row, r, scores[r], first_place, items, last_item);
      const int at = th.warp() * warp_rows + r;
      T bound = th.shfl(row.bound, r);
      int queued = th.shfl(row.queued, r);
      for (int c = th.lane(); c < tile_items; c += warp_lanes) {
        const bool passes = c < items && scores[r][c] > bound;
        Ranked<T> pair = Ranked<T>::none();
        if (passes) pair = {scores[r][c], item_of(th, p, first_place + c)};
        enqueue(th, shared.queues[at], queued, passes, pair,
                [&](const Ranked<T>& full) { bound = merge(th, p, first_row + at, split, full); });
      }
      if (th.lane() == r) {
        row.bound = bound;
        row.queued = queued;
      }
    }
  }

  /// Sets the scores of the items seen to -infinity, from the cursor to the end of the tile.
  template <class Thread>
  DREAM_HOST_DEVICE static void remove_seen(const Thread& th, const Params& p, Row& row, int r, T* scores,
                                            index_t first_place, int items, index_t last_item) {
    std::int64_t cursor = th.shfl(row.cursor, r);
    const std::int64_t end = th.shfl(row.seen_end, r);
    index_t next = no_item;
    for (bool more = true; more;) {
      const std::int64_t own = cursor + th.lane();
      const index_t item = own < end ? th.load_readonly(p.seen.indices + own) : no_item;
      const bool inside = own < end && item <= last_item;
      if (inside) {
        const int place = place_of(th, p, item, first_place, items);
        if (place >= 0) scores[place] = lowest_value<T>;
      }
      const int passed = th.popcount(th.ballot(inside));
      cursor += passed;
      more = passed == warp_lanes;
      if (!more) next = th.shfl(item, passed);
    }
    if (th.lane() == r) {
      row.cursor = cursor;
      row.next_seen = next;
    }
    th.sync_warp();
  }

  /// Where an item stands in the tile; -1: nowhere.
  template <class Thread>
  DREAM_HOST_DEVICE static int place_of(const Thread& th, const Params& p, index_t item, index_t first_place,
                                        int items) {
    if (p.candidates.data == nullptr) return item < first_place ? -1 : item - first_place;
    int begin = 0;
    for (int end = items; begin < end;) {
      const int middle = (begin + end) / 2;
      if (th.load_readonly(p.candidates.data + first_place + middle) < item)
        begin = middle + 1;
      else
        end = middle;
    }
    return th.load_readonly(p.candidates.data + first_place + begin) == item ? begin : -1;
  }
};

/// What top_k works on. Ranks without an item get index -1 and score -infinity.
template <class T>
struct TopKArguments {
  MatrixView<const T> users;                  ///< n x d
  MatrixView<const T> items;                  ///< q x d
  VectorView<const index_t> user_rows = {};   ///< rank only these rows of users and seen; without data: all
  VectorView<const index_t> candidates = {};  ///< ascending items to choose from; without data: all
  CsrView<T> seen = {};                       ///< n x q, columns ascending, left out; no rows: nothing is
  MatrixView<index_t> indices;                ///< ranked rows x k, best first
  MatrixView<T> scores = {};                  ///< likewise; without data: not wanted
  index_t splits = 0;                         ///< ranges of items; 0: by the sizes. Changes time, never the result
  T* list_values = nullptr;                   ///< workspace
  index_t* list_indices = nullptr;            ///< workspace
};

/// Ranges of items for `rows` users and `chosen` items: some 1,024 blocks, of 1,024 items or more each.
inline index_t top_k_splits(index_t rows, index_t chosen) {
  const std::int64_t row_blocks = (std::int64_t{rows} + 63) / 64, most = chosen / 1024;
  const std::int64_t wanted = row_blocks == 0 ? 1 : 1024 / row_blocks;
  const std::int64_t splits = wanted < most ? wanted : most;
  return static_cast<index_t>(splits < 1 ? 1 : splits > 256 ? 256 : splits);
}

/// Values that top_k needs as workspace.
struct TopKWorkspace {
  index_t splits;        ///< ranges of items
  std::int64_t values;   ///< of list_values: the lists of the ranges, and the scores where they are not wanted
  std::int64_t indices;  ///< of list_indices
};

template <class T>
TopKWorkspace top_k_workspace(const TopKArguments<T>& a) {
  const index_t chosen = a.candidates.data == nullptr ? a.items.rows : static_cast<index_t>(a.candidates.size);
  const index_t splits = a.splits > 0 ? a.splits : top_k_splits(a.indices.rows, chosen);
  const std::int64_t lists = splits > 1 ? a.indices.size() * splits : 0;
  return {splits, lists + (a.scores.data == nullptr ? a.indices.size() : 0), lists};
}

/// The k best items of every ranked user; k = indices.cols. Two launches, one where the items are not split.
template <class Context, class T>
void top_k(Context& context, const TopKArguments<T>& a) {
  const TopKWorkspace needed = top_k_workspace(a);
  const index_t k = a.indices.cols;
  MatrixView<T> scores = a.scores;
  if (scores.data == nullptr) scores = {a.list_values + needed.indices, a.indices.rows, k, k};
  if (needed.splits == 1) {
    launch<TopKProducts<T>>(context, {a.users, a.items, a.user_rows, a.candidates, a.seen, k, 1, scores, a.indices});
    return;
  }
  const std::int64_t stride = std::int64_t{needed.splits} * k;
  const MatrixView<T> values{a.list_values, a.indices.rows, static_cast<index_t>(stride), stride};
  const MatrixView<index_t> indices{a.list_indices, a.indices.rows, static_cast<index_t>(stride), stride};
  launch<TopKProducts<T>>(context,
                          {a.users, a.items, a.user_rows, a.candidates, a.seen, k, needed.splits, values, indices});
  launch<TopKRows<T, true>>(context, {values, indices, 0, {}, {}, scores, a.indices, true});
}

}  // namespace dream::kernels
