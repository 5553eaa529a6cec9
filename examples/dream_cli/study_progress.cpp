#include "study_progress.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>

#include "progress.hpp"
#include "trials.hpp"

namespace dream_cli {

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
    if (e.run.folder == folder)
      std::fprintf(stderr, "study: run %td of %zu: %s%s\n", number, entries_.size(), e.run.what.c_str(),
                   left().c_str());
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

/// The mean time of runs of the same kind, else of the same model, else the mean over the models.
std::optional<double> StudyProgress::expected(const StudyRun& run) const {
  const auto mean = [&](const std::function<bool(const StudyRun&)>& like) -> std::optional<double> {
    double sum = 0;
    int count = 0;
    for (const Entry& e : entries_) {
      if (!e.over || !like(e.run)) continue;
      sum += e.seconds;
      ++count;
    }
    return count > 0 ? std::optional(sum / count) : std::nullopt;
  };
  if (const auto same = mean([&](const StudyRun& other) { return other.kind == run.kind; })) return same;
  if (const auto same = mean([&](const StudyRun& other) { return other.model == run.model; })) return same;
  std::map<std::string, double> models;
  for (const Entry& e : entries_)
    if (const auto of_model = mean([&](const StudyRun& other) { return other.model == e.run.model; }))
      models[e.run.model] = *of_model;
  double sum = 0;
  for (const auto& [model, seconds] : models) sum += seconds;
  return models.empty() ? std::nullopt : std::optional(sum / static_cast<double>(models.size()));
}

std::string StudyProgress::left() const {
  double seconds = 0;
  for (const Entry& e : entries_) {
    if (e.over) continue;
    const auto all = expected(e.run);
    if (!all) return "";
    seconds += std::max(0.0, *all - e.seconds);
  }
  return "; about " + duration_text(seconds) + " left";
}

}  // namespace dream_cli
