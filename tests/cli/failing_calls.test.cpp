// Every call that may fail does: the program ends with an error, and what was whole before stays so.
#include <nlohmann/json.hpp>
#include <string>

#include <dream/train/safetensors.hpp>

#include "cli/program.hpp"

#if !defined(DREAM_FAILING_CALLS)
#define DREAM_FAILING_CALLS ""
#endif

namespace dream_tests::cli_failing_calls {

using namespace dream_test;
namespace fs = std::filesystem;

namespace {

#if defined(DREAM_PROGRAM_HAS_CUDA)
constexpr bool has_cuda = true;
#else
constexpr bool has_cuda = false;
#endif

#define NEEDS_FAILING_CALLS() \
  NEEDS_PROGRAM();            \
  if (!fs::exists(DREAM_FAILING_CALLS)) DREAM_SKIP("failing calls are not built here (sanitizers, or no glibc)")

/// Data and a run of one epoch in `begun`, which goes on in `o` with failing calls.
struct Place : Workplace {
  Place() {
    make_data();
    const Outcome begun = run("train --data data --out begun --epochs 1" + model);
    INFO(begun.err);
    REQUIRE(begun.code == 0);
  }

  static std::string settings(const std::string& kind, long at, const std::string& more = "") {
    // What nvcc puts before main crashes where it lacks memory.
    const char* const from = has_cuda ? "DREAM_FAIL_FROM=main " : "";
    return dream::concat("export ", from, "DREAM_FAIL=", kind, " DREAM_FAIL_AT=", at, " ", more, " LD_PRELOAD='",
                         DREAM_FAILING_CALLS, "';");
  }

  Outcome go_on(const std::string& before) const {
    fs::remove_all(*this / "o");
    fs::copy(*this / "begun", *this / "o", fs::copy_options::recursive);
    return run("train --data data --out o --resume --epochs 2 --threads 2" + model, before);
  }

  /// How many such calls the whole command makes.
  long calls(const std::string& kind) const {
    const Outcome outcome = go_on(settings(kind, 0, "DREAM_FAIL_COUNT=count"));
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    return std::stol(read("count"));
  }

  /// Ends as it should: with an error, or, where nothing depended on the call, as if it had not failed.
  void check(const std::string& kind, long at, const std::string& more = "") const {
    const Outcome outcome = go_on(settings(kind, at, more));
    INFO(kind << " " << at << " " << more << ": " << outcome.code << "\n" << outcome.err);
    CHECK((outcome.code == 0 || outcome.code == 1));
    CHECK((outcome.code == 1) == contains(outcome.err, "dream: error: "));
    const dream::SafetensorsFile checkpoint(*this / "o/checkpoint.safetensors");
    checkpoint.expect_whole();
    const int epoch = nlohmann::json::parse(checkpoint.meta("state")).at("epoch").get<int>();
    CHECK(epoch >= (outcome.code == 0 ? 2 : 1));
    CHECK(has("o/result.json") >= (outcome.code == 0));
    CHECK_FALSE(contains(listing("o"), "partial"));
  }

  /// `positions` calls of all, the first and the last among them; 0: every one.
  void sweep(const std::string& kind, long positions, const std::string& more = "") const {
    const long all = calls(kind);
    CHECK(all > 0);
    if (positions == 0 || positions > all) positions = all;
    for (long i = 0; i < positions; ++i) check(kind, positions == 1 ? 1 : 1 + i * (all - 1) / (positions - 1), more);
  }

  const std::string model = " --set embedding_size=4 --set train_batch_size=512 --set knn_k=4 --set user_knn_k=4 ";
};

void every_allocation(long quarter) {
  NEEDS_FAILING_CALLS();
  const Place place;
  const long all = place.calls("memory");
  for (long at = 1 + quarter * all / 4; at <= (quarter + 1) * all / 4; ++at) place.check("memory", at);
}

}  // namespace

TEST_CASE("an allocation that fails ends training with an error, and the checkpoint before stays whole") {
  NEEDS_FAILING_CALLS();
  const Place place;
  place.sweep("memory", 40);
  const Outcome outcome = place.go_on(Place::settings("memory", 1, "DREAM_FAIL_REST=1"));
  CHECK(outcome.code == 1);
  CHECK(contains(outcome.err, "dream: error: out of memory while starting"));
}

TEST_CASE("a call of the file system that fails ends training with an error, and the checkpoint before stays whole") {
  NEEDS_FAILING_CALLS();
  const Place place;
  for (const char* kind : {"write", "fsync", "rename", "open", "close"}) place.sweep(kind, 3);
}

TEST_CASE("any call of the file system may fail, and all allocations from any on", "[exhaustive]") {
  NEEDS_FAILING_CALLS();
  const Place place;
  for (const char* kind : {"write", "fsync", "rename", "open", "close"}) place.sweep(kind, 0);
  place.sweep("memory", 200, "DREAM_FAIL_REST=1");
}

// In four cases, which run beside each other.
TEST_CASE("any allocation may fail, the first quarter of all", "[exhaustive]") { every_allocation(0); }
TEST_CASE("any allocation may fail, the second quarter of all", "[exhaustive]") { every_allocation(1); }
TEST_CASE("any allocation may fail, the third quarter of all", "[exhaustive]") { every_allocation(2); }
TEST_CASE("any allocation may fail, the last quarter of all", "[exhaustive]") { every_allocation(3); }

}  // namespace dream_tests::cli_failing_calls
