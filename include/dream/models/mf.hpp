// Matrix factorisation ranked with BPR (Rendle et al., UAI 2009), as in docs/components.md, 7: E = [E_U; E_I], no
// graph, L = L_BPR + w_reg L_reg with the squared regulariser of DREAM on the rows of the batch.
#pragma once

#include <dream/components/ranking_loss.hpp>
#include <dream/models/model.hpp>
#include <dream/models/model_data.hpp>

namespace dream {

struct MatrixFactorisationOptions {
  index_t embedding_size = 64;
  double reg_weight = 1e-2;
  index_t batch_size = 2048;  ///< the configured one, which L_reg divides by
};

template <class T, class B>
class MatrixFactorisation {
 public:
  using value_type = T;
  using backend = B;

  /// Only the numbers of users and items of `data` are used.
  MatrixFactorisation(Context<B>& context, const ModelData<T, B>& data, const MatrixFactorisationOptions& options,
                      std::uint64_t seed)
      : options_(options),
        ego_(parameters_, data.users, data.items, options.embedding_size),
        regulariser_(RegulariserForm::squares, options.batch_size) {
    DREAM_EXPECT(options.embedding_size > 0, "embedding_size must be positive, not ", options.embedding_size);
    expect_not_negative("reg_weight", options.reg_weight);
    parameters_.allocate(context);
    ego_.initialise(context, parameters_, seed);
  }

  Parameters<T, B>& parameters() { return parameters_; }
  std::span<LargeParameter<T, B>> large_parameters() { return {}; }
  void bind_large_gradients(const Tape<T, B>&) {}

  Losses losses(Tape<T, B>& tape, const Batch& batch) {
    const auto [users, items] = represent(tape, batch.users, batch.items);
    const index_t b = batch.size();
    const auto [positives, negatives] = tape.split_rows(items, std::array<index_t, 2>{b, b});
    sum_.start();
    bpr_.weigh(batch.weights);
    sum_.add("bpr", tape.apply(bpr_, users, positives, negatives), 1.0);
    if (options_.reg_weight > 0) {
      const std::array<Var, 3> rows{users, positives, negatives};
      sum_.add("reg", tape.apply_to_all(regulariser_, std::span<const Var>(rows)), options_.reg_weight);
    }
    return sum_.finish(tape);
  }

  std::array<Var, 2> represent(Tape<T, B>& tape, VectorView<const index_t> users, VectorView<const index_t> items) {
    user_rows_.select(users);
    item_rows_.select(items);
    return {tape.apply(user_rows_, parameters_.on(tape, ego_.users)),
            tape.apply(item_rows_, parameters_.on(tape, ego_.items))};
  }

 private:
  MatrixFactorisationOptions options_;
  Parameters<T, B> parameters_;
  EgoEmbeddings<T, B> ego_;
  GatherRows<T, B> user_rows_, item_rows_;
  BprLoss<T, B> bpr_;
  EmbeddingRegulariser<T, B> regulariser_;
  LossSum<T, B> sum_;
};

}  // namespace dream
