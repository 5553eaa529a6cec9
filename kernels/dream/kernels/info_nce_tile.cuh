// Tiles of the similarities of InfoNCE (contrastive_alignment.cuh), and the products of order b^2 d on them.
//
// A block of 128 threads has tiles of 128 x 64 (64 x 32 in double), 8 x 8 a thread, of a rectangle of them. X is scaled
// by log2(e) / tau on its way into shared memory, so that S comes out of the product in units of exp2.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_access.cuh>

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
  static constexpr int vector = pack_width<T>;  ///< values in one load
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
  const bool whole = m.stride % vector == 0 && begins_pack(m.data) && first_col + Tile::slice <= m.cols;
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

}  // namespace dream::kernels

#undef DREAM_INFO_NCE_COPIES
