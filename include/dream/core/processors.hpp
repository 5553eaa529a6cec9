// How many processors this process may use, which in containers and batch jobs is fewer than the machine has.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace dream {

namespace detail {

/// The whole of a small file; empty where it cannot be read.
inline std::string small_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Takes the first number off the text, after blanks; -1 where there is none ("max").
inline std::int64_t take_number(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \n"), text.size()));
  std::int64_t value = -1;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  text.remove_prefix(static_cast<std::size_t>(result.ptr - text.data()));
  return value;
}

/// Processors granted by a quota in microseconds a period, rounded up; 0: no limit.
inline int processors_of_quota(std::string_view quota, std::string_view period) {
  const std::int64_t q = take_number(quota), p = take_number(period);
  return q <= 0 || p <= 0 ? 0 : static_cast<int>(std::min<std::int64_t>((q - 1) / p + 1, 1 << 16));
}

/// The smallest processor quota of this process's control groups (cgroup version 1 and 2) and of the groups around
/// them; 0: no limit. `root` stands before /proc and /sys in tests.
inline int cgroup_processors(const std::string& root = "") {
  int smallest = 0;
  const auto limit = [&](int processors) {
    if (processors > 0) smallest = smallest > 0 ? std::min(smallest, processors) : processors;
  };
  // A line a hierarchy: number:controllers:path. Version 2 names no controllers.
  std::string groups = small_file(root + "/proc/self/cgroup");
  for (std::string_view rest = groups; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string controllers = "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    const bool unified = controllers == ",,";
    if (!unified && controllers.find(",cpu,") == std::string::npos) continue;
    // In a container the path may be the host's; then only the mount's own root exists, which is looked at last.
    for (std::string path(line.substr(second + 1));; path.resize(path.rfind('/'))) {
      if (!path.empty() && path.back() == '/') path.pop_back();
      std::string folder = root;
      if (unified) {
        const std::string text = small_file(folder.append("/sys/fs/cgroup").append(path).append("/cpu.max"));
        std::string_view period = text;
        take_number(period);
        limit(processors_of_quota(text, period));
      } else {
        folder.append("/sys/fs/cgroup/cpu").append(path);
        limit(processors_of_quota(small_file(folder + "/cpu.cfs_quota_us"), small_file(folder + "/cpu.cfs_period_us")));
      }
      if (path.find('/') == std::string::npos) break;
    }
  }
  return smallest;
}

/// Processors of this process's affinity mask (taskset, containers with a set of processors).
inline int affinity_processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace detail

/// Processors this process may use, at least 1: those of its affinity mask, at most its cgroup quota, and at most the
/// environment variable OMP_NUM_THREADS, with which batch systems say what a job was given.
inline int available_processors() {
  int processors = std::max(1, detail::affinity_processors());
  const auto limit = [&](std::int64_t most) {
    if (most > 0) processors = static_cast<int>(std::min<std::int64_t>(processors, most));
  };
  limit(detail::cgroup_processors());
  if (const char* given = std::getenv("OMP_NUM_THREADS")) {
    std::string_view text = given;
    limit(detail::take_number(text));
  }
  return processors;
}

}  // namespace dream
