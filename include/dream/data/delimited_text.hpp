// Text with any field separator and with quoted fields, rewritten with one TAB between fields, line by line.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/data/id_column.hpp>

namespace dream::detail {

/// The separator that `field_separator` names: TAB , ; | :: or blank. Empty: none named.
inline std::string separator_named(std::string_view name) {
  if (name == "TAB" || name == "tab" || name == "\\t") return "\t";
  if (name == "blank") return " ";
  for (const std::string_view known : {"", "\t", ",", ";", "|", "::", " "})
    if (name == known) return std::string(name);
  fail("field_separator: found '", name, "', expected one of TAB , ; | :: blank");
}

/// The separator of a quoted plain file, by its first line.
inline std::string separator_of_line(std::string_view line) {
  for (const char* known : {",", "\t"})
    if (line.find(known) != std::string_view::npos) return known;
  return " ";
}

/// Whether a field of the text begins with a quote, fields separated as in plain files.
inline bool has_quoted_fields(const TextFile& file) {
  for (const char* p = file.start(); (p = std::find(p, file.end(), '"')) < file.end(); ++p)
    if (p == file.start() || field_ends<true>(p - 1, file.end())) return true;
  return false;
}

/// Rewrites the text with a TAB between fields; lines stay lines. Blanks around a field go, unless TABs separate. A
/// field in quotes is what stands between them, a doubled quote being one. Errors: a quote that is not closed on its
/// line, text behind a closing quote, a TAB inside a field.
inline std::vector<char> with_tabs(const TextFile& file, std::string_view separator) {
  std::vector<char> out;
  out.reserve(static_cast<std::size_t>(file.end() - file.start()));
  const char* const end = file.end();
  const bool blank = separator == " ";
  const auto is_blank = [&](const char* p) { return p < end && (*p == ' ' || *p == '\t') && separator != "\t"; };
  const auto line_ends = [&](const char* p) { return p == end || *p == '\n' || *p == '\r'; };
  const auto separated = [&](const char* p) {
    return blank ? is_blank(p) : std::string_view(p, static_cast<std::size_t>(end - p)).starts_with(separator);
  };
  const char* p = file.start();
  while (p < end) {
    while (is_blank(p)) ++p;
    for (bool more = !line_ends(p); more;) {
      if (!line_ends(p) && *p == '"') {
        const char* const opening = p++;
        while (true) {
          if (line_ends(p) || *p == '\t')
            file.bad(opening, "found a quoted field with ", p < end && *p == '\t' ? "a TAB" : "a line end",
                     " in it, expected a closing quote before");
          if (*p == '"' && !(p + 1 < end && p[1] == '"')) break;
          p += *p == '"';
          out.push_back(*p++);
        }
        ++p;
        if (!line_ends(p) && !separated(p) && !is_blank(p))
          file.bad(p, "found text behind a closing quote, expected a separator or the end of the line");
      } else {
        const std::size_t from = out.size();
        for (; !line_ends(p) && !separated(p); ++p) out.push_back(*p == '\t' ? ' ' : *p);
        while (separator != "\t" && out.size() > from && out.back() == ' ') out.pop_back();
      }
      while (is_blank(p)) ++p;
      more = blank ? !line_ends(p) : !line_ends(p) && separated(p);
      if (!more) break;
      out.push_back('\t');
      if (!blank) p += separator.size();
      while (is_blank(p)) ++p;
    }
    while (p < end && *p != '\n') out.push_back(*p++);
    if (p < end) out.push_back(*p++);
  }
  return out;
}

}  // namespace dream::detail
