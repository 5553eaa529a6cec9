// Whole losses, their gradients and the fused vectors against the double-precision reference.
#include "support/catch.hpp"
#include "support/golden.hpp"

#include <numeric>

#include <dream/models/bm3.hpp>
#include <dream/models/dream.hpp>
#include <dream/models/freedom.hpp>
#include <dream/models/lightgcn.hpp>
#include <dream/models/mf.hpp>
#include <dream/models/mgcn.hpp>
#include <dream/models/vbpr.hpp>

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
  o.alignment.temperature = c.at("temperature");
  o.alignment.inter_weight = c.at("inter_weight");
  o.alignment.inter_directions =
      pick<Directions>(c.at("inter_directions"), {{"one", Directions::one}, {"both", Directions::both}});
  o.alignment.intra = pick<Intra>(
      c.at("intra"),
      {{"none", Intra::none}, {"pairs", Intra::pairs}, {"modalities", Intra::modalities}, {"moments", Intra::moments}});
  o.alignment.intra_weight = c.at("intra_weight");
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
  const Batch batch{{users.data(), static_cast<std::int64_t>(users.size())},
                    {items.data(), static_cast<std::int64_t>(items.size())}};
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
  const auto [e_users, e_items] = model.represent(tape, {all_users.data(), static_cast<std::int64_t>(all_users.size())},
                                                  {all_items.data(), static_cast<std::int64_t>(all_items.size())});
  CHECK(difference(tape.value(e_users), c.matrix("outputs", "E.users").view()) <= golden::tolerance);
  CHECK(difference(tape.value(e_items), c.matrix("outputs", "E.items").view()) <= golden::tolerance);
}

}  // namespace

TEST_CASE("DREAM agrees with the reference in every term, gradient and fused vector, for every option") {
  const auto cases = golden::cases("dream_");
  REQUIRE(cases.size() >= 30);
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

TEST_CASE("VBPR agrees with the reference") {
  Context<Cpu> context(2);
  const auto cases = golden::cases("vbpr");
  REQUIRE(cases.size() >= 3);
  for (const Case& c : cases) {
    INFO(c.name);
    const auto data = prepare_data<double>(context, dataset_of(c), data_options(c));
    VbprOptions options;
    options.embedding_size = c.config().at("embedding_size");
    options.reg_weight = c.config().at("reg_weight");
    Vbpr<double, Cpu> model(context, data, options, 1);
    check_model(context, c, model);
  }
}

TEST_CASE("BM3 agrees with the reference") {
  Context<Cpu> context(2);
  const auto cases = golden::cases("bm3");
  REQUIRE(cases.size() >= 4);
  for (const Case& c : cases) {
    INFO(c.name);
    const auto data = prepare_data<double>(context, dataset_of(c), data_options(c));
    Bm3Options options;
    options.embedding_size = c.config().at("embedding_size");
    options.n_ui_layers = c.config().at("n_ui_layers");
    options.cl_weight = c.config().at("cl_weight");
    options.reg_weight = c.config().at("reg_weight");
    options.dropout = 0;
    Bm3<double, Cpu> model(context, data, options, 1);
    check_model(context, c, model);
  }
}

TEST_CASE("FREEDOM agrees with the reference, on a pruned graph and on the whole one") {
  Context<Cpu> context(2);
  const auto cases = golden::cases("freedom");
  REQUIRE(cases.size() >= 3);
  for (const Case& c : cases) {
    INFO(c.name);
    ModelDataOptions prepared = data_options(c);
    prepared.item_graph = ItemGraph::binary;
    const auto data = prepare_data<double>(context, dataset_of(c), prepared);
    FreedomOptions options;
    options.embedding_size = c.config().at("embedding_size");
    options.n_ui_layers = c.config().at("n_ui_layers");
    options.n_mm_layers = c.config().at("n_mm_layers");
    options.modality_weights = c.config().at("modality_weight_values").get<std::vector<double>>();
    options.reg_weight = c.config().at("reg_weight");
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
TEST_CASE("MGCN agrees with the reference") {
  Context<Cpu> context(2);
  const auto cases = golden::cases("mgcn");
  REQUIRE(cases.size() >= 4);
  for (const Case& c : cases) {
    INFO(c.name);
    const auto data = prepare_data<double>(context, dataset_of(c), data_options(c));
    MgcnOptions options;
    options.embedding_size = c.config().at("embedding_size");
    options.n_ui_layers = c.config().at("n_ui_layers");
    options.n_mm_layers = c.config().at("n_mm_layers");
    options.cl_weight = c.config().at("cl_weight");
    options.temperature = c.config().at("temperature");
    options.reg_weight = c.config().at("reg_weight");
    options.batch_size = c.config().at("train_batch_size");
    Mgcn<double, Cpu> model(context, data, options, 1);
    check_model(context, c, model);
  }
}
