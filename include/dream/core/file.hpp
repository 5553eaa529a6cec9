// Files (POSIX): written whole or not at all, read whole or by pieces. Every failed call is a dream::error that names
// the file and the reason.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/temporaries.hpp>

namespace dream {

namespace detail {

inline std::string reason(int code) { return std::generic_category().message(code); }

/// Opens a file for reading and says what it is; a folder is an error, and so is a pipe with a name, for which nobody
/// may ever write. A pipe that the process was started with has a writer, or ends: /dev/stdin, and /dev/fd/N as shells
/// name it for <(...).
inline std::pair<Descriptor, struct stat> open_for_reading(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a pipe is not waited for
  if (file.get() < 0) fail(path, ": cannot open for reading: ", reason(errno));
  struct stat about;
  if (::fstat(file.get(), &about) != 0) fail(path, ": cannot read its size: ", reason(errno));
  if (S_ISDIR(about.st_mode)) fail(path, ": is a folder, expected a file");
  const auto is_below = [&](const char* folder) { return path.starts_with(folder); };
  if (S_ISFIFO(about.st_mode) && path != "/dev/stdin" && !is_below("/dev/fd/") && !is_below("/proc/self/fd/"))
    fail(path, ": is a named pipe, expected a file");
  const int flags = ::fcntl(file.get(), F_GETFL);
  if (flags < 0 || ::fcntl(file.get(), F_SETFL, flags & ~O_NONBLOCK) != 0)
    fail(path, ": cannot open for reading: ", reason(errno));
  return {std::move(file), about};
}

/// fsync that no signal ends early; returns the errno, or 0.
inline int sync_file(const Descriptor& file) {
  int result;
  do {
    result = ::fsync(file.get());
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

/// Makes the names in the folder of a file durable; 0, or the errno of what failed. A folder that may be written but
/// not read cannot be flushed, and some file systems cannot flush folders at all.
inline int sync_folder_of(const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty()) folder = ".";
  const Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const int code = opened.get() >= 0 ? sync_file(opened) : 0;
  return code == EINVAL ? 0 : code;
}

}  // namespace detail

/// Thrown where a pipe that is written to has no reader any more.
class broken_pipe : public error {
 public:
  using error::error;
};

/// Writes a file whole or not at all: into a temporary beside the target, which commit() puts in the target's place.
/// Not committed, it leaves the target as it was; remove_temporaries() removes the temporary, for a signal handler.
/// What killed processes left of the same target is removed. A target that is a device or a pipe is written directly.
class AtomicFile {
 public:
  /// Opens the temporary; an unwritable folder or a target that is a folder is an error.
  explicit AtomicFile(std::string path) : path_(std::move(path)) {
    struct stat about;
    if (::stat(path_.c_str(), &about) == 0) {
      if (S_ISDIR(about.st_mode)) fail(path_, ": cannot write: is a folder, expected a file");
      if (!S_ISREG(about.st_mode)) {
        file_ = detail::Descriptor(::open(path_.c_str(), O_WRONLY | O_CLOEXEC));
        if (file_.get() < 0) fail(path_, ": cannot open for writing: ", detail::reason(errno));
        return;
      }
      char resolved[PATH_MAX];  // a link stays a link: the file it leads to is replaced
      target_ = ::realpath(path_.c_str(), resolved) ? resolved : path_;
    } else {
      target_ = path_;
    }
    remove_leftovers(target_);
    for (int attempt = 0; file_.get() < 0; ++attempt) {
      temporary_ = temporary_name(target_, attempt);
      registered_ = Temporary(temporary_);
      file_ = detail::Descriptor(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
      if (file_.get() < 0 && errno != EEXIST) {
        const int code = errno;
        forget();
        fail(path_, ": cannot create a file in this folder: ", detail::reason(code));
      }
    }
    ::flock(file_.get(), LOCK_EX | LOCK_NB);  // says that it is no leftover, where the file system has locks
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() { discard(); }

  const std::string& path() const { return path_; }

  /// Appends bytes. A failure (disk full, ...) discards the file.
  void write(const void* data, std::size_t bytes) {
    DREAM_EXPECT(file_.get() >= 0 && !prepared_, path_, ": written to after it was committed or had failed");
    if (buffer_.size() + bytes > buffer_limit) flush();
    const char* from = static_cast<const char*>(data);
    if (bytes >= buffer_limit) {
      put(from, bytes);
    } else {
      buffer_.insert(buffer_.end(), from, from + bytes);
    }
  }
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Makes everything written durable, under the temporary's name; only commit() may follow. Several files are all
  /// prepared before the first is committed, so that what fails while they are written leaves all the old ones.
  void prepare() {
    DREAM_EXPECT(file_.get() >= 0 && !prepared_, path_, ": committed twice, or after it had failed");
    flush();
    if (!temporary_.empty()) check(detail::sync_file(file_), "flushing to the disk");
    prepared_ = true;
  }

  /// Makes everything written durable, then puts it in the target's place in one step.
  void commit() {
    if (!prepared_) prepare();
    DREAM_EXPECT(file_.get() >= 0, path_, ": committed twice, or after it had failed");
    check(file_.close(), "closing");
    if (temporary_.empty()) return;
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) check(errno, "renaming the finished file");
    forget();
    check(detail::sync_folder_of(target_), "flushing its folder");
  }

 private:
  static constexpr std::size_t buffer_limit = std::size_t{1} << 20;

  void put(const char* from, std::size_t bytes) {
    while (bytes > 0) {
      const ssize_t done = ::write(file_.get(), from, bytes);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) check(errno, "writing");
      from += done;
      bytes -= static_cast<std::size_t>(done);
    }
  }
  void flush() {
    put(buffer_.data(), buffer_.size());
    buffer_.clear();
  }
  void check(int code, const char* doing) {
    if (code == 0) return;
    discard();
    if (code == EPIPE) throw broken_pipe(concat(shown(path_), ": nobody reads this pipe any more"));
    fail(path_, ": failed while ", doing, ": ", detail::reason(code));
  }
  void discard() noexcept {
    file_.close();
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
    forget();
  }
  void forget() noexcept {
    temporary_.clear();
    registered_ = Temporary();
  }

  std::string path_;
  std::string target_;
  std::string temporary_;  // empty: none
  Temporary registered_;
  std::vector<char> buffer_;
  detail::Descriptor file_;
  bool prepared_ = false;
};

/// The whole contents of a file. Missing, unreadable or a folder: an error.
inline std::string read_file(const std::string& path) {
  const auto [file, about] = detail::open_for_reading(path);
  std::string contents(static_cast<std::size_t>(about.st_size) + 1, '\0');  // the spare byte lets one read see the end
  std::size_t have = 0;
  while (true) {
    const ssize_t done = ::read(file.get(), contents.data() + have, contents.size() - have);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail(path, ": failed while reading: ", detail::reason(errno));
    if (done == 0) break;
    have += static_cast<std::size_t>(done);
    if (have == contents.size()) contents.resize(2 * have);
  }
  contents.resize(have);
  return contents;
}

/// An open regular file that is read piece by piece. One that changes its size meanwhile is an error, not a signal.
class FileReader {
 public:
  explicit FileReader(std::string path) : path_(std::move(path)) {
    auto [file, about] = detail::open_for_reading(path_);
    if (!S_ISREG(about.st_mode)) fail(path_, ": is neither a regular file nor a folder, expected a file");
    file_ = std::move(file);
    size_ = static_cast<std::size_t>(about.st_size);
  }

  const std::string& path() const { return path_; }
  std::size_t size() const { return size_; }

  /// Reads bytes from `at` on, all of which must lie in the file.
  void read(std::size_t at, void* out, std::size_t bytes) const {
    DREAM_EXPECT(at <= size_ && bytes <= size_ - at, path_, ": ", bytes, " bytes asked for at byte ", at,
                 ", but the file has ", size_);
    char* to = static_cast<char*>(out);
    while (bytes > 0) {
      const ssize_t done = ::pread(file_.get(), to, bytes, static_cast<off_t>(at));
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) fail(path_, ": failed while reading at byte ", at, ": ", detail::reason(errno));
      if (done == 0) fail(path_, ": ends at byte ", at, ", but had ", size_, " bytes when it was opened");
      to += done;
      at += static_cast<std::size_t>(done);
      bytes -= static_cast<std::size_t>(done);
    }
  }

  /// To be called when everything is read.
  void expect_same_size() const {
    struct stat about;
    if (::fstat(file_.get(), &about) != 0) fail(path_, ": cannot read its size: ", detail::reason(errno));
    DREAM_EXPECT(static_cast<std::size_t>(about.st_size) == size_, path_, ": has ", about.st_size, " bytes, but had ",
                 size_, " when it was opened");
  }

 private:
  std::string path_;
  detail::Descriptor file_;
  std::size_t size_ = 0;
};

/// All bytes of a regular file, in memory. They stay where they are when the object is moved.
class FileBytes {
 public:
  explicit FileBytes(const std::string& path) {
    const FileReader file(path);
    data_ = std::make_unique_for_overwrite<char[]>(file.size());
    size_ = file.size();
    file.read(0, data_.get(), size_);
    file.expect_same_size();
  }

  const char* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  std::string_view text() const { return {data_.get(), size_}; }

 private:
  std::unique_ptr<char[]> data_;
  std::size_t size_ = 0;
};

/// Removes a file durably; one that is not there is removed already.
inline void remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0) {
    if (errno == ENOENT) return;
    fail(path, ": cannot be removed: ", detail::reason(errno));
  }
  if (const int code = detail::sync_folder_of(path))
    fail(path, ": failed while flushing its folder: ", detail::reason(code));
}

/// Whether there is a file or folder of this name.
inline bool file_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

/// The names of what is in a folder, sorted.
inline std::vector<std::string> list_folder(const std::string& path) {
  std::vector<std::string> names;
  std::error_code code;
  std::filesystem::directory_iterator entry(path, code);
  for (; !code && entry != std::filesystem::directory_iterator(); entry.increment(code))
    names.push_back(entry->path().filename().string());
  if (code) fail(path, ": cannot list this folder: ", code.message());
  std::sort(names.begin(), names.end());
  return names;
}

/// The absolute path without links, "." and ".."; as given where it cannot be found out.
inline std::string absolute_path(const std::string& path) {
  std::error_code code;
  std::filesystem::path found = std::filesystem::absolute(path, code);  // which a missing first part stays otherwise
  if (!code) found = std::filesystem::weakly_canonical(found, code);
  return code ? path : found.string();
}

/// Makes a folder and those above it; one that exists is left as it is. A file in the way is an error.
inline void make_folder(const std::string& path) {
  DREAM_EXPECT(!path.empty(), "cannot make a folder without a name");
  std::error_code code;
  std::filesystem::create_directories(path, code);
  std::error_code unknown;
  if (std::filesystem::is_directory(path, unknown)) return;
  fail(path, ": cannot make this folder: ", code ? code.message() : "a file is in its place");
}

}  // namespace dream
