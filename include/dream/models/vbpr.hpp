// VBPR (He and McAuley, AAAI 2016), as in docs/components.md, 7: an item is [E_I ; concat(F_m) W + b], a user is as
// wide; L = L_BPR + w_reg (|U|_F + |P|_F + |N|_F) / b on the rows of the batch. The features stay as they are.
#pragma once

#include <optional>
#include <vector>

#include <dream/components/ranking_loss.hpp>
#include <dream/models/behaviour_modal_alignment.hpp>
#include <dream/models/model.hpp>
#include <dream/models/model_data.hpp>
#include <dream/ops/columns.hpp>
#include <dream/ops/features.hpp>

namespace dream {

struct VbprOptions {
  index_t embedding_size = 64;  ///< of each half
  double reg_weight = 1e-2;
  bool align = false;  ///< add BMA; the domains are the halves of users and items
  AlignmentOptions alignment = {};
};

template <class T, class B>
class Vbpr {
 public:
  using value_type = T;
  using backend = B;

  /// `data` must outlive the model; only its features are used, and data without any are an error.
  Vbpr(Context<B>& context, const ModelData<T, B>& data, const VbprOptions& options, std::uint64_t seed)
      : options_(options),
        behaviour_half_(0, options.embedding_size),
        modal_half_(options.embedding_size, options.embedding_size),
        regulariser_(RegulariserForm::norms),
        alignment_(options.alignment) {
    const index_t d = options.embedding_size;
    DREAM_EXPECT(d > 0, "embedding_size must be positive, not ", d);
    expect_not_negative("reg_weight", options.reg_weight);
    if (options.align) expect_alignable(options.alignment, "vbpr", true);
    DREAM_EXPECT(!data.modalities.empty(), "vbpr needs at least one modality and the data has none");
    users_ = parameters_.add("user_embedding", data.users, 2 * d);
    items_ = parameters_.add("item_embedding", data.items, d);
    double feature_columns = 0;
    for (const auto& modality : data.modalities) {
      weights_.push_back(parameters_.add(modality.name + ".weight", modality.features.cols(), d));
      features_.push_back(modality.features.view());
      if (!first_)
        first_.emplace(modality.features.view());
      else
        others_.emplace_back(modality.features.view());
      feature_columns += modality.features.cols();
    }
    bias_ = parameters_.add("feature_bias", 1, d);
    parameters_.allocate(context);
    xavier_normal(context, parameters_.value(users_), seed, 0, data.users);
    xavier_normal(context, parameters_.value(items_), seed, 1, data.items);
    for (std::size_t m = 0; m < weights_.size(); ++m)
      xavier_normal(context, parameters_.value(weights_[m]), seed, 100 + 2 * static_cast<std::uint32_t>(m),
                    feature_columns);
  }

  Parameters<T, B>& parameters() { return parameters_; }
  std::span<LargeParameter<T, B>> large_parameters() { return {}; }
  void bind_large_gradients(const Tape<T, B>&) {}

  Losses losses(Tape<T, B>& tape, const Batch& batch) {
    const std::array<index_t, 2> pieces{batch.size(), batch.size()};
    const Rows rows = gather(tape, batch.users, batch.items);
    const auto [p, n] = tape.split_rows(rows.behaviour_items, pieces);
    const auto [modal_p, modal_n] = tape.split_rows(rows.modal_items, pieces);
    const std::array<Var, 3> all{rows.users, join(tape, positives_, p, modal_p), join(tape, negatives_, n, modal_n)};
    sum_.start();
    bpr_.weigh(batch.weights);
    sum_.add("bpr", tape.apply(bpr_, all[0], all[1], all[2]), 1.0);
    if (options_.reg_weight > 0)
      sum_.add("reg", tape.apply_to_all(regulariser_, std::span<const Var>(all)), options_.reg_weight);
    if (options_.align) {
      const auto [u, modal_u] = user_halves(tape, rows.users);
      alignment_.add(tape, sum_, {u, p}, {modal_u, modal_p});
    }
    return sum_.finish(tape);
  }

  std::array<Var, 2> represent(Tape<T, B>& tape, VectorView<const index_t> users, VectorView<const index_t> items) {
    const Rows rows = gather(tape, users, items);
    return {rows.users, join(tape, positives_, rows.behaviour_items, rows.modal_items)};
  }

  /// The halves of the listed users and items: behaviour and modal.
  std::array<DomainRows, 2> domains(Tape<T, B>& tape, VectorView<const index_t> users,
                                    VectorView<const index_t> items) {
    const Rows rows = gather(tape, users, items);
    const auto [u, modal_u] = user_halves(tape, rows.users);
    return {DomainRows{u, rows.behaviour_items}, DomainRows{modal_u, rows.modal_items}};
  }

  /// F_m W_m of the listed items, without the bias.
  ModalParts<T> modal_parts(Tape<T, B>& tape, VectorView<const index_t> items) {
    ModalParts<T> found;
    for (std::size_t m = 0; m < weights_.size(); ++m) {
      GatherRows<T, B> rows;
      rows.select(items);
      found.rows.push_back(tape.apply(
          std::move(rows), tape.apply(FeatureProduct<T, B>(features_[m]), parameters_.on(tape, weights_[m]))));
    }
    found.weights = same_for_all<T>(std::vector<T>(weights_.size(), T{1}), static_cast<index_t>(items.size));
    return found;
  }

 private:
  struct Rows {
    Var users;  // both halves
    Var behaviour_items, modal_items;
  };

  Rows gather(Tape<T, B>& tape, VectorView<const index_t> users, VectorView<const index_t> items) {
    user_rows_.select(users);
    item_rows_.select(items);
    modal_rows_.select(items);
    parts_.clear();
    for (std::size_t m = 0; m < weights_.size(); ++m) {
      const Var weight = parameters_.on(tape, weights_[m]);
      parts_.push_back(m == 0 ? tape.apply(*first_, weight, parameters_.on(tape, bias_))
                              : tape.apply(others_[m - 1], weight));
    }
    const Var projected = tape.apply_to_all(sum_.plain(parts_.size()), std::span<const Var>(parts_));
    return {tape.apply(user_rows_, parameters_.on(tape, users_)), tape.apply(item_rows_, parameters_.on(tape, items_)),
            tape.apply(modal_rows_, projected)};
  }

  Var join(Tape<T, B>& tape, ConcatColumns<T, B>& op, Var left, Var right) {
    const std::array<Var, 2> both{left, right};
    return tape.apply_to_all(op, std::span<const Var>(both));
  }
  std::array<Var, 2> user_halves(Tape<T, B>& tape, Var users) {
    return {tape.apply(behaviour_half_, users), tape.apply(modal_half_, users)};
  }

  VbprOptions options_;
  Parameters<T, B> parameters_;
  ParameterId users_, items_, bias_;
  std::vector<ParameterId> weights_;
  std::vector<FeatureView<T>> features_;
  std::optional<FeatureProjection<T, B>> first_;  // with the bias
  std::vector<FeatureProduct<T, B>> others_;
  GatherRows<T, B> user_rows_, item_rows_, modal_rows_;
  ConcatColumns<T, B> positives_, negatives_;
  TakeColumns<T, B> behaviour_half_, modal_half_;
  BprLoss<T, B> bpr_;
  EmbeddingRegulariser<T, B> regulariser_;
  BehaviourModalAlignment<T, B> alignment_;
  LossSum<T, B> sum_;
  std::vector<Var> parts_;
};

}  // namespace dream
