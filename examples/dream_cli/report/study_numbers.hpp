// What a report says of a study's runs: means over seeds, curves over epochs, numbers as text.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "study_files.hpp"

namespace dream_cli::study_report {

/// Mean of some runs' values, and their sample deviation (n - 1) where there are two or more.
struct Spread {
  double mean = 0;
  std::optional<double> deviation;
  int runs = 0;
};

/// None where there are no values.
std::optional<Spread> spread(const std::vector<double>& values);

/// A number of a run, where it has it.
using OfRun = std::function<std::optional<double>(const StudyRun&)>;
/// Over the part's runs that have it.
std::optional<Spread> spread(const Part& part, const OfRun& of);
/// Over those with these seeds.
std::optional<Spread> spread(const Part& part, const std::vector<std::int64_t>& seeds, const OfRun& of);

/// The value of a metric, where it is there.
std::optional<double> value(const Metrics& metrics, const std::string& name);
/// Test metric of the runs that are over; of those with the seeds alone where they are given.
std::optional<Spread> test_spread(const Part& part, const std::string& metric);
std::optional<Spread> test_spread(const Part& part, const std::string& metric, const std::vector<std::int64_t>& seeds);
int finished_runs(const Part& part);

/// The seeds that are over in every one of the parts of which a run is over.
std::vector<std::int64_t> shared_seeds(const std::vector<const Part*>& parts);
/// The mean test metric of one part minus that of another, over the seeds that are over in both.
std::optional<double> mean_difference(const Part& part, const Part& against, const std::string& metric);

/// Seconds of training an epoch took: the median over the run's epochs.
std::optional<double> seconds_per_epoch(const StudyRun& run);

/// What a run found of its model at its best epoch; at the last evaluated one while it is not over. Runs that are not
/// over count only where `unfinished` says so.
const EpochLine* diagnosed_line(const StudyRun& run, bool unfinished);
/// The lines of diagnosed_line() of a part's runs; of runs that are not over only where no run is.
std::vector<const EpochLine*> diagnosed_lines(const Part& part);
/// Over diagnosed_lines().
std::optional<Spread> diagnosed(const Part& part, const std::function<std::optional<double>(const Diagnosis&)>& of);

struct Point {
  double x = 0, y = 0;
};

/// A quantity by epoch: of each run that began, and the mean of those that are over (of all where none is), as far as
/// each of them has it.
struct Curve {
  std::vector<Point> mean;
  std::size_t averaged = 0;  ///< runs that the mean is of
  std::vector<std::vector<Point>> runs;
};
Curve valid_curve(const Part& part, const std::string& metric);
Curve forgetting_curve(const Part& part, const std::string& modality);
/// Modalities of which a run wrote down the forgetting, or the share, sorted.
std::vector<std::string> modalities_of(const Study& study, std::map<std::string, double> Diagnosis::*kind);

/// recall@k and ndcg@k for each k of the study.
std::vector<std::string> shown_metrics(const Study& study);
/// The metric of the study, and Recall and NDCG at its K: what differences are tested on.
std::vector<std::string> tested_metrics(const Study& study);
/// "recall@20" as people write it: Recall@20.
std::string metric_title(const std::string& metric);

/// "0.1129": for people, with a true minus sign.
std::string fixed(double value, int decimals = 4);
/// With a plus sign too.
std::string signed_fixed(double value, int decimals = 4);
/// Eight significant digits, for tables that programs read.
std::string digits(double value);
/// 12345 as "12,345".
std::string grouped(std::int64_t value);
std::string p_text(double p);
/// A setting's value: texts without quotes, an object by model as "mf 0.01, mgcn 0.1", the rest as JSON.
std::string setting_text(const nlohmann::ordered_json& value);
/// "a = 1, b = x"; empty for none.
std::string settings_text(const nlohmann::ordered_json& settings);
/// "0.1129 ± 0.0014".
std::string spread_text(const Spread& spread, int decimals = 4);

}  // namespace dream_cli::study_report
