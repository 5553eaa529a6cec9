// Where commands may write: not over what they read, not into data, and not over the files of a run.
#pragma once

#include <string>
#include <vector>

namespace dream_cli {

/// What a command reads; what is not given is an empty path.
struct Inputs {
  struct File {
    const char* option;  ///< "--config"
    std::string path;
  };
  std::string data;  ///< file or folder
  std::vector<File> files;
};

/// What a folder is of: a training run, a search by `dream tune`, a study, or exported embeddings.
enum class OutFolder { run, search, study, vectors };

/// Errors that say what is there, where a command may not write a folder of this kind: into another kind; into data,
/// or around the data that it reads; and where it would replace a file that it reads. Nothing is read or written.
void expect_out_folder(const std::string& path, OutFolder kind, const Inputs& inputs);

/// Likewise for a file, which `option` names: one that is read, one in a data folder, and one that a run, a search or a
/// study writes.
void expect_out_file(const std::string& path, const Inputs& inputs, const char* option = "--out");

}  // namespace dream_cli
