// What a text file must be: bytes that contain ASCII, neither compressed nor of two bytes a character.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include <dream/core/error.hpp>

namespace dream::detail {

/// Refuses what is not text in an encoding that contains ASCII: an error that names the encoding and the remedy.
inline void refuse_binary(const std::string& path, std::string_view text) {
  using namespace std::string_view_literals;
  constexpr std::pair<std::string_view, std::string_view> packed[] = {{"\x1F\x8B"sv, "gzip"},
                                                                      {"PK\x03\x04"sv, "zip"},
                                                                      {"BZh"sv, "bzip2"},
                                                                      {"\xFD\x37zXZ\x00"sv, "xz"sv},
                                                                      {"\x28\xB5\x2F\xFD"sv, "Zstandard"}};
  for (const auto& [start, name] : packed)
    if (text.starts_with(start) && (name != "bzip2" || text.substr(4, 6) == "1AY&SY"))
      fail(path, ": byte 0: found ", name, ", expected text (unpack the file first)");
  const auto wide = [&](std::string_view name) {
    fail(path, ": byte 0: found text in ", name, ", expected UTF-8 (iconv -f ", name, " -t UTF-8 converts it)");
  };
  if (text.starts_with("\xFF\xFE\0\0"sv) || text.starts_with("\0\0\xFE\xFF"sv)) wide("UTF-32");
  if (text.starts_with("\xFF\xFE"sv) || text.starts_with("\xFE\xFF"sv)) wide("UTF-16");
  const void* const nul = text.empty() ? nullptr : std::memchr(text.data(), 0, text.size());
  if (!nul) return;
  // Without a mark, text of two bytes a character has a NUL in every second place.
  const std::string_view head = text.substr(0, std::min<std::size_t>(text.size(), 64));
  std::size_t nuls[2] = {0, 0};
  for (std::size_t i = 0; i < head.size(); ++i) nuls[i % 2] += head[i] == '\0';
  if (nuls[1] * 4 > head.size() && nuls[0] == 0) wide("UTF-16LE");
  if (nuls[0] * 4 > head.size() && nuls[1] == 0) wide("UTF-16BE");
  const char* const at = static_cast<const char*>(nul);
  fail(path, ":", std::count(text.data(), at, '\n') + 1, ": found a NUL byte, expected text");
}

}  // namespace dream::detail
