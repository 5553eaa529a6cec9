#include "study_tables.hpp"

#include <algorithm>

namespace dream_cli::study_report {

namespace {

using Cells = std::vector<TableCell>;

void append(Cells& row, const Cells& more) { row.insert(row.end(), more.begin(), more.end()); }

/// Name and id of a part; the id is for programs.
std::vector<TableColumn> part_columns(const std::string& head) {
  return {words_column("", "part"), words_column(head, "label")};
}
Cells part_cells(const Part& part) { return {words_cell(part.id), words_cell(part.label)}; }

void add_metric_columns(Table& table, const Study& study) {
  for (const std::string& metric : shown_metrics(study))
    table.columns.push_back(spread_column(metric_title(metric), metric));
}

void add_metric_cells(Cells& row, const Study& study, const Part& part) {
  for (const std::string& metric : shown_metrics(study)) row.push_back(spread_cell(test_spread(part, metric)));
}

std::optional<double> mean_difference(const Part& part, const Part& against, const std::string& metric) {
  const auto a = test_spread(part, metric), b = test_spread(against, metric);
  return a && b ? std::optional(a->mean - b->mean) : std::nullopt;
}

/// Parts with their test metrics, and what each has more than the one it is compared with.
struct Compared {
  const Part* part;
  const Part* against;  ///< nullptr: with none
};

Table comparison(const Study& study, const std::string& file, const std::string& caption, const std::string& head,
                 const std::vector<Compared>& rows) {
  Table table{file, caption, part_columns(head), {}};
  add_metric_columns(table, study);
  table.columns.push_back(number_column(metric_title(study.metric) + " difference", "difference"));
  for (const TableColumn& column : significance_columns()) table.columns.push_back(column);
  table.columns.push_back(number_column("Runs", "runs"));
  for (const auto& [part, against] : rows) {
    Cells row = part_cells(*part);
    add_metric_cells(row, study, *part);
    std::optional<Significance> tested;
    std::optional<double> difference;
    if (against != nullptr) {
      difference = mean_difference(*part, *against, study.metric);
      tested = study.difference(part->id, against->id, study.metric);
    }
    row.push_back(signed_cell(difference));
    append(row, significance_cells(tested));
    row.push_back(runs_cell(*part));
    table.rows.push_back(std::move(row));
  }
  return table;
}

/// A group's parts under DREAM, each compared with it.
Table against_dream(const Study& study, const std::string& group, const std::string& file, const std::string& caption) {
  const Part* dream = study.find("dream");
  std::vector<Compared> rows;
  const auto parts = study.group(group);
  if (dream != nullptr && !parts.empty()) rows.push_back({dream, nullptr});
  for (const Part* part : parts) rows.push_back({part, dream});
  return comparison(study, file, caption, "DREAM", rows);
}

}  // namespace

Table models_table(const Study& study) {
  Table table{"models",
              "Test metrics of the models, mean \u00b1 sample deviation over the seeds; the best mean in bold. Valid " +
                  escaped(metric_title(study.metric)) +
                  " is that of the best epoch, by which the epoch and the settings were chosen. Seconds are those of "
                  "training, the median of a run\u2019s epochs.",
              part_columns("Model"),
              {}};
  add_metric_columns(table, study);
  table.columns.push_back(spread_column("Valid " + metric_title(study.metric), "valid_" + study.metric));
  table.columns.push_back(spread_column("Best epoch", "best_epoch"));
  table.columns.push_back(spread_column("Seconds an epoch", "seconds_per_epoch"));
  table.columns.push_back(number_column("Runs", "runs"));
  for (const Part* part : study.group("models")) {
    Cells row = part_cells(*part);
    add_metric_cells(row, study, *part);
    row.push_back(spread_cell(spread(*part, [&](const StudyRun& run) { return value(run.valid, study.metric); })));
    row.push_back(spread_cell(
        spread(*part,
               [](const StudyRun& run) { return run.finished ? std::optional<double>(run.best_epoch) : std::nullopt; }),
        0));
    row.push_back(spread_cell(spread(*part, seconds_per_epoch), 2));
    row.push_back(runs_cell(*part));
    table.rows.push_back(std::move(row));
  }
  for (std::size_t c = 2; c < 2 + shown_metrics(study).size(); ++c) table.mark_largest(c);
  return table;
}

Table differences_table(const Study& study) {
  Table table{"differences",
              "DREAM minus each other model on test, with the 95 % interval of the difference of the users\u2019 means "
              "and the p of a paired randomisation test over users (metrics averaged over seeds first). p is not "
              "corrected for the number of comparisons.",
              {words_column("", "against"), words_column("DREAM against", "label"), words_column("Metric", "metric"),
               number_column("Difference", "difference"), number_column("Relative, %", "percent")},
              {}};
  for (const TableColumn& column : significance_columns()) table.columns.push_back(column);
  table.columns.push_back(number_column("Users", "users"));
  const Part* dream = study.find("dream");
  if (dream == nullptr) return table;
  for (const Part* other : study.group("models")) {
    if (other == dream) continue;
    for (const std::string& metric : shown_metrics(study)) {
      const auto tested = study.difference(dream->id, other->id, metric);
      if (!tested && metric != study.metric) continue;
      const auto difference = tested ? std::optional(tested->difference) : mean_difference(*dream, *other, metric);
      if (!difference) continue;
      const auto base = test_spread(*other, metric);
      Cells row = part_cells(*other);
      row.push_back({metric_title(metric), {metric}});
      row.push_back(signed_cell(difference));
      row.push_back(
          signed_cell(base && base->mean > 0 ? std::optional(100 * *difference / base->mean) : std::nullopt, 1));
      append(row, significance_cells(tested));
      row.push_back(tested ? count_cell(tested->users) : TableCell{"\u2013", {""}});
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

Table cold_table(const Study& study) {
  Table table{"warm_and_cold",
              "Test metrics over warm items (with a training interaction) and cold ones (without), both ranked among "
              "all items; mean \u00b1 sample deviation over the seeds.",
              part_columns("Model"),
              {}};
  const std::int64_t k = study.top_k.empty() ? 20 : *std::max_element(study.top_k.begin(), study.top_k.end());
  const std::vector<std::string> metrics{"recall@" + std::to_string(k), "ndcg@" + std::to_string(k)};
  const std::pair<std::string, Metrics StudyRun::*> kinds[] = {{"warm", &StudyRun::warm}, {"cold", &StudyRun::cold}};
  for (const auto& kind : kinds)
    for (const std::string& metric : metrics)
      table.columns.push_back(spread_column(metric_title(metric) + ", " + kind.first, kind.first + "_" + metric));
  table.columns.push_back(number_column("Runs", "runs"));
  for (const Part* part : study.group("models")) {
    Cells row = part_cells(*part);
    for (const auto& kind : kinds)
      for (const std::string& metric : metrics)
        row.push_back(spread_cell(spread(*part, [&](const StudyRun& run) { return value(run.*kind.second, metric); })));
    row.push_back(runs_cell(*part));
    table.rows.push_back(std::move(row));
  }
  for (std::size_t c = 2; c < 2 + 2 * metrics.size(); ++c) table.mark_largest(c);
  return table;
}

Table embeddings_table(const Study& study) {
  return against_dream(
      study, "embeddings", "embeddings",
      "Test metrics of DREAM with trainable modal embeddings (first row) and with frozen ones; the difference is to "
      "the first row.");
}

Table ablations_table(const Study& study) {
  return against_dream(
      study, "ablations", "ablations",
      "Test metrics of DREAM without some of its parts; the difference is to the full model (first row), so what is "
      "below zero was lost.");
}

Table plugin_table(const Study& study) {
  std::vector<Compared> rows;
  for (const AlignmentPair& pair : alignment_pairs(study)) {
    if (pair.with == nullptr || pair.with->group != "alignment") continue;
    if (pair.without != nullptr) rows.push_back({pair.without, nullptr});
    rows.push_back({pair.with, pair.without});
  }
  return comparison(
      study, "alignment_as_plugin",
      "Test metrics of models without and with behaviour-modal alignment in their loss; the difference is to the same "
      "model without.",
      "Model", rows);
}

Table misalignment_table(const Study& study) {
  Table table{"misalignment",
              "Mean cosine of the two domains\u2019 rows of the same user or item, at the best epoch; mean \u00b1 "
              "sample deviation over the seeds.",
              part_columns("Model"),
              {}};
  table.columns.push_back(spread_column("Users", "users_cosine"));
  table.columns.push_back(spread_column("Items", "items_cosine"));
  table.columns.push_back(number_column("Runs", "runs"));
  for (const AlignmentPair& pair : alignment_pairs(study)) {
    for (const Part* part : {pair.without, pair.with}) {
      if (part == nullptr) continue;
      Cells row = part_cells(*part);
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
              "Share of each modality in the items\u2019 modal representation, at the best epoch; mean \u00b1 sample "
              "deviation over the seeds. Shares add up to 1; one below zero works against the others.",
              part_columns("Model"),
              {}};
  const std::vector<std::string> modalities = modalities_of(study, &Diagnosis::shares);
  for (const std::string& name : modalities) table.columns.push_back(spread_column(name, name));
  table.columns.push_back(number_column("Runs", "runs"));
  for (const char* group : {"models", "embeddings", "alignment"})
    for (const Part* part : study.group(group)) {
      Cells row = part_cells(*part);
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
              "Alignment and uniformity of the vectors that rank, at the best epoch; mean \u00b1 sample deviation over "
              "the seeds. Lower is closer, and more evenly spread.",
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
      Cells row = part_cells(*part);
      for (const auto& kind : kinds)
        row.push_back(spread_cell(diagnosed(*part, [&](const Diagnosis& found) { return found.*kind.second; })));
      row.push_back(runs_cell(*part));
      table.rows.push_back(std::move(row));
    }
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
