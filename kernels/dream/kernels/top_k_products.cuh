// The k best items of a range of them for every user: product, mask and selection fused; the scores never exist in
// memory.
//
// A block takes 64 users against a range of the items, 64 at a time (score_tile.cuh). A warp drops at once what is not
// above the row's present k-th score (a later item of equal score cannot win), writes the tile down where something is
// left, removes the items seen there with a cursor into the row (seen_items.cuh), and collects what passes 32 at a time
// for the row's sorted list, which lies in memory and is seldom touched.
//
// Floor, n users, q items, d columns: 2 n q d operations; (n + q) d sizeof(T) bytes read once.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_access.cuh>
#include <dream/kernels/score_tile.cuh>
#include <dream/kernels/seen_items.cuh>
#include <dream/kernels/selection.cuh>

namespace dream::kernels {

/// The lists of the k best of a range of items each.
template <class T>
struct TopKProducts {
  using Tile = detail::ScoreTile<T>;
  static constexpr int threads = Tile::threads;
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
    return static_cast<int>((std::int64_t{count_rows(p)} + Tile::rows - 1) / Tile::rows * p.splits);
  }
  struct Shared {
    typename Tile::Operands operands;
    alignas(16) T scores[Tile::rows][Tile::stride];
    SelectionQueue<T> queues[Tile::rows];
  };

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const index_t rows = count_rows(p), chosen = count_items(p), dim = p.users.cols;
    const index_t row_blocks = blocks_of(rows, Tile::rows), tiles = blocks_of(chosen, Tile::items);
    const index_t tiles_a_split = blocks_of(tiles, p.splits), split = th.block() / row_blocks;
    const index_t first_row = th.block() % row_blocks * Tile::rows;
    const std::int64_t first_tile = std::int64_t{split} * tiles_a_split;
    const int left = static_cast<int>(
        first_tile < tiles ? (tiles - first_tile < tiles_a_split ? tiles - first_tile : tiles_a_split) : 0);
    const index_t first_item = left == 0 ? 0 : static_cast<index_t>(first_tile * Tile::items);
    const int chunks = dim == 0 ? 1 : blocks_of(dim, Tile::depth);
    const bool packs = takes_packs(p.users) && takes_packs(p.items);

    Row row = begin_row(th, p, rows, first_row, left == 0 ? -1 : first_item);
    clear_lists(th, p, rows, first_row, split);

    const int moved = Tile::moved_row(th);
    const T* user_from[2];
    const T* item_from[2];
    // Behind the last user or item the last one stands in; what comes of it is not looked at.
    for (int h = 0; h < 2; ++h) user_from[h] = p.users.row(user_of(th, p, clamp(first_row, moved + 32 * h, rows)));
    const auto load = [&](typename Tile::Moving& to, int tile, int chunk) {
      if (chunk == 0)
        for (int h = 0; h < 2; ++h)
          item_from[h] =
              p.items.row(candidates(p).item(th, clamp(first_item + tile * Tile::items, moved + 32 * h, chosen)));
      const int column = chunk * Tile::depth + Tile::moved_column(th);
      Tile::load(th, user_from, item_from, column, dim - column, packs && dim - chunk * Tile::depth >= Tile::depth, to);
    };

    typename Tile::Scores sum;
    Tile::clear(sum);
    if (left > 0) {
      typename Tile::Moving moving;
      load(moving, 0, 0);
      Tile::put_down(th, moving, shared.operands, 0);
    }
    th.sync();
    int tile = 0, chunk = 0, buffer = 0;
    while (tile < left) {
      const bool last_chunk = chunk + 1 == chunks;
      const int next_tile = tile + last_chunk, next_chunk = last_chunk ? 0 : chunk + 1;
      typename Tile::Moving moving;
      if (next_tile < left) load(moving, next_tile, next_chunk);
      Tile::add_products(th, shared.operands, buffer, sum);
      if (next_tile < left) Tile::put_down(th, moving, shared.operands, 1 - buffer);
      if (last_chunk) {
        select(th, p, shared, row, sum, split, first_row, first_item + tile * Tile::items, chosen);
        Tile::clear(sum);
      }
      th.sync();
      tile = next_tile;
      chunk = next_chunk;
      buffer = 1 - buffer;
    }
    for (int r = 0; r < Tile::warp_rows; ++r) {
      const int queued = th.shfl(row.queued, r);
      if (queued == 0) continue;
      const int at = th.warp() * Tile::warp_rows + r;
      merge(th, p, first_row + at, split, queue_rest(th, shared.queues[at], queued));
    }
  }

 private:
  /// What lane r of a warp knows of the warp's row r.
  struct Row {
    T bound;  ///< value of the k-th pair; above all where there is no row
    int queued;
    detail::SeenCursor seen;
  };

  DREAM_HOST_DEVICE static index_t blocks_of(index_t size, index_t block) { return size / block + (size % block != 0); }
  DREAM_HOST_DEVICE static detail::Candidates candidates(const Params& p) { return {p.candidates}; }
  template <class Thread>
  DREAM_HOST_DEVICE static index_t user_of(const Thread& th, const Params& p, index_t row) {
    return p.user_rows.data == nullptr ? row : th.load_readonly(p.user_rows.data + row);
  }
  /// begin + offset, and last - 1 where that is behind it.
  DREAM_HOST_DEVICE static index_t clamp(index_t begin, int offset, index_t last) {
    return offset < last - begin ? begin + offset : last - 1;
  }

  /// Lane r begins the warp's row r, its cursor at the first item seen that is not before the range.
  template <class Thread>
  DREAM_HOST_DEVICE static Row begin_row(const Thread& th, const Params& p, index_t rows, index_t first_row,
                                         index_t first_place) {
    Row row{-lowest_value<T>, 0, {}};
    const index_t r = first_row + th.warp() * Tile::warp_rows + th.lane();
    if (th.lane() >= Tile::warp_rows || r >= rows) return row;
    row.bound = lowest_value<T>;
    if (p.seen.rows == 0 || first_place < 0) return row;
    row.seen.begin(th, p.seen, user_of(th, p, r), candidates(p).item(th, first_place));
    return row;
  }

  template <class Thread>
  DREAM_HOST_DEVICE static void clear_lists(const Thread& th, const Params& p, index_t rows, index_t first_row,
                                            index_t split) {
    for (int r = 0; r < Tile::warp_rows; ++r) {
      const index_t row = first_row + th.warp() * Tile::warp_rows + r;
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
                                       const typename Tile::Scores& sum, index_t split, index_t first_row,
                                       index_t first_place, index_t chosen) {
    std::uint32_t rows = 0;  // bit r: row r of the warp has a score that may count
    DREAM_UNROLL
    for (int i = 0; i < Tile::own_rows; ++i) {
      const T bound = th.shfl(row.bound, Tile::first_row(th) + i);
      bool above = false;
      DREAM_UNROLL
      for (int j = 0; j < Tile::own_items; ++j) above |= sum[i][j] > bound;
      rows |= std::uint32_t{above} << (Tile::first_row(th) + i);
    }
    if (!th.any(rows != 0)) return;
    DREAM_UNROLL
    for (int mask = 1; mask < warp_lanes; mask *= 2) rows |= th.shfl_xor(rows, mask);
    T(*scores)[Tile::stride] = shared.scores + th.warp() * Tile::warp_rows;
    th.sync_warp();
    Tile::write_down(th, sum, scores);
    th.sync_warp();
    const int items = chosen - first_place < Tile::items ? chosen - first_place : Tile::items;
    const index_t last_item = candidates(p).item(th, first_place + items - 1);
    for (; rows != 0; rows &= rows - 1) {
      const int r = th.popcount((rows & (~rows + 1)) - 1);
      if (th.shfl(row.seen.next, r) <= last_item)
        row.seen.remove(th, p.seen, candidates(p), r, first_place, items, last_item, scores[r]);
      const int at = th.warp() * Tile::warp_rows + r;
      T bound = th.shfl(row.bound, r);
      int queued = th.shfl(row.queued, r);
      for (int c = th.lane(); c < Tile::items; c += warp_lanes) {
        const bool passes = c < items && scores[r][c] > bound;
        Ranked<T> pair = Ranked<T>::none();
        if (passes) pair = {scores[r][c], candidates(p).item(th, first_place + c)};
        enqueue(th, shared.queues[at], queued, passes, pair,
                [&](const Ranked<T>& full) { bound = merge(th, p, first_row + at, split, full); });
      }
      if (th.lane() == r) {
        row.bound = bound;
        row.queued = queued;
      }
    }
  }
};

}  // namespace dream::kernels
