// What the program does on backends other than the host.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <dream/eval/ranking.hpp>
#include <dream/models/model_data.hpp>
#include <dream/serve/recommend.hpp>
#include <dream/serve/similar.hpp>

#include "kernel_backends.hpp"
#include "stored_run.hpp"

namespace dream_cli {

struct TrainingRun;
using HostCsr = dream::Csr<float, dream::Cpu>;

/// `asked`, or, for "auto", the backend that can be used, with a note on stderr; a GPU that cannot be used is an error
/// that says why.
std::string usable_backend(const std::string& asked);

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

/// Recommendations for some users (rows of `user_vectors` and of `seen`), into a file.
struct RecommendationRun {
  dream::MatrixView<const float> user_vectors, item_vectors;
  const HostCsr& seen;
  std::span<const dream::index_t> users;
  dream::index_t k;
  const dream::IdMap &user_ids, &item_ids;
  const std::string& out;
  dream::ServingRules<float> rules;
};

/// The rows nearest to one of them.
struct SimilarityRun {
  dream::MatrixView<const float> vectors;
  dream::index_t row;
  dream::index_t k;
};

/// The commands on a backend that runs kernels. Everything is handed over in host memory and copied there; `threads`
/// are those of the host, for emulated kernels.
struct KernelCommands {
  int (*train)(int threads, const Preparation&, const TrainingRun&);
  dream::Evaluation (*evaluate)(int threads, const EvaluationRun&);
  void (*recommend)(int threads, const RecommendationRun&);
  std::vector<dream::Scored<double>> (*similar)(int threads, const SimilarityRun&);
};

/// Those of a usable backend; null for the host.
const KernelCommands* kernel_commands(const std::string& backend);

/// Writes recommendations with the backend that is asked for.
void run_recommendation(dream::Context<dream::Cpu>& context, const std::string& backend, const RecommendationRun&);

}  // namespace dream_cli
