// Text files of interactions: tables (`.inter` with TABs, plain ones with blanks or commas) and LightGCN lists. The
// bytes are parsed where they are mapped; line numbers are counted only when an error needs one.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/data/ids.hpp>
#include <dream/data/interactions.hpp>

namespace dream {

/// How ids are understood. `automatic`: as integers if the first one is, each of users and items for itself.
enum class IdKind { automatic, integers, strings };

namespace detail {

/// A mapped text file that knows the lines of its bytes.
struct TextFile {
  std::string path;
  MappedFile file;

  explicit TextFile(std::string name) : path(std::move(name)), file(path) {
    DREAM_EXPECT(file.size() > 0, path, ": is empty, expected interactions");
  }
  const char* begin() const { return file.data(); }
  const char* end() const { return file.data() + file.size(); }
  /// Behind a byte order mark, if there is one.
  const char* start() const { return file.text().substr(0, 3) == "\xEF\xBB\xBF" ? begin() + 3 : begin(); }

  template <class... Parts>
  [[noreturn]] void bad(const char* at, const Parts&... parts) const {
    fail(path, ":", std::count(begin(), at, '\n') + 1, ": ", parts...);
  }
};

/// Fields end at TABs and line ends, in plain files at blanks and commas too.
template <bool Plain>
bool field_ends(const char* p, const char* end) {
  return p == end || *p == '\t' || *p == '\n' || *p == '\r' || (Plain && (*p == ' ' || *p == ','));
}

template <bool Plain>
std::string_view field_at(const char* p, const char* end) {
  const char* last = p;
  while (!field_ends<Plain>(last, end)) ++last;
  return {p, static_cast<std::size_t>(last - p)};
}

/// Behind the separator of two fields, or null where the line ends. Plain: blanks with at most one comma among them.
template <bool Plain>
const char* next_field(const char* p, const char* end) {
  if constexpr (!Plain) return p < end && *p == '\t' ? p + 1 : nullptr;
  const auto blanks = [&] {
    while (p < end && (*p == ' ' || *p == '\t')) ++p;
  };
  blanks();
  if (p < end && *p == ',') ++p;
  blanks();
  return p == end || *p == '\n' || *p == '\r' ? nullptr : p;
}

/// Behind the line end at p, or null where there is none.
template <bool Plain>
const char* next_line(const char* p, const char* end) {
  while (Plain && p < end && (*p == ' ' || *p == '\t')) ++p;
  if (p < end && *p == '\r') ++p;
  if (p == end) return p;
  return *p == '\n' ? p + 1 : nullptr;
}

/// Turns the ids of one kind, users or items, into rows.
class IdColumn {
 public:
  /// `what`: "user" or "item". With a list of ids, rows are its rows and any other id is an error.
  IdColumn(std::string what, IdKind kind, const IdMap* listed, std::string list_path)
      : what_(std::move(what)), kind_(listed ? IdKind::strings : kind), list_path_(std::move(list_path)) {
    if (listed) index_.emplace(*listed);
  }

  /// Reads the id at p and returns its end.
  template <bool Plain>
  const char* parse(const TextFile& file, const char* p, index_t& row) {
    const char* const end = file.end();
    if (kind_ == IdKind::automatic) [[unlikely]]
      decide(field_at<Plain>(p, end));
    if (kind_ == IdKind::integers) {
      const char* last = p;
      std::int64_t value = 0;
      while (last < end && *last >= '0' && *last <= '9' && value <= limit) value = 10 * value + (*last++ - '0');
      if (last == p || !field_ends<Plain>(last, end) || (*p == '0' && last - p > 1) || value > limit) [[unlikely]]
        refuse(file, p, field_at<Plain>(p, end));
      row = static_cast<index_t>(value);
      highest_ = std::max(highest_, row);
      return last;
    }
    const std::string_view id = field_at<Plain>(p, end);
    if (id.empty()) file.bad(p, "found an empty ", what_, " id");
    if (index_) {
      row = index_->find(id);
      if (row < 0) file.bad(p, "found the ", what_, " id '", id, "', which is not in ", list_path_);
    } else {
      const auto [entry, added] = rows_.try_emplace(id, static_cast<index_t>(order_.size()));
      if (added) {
        DREAM_EXPECT(static_cast<std::int64_t>(order_.size()) <= limit, file.path, ": more than ", limit + 1, ' ',
                     what_, "s");
        order_.push_back(id);
      }
      row = entry->second;
    }
    return id.data() + id.size();
  }

  bool integers() const { return kind_ == IdKind::integers; }
  /// The ids seen, while the files are still mapped. Not for listed ids.
  IdMap ids() const {
    IdMap map;
    map.count = integers() ? highest_ + 1 : static_cast<index_t>(order_.size());
    map.names.assign(order_.begin(), order_.end());
    return map;
  }

 private:
  static constexpr std::int64_t limit = std::numeric_limits<index_t>::max() - 1;

  void decide(std::string_view id) {
    const std::string_view digits = id.substr(id.substr(0, 1) == "-");
    const bool whole = !digits.empty() && digits.find_first_not_of("0123456789") == std::string_view::npos;
    const bool padded = digits.size() > 1 && digits[0] == '0';
    kind_ = whole && !padded && digits.size() <= 10 ? IdKind::integers : IdKind::strings;
  }
  [[noreturn]] void refuse(const TextFile& file, const char* p, std::string_view id) const {
    const std::string_view digits = id.substr(id.substr(0, 1) == "-");
    const bool whole = !digits.empty() && digits.find_first_not_of("0123456789") == std::string_view::npos;
    if (id.empty()) file.bad(p, "found an empty ", what_, " id");
    if (whole && id[0] == '-') file.bad(p, "found the negative ", what_, " id '", id, "', expected ids from 0");
    if (whole && digits[0] != '0')
      file.bad(p, "found the ", what_, " id '", id, "', expected at most ", limit, " (or read ids as strings)");
    file.bad(p, "found the ", what_, " id '", id, "', expected a whole number like the first ", what_,
             " id (or read ids as strings)");
  }

  std::string what_;
  IdKind kind_;
  std::string list_path_;
  std::optional<IdIndex> index_;
  index_t highest_ = -1;
  std::unordered_map<std::string_view, index_t> rows_;
  std::vector<std::string_view> order_;  // into the mapped files
};

enum class Column { other, user, item, timestamp, label };

/// What a column is, by its name; RecBole's `name:type` is understood.
inline Column column_of(std::string_view name) {
  name = name.substr(0, name.find(':'));
  for (const std::string_view known : {"userID", "user_id", "user"})
    if (name == known) return Column::user;
  for (const std::string_view known : {"itemID", "item_id", "item"})
    if (name == known) return Column::item;
  if (name == "timestamp") return Column::timestamp;
  return name == "x_label" ? Column::label : Column::other;
}

/// The columns of a header line.
template <bool Plain>
std::vector<Column> parse_header(const TextFile& file) {
  std::vector<Column> columns;
  std::string names;
  for (const char* p = file.start(); p;) {
    const std::string_view name = field_at<Plain>(p, file.end());
    const Column column = column_of(name);
    if (column != Column::other && std::count(columns.begin(), columns.end(), column))
      file.bad(p, "found the column '", name, "' a second time");
    columns.push_back(column);
    names += concat(names.empty() ? "" : ", ", name);
    p = next_field<Plain>(name.data() + name.size(), file.end());
  }
  for (const auto& [column, wanted] :
       {std::pair{Column::user, "userID, user_id or user"}, std::pair{Column::item, "itemID, item_id or item"}})
    if (!std::count(columns.begin(), columns.end(), column))
      file.bad(file.begin(), "missing column: found the columns ", names, ", expected one named ", wanted);
  return columns;
}

/// Reads a time: a whole number, or a decimal one whose fraction is dropped.
template <bool Plain>
const char* parse_timestamp(const TextFile& file, const char* p, std::int64_t& time) {
  const auto [last, code] = std::from_chars(p, file.end(), time);
  if (code == std::errc{} && field_ends<Plain>(last, file.end())) return last;
  const std::string_view text = field_at<Plain>(p, file.end());
  double value = 0;
  const auto [end, real] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (real != std::errc{} || end != text.data() + text.size() || !(std::abs(value) < 9e18))
    file.bad(p, "found the timestamp '", text, "', expected a number");
  time = static_cast<std::int64_t>(value);
  return end;
}

/// Reads the lines from p on, one interaction each, into `out`.
template <bool Plain>
void parse_table(const TextFile& file, const char* p, const std::vector<Column>& columns, IdColumn& users,
                 IdColumn& items, Interactions& out) {
  const char* const end = file.end();
  const std::size_t lines = static_cast<std::size_t>(std::count(p, end, '\n')) + 1;
  const auto has = [&](Column column) { return std::count(columns.begin(), columns.end(), column) > 0; };
  out.user.reserve(lines);
  out.item.reserve(lines);
  if (has(Column::timestamp)) out.timestamp.reserve(lines);
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
      std::int64_t time = 0;
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
          p = parse_timestamp<Plain>(file, p, time);
          out.timestamp.push_back(time);
          break;
        case Column::label:
          if (!field_ends<Plain>(p, end) && *p >= '0' && *p <= '2' && field_ends<Plain>(p + 1, end))
            out.label.push_back(static_cast<std::uint8_t>(*p++ - '0'));
          else
            file.bad(p, "found the x_label '", field_at<Plain>(p, end), "', expected 0 (train), 1 (valid) or 2 (test)");
          break;
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
  DREAM_EXPECT(!out.user.empty(), file.path, ": holds no interactions");
}

/// Reads lines `user item item ...` and labels them.
inline void parse_lists(const TextFile& file, std::uint8_t label, IdColumn& users, IdColumn& items, Interactions& out) {
  for (const char* p = file.start(); p < file.end();) {
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
  for (const char* p = file.start(); p < file.end();) {
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
