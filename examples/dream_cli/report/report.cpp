#include "report.hpp"

#include <algorithm>
#include <cstdio>
#include <dream/core/file.hpp>

#include "../commands.hpp"
#include "report_page.hpp"
#include "report_words.hpp"
#include "study_figures.hpp"
#include "study_tables.hpp"

namespace dream_cli::study_report {

namespace {

void write_whole(const std::string& path, const std::string& text) {
  dream::AtomicFile file(path);
  file.write(text);
  file.commit();
}

/// Gathers sections, and the tables that they show.
class Report {
 public:
  explicit Report(const Study& study) : study_(study) {
    page_.title = "Study of " + study.data.name;
    page_.lead = summary_words(study);
  }

  void section(const std::string& id, const std::string& title, const std::string& html) {
    page_.sections.push_back({id, title, html});
  }
  /// The table, or a sentence where it has no rows.
  std::string table(const Table& table, const std::string& otherwise) {
    tables_.push_back(table);
    return table.rows.empty() ? "<p>" + otherwise + "</p>\n" : table.html();
  }
  /// The table of parts, or a sentence where it has no number.
  std::string numbers(const Table& table, const std::string& otherwise) {
    const bool any = std::any_of(table.rows.begin(), table.rows.end(), [](const std::vector<TableCell>& row) {
      return std::any_of(row.begin() + 2, row.end() - 1, [](const auto& cell) { return !cell.stored[0].empty(); });
    });
    tables_.push_back(table);
    return any ? table.html() : "<p>" + otherwise + "</p>\n";
  }
  void unseen(const Table& table) { tables_.push_back(table); }

  void write() const {
    dream::make_folder(study_.folder + "/tables");
    for (const Table& table : tables_) write_whole(study_.folder + "/tables/" + table.file + ".tsv", table.tsv());
    write_whole(study_.folder + "/report.html", page_.html());
  }

 private:
  const Study& study_;
  ReportPage page_;
  std::vector<Table> tables_;
};

std::string heading(const std::string& text) { return "<h3>" + text + "</h3>\n"; }

std::string folded(const std::string& title, const std::string& html) {
  return "<details><summary>" + title + "</summary>\n" + html + "</details>\n";
}

std::string figure_or(const std::string& figure, const std::string& otherwise) {
  return figure.empty() ? "<p>" + otherwise + "</p>\n" : figure;
}

/// What goes on, and what failed and stays so.
std::string missing_section(Report& report, const Study& study) {
  const Table unfinished = unfinished_table(study), failures = failures_table(study);
  const bool all = unfinished.rows.empty(), none_failed = failures.rows.empty();
  std::string html = report.table(unfinished, none_failed ? "Nothing: every run and every search is finished."
                                                          : "Nothing: all that did not fail is finished.");
  if (!all) html += missing_words(study);
  report.unseen(missing_table(study));
  if (none_failed) {
    report.unseen(failures);
    return html;
  }
  return html + heading("What failed") + report.table(failures, "") + failure_words(study);
}

void write_pages(const std::string& study_folder) {
  const Study study = read_study(study_folder);
  const bool searches =
      std::any_of(study.parts.begin(), study.parts.end(), [](const Part& part) { return !part.grid.empty(); });
  Report report(study);
  report.section("data", "Data and settings",
                 report.table(data_table(study), "") + method_words(study) +
                     folded("What is trained", report.table(parts_table(study), "The study has no parts.")) +
                     folded("Settings that all runs share",
                            "<p>A setting that a model does not have has no effect on that model.</p>\n" +
                                report.table(settings_table(study), "There are none.")));
  report.section("models", "Models",
                 report.table(models_table(study), "The study has no models.") + heading("DREAM against each") +
                     report.table(differences_table(study), no_difference_words(study)) + heading("What was searched") +
                     report.table(grids_table(study), "Nothing: the study has no grids.") +
                     folded("All trials",
                            report.table(search_table(study), searches ? "No trial has begun." : "There are none.")) +
                     heading("Warm and cold items") + report.table(cold_table(study), "The study has no models."));
  report.section("curves", "Training curves", figure_or(training_curves(study), no_evaluation_words(study)));
  report.unseen(valid_by_epoch(study));
  report.section(
      "embeddings", "Modal embeddings",
      heading("Trainable against frozen") + embeddings_bars(study) +
          report.table(embeddings_table(study), "The study has no part with frozen modal embeddings.") +
          heading("Forgetting") +
          "<p>How far the trainable embeddings have moved from the features they started at: the mean over items of 1 "
          "\u2212 the cosine of the two.</p>\n" +
          figure_or(forgetting_curves(study), no_diagnosis_words(study, "trained modal embeddings")));
  report.unseen(forgetting_by_epoch(study));
  report.section(
      "shares", "Share of each modality",
      "<p>By how much of its squared length the items\u2019 modal representation comes from each modality.</p>\n" +
          report.table(shares_table(study), no_diagnosis_words(study, "a modal representation of items")));
  report.section(
      "misalignment", "Misalignment of the two domains",
      "<p>How well the behaviour representation and the modal representation of the same user or item agree, as their "
      "cosine: the higher it is, the better the two are aligned. BMA is behaviour-modal alignment, part of "
      "DREAM\u2019s loss, added to the others\u2019. BM3 and FREEDOM have modal representations of items alone.</p>\n" +
          report.table(misalignment_table(study),
                       no_diagnosis_words(study, "both a behaviour and a modal representation")) +
          misalignment_histograms(study));
  report.unseen(cosine_histograms(study));
  report.section(
      "plugin", "Alignment as a plug-in",
      plugin_bars(study) + report.table(plugin_table(study), "The study has no part with BMA as a plug-in."));
  report.section("ablations", "Ablations", report.table(ablations_table(study), "The study has no ablations."));
  report.section(
      "uniformity", "Alignment and uniformity",
      "<p>Alignment: the mean squared distance of the normalised final embeddings of training pairs. Uniformity: the "
      "logarithm of the mean of exp(\u22122 squared distance) over random pairs.</p>\n" +
          report.numbers(uniformity_table(study), no_diagnosis_words(study, "final embeddings")));
  report.section(
      "lists", "Lists",
      "<p>What the users are shown, whether it hits or not. Coverage: the share of all items that are in some "
      "user\u2019s list. Gini index: how unevenly lists show the items, 0 where all are in as many lists, near 1 where "
      "few items are in all of them. Popularity: the mean number of training interactions of the items of a list. "
      "Intra-list distance of a modality: how different the items of a list are, the mean over their pairs of 1 "
      "\u2212 the cosine of their features.</p>\n" +
          report.numbers(lists_table(study), no_lists_words(study)));
  report.section("fidelity", "The paper\u2019s choices and this library\u2019s", fidelity_words());
  report.section("missing", "What is missing", missing_section(report, study));
  report.write();
}

}  // namespace

}  // namespace dream_cli::study_report

namespace dream_cli {

void write_report(const std::string& study_folder) { study_report::write_pages(study_folder); }

int report(const ReportArguments& arguments) {
  write_report(arguments.study);
  std::printf("%s/report.html\n", arguments.study.c_str());
  return study_report::say_damages(arguments.study) ? Exit::failure : Exit::success;
}

}  // namespace dream_cli
