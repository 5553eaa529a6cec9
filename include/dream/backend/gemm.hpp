// Dense matrix products on the host: C = alpha op(A) op(B) + beta C.
//
// Recommenders multiply tall matrices by narrow ones (7050 x 4096 by 4096 x 64), which general libraries, tuned for
// square shapes, run well below the machine's rate. One register tile serves all cases: `tile_rows` rows of C times
// `tile_vectors` SIMD vectors; each step broadcasts one column of A and multiplies it with one row of B. A narrow
// row-major B already is in the order the tile reads it in, so the common product copies nothing.
//
// Every element of C is summed over k in the same order whatever the blocking, the position in the matrix and the
// number of threads: equal rows give equal results, and results repeat to the bit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include <dream/backend/context.hpp>
#include <dream/core/view.hpp>

#if defined(__CUDACC__)  // hands the pragmas for GCC on, but warns of them
#pragma nv_diagnostic push
#pragma nv_diag_suppress 1675
#endif

namespace dream {

/// How a matrix enters a product.
enum class Op { none, transpose };

inline namespace DREAM_INSTRUCTION_SET {
namespace cpu {

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
inline constexpr int tile_rows = 6, tile_vectors = 4;
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32;
inline constexpr int tile_rows = 6, tile_vectors = 2;
#else
inline constexpr int vector_bytes = 16;
inline constexpr int tile_rows = 6, tile_vectors = 2;
#endif

/// A SIMD vector of T that may be loaded from any address aligned to T.
template <class T, int Bytes = vector_bytes>
struct Simd {
  typedef T type __attribute__((vector_size(Bytes)));
  typedef T loose __attribute__((vector_size(Bytes), aligned(alignof(T)), may_alias));
  static constexpr int width = Bytes / static_cast<int>(sizeof(T));
};

/// Columns of C that one register tile covers.
template <class T>
inline constexpr int tile_cols = tile_vectors* Simd<T>::width;

/// Element (i, j) at data[i * row_stride + j * col_stride].
template <class T>
struct Strided {
  const T* data;
  std::int64_t row_stride;
  std::int64_t col_stride;
};

namespace detail {

/// C[Rows x tile_cols] = alpha * A[Rows x k] B[k x tile_cols] + beta * C.
template <class T, int Rows>
inline void gemm_tile(index_t k, T alpha, Strided<T> a, const T* b, std::int64_t b_stride, T beta, T* c,
                      std::int64_t c_stride) {
  using V = typename Simd<T>::type;
  using Loose = typename Simd<T>::loose;
  constexpr int width = Simd<T>::width;
  V sum[Rows][tile_vectors] = {};
  for (index_t p = 0; p < k; ++p) {
    const T* bp = b + p * b_stride;
    const T* ap = a.data + p * a.col_stride;
    V bv[tile_vectors];
#pragma GCC unroll 4
    for (int v = 0; v < tile_vectors; ++v) bv[v] = *reinterpret_cast<const Loose*>(bp + v * width);
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
      const T s = ap[i * a.row_stride];
#pragma GCC unroll 4
      for (int v = 0; v < tile_vectors; ++v) sum[i][v] += s * bv[v];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < tile_vectors; ++v) {
      Loose* out = reinterpret_cast<Loose*>(c + i * c_stride + v * width);
      *out = beta == T{0} ? alpha * sum[i][v] : alpha * sum[i][v] + beta * *out;
    }
  }
}

template <class T>
inline void gemm_tile_rows(index_t rows, index_t k, T alpha, Strided<T> a, const T* b, std::int64_t b_stride, T beta,
                           T* c, std::int64_t c_stride) {
  switch (rows) {
    case 6:
      return gemm_tile<T, 6>(k, alpha, a, b, b_stride, beta, c, c_stride);
    case 5:
      return gemm_tile<T, 5>(k, alpha, a, b, b_stride, beta, c, c_stride);
    case 4:
      return gemm_tile<T, 4>(k, alpha, a, b, b_stride, beta, c, c_stride);
    case 3:
      return gemm_tile<T, 3>(k, alpha, a, b, b_stride, beta, c, c_stride);
    case 2:
      return gemm_tile<T, 2>(k, alpha, a, b, b_stride, beta, c, c_stride);
    default:
      return gemm_tile<T, 1>(k, alpha, a, b, b_stride, beta, c, c_stride);
  }
}

/// Copies B[k x cols] into k rows of tile_cols values, zero beyond cols.
template <class T>
inline void pack_columns(index_t k, index_t cols, Strided<T> b, T* packed) {
  constexpr int width = tile_cols<T>;
  if (b.col_stride == 1) {
    for (index_t p = 0; p < k; ++p) {
      std::copy_n(b.data + p * b.row_stride, cols, packed + std::int64_t{p} * width);
      std::fill(packed + std::int64_t{p} * width + cols, packed + std::int64_t{p + 1} * width, T{0});
    }
    return;
  }
  constexpr index_t strip = 16;  // a strip of the source stays in cache while it is turned
  for (index_t p0 = 0; p0 < k; p0 += strip) {
    const index_t p1 = std::min(k, p0 + strip);
    for (index_t j = 0; j < cols; ++j) {
      const T* from = b.data + j * b.col_stride;
      for (index_t p = p0; p < p1; ++p) packed[std::int64_t{p} * width + j] = from[p * b.row_stride];
    }
    for (index_t p = p0; p < p1; ++p)
      std::fill(packed + std::int64_t{p} * width + cols, packed + std::int64_t{p + 1} * width, T{0});
  }
}

}  // namespace detail

/// C (m x n) = alpha A (m x k) B (k x n) + beta C on the calling thread. C is not read when beta is 0; with k = 0 it is
/// only scaled. Uses scratch slots 0 to 2. Call it from inside parallel_for, one piece of C a call.
template <class T>
void gemm_block(Context<Cpu>& context, index_t m, index_t n, index_t k, T alpha, Strided<T> a, Strided<T> b, T beta,
                T* c, std::int64_t c_stride) {
  constexpr index_t k_block = 16384 / sizeof(T) / 8;  // 512 floats: a packed panel of B stays in the L2 cache
  constexpr index_t m_block = 20 * tile_rows;
  constexpr index_t cols = tile_cols<T>;
  if (k == 0) {
    for (index_t i = 0; i < m; ++i)
      for (index_t j = 0; j < n; ++j) c[i * c_stride + j] = beta == T{0} ? T{0} : beta * c[i * c_stride + j];
    return;
  }
  const bool direct = b.col_stride == 1;
  const index_t panels = (n + cols - 1) / cols;
  for (index_t p0 = 0; p0 < k; p0 += k_block) {
    const index_t kb = std::min(k_block, k - p0);
    const T block_beta = p0 == 0 ? beta : T{1};
    T* packed_b = nullptr;
    const index_t first_packed = direct ? n / cols : 0;  // panels before this one are read in place
    if (first_packed < panels) {
      packed_b = context.scratch<T>(0, std::int64_t{panels - first_packed} * cols * kb);
      for (index_t q = first_packed; q < panels; ++q) {
        const Strided<T> from{b.data + p0 * b.row_stride + std::int64_t{q} * cols * b.col_stride, b.row_stride,
                              b.col_stride};
        detail::pack_columns(kb, std::min(cols, n - q * cols), from,
                             packed_b + std::int64_t{q - first_packed} * cols * kb);
      }
    }
    for (index_t i0 = 0; i0 < m; i0 += m_block) {
      const index_t mb = std::min(m_block, m - i0);
      Strided<T> ab{a.data + i0 * a.row_stride + p0 * a.col_stride, a.row_stride, a.col_stride};
      if (a.col_stride != 1) {
        // A enters transposed: bring the block together, away from power-of-two strides that share cache sets.
        T* packed_a = context.scratch<T>(1, std::int64_t{m_block} * k_block);
        for (index_t p = 0; p < kb; ++p) {
          const T* from = ab.data + p * ab.col_stride;
          T* to = packed_a + std::int64_t{p} * m_block;
          if (ab.row_stride == 1) {
            std::copy_n(from, mb, to);
          } else {
            for (index_t i = 0; i < mb; ++i) to[i] = from[i * ab.row_stride];
          }
        }
        ab = {packed_a, 1, m_block};
      }
      for (index_t q = 0; q < panels; ++q) {
        const bool packed = q >= first_packed;
        const T* bq = packed ? packed_b + std::int64_t{q - first_packed} * cols * kb
                             : b.data + p0 * b.row_stride + std::int64_t{q} * cols;
        const std::int64_t bq_stride = packed ? cols : b.row_stride;
        const index_t width = std::min(cols, n - q * cols);
        for (index_t i = 0; i < mb; i += tile_rows) {
          const index_t rows = std::min<index_t>(tile_rows, mb - i);
          const Strided<T> at{ab.data + i * ab.row_stride, ab.row_stride, ab.col_stride};
          T* ct = c + (i0 + i) * c_stride + std::int64_t{q} * cols;
          if (width == cols) {
            detail::gemm_tile_rows(rows, kb, alpha, at, bq, bq_stride, block_beta, ct, c_stride);
            continue;
          }
          T* edge = context.scratch<T>(2, std::int64_t{tile_rows} * cols);
          for (index_t r = 0; r < rows; ++r) {
            if (block_beta != T{0}) std::copy_n(ct + r * c_stride, width, edge + std::int64_t{r} * cols);
            std::fill(edge + std::int64_t{r} * cols + (block_beta != T{0} ? width : 0),
                      edge + std::int64_t{r + 1} * cols, T{0});
          }
          detail::gemm_tile_rows(rows, kb, alpha, at, bq, bq_stride, block_beta, edge, cols);
          for (index_t r = 0; r < rows; ++r) std::copy_n(edge + std::int64_t{r} * cols, width, ct + r * c_stride);
        }
      }
    }
  }
}

}  // namespace cpu
}  // namespace DREAM_INSTRUCTION_SET

/// The sizes of a product: C is m x n, a sum of k terms.
struct ProductSizes {
  index_t m, n, k;
};
/// Those of C = op(A) op(B). Shapes that do not fit are an error.
template <class T>
ProductSizes expect_product_shapes(Op op_a, Op op_b, MatrixView<const T> a, MatrixView<const T> b, MatrixView<T> c) {
  const index_t m = op_a == Op::none ? a.rows : a.cols, k = op_a == Op::none ? a.cols : a.rows;
  const index_t kb = op_b == Op::none ? b.rows : b.cols, n = op_b == Op::none ? b.cols : b.rows;
  DREAM_EXPECT(k == kb && c.rows == m && c.cols == n, "gemm: op(A) is ", m, " x ", k, ", op(B) is ", kb, " x ", n,
               ", C is ", shape(c));
  return {m, n, k};
}

/// C = alpha op(A) op(B) + beta C. C is not read when beta is 0 and must not overlap A or B.
template <class T>
void gemm(Context<Cpu>& context, Op op_a, Op op_b, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
          MatrixView<T> c) {
  const ProductSizes sizes = expect_product_shapes(op_a, op_b, a, b, c);
  const index_t m = sizes.m, n = sizes.n, k = sizes.k;
  const cpu::Strided<T> as =
      op_a == Op::none ? cpu::Strided<T>{a.data, a.stride, 1} : cpu::Strided<T>{a.data, 1, a.stride};
  const cpu::Strided<T> bs =
      op_b == Op::none ? cpu::Strided<T>{b.data, b.stride, 1} : cpu::Strided<T>{b.data, 1, b.stride};

  // Small C, long sums: cut k into fixed pieces and add the partial products in order.
  constexpr index_t k_piece = 1024;
  if (std::int64_t{m} * n <= 128 * 128 && k > 2 * k_piece) {
    const index_t pieces = (k + k_piece - 1) / k_piece;
    T* partial = context.scratch<T>(3, std::int64_t{pieces} * m * n);
    context.parallel_for(pieces, [&](std::int64_t piece) {
      const index_t p = static_cast<index_t>(piece) * k_piece;
      cpu::gemm_block<T>(context, m, n, std::min(k_piece, k - p), T{1},
                         {as.data + p * as.col_stride, as.row_stride, as.col_stride},
                         {bs.data + p * bs.row_stride, bs.row_stride, bs.col_stride}, T{0}, partial + piece * m * n, n);
    });
    for (index_t i = 0; i < m; ++i)
      for (index_t j = 0; j < n; ++j) {
        T sum = 0;
        for (index_t piece = 0; piece < pieces; ++piece) sum += partial[(std::int64_t{piece} * m + i) * n + j];
        c(i, j) = beta == T{0} ? alpha * sum : alpha * sum + beta * c(i, j);
      }
    return;
  }

  // A transposed B is packed anew for every piece of C, which taller pieces make up for.
  const index_t m_piece = (op_b == Op::none ? 20 : 60) * cpu::tile_rows,
                n_piece = n <= 256 ? std::max<index_t>(n, 1) : 256;
  const index_t rows = (m + m_piece - 1) / m_piece, columns = (n + n_piece - 1) / n_piece;
  context.parallel_for(std::int64_t{rows} * columns, [&](std::int64_t piece) {
    const index_t i = static_cast<index_t>(piece / columns) * m_piece;
    const index_t j = static_cast<index_t>(piece % columns) * n_piece;
    cpu::gemm_block<T>(context, std::min(m_piece, m - i), std::min(n_piece, n - j), k, alpha,
                       {as.data + i * as.row_stride, as.row_stride, as.col_stride},
                       {bs.data + j * bs.col_stride, bs.row_stride, bs.col_stride}, beta, c.row(i) + j, c.stride);
  });
}

}  // namespace dream

#if defined(__CUDACC__)
#pragma nv_diagnostic pop
#endif
