// Adam (Kingma and Ba, ICLR 2015), with g the gradient and t the step from 1:
//
//   m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  p -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
//
//   AdvanceAdam          the next t and the scalars of its step, in double, all in device memory: a captured CUDA graph
//                        takes a further step each time it is replayed
//   AdamUpdate           over a flat buffer, elementwise: 28 bytes a float (p, g, m, v read; p, m, v written)
//   AdamUpdateFactored   g = left right^T of a matrix, a tile of it multiplied out in registers right where it is used:
//                        24 bytes a float, and never a gradient in memory
//
// Factored: 2 k operations a float with k factors; for k = 64, 5.3 a byte, a third of what an H100 does in fp32 while
// its memory moves a byte. So the tile needs a good half of the peak rate at most, and memory is the bound. A block has
// 64 x 64 of the matrix (64 x 32 in double), a thread 4 rows x a pack of columns, its operands pass through shared
// memory 16 factors at a time. Sums run over the factors in ascending order wherever an element stands.
#pragma once

#include <cmath>
#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

/// What a step of Adam needs of its number and options; in device memory.
template <class T>
struct AdamScalars {
  T beta1, beta2, epsilon;
  T step_size;        ///< lr / (1 - b1^t)
  T root_correction;  ///< 1 / sqrt(1 - b2^t)
  std::int32_t skip;  ///< not 0: the step changes nothing

  DREAM_HOST_DEVICE void update(T& p, T g, T& m, T& v) const {
    using std::sqrt;
    m = beta1 * m + (T{1} - beta1) * g;
    v = beta2 * v + (T{1} - beta2) * g * g;
    p -= step_size * m / (sqrt(v) * root_correction + epsilon);
  }
};

/// *steps += 1, and the scalars of that step. Where *stop is not negative the step is skipped and not counted. One
/// thread.
template <class T>
struct AdvanceAdam {
  static constexpr int threads = 1;
  struct Params {
    double beta1, beta2, epsilon;
    const double* learning_rate;
    std::int64_t* steps;       ///< done so far
    const std::int32_t* stop;  ///< none: never
    AdamScalars<T>* scalars;
  };
  struct Shared {};
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    using std::pow;
    using std::sqrt;
    if (p.stop != nullptr && th.load_readonly(p.stop) >= 0) {
      th.store(&p.scalars->skip, 1);
      return;
    }
    const std::int64_t step = th.load(p.steps) + 1;
    const double t = static_cast<double>(step);
    th.store(p.steps, step);
    p.scalars->beta1 = static_cast<T>(p.beta1);
    p.scalars->beta2 = static_cast<T>(p.beta2);
    p.scalars->epsilon = static_cast<T>(p.epsilon);
    p.scalars->step_size = static_cast<T>(th.load_readonly(p.learning_rate) / (1 - pow(p.beta1, t)));
    p.scalars->root_correction = static_cast<T>(1 / sqrt(1 - pow(p.beta2, t)));
    p.scalars->skip = 0;
  }
};

/// p, m and v of one step, from the gradient g; all of one size.
template <class T>
struct AdamUpdate {
  static constexpr int threads = Sweep::threads;
  struct Params {
    const AdamScalars<T>* scalars;
    VectorView<const T> g;
    VectorView<T> p, m, v;
  };
  struct Shared {};
  DREAM_HOST_DEVICE static Sweep sweep(const Params& p) { return Sweep::flat(p.p, p.g, p.m, p.v); }
  static int grid(const Params& p) { return sweep(p).template grid<T>(); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& a, Shared&) const {
    const AdamScalars<T> scalars = *a.scalars;
    if (scalars.skip != 0) return;
    sweep_elements<T>(th, sweep(a), [&]<int N>(std::int64_t, std::int64_t i, Width<N>) {
      const Pack<T, N> g = th.load_readonly(as_pack<N>(a.g.data + i));
      Pack<T, N> p = read<N>(th, a.p.data + i), m = read<N>(th, a.m.data + i), v = read<N>(th, a.v.data + i);
      DREAM_UNROLL
      for (int k = 0; k < N; ++k) scalars.update(p[k], g[k], m[k], v[k]);
      write<N>(th, a.p.data + i, p);
      write<N>(th, a.m.data + i, m);
      write<N>(th, a.v.data + i, v);
    });
  }
};

/// The same for a matrix whose gradient is left right^T.
template <class T>
struct AdamUpdateFactored {
  static constexpr int threads = 256;
  static constexpr int width = pack_width<T>;
  static constexpr int side = 16;      ///< threads along a tile's rows and along its columns
  static constexpr int rows_each = 4;  ///< of a thread
  static constexpr int tile_rows = side * rows_each, tile_cols = side * width;
  static constexpr int slice = 16;  ///< factors at a time
  static constexpr int gap = 4;     ///< between rows of shared memory: keeps loads aligned, spreads stores
  struct Params {
    const AdamScalars<T>* scalars;
    MatrixView<const T> left, right;  ///< rows x k, cols x k
    MatrixView<T> p, m, v;            ///< rows x cols
  };
  struct alignas(16) Shared {
    T left[slice][tile_rows + gap];
    T right[slice][tile_cols + gap];
  };
  DREAM_HOST_DEVICE static std::int64_t tiles_across(const Params& a) {
    return (std::int64_t{a.p.cols} + tile_cols - 1) / tile_cols;
  }
  DREAM_HOST_DEVICE static std::int64_t tiles(const Params& a) {
    return (std::int64_t{a.p.rows} + tile_rows - 1) / tile_rows * tiles_across(a);
  }
  static int grid(const Params& a) {
    constexpr std::int64_t most = 1 << 20;
    return static_cast<int>(tiles(a) < most ? tiles(a) : most);
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& a, Shared& shared) const {
    const AdamScalars<T> scalars = *a.scalars;
    if (scalars.skip != 0) return;
    const bool packs = takes_packs(a.p) && takes_packs(a.m) && takes_packs(a.v);
    const bool packs_left = takes_packs(a.left), packs_right = takes_packs(a.right);
    const int y = th.thread() / side, x = th.thread() % side;
    DREAM_KEEP_LOOP
    for (std::int64_t tile = th.block(); tile < tiles(a); tile += th.grid_blocks()) {
      const std::int64_t first_row = tile / tiles_across(a) * tile_rows;
      const std::int64_t first_col = tile % tiles_across(a) * tile_cols;
      Pack<T, width> g[rows_each] = {};
      DREAM_KEEP_LOOP
      for (index_t k = 0; k < a.left.cols; k += slice) {
        load_slice(th, a.left, first_row, k, packs_left, shared.left);
        load_slice(th, a.right, first_col, k, packs_right, shared.right);
        th.sync();
        multiply(th, shared, y, x, g);
        th.sync();
      }
      DREAM_UNROLL
      for (int i = 0; i < rows_each; ++i) {
        const std::int64_t row = first_row + y * rows_each + i;
        if (row >= a.p.rows) break;
        update(th, a, scalars, packs, row, first_col + x * width, g[i]);
      }
    }
  }

 private:
  /// to[k][r] = rows of `from`, `slice` of their columns; zeros beyond its end. Neighbouring threads load neighbours.
  template <int Stride, class Thread>
  DREAM_HOST_DEVICE static void load_slice(const Thread& th, const MatrixView<const T>& from, std::int64_t first_row,
                                           index_t first_col, bool packs, T (&to)[slice][Stride]) {
    constexpr int packs_of_slice = slice / width, count = (Stride - gap) * packs_of_slice;
    static_assert(count % threads == 0);
    DREAM_UNROLL
    for (int n = 0; n < count / threads; ++n) {
      const int r = (n * threads + th.thread()) / packs_of_slice;
      const int k = (n * threads + th.thread()) % packs_of_slice * width;
      const std::int64_t row = first_row + r;
      Pack<T, width> values{};
      if (row < from.rows) {
        const T* at = element(from, row, std::int64_t{first_col} + k);
        if (packs && k + width <= from.cols - first_col) {
          values = th.load_readonly(as_pack<width>(at));
        } else {
          DREAM_UNROLL
          for (int j = 0; j < width; ++j)
            if (k + j < from.cols - first_col) values[j] = th.load_readonly(at + j);
        }
      }
      DREAM_UNROLL
      for (int j = 0; j < width; ++j) to[k + j][r] = values[j];
    }
  }

  /// g += the slice's part of the products.
  template <class Thread>
  DREAM_HOST_DEVICE static void multiply(const Thread& th, const Shared& shared, int y, int x,
                                         Pack<T, width> (&g)[rows_each]) {
    constexpr int left_packs = rows_each / width;
    DREAM_KEEP_LOOP
    for (int k = 0; k < slice; ++k) {
      Pack<T, width> left[left_packs];
      DREAM_UNROLL
      for (int i = 0; i < left_packs; ++i)
        left[i] = th.load(as_pack<width>(&shared.left[k][y * rows_each + i * width]));
      const Pack<T, width> right = th.load(as_pack<width>(&shared.right[k][x * width]));
      DREAM_UNROLL
      for (int i = 0; i < rows_each; ++i) {
        DREAM_UNROLL
        for (int j = 0; j < width; ++j) g[i][j] += left[i / width][i % width] * right[j];
      }
    }
  }

  template <class Thread>
  DREAM_HOST_DEVICE static void update(const Thread& th, const Params& a, const AdamScalars<T>& scalars, bool packs,
                                       std::int64_t row, std::int64_t col, const Pack<T, width>& g) {
    T *p = element(a.p, row, col), *m = element(a.m, row, col), *v = element(a.v, row, col);
    if (packs && col + width <= a.p.cols) {
      update_values<width>(th, scalars, p, m, v, g);
    } else {
      DREAM_UNROLL
      for (int j = 0; j < width; ++j)
        if (col + j < a.p.cols) update_values<1>(th, scalars, p + j, m + j, v + j, Pack<T, 1>{{g[j]}});
    }
  }
  template <int N, class Thread>
  DREAM_HOST_DEVICE static void update_values(const Thread& th, const AdamScalars<T>& scalars, T* p, T* m, T* v,
                                              const Pack<T, N>& g) {
    Pack<T, N> new_p = read<N>(th, p), new_m = read<N>(th, m), new_v = read<N>(th, v);
    DREAM_UNROLL
    for (int k = 0; k < N; ++k) scalars.update(new_p[k], g[k], new_m[k], new_v[k]);
    write<N>(th, p, new_p);
    write<N>(th, m, new_m);
    write<N>(th, v, new_v);
  }
};

}  // namespace dream::kernels
