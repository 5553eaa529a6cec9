// Across modalities (docs/components.md, 2): E_M[r] = sum_m w_rm H_m[r],  w_rm = a_m p_rm / sum_m' a_m' p_rm',
// where p_rm says whether entity r has modality m; an entity that has none gets a zero row.
// a is 1 / #modalities, given, or the softmax of learnable logits; then, with t_rm = dE_r . H_m[r],
//   d a_m = sum_r p_rm (t_rm - sum_m' w_rm' t_rm') / S_r,  S_r = sum_m a_m p_rm,   d logits = a (d a - a . d a).
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <dream/autograd/tape.hpp>
#include <dream/kernels/modal_fusion.cuh>
#include <dream/ops/dense.hpp>

namespace dream {

/// Weights a_m that cannot be used, one below 0, infinite, or all of them 0, are an error.
inline void expect_modality_weights(std::span<const double> weights) {
  for (const double w : weights)
    DREAM_EXPECT(w >= 0 && std::isfinite(w), "a modality weight is ", w, "; they must be numbers >= 0");
  DREAM_EXPECT(std::any_of(weights.begin(), weights.end(), [](double w) { return w > 0; }),
               "every modality weight is 0; one must be above");
}

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
    if (!given_.empty()) expect_modality_weights(given_);
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
    const std::size_t modalities = static_cast<std::size_t>(present_.cols);
    if (given_.empty()) {
      weights_.resize(context, present_.cols);
      modality_softmax<T>(context, in.back(), weights_.view());
    } else if (weights_.empty()) {
      weights_ = upload<T>(context, std::vector<T>(given_.begin(), given_.end()));
    }
    fuse_modalities<T>(context, weights_.view(), present_, rows_, in.first(modalities), out);
  }
  /// w of the last forward, rows x M, in host memory. Waits for it.
  Matrix<T, Cpu> row_weights(Context<B>& context) const {
    const std::vector<T> a = values_of(context, weights_.view());
    const std::vector<index_t> rows = values_of(context, rows_);
    const Matrix<T, Cpu> present = download<T>(context, present_);
    Matrix<T, Cpu> w(static_cast<index_t>(rows.size()), present.cols());
    for (index_t r = 0; r < w.rows(); ++r) {
      T total = 0;
      for (index_t m = 0; m < w.cols(); ++m)
        total += w(r, m) = a[static_cast<std::size_t>(m)] * present(rows[static_cast<std::size_t>(r)], m);
      for (index_t m = 0; m < w.cols() && total > T{0}; ++m) w(r, m) /= total;
    }
    return w;
  }
  void backward(Context<B>& context, std::span<const MatrixView<const T>> in, MatrixView<const T>,
                MatrixView<const T> d_out, std::span<const GradView<T>> d_in) {
    const std::size_t modalities = static_cast<std::size_t>(present_.cols);
    fuse_modalities_backward<T>(context, weights_.view(), present_, rows_, in.first(modalities), d_out,
                                d_in.first(modalities), given_.empty() ? d_in.back() : GradView<T>{});
  }

 private:
  template <class V>
  static std::vector<std::remove_const_t<V>> values_of(Context<B>& context, VectorView<V> view) {
    std::vector<std::remove_const_t<V>> values(static_cast<std::size_t>(view.size));
    download<std::remove_const_t<V>>(context, view.data, values);
    return values;
  }

  MatrixView<const T> present_;
  std::vector<double> given_;
  VectorView<const index_t> rows_;
  Array<T, B> weights_;
};

/// weights = softmax of the 1 x M logits.
template <class T>
void modality_softmax(Context<Cpu>&, MatrixView<const T> logits, VectorView<T> weights) {
  T largest = logits(0, 0), sum = 0;
  for (index_t m = 1; m < logits.cols; ++m) largest = std::max(largest, logits(0, m));
  for (index_t m = 0; m < logits.cols; ++m) sum += weights[m] = std::exp(logits(0, m) - largest);
  for (T& w : weights) w /= sum;
}

template <class T>
void fuse_modalities(Context<Cpu>& context, VectorView<const T> weights, MatrixView<const T> present,
                     VectorView<const index_t> rows, std::span<const MatrixView<const T>> in, MatrixView<T> out) {
  context.parallel_blocks(out.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t k = static_cast<index_t>(begin); k < end; ++k) {
      T total = 0;
      for (index_t m = 0; m < present.cols; ++m) total += weights[m] * present(rows[k], m);
      T* to = out.row(k);
      std::fill_n(to, out.cols, T{0});
      for (index_t m = 0; m < present.cols; ++m) {
        const T w = total > T{0} ? weights[m] * present(rows[k], m) / total : T{0};
        if (w == T{0}) continue;
        const T* from = in[static_cast<std::size_t>(m)].row(k);
        for (index_t j = 0; j < out.cols; ++j) to[j] += w * from[j];
      }
    }
  });
}

/// Writes the gradients of the inputs and, where wanted, of the logits.
template <class T>
void fuse_modalities_backward(Context<Cpu>& context, VectorView<const T> weights, MatrixView<const T> present,
                              VectorView<const index_t> rows, std::span<const MatrixView<const T>> in,
                              MatrixView<const T> d_out, std::span<const GradView<T>> d_in, GradView<T> d_logits) {
  context.parallel_blocks(d_out.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t k = static_cast<index_t>(begin); k < end; ++k) {
      T total = 0;
      for (index_t m = 0; m < present.cols; ++m) total += weights[m] * present(rows[k], m);
      const T* d = d_out.row(k);
      for (index_t m = 0; m < present.cols; ++m) {
        const GradView<T>& dx = d_in[static_cast<std::size_t>(m)];
        if (!dx.wanted()) continue;
        const T w = total > T{0} ? weights[m] * present(rows[k], m) / total : T{0};
        T* to = dx.view.row(k);
        if (dx.beta == T{0}) {
          for (index_t j = 0; j < d_out.cols; ++j) to[j] = w * d[j];
        } else {
          for (index_t j = 0; j < d_out.cols; ++j) to[j] = w * d[j] + dx.beta * to[j];
        }
      }
    }
  });
  if (!d_logits.wanted()) return;
  const index_t modalities = present.cols;
  double* t = context.scratch<double>(4, 2 * std::int64_t{modalities});
  double* slope = t + modalities;  // d a_m
  std::fill_n(slope, modalities, 0.0);
  for (index_t k = 0; k < d_out.rows; ++k) {
    double total = 0, mean = 0;
    for (index_t m = 0; m < modalities; ++m) {
      const double share = static_cast<double>(weights[m]) * static_cast<double>(present(rows[k], m));
      total += share;
      t[m] = 0;
      for (index_t j = 0; j < d_out.cols; ++j)
        t[m] += static_cast<double>(d_out(k, j)) * static_cast<double>(in[static_cast<std::size_t>(m)](k, j));
      mean += share * t[m];
    }
    if (!(total > 0)) continue;
    mean /= total;
    for (index_t m = 0; m < modalities; ++m)
      slope[m] += static_cast<double>(present(rows[k], m)) * (t[m] - mean) / total;
  }
  double along = 0;
  for (index_t m = 0; m < modalities; ++m) along += static_cast<double>(weights[m]) * slope[m];
  for (index_t m = 0; m < modalities; ++m) {
    T& to = d_logits.view(0, m);
    const T g = static_cast<T>(static_cast<double>(weights[m]) * (slope[m] - along));
    to = d_logits.beta == T{0} ? g : g + d_logits.beta * to;
  }
}

template <class T, KernelBackend B>
void modality_softmax(Context<B>& context, MatrixView<const T> logits, VectorView<T> weights) {
  launch<kernels::ModalitySoftmax<T>>(context, {{logits.data, logits.cols}, weights});
}

template <class T, KernelBackend B>
void fuse_modalities(Context<B>& context, VectorView<const T> weights, MatrixView<const T> present,
                     VectorView<const index_t> rows, std::span<const MatrixView<const T>> in, MatrixView<T> out) {
  DREAM_EXPECT(in.size() <= kernels::most_modalities, "modal fusion: ", in.size(), " modalities, kernels take ",
               kernels::most_modalities);
  kernels::FuseModalitiesArguments<T> a{{weights.data, present, rows}, {}, out};
  std::copy(in.begin(), in.end(), a.in);
  kernels::fuse_modalities(context, a);
}

template <class T, KernelBackend B>
void fuse_modalities_backward(Context<B>& context, VectorView<const T> weights, MatrixView<const T> present,
                              VectorView<const index_t> rows, std::span<const MatrixView<const T>> in,
                              MatrixView<const T> d_out, std::span<const GradView<T>> d_in, GradView<T> d_logits) {
  kernels::FuseModalitiesBackwardArguments<T> a{};
  a.by = {weights.data, present, rows};
  std::copy(in.begin(), in.end(), a.in);
  a.d_out = d_out;
  for (std::size_t m = 0; m < d_in.size(); ++m) a.d_in[m] = kernel_target(d_in[m]);
  if (d_logits.wanted()) {
    a.d_logits = {d_logits.view.data, d_logits.view.cols};
    a.logits_beta = d_logits.beta;
    a.workspace = context.template scratch<double>(0, kernels::fuse_modalities_backward_workspace());
  }
  kernels::fuse_modalities_backward(context, a);
}

}  // namespace dream
