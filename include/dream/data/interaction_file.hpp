// Text files of interactions: tables (`.inter` with TABs, plain ones with blanks or commas) and LightGCN lists. The
// bytes are parsed where they lie in memory; line numbers are counted only when an error needs one.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/data/columns.hpp>
#include <dream/data/id_column.hpp>
#include <dream/data/interactions.hpp>
#include <dream/data/times.hpp>

namespace dream {

namespace detail {

/// Reads a time into `times`.
template <bool Plain>
const char* parse_timestamp(const TextFile& file, const char* p, TimeColumn& times) {
  std::int64_t time = 0;
  const auto [last, code] = std::from_chars(p, file.end(), time);
  const std::string_view text = field_at<Plain>(p, file.end());
  if (code == std::errc{} && last == text.data() + text.size() && !times.dates()) {
    times.add(time);
  } else if (!times.add(text)) {
    file.bad(p, "found the timestamp '", text, "', expected a number or a date, 2023-01-31 or 2023-01-31T12:34:56Z, ",
             "like all others");
  }
  return text.data() + text.size();
}

/// Reads a rating.
template <bool Plain>
const char* parse_rating(const TextFile& file, const char* p, std::vector<double>& ratings) {
  const std::string_view text = field_at<Plain>(p, file.end());
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || end != text.data() + text.size() || !std::isfinite(value))
    file.bad(p, "found the rating '", text, "', expected a number");
  ratings.push_back(value);
  return end;
}

/// Reads a weight.
template <bool Plain>
const char* parse_weight(const TextFile& file, const char* p, std::vector<float>& weights) {
  const std::string_view text = field_at<Plain>(p, file.end());
  float value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || end != text.data() + text.size() || !(value > 0) || !std::isfinite(value))
    file.bad(p, "found the weight '", text, "', expected a number above 0");
  weights.push_back(value);
  return end;
}

/// Adds the lines from p on, one interaction each, to `out`, their times to `times`; ratings only where they are
/// wanted.
template <bool Plain>
void parse_table(const TextFile& file, const char* p, const std::vector<Column>& columns, IdColumn& users,
                 IdColumn& items, bool ratings, TimeColumn& times, Interactions& out) {
  const char* const end = file.end();
  const std::size_t lines = out.user.size() + static_cast<std::size_t>(std::count(p, end, '\n')) + 1;
  const auto has = [&](Column column) { return std::count(columns.begin(), columns.end(), column) > 0; };
  out.user.reserve(lines);
  out.item.reserve(lines);
  if (has(Column::timestamp)) times.reserve(lines);
  if (ratings) out.rating.reserve(lines);
  if (has(Column::weight)) out.weight.reserve(lines);
  if (has(Column::label)) out.label.reserve(lines);
  while (p < end) {
    if (const char* behind = next_line<Plain>(p, end)) {
      p = behind;
      continue;
    }
    while (Plain && (*p == ' ' || *p == '\t')) ++p;
    const char* const line = p;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (c > 0) {
        p = next_field<Plain>(p, end);
        if (!p) file.bad(line, "found ", c, " columns, expected ", columns.size());
      }
      index_t row = 0;
      switch (columns[c]) {
        case Column::user:
          p = users.parse<Plain>(file, p, row);
          out.user.push_back(row);
          break;
        case Column::item:
          p = items.parse<Plain>(file, p, row);
          out.item.push_back(row);
          break;
        case Column::timestamp:
          p = parse_timestamp<Plain>(file, p, times);
          break;
        case Column::weight:
          p = parse_weight<Plain>(file, p, out.weight);
          break;
        case Column::label:
          if (!field_ends<Plain>(p, end) && *p >= '0' && *p <= '2' && field_ends<Plain>(p + 1, end))
            out.label.push_back(static_cast<std::uint8_t>(*p++ - '0'));
          else
            file.bad(p, "found the x_label '", field_at<Plain>(p, end), "', expected 0 (train), 1 (valid) or 2 (test)");
          break;
        case Column::rating:
          if (ratings) {
            p = parse_rating<Plain>(file, p, out.rating);
            break;
          }
          [[fallthrough]];
        case Column::other:
          while (!field_ends<Plain>(p, end)) ++p;
      }
    }
    const char* behind = next_line<Plain>(p, end);
    if (!behind) {
      if (next_field<Plain>(p, end)) file.bad(p, "found more than ", columns.size(), " columns");
      file.bad(p, "found a stray carriage return or separator, expected the end of the line");
    }
    p = behind;
  }
}

/// Reads lines `user item item ...` and labels them.
inline void parse_lists(const TextFile& file, std::uint8_t label, IdColumn& users, IdColumn& items, Interactions& out) {
  const char* p = first_line<true>(file);
  if (p < file.end()) {
    const char* const remedy = "(lists have no header: delete the line)";
    if (is_header<true>(file, p, {}))
      file.bad(p, "found the header '", field_at<true>(p, file.end()), " ...' ", remedy);
    refuse_unlike_first_line<true>(file, p, 0, 1, remedy);
  }
  while (p < file.end()) {
    if (const char* behind = next_line<true>(p, file.end())) {
      p = behind;
      continue;
    }
    while (*p == ' ' || *p == '\t') ++p;
    index_t user = 0, item = 0;
    p = users.parse<true>(file, p, user);
    while (const char* next = next_field<true>(p, file.end())) {
      p = items.parse<true>(file, next, item);
      out.user.push_back(user);
      out.item.push_back(item);
      out.label.push_back(label);
    }
    const char* behind = next_line<true>(p, file.end());
    if (!behind) file.bad(p, "found a stray carriage return or separator, expected the end of the line");
    p = behind;
  }
}

/// Where interaction number `i` of a table stands: "file:line".
template <bool Plain>
std::string place_in_table(const TextFile& file, const char* p, std::int64_t i) {
  while (p < file.end()) {
    if (const char* behind = next_line<Plain>(p, file.end())) {
      p = behind;
    } else if (i-- == 0) {
      break;
    } else {
      p = std::find(p, file.end(), '\n');
    }
  }
  return concat(file.path, ":", std::count(file.begin(), p, '\n') + 1);
}

/// Where interaction number `i` of a list file stands; i is lowered by the file's interactions if it is not there.
inline std::optional<std::string> place_in_lists(const TextFile& file, std::int64_t& i) {
  for (const char* p = first_line<true>(file); p < file.end();) {
    if (const char* behind = next_line<true>(p, file.end())) {
      p = behind;
      continue;
    }
    while (*p == ' ' || *p == '\t') ++p;
    while (!field_ends<true>(p, file.end())) ++p;
    while (const char* next = next_field<true>(p, file.end())) {
      if (i-- == 0) return concat(file.path, ":", std::count(file.begin(), next, '\n') + 1);
      for (p = next; !field_ends<true>(p, file.end());) ++p;
    }
  }
  return std::nullopt;
}

}  // namespace detail

}  // namespace dream
