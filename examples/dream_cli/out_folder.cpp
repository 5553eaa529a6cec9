#include "out_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/serve/export.hpp>

namespace dream_cli {

namespace {

using namespace std::string_view_literals;

/// A file that only one kind of folder has.
struct Mark {
  std::string_view file;
  OutFolder kind;
};
constexpr std::array marks{Mark{"study.json"sv, OutFolder::study},           Mark{"plan.json"sv, OutFolder::study},
                           Mark{"tune.json"sv, OutFolder::search},           Mark{"best.safetensors"sv, OutFolder::run},
                           Mark{"checkpoint.safetensors"sv, OutFolder::run}, Mark{"metrics.jsonl"sv, OutFolder::run}};

const char* name_of(OutFolder kind) {
  return kind == OutFolder::run ? "a training run" : kind == OutFolder::search ? "a search of `dream tune`" : "a study";
}

}  // namespace

void expect_out_folder(const std::string& path, OutFolder kind) {
  dream::expect_no_dataset(path);
  for (const Mark& mark : marks)
    DREAM_EXPECT(mark.kind == kind || !dream::file_exists(dream::concat(path, "/", mark.file)), path,
                 ": is the folder of ", name_of(mark.kind), " (it holds ", mark.file, "), not of ", name_of(kind),
                 "; choose another --out");
}

FolderLock::FolderLock(const std::string& folder) {
  dream::make_folder(folder);
  const std::string path = folder + "/lock";
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  DREAM_EXPECT(file_ >= 0, path, ": cannot be opened for writing: ", std::strerror(errno));
  if (::flock(file_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;  // some file systems have no locks
  ::close(std::exchange(file_, -1));
  dream::fail(folder, ": another command is at work in this folder; wait for it, or choose another --out");
}

FolderLock::~FolderLock() {
  if (file_ >= 0) ::close(file_);
}

}  // namespace dream_cli
