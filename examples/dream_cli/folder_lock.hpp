// One command at a time writes a folder.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <dream/core/temporaries.hpp>

namespace dream_cli {

/// Keeps other commands out of a folder while it lives, by the file `lock` in it, which goes away with it. A missing
/// folder is made, and removed if nothing was written into it. A folder that another command has is an error.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder);
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock();

 private:
  std::string path_;
  std::vector<std::filesystem::path> made_;  ///< folders that were missing, the deepest first
  dream::detail::Descriptor file_;
  dream::Temporary registered_;
};

}  // namespace dream_cli
