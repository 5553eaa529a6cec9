// Standard streams that are closed or that nobody reads, and limits of the system.
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include <nlohmann/json.hpp>

#include "cli/program.hpp"

namespace dream_tests::cli_streams {

using namespace dream_test;

namespace {

const std::string small = " --model mf --epochs 3 --set embedding_size=8 ";

/// A trained run.
struct Trained : Workplace {
  Trained() {
    make_data();
    REQUIRE(run("train --data data --out o" + small).code == 0);
  }
};

/// Starts the program with `stream` a pipe without a reader and the other one a file.
pid_t start_unread(const Workplace& place, int stream, std::vector<std::string> arguments) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  ::close(ends[0]);
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGPIPE, SIG_DFL);
    if (::chdir(place.path().c_str()) != 0) ::_exit(120);
    ::dup2(::open(".other", O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO + STDERR_FILENO - stream);
    ::dup2(ends[1], stream);
    std::string program = DREAM_PROGRAM;
    std::vector<char*> argv{program.data()};
    for (std::string& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(121);
  }
  ::close(ends[1]);
  return child;
}

bool is_json_lines(const std::string& text) {
  for (std::size_t at = 0, end = 0; at < text.size(); at = end + 1) {
    end = text.find('\n', at);
    if (end == std::string::npos || !nlohmann::json::accept(text.substr(at, end - at))) return false;
  }
  return !text.empty();
}

}  // namespace

TEST_CASE("whatever standard streams are closed, no file gets what is printed") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  for (const std::string closed : {"2>&-", ">&-", "<&-", "<&- >&- 2>&-"}) {
    INFO(closed);
    std::filesystem::remove_all(place / "o");
    CHECK(place.run("train --data data --out o" + small + closed).code == 0);
    CHECK(is_json_lines(place.read("o/metrics.jsonl")));
    CHECK(place.run("evaluate --data data --checkpoint o/best.safetensors " + closed).code == 0);
  }
}

TEST_CASE("where nobody reads its output, the program ends without a word, by SIGPIPE") {
  NEEDS_PROGRAM();
  const Trained place;
  const std::vector<std::vector<std::string>> commands{
      {"--help"},
      {"evaluate", "--data", "data", "--checkpoint", "o/best.safetensors"},
      {"recommend", "--data", "data", "--checkpoint", "o/best.safetensors", "--k", "5", "--out", "/dev/stdout"}};
  for (const auto& arguments : commands) {
    INFO(arguments.front());
    CHECK(ended(start_unread(place, STDOUT_FILENO, arguments)) == -SIGPIPE);
    CHECK(place.read(".other").empty());
  }
  if (std::filesystem::exists("/dev/full"))
    CHECK_FAILS(place.run("evaluate --data data --checkpoint o/best.safetensors >/dev/full"), 1,
                "standard output: cannot be written");
}

TEST_CASE("training goes on where nobody reads its messages") {
  NEEDS_PROGRAM();
  Workplace place;
  place.make_data();
  const pid_t child = start_unread(place, STDERR_FILENO,
                                   {"train", "--data", "data", "--out", "o", "--model", "mf", "--epochs", "3", "--set",
                                    "embedding_size=8", "--threads", "1"});
  CHECK(ended(child) == 0);
  CHECK(place.has("o/result.json"));
  CHECK_THAT(place.read(".other"), DREAM_MATCHES_SUBSTRING("best epoch"));
}

TEST_CASE("a limit on the size of files is an error, and leaves no unfinished file") {
  NEEDS_PROGRAM();
  const Trained place;
  const std::string before = place.listing("o");
  CHECK_FAILS(place.run("train --data data --out p" + small, "ulimit -f 4;"), 1,
              "p/checkpoint.safetensors: failed while writing: File too large");
  CHECK(place.listing("p") == "config.json metrics.jsonl ");
  CHECK_FAILS(place.run("recommend --data data --checkpoint o/best.safetensors --k 40 --out top.tsv", "ulimit -f 4;"),
              1, "top.tsv: failed while writing: File too large");
  CHECK_FALSE(place.has("top.tsv"));
  CHECK(place.listing("o") == before);
}

TEST_CASE("a named pipe as an input is refused, and a configuration may come from a pipe of the process") {
  NEEDS_PROGRAM();
  const Trained place;
  REQUIRE(::mkfifo((place / "pipe").c_str(), 0600) == 0);
  REQUIRE(::mkfifo((place / "data/more_feat.npy").c_str(), 0600) == 0);
  const std::string serve = "recommend --data data --k 5 --out top.tsv --checkpoint ";
  CHECK_FAILS(place.run("inspect --data data"), 1, "data/more_feat.npy: is a named pipe, expected a file");
  std::filesystem::remove(place / "data/more_feat.npy");
  CHECK_FAILS(place.run("inspect --data pipe"), 1, "pipe: is a named pipe, expected a file");
  CHECK_FAILS(place.run("train --data data --out p --config pipe"), 1, "pipe: is a named pipe, expected a file");
  CHECK_FAILS(place.run(serve + "pipe"), 1, "pipe: is a named pipe, expected a file");
  for (const std::string option : {" --users ", " --items ", " --without ", " --histories "})
    CHECK_FAILS(place.run(serve + "o/best.safetensors" + option + "pipe"), 1, "pipe: is a named pipe, expected a file");
  CHECK_FALSE(place.has("p"));
  REQUIRE(place.run("train --data data --out p --config /dev/stdin" + small, "echo 'seed: 5' |").code == 0);
  CHECK(nlohmann::json::parse(place.read("p/config.json")).at("seed") == 5);
}

TEST_CASE("where the system gives no threads, the program says so once and goes on") {
  NEEDS_PROGRAM();
  const Trained place;
  const Outcome expected = place.run("evaluate --data data --checkpoint o/best.safetensors");
  std::filesystem::permissions(place.path(), std::filesystem::perms(0755));
  const pid_t child = ::fork();
  if (child == 0) {
    const int program = ::open(DREAM_PROGRAM, O_RDONLY | O_CLOEXEC);
    if (::chdir(place.path().c_str()) != 0) ::_exit(120);
    ::dup2(::open(".limited.out", O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
    ::dup2(::open(".limited.err", O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
    // The limit counts a user's threads and does not bind root.
    const rlimit none{0, 0};
    if ((::geteuid() == 0 && ::setuid(65534) != 0) || ::setrlimit(RLIMIT_NPROC, &none) != 0) ::_exit(122);
    std::vector<std::string> words{"dream",        "evaluate",           "--data",    "data",
                                   "--checkpoint", "o/best.safetensors", "--threads", "3"};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    char* environment[] = {nullptr};
    ::fexecve(program, argv.data(), environment);
    ::_exit(121);
  }
  REQUIRE(ended(child) == 0);
  CHECK(place.read(".limited.out") == expected.out);
  CHECK(place.read(".limited.err") == "note: the system gives no more threads (ulimit -u?), so 1 of 3 are at work\n");
}

}  // namespace dream_tests::cli_streams
