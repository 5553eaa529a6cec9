// Every formula alone against the double-precision reference: results, and gradients of sum(result * upstream).
#include <functional>
#include <map>

#include <dream/components/batch_similarity_loss.hpp>
#include <dream/components/contrastive_alignment.hpp>
#include <dream/components/gated_modal_encoder.hpp>
#include <dream/components/graph_propagation.hpp>
#include <dream/components/modal_fusion.hpp>
#include <dream/components/ranking_loss.hpp>
#include <dream/models/model_data.hpp>
#include <dream/train/adam.hpp>

#include "ops/inputs.hpp"
#include "support/catch.hpp"
#include "support/golden.hpp"

namespace dream_tests::models_golden_ops {

using namespace dream;
using dream_test::dense_of;
using dream_test::pair_of;
using dream_test::view;
using golden::Case;
using golden::difference;
using golden::DoubleMatrix;

namespace {

/// sum(X * upstream), 1 x 1.
class DotWith {
 public:
  explicit DotWith(MatrixView<const double> upstream) : upstream_(upstream) {}
  Shape shape(MatrixView<const double>) const { return {1, 1}; }
  void forward(Context<Cpu>& context, MatrixView<const double> x, MatrixView<double> y) {
    y(0, 0) = dot<double>(context, x, upstream_);
  }
  void backward(Context<Cpu>& context, MatrixView<const double>, MatrixView<const double>, MatrixView<const double> d,
                GradView<double> dx) {
    if (dx.wanted()) axpby<double>(context, d(0, 0), upstream_, dx.beta, dx.view);
  }

 private:
  MatrixView<const double> upstream_;
};

/// Y = X with rows of length 1.
class NormaliseRows {
 public:
  Shape shape(MatrixView<const double> x) const { return {x.rows, x.cols}; }
  void forward(Context<Cpu>& context, MatrixView<const double> x, MatrixView<double> y) {
    inverse_.resize(x.rows);
    normalise_rows<double>(context, x, y, inverse_.view());
  }
  void backward(Context<Cpu>& context, MatrixView<const double>, MatrixView<const double> y,
                MatrixView<const double> dy, GradView<double> dx) {
    if (dx.wanted()) normalise_rows_backward<double>(context, 1.0, y, inverse_.view(), dy, dx.beta, dx.view);
  }

 private:
  Array<double, Cpu> inverse_;
};

/// X Y^T.
struct Similarities {
  Shape shape(MatrixView<const double> x, MatrixView<const double> y) const { return {x.rows, y.rows}; }
  void forward(Context<Cpu>& context, MatrixView<const double> x, MatrixView<const double> y, MatrixView<double> s) {
    gemm<double>(context, Op::none, Op::transpose, 1.0, x, y, 0.0, s);
  }
  void backward(Context<Cpu>& context, MatrixView<const double> x, MatrixView<const double> y, MatrixView<const double>,
                MatrixView<const double> ds, GradView<double> dx, GradView<double> dy) {
    if (dx.wanted()) gemm<double>(context, Op::none, Op::none, 1.0, ds, y, dx.beta, dx.view);
    if (dy.wanted()) gemm<double>(context, Op::transpose, Op::none, 1.0, ds, x, dy.beta, dy.view);
  }
};

/// One case on a tape: the inputs that have gradients by name, and the check of result and gradients.
class Run {
 public:
  Run(Context<Cpu>& context, const Case& c) : case_(c), tape_(context) {}

  Var input(const std::string& name) {
    auto& [value, gradient] = inputs_[name];
    value = case_.input(name);
    gradient = DoubleMatrix(value.rows(), value.cols());
    gradient.fill(std::nan(""));
    return tape_.input(value.view(), gradient.view());
  }
  Tape<double, Cpu>& tape() { return tape_; }

  void check(Var out) {
    CHECK(difference(tape_.value(out), case_.matrix("outputs", "out").view()) <= golden::tolerance);
    DoubleMatrix upstream;
    if (case_.has("inputs", "upstream")) {
      upstream = case_.input("upstream");
      out = tape_.apply(DotWith(upstream.view()), out);
    }
    tape_.backward(out);
    check_gradients();
  }
  void check_gradients() {
    CHECK(case_.json.at("gradients").size() == inputs_.size());
    for (const auto& [name, matrices] : inputs_) {
      INFO("gradient of " << name);
      CHECK(difference(matrices.second.view(), case_.matrix("gradients", name).view()) <= golden::tolerance);
    }
  }

 private:
  const Case& case_;
  Tape<double, Cpu> tape_;
  std::map<std::string, std::pair<DoubleMatrix, DoubleMatrix>> inputs_;
};

std::vector<index_t> all_rows(index_t count) {
  std::vector<index_t> rows;
  for (index_t i = 0; i < count; ++i) rows.push_back(i);
  return rows;
}

std::vector<std::uint8_t> nonzero_rows(const DoubleMatrix& m) {
  std::vector<std::uint8_t> out;
  for (index_t i = 0; i < m.rows(); ++i) {
    bool any = false;
    for (index_t j = 0; j < m.cols(); ++j) any |= m(i, j) != 0;
    out.push_back(any);
  }
  return out;
}

bool same_graph(const CsrView<double>& graph, const DoubleMatrix& expected) {
  const auto found = dense_of(graph);
  return difference(found.view(), expected.view()) <= golden::tolerance;
}

void cosines(Context<Cpu>& context, const Case& c) {
  Run run(context, c);
  const Var x = run.tape().apply(NormaliseRows{}, run.input("x")),
            y = run.tape().apply(NormaliseRows{}, run.input("y"));
  run.check(run.tape().apply(Similarities{}, x, y));
}

void row_normalise(Context<Cpu>& context, const Case& c) {
  Run run(context, c);
  run.check(run.tape().apply(NormaliseRows{}, run.input("x")));
}

void info_nce_case(Context<Cpu>& context, const Case& c) {
  Run run(context, c);
  const bool both = c.config().at("inter_directions") == "both";
  InfoNce<double, Cpu> op({c.config().at("temperature"), both ? Directions::both : Directions::one});
  const Var x = run.input("x"), y = run.input("y");
  run.check(run.tape().apply(op, x, y));
}

void s3(Context<Cpu>& context, const Case& c) {
  Run run(context, c);
  const DoubleMatrix f = c.input("features");
  Array<double, Cpu> inverse(f.rows());
  inverse_row_norms<double>(context, f.view(), inverse.view());
  const auto rows = all_rows(f.rows());
  BatchSimilarityLoss<double, Cpu> op(
      f.view(), inverse.view(),
      {.form = c.config().at("s3_form") == "dot" ? SimilarityForm::dot : SimilarityForm::cosine,
       .root = c.config().at("s3_root")});
  op.select(view(rows));
  run.check(run.tape().apply(op, run.input("h")));
}

void pairs(Context<Cpu>& context, const Case& c) {
  Run run(context, c);
  const Var users = run.input("users"), items = run.input("items");
  run.check(run.tape().apply(CosineDistance<double, Cpu>{}, users, items));
}

void moments(Context<Cpu>& context, const Case& c) {
  Run run(context, c);
  const Var x = run.input("x"), y = run.input("y");
  run.check(run.tape().apply(MomentDistance<double, Cpu>{}, x, y));
}

void ranking(Context<Cpu>& context, const Case& c) {
  Run run(context, c);
  const std::array<Var, 3> rows{run.input("users"), run.input("positives"), run.input("negatives")};
  if (c.config().at("op") == "bpr")
    return run.check(run.tape().apply(BprLoss<double, Cpu>{}, rows[0], rows[1], rows[2]));
  const bool squares = c.config().at("op") == "l_reg";
  EmbeddingRegulariser<double, Cpu> op(squares ? RegulariserForm::squares : RegulariserForm::norms,
                                       squares ? c.config().at("train_batch_size").get<index_t>() : 1);
  run.check(run.tape().apply_to_all(op, std::span<const Var>(rows)));
}

void filter_gate(Context<Cpu>& context, const Case& c) {
  Run run(context, c);
  auto& tape = run.tape();
  const Var z = run.input("z"), w = run.input("weight"), b = run.input("bias");
  const Var x = tape.apply(Linear<double, Cpu>{}, z, w, b);
  const std::string gate = c.config().at("gate");
  if (gate == "none") return run.check(x);
  const Var w2 = run.input("gate_weight"), b2 = run.input("gate_bias");
  if (gate == "self") return run.check(tape.apply(SelfGate<double, Cpu>{}, x, w2, b2));
  REQUIRE(gate == "id");
  run.check(tape.apply(IdentityGate<double, Cpu>{}, x, run.input("item_embedding"), w2, b2));
}

void bipartite(Context<Cpu>& context, const Case& c) {
  Run run(context, c);
  const auto interactions = pair_of(c.input("R"));
  SparsePair<double, Cpu> graph;
  graph.forward = normalised<double>(context, interactions.forward.view());
  graph.transposed = transpose<double>(context, graph.forward.view());
  GraphPropagation<double, Cpu> op(graph, c.config().at("n_ui_layers"));
  const auto users = all_rows(graph.rows()), items = all_rows(graph.cols());
  op.select(view(users), view(items));
  const Var eu = run.input("user_embedding"), ei = run.input("item_embedding");
  run.check(run.tape().apply(op, eu, ei));
}

void normalised_interactions(Context<Cpu>& context, const Case& c) {
  const auto r = pair_of(c.input("R"));
  CHECK(same_graph(normalised<double>(context, r.forward.view()).view(), c.matrix("outputs", "out")));
}

void knn(Context<Cpu>& context, const Case& c) {
  const DoubleMatrix f = c.input("features");
  const bool binary = c.config().at("item_graph") == "binary";
  for (const index_t block : {1, 5, 768})
    CHECK(same_graph(
        knn_graph<double>(
            context, f.view(),
            {.k = c.config().at("knn_k"), .weights = binary ? KnnWeights::binary : KnnWeights::cosine, .block = block})
            .view(),
        c.matrix("outputs", "out")));
}

void user_knn(Context<Cpu>& context, const Case& c) {
  const DoubleMatrix f = c.input("features");
  const auto r = pair_of(c.input("R"));
  const auto mean = user_mean_operator<double>(context, r.forward.view(), nonzero_rows(f));
  const index_t k = c.config().at("user_knn_k");
  for (const UserSimilarity way : {UserSimilarity::direct, UserSimilarity::gram})
    CHECK(same_graph(user_graph<double>(context, f.view(), mean.view(), {.user = {.k = k}, .similarity = way}).view(),
                     c.matrix("outputs", "out")));
  // The reference divides by all items of the user; only the direction matters.
  const auto means = user_mean_features<double>(context, mean.view(), f.view());
  const auto expected = c.matrix("outputs", "user_features");
  DoubleMatrix a(means.rows(), means.cols()), b(means.rows(), means.cols());
  Array<double, Cpu> inverse(means.rows());
  normalise_rows<double>(context, means.view(), a.view(), inverse.view());
  normalise_rows<double>(context, expected.view(), b.view(), inverse.view());
  CHECK(difference(a.view(), b.view()) <= golden::tolerance);
}

void cooccurrence(Context<Cpu>& context, const Case& c) {
  const auto r = pair_of(c.input("R"));
  CHECK(same_graph(
      cooccurrence_graph<double>(context, r.forward.view(), r.transposed.view(), c.config().at("user_knn_k")).view(),
      c.matrix("outputs", "out")));
}

void modal_propagation(Context<Cpu>& context, const Case& c) {
  Run run(context, c);
  auto& tape = run.tape();
  const auto r = pair_of(c.input("R"));
  SparsePair<double, Cpu> graph;
  graph.forward = normalised<double>(context, r.forward.view());
  graph.transposed = transpose<double>(context, graph.forward.view());
  const auto keep = nonzero_rows(c.input("features"));
  Var h = run.input("h");
  SparsePair<double, Cpu> s, t;
  if (c.has("inputs", "S")) {
    s = pair_of(c.input("S"));
    for (int l = 0; l < c.config().at("n_mm_layers").get<int>(); ++l) h = tape.apply(SparseProduct<double, Cpu>(s), h);
  } else {
    h = tape.apply(MaskRows<double, Cpu>({keep.data(), static_cast<std::int64_t>(keep.size())}), h);
  }
  const auto users = all_rows(graph.rows());
  Var of_users;
  if (c.has("inputs", "T")) {
    t = pair_of(c.input("T"));
    SparseProductRows<double, Cpu> product(t);
    product.select(view(users));
    of_users = tape.apply(std::move(product), tape.apply(SparseProduct<double, Cpu>(graph), h));
  } else {
    of_users = tape.apply(SparseProduct<double, Cpu>(graph), h);
  }
  // The reference's result has the users' rows first, then the items': two halves of one upstream.
  const auto out = c.matrix("outputs", "out"), upstream = c.input("upstream");
  const index_t n = graph.rows(), q = graph.cols();
  CHECK(difference(tape.value(of_users), out.view().middle_rows(0, n)) <= golden::tolerance);
  CHECK(difference(tape.value(h), out.view().middle_rows(n, q)) <= golden::tolerance);
  const std::array<Var, 2> halves{tape.apply(DotWith(upstream.view().middle_rows(0, n)), of_users),
                                  tape.apply(DotWith(upstream.view().middle_rows(n, q)), h)};
  const Var total = tape.apply_to_all(WeightedSum<double, Cpu>({1.0, 1.0}), std::span<const Var>(halves));
  tape.backward(total);
  run.check_gradients();
}

void modality_weights(Context<Cpu>& context, const Case& c) {
  Run run(context, c);
  std::vector<Var> parts{run.input("h0"), run.input("h1"), run.input("h2")};
  const std::string how = c.config().at("modality_weights");
  std::vector<double> weights(3, 1.0 / 3);
  if (how == "given") weights = c.config().at("modality_weight_values").get<std::vector<double>>();
  if (how == "learned") {
    weights.clear();
    parts.push_back(run.input("modality_logits"));
  }
  const DoubleMatrix present = c.input("present");
  const auto rows = all_rows(present.rows());
  ModalFusion<double, Cpu> op(present.view(), weights);
  op.select(view(rows));
  run.check(run.tape().apply_to_all(op, std::span<const Var>(parts)));
}

void normalise(Context<Cpu>& context, const Case& c) {
  DoubleMatrix f = c.input("raw");
  const auto present = nonzero_rows(f);
  const std::string how = c.config().at("feature_normalization");
  normalise_features<double>(context,
                             how == "row"        ? FeatureNormalisation::row
                             : how == "standard" ? FeatureNormalisation::standard
                                                 : FeatureNormalisation::none,
                             {present.data(), static_cast<std::int64_t>(present.size())}, f.view());
  CHECK(difference(f.view(), c.matrix("outputs", "out").view()) <= golden::tolerance);
}

void adam(Context<Cpu>& context, const Case& c) {
  const auto& config = c.config();
  const AdamOptions options{config.at("learning_rate"), config.at("beta1"), config.at("beta2"), config.at("epsilon")};
  DoubleMatrix theta = c.input("theta"), m(1, theta.cols()), v(1, theta.cols());
  m.fill(0);
  v.fill(0);
  for (int t = 1; t <= 3; ++t) {
    const std::string step = std::to_string(t);
    const DoubleMatrix g = c.input("gradient" + step);
    const std::int64_t size = theta.size();
    adam_update<double>(context, AdamStep<double>(options, options.learning_rate, t), {g.data(), size},
                        {theta.data(), size}, {m.data(), size}, {v.data(), size});
    CHECK(difference(theta.view(), c.matrix("outputs", "theta" + step).view()) <= golden::tolerance);
    CHECK(difference(m.view(), c.matrix("outputs", "m" + step).view()) <= golden::tolerance);
    CHECK(difference(v.view(), c.matrix("outputs", "v" + step).view()) <= golden::tolerance);
  }
}

const std::map<std::string, std::function<void(Context<Cpu>&, const Case&)>> checks{
    {"cosines", cosines},
    {"row_normalise", row_normalise},
    {"info_nce", info_nce_case},
    {"s3", s3},
    {"pairs", pairs},
    {"moments", moments},
    {"bpr", ranking},
    {"l_reg", ranking},
    {"norm_reg", ranking},
    {"filter_gate", filter_gate},
    {"bipartite", bipartite},
    {"normalised_interactions", normalised_interactions},
    {"knn_graph", knn},
    {"user_knn_graph", user_knn},
    {"cooccurrence_graph", cooccurrence},
    {"modal_propagation", modal_propagation},
    {"modality_weights", modality_weights},
    {"normalise_features", normalise},
    {"adam", adam},
};

}  // namespace

TEST_CASE("Every formula alone agrees with the reference, result and gradients") {
  const auto cases = golden::cases("op_");
  REQUIRE(cases.size() >= 50);
  std::map<std::string, int> seen;
  for (const int threads : {1, 2}) {
    Context<Cpu> context(threads);
    for (const Case& c : cases) {
      INFO(c.name);
      const std::string op = c.config().at("op");
      REQUIRE(checks.count(op) == 1);  // a case that nothing checks is a failure
      ++seen[op];
      checks.at(op)(context, c);
    }
  }
  CHECK(seen.size() == checks.size());
}

}  // namespace dream_tests::models_golden_ops
