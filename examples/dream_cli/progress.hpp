// What a person sees while training runs: one redrawn line on a terminal, a plain line an epoch otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace dream_cli {

/// Shows training on stderr. Call step() after every step and epoch_done() after every epoch.
class Progress {
 public:
  /// `epochs` and `interactions` (of one epoch) bound the bar; `first_epoch` is where a resumed run starts.
  Progress(int first_epoch, int epochs, std::int64_t interactions);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `seen` interactions of this epoch are done; `loss` is the mean over them.
  void step(int epoch, std::int64_t seen, double loss);
  /// The epoch is over; `note` follows the loss ("recall@20 0.0912 (best)").
  void epoch_done(int epoch, double loss, double seconds, const std::string& note);
  /// A line of its own, above the bar.
  void say(const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;
  void clear();

  bool terminal_;
  bool drawn_ = false;
  int first_epoch_;
  int epochs_;
  std::int64_t interactions_;
  std::string note_;
  Clock::time_point start_;
  Clock::time_point last_drawn_;
};

/// "1h02m", "3m05s", "12s".
std::string duration_text(double seconds);
/// "1.24M", "310k", "85".
std::string count_text(double count);

}  // namespace dream_cli
