// What the serving commands take from a checkpoint: the vectors that rank, ids, and the settings they came from.
#pragma once

#include <dream/backend/matrix.hpp>
#include <dream/data/dataset.hpp>
#include <dream/eval/ranking.hpp>
#include <dream/train/checkpoint.hpp>
#include <string>

#include "settings.hpp"

namespace dream_cli {

/// A checkpoint's vectors with the settings of its run.
struct StoredRun : dream::StoredVectors {
  std::string path;
  Settings settings;
};

/// The settings that a checkpoint was trained with; a note where it has no checksums.
Settings settings_of(const std::string& path, const dream::CheckpointOrigin& origin);

/// Reads and checks a checkpoint file.
StoredRun read_stored_run(const std::string& path);

/// Reads the data with the checkpoint's settings; data that it was not trained on is an error.
dream::Dataset read_data_of(const StoredRun& run, const std::string& path);

/// The interactions of train and the splits after it up to `last`, as the mask of a ranking.
dream::Csr<float, dream::Cpu> seen_items(dream::Context<dream::Cpu>& context, const dream::Dataset& data,
                                         dream::Split last);

/// The items that the run's model can recommend, ascending (dream::placed_items).
std::vector<dream::index_t> placed_items_of(const StoredRun& run, const dream::Dataset& data);

/// What ranking a split with a run's vectors takes, as its settings have it.
struct StoredRanking {
  dream::Csr<float, dream::Cpu> train, masked, held_out;
  dream::EvaluationOptions options;

  dream::Evaluation evaluate(dream::Context<dream::Cpu>& context, const StoredRun& run) const {
    return dream::evaluate<float>(context, run.users.view(), run.items.view(), train.view(), masked.view(),
                                  held_out.view(), options);
  }
};
StoredRanking ranking_of(dream::Context<dream::Cpu>& context, const StoredRun& run, const dream::Dataset& data,
                         dream::Split split);

}  // namespace dream_cli
