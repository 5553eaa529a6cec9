// Reads the tables of a data set, with what the options say about them.
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

/// Reads the tables of a data set, a single one or the parts of a split, into the same interactions.
class TableReader {
 public:
  /// `plain`: tables whose fields end at blanks and commas too, and that may lack the header.
  TableReader(const ReadOptions& options, bool plain, IdColumn& users, IdColumn& items, Interactions& raw,
              std::vector<std::string>& notes)
      : options_(options), plain_(plain), users_(users), items_(items), raw_(raw), notes_(notes) {}

  /// Reads one, which must stay in its place. `part`: its number, where the files say the split.
  void read(TextFile& file, std::optional<std::uint8_t> part) {
    const bool tabs = split_at_tabs(file, plain_, options_.columns.separator);
    tables_.push_back({&file, nullptr, tabs, raw_.size()});
    const std::size_t before = raw_.user.size();
    tabs ? read_rows<false>(file) : read_rows<true>(file);
    DREAM_EXPECT(raw_.user.size() > before || part.value_or(0) > 0, file.path, ": holds no interactions");
    if (!part) return;
    for (std::size_t i = before; i < raw_.label.size(); ++i)
      if (raw_.label[i] != *part)
        fail(place(static_cast<std::int64_t>(i)), ": found the x_label ", int{raw_.label[i]}, ", expected ", int{*part},
             ", as the file is the ", std::array{"train", "valid", "test"}[*part],
             " part of a split (delete the column, or join the parts to one file)");
    raw_.label.resize(raw_.user.size(), *part);
  }

  /// Checks, when all are read, what concerns them together, and gives the interactions their times.
  void finish() {
    const TextFile& file = *tables_[0].file;
    if (rated_ && !options_.min_rating)
      notes_.push_back("There is a rating column, which is not used (min_rating does).");
    if (options_.columns.weight.empty() && !unused_weights_.empty())
      notes_.push_back(concat("There is a column ", unused_weights_, ", which is not used (weight_column = ",
                              unused_weights_, " weighs the ranking loss by it)."));
    if (by_place_ && times_.look_like_ratings()) {
      const char* const remedy = " (rating_column = 3 or time_column = 3 says which)";
      if (options_.split != SplitRule::given && options_.split != SplitRule::random)
        file.bad(tables_[0].rows, "the third column looks like ratings, expected timestamps for a split by time",
                 remedy);
      notes_.push_back(concat("The third column was read as timestamps but looks like ratings", remedy, "."));
    }
    raw_.timestamp = times_.in_order();
    if (options_.split != SplitRule::date || raw_.timestamp.empty()) return;
    const auto cut = [&](const char* key, const std::string& text) {
      const auto from = times_.first_from(text, raw_.timestamp);
      if (!from)
        fail(file.path, ": found ", key, " = '", text, "', expected ", times_.dates() ? "a date" : "a number",
             " like the timestamps of the file");
      return *from;
    };
    raw_.test_from = cut("test_from", options_.test_from);
    raw_.valid_from = options_.valid_from.empty() ? raw_.test_from : cut("valid_from", options_.valid_from);
    DREAM_EXPECT(raw_.valid_from <= raw_.test_from, file.path, ": found valid_from = ", options_.valid_from,
                 " behind test_from = ", options_.test_from);
  }

  /// Where an interaction stands: "file:line".
  std::string place(std::int64_t i) const {
    const auto table = std::find_if(tables_.rbegin(), tables_.rend(), [&](const Table& t) { return t.first <= i; });
    return table->tabs ? place_in_table<false>(*table->file, table->rows, i - table->first)
                       : place_in_table<true>(*table->file, table->rows, i - table->first);
  }

 private:
  struct Table {
    const TextFile* file;
    const char* rows;    ///< behind the header
    bool tabs;           ///< whether fields end at TABs only
    std::int64_t first;  ///< number of its first interaction
  };

  template <bool Blanks>
  void read_rows(const TextFile& file) {
    const ColumnOptions& options = options_.columns;
    const char*& rows = tables_.back().rows;
    const char* const line = rows = first_line<Blanks>(file);
    DREAM_EXPECT(rows < file.end(), file.path, ": holds no interactions");
    std::vector<Column> columns;
    const bool by_number = columns_by_number(options);
    DREAM_EXPECT(plain_ || !by_number, file.path, ": has a header, expected columns by name, not by number");
    const bool header = !by_number && (!plain_ || is_header<Blanks>(file, rows, options));
    if (header) {
      if (unused_weights_.empty()) unused_weights_ = unused_weights<Blanks>(file, rows);
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
    const auto has = [&](Column column) { return std::count(columns.begin(), columns.end(), column) > 0; };
    const bool rated = has(Column::rating), timed = has(Column::timestamp);
    if (options_.min_rating && !rated)
      fail(file.path, ": has no rating column, which min_rating needs (rating_column names it)");
    if (tables_.size() > 1 && timed != timed_)
      file.bad(line, "found ", timed ? "a" : "no", " timestamp column, expected one in every part or in none (",
               tables_[0].file->path, timed ? " has none" : " has one", "; time_column names it)");
    timed_ = timed;
    rated_ = rated_ || rated;
    by_place_ = by_place_ && !header && !by_number && columns.size() == 3;
    parse_table<Blanks>(file, rows, columns, users_, items_, rated && options_.min_rating, times_, raw_);
  }

  const ReadOptions& options_;
  const bool plain_;
  IdColumn& users_;
  IdColumn& items_;
  Interactions& raw_;
  std::vector<std::string>& notes_;
  std::vector<Table> tables_;
  TimeColumn times_;
  std::string unused_weights_;  ///< the name of a column
  bool timed_ = false, rated_ = false;
  bool by_place_ = true;  ///< whether the times are known by their column's number alone
};

}  // namespace detail

}  // namespace dream
