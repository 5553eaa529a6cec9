// What a report says in sentences, as HTML.
#pragma once

#include <string>

#include "study_files.hpp"

namespace dream_cli::study_report {

/// Which model is first, by how much over the second, whether that is significant, and what is not finished or failed.
std::string summary_words(const Study& study);
/// How models were trained and evaluated, and how settings were chosen.
std::string method_words(const Study& study);
/// What is the paper's and what was chosen here, as in docs/fidelity.md.
std::string fidelity_words();
/// What goes on with the study, where something is missing.
std::string missing_words(const Study& study);
/// What can be done about what failed.
std::string failure_words(const Study& study);

/// Why there is nothing to show: no difference of DREAM from a model,
std::string no_difference_words(const Study& study);
/// nothing that the diagnostics find of models with `what` (HTML),
std::string no_diagnosis_words(const Study& study, const std::string& what);
/// nothing of the test lists,
std::string no_lists_words(const Study& study);
/// no curve.
std::string no_evaluation_words(const Study& study);

}  // namespace dream_cli::study_report
