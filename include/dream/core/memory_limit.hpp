// How much memory this process may use, which in containers and batch jobs is less than the machine has.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include <dream/core/control_groups.hpp>

namespace dream {

namespace detail {

/// The smallest memory limit of this process's control groups, in bytes; the largest number where there is none.
inline std::int64_t cgroup_memory(const std::string& root = "") {
  std::int64_t smallest = std::numeric_limits<std::int64_t>::max();
  for_control_groups(root, "memory", [&](const std::string& folder, bool unified) {
    const std::string text = small_file(folder + (unified ? "/memory.max" : "/memory.limit_in_bytes"));
    std::string_view rest = text;
    const std::int64_t limit = take_number(rest);  // "max", or none: -1
    if (limit > 0 && limit < smallest) smallest = limit;
  });
  return smallest;
}

}  // namespace detail

/// Bytes of memory that this process may use: what the machine has, at most the limit of its control groups, and at
/// most its limit of address space (ulimit -v).
inline std::int64_t memory_limit() {
  std::int64_t limit = detail::cgroup_memory();
  const std::int64_t pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGE_SIZE);
  if (pages > 0 && page > 0 && pages < limit / page) limit = pages * page;
  rlimit space{};
  if (::getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY &&
      space.rlim_cur < static_cast<rlim_t>(limit))
    limit = static_cast<std::int64_t>(space.rlim_cur);
  return limit;
}

}  // namespace dream
