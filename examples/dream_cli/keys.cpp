// Every key of --config and --set, by subject.
#include <algorithm>
#include <set>

#include "key_makers.hpp"

namespace dream_cli {

namespace {

using namespace key_makers;

#define FIELD(path) ([](auto& s) -> auto& { return s.path; })

std::vector<Key> make_keys() {
  using dream::DreamOptions;
  const Range weight{0};
  const Range layers{0, 100};
  const Range count{1, largest_index};
  std::vector<Key> k;
  const auto words = []<class E>(std::initializer_list<std::pair<std::string, E>> list) {
    return std::vector<std::pair<std::string, E>>(list);
  };
  using dream::Directions, dream::Intra, dream::SimilarityForm;
  using dream::FeatureNormalisation, dream::FeatureStorage, dream::Gate, dream::ItemGraph, dream::UserGraph;

  // The model.
  std::vector<std::pair<std::string, std::string>> models;
  for (const std::string& name : model_names()) models.emplace_back(name, name);
  k.push_back(choice("model", "what is trained", FIELD(model_name), models));
  k.push_back(choice("backend", "what computes", FIELD(backend),
                     words({std::pair{std::string("cpu"), std::string("cpu")},
                            {"cuda", "cuda"},
                            {"emulated", "emulated"},
                            {"auto", "auto"}})));
  k.push_back(integer("embedding_size", "columns of every embedding", FIELD(model.embedding_size), {1, 65536}));
  k.push_back(integer("n_ui_layers", "steps over the user-item graph", FIELD(model.n_ui_layers), layers));
  k.push_back(
      integer("n_mm_layers", "steps over the item-item graph of each modality", FIELD(model.n_mm_layers), layers));
  k.push_back(flag("behaviour_line", "the behaviour line takes part", FIELD(model.behaviour_line)));
  k.push_back(flag("modal_line", "the modal line takes part", FIELD(model.modal_line)));
  k.push_back(choice("feature_normalization", "input features: rows of length 1, as they are, or standardised columns",
                     FIELD(model.data.feature_normalisation),
                     words({std::pair{std::string("row"), FeatureNormalisation::row},
                            {"none", FeatureNormalisation::none},
                            {"standard", FeatureNormalisation::standard}})));
  k.push_back(choice("feature_storage",
                     "how the features that training reads are stored; products stay in full precision",
                     FIELD(model.data.feature_storage),
                     words({std::pair{std::string("float32"), FeatureStorage::full},
                            {"bfloat16", FeatureStorage::bfloat16},
                            {"float16", FeatureStorage::float16}})));
  k.push_back(flag("train_features", "train the modal embeddings; false keeps them at the features",
                   FIELD(model.train_features)));
  k.push_back(choice("gate", "the filter gate lets through the id embeddings, the features themselves, or everything",
                     FIELD(model.gate),
                     words({std::pair{std::string("id"), Gate::id}, {"self", Gate::self}, {"none", Gate::none}})));
  // Relation graphs.
  k.push_back(choice(
      "item_graph", "item-item graph of each modality: cosine weights, equal weights, or no graph",
      FIELD(model.data.item_graph),
      words(
          {std::pair{std::string("knn"), ItemGraph::knn}, {"binary", ItemGraph::binary}, {"none", ItemGraph::none}})));
  k.push_back(integer("knn_k", "neighbours of an item, itself included", FIELD(model.data.knn_k), count));
  k.push_back(choice("user_graph", "user-user graph: features, shared items, or no graph", FIELD(model.data.user_graph),
                     words({std::pair{std::string("knn"), UserGraph::knn},
                            {"cooccurrence", UserGraph::cooccurrence},
                            {"none", UserGraph::none}})));
  k.push_back(integer("user_knn_k", "neighbours of a user", FIELD(model.data.user_knn_k), count));
  k.push_back(choice(
      "knn_method",
      "how neighbours are found: exact takes time in the square of the rows; auto is exact while that is bearable",
      FIELD(model.data.knn_method),
      words({std::pair{std::string("exact"), dream::KnnMethod::exact},
             {"approximate", dream::KnnMethod::approximate},
             {"auto", dream::KnnMethod::automatic}})));
  k.push_back(choice("modality_weights",
                     "weights of the modalities in the sum: own, as the model has them (dream equal ones, freedom 0.9 "
                     "for a text and 0.1 shared by the others), or equal, given or, in dream, learned",
                     FIELD(modality_weights),
                     words({std::pair{std::string("own"), ModalityWeights::own},
                            {"equal", ModalityWeights::equal},
                            {"given", ModalityWeights::given},
                            {"learned", ModalityWeights::learned}})));
  k.push_back(
      numbers<double>("modality_weight_values", "the weights where they are given, in the order of the modalities",
                      "a list of numbers >= 0", FIELD(model.modality_weight_values),
                      [](const auto& v) { return std::all_of(v.begin(), v.end(), [](double x) { return x >= 0; }); }));
  // The losses.
  k.push_back(number("modal_weight", "weight of the modal line beside the behaviour line in the fused representations",
                     FIELD(model.modal_weight), {0, 1e6, true}));
  k.push_back(number("temperature", "tau of InfoNCE", FIELD(model.alignment.temperature), {0, 1e6, true}));
  k.push_back(number("inter_weight", "weight of the alignment between the lines; 0 switches it off",
                     FIELD(model.alignment.inter_weight), weight));
  k.push_back(choice("inter_directions", "InfoNCE in one direction or both", FIELD(model.alignment.inter_directions),
                     words({std::pair{std::string("one"), Directions::one}, {"both", Directions::both}})));
  k.push_back(choice("intra", "the alignment inside the lines", FIELD(model.alignment.intra),
                     words({std::pair{std::string("none"), Intra::none},
                            {"pairs", Intra::pairs},
                            {"modalities", Intra::modalities},
                            {"moments", Intra::moments}})));
  k.push_back(number("intra_weight", "weight of that alignment", FIELD(model.alignment.intra_weight), weight));
  k.push_back(number("s3_weight", "weight of the similarity supervised signal; 0 switches it off",
                     FIELD(model.s3_weight), weight));
  k.push_back(number("s3_user_weight", "rho: weight of its part on users", FIELD(model.s3_user_weight), weight));
  k.push_back(choice("s3_form", "similarity of the embeddings in it", FIELD(model.s3_form),
                     words({std::pair{std::string("cosine"), SimilarityForm::cosine}, {"dot", SimilarityForm::dot}})));
  k.push_back(flag("s3_root", "root of the sum divided by the batch instead of the mean square", FIELD(model.s3_root)));
  k.push_back(choice(
      "s3_target_norm", "the constant in its value: exact, or estimated from a sample where no gradient needs it",
      FIELD(model.s3_target_norm),
      words({std::pair{std::string("exact"), dream::TargetNorm::exact}, {"sampled", dream::TargetNorm::sampled}})));
  k.push_back(choice("bma",
                     "behaviour-modal alignment in the loss: own, as the model has it (dream alone does), on or off",
                     FIELD(bma), words({std::pair{std::string("own"), Bma::own}, {"on", Bma::on}, {"off", Bma::off}})));
  k.push_back(number("target_dropout", "share of the targets' values that bm3 drops", FIELD(bm3.dropout), {0, 0.999}));
  k.push_back(number("edge_dropout", "share of the interactions that an epoch of freedom leaves out",
                     FIELD(freedom.edge_dropout), {0, 0.999}));
  // One name for several fields: the models weigh differently and have defaults of their own.
  k.push_back(weight_of_models(
      "cl_weight", "weight of the part that bm3 (by default 2) and mgcn (0.01) call contrastive", [](auto& s) {
        return std::vector{std::pair{"bm3", &s.bm3.cl_weight}, {"mgcn", &s.mgcn.cl_weight}};
      }));
  k.push_back(weight_of_models(
      "reg_weight",
      "weight of the regulariser on the rows used, by default that of dream; else 1e-2 for mf and vbpr, 1e-3 for "
      "lightgcn and freedom (of its modal part), 0.1 for bm3, 1e-4 for mgcn",
      [](auto& s) {
        return std::vector{std::pair{"dream", &s.model.reg_weight},
                           {"mf", &s.mf.reg_weight},
                           {"lightgcn", &s.lightgcn.reg_weight},
                           {"vbpr", &s.vbpr.reg_weight},
                           {"bm3", &s.bm3.reg_weight},
                           {"freedom", &s.freedom.reg_weight},
                           {"mgcn", &s.mgcn.reg_weight}};
      }));
  // Training.
  k.push_back(number("learning_rate", "step size of Adam", FIELD(fit.adam.learning_rate), {0, 1e300, true}));
  k.push_back({"learning_rate_scheduler", "two numbers > 0",
               "[f, p]: the rate is multiplied by f^(epoch / p); by default [0.96, 50] for mgcn",
               [](const Settings& s) {
                 return json{s.own_schedule().factor, s.own_schedule().period};
               },
               [](Settings& s, const json& given) -> std::string {
                 const json list = as_list(given);
                 for (const json& v : list)
                   if (!v.is_number() || !(v.get<double>() > 0)) return "two numbers > 0";
                 if (list.size() != 2) return "two numbers > 0";
                 s.schedule = s.mgcn_schedule = {list[0].get<double>(), list[1].get<double>()};
                 return "";
               }});
  k.push_back(integer("train_batch_size", "interactions of a training step", FIELD(fit.batch_size), count));
  k.push_back(integer("epochs", "the most epochs", FIELD(fit.epochs), {0, 1e9}));
  k.push_back(integer("eval_step", "epochs between evaluations on valid", FIELD(fit.eval_step), {1, 1e9}));
  k.push_back(integer("stopping_step", "training stops after more evaluations in a row without a gain",
                      FIELD(fit.stopping_step), {0, 1e9}));
  k.push_back(integer("seed", "of every random number, but for the split's", FIELD(fit.seed), {0}));
  // Evaluation.
  k.push_back(numbers<int>("topk", "list lengths that metrics are taken at", "a list of different whole numbers >= 1",
                           FIELD(fit.top_k), [](const auto& v) {
                             std::set<int> different(v.begin(), v.end());
                             return !v.empty() && *different.begin() >= 1 && different.size() == v.size();
                           }));
  k.push_back({"valid_metric", "METRIC@K, METRIC one of recall, ndcg, precision, map, hit, mrr and K in topk",
               "what is watched on valid", [](const Settings& s) { return json(s.fit.valid_metric); },
               [](Settings& s, const json& v) -> std::string {
                 const std::string metric = v.is_string() ? lower(v.get<std::string>()) : "";
                 const std::size_t at = metric.find('@');
                 std::int64_t k_value = 0;
                 const json digits = at == std::string::npos ? json() : plain_value(metric.substr(at + 1));
                 const auto& names = dream::RankingMetrics::names;
                 if (!whole(digits, k_value) || k_value < 1 || k_value > 2147483647 ||
                     std::find(names.begin(), names.end(), metric.substr(0, at)) == names.end())
                   return "METRIC@K with METRIC one of recall, ndcg, precision, map, hit, mrr";
                 s.fit.valid_metric = metric.substr(0, at) + "@" + std::to_string(k_value);
                 return "";
               }});
  k.push_back(flag("diagnostics", "forgetting, misalignment, alignment and uniformity every eval_step epochs",
                   FIELD(diagnostics)));
  k.push_back(flag("mask_valid_in_test", "leave a user's valid items out of the test ranking too",
                   FIELD(fit.mask_valid_in_test)));
  // Data.
  k.push_back(
      choice("split",
             "where train, valid and test come from: the files (random where they hold none), at random, by time, "
             "the last two of each user, or by date",
             FIELD(read.split),
             words({std::pair{std::string("given"), dream::SplitRule::given},
                    {"random", dream::SplitRule::random},
                    {"time", dream::SplitRule::time},
                    {"last", dream::SplitRule::last},
                    {"date", dream::SplitRule::date}})));
  const auto any_text = [](const std::string&) { return std::string(); };
  k.push_back(text("valid_from", "a time", "of a split by date: valid begins here; empty: no valid",
                   FIELD(read.valid_from), any_text));
  k.push_back(text("test_from", "a time", "of a split by date: test begins here", FIELD(read.test_from), any_text));
  k.push_back(numbers<double>("split_ratio", "shares of train, valid and test where they are made",
                              "three numbers >= 0, the first > 0", FIELD(read.ratios),
                              [](const auto& v) { return v.size() == 3 && v[0] > 0 && v[1] >= 0 && v[2] >= 0; }));
  k.push_back(integer("split_seed", "of a random split", FIELD(read.seed), {0}));
  k.push_back(integer("k_core", "keep users and items with at least so many interactions", FIELD(read.k_core),
                      {0, largest_index}));
  k.push_back(flag("merge_duplicates", "keep the first of equal pairs; they are errors otherwise",
                   FIELD(read.merge_duplicates)));
  k.push_back(choice("ids", "how user and item ids are read: automatic takes integers if the first one is one",
                     FIELD(read.ids),
                     words({std::pair{std::string("automatic"), dream::IdKind::automatic},
                            {"integers", dream::IdKind::integers},
                            {"strings", dream::IdKind::strings}})));
  const auto column = [&](const char* name, const char* help, auto field) {
    k.push_back(text(name, "a name, or a number from 1", help, field, any_text));
  };
  column("user_column", "the users' column: its name, or its number where there is no header; empty: by known names",
         FIELD(read.columns.user));
  column("item_column", "the items' column likewise", FIELD(read.columns.item));
  column("rating_column", "the ratings' column likewise", FIELD(read.columns.rating));
  column("time_column", "the times' column likewise", FIELD(read.columns.time));
  column("weight_column",
         "a column of numbers > 0 that weigh the ranking loss, scaled to the mean 1; empty: no weights",
         FIELD(read.columns.weight));
  k.push_back(text("field_separator", "TAB , ; | :: blank", "what separates the fields of a table; they may be quoted",
                   FIELD(read.columns.separator), [](const std::string& given) -> std::string {
                     try {
                       dream::detail::separator_named(given);
                       return "";
                     } catch (const dream::error&) {
                       return "one of TAB , ; | :: blank";
                     }
                   }));
  k.push_back({"min_rating", "a number, or none", "interactions with a lower rating are dropped",
               [](const Settings& s) { return s.read.min_rating ? json(*s.read.min_rating) : json("none"); },
               [](Settings& s, const json& v) -> std::string {
                 if (!v.is_number() && v != "none") return "a number, or none";
                 s.read.min_rating.reset();
                 if (v.is_number()) s.read.min_rating = v.get<double>();
                 return "";
               }});
  k.push_back(names("modalities", "the modalities to use; none named: all", FIELD(read.modalities)));
  return k;
}

#undef FIELD

}  // namespace

const std::vector<std::string>& model_names() {
  static const std::vector<std::string> all{"dream", "mf", "lightgcn", "vbpr", "bm3", "freedom", "mgcn"};
  return all;
}

const std::vector<Key>& keys() {
  static const std::vector<Key> all = make_keys();
  return all;
}

}  // namespace dream_cli
