// LightGCN (He et al., SIGIR 2020), as in docs/components.md, 7:
// E = E_B, L = L_BPR + w_reg (|U|_F + |P|_F + |N|_F) / b on the ego rows of the batch.
#pragma once

#include <dream/components/graph_propagation.hpp>
#include <dream/components/ranking_loss.hpp>
#include <dream/models/model.hpp>
#include <dream/models/model_data.hpp>

namespace dream {

struct LightGcnOptions {
  index_t embedding_size = 64;
  int n_ui_layers = 2;
  double reg_weight = 1e-3;
};

template <class T, class B>
class LightGcn {
 public:
  using value_type = T;
  using backend = B;

  /// `data` must outlive the model; only its user-item graph is used.
  LightGcn(Context<B>& context, const ModelData<T, B>& data, const LightGcnOptions& options, std::uint64_t seed)
      : options_(options),
        ego_(parameters_, data.users, data.items, options.embedding_size),
        propagation_(data.graph, options.n_ui_layers),
        regulariser_(RegulariserForm::norms) {
    DREAM_EXPECT(options.embedding_size > 0, "embedding_size must be positive, not ", options.embedding_size);
    expect_not_negative("reg_weight", options.reg_weight);
    parameters_.allocate(context);
    ego_.initialise(context, parameters_, seed);
  }

  Parameters<T, B>& parameters() { return parameters_; }
  std::span<LargeParameter<T, B>> large_parameters() { return {}; }
  void bind_large_gradients(const Tape<T, B>&) {}

  Losses losses(Tape<T, B>& tape, const Batch& batch) {
    const Var users = parameters_.on(tape, ego_.users), items = parameters_.on(tape, ego_.items);
    const index_t b = batch.size();
    propagation_.select(batch.users, batch.items);
    const auto [u, p, n] = tape.split_rows(tape.apply(propagation_, users, items), std::array<index_t, 3>{b, b, b});
    sum_.start();
    bpr_.weigh(batch.weights);
    sum_.add("bpr", tape.apply(bpr_, u, p, n), 1.0);
    if (options_.reg_weight > 0) {
      user_rows_.select(batch.users);
      item_rows_.select(batch.items);
      const auto [ego_p, ego_n] = tape.split_rows(tape.apply(item_rows_, items), std::array<index_t, 2>{b, b});
      const std::array<Var, 3> rows{tape.apply(user_rows_, users), ego_p, ego_n};
      sum_.add("reg", tape.apply_to_all(regulariser_, std::span<const Var>(rows)), options_.reg_weight);
    }
    return sum_.finish(tape);
  }

  std::array<Var, 2> represent(Tape<T, B>& tape, VectorView<const index_t> users, VectorView<const index_t> items) {
    propagation_.select(users, items);
    const Var rows = tape.apply(propagation_, parameters_.on(tape, ego_.users), parameters_.on(tape, ego_.items));
    return tape.split_rows(rows,
                           std::array<index_t, 2>{static_cast<index_t>(users.size), static_cast<index_t>(items.size)});
  }

 private:
  LightGcnOptions options_;
  Parameters<T, B> parameters_;
  EgoEmbeddings<T, B> ego_;
  GraphPropagation<T, B> propagation_;
  GatherRows<T, B> user_rows_, item_rows_;
  BprLoss<T, B> bpr_;
  EmbeddingRegulariser<T, B> regulariser_;
  LossSum<T, B> sum_;
};

}  // namespace dream
