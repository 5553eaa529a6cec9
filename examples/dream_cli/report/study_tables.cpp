#include "study_tables.hpp"

#include <algorithm>

namespace dream_cli::study_report {

namespace {

void append(std::vector<TableCell>& row, const std::vector<TableCell>& more) {
  row.insert(row.end(), more.begin(), more.end());
}

void add_metric_columns(Table& table, const Study& study) {
  for (const std::string& metric : shown_metrics(study))
    table.columns.push_back(spread_column(metric_title(metric), metric));
}

void add_metric_cells(std::vector<TableCell>& row, const Study& study, const Part& part) {
  for (const std::string& metric : shown_metrics(study)) row.push_back(spread_cell(test_spread(part, metric)));
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
  for (const std::string& metric : tested_metrics(study)) {
    const std::string prefix = metric == study.metric ? "" : metric + "_";
    table.columns.push_back(number_column(metric_title(metric) + " difference", prefix + "difference"));
    for (const TableColumn& column : significance_columns(prefix)) table.columns.push_back(column);
  }
  table.columns.push_back(number_column("Runs", "runs"));
  for (const auto& [part, against] : rows) {
    std::vector<TableCell> row = part_cells(*part);
    add_metric_cells(row, study, *part);
    for (const std::string& metric : tested_metrics(study)) {
      std::optional<Significance> tested;
      std::optional<double> difference;
      if (against != nullptr) {
        difference = mean_difference(*part, *against, metric);
        tested = study.difference(part->id, against->id, metric);
      }
      row.push_back(signed_cell(difference));
      append(row, significance_cells(tested));
    }
    row.push_back(runs_cell(*part));
    table.rows.push_back(std::move(row));
  }
  return table;
}

/// Sets in bold the models with the largest mean, as it is shown, over the seeds that are finished for all models; none
/// where that is 0 or all are level. Rows are the models.
void mark_best(Table& table, std::size_t column, const std::vector<const Part*>& models, const OfRun& of) {
  const std::vector<std::int64_t> seeds = shared_seeds(models);
  std::vector<std::optional<Spread>> means;
  double largest = 0;
  for (const Part* model : models) {
    means.push_back(spread(*model, seeds, of));
    if (means.back()) largest = std::max(largest, means.back()->mean);
  }
  const auto leads = [&](const std::optional<Spread>& mean) { return mean && fixed(mean->mean) == fixed(largest); };
  const bool level = std::all_of(means.begin(), means.end(), [&](const auto& mean) { return !mean || leads(mean); });
  if (level || fixed(largest) == fixed(0)) return;
  for (std::size_t m = 0; m < models.size(); ++m) table.rows[m][column].best = leads(means[m]);
}

/// Whether the whole grid failed, so that there is nothing to choose.
bool search_failed(const Part& part) {
  const auto failed = std::count_if(part.trials.begin(), part.trials.end(),
                                    [](const Trial& trial) { return !trial.valid && !trial.failure.empty(); });
  return !part.grid.empty() && !part.chosen && failed == static_cast<std::ptrdiff_t>(part.grid_size());
}

/// Whether the part's model has nothing to be trained with, as its whole search failed.
bool is_left_out(const Study& study, const Part& part) {
  return std::any_of(study.parts.begin(), study.parts.end(),
                     [&](const Part& other) { return other.model == part.model && search_failed(other); });
}

/// Whether a command would go on with it, were its model not left out.
bool is_unfinished(const StudyRun& run) { return !run.finished && run.failure.empty(); }

/// The study without what failed.
Study without_failures(const Study& study) {
  Study rest = study;
  for (Part& part : rest.parts) {
    const bool left_out = is_left_out(study, part);
    std::erase_if(part.runs, [&](const StudyRun& run) { return !run.finished && (left_out || !run.failure.empty()); });
    if (search_failed(part)) part.grid.clear();
  }
  std::erase_if(rest.parts, [](const Part& part) { return part.runs.empty(); });
  return rest;
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
              "Means over the finished seeds, \u00b1 the standard deviation (n \u2212 1) where there are "
              "two or more. Metrics are those of test; in bold the best mean over the seeds that are finished for all "
              "models. Validation " +
                  escaped(metric_title(study.metric)) +
                  " is each seed\u2019s at its best epoch, by which the epoch was chosen. Seconds are those of "
                  "training, each seed\u2019s the median of its epochs.",
              part_columns("Model"),
              {}};
  add_metric_columns(table, study);
  table.columns.push_back(spread_column("Validation " + metric_title(study.metric), "valid_" + study.metric));
  table.columns.push_back(spread_column("Best epoch", "best_epoch"));
  table.columns.push_back(spread_column("Seconds an epoch", "seconds_per_epoch"));
  table.columns.push_back(number_column("Runs", "runs"));
  for (const Part* part : study.group("models")) {
    std::vector<TableCell> row = part_cells(*part);
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
  std::size_t column = 2;
  for (const std::string& metric : shown_metrics(study))
    mark_best(table, column++, study.group("models"), [&](const StudyRun& run) { return value(run.test, metric); });
  return table;
}

Table differences_table(const Study& study) {
  Table table{"differences",
              "DREAM minus each other model on test, with the 95 % interval of the difference of the users\u2019 means "
              "and the p of a paired randomisation test over users (metrics averaged first over the seeds that are "
              "finished for both). p is not corrected for the number of comparisons.",
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
      if (!tested && metric != study.metric) continue;  // an earlier program tested that one alone
      const auto difference = tested ? std::optional(tested->difference) : mean_difference(*dream, *other, metric);
      if (!difference) continue;
      const auto base = test_spread(*other, metric, shared_seeds({dream, other}));
      std::vector<TableCell> row = part_cells(*other);
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
              "all items; mean \u00b1 standard deviation (n \u2212 1) over the seeds.",
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
    std::vector<TableCell> row = part_cells(*part);
    for (const auto& kind : kinds)
      for (const std::string& metric : metrics)
        row.push_back(spread_cell(spread(*part, [&](const StudyRun& run) { return value(run.*kind.second, metric); })));
    row.push_back(runs_cell(*part));
    table.rows.push_back(std::move(row));
  }
  std::size_t column = 2;
  for (const auto& kind : kinds)
    for (const std::string& metric : metrics)
      mark_best(table, column++, study.group("models"),
                [&](const StudyRun& run) { return value(run.*kind.second, metric); });
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

int unfinished_runs(const Study& study, const Part& part) {
  if (is_left_out(study, part)) return 0;
  return static_cast<int>(std::count_if(part.runs.begin(), part.runs.end(), is_unfinished));
}

Table unfinished_table(const Study& study) {
  Table table = missing_table(without_failures(study));
  table.file = "unfinished";
  return table;
}

Table failures_table(const Study& study) {
  Table table{"failures",
              "What failed, and why.",
              {words_column("", "part"), words_column("Part", "label"), words_column("What", "what"),
               words_column("Why", "why"), words_column("Folder", "folder")},
              {}};
  const auto add = [&](const Part& part, const std::string& what, const std::string& why, const std::string& folder) {
    table.rows.push_back(
        {words_cell(part.id), words_cell(part.label), words_cell(what), words_cell(why), words_cell(folder)});
  };
  for (const Part& part : study.parts) {
    if (search_failed(part))
      add(part, "search", "every trial failed; the first: " + part.trials.front().failure,
          study.folder + "/search/" + part.id);
    for (const StudyRun& run : part.runs) {
      const std::string seed = std::to_string(run.seed);
      if (!run.finished && !run.failure.empty())
        add(part, "seed " + seed, run.failure, study.folder + "/runs/" + part.id + "/seed-" + seed);
    }
    if (is_left_out(study, part) && std::any_of(part.runs.begin(), part.runs.end(), is_unfinished))
      add(part, "runs", "left out, as every trial of the search of " + part.model + " failed", "");
  }
  return table;
}

}  // namespace dream_cli::study_report
