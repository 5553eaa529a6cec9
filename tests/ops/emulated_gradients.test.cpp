// Every op on its kernels keeps the contract of an op: its gradients are those of finite differences, and the threads
// may run in any order.
#include <cstdint>
#include <vector>

#include <dream/components/batch_similarity_loss.hpp>
#include <dream/components/contrastive_alignment.hpp>
#include <dream/components/gated_modal_encoder.hpp>
#include <dream/components/graph_propagation.hpp>
#include <dream/components/modal_fusion.hpp>
#include <dream/components/modality_attention.hpp>
#include <dream/components/ranking_loss.hpp>
#include <dream/ops/columns.hpp>
#include <dream/ops/dense.hpp>
#include <dream/ops/dropout.hpp>
#include <dream/ops/features.hpp>
#include <dream/ops/graph.hpp>
#include <dream/testing/emulated.hpp>
#include <dream/testing/gradient_check.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::ops_emulated_gradients {

using namespace dream;
using dream_test::random_matrix;
using dream_test::random_pair;
using dream_test::random_rows;
using dream_test::view;

namespace {

using Inputs = std::vector<MatrixView<const double>>;

/// In three orders of threads.
struct Orders {
  Context<Emulated> forward, backward{{.order = ThreadOrder::reverse}}, shuffled{{.order = ThreadOrder::shuffled}};

  template <class Operation>
  void check(Operation&& op, const Inputs& inputs, OpCheckOptions options = {}) {
    options.entries = 3;
    const OpReport report = check_op<Emulated>({&forward, &backward, &shuffled}, op, inputs, options);
    INFO(report.text());
    CHECK(report.ok());
  }
};

struct Size {
  index_t rows, cols;
};
/// Around a warp, a block, a pack and a tile.
constexpr Size sizes[] = {{1, 1}, {2, 5}, {31, 4}, {33, 32}, {129, 3}, {7, 65}, {257, 2}};

}  // namespace

TEST_CASE("The affine map, weighted sums, masks and columns by kernels have their gradients") {
  Orders orders;
  for (const auto [rows, cols] : sizes) {
    INFO(rows << " x " << cols);
    const auto x = random_matrix(rows, cols, 1), y = random_matrix(rows, cols, 2), w = random_matrix(cols, 5, 3);
    const auto b = random_matrix(1, 5, 4);
    orders.check(Linear<double, Emulated>{}, {x.view(), w.view(), b.view()});
    orders.check(WeightedSum<double, Emulated>{{0.5, -1.5}}, {x.view(), y.view()});
    std::vector<std::uint8_t> keep(static_cast<std::size_t>(rows));
    for (std::size_t i = 0; i < keep.size(); ++i) keep[i] = i % 3 != 0;
    orders.check(MaskRows<double, Emulated>{{keep.data(), rows}}, {x.view()});
    orders.check(ConcatColumns<double, Emulated>{}, {x.view(), y.view()});
    orders.check(TakeColumns<double, Emulated>{cols / 2, cols - cols / 2}, {x.view()});
    Dropout<double, Emulated> dropout(0.4, 7);
    dropout.select(3);
    orders.check(dropout, {x.view()});
  }
}

TEST_CASE("Sparse products, gathers and propagation by kernels have their gradients", "[exhaustive]") {
  Orders orders;
  for (const auto [rows, cols] : sizes) {
    INFO(rows << " rows, " << cols << " columns");
    const auto on_host = random_pair(rows, rows + 3, 4, 7);
    const SparsePair<double, Emulated> graph{upload(orders.forward, on_host.forward),
                                             upload(orders.forward, on_host.transposed)};
    const auto x = random_matrix(rows + 3, cols, 1), u = random_matrix(rows, cols, 2);
    const auto some = random_rows(rows + 5, rows, 3), others = random_rows(rows / 2 + 1, rows + 3, 4);
    orders.check(SparseProduct<double, Emulated>{graph}, {x.view()});
    SparseProductRows<double, Emulated> of_rows(graph);
    of_rows.select(view(some));
    orders.check(of_rows, {x.view()});
    GatherRows<double, Emulated> gather;
    gather.select(view(others));
    orders.check(gather, {x.view()});
    for (const int layers : {0, 1, 3}) {
      GraphPropagation<double, Emulated> propagation(graph, layers);
      propagation.select(view(some), view(others));
      orders.check(propagation, {u.view(), x.view()});
    }
  }
}

TEST_CASE("Gates, fusion and attention by kernels have their gradients") {
  Orders orders;
  for (const auto [rows, cols] : sizes) {
    INFO(rows << " x " << cols);
    const auto x = random_matrix(rows, cols, 1), y = random_matrix(rows, cols, 2), w = random_matrix(cols, cols, 3);
    const auto b = random_matrix(1, cols, 4), q = random_matrix(4, 1, 5), a0 = random_matrix(1, 4, 6);
    orders.check(IdentityGate<double, Emulated>{}, {x.view(), y.view(), w.view(), b.view()});
    orders.check(SelfGate<double, Emulated>{}, {x.view(), w.view(), b.view()});
    Matrix<double, Cpu> present(rows, 2);
    for (index_t i = 0; i < rows; ++i)
      for (index_t m = 0; m < 2; ++m) present(i, m) = (i + m) % 4 == 3 ? 0 : 1;
    const auto batch = random_rows(rows, rows, 8);
    const auto logits = random_matrix(1, 2, 7);
    ModalFusion<double, Emulated> learned(present.view(), {});
    learned.select(view(batch));
    orders.check(learned, {x.view(), y.view(), logits.view()});
    const auto to_hidden = random_matrix(cols, 4, 9);
    orders.check(ModalityAttention<double, Emulated>{}, {x.view(), y.view(), to_hidden.view(), a0.view(), q.view()});
  }
}

TEST_CASE("Ranking losses by kernels have their gradients") {
  Orders orders;
  for (const auto [rows, cols] : sizes) {
    INFO(rows << " x " << cols);
    const auto u = random_matrix(rows, cols, 1), p = random_matrix(rows, cols, 2), n = random_matrix(rows, cols, 3);
    orders.check(BprLoss<double, Emulated>{}, {u.view(), p.view(), n.view()});
    for (const RegulariserForm form : {RegulariserForm::squares, RegulariserForm::norms})
      orders.check(EmbeddingRegulariser<double, Emulated>{form, 10}, {u.view(), p.view(), n.view()});
  }
}

TEST_CASE("Alignment and S3 by kernels have their gradients", "[exhaustive]") {
  Orders orders;
  for (const auto [rows, cols] : sizes) {
    INFO(rows << " x " << cols);
    const auto x = random_matrix(rows, cols, 1, 9), y = random_matrix(rows, cols, 2, 13);  // some rows are zero
    for (const Directions directions : {Directions::one, Directions::both})
      orders.check(InfoNce<double, Emulated>{{.temperature = 0.2, .directions = directions}}, {x.view(), y.view()},
                   {.move_zero_rows = false});
    orders.check(CosineDistance<double, Emulated>{}, {x.view(), y.view()}, {.move_zero_rows = false});
    orders.check(MomentDistance<double, Emulated>{}, {x.view(), y.view()});
    const auto features = random_matrix(50, 6, 3, 11);
    Matrix<double, Cpu> inverse(50, 1);
    kernels::inverse_row_norms<Context<Emulated>, double>(orders.forward, features.view(), {inverse.data(), 50});
    const auto batch = random_rows(rows, 50, 4);
    for (const SimilarityForm form : {SimilarityForm::cosine, SimilarityForm::dot}) {
      BatchSimilarityLoss<double, Emulated> s3(features.view(), {inverse.data(), 50}, {.form = form});
      s3.select(view(batch));
      orders.check(s3, {x.view()}, {.move_zero_rows = form == SimilarityForm::dot});
    }
  }
}

}  // namespace dream_tests::ops_emulated_gradients
