// What models are trained on, prepared with the neighbours found by kernels, against the same prepared on the host.
#include <dream/models/model_data.hpp>

#include <cmath>
#include <span>

#include <dream/data/synthetic.hpp>
#include <dream/testing/emulated.hpp>

#include "support/catch.hpp"

namespace dream_tests::models_model_data {

using namespace dream;

namespace {

Dataset small_world() {
  SyntheticOptions world{.users = 60, .items = 45, .interactions = 500, .modalities = {{"image", 12}, {"text", 7}}};
  world.groups = 4;
  world.cold_fraction = 0.1;
  world.missing_fraction = 0.15;
  return make_synthetic(world);
}

struct Comparison {
  Context<Emulated>& context;
  std::int64_t compared = 0, wrong = 0;

  template <class T>
  void values(const T* found, std::int64_t count, const T* expected, std::int64_t expected_count, double tolerance) {
    REQUIRE(count == expected_count);
    std::vector<T> copy(static_cast<std::size_t>(count));
    download<T>(context, found, copy);
    for (std::int64_t e = 0; e < count; ++e)
      wrong += !(std::abs(static_cast<double>(copy[static_cast<std::size_t>(e)]) - static_cast<double>(expected[e])) <=
                 tolerance);
    compared += count;
  }
  template <class Found, class Expected>
  void same(const Found& found, const Expected& expected) {
    values(found.data(), found.size(), expected.data(), expected.size(), 0);
  }
  void features(const Features<double, Emulated>& found, const Features<double, Cpu>& expected) {
    REQUIRE(found.rows() == expected.rows());
    REQUIRE(found.cols() == expected.cols());
    REQUIRE(found.storage() == FeatureStorage::full);
    const MatrixView<const double> a = found.view().full(), b = expected.view().full();
    values(a.data, a.size(), b.data, b.size(), 0);
  }
  void graph(const Csr<double, Emulated>& found, const Csr<double, Cpu>& expected, double tolerance) {
    REQUIRE(found.rows == expected.rows);
    REQUIRE(found.cols == expected.cols);
    same(found.offsets, expected.offsets);
    same(found.indices, expected.indices);
    values(found.values.data(), found.values.size(), expected.values.data(), expected.values.size(), tolerance);
  }
  void pair(const SparsePair<double, Emulated>& found, const SparsePair<double, Cpu>& expected, double tolerance) {
    graph(found.forward, expected.forward, tolerance);
    graph(found.transposed, expected.transposed, tolerance);
  }
  void data(const ModelData<double, Emulated>& found, const ModelData<double, Cpu>& expected) {
    REQUIRE(found.users == expected.users);
    REQUIRE(found.items == expected.items);
    REQUIRE(found.positives == expected.positives);
    pair(found.graph, expected.graph, 0);
    same(found.item_present, expected.item_present);
    same(found.user_present, expected.user_present);
    REQUIRE(found.modalities.size() == expected.modalities.size());
    for (std::size_t m = 0; m < found.modalities.size(); ++m) {
      const ModalityData<double, Emulated>& a = found.modalities[m];
      const ModalityData<double, Cpu>& b = expected.modalities[m];
      REQUIRE(a.name == b.name);
      features(a.features, b.features);
      same(a.inverse_norms, b.inverse_norms);
      same(a.present, b.present);
      // Weights divide by the roots of row sums, which magnifies rounding.
      pair(a.item_graph, b.item_graph, 1e-12);
      pair(a.user_graph, b.user_graph, 1e-12);
      features(a.user_features, b.user_features);
      same(a.user_inverse_norms, b.user_inverse_norms);
    }
  }
};

}  // namespace

TEST_CASE("Data prepared with neighbours found by kernels are those of the host, whatever graphs are asked for") {
  const Dataset dataset = small_world();
  Context<Cpu> host(1);
  for (const ItemGraph item_graph : {ItemGraph::knn, ItemGraph::binary, ItemGraph::none})
    for (const UserGraph user_graph : {UserGraph::knn, UserGraph::cooccurrence, UserGraph::none})
      for (const KnnMethod method : {KnnMethod::exact, KnnMethod::approximate}) {
        CAPTURE(item_graph, user_graph, method);
        const ModelDataOptions options{.item_graph = item_graph,
                                       .user_graph = user_graph,
                                       .knn_k = 5,
                                       .user_knn_k = 6,
                                       .knn_method = method,
                                       .user_similarity = item_graph == ItemGraph::knn};
        Context<Emulated> context({.lock_memory = true});
        const auto found = prepare_data<double>(context, host, dataset, options);
        const auto expected = prepare_data<double>(host, dataset, options);
        Comparison comparison{context};
        comparison.data(found, expected);
        CHECK(comparison.wrong == 0);
        CHECK(comparison.compared > 1000);
      }
}

TEST_CASE("Exact neighbours come from kernels where the data are prepared for them, approximate ones do not") {
  const Dataset dataset = small_world();
  Context<Cpu> host(1);
  for (const KnnMethod method : {KnnMethod::exact, KnnMethod::approximate}) {
    Context<Emulated> context;
    prepare_data<double>(context, host, dataset, {.user_graph = UserGraph::knn, .knn_method = method});
    CHECK((context.switches() > 0) == (method == KnnMethod::exact));
  }
}

TEST_CASE("Preparing data leaves nothing on the device but the data, and frees raw features where it may") {
  Dataset dataset = small_world();
  Context<Cpu> host(1);
  const ModelDataOptions options{.user_graph = UserGraph::knn};
  Context<Emulated> context, other;
  const auto expected = prepare_data<double>(host, dataset, options);
  const auto uploaded = upload<double>(other, expected);
  const auto found = prepare_data_releasing_features<double>(context, host, dataset, options);
  CHECK(context.held_bytes() == other.held_bytes());
  for (const Modality& modality : dataset.modalities) CHECK(modality.values.capacity() == 0);
  Comparison comparison{context};
  comparison.data(found, expected);
  CHECK(comparison.wrong == 0);
}

}  // namespace dream_tests::models_model_data
