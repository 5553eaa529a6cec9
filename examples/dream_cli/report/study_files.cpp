#include "study_files.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "../shell_text.hpp"
#include "json_node.hpp"

namespace dream_cli::study_report {

namespace {

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

Metrics metrics(const JsonNode& node) {
  Metrics found;
  for (const auto& [name, value] : node.members()) found[name] = value.number();
  return found;
}

std::optional<double> number(const std::optional<JsonNode>& node) {
  return node ? std::optional(node->number()) : std::nullopt;
}

std::optional<Cosines> cosines(const std::optional<JsonNode>& node) {
  if (!node) return std::nullopt;
  Cosines found{node->at("mean_cosine").number(), {}};
  for (const JsonNode& bin : node->at("histogram").list()) found.histogram.push_back(bin.number());
  node->expect(!found.histogram.empty(), "complete: its histogram has no bins");
  return found;
}

Diagnosis diagnosis(const JsonNode& node) {
  Diagnosis found;
  if (const auto forgetting = node.find("forgetting")) found.forgetting = metrics(*forgetting);
  if (const auto shares = node.find("shares")) found.shares = metrics(*shares);
  if (const auto apart = node.find("misalignment")) {
    found.users = cosines(apart->find("users"));
    found.items = cosines(apart->find("items"));
  }
  found.alignment = number(node.find("alignment"));
  if (const auto uniformity = node.find("uniformity")) {
    found.user_uniformity = number(uniformity->find("users"));
    found.item_uniformity = number(uniformity->find("items"));
  }
  return found;
}

/// The whole lines of a run's metrics.jsonl; a last line without an end is still being written, or was cut off.
std::vector<EpochLine> epoch_lines(const std::string& path, const std::string& remedy) {
  std::vector<EpochLine> lines;
  if (!dream::file_exists(path)) return lines;
  const std::string text = dream::read_file(path);
  int row = 1;
  for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1, ++row) {
    const JsonSource source = parse_object(text.substr(at, end - at), dream::concat(path, ":", row), remedy);
    const JsonNode line(source);
    EpochLine read;
    read.epoch = static_cast<int>(line.at("epoch").count());
    read.seconds = line.at(line.find("train_seconds") ? "train_seconds" : "seconds").number();
    if (const auto valid = line.find("valid")) read.valid = metrics(*valid);
    if (const auto found = line.find("diagnostics")) read.diagnosis = diagnosis(*found);
    lines.push_back(std::move(read));
  }
  return lines;
}

/// Why a run ended without a result, if it did.
std::string read_failure(const std::string& folder, const std::string& remedy) {
  const std::string path = folder + "/failed.json";
  if (!dream::file_exists(path)) return "";
  const JsonSource source = parse_object(dream::read_file(path), path, remedy);
  return JsonNode(source).at("error").text();
}

StudyRun read_run(const std::string& folder, std::int64_t seed, const std::string& again) {
  StudyRun run;
  run.seed = seed;
  run.begun = is_folder(folder);
  if (!run.begun) return run;
  const std::string remedy = "remove " + shell_quoted(folder) + " and train this run again: " + again;
  run.lines = epoch_lines(folder + "/metrics.jsonl", remedy);
  run.failure = read_failure(folder, remedy);
  const std::string path = folder + "/result.json";
  if (!dream::file_exists(path)) return run;
  const JsonSource source = parse_object(dream::read_file(path), path, remedy);
  const JsonNode result(source);
  run.best_epoch = static_cast<int>(result.at("best_epoch").count());
  run.valid = metrics(result.at("valid"));
  run.test = metrics(result.at("test"));
  if (const auto warm = result.find("test_warm")) run.warm = metrics(*warm);
  if (const auto cold = result.find("test_cold")) run.cold = metrics(*cold);
  run.finished = true;
  return run;
}

std::vector<Trial> read_trials(const std::string& folder, const std::string& again) {
  std::vector<std::pair<std::int64_t, Trial>> found;
  if (!is_folder(folder)) return {};
  for (const std::string& name : dream::list_folder(folder)) {
    const std::string trial = dream::concat(folder, "/", name);
    const std::string settings = trial + "/trial.json", result = trial + "/result.json";
    const bool numbered = name.rfind("trial-", 0) == 0 && name.size() > 6 && name.size() < 16 &&
                          name.find_first_not_of("0123456789", 6) == std::string::npos;
    if (!numbered || !dream::file_exists(settings)) continue;
    const std::string remedy = "remove " + shell_quoted(trial) + " and train this trial again: " + again;
    Trial read;
    read.name = name;
    read.settings = parse_object(dream::read_file(settings), settings, remedy).json;
    read.failure = read_failure(trial, remedy);
    if (dream::file_exists(result)) {
      const JsonSource source = parse_object(dream::read_file(result), result, remedy);
      read.best_epoch = static_cast<int>(JsonNode(source).at("best_epoch").count());
      read.valid = metrics(JsonNode(source).at("valid"));
    }
    found.emplace_back(std::stoll(name.substr(6)), std::move(read));
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Trial> trials;
  trials.reserve(found.size());
  for (auto& [number, trial] : found) trials.push_back(std::move(trial));
  return trials;
}

DataCounts data_counts(const JsonNode& node) {
  DataCounts data;
  data.name = node.at("name").text();
  data.fingerprint = node.at("fingerprint").text();
  for (const auto& [key, value] : {std::pair{"users", &data.users},
                                   {"items", &data.items},
                                   {"train", &data.train},
                                   {"valid", &data.valid},
                                   {"test", &data.test},
                                   {"cold_items", &data.cold_items}})
    *value = node.at(key).count();
  for (const JsonNode& modality : node.at("modalities").list())
    data.modalities.push_back(
        {modality.at("name").text(), modality.at("columns").count(), modality.at("items").count()});
  return data;
}

Json object_or_empty(const JsonNode& node, const std::string& key) {
  const auto found = node.find(key);
  if (!found) return Json::object();
  found->expect(found->json().is_object(), "an object");
  return found->json();
}

Part read_part(const JsonNode& node, const Study& study) {
  Part part;
  const JsonNode id = node.at("id");
  part.id = id.text();
  id.expect(!part.id.empty() && part.id[0] != '.' && part.id.find('/') == std::string::npos, "the name of a folder");
  part.group = node.at("group").text();
  part.label = node.at("label").text();
  part.model = node.at("model").text();
  part.settings = object_or_empty(node, "settings");
  part.grid = object_or_empty(node, "grid");
  for (const auto& [key, values] : part.grid.items())
    node.at("grid").expect(values.is_array(), "made of lists ('" + key + "' is none)");
  if (node.find("chosen")) part.chosen = object_or_empty(node, "chosen");
  const std::string again = study.command();
  for (const std::int64_t seed : study.seeds)
    part.runs.push_back(read_run(dream::concat(study.folder, "/runs/", part.id, "/seed-", seed), seed, again));
  part.trials = read_trials(study.folder + "/search/" + part.id, again);
  return part;
}

std::vector<Significance> read_significance(const std::string& path, const std::string& again) {
  std::vector<Significance> found;
  if (!dream::file_exists(path)) return found;
  const std::string remedy = "remove it and compute it again: " + again;
  const JsonSource source{Json::parse(dream::read_file(path), nullptr, false), path, remedy};
  DREAM_EXPECT(source.json.is_array(), path, ": not a JSON list; ", remedy);
  for (const JsonNode& pair : JsonNode(source).list())
    found.push_back({pair.at("part").text(), pair.at("against").text(), pair.at("metric").text(),
                     pair.at("difference").number(), pair.at("low").number(), pair.at("high").number(),
                     pair.at("p").number(), pair.at("users").count()});
  return found;
}

}  // namespace

std::size_t Part::grid_size() const {
  std::size_t size = grid.empty() ? 0 : 1;
  for (const auto& [key, values] : grid.items()) size *= values.size();
  return size;
}

const Part* Study::find(const std::string& id) const {
  const auto found = std::find_if(parts.begin(), parts.end(), [&](const Part& part) { return part.id == id; });
  return found == parts.end() ? nullptr : &*found;
}

std::vector<const Part*> Study::group(const std::string& name) const {
  std::vector<const Part*> found;
  for (const Part& part : parts)
    if (part.group == name) found.push_back(&part);
  return found;
}

std::optional<Significance> Study::difference(const std::string& part, const std::string& against,
                                              const std::string& name) const {
  for (const Significance& s : significance) {
    if (s.metric != name) continue;
    if (s.part == part && s.against == against) return s;
    if (s.part == against && s.against == part)
      return Significance{part, against, name, -s.difference, -s.high, -s.low, s.p, s.users};
  }
  return std::nullopt;
}

std::string Study::command() const {
  return "dream study --data DATA --out " + shell_quoted(folder) + (options.empty() ? "" : " " + options);
}

Study read_study(const std::string& folder) {
  const std::string path = folder + "/study.json";
  DREAM_EXPECT(dream::file_exists(folder), folder, ": there is no such folder; `dream study --data DATA --out ",
               shell_quoted(folder), "` makes a study there");
  DREAM_EXPECT(dream::file_exists(path), folder,
               ": is not the folder of a study: it has no study.json. Name the folder that was --out of `dream study`");
  const JsonSource source = parse_object(
      dream::read_file(path), path, "take it from a copy, or begin again: dream study --data DATA --out OTHER_FOLDER");
  const JsonNode root(source);
  const std::int64_t version = root.at("version").count();
  DREAM_EXPECT(version == study_version, path, ": the study is of version ", version, ", this program reads version ",
               study_version,
               "; use the program that made it, or begin again: dream study --data DATA --out OTHER_FOLDER");
  Study study;
  study.folder = folder;
  while (study.folder.size() > 1 && study.folder.back() == '/') study.folder.pop_back();
  study.data = data_counts(root.at("data"));
  study.split = root.at("split").text();
  study.metric = root.at("metric").text();
  for (const JsonNode& k : root.at("top_k").list()) study.top_k.push_back(k.count());
  for (const JsonNode& seed : root.at("seeds").list()) study.seeds.push_back(seed.count());
  study.settings = object_or_empty(root, "settings");
  for (const auto& [key, field] :
       {std::pair{"program", &study.program}, {"backend", &study.backend}, {"options", &study.options}})
    if (const auto found = root.find(key)) *field = found->text();
  if (const auto mask = root.find("mask_valid_in_test")) study.mask_valid_in_test = mask->json() == true;
  if (const auto shared = root.find("shared"))
    for (const JsonNode& node : shared->list())
      study.shared.push_back({node.at("key").text(), node.at("value").json(), node.at("default").json(),
                              node.at("differs").json() == true});
  for (const JsonNode& node : root.at("parts").list()) {
    Part part = read_part(node, study);
    node.expect(study.find(part.id) == nullptr, "the only part '" + part.id + "'");
    study.parts.push_back(std::move(part));
  }
  study.significance = read_significance(study.folder + "/significance.json", study.command());
  return study;
}

}  // namespace dream_cli::study_report
