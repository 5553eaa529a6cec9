#include "folder_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>

namespace dream_cli {

namespace {

/// A lock file is empty; another file of that name is somebody's.
bool is_empty(int file) {
  struct stat about;
  return ::fstat(file, &about) == 0 && S_ISREG(about.st_mode) && about.st_size == 0;
}

/// Whether the name still leads to the open file.
bool leads_to(const std::string& path, int file) {
  struct stat named, opened;
  return ::lstat(path.c_str(), &named) == 0 && ::fstat(file, &opened) == 0 && named.st_dev == opened.st_dev &&
         named.st_ino == opened.st_ino;
}

}  // namespace

FolderLock::FolderLock(const std::string& folder) : path_(folder + "/lock") {
  std::error_code code;
  for (std::filesystem::path at = dream::absolute_path(folder); !std::filesystem::exists(at, code) && !code;
       at = at.parent_path())
    made_.push_back(at);
  // Whoever had the lock before may remove the file, or the folder, between two of these steps.
  do {
    dream::make_folder(folder);
    file_ = dream::detail::Descriptor(::open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666));
    if (file_.get() < 0 && errno == ENOENT) continue;
    DREAM_EXPECT(file_.get() >= 0, path_, ": cannot be opened for writing: ", std::strerror(errno));
    // Some file systems have no locks.
    DREAM_EXPECT(::flock(file_.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK, folder,
                 ": another command is at work in this folder; wait for it, or choose another --out");
  } while (!leads_to(path_, file_.get()));
  if (is_empty(file_.get())) registered_ = dream::Temporary(path_);
}

FolderLock::~FolderLock() {
  registered_ = dream::Temporary();  // from here on the name may be another's
  // Removed while it is locked: nobody else can have it.
  if (is_empty(file_.get())) ::unlink(path_.c_str());
  for (const std::filesystem::path& folder : made_)
    if (::rmdir(folder.c_str()) != 0) break;
}

}  // namespace dream_cli
