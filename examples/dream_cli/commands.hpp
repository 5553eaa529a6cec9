// The commands of the program, each with what its command line says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dream_cli {

inline constexpr const char* program_version = "0.1.0";

/// The exit codes of the program.
enum Exit : int { success = 0, failure = 1, usage = 2, interrupted = 130 };

struct TrainArguments {
  std::string data;
  std::string out;
  std::optional<std::string> model;
  std::optional<std::string> bma;
  std::optional<std::string> backend;
  std::optional<std::int64_t> epochs;
  std::optional<std::int64_t> seed;
  int threads = 0;
  bool resume = false;
  std::string from;  ///< checkpoint to start from; empty: anew
  std::string config;
  std::vector<std::string> assignments;  ///< of --set
};

struct TuneArguments {
  std::string data;
  std::string out;
  std::optional<std::string> model;
  std::optional<std::string> bma;
  std::optional<std::string> backend;
  std::optional<std::int64_t> random;  ///< how many combinations, drawn at random; all otherwise
  std::int64_t draw_seed = 1;
  int threads = 0;
  std::string config;
  std::vector<std::string> assignments;  ///< of --set
};

struct StudyArguments {
  std::string data;
  std::string out;
  std::int64_t seeds = 3;
  std::vector<std::string> models;  ///< none: all
  std::vector<std::string> groups;  ///< none: all
  std::string grids;                ///< JSON file; empty: the study's own
  std::optional<std::string> backend;
  int threads = 0;
  std::string config;
  std::vector<std::string> assignments;  ///< of --set
};

struct EvaluateArguments {
  std::string data;
  std::string checkpoint;
  std::string split = "test";
  std::string backend = "cpu";
  std::string by_user;  ///< file to write every user's metrics to; empty: none
  bool json = false;
  int threads = 0;
};

struct RecommendArguments {
  std::string data;
  std::string checkpoint;
  std::int64_t k = 20;
  std::string out;
  std::string users;                      ///< file of user ids; empty: all users
  std::string histories;                  ///< file of `user item`; empty: the users of the data
  std::string items;                      ///< file of the item ids that may be recommended; empty: all
  std::string without;                    ///< file of item ids that may not
  bool strict = false;                    ///< an id of these files that the data do not have is an error
  std::string unknown_users = "popular";  ///< what users without a training interaction get: popular items, or skip
  std::string exclude =
      "known";  ///< what a user has is not recommended: of train, of train and valid (known), all, none
  std::string backend = "cpu";
  int threads = 0;
};

struct SimilarArguments {
  std::string data;
  std::string checkpoint;
  std::string item;  ///< one of item, user and all is given
  std::string user;
  std::string all;  ///< items or users
  std::string out;  ///< of all
  std::int64_t k = 10;
  std::string backend = "cpu";
  int threads = 0;
};

struct ExportArguments {
  std::string checkpoint;
  std::string out;
};

struct VerifyArguments {
  std::vector<std::string> paths;
};

struct InspectArguments {
  std::string data;
  std::vector<std::string> assignments;
};

struct SynthArguments {
  std::string out;
  std::int64_t users = 2000;
  std::int64_t items = 1000;
  std::int64_t interactions = 0;        ///< 0: 20 a user
  std::vector<std::string> modalities;  ///< NAME=COLUMNS; none: the library's choice
  double cold_fraction = 0.05;
  double missing_fraction = 0.05;
  double noise = 0.5;
  int groups = 20;
  std::int64_t seed = 999;
  bool replace = false;
};

struct CompareArguments {
  std::string data;
  std::vector<std::string> runs;
};

struct DiagnoseArguments {
  std::string data;
  std::string checkpoint;
  bool json = false;
  int threads = 0;
};

struct ReportArguments {
  std::string study;
};

int train(const TrainArguments&);
int tune(const TuneArguments&);
int study(const StudyArguments&);
int diagnose(const DiagnoseArguments&);
int evaluate(const EvaluateArguments&);
int recommend(const RecommendArguments&);
int similar(const SimilarArguments&);
int export_vectors(const ExportArguments&);
int verify(const VerifyArguments&);
int inspect(const InspectArguments&);
int synth(const SynthArguments&);
int compare(const CompareArguments&);
int report(const ReportArguments&);

}  // namespace dream_cli
