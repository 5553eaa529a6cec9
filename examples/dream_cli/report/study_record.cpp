// The tables of what was done: data, settings, searches, what is missing, and the numbers under the charts.
#include "study_tables.hpp"

#include <algorithm>
#include <dream/core/error.hpp>

namespace dream_cli::study_report {

namespace {

std::string percent(double share) { return fixed(100 * share, 3) + " %"; }

void add_missing_run(std::string& text, const StudyRun& run) {
  text += (text.empty() ? "seed " : ", seed ") + std::to_string(run.seed);
  if (!run.failure.empty()) {
    text += " (failed: " + run.failure + ")";
  } else if (!run.lines.empty()) {
    text += " (at epoch " + std::to_string(run.lines.back().epoch) + ")";
  } else if (!run.begun) {
    text += " (not begun)";
  }
}

TableCell chosen_cell(const Part& part) {
  TableCell cell = words_cell(part.chosen ? settings_text(*part.chosen) : "");
  if (!part.chosen && !part.grid.empty()) cell.shown = "not yet";
  return cell;
}

std::ptrdiff_t trials_over(const Part& part) {
  return std::count_if(part.trials.begin(), part.trials.end(),
                       [](const Trial& trial) { return trial.valid.has_value() || !trial.failure.empty(); });
}

/// A table of long form: a part, an epoch, a name and its value.
Table by_epoch(const std::string& file, const std::vector<std::string>& more) {
  Table table{file, "", {words_column("", "part"), words_column("", "label")}, {}};
  for (const std::string& name : more) table.columns.push_back(words_column("", name));
  for (const char* name : {"epoch", "mean", "runs"}) table.columns.push_back(number_column("", name));
  return table;
}

void add_curve(Table& table, const Part& part, const std::vector<std::string>& more, const Curve& curve) {
  for (const Point& point : curve.mean) {
    std::vector<TableCell> row{words_cell(part.id), words_cell(part.label)};
    for (const std::string& text : more) row.push_back(words_cell(text));
    row.push_back(number_cell(point.x, 0));
    row.push_back(number_cell(point.y));
    row.push_back(count_cell(static_cast<std::int64_t>(curve.averaged)));
    table.rows.push_back(std::move(row));
  }
}

}  // namespace

Table data_table(const Study& study) {
  const DataCounts& data = study.data;
  Table table{
      "data", "The data, as they were read.", {words_column("What", "what"), number_column("Number", "number")}, {}};
  const auto add = [&](const std::string& what, std::int64_t number) {
    table.rows.push_back({words_cell(what), count_cell(number)});
  };
  add("Users", data.users);
  add("Items", data.items);
  add("Training interactions", data.train);
  add("Validation interactions", data.valid);
  add("Test interactions", data.test);
  const double pairs = static_cast<double>(data.users) * static_cast<double>(data.items);
  const double share = pairs > 0 ? static_cast<double>(data.train + data.valid + data.test) / pairs : 0;
  table.rows.push_back(
      {words_cell("Density (interactions of all user-item pairs)"), {percent(share), {digits(share)}}});
  add("Cold items (without a training interaction)", data.cold_items);
  for (const ModalityCounts& modality : data.modalities) {
    add("Columns of modality " + modality.name, modality.columns);
    add("Items with modality " + modality.name, modality.items);
  }
  return table;
}

Table settings_table(const Study& study) {
  Table table{"settings",
              "Settings that all parts share, unless their grid or what they set says otherwise; in bold what differs "
              "from the default.",
              {words_column("Key", "key"), words_column("Value", "value"), words_column("Default", "default"),
               words_column("", "differs")},
              {}};
  for (const SharedSetting& s : study.shared) {
    table.rows.push_back({words_cell(s.key), words_cell(setting_text(s.value)), words_cell(setting_text(s.by_default)),
                          words_cell(s.differs ? "yes" : "no")});
    table.rows.back()[0].best = table.rows.back()[1].best = s.differs;
  }
  // Earlier programs wrote those that were given alone.
  for (const auto& [key, value] : study.settings.items())
    if (study.shared.empty())
      table.rows.push_back({words_cell(key), words_cell(setting_text(value)), words_cell(""), words_cell("")});
  return table;
}

Table parts_table(const Study& study) {
  Table table{"parts",
              "What is trained, with every seed: what each sets besides the shared settings, the grid it was searched "
              "over, and what was chosen on validation.",
              {words_column("", "part"), words_column("Part", "label"), words_column("", "group"),
               words_column("Model", "model"), words_column("Sets", "settings"), words_column("Grid", "grid"),
               words_column("Chosen", "chosen")},
              {}};
  for (const Part& part : study.parts) {
    table.rows.push_back({words_cell(part.id), words_cell(part.label), words_cell(part.group), words_cell(part.model),
                          words_cell(settings_text(part.settings)), words_cell(settings_text(part.grid)),
                          chosen_cell(part)});
  }
  return table;
}

Table grids_table(const Study& study) {
  Table table{"grids",
              "What was searched over, and what was chosen by validation " + escaped(metric_title(study.metric)) + ".",
              {words_column("", "part"), words_column("Model", "label"), words_column("Grid", "grid"),
               words_column("Chosen", "chosen"), number_column("Trials", "trials"), number_column("", "trials_over")},
              {}};
  for (const Part& part : study.parts) {
    if (part.grid.empty()) continue;
    const std::string over = std::to_string(trials_over(part)), all = std::to_string(part.grid_size());
    table.rows.push_back({words_cell(part.id),
                          words_cell(part.label),
                          words_cell(settings_text(part.grid)),
                          chosen_cell(part),
                          {over == all ? all : dream::concat(over, " of ", all), {all}},
                          {"", {over}}});
  }
  return table;
}

Table search_table(const Study& study) {
  Table table{"search",
              "Every trial of the searches. Chosen (bold) is what has the best validation " +
                  escaped(metric_title(study.metric)) + "; test was not looked at.",
              {words_column("", "part"), words_column("Part", "label"), words_column("Trial", "trial"),
               words_column("Settings", "settings"), number_column("Validation " + metric_title(study.metric), "valid"),
               number_column("Best epoch", "best_epoch"), words_column("", "chosen")},
              {}};
  for (const Part& part : study.parts) {
    for (const Trial& trial : part.trials) {
      // Without the order of keys.
      const bool chosen = part.chosen && nlohmann::json(trial.settings) == nlohmann::json(*part.chosen);
      const auto valid = trial.valid ? value(*trial.valid, study.metric) : std::nullopt;
      TableCell number = number_cell(valid);
      number.best = chosen;
      TableCell settings = words_cell(settings_text(trial.settings));
      settings.best = chosen;
      table.rows.push_back({words_cell(part.id), words_cell(part.label), words_cell(trial.name), settings, number,
                            trial.valid ? count_cell(trial.best_epoch)
                                        : TableCell{trial.failure.empty() ? "not finished" : "failed", {""}},
                            words_cell(chosen ? "yes" : "no")});
    }
  }
  return table;
}

Table missing_table(const Study& study) {
  Table table{"missing",
              "What is not finished yet, or cannot be read.",
              {words_column("", "part"), words_column("Part", "label"), words_column("What", "what"),
               words_column("Missing", "missing")},
              {}};
  const auto add = [&](const Part& part, const std::string& what, const std::string& missing) {
    table.rows.push_back({words_cell(part.id), words_cell(part.label), words_cell(what), words_cell(missing)});
  };
  for (const Part& part : study.parts) {
    if (!part.grid.empty() && !part.chosen && trials_over(part) == static_cast<std::ptrdiff_t>(part.grid_size())) {
      add(part, "search", "every trial failed; the first: " + part.trials.front().failure);
    } else if (!part.grid.empty() && !part.chosen) {
      add(part, "search",
          std::to_string(trials_over(part)) + " of " + std::to_string(part.grid_size()) + " trials are finished");
    }
    std::string runs;
    for (const StudyRun& run : part.runs)
      if (!run.finished) add_missing_run(runs, run);
    const bool none = std::none_of(part.runs.begin(), part.runs.end(), [](const StudyRun& run) { return run.begun; });
    if (!runs.empty()) add(part, "runs", none ? "all seeds" : runs);
  }
  for (const auto& [part, against, why] : study.untested())
    add(*part, "comparison",
        "with " + against->label + " on " + metric_title(study.metric) + (why.empty() ? "" : ": " + why));
  for (const Damage& damage : study.damages)
    table.rows.push_back(
        {words_cell(damage.part), words_cell(damage.label), words_cell(damage.what), words_cell(damage.text)});
  return table;
}

Table valid_by_epoch(const Study& study) {
  Table table = by_epoch("valid_by_epoch", {"metric"});
  for (const Part& part : study.parts) add_curve(table, part, {study.metric}, valid_curve(part, study.metric));
  return table;
}

Table forgetting_by_epoch(const Study& study) {
  Table table = by_epoch("forgetting_by_epoch", {"modality"});
  for (const Part& part : study.parts)
    for (const std::string& modality : modalities_of(study, &Diagnosis::forgetting))
      add_curve(table, part, {modality}, forgetting_curve(part, modality));
  return table;
}

Table cosine_histograms(const Study& study) {
  Table table{"misalignment_histograms", "", {}, {}};
  for (const char* name : {"part", "label", "of", "low", "high", "count"})
    table.columns.push_back(words_column("", name));
  for (const AlignmentPair& pair : alignment_pairs(study)) {
    for (const Part* part : {pair.without, pair.with}) {
      if (part == nullptr) continue;
      for (const auto& [of, domain] : {std::pair{"users", &Diagnosis::users}, {"items", &Diagnosis::items}}) {
        const auto cosines = part_cosines(*part, domain);
        if (!cosines) continue;
        const double bins = static_cast<double>(cosines->histogram.size());
        for (std::size_t b = 0; b < cosines->histogram.size(); ++b) {
          const double low = -1 + 2 * static_cast<double>(b) / bins, high = -1 + 2 * static_cast<double>(b + 1) / bins;
          table.rows.push_back({words_cell(part->id), words_cell(part->label), words_cell(of), number_cell(low),
                                number_cell(high), number_cell(cosines->histogram[b])});
        }
      }
    }
  }
  return table;
}

}  // namespace dream_cli::study_report
