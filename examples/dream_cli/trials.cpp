#include "trials.hpp"

#include <filesystem>

#include <dream/core/file.hpp>

#include "folder_lock.hpp"
#include "json_node.hpp"
#include "stored_run.hpp"

namespace dream_cli {

namespace {

std::string train_anew(const std::string& folder) {
  return "delete " + folder + " and give the same command again to train it anew";
}

}  // namespace

void write_json(const std::string& path, const nlohmann::ordered_json& json) {
  dream::AtomicFile file(path);
  file.write(json.dump(2) + "\n");
  file.commit();
}

nlohmann::ordered_json finished_result(const std::string& folder) {
  const std::string path = folder + "/result.json";
  if (!dream::file_exists(path)) return nlohmann::ordered_json::object();
  JsonSource source = read_object(path, train_anew(folder));
  const JsonNode result(source);
  for (const auto& [name, value] : result.at("valid").members()) value.number();
  result.at("best_epoch").count();
  return std::move(source.json);
}

double valid_of(const std::string& folder, const std::string& metric) {
  const JsonSource source{finished_result(folder), folder + "/result.json", train_anew(folder)};
  return JsonNode(source).at("valid").at(metric).number();
}

std::string trial_failure(const std::string& folder) {
  const std::string path = folder + "/failed.json";
  if (!dream::file_exists(path)) return "";
  const JsonSource source = read_object(path, train_anew(folder));
  return JsonNode(source).at("error").text();
}

bool is_over(const std::string& folder) { return !finished_result(folder).empty() || !trial_failure(folder).empty(); }

void expect_trained_with(const Settings& settings, const std::string& folder) {
  const std::string path = folder + "/config.json";
  const std::string anew = train_anew(folder);
  if (!dream::file_exists(path)) {
    DREAM_EXPECT(!is_over(folder), path, ": is missing, so nobody knows what was trained there; ", anew);
    return;
  }
  const JsonSource config = read_object(path, anew);
  const Settings trained = or_remedy(anew, [&] { return settings_from_json(nlohmann::json(config.json), path); });
  const auto other = first_difference(trained, settings);
  if (other)
    dream::fail(path, ": was trained with ", other->key, " = ", other->first.dump(), ", not ", other->second.dump(),
                "; ", anew, ", or choose another --out");
}

int run_trial(const Settings& settings, const std::string& data_folder, const std::string& folder,
              const TrainingChoice& choice, Signals& signals) {
  RunFolder run(folder);
  expect_trained_with(settings, folder);
  if (!is_over(folder)) {
    const FolderLock lock(folder);
    TrainingChoice going_on = choice;
    going_on.resume = run.has_checkpoint();
    try {
      const int code = train_settings(settings, data_folder, run, going_on, signals);
      if (code != Exit::success) return code;
    } catch (const dream::error& error) {
      const std::string what = error.what();
      if (what.rfind("training diverged", 0) != 0) throw;
      write_json(folder + "/failed.json", {{"error", what}});
    }
  }
  std::error_code ignored;
  std::filesystem::remove(run.checkpoint(), ignored);
  return trial_failure(folder).empty() ? Exit::success : Exit::failure;
}

dream::Evaluation test_of(const std::string& folder, const std::string& data_folder, int threads) {
  dream::Context<dream::Cpu> context(threads);
  const StoredRun run = read_stored_run(folder + "/best.safetensors");
  const dream::Dataset data = read_data_of(run, data_folder);
  if (data.test.size() == 0) return {};
  return ranking_of(context, run, data, dream::Split::test).evaluate(context, run);
}

void run_from_trial(const std::string& trial, const std::string& folder, const std::string& data_folder, int threads) {
  namespace fs = std::filesystem;
  nlohmann::ordered_json result = finished_result(trial);
  put_test(result, test_of(trial, data_folder, threads));
  const std::string unfinished = folder + ".partial";
  try {
    fs::remove_all(unfinished);
    fs::create_directories(fs::path(folder).parent_path());
    fs::copy(trial, unfinished);
    fs::remove(unfinished + "/trial.json");
    write_json(unfinished + "/result.json", result);
    fs::rename(unfinished, folder);
  } catch (const fs::filesystem_error& error) {
    dream::fail(folder, ": cannot be made of ", trial, ": ", error.what());
  }
}

double trained_seconds(const std::string& folder) {
  const std::string path = folder + "/metrics.jsonl";
  if (!dream::file_exists(path)) return 0;
  const std::string text = dream::read_file(path);
  double seconds = 0;
  for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    const nlohmann::json line = dream::parse_json(std::string_view(text).substr(at, end - at), path);
    if (line.is_object() && line.contains("seconds") && line["seconds"].is_number())
      seconds += line["seconds"].get<double>();
  }
  return seconds;
}

}  // namespace dream_cli
