#include <dream/core/processors.hpp>

#include <dream/core/memory_limit.hpp>

#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "support/catch.hpp"

namespace dream_tests::core_processors {

using namespace dream;

namespace {

/// A tree that looks like /proc and /sys; goes away with the test.
class Root {
 public:
  Root() {
    path_ = (std::filesystem::temp_directory_path() / "dream-root-XXXXXX").string();
    REQUIRE(::mkdtemp(path_.data()) != nullptr);
  }
  Root(const Root&) = delete;
  ~Root() { std::filesystem::remove_all(path_); }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path_ + name).parent_path());
    std::ofstream(path_ + name) << text;
  }
  int processors() const { return detail::cgroup_processors(path_); }
  std::int64_t memory() const { return detail::cgroup_memory(path_); }

 private:
  std::string path_;
};

/// Sets OMP_NUM_THREADS while it lives.
class ThreadsVariable {
 public:
  explicit ThreadsVariable(const char* value) {
    if (const char* old = std::getenv("OMP_NUM_THREADS")) old_ = old;
    ::setenv("OMP_NUM_THREADS", value, 1);
  }
  ThreadsVariable(const ThreadsVariable&) = delete;
  ~ThreadsVariable() { old_ ? ::setenv("OMP_NUM_THREADS", old_->c_str(), 1) : ::unsetenv("OMP_NUM_THREADS"); }

 private:
  std::optional<std::string> old_;
};

}  // namespace

TEST_CASE("A processor quota of the control group, or of one around it, limits the processors, rounded up") {
  const Root root;
  CHECK(root.processors() == 0);  // no such files
  root.write("/proc/self/cgroup", "0::/system.slice/job.service\n");
  CHECK(root.processors() == 0);
  root.write("/sys/fs/cgroup/system.slice/job.service/cpu.max", "max 100000\n");
  CHECK(root.processors() == 0);
  root.write("/sys/fs/cgroup/system.slice/job.service/cpu.max", "350000 100000\n");
  CHECK(root.processors() == 4);
  root.write("/sys/fs/cgroup/system.slice/cpu.max", "200000 100000\n");
  CHECK(root.processors() == 2);
  root.write("/sys/fs/cgroup/cpu.max", "50000 100000\n");  // a container sees its own group as the root
  CHECK(root.processors() == 1);
  root.write("/sys/fs/cgroup/cpu.max", "nonsense\n");
  CHECK(root.processors() == 2);
}

TEST_CASE("A processor quota of version 1 of control groups limits the processors") {
  const Root root;
  root.write("/proc/self/cgroup", "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n0::/y\n");
  root.write("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "-1\n");
  root.write("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n");
  CHECK(root.processors() == 0);
  root.write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000\n");
  root.write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(root.processors() == 3);
  root.write("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "100000\n");
  CHECK(root.processors() == 1);
}

TEST_CASE("The affinity mask and OMP_NUM_THREADS limit the processors, and nothing raises them") {
  const ThreadsVariable none("");
  const int all = available_processors();
  CHECK(all >= 1);
  CHECK(all <= detail::affinity_processors());
  for (const char* larger : {"100000", "0", "-2", "many"}) {
    const ThreadsVariable variable(larger);
    CHECK(available_processors() == all);
  }
  {
    const ThreadsVariable variable("1,4");  // nested levels, of which the first counts
    CHECK(available_processors() == 1);
  }
  cpu_set_t before, one;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
  const int with_one = available_processors();
  REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
  CHECK(with_one == 1);
}

TEST_CASE("The smallest memory limit of the control groups counts, in both versions") {
  constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
  const Root two;
  CHECK(two.memory() == none);
  two.write("/proc/self/cgroup", "0::/jobs/a\n");
  two.write("/sys/fs/cgroup/jobs/a/memory.max", "max\n");
  CHECK(two.memory() == none);
  two.write("/sys/fs/cgroup/jobs/memory.max", "3000000\n");
  CHECK(two.memory() == 3000000);
  two.write("/sys/fs/cgroup/jobs/a/memory.max", "2000000\n");
  CHECK(two.memory() == 2000000);
  const Root one;
  one.write("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n");
  one.write("/sys/fs/cgroup/cpu/x/memory.limit_in_bytes", "5\n");
  CHECK(one.memory() == none);
  one.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "7000000\n");
  CHECK(one.memory() == 7000000);
  CHECK(memory_limit() > 0);
}

}  // namespace dream_tests::core_processors
