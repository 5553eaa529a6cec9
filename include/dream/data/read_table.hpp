// Reads the table of a data set, with what the options say about it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/data/columns.hpp>
#include <dream/data/delimited_text.hpp>
#include <dream/data/id_column.hpp>
#include <dream/data/interaction_file.hpp>
#include <dream/data/interactions.hpp>
#include <dream/data/split.hpp>

namespace dream {

/// What read_dataset does beyond reading.
struct ReadOptions {
  SplitRule split = SplitRule::given;           ///< `given` falls back to `random` where the files hold no split
  std::array<double, 3> ratios{0.8, 0.1, 0.1};  ///< of train, valid and test
  std::uint64_t seed = 999;                     ///< of the random split
  std::string valid_from;                       ///< of a split by date: a time as the file has them; empty: no valid
  std::string test_from;                        ///< likewise
  int k_core = 0;                               ///< users and items with fewer interactions are removed, repeatedly
  bool merge_duplicates = false;                ///< keep the first of equal pairs; otherwise they are an error
  IdKind ids = IdKind::automatic;               ///< automatic: integers if the first id is one
  ColumnOptions columns;                        ///< of a table: which is what, and what separates them
  std::optional<double> min_rating;             ///< interactions with a lower rating are dropped
  std::vector<std::string> modalities;          ///< the ones to read, by name; none named: all
};

namespace detail {

/// Whether a table's fields are separated by TABs. Rewrites the text so where the options name a separator, or where a
/// plain file has quoted fields.
inline bool split_at_tabs(TextFile& file, bool plain, const std::string& named) {
  std::string separator = separator_named(named);
  if (plain && separator.empty() && has_quoted_fields(file)) {
    const char* const line = first_line<true>(file);
    separator = separator_of_line({line, std::find(line, static_cast<const char*>(file.end()), '\n')});
  }
  if (!separator.empty()) file.rewritten = with_tabs(file, separator);
  return !plain || !separator.empty();
}

/// The name of a column of the header that looks like weights of interactions; empty where there is none.
template <bool Blanks>
std::string unused_weights(const TextFile& file, const char* header) {
  for (const std::string_view field : fields_of<Blanks>(file, header)) {
    const std::string plain = plain_name(field.substr(0, field.find(':')));
    for (const std::string_view known : {"weight", "count", "counts", "playcount", "plays", "frequency"})
      if (plain == known) return std::string(field.substr(0, field.find(':')));
  }
  return "";
}

/// Reads a table and returns where its rows begin. Blanks: fields end at blanks and commas too. A `plain` file may lack
/// the header.
template <bool Blanks>
const char* read_table(const TextFile& file, bool plain, const ReadOptions& read, IdColumn& users, IdColumn& items,
                       Interactions& raw, std::vector<std::string>& notes) {
  const ColumnOptions& options = read.columns;
  const char* rows = first_line<Blanks>(file);
  DREAM_EXPECT(rows < file.end(), file.path, ": holds no interactions");
  std::vector<Column> columns;
  const bool by_number = columns_by_number(options);
  DREAM_EXPECT(plain || !by_number, file.path, ": has a header, expected columns by name, not by number");
  if (!by_number && (!plain || is_header<Blanks>(file, rows, options))) {
    if (const std::string unused = unused_weights<Blanks>(file, rows); options.weight.empty() && !unused.empty())
      notes.push_back(concat("There is a column ", unused, ", which is not used (weight_column = ", unused,
                             " weighs the ranking loss by it)."));
    columns = parse_header<Blanks>(file, rows, options);
  } else {
    columns = columns_without_header(file, rows, fields_of<Blanks>(file, rows).size(), options);
    const auto number_of = [&](Column c) {
      return static_cast<std::size_t>(std::find(columns.begin(), columns.end(), c) - columns.begin());
    };
    if (!by_number)
      refuse_unlike_first_line<Blanks>(file, rows, number_of(Column::user), number_of(Column::item),
                                       "(user_column and item_column name its columns; if it is an interaction, "
                                       "user_column = 1 says that there is no header)");
  }
  const bool rated = std::count(columns.begin(), columns.end(), Column::rating) > 0;
  const bool by_place = !by_number && columns.size() == 3 && rows == first_line<Blanks>(file);
  if (read.min_rating && !rated)
    fail(file.path, ": has no rating column, which min_rating needs (rating_column names it)");
  if (rated && !read.min_rating) notes.push_back("There is a rating column, which is not used (min_rating does).");
  const TimeColumn times = parse_table<Blanks>(file, rows, columns, users, items, rated && read.min_rating, raw);
  if (by_place && times.look_like_ratings()) {
    const char* const remedy = " (rating_column = 3 or time_column = 3 says which)";
    if (read.split != SplitRule::given && read.split != SplitRule::random)
      file.bad(rows, "the third column looks like ratings, expected timestamps for a split by time", remedy);
    notes.push_back(concat("The third column was read as timestamps but looks like ratings", remedy, "."));
  }
  if (read.split == SplitRule::date && !raw.timestamp.empty()) {
    const auto cut = [&](const char* key, const std::string& text) {
      const auto from = times.first_from(text, raw.timestamp);
      if (!from)
        fail(file.path, ": found ", key, " = '", text, "', expected ", times.dates() ? "a date" : "a number",
             " like the timestamps of the file");
      return *from;
    };
    raw.test_from = cut("test_from", read.test_from);
    raw.valid_from = read.valid_from.empty() ? raw.test_from : cut("valid_from", read.valid_from);
    DREAM_EXPECT(raw.valid_from <= raw.test_from, file.path, ": found valid_from = ", read.valid_from,
                 " behind test_from = ", read.test_from);
  }
  return rows;
}

}  // namespace detail

}  // namespace dream
