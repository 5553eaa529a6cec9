// FREEDOM (Zhou and Shen, ACM MM 2023), as in docs/components.md, 7: item graphs of binary weights, frozen, and a
// user-item graph that is pruned anew for every epoch.
//   h = S^L E_I,  S = sum_m a_m S_m;   users E_B, items E_B + h, with E_B on the pruned graph in training
//   L = L_BPR + w_reg sum_m BPR(users, Z_m W_m + b_m)
#pragma once

#include <memory>
#include <vector>

#include <dream/components/graph_propagation.hpp>
#include <dream/components/modal_fusion.hpp>
#include <dream/components/ranking_loss.hpp>
#include <dream/graph/edge_sampling.hpp>
#include <dream/models/behaviour_modal_alignment.hpp>
#include <dream/models/modal_embeddings.hpp>
#include <dream/models/model.hpp>
#include <dream/models/model_data.hpp>

namespace dream {

struct FreedomOptions {
  index_t embedding_size = 64;
  int n_ui_layers = 2;
  int n_mm_layers = 1;
  std::vector<double> modality_weights = {};  ///< a_m; empty: freedom_weights()
  double edge_dropout = 0.8;                  ///< share of the interactions that an epoch leaves out
  double reg_weight = 1e-3;                   ///< of the modal part; 0: there are no modal embeddings
  bool train_features = true;
  bool align = false;  ///< add BMA; the domains of an item are E_B (on the pruned graph) and h, users have but one
  AlignmentOptions alignment = {};
};

/// a_m where none are given: 0.9 for the modality `text` (or `textual`) and 0.1 shared by the others, the published
/// choice for an image and a text; without a text, or with nothing else, all equal.
inline std::vector<double> freedom_weights(const std::vector<std::string>& names) {
  const double count = static_cast<double>(names.size());
  std::vector<double> weights(names.size(), 1 / count);
  for (std::size_t m = 0; m < names.size() && names.size() > 1; ++m)
    if (names[m] == "text" || names[m] == "textual") {
      weights.assign(names.size(), 0.1 / (count - 1));
      weights[m] = 0.9;
    }
  return weights;
}

template <class T, class B>
class Freedom {
 public:
  using value_type = T;
  using backend = B;

  /// `data` must outlive the model and have item graphs of binary weights; data without features or such graphs are an
  /// error.
  Freedom(Context<B>& context, const ModelData<T, B>& data, const FreedomOptions& options, std::uint64_t seed)
      : options_(options),
        seed_(seed),
        ego_(parameters_, data.users, data.items, options.embedding_size),
        full_(data.graph, options.n_ui_layers),
        on_pruned_(pruned_, options.n_ui_layers),
        embeddings_(parameters_,
                    options.reg_weight > 0 ? std::span(data.modalities) : std::span<const ModalityData<T, B>>{},
                    options.embedding_size, options.train_features),
        alignment_(options.alignment) {
    DREAM_EXPECT(options.embedding_size > 0, "embedding_size must be positive, not ", options.embedding_size);
    expect_not_negative("n_mm_layers", options.n_mm_layers);
    expect_not_negative("reg_weight", options.reg_weight);
    if (options.align) expect_alignable(options.alignment, "freedom", false);
    DREAM_EXPECT(options.edge_dropout >= 0 && options.edge_dropout < 1, "edge_dropout must be in [0, 1), not ",
                 options.edge_dropout);
    DREAM_EXPECT(!data.modalities.empty(), "freedom needs at least one modality and the data has none");
    std::vector<std::string> names;
    for (const auto& source : data.modalities) {
      DREAM_EXPECT(source.item_graph.rows() > 0, "freedom needs item-item graphs; set item_graph to binary");
      names.push_back(source.name);
      modal_.push_back(std::make_unique<Modal>(source.item_graph, options.n_mm_layers));
    }
    const std::vector<double> weights =
        options.modality_weights.empty() ? freedom_weights(names) : options.modality_weights;
    DREAM_EXPECT(weights.size() == names.size(), "modality_weight_values has ", weights.size(), " values for ",
                 names.size(), " modalities");
    expect_modality_weights(weights);
    weights_.assign(weights.begin(), weights.end());
    for (int l = 0; l < options.n_mm_layers; ++l) layers_.emplace_back(weights_);
    parameters_.allocate(context);
    ego_.initialise(context, parameters_, seed);
    embeddings_.initialise(context, data.modalities, seed);
  }

  Parameters<T, B>& parameters() { return parameters_; }
  std::span<LargeParameter<T, B>> large_parameters() { return embeddings_.large_parameters(); }
  void bind_large_gradients(const Tape<T, B>& tape) { embeddings_.bind_large_gradients(tape); }

  /// Draws the graph of an epoch from the interactions R.
  void begin_epoch(Context<B>& context, Context<Cpu>& host, CsrView<T> interactions, std::uint32_t epoch) {
    if (options_.edge_dropout == 0) return;
    const std::int64_t kept =
        static_cast<std::int64_t>(static_cast<double>(interactions.entries()) * (1 - options_.edge_dropout));
    prune(context, host, sample_interactions<T>(host, interactions, kept, {seed_, RandomUse::edges, epoch}).view());
  }
  /// Trains on these interactions (n x q) instead of all.
  void prune(Context<B>& context, Context<Cpu>& host, CsrView<T> interactions) {
    const SparsePair<T, Cpu> pair = detail::with_transpose(host, normalised<T>(host, interactions));
    pruned_ = {upload(context, pair.forward), upload(context, pair.transposed)};
  }

  Losses losses(Tape<T, B>& tape, const Batch& batch) {
    const index_t b = batch.size();
    const auto [behaviour, modal] = encode(tape, pruned_.rows() > 0 ? on_pruned_ : full_, batch.users, batch.items);
    const auto [p, n] = tape.split_rows(behaviour.items, std::array<index_t, 2>{b, b});
    const auto [modal_p, modal_n] = tape.split_rows(modal.items, std::array<index_t, 2>{b, b});
    const Var users = behaviour.users;
    sum_.start();
    bpr_.weigh(batch.weights);
    sum_.add("bpr", tape.apply(bpr_, users, sum_.plus(tape, p, modal_p), sum_.plus(tape, n, modal_n)), 1.0);
    if (options_.reg_weight > 0) {
      parts_.clear();
      for (std::size_t m = 0; m < modal_.size(); ++m) {
        modal_[m]->rows.select(batch.items);
        const auto [x_p, x_n] =
            tape.split_rows(tape.apply(modal_[m]->rows, embeddings_.project(tape, m)), std::array<index_t, 2>{b, b});
        parts_.push_back(tape.apply(modal_[m]->bpr, users, x_p, x_n));
      }
      sum_.add("modal", tape.apply_to_all(sum_.plain(parts_.size()), std::span<const Var>(parts_)),
               options_.reg_weight);
    }
    if (options_.align) alignment_.add(tape, sum_, {{}, p}, {{}, modal_p});
    return sum_.finish(tape);
  }

  std::array<Var, 2> represent(Tape<T, B>& tape, VectorView<const index_t> users, VectorView<const index_t> items) {
    const auto [behaviour, modal] = encode(tape, full_, users, items);
    return {behaviour.users, sum_.plus(tape, behaviour.items, modal.items)};
  }

  /// E_B on the whole graph and, of items alone, h.
  std::array<DomainRows, 2> domains(Tape<T, B>& tape, VectorView<const index_t> users,
                                    VectorView<const index_t> items) {
    return encode(tape, full_, users, items);
  }

  /// S_m h of the listed items, h of the layer before the last, and a_m.
  ModalParts<T> modal_parts(Tape<T, B>& tape, VectorView<const index_t> items) {
    encode(tape, full_, {}, items);
    ModalParts<T> found;
    for (std::size_t m = 0; m < modal_.size() && !layers_.empty(); ++m) {
      modal_[m]->rows.select(items);
      found.rows.push_back(tape.apply(modal_[m]->rows, parts_[m]));
    }
    found.weights = same_for_all<T>(weights_, static_cast<index_t>(items.size));
    return found;
  }

 private:
  struct Modal {
    Modal(const SparsePair<T, B>& item_graph, int layers)
        : relations(static_cast<std::size_t>(layers), SparseProduct<T, B>(item_graph)) {}
    std::vector<SparseProduct<T, B>> relations;
    GatherRows<T, B> rows;
    BprLoss<T, B> bpr;
  };

  std::array<DomainRows, 2> encode(Tape<T, B>& tape, GraphPropagation<T, B>& propagation,
                                   VectorView<const index_t> users, VectorView<const index_t> items) {
    const Var ego_items = parameters_.on(tape, ego_.items);
    propagation.select(users, items);
    const auto [u, i] =
        tape.split_rows(tape.apply(propagation, parameters_.on(tape, ego_.users), ego_items),
                        std::array<index_t, 2>{static_cast<index_t>(users.size), static_cast<index_t>(items.size)});
    Var h = ego_items;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      parts_.clear();
      for (auto& modal : modal_) parts_.push_back(tape.apply(modal->relations[l], h));
      h = tape.apply_to_all(layers_[l], std::span<const Var>(parts_));
    }
    item_rows_.select(items);
    return {DomainRows{u, i}, DomainRows{{}, tape.apply(item_rows_, h)}};
  }

  FreedomOptions options_;
  std::uint64_t seed_;
  Parameters<T, B> parameters_;
  EgoEmbeddings<T, B> ego_;
  SparsePair<T, B> pruned_;
  GraphPropagation<T, B> full_, on_pruned_;
  ModalEmbeddings<T, B> embeddings_;
  std::vector<std::unique_ptr<Modal>> modal_;
  std::vector<T> weights_;  // a_m
  std::vector<WeightedSum<T, B>> layers_;
  GatherRows<T, B> item_rows_;
  BprLoss<T, B> bpr_;
  BehaviourModalAlignment<T, B> alignment_;
  LossSum<T, B> sum_;
  std::vector<Var> parts_;
};

}  // namespace dream
