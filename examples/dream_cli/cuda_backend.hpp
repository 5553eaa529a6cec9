// The GPU's part of the program: train_cuda.cu where it is built with nvcc, without_cuda.cpp elsewhere.
#pragma once

#include <string>

#include "training_run.hpp"

namespace dream_cli {

/// Why no GPU can be used, in a sentence; empty where one can.
std::string why_no_gpu();

/// Trains on the current GPU; `data` is copied there.
int train_on_cuda(const dream::ModelData<float, dream::Cpu>& data, const dream::ModelDataOptions& prepared,
                  const TrainingRun& training);

}  // namespace dream_cli
