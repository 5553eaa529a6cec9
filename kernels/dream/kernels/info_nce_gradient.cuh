// The second pass of InfoNCE (contrastive_alignment.cuh) over the similarities: its gradients.
//
// A tile's G goes to shared memory, from where both products read it: dX of a tile's rows stays in registers while the
// columns pass by (d <= 64), dY is added to the block's own part.
#pragma once

#include <cmath>
#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/info_nce_tile.cuh>
#include <dream/kernels/row_access.cuh>

namespace dream::kernels {

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
    for (index_t n = 0; n < sum.count; ++n) add_values<vector>(th, sum.parts + n * part + i * vector, total);
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

}  // namespace dream::kernels
