// BPR (Rendle et al., UAI 2009) on b triples of rows, z_a = u_a . p_a - u_a . n_a:
//
//   forward    L = (1/b) sum_a w_a log(1 + exp(-z_a)),  slope_a = -w_a sigmoid(-z_a),  w_a = 1 where none are given
//   backward   g_a = d_loss slope_a / b,  du_a = g_a (p_a - n_a),  dp_a = g_a u_a,  dn_a = -g_a u_a,  each + beta d
//   with the regulariser in one pass: L + (c/2) (|U|^2 + |P|^2 + |N|^2), and du_a += c u_a and so on, d_loss = 1
//
// A team of threads a row (row_team.cuh), sums along it in double. Bytes of memory a column of a triple of float rows:
// forward 12, backward 24; in one pass with the regulariser 24, where apart they take 36 and the regulariser 48. No
// exponential overflows; NaN stays. The loss is summed in double, by block and then over the blocks; the grid depends
// on sizes alone.
#pragma once

#include <cmath>
#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/dot_products.cuh>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_team.cuh>
#include <dream/kernels/shapes.cuh>

namespace dream::kernels {

inline constexpr std::int64_t most_bpr_blocks = 1024;  ///< over which the loss is spread

/// log(1 + exp(-z)) and its derivative, -sigmoid(-z).
template <class T>
struct BprTerm {
  T loss, slope;

  DREAM_HOST_DEVICE static BprTerm of(T z) {
    using std::abs;
    using std::exp;
    using std::log1p;
    const T power = exp(-abs(z));
    return {(z < T{0} ? -z : T{0}) + log1p(power), (z >= T{0} ? -power : T{-1}) / (T{1} + power)};
  }
};

/// The rows of users, positive and negative items, b x d each.
template <class T>
struct BprTriples {
  MatrixView<const T> u, p, n;

  struct Units {
    typename RowTeam<T>::Unit u, p, n;
  };

  DREAM_HOST_DEVICE bool packs() const { return takes_packs(u) && takes_packs(p) && takes_packs(n); }
  /// What triple a has at column `col`.
  template <class Thread>
  DREAM_HOST_DEVICE Units read(const Thread& th, const RowTeam<T>& team, index_t a, std::int64_t col,
                               bool packs) const {
    return {team.read(th, u.row(a), col, packs), team.read(th, p.row(a), col, packs),
            team.read(th, n.row(a), col, packs)};
  }
  /// The term of triple a, in all threads of its team; calls each(u, p, n) for this thread's values. Without a triple
  /// the threads still take part.
  template <class Thread, class Each>
  DREAM_HOST_DEVICE BprTerm<T> term(const Thread& th, const RowTeam<T>& team, index_t a, bool there, bool packs,
                                    const Each& each) const {
    double z = 0;
    if (there)
      team.for_each_unit([&](std::int64_t col) {
        const Units x = read(th, team, a, col, packs);
        DREAM_UNROLL
        for (int k = 0; k < team.width; ++k) {
          const double user = static_cast<double>(x.u[k]), positive = static_cast<double>(x.p[k]),
                       negative = static_cast<double>(x.n[k]);
          z += user * (positive - negative);
          each(user, positive, negative);
        }
      });
    TeamScratch<double, false> none;
    return BprTerm<T>::of(static_cast<T>(team.sum(th, z, none)));
  }
};

/// slope[a] = -w_a sigmoid(-z_a), and the blocks' sums of the loss.
template <class T>
struct BprForward {
  static constexpr int threads = team_threads;
  struct Params {
    BprTriples<T> x;
    VectorView<T> slope;
    double* sums;          ///< one a block
    const float* weights;  ///< of the triples; null: 1
  };
  struct Shared {
    BlockScratch<double, threads> sums;
  };
  static int grid(const Params& p) { return RowTeam<T>::grid(p.x.u.rows, p.x.u.cols, most_bpr_blocks); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const RowTeam<T> team(th, p.x.u.cols);
    const bool packs = p.x.packs();
    double loss = 0;
    team.for_each_row(th, p.x.u.rows, [&](index_t a, bool there) {
      const BprTerm<T> term = p.x.term(th, team, a, there, packs, [](double, double, double) {});
      if (!there || team.rank != 0) return;
      const T weight = p.weights == nullptr ? T{1} : static_cast<T>(th.load_readonly(p.weights + a));
      loss += static_cast<double>(weight * term.loss);
      th.store(p.slope.data + a, weight * term.slope);
    });
    loss = block_sum(th, loss, shared.sums);
    if (th.thread() == 0) th.store(p.sums + th.block(), loss);
  }
};

/// Loss and unit gradients of BPR with half the squares of the same rows times `regulariser`.
template <class T>
struct BprWithSquares {
  static constexpr int threads = team_threads;
  struct Params {
    BprTriples<T> x;
    T regulariser;  ///< c: its weight over the batch size
    MatrixView<T> du, dp, dn;
    double* sums;  ///< of the loss, one a block, then of the squares, one a block
  };
  struct Shared {
    BlockScratch<double, threads> sums;
  };
  static int grid(const Params& p) { return RowTeam<T>::grid(p.x.u.rows, p.x.u.cols, most_bpr_blocks); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const RowTeam<T> team(th, p.x.u.cols);
    const bool packs = p.x.packs(), packs_out = takes_packs(p.du) && takes_packs(p.dp) && takes_packs(p.dn);
    const T c = p.regulariser, share = T{1} / static_cast<T>(p.x.u.rows);
    double loss = 0, squares = 0;
    team.for_each_row(th, p.x.u.rows, [&](index_t a, bool there) {
      const BprTerm<T> term = p.x.term(th, team, a, there, packs, [&](double user, double positive, double negative) {
        squares += user * user + positive * positive + negative * negative;
      });
      if (!there) return;
      if (team.rank == 0) loss += static_cast<double>(term.loss);
      const T g = term.slope * share;
      team.for_each_unit([&](std::int64_t col) {  // the rows come from the L1 cache now
        auto x = p.x.read(th, team, a, col, packs);
        DREAM_UNROLL
        for (int k = 0; k < team.width; ++k) {
          const T along = g * x.u[k], across = g * (x.p[k] - x.n[k]);
          x.u[k] = across + c * x.u[k];
          x.p[k] = along + c * x.p[k];
          x.n[k] = c * x.n[k] - along;
        }
        team.write(th, p.du.row(a), col, x.u, T{0}, packs_out);
        team.write(th, p.dp.row(a), col, x.p, T{0}, packs_out);
        team.write(th, p.dn.row(a), col, x.n, T{0}, packs_out);
      });
    });
    loss = block_sum(th, loss, shared.sums);
    squares = block_sum(th, squares, shared.sums);
    if (th.thread() != 0) return;
    th.store(p.sums + th.block(), loss);
    th.store(p.sums + th.grid_blocks() + th.block(), squares);
  }
};

/// loss = factor * (sum of the first pieces) + square_factor * (sum of as many pieces after them); 0 of no pieces.
template <class T>
struct RankingLossFinish {
  static constexpr int threads = 256;
  struct Params {
    const double* sums;
    int count;
    double factor, square_factor;  ///< square_factor 0: there are no such pieces
    T* loss;
  };
  struct Shared {
    BlockScratch<double, threads> sums;
  };
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    double loss = p.factor * sum_of_pieces(th, p.sums, p.count, shared.sums);
    if (p.square_factor != 0) loss += p.square_factor * sum_of_pieces(th, p.sums + p.count, p.count, shared.sums);
    if (th.thread() == 0) th.store(p.loss, p.count == 0 ? T{0} : static_cast<T>(loss));
  }
};

/// du = g (p - n) + beta du, dp = g u + beta dp, dn = -g u + beta dn, each where wanted and in this order: two of them
/// may share their memory.
template <class T>
struct BprBackward {
  static constexpr int threads = Sweep::threads;
  struct Params {
    BprTriples<T> x;
    VectorView<const T> slope;
    const T* d_loss;  ///< in device memory
    GradientTarget<T> du, dp, dn;
  };
  struct Shared {};
  DREAM_HOST_DEVICE static Sweep sweep(const Params& p) {
    return Sweep::by_rows(p.x.u, p.x.p, p.x.n, p.du.view, p.dp.view, p.dn.view);
  }
  static int grid(const Params& p) { return sweep(p).template grid<T>(); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const T scale = th.load_readonly(p.d_loss) / static_cast<T>(p.x.u.rows);
    sweep_elements<T>(th, sweep(p), [&]<int N>(std::int64_t row, std::int64_t col, Width<N>) {
      const T g = scale * th.load_readonly(p.slope.data + row);
      if (p.du.wanted()) {
        Pack<T, N> d = th.load_readonly(as_pack<N>(element(p.x.p, row, col)));
        const Pack<T, N> negative = th.load_readonly(as_pack<N>(element(p.x.n, row, col)));
        DREAM_UNROLL
        for (int k = 0; k < N; ++k) d[k] = g * (d[k] - negative[k]);
        write<N>(th, element(p.du.view, row, col), d, p.du.beta);
      }
      if (!p.dp.wanted() && !p.dn.wanted()) return;
      Pack<T, N> along = th.load_readonly(as_pack<N>(element(p.x.u, row, col)));
      DREAM_UNROLL
      for (int k = 0; k < N; ++k) along[k] *= g;
      if (p.dp.wanted()) write<N>(th, element(p.dp.view, row, col), along, p.dp.beta);
      DREAM_UNROLL
      for (int k = 0; k < N; ++k) along[k] = -along[k];
      if (p.dn.wanted()) write<N>(th, element(p.dn.view, row, col), along, p.dn.beta);
    });
  }
};

/// loss = mean of w log(1 + exp(-z)) (0 of no rows), slope = -w sigmoid(-z).
template <class T>
struct BprForwardArguments {
  MatrixView<const T> u, p, n;
  VectorView<T> slope;
  T* loss;
  double* workspace;                     ///< bpr_forward_workspace() values
  VectorView<const float> weights = {};  ///< w, one a row; empty: 1
};
inline std::int64_t bpr_forward_workspace() { return most_bpr_blocks; }
template <class Context, class T>
void bpr_forward(Context& context, const BprForwardArguments<T>& a) {
  expect_shape("bpr, the positives", a.p, a.u.rows, a.u.cols);
  expect_shape("bpr, the negatives", a.n, a.u.rows, a.u.cols);
  expect_size("bpr, the slopes", a.slope, a.u.rows);
  if (!a.weights.empty()) expect_size("bpr, the weights", a.weights, a.u.rows);
  const typename BprForward<T>::Params p{{a.u, a.p, a.n}, a.slope, a.workspace, a.weights.data};
  launch<BprForward<T>>(context, p);
  launch<RankingLossFinish<T>>(context, {a.workspace, BprForward<T>::grid(p), 1.0 / a.u.rows, 0, a.loss});
}

/// loss = BPR + (c/2) (|U|^2 + |P|^2 + |N|^2), and its gradients, in one pass over the rows.
template <class T>
struct BprWithSquaresArguments {
  MatrixView<const T> u, p, n;
  T regulariser;  ///< c, such as the weight of the regulariser over the configured batch size
  MatrixView<T> du, dp, dn;
  T* loss;
  double* workspace;  ///< bpr_with_squares_workspace() values
};
inline std::int64_t bpr_with_squares_workspace() { return 2 * most_bpr_blocks; }
template <class Context, class T>
void bpr_with_squares(Context& context, const BprWithSquaresArguments<T>& a) {
  expect_shape("bpr, the positives", a.p, a.u.rows, a.u.cols);
  expect_shape("bpr, the negatives", a.n, a.u.rows, a.u.cols);
  for (const MatrixView<T>* gradient : {&a.du, &a.dp, &a.dn})
    expect_shape("bpr, a gradient", *gradient, a.u.rows, a.u.cols);
  const typename BprWithSquares<T>::Params p{{a.u, a.p, a.n}, a.regulariser, a.du, a.dp, a.dn, a.workspace};
  launch<BprWithSquares<T>>(context, p);
  launch<RankingLossFinish<T>>(context, {a.workspace, BprWithSquares<T>::grid(p), 1.0 / a.u.rows,
                                         0.5 * static_cast<double>(a.regulariser), a.loss});
}

}  // namespace dream::kernels
