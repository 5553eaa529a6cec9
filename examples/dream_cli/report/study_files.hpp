// The folder of a study, as `dream study` writes it, in memory.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace dream_cli::study_report {

/// The version of the folder that this program reads.
inline constexpr std::int64_t study_version = 1;

/// Values of metrics by name ("recall@20"). One that is not a number in its file is not in here.
using Metrics = std::map<std::string, double>;

/// Cosines of the two domains' rows of the same entities.
struct Cosines {
  double mean = 0;
  std::vector<double> histogram;  ///< counts in bins of equal width over -1 .. 1
};

/// What a run wrote about its model beside an evaluation.
struct Diagnosis {
  std::map<std::string, double> forgetting;  ///< by modality
  std::map<std::string, double> shares;      ///< of the modalities in the items' modal representation
  std::optional<Cosines> users, items;
  std::optional<double> alignment, user_uniformity, item_uniformity;
};

/// A line of metrics.jsonl.
struct EpochLine {
  int epoch = 0;
  double seconds = 0;  ///< of training, without evaluation
  Metrics valid;       ///< empty where the epoch was not evaluated
  std::optional<Diagnosis> diagnosis;
};

/// A training run of a part, by seed.
struct StudyRun {
  std::int64_t seed = 0;
  bool begun = false;
  bool finished = false;  ///< best_epoch and the metrics are there only then
  std::string failure;    ///< why training ended without a result; empty where it did not
  int best_epoch = 0;
  Metrics valid, test, warm, cold;
  Metrics lists;  ///< what the test lists are beside their hits ("coverage@20"); empty where they were not ranked yet
  std::vector<EpochLine> lines;
};

/// A training run of a part's grid; without `valid` where it is not over, or failed.
struct Trial {
  std::string name, failure;
  nlohmann::ordered_json settings;
  int best_epoch = 0;
  std::optional<Metrics> valid;
};

/// What is trained with every seed of the study.
struct Part {
  std::string id, group, label, model;
  nlohmann::ordered_json settings, grid;
  std::optional<nlohmann::ordered_json> chosen;  ///< none until the search is over
  std::vector<StudyRun> runs;                    ///< one a seed of the study
  std::vector<Trial> trials;                     ///< those that began

  /// Trials of the whole grid; 0 where nothing is searched.
  std::size_t grid_size() const;
};

struct ModalityCounts {
  std::string name;
  std::int64_t columns = 0, items = 0;
};

struct DataCounts {
  std::string name, fingerprint;
  std::int64_t users = 0, items = 0, train = 0, valid = 0, test = 0, cold_items = 0;
  std::vector<ModalityCounts> modalities;
};

/// Difference of two parts' means over users, with its 95 % interval and the p of a randomisation test.
struct Significance {
  std::string part, against, metric;
  std::vector<std::int64_t> seeds;  ///< that were averaged; empty where an earlier program did not write them
  double difference = 0, low = 0, high = 0, p = 1;
  std::int64_t users = 0;
};

/// A setting that all parts share, unless they set it themselves; values are objects by model where models differ.
struct SharedSetting {
  std::string key;
  nlohmann::ordered_json value, by_default;
  bool differs = false;  ///< from the default
};

/// Two parts that could be compared and are not, or not as they are now.
struct UntestedPair {
  const Part* part;
  const Part* against;
  std::string why;  ///< empty where there is nothing to say
};

/// A file that does not hold what it should, and is taken as missing.
struct Damage {
  std::string part, label;  ///< whose it is; empty for a file of all parts
  std::string what;         ///< "runs", "curve", "lists", "search" or "comparison"
  std::string text;         ///< the file, the place in it, what is wrong and what to do
};

struct Study {
  std::string folder;
  DataCounts data;
  std::string split, metric;
  std::string program, backend;  ///< empty where an earlier program did not write them
  std::string options;           ///< of the command that trains all of it
  bool mask_valid_in_test = false;
  std::vector<std::int64_t> top_k, seeds;
  nlohmann::ordered_json settings;    ///< those that were given
  std::vector<SharedSetting> shared;  ///< all of them; empty where an earlier program did not write them
  std::vector<Part> parts;
  std::vector<Significance> significance;
  std::vector<Damage> damages;

  /// The part of this id; nullptr where the study has none.
  const Part* find(const std::string& id) const;
  std::vector<const Part*> group(const std::string& name) const;
  /// `part` minus `against` on the metric of that name, whichever way round it was stored; none where it was not
  /// tested with the seeds that are over in both.
  std::optional<Significance> difference(const std::string& part, const std::string& against,
                                         const std::string& name) const;
  /// Parts that have runs over to compare (models, ablations and embeddings with DREAM, alignment with the model
  /// without) and no such test on the study's metric.
  std::vector<UntestedPair> untested() const;
  /// The command that trains what is missing.
  std::string command() const;

 private:
  const Significance* stored_test(const std::string& part, const std::string& against, const std::string& name) const;
};

/// Reads a study with all its runs and trials. A folder that is no study, a study of another version and a study.json
/// that does not hold what it should are dream::errors that name the file and say what to do. Any other file that does
/// not is taken as missing and noted in `damages`; a run whose metrics.jsonl is damaged keeps its result and the lines
/// that can be read.
Study read_study(const std::string& folder);

/// Says on stderr which files of a study are damaged; whether there are any.
bool say_damages(const std::string& folder);

}  // namespace dream_cli::study_report
