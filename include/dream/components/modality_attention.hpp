// Attention over modalities, row by row (MGCN, Yu et al., ACM MM 2023):
//
//   t_m = tanh(C_m A + a0),  s_m = t_m q,  a = softmax over m of s,  out = sum_m a_m C_m
//
// and with g_m = d_out . C_m of a row:
//   ds_m = a_m (g_m - sum_m' a_m' g_m'),  dP_m = ds_m q^T * (1 - t_m^2)     (* elementwise)
//   dC_m = a_m d_out + dP_m A^T,  dA = sum_m C_m^T dP_m,  da0 = column sums of all dP_m,  dq = sum_m t_m^T ds_m
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

#include <dream/autograd/tape.hpp>
#include <dream/backend/algebra.hpp>
#include <dream/kernels/modality_attention.cuh>

namespace dream {

/// What attention over modalities hands on besides its result: t_1 .. t_M below each other, the weights a, and the
/// gradients with respect to C_m A + a0 and to the scores.
template <class T, class B>
struct AttentionWorkspace {
  Matrix<T, B> hidden, d_pre;      // M b x k
  Matrix<T, B> attention, slopes;  // M x b
  Array<T, B> pieces;              // of sums over rows, for a0, then for q
  Array<T, B> q;                   // its values side by side, where they are not
};

/// out = sum_m a_m C_m, row by row.  Inputs C_1 .. C_M (b x d), A (d x k), a0 (1 x k), q (k x 1); result b x d.
template <class T, class B>
class ModalityAttention {
 public:
  Shape shape(std::span<const MatrixView<const T>> in) const {
    DREAM_EXPECT(in.size() > 3, "modality attention: ", in.size(), " inputs, expected modalities, A, a0 and q");
    const std::size_t count = in.size() - 3;
    const MatrixView<const T> first = in[0], a = in[count], a0 = in[count + 1], q = in[count + 2];
    for (std::size_t m = 0; m < count; ++m)
      DREAM_EXPECT(in[m].rows == first.rows && in[m].cols == first.cols, "modality attention: modality ", m, " is ",
                   dream::shape(in[m]), ", the first ", dream::shape(first));
    DREAM_EXPECT(a.rows == first.cols && a0.rows == 1 && a0.cols == a.cols && q.rows == a.cols && q.cols == 1,
                 "modality attention: modalities are ", dream::shape(first), ", A is ", dream::shape(a), ", a0 is ",
                 dream::shape(a0), ", q is ", dream::shape(q));
    const std::int64_t all = static_cast<std::int64_t>(count) * first.rows;
    DREAM_EXPECT(all <= std::numeric_limits<index_t>::max(), "modality attention: ", all, " rows are too many");
    return {first.rows, first.cols};
  }

  void forward(Context<B>& context, std::span<const MatrixView<const T>> in, MatrixView<T> out) {
    const Inputs x(in);
    const index_t b = out.rows, count = x.count();
    w_.hidden.resize(context, count * b, x.a.cols);
    w_.attention.resize(context, count, b);
    for (index_t m = 0; m < count; ++m)
      gemm<T>(context, Op::none, Op::none, T{1}, x.modality(m), x.a, T{0}, w_.hidden.view().middle_rows(m * b, b));
    attend_modalities<T>(context, w_.hidden.view(), x.a0, values_of(context, x.q), x.modalities, w_.attention.view(),
                         out);
  }

  void backward(Context<B>& context, std::span<const MatrixView<const T>> in, MatrixView<const T>,
                MatrixView<const T> d_out, std::span<const GradView<T>> d_in) {
    const Inputs x(in);
    const index_t b = d_out.rows, k = x.a.cols, count = x.count();
    const std::span<const GradView<T>> d_modalities = d_in.first(x.modalities.size());
    const GradView<T>&da = d_in[d_in.size() - 3], &da0 = d_in[d_in.size() - 2], &dq = d_in[d_in.size() - 1];
    w_.slopes.resize(context, count, b);
    attend_modalities_backward<T>(context, attention(), x.modalities, d_out, d_modalities, w_.slopes.view());
    const bool by_products = da.wanted() || std::any_of(d_modalities.begin(), d_modalities.end(),
                                                        [](const GradView<T>& d) { return d.wanted(); });
    if (!by_products && !da0.wanted() && !dq.wanted()) return;

    const index_t pieces = kernels::ColumnSumPieces<T>::count(count * b);
    w_.pieces.resize(context, 2 * std::int64_t{pieces} * k);
    T *a0_pieces = w_.pieces.data(), *q_pieces = a0_pieces + std::int64_t{pieces} * k;
    if (by_products) w_.d_pre.resize(context, count * b, k);
    attention_pre_gradient<T>(context, std::as_const(w_).hidden.view(), std::as_const(w_).slopes.view(),
                              values_of(context, x.q), by_products ? w_.d_pre.view() : MatrixView<T>{},
                              da0.wanted() ? a0_pieces : nullptr, dq.wanted() ? q_pieces : nullptr);
    const auto d_pre = [&](index_t m) { return std::as_const(w_).d_pre.view().middle_rows(m * b, b); };
    for (index_t m = 0; m < count; ++m) {
      const GradView<T>& d = d_modalities[static_cast<std::size_t>(m)];
      if (d.wanted()) gemm<T>(context, Op::none, Op::transpose, T{1}, d_pre(m), x.a, T{1}, d.view);
    }
    for (index_t m = 0; m < count && da.wanted(); ++m)
      gemm<T>(context, Op::transpose, Op::none, T{1}, x.modality(m), d_pre(m), m == 0 ? da.beta : T{1}, da.view);
    if (da0.wanted()) sum_pieces<T>(context, a0_pieces, pieces, da0.beta, VectorView<T>{da0.view.data, k});
    if (!dq.wanted()) return;
    if (is_dense(dq.view)) {
      sum_pieces<T>(context, q_pieces, pieces, dq.beta, VectorView<T>{dq.view.data, k});
    } else {
      w_.q.resize(context, k);
      sum_pieces<T>(context, q_pieces, pieces, T{0}, w_.q.view());
      axpby<T>(context, T{1}, MatrixView<const T>{w_.q.data(), k, 1, 1}, dq.beta, dq.view);
    }
  }

  /// The weights a of the last forward: M x b.
  MatrixView<const T> attention() const { return w_.attention.view(); }

 private:
  struct Inputs {
    std::span<const MatrixView<const T>> modalities;
    MatrixView<const T> a, a0, q;

    explicit Inputs(std::span<const MatrixView<const T>> in)
        : modalities(in.first(in.size() - 3)), a(in[in.size() - 3]), a0(in[in.size() - 2]), q(in[in.size() - 1]) {}
    index_t count() const { return static_cast<index_t>(modalities.size()); }
    MatrixView<const T> modality(index_t m) const { return modalities[static_cast<std::size_t>(m)]; }
  };

  template <class V>
  static bool is_dense(MatrixView<V> column) {
    return column.rows <= 1 || column.stride == 1;
  }
  VectorView<const T> values_of(Context<B>& context, MatrixView<const T> q) {
    if (is_dense(q)) return {q.data, q.rows};
    w_.q.resize(context, q.rows);
    copy<T>(context, q, MatrixView<T>{w_.q.data(), q.rows, 1, 1});
    return std::as_const(w_).q.view();
  }

  AttentionWorkspace<T, B> w_;
};

/// hidden = tanh(hidden + a0), attention = softmax over the modalities of hidden q, out = sum_m attention_m in[m].
template <class T>
void attend_modalities(Context<Cpu>& context, MatrixView<T> hidden, MatrixView<const T> a0, VectorView<const T> q,
                       std::span<const MatrixView<const T>> in, MatrixView<T> attention, MatrixView<T> out) {
  context.parallel_blocks(out.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      T largest = -std::numeric_limits<T>::infinity(), total = 0;
      for (index_t m = 0; m < attention.rows; ++m) {
        T* t = hidden.row(m * out.rows + i);
        for (index_t j = 0; j < hidden.cols; ++j) t[j] += a0(0, j);
        hyperbolic_tangent(t, hidden.cols);
        T score = 0;
        for (index_t j = 0; j < hidden.cols; ++j) score += t[j] * q[j];
        attention(m, i) = score;
        largest = larger(largest, score);
      }
      for (index_t m = 0; m < attention.rows; ++m) total += attention(m, i) = std::exp(attention(m, i) - largest);
      T* to = out.row(i);
      std::fill_n(to, out.cols, T{0});
      for (index_t m = 0; m < attention.rows; ++m) {
        const T share = attention(m, i) /= total;
        const T* from = in[static_cast<std::size_t>(m)].row(i);
        for (index_t j = 0; j < out.cols; ++j) to[j] += share * from[j];
      }
    }
  });
}

/// slopes = ds, and d_in[m] = attention_m d_out + beta d_in[m] where wanted.
template <class T>
void attend_modalities_backward(Context<Cpu>& context, MatrixView<const T> attention,
                                std::span<const MatrixView<const T>> in, MatrixView<const T> d_out,
                                std::span<const GradView<T>> d_in, MatrixView<T> slopes) {
  context.parallel_blocks(d_out.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      const T* d = d_out.row(i);
      T mean = 0;
      for (index_t m = 0; m < attention.rows; ++m) {
        const T* x = in[static_cast<std::size_t>(m)].row(i);
        T along = 0;
        for (index_t j = 0; j < d_out.cols; ++j) along += d[j] * x[j];
        slopes(m, i) = along;
        mean += attention(m, i) * along;
      }
      for (index_t m = 0; m < attention.rows; ++m) {
        const T share = attention(m, i);
        slopes(m, i) = share * (slopes(m, i) - mean);
        const GradView<T>& dx = d_in[static_cast<std::size_t>(m)];
        if (!dx.wanted()) continue;
        T* to = dx.view.row(i);
        for (index_t j = 0; j < d_out.cols; ++j) to[j] = share * d[j] + (dx.beta == T{0} ? T{0} : dx.beta * to[j]);
      }
    }
  });
}

/// d_pre = slopes q^T * (1 - hidden^2), and the sums over pieces of the rows of d_pre and of slopes * hidden, which
/// sum_pieces adds: each where there is room for it.
template <class T>
void attention_pre_gradient(Context<Cpu>& context, MatrixView<const T> hidden, MatrixView<const T> slopes,
                            VectorView<const T> q, MatrixView<T> d_pre, T* a0_pieces, T* q_pieces) {
  using Pieces = kernels::ColumnSumPieces<T>;
  const index_t k = hidden.cols, rows = Pieces::rows_of_piece(hidden.rows);
  context.parallel_for(Pieces::count(hidden.rows), [&](std::int64_t piece) {
    T *a0_sum = a0_pieces ? a0_pieces + piece * k : nullptr, *q_sum = q_pieces ? q_pieces + piece * k : nullptr;
    if (a0_sum) std::fill_n(a0_sum, k, T{0});
    if (q_sum) std::fill_n(q_sum, k, T{0});
    const std::int64_t end = std::min<std::int64_t>(hidden.rows, (piece + 1) * rows);
    for (index_t i = static_cast<index_t>(piece * rows); i < end; ++i) {
      const T slope = slopes.data[i], *t = hidden.row(i);
      const auto change = [&](index_t j) { return slope * q[j] * (T{1} - t[j] * t[j]); };
      if (d_pre.data)
        for (index_t j = 0; j < k; ++j) d_pre(i, j) = change(j);
      if (a0_sum)
        for (index_t j = 0; j < k; ++j) a0_sum[j] += change(j);
      if (q_sum)
        for (index_t j = 0; j < k; ++j) q_sum[j] += slope * t[j];
    }
  });
}

/// sums = the sum of `count` pieces, of as many values each, + beta sums.
template <class T>
void sum_pieces(Context<Cpu>&, const T* pieces, index_t count, T beta, VectorView<T> sums) {
  for (std::int64_t j = 0; j < sums.size; ++j) {
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(pieces[i * sums.size + j]);
    sums[j] = static_cast<T>(sum) + (beta == T{0} ? T{0} : beta * sums[j]);
  }
}

// The same by kernels.

template <class T, KernelBackend B>
void attend_modalities(Context<B>& context, MatrixView<T> hidden, MatrixView<const T> a0, VectorView<const T> q,
                       std::span<const MatrixView<const T>> in, MatrixView<T> attention, MatrixView<T> out) {
  DREAM_EXPECT(in.size() <= kernels::most_modalities, "modality attention: ", in.size(), " modalities, kernels take ",
               kernels::most_modalities);
  kernels::AttendModalitiesArguments<T> a{hidden, {a0.data, a0.cols}, q, {}, attention, out};
  std::copy(in.begin(), in.end(), a.in);
  kernels::attend_modalities(context, a);
}

template <class T, KernelBackend B>
void attend_modalities_backward(Context<B>& context, MatrixView<const T> attention,
                                std::span<const MatrixView<const T>> in, MatrixView<const T> d_out,
                                std::span<const GradView<T>> d_in, MatrixView<T> slopes) {
  kernels::AttendModalitiesBackwardArguments<T> a{};
  a.attention = attention;
  std::copy(in.begin(), in.end(), a.in);
  a.d_out = d_out;
  for (std::size_t m = 0; m < d_in.size(); ++m) a.d_in[m] = kernel_target(d_in[m]);
  a.slopes = slopes;
  kernels::attend_modalities_backward(context, a);
}

template <class T, KernelBackend B>
void attention_pre_gradient(Context<B>& context, MatrixView<const T> hidden, MatrixView<const T> slopes,
                            VectorView<const T> q, MatrixView<T> d_pre, T* a0_pieces, T* q_pieces) {
  launch<kernels::AttentionPreGradient<T>>(context, {hidden, slopes.data, q, d_pre, a0_pieces, q_pieces});
}

template <class T, KernelBackend B>
void sum_pieces(Context<B>& context, const T* pieces, index_t count, T beta, VectorView<T> sums) {
  launch<kernels::ColumnSumFinish<T>>(context, {pieces, count, T{1}, beta, sums});
}

}  // namespace dream
