#include <dream/core/file.hpp>

#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>

#include "support/catch.hpp"

namespace dream_tests::core_file {

/// Calls of fsync; while it is not negative, every other one ends by a signal.
inline std::atomic<int> fsync_calls = -1;

}  // namespace dream_tests::core_file

/// Stands before that of the C library.
extern "C" int fsync(int file) {
  std::atomic<int>& calls = dream_tests::core_file::fsync_calls;
  if (calls >= 0 && calls++ % 2 == 0) {
    errno = EINTR;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fsync, file));
}

namespace dream_tests::core_file {

namespace {

namespace fs = std::filesystem;

struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "dream-file-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()));
    path = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::permissions(path, fs::perms::owner_all, ignored);
    fs::remove_all(path, ignored);
  }
  std::string operator/(const char* name) const { return (path / name).string(); }
  std::size_t entries() const {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(path)) count += !entry.path().empty();
    return count;
  }
};

}  // namespace

TEST_CASE("a committed file holds what was written, in order, across buffer sizes") {
  Folder folder;
  const std::string path = folder / "a.bin";
  std::string expected;
  {
    dream::AtomicFile file(path);
    for (std::size_t bytes : {1u, 0u, 70000u, 1u << 20, 3u, (1u << 20) + 1, 999999u, 5u}) {
      const std::string piece(bytes, static_cast<char>('a' + bytes % 26));
      file.write(piece);
      expected += piece;
    }
    REQUIRE_FALSE(fs::exists(path));
    file.commit();
    REQUIRE_ERROR(file.write("x"), "after it was committed");
    REQUIRE_ERROR(file.commit(), "committed twice");
  }
  REQUIRE(dream::read_file(path) == expected);
  REQUIRE(dream::FileBytes(path).text() == expected);
  REQUIRE(folder.entries() == 1);
}

TEST_CASE("an uncommitted file leaves the old contents and no temporary") {
  Folder folder;
  const std::string path = folder / "a.txt";
  {
    dream::AtomicFile file(path);
    file.write("old");
    file.commit();
  }
  {
    dream::AtomicFile first(path), second(path);
    first.write("first");
    second.write("second");
    REQUIRE(folder.entries() == 3);
    second.commit();
  }
  REQUIRE(dream::read_file(path) == "second");
  REQUIRE(folder.entries() == 1);
}

TEST_CASE("writing through a link replaces the file it leads to and keeps the link") {
  Folder folder;
  dream::AtomicFile(folder / "real").commit();
  fs::create_symlink("real", folder / "link");
  dream::AtomicFile file(folder / "link");
  file.write("x");
  file.commit();
  REQUIRE(fs::is_symlink(folder / "link"));
  REQUIRE(dream::read_file(folder / "real") == "x");
}

TEST_CASE("a full disk, an oversized file and a missing folder are errors that name file and reason") {
  Folder folder;
  if (fs::exists("/dev/full")) {
    dream::AtomicFile full("/dev/full");
    full.write("x");
    REQUIRE_ERROR(full.commit(), "/dev/full: failed while writing: No space left on device");
    REQUIRE_ERROR(full.write("x"), "had failed");
  }
  REQUIRE_ERROR(dream::AtomicFile(folder / "missing/a"),
                "missing/a: cannot create a file in this folder: No such file");
  REQUIRE_ERROR(dream::AtomicFile(folder.path.string()), "is a folder, expected a file");

  // The file size limit stands in for a full disk behind a regular file.
  rlimit before;
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit limited{1 << 16, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limited) == 0);
  std::string message;
  try {
    dream::AtomicFile file(folder / "big");
    file.write(std::string(1 << 17, 'x'));
    file.commit();
  } catch (const dream::error& e) {
    message = e.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  REQUIRE(message.find("big: failed while writing: File too large") != std::string::npos);
  REQUIRE(folder.entries() == 0);
}

TEST_CASE("a signal during fsync does not end a file") {
  Folder folder;
  dream::AtomicFile file(folder / "a");
  file.write("x");
  fsync_calls = 0;
  file.commit();
  CHECK(fsync_calls.exchange(-1) == 4);  // of the file and of its folder, twice each
  CHECK(dream::read_file(folder / "a") == "x");
}

TEST_CASE("a pipe that nobody reads is an error of its own") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto handler = std::signal(SIGPIPE, SIG_IGN);
  dream::AtomicFile file(dream::concat("/dev/fd/", ends[1]));
  file.write("x");
  ::close(ends[0]);
  CHECK_THROWS_AS(file.commit(), dream::broken_pipe);
  std::signal(SIGPIPE, handler);
  ::close(ends[1]);
}

TEST_CASE("a named pipe is refused as an input at once, and a pipe of the process is read") {
  Folder folder;
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  fs::create_symlink("pipe", folder / "link");
  for (const char* name : {"pipe", "link"}) {
    REQUIRE_ERROR(dream::read_file(folder / name), dream::concat(name, ": is a named pipe, expected a file"));
    REQUIRE_ERROR(dream::FileBytes(folder / name), dream::concat(name, ": is a named pipe, expected a file"));
  }
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t writer = ::fork();
  if (writer == 0) {
    ::usleep(20000);  // read_file waits for it
    ::_exit(::write(ends[1], "seen", 4) == 4 ? 0 : 1);
  }
  ::close(ends[1]);
  const std::string path = dream::concat("/dev/fd/", ends[0]);
  CHECK(dream::read_file(path) == "seen");
  REQUIRE_ERROR(dream::FileBytes(path), "is neither a regular file nor a folder");
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(writer, &status, 0) == writer);
  CHECK(status == 0);
}

TEST_CASE("an unwritable folder is an error") {
  if (fs::exists("/proc/self")) REQUIRE_ERROR(dream::AtomicFile("/proc/dream"), "cannot create a file in this folder");
  if (::geteuid() == 0) return;  // the superuser may write everywhere else
  Folder folder;
  fs::permissions(folder.path, fs::perms::owner_read | fs::perms::owner_exec);
  REQUIRE_ERROR(dream::AtomicFile(folder / "a"), "Permission denied");
}

TEST_CASE("reading a missing file or a folder is an error") {
  Folder folder;
  REQUIRE_ERROR(dream::read_file(folder / "none"), "none: cannot open for reading: No such file or directory");
  REQUIRE_ERROR(dream::FileBytes(folder / "none"), "none: cannot open for reading");
  REQUIRE_ERROR(dream::read_file(folder.path.string()), "is a folder, expected a file");
  REQUIRE_ERROR(dream::FileBytes(folder.path.string()), "is a folder, expected a file");
}

TEST_CASE("an empty file reads as nothing") {
  Folder folder;
  dream::AtomicFile(folder / "empty").commit();
  REQUIRE(dream::read_file(folder / "empty").empty());
  REQUIRE(dream::FileBytes(folder / "empty").size() == 0);
}

TEST_CASE("a file whose size is not known beforehand is read whole") {
  if (!fs::exists("/proc/self/status")) return;
  REQUIRE(dream::read_file("/proc/self/status").find("Name:") != std::string::npos);
}

TEST_CASE("a file that shrinks or grows while it is read is an error, and no signal") {
  Folder folder;
  const std::string path = folder / "a.bin";
  {
    dream::AtomicFile file(path);
    file.write(std::string(100000, 'x'));
    file.commit();
  }
  const dream::FileReader reader(path);
  char bytes[10];
  reader.read(99990, bytes, 10);
  CHECK(std::string(bytes, 10) == "xxxxxxxxxx");
  reader.expect_same_size();
  REQUIRE_ERROR(reader.read(99991, bytes, 10), "a.bin: 10 bytes asked for at byte 99991, but the file has 100000");
  fs::resize_file(path, 99995);
  REQUIRE_ERROR(reader.read(99990, bytes, 10), "a.bin: ends at byte 99995, but had 100000 bytes when it was opened");
  fs::resize_file(path, 100001);
  reader.read(99990, bytes, 10);
  REQUIRE_ERROR(reader.expect_same_size(), "a.bin: has 100001 bytes, but had 100000 when it was opened");
  if (fs::exists("/dev/null")) REQUIRE_ERROR(dream::FileBytes("/dev/null"), "/dev/null: is neither a regular file");
}

TEST_CASE("the bytes of a file stay where they are when they are moved") {
  Folder folder;
  {
    dream::AtomicFile file(folder / "a");
    file.write("short");
    file.commit();
  }
  dream::FileBytes first(folder / "a");
  const std::string_view text = first.text();
  const dream::FileBytes second = std::move(first);
  CHECK(second.data() == text.data());
  CHECK(text == "short");
}

TEST_CASE("prepared files take their names together, and one that is given up leaves the old ones") {
  Folder folder;
  const auto write = [&](const char* name, const char* text) {
    dream::AtomicFile file(folder / name);
    file.write(text);
    file.commit();
  };
  write("a", "old");
  write("b", "old");
  {
    dream::AtomicFile a(folder / "a"), b(folder / "b");
    a.write("new");
    b.write("new");
    a.prepare();
    REQUIRE_ERROR(a.write("more"), "written to after it was committed");
    REQUIRE_ERROR(a.prepare(), "committed twice");
  }
  CHECK(dream::read_file(folder / "a") == "old");
  CHECK(folder.entries() == 2);
  dream::AtomicFile a(folder / "a"), b(folder / "b");
  a.write("new");
  b.write("newer");
  a.prepare();
  b.prepare();
  CHECK(dream::read_file(folder / "a") == "old");
  a.commit();
  b.commit();
  REQUIRE_ERROR(a.commit(), "committed twice");
  CHECK(dream::read_file(folder / "a") == "new");
  CHECK(dream::read_file(folder / "b") == "newer");
  CHECK(folder.entries() == 2);
}

TEST_CASE("a folder is made with those above it, and a file in the way is an error") {
  Folder folder;
  dream::make_folder(folder / "a/b/c");
  dream::make_folder(folder / "a/b/c");
  REQUIRE(fs::is_directory(folder / "a/b/c"));
  dream::AtomicFile(folder / "file").commit();
  REQUIRE_ERROR(dream::make_folder(folder / "file"), "file: cannot make this folder: Not a directory");
  REQUIRE_ERROR(dream::make_folder(folder / "file/b"), "cannot make this folder");
  REQUIRE_ERROR(dream::make_folder(""), "without a name");
}

TEST_CASE("a folder is listed in order, and one that is missing or a file is an error") {
  Folder folder;
  for (const char* name : {"b", "a", "c"}) dream::AtomicFile(folder / name).commit();
  REQUIRE(dream::list_folder(folder.path.string()) == std::vector<std::string>{"a", "b", "c"});
  REQUIRE_ERROR(dream::list_folder(folder / "a"), "a: cannot list this folder: Not a directory");
  REQUIRE_ERROR(dream::list_folder(folder / "none"), "none: cannot list this folder: No such file");
  REQUIRE(dream::file_exists(folder / "a"));
  REQUIRE_FALSE(dream::file_exists(folder / "none"));
  REQUIRE(dream::absolute_path(folder / "./x/../a") == dream::absolute_path(folder / "a"));
}

}  // namespace dream_tests::core_file
