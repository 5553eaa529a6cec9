#include "study_progress.hpp"

#include <algorithm>
#include <map>

#include "messages.hpp"
#include "progress.hpp"
#include "trials.hpp"

namespace dream_cli {

namespace {

struct MeanTime {
  double sum = 0;
  int count = 0;

  void add(double seconds) {
    sum += seconds;
    ++count;
  }
  double mean() const { return sum / count; }
};

}  // namespace

StudyProgress::StudyProgress(std::vector<StudyRun> runs) {
  for (StudyRun& run : runs) {
    const bool over = is_over(run.folder);
    const double seconds = trained_seconds(run.folder);
    entries_.push_back({std::move(run), over, seconds});
  }
}

void StudyProgress::begin(const std::string& folder) {
  const auto is_over = [](const Entry& e) { return e.over; };
  const auto number = std::count_if(entries_.begin(), entries_.end(), is_over) + 1;
  for (const Entry& e : entries_)
    if (e.run.folder == folder) print_message("study: run ", number, " of ", entries_.size(), ": ", e.run.what, left());
  started_ = Clock::now();
}

void StudyProgress::end(const std::string& folder) {
  const double wall = std::chrono::duration<double>(Clock::now() - started_).count();
  for (Entry& e : entries_) {
    if (e.run.folder != folder) continue;
    e.over = true;
    e.seconds = std::max(wall, trained_seconds(folder));
  }
}

/// By the mean time of runs of the same kind, else of the same model, else by the mean over the models.
std::string StudyProgress::left() const {
  std::map<std::string, MeanTime> kinds, models;
  for (const Entry& e : entries_) {
    if (!e.over) continue;
    kinds[e.run.kind].add(e.seconds);
    models[e.run.model].add(e.seconds);
  }
  if (models.empty()) return "";
  MeanTime others;
  for (const auto& [model, time] : models) others.add(time.mean());
  double seconds = 0;
  for (const Entry& e : entries_) {
    if (e.over) continue;
    const auto kind = kinds.find(e.run.kind), model = models.find(e.run.model);
    const MeanTime& like = kind != kinds.end() ? kind->second : model != models.end() ? model->second : others;
    seconds += std::max(0.0, like.mean() - e.seconds);
  }
  return "; about " + duration_text(seconds) + " left";
}

}  // namespace dream_cli
