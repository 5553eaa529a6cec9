// Text of unknown origin in messages: no control characters, and not more than a reader looks at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace dream {

namespace detail {

/// Bytes of the UTF-8 character that the text begins with; 0 where it begins with none. Overlong forms and surrogates
/// are none.
inline std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t length = byte(0) < 0x80 ? 1 : byte(0) < 0xC2 ? 0 : byte(0) < 0xE0 ? 2 : byte(0) < 0xF0 ? 3 : 4;
  if (length == 0 || byte(0) > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  const bool overlong = (byte(0) == 0xE0 && byte(1) < 0xA0) || (byte(0) == 0xF0 && byte(1) < 0x90);
  const bool outside = (byte(0) == 0xED && byte(1) > 0x9F) || (byte(0) == 0xF4 && byte(1) > 0x8F);
  return overlong || outside ? 0 : length;
}

}  // namespace detail

/// The text with control characters (0x00-0x1F, 0x7F, and U+0080-U+009F) and bytes that are no UTF-8 as \xNN.
inline std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = detail::utf8_length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    const bool control =
        length == 0 || first < 0x20 || first == 0x7F || (first == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0);
    const std::string_view character = text.substr(0, length == 0 ? 1 : length);
    text.remove_prefix(character.size());
    if (!control) {
      out += character;
      continue;
    }
    for (const char c : character) {
      const auto value = static_cast<unsigned char>(c);
      out += "\\x";
      for (const int digit : {value >> 4, value & 15}) out += "0123456789abcdef"[digit];
    }
  }
  return out;
}

/// printable(), and of a text of more than 800 bytes only the first 500 and the last 200.
inline std::string excerpt(std::string_view text) {
  constexpr std::size_t most = 800, head = 500, tail = 200;
  if (text.size() <= most) return printable(text);
  const auto in_character = [&](std::size_t at) { return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80; };
  std::size_t end = head, begin = text.size() - tail;
  for (int i = 0; i < 3 && in_character(end); ++i) --end;
  for (int i = 0; i < 3 && in_character(begin); ++i) ++begin;
  return printable(text.substr(0, end)) + " ... (" + std::to_string(text.size()) + " bytes) ... " +
         printable(text.substr(begin));
}

/// A part of a message as it is shown: excerpt() of texts and characters, except of string literals; others as they
/// are.
template <class Part>
decltype(auto) shown(const Part& part) {
  if constexpr (std::is_same_v<Part, char>) {
    return printable({&part, 1});
  } else if constexpr (std::is_convertible_v<const Part&, std::string_view> && !std::is_array_v<Part>) {
    return excerpt(part);
  } else {
    return (part);
  }
}

}  // namespace dream
