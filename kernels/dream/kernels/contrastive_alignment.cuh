// InfoNCE of two representations X, Y (b x d) of the same entities, rows of length 1 (or 0).
//
//   forward    s_ac = x_a . y_c / tau,   L = (1/b) sum_a ( log sum_c exp(s_ac) - s_aa )
//   backward   dx_a = (sum_c P_ac y_c - y_a) / (tau b),   dy_c = (sum_a P_ac x_a - x_c) / (tau b),
//              P_ac = exp(s_ac - log sum_c' exp(s_ac'))
//   both       the mean of InfoNCE(X, Y) and InfoNCE(Y, X): Q_ac = exp(s_ac - log sum_a' exp(s_a'c)) joins P,
//              dx_a = (sum_c (P + Q)_ac y_c - 2 y_a) / (2 tau b), and dy alike
//
// Operations: a unit is 2 b^2 d. Four of them, one direction or both: S for the sums; S again, G Y and G^T X for the
// gradients, G = P (+ Q) - diagonal. Fewer cannot do: without storing S, a column's gradient weighs each row by its
// sum, which is known after a whole pass over the row only. Bytes beside them: the partial sums below, written and read
// once.
//
// The b x b similarities are cut into row ranges x column ranges, a block each (16 x 32 where b >= 2048: two waves of a
// card with 128 multiprocessors, and of sizes alone). A block walks its rectangle in tiles of 128 x 64 (64 x 32 in
// double), 8 x 8 a thread. X is scaled by log2(e) / tau on its way into shared memory, so that S comes out of the
// product in units of exp2. Row sums run in registers, column sums in the block's own part of the workspace. For the
// gradients a tile's G goes to shared memory, from where both products read it: dX of a tile's rows stays in registers
// while the columns pass by (d <= 64), dY is added to the block's own part. Parts are then added in order: no atomics,
// the same bits every time. Memory: (16 + 32) b d for the parts, nothing of b x b.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/entry.cuh>

#if defined(__CUDA_ARCH__)
/// Keeps a loop's body to `times` copies in device code: more would cost the registers that hold the tiles.
#define DREAM_INFO_NCE_COPIES(times) _Pragma(#times)
#else
#define DREAM_INFO_NCE_COPIES(times)
#endif

namespace dream::kernels {

/// Into how many ranges the rows and the columns of the similarities are cut; the results' bits depend on it.
struct InfoNceRanges {
  index_t rows = 0;
  index_t cols = 0;
};

namespace detail {

/// Tiles of similarities and what a thread has of them.  128 threads: 16 (y) times 8 (x).
template <class T>
struct InfoNceTile {
  static constexpr int vector = 16 / static_cast<int>(sizeof(T));  ///< values in one load
  static constexpr int threads_x = 8, threads_y = 16, threads = threads_x * threads_y;
  static constexpr int mine = 2 * vector;        ///< of a thread, in each direction
  static constexpr int rows = threads_y * mine;  ///< of X
  static constexpr int cols = threads_x * mine;  ///< of Y
  static constexpr int slice = cols;             ///< of the d dimensions at a time
  using Vector = Pack<T, vector>;

  /// The tile's row of a thread's i-th one, and the tile's column of its j-th.
  DREAM_HOST_DEVICE static constexpr int row(int thread, int i) { return thread / threads_x + threads_y * i; }
  DREAM_HOST_DEVICE static constexpr int col(int thread, int j) { return thread % threads_x + threads_x * j; }
  /// The first of `vector` neighbouring columns of a product with Y or X, q = 0 or 1.
  DREAM_HOST_DEVICE static constexpr int product_col(int thread, int q) {
    return (thread % threads_x + threads_x * q) * vector;
  }

  /// Where column `col` (a multiple of vector) of a row lies in shared memory. The same columns of eight neighbouring
  /// rows, and eight vectors of a row, lie in different banks, without padding: so two blocks fit an SM.
  DREAM_HOST_DEVICE static constexpr int operand(int row, int col) { return row * slice + (col ^ (row & 7) * vector); }
  /// The same for G, which is written by threads of four rows and eight columns.
  DREAM_HOST_DEVICE static constexpr int weight(int row, int col) {
    return row * cols + (col ^ ((row & 3) * 2 + (row >> 2 & 1)) * vector);
  }
  static_assert(threads_x % 8 == 0 && threads_y % 8 == 0);  // rows of a thread are permuted alike

  /// s += X Y^T over a slice.  This and the next two are all the arithmetic of order b^2 d.
  DREAM_HOST_DEVICE static void multiply_rows(int thread, const T* x, const T* y, T (&s)[mine][mine]) {
    DREAM_INFO_NCE_COPIES(unroll 1)
    for (int k = 0; k < slice; k += vector) {
      const T* const x_row = x + operand(row(thread, 0), k);
      const T* const y_row = y + operand(col(thread, 0), k);
      Vector b[mine];
      DREAM_UNROLL
      for (int j = 0; j < mine; ++j) b[j] = *as_pack<vector>(y_row + j * threads_x * slice);
      DREAM_UNROLL
      for (int i = 0; i < mine; ++i) {
        const Vector a = *as_pack<vector>(x_row + i * threads_y * slice);
        DREAM_UNROLL
        for (int v = 0; v < vector; ++v) {
          DREAM_UNROLL
          for (int j = 0; j < mine; ++j) s[i][j] += a[v] * b[j][v];
        }
      }
    }
  }
  /// out += G Y: rows row(thread, i), columns product_col(thread, q) + v at q * vector + v.
  DREAM_HOST_DEVICE static void weigh_cols(int thread, const T* g, const T* y, T (&out)[mine][mine]) {
    DREAM_INFO_NCE_COPIES(unroll 1)
    for (int c = 0; c < cols; c += vector) {
      const T* const weights = g + weight(row(thread, 0), c);
      Vector a[mine];
      DREAM_UNROLL
      for (int i = 0; i < mine; ++i) a[i] = *as_pack<vector>(weights + i * threads_y * cols);
      DREAM_UNROLL
      for (int k = 0; k < vector; ++k) {
        const T* const y_row = y + operand(c + k, product_col(thread, 0));
        DREAM_UNROLL
        for (int q = 0; q < 2; ++q) {
          const Vector b = *as_pack<vector>(y_row + q * threads_x * vector);
          DREAM_UNROLL
          for (int i = 0; i < mine; ++i) {
            DREAM_UNROLL
            for (int v = 0; v < vector; ++v) out[i][q * vector + v] += a[i][k] * b[v];
          }
        }
      }
    }
  }
  /// out += G^T X: rows (columns of G) first_weighed_row(thread) + u, columns as above.
  DREAM_HOST_DEVICE static void weigh_rows(int thread, const T* g, const T* x, T (&out)[vector][mine]) {
    DREAM_INFO_NCE_COPIES(unroll 1)
    for (int first = 0; first < rows; first += mine) {
      DREAM_UNROLL
      for (int r = first; r < first + mine; ++r) {  // so that the permutations are known in advance
        const Vector w = *as_pack<vector>(g + weight(r, first_weighed_row(thread)));
        const T* const x_row = x + operand(r, product_col(thread, 0));
        DREAM_UNROLL
        for (int q = 0; q < 2; ++q) {
          const Vector b = *as_pack<vector>(x_row + q * threads_x * vector);
          DREAM_UNROLL
          for (int u = 0; u < vector; ++u) {
            DREAM_UNROLL
            for (int v = 0; v < vector; ++v) out[u][q * vector + v] += w[u] * b[v];
          }
        }
      }
    }
  }
  DREAM_HOST_DEVICE static constexpr int first_weighed_row(int thread) { return thread / threads_x * vector; }

  DREAM_HOST_DEVICE static constexpr index_t tiles_of(index_t b, int of) { return b / of + (b % of != 0); }
};

/// A slice of a tile's rows of X and of Y.
template <class T>
struct alignas(16) InfoNceOperands {
  T x[InfoNceTile<T>::rows * InfoNceTile<T>::slice];
  T y[InfoNceTile<T>::cols * InfoNceTile<T>::slice];
};

/// out = scale * `Rows` rows of a slice of m, zeros beyond its end. The block's threads share the work; no barrier.
template <int Rows, class Thread, class T>
DREAM_HOST_DEVICE void load_slice(const Thread& th, const MatrixView<const T>& m, index_t first_row, index_t first_col,
                                  T scale, T* out) {
  using Tile = InfoNceTile<T>;
  constexpr int vector = Tile::vector, vectors = Tile::slice / vector;
  static_assert(Rows * vectors % Tile::threads == 0);
  const bool whole =
      m.stride % vector == 0 && reinterpret_cast<std::uintptr_t>(m.data) % 16 == 0 && first_col + Tile::slice <= m.cols;
  constexpr int step = Tile::threads / vectors;
  const int col = th.thread() % vectors * vector;
  const int here = th.thread() / vectors;
  const index_t rows_here = m.rows - first_row;
  const T* const from = m.data + (std::int64_t{first_row} + here) * m.stride + first_col + col;
  if (whole) {
    DREAM_INFO_NCE_COPIES(unroll 4)
    for (int r = 0; r < Rows; r += step) {
      typename Tile::Vector values{};
      if (here + r < rows_here) values = th.load_readonly(as_pack<vector>(from + r * m.stride));
      DREAM_UNROLL
      for (int v = 0; v < vector; ++v) values[v] *= scale;
      th.store(as_pack<vector>(out + Tile::operand(here + r, col)), values);
    }
  } else {
    DREAM_INFO_NCE_COPIES(unroll 1)
    for (int r = 0; r < Rows; r += step) {
      typename Tile::Vector values{};
      DREAM_UNROLL
      for (int v = 0; v < vector; ++v)
        if (here + r < rows_here && col + v < m.cols - first_col)
          values[v] = scale * th.load_readonly(from + r * m.stride + v);
      th.store(as_pack<vector>(out + Tile::operand(here + r, col)), values);
    }
  }
}

/// The sum of 2^x over some x, as `sum` of 2^(x - max). NaN stays in the sum.
template <class T>
struct PowerSum {
  T max;
  T sum;

  DREAM_HOST_DEVICE static constexpr PowerSum none() { return {lowest_value<T>, T{0}}; }
  /// What is subtracted from exponents: max, or 0 while there is none.
  DREAM_HOST_DEVICE static T shift(T max) { return max == lowest_value<T> ? T{0} : max; }
  DREAM_HOST_DEVICE void add(const PowerSum& other) {
    using std::exp2;
    using std::fmax;
    const T m = fmax(max, other.max), by = shift(m);
    sum = sum * exp2(max - by) + other.sum * exp2(other.max - by);
    max = m;
  }
  /// Adds s[0], s[step], .., `Count` of them.
  template <int Count, int Step>
  DREAM_HOST_DEVICE void add_values(const T* s) {
    using std::exp2;
    using std::fmax;
    T m = max;
    DREAM_UNROLL
    for (int j = 0; j < Count; ++j) m = fmax(m, s[j * Step]);
    const T by = shift(m);
    sum *= exp2(max - by);
    DREAM_UNROLL
    for (int j = 0; j < Count; ++j) sum += exp2(s[j * Step] - by);
    max = m;
  }
  DREAM_HOST_DEVICE T log2() const {
    using std::log2;
    return max + log2(sum);
  }
};

/// `count` arrays of b PowerSums, one an entry and range.
template <class T>
struct PowerSums {
  T* max = nullptr;
  T* sum = nullptr;
  index_t count = 0;
  index_t b = 0;

  DREAM_HOST_DEVICE PowerSum<T> get(index_t range, index_t i) const {
    const std::int64_t at = std::int64_t{range} * b + i;
    return {max[at], sum[at]};
  }
  DREAM_HOST_DEVICE void set(index_t range, index_t i, const PowerSum<T>& value) const {
    const std::int64_t at = std::int64_t{range} * b + i;
    max[at] = value.max;
    sum[at] = value.sum;
  }
};

/// A block's rectangle of tiles.
struct InfoNceRectangle {
  index_t row_range, col_range;
  index_t first_row, end_row, first_col, end_col;  // in tiles
};

/// Ranges of equal size, or the first ones of a tile more.
DREAM_HOST_DEVICE constexpr index_t range_begin(index_t tiles, index_t ranges, index_t range) {
  const index_t longer = tiles % ranges;
  return tiles / ranges * range + (range < longer ? range : longer);
}

template <class T>
DREAM_HOST_DEVICE InfoNceRectangle info_nce_rectangle(int block, index_t b, InfoNceRanges ranges) {
  const index_t i = block / ranges.cols, j = block % ranges.cols;
  const index_t rows = InfoNceTile<T>::tiles_of(b, InfoNceTile<T>::rows);
  const index_t cols = InfoNceTile<T>::tiles_of(b, InfoNceTile<T>::cols);
  return {i,
          j,
          range_begin(rows, ranges.rows, i),
          range_begin(rows, ranges.rows, i + 1),
          range_begin(cols, ranges.cols, j),
          range_begin(cols, ranges.cols, j + 1)};
}

}  // namespace detail

/// Pass 1: of each row range and column range the rows' sums of 2^s, for `Both` the columns' too, and the diagonal.
template <class T, bool Both>
struct InfoNceSums {
  using Tile = detail::InfoNceTile<T>;
  static constexpr int threads = Tile::threads;
  static constexpr int warps = threads / warp_lanes;
  struct Params {
    MatrixView<const T> x, y;
    T scale;  ///< log2(e) / tau
    InfoNceRanges ranges;
    detail::PowerSums<T> rows;  ///< ranges.cols times b
    detail::PowerSums<T> cols;  ///< ranges.rows times b; for Both
    T* diagonal;                ///< s_aa
  };
  struct Shared {
    detail::InfoNceOperands<T> operands;
    detail::PowerSum<T> cols[Both ? warps * Tile::cols : 1];
    detail::InfoNceRectangle block;  ///< not in registers, which the tiles need
  };
  static int grid(const Params& p) { return p.x.rows == 0 ? 0 : p.ranges.rows * p.ranges.cols; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    constexpr int mine = Tile::mine;
    const index_t b = p.x.rows, d = p.x.cols;
    const int t = th.thread();
    const detail::InfoNceRectangle& block = shared.block;
    if (t == 0) shared.block = detail::info_nce_rectangle<T>(th.block(), b, p.ranges);
    th.sync();
    for (index_t row_tile = block.first_row; row_tile < block.end_row; ++row_tile) {
      const index_t a0 = row_tile * Tile::rows;
      detail::PowerSum<T> row_sums[mine];
      DREAM_UNROLL
      for (int i = 0; i < mine; ++i) row_sums[i] = detail::PowerSum<T>::none();
      for (index_t col_tile = block.first_col; col_tile < block.end_col; ++col_tile) {
        const index_t c0 = col_tile * Tile::cols;
        T s[mine][mine] = {};
        for (index_t k = 0; k < d; k += Tile::slice) {
          th.sync();
          if (d > Tile::slice || col_tile == block.first_col)
            detail::load_slice<Tile::rows>(th, p.x, a0, k, p.scale, shared.operands.x);
          detail::load_slice<Tile::cols>(th, p.y, c0, k, T{1}, shared.operands.y);
          th.sync();
          Tile::multiply_rows(t, shared.operands.x, shared.operands.y, s);
        }
        if (a0 < c0 + Tile::cols && c0 < a0 + Tile::rows) {
          DREAM_UNROLL
          for (int i = 0; i < mine; ++i) {
            DREAM_UNROLL
            for (int j = 0; j < mine; ++j) {
              const index_t a = a0 + Tile::row(t, i);
              if (a == c0 + Tile::col(t, j) && a < b) p.diagonal[a] = s[i][j];
            }
          }
        }
        if (b - a0 < Tile::rows || b - c0 < Tile::cols) {  // entries beyond the end count for nothing
          DREAM_UNROLL
          for (int i = 0; i < mine; ++i) {
            DREAM_UNROLL
            for (int j = 0; j < mine; ++j)
              if (Tile::row(t, i) >= b - a0 || Tile::col(t, j) >= b - c0) s[i][j] = lowest_value<T>;
          }
        }
        DREAM_UNROLL
        for (int i = 0; i < mine; ++i) row_sums[i].template add_values<mine, 1>(s[i]);
        if constexpr (Both) add_columns(th, p, shared, block, row_tile == block.first_row, c0, s);
      }
      DREAM_UNROLL
      for (int i = 0; i < mine; ++i) {
        DREAM_UNROLL
        for (int mask = 1; mask < Tile::threads_x; mask *= 2)
          row_sums[i].add({th.shfl_xor(row_sums[i].max, mask), th.shfl_xor(row_sums[i].sum, mask)});
        const index_t a = a0 + Tile::row(t, i);
        if (t % Tile::threads_x == 0 && a < b) p.rows.set(block.col_range, a, row_sums[i]);
      }
    }
  }

 private:
  /// Adds the columns of a tile to the block's own part.
  template <class Thread>
  DREAM_HOST_DEVICE static void add_columns(const Thread& th, const Params& p, Shared& shared,
                                            const detail::InfoNceRectangle& block, bool first, index_t c0,
                                            const T (&s)[Tile::mine][Tile::mine]) {
    const int t = th.thread();
    DREAM_UNROLL
    for (int j = 0; j < Tile::mine; ++j) {
      auto sum = detail::PowerSum<T>::none();
      sum.template add_values<Tile::mine, Tile::mine>(&s[0][0] + j);
      DREAM_UNROLL
      for (int mask = Tile::threads_x; mask < warp_lanes; mask *= 2)
        sum.add({th.shfl_xor(sum.max, mask), th.shfl_xor(sum.sum, mask)});
      if (th.lane() < Tile::threads_x) shared.cols[th.warp() * Tile::cols + Tile::col(t, j)] = sum;
    }
    th.sync();
    if (t < Tile::cols && t < p.x.rows - c0) {  // the next to write shared.cols pass a barrier in between
      auto sum = first ? detail::PowerSum<T>::none() : p.cols.get(block.row_range, c0 + t);
      DREAM_UNROLL
      for (int w = 0; w < warps; ++w) sum.add(shared.cols[w * Tile::cols + t]);
      p.cols.set(block.row_range, c0 + t, sum);
    }
  }
};

/// The ranges' sums put together: log2 of each row's sum, and of each column's where there are any.
template <class T>
struct InfoNceLogSums {
  static constexpr int threads = 128;
  struct Params {
    detail::PowerSums<T> rows, cols;  ///< cols.count may be 0
    T* log_rows;
    T* log_cols;
  };
  struct Shared {};
  DREAM_HOST_DEVICE static int blocks_of(index_t b) { return b / threads + (b % threads != 0); }
  static int grid(const Params& p) { return blocks_of(p.rows.b) * (p.cols.count > 0 ? 2 : 1); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const int blocks = blocks_of(p.rows.b);
    const bool of_cols = th.block() >= blocks;
    const detail::PowerSums<T>& parts = of_cols ? p.cols : p.rows;
    const std::int64_t i = std::int64_t{th.block() % blocks} * threads + th.thread();
    if (i >= parts.b) return;
    auto sum = detail::PowerSum<T>::none();
    for (index_t range = 0; range < parts.count; ++range) sum.add(parts.get(range, static_cast<index_t>(i)));
    (of_cols ? p.log_cols : p.log_rows)[i] = sum.log2();
  }
};

/// The loss out of the sums: factor * sum_a (log2 of row a's sum - s_aa), the columns' added. One block, in double.
template <class T>
struct InfoNceLoss {
  static constexpr int threads = 1024;
  struct Params {
    VectorView<const T> log_rows, log_cols;  ///< log_cols may be empty
    const T* diagonal;
    double factor;
    T* loss;
  };
  struct Shared {
    BlockScratch<double, threads> scratch;
  };
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    double sum = 0;
    for (std::int64_t a = th.thread(); a < p.log_rows.size; a += threads) {
      const double own = static_cast<double>(th.load_readonly(p.diagonal + a));
      sum += static_cast<double>(th.load_readonly(p.log_rows.data + a)) - own;
      if (!p.log_cols.empty()) sum += static_cast<double>(th.load_readonly(p.log_cols.data + a)) - own;
    }
    sum = block_sum(th, sum, shared.scratch);
    if (th.thread() == 0) *p.loss = static_cast<T>(p.factor * sum);
  }
};

/// Pass 2: S again, G = P (+ Q) - diagonal, and the block's parts of G Y and G^T X. `Short`: d is at most a slice.
template <class T, bool Both, bool Short>
struct InfoNceGradient {
  using Tile = detail::InfoNceTile<T>;
  static constexpr int threads = Tile::threads;
  struct Params {
    MatrixView<const T> x, y;
    T scale;  ///< log2(e) / tau; G^T X comes out this much too large
    InfoNceRanges ranges;
    const T* log_rows;
    const T* log_cols;         ///< for Both
    T* dx_parts;               ///< ranges.cols matrices, b x part_stride
    T* dy_parts;               ///< ranges.rows matrices, b x part_stride
    std::int64_t part_stride;  ///< d, up to a whole vector of 16 bytes
  };
  struct Shared {
    detail::InfoNceOperands<T> operands;
    alignas(16) T weights[Tile::rows * Tile::cols];
    detail::InfoNceRectangle block;
  };
  static int grid(const Params& p) { return p.x.rows == 0 ? 0 : p.ranges.rows * p.ranges.cols; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    constexpr int mine = Tile::mine;
    const index_t b = p.x.rows;
    const int t = th.thread();
    const detail::InfoNceRectangle& block = shared.block;
    if (t == 0) shared.block = detail::info_nce_rectangle<T>(th.block(), b, p.ranges);
    th.sync();
    const index_t last_slice = Short ? 0 : (p.x.cols - 1) / Tile::slice * Tile::slice;
    T* const x = shared.operands.x;
    T* const y = shared.operands.y;

    for (index_t row_tile = block.first_row; row_tile < block.end_row; ++row_tile) {
      const index_t a0 = row_tile * Tile::rows;
      T dx[mine][mine] = {};  // of all columns so far where d is short
      for (index_t col_tile = block.first_col; col_tile < block.end_col; ++col_tile) {
        const index_t c0 = col_tile * Tile::cols;
        T s[mine][mine] = {};
        for (index_t k = 0; k <= last_slice; k += Tile::slice) {
          th.sync();
          if (!Short || col_tile == block.first_col) detail::load_slice<Tile::rows>(th, p.x, a0, k, p.scale, x);
          detail::load_slice<Tile::cols>(th, p.y, c0, k, T{1}, y);
          th.sync();
          Tile::multiply_rows(t, x, y, s);
        }
        store_weights(th, p, a0, c0, s, shared.weights);
        th.sync();
        for (index_t k = last_slice; k >= 0; k -= Tile::slice) {  // the last slice is there already
          if (!Short && k != last_slice) {
            th.sync();
            detail::load_slice<Tile::rows>(th, p.x, a0, k, p.scale, x);
            detail::load_slice<Tile::cols>(th, p.y, c0, k, T{1}, y);
            th.sync();
          }
          if constexpr (Short) {
            Tile::weigh_cols(t, shared.weights, y, dx);
          } else {
            T part[mine][mine] = {};
            Tile::weigh_cols(t, shared.weights, y, part);
            store_dx(th, p, a0, k, col_tile != block.first_col, part, p.dx_parts, block.col_range);
          }
          T part[Tile::vector][mine] = {};
          Tile::weigh_rows(t, shared.weights, x, part);
          DREAM_UNROLL
          for (int u = 0; u < Tile::vector; ++u)
            store_row(th, p, c0 + Tile::first_weighed_row(t) + u, k, row_tile != block.first_row, part[u], p.dy_parts,
                      block.row_range);
        }
      }
      if constexpr (Short) store_dx(th, p, a0, 0, false, dx, p.dx_parts, block.col_range);
    }
  }

 private:
  template <class Thread>
  DREAM_HOST_DEVICE static void store_weights(const Thread& th, const Params& p, index_t a0, index_t c0,
                                              const T (&s)[Tile::mine][Tile::mine], T* weights) {
    using std::exp2;
    const int t = th.thread();
    const index_t rows_here = p.x.rows - a0, cols_here = p.x.rows - c0;
    T log_cols[Tile::mine] = {};
    if constexpr (Both) {
      DREAM_UNROLL
      for (int j = 0; j < Tile::mine; ++j)
        if (Tile::col(t, j) < cols_here) log_cols[j] = th.load_readonly(p.log_cols + c0 + Tile::col(t, j));
    }
    DREAM_UNROLL
    for (int i = 0; i < Tile::mine; ++i) {
      const int row = Tile::row(t, i);
      const T log_row = row < rows_here ? th.load_readonly(p.log_rows + a0 + row) : T{0};
      DREAM_UNROLL
      for (int j = 0; j < Tile::mine; ++j) {
        const int col = Tile::col(t, j);
        T g = exp2(s[i][j] - log_row);
        if constexpr (Both) g += exp2(s[i][j] - log_cols[j]);
        if (a0 + row == c0 + col) g -= Both ? T{2} : T{1};
        weights[Tile::weight(row, col - col % Tile::vector) + col % Tile::vector] =
            row < rows_here && col < cols_here ? g : T{0};
      }
    }
  }
  template <class Thread>
  DREAM_HOST_DEVICE static void store_dx(const Thread& th, const Params& p, index_t a0, index_t k, bool add,
                                         const T (&values)[Tile::mine][Tile::mine], T* parts, index_t part) {
    DREAM_UNROLL
    for (int i = 0; i < Tile::mine; ++i)
      store_row(th, p, a0 + Tile::row(th.thread(), i), k, add, values[i], parts, part);
  }
  template <class Thread>
  DREAM_HOST_DEVICE static void store_row(const Thread& th, const Params& p, index_t row, index_t k, bool add,
                                          const T (&values)[Tile::mine], T* parts, index_t part) {
    if (row >= p.x.rows) return;
    DREAM_UNROLL
    for (int q = 0; q < 2; ++q) {
      const index_t col = k + Tile::product_col(th.thread(), q);
      if (col >= p.part_stride) continue;
      auto* to = as_pack<Tile::vector>(parts + (std::int64_t{part} * p.x.rows + row) * p.part_stride + col);
      typename Tile::Vector sum{};
      if (add) sum = th.load(to);
      DREAM_UNROLL
      for (int v = 0; v < Tile::vector; ++v) sum[v] += values[q * Tile::vector + v];
      th.store(to, sum);
    }
  }
};

/// out = factor * (sum of the parts, in order) + beta * out, for dx and dy. A thread has 16 bytes of a part's row.
template <class T>
struct InfoNceAddParts {
  static constexpr int threads = 128;
  static constexpr int vector = detail::InfoNceTile<T>::vector;
  struct Sum {
    const T* parts;
    index_t count;
    T factor, beta;
    MatrixView<T> out;
  };
  struct Params {
    Sum dx, dy;
    std::int64_t part_stride;
  };
  struct Shared {};
  static int grid(const Params& p) { return 2 * static_cast<int>((vectors(p) + threads - 1) / threads); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const int half = th.grid_blocks() / 2;
    const Sum& sum = th.block() < half ? p.dx : p.dy;
    const std::int64_t i = std::int64_t{th.block() % half} * threads + th.thread();
    if (i >= vectors(p)) return;
    const std::int64_t part = sum.out.rows * p.part_stride;
    Pack<T, vector> total{};
    for (index_t n = 0; n < sum.count; ++n) {
      const auto values = th.load_readonly(as_pack<vector>(sum.parts + n * part + i * vector));
      DREAM_UNROLL
      for (int v = 0; v < vector; ++v) total[v] += values[v];
    }
    const std::int64_t row = i * vector / p.part_stride, col = i * vector % p.part_stride;
    T* out = sum.out.data + row * sum.out.stride + col;
    const int valid = sum.out.cols - col < vector ? static_cast<int>(sum.out.cols - col) : vector;
    DREAM_UNROLL
    for (int v = 0; v < vector; ++v)
      if (v < valid) out[v] = sum.factor * total[v] + (sum.beta == T{0} ? T{0} : sum.beta * out[v]);
  }

 private:
  DREAM_HOST_DEVICE static std::int64_t vectors(const Params& p) { return p.dx.out.rows * p.part_stride / vector; }
};

/// The loss and, where dx and dy have data, its gradients.
template <class T>
struct InfoNceArguments {
  MatrixView<const T> x, y;  ///< b x d, rows of length 1 or 0
  T temperature = T(0.2);
  bool both = false;     ///< the mean of both directions, rather than rows of x among those of y alone
  T weight = T{1};       ///< times the loss and its gradients
  T* loss = nullptr;     ///< one value on the device; 0 where b is 0
  MatrixView<T> dx, dy;  ///< both or neither: beta * what is there + the gradient
  T beta_x = T{0}, beta_y = T{0};
  T* workspace = nullptr;  ///< info_nce_workspace() values, from a multiple of 16 bytes
  InfoNceRanges ranges;    ///< 0: info_nce_ranges()
};

/// How the similarities of b rows are cut unless asked otherwise: up to 16 x 32, no range without a tile.
template <class T>
InfoNceRanges info_nce_ranges(index_t b) {
  using Tile = detail::InfoNceTile<T>;
  return {std::min<index_t>(16, Tile::tiles_of(b, Tile::rows)), std::min<index_t>(32, Tile::tiles_of(b, Tile::cols))};
}

namespace detail {

/// Where things lie in the workspace of info_nce().
template <class T>
struct InfoNceWorkspace {
  InfoNceRanges ranges;
  std::int64_t part_stride = 0;
  T *dx_parts = nullptr, *dy_parts = nullptr;
  PowerSums<T> rows, cols;
  T *log_rows = nullptr, *log_cols = nullptr, *diagonal = nullptr;
  std::int64_t size = 0;

  InfoNceWorkspace(index_t b, index_t d, bool both, bool gradients, InfoNceRanges asked, T* data) {
    using Tile = InfoNceTile<T>;
    const InfoNceRanges usual = info_nce_ranges<T>(b);
    ranges.rows = asked.rows == 0 ? usual.rows : std::min<index_t>(asked.rows, Tile::tiles_of(b, Tile::rows));
    ranges.cols = asked.cols == 0 ? usual.cols : std::min<index_t>(asked.cols, Tile::tiles_of(b, Tile::cols));
    part_stride = (std::int64_t{d} + Tile::vector - 1) / Tile::vector * Tile::vector;
    const auto take = [&](std::int64_t values) {
      T* at = data == nullptr ? nullptr : data + size;
      size += values;
      return at;
    };
    if (gradients) {
      dx_parts = take(ranges.cols * part_stride * b);
      dy_parts = take(ranges.rows * part_stride * b);
    }
    const auto sums = [&](index_t count) {
      T* max = take(std::int64_t{count} * b);
      return PowerSums<T>{max, take(std::int64_t{count} * b), count, b};
    };
    rows = sums(ranges.cols);
    cols = sums(both ? ranges.rows : 0);
    log_rows = take(b);
    log_cols = take(both ? b : 0);
    diagonal = take(b);
  }
};

template <bool Both, class Context, class T>
void info_nce(Context& context, const InfoNceArguments<T>& a, const InfoNceWorkspace<T>& w) {
  const index_t b = a.x.rows;
  constexpr double log2_of_e = 1.4426950408889634;
  const double tau = static_cast<double>(a.temperature);
  const double share = static_cast<double>(a.weight) * (Both ? 0.5 : 1.0) / std::max<index_t>(b, 1);
  const T scale = static_cast<T>(log2_of_e / tau);
  launch<InfoNceSums<T, Both>>(context, {a.x, a.y, scale, w.ranges, w.rows, w.cols, w.diagonal});
  launch<InfoNceLogSums<T>>(context, {w.rows, w.cols, w.log_rows, w.log_cols});
  launch<InfoNceLoss<T>>(context, {{w.log_rows, b}, {w.log_cols, Both ? b : 0}, w.diagonal, share / log2_of_e, a.loss});
  if (w.dx_parts == nullptr) return;
  const auto gradient = [&]<bool Short>(std::bool_constant<Short>) {
    launch<InfoNceGradient<T, Both, Short>>(
        context, {a.x, a.y, scale, w.ranges, w.log_rows, w.log_cols, w.dx_parts, w.dy_parts, w.part_stride});
  };
  if (a.x.cols <= InfoNceTile<T>::slice)
    gradient(std::true_type{});
  else
    gradient(std::false_type{});
  launch<InfoNceAddParts<T>>(
      context, {{w.dx_parts, w.ranges.cols, static_cast<T>(share / tau), a.beta_x, a.dx},
                {w.dy_parts, w.ranges.rows, static_cast<T>(share / tau / static_cast<double>(scale)), a.beta_y, a.dy},
                w.part_stride});
}

}  // namespace detail

/// How many values info_nce() needs: about (16 + 32) b d with gradients, (16 + 32) 2 b more in any case.
template <class T>
std::int64_t info_nce_workspace(index_t b, index_t d, bool both, bool gradients = true, InfoNceRanges ranges = {}) {
  return detail::InfoNceWorkspace<T>(b, d, both, gradients, ranges, nullptr).size;
}

/// The loss in three launches; with the gradients five.
template <class Context, class T>
void info_nce(Context& context, const InfoNceArguments<T>& a) {
  const bool gradients = a.dx.data != nullptr && !a.x.empty();
  const detail::InfoNceWorkspace<T> w(a.x.rows, a.x.cols, a.both, gradients, a.ranges, a.workspace);
  if (a.both)
    detail::info_nce<true>(context, a, w);
  else
    detail::info_nce<false>(context, a, w);
}

}  // namespace dream::kernels

#undef DREAM_INFO_NCE_COPIES
