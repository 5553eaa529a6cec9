// How many processors this process may use, which in containers and batch jobs is fewer than the machine has.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

#include <dream/core/control_groups.hpp>

namespace dream {

namespace detail {

/// Processors granted by a quota in microseconds a period, rounded up; 0: no limit.
inline int processors_of_quota(std::string_view quota, std::string_view period) {
  const std::int64_t q = take_number(quota), p = take_number(period);
  return q <= 0 || p <= 0 ? 0 : static_cast<int>(std::min<std::int64_t>((q - 1) / p + 1, 1 << 16));
}

/// The smallest processor quota of this process's control groups; 0: no limit.
inline int cgroup_processors(const std::string& root = "") {
  int smallest = 0;
  for_control_groups(root, "cpu", [&](const std::string& folder, bool unified) {
    int processors = 0;
    if (unified) {
      const std::string text = small_file(folder + "/cpu.max");
      std::string_view period = text;
      take_number(period);
      processors = processors_of_quota(text, period);
    } else {
      processors =
          processors_of_quota(small_file(folder + "/cpu.cfs_quota_us"), small_file(folder + "/cpu.cfs_period_us"));
    }
    if (processors > 0) smallest = smallest > 0 ? std::min(smallest, processors) : processors;
  });
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
