// Attention over modalities, row by row (MGCN, Yu et al., ACM MM 2023), around its dense products P_m = C_m A.
//
//   forward    t_m = tanh(P_m + a0),  s_m = t_m . q,  a = softmax over m of s,  out = sum_m a_m C_m
//   backward   g_m = d_out . C_m,  ds_m = a_m (g_m - sum_m' a_m' g_m'),  dP_m = ds_m q^T * (1 - t_m^2),
//              d a0 = sum over m and rows of dP_m,  dq = sum over m and rows of ds_m t_m,  dC_m = a_m d_out + dP_m A^T
//              with dP_m A^T and dA = sum_m C_m^T dP_m by the caller's products
//
// The P_m of M modalities stand below each other, M b x k, and t takes their place. What a row has one of a modality
// (a, ds) is M x b without gaps: its values have the order of that stack's rows.
//
// AttendModalities and its backward: a team of threads a row (row_team.cuh), all modalities of the row together, so
// that memory is asked for d_out and for each modality once. AttentionPreGradient: columns along threads, pieces of
// rows whose borders depend on sizes alone, as in ColumnSumPieces; one look at t gives dP and both sums. Bytes a row of
// floats: 4 (2 M k + (M + 1) d) forward; 4 (2 M + 1) d and 8 M k backward. Forward takes a tanh, some 20 operations, a
// value of P: less than half of that time on an H100.
#pragma once

#include <cmath>
#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/column_sums.cuh>
#include <dream/kernels/dense.cuh>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/modal_fusion.cuh>
#include <dream/kernels/row_team.cuh>
#include <dream/kernels/shapes.cuh>

namespace dream::kernels {

/// hidden = tanh(hidden + a0), attention = softmax over the modalities of hidden q, out = sum_m attention_m in[m]: of
/// at most `Most` modalities, registers are for those. Scores of any size do not overflow; NaN stays NaN.
template <class T, int Most = most_modalities>
struct AttendModalities {
  static constexpr int threads = team_threads;
  struct Params {
    MatrixView<T> hidden;       ///< M b x k, holds the products
    VectorView<const T> a0, q;  ///< k values each
    MatrixView<const T> in[Most];
    MatrixView<T> attention;  ///< M x b
    MatrixView<T> out;        ///< b x d
  };
  struct Shared {};
  DREAM_HOST_DEVICE static index_t longest(const Params& p) {
    return p.out.cols > p.hidden.cols ? p.out.cols : p.hidden.cols;
  }
  static int grid(const Params& p) { return RowTeam<T>::grid(p.out.rows, longest(p)); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    using std::exp;
    RowTeam<T> team(th, longest(p)), hidden_team = team;
    team.cols = p.out.cols;
    hidden_team.cols = p.hidden.cols;
    const int count = p.attention.rows;
    const bool packs_hidden = takes_packs(p.hidden) && begins_pack(p.a0.data) && begins_pack(p.q.data);
    bool packs = takes_packs(p.out);
    DREAM_UNROLL
    for (int m = 0; m < Most; ++m) packs = packs && takes_packs(p.in[m]);
    TeamScratch<T, false> none;
    team.for_each_row(th, p.out.rows, [&](index_t row, bool there) {
      T share[Most], largest = lowest_value<T>, total = 0;
      DREAM_UNROLL
      for (int m = 0; m < Most; ++m) {
        if (m >= count) continue;
        T* hidden = element(p.hidden, std::int64_t{m} * p.out.rows + row, 0);
        share[m] = team.sum(th, there ? score(th, p, hidden_team, hidden, packs_hidden) : T{0}, none);
        largest = larger(largest, share[m]);
      }
      if (!there) return;
      DREAM_UNROLL
      for (int m = 0; m < Most; ++m)
        if (m < count) total += share[m] = exp(share[m] - largest);
      DREAM_UNROLL
      for (int m = 0; m < Most; ++m) {
        if (m >= count) continue;
        share[m] /= total;
        if (team.rank == 0) th.store(element(p.attention, m, row), share[m]);
      }
      team.for_each_unit([&](std::int64_t col) {
        typename RowTeam<T>::Unit in[Most], sum{};
        DREAM_UNROLL
        for (int m = 0; m < Most; ++m)
          if (m < count) in[m] = team.read(th, p.in[m].row(row), col, packs);
        DREAM_UNROLL
        for (int m = 0; m < Most; ++m) {
          if (m >= count) continue;
          DREAM_UNROLL
          for (int k = 0; k < team.width; ++k) sum[k] += share[m] * in[m][k];
        }
        team.write(th, p.out.row(row), col, sum, T{0}, packs);
      });
    });
  }

 private:
  /// Writes t in this thread's units of a row of the stack; returns its part of t . q.
  template <class Thread>
  DREAM_HOST_DEVICE static T score(const Thread& th, const Params& p, const RowTeam<T>& team, T* hidden, bool packs) {
    using std::tanh;
    T part = 0;
    team.for_each_unit([&](std::int64_t col) {
      auto t = team.read(th, hidden, col, packs);
      const auto a0 = team.read(th, p.a0.data, col, packs), q = team.read(th, p.q.data, col, packs);
      DREAM_UNROLL
      for (int k = 0; k < team.width; ++k) {
        t[k] = tanh(t[k] + a0[k]);
        part += t[k] * q[k];
      }
      team.write(th, hidden, col, t, T{0}, packs);
    });
    return part;
  }
};

/// slopes = ds, and d_in[m] = attention_m d_out + beta d_in[m] where wanted, in the order of the modalities: of targets
/// that share memory the second finds what the first wrote.
template <class T, int Most = most_modalities>
struct AttendModalitiesBackward {
  static constexpr int threads = team_threads;
  struct Params {
    MatrixView<const T> attention;  ///< M x b
    MatrixView<const T> in[Most];
    MatrixView<const T> d_out;
    GradientTarget<T> d_in[Most];
    MatrixView<T> slopes;  ///< M x b
  };
  struct Shared {};
  static int grid(const Params& p) { return RowTeam<T>::grid(p.d_out.rows, p.d_out.cols); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const RowTeam<T> team(th, p.d_out.cols);
    const int count = p.attention.rows;
    bool packs = takes_packs(p.d_out);
    DREAM_UNROLL
    for (int m = 0; m < Most; ++m) {
      packs = packs && takes_packs(p.in[m]) && takes_packs(p.d_in[m].view);
    }
    TeamScratch<T, false> none;
    team.for_each_row(th, p.d_out.rows, [&](index_t row, bool there) {
      T along[Most]{}, share[Most], mean = 0;
      if (there)
        team.for_each_unit([&](std::int64_t col) {
          typename RowTeam<T>::Unit in[Most];
          const auto d = team.read(th, p.d_out.row(row), col, packs);
          DREAM_UNROLL
          for (int m = 0; m < Most; ++m)
            if (m < count) in[m] = team.read(th, p.in[m].row(row), col, packs);
          DREAM_UNROLL
          for (int m = 0; m < Most; ++m) {
            if (m >= count) continue;
            DREAM_UNROLL
            for (int k = 0; k < team.width; ++k) along[m] += d[k] * in[m][k];
          }
        });
      DREAM_UNROLL
      for (int m = 0; m < Most; ++m) {
        if (m >= count) continue;
        along[m] = team.sum(th, along[m], none);
        share[m] = th.load_readonly(element(p.attention, m, row));
        mean += share[m] * along[m];
      }
      if (!there) return;
      DREAM_UNROLL
      for (int m = 0; m < Most; ++m)
        if (m < count && team.rank == 0) th.store(element(p.slopes, m, row), share[m] * (along[m] - mean));
      DREAM_UNROLL
      for (int m = 0; m < Most; ++m) {
        const GradientTarget<T>& target = p.d_in[m];
        if (m >= count || !target.wanted()) continue;
        team.for_each_unit([&](std::int64_t col) {
          auto d = team.read(th, p.d_out.row(row), col, packs);
          DREAM_UNROLL
          for (int k = 0; k < team.width; ++k) d[k] *= share[m];
          team.write(th, target.view.row(row), col, d, target.beta, packs);
        });
      }
    });
  }
};

/// d_pre = slope q^T * (1 - t^2), and the sums over pieces of the rows of d_pre and of slope * t: row i of each is that
/// of piece i. Each is made where it has data; ColumnSumFinish adds the pieces.
template <class T>
struct AttentionPreGradient {
  using Pieces = ColumnSumPieces<T>;
  static constexpr int threads = Pieces::threads, width = Pieces::width;
  struct Params {
    MatrixView<const T> t;    ///< rows x k
    const T* slopes;          ///< one a row
    VectorView<const T> q;    ///< k
    MatrixView<T> d_pre;      ///< rows x k
    T *a0_pieces, *q_pieces;  ///< Pieces::count(rows) x k each
  };
  struct alignas(16) Shared {
    T a0[threads * width], q[threads * width];
  };
  static int grid(const Params& p) { return Pieces::count(p.t.rows) * Pieces::strips(p.t.cols); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const index_t cols = p.t.cols;
    const int lanes = Pieces::side_by_side(cols), teams = threads / lanes, team = th.thread() / lanes;
    const int piece = th.block() / Pieces::strips(cols);
    const std::int64_t first_col = std::int64_t{th.block() - piece * Pieces::strips(cols)} * lanes * width;
    const std::int64_t col = first_col + th.thread() % lanes * width;
    const std::int64_t begin = std::int64_t{piece} * Pieces::rows_of_piece(p.t.rows);
    const std::int64_t most = begin + Pieces::rows_of_piece(p.t.rows), end = most < p.t.rows ? most : p.t.rows;
    Pack<T, width> q{}, a0_sum{}, q_sum{};
    DREAM_UNROLL
    for (int k = 0; k < width; ++k)
      if (col + k < cols) q[k] = th.load_readonly(p.q.data + col + k);
    const auto go_down = [&]<int N>(Width<N>) {
      for (std::int64_t row = begin + team; row < end; row += teams) {
        const T slope = th.load_readonly(p.slopes + row);
        DREAM_UNROLL
        for (int first = 0; first < width; first += N) {
          if (col + first >= cols) continue;
          const Pack<T, N> t = th.load_readonly(as_pack<N>(element(p.t, row, col + first)));
          Pack<T, N> d_pre;
          DREAM_UNROLL
          for (int k = 0; k < N; ++k) {
            d_pre[k] = slope * q[first + k] * (T{1} - t[k] * t[k]);
            a0_sum[first + k] += d_pre[k];
            q_sum[first + k] += slope * t[k];
          }
          if (p.d_pre.data != nullptr) write<N>(th, element(p.d_pre, row, col + first), d_pre);
        }
      }
    };
    if (takes_packs(p.t) && takes_packs(p.d_pre) && col + width <= cols)
      go_down(Width<width>{});
    else
      go_down(Width<1>{});
    th.store(as_pack<width>(shared.a0 + th.thread() * width), a0_sum);
    th.store(as_pack<width>(shared.q + th.thread() * width), q_sum);
    th.sync();
    for (int c = th.thread(); c < lanes * width && first_col + c < cols; c += threads) {
      T all_a0 = shared.a0[c], all_q = shared.q[c];
      for (int t = 1; t < teams; ++t) {
        all_a0 += shared.a0[t * lanes * width + c];
        all_q += shared.q[t * lanes * width + c];
      }
      const std::int64_t at = std::int64_t{piece} * cols + first_col + c;
      if (p.a0_pieces != nullptr) th.store(p.a0_pieces + at, all_a0);
      if (p.q_pieces != nullptr) th.store(p.q_pieces + at, all_q);
    }
  }
};

/// AttendModalities for any number of modalities up to most_modalities.
template <class T>
struct AttendModalitiesArguments {
  MatrixView<T> hidden;
  VectorView<const T> a0, q;
  MatrixView<const T> in[most_modalities];
  MatrixView<T> attention;
  MatrixView<T> out;
};
template <class Context, class T>
void attend_modalities(Context& context, const AttendModalitiesArguments<T>& a) {
  const index_t count = a.attention.rows, rows = a.out.rows;
  DREAM_EXPECT(count <= most_modalities, "attend_modalities: ", count, " modalities, of which there can be ",
               most_modalities);
  expect_shape("attend_modalities, the attention", a.attention, count, rows);
  for (int m = 0; m < count; ++m) expect_shape("attend_modalities, a modality", a.in[m], rows, a.out.cols);
  detail::with_most_modalities(a.attention.rows, [&]<int Most>(Width<Most>) {
    typename AttendModalities<T, Most>::Params p{};
    p.hidden = a.hidden;
    p.a0 = a.a0;
    p.q = a.q;
    for (int m = 0; m < Most; ++m) p.in[m] = a.in[m];
    p.attention = a.attention;
    p.out = a.out;
    launch<AttendModalities<T, Most>>(context, p);
  });
}

/// AttendModalitiesBackward for any number of modalities up to most_modalities.
template <class T>
struct AttendModalitiesBackwardArguments {
  MatrixView<const T> attention;
  MatrixView<const T> in[most_modalities];
  MatrixView<const T> d_out;
  GradientTarget<T> d_in[most_modalities];
  MatrixView<T> slopes;
};
template <class Context, class T>
void attend_modalities_backward(Context& context, const AttendModalitiesBackwardArguments<T>& a) {
  const index_t count = a.attention.rows, rows = a.d_out.rows;
  expect_shape("attend_modalities, the attention", a.attention, count, rows);
  for (int m = 0; m < count; ++m) {
    expect_shape("attend_modalities, a modality", a.in[m], rows, a.d_out.cols);
    expect_shape_if_given("attend_modalities, a modality's gradient", a.d_in[m].view, rows, a.d_out.cols);
  }
  detail::with_most_modalities(a.attention.rows, [&]<int Most>(Width<Most>) {
    typename AttendModalitiesBackward<T, Most>::Params p{};
    p.attention = a.attention;
    for (int m = 0; m < Most; ++m) {
      p.in[m] = a.in[m];
      p.d_in[m] = a.d_in[m];
    }
    p.d_out = a.d_out;
    p.slopes = a.slopes;
    launch<AttendModalitiesBackward<T, Most>>(context, p);
  });
}

}  // namespace dream::kernels
