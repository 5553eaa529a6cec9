// Runs the dream program in a folder of its own and keeps what it said.
#pragma once

#include <fcntl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <dream/core/file.hpp>

#include "support/catch.hpp"

#if !defined(DREAM_PROGRAM)
#define DREAM_PROGRAM ""
#endif

namespace dream_test {

#if !defined(DREAM_EMULATED_PROGRAM)
#define DREAM_EMULATED_PROGRAM ""
#endif

/// A test that needs the program starts with this.
#define NEEDS_PROGRAM() \
  if (std::string(DREAM_PROGRAM).empty()) DREAM_SKIP("the dream program was not built")
/// And with this, where it needs the backend `emulated`, which a program of the tests has.
#define NEEDS_EMULATED_PROGRAM() \
  if (!std::filesystem::exists(DREAM_EMULATED_PROGRAM)) DREAM_SKIP("dream_emulated was not built")

/// How a run of the program ended.
struct Outcome {
  int code = -1;  ///< exit code, or minus the signal
  std::string out;
  std::string err;
};

inline int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status); }

/// Waits for a process and returns its exit code, or minus the signal.
inline int ended(pid_t process) {
  int status = 0;
  REQUIRE(::waitpid(process, &status, 0) == process);
  return code_of(status);
}

/// A folder with runs of the program in it; goes away with the test.
class Workplace {
 public:
  explicit Workplace(std::string program = DREAM_PROGRAM) : program_(std::move(program)) {
    path_ = (std::filesystem::temp_directory_path() / "dream-program-XXXXXX").string();
    REQUIRE(::mkdtemp(path_.data()) != nullptr);
  }
  Workplace(const Workplace&) = delete;
  ~Workplace() { std::filesystem::remove_all(path_); }

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(*this / name).parent_path());
    std::ofstream(*this / name, std::ios::binary) << text;
  }
  std::string read(const std::string& name) const { return dream::read_file(*this / name); }
  bool has(const std::string& name) const { return std::filesystem::exists(*this / name); }

  /// Runs `dream ARGUMENTS` in the folder under a shell; `before` are commands before it ("ulimit -f 10;").
  Outcome run(const std::string& arguments, const std::string& before = "") const {
    // One thread, unless the arguments say more: tests run beside each other.
    const std::string command = "cd '" + path_ + "' && export OMP_NUM_THREADS=1 && { " + before + " exec '" + program_ +
                                "' " + arguments + "; } >.stdout 2>.stderr </dev/null";
    const int status = std::system(("( " + command + " )").c_str());
    Outcome outcome;
    outcome.code = code_of(status);
    outcome.out = read(".stdout");
    outcome.err = read(".stderr");
    return outcome;
  }

  /// Starts the program and returns its process; ended() waits for it.
  pid_t start(std::vector<std::string> arguments) const {
    const pid_t child = ::fork();
    if (child != 0) return child;
    if (::chdir(path_.c_str()) != 0) ::_exit(120);
    ::dup2(::open("/dev/null", O_RDWR), 1);
    ::dup2(::open(".stderr", O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
    std::string program = program_;
    std::vector<char*> argv{program.data()};
    for (std::string& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(121);
  }

  /// Waits until there is a file of this name, or one whose name begins so; false after half a minute.
  bool appears(const std::string& name, bool begins = false) const {
    const std::filesystem::path path = *this / name;
    for (int i = 0; i < 15000; ++i) {
      std::error_code missing;
      for (const auto& entry : std::filesystem::directory_iterator(path.parent_path(), missing)) {
        const std::string found = entry.path().filename().string();
        if (begins ? found.starts_with(path.filename().string()) : found == path.filename()) return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }

  /// A data set of 60 users, 50 items and two modalities in `data`.
  void make_data(const std::string& more = "") const {
    const Outcome made =
        run("synth --out data --users 60 --items 50 --interactions 900 --modality image=12 "
            "--modality text=6 --seed 3 " +
            more);
    INFO(made.err);
    REQUIRE(made.code == 0);
  }

  /// Files under a folder that are neither hidden nor there by design of the test.
  std::string listing(const std::string& name) const {
    std::string text;
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(*this / name))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    for (const std::string& n : names) text += n + " ";
    return text;
  }

 private:
  std::string program_, path_;
};

using Rows = std::vector<std::vector<std::string>>;

/// The cells of a table, separated by TABs.
inline Rows rows_of(const std::string& text) {
  Rows rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream cells(line);
    rows.emplace_back();
    for (std::string cell; std::getline(cells, cell, '\t');) rows.back().push_back(cell);
  }
  return rows;
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// The run failed with this exit code and an error line on stderr with this text.
#define CHECK_FAILS(outcome, exit_code, text)                  \
  do {                                                         \
    const dream_test::Outcome failed = (outcome);              \
    INFO("out: " << failed.out << "\nerr: " << failed.err);    \
    CHECK(failed.code == (exit_code));                         \
    CHECK(dream_test::contains(failed.err, "dream: error: ")); \
    CHECK_THAT(failed.err, DREAM_MATCHES_SUBSTRING(text));     \
  } while (false)

}  // namespace dream_test
