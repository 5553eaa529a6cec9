// Across modalities: E_M[r] = sum_m w_rm H_m[r],  w_rm = a_m p_rm / S_r,  S_r = sum_m a_m p_rm,  where p_rm says
// whether entity r has modality m; an entity that has none gets a zero row, and a modality that is absent is not used.
//
//   backward   dH_m[r] = w_rm dE_r + beta dH_m[r];  with t_rm = dE_r . H_m[r],
//              d a_m = sum_r p_rm (t_rm - sum_m' w_rm' t_rm') / S_r,  d logits = a (d a - a . d a) for a =
//              softmax(logits)
//
// Forward is elementwise: a thread loads its unit of every modality before it uses one. Backward has a team of threads
// a row (row_team.cuh) for the sums t. Bytes a float of one matrix: forward 4 (M + 1), backward 4 (M + 1) without the
// logits, 4 (2 M + 1) with them. Sums over the rows are taken in double, by block and then over the blocks in order;
// the grid depends on sizes alone.
#pragma once

#include <cmath>
#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_team.cuh>
#include <dream/kernels/shapes.cuh>

namespace dream::kernels {

inline constexpr int most_modalities = 8;
inline constexpr std::int64_t most_fusion_blocks = 1024;  ///< over which the sums of the logits' gradient are spread

/// weights = softmax of the logits; NaN where one of them is.
template <class T>
struct ModalitySoftmax {
  static constexpr int threads = warp_lanes;
  struct Params {
    VectorView<const T> logits;  ///< at most most_modalities
    VectorView<T> weights;
  };
  struct Shared {};
  static int grid(const Params& p) { return p.logits.size > 0 ? 1 : 0; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    using std::exp;
    const bool mine = th.lane() < p.logits.size;
    const T logit = mine ? th.load_readonly(p.logits.data + th.lane()) : lowest_value<T>;
    const T largest = warp_max(th, logit);
    const T power = mine ? exp(logit - largest) : T{0};
    const T sum = warp_sum(th, power);
    if (mine) th.store(p.weights.data + th.lane(), power / sum);
  }
};

/// Which entity has which modality, and how much a modality counts.
template <class T>
struct FusionWeights {
  const T* weights;                ///< a, one a modality, in device memory
  MatrixView<const T> present;     ///< entities x M, 1 or 0
  VectorView<const index_t> rows;  ///< the batch: row k belongs to entity rows[k]

  DREAM_HOST_DEVICE int count() const { return present.cols; }
  /// Where p_m of a row of the batch stand. For a row that there is not: those of another; what is fused is NaN then.
  template <class Thread>
  DREAM_HOST_DEVICE const T* presence(const Thread& th, std::int64_t row) const {
    const index_t entity = th.load_readonly(rows.data + row);
    return present.row(entity >= 0 && entity < present.rows ? entity : 0);
  }
  /// a_m p_m.
  template <class Thread>
  DREAM_HOST_DEVICE T share(const Thread& th, const T* presence_of_row, int m) const {
    return th.load_readonly(weights + m) * th.load_readonly(presence_of_row + m);
  }
  /// 1 / S_r: w_m is a_m p_m times it. Rows without modalities have 0, NaN stays.
  template <class Thread>
  DREAM_HOST_DEVICE T inverse_of_total(const Thread& th, const T* presence_of_row) const {
    T total = 0;
    DREAM_KEEP_LOOP
    for (int m = 0; m < count(); ++m) total += share(th, presence_of_row, m);
    return total <= T{0} ? T{0} : T{1} / total;
  }
};

/// out[k] = sum_m w_km in[m][k], of at most `Most` modalities: registers are for those.
template <class T, int Most = most_modalities>
struct FuseModalities {
  static constexpr int threads = Sweep::threads;
  struct Params {
    FusionWeights<T> by;
    MatrixView<const T> in[Most];
    MatrixView<T> out;
  };
  struct Shared {};
  DREAM_HOST_DEVICE static Sweep sweep(const Params& p) {
    Sweep sweep = Sweep::by_rows(p.out);
    DREAM_UNROLL
    for (int m = 0; m < Most; ++m) sweep.packs = sweep.packs && takes_packs(p.in[m]);
    return sweep;
  }
  static int grid(const Params& p) { return sweep(p).template grid<T>(); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    sweep_elements<T>(th, sweep(p), [&]<int N>(std::int64_t row, std::int64_t col, Width<N>) {
      // All loads before any use: they are on their way together.
      Pack<T, N> in[Most], sum{};
      DREAM_UNROLL
      for (int m = 0; m < Most; ++m)
        if (m < p.by.count()) in[m] = th.load_readonly(as_pack<N>(element(p.in[m], row, col)));
      const T* has = p.by.presence(th, row);
      const T inverse = p.by.inverse_of_total(th, has);
      DREAM_UNROLL
      for (int m = 0; m < Most; ++m) {
        if (m >= p.by.count()) continue;
        const T w = p.by.share(th, has, m) * inverse;
        if (w == T{0}) continue;
        DREAM_UNROLL
        for (int k = 0; k < N; ++k) sum[k] += w * in[m][k];
      }
      write<N>(th, element(p.out, row, col), sum);
    });
  }
};

/// d_in[m][k] = w_km d_out[k] + beta d_in[m][k] where wanted, and the blocks' sums of d a_m where `slopes` are wanted.
template <class T>
struct FuseModalitiesBackward {
  static constexpr int threads = team_threads;
  struct Params {
    FusionWeights<T> by;
    MatrixView<const T> in[most_modalities];  ///< for the slopes only
    MatrixView<const T> d_out;
    GradientTarget<T> d_in[most_modalities];
    double* slopes;  ///< grid x most_modalities
  };
  struct Shared {  // a row a team, which its first thread alone touches: in registers they would be spilled
    double slope[threads][most_modalities];
  };
  static int grid(const Params& p) { return RowTeam<T>::grid(p.d_out.rows, p.d_out.cols, most_fusion_blocks); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const RowTeam<T> team(th, p.d_out.cols);
    const bool learns = p.slopes != nullptr, first = learns && team.rank == 0;
    double* slope = shared.slope[team.index];
    for (int m = 0; first && m < p.by.count(); ++m) slope[m] = 0;
    TeamScratch<double, false> none;
    team.for_each_row(th, p.d_out.rows, [&](index_t row, bool there) {
      const T* has = p.by.presence(th, row);
      const T inverse = p.by.inverse_of_total(th, has);
      double mean = 0;
      for (int m = 0; m < p.by.count(); ++m) {
        const T w = p.by.share(th, has, m) * inverse;
        const double sum = team.sum(th, backward_of_row(th, p, team, row, there, m, w, learns && w != T{0}), none);
        mean += static_cast<double>(w) * sum;
        if (first && there) slope[m] += static_cast<double>(th.load_readonly(has + m) * inverse) * sum;
      }
      for (int m = 0; first && there && m < p.by.count(); ++m)
        slope[m] -= static_cast<double>(th.load_readonly(has + m) * inverse) * mean;
    });
    if (!learns) return;
    th.sync();
    static_assert(threads == most_modalities * warp_lanes);  // a warp a modality
    const int m = th.warp();
    if (m >= p.by.count()) return;
    double sum = 0;
    for (int t = th.lane(); t < team.teams; t += warp_lanes) sum += shared.slope[t][m];
    sum = warp_sum(th, sum);
    if (th.lane() == 0) th.store(p.slopes + std::int64_t{th.block()} * most_modalities + m, sum);
  }

 private:
  /// Writes the gradient of modality m in a row; returns this thread's part of d_out . in[m] where that is `used`.
  template <class Thread>
  DREAM_HOST_DEVICE static double backward_of_row(const Thread& th, const Params& p, const RowTeam<T>& team,
                                                  index_t row, bool there, int m, T w, bool used) {
    const GradientTarget<T>& target = p.d_in[m];
    double along = 0;
    if (!there || !(used || target.wanted())) return along;
    const bool packs = takes_packs(p.d_out) && takes_packs(p.in[m]) && takes_packs(target.view);
    team.for_each_unit([&](std::int64_t col) {
      auto d = team.read(th, p.d_out.row(row), col, packs);
      if (used) {
        const auto x = team.read(th, p.in[m].row(row), col, packs);
        DREAM_UNROLL
        for (int k = 0; k < team.width; ++k) along += static_cast<double>(d[k]) * static_cast<double>(x[k]);
      }
      if (!target.wanted()) return;
      DREAM_UNROLL
      for (int k = 0; k < team.width; ++k) d[k] *= w;
      team.write(th, target.view.row(row), col, d, target.beta, packs);
    });
    return along;
  }
};

/// d_logits = a (d a - a . d a) + beta d_logits, from the blocks' sums of d a: a warp a modality.
template <class T>
struct FusionLogitsBackward {
  static constexpr int threads = most_modalities * warp_lanes;
  struct Params {
    const double* slopes;
    int blocks;
    VectorView<const T> weights;
    T beta;
    VectorView<T> d_logits;
  };
  struct Shared {
    double slope[most_modalities];
  };
  static int grid(const Params& p) { return p.weights.size > 0 ? 1 : 0; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const int m = th.warp();
    double sum = 0;
    if (m < p.weights.size)
      for (std::int64_t i = th.lane(); i < p.blocks; i += warp_lanes)
        sum += th.load_readonly(p.slopes + i * most_modalities + m);
    sum = warp_sum(th, sum);
    if (th.lane() == 0) shared.slope[m] = sum;
    th.sync();
    if (th.lane() != 0 || m >= p.weights.size) return;
    double along = 0;
    for (int k = 0; k < p.weights.size; ++k)
      along += static_cast<double>(th.load_readonly(p.weights.data + k)) * shared.slope[k];
    const double a = static_cast<double>(th.load_readonly(p.weights.data + m));
    write<1>(th, p.d_logits.data + m, Pack<T, 1>{{static_cast<T>(a * (sum - along))}}, p.beta);
  }
};

namespace detail {

/// f(Width<Most>{}) with the fewest of 2, 4 and 8 that `count` modalities fit in.
template <class F>
void with_most_modalities(int count, F&& f) {
  if (count <= 2)
    f(Width<2>{});
  else if (count <= 4)
    f(Width<4>{});
  else
    f(Width<most_modalities>{});
}

}  // namespace detail

/// out = the weighted modalities of a batch.
template <class T>
struct FuseModalitiesArguments {
  FusionWeights<T> by;
  MatrixView<const T> in[most_modalities];
  MatrixView<T> out;
};
template <class Context, class T>
void fuse_modalities(Context& context, const FuseModalitiesArguments<T>& a) {
  const int count = a.by.count();
  DREAM_EXPECT(count <= most_modalities, "fuse_modalities: ", count, " modalities, of which there can be ",
               most_modalities);
  expect_size("fuse_modalities, the rows", a.by.rows, a.out.rows);
  for (int m = 0; m < count; ++m) expect_shape("fuse_modalities, a modality", a.in[m], a.out.rows, a.out.cols);
  detail::with_most_modalities(count, [&]<int Most>(Width<Most>) {
    typename FuseModalities<T, Most>::Params p{};
    p.by = a.by;
    for (int m = 0; m < Most; ++m) p.in[m] = a.in[m];
    p.out = a.out;
    launch<FuseModalities<T, Most>>(context, p);
  });
}

/// The gradients of fused modalities; each is written where wanted.
template <class T>
struct FuseModalitiesBackwardArguments {
  FusionWeights<T> by;
  MatrixView<const T> in[most_modalities];  ///< read only where the logits' gradient is wanted
  MatrixView<const T> d_out;
  GradientTarget<T> d_in[most_modalities];
  VectorView<T> d_logits;  ///< no data: not wanted
  T logits_beta;
  double* workspace;  ///< fuse_modalities_backward_workspace() values where the logits' gradient is wanted
};
inline std::int64_t fuse_modalities_backward_workspace() { return most_fusion_blocks * most_modalities; }
template <class Context, class T>
void fuse_modalities_backward(Context& context, const FuseModalitiesBackwardArguments<T>& a) {
  expect_size("fuse_modalities, the rows", a.by.rows, a.d_out.rows);
  for (int m = 0; m < a.by.count(); ++m)
    expect_shape_if_given("fuse_modalities, a modality's gradient", a.d_in[m].view, a.d_out.rows, a.d_out.cols);
  using Kernel = FuseModalitiesBackward<T>;
  const bool learns = a.d_logits.data != nullptr;
  typename Kernel::Params p{};
  p.by = a.by;
  for (int m = 0; m < most_modalities; ++m) {
    p.in[m] = a.in[m];
    p.d_in[m] = a.d_in[m];
  }
  p.d_out = a.d_out;
  p.slopes = learns ? a.workspace : nullptr;
  launch<Kernel>(context, p);
  if (learns)
    launch<FusionLogitsBackward<T>>(
        context, {a.workspace, Kernel::grid(p), {a.by.weights, a.by.count()}, a.logits_beta, a.d_logits});
}

}  // namespace dream::kernels
