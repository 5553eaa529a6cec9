// Training (docs/components.md, 6): Adam on sampled batches, an evaluation on valid every few epochs, early stopping,
// and the vectors of the best epoch.
#pragma once

#include <chrono>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <dream/data/dataset.hpp>
#include <dream/eval/ranking.hpp>
#include <dream/graph/bipartite.hpp>
#include <dream/models/model.hpp>
#include <dream/train/adam.hpp>
#include <dream/train/sampler.hpp>

namespace dream {

struct FitOptions {
  int epochs = 1000;
  index_t batch_size = 2048;
  AdamOptions adam;
  double learning_rate_factor = 1.0;  ///< f: the learning rate is multiplied by f^(epoch / period)
  double learning_rate_period = 50.0;
  int eval_step = 1;       ///< evaluate on valid after every so many epochs
  int stopping_step = 20;  ///< stop when more than so many evaluations in a row bring no strict gain
  std::string valid_metric = "recall@20";
  std::vector<int> top_k{10, 20};
  bool mask_valid_in_test = false;  ///< rank test items with the valid items masked too
  std::uint64_t seed = 999;         ///< of the sampler
};

/// Where a running epoch is.
struct StepReport {
  int epoch = 0;  ///< from 1
  std::int64_t step = 0, steps = 0;
  std::int64_t interactions = 0;  ///< done in this epoch
  double loss = 0;                ///< mean total over the steps so far
};

/// What an epoch brought.
struct EpochReport {
  int epoch = 0;  ///< from 1
  /// Means over the steps: every term before its weight, and "total".
  std::vector<std::pair<std::string, double>> losses;
  bool evaluated = false;
  bool improved = false;
  MetricTable valid;
  double train_seconds = 0;
  double eval_seconds = 0;
};

/// What training knows besides parameters and Adam's moments. The sampler has no state but the epoch.
struct FitState {
  int epoch = 0;  ///< finished epochs
  int best_epoch = 0;
  double best_value = 0;
  int evaluations_without_gain = 0;
  std::vector<std::pair<std::string, double>> best_valid;
};

/// Trains one model on one data set.
template <class Model>
class Trainer {
 public:
  using T = typename Model::value_type;
  using B = typename Model::backend;

  /// All arguments must outlive the trainer.
  Trainer(Context<B>& context, Model& model, const Dataset& dataset, FitOptions options)
      : context_(&context),
        model_(&model),
        options_(std::move(options)),
        train_(interaction_matrix<T>(context, dataset.train, dataset.user_count(), dataset.item_count())),
        valid_(interaction_matrix<T>(context, dataset.valid, dataset.user_count(), dataset.item_count())),
        test_(interaction_matrix<T>(context, dataset.test, dataset.user_count(), dataset.item_count())),
        sampler_(train_.view(), options_.seed),
        optimiser_(model.parameters(), model.large_parameters(), options_.adam),
        tape_(context),
        full_tape_(context) {
    DREAM_EXPECT(options_.batch_size > 0, "train_batch_size must be positive, not ", options_.batch_size);
    DREAM_EXPECT(options_.epochs >= 0, "epochs cannot be ", options_.epochs);
    DREAM_EXPECT(options_.eval_step > 0, "eval_step must be positive, not ", options_.eval_step);
    if (options_.mask_valid_in_test) {
      Pairs both = dataset.train;
      both.user.insert(both.user.end(), dataset.valid.user.begin(), dataset.valid.user.end());
      both.item.insert(both.item.end(), dataset.valid.item.begin(), dataset.valid.item.end());
      seen_ = interaction_matrix<T>(context, both, dataset.user_count(), dataset.item_count());
    }
    all_users_.resize(train_.rows);
    all_items_.resize(train_.cols);
    std::iota(all_users_.data(), all_users_.data() + all_users_.size(), index_t{0});
    std::iota(all_items_.data(), all_items_.data() + all_items_.size(), index_t{0});
  }

  /// True when all epochs are done or early stopping says so. Without anybody to rank for on valid there is neither
  /// early stopping nor a best epoch.
  bool finished() const {
    return state_.epoch >= options_.epochs || state_.evaluations_without_gain > options_.stopping_step;
  }

  /// One epoch and, when it is due, an evaluation. `on_step` is called after every step; when it returns false the
  /// epoch is given up and its work is lost (parameters are then between two checkpoints: do not save them). A loss
  /// term that is not finite stops training with its name, before parameters change; a parameter or a vector that is
  /// not finite after the epoch stops it too.
  template <class OnStep>
  EpochReport run_epoch(OnStep&& on_step) {
    const auto start = std::chrono::steady_clock::now();
    EpochReport report;
    report.epoch = state_.epoch + 1;
    const std::int64_t steps = sampler_.batches(options_.batch_size);
    const double factor = std::pow(options_.learning_rate_factor, state_.epoch / options_.learning_rate_period);
    std::int64_t interactions = 0;
    for (std::int64_t s = 0; s < steps; ++s) {
      const Batch batch = sampler_.draw(*context_, static_cast<std::uint32_t>(state_.epoch), s, options_.batch_size);
      train_step(batch, factor, report, s);
      interactions += batch.size();
      if (!on_step(StepReport{report.epoch, s + 1, steps, interactions,
                              report.losses.back().second / static_cast<double>(s + 1)})) {
        stopped_ = true;
        return report;
      }
    }
    for (auto& [name, value] : report.losses) value /= static_cast<double>(steps);
    expect_finite_parameters(report.epoch);
    ++state_.epoch;
    const auto trained = std::chrono::steady_clock::now();
    report.train_seconds = std::chrono::duration<double>(trained - start).count();
    if (valid_.entries() > 0 && (state_.epoch % options_.eval_step == 0 || state_.epoch == options_.epochs)) {
      const std::array<MatrixView<const T>, 2> vectors = represent();
      expect_finite("a user's vector", vectors[0], report.epoch);
      expect_finite("an item's vector", vectors[1], report.epoch);
      const Evaluation valid = evaluate_vectors(vectors[0], vectors[1], Split::valid);
      if (valid.all.users == 0) return report;  // nobody to rank for: no epoch is better than another
      report.evaluated = true;
      report.valid = valid.all;
      const double value = valid.at(options_.valid_metric);
      report.improved = state_.best_epoch == 0 || value > state_.best_value;
      if (report.improved) {
        state_.best_epoch = state_.epoch;
        state_.best_value = value;
        state_.evaluations_without_gain = 0;
        state_.best_valid = valid.all.values;
        for (int side = 0; side < 2; ++side) {
          best_[side].resize(vectors[side].rows, vectors[side].cols);
          copy<T>(*context_, vectors[side], best_[side].view());
        }
      } else {
        ++state_.evaluations_without_gain;
      }
      report.eval_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - trained).count();
    }
    return report;
  }
  EpochReport run_epoch() {
    return run_epoch([](const StepReport&) { return true; });
  }

  /// Runs epochs until finished(). `on_epoch` may return false to stop.
  void fit(const std::function<bool(const EpochReport&)>& on_epoch = {}) {
    while (!finished()) {
      const EpochReport report = run_epoch();
      if (on_epoch && !on_epoch(report)) return;
    }
  }

  /// One optimiser step on a batch. Throws where a loss term is not finite.
  void step(const Batch& batch, double learning_rate_factor = 1.0) {
    EpochReport ignored;
    train_step(batch, learning_rate_factor, ignored, 0);
  }

  /// The fused vectors of all users and all items with the present parameters; valid until the next call.
  std::array<MatrixView<const T>, 2> represent() {
    full_tape_.clear();
    const auto [users, items] = model_->represent(full_tape_, all_users_.view(), all_items_.view());
    return {full_tape_.value(users), full_tape_.value(items)};
  }

  /// Ranks with the best epoch's vectors, or with the present parameters where there is no best epoch yet.
  Evaluation evaluate(Split split) {
    if (state_.best_epoch > 0) return evaluate_vectors(best_[0].view(), best_[1].view(), split);
    const auto vectors = represent();
    return evaluate_vectors(vectors[0], vectors[1], split);
  }

  /// Ranks all items for the users of a split with the given vectors.
  Evaluation evaluate_vectors(MatrixView<const T> users, MatrixView<const T> items, Split split) {
    EvaluationOptions options;
    options.top_k = options_.top_k;
    options.warm_and_cold = split == Split::test;
    const bool with_valid = split == Split::test && options_.mask_valid_in_test;
    return dream::evaluate<T>(*context_, users, items, train_.view(), with_valid ? seen_.view() : train_.view(),
                              split == Split::valid ? valid_.view() : test_.view(), options);
  }

  /// Vectors of the best epoch; empty before the first evaluation.
  const Matrix<T, B>& best_users() const { return best_[0]; }
  const Matrix<T, B>& best_items() const { return best_[1]; }

  Context<B>& context() { return *context_; }
  Model& model() { return *model_; }
  PairSampler& sampler() { return sampler_; }
  Adam<T, B>& optimiser() { return optimiser_; }
  const FitOptions& options() const { return options_; }
  FitState& state() { return state_; }
  /// The training interactions R.
  CsrView<T> train_interactions() const { return train_.view(); }
  /// For checkpoints: the vectors that belong to state().best_epoch.
  std::array<Matrix<T, B>, 2>& best_vectors() { return best_; }

 private:
  void expect_finite(const std::string& what, MatrixView<const T> m, int epoch) {
    for (index_t i = 0; i < m.rows; ++i) {
      T sum = 0;  // 0 for finite values, else NaN
      for (index_t j = 0; j < m.cols; ++j) sum += m(i, j) * T{0};
      if (sum == T{0}) continue;
      stopped_ = true;
      fail("training diverged: ", what, " is no longer finite after epoch ", epoch, "; try a smaller learning_rate");
    }
  }
  void expect_finite_parameters(int epoch) {
    auto& parameters = model_->parameters();
    for (int p = 0; p < parameters.count(); ++p)
      expect_finite("parameter '" + parameters.name({p}) + "'", parameters.value({p}), epoch);
    for (const auto& large : model_->large_parameters())
      expect_finite("parameter '" + large.name + "'", large.value.view(), epoch);
  }

  void train_step(const Batch& batch, double factor, EpochReport& report, std::int64_t s) {
    DREAM_EXPECT(!stopped_, "training was stopped within an epoch; start again from a checkpoint");
    tape_.clear();
    const Losses losses = model_->losses(tape_, batch);
    if (report.losses.empty()) {
      for (const LossTerm& term : losses.terms) report.losses.emplace_back(term.name, 0.0);
      report.losses.emplace_back("total", 0.0);
    }
    for (std::size_t t = 0; t < losses.terms.size(); ++t) {
      const double value = static_cast<double>(tape_.value(losses.terms[t].value)(0, 0));
      DREAM_EXPECT(std::isfinite(value), "training diverged: loss term '", losses.terms[t].name, "' became ", value,
                   " in epoch ", state_.epoch + 1, ", step ", s + 1, "; try a smaller learning_rate");
      report.losses[t].second += value;
    }
    const double total = static_cast<double>(tape_.value(losses.total)(0, 0));
    DREAM_EXPECT(std::isfinite(total), "training diverged: the total loss became ", total, " in epoch ",
                 state_.epoch + 1, ", step ", s + 1);
    report.losses.back().second += total;
    tape_.backward(losses.total);
    model_->bind_large_gradients(tape_);
    optimiser_.step(*context_, factor);
  }

  Context<B>* context_;
  Model* model_;
  FitOptions options_;
  Csr<T, B> train_, valid_, test_, seen_;
  PairSampler sampler_;
  Adam<T, B> optimiser_;
  Tape<T, B> tape_, full_tape_;
  Array<index_t, B> all_users_, all_items_;
  FitState state_;
  std::array<Matrix<T, B>, 2> best_;
  bool stopped_ = false;
};

template <class Model>
Trainer(Context<typename Model::backend>&, Model&, const Dataset&, FitOptions) -> Trainer<Model>;

}  // namespace dream
