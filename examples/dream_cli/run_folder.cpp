#include "run_folder.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <regex>

namespace dream_cli {

namespace {

void write_text(const std::string& path, const std::string& text) {
  dream::AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace

RunFolder::~RunFolder() {
  if (metrics_ != nullptr) std::fclose(metrics_);
}

bool RunFolder::has_checkpoint() const {
  std::error_code ignored;
  return std::filesystem::exists(checkpoint(), ignored);
}

void RunFolder::make() {
  dream::make_folder(path_);
  // What a killed run was writing.
  static const std::regex unfinished(
      "(checkpoint\\.safetensors|best\\.safetensors|config\\.json|result\\.json|metrics\\.jsonl|"
      "(user|item)_(embeddings\\.npy|ids\\.tsv))\\.partial-[0-9]+-[0-9]+");
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    if (!std::regex_match(entry.path().filename().string(), unfinished)) continue;
    std::error_code ignored;
    std::filesystem::remove(entry.path(), ignored);
  }
}

void RunFolder::begin(const nlohmann::ordered_json& config, int epochs) {
  write_text(path_ + "/config.json", config.dump(2) + "\n");
  std::error_code ignored;
  for (const char* name : {"/result.json", "/failed.json", "/test_users.json"})
    std::filesystem::remove(path_ + name, ignored);
  const std::string path = path_ + "/metrics.jsonl";
  std::string kept;
  if (epochs > 0 && std::filesystem::exists(path)) {
    const std::string text = dream::read_file(path);
    int lines = 0;
    for (std::size_t at = 0; lines < epochs; ++lines) {
      const std::size_t end = text.find('\n', at);
      if (end == std::string::npos) break;
      at = end + 1;
      kept = text.substr(0, at);
    }
  }
  write_text(path, kept);
  metrics_ = std::fopen(path.c_str(), "ae");
  DREAM_EXPECT(metrics_ != nullptr, path, ": cannot be opened for writing: ", std::strerror(errno));
}

void RunFolder::add_epoch(const nlohmann::ordered_json& line) {
  const std::string text = line.dump() + "\n";
  const bool written = std::fwrite(text.data(), 1, text.size(), metrics_) == text.size() && std::fflush(metrics_) == 0;
  DREAM_EXPECT(written, path_, "/metrics.jsonl: cannot be written: ", std::strerror(errno));
}

void RunFolder::finish(const nlohmann::ordered_json& result, const dream::CheckpointOrigin& origin, int best_epoch,
                       dream::MatrixView<const float> users, dream::MatrixView<const float> items,
                       const dream::Dataset& data) {
  dream::save_vectors(best(), origin, best_epoch, users, items, data.users, data.items);
  dream::export_embeddings(path_, users, items, data.users, data.items);
  write_text(path_ + "/result.json", result.dump(2) + "\n");
}

}  // namespace dream_cli
