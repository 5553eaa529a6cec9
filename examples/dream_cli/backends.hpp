// What the program does on backends other than the host: emulated.cpp, and cuda.cu where it is built with nvcc,
// without_cuda.cpp elsewhere. Everything is handed over in host memory and copied there.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <dream/eval/ranking.hpp>
#include <dream/models/model_data.hpp>
#include <dream/serve/similar.hpp>

#include "stored_run.hpp"

namespace dream_cli {

struct TrainingRun;
using HostCsr = dream::Csr<float, dream::Cpu>;

/// `asked`, or, for "auto", the backend that can be used, with a note on stderr; a GPU that cannot be used is an error
/// that says why.
std::string usable_backend(const std::string& asked);
/// Why no GPU can be used, in a sentence; empty where one can.
std::string why_no_gpu();

/// What a model is to be trained on. The raw features of `data` are freed as they are taken over.
struct Preparation {
  dream::Context<dream::Cpu>& host;
  dream::Dataset& data;
  const dream::ModelDataOptions& options;
};

/// A ranking of all items for the users of `held_out`.
struct EvaluationRun {
  dream::Context<dream::Cpu>& host;
  const StoredRun& run;
  const HostCsr &train, &masked, &held_out;
  const dream::EvaluationOptions& options;
};

/// Recommendations for some users, into a file.
struct RecommendationRun {
  const StoredRun& run;
  const HostCsr& seen;
  std::span<const dream::index_t> users;
  dream::index_t k;
  const dream::Dataset& data;
  const std::string& out;
};

/// The items nearest to an item.
struct SimilarityRun {
  const StoredRun& run;
  dream::index_t item;
  dream::index_t k;
};

int train_on_cuda(const Preparation&, const TrainingRun&);
int train_on_emulated(const Preparation&, const TrainingRun&);
dream::Evaluation evaluate_on_cuda(const EvaluationRun&);
dream::Evaluation evaluate_on_emulated(int threads, const EvaluationRun&);
void recommend_on_cuda(const RecommendationRun&);
void recommend_on_emulated(int threads, const RecommendationRun&);
std::vector<dream::Scored<double>> similar_on_cuda(const SimilarityRun&);
std::vector<dream::Scored<double>> similar_on_emulated(int threads, const SimilarityRun&);

}  // namespace dream_cli
