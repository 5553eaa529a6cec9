// DREAM (arXiv 2404.11119): a behaviour line and a modal line, kept apart, aligned and fused. Section numbers are those
// of docs/components.md, which also says what is the paper's and what is our choice.
#pragma once

#include <memory>
#include <optional>

#include <dream/components/batch_similarity_loss.hpp>
#include <dream/components/gated_modal_encoder.hpp>
#include <dream/components/graph_propagation.hpp>
#include <dream/components/modal_fusion.hpp>
#include <dream/components/ranking_loss.hpp>
#include <dream/models/behaviour_modal_alignment.hpp>
#include <dream/models/modal_embeddings.hpp>
#include <dream/models/model.hpp>
#include <dream/models/model_data.hpp>

namespace dream {

/// Weights a_m of the modalities: all equal, given, or learned.
enum class ModalityWeights { equal, given, learned };

struct DreamOptions {
  index_t embedding_size = 64;
  int n_ui_layers = 2;  ///< L of the behaviour line
  int n_mm_layers = 1;  ///< propagations on the item-item graphs
  ModelDataOptions data = {};
  bool train_features = true;  ///< modal embeddings Z_m are trainable; otherwise they stay F_m
  Gate gate = Gate::id;
  ModalityWeights modality_weights = ModalityWeights::equal;
  std::vector<double> modality_weight_values = {};  ///< for `given`, one a modality

  AlignmentOptions alignment = {};  ///< between and inside the domains
  double s3_weight = 0.1;
  double s3_user_weight = 0.1;  ///< rho
  SimilarityForm s3_form = SimilarityForm::cosine;
  bool s3_root = false;
  TargetNorm s3_target_norm = TargetNorm::sampled;
  double modal_weight = 1;  ///< beta of the fusion E = E_B + beta E_M
  double reg_weight = 0.1;
  index_t batch_size = 2048;  ///< the configured one, which L_reg divides by

  bool behaviour_line = true;
  bool modal_line = true;
};

template <class T, class B>
class Dream {
 public:
  using value_type = T;
  using backend = B;

  /// `data` must outlive the model and have been prepared with options.data. Data without features are an error where
  /// the modal line is on; the reading `modalities` of intra-alignment adds nothing where there is but one.
  Dream(Context<B>& context, const ModelData<T, B>& data, const DreamOptions& options, std::uint64_t seed)
      : data_(&data),
        options_(options),
        ego_(parameters_, data.users, data.items, options.embedding_size),
        propagation_(data.graph, options.n_ui_layers),
        embeddings_(parameters_,
                    options.modal_line ? std::span(data.modalities) : std::span<const ModalityData<T, B>>{},
                    options.embedding_size, options.train_features),
        fusion_({T{1}, static_cast<T>(options.modal_weight)}),
        alignment_(options.alignment),
        regulariser_(RegulariserForm::squares, options.batch_size) {
    DREAM_EXPECT(options.embedding_size > 0, "embedding_size must be positive, not ", options.embedding_size);
    DREAM_EXPECT(options.behaviour_line || options.modal_line, "behaviour_line and modal_line cannot both be off");
    DREAM_EXPECT(options.modal_weight > 0, "modal_weight must be positive, not ", options.modal_weight,
                 "; to leave the modal line out, switch it off");
    expect_not_negative("n_mm_layers", options.n_mm_layers);
    expect_not_negative("s3_weight", options.s3_weight);
    expect_not_negative("s3_user_weight", options.s3_user_weight);
    expect_not_negative("reg_weight", options.reg_weight);
    DREAM_EXPECT(!options.modal_line || !data.modalities.empty(),
                 "the modal line needs at least one modality and the data has none; set modal_line to false");
    if (options.modal_line) {
      lines_.reserve(data.modalities.size());
      for (const auto& modality : data.modalities) lines_.push_back(std::make_unique<ModalLine>(*this, modality, seed));
      const std::vector<double> weights = modality_weights();
      if (weights.empty()) logits_ = parameters_.add("modality_logits", 1, static_cast<index_t>(lines_.size()));
      fuse_users_.emplace(data.user_present.view(), weights);
      fuse_positives_.emplace(data.item_present.view(), weights);
      fuse_negatives_.emplace(data.item_present.view(), weights);
      if (options.alignment.intra == Intra::modalities)
        for (std::size_t pairs = lines_.size() * (lines_.size() - 1); pairs > 0; --pairs)
          between_modalities_.push_back(std::make_unique<InfoNce<T, B>>(
              typename InfoNce<T, B>::Options{static_cast<T>(options.alignment.temperature)}));
    }
    parameters_.allocate(context);
    ego_.initialise(context, parameters_, seed);
    embeddings_.initialise(context, data.modalities, seed);
    for (std::size_t m = 0; m < lines_.size(); ++m)
      lines_[m]->initialise(context, parameters_, seed, static_cast<std::uint32_t>(m));
  }

  Parameters<T, B>& parameters() { return parameters_; }
  std::span<LargeParameter<T, B>> large_parameters() { return embeddings_.large_parameters(); }
  const DreamOptions& options() const { return options_; }

  void bind_large_gradients(const Tape<T, B>& tape) { embeddings_.bind_large_gradients(tape); }

  /// The whole objective on a batch (5).
  Losses losses(Tape<T, B>& tape, const Batch& batch) {
    const auto [behaviour, modal] = encode(tape, batch.users, batch.items, {batch.size(), batch.size()});

    // 5. Fusion: e = e_B + beta e_M, ranked by the dot product.
    const Var users = fuse(tape, behaviour.users, modal.users);
    const Var positives = fuse(tape, behaviour.positives, modal.positives);
    const Var negatives = fuse(tape, behaviour.negatives, modal.negatives);
    sum_.start();
    bpr_.weigh(batch.weights);
    sum_.add("bpr", tape.apply(bpr_, users, positives, negatives), 1.0);

    // 4. Behaviour-modal alignment: between the domains, and inside them.
    alignment_.add(tape, sum_, {behaviour.users, behaviour.positives}, {modal.users, modal.positives});
    if (options_.alignment.intra == Intra::modalities && options_.alignment.intra_weight > 0) align_modalities(tape);

    // 3. Similarity supervised signal, on items and on users.
    if (options_.s3_weight > 0 && options_.modal_line) add_similarity(tape, batch);

    if (options_.reg_weight > 0) {
      const std::array<Var, 3> rows{users, positives, negatives};
      sum_.add("reg", tape.apply_to_all(regulariser_, std::span<const Var>(rows)), options_.reg_weight);
    }
    return sum_.finish(tape);
  }

  /// E_B and E_M of the listed users and items.
  std::array<DomainRows, 2> domains(Tape<T, B>& tape, VectorView<const index_t> users,
                                    VectorView<const index_t> items) {
    const auto [behaviour, modal] = encode(tape, users, items, {static_cast<index_t>(items.size), 0});
    return {DomainRows{behaviour.users, behaviour.positives}, DomainRows{modal.users, modal.positives}};
  }

  /// H_I,m of the listed items and their weights in E_M. Nothing without the modal line.
  ModalParts<T> modal_parts(Tape<T, B>& tape, VectorView<const index_t> items) {
    ModalParts<T> found;
    if (!options_.modal_line) return found;
    encode(tape, {}, items, {static_cast<index_t>(items.size), 0});
    for (const auto& line : lines_) found.rows.push_back(line->positives);
    found.weights = fuse_positives_->row_weights(tape.context());
    return found;
  }

  /// Fused rows E of the listed users and items.
  std::array<Var, 2> represent(Tape<T, B>& tape, VectorView<const index_t> users, VectorView<const index_t> items) {
    const auto [behaviour, modal] = encode(tape, users, items, {static_cast<index_t>(items.size), 0});
    return {fuse(tape, behaviour.users, modal.users), fuse(tape, behaviour.positives, modal.positives)};
  }

 private:
  /// The modal-specific encoder of one modality (2).
  struct ModalLine {
    ModalLine(Dream& model, const ModalityData<T, B>& source, std::uint64_t seed)
        : data(&source),
          without_absent(source.present.view()),
          to_users(model.data_->graph),
          user_rows(source.user_graph.rows() > 0 ? source.user_graph : model.data_->graph),
          item_similarity(source.features.view(), source.inverse_norms.view(), model.similarity_options(seed)),
          user_similarity(source.user_features.view(), source.user_inverse_norms.view(),
                          model.similarity_options(seed)) {
      if (source.item_graph.rows() > 0)
        item_relations.assign(static_cast<std::size_t>(model.options_.n_mm_layers),
                              SparseProduct<T, B>(source.item_graph));
      const index_t d = model.options_.embedding_size;
      if (model.options_.gate == Gate::none) return;
      gate_weight = model.parameters_.add(source.name + ".gate_weight", d, d);
      gate_bias = model.parameters_.add(source.name + ".gate_bias", 1, d);
    }

    void initialise(Context<B>& context, Parameters<T, B>& parameters, std::uint64_t seed, std::uint32_t m) const {
      if (gate_weight.valid()) xavier_uniform(context, parameters.value(gate_weight), seed, 101 + 2 * m);
    }

    const ModalityData<T, B>* data;
    ParameterId gate_weight, gate_bias;
    IdentityGate<T, B> identity_gate;
    SelfGate<T, B> self_gate;
    MaskRows<T, B> without_absent;
    std::vector<SparseProduct<T, B>> item_relations;  // one a layer; none without a graph
    GatherRows<T, B> item_rows;
    SparseProduct<T, B> to_users;
    SparseProductRows<T, B> user_rows;
    BatchSimilarityLoss<T, B> item_similarity, user_similarity;
    Var users, positives, negatives;  // rows of H_U,m and H_I,m of this step
  };

  /// A line's rows for a batch.
  struct Line {
    Var users, positives, negatives;
  };
  struct Lines {
    Line behaviour, modal;
  };

  typename BatchSimilarityLoss<T, B>::Options similarity_options(std::uint64_t seed) const {
    return {options_.s3_form, options_.s3_root, options_.s3_target_norm, seed};
  }

  std::vector<double> modality_weights() const {
    const std::size_t count = lines_.size();
    if (options_.modality_weights == ModalityWeights::equal)
      return std::vector<double>(count, 1.0 / static_cast<double>(count));
    if (options_.modality_weights == ModalityWeights::learned) return {};
    DREAM_EXPECT(options_.modality_weight_values.size() == count, "modality_weight_values has ",
                 options_.modality_weight_values.size(), " values for ", count, " modalities");
    return options_.modality_weight_values;
  }

  /// Both lines for the listed users and items; the items come in two pieces, positives and negatives.
  Lines encode(Tape<T, B>& tape, VectorView<const index_t> users, VectorView<const index_t> items,
               std::array<index_t, 2> pieces) {
    const Var ego_users = parameters_.on(tape, ego_.users), ego_items = parameters_.on(tape, ego_.items);
    Lines lines;
    // 1. Behaviour line: E_B.
    if (options_.behaviour_line) {
      propagation_.select(users, items);
      const auto rows = tape.split_rows(tape.apply(propagation_, ego_users, ego_items),
                                        std::array<index_t, 3>{static_cast<index_t>(users.size), pieces[0], pieces[1]});
      lines.behaviour = {rows[0], rows[1], rows[2]};
    }
    // 2. Modal line: H_m of every modality, then E_M across modalities.
    if (options_.modal_line) {
      for (std::size_t m = 0; m < lines_.size(); ++m) encode_modality(tape, m, ego_items, users, items, pieces);
      const Var logits = logits_.valid() ? parameters_.on(tape, logits_) : Var{};
      const auto across = [&](ModalFusion<T, B>& fusion, VectorView<const index_t> rows, Var ModalLine::*part) {
        parts_.clear();
        for (const auto& line : lines_) parts_.push_back((*line).*part);
        if (logits.valid()) parts_.push_back(logits);
        fusion.select(rows);
        return tape.apply_to_all(fusion, std::span<const Var>(parts_));
      };
      lines.modal.users = across(*fuse_users_, users, &ModalLine::users);
      lines.modal.positives = across(*fuse_positives_, {items.data, pieces[0]}, &ModalLine::positives);
      lines.modal.negatives = across(*fuse_negatives_, {items.data + pieces[0], pieces[1]}, &ModalLine::negatives);
    }
    return lines;
  }

  void encode_modality(Tape<T, B>& tape, std::size_t m, Var ego_items, VectorView<const index_t> users,
                       VectorView<const index_t> items, std::array<index_t, 2> pieces) {
    ModalLine& line = *lines_[m];
    // Filter gate: X = Z W1 + b1, H = E_I * sigmoid(X W2 + b2).
    Var h = embeddings_.project(tape, m);
    if (options_.gate != Gate::none) {
      const Var w = parameters_.on(tape, line.gate_weight), b = parameters_.on(tape, line.gate_bias);
      h = options_.gate == Gate::id ? tape.apply(line.identity_gate, h, ego_items, w, b)
                                    : tape.apply(line.self_gate, h, w, b);
    }
    // Relation graphs: H_I = S H, H_U = T (Rn H_I).
    if (line.item_relations.empty()) h = tape.apply(line.without_absent, h);
    for (auto& relation : line.item_relations) h = tape.apply(relation, h);
    line.user_rows.select(users);
    line.users = tape.apply(line.user_rows, line.data->user_graph.rows() > 0 ? tape.apply(line.to_users, h) : h);
    line.item_rows.select(items);
    const auto rows = tape.split_rows(tape.apply(line.item_rows, h), pieces);
    line.positives = rows[0];
    line.negatives = rows[1];
  }

  /// E = E_B + beta E_M, or the line that is on.
  Var fuse(Tape<T, B>& tape, Var behaviour, Var modal) {
    if (!behaviour.valid()) return modal;
    if (!modal.valid()) return behaviour;
    const std::array<Var, 2> both{behaviour, modal};
    return tape.apply_to_all(fusion_, std::span<const Var>(both));
  }

  /// Intra-alignment in the reading `modalities`: every two of them, for the same items and users.
  void align_modalities(Tape<T, B>& tape) {
    parts_.clear();
    std::size_t next = 0;
    for (std::size_t m = 0; m < lines_.size(); ++m)
      for (std::size_t k = m + 1; k < lines_.size(); ++k) {
        parts_.push_back(tape.apply(*between_modalities_[next++], lines_[m]->positives, lines_[k]->positives));
        parts_.push_back(tape.apply(*between_modalities_[next++], lines_[m]->users, lines_[k]->users));
      }
    if (parts_.empty()) return;
    sum_.add("intra", tape.apply_to_all(sum_.plain(parts_.size()), std::span<const Var>(parts_)),
             options_.alignment.intra_weight);
  }

  void add_similarity(Tape<T, B>& tape, const Batch& batch) {
    const bool of_users = options_.s3_user_weight > 0;
    parts_.clear();
    for (auto& line : lines_) {
      line->item_similarity.select(batch.positives(), batch.step, batch.step_at);
      parts_.push_back(tape.apply(line->item_similarity, line->positives));
    }
    sum_.add("s3", tape.apply_to_all(sum_.plain(parts_.size()), std::span<const Var>(parts_)), options_.s3_weight);
    if (!of_users) return;
    parts_.clear();
    for (auto& line : lines_) {
      line->user_similarity.select(batch.users, batch.step, batch.step_at);
      parts_.push_back(tape.apply(line->user_similarity, line->users));
    }
    sum_.add("s3_users", tape.apply_to_all(sum_.plain(parts_.size()), std::span<const Var>(parts_)),
             options_.s3_weight * options_.s3_user_weight);
  }

  const ModelData<T, B>* data_;
  DreamOptions options_;
  Parameters<T, B> parameters_;
  EgoEmbeddings<T, B> ego_;
  ParameterId logits_;
  GraphPropagation<T, B> propagation_;
  ModalEmbeddings<T, B> embeddings_;
  std::vector<std::unique_ptr<ModalLine>> lines_;
  std::optional<ModalFusion<T, B>> fuse_users_, fuse_positives_, fuse_negatives_;
  WeightedSum<T, B> fusion_;
  BprLoss<T, B> bpr_;
  BehaviourModalAlignment<T, B> alignment_;
  std::vector<std::unique_ptr<InfoNce<T, B>>> between_modalities_;
  EmbeddingRegulariser<T, B> regulariser_;
  LossSum<T, B> sum_;
  std::vector<Var> parts_;  // of the sum being put together
};

}  // namespace dream
