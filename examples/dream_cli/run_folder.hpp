// The folder that a training run writes.
#pragma once

#include <chrono>
#include <cstdio>
#include <dream/data/dataset.hpp>
#include <dream/serve/export.hpp>
#include <dream/train/checkpoint.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "activity.hpp"

namespace dream_cli {

/// The lines of a metrics.jsonl.
struct MetricsFile {
  std::vector<std::pair<int, std::string>> lines;  ///< epoch and text of those that are whole, in order
  std::string fault;                               ///< the first line that is damaged or out of order; empty: none

  /// The epochs of 1 .. epochs without a line, as "2, 4 to 6".
  std::string missing(int epochs) const;
};

/// A file that is missing has no lines.
MetricsFile read_metrics(const std::string& path);

/// Every file but metrics.jsonl appears whole or not at all; result.json is written last.
class RunFolder {
 public:
  explicit RunFolder(std::string path) : path_(std::move(path)) {}
  RunFolder(const RunFolder&) = delete;
  ~RunFolder();

  const std::string& path() const { return path_; }
  std::string checkpoint() const { return path_ + "/checkpoint.safetensors"; }
  std::string best() const { return path_ + "/best.safetensors"; }
  bool has_checkpoint() const;

  /// Makes the folder; what cannot be written to is an error.
  void make();
  /// Writes config.json, takes back an earlier result, and opens metrics.jsonl behind the first `epochs` epochs; lines
  /// of them that it lacks are told in a note.
  void begin(const nlohmann::ordered_json& config, int epochs);
  void add_epoch(const nlohmann::ordered_json& line);

  /// Saves both checkpoints: best.safetensors first, so that it never belongs to an earlier epoch than the other says.
  template <class Model>
  void save(dream::Trainer<Model>& trainer, const dream::CheckpointOrigin& origin, const dream::Dataset& data) {
    const char* const before = doing("saving a checkpoint");
    const auto start = std::chrono::steady_clock::now();
    const dream::FitState& state = trainer.state();
    if (state.best_epoch > 0 && state.best_epoch != saved_best_) {
      dream::save_vectors(best(), origin, state.best_epoch, trainer.best_users().view(), trainer.best_items().view(),
                          data.users, data.items);
      saved_best_ = state.best_epoch;
    }
    dream::save_checkpoint(checkpoint(), trainer, origin, data.users, data.items);
    saved_at_ = std::chrono::steady_clock::now();
    save_took_ = saved_at_ - start;
    doing(before);
  }

  /// Saves if that takes little time beside what training took since the last time; says whether it did.
  template <class Model>
  bool save_when_due(dream::Trainer<Model>& trainer, const dream::CheckpointOrigin& origin,
                     const dream::Dataset& data) {
    if (std::chrono::steady_clock::now() - saved_at_ < 30 * save_took_) return false;
    save(trainer, origin, data);
    return true;
  }

  /// Writes best.safetensors, embeddings and result.json of a run that is over.
  void finish(const nlohmann::ordered_json& result, const dream::CheckpointOrigin& origin, int best_epoch,
              dream::MatrixView<const float> users, dream::MatrixView<const float> items, const dream::Dataset& data);

 private:
  std::string path_;
  std::FILE* metrics_ = nullptr;
  int saved_best_ = -1;
  std::chrono::steady_clock::time_point saved_at_;
  std::chrono::steady_clock::duration save_took_{0};
};

}  // namespace dream_cli
