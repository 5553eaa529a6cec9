// What the program does on backends other than the host: emulated.cpp, and cuda.cu where it is built with nvcc,
// without_cuda.cpp elsewhere. Everything is handed over in host memory and copied there.
#pragma once

#include <span>
#include <string>

#include <dream/eval/ranking.hpp>
#include <dream/models/model_data.hpp>

#include "stored_run.hpp"

namespace dream_cli {

struct TrainingRun;
using HostCsr = dream::Csr<float, dream::Cpu>;

/// `asked`, or, for "auto", the backend that can be used, with a note on stderr; a GPU that cannot be used is an error
/// that says why.
std::string usable_backend(const std::string& asked);
/// Why no GPU can be used, in a sentence; empty where one can.
std::string why_no_gpu();

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

int train_on_cuda(const dream::ModelData<float, dream::Cpu>& data, const dream::ModelDataOptions& prepared,
                  const TrainingRun& training);
int train_on_emulated(int threads, const dream::ModelData<float, dream::Cpu>& data,
                      const dream::ModelDataOptions& prepared, const TrainingRun& training);
dream::Evaluation evaluate_on_cuda(const EvaluationRun&);
dream::Evaluation evaluate_on_emulated(int threads, const EvaluationRun&);
void recommend_on_cuda(const RecommendationRun&);
void recommend_on_emulated(int threads, const RecommendationRun&);

}  // namespace dream_cli
