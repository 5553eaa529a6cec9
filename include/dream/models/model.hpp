// What the trainer and the models agree on. A model is a class with
//   Parameters<T, B>& parameters();
//   using value_type = T; using backend = B;
//   std::span<LargeParameter<T, B>> large_parameters();
//   void bind_large_gradients(const Tape<T, B>&);                     // after backward: where their factors are
//   Losses losses(Tape<T, B>&, const Batch&);                         // one training step's loss, on the tape
//   std::array<Var, 2> represent(Tape<T, B>&, users, items);          // fused rows of the listed users and items
// and, where it has them,
//   void begin_epoch(Context<B>&, Context<Cpu>& host, CsrView<T> interactions, std::uint32_t epoch);   // before each
//   std::array<DomainRows, 2> domains(Tape<T, B>&, users, items);     // behaviour and modal rows of the same
//   ModalParts<T> modal_parts(Tape<T, B>&, items);                    // what the modalities add to the latter
// and scores a user and an item by the dot product of their rows.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <dream/autograd/parameters.hpp>
#include <dream/autograd/tape.hpp>
#include <dream/ops/dense.hpp>

namespace dream {

/// A training batch: users, and twice as many items: the users' positives in order, then their negatives.
struct Batch {
  VectorView<const index_t> users;
  VectorView<const index_t> items;
  std::uint32_t step = 0;                  ///< number of the training step, from 0
  const std::uint32_t* step_at = nullptr;  ///< where it stands in the backend's memory, if it does
  VectorView<const float> weights = {};    ///< of the users' positives in the ranking loss; empty: 1

  index_t size() const { return static_cast<index_t>(users.size); }
  VectorView<const index_t> positives() const { return {items.data, users.size}; }
  VectorView<const index_t> negatives() const { return {items.data + users.size, users.size}; }
};

/// Rows of some users and items in one domain, behaviour or modal; either may be missing.
struct DomainRows {
  Var users, items;
};

/// Rows of some items in each modality, and the weights with which they make the items' modal representation.
template <class T>
struct ModalParts {
  std::vector<Var> rows;
  Matrix<T, Cpu> weights;  ///< items x modalities
};

/// The weights of all rows where they do not depend on the row.
template <class T>
Matrix<T, Cpu> same_for_all(std::span<const T> weights, index_t rows) {
  Matrix<T, Cpu> all(rows, static_cast<index_t>(weights.size()));
  for (index_t r = 0; r < rows; ++r) std::copy(weights.begin(), weights.end(), all.view().row(r));
  return all;
}

/// Weights of losses and numbers of layers.
inline void expect_not_negative(const char* name, double value) {
  DREAM_EXPECT(value >= 0, name, " cannot be ", value);
}

/// One term of a loss, before its weight.
struct LossTerm {
  const char* name;
  Var value;
  double weight;
};

/// total = sum of weight * value over the terms.
struct Losses {
  Var total;
  std::span<const LossTerm> terms;
};

/// A parameter too large to keep a gradient of: the gradient is left * right^T, and the optimiser multiplies it out a
/// block of rows at a time while it updates. Trainable modal embeddings are of this kind: X = Z W1 + b1 gives dZ = dX
/// W1^T.
template <class T, class B>
struct LargeParameter {
  std::string name;
  Matrix<T, B> value;
  MatrixView<const T> left = {};   ///< rows x d, valid after backward()
  MatrixView<const T> right = {};  ///< cols x d
};

/// Collects a loss's terms and adds them up on the tape. Keeps its memory between steps.
template <class T, class B>
class LossSum {
 public:
  void start() {
    terms_.clear();
    values_.clear();
    weights_.clear();
  }
  void add(const char* name, Var value, double weight) {
    terms_.push_back({name, value, weight});
    values_.push_back(value);
    weights_.push_back(static_cast<T>(weight));
  }
  Losses finish(Tape<T, B>& tape) {
    total_.set_weights(weights_);
    return {tape.apply_to_all(total_, std::span<const Var>(values_)), terms_};
  }
  /// x + y, on the tape.
  Var plus(Tape<T, B>& tape, Var x, Var y) {
    const std::array<Var, 2> both{x, y};
    return tape.apply_to_all(plain(2), std::span<const Var>(both));
  }
  /// The op that adds up `count` values.
  WeightedSum<T, B>& plain(std::size_t count) {
    while (plain_.size() <= count)
      plain_.push_back(std::make_unique<WeightedSum<T, B>>(std::vector<T>(plain_.size(), T{1})));
    return *plain_[count];
  }

 private:
  std::vector<LossTerm> terms_;
  std::vector<Var> values_;
  std::vector<T> weights_;
  WeightedSum<T, B> total_;
  std::vector<std::unique_ptr<WeightedSum<T, B>>> plain_;
};

/// The ego embeddings that every model here starts from.
template <class T, class B>
struct EgoEmbeddings {
  ParameterId users, items;

  EgoEmbeddings(Parameters<T, B>& parameters, index_t user_count, index_t item_count, index_t dim)
      : users(parameters.add("user_embedding", user_count, dim)),
        items(parameters.add("item_embedding", item_count, dim)) {}
  void initialise(Context<B>& context, Parameters<T, B>& parameters, std::uint64_t seed) const {
    xavier_uniform(context, parameters.value(users), seed, 0);
    xavier_uniform(context, parameters.value(items), seed, 1);
  }
};

}  // namespace dream
