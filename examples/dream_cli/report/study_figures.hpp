// The figures of a study's report, as HTML. Each is empty where no run has what it shows.
#pragma once

#include <string>

#include "study_files.hpp"

namespace dream_cli::study_report {

/// Validation metric by epoch, a line a model.
std::string training_curves(const Study& study);
/// Test metrics with trainable and with frozen modal embeddings.
std::string embeddings_bars(const Study& study);
/// Modal information forgetting by epoch, a panel a modality, a line a model.
std::string forgetting_curves(const Study& study);
/// Cosines of the two domains, a panel a model and kind of entity, without and with alignment.
std::string misalignment_histograms(const Study& study);
/// Test metric of models without and with alignment.
std::string plugin_bars(const Study& study);

}  // namespace dream_cli::study_report
