// Losses of ranking (docs/components.md, 5): BPR (Rendle et al., UAI 2009) and the regulariser on the rows of a batch.
#pragma once

#include <cmath>
#include <span>

#include <dream/autograd/tape.hpp>
#include <dream/kernels/embedding_regulariser.cuh>
#include <dream/kernels/ranking_loss.cuh>
#include <dream/ops/dense.hpp>

namespace dream {

/// L = -(1/b) sum_a w_a log sigmoid(u_a . p_a - u_a . n_a).  Inputs U, P, N (b x d), result 1 x 1.
/// With z = u . p - u . n and g = -w sigmoid(-z) / b:  du = g (p - n),  dp = g u,  dn = -g u.
template <class T, class B>
class BprLoss {
 public:
  Shape shape(MatrixView<const T> u, MatrixView<const T> p, MatrixView<const T> n) const {
    DREAM_EXPECT(u.rows == p.rows && u.rows == n.rows && u.cols == p.cols && u.cols == n.cols && u.rows > 0,
                 "BPR: users are ", dream::shape(u), ", positives ", dream::shape(p), ", negatives ", dream::shape(n));
    return {1, 1};
  }
  /// The weights w (b values, which must outlive the step) of what is applied next; none: 1.
  void weigh(VectorView<const float> weights) { weights_ = weights; }
  void forward(Context<B>& context, MatrixView<const T> u, MatrixView<const T> p, MatrixView<const T> n,
               MatrixView<T> loss) {
    DREAM_EXPECT(weights_.empty() || weights_.size == u.rows, "BPR: ", weights_.size, " weights for ", u.rows, " rows");
    slope_.resize(context, u.rows);
    bpr_forward<T>(context, u, p, n, weights_, slope_.view(), loss);
  }
  void backward(Context<B>& context, MatrixView<const T> u, MatrixView<const T> p, MatrixView<const T> n,
                MatrixView<const T>, MatrixView<const T> d_loss, GradView<T> du, GradView<T> dp, GradView<T> dn) {
    bpr_backward<T>(context, d_loss, slope_.view(), u, p, n, du, dp, dn);
  }

 private:
  Array<T, B> slope_;  // -w sigmoid(-z)
  VectorView<const float> weights_ = {};
};

/// Which form the regulariser has: half the sum of squares over a configured batch size (DREAM, MGCN), or the sum of
/// the matrices' norms over the number of rows ("norm-reg": LightGCN, VBPR and others).
enum class RegulariserForm { squares, norms };

/// squares: L = (1/2) sum_i |X_i|_F^2 / batch_size;  norms: L = sum_i |X_i|_F / rows.  Any number of inputs, result 1
/// x 1.
template <class T, class B>
class EmbeddingRegulariser {
 public:
  explicit EmbeddingRegulariser(RegulariserForm form, index_t batch_size = 1) : form_(form), batch_size_(batch_size) {
    DREAM_EXPECT(batch_size > 0, "regulariser: the batch size must be positive, not ", batch_size);
  }

  Shape shape(std::span<const MatrixView<const T>> x) const {
    DREAM_EXPECT(!x.empty() && x[0].rows > 0, "regulariser: nothing to regularise");
    return {1, 1};
  }
  void forward(Context<B>& context, std::span<const MatrixView<const T>> x, MatrixView<T> loss) {
    norms_.resize(context, static_cast<std::int64_t>(x.size()));
    regulariser_forward<T>(context, form_, batch_size_, x, norms_.view(), loss);
  }
  void backward(Context<B>& context, std::span<const MatrixView<const T>> x, MatrixView<const T>,
                MatrixView<const T> d_loss, std::span<const GradView<T>> dx) {
    regulariser_backward<T>(context, form_, batch_size_, norms_.view(), x, d_loss, dx);
  }

 private:
  RegulariserForm form_;
  index_t batch_size_;
  Array<double, B> norms_;
};

/// loss = mean of w log(1 + exp(-z)), slope = -w sigmoid(-z).
template <class T>
void bpr_forward(Context<Cpu>& context, MatrixView<const T> u, MatrixView<const T> p, MatrixView<const T> n,
                 VectorView<const float> weights, VectorView<T> slope, MatrixView<T> loss) {
  const double total = ordered_sum(context, u.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    double sum = 0;
    for (index_t a = static_cast<index_t>(begin); a < end; ++a) {
      double z = 0;
      const T *ua = u.row(a), *pa = p.row(a), *na = n.row(a);
      for (index_t j = 0; j < u.cols; ++j)
        z += static_cast<double>(ua[j]) * (static_cast<double>(pa[j]) - static_cast<double>(na[j]));
      // log(1 + exp(-z)) without overflow
      const double weight = weights.empty() ? 1.0 : static_cast<double>(weights[a]);
      sum += weight * (std::max(0.0, -z) + std::log1p(std::exp(-std::abs(z))));
      slope[a] = static_cast<T>(weight * (z >= 0 ? -std::exp(-z) / (1 + std::exp(-z)) : -1 / (1 + std::exp(z))));
      if (z != z) sum = z;
    }
    return sum;
  });
  loss(0, 0) = static_cast<T>(total / u.rows);
}

template <class T>
void bpr_backward(Context<Cpu>& context, MatrixView<const T> d_loss, VectorView<const T> slope, MatrixView<const T> u,
                  MatrixView<const T> p, MatrixView<const T> n, GradView<T> du, GradView<T> dp, GradView<T> dn) {
  const T scale = d_loss(0, 0) / static_cast<T>(u.rows);
  const auto write = [](GradView<T> g, index_t a, index_t j, T value) {
    T& to = g.view(a, j);
    to = g.beta == T{0} ? value : value + g.beta * to;
  };
  context.parallel_blocks(u.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t a = static_cast<index_t>(begin); a < end; ++a) {
      const T g = scale * slope[a];
      for (index_t j = 0; j < u.cols; ++j) {
        if (du.wanted()) write(du, a, j, g * (p(a, j) - n(a, j)));
        if (dp.wanted()) write(dp, a, j, g * u(a, j));
        if (dn.wanted()) write(dn, a, j, -g * u(a, j));
      }
    }
  });
}

/// The value of the regulariser; `norms` receives |X_i|_F.
template <class T>
void regulariser_forward(Context<Cpu>& context, RegulariserForm form, index_t batch_size,
                         std::span<const MatrixView<const T>> x, VectorView<double> norms, MatrixView<T> loss) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double squares = dot(context, x[i], x[i]);
    norms[static_cast<std::int64_t>(i)] = std::sqrt(squares);
    sum += form == RegulariserForm::squares ? 0.5 * squares / batch_size : std::sqrt(squares) / x[0].rows;
  }
  loss(0, 0) = static_cast<T>(sum);
}

template <class T>
void regulariser_backward(Context<Cpu>& context, RegulariserForm form, index_t batch_size,
                          VectorView<const double> norms, std::span<const MatrixView<const T>> x,
                          MatrixView<const T> d_loss, std::span<const GradView<T>> dx) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!dx[i].wanted()) continue;
    const double norm = norms[static_cast<std::int64_t>(i)];
    const double slope = form == RegulariserForm::squares ? 1.0 / batch_size
                         : norm > 0                       ? 1.0 / (norm * x[0].rows)
                                                          : 0.0;
    scaled_axpby<T>(context, static_cast<T>(slope), d_loss, x[i], dx[i].beta, dx[i].view);
  }
}

template <class T, KernelBackend B>
void bpr_forward(Context<B>& context, MatrixView<const T> u, MatrixView<const T> p, MatrixView<const T> n,
                 VectorView<const float> weights, VectorView<T> slope, MatrixView<T> loss) {
  double* workspace = context.template scratch<double>(0, kernels::bpr_forward_workspace());
  kernels::bpr_forward(context, kernels::BprForwardArguments<T>{u, p, n, slope, loss.data, workspace, weights});
}

template <class T, KernelBackend B>
void bpr_backward(Context<B>& context, MatrixView<const T> d_loss, VectorView<const T> slope, MatrixView<const T> u,
                  MatrixView<const T> p, MatrixView<const T> n, GradView<T> du, GradView<T> dp, GradView<T> dn) {
  launch<kernels::BprBackward<T>>(
      context, {{u, p, n}, slope, d_loss.data, kernel_target(du), kernel_target(dp), kernel_target(dn)});
}

template <class T, KernelBackend B>
void regulariser_forward(Context<B>& context, RegulariserForm form, index_t batch_size,
                         std::span<const MatrixView<const T>> x, VectorView<double> norms, MatrixView<T> loss) {
  DREAM_EXPECT(x.size() <= kernels::most_products, "regulariser: ", x.size(), " matrices, kernels take ",
               kernels::most_products);
  const bool squares = form == RegulariserForm::squares;
  const int count = static_cast<int>(x.size());
  kernels::RegulariserForwardArguments<T> a{};
  std::copy(x.begin(), x.end(), a.x);
  a.count = count;
  a.squares = squares;
  a.divisor = squares ? batch_size : x[0].rows;
  a.norms = norms.data;
  a.loss = loss.data;
  a.workspace = context.template scratch<double>(0, kernels::regulariser_forward_workspace(count));
  kernels::regulariser_forward(context, a);
}

template <class T, KernelBackend B>
void regulariser_backward(Context<B>& context, RegulariserForm form, index_t batch_size, VectorView<const double> norms,
                          std::span<const MatrixView<const T>> x, MatrixView<const T> d_loss,
                          std::span<const GradView<T>> dx) {
  const bool squares = form == RegulariserForm::squares;
  typename kernels::RegulariserBackward<T>::Params p{};
  std::copy(x.begin(), x.end(), p.x);
  for (std::size_t i = 0; i < dx.size(); ++i) p.dx[i] = kernel_target(dx[i]);
  p.count = static_cast<int>(x.size());
  p.squares = squares;
  p.divisor = squares ? batch_size : x[0].rows;
  p.norms = norms.data;
  p.d_loss = d_loss.data;
  launch<kernels::RegulariserBackward<T>>(context, p);
}

}  // namespace dream
