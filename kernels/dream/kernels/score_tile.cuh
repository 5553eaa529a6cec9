// Tiles of scores, s_ui = e_u . e_i, for kernels that look at each score and keep few of them (top_k_products.cuh).
//
// A block of 128 threads has 64 users times 64 items at a time, 4 x 8 a thread in registers, whose operands go through
// shared memory 16 columns at a time, the next ones being loaded meanwhile. A warp has 16 whole rows of the tile.
//
// A score is one chain of fused multiply-adds over the columns in ascending order wherever the pair stands.
#pragma once

#include <cmath>

#include <dream/core/view.hpp>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_access.cuh>

namespace dream::kernels::detail {

template <class T>
struct ScoreTile {
  static constexpr int threads = 128;
  static constexpr int rows = 64;  ///< users
  static constexpr int items = 64;
  static constexpr int depth = 16;   ///< columns in shared memory at a time
  static constexpr int stride = 68;  ///< of a tile's line there: 16 bytes are aligned, few banks meet
  static constexpr int warp_rows = 16;
  static constexpr int own_rows = 4, own_items = 8;  ///< of a thread
  static constexpr int width = pack_width<T>;

  struct Operands {
    alignas(16) T users[2][depth][stride];
    alignas(16) T items[2][depth][stride];
  };
  /// Four columns of two rows of each operand on their way from memory to shared memory.
  struct Moving {
    T users[2][4];
    T items[2][4];
  };
  /// Scores of the rows first_row .. + own_rows - 1 of the warp, items first_item .. + 3 and 32 later.
  using Scores = T[own_rows][own_items];

  template <class Thread>
  DREAM_HOST_DEVICE static int first_row(const Thread& th) {
    return th.lane() / 8 * own_rows;
  }
  template <class Thread>
  DREAM_HOST_DEVICE static int first_item(const Thread& th) {
    return th.lane() % 8 * 4;
  }
  /// The rows of both operands that a thread moves are this one and 32 later, from this column of the 16 on.
  template <class Thread>
  DREAM_HOST_DEVICE static int moved_row(const Thread& th) {
    return th.thread() / 4;
  }
  template <class Thread>
  DREAM_HOST_DEVICE static int moved_column(const Thread& th) {
    return th.thread() % 4 * 4;
  }

  /// Four columns of the rows; `left` of them are there, zeros stand for the others. `packs`: all are, aligned as
  /// packs.
  template <class Thread>
  DREAM_HOST_DEVICE static void load(const Thread& th, const T* const (&users)[2], const T* const (&items)[2],
                                     int column, int left, bool packs, Moving& to) {
    if (packs) {
      DREAM_UNROLL
      for (int h = 0; h < 2; ++h) {
        const auto from_memory = [&](const auto* p) { return th.load_readonly(p); };
        load_four(from_memory, users[h] + column, to.users[h]);
        load_four(from_memory, items[h] + column, to.items[h]);
      }
    } else {
      DREAM_UNROLL
      for (int h = 0; h < 2; ++h) {
        load_rest(th, users[h] + column, left, to.users[h]);
        load_rest(th, items[h] + column, left, to.items[h]);
      }
    }
  }
  template <class Thread>
  DREAM_HOST_DEVICE static void put_down(const Thread& th, const Moving& from, Operands& to, int buffer) {
    const int row = moved_row(th), column = moved_column(th);
    DREAM_UNROLL
    for (int e = 0; e < 4; ++e) {
      DREAM_UNROLL
      for (int h = 0; h < 2; ++h) {
        to.users[buffer][column + e][row + 32 * h] = from.users[h][e];
        to.items[buffer][column + e][row + 32 * h] = from.items[h][e];
      }
    }
  }

  DREAM_HOST_DEVICE static void clear(Scores& sum) {
    DREAM_UNROLL
    for (int i = 0; i < own_rows; ++i) {  // NOLINT(modernize-loop-convert): to be unrolled
      DREAM_UNROLL
      for (int j = 0; j < own_items; ++j) sum[i][j] = T{0};
    }
  }
  /// Adds the products of the 16 columns in shared memory.
  template <class Thread>
  DREAM_HOST_DEVICE static void add_products(const Thread& th, const Operands& from, int buffer, Scores& sum) {
    using std::fma;
    const auto from_shared = [&](const auto* p) { return th.load(p); };
    const int user_at = th.warp() * warp_rows + first_row(th), item_at = first_item(th);
    DREAM_UNROLL
    for (int c = 0; c < depth; ++c) {
      T a[own_rows], b[own_items];
      load_four(from_shared, &from.users[buffer][c][user_at], a);
      load_four(from_shared, &from.items[buffer][c][item_at], b);
      load_four(from_shared, &from.items[buffer][c][item_at + 32], b + 4);
      DREAM_UNROLL
      for (int i = 0; i < own_rows; ++i) {
        DREAM_UNROLL
        for (int j = 0; j < own_items; ++j) sum[i][j] = fma(a[i], b[j], sum[i][j]);
      }
    }
  }
  /// Writes the scores to the warp's lines in shared memory.
  template <class Thread>
  DREAM_HOST_DEVICE static void write_down(const Thread& th, const Scores& sum, T (*lines)[stride]) {
    DREAM_UNROLL
    for (int i = 0; i < own_rows; ++i) {
      DREAM_UNROLL
      for (int e = 0; e < own_items; e += width) {
        Pack<T, width> pack;
        DREAM_UNROLL
        for (int l = 0; l < width; ++l) pack[l] = sum[i][e + l];
        write(th, &lines[first_row(th) + i][first_item(th) + e % 4 + e / 4 * 32], pack);
      }
    }
  }

 private:
  /// Four values that are aligned as packs are.
  template <class Load>
  DREAM_HOST_DEVICE static void load_four(const Load& load, const T* from, T* to) {
    DREAM_UNROLL
    for (int e = 0; e < 4; e += width) {
      const auto pack = load(as_pack<width>(from + e));
      DREAM_UNROLL
      for (int i = 0; i < width; ++i) to[e + i] = pack[i];
    }
  }
  /// Four values of which `there` are there; zeros behind them.
  template <class Thread>
  DREAM_HOST_DEVICE static void load_rest(const Thread& th, const T* from, int there, T* to) {
    DREAM_UNROLL
    for (int e = 0; e < 4; ++e) to[e] = e < there ? th.load_readonly(from + e) : T{0};
  }
};

}  // namespace dream::kernels::detail
