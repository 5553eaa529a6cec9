#include "trials.hpp"

#include <filesystem>

#include <dream/core/file.hpp>

namespace dream_cli {

nlohmann::ordered_json read_json_object(const std::string& path) {
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(dream::read_file(path), nullptr, false);
  DREAM_EXPECT(json.is_object(), path, ": not a JSON object");
  return json;
}

void write_json(const std::string& path, const nlohmann::ordered_json& json) {
  dream::AtomicFile file(path);
  file.write(json.dump(2) + "\n");
  file.commit();
}

nlohmann::ordered_json finished_result(const std::string& folder) {
  const std::string path = folder + "/result.json";
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) ? read_json_object(path) : nlohmann::ordered_json::object();
}

int run_trial(const Settings& settings, const std::string& data_folder, const std::string& folder,
              const TrainingChoice& choice, Signals& signals) {
  RunFolder run(folder);
  if (finished_result(folder).empty()) {
    TrainingChoice going_on = choice;
    going_on.resume = run.has_checkpoint();
    const int code = train_settings(settings, data_folder, run, going_on, signals);
    if (code != Exit::success) return code;
  }
  std::error_code ignored;
  std::filesystem::remove(run.checkpoint(), ignored);
  return Exit::success;
}

void begin_plan(const std::string& folder, const std::string& file_name, const nlohmann::ordered_json& plan) {
  const std::string path = folder + "/" + file_name;
  dream::make_folder(folder);
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    write_json(path, plan);
    return;
  }
  const nlohmann::ordered_json began = read_json_object(path);
  for (const auto& [key, value] : plan.items())
    DREAM_EXPECT(began.contains(key) && began.at(key) == value, path, ": was begun with another ", key,
                 "; take another --out, or the command that it was begun with");
}

}  // namespace dream_cli
