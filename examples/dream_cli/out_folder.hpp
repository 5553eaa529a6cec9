// The folders that commands write: what they are, and that one command at a time writes them.
#pragma once

#include <string>

namespace dream_cli {

/// What a folder is of: a training run, a search by `dream tune`, or a study.
enum class OutFolder { run, search, study };

/// Writing one kind of folder into another kind, or into a data folder, is an error that says what is there.
void expect_out_folder(const std::string& path, OutFolder kind);

/// Keeps other commands out of a folder while it lives; made where it is missing. A folder that another command has is
/// an error.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder);
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock();

 private:
  int file_ = -1;
};

}  // namespace dream_cli
