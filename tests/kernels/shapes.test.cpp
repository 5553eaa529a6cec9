// Shapes that do not fit are errors before anything is launched.
#include <vector>

#include <dream/backend/algebra.hpp>
#include <dream/backend/features.hpp>
#include <dream/backend/sparse.hpp>
#include <dream/kernels/column_sums.cuh>
#include <dream/kernels/contrastive_alignment.cuh>
#include <dream/kernels/dot_products.cuh>
#include <dream/kernels/graph_propagation.cuh>
#include <dream/kernels/modal_fusion.cuh>
#include <dream/kernels/modality_attention.cuh>
#include <dream/kernels/moment_distance.cuh>
#include <dream/kernels/ranking_loss.cuh>
#include <dream/kernels/row_norm.cuh>
#include <dream/kernels/selection.cuh>
#include <dream/kernels/sparse_products.cuh>
#include <dream/kernels/top_k.cuh>
#include <dream/testing/emulated.hpp>

#include "support/catch.hpp"

namespace dream_tests::kernels_shapes {

using namespace dream;
using namespace dream::kernels;

namespace {

/// Memory that is large enough for what each of these calls says it has, were it launched.
struct Room {
  Context<Emulated> context;
  Array<float, Emulated> values{context, 1 << 16};
  Array<double, Emulated> doubles{context, 1 << 16};
  Array<index_t, Emulated> numbers{context, 1 << 12};
  Array<std::int64_t, Emulated> offsets{context, 1 << 8};

  Room() {
    const std::vector<index_t> zeros(1 << 12);
    upload<index_t>(context, zeros, numbers.data());
  }
  MatrixView<float> matrix(index_t rows, index_t cols) { return {values.data(), rows, cols, cols}; }
  VectorView<float> vector(std::int64_t size) { return {values.data(), size}; }
  VectorView<const index_t> rows(std::int64_t size) { return {numbers.data(), size}; }
  CsrView<float> graph(index_t rows, index_t cols) {
    return {rows, cols, offsets.data(), numbers.data(), values.data()};
  }
};

}  // namespace

TEST_CASE("Operations on a batch refuse matrices of other shapes") {
  Room room;
  Context<Emulated>& context = room.context;
  const auto m = [&](index_t rows, index_t cols) { return room.matrix(rows, cols); };

  InfoNceArguments<float> nce;
  nce.x = m(64, 16);
  nce.y = m(64, 8);
  REQUIRE_ERROR(info_nce(context, nce), "info_nce, Y: 64 x 8, not 64 x 16");
  nce.y = m(64, 16);
  nce.dx = m(64, 16);
  REQUIRE_ERROR(info_nce(context, nce), "both or neither");
  nce.dy = m(63, 16);
  REQUIRE_ERROR(info_nce(context, nce), "info_nce, dY: 63 x 16, not 64 x 16");

  MomentDistanceArguments<float> moments;
  moments.x = m(8, 4);
  moments.y = m(8, 5);
  REQUIRE_ERROR(moment_distance(context, moments), "moment_distance, Y: 8 x 5, not 8 x 4");

  BprForwardArguments<float> bpr{m(8, 4), m(8, 4), m(7, 4), room.vector(8), nullptr, nullptr};
  REQUIRE_ERROR(bpr_forward(context, bpr), "bpr, the negatives: 7 x 4, not 8 x 4");
  bpr.n = m(8, 4);
  bpr.slope = room.vector(7);
  REQUIRE_ERROR(bpr_forward(context, bpr), "bpr, the slopes: 7 values, not 8");

  BprWithSquaresArguments<float> squares{m(8, 4), m(8, 4), m(8, 4), 0.0F, m(8, 4), m(8, 3), m(8, 4), nullptr, nullptr};
  REQUIRE_ERROR(bpr_with_squares(context, squares), "bpr, a gradient: 8 x 3, not 8 x 4");

  DotProductsArguments<float> dots{};
  dots.x[0] = m(4, 4);
  dots.y[0] = m(4, 3);
  dots.count = 1;
  REQUIRE_ERROR(dot_products(context, dots), "dot_products, Y: 4 x 3, not 4 x 4");
  dots.count = most_products + 1;
  REQUIRE_ERROR(dot_products(context, dots), "of which there can be");

  REQUIRE_ERROR(column_sums(context, ColumnSumsArguments<float>{1.0F, m(9, 4), 0.0F, room.vector(3), nullptr}),
                "column_sums, the sums: 3 values, not 4");
}

TEST_CASE("Row norms refuse matrices of other shapes") {
  Room room;
  Context<Emulated>& context = room.context;
  const auto m = [&](index_t rows, index_t cols) { return room.matrix(rows, cols); };
  REQUIRE_ERROR(normalise_rows(context, NormaliseRowsArguments<float>{m(64, 16), m(64, 8), room.vector(64)}),
                "normalise_rows, Y: 64 x 8, not 64 x 16");
  REQUIRE_ERROR(normalise_rows(context, NormaliseRowsArguments<float>{m(64, 16), m(64, 16), room.vector(63)}),
                "normalise_rows, the inverse norms: 63 values, not 64");
  NormaliseRowsBackwardArguments<float> back{1.0F, nullptr, m(64, 16), room.vector(64), m(64, 15), 0.0F, m(64, 16)};
  REQUIRE_ERROR(normalise_rows_backward(context, back), "normalise_rows, dY: 64 x 15, not 64 x 16");
}

TEST_CASE("Fusion and attention refuse matrices of other shapes") {
  Room room;
  Context<Emulated>& context = room.context;
  const auto m = [&](index_t rows, index_t cols) { return room.matrix(rows, cols); };
  FuseModalitiesArguments<float> fuse{};
  fuse.by = {room.values.data(), m(40, 2), room.rows(8)};
  fuse.in[0] = m(8, 4);
  fuse.in[1] = m(8, 3);
  fuse.out = m(8, 4);
  REQUIRE_ERROR(fuse_modalities(context, fuse), "fuse_modalities, a modality: 8 x 3, not 8 x 4");
  fuse.by.rows = room.rows(9);
  REQUIRE_ERROR(fuse_modalities(context, fuse), "fuse_modalities, the rows: 9 values, not 8");
  fuse.by.present = m(40, most_modalities + 1);
  REQUIRE_ERROR(fuse_modalities(context, fuse), "of which there can be");

  AttendModalitiesArguments<float> attend{};
  attend.attention = m(2, 7);
  attend.out = m(8, 4);
  REQUIRE_ERROR(attend_modalities(context, attend), "attend_modalities, the attention: 2 x 7, not 2 x 8");
}

TEST_CASE("Sparse products and gathers refuse matrices of other shapes") {
  Room room;
  Context<Emulated>& context = room.context;
  const auto m = [&](index_t rows, index_t cols) { return room.matrix(rows, cols); };
  SpmmArguments<float> product;
  product.a = room.graph(5, 6);
  product.x = m(7, 4);
  product.y = m(5, 4);
  REQUIRE_ERROR(spmm(context, product), "sparse product: A is 5 x 6, X is 7 x 4");
  SpmmRowsArguments<float> some;
  some.a = room.graph(5, 6);
  some.rows = room.rows(3);
  some.x = m(6, 4);
  some.y = m(2, 4);
  REQUIRE_ERROR(spmm_rows(context, some), "sparse product: A is 5 x 6, 3 rows, X is 6 x 4, Y is 2 x 4");

  PropagatedMeanRowsArguments<float> mean;
  mean.layers = 1;
  mean.graph = room.graph(5, 5);
  mean.rows = room.rows(3);
  mean.ego = m(5, 4);
  mean.last = m(5, 3);
  mean.out = m(3, 4);
  REQUIRE_ERROR(propagated_mean_rows(context, mean), "propagated_mean_rows, the last layer: 5 x 3, not 5 x 4");

  const FeatureView<float> features(m(6, 8));
  REQUIRE_ERROR(gather_features<float>(context, features, {}, room.rows(3), m(3, 16)), "gather_features: X is 6 x 8");
  RowGroups<Emulated> groups;
  groups.build(context, room.rows(3), 6);
  REQUIRE_ERROR(scatter_groups<float>(context, groups, m(3, 4), 0.0F, m(7, 4)), "scatter_groups: sums are 3 x 4");
}

TEST_CASE("Selection refuses matrices of other shapes") {
  Room room;
  Context<Emulated>& context = room.context;
  const auto m = [&](index_t rows, index_t cols) { return room.matrix(rows, cols); };
  const MatrixView<index_t> lists{room.numbers.data(), 4, 3, 3};
  TopKRowsArguments<float> rows;
  rows.tile = m(4, 9);
  rows.values = m(4, 2);
  rows.indices = lists;
  REQUIRE_ERROR(top_k_rows(context, rows), "top_k_rows, the values: 4 x 2, not 4 x 3");
  TopKArguments<float> top;
  top.users = m(5, 8);
  top.items = m(9, 8);
  top.indices = lists;
  REQUIRE_ERROR(top_k(context, top), "top_k, the indices: 4 x 3, not 5 x 3");
  top.items = m(9, 7);
  REQUIRE_ERROR(top_k(context, top), "top_k: the users are 5 x 8, the items 9 x 7");
}

}  // namespace dream_tests::kernels_shapes
