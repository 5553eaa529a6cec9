#include "study_numbers.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>

namespace dream_cli::study_report {

namespace {

Curve curve(const Part& part, const std::function<std::optional<double>(const EpochLine&)>& of) {
  Curve found;
  std::map<int, std::vector<double>> by_epoch;
  const bool all = finished_runs(part) == 0;
  for (const StudyRun& run : part.runs) {
    std::vector<Point> points;
    for (const EpochLine& line : run.lines) {
      const auto y = of(line);
      if (!y) continue;
      points.push_back({static_cast<double>(line.epoch), *y});
      if (run.finished || all) by_epoch[line.epoch].push_back(*y);
    }
    if (points.empty()) continue;
    if (run.finished || all) ++found.averaged;
    found.runs.push_back(std::move(points));
  }
  for (const auto& [epoch, values] : by_epoch)
    if (values.size() == found.averaged) found.mean.push_back({static_cast<double>(epoch), spread(values)->mean});
  return found;
}

}  // namespace

std::optional<Spread> spread(const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  Spread found;
  found.runs = static_cast<int>(values.size());
  for (const double v : values) found.mean += v / found.runs;
  if (found.runs < 2) return found;
  double squares = 0;
  for (const double v : values) squares += (v - found.mean) * (v - found.mean);
  found.deviation = std::sqrt(squares / (found.runs - 1));
  return found;
}

std::optional<Spread> spread(const Part& part, const OfRun& of) {
  std::vector<double> values;
  for (const StudyRun& run : part.runs)
    if (const auto found = of(run)) values.push_back(*found);
  return spread(values);
}

std::optional<double> value(const Metrics& metrics, const std::string& name) {
  const auto found = metrics.find(name);
  return found == metrics.end() ? std::nullopt : std::optional(found->second);
}

std::optional<Spread> test_spread(const Part& part, const std::string& metric) {
  return spread(part, [&](const StudyRun& run) { return value(run.test, metric); });
}

std::optional<Spread> spread(const Part& part, const std::vector<std::int64_t>& seeds, const OfRun& of) {
  return spread(part, [&](const StudyRun& run) {
    return std::find(seeds.begin(), seeds.end(), run.seed) != seeds.end() ? of(run) : std::nullopt;
  });
}

std::optional<Spread> test_spread(const Part& part, const std::string& metric, const std::vector<std::int64_t>& seeds) {
  return spread(part, seeds, [&](const StudyRun& run) { return value(run.test, metric); });
}

std::vector<std::int64_t> shared_seeds(const std::vector<const Part*>& parts) {
  std::optional<std::vector<std::int64_t>> shared;
  for (const Part* part : parts) {
    std::vector<std::int64_t> seeds;
    for (const StudyRun& run : part->runs)
      if (run.finished && (!shared || std::find(shared->begin(), shared->end(), run.seed) != shared->end()))
        seeds.push_back(run.seed);
    if (finished_runs(*part) > 0) shared = std::move(seeds);
  }
  return shared.value_or(std::vector<std::int64_t>{});
}

std::optional<double> mean_difference(const Part& part, const Part& against, const std::string& metric) {
  if (finished_runs(part) == 0 || finished_runs(against) == 0) return std::nullopt;
  const auto seeds = shared_seeds({&part, &against});
  const auto a = test_spread(part, metric, seeds), b = test_spread(against, metric, seeds);
  return a && b ? std::optional(a->mean - b->mean) : std::nullopt;
}

int finished_runs(const Part& part) {
  return static_cast<int>(
      std::count_if(part.runs.begin(), part.runs.end(), [](const StudyRun& run) { return run.finished; }));
}

std::optional<double> seconds_per_epoch(const StudyRun& run) {
  if (run.lines.empty()) return std::nullopt;
  std::vector<double> seconds;
  for (const EpochLine& line : run.lines) seconds.push_back(line.seconds);
  std::sort(seconds.begin(), seconds.end());
  const std::size_t n = seconds.size();
  return (seconds[(n - 1) / 2] + seconds[n / 2]) / 2;
}

const EpochLine* diagnosed_line(const StudyRun& run, bool unfinished) {
  if (!run.finished && !unfinished) return nullptr;
  const EpochLine* last = nullptr;
  for (const EpochLine& line : run.lines) {
    if (!line.diagnosis) continue;
    last = &line;
    if (run.finished && line.epoch == run.best_epoch) return last;
  }
  return last;
}

std::vector<const EpochLine*> diagnosed_lines(const Part& part) {
  std::vector<const EpochLine*> lines;
  for (const StudyRun& run : part.runs)
    if (const EpochLine* line = diagnosed_line(run, finished_runs(part) == 0)) lines.push_back(line);
  return lines;
}

std::optional<Spread> diagnosed(const Part& part, const std::function<std::optional<double>(const Diagnosis&)>& of) {
  std::vector<double> values;
  for (const EpochLine* line : diagnosed_lines(part))
    if (const auto found = of(*line->diagnosis)) values.push_back(*found);
  return spread(values);
}

Curve valid_curve(const Part& part, const std::string& metric) {
  return curve(part, [&](const EpochLine& line) { return value(line.valid, metric); });
}

Curve forgetting_curve(const Part& part, const std::string& modality) {
  return curve(part, [&](const EpochLine& line) {
    return line.diagnosis ? value(line.diagnosis->forgetting, modality) : std::nullopt;
  });
}

std::vector<std::string> modalities_of(const Study& study, std::map<std::string, double> Diagnosis::*kind) {
  std::set<std::string> names;
  for (const Part& part : study.parts)
    for (const StudyRun& run : part.runs)
      for (const EpochLine& line : run.lines)
        if (line.diagnosis)
          for (const auto& [name, number] : (*line.diagnosis).*kind) names.insert(name);
  return {names.begin(), names.end()};
}

std::vector<std::string> shown_metrics(const Study& study) {
  std::vector<std::string> names;
  for (const char* kind : {"recall@", "ndcg@"})
    for (const std::int64_t k : study.top_k) names.push_back(kind + std::to_string(k));
  if (std::find(names.begin(), names.end(), study.metric) == names.end()) names.push_back(study.metric);
  return names;
}

std::vector<std::string> tested_metrics(const Study& study) {
  std::vector<std::string> names{study.metric};
  const std::size_t at = study.metric.find('@');
  if (at == std::string::npos) return names;
  for (const char* kind : {"recall", "ndcg"}) {
    const std::string name = kind + study.metric.substr(at);
    if (name != study.metric) names.push_back(name);
  }
  return names;
}

std::string metric_title(const std::string& metric) {
  const std::size_t at = metric.find('@');
  std::string name = metric.substr(0, at);
  const auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; };
  if (name == "ndcg" || name == "map" || name == "mrr") {
    std::transform(name.begin(), name.end(), name.begin(), upper);
  } else if (!name.empty()) {
    name[0] = upper(name[0]);
  }
  return at == std::string::npos ? name : name + metric.substr(at);
}

std::string fixed(double value, int decimals) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, std::abs(value) < 1e12 ? "%.*f" : "%.*g", decimals, std::abs(value));
  const std::string text = buffer;
  const bool zero = text.find_first_of("123456789") == std::string::npos;
  return value < 0 && !zero ? "\u2212" + text : text;
}

std::string signed_fixed(double value, int decimals) {
  const std::string text = fixed(value, decimals);
  return value > 0 && text.find_first_of("123456789") != std::string::npos ? "+" + text : text;
}

std::string digits(double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.8g", value);
  return buffer;
}

std::string grouped(std::int64_t value) {
  std::string text = std::to_string(value);
  const std::ptrdiff_t first = text[0] == '-' ? 1 : 0;
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > first; at -= 3)
    text.insert(static_cast<std::size_t>(at), ",");
  return text;
}

std::string p_text(double p) { return p < 0.0001 ? "< 0.0001" : fixed(p); }

std::string setting_text(const nlohmann::ordered_json& value) {
  if (value.is_object()) {
    std::string text;
    for (const auto& [model, own] : value.items()) text += (text.empty() ? "" : ", ") + model + " " + setting_text(own);
    return text;
  }
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string settings_text(const nlohmann::ordered_json& settings) {
  std::string text;
  for (const auto& [key, value] : settings.items())
    text += (text.empty() ? "" : ", ") + key + " = " + setting_text(value);
  return text;
}

std::string spread_text(const Spread& spread, int decimals) {
  const std::string mean = fixed(spread.mean, decimals);
  return spread.deviation ? mean + " \u00b1 " + fixed(*spread.deviation, decimals) : mean;
}

}  // namespace dream_cli::study_report
