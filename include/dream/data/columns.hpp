// Which column of a table is what: by known names, by the names or numbers that the options give, and what a first line
// that is no header must look like.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/data/id_column.hpp>

namespace dream {

/// How the columns of a table are found. A name is that of a header, RecBole's `:type` may be left out; a whole number
/// counts columns from 1 in a file without a header. Empty: by known names, or user, item, time.
struct ColumnOptions {
  std::string user{};
  std::string item{};
  std::string rating{};
  std::string time{};
  std::string weight{};     ///< of interactions in the ranking loss; empty: all 1, whatever the names
  std::string separator{};  ///< of fields: TAB , ; | :: or blank; the fields may then be quoted
};

namespace detail {

enum class Column { other, user, item, rating, timestamp, weight, label };

/// A name in small letters, without underscores, hyphens and blanks.
inline std::string plain_name(std::string_view name) {
  std::string out;
  for (const char c : name)
    if (c != '_' && c != '-' && c != ' ') out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

/// What a column is, by its name without regard to case and underscores; RecBole's `name:type` is understood.
inline Column column_of(std::string_view name) {
  const std::string plain = plain_name(name.substr(0, name.find(':')));
  for (const std::string_view known : {"user", "userid", "uid", "customer", "customerid", "reviewer", "reviewerid",
                                       "visitorid", "memberid", "accountid"})
    if (plain == known) return Column::user;
  for (const std::string_view known :
       {"item",       "itemid",  "iid",       "movieid", "articleid", "parentasin", "asin",
        "businessid", "product", "productid", "bookid",  "isbn",      "newsid",     "videoid",
        "songid",     "trackid", "recipeid",  "gameid",  "animeid",   "artistid"})
    if (plain == known) return Column::item;
  for (const std::string_view known : {"rating", "overall", "stars"})
    if (plain == known) return Column::rating;
  if (plain == "timestamp") return Column::timestamp;
  return plain == "xlabel" ? Column::label : Column::other;
}

/// Whether a field of a header is the column that the options name, with RecBole's `:type` or without.
inline bool is_named(std::string_view field, std::string_view name) {
  return field == name || field.substr(0, field.find(':')) == name;
}

/// Whether a name is one of the first choice: beside it others for the same column are not looked at.
inline bool is_first_choice(std::string_view name) {
  const std::string plain = plain_name(name.substr(0, name.find(':')));
  for (const std::string_view known : {"user", "userid", "item", "itemid", "rating"})
    if (plain == known) return true;
  return false;
}

/// The columns that options may name, with their keys.
struct NamedColumn {
  Column column;
  const std::string* name;
  const char* key;
};
inline std::array<NamedColumn, 5> named_columns(const ColumnOptions& options) {
  return {{{Column::user, &options.user, "user_column"},
           {Column::item, &options.item, "item_column"},
           {Column::rating, &options.rating, "rating_column"},
           {Column::timestamp, &options.time, "time_column"},
           {Column::weight, &options.weight, "weight_column"}}};
}

/// Whether the options give some columns by number; by number and by name at once is an error.
inline bool columns_by_number(const ColumnOptions& options) {
  std::size_t numbers = 0, given = 0;
  for (const NamedColumn& named : named_columns(options)) {
    given += !named.name->empty();
    numbers += !named.name->empty() && named.name->find_first_not_of("0123456789") == std::string::npos;
  }
  DREAM_EXPECT(numbers == 0 || numbers == given,
               "columns are given by number and by name, expected one of both (numbers: the file has no header)");
  return numbers > 0;
}

/// The fields of the line at p.
template <bool Plain>
std::vector<std::string_view> fields_of(const TextFile& file, const char* p) {
  std::vector<std::string_view> fields;
  while (p) {
    fields.push_back(field_at<Plain>(p, file.end()));
    p = next_field<Plain>(fields.back().data() + fields.back().size(), file.end());
  }
  return fields;
}

/// Whether the line names a user or an item column.
template <bool Plain>
bool is_header(const TextFile& file, const char* line, const ColumnOptions& options) {
  for (const std::string_view field : fields_of<Plain>(file, line)) {
    const Column column = column_of(field);
    if (column == Column::user || column == Column::item) return true;
    for (const NamedColumn& named : named_columns(options))
      if (!named.name->empty() && is_named(field, *named.name)) return true;
  }
  return false;
}

/// The columns of the header line at `line`, which moves behind it.
template <bool Plain>
std::vector<Column> parse_header(const TextFile& file, const char*& line, const ColumnOptions& options) {
  std::vector<Column> columns;
  std::string names;
  const auto fields = fields_of<Plain>(file, line);
  const auto all = named_columns(options);
  for (const std::string_view field : fields) {
    Column column = column_of(field);
    if (!is_first_choice(field))
      for (const std::string_view other : fields)
        if (is_first_choice(other) && column_of(other) == column) column = Column::other;
    for (const NamedColumn& named : all)  // what is named by the options is not looked for by known names
      if (named.column == column && !named.name->empty()) column = Column::other;
    for (const NamedColumn& named : all)
      if (!named.name->empty() && is_named(field, *named.name)) column = named.column;
    if (column != Column::other && std::count(columns.begin(), columns.end(), column)) {
      const auto named = std::find_if(all.begin(), all.end(), [&](const auto& n) { return n.column == column; });
      file.bad(field.data(), "found the column '", field, "' a second time",
               named == all.end() ? "" : concat(" (", named->key, " names the one to read)"));
    }
    columns.push_back(column);
    names += concat(names.empty() ? "" : ", ", field);
  }
  for (const NamedColumn& named : all) {
    if (std::count(columns.begin(), columns.end(), named.column)) continue;
    if (!named.name->empty())
      file.bad(line, "missing column: found the columns ", names, ", expected one named ", *named.name, ", the ",
               named.key);
    if (named.column == Column::user || named.column == Column::item)
      file.bad(line, "missing column: found the columns ", names, ", expected one named ",
               named.column == Column::user ? "userID, user_id or user" : "itemID, item_id or item",
               " (or name it: ", named.key, ")");
  }
  const char* const last = fields.back().data() + fields.back().size();
  const char* behind = next_line<Plain>(last, file.end());
  if (!behind) file.bad(last, "found a stray carriage return or separator, expected the end of the line");
  line = behind;
  return columns;
}

/// The columns of a file without a header, `fields` in its first line at `line`.
inline std::vector<Column> columns_without_header(const TextFile& file, const char* line, std::size_t fields,
                                                  const ColumnOptions& options) {
  if (!columns_by_number(options)) {
    for (const NamedColumn& named : named_columns(options))
      if (!named.name->empty())
        file.bad(line, "found no column named ", *named.name, ", the ", named.key,
                 ", expected it in a header line (a file without one has columns by number: ", named.key, " = 1)");
    if (fields < 2 || fields > 3)
      file.bad(line, "found ", fields, fields == 1 ? " column" : " columns",
               ", expected user, item and perhaps timestamp, or a header line that names the columns (or say what "
               "separates fields: field_separator, and which columns they are: user_column = 1, item_column = 2)");
    std::vector<Column> columns{Column::user, Column::item};
    if (fields == 3) columns.push_back(Column::timestamp);
    return columns;
  }
  std::vector<Column> columns(fields, Column::other);
  for (const NamedColumn& named : named_columns(options)) {
    std::string_view number = *named.name;
    if (number.empty() && named.column == Column::user) number = "1";
    if (number.empty() && named.column == Column::item) number = "2";
    if (number.empty()) continue;
    std::size_t at = 0;
    const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), at);
    if (code != std::errc{} || at < 1 || at > fields)
      file.bad(line, "found ", fields, " columns, expected the ", named.key, ' ', number, " among them");
    if (columns[at - 1] != Column::other) file.bad(line, "column ", at, " is given twice, also as ", named.key);
    columns[at - 1] = named.column;
  }
  return columns;
}

/// Refuses a first line that looks like a header which is not understood: a user or item field that is no whole number
/// above a column of whole numbers, or both without a digit above columns that have one in every line. `user`, `item`:
/// the columns' numbers from 0.
template <bool Plain>
void refuse_unlike_first_line(const TextFile& file, const char* line, std::size_t user, std::size_t item,
                              std::string_view remedy) {
  constexpr std::string_view digits = "0123456789";
  const auto first = fields_of<Plain>(file, line);
  if (first.size() <= std::max(user, item)) return;
  const std::array<std::size_t, 2> at{user, item};
  std::array<bool, 2> whole{}, digit{};  // the rule that the first line alone breaks
  for (std::size_t c = 0; c < 2; ++c) {
    whole[c] = first[at[c]].find_first_not_of(digits) != std::string_view::npos;
    digit[c] = first[at[c]].find_first_of(digits) == std::string_view::npos;
  }
  std::size_t others = 0;
  for (const char* p = std::find(line, file.end(), '\n'); whole[0] || whole[1] || (digit[0] && digit[1]);) {
    if (p == file.end()) break;
    ++p;
    while (Plain && p < file.end() && (*p == ' ' || *p == '\t')) ++p;
    if (next_line<Plain>(p, file.end())) {
      p = std::find(p, file.end(), '\n');
      continue;
    }
    const auto fields = fields_of<Plain>(file, p);
    if (fields.size() <= std::max(user, item)) return;
    ++others;
    for (std::size_t c = 0; c < 2; ++c) {
      whole[c] = whole[c] && fields[at[c]].find_first_not_of(digits) == std::string_view::npos;
      digit[c] = digit[c] && fields[at[c]].find_first_of(digits) != std::string_view::npos;
    }
    p = std::find(p, file.end(), '\n');
  }
  if (others > 0 && (whole[0] || whole[1] || (others > 1 && digit[0] && digit[1])))
    file.bad(line, "found the user '", first[user], "' and the item '", first[item],
             "', unlike those of all other lines: a header that is not understood? ", remedy);
}

}  // namespace detail

}  // namespace dream
