// The report of a study.
#pragma once

#include <string>

namespace dream_cli {

/// Reads the folder of a study and writes FOLDER/report.html, which needs no other file and no network, and the same
/// numbers as FOLDER/tables/*.tsv. What is not trained yet, or cannot be read, is left out and listed. A folder that is
/// no study, a study of another version and a damaged study.json are dream::errors; then nothing is written.
void write_report(const std::string& study_folder);

}  // namespace dream_cli
