#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include <dream/data/synthetic.hpp>
#include <dream/eval/diagnostics.hpp>
#include <dream/models/bm3.hpp>
#include <dream/models/dream.hpp>
#include <dream/models/freedom.hpp>
#include <dream/models/lightgcn.hpp>
#include <dream/models/mgcn.hpp>
#include <dream/models/vbpr.hpp>
#include <dream/testing/emulated.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"

namespace dream_tests::eval_diagnostics {

using namespace dream;
using namespace dream_test;

namespace {

Matrix<double, Cpu> matrix(index_t cols, std::vector<double> values) {
  Matrix<double, Cpu> m(static_cast<index_t>(values.size()) / cols, cols);
  std::copy(values.begin(), values.end(), m.data());
  return m;
}

Dataset world() {
  SyntheticOptions options{.users = 80, .items = 50, .interactions = 600, .modalities = {{"image", 12}, {"text", 7}}};
  options.groups = 4;
  options.missing_fraction = 0.2;
  return make_synthetic(options);
}

/// 1 - the mean cosine of the rows of the items that have the modality.
double forgetting(MatrixView<const double> z, MatrixView<const double> f, const Array<std::uint8_t, Cpu>& present) {
  double sum = 0, count = 0;
  for (index_t i = 0; i < z.rows; ++i) {
    if (!present[i]) continue;
    double zf = 0, zz = 0, ff = 0;
    for (index_t j = 0; j < z.cols; ++j) {
      zf += z(i, j) * f(i, j);
      zz += z(i, j) * z(i, j);
      ff += f(i, j) * f(i, j);
    }
    sum += zz > 0 ? zf / std::sqrt(zz * ff) : 0;
    ++count;
  }
  return 1 - sum / count;
}

}  // namespace

TEST_CASE("Misalignment is the mean cosine of two representations, with its histogram, without zero rows") {
  const auto x = matrix(2, {1, 0, 0, 2, 3, 0, 0, 0, 1, 1}), y = matrix(2, {5, 0, 0, -1, 0, 7, 1, 1, 0, 0});
  const Misalignment found = misalignment<double>(x.view(), y.view());  // cosines 1, -1, 0
  CHECK(found.entities == 3);
  CHECK(std::abs(found.mean_cosine) < 1e-15);
  CHECK(found.histogram[0] == 1);
  CHECK(found.histogram[10] == 1);
  CHECK(found.histogram[19] == 1);
  CHECK(std::accumulate(found.histogram.begin(), found.histogram.end(), std::int64_t{0}) == 3);
  REQUIRE_ERROR(misalignment<double>(x.view(), matrix(2, {1, 0}).view()), "X is 5 x 2, Y is 1 x 2");
}

TEST_CASE("Alignment is the mean distance of the pairs on the sphere, uniformity nears its known values") {
  Context<Cpu> context(2);
  const auto users = matrix(2, {2, 0, 0, 3}), items = matrix(2, {1, 0, -4, 0, 0, 0});
  const auto pairs =
      csr_from_triplets<double>(context, 2, 3, std::vector<index_t>{0, 0, 1, 1}, std::vector<index_t>{0, 1, 0, 2});
  CHECK(std::abs(alignment<double>(context, users.view(), items.view(), pairs.view()) - (0 + 4 + 2 + 1) / 4.0) < 1e-15);

  Matrix<double, Cpu> same(9, 3);
  same.fill(0.5);
  CHECK(std::abs(uniformity<double>(context, same.view())) < 1e-12);
  // Two opposite points, 4 apart squared: half of the pairs of different rows of many are the same point.
  Matrix<double, Cpu> opposite(2, 1);
  opposite(0, 0) = 1;
  opposite(1, 0) = -3;
  CHECK(std::abs(uniformity<double>(context, opposite.view()) + 8) < 1e-12);
  // Uniform on the circle: log of the Bessel function e^-4 I_0(4), up to the noise of 65,536 pairs and 4,000 points.
  const auto gaussian = random_matrix(4000, 2, 1);
  CHECK(std::abs(uniformity<double>(context, gaussian.view()) - std::log(std::exp(-4.0) * 11.301921952136330)) < 0.02);
  CHECK(uniformity<double>(context, matrix(2, {1, 0}).view()) == 0);
}

TEST_CASE("Forgetting is 0 at the features and follows the modal embeddings, on the host and by kernels") {
  Context<Cpu> context(1);
  Context<Emulated> emulated;
  const Dataset dataset = world();
  const ModelDataOptions prepared;
  const auto data = prepare_data<double>(context, dataset, prepared);
  const auto uploaded = upload<double>(emulated, data);
  for (std::size_t m = 0; m < 2; ++m) {
    const auto& modality = data.modalities[m];
    const MatrixView<const double> f = modality.features.view().full();
    CHECK(std::abs(modal_forgetting<double>(context, f, modality)) < 1e-14);
    auto z = random_matrix(f.rows, f.cols, 3, 5);
    const double expected = forgetting(std::as_const(z).view(), f, modality.present);
    CHECK(expected > 0.5);
    CHECK(std::abs(modal_forgetting<double>(context, z.view(), modality) - expected) < 1e-13);
    const auto on_kernels = upload<double>(emulated, std::as_const(z).view());
    CHECK(std::abs(modal_forgetting<double>(emulated, on_kernels.view(), uploaded.modalities[m]) - expected) < 1e-13);
  }
}

TEST_CASE("Shares say how much of the modal representation each modality is, and add up to 1") {
  // e = (3, 4) and (1, 0): of 26, the first modality lies along them by 9 + 2, the second by 16 - 1.
  std::vector<Matrix<double, Cpu>> rows;
  rows.push_back(matrix(2, {3, 0, 4, 0}));
  rows.push_back(matrix(2, {0, 2, -1, 0}));
  const auto weights = matrix(2, {1, 2, 0.5, 1});
  const std::vector<double> shares = modality_shares<double>(rows, weights.view());
  CHECK(std::abs(shares[0] - 11.0 / 26) < 1e-15);
  CHECK(std::abs(shares[1] - 15.0 / 26) < 1e-15);
  const auto nothing = matrix(2, {0, 0, 0, 0});
  CHECK(modality_shares<double>(rows, nothing.view()) == std::vector<double>{0, 0});
  REQUIRE_ERROR(modality_shares<double>(rows, matrix(1, {1, 1}).view()), "2 modalities, weights 2 x 1");
  REQUIRE_ERROR(modality_shares<double>(rows, matrix(2, {1, 1}).view()), "weights 1 x 2, a modality has 2 x 2");
}

namespace {

/// <x_i, y_i>.
double inner(MatrixView<const double> x, MatrixView<const double> y, index_t i) {
  return std::inner_product(x.row(i), x.row(i) + x.cols, y.row(i), 0.0);
}

/// The rows that a diagnosis of everybody is made of, on the host.
struct Expected {
  std::vector<double> shares, cosines{0, 0};  // of the modalities; of users and of items
  std::vector<std::int64_t> entities{0, 0};
};

template <class Model>
Expected expected_of(Context<Cpu>& context, Model& model, index_t users, index_t items) {
  std::vector<index_t> numbers(static_cast<std::size_t>(std::max(users, items)));
  std::iota(numbers.begin(), numbers.end(), 0);
  const VectorView<const index_t> all_users{numbers.data(), users}, all_items{numbers.data(), items};
  Tape<double, Cpu> tape(context);
  Expected expected;
  const ModalParts<double> parts = model.modal_parts(tape, all_items);
  // <w_m h_m, e> = w_m sum_k w_k <h_m, h_k>, summed over the items.
  double total = 0;
  for (std::size_t m = 0; m < parts.rows.size(); ++m) {
    double along = 0;
    for (std::size_t k = 0; k < parts.rows.size(); ++k)
      for (index_t i = 0; i < items; ++i)
        along += parts.weights(i, static_cast<index_t>(m)) * parts.weights(i, static_cast<index_t>(k)) *
                 inner(tape.value(parts.rows[m]), tape.value(parts.rows[k]), i);
    expected.shares.push_back(along);
    total += along;
  }
  for (double& share : expected.shares) share /= total;

  tape.clear();
  const auto [behaviour, modal] = model.domains(tape, all_users, all_items);
  for (const auto& [k, one, other] :
       {std::tuple{0u, behaviour.users, modal.users}, {1u, behaviour.items, modal.items}}) {
    if (!one.valid() || !other.valid()) continue;
    const MatrixView<const double> x = tape.value(one), y = tape.value(other);
    for (index_t i = 0; i < x.rows; ++i) {
      const double lengths = std::sqrt(inner(x, x, i) * inner(y, y, i));
      if (lengths == 0) continue;
      expected.cosines[k] += inner(x, y, i) / lengths;
      ++expected.entities[k];
    }
    expected.cosines[k] /= static_cast<double>(expected.entities[k]);
  }
  return expected;
}

/// Up to the order of sums over some thousand products.
void check_diagnosis(const Diagnostics& found, const Expected& expected) {
  REQUIRE(found.shares.size() == expected.shares.size());
  for (std::size_t m = 0; m < expected.shares.size(); ++m)
    CHECK(std::abs(found.shares[m].second - expected.shares[m]) < 1e-10);
  CHECK(found.users.entities == expected.entities[0]);
  CHECK(found.items.entities == expected.entities[1]);
  CHECK(std::abs(found.users.mean_cosine - expected.cosines[0]) < 1e-10);
  CHECK(std::abs(found.items.mean_cosine - expected.cosines[1]) < 1e-10);
}

/// The parts of a model's modal rows make these rows; a diagnosis is of these and of both domains, by kernels too.
template <template <class, class> class Model, class Options>
void check_parts(const Options& options, const ModelDataOptions& prepared, bool are_the_domain, bool users_have_both) {
  Context<Cpu> context(1);
  Context<Emulated> emulated;
  const Dataset dataset = world();
  const auto data = prepare_data<double>(context, dataset, prepared);
  const auto uploaded = upload<double>(emulated, data);
  const auto interactions =
      interaction_matrix<double>(context, dataset.train, dataset.user_count(), dataset.item_count());
  const auto users = random_matrix(data.users, 8, 1), items = random_matrix(data.items, 8, 2);
  Model<double, Cpu> model(context, data, options, 1);
  Model<double, Emulated> again(emulated, uploaded, options, 1);

  const std::vector<index_t> some{7, 3, 3, 49, 0};
  Tape<double, Cpu> tape(context);
  const ModalParts<double> parts = model.modal_parts(tape, {some.data(), 5});
  REQUIRE(parts.rows.size() == 2);
  REQUIRE(parts.weights.rows() == 5);
  const Var modal = model.domains(tape, {some.data(), 1}, {some.data(), 5})[1].items;
  double off = 0, largest = 0;
  for (index_t i = 0; i < 5 && are_the_domain; ++i)
    for (index_t j = 0; j < 8; ++j) {
      double sum = 0;
      for (std::size_t m = 0; m < 2; ++m)
        sum += parts.weights(i, static_cast<index_t>(m)) * tape.value(parts.rows[m])(i, j);
      off = std::max(off, std::abs(sum - tape.value(modal)(i, j)));
      largest = std::max(largest, std::abs(sum));
    }
  CHECK(off < 1e-12);
  if (are_the_domain) CHECK(largest > 1e-3);

  const Expected expected = expected_of(context, model, data.users, data.items);
  CHECK(std::abs(expected.shares[0] - expected.shares[1]) > 1e-3);  // so that it matters which is which
  CHECK((expected.entities[0] > 0) == users_have_both);
  CHECK(expected.entities[1] > 0);
  const auto found = diagnose(context, context, model, data, users.view(), items.view(), interactions.view());
  CHECK(found.shares[0].first == "image");
  CHECK(found.shares[1].first == "text");
  check_diagnosis(found, expected);
  check_diagnosis(diagnose(emulated, context, again, uploaded, users.view(), items.view(), interactions.view()),
                  expected);
}

}  // namespace

TEST_CASE("A diagnosis says what modalities add to the modal rows and how far domains are apart, on both backends") {
  ModelDataOptions binary;
  binary.item_graph = ItemGraph::binary;
  DreamOptions learned;
  learned.embedding_size = 8;
  learned.modality_weights = ModalityWeights::learned;
  check_parts<Dream>(learned, learned.data, true, true);
  FreedomOptions freedom;
  VbprOptions vbpr;
  Bm3Options bm3;
  MgcnOptions mgcn;
  freedom.embedding_size = vbpr.embedding_size = bm3.embedding_size = mgcn.embedding_size = 8;
  check_parts<Vbpr>(vbpr, {}, true, true);
  check_parts<Bm3>(bm3, {}, true, false);
  check_parts<Freedom>(freedom, binary, true, false);
  freedom.n_mm_layers = 2;
  check_parts<Freedom>(freedom, binary, true, false);
  check_parts<Mgcn>(mgcn, {}, false, true);
}

TEST_CASE("A model is diagnosed in all it has: DREAM in both domains, LightGCN in one") {
  Context<Cpu> context(1);
  Context<Emulated> emulated;
  const Dataset dataset = world();
  DreamOptions options;
  options.embedding_size = 8;
  const auto data = prepare_data<double>(context, dataset, options.data);
  const auto interactions =
      interaction_matrix<double>(context, dataset.train, dataset.user_count(), dataset.item_count());
  const auto users = random_matrix(data.users, 8, 1), items = random_matrix(data.items, 8, 2);
  Dream<double, Cpu> model(context, data, options, 1);
  const auto uploaded = upload<double>(emulated, data);
  Dream<double, Emulated> again(emulated, uploaded, options, 1);
  // The text is forgotten, the image is not.
  const auto moved = random_matrix(data.items, 7, 3);
  const std::span<const double> values(moved.data(), static_cast<std::size_t>(moved.size()));
  upload<double>(context, values, model.large_parameters()[1].value.data());
  upload<double>(emulated, values, again.large_parameters()[1].value.data());
  const double forgotten =
      forgetting(moved.view(), data.modalities[1].features.view().full(), data.modalities[1].present);
  CHECK(forgotten > 0.5);
  const Expected expected = expected_of(context, model, data.users, data.items);

  const auto check = [&](const Diagnostics& found) {
    REQUIRE(found.forgetting.size() == 2);
    CHECK(found.forgetting[0].first == "image");
    CHECK(std::abs(found.forgetting[0].second) < 1e-14);
    CHECK(found.forgetting[1].first == "text");
    CHECK(std::abs(found.forgetting[1].second - forgotten) < 1e-13);
    check_diagnosis(found, expected);
    CHECK(found.alignment == alignment<double>(context, users.view(), items.view(), interactions.view()));
    CHECK(found.user_uniformity == uniformity<double>(context, users.view()));
    CHECK(found.item_uniformity == uniformity<double>(context, items.view()));
  };
  check(diagnose(context, context, model, data, users.view(), items.view(), interactions.view()));
  check(diagnose(emulated, context, again, uploaded, users.view(), items.view(), interactions.view()));

  LightGcn<double, Cpu> plain(context, data, {.embedding_size = 8}, 1);
  const Diagnostics one = diagnose(context, context, plain, data, users.view(), items.view(), interactions.view());
  CHECK(one.forgetting.empty());
  CHECK(one.shares.empty());
  CHECK(one.users.entities == 0);
  CHECK(one.items.entities == 0);
  CHECK(one.user_uniformity == uniformity<double>(context, users.view()));
}

}  // namespace dream_tests::eval_diagnostics
