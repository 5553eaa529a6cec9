// S3: the similarities within a batch of b rows follow those of the raw features.
//
//   forward    L = (1/b^2) |A A^T - C C^T|^2, root: the square root of it,  A: b x d, C = normalised rows of the
//   features
//              |A A^T - C C^T|^2 = |A^T A|^2 - 2 |C^T A|^2 + |C C^T|^2
//   backward   dA = slope (A (A^T A) - C (C^T A)),  slope = 4 / b^2, root: 2 / (b^2 L)
//
// This trace form, and not tiles of the b x b similarities recomputed as they are needed, because those cost
// 2 b^2 (d + d_m) operations forward and as many and more backward, where C^T A and its use cost 4 b d d_m: for b =
// 8192, d = 64, d_m = 4096 a hundredth. Memory is O((b + d) d_m) too. The products are dense and narrow: the caller's
// library does them (C^T A, A^T A, and A (A^T A) - C (C^T A) with factors 1 and -1); here is what stands around them:
//
//   GatherFeatures         C, or some rows of it, from features and inverse norms (features.cuh): 8 bytes a float
//   sampled_target_norm    |C C^T|^2: the diagonal exactly, the rest from 1024 random pairs, the same as on the host.
//                          A warp a pair, read from the raw rows: 8 bytes a feature and pair, 33 MB at d_m = 4096
//   combine_similarity     |A^T A|^2 and |C^T A|^2 (dot_products.cuh), then loss and slope on the device
//
// The exact |C C^T|^2 is dot_products over strips of a product, which add up with beta 1. The gradient is scaled by the
// slope with Axpby (dense.cuh) in its place. All sums are in double and in a fixed order.
#pragma once

#include <cmath>
#include <cstdint>

#include <dream/core/random.hpp>
#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/dot_products.cuh>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/features.cuh>
#include <dream/kernels/shapes.cuh>

namespace dream::kernels {

inline constexpr int target_norm_pairs = 1024;
inline constexpr int target_norm_blocks = 256;  ///< of one warp a pair, four pairs each

/// The rows of a batch among the features, and what addresses the random pairs.
template <class T>
struct SampledTargets {
  FeatureView<T> features;
  const T* inverse_norms;  ///< one a row of the features, 0 for rows that count as zero
  VectorView<const index_t> rows;
  std::uint64_t seed;
  std::uint32_t step;
  const std::uint32_t* step_at;  ///< where given, the step is read here, in device memory
};

/// Parts of the sampled |C C^T|^2: sums[2 i] of block i's pairs' squares, sums[2 i + 1] of its rows that are not zero.
template <class T>
struct SampledTargetNorm {
  static constexpr int threads = target_norm_pairs / target_norm_blocks * warp_lanes;
  static constexpr int width = pack_width<T>;
  struct Params {
    SampledTargets<T> targets;
    double* sums;  ///< 2 * target_norm_blocks
  };
  struct Shared {
    BlockScratch<double, threads> sums;
  };
  static int grid(const Params&) { return target_norm_blocks; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const SampledTargets<T>& t = p.targets;
    double present = 0;
    for (std::int64_t a = std::int64_t{th.block()} * threads + th.thread(); a < t.rows.size;
         a += std::int64_t{target_norm_blocks} * threads)
      present += inverse_norm(th, t, th.load_readonly(t.rows.data + a)) > T{0} ? 1.0 : 0.0;
    double square = 0;
    if (t.rows.size >= 2) {
      const double cosine = cosine_of_pair(th, t, th.block() * (threads / warp_lanes) + th.warp());
      square = th.lane() == 0 ? cosine * cosine : 0;
    }
    square = block_sum(th, square, shared.sums);
    present = block_sum(th, present, shared.sums);
    if (th.thread() != 0) return;
    th.store(p.sums + 2 * th.block(), square);
    th.store(p.sums + 2 * th.block() + 1, present);
  }

 private:
  DREAM_HOST_DEVICE static bool is_row(const SampledTargets<T>& t, index_t row) {
    return row >= 0 && row < t.features.rows;
  }
  /// NaN for a row that there is not.
  template <class Thread>
  DREAM_HOST_DEVICE static T inverse_norm(const Thread& th, const SampledTargets<T>& t, index_t row) {
    return is_row(t, row) ? th.load_readonly(t.inverse_norms + row) : row_not_there<T>;
  }

  template <class Thread>
  DREAM_HOST_DEVICE static double cosine_of_pair(const Thread& th, const SampledTargets<T>& t, int pair) {
    const RandomStream random{t.seed, RandomUse::estimate, t.step_at == nullptr ? t.step : th.load_readonly(t.step_at)};
    const std::uint64_t b = static_cast<std::uint64_t>(t.rows.size);
    const RandomBlock block = random.block(static_cast<std::uint64_t>(pair));
    const std::uint64_t i = to_below(block.low(), b);
    std::uint64_t k = to_below(block.high(), b - 1);
    k += k >= i ? 1 : 0;
    index_t row_x = th.load_readonly(t.rows.data + i), row_y = th.load_readonly(t.rows.data + k);
    const T norm_x = inverse_norm(th, t, row_x), norm_y = inverse_norm(th, t, row_y);
    if (!is_row(t, row_x)) row_x = 0;
    if (!is_row(t, row_y)) row_y = 0;
    const double sum = takes_packs(t.features) && t.features.cols % width == 0
                           ? part_of_product<width>(th, t.features, row_x, row_y, norm_x, norm_y)
                           : part_of_product<1>(th, t.features, row_x, row_y, norm_x, norm_y);
    return warp_sum(th, sum);
  }

  /// This lane's part of the product of two rows, N neighbouring values at a time.
  template <int N, class Thread>
  DREAM_HOST_DEVICE static double part_of_product(const Thread& th, const FeatureView<T>& features, index_t row_x,
                                                  index_t row_y, T norm_x, T norm_y) {
    double sum = 0;
    DREAM_KEEP_LOOP
    for (index_t col = th.lane() * N; col < features.cols; col += warp_lanes * N) {
      const Pack<T, N> v = read_features<N>(th, features, row_x, col), w = read_features<N>(th, features, row_y, col);
      // Scaled first: products of raw values may leave the range.
      DREAM_UNROLL
      for (int j = 0; j < N; ++j) sum += static_cast<double>(norm_x * v[j]) * static_cast<double>(norm_y * w[j]);
    }
    return sum;
  }
};

/// out = (rows that are not zero) + (mean square of the pairs) * b (b - 1).
struct SampledTargetNormFinish {
  static constexpr int threads = target_norm_blocks;
  struct Params {
    const double* sums;
    std::int64_t rows;  ///< b
    double* out;
  };
  struct Shared {
    BlockScratch<double, threads> sums;
  };
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const double squares = block_sum(th, th.load_readonly(p.sums + 2 * th.thread()), shared.sums);
    const double present = block_sum(th, th.load_readonly(p.sums + 2 * th.thread() + 1), shared.sums);
    const double b = static_cast<double>(p.rows), pairs = b < 2 ? 0 : b * (b - 1);
    if (th.thread() == 0) th.store(p.out, present + squares / target_norm_pairs * pairs);
  }
};

/// out = |C C^T|^2 of a batch, estimated without bias.
template <class T>
struct SampledTargetNormArguments {
  SampledTargets<T> targets;
  double* out;
  double* workspace;  ///< sampled_target_norm_workspace() values
};
inline std::int64_t sampled_target_norm_workspace() { return 2 * target_norm_blocks; }
template <class Context, class T>
void sampled_target_norm(Context& context, const SampledTargetNormArguments<T>& a) {
  launch<SampledTargetNorm<T>>(context, {a.targets, a.workspace});
  launch<SampledTargetNormFinish>(context, {a.workspace, a.targets.rows.size, a.out});
}

/// The loss, and what A (A^T A) - C (C^T A) times is its gradient. One thread.
template <class T>
struct CombineSimilarity {
  static constexpr int threads = 1;
  struct Params {
    const double* squares;   ///< |A^T A|^2, |C^T A|^2
    const double* constant;  ///< |C C^T|^2
    index_t rows;            ///< b
    bool root;
    T* loss;
    T* slope;
  };
  struct Shared {};
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    using std::sqrt;
    const double squares =
        th.load_readonly(p.squares) - 2 * th.load_readonly(p.squares + 1) + th.load_readonly(p.constant);
    const double b = static_cast<double>(p.rows);
    const double sum = squares < 0 ? 0 : squares;  // rounding and sampling can go below zero; NaN stays
    const double norm = sqrt(sum);
    double loss = p.root ? norm / b : sum / (b * b);
    double slope = p.root ? (sum == 0 ? 0 : 2 / (norm * b)) : 4 / (b * b);
    if (p.rows == 0) loss = slope = 0;
    th.store(p.loss, static_cast<T>(loss));
    th.store(p.slope, static_cast<T>(slope));
  }
};

/// Loss and slope from gram = A^T A, cross = C^T A and |C C^T|^2.
template <class T>
struct CombineSimilarityArguments {
  MatrixView<const T> gram, cross;
  const double* constant;
  index_t rows;  ///< b; none: the loss is 0
  bool root;
  T* loss;
  T* slope;
  double* workspace;  ///< combine_similarity_workspace() values
};
inline std::int64_t combine_similarity_workspace() { return 2 + dot_products_workspace(2); }
template <class Context, class T>
void combine_similarity(Context& context, const CombineSimilarityArguments<T>& a) {
  dot_products(context,
               DotProductsArguments<T>{{a.gram, a.cross}, {a.gram, a.cross}, 2, 0, a.workspace, a.workspace + 2});
  launch<CombineSimilarity<T>>(context, {a.workspace, a.constant, a.rows, a.root, a.loss, a.slope});
}

}  // namespace dream::kernels
