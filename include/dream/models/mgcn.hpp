// MGCN (Yu et al., ACM MM 2023), as in docs/components.md, 7. Per modality X_m = Z_m W_m + b_m, P_m = E_I * sigmoid(X_m
// V_m + c_m), C_m = [Rn (S_m P_m) ; S_m P_m]; then, rows of users and of items apart but with the same parameters,
//   common = sum_m a_m C_m,  a = softmax_m( tanh(C_m A + a0) q ),  g_m = sigmoid(E_B Q_m + q_m),
//   side = ( sum_m g_m * (C_m - common) + common ) / (#modalities + 1),   E = E_B + side,
//   L = L_BPR + w_reg L_reg + w_cl (InfoNCE(side_P, E_B,P) + InfoNCE(side_u, E_B,u)).
#pragma once

#include <memory>
#include <vector>

#include <dream/components/gated_modal_encoder.hpp>
#include <dream/components/graph_propagation.hpp>
#include <dream/components/modality_attention.hpp>
#include <dream/components/ranking_loss.hpp>
#include <dream/models/behaviour_modal_alignment.hpp>
#include <dream/models/modal_embeddings.hpp>
#include <dream/models/model.hpp>
#include <dream/models/model_data.hpp>

namespace dream {

struct MgcnOptions {
  index_t embedding_size = 64;
  int n_ui_layers = 2;
  int n_mm_layers = 1;
  double cl_weight = 0.01;
  double temperature = 0.2;
  double reg_weight = 1e-4;
  index_t batch_size = 2048;  ///< the configured one, which L_reg divides by
  bool train_features = true;
  bool align = false;  ///< add BMA; the domains are E_B and side
  AlignmentOptions alignment = {};
};

template <class T, class B>
class Mgcn {
 public:
  using value_type = T;
  using backend = B;

  /// `data` must outlive the model and have item graphs; data without features or such graphs are an error.
  Mgcn(Context<B>& context, const ModelData<T, B>& data, const MgcnOptions& options, std::uint64_t seed)
      : options_(options),
        ego_(parameters_, data.users, data.items, options.embedding_size),
        propagation_(data.graph, options.n_ui_layers),
        embeddings_(parameters_, data.modalities, options.embedding_size, options.train_features),
        sides_{Side(data.modalities.size()), Side(data.modalities.size()), Side(data.modalities.size())},
        contrast_users_({static_cast<T>(options.temperature)}),
        contrast_items_({static_cast<T>(options.temperature)}),
        regulariser_(RegulariserForm::squares, options.batch_size),
        alignment_(options.alignment) {
    const index_t d = options.embedding_size;
    DREAM_EXPECT(d > 0, "embedding_size must be positive, not ", d);
    expect_not_negative("n_mm_layers", options.n_mm_layers);
    expect_not_negative("cl_weight", options.cl_weight);
    expect_not_negative("reg_weight", options.reg_weight);
    if (options.align) expect_alignable(options.alignment, "mgcn", true);
    DREAM_EXPECT(!data.modalities.empty(), "mgcn needs at least one modality and the data has none");
    for (const auto& source : data.modalities) {
      DREAM_EXPECT(source.name != "attention",
                   "mgcn calls parameters of its own attention; give the modality of that name another one");
      DREAM_EXPECT(source.item_graph.rows() > 0, "mgcn needs item-item graphs; set item_graph to knn");
      modal_.push_back(std::make_unique<Modal>(data.graph, source.item_graph, options.n_mm_layers));
      Modal& modal = *modal_.back();
      modal.gate_weight = parameters_.add(source.name + ".gate_weight", d, d);
      modal.gate_bias = parameters_.add(source.name + ".gate_bias", 1, d);
      modal.preference_weight = parameters_.add(source.name + ".preference_weight", d, d);
      modal.preference_bias = parameters_.add(source.name + ".preference_bias", 1, d);
    }
    attention_weight_ = parameters_.add("attention.weight", d, d);
    attention_bias_ = parameters_.add("attention.bias", 1, d);
    attention_query_ = parameters_.add("attention.query", d, 1);
    parameters_.allocate(context);
    ego_.initialise(context, parameters_, seed);
    embeddings_.initialise(context, data.modalities, seed);
    for (std::size_t m = 0; m < modal_.size(); ++m) {
      const std::uint32_t stream = static_cast<std::uint32_t>(2 * m);
      xavier_uniform(context, parameters_.value(modal_[m]->gate_weight), seed, 101 + stream);
      xavier_uniform(context, parameters_.value(modal_[m]->preference_weight), seed, 200 + stream);
    }
    xavier_uniform(context, parameters_.value(attention_weight_), seed, 2);
    xavier_uniform(context, parameters_.value(attention_query_), seed, 3);
  }

  Parameters<T, B>& parameters() { return parameters_; }
  std::span<LargeParameter<T, B>> large_parameters() { return embeddings_.large_parameters(); }
  void bind_large_gradients(const Tape<T, B>& tape) { embeddings_.bind_large_gradients(tape); }

  Losses losses(Tape<T, B>& tape, const Batch& batch) {
    const auto [behaviour, side] = encode(tape, batch.users, batch.items, {batch.size(), batch.size()});
    const std::array<Var, 3> fused = add(tape, behaviour, side);
    sum_.start();
    bpr_.weigh(batch.weights);
    sum_.add("bpr", tape.apply(bpr_, fused[0], fused[1], fused[2]), 1.0);
    if (options_.cl_weight > 0)
      sum_.add("contrast",
               sum_.plus(tape, tape.apply(contrast_items_, side[1], behaviour[1]),
                         tape.apply(contrast_users_, side[0], behaviour[0])),
               options_.cl_weight);
    if (options_.reg_weight > 0)
      sum_.add("reg", tape.apply_to_all(regulariser_, std::span<const Var>(fused)), options_.reg_weight);
    if (options_.align) alignment_.add(tape, sum_, {behaviour[0], behaviour[1]}, {side[0], side[1]});
    return sum_.finish(tape);
  }

  std::array<Var, 2> represent(Tape<T, B>& tape, VectorView<const index_t> users, VectorView<const index_t> items) {
    const auto [behaviour, side] = encode(tape, users, items, {static_cast<index_t>(items.size), 0});
    return {sum_.plus(tape, behaviour[0], side[0]), sum_.plus(tape, behaviour[1], side[1])};
  }

  /// E_B and side of the listed users and items.
  std::array<DomainRows, 2> domains(Tape<T, B>& tape, VectorView<const index_t> users,
                                    VectorView<const index_t> items) {
    const auto [behaviour, side] = encode(tape, users, items, {static_cast<index_t>(items.size), 0});
    return {DomainRows{behaviour[0], behaviour[1]}, DomainRows{side[0], side[1]}};
  }

  /// C_m of the listed items and the attention with which they make what is common.
  ModalParts<T> modal_parts(Tape<T, B>& tape, VectorView<const index_t> items) {
    encode(tape, {}, items, {static_cast<index_t>(items.size), 0});
    const Matrix<T, Cpu> attention = download<T>(tape.context(), sides_[1].attention.attention());
    ModalParts<T> found{sides_[1].modal, Matrix<T, Cpu>(attention.cols(), attention.rows())};
    for (index_t i = 0; i < attention.cols(); ++i)
      for (index_t m = 0; m < attention.rows(); ++m) found.weights(i, m) = attention(m, i);
    return found;
  }

 private:
  struct Modal {
    Modal(const SparsePair<T, B>& interactions, const SparsePair<T, B>& item_graph, int layers)
        : item_relations(static_cast<std::size_t>(layers), SparseProduct<T, B>(item_graph)), user_rows(interactions) {}
    ParameterId gate_weight, gate_bias, preference_weight, preference_bias;
    IdentityGate<T, B> gate;
    std::vector<SparseProduct<T, B>> item_relations;
    SparseProductRows<T, B> user_rows;
    GatherRows<T, B> item_rows;
  };

  /// What makes `side` from some rows.
  struct Side {
    explicit Side(std::size_t modalities)
        : modal(modalities),
          preferences(modalities),
          without_common({T{1}, T{-1}}),
          mean(std::vector<T>(modalities + 1, T{1} / static_cast<T>(modalities + 1))) {}
    std::vector<Var> modal;  // C_m of this step
    ModalityAttention<T, B> attention;
    std::vector<IdentityGate<T, B>> preferences;
    WeightedSum<T, B> without_common, mean;
    std::vector<Var> parts;
  };

  /// E_B and side of the listed users and of both pieces of the items.
  std::array<std::array<Var, 3>, 2> encode(Tape<T, B>& tape, VectorView<const index_t> users,
                                           VectorView<const index_t> items, std::array<index_t, 2> pieces) {
    const Var ego_items = parameters_.on(tape, ego_.items);
    propagation_.select(users, items);
    const std::array<Var, 3> behaviour =
        tape.split_rows(tape.apply(propagation_, parameters_.on(tape, ego_.users), ego_items),
                        std::array<index_t, 3>{static_cast<index_t>(users.size), pieces[0], pieces[1]});
    for (std::size_t m = 0; m < modal_.size(); ++m) {
      Modal& modal = *modal_[m];
      Var h = tape.apply(modal.gate, embeddings_.project(tape, m), ego_items, parameters_.on(tape, modal.gate_weight),
                         parameters_.on(tape, modal.gate_bias));
      for (auto& relation : modal.item_relations) h = tape.apply(relation, h);
      modal.user_rows.select(users);
      modal.item_rows.select(items);
      const auto [first, second] = tape.split_rows(tape.apply(modal.item_rows, h), pieces);
      sides_[0].modal[m] = tape.apply(modal.user_rows, h);
      sides_[1].modal[m] = first;
      sides_[2].modal[m] = second;
    }
    std::array<Var, 3> modal;
    for (std::size_t r = 0; r < 3; ++r)
      if (r < 2 || pieces[1] > 0) modal[r] = side(tape, sides_[r], behaviour[r]);
    return {behaviour, modal};
  }

  Var side(Tape<T, B>& tape, Side& rows, Var behaviour) {
    rows.parts = rows.modal;
    for (const ParameterId id : {attention_weight_, attention_bias_, attention_query_})
      rows.parts.push_back(parameters_.on(tape, id));
    const Var common = tape.apply_to_all(rows.attention, std::span<const Var>(rows.parts));
    rows.parts.assign(1, common);
    for (std::size_t m = 0; m < modal_.size(); ++m) {
      const std::array<Var, 2> both{rows.modal[m], common};
      const Var own = tape.apply_to_all(rows.without_common, std::span<const Var>(both));
      rows.parts.push_back(tape.apply(rows.preferences[m], behaviour, own,
                                      parameters_.on(tape, modal_[m]->preference_weight),
                                      parameters_.on(tape, modal_[m]->preference_bias)));
    }
    return tape.apply_to_all(rows.mean, std::span<const Var>(rows.parts));
  }
  std::array<Var, 3> add(Tape<T, B>& tape, const std::array<Var, 3>& x, const std::array<Var, 3>& y) {
    return {sum_.plus(tape, x[0], y[0]), sum_.plus(tape, x[1], y[1]), sum_.plus(tape, x[2], y[2])};
  }

  MgcnOptions options_;
  Parameters<T, B> parameters_;
  EgoEmbeddings<T, B> ego_;
  GraphPropagation<T, B> propagation_;
  ModalEmbeddings<T, B> embeddings_;
  ParameterId attention_weight_, attention_bias_, attention_query_;
  std::vector<std::unique_ptr<Modal>> modal_;
  std::array<Side, 3> sides_;  // of users and of both pieces of the items
  BprLoss<T, B> bpr_;
  InfoNce<T, B> contrast_users_, contrast_items_;
  EmbeddingRegulariser<T, B> regulariser_;
  BehaviourModalAlignment<T, B> alignment_;
  LossSum<T, B> sum_;
};

}  // namespace dream
