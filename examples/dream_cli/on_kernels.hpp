// The bodies of backends.hpp, for any backend that runs kernels.
#pragma once

#include "backends.hpp"
#include "training_run.hpp"

namespace dream_cli {

template <dream::KernelBackend B>
int train_with(dream::Context<B>& context, const Preparation& p, const TrainingRun& training) {
  const auto data = dream::prepare_data_releasing_features<float>(context, p.host, p.data, p.options);
  return train_on(context, data, p.options, training);
}

template <dream::KernelBackend B>
dream::Evaluation evaluate_with(dream::Context<B>& context, const EvaluationRun& e) {
  const auto users = dream::upload<float>(context, e.run.users.view());
  const auto items = dream::upload<float>(context, e.run.items.view());
  const auto masked = dream::upload(context, e.masked);
  return dream::evaluate<float>(context, e.host, users.view(), items.view(), e.train.view(), masked.view(),
                                e.held_out.view(), e.options);
}

template <dream::KernelBackend B>
void recommend_with(dream::Context<B>& context, const RecommendationRun& r) {
  const auto users = dream::upload<float>(context, r.user_vectors);
  const auto items = dream::upload<float>(context, r.item_vectors);
  const auto seen = dream::upload(context, r.seen);
  dream::write_recommendations<float>(context, r.out, users.view(), items.view(), seen.view(), r.users, r.k, r.user_ids,
                                      r.item_ids, r.rules);
}

template <dream::KernelBackend B>
std::vector<dream::Scored<double>> similar_with(dream::Context<B>& context, const SimilarityRun& s) {
  const auto vectors = dream::upload<float>(context, s.vectors);
  return dream::similar_items<float>(context, vectors.view(), s.row, s.k);
}

/// The commands on contexts of a kind, which are made of the number of the host's threads.
template <class MakesContext>
const KernelCommands* commands_on() {
  static constexpr KernelCommands commands{[](int threads, const Preparation& p, const TrainingRun& training) {
                                             MakesContext context(threads);
                                             return train_with(context, p, training);
                                           },
                                           [](int threads, const EvaluationRun& e) {
                                             MakesContext context(threads);
                                             return evaluate_with(context, e);
                                           },
                                           [](int threads, const RecommendationRun& r) {
                                             MakesContext context(threads);
                                             recommend_with(context, r);
                                           },
                                           [](int threads, const SimilarityRun& s) {
                                             MakesContext context(threads);
                                             return similar_with(context, s);
                                           }};
  return &commands;
}

}  // namespace dream_cli
