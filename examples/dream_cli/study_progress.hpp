// What a study is doing, what is left and for how long.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace dream_cli {

/// A training run of a study.
struct StudyRun {
  std::string folder;
  std::string what;   ///< "mgcn, seed 1000"
  std::string kind;   ///< runs of one kind take about as long: those of a part, or of a model's search
  std::string model;  ///< and next to them those of a model
};

class StudyProgress {
 public:
  /// All that the command trains; what is over already, and how long it took, is found in the folders.
  explicit StudyProgress(std::vector<StudyRun> runs);

  /// Says on stderr which run begins.
  void begin(const std::string& folder);
  void end(const std::string& folder);

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    StudyRun run;
    bool over;
    double seconds;  ///< that it took, as far as it is
  };

  std::string left() const;

  std::vector<Entry> entries_;
  Clock::time_point started_;
};

}  // namespace dream_cli
