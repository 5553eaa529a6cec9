#include "run_folder.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <regex>
#include <set>

#include <dream/train/json_text.hpp>

#include "messages.hpp"

namespace dream_cli {

namespace {

void write_text(const std::string& path, const std::string& text) {
  dream::AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace

MetricsFile read_metrics(const std::string& path) {
  MetricsFile file;
  if (!dream::file_exists(path)) return file;
  const std::string text = dream::read_file(path);
  std::size_t at = 0;
  for (int number = 1; at < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    const nlohmann::json json = dream::parse_json(line, dream::concat(path, ":", number));
    const bool whole = end < text.size() && json.is_object() && json.contains("epoch") &&
                       json["epoch"].is_number_unsigned() && json["epoch"].get<std::uint64_t>() < 2147483647;
    const int last = file.lines.empty() ? 0 : file.lines.back().first;
    if (whole) file.lines.emplace_back(json["epoch"].get<int>(), line);
    if (file.fault.empty() && !whole)
      file.fault = dream::concat(path, ":", number, ": is no whole line of an epoch");
    else if (file.fault.empty() && file.lines.back().first != last + 1)
      file.fault = dream::concat(path, ":", number, ": found epoch ", file.lines.back().first, ", expected ", last + 1);
    at = end + 1;
  }
  return file;
}

std::string MetricsFile::missing(int epochs) const {
  std::set<int> found;
  for (const auto& [epoch, line] : lines) found.insert(epoch);
  std::string ranges;
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    if (found.count(epoch) != 0) continue;
    const auto next = found.upper_bound(epoch);
    const int last = std::min(epochs, next == found.end() ? epochs : *next - 1);
    ranges += dream::concat(ranges.empty() ? "" : ", ", epoch);
    if (last > epoch) ranges += dream::concat(" to ", last);
    epoch = last;
  }
  return ranges;
}

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
      "(checkpoint\\.safetensors|best\\.safetensors|config\\.json|export\\.json|result\\.json|metrics\\.jsonl|"
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
  if (epochs > 0) {
    const MetricsFile metrics = read_metrics(path);
    int last = 0;
    for (const auto& [epoch, line] : metrics.lines) {
      if (epoch <= last || epoch > epochs) continue;
      kept += line + "\n";
      last = epoch;
    }
    const std::string missing = metrics.missing(epochs);
    if (!missing.empty())
      print_note(path, ": has no lines of epochs ", missing,
                 ", which the checkpoint has; training goes on without them");
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
  doing("writing the results");
  dream::save_vectors(best(), origin, best_epoch, users, items, data.users, data.items);
  dream::export_embeddings(path_, users, items, data.users, data.items, {origin.model, best_epoch, origin.data});
  write_text(path_ + "/result.json", result.dump(2) + "\n");
}

}  // namespace dream_cli
