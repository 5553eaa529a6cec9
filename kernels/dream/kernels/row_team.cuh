// Threads that work on one row together, for kernels that need sums along rows.
//
// A row is cut into units of 16 bytes. Its team is the smallest power of two of a warp's lanes that has one unit each,
// at most the warp, or the whole block (`Wide`, for rows of more than wide_row values, of which there may be few). Rows
// go to teams in a stride of the grid; all threads of a block make the same number of turns, so that warps can shuffle
// and blocks meet. A unit holds the same columns whether it can be loaded at once or not: sums do not depend on
// alignment.
#pragma once

#include <cstdint>
#include <type_traits>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

inline constexpr index_t wide_row = 1024;  ///< values in the longest row that a warp takes
inline constexpr int team_threads = 256;   ///< of a block of teams

/// Shared memory for a team's sums.
template <class V, bool Wide>
struct TeamScratch {};
template <class V>
struct TeamScratch<V, true> {
  BlockScratch<V, team_threads> block;
};

/// This thread's place among the teams of its block, for rows of `cols` values of T.
template <class T, bool Wide = false>
struct RowTeam {
  static constexpr int width = pack_width<T>;
  using Unit = Pack<T, width>;

  int size;   ///< threads of the team
  int rank;   ///< this thread's place in it
  int index;  ///< the team's place in the block
  int teams;  ///< of the block
  index_t cols;

  template <class Thread>
  DREAM_HOST_DEVICE RowTeam(const Thread& th, index_t row_cols)
      : size(threads_of(row_cols)),
        rank(th.thread() & (size - 1)),
        index(th.thread() / size),
        teams(team_threads / size),
        cols(row_cols) {
    static_assert(Thread::block_threads() == team_threads);
  }

  DREAM_HOST_DEVICE static constexpr int threads_of(index_t row_cols) {
    return Wide ? team_threads : 1 << shift_for((std::int64_t{row_cols} + width - 1) / width, 5);
  }
  /// Blocks for `rows` rows, at most `most`.
  static int grid(index_t rows, index_t row_cols, std::int64_t most = Sweep::most_blocks) {
    const int teams = team_threads / threads_of(row_cols);
    const std::int64_t blocks = (std::int64_t{rows} + teams - 1) / teams;
    return static_cast<int>(blocks < most ? blocks : most);
  }

  /// body(row, there) for this team's rows; some turns find no row there, and must still take part in sums.
  template <class Thread, class Body>
  DREAM_HOST_DEVICE void for_each_row(const Thread& th, index_t rows, const Body& body) const {
    const std::int64_t step = std::int64_t{th.grid_blocks()} * teams;
    DREAM_KEEP_LOOP
    for (std::int64_t first = std::int64_t{th.block()} * teams; first < rows; first += step) {
      const std::int64_t row = first + index;
      body(static_cast<index_t>(row < rows ? row : 0), row < rows);
    }
  }
  /// body(col) for the first columns of this thread's units.
  template <class Body>
  DREAM_HOST_DEVICE void for_each_unit(const Body& body) const {
    DREAM_KEEP_LOOP
    for (std::int64_t col = std::int64_t{rank} * width; col < cols; col += std::int64_t{size} * width) body(col);
  }

  /// The unit at `col`, zeros beyond the row's end; `packs`: it can be loaded at once.
  template <class Thread>
  DREAM_HOST_DEVICE Unit read(const Thread& th, const T* row, std::int64_t col, bool packs) const {
    if (packs && col + width <= cols) return th.load(as_pack<width>(row + col));
    Unit unit;
    DREAM_UNROLL
    for (int k = 0; k < width; ++k) unit[k] = col + k < cols ? th.load(row + col + k) : T{0};
    return unit;
  }
  /// body(value) for this thread's values of a row, zeros beyond its end.
  template <class Thread, class Body>
  DREAM_HOST_DEVICE void for_each_value(const Thread& th, const T* row, bool packs, const Body& body) const {
    for_each_unit([&](std::int64_t col) {
      const Unit unit = read(th, row, col, packs);
      DREAM_UNROLL
      for (int k = 0; k < width; ++k) body(unit[k]);
    });
  }
  /// row = unit + beta * row in the unit at `col`.
  template <class Thread>
  DREAM_HOST_DEVICE void write(const Thread& th, T* row, std::int64_t col, const Unit& unit, T beta, bool packs) const {
    if (packs && col + width <= cols) {
      kernels::write<width>(th, row + col, unit, beta);
    } else {
      DREAM_UNROLL
      for (int k = 0; k < width; ++k)
        if (col + k < cols) kernels::write<1>(th, row + col + k, Pack<T, 1>{{unit[k]}}, beta);
    }
  }

  /// The values of the team's threads combined, in each of them: the same bits.
  template <class Thread, class V, class Operation>
  DREAM_HOST_DEVICE V reduce(const Thread& th, V value, Operation operation, TeamScratch<V, Wide>& scratch,
                             typename Thread::Place place = Thread::Place::here()) const {
    static_assert(Operation::symmetric);
    if constexpr (Wide) {
      return block_reduce(th, value, operation, scratch.block, place);
    } else {
      DREAM_KEEP_LOOP
      for (int mask = size / 2; mask > 0; mask /= 2) value = operation(value, th.shfl_xor(value, mask, place));
      return value;
    }
  }
  template <class Thread, class V>
  DREAM_HOST_DEVICE V sum(const Thread& th, V value, TeamScratch<V, Wide>& scratch,
                          typename Thread::Place place = Thread::Place::here()) const {
    return reduce(th, value, AddValues{}, scratch, place);
  }
  /// Whether it is true in any thread that shares this one's warp (or block, where the team is one).
  template <class Thread>
  DREAM_HOST_DEVICE bool any_near(const Thread& th, bool predicate,
                                  typename Thread::Place place = Thread::Place::here()) const {
    return Wide ? predicate : th.any(predicate, place);
  }
};

/// call(std::true_type{}) for rows that take a block each, call(std::false_type{}) for shorter ones.
template <class Call>
void by_width(index_t row_cols, const Call& call) {
  if (row_cols > wide_row)
    call(std::true_type{});
  else
    call(std::false_type{});
}

}  // namespace dream::kernels
