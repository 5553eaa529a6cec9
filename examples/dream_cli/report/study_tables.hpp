// The tables of a study's report.
#pragma once

#include <string>
#include <vector>

#include "report_tables.hpp"
#include "study_files.hpp"

namespace dream_cli::study_report {

Table data_table(const Study& study);
/// The settings that all parts share.
Table settings_table(const Study& study);
/// What each part sets, its grid and what was chosen.
Table parts_table(const Study& study);
/// Test metrics of the models, best in bold.
Table models_table(const Study& study);
/// DREAM minus each other model.
Table differences_table(const Study& study);
/// Test metrics over warm and over cold items.
Table cold_table(const Study& study);
/// The grids, and what was chosen from each.
Table grids_table(const Study& study);
/// Every trial of every grid.
Table search_table(const Study& study);
/// DREAM with trainable and with frozen modal embeddings.
Table embeddings_table(const Study& study);
/// DREAM without something.
Table ablations_table(const Study& study);
/// Models without and with behaviour-modal alignment.
Table plugin_table(const Study& study);
/// Mean cosines of the two domains.
Table misalignment_table(const Study& study);
/// The share of each modality in the items' modal representation.
Table shares_table(const Study& study);
Table uniformity_table(const Study& study);
/// Coverage, Gini index, popularity and intra-list distance of the test lists, at the K of the study's metric.
Table lists_table(const Study& study);
/// All that is not finished, failed or not; without rows where nothing is missing.
Table missing_table(const Study& study);
/// Of that, what the study's command goes on with, and what failed, which it does not train again.
Table unfinished_table(const Study& study);
Table failures_table(const Study& study);
/// Runs of a part that the study's command would still train: neither finished nor failed, nor of a model whose
/// search failed.
int unfinished_runs(const Study& study, const Part& part);

/// The numbers of the curves and histograms; written, not shown.
Table valid_by_epoch(const Study& study);
Table forgetting_by_epoch(const Study& study);
Table cosine_histograms(const Study& study);

/// A model's parts without and with alignment; one of them may be missing.
struct AlignmentPair {
  std::string label;
  const Part* without = nullptr;
  const Part* with = nullptr;
};
/// DREAM, whose alignment is its own, and every model that the study trains with `+bma`.
std::vector<AlignmentPair> alignment_pairs(const Study& study);

/// Cosines of a part's runs together: counts are summed, means averaged; none where no run has them.
std::optional<Cosines> part_cosines(const Part& part, std::optional<Cosines> Diagnosis::*domain);

}  // namespace dream_cli::study_report
