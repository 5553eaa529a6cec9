#include <dream/core/file.hpp>

#include <sys/wait.h>

#include <csignal>
#include <memory>
#include <thread>

#include "support/catch.hpp"

namespace dream_tests::core_temporaries {

namespace {

namespace fs = std::filesystem;

struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "dream-temporaries-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()));
    path = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
  std::vector<std::string> names() const { return dream::list_folder(path.string()); }
  void touch(const std::string& name) const {
    const dream::detail::Descriptor file(::open((path / name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(file.get() >= 0);
  }
};

/// The id of a process that is over.
pid_t dead_process() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  REQUIRE(child > 0);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  return child;
}

}  // namespace

TEST_CASE("what is being written is removed for a signal, and what was committed or discarded is not touched") {
  const Folder folder;
  dream::AtomicFile(folder / "committed").commit();
  { const dream::AtomicFile discarded(folder / "discarded"); }
  const std::string stranger = "committed.partial-" + std::to_string(::getpid()) + "-0";
  folder.touch(stranger);
  dream::AtomicFile first(folder / "a"), second(folder / "a");
  first.write("x");
  REQUIRE(folder.names().size() == 4);
  errno = 7;
  dream::remove_temporaries();
  REQUIRE(errno == 7);
  REQUIRE(folder.names() == std::vector<std::string>{"committed", stranger});
  REQUIRE_ERROR(first.commit(), "a: failed while renaming the finished file: No such file");
  dream::AtomicFile(folder / "a").commit();  // the slots are free again
  REQUIRE(folder.names() == std::vector<std::string>{"a", "committed", stranger});
}

TEST_CASE("more temporaries than can be registered are written all the same") {
  const Folder folder;
  std::vector<std::unique_ptr<dream::AtomicFile>> files;
  files.reserve(20);
  for (int i = 0; i < 20; ++i)
    files.push_back(std::make_unique<dream::AtomicFile>(folder / ("file-" + std::to_string(i))));
  dream::remove_temporaries();
  REQUIRE(folder.names().size() == 4);
  for (std::size_t i = 16; i < 20; ++i) files[i]->commit();
  REQUIRE(folder.names() == std::vector<std::string>{"file-16", "file-17", "file-18", "file-19"});
}

TEST_CASE("removing temporaries beside threads that write loses no committed file and no slot") {
  const Folder folder;
  std::atomic<bool> over{false};
  std::array<std::vector<std::string>, 3> committed;
  std::vector<std::thread> writers;
  for (std::size_t t = 0; t < committed.size(); ++t)
    writers.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string path = folder / (std::to_string(t) + "-" + std::to_string(i));
        try {
          dream::AtomicFile file(path);
          file.commit();
          committed[t].push_back(path);
        } catch (const dream::error&) {  // the temporary was removed
        }
      }
    });
  std::thread remover([&] {
    while (!over) {
      dream::remove_temporaries();
      std::this_thread::yield();
    }
  });
  for (std::thread& writer : writers) writer.join();
  over = true;
  remover.join();
  std::size_t files = 0;
  for (const auto& paths : committed) {
    for (const std::string& path : paths) REQUIRE(dream::file_exists(path));
    files += paths.size();
  }
  REQUIRE(folder.names().size() == files);
  for (const auto& slot : dream::detail::temporary_slots) REQUIRE(slot.state == dream::detail::SlotState::unused);
}

TEST_CASE("a file's leftovers of dead processes go with its next writing, and nothing else does") {
  const Folder folder;
  const std::string dead = std::to_string(dead_process()), live = std::to_string(::getppid());
  const std::vector<std::string> kept{"a.partial--1-0",
                                      "a.partial-" + live + "-0",
                                      "a.partial-" + dead,
                                      "a.partial-" + dead + "-",
                                      "a.partial-" + dead + "-0x",
                                      "a.partial-" + dead + "-0-0",
                                      "a.partial-0" + dead + "y-0",
                                      "a.partial-draft",
                                      "b.partial-" + dead + "-0",
                                      "a.partial-99999999999999-0"};
  for (const std::string& name : kept) folder.touch(name);
  folder.touch("a.partial-" + dead + "-0");
  folder.touch("a.partial-" + dead + "-17");
  // One that is written on another computer: locked.
  const std::string locked = "a.partial-" + dead + "-3";
  folder.touch(locked);
  const dream::detail::Descriptor elsewhere(::open((folder / locked).c_str(), O_WRONLY | O_CLOEXEC));
  REQUIRE(::flock(elsewhere.get(), LOCK_EX) == 0);
  fs::create_symlink("b.partial-" + dead + "-0", folder / ("a.partial-" + dead + "-4"));
  { const dream::AtomicFile file(folder / "a"); }
  REQUIRE(folder.names().size() == kept.size() + 2);
  for (const std::string& name : kept) REQUIRE(dream::file_exists(folder / name));
  REQUIRE(dream::file_exists(folder / locked));
}

TEST_CASE("leftovers are looked for where a link leads, and beside a name without a folder") {
  const Folder folder;
  const std::string leftover = "real.partial-" + std::to_string(dead_process()) + "-0";
  fs::create_directory(folder / "below");
  dream::AtomicFile(folder / "below/real").commit();
  fs::create_symlink("below/real", folder / "link");
  folder.touch("below/" + leftover);
  dream::AtomicFile(folder / "link").commit();
  REQUIRE_FALSE(dream::file_exists(folder / ("below/" + leftover)));
  folder.touch(leftover);
  const fs::path before = fs::current_path();
  fs::current_path(folder.path);
  dream::remove_leftovers("real");
  fs::current_path(before);
  REQUIRE_FALSE(dream::file_exists(folder / leftover));
}

}  // namespace dream_tests::core_temporaries
