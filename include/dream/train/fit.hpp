// Training (docs/components.md, 6): Adam on sampled batches, an evaluation on valid every few epochs, early stopping,
// and the vectors of the best epoch.
#pragma once

#include <chrono>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <dream/data/dataset.hpp>
#include <dream/eval/ranking.hpp>
#include <dream/graph/bipartite.hpp>
#include <dream/models/model.hpp>
#include <dream/train/adam.hpp>
#include <dream/train/loss_monitor.hpp>
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
  bool replay_steps = true;         ///< where kernels run: capture a step and replay it
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
        host_(context),
        model_(&model),
        options_(std::move(options)),
        train_(interaction_matrix<T>(host_.get(), dataset.train, dataset.user_count(), dataset.item_count())),
        valid_(interaction_matrix<T>(host_.get(), dataset.valid, dataset.user_count(), dataset.item_count())),
        test_(interaction_matrix<T>(host_.get(), dataset.test, dataset.user_count(), dataset.item_count())),
        sampler_(train_.view(), options_.seed, entry_weights(train_.view(), dataset.train)),
        batches_(context, sampler_),
        monitor_(context),
        optimiser_(context, model.parameters(), model.large_parameters(), options_.adam),
        tape_(context),
        full_tape_(context) {
    DREAM_EXPECT(options_.batch_size > 0, "train_batch_size must be positive, not ", options_.batch_size);
    DREAM_EXPECT(options_.epochs >= 0, "epochs cannot be ", options_.epochs);
    DREAM_EXPECT(options_.eval_step > 0, "eval_step must be positive, not ", options_.eval_step);
    if (options_.mask_valid_in_test) {
      Pairs both = dataset.train;
      both.user.insert(both.user.end(), dataset.valid.user.begin(), dataset.valid.user.end());
      both.item.insert(both.item.end(), dataset.valid.item.begin(), dataset.valid.item.end());
      seen_ = interaction_matrix<T>(host_.get(), both, dataset.user_count(), dataset.item_count());
    }
    all_users_ = upload_range(context, train_.rows);
    all_items_ = upload_range(context, train_.cols);
    if constexpr (KernelBackend<B>) {
      device_train_ = upload(context, train_);
      if (seen_.rows > 0) device_seen_ = upload(context, seen_);
    }
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
    double loss = 0;
    for (std::int64_t s = 0; s < steps; ++s) {
      if (s == 0) begin_epoch();
      interactions += draw_and_train(s, factor);
      // Where kernels run, asking for the loss waits for them.
      if (!KernelBackend<B> || s == 0 || s % 64 == 63)
        loss = monitor_.collect(*context_).back().second / static_cast<double>(s + 1);
      if (!on_step(StepReport{report.epoch, s + 1, steps, interactions, loss})) {
        stopped_ = true;
        return report;
      }
    }
    report.losses = monitor_.collect(*context_);
    for (auto& [name, value] : report.losses) value /= static_cast<double>(steps);
    expect_finite_parameters(report.epoch);
    ++state_.epoch;
    const auto trained = std::chrono::steady_clock::now();
    report.train_seconds = std::chrono::duration<double>(trained - start).count();
    if (valid_.entries() > 0 && (state_.epoch % options_.eval_step == 0 || state_.epoch == options_.epochs)) {
      const std::array<MatrixView<const T>, 2> vectors = represent();
      expect_finite("a user's vector", vectors[0], report.epoch);
      expect_finite("an item's vector", vectors[1], report.epoch);
      const Evaluation valid = rank(vectors[0], vectors[1], Split::valid);
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
        for (int side = 0; side < 2; ++side) best_[side] = download<T>(*context_, vectors[side]);
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

  /// One optimiser step on a batch, as an epoch of its own: a model that draws a graph for every epoch draws it. Throws
  /// where a row of the batch is none of the model's, or a loss term is not finite.
  void step(const Batch& batch, double learning_rate_factor = 1.0) {
    expect_rows(*context_, batch.users, train_.rows);
    expect_rows(*context_, batch.items, train_.cols);
    begin_epoch();
    train_step(batch, learning_rate_factor);
    monitor_.collect(*context_);
  }

  /// The fused vectors of all users and all items with the present parameters, in the backend's memory; valid until the
  /// next call.
  std::array<MatrixView<const T>, 2> represent() {
    full_tape_.clear();
    const auto [users, items] = model_->represent(full_tape_, all_users_.view(), all_items_.view());
    return {full_tape_.value(users), full_tape_.value(items)};
  }

  /// Ranks with the best epoch's vectors, or with the present parameters where there is no best epoch yet.
  Evaluation evaluate(Split split) {
    if (state_.best_epoch > 0) return evaluate_vectors(best_[0].view(), best_[1].view(), split);
    const auto vectors = represent();
    return rank(vectors[0], vectors[1], split);
  }

  /// Ranks all items for the users of a split with the given vectors, which lie in host memory.
  Evaluation evaluate_vectors(MatrixView<const T> users, MatrixView<const T> items, Split split) {
    if constexpr (KernelBackend<B>) {
      const Matrix<T, B> user_vectors = upload<T>(*context_, users), item_vectors = upload<T>(*context_, items);
      return rank(user_vectors.view(), item_vectors.view(), split);
    } else {
      return rank(users, items, split);
    }
  }

  /// Vectors of the best epoch, in host memory; empty before the first evaluation.
  const Matrix<T, Cpu>& best_users() const { return best_[0]; }
  const Matrix<T, Cpu>& best_items() const { return best_[1]; }

  Context<B>& context() { return *context_; }
  /// What the host computes with; the same context where nothing else runs.
  Context<Cpu>& host() { return host_.get(); }
  Model& model() { return *model_; }
  PairSampler& sampler() { return sampler_; }
  Adam<T, B>& optimiser() { return optimiser_; }
  const FitOptions& options() const { return options_; }
  FitState& state() { return state_; }
  /// The training interactions R, in host memory.
  CsrView<T> train_interactions() const { return train_.view(); }
  /// For checkpoints: the vectors that belong to state().best_epoch.
  std::array<Matrix<T, Cpu>, 2>& best_vectors() { return best_; }

 private:
  void begin_epoch() {
    const std::uint32_t epoch = static_cast<std::uint32_t>(state_.epoch);
    monitor_.reset(*context_, state_.epoch + 1);
    if constexpr (requires { model_->begin_epoch(*context_, host_.get(), train_.view(), epoch); })
      model_->begin_epoch(*context_, host_.get(), train_.view(), epoch);
  }

  void expect_finite(const std::string& what, MatrixView<const T> m, int epoch) {
    if (all_finite<T>(*context_, m)) return;
    stopped_ = true;
    fail("training diverged: ", what, " is no longer finite after epoch ", epoch, "; try a smaller learning_rate");
  }
  void expect_finite_parameters(int epoch) {
    auto& parameters = model_->parameters();
    for (int p = 0; p < parameters.count(); ++p)
      expect_finite("parameter '" + parameters.name({p}) + "'", parameters.value({p}), epoch);
    for (const auto& large : model_->large_parameters())
      expect_finite("parameter '" + large.name + "'", large.value.view(), epoch);
  }

  Evaluation rank(MatrixView<const T> users, MatrixView<const T> items, Split split) {
    EvaluationOptions options;
    options.top_k = options_.top_k;
    options.warm_and_cold = split == Split::test;
    const bool with_valid = split == Split::test && options_.mask_valid_in_test;
    const CsrView<T> held_out = split == Split::valid ? valid_.view() : test_.view();
    if constexpr (KernelBackend<B>)
      return dream::evaluate<T>(*context_, host_.get(), users, items, train_.view(),
                                with_valid ? device_seen_.view() : device_train_.view(), held_out, options);
    else
      return dream::evaluate<T>(*context_, users, items, train_.view(), with_valid ? seen_.view() : train_.view(),
                                held_out, options);
  }

  /// Step s of the present epoch; returns its interactions.
  index_t draw_and_train(std::int64_t s, double factor) {
    const std::uint32_t epoch = static_cast<std::uint32_t>(state_.epoch);
    if constexpr (KernelBackend<B>) {
      // A step of a full batch is the same work every time: it is captured once its buffers are there, and replayed
      // until one of them is given back. Then a step is launched by itself again, for what it may have to allocate.
      batches_.seek(*context_, epoch, s, options_.batch_size);
      optimiser_.set_rate(*context_, factor);
      const index_t count = batches_.next_size();
      const bool is_full = count == options_.batch_size;
      const bool has_buffers = is_full && full_steps_ >= 2 && releases_ == context_->releases();
      if (has_buffers && graph_.is_captured() && graph_releases_ == releases_) {
        DREAM_EXPECT(!stopped_, "training was stopped within an epoch; start again from a checkpoint");
        graph_.replay(*context_);
        batches_.count_replay();
        monitor_.count_replay();
        optimiser_.count_replay();
      } else if (has_buffers && options_.replay_steps && context_->can_capture()) {
        // Memory that the step itself gives back must not be used by a replay, so the count is that of before.
        graph_releases_ = context_->releases();
        graph_.capture(*context_, [&] { train_step(batches_.next(*context_), factor); });
        releases_ = context_->releases();
        graph_.replay(*context_);
      } else {
        train_step(batches_.next(*context_), factor);
        full_steps_ += is_full;
        if (is_full) releases_ = context_->releases();
      }
      return count;
    } else {
      const Batch batch = batches_.draw(*context_, epoch, s, options_.batch_size);
      train_step(batch, factor);
      return batch.size();
    }
  }

  void train_step(const Batch& batch, double factor) {
    DREAM_EXPECT(!stopped_, "training was stopped within an epoch; start again from a checkpoint");
    tape_.clear();
    const Losses losses = model_->losses(tape_, batch);
    monitor_.add(*context_, tape_, losses);
    tape_.backward(losses.total);
    model_->bind_large_gradients(tape_);
    optimiser_.step(*context_, factor, monitor_.stop());
  }

  Context<B>* context_;
  HostContext<B> host_;
  Model* model_;
  FitOptions options_;
  Csr<T, Cpu> train_, valid_, test_, seen_;
  Csr<T, B> device_train_, device_seen_;  // where kernels run
  PairSampler sampler_;
  BatchSource<B> batches_;
  LossMonitor<T, B> monitor_;
  LaunchGraph<B> graph_;                            // of a full batch's step
  std::int64_t graph_releases_ = 0, releases_ = 0;  // of the context, when it was captured and when the last step ended
  int full_steps_ = 0;
  Adam<T, B> optimiser_;
  Tape<T, B> tape_, full_tape_;
  Array<index_t, B> all_users_, all_items_;
  FitState state_;
  std::array<Matrix<T, Cpu>, 2> best_;
  bool stopped_ = false;
};

template <class Model>
Trainer(Context<typename Model::backend>&, Model&, const Dataset&, FitOptions) -> Trainer<Model>;

}  // namespace dream
