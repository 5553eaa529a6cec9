// The models that DREAM is compared with on their kernels, against the same models on the host.
#include <dream/models/bm3.hpp>
#include <dream/models/freedom.hpp>
#include <dream/models/mgcn.hpp>
#include <dream/models/vbpr.hpp>

#include "models/ten_steps.hpp"
#include "support/catch.hpp"

namespace dream_tests::models_emulated_peers {

using namespace dream;
using namespace dream_test;

namespace {

/// With and without behaviour-modal alignment, and with every option at other than its least value.
template <template <class, class> class Model, class Options>
void compare_both_ways(const char* name, ModelDataOptions data_options, Options options) {
  options.embedding_size = 16;
  if constexpr (requires { options.batch_size; }) options.batch_size = 48;
  options.alignment = {.inter_weight = 0.1, .intra = Intra::moments, .intra_weight = 0.1};
  const Dataset dataset = small_world();
  for (const bool align : {false, true}) {
    options.align = align;
    INFO(name << (align ? " with alignment" : ""));
    compare_ten_steps<double>(dataset, data_options, ten_steps_tolerance, align, [&](auto& context, const auto& data) {
      using B = typename std::decay_t<decltype(data)>::Backend;
      return std::make_unique<Model<double, B>>(context, data, options, 1);
    });
  }
}

}  // namespace

TEST_CASE("Ten steps of VBPR on its kernels are those on the host") {
  compare_both_ways<Vbpr>("VBPR", {.item_graph = ItemGraph::none}, VbprOptions{});
}

TEST_CASE("Ten steps of BM3 on its kernels, its dropout drawn there, are those on the host", "[exhaustive]") {
  Bm3Options options;
  options.n_ui_layers = 2;
  options.dropout = 0.5;
  compare_both_ways<Bm3>("BM3", {.item_graph = ItemGraph::none}, options);
}

TEST_CASE("Ten steps of FREEDOM on its kernels, its graph pruned for every epoch, are those on the host",
          "[exhaustive]") {
  FreedomOptions options;
  options.n_mm_layers = 2;
  compare_both_ways<Freedom>("FREEDOM", {.item_graph = ItemGraph::binary}, options);
  options.reg_weight = options.edge_dropout = 0;  // no modal embeddings, no pruned graph
  compare_both_ways<Freedom>("FREEDOM, plain", {.item_graph = ItemGraph::binary}, options);
}

TEST_CASE("Ten steps of MGCN on its kernels are those on the host", "[exhaustive]") {
  MgcnOptions options;
  options.n_mm_layers = 2;
  options.cl_weight = 0.1;
  compare_both_ways<Mgcn>("MGCN", {}, options);
}

}  // namespace dream_tests::models_emulated_peers
