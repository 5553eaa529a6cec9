// The tables of what the diagnostics found, and of what the test lists are beside their hits.
#include <algorithm>
#include <set>

#include <dream/core/error.hpp>

#include "study_tables.hpp"

namespace dream_cli::study_report {

Table misalignment_table(const Study& study) {
  Table table{"misalignment",
              "Cosine of the behaviour and the modal representation of the same user or item, the mean over all of "
              "them, at the best epoch: higher is better aligned. Mean \u00b1 standard deviation (n \u2212 1) over the "
              "seeds.",
              part_columns("Model"),
              {}};
  table.columns.push_back(spread_column("Users", "users_cosine"));
  table.columns.push_back(spread_column("Items", "items_cosine"));
  table.columns.push_back(number_column("Runs", "runs"));
  for (const AlignmentPair& pair : alignment_pairs(study)) {
    for (const Part* part : {pair.without, pair.with}) {
      if (part == nullptr) continue;
      std::vector<TableCell> row = part_cells(*part);
      if (part->group == "ablations" && part->label.rfind(pair.label, 0) != 0)
        row[1] = words_cell(pair.label + ", " + part->label);
      for (const auto domain : {&Diagnosis::users, &Diagnosis::items})
        row.push_back(spread_cell(diagnosed(*part, [&](const Diagnosis& found) {
          const std::optional<Cosines>& cosines = found.*domain;
          return cosines ? std::optional(cosines->mean) : std::nullopt;
        })));
      if (row[2].stored[0].empty() && row[3].stored[0].empty()) continue;
      row.push_back(runs_cell(*part));
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

Table shares_table(const Study& study) {
  Table table{"modality_shares",
              "Share of each modality in the items\u2019 modal representation, at the best epoch; mean \u00b1 standard "
              "deviation (n \u2212 1) over the seeds. Shares add up to 1; one below zero works against the others.",
              part_columns("Model"),
              {}};
  const std::vector<std::string> modalities = modalities_of(study, &Diagnosis::shares);
  for (const std::string& name : modalities) table.columns.push_back(spread_column(name, name));
  table.columns.push_back(number_column("Runs", "runs"));
  for (const char* group : {"models", "embeddings", "alignment"})
    for (const Part* part : study.group(group)) {
      std::vector<TableCell> row = part_cells(*part);
      bool any = false;
      for (const std::string& name : modalities) {
        row.push_back(spread_cell(diagnosed(*part, [&](const Diagnosis& found) { return value(found.shares, name); })));
        any = any || !row.back().stored[0].empty();
      }
      row.push_back(runs_cell(*part));
      if (any) table.rows.push_back(std::move(row));
    }
  return table;
}

Table uniformity_table(const Study& study) {
  Table table{"alignment_and_uniformity",
              "Alignment and uniformity of the final embeddings, at the best epoch; mean \u00b1 standard deviation (n "
              "\u2212 1) over the seeds. Lower is closer, and more evenly spread.",
              part_columns("Model"),
              {}};
  const std::pair<const char*, std::optional<double> Diagnosis::*> kinds[] = {
      {"Alignment", &Diagnosis::alignment},
      {"Uniformity of users", &Diagnosis::user_uniformity},
      {"Uniformity of items", &Diagnosis::item_uniformity}};
  const char* const names[] = {"alignment", "user_uniformity", "item_uniformity"};
  for (std::size_t i = 0; i < 3; ++i) table.columns.push_back(spread_column(kinds[i].first, names[i]));
  table.columns.push_back(number_column("Runs", "runs"));
  for (const char* group : {"models", "alignment"}) {
    for (const Part* part : study.group(group)) {
      std::vector<TableCell> row = part_cells(*part);
      for (const auto& kind : kinds)
        row.push_back(spread_cell(diagnosed(*part, [&](const Diagnosis& found) { return found.*kind.second; })));
      row.push_back(runs_cell(*part));
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

Table lists_table(const Study& study) {
  const std::string at = study.metric.substr(std::min(study.metric.find('@'), study.metric.size()));
  Table table{
      "lists",
      "Of the first " + escaped(at.substr(!at.empty())) +
          " items of every test user\u2019s list; mean \u00b1 standard deviation (n \u2212 1) over the finished "
          "seeds.",
      part_columns("Model"),
      {}};
  std::vector<std::string> names{"coverage" + at, "gini" + at, "popularity" + at};
  const char* const heads[] = {"Coverage", "Gini index", "Popularity"};
  for (std::size_t i = 0; i < names.size(); ++i) table.columns.push_back(spread_column(heads[i] + at, names[i]));
  const std::string distance = "distance_";
  std::set<std::string> distances;
  for (const Part& part : study.parts)
    for (const StudyRun& run : part.runs)
      for (const auto& [name, number] : run.lists)
        if (name.starts_with(distance) && name.ends_with(at)) distances.insert(name);
  for (const std::string& name : distances) {
    const std::string modality = name.substr(distance.size(), name.size() - distance.size() - at.size());
    table.columns.push_back(spread_column(dream::concat("Intra-list distance", at, ", ", modality), name));
    names.push_back(name);
  }
  table.columns.push_back(number_column("Runs", "runs"));
  for (const Part& part : study.parts) {
    std::vector<TableCell> row = part_cells(part);
    for (std::size_t i = 0; i < names.size(); ++i)
      row.push_back(
          spread_cell(spread(part, [&](const StudyRun& run) { return value(run.lists, names[i]); }), i == 2 ? 2 : 4));
    row.push_back(runs_cell(part));
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::vector<AlignmentPair> alignment_pairs(const Study& study) {
  std::vector<AlignmentPair> pairs;
  if (const Part* dream = study.find("dream")) {
    AlignmentPair own{dream->label, nullptr, dream};
    for (const Part* part : study.group("ablations"))
      if (part->settings.value("bma", nlohmann::ordered_json()) == "off") own.without = part;
    pairs.push_back(own);
  }
  for (const Part* part : study.group("alignment")) {
    const Part* without = study.find(part->id.substr(0, part->id.rfind("+bma")));
    if (without == part) without = nullptr;
    pairs.push_back({without != nullptr ? without->label : part->label, without, part});
  }
  // Two domains, but never trained with alignment.
  for (const Part* part : study.group("models")) {
    const bool listed = std::any_of(pairs.begin(), pairs.end(), [&](const AlignmentPair& pair) {
      return pair.without == part || pair.with == part;
    });
    if (!listed && (part_cosines(*part, &Diagnosis::users) || part_cosines(*part, &Diagnosis::items)))
      pairs.push_back({part->label, part, nullptr});
  }
  return pairs;
}

std::optional<Cosines> part_cosines(const Part& part, std::optional<Cosines> Diagnosis::*domain) {
  std::optional<Cosines> sum;
  double runs = 0;
  for (const EpochLine* line : diagnosed_lines(part)) {
    const std::optional<Cosines>& found = (*line->diagnosis).*domain;
    if (!found || (sum && sum->histogram.size() != found->histogram.size())) continue;
    runs += 1;
    if (!sum) {
      sum = found;
      continue;
    }
    sum->mean += (found->mean - sum->mean) / runs;
    for (std::size_t b = 0; b < found->histogram.size(); ++b) sum->histogram[b] += found->histogram[b];
  }
  return sum;
}

}  // namespace dream_cli::study_report
