// Whole losses, their gradients and the fused vectors against the double-precision reference.
#include "support/catch.hpp"
#include "support/golden.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>

#include <dream/models/bm3.hpp>
#include <dream/models/dream.hpp>
#include <dream/models/freedom.hpp>
#include <dream/models/lightgcn.hpp>
#include <dream/models/mf.hpp>
#include <dream/models/mgcn.hpp>
#include <dream/models/vbpr.hpp>

namespace dream_tests::models_golden_models {

using namespace dream;
using golden::Case;
using golden::difference;

namespace {

template <class Enum>
Enum pick(const nlohmann::json& value, std::initializer_list<std::pair<const char*, Enum>> names) {
  for (const auto& [name, e] : names)
    if (value.get<std::string>() == name) return e;
  throw std::runtime_error("a golden case has an unknown value " + value.dump());
}

AlignmentOptions alignment_options(const nlohmann::json& c) {
  AlignmentOptions o;
  o.temperature = c.at("temperature");
  o.inter_weight = c.at("inter_weight");
  o.inter_directions =
      pick<Directions>(c.at("inter_directions"), {{"one", Directions::one}, {"both", Directions::both}});
  o.intra = pick<Intra>(
      c.at("intra"),
      {{"none", Intra::none}, {"pairs", Intra::pairs}, {"modalities", Intra::modalities}, {"moments", Intra::moments}});
  o.intra_weight = c.at("intra_weight");
  return o;
}

DreamOptions dream_options(const nlohmann::json& c) {
  DreamOptions o;
  o.embedding_size = c.at("embedding_size");
  o.n_ui_layers = c.at("n_ui_layers");
  o.n_mm_layers = c.at("n_mm_layers");
  o.data.knn_k = c.at("knn_k");
  o.data.user_knn_k = c.at("user_knn_k");
  o.data.feature_normalisation =
      pick<FeatureNormalisation>(c.at("feature_normalization"), {{"row", FeatureNormalisation::row},
                                                                 {"none", FeatureNormalisation::none},
                                                                 {"standard", FeatureNormalisation::standard}});
  o.train_features = c.at("train_features");
  o.gate = pick<Gate>(c.at("gate"), {{"id", Gate::id}, {"self", Gate::self}, {"none", Gate::none}});
  o.data.item_graph = pick<ItemGraph>(
      c.at("item_graph"), {{"knn", ItemGraph::knn}, {"binary", ItemGraph::binary}, {"none", ItemGraph::none}});
  o.data.user_graph =
      pick<UserGraph>(c.at("user_graph"),
                      {{"knn", UserGraph::knn}, {"cooccurrence", UserGraph::cooccurrence}, {"none", UserGraph::none}});
  o.modality_weights = pick<ModalityWeights>(
      c.at("modality_weights"),
      {{"equal", ModalityWeights::equal}, {"given", ModalityWeights::given}, {"learned", ModalityWeights::learned}});
  o.modality_weight_values = c.at("modality_weight_values").get<std::vector<double>>();
  o.modal_weight = c.at("modal_weight");
  o.alignment = alignment_options(c);
  o.s3_weight = c.at("s3_weight");
  o.s3_user_weight = c.at("s3_user_weight");
  o.s3_form = pick<SimilarityForm>(c.at("s3_form"), {{"cosine", SimilarityForm::cosine}, {"dot", SimilarityForm::dot}});
  o.s3_root = c.at("s3_root");
  o.s3_target_norm = TargetNorm::exact;
  o.reg_weight = c.at("reg_weight");
  o.behaviour_line = c.at("behaviour_line");
  o.modal_line = c.at("modal_line");
  o.batch_size = c.at("train_batch_size");
  return o;
}

Dataset dataset_of(const Case& c) {
  Dataset d;
  d.name = c.name;
  const auto r = c.input("R");
  d.users.count = r.rows();
  d.items.count = r.cols();
  for (index_t u = 0; u < r.rows(); ++u)
    for (index_t i = 0; i < r.cols(); ++i)
      if (r(u, i) != 0) {
        d.train.user.push_back(u);
        d.train.item.push_back(i);
      }
  for (const auto& [key, value] : c.json.at("inputs").items()) {
    if (key.rfind("raw.", 0) != 0) continue;
    const auto raw = c.input(key);
    Modality m{key.substr(4), raw.rows(), raw.cols(), {}, {}};
    for (index_t i = 0; i < raw.rows(); ++i) {
      bool present = false;
      for (index_t j = 0; j < raw.cols(); ++j) {
        m.values.push_back(static_cast<float>(raw(i, j)));
        present |= raw(i, j) != 0;
      }
      m.present.push_back(present);
    }
    d.modalities.push_back(std::move(m));
  }
  return d;
}

ModelDataOptions data_options(const Case& c) {
  return {.feature_normalisation = pick<FeatureNormalisation>(
              c.config().at("feature_normalization"),
              {{"row", FeatureNormalisation::row}, {"standard", FeatureNormalisation::standard}}),
          .knn_k = c.config().value("knn_k", 10)};
}

/// The cases of a model that is compared with DREAM: by itself, with alignment, with frozen modal embeddings.
std::vector<Case> peer_cases(const std::string& model, std::size_t alone, std::size_t aligned, std::size_t frozen) {
  std::vector<Case> all;
  for (const auto& [prefix, count] : {std::pair{"", alone}, {"aligned_", aligned}, {"frozen_", frozen}}) {
    std::vector<Case> found = golden::cases(prefix + model);
    INFO(prefix + model);
    REQUIRE(found.size() >= count);
    std::move(found.begin(), found.end(), std::back_inserter(all));
  }
  REQUIRE(std::any_of(all.begin(), all.end(), [](const Case& c) { return c.has("outputs", "weights"); }));
  return all;
}

/// What the models of the comparison have in common.
template <class Options>
Options peer_options(const nlohmann::json& c) {
  Options o;
  o.embedding_size = c.at("embedding_size");
  o.reg_weight = c.at("reg_weight");
  if constexpr (requires { o.train_features; }) o.train_features = c.value("train_features", true);
  o.align = c.contains("alignment");
  if (o.align) o.alignment = alignment_options(c.at("alignment"));
  return o;
}

golden::DoubleMatrix rows_of(const golden::DoubleMatrix& m, const std::vector<index_t>& rows) {
  golden::DoubleMatrix picked(static_cast<index_t>(rows.size()), m.cols());
  for (index_t i = 0; i < picked.rows(); ++i)
    std::copy_n(m.view().row(rows[static_cast<std::size_t>(i)]), m.cols(), picked.view().row(i));
  return picked;
}

VectorView<const index_t> list(const std::vector<index_t>& rows) {
  return {rows.data(), static_cast<std::int64_t>(rows.size())};
}

/// The domains and the modalities' parts, where the case has them, of everybody in reverse, the last item twice.
template <class Model>
void check_domains(Tape<double, Cpu>& tape, const Case& c, Model& model) {
  std::vector<index_t> users, items{c.input("R").cols() - 1};
  for (index_t u = c.input("R").rows(); u-- > 0;) users.push_back(u);
  for (index_t i = c.input("R").cols(); i-- > 0;) items.push_back(i);
  const auto check = [&](const std::string& name, Var found, const std::vector<index_t>& rows) {
    INFO(name);
    CHECK(difference(tape.value(found), rows_of(c.matrix("outputs", name), rows).view()) <= golden::tolerance);
  };
  if (c.has("outputs", "E_M.items")) {
    tape.clear();
    const auto [behaviour, modal] = model.domains(tape, list(users), list(items));
    check("E_B.items", behaviour.items, items);
    check("E_M.items", modal.items, items);
    for (const auto& [name, found] : {std::pair{"E_B.users", behaviour.users}, {"E_M.users", modal.users}}) {
      INFO(name);
      REQUIRE(found.valid() == c.has("outputs", name));
      if (found.valid()) check(name, found, users);
    }
  }
  if (c.has("outputs", "weights")) {
    tape.clear();
    const ModalParts<double> parts = model.modal_parts(tape, list(items));
    std::size_t m = 0;
    for (const auto& [key, value] : c.json.at("outputs").items()) {  // in alphabetical order, as modalities are
      if (key.rfind("H.", 0) != 0) continue;
      REQUIRE(m < parts.rows.size());
      check(key, parts.rows[m++], items);
    }
    CHECK(m == parts.rows.size());
    CHECK(difference(parts.weights.view(), rows_of(c.matrix("outputs", "weights"), items).view()) <= golden::tolerance);
  }
}

template <class Model>
void check_model(Context<Cpu>& context, const Case& c, Model& model) {
  auto& parameters = model.parameters();
  for (int p = 0; p < parameters.count(); ++p)
    copy<double>(context, c.input(parameters.name({p})).view(), parameters.value({p}));
  for (auto& z : model.large_parameters()) copy<double>(context, c.input(z.name).view(), z.value.view());

  const auto users = c.indices("users");
  auto items = c.indices("positives");
  const auto negatives = c.indices("negatives");
  items.insert(items.end(), negatives.begin(), negatives.end());
  const Batch batch{list(users), list(items), c.config().value("step", 0u)};
  Tape<double, Cpu> tape(context);
  // Twice on the same tape: the second time every buffer holds the first run's values.
  for (int run = 0; run < 2; ++run) {
    tape.clear();
    const Losses losses = model.losses(tape, batch);
    for (const LossTerm& term : losses.terms) {
      INFO("term " << term.name);
      CHECK(difference(tape.value(term.value), c.matrix("outputs", term.name).view()) <= golden::tolerance);
    }
    CHECK(difference(tape.value(losses.total), c.matrix("outputs", "total").view()) <= golden::tolerance);
    auto all = parameters.gradients();
    std::fill(all.begin(), all.end(), std::nan(""));
    tape.backward(losses.total);
    model.bind_large_gradients(tape);
  }
  for (int p = 0; p < parameters.count(); ++p) {
    INFO("gradient of " << parameters.name({p}));
    CHECK(difference(parameters.gradient({p}), c.matrix("gradients", parameters.name({p})).view()) <=
          golden::tolerance);
  }
  for (auto& z : model.large_parameters()) {
    INFO("gradient of " << z.name);
    golden::DoubleMatrix dz(z.value.rows(), z.value.cols());
    gemm<double>(context, Op::none, Op::transpose, 1.0, z.left, z.right, 0.0, dz.view());
    CHECK(difference(dz.view(), c.matrix("gradients", z.name).view()) <= golden::tolerance);
  }

  std::vector<index_t> all_users(static_cast<std::size_t>(c.input("R").rows())),
      all_items(static_cast<std::size_t>(c.input("R").cols()));
  std::iota(all_users.begin(), all_users.end(), 0);
  std::iota(all_items.begin(), all_items.end(), 0);
  tape.clear();
  const auto [e_users, e_items] = model.represent(tape, list(all_users), list(all_items));
  CHECK(difference(tape.value(e_users), c.matrix("outputs", "E.users").view()) <= golden::tolerance);
  CHECK(difference(tape.value(e_items), c.matrix("outputs", "E.items").view()) <= golden::tolerance);
  if constexpr (requires { model.domains(tape, list(all_users), list(all_items)); }) check_domains(tape, c, model);
}

}  // namespace

TEST_CASE("DREAM agrees with the reference in every term, gradient and fused vector, for every option") {
  const auto cases = golden::cases("dream_");
  REQUIRE(cases.size() >= 30);
  REQUIRE(std::any_of(cases.begin(), cases.end(), [](const Case& c) { return c.has("outputs", "weights"); }));
  for (const int threads : {1, 2}) {
    Context<Cpu> context(threads);
    for (const Case& c : cases) {
      INFO(c.name);
      const DreamOptions options = dream_options(c.config());
      ModelDataOptions data_options = options.data;
      data_options.modal = options.modal_line;
      const ModelData<double, Cpu> data = prepare_data<double>(context, dataset_of(c), data_options);
      Dream<double, Cpu> model(context, data, options, 1);
      check_model(context, c, model);
    }
  }
}

TEST_CASE("LightGCN agrees with the reference") {
  Context<Cpu> context(2);
  const auto cases = golden::cases("lightgcn");
  REQUIRE(cases.size() >= 2);
  for (const Case& c : cases) {
    INFO(c.name);
    const LightGcnOptions options{c.config().at("embedding_size"), c.config().at("n_ui_layers"),
                                  c.config().at("reg_weight")};
    const auto data = prepare_data<double>(context, dataset_of(c), {.modal = false});
    LightGcn<double, Cpu> model(context, data, options, 1);
    check_model(context, c, model);
  }
}

TEST_CASE("Matrix factorisation agrees with the reference") {
  Context<Cpu> context(2);
  const auto cases = golden::cases("mf_bpr");
  REQUIRE(cases.size() >= 2);
  for (const Case& c : cases) {
    INFO(c.name);
    const MatrixFactorisationOptions options{c.matrix("inputs", "user_embedding").cols(), c.config().at("reg_weight"),
                                             c.config().at("train_batch_size")};
    const auto data = prepare_data<double>(context, dataset_of(c), {.modal = false});
    MatrixFactorisation<double, Cpu> model(context, data, options, 1);
    check_model(context, c, model);
  }
}

TEST_CASE("VBPR agrees with the reference, with and without alignment") {
  Context<Cpu> context(2);
  for (const Case& c : peer_cases("vbpr", 3, 2, 0)) {
    INFO(c.name);
    const auto data = prepare_data<double>(context, dataset_of(c), data_options(c));
    Vbpr<double, Cpu> model(context, data, peer_options<VbprOptions>(c.config()), 1);
    check_model(context, c, model);
  }
}

TEST_CASE("BM3 agrees with the reference, with and without alignment, dropout and trainable features") {
  Context<Cpu> context(2);
  bool with_dropout = false;
  for (const Case& c : peer_cases("bm3", 5, 1, 1)) {
    INFO(c.name);
    const auto data = prepare_data<double>(context, dataset_of(c), data_options(c));
    auto options = peer_options<Bm3Options>(c.config());
    options.n_ui_layers = c.config().at("n_ui_layers");
    options.cl_weight = c.config().at("cl_weight");
    options.dropout = c.config().value("dropout", 0.0);
    Bm3<double, Cpu> model(context, data, options, c.config().value("seed", std::uint64_t{1}));
    check_model(context, c, model);
    with_dropout |= options.dropout > 0;
  }
  CHECK(with_dropout);
}

TEST_CASE("BM3's masks in the reference are those of the library's dropout, one of a batch's rows for each target") {
  Context<Cpu> context(1);
  const auto cases = golden::cases("bm3_dropout");
  REQUIRE(cases.size() == 1);
  const Case& c = cases[0];
  std::uint32_t stream = 0;
  for (const char* name : {"mask.users", "mask.items", "mask.image", "mask.text"}) {
    INFO(name);
    const auto expected = c.input(name);
    golden::DoubleMatrix ones(expected.rows(), expected.cols()), found(expected.rows(), expected.cols());
    ones.fill(1);
    Dropout<double, Cpu> dropout(c.config().at("dropout"), c.config().at("seed"), stream++);
    dropout.select(c.config().at("step"));
    dropout.forward(context, std::as_const(ones).view(), found.view());
    CHECK(difference(found.view(), expected.view()) <= golden::tolerance);
  }
}

TEST_CASE("FREEDOM agrees with the reference, on a pruned graph and on the whole one, with and without alignment") {
  Context<Cpu> context(2);
  for (const Case& c : peer_cases("freedom", 3, 1, 1)) {
    INFO(c.name);
    ModelDataOptions prepared = data_options(c);
    prepared.item_graph = ItemGraph::binary;
    const auto data = prepare_data<double>(context, dataset_of(c), prepared);
    auto options = peer_options<FreedomOptions>(c.config());
    options.n_ui_layers = c.config().at("n_ui_layers");
    options.n_mm_layers = c.config().at("n_mm_layers");
    options.modality_weights = c.config().at("modality_weight_values").get<std::vector<double>>();
    Freedom<double, Cpu> model(context, data, options, 1);
    const auto pruned = c.input("pruned");
    Pairs pairs;
    for (index_t u = 0; u < pruned.rows(); ++u)
      for (index_t i = 0; i < pruned.cols(); ++i)
        if (pruned(u, i) != 0) {
          pairs.user.push_back(u);
          pairs.item.push_back(i);
        }
    model.prune(context, context, interaction_matrix<double>(context, pairs, pruned.rows(), pruned.cols()).view());
    check_model(context, c, model);
  }
}

TEST_CASE("MGCN agrees with the reference, with and without alignment") {
  Context<Cpu> context(2);
  for (const Case& c : peer_cases("mgcn", 4, 2, 1)) {
    INFO(c.name);
    const auto data = prepare_data<double>(context, dataset_of(c), data_options(c));
    auto options = peer_options<MgcnOptions>(c.config());
    options.n_ui_layers = c.config().at("n_ui_layers");
    options.n_mm_layers = c.config().at("n_mm_layers");
    options.cl_weight = c.config().at("cl_weight");
    options.temperature = c.config().at("temperature");
    options.batch_size = c.config().at("train_batch_size");
    Mgcn<double, Cpu> model(context, data, options, 1);
    check_model(context, c, model);
  }
}

}  // namespace dream_tests::models_golden_models
