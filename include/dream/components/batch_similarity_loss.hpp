// Similarity supervised signal, S3 (docs/components.md, 3): within a batch P of b rows, the similarities of the modal
// representations follow those of the raw features.
//
//   L = (1/b^2) || A A^T - C C^T ||_F^2,   A = rows of H[P] (normalised or raw),  C = normalised rows of F[P], constant
//
// Multiplying out,  || A A^T - C C^T ||^2 = || A^T A ||^2 - 2 || C^T A ||^2 + || C C^T ||^2,  and
//   dA = (4/b^2) (A (A^T A) - C (C^T A)):
// with M = C^T A (d_m x d), no b x b matrix appears. Work is 4 b d_m d instead of 2 b^2 d_m operations (for a batch of
// 2048, d = 64: a sixteenth), memory O((b + d) d_m). The last term does not depend on the parameters and would cost the
// old price, so training may estimate it from random pairs, without bias; gradients are exact either way.
#pragma once

#include <cmath>

#include <dream/autograd/tape.hpp>
#include <dream/backend/features.hpp>
#include <dream/core/random.hpp>
#include <dream/kernels/batch_similarity_loss.cuh>
#include <dream/kernels/dot_products.cuh>
#include <dream/ops/dense.hpp>

namespace dream {

/// What stands on the left of S3: cosines of the representations, or their raw dot products.
enum class SimilarityForm { cosine, dot };

/// How the constant || C C^T ||^2 of S3's value is found. The root form needs it exact in its gradient too.
enum class TargetNorm { exact, sampled };

struct BatchSimilarityOptions {
  SimilarityForm form = SimilarityForm::cosine;
  bool root = false;  ///< || . ||_F / b instead of || . ||_F^2 / b^2, the form of AlignRec
  TargetNorm target_norm = TargetNorm::exact;
  std::uint64_t seed = 0;  ///< of the sampled pairs
};

/// The targets of S3 for one batch: row k of A belongs to row rows[k] of the features. `inverse_norms` are 1 / |row of
/// features|, 0 for zero rows. The sampled pairs vary with the step, read from `step_at` where that is given.
template <class T>
struct SimilarityTargets {
  FeatureView<T> features;  ///< rows x d_m
  VectorView<const T> inverse_norms;
  VectorView<const index_t> rows;
  std::uint32_t step = 0;
  const std::uint32_t* step_at = nullptr;  ///< in the backend's memory
};

/// Memory that S3 keeps between steps.
template <class T, class B>
struct SimilarityWorkspace {
  Matrix<T, B> gram, cross, strip;
  Matrix<T, B> target;    // of kernels, for some rows at a time; the host takes scratch memory
  Array<double, B> sums;  // of kernels: |A^T A|^2, |C^T A|^2, |C C^T|^2
  Array<T, B> slope;      // of kernels
};

/// S3 on one batch and one modality.  Input H[P] (b x d), result 1 x 1.
template <class T, class B>
class BatchSimilarityLoss {
 public:
  using Options = BatchSimilarityOptions;

  /// `features` (rows x d_m) are the targets' raw features and `inverse_norms` 1 / |row|, 0 for zero rows; both must
  /// outlive this.
  BatchSimilarityLoss(FeatureView<T> features, VectorView<const T> inverse_norms, Options options = {})
      : options_(options) {
    targets_.features = features;
    targets_.inverse_norms = inverse_norms;
    DREAM_EXPECT(inverse_norms.size == features.rows, "S3: ", inverse_norms.size, " norms for features ",
                 dream::shape(features));
  }

  /// The batch: row k of the input belongs to row rows[k] of the features. `step` varies the sampled pairs.
  void select(VectorView<const index_t> rows, std::uint32_t step = 0, const std::uint32_t* step_at = nullptr) {
    targets_.rows = rows;
    targets_.step = step;
    targets_.step_at = step_at;
  }

  Shape shape(MatrixView<const T> h) const {
    DREAM_EXPECT(h.rows == targets_.rows.size && h.rows > 0, "S3: the batch has ", targets_.rows.size, " rows, H is ",
                 dream::shape(h));
    return {1, 1};
  }

  void forward(Context<B>& context, MatrixView<const T> h, MatrixView<T> loss) {
    MatrixView<const T> a = h;
    if (options_.form == SimilarityForm::cosine) {
      a_hat_.resize(context, h.rows, h.cols);
      inverse_.resize(context, h.rows);
      normalise_rows<T>(context, h, a_hat_.view(), inverse_.view());
      a = a_hat_.view();
    }
    batch_similarity<T>(context, options_, targets_, a, loss, gradient_.resize(context, h.rows, h.cols), workspace_);
  }

  void backward(Context<B>& context, MatrixView<const T>, MatrixView<const T>, MatrixView<const T> d_loss,
                GradView<T> dh) {
    if (!dh.wanted()) return;
    if (options_.form == SimilarityForm::dot)
      gradient_.scale_into(context, d_loss, dh);
    else
      normalise_rows_backward<T>(context, T{1}, d_loss, a_hat_.view(), inverse_.view(), gradient_.view(), dh.beta,
                                 dh.view);
  }

 private:
  Options options_;
  SimilarityTargets<T> targets_;
  Matrix<T, B> a_hat_;
  Array<T, B> inverse_;
  UnitGradient<T, B> gradient_;
  SimilarityWorkspace<T, B> workspace_;
};

namespace detail {

/// || C C^T ||^2 = || C^T C ||^2: through the smaller of the two Gram matrices, a strip at a time.
template <class T>
double exact_target_norm(Context<Cpu>& context, MatrixView<const T> c, Matrix<T, Cpu>& workspace) {
  const bool by_rows = c.rows <= c.cols;
  const index_t size = by_rows ? c.rows : c.cols, strip = std::min<index_t>(size, 256);
  double sum = 0;
  for (index_t first = 0; first < size; first += strip) {
    const index_t count = std::min(strip, size - first);
    workspace.resize(count, size);
    if (by_rows)
      gemm<T>(context, Op::none, Op::transpose, T{1}, c.middle_rows(first, count), c, T{0}, workspace.view());
    else
      gemm<T>(context, Op::transpose, Op::none, T{1}, c.middle_cols(first, count), c, T{0}, workspace.view());
    sum += dot<T>(context, workspace.view(), workspace.view());
  }
  return sum;
}

/// The diagonal exactly, the other pairs from a fixed number of random ones.
template <class T>
double sampled_target_norm(Context<Cpu>& context, const SimilarityTargets<T>& targets, std::uint64_t seed,
                           MatrixView<const T> c) {
  double diagonal = 0;
  for (index_t a = 0; a < c.rows; ++a) diagonal += targets.inverse_norms[targets.rows[a]] > T{0} ? 1.0 : 0.0;
  if (c.rows < 2) return diagonal;
  constexpr std::int64_t pairs = 1024;
  const RandomStream random{seed, RandomUse::estimate, targets.step_at ? *targets.step_at : targets.step};
  const std::uint64_t b = static_cast<std::uint64_t>(c.rows);
  const double sum = ordered_sum(context, pairs, 64, [&](std::int64_t begin, std::int64_t end) {
    double part = 0;
    for (std::int64_t p = begin; p < end; ++p) {
      const RandomBlock block = random.block(static_cast<std::uint64_t>(p));
      const index_t i = static_cast<index_t>(to_below(block.low(), b));
      index_t k = static_cast<index_t>(to_below(block.high(), b - 1));
      k += k >= i;
      const T *x = c.row(i), *y = c.row(k);
      double cosine = 0;
      for (index_t j0 = 0; j0 < c.cols; j0 += 256) {
        T piece = 0;
        for (index_t j = j0; j < std::min<index_t>(c.cols, j0 + 256); ++j) piece += x[j] * y[j];
        cosine += static_cast<double>(piece);
      }
      part += cosine * cosine;
    }
    return part;
  });
  return diagonal + sum / static_cast<double>(pairs) * static_cast<double>(b) * static_cast<double>(b - 1);
}

}  // namespace detail

/// The loss of representations A (b x d; normalised, for cosines) and its gradient with respect to them.
template <class T>
void batch_similarity(Context<Cpu>& context, const BatchSimilarityOptions& options, const SimilarityTargets<T>& targets,
                      MatrixView<const T> a, MatrixView<T> loss, MatrixView<T> da,
                      SimilarityWorkspace<T, Cpu>& workspace) {
  const index_t b = a.rows, d = a.cols, width = targets.features.cols;
  // The targets are large and needed only here: all S3 ops of a context share the memory.
  const MatrixView<T> target{context.scratch<T>(7, std::int64_t{b} * width), b, width, width};
  gather_features(context, targets.features, targets.inverse_norms, targets.rows, target);
  workspace.gram.resize(d, d);
  workspace.cross.resize(width, d);
  const MatrixView<T> gram = workspace.gram.view(), cross = workspace.cross.view();
  gemm<T>(context, Op::transpose, Op::none, T{1}, a, a, T{0}, gram);
  gemm<T>(context, Op::transpose, Op::none, T{1}, target, a, T{0}, cross);
  const bool exact = options.root || options.target_norm == TargetNorm::exact;
  const double constant = exact ? detail::exact_target_norm<T>(context, target, workspace.strip)
                                : detail::sampled_target_norm<T>(context, targets, options.seed, target);
  const double squares = dot<T>(context, gram, gram) - 2 * dot<T>(context, cross, cross) + constant;
  const double sum = squares < 0 ? 0.0 : squares;  // rounding and sampling can go below zero; NaN stays
  // d(sum)/dA = 4 (A (A^T A) - C (C^T A))
  const double value = options.root ? std::sqrt(sum) / b : sum / (static_cast<double>(b) * b);
  const double slope = options.root ? (sum > 0 ? 0.5 / (std::sqrt(sum) * b) : 0.0) : 1.0 / (static_cast<double>(b) * b);
  gemm<T>(context, Op::none, Op::none, static_cast<T>(4 * slope), a, gram, T{0}, da);
  gemm<T>(context, Op::none, Op::none, static_cast<T>(-4 * slope), target, cross, T{1}, da);
  loss(0, 0) = static_cast<T>(value);
}

/// The same by kernels and the backend's matrix products. The targets exist some rows at a time.
template <class T, KernelBackend B>
void batch_similarity(Context<B>& context, const BatchSimilarityOptions& options, const SimilarityTargets<T>& targets,
                      MatrixView<const T> a, MatrixView<T> loss, MatrixView<T> da,
                      SimilarityWorkspace<T, B>& workspace) {
  const index_t b = a.rows, d = a.cols, width = targets.features.cols;
  constexpr std::int64_t most = std::int64_t{1} << 24;  // values of the targets at a time
  const index_t piece = static_cast<index_t>(std::clamp<std::int64_t>(most / std::max<index_t>(width, 1), 1, b));
  workspace.target.resize(context, piece, width);
  workspace.gram.resize(context, d, d);
  workspace.cross.resize(context, width, d);
  workspace.sums.resize(context, 1);
  workspace.slope.resize(context, 1);
  const MatrixView<T> gram = workspace.gram.view(), cross = workspace.cross.view();
  // f(first row, targets of some rows from there)
  const auto for_targets = [&](auto&& f) {
    for (index_t first = 0; first < b; first += piece) {
      const index_t count = std::min(piece, b - first);
      const MatrixView<T> target = workspace.target.view().middle_rows(0, count);
      gather_features<T>(context, targets.features, targets.inverse_norms, {targets.rows.data + first, count}, target);
      f(first, MatrixView<const T>(target));
    }
  };
  gemm<T>(context, Op::transpose, Op::none, T{1}, a, a, T{0}, gram);
  for_targets([&](index_t first, MatrixView<const T> target) {
    gemm<T>(context, Op::transpose, Op::none, T{1}, target, a.middle_rows(first, target.rows), first == 0 ? T{0} : T{1},
            cross);
  });
  if (options.root || options.target_norm == TargetNorm::exact) {
    // |C^T C|^2, a strip at a time.
    const index_t strip = std::min<index_t>(width, 256);
    for (index_t column = 0; column < width; column += strip) {
      const index_t count = std::min(strip, width - column);
      workspace.strip.resize(context, count, width);
      for_targets([&](index_t first, MatrixView<const T> target) {
        gemm<T>(context, Op::transpose, Op::none, T{1}, target.middle_cols(column, count), target,
                first == 0 ? T{0} : T{1}, workspace.strip.view());
      });
      kernels::DotProductsArguments<T> square{};
      square.x[0] = square.y[0] = std::as_const(workspace.strip).view();
      square.count = 1;
      square.beta = column == 0 ? 0 : 1;
      square.out = workspace.sums.data();
      square.workspace = context.template scratch<double>(0, kernels::dot_products_workspace(1));
      kernels::dot_products(context, square);
    }
  } else {
    kernels::SampledTargetNormArguments<T> sampled{};
    sampled.targets = {targets.features, targets.inverse_norms.data, targets.rows, options.seed, targets.step,
                       targets.step_at};
    sampled.out = workspace.sums.data();
    sampled.workspace = context.template scratch<double>(0, kernels::sampled_target_norm_workspace());
    kernels::sampled_target_norm(context, sampled);
  }
  kernels::combine_similarity(
      context, kernels::CombineSimilarityArguments<T>{
                   gram, cross, workspace.sums.data(), b, options.root, loss.data, workspace.slope.data(),
                   context.template scratch<double>(0, kernels::combine_similarity_workspace())});
  gemm<T>(context, Op::none, Op::none, T{1}, a, gram, T{0}, da);
  for_targets([&](index_t first, MatrixView<const T> target) {
    gemm<T>(context, Op::none, Op::none, T{-1}, target, cross, T{1}, da.middle_rows(first, target.rows));
  });
  scaled_axpby<T>(context, T{1}, MatrixView<const T>{workspace.slope.data(), 1, 1, 1}, da, T{0}, da);
}

}  // namespace dream
