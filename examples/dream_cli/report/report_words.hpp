// What a report says in sentences, as HTML.
#pragma once

#include <string>

#include "study_files.hpp"

namespace dream_cli::study_report {

/// Which model is first, by how much over the second, whether that is significant, and what is not over yet.
std::string summary_words(const Study& study);
/// How models were trained and evaluated, and how settings were chosen.
std::string method_words(const Study& study);
/// What is the paper's and what was chosen here, as in docs/fidelity.md.
std::string fidelity_words();
/// What goes on with the study, where something is missing.
std::string missing_words(const Study& study);

}  // namespace dream_cli::study_report
