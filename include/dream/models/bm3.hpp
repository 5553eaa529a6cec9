// BM3 (Zhou et al., WWW 2023), as in docs/components.md, 7: no negatives; users, items and their modalities predict one
// another from copies that take no gradient. With h_u, h_i = E_B, h_i += E_I, x_m = Z_m W_m + b_m, p(x) = x Wp + bp,
// and ' a copy with dropout:
//   L = mean(1 - cos(p(h_u), h_i')) + mean(1 - cos(p(h_i), h_u'))
//       + w_cl sum_m ( mean(1 - cos(p(x_m), h_i')) + mean(1 - cos(p(x_m), x_m')) ) + w_reg (|h_U|_F + |h_I|_F) / q
// Scores are p(h_u) . p(h_i). Dropout is drawn for the batch's rows, not for whole matrices.
#pragma once

#include <memory>
#include <vector>

#include <dream/components/graph_propagation.hpp>
#include <dream/components/ranking_loss.hpp>
#include <dream/models/behaviour_modal_alignment.hpp>
#include <dream/models/modal_embeddings.hpp>
#include <dream/models/model.hpp>
#include <dream/models/model_data.hpp>
#include <dream/ops/dropout.hpp>

namespace dream {

struct Bm3Options {
  index_t embedding_size = 64;
  int n_ui_layers = 2;
  double dropout = 0.3;  ///< of the targets
  double cl_weight = 2.0;
  double reg_weight = 0.1;
  bool train_features = true;
  bool align = false;  ///< add BMA; the domains of an item are h_i and the mean of its x_m, users have but one
  AlignmentOptions alignment = {};
};

template <class T, class B>
class Bm3 {
 public:
  using value_type = T;
  using backend = B;

  /// `data` must outlive the model; its user-item graph and features are used, and data without any features are an
  /// error.
  Bm3(Context<B>& context, const ModelData<T, B>& data, const Bm3Options& options, std::uint64_t seed)
      : options_(options),
        ego_(parameters_, data.users, data.items, options.embedding_size),
        propagation_(data.graph, options.n_ui_layers),
        embeddings_(parameters_, data.modalities, options.embedding_size, options.train_features),
        user_target_(options.dropout, seed, 0),
        item_target_(options.dropout, seed, 1),
        regulariser_(RegulariserForm::norms),
        alignment_(options.alignment) {
    const index_t d = options.embedding_size;
    DREAM_EXPECT(d > 0, "embedding_size must be positive, not ", d);
    expect_not_negative("cl_weight", options.cl_weight);
    expect_not_negative("reg_weight", options.reg_weight);
    if (options.align) expect_alignable(options.alignment, "bm3", false);
    DREAM_EXPECT(!data.modalities.empty(), "bm3 needs at least one modality and the data has none");
    for (const auto& source : data.modalities)
      DREAM_EXPECT(source.name != "predictor",
                   "bm3 calls parameters of its own predictor; give the modality of that name another one");
    predictor_weight_ = parameters_.add("predictor.weight", d, d);
    predictor_bias_ = parameters_.add("predictor.bias", 1, d);
    parameters_.allocate(context);
    ego_.initialise(context, parameters_, seed);
    embeddings_.initialise(context, data.modalities, seed);
    xavier_uniform(context, parameters_.value(predictor_weight_), seed, 2);
    for (std::size_t m = 0; m < embeddings_.count(); ++m)
      modal_.push_back(std::make_unique<Modal>(options.dropout, seed, 2 + static_cast<std::uint32_t>(m)));
    mean_.set_weights(std::vector<T>(modal_.size(), T{1} / static_cast<T>(modal_.size())));
    all_users_ = upload_range(context, data.users);
    all_items_ = upload_range(context, data.items);
  }

  Parameters<T, B>& parameters() { return parameters_; }
  std::span<LargeParameter<T, B>> large_parameters() { return embeddings_.large_parameters(); }
  void bind_large_gradients(const Tape<T, B>& tape) { embeddings_.bind_large_gradients(tape); }

  Losses losses(Tape<T, B>& tape, const Batch& batch) {
    const auto [all_u, all_i] = propagate(tape);
    const Var u = rows(tape, user_rows_, batch.users, all_u), i = rows(tape, item_rows_, batch.positives(), all_i);
    const Var u_target = target(tape, user_target_, batch, u), i_target = target(tape, item_target_, batch, i);
    sum_.start();
    sum_.add("users", tape.apply(from_users_, predict(tape, user_predictor_, u), i_target), 1.0);
    sum_.add("items", tape.apply(from_items_, predict(tape, item_predictor_, i), u_target), 1.0);
    parts_.clear();
    modal_rows_.clear();
    for (std::size_t m = 0; m < modal_.size(); ++m) {
      Modal& modal = *modal_[m];
      const Var x = rows(tape, modal.rows, batch.positives(), embeddings_.project(tape, m));
      const Var predicted = predict(tape, modal.predictor, x);
      parts_.push_back(tape.apply(modal.to_item, predicted, i_target));
      parts_.push_back(tape.apply(modal.to_itself, predicted, target(tape, modal.target, batch, x)));
      modal_rows_.push_back(x);
    }
    sum_.add("modal", tape.apply_to_all(sum_.plain(parts_.size()), std::span<const Var>(parts_)), options_.cl_weight);
    if (options_.reg_weight > 0) {
      const std::array<Var, 2> whole{all_i, all_u};  // the number of rows of the first, q, divides
      sum_.add("reg", tape.apply_to_all(regulariser_, std::span<const Var>(whole)), options_.reg_weight);
    }
    if (options_.align) alignment_.add(tape, sum_, {{}, i}, {{}, mean(tape, modal_rows_)});
    return sum_.finish(tape);
  }

  std::array<Var, 2> represent(Tape<T, B>& tape, VectorView<const index_t> users, VectorView<const index_t> items) {
    const auto [all_u, all_i] = propagate(tape);
    return {predict(tape, user_predictor_, rows(tape, user_rows_, users, all_u)),
            predict(tape, item_predictor_, rows(tape, item_rows_, items, all_i))};
  }

  /// h_i and the mean of x_m of the listed items; users have no modal representation.
  std::array<DomainRows, 2> domains(Tape<T, B>& tape, VectorView<const index_t>, VectorView<const index_t> items) {
    const auto [all_u, all_i] = propagate(tape);
    modal_rows_.clear();
    for (std::size_t m = 0; m < modal_.size(); ++m)
      modal_rows_.push_back(rows(tape, modal_[m]->rows, items, embeddings_.project(tape, m)));
    return {DomainRows{{}, rows(tape, item_rows_, items, all_i)}, DomainRows{{}, mean(tape, modal_rows_)}};
  }

  /// x_m of the listed items, all with the same weight.
  ModalParts<T> modal_parts(Tape<T, B>& tape, VectorView<const index_t> items) {
    domains(tape, {}, items);
    const std::vector<T> weights(modal_rows_.size(), T{1} / static_cast<T>(modal_rows_.size()));
    return {modal_rows_, same_for_all<T>(weights, static_cast<index_t>(items.size))};
  }

 private:
  struct Modal {
    Modal(double dropout, std::uint64_t seed, std::uint32_t stream) : target(dropout, seed, stream) {}
    GatherRows<T, B> rows;
    Linear<T, B> predictor;
    Dropout<T, B> target;
    CosineDistance<T, B> to_item, to_itself;
  };

  /// h_U and h_I of everybody.
  std::array<Var, 2> propagate(Tape<T, B>& tape) {
    const Var users = parameters_.on(tape, ego_.users), items = parameters_.on(tape, ego_.items);
    propagation_.select(all_users_.view(), all_items_.view());
    const auto [u, i] = tape.split_rows(
        tape.apply(propagation_, users, items),
        std::array<index_t, 2>{static_cast<index_t>(all_users_.size()), static_cast<index_t>(all_items_.size())});
    return {u, sum_.plus(tape, i, items)};
  }
  Var rows(Tape<T, B>& tape, GatherRows<T, B>& op, VectorView<const index_t> which, Var x) {
    op.select(which);
    return tape.apply(op, x);
  }
  Var predict(Tape<T, B>& tape, Linear<T, B>& op, Var x) {
    return tape.apply(op, x, parameters_.on(tape, predictor_weight_), parameters_.on(tape, predictor_bias_));
  }
  /// A copy that takes no gradient, with dropout.
  Var target(Tape<T, B>& tape, Dropout<T, B>& op, const Batch& batch, Var x) {
    op.select(batch.step, batch.step_at);
    return tape.apply(op, tape.constant(tape.value(x)));
  }
  Var mean(Tape<T, B>& tape, const std::vector<Var>& parts) {
    return tape.apply_to_all(mean_, std::span<const Var>(parts));
  }

  Bm3Options options_;
  Parameters<T, B> parameters_;
  EgoEmbeddings<T, B> ego_;
  GraphPropagation<T, B> propagation_;
  ModalEmbeddings<T, B> embeddings_;
  ParameterId predictor_weight_, predictor_bias_;
  Array<index_t, B> all_users_, all_items_;
  GatherRows<T, B> user_rows_, item_rows_;
  Linear<T, B> user_predictor_, item_predictor_;
  Dropout<T, B> user_target_, item_target_;
  CosineDistance<T, B> from_users_, from_items_;
  std::vector<std::unique_ptr<Modal>> modal_;
  WeightedSum<T, B> mean_;  // of the modalities
  EmbeddingRegulariser<T, B> regulariser_;
  BehaviourModalAlignment<T, B> alignment_;
  LossSum<T, B> sum_;
  std::vector<Var> parts_, modal_rows_;
};

}  // namespace dream
