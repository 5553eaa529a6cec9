#include "study_files.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "../json_node.hpp"
#include "../messages.hpp"
#include "../shell_text.hpp"

namespace dream_cli::study_report {

namespace {

using Json = nlohmann::ordered_json;

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

EpochLine epoch_line(const JsonNode& line) {
  EpochLine read;
  read.epoch = static_cast<int>(line.at("epoch").count());
  read.seconds = line.at(line.find("train_seconds") ? "train_seconds" : "seconds").number();
  if (const auto valid = line.find("valid")) read.valid = metrics(*valid);
  if (const auto found = line.find("diagnostics")) read.diagnosis = diagnosis(*found);
  return read;
}

/// Reads files of a study one by one. What is damaged is noted, and missing from then on.
class FileReader {
 public:
  FileReader(const Study& study, std::vector<Damage>& damages) : again_(study.command()), damages_(damages) {}

  StudyRun run(const std::string& folder, std::int64_t seed, const Part& part) {
    StudyRun run;
    run.seed = seed;
    run.begun = is_folder(folder);
    if (!run.begun) return run;
    const std::string anew = "remove " + shell_quoted(folder) + " and train this run again: " + again_;
    const std::string path = folder + "/result.json";
    if (dream::file_exists(path)) {
      attempt(part, "runs", [&] {
        const JsonSource source = read_object(path, anew);
        const JsonNode result(source);
        StudyRun read = run;
        read.best_epoch = static_cast<int>(result.at("best_epoch").count());
        read.valid = metrics(result.at("valid"));
        read.test = metrics(result.at("test"));
        if (const auto warm = result.find("test_warm")) read.warm = metrics(*warm);
        if (const auto cold = result.find("test_cold")) read.cold = metrics(*cold);
        read.finished = true;
        run = std::move(read);
      });
    }
    const std::string users = folder + "/test_users.json";
    if (run.finished && dream::file_exists(users)) {
      attempt(part, "lists", [&] {
        const JsonSource source = read_object(users, "remove it and compute it again: " + again_);
        if (const auto lists = JsonNode(source).find("lists")) run.lists = metrics(*lists);
      });
    }
    run.failure = failure(folder, part, "runs", anew);
    epoch_lines(
        folder + "/metrics.jsonl", part,
        run.finished
            ? "the result counts, the curve lacks this line; to have it too, take the file from a copy, or " + anew
            : anew,
        run);
    return run;
  }

  std::vector<Trial> trials(const std::string& folder, const Part& part) {
    std::vector<std::pair<std::int64_t, Trial>> found;
    if (!is_folder(folder)) return {};
    for (const std::string& name : dream::list_folder(folder)) {
      const std::string trial = dream::concat(folder, "/", name);
      const std::string settings = trial + "/trial.json", result = trial + "/result.json";
      const bool numbered = name.rfind("trial-", 0) == 0 && name.size() > 6 && name.size() < 16 &&
                            name.find_first_not_of("0123456789", 6) == std::string::npos;
      if (!numbered || !dream::file_exists(settings)) continue;
      const std::string anew = "remove " + shell_quoted(trial) + " and train this trial again: " + again_;
      Trial read;
      read.name = name;
      if (!attempt(part, "search", [&] { read.settings = read_object(settings, anew).json; })) continue;
      read.failure = failure(trial, part, "search", anew);
      if (dream::file_exists(result)) {
        attempt(part, "search", [&] {
          const JsonSource source = read_object(result, anew);
          read.best_epoch = static_cast<int>(JsonNode(source).at("best_epoch").count());
          read.valid = metrics(JsonNode(source).at("valid"));
        });
      }
      found.emplace_back(std::stoll(name.substr(6)), std::move(read));
    }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<Trial> trials;
    trials.reserve(found.size());
    for (auto& [number, trial] : found) trials.push_back(std::move(trial));
    return trials;
  }

  std::vector<Significance> significance(const std::string& path) {
    std::vector<Significance> found;
    if (!dream::file_exists(path)) return found;
    attempt({}, "comparison", [&] {
      const std::string anew = "remove it and compute it again: " + again_;
      const JsonSource source{dream::parse_json<Json>(dream::read_file(path), path), path, anew};
      DREAM_EXPECT(source.json.is_array(), path, ": not a JSON list; ", anew);
      std::vector<Significance> read;
      for (const JsonNode& pair : JsonNode(source).list()) {
        read.push_back({pair.at("part").text(),
                        pair.at("against").text(),
                        pair.at("metric").text(),
                        {},
                        pair.at("difference").number(),
                        pair.at("low").number(),
                        pair.at("high").number(),
                        pair.at("p").number(),
                        pair.at("users").count()});
        if (const auto seeds = pair.find("seeds"))
          for (const JsonNode& seed : seeds->list()) read.back().seeds.push_back(seed.count());
        std::sort(read.back().seeds.begin(), read.back().seeds.end());
      }
      found = std::move(read);
    });
    return found;
  }

 private:
  /// False where `read` failed, which is noted then.
  template <class Read>
  bool attempt(const Part& part, const std::string& what, Read&& read) {
    try {
      read();
      return true;
    } catch (const dream::error& error) {
      damages_.push_back({part.id, part.label, what, error.what()});
      return false;
    }
  }

  /// Why a run ended without a result, if it did.
  std::string failure(const std::string& folder, const Part& part, const std::string& what, const std::string& anew) {
    const std::string path = folder + "/failed.json";
    std::string why;
    if (dream::file_exists(path))
      attempt(part, what, [&] {
        const JsonSource source = read_object(path, anew);
        why = JsonNode(source).at("error").text();
      });
    return why;
  }

  /// The whole lines of a run's metrics.jsonl; a last line without an end is still being written, or was cut off.
  void epoch_lines(const std::string& path, const Part& part, const std::string& remedy, StudyRun& run) {
    if (!dream::file_exists(path)) return;
    std::vector<std::string> damaged;
    std::string text;
    if (!attempt(part, "runs", [&] { text = dream::read_file(path); })) return;
    int row = 1;
    bool has_best = false;
    for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1, ++row) {
      try {
        const JsonSource source = parse_object(text.substr(at, end - at), dream::concat(path, ":", row), remedy);
        run.lines.push_back(epoch_line(JsonNode(source)));
        has_best = has_best || run.lines.back().epoch == run.best_epoch;
      } catch (const dream::error& error) {
        damaged.emplace_back(error.what());
      }
    }
    if (damaged.empty()) return;
    if (damaged.size() > 1) damaged[0] += dream::concat(" (damaged lines in all: ", damaged.size(), ")");
    damages_.push_back({part.id, part.label, "curve", damaged[0]});
    // Another epoch's must not pass for those of the best.
    if (run.finished && !has_best)
      for (EpochLine& line : run.lines) line.diagnosis.reset();
  }

  std::string again_;
  std::vector<Damage>& damages_;
};

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

Part read_part(const JsonNode& node, const Study& study, FileReader& files) {
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
  for (const std::int64_t seed : study.seeds)
    part.runs.push_back(files.run(dream::concat(study.folder, "/runs/", part.id, "/seed-", seed), seed, part));
  part.trials = files.trials(study.folder + "/search/" + part.id, part);
  return part;
}

/// Seeds that are over in both, sorted.
std::vector<std::int64_t> seeds_of_both(const Part& a, const Part& b) {
  std::vector<std::int64_t> seeds;
  for (const StudyRun& run : a.runs)
    if (run.finished && std::any_of(b.runs.begin(), b.runs.end(),
                                    [&](const StudyRun& other) { return other.finished && other.seed == run.seed; }))
      seeds.push_back(run.seed);
  std::sort(seeds.begin(), seeds.end());
  return seeds;
}

std::string joined(const std::vector<std::int64_t>& numbers) {
  std::string text;
  for (const std::int64_t number : numbers) text += (text.empty() ? "" : ", ") + std::to_string(number);
  return text;
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

const Significance* Study::stored_test(const std::string& part, const std::string& against,
                                       const std::string& name) const {
  for (const Significance& s : significance)
    if (s.metric == name && ((s.part == part && s.against == against) || (s.part == against && s.against == part)))
      return &s;
  return nullptr;
}

std::optional<Significance> Study::difference(const std::string& part, const std::string& against,
                                              const std::string& name) const {
  const Significance* stored = stored_test(part, against, name);
  const Part *first = find(part), *second = find(against);
  if (stored == nullptr || first == nullptr || second == nullptr) return std::nullopt;
  const auto of_both = seeds_of_both(*first, *second);
  if (of_both.empty() || stored->seeds != of_both) return std::nullopt;
  if (stored->part == part) return *stored;
  Significance turned = *stored;
  std::swap(turned.part, turned.against);
  turned.difference = -stored->difference;
  turned.low = -stored->high;
  turned.high = -stored->low;
  return turned;
}

std::vector<UntestedPair> Study::untested() const {
  std::vector<UntestedPair> pairs;
  const auto look = [&](const Part& part, const Part* against) {
    if (against == nullptr || against == &part) return;
    const auto of_both = seeds_of_both(part, *against);
    if (of_both.empty() || difference(part.id, against->id, metric)) return;
    const Significance* stored = stored_test(part.id, against->id, metric);
    pairs.push_back({&part, against, ""});
    if (stored != nullptr && !stored->seeds.empty())
      pairs.back().why = "the test that there is was made with other seeds (" + joined(stored->seeds) +
                         ") than those that are finished (" + joined(of_both) + ")";
  };
  for (const Part& part : parts)
    look(part, find(part.group == "alignment" ? part.id.substr(0, part.id.rfind("+bma")) : "dream"));
  return pairs;
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
  const JsonSource source =
      read_object(path, "take it from a copy, or begin again: dream study --data DATA --out OTHER_FOLDER");
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
  FileReader files(study, study.damages);
  for (const JsonNode& node : root.at("parts").list()) {
    Part part = read_part(node, study, files);
    node.expect(study.find(part.id) == nullptr, "the only part '" + part.id + "'");
    study.parts.push_back(std::move(part));
  }
  study.significance = files.significance(study.folder + "/significance.json");
  return study;
}

bool say_damages(const std::string& folder) {
  const Study study = read_study(folder);
  for (const Damage& damage : study.damages) print_error(damage.text);
  return !study.damages.empty();
}

}  // namespace dream_cli::study_report
