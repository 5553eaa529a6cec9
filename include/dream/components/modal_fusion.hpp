// Across modalities (docs/components.md, 2): E_M[r] = sum_m w_rm H_m[r],  w_rm = a_m p_rm / sum_m' a_m' p_rm',
// where p_rm says whether entity r has modality m; an entity that has none gets a zero row.
// a is 1 / #modalities, given, or the softmax of learnable logits; then, with t_rm = dE_r . H_m[r],
//   d a_m = sum_r p_rm (t_rm - sum_m' w_rm' t_rm') / S_r,  S_r = sum_m a_m p_rm,   d logits = a (d a - a . d a).
#pragma once

#include <vector>

#include <dream/autograd/tape.hpp>
#include <dream/ops/dense.hpp>

namespace dream {

/// E_M of a batch of entities.  Inputs H_1[rows] .. H_M[rows] (b x d), and with learnable weights last the logits
/// (1 x M); result b x d.
template <class T, class B>
class ModalFusion {
 public:
  /// `present` (entities x M, 1 or 0) must outlive this. `weights`: a, one a modality; empty: learnable, from the
  /// logits.
  ModalFusion(MatrixView<const T> present, std::vector<double> weights)
      : present_(present), given_(std::move(weights)) {
    DREAM_EXPECT(given_.empty() || static_cast<index_t>(given_.size()) == present.cols, "modal fusion: ", given_.size(),
                 " weights for ", present.cols, " modalities");
    for (const double w : given_)
      DREAM_EXPECT(w >= 0, "modal fusion: a modality weight is ", w, "; it cannot be negative");
  }
  void select(VectorView<const index_t> rows) { rows_ = rows; }

  Shape shape(std::span<const MatrixView<const T>> in) const {
    const std::size_t modalities = static_cast<std::size_t>(present_.cols),
                      expected = modalities + (given_.empty() ? 1 : 0);
    DREAM_EXPECT(in.size() == expected, "modal fusion: ", in.size(), " inputs, expected ", expected);
    for (std::size_t m = 0; m < modalities; ++m)
      DREAM_EXPECT(in[m].rows == rows_.size && in[m].cols == in[0].cols, "modal fusion: modality ", m, " is ",
                   dream::shape(in[m]), ", expected ", rows_.size, " x ", in[0].cols);
    return {in[0].rows, in[0].cols};
  }
  void forward(Context<B>& context, std::span<const MatrixView<const T>> in, MatrixView<T> out) {
    weights_.resize(static_cast<std::size_t>(present_.cols));
    if (given_.empty()) {
      softmax(in.back(), weights_);
    } else {
      for (std::size_t m = 0; m < weights_.size(); ++m) weights_[m] = static_cast<T>(given_[m]);
    }
    fuse_modalities<T>(context, weights_, present_, rows_, in.first(weights_.size()), out);
  }
  void backward(Context<B>& context, std::span<const MatrixView<const T>> in, MatrixView<const T>,
                MatrixView<const T> d_out, std::span<const GradView<T>> d_in) {
    std::vector<double>& slope = slope_;
    slope.assign(weights_.size(), 0.0);
    const bool learn = given_.empty() && d_in.back().wanted();
    fuse_modalities_backward<T>(context, weights_, present_, rows_, in.first(weights_.size()), d_out,
                                d_in.first(weights_.size()), learn ? &slope : nullptr);
    if (!learn) return;
    double along = 0;
    for (std::size_t m = 0; m < slope.size(); ++m) along += static_cast<double>(weights_[m]) * slope[m];
    for (std::size_t m = 0; m < slope.size(); ++m) {
      T& to = d_in.back().view(0, static_cast<index_t>(m));
      const T g = static_cast<T>(static_cast<double>(weights_[m]) * (slope[m] - along));
      to = d_in.back().beta == T{0} ? g : g + d_in.back().beta * to;
    }
  }

 private:
  static void softmax(MatrixView<const T> logits, std::vector<T>& out) {
    T largest = logits(0, 0), sum = 0;
    for (index_t m = 1; m < logits.cols; ++m) largest = std::max(largest, logits(0, m));
    for (index_t m = 0; m < logits.cols; ++m)
      sum += out[static_cast<std::size_t>(m)] = std::exp(logits(0, m) - largest);
    for (T& w : out) w /= sum;
  }

  MatrixView<const T> present_;
  std::vector<double> given_;
  VectorView<const index_t> rows_;
  std::vector<T> weights_;
  std::vector<double> slope_;
};

template <class T>
void fuse_modalities(Context<Cpu>& context, std::span<const T> weights, MatrixView<const T> present,
                     VectorView<const index_t> rows, std::span<const MatrixView<const T>> in, MatrixView<T> out) {
  context.parallel_blocks(out.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t k = static_cast<index_t>(begin); k < end; ++k) {
      T total = 0;
      for (std::size_t m = 0; m < weights.size(); ++m) total += weights[m] * present(rows[k], static_cast<index_t>(m));
      T* to = out.row(k);
      std::fill_n(to, out.cols, T{0});
      for (std::size_t m = 0; m < weights.size(); ++m) {
        const T w = total > T{0} ? weights[m] * present(rows[k], static_cast<index_t>(m)) / total : T{0};
        if (w == T{0}) continue;
        const T* from = in[m].row(k);
        for (index_t j = 0; j < out.cols; ++j) to[j] += w * from[j];
      }
    }
  });
}

/// Writes the gradients of the inputs and, if `slope` is given, adds d a_m to it.
template <class T>
void fuse_modalities_backward(Context<Cpu>& context, std::span<const T> weights, MatrixView<const T> present,
                              VectorView<const index_t> rows, std::span<const MatrixView<const T>> in,
                              MatrixView<const T> d_out, std::span<const GradView<T>> d_in,
                              std::vector<double>* slope) {
  context.parallel_blocks(d_out.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t k = static_cast<index_t>(begin); k < end; ++k) {
      T total = 0;
      for (std::size_t m = 0; m < weights.size(); ++m) total += weights[m] * present(rows[k], static_cast<index_t>(m));
      const T* d = d_out.row(k);
      for (std::size_t m = 0; m < weights.size(); ++m) {
        if (!d_in[m].wanted()) continue;
        const T w = total > T{0} ? weights[m] * present(rows[k], static_cast<index_t>(m)) / total : T{0};
        T* to = d_in[m].view.row(k);
        if (d_in[m].beta == T{0}) {
          for (index_t j = 0; j < d_out.cols; ++j) to[j] = w * d[j];
        } else {
          for (index_t j = 0; j < d_out.cols; ++j) to[j] = w * d[j] + d_in[m].beta * to[j];
        }
      }
    }
  });
  if (!slope) return;
  double* t = context.scratch<double>(4, static_cast<std::int64_t>(weights.size()));
  for (index_t k = 0; k < d_out.rows; ++k) {
    double total = 0, mean = 0;
    for (std::size_t m = 0; m < weights.size(); ++m) {
      const double share =
          static_cast<double>(weights[m]) * static_cast<double>(present(rows[k], static_cast<index_t>(m)));
      total += share;
      t[m] = 0;
      for (index_t j = 0; j < d_out.cols; ++j)
        t[m] += static_cast<double>(d_out(k, j)) * static_cast<double>(in[m](k, j));
      mean += share * t[m];
    }
    if (!(total > 0)) continue;
    mean /= total;
    for (std::size_t m = 0; m < weights.size(); ++m)
      (*slope)[m] += static_cast<double>(present(rows[k], static_cast<index_t>(m))) * (t[m] - mean) / total;
  }
}

}  // namespace dream
