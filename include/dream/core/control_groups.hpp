// The control groups (cgroup version 1 and 2) that this process is in, whose files say what it may use.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace dream::detail {

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

/// Calls f(folder, unified) for the folder of each of this process's control groups and of those around them, in
/// version 2 (unified), or in version 1 of this controller ("cpu", "memory"). `root` stands before /proc and /sys in
/// tests. In a container a path may be the host's; then only the mount's own root exists, which comes last.
template <class F>
void for_control_groups(const std::string& root, std::string_view controller, F&& f) {
  // A line a hierarchy: number:controllers:path. Version 2 names no controllers.
  const std::string groups = small_file(root + "/proc/self/cgroup");
  for (std::string_view rest = groups; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string controllers = "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    const bool unified = controllers == ",,";
    std::string wanted = ",";
    wanted.append(controller).append(",");
    if (!unified && controllers.find(wanted) == std::string::npos) continue;
    for (std::string path(line.substr(second + 1));; path.resize(path.rfind('/'))) {
      if (!path.empty() && path.back() == '/') path.pop_back();
      std::string folder = root + "/sys/fs/cgroup";
      if (!unified) folder.append("/").append(controller);
      f(folder.append(path), unified);
      if (path.find('/') == std::string::npos) break;
    }
  }
}

}  // namespace dream::detail
