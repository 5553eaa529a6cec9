// A temporary folder for the tests of files; gone with its owner.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include <dream/core/file.hpp>

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "dream-test-XXXXXX").string();
    if (!::mkdtemp(name.data())) dream::fail(name, ": cannot make a temporary folder");
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string path() const { return path_.string(); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  /// Writes a file and returns its path.
  std::string write(const std::string& name, std::string_view text) const {
    const std::string path = *this / name;
    dream::make_folder(std::filesystem::path(path).parent_path().string());
    dream::AtomicFile file(path);
    file.write(text);
    file.commit();
    return path;
  }

 private:
  std::filesystem::path path_;
};
