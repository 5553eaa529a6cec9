#include "outputs.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <string_view>
#include <system_error>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/serve/export.hpp>

namespace dream_cli {

namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;

/// A file that only one kind of folder has.
struct Mark {
  std::string_view file;
  OutFolder kind;
};
constexpr std::array marks{Mark{"study.json"sv, OutFolder::study},           Mark{"plan.json"sv, OutFolder::study},
                           Mark{"tune.json"sv, OutFolder::search},           Mark{"best.safetensors"sv, OutFolder::run},
                           Mark{"checkpoint.safetensors"sv, OutFolder::run}, Mark{"metrics.jsonl"sv, OutFolder::run}};

/// What runs, searches and studies write.
constexpr std::string_view written[] = {"best.safetensors",  "checkpoint.safetensors",
                                        "config.json",       "export.json",
                                        "failed.json",       "item_embeddings.npy",
                                        "item_ids.tsv",      "lock",
                                        "metrics.jsonl",     "plan.json",
                                        "report.html",       "result.json",
                                        "significance.json", "study.json",
                                        "test_users.json",   "trial.json",
                                        "tune.json",         "user_embeddings.npy",
                                        "user_ids.tsv"};

std::string choose_another(const char* option) { return dream::concat("; choose another ", option); }

bool is_written(const fs::path& name) {
  return std::find(std::begin(written), std::end(written), name.string()) != std::end(written);
}

const char* name_of(OutFolder kind) {
  switch (kind) {
    case OutFolder::run:
      return "a training run";
    case OutFolder::search:
      return "a search of `dream tune`";
    case OutFolder::study:
      return "a study";
    case OutFolder::vectors:
      break;
  }
  return "exported embeddings";
}

/// Whether two names lead to one file or folder.
bool same(const fs::path& a, const fs::path& b) {
  std::error_code missing;
  return fs::equivalent(a, b, missing);
}

/// Whether a path is a folder or lies in it, at any depth.
bool within(const std::string& path, const fs::path& folder) {
  for (fs::path at = dream::absolute_path(path);; at = at.parent_path()) {
    if (same(at, folder)) return true;
    if (at == at.parent_path()) return false;
  }
}

/// The folder that is data as a whole; a plain file stands for itself.
fs::path data_folder(const std::string& data) {
  const fs::path path = dream::absolute_path(data);
  std::error_code missing;
  return path.extension() == ".inter" && fs::is_regular_file(path, missing) ? path.parent_path() : path;
}

/// `path` is to be written in `folder`.
void expect_outside_data(const std::string& path, const fs::path& folder, const std::string& data,
                         const std::string& elsewhere) {
  if (!data.empty()) {
    DREAM_EXPECT(!same(path, data), path, ": is what --data names", elsewhere);
    DREAM_EXPECT(!within(folder.string(), data_folder(data)), path, ": lies in the data folder ", data, elsewhere);
  }
  const std::string found = dream::interactions_in(folder.string());
  // A plain file may have any name, also that of a train part, which alone makes no folder of data.
  const std::string test = "test" + fs::path(found).extension().string();
  if (!found.empty() && (data.empty() || !same(folder / found, data) || dream::file_exists(folder / test)))
    dream::fail(path, ": lies in a data folder (", folder.string(), " holds ", found, ")", elsewhere);
}

}  // namespace

void expect_out_folder(const std::string& path, OutFolder kind, const Inputs& inputs) {
  const std::string elsewhere = choose_another("--out");
  dream::expect_no_dataset(path);
  for (const Mark& mark : marks)
    DREAM_EXPECT(mark.kind == kind || !dream::file_exists(dream::concat(path, "/", mark.file)), path,
                 ": is the folder of ", name_of(mark.kind), " (it holds ", mark.file, "), not of ", name_of(kind),
                 elsewhere);
  expect_outside_data(path, fs::path(dream::absolute_path(path)).parent_path(), inputs.data, elsewhere);
  DREAM_EXPECT(inputs.data.empty() || !within(inputs.data, path), path, ": holds the data that are read, ", inputs.data,
               elsewhere);
  for (const Inputs::File& input : inputs.files) {
    if (input.path.empty()) continue;
    const bool is_file_of_run = std::any_of(std::begin(written), std::end(written), [&](std::string_view name) {
      return same(path / fs::path(name), input.path);
    });
    // A search or a study writes runs below its folder.
    const bool is_below =
        kind != OutFolder::run && within(input.path, path) && is_written(fs::path(input.path).filename());
    DREAM_EXPECT(!is_file_of_run && !is_below, input.path, ": is read by ", input.option, ", and writing to ", path,
                 " would replace it", elsewhere);
  }
}

void expect_out_file(const std::string& path, const Inputs& inputs, const char* option) {
  const std::string elsewhere = choose_another(option);
  std::error_code missing;
  const fs::file_status status = fs::status(path, missing);
  DREAM_EXPECT(!fs::is_directory(status), path, ": is a folder, expected a file", elsewhere);
  if (fs::exists(status) && !fs::is_regular_file(status)) return;  // a device or a pipe keeps nothing
  for (const Inputs::File& input : inputs.files)
    DREAM_EXPECT(!same(path, input.path), path, ": is the file that ", input.option, " names", elsewhere);
  const fs::path file = dream::absolute_path(path), folder = file.parent_path();
  expect_outside_data(path, folder, inputs.data, elsewhere);
  if (!inputs.data.empty()) {
    fs::directory_iterator entry(data_folder(inputs.data), missing);
    for (; !missing && entry != fs::directory_iterator(); entry.increment(missing))
      DREAM_EXPECT(!same(path, entry->path()), path, ": is a file of the data, ", entry->path().string(), elsewhere);
  }
  const auto holds = [](const fs::path& where, std::string_view name) {
    return dream::file_exists((where / name).string());
  };
  const bool among_runs =
      holds(folder, "config.json") || holds(folder, "result.json") ||
      std::any_of(marks.begin(), marks.end(), [&](const Mark& mark) { return holds(folder, mark.file); });
  DREAM_EXPECT(!among_runs || !is_written(file.filename()), path, ": is a file that the run in ", folder.string(),
               " writes", elsewhere);
  DREAM_EXPECT(folder.filename() != "tables" || !holds(folder.parent_path(), "study.json"), path,
               ": lies among the tables of the study in ", folder.parent_path().string(), elsewhere);
}

}  // namespace dream_cli
