// Adds up the loss terms of an epoch's steps, and stops training at the first one that is not finite.
#pragma once

#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dream/kernels/loss_sums.cuh>
#include <dream/models/model.hpp>

namespace dream {

/// Terms before their weights, and the total last. On the host a bad term throws at once; where kernels run, it stops
/// the optimiser at once and throws when the sums are next collected.
template <class T, class B>
class LossMonitor {
 public:
  explicit LossMonitor(Context<B>& context) {
    if constexpr (KernelBackend<B>) {
      sums_.resize(context, kernels::AddLosses<T>::most_terms);
      watch_.resize(context, 1);
    }
    reset(context, 0);
  }

  /// Begins epoch number `epoch`, from 1.
  void reset(Context<B>& context, int epoch) {
    epoch_ = epoch;
    steps_ = 0;
    for (auto& [name, sum] : totals_) sum = 0;  // the names stay: a replayed step does not bring them again
    if constexpr (KernelBackend<B>) {
      const std::vector<double> zeros(kernels::AddLosses<T>::most_terms, 0.0);
      const kernels::LossWatch none{-1, -1, 0, 0, 0.0};
      upload<double>(context, zeros, sums_.data());
      upload<kernels::LossWatch>(context, std::span(&none, 1), watch_.data());
    }
  }

  /// Takes in a step's loss, before its backward pass.
  void add(Context<B>& context, const Tape<T, B>& tape, const Losses& losses) {
    if (totals_.empty()) {
      for (const LossTerm& term : losses.terms) totals_.emplace_back(term.name, 0.0);
      totals_.emplace_back("total", 0.0);
    }
    if constexpr (KernelBackend<B>) {
      typename kernels::AddLosses<T>::Params p{};
      DREAM_EXPECT(totals_.size() <= kernels::AddLosses<T>::most_terms, "a loss of ", totals_.size() - 1, " terms");
      p.count = static_cast<int>(totals_.size());
      for (std::size_t t = 0; t + 1 < totals_.size(); ++t) p.terms[t] = tape.value(losses.terms[t].value).data;
      p.terms[p.count - 1] = tape.value(losses.total).data;
      p.sums = sums_.data();
      p.watch = watch_.data();
      launch<kernels::AddLosses<T>>(context, p);
    } else {
      for (std::size_t t = 0; t < totals_.size(); ++t) {
        const bool is_total = t + 1 == totals_.size();
        const double value = static_cast<double>(tape.value(is_total ? losses.total : losses.terms[t].value)(0, 0));
        if (!std::isfinite(value)) fail_at(t, value, steps_);
        totals_[t].second += value;
      }
    }
    ++steps_;
  }

  /// To be called where a graph has taken in a step.
  void count_replay() { ++steps_; }

  /// The sums so far, by term. Waits for the steps that were launched, and throws if a term was not finite.
  const std::vector<std::pair<std::string, double>>& collect(Context<B>& context) {
    if constexpr (KernelBackend<B>) {
      kernels::LossWatch watch;
      std::vector<double> sums(kernels::AddLosses<T>::most_terms);
      download<double>(context, sums_.data(), sums);
      download<kernels::LossWatch>(context, watch_.data(), std::span(&watch, 1));
      if (watch.bad_term >= 0) fail_at(static_cast<std::size_t>(watch.bad_term), watch.bad_value, watch.bad_step);
      for (std::size_t t = 0; t < totals_.size(); ++t) totals_[t].second = sums[t];
    }
    return totals_;
  }

  /// Where the optimiser looks whether it may step: negative. Null on the host.
  const std::int32_t* stop() const {
    if constexpr (KernelBackend<B>)
      return &watch_.data()->bad_term;
    else
      return nullptr;
  }

 private:
  [[noreturn]] void fail_at(std::size_t term, double value, std::int64_t step) const {
    const bool is_total = term + 1 == totals_.size();
    fail("training diverged: ", is_total ? "the total loss" : concat("loss term '", totals_[term].first, "'"),
         " became ", std::isnan(value) ? "nan" : concat(value), " in epoch ", epoch_, ", step ", step + 1,
         "; try a smaller learning_rate");
  }

  int epoch_ = 0;
  std::int64_t steps_ = 0;
  std::vector<std::pair<std::string, double>> totals_;
  Array<double, B> sums_;               // on a kernel backend
  Array<kernels::LossWatch, B> watch_;  // likewise
};

}  // namespace dream
