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
#include <dream/core/random.hpp>
#include <dream/ops/dense.hpp>

namespace dream {

/// What stands on the left of S3: cosines of the representations, or their raw dot products.
enum class SimilarityForm { cosine, dot };

/// How the constant || C C^T ||^2 of S3's value is found. The root form needs it exact in its gradient too.
enum class TargetNorm { exact, sampled };

/// S3 on one batch and one modality.  Input H[P] (b x d), result 1 x 1.
template <class T, class B>
class BatchSimilarityLoss {
 public:
  struct Options {
    SimilarityForm form = SimilarityForm::cosine;
    bool root = false;  ///< || . ||_F / b instead of || . ||_F^2 / b^2, the form of AlignRec
    TargetNorm target_norm = TargetNorm::exact;
    std::uint64_t seed = 0;  ///< of the sampled pairs
  };

  /// `features` (rows x d_m) are the targets' raw features and `inverse_norms` 1 / |row|, 0 for zero rows; both must
  /// outlive this.
  BatchSimilarityLoss(MatrixView<const T> features, VectorView<const T> inverse_norms, Options options = {})
      : features_(features), inverse_norms_(inverse_norms), options_(options) {
    DREAM_EXPECT(inverse_norms.size == features.rows, "S3: ", inverse_norms.size, " norms for features ",
                 dream::shape(features));
  }

  /// The batch: row k of the input belongs to row rows[k] of the features. `step` varies the sampled pairs.
  void select(VectorView<const index_t> rows, std::uint32_t step = 0) {
    rows_ = rows;
    step_ = step;
  }

  Shape shape(MatrixView<const T> h) const {
    DREAM_EXPECT(h.rows == rows_.size && h.rows > 0, "S3: the batch has ", rows_.size, " rows, H is ", dream::shape(h));
    return {1, 1};
  }

  void forward(Context<B>& context, MatrixView<const T> h, MatrixView<T> loss) {
    const index_t b = h.rows, d = h.cols;
    // The targets are large and needed only here: all S3 ops of a context share the memory.
    const MatrixView<T> target{context.template scratch<T>(7, std::int64_t{b} * features_.cols), b, features_.cols,
                               features_.cols};
    gather_scaled(context, features_, inverse_norms_, rows_, target);
    MatrixView<const T> a = h;
    if (options_.form == SimilarityForm::cosine) {
      a_hat_.resize(b, d);
      inverse_.resize(b);
      normalise_rows(context, h, a_hat_.view(), inverse_.view());
      a = a_hat_.view();
    }
    gram_.resize(d, d);
    cross_.resize(features_.cols, d);
    gemm<T>(context, Op::transpose, Op::none, T{1}, a, a, T{0}, gram_.view());
    gemm<T>(context, Op::transpose, Op::none, T{1}, target, a, T{0}, cross_.view());
    const bool exact = options_.root || options_.target_norm == TargetNorm::exact;
    const double constant = exact ? exact_target_norm(context, target) : sampled_target_norm(context, target);
    const double squares =
        dot<T>(context, gram_.view(), gram_.view()) - 2 * dot<T>(context, cross_.view(), cross_.view()) + constant;
    const double sum = squares < 0 ? 0.0 : squares;  // rounding and sampling can go below zero; NaN stays
    // d(sum)/dA = 4 (A (A^T A) - C (C^T A))
    const double value = options_.root ? std::sqrt(sum) / b : sum / (static_cast<double>(b) * b);
    const double slope =
        options_.root ? (sum > 0 ? 0.5 / (std::sqrt(sum) * b) : 0.0) : 1.0 / (static_cast<double>(b) * b);
    const MatrixView<T> da = gradient_.resize(b, d);
    gemm<T>(context, Op::none, Op::none, static_cast<T>(4 * slope), a, gram_.view(), T{0}, da);
    gemm<T>(context, Op::none, Op::none, static_cast<T>(-4 * slope), target, cross_.view(), T{1}, da);
    loss(0, 0) = static_cast<T>(value);
  }

  void backward(Context<B>& context, MatrixView<const T>, MatrixView<const T>, MatrixView<const T> d_loss,
                GradView<T> dh) {
    if (!dh.wanted()) return;
    if (options_.form == SimilarityForm::dot)
      gradient_.scale_into(context, d_loss, dh);
    else
      normalise_rows_backward<T>(context, d_loss(0, 0), a_hat_.view(), inverse_.view(), gradient_.view(), dh.beta,
                                 dh.view);
  }

 private:
  // || C C^T ||^2 = || C^T C ||^2: through the smaller of the two Gram matrices, a strip at a time.
  double exact_target_norm(Context<B>& context, MatrixView<const T> c) {
    const bool by_rows = c.rows <= c.cols;
    const index_t size = by_rows ? c.rows : c.cols, strip = std::min<index_t>(size, 256);
    double sum = 0;
    for (index_t first = 0; first < size; first += strip) {
      const index_t count = std::min(strip, size - first);
      strip_.resize(count, size);
      if (by_rows)
        gemm<T>(context, Op::none, Op::transpose, T{1}, c.middle_rows(first, count), c, T{0}, strip_.view());
      else
        gemm<T>(context, Op::transpose, Op::none, T{1}, c.middle_cols(first, count), c, T{0}, strip_.view());
      sum += dot<T>(context, strip_.view(), strip_.view());
    }
    return sum;
  }

  // The diagonal exactly, the other pairs from a fixed number of random ones.
  double sampled_target_norm(Context<B>& context, MatrixView<const T> c) {
    double diagonal = 0;
    for (index_t a = 0; a < c.rows; ++a) diagonal += inverse_norms_[rows_[a]] > T{0} ? 1.0 : 0.0;
    if (c.rows < 2) return diagonal;
    constexpr std::int64_t pairs = 1024;
    const RandomStream random{options_.seed, RandomUse::estimate, step_};
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

  MatrixView<const T> features_;
  VectorView<const T> inverse_norms_;
  Options options_;
  VectorView<const index_t> rows_;
  std::uint32_t step_ = 0;
  Matrix<T, B> a_hat_, gram_, cross_, strip_;
  Array<T, B> inverse_;
  UnitGradient<T, B> gradient_;
};

/// y = x[rows], each row times its scale.
template <class T>
void gather_scaled(Context<Cpu>& context, MatrixView<const T> x, VectorView<const T> scale,
                   VectorView<const index_t> rows, MatrixView<T> y) {
  context.parallel_blocks(rows.size, 16, [&](std::int64_t begin, std::int64_t end) {
    for (index_t k = static_cast<index_t>(begin); k < end; ++k) {
      DREAM_EXPECT(rows[k] >= 0 && rows[k] < x.rows, "row ", rows[k], " at place ", k, " of a batch is outside ",
                   shape(x));
      const T* from = x.row(rows[k]);
      T* to = y.row(k);
      const T s = scale[rows[k]];
      for (index_t j = 0; j < x.cols; ++j) to[j] = s * from[j];
    }
  });
}

}  // namespace dream
