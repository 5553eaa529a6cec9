// Dense, loss and optimiser kernels on a GPU against the same kernels on the emulator.
#include <cstdint>
#include <string>
#include <vector>

#include <dream/kernels/adam.cuh>
#include <dream/kernels/batch_similarity_loss.cuh>
#include <dream/kernels/column_sums.cuh>
#include <dream/kernels/contrastive_alignment.cuh>
#include <dream/kernels/cosine_distance.cuh>
#include <dream/kernels/dense.cuh>
#include <dream/kernels/dot_products.cuh>
#include <dream/kernels/dropout.cuh>
#include <dream/kernels/embedding_regulariser.cuh>
#include <dream/kernels/gated_modal_encoder.cuh>
#include <dream/kernels/loss_sums.cuh>
#include <dream/kernels/modal_fusion.cuh>
#include <dream/kernels/modality_attention.cuh>
#include <dream/kernels/moment_distance.cuh>
#include <dream/kernels/ranking_loss.cuh>
#include <dream/kernels/row_norm.cuh>

#include "cuda/on_both.cuh"

using namespace dream;
using namespace dream::kernels;
using namespace dream_test;

namespace {

/// Unit rows.
template <class T, class On>
MatrixView<T> unit_rows(On& on, index_t rows, index_t cols) {
  const MatrixView<T> m = on.template input<T>(rows, cols);
  normalise_rows(on.context, NormaliseRowsArguments<T>{m, m, {on.template room<T>(rows), rows}});
  return m;
}

}  // namespace

TEST_CASE("Elementwise passes and sums on a GPU are those of the emulator") {
  NEEDS_GPU();
  for_types_and_sizes([](auto zero, index_t n) {
    using T = decltype(zero);
    for (const index_t d : {7, 64})
      compare(tolerance<T>, [&](auto& on) {
        const auto x = on.template input<T>(n, d), old = on.template input<T>(n, d);
        const auto y = on.template output<T>(n, d), masked = on.template output<T>(n, d);
        const auto filled = on.template output<T>(n, d);
        on.watch(old);
        launch<Fill<T>>(on.context, {T(2.5), filled});
        launch<Axpby<T>>(on.context, {T(0.5), nullptr, x, T{0}, y});
        launch<Axpby<T>>(on.context, {T(0.5), x.data, x, T(-2), old});
        const std::vector<std::uint8_t> keep(static_cast<std::size_t>(n), 1);
        launch<MaskedAxpby<T>>(on.context, {on.template copied<std::uint8_t>(keep), x, T{0}, masked});
        launch<AddToRows<T>>(on.context, {on.template input<T>(1, d), filled});
        column_sums(on.context, ColumnSumsArguments<T>{T(2), x, T{0}, on.template output<T>(d),
                                                       on.template room<T>(column_sums_workspace<T>(n, d))});
        dot_products(on.context, DotProductsArguments<T>{{x, x},
                                                         {x, old},
                                                         2,
                                                         0,
                                                         on.template output<double>(2).data,
                                                         on.template room<double>(dot_products_workspace(2))});
      });
  });
}

TEST_CASE("Row normalisation on a GPU is that of the emulator, forward and backward") {
  NEEDS_GPU();
  for_types_and_sizes([](auto zero, index_t n) {
    using T = decltype(zero);
    for (const index_t d : {33, 64, 1030})
      compare(tolerance<T>, [&](auto& on) {
        const auto x = on.template input<T>(n, d), dy = on.template input<T>(n, d);
        const auto y = on.template output<T>(n, d), dx = on.template output<T>(n, d);
        const auto inverse = on.template output<T>(n);
        normalise_rows(on.context, NormaliseRowsArguments<T>{x, y, inverse});
        normalise_rows_backward(on.context,
                                NormaliseRowsBackwardArguments<T>{T(0.5), nullptr, y, inverse, dy, T{0}, dx});
      });
  });
}

TEST_CASE("The gate and the fusion of modalities on a GPU are those of the emulator, forward and backward") {
  NEEDS_GPU();
  for_types_and_sizes([](auto zero, index_t n) {
    using T = decltype(zero);
    for (const index_t d : {33, 64})
      compare(tolerance<T>, [&](auto& on) {
        const auto e = on.template input<T>(n, d), dh = on.template input<T>(n, d);
        const auto gate = on.template input<T>(n, d, -4, 4), b = on.template input<T>(1, d);
        const auto h = on.template output<T>(n, d), d_pre = on.template output<T>(n, d);
        const auto de = on.template output<T>(n, d);
        on.watch(gate);
        launch<GateForward<T>>(on.context, {e, b, gate, h});
        launch<GateBackward<T>>(on.context, {e, gate, dh, d_pre, {de, T{0}}});

        const auto weights = on.template output<T>(2);
        launch<ModalitySoftmax<T>>(on.context, {{on.template input<T>(1, 2).data, 2}, weights});
        std::vector<T> present(2 * static_cast<std::size_t>(n), T{1});
        present[2] = present[4] = present[5] = T{0};
        const FusionWeights<T> by{weights.data, {on.template copied<T>(present).data, n, 2, 2}, on.numbers(n, n)};
        fuse_modalities(on.context, FuseModalitiesArguments<T>{by, {e, h}, on.template output<T>(n, d)});
        FuseModalitiesBackwardArguments<T> backward{};
        backward.by = by;
        backward.in[0] = e;
        backward.in[1] = h;
        backward.d_out = dh;
        for (auto& d_in : {&backward.d_in[0], &backward.d_in[1]}) *d_in = {on.template output<T>(n, d), T{0}};
        backward.d_logits = on.template output<T>(2);
        backward.workspace = on.template room<double>(fuse_modalities_backward_workspace());
        fuse_modalities_backward(on.context, backward);
      });
  });
}

TEST_CASE("Dropout on a GPU drops what the emulator drops, and scales the rest") {
  NEEDS_GPU();
  for_types_and_sizes([](auto zero, index_t n) {
    using T = decltype(zero);
    for (const index_t d : {3, 33, 64})
      compare(tolerance<T>, [&](auto& on) {
        const auto x = on.template input<T>(n, d), old = on.template input<T>(n, d);
        const std::vector<std::uint32_t> step(1, 77);
        const DropoutMask mask{5, 2, 0x40000000u, 0, on.template copied<std::uint32_t>(step).data};
        on.watch(old);
        launch<DropValues<T>>(on.context, {mask, T(1.25), x, T{0}, on.template output<T>(n, d)});
        launch<DropValues<T>>(on.context, {mask, T(1.25), x, T(-2), old});
      });
  });
}

TEST_CASE("Attention over modalities on a GPU is that of the emulator, forward and backward") {
  NEEDS_GPU();
  for_types_and_sizes([](auto zero, index_t n) {
    using T = decltype(zero);
    for (const int count : {2, 3, 8})
      for (const index_t d : {33, 64})
        compare(tolerance<T>, [&](auto& on) {
          const index_t k = d + 31;
          const auto hidden = on.template input<T>(count * n, k, -2, 2), attention = on.template output<T>(count, n);
          const VectorView<const T> a0{on.template input<T>(1, k).data, k}, q{on.template input<T>(1, k).data, k};
          const auto d_out = on.template input<T>(n, d), slopes = on.template output<T>(count, n);
          on.watch(hidden);
          AttendModalitiesArguments<T> forward{hidden, a0, q, {}, attention, on.template output<T>(n, d)};
          AttendModalitiesBackwardArguments<T> backward{};
          backward.attention = attention;
          backward.d_out = d_out;
          backward.slopes = slopes;
          for (int m = 0; m < count; ++m) {
            forward.in[m] = backward.in[m] = on.template input<T>(n, d);
            backward.d_in[m] = {on.template output<T>(n, d), T{0}};
          }
          attend_modalities(on.context, forward);
          attend_modalities_backward(on.context, backward);
          const index_t pieces = ColumnSumPieces<T>::count(count * n);
          const auto a0_pieces = on.template output<T>(pieces, k), q_pieces = on.template output<T>(pieces, k);
          launch<AttentionPreGradient<T>>(
              on.context, {hidden, slopes.data, q, on.template output<T>(count * n, k), a0_pieces.data, q_pieces.data});
        });
  });
}

TEST_CASE("BPR and the regulariser on a GPU are those of the emulator, forward and backward") {
  NEEDS_GPU();
  for_types_and_sizes([](auto zero, index_t n) {
    using T = decltype(zero);
    for (const index_t d : {33, 64})
      compare(tolerance<T>, [&](auto& on) {
        const auto u = on.template input<T>(n, d), p = on.template input<T>(n, d), m = on.template input<T>(n, d);
        const T one = 1;
        const T* d_loss = on.template copied<T>(std::span(&one, 1)).data;
        const auto slope = on.template output<T>(n);
        bpr_forward(on.context, BprForwardArguments<T>{u, p, m, slope, on.template output<T>(1).data,
                                                       on.template room<double>(bpr_forward_workspace())});
        const auto target = [&] { return GradientTarget<T>{on.template output<T>(n, d), T{0}}; };
        launch<BprBackward<T>>(on.context, {{u, p, m}, slope, d_loss, target(), target(), target()});
        bpr_with_squares(on.context,
                         BprWithSquaresArguments<T>{u, p, m, T(0.01), target().view, target().view, target().view,
                                                    on.template output<T>(1).data,
                                                    on.template room<double>(bpr_with_squares_workspace())});
        for (const bool squares : {false, true}) {
          RegulariserForwardArguments<T> forward{};
          forward.x[0] = u;
          forward.x[1] = p;
          forward.count = 2;
          forward.squares = squares;
          forward.divisor = n;
          forward.norms = on.template output<double>(2).data;
          forward.loss = on.template output<T>(1).data;
          forward.workspace = on.template room<double>(regulariser_forward_workspace(2));
          regulariser_forward(on.context, forward);
          typename RegulariserBackward<T>::Params backward{};
          backward.x[0] = u;
          backward.x[1] = p;
          backward.dx[0] = target();
          backward.dx[1] = target();
          backward.count = 2;
          backward.squares = squares;
          backward.divisor = n;
          backward.norms = forward.norms;
          backward.d_loss = d_loss;
          launch<RegulariserBackward<T>>(on.context, backward);
        }
      });
  });
}

TEST_CASE("InfoNCE on a GPU is that of the emulator, in one direction and both") {
  NEEDS_GPU();
  for_types_and_sizes([](auto zero, index_t n) {
    using T = decltype(zero);
    for (const index_t d : {33, 64, 128})
      for (const bool both : {false, true})
        compare(tolerance<T>, [&](auto& on) {
          InfoNceArguments<T> a;
          a.x = unit_rows<T>(on, n, d);
          a.y = unit_rows<T>(on, n, d);
          a.both = both;
          a.loss = on.template output<T>(1).data;
          a.dx = on.template output<T>(n, d);
          a.dy = on.template output<T>(n, d);
          a.workspace = on.template room<T>(info_nce_workspace<T>(n, d, both));
          info_nce(on.context, a);
        });
  });
}

TEST_CASE("S3, moments and the cosine distance on a GPU are those of the emulator") {
  NEEDS_GPU();
  for_types_and_sizes([](auto zero, index_t n) {
    using T = decltype(zero);
    constexpr index_t d = 64, items = 200, feature_dim = 100;
    compare(tolerance<T>, [&](auto& on) {
      const auto features = on.template input<T>(items, feature_dim);
      const auto inverse = on.template output<T>(items);
      inverse_row_norms<Context<typename std::decay_t<decltype(on)>::Backend>, T>(on.context, features, inverse);
      const auto rows = on.numbers(n, items);
      launch<GatherFeatures<T>>(on.context, {features, inverse.data, rows, on.template output<T>(n, feature_dim)});
      double* constant = on.template output<double>(1).data;
      sampled_target_norm(on.context,
                          SampledTargetNormArguments<T>{{features, inverse.data, rows, 5, 3, nullptr},
                                                        constant,
                                                        on.template room<double>(sampled_target_norm_workspace())});
      for (const bool root : {false, true})
        combine_similarity(on.context, CombineSimilarityArguments<T>{
                                           on.template input<T>(d, d), on.template input<T>(feature_dim, d), constant,
                                           n, root, on.template output<T>(1).data, on.template output<T>(1).data,
                                           on.template room<double>(combine_similarity_workspace())});
      const auto x = on.template input<T>(n, d), y = on.template input<T>(n, d, -0.5, 1);
      moment_distance(on.context,
                      MomentDistanceArguments<T>{x, y, on.template output<T>(1).data, on.template output<T>(n, d),
                                                 on.template output<T>(n, d),
                                                 on.template room<double>(moment_distance_workspace(n, d))});
      launch<OneMinusMean<T>>(on.context, {constant, n, on.template output<T>(1).data});
    });
  });
}

TEST_CASE("Adam and the sums of losses on a GPU are those of the emulator") {
  NEEDS_GPU();
  for_types_and_sizes([](auto zero, index_t n) {
    using T = decltype(zero);
    compare(tolerance<T>, [&](auto& on) {
      constexpr index_t cols = 130, factors = 33;
      const double rate = 0.01;
      const std::int64_t steps = 2;
      const std::int32_t stop = -1;
      AdamScalars<T>* scalars = on.template room<AdamScalars<T>>(1);
      launch<AdvanceAdam<T>>(on.context, {0.9, 0.999, 1e-8, on.template copied<double>(std::span(&rate, 1)).data,
                                          on.template copied<std::int64_t>(std::span(&steps, 1)).data,
                                          on.template copied<std::int32_t>(std::span(&stop, 1)).data, scalars});
      const auto p = on.template input<T>(n, cols), m = on.template input<T>(n, cols);
      const auto v = on.template input<T>(n, cols, 0, 1), g = on.template input<T>(n, cols);
      for (const auto& changed : {p, m, v}) on.watch(changed);
      const auto flat = [](MatrixView<T> x) { return VectorView<T>{x.data, x.size()}; };
      launch<AdamUpdate<T>>(on.context, {scalars, flat(g), flat(p), flat(m), flat(v)});
      launch<AdamUpdateFactored<T>>(
          on.context, {scalars, on.template input<T>(n, factors), on.template input<T>(cols, factors), p, m, v});

      const LossWatch none{-1, 0, 0, 0, 0};
      LossWatch* watch = on.template copied<LossWatch>(std::span(&none, 1)).data;
      const double zeros[2] = {};
      double* sums = on.template copied<double>(zeros).data;
      on.watch(MatrixView<double>{sums, 1, 2, 2});
      const auto terms = on.template input<T>(1, 2);
      for (int step = 0; step < 3; ++step)
        launch<AddLosses<T>>(on.context, {{terms.data, terms.data + 1}, 2, sums, watch});
    });
  });
}
