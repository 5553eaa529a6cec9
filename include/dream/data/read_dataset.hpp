// Reads a data set: an MMRec folder, a folder of LightGCN lists or one plain file. docs/data.md describes the formats.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/data/columns.hpp>
#include <dream/data/dataset.hpp>
#include <dream/data/delimited_text.hpp>
#include <dream/data/ids.hpp>
#include <dream/data/interaction_file.hpp>
#include <dream/data/interactions.hpp>
#include <dream/data/k_core.hpp>
#include <dream/data/modality_files.hpp>
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

/// Renumbers ids so that the kept rows are consecutive; returns the new row of each old one (-1: removed).
inline std::vector<index_t> compact(IdMap& ids, const std::vector<std::uint8_t>& keep) {
  std::vector<index_t> row(keep.size(), -1);
  IdMap left;
  for (index_t i = 0; i < ids.count; ++i)
    if (keep[static_cast<std::size_t>(i)]) {
      row[static_cast<std::size_t>(i)] = left.count++;
      left.names.push_back(ids.name(i));
    }
  drop_identity(left);
  if (left.count < ids.count) ids = std::move(left);
  return row;
}

/// Moves the features of every item to its new row, -1 for none; `count` rows are left.
inline void move_rows(Modality& modality, const std::vector<index_t>& item_row, index_t count) {
  const std::size_t cols = static_cast<std::size_t>(modality.cols);
  for (std::size_t i = 0; i < item_row.size(); ++i) {
    if (item_row[i] < 0) continue;
    const std::size_t to = static_cast<std::size_t>(item_row[i]);  // never above i
    if (to != i) std::copy_n(modality.values.begin() + i * cols, cols, modality.values.begin() + to * cols);
    modality.present[to] = modality.present[i];
  }
  modality.rows = count;
  modality.values.resize(static_cast<std::size_t>(count) * cols);
  modality.present.resize(static_cast<std::size_t>(count));
}

/// Leaves out items that neither an interaction nor the features of a modality name.
inline void drop_nameless_items(Interactions& raw, Dataset& data) {
  std::vector<std::uint8_t> named(static_cast<std::size_t>(raw.items.count), 0);
  for (const index_t item : raw.item) named[static_cast<std::size_t>(item)] = 1;
  for (const Modality& modality : data.modalities)
    for (std::size_t i = 0; i < named.size(); ++i) named[i] |= modality.present[i];
  const std::int64_t nameless = std::count(named.begin(), named.end(), 0);
  if (nameless == 0) return;
  const std::vector<index_t> row = compact(raw.items, named);
  for (index_t& item : raw.item) item = row[static_cast<std::size_t>(item)];
  for (Modality& modality : data.modalities) move_rows(modality, row, raw.items.count);
  data.notes.push_back(
      concat(nameless, " rows of the features are no items: they are in no line and have no features."));
}

/// Restricts everything to the k-core. `source`: the file or folder, for messages.
inline void apply_k_core(Interactions& raw, const std::string& source, Dataset& data, int k) {
  const KCore core = k_core(raw.user, raw.item, raw.users.count, raw.items.count, k);
  const index_t users = raw.users.count, items = raw.items.count;
  const std::int64_t before = raw.size();
  const auto user_row = compact(raw.users, core.user), item_row = compact(raw.items, core.item);
  std::vector<std::uint8_t> keep(raw.user.size());
  for (std::size_t i = 0; i < keep.size(); ++i) {
    raw.user[i] = user_row[static_cast<std::size_t>(raw.user[i])];
    raw.item[i] = item_row[static_cast<std::size_t>(raw.item[i])];
    keep[i] = raw.user[i] >= 0 && raw.item[i] >= 0;
  }
  raw.filter(keep);
  DREAM_EXPECT(raw.size() > 0, source, ": no interaction is left by the k-core filter with k = ", k);
  for (Modality& modality : data.modalities) {
    move_rows(modality, item_row, raw.items.count);
    DREAM_EXPECT(std::count(modality.present.begin(), modality.present.end(), 1) > 0, source, ": no item of the ", k,
                 "-core has features of the modality '", modality.name, "'");
  }
  data.notes.push_back(concat("The ", k, "-core filter removed ", users - raw.users.count, " users, ",
                              items - raw.items.count, " items and ", before - raw.size(), " interactions."));
}

/// Labels the interactions by the rule that the options and the files lead to.
inline void apply_split(Interactions& raw, const ReadOptions& options, bool valid_is_missing, const std::string& source,
                        Dataset& data) {
  SplitRule rule = options.split;
  if (rule == SplitRule::given && raw.label.empty()) {
    rule = SplitRule::random;
    data.notes.push_back("The files hold no split, so the interactions were split at random.");
  }
  if (rule == SplitRule::given && valid_is_missing) {
    carve_valid(raw.user, raw.users.count, options.ratios, options.seed, raw.label);
    data.notes.push_back("There is no valid.txt, so valid interactions were drawn at random from train.txt.");
  } else if (rule == SplitRule::random) {
    raw.label = split_random(raw.user, raw.users.count, options.ratios, options.seed);
  } else if (rule != SplitRule::given) {
    DREAM_EXPECT(!raw.timestamp.empty(), source, ": has no timestamp column, which a split by time needs",
                 " (time_column names it)");
    raw.label = rule == SplitRule::time   ? split_by_time(raw.user, raw.users.count, raw.timestamp, options.ratios)
                : rule == SplitRule::last ? split_last(raw.user, raw.users.count, raw.timestamp)
                                          : split_by_date(raw.timestamp, raw.valid_from, raw.test_from);
  }
  std::array<std::size_t, 3> counts{};
  for (const std::uint8_t label : raw.label) ++counts[label];
  DREAM_EXPECT(counts[0] > 0, source, ": has no training interactions (", counts[1], " valid, ", counts[2], " test)");
  for (std::size_t s = 1; s < 3; ++s)
    if (counts[s] == 0)
      data.notes.push_back(concat("There are no ", s == 1 ? "valid" : "test", " interactions (x_label ", s, ")."));

  const std::array<Pairs*, 3> pairs{&data.train, &data.valid, &data.test};
  for (std::size_t s = 0; s < 3; ++s) {
    pairs[s]->user.reserve(counts[s]);
    pairs[s]->item.reserve(counts[s]);
    if (!raw.timestamp.empty()) pairs[s]->timestamp.reserve(counts[s]);
  }
  for (std::size_t i = 0; i < raw.user.size(); ++i) {
    Pairs& to = *pairs[raw.label[i]];
    to.user.push_back(raw.user[i]);
    to.item.push_back(raw.item[i]);
    if (!raw.timestamp.empty()) to.timestamp.push_back(raw.timestamp[i]);
  }
}

/// The table of a folder: the one named like the folder, or the only one. Empty where there is none.
inline std::filesystem::path find_table(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  for (const std::string& name : list_folder(folder.string()))
    if (name.ends_with(".inter")) found.push_back(folder / name);
  const auto named = folder / (folder.filename().string() + ".inter");
  if (found.empty() || std::count(found.begin(), found.end(), named)) return found.empty() ? "" : named;
  if (found.size() > 1)
    fail(folder.string(), ": found ", found.size(), " .inter files, expected one, or one named ",
         named.filename().string());
  return found[0];
}

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

/// Reads a folder or a file into memory. Every malformed input is a dream::error that names file and place; what is
/// unusual but usable is told in `notes`.
inline Dataset read_dataset(const std::string& path, const ReadOptions& options = {}) {
  namespace fs = std::filesystem;
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (!fs::exists(status)) fail(path, ": no such file or folder, expected a data set");
  const fs::path given = absolute_path(path);
  const bool is_folder = fs::is_directory(status);
  const fs::path table = is_folder ? detail::find_table(given) : given;
  const bool lists = is_folder && table.empty();
  const bool plain = !lists && table.extension() != ".inter";
  const fs::path folder = is_folder ? given : given.parent_path();
  if (lists && !file_exists((folder / "train.txt").string()))
    fail(path, ": found neither an .inter file nor train.txt, expected an MMRec folder or LightGCN lists");

  Dataset data;
  data.name = is_folder ? given.filename().string() : given.stem().string();
  std::optional<IdMap> user_list, item_list;
  const std::string user_list_path = (folder / "user_ids.tsv").string(),
                    item_list_path = (folder / "item_ids.tsv").string();
  if (!plain) {
    read_modalities(folder.string(), options.modalities, data);
    if (file_exists(user_list_path)) user_list = read_ids(user_list_path);
    if (file_exists(item_list_path)) item_list = read_ids(item_list_path);
  } else {
    DREAM_EXPECT(options.modalities.empty(), path, ": a plain file has no features, but modalities were asked for");
  }
  detail::IdColumn users("user", options.ids, user_list ? &*user_list : nullptr, user_list_path);
  detail::IdColumn items("item", options.ids, item_list ? &*item_list : nullptr, item_list_path);

  Interactions raw;
  std::vector<detail::TextFile> files;
  std::function<std::string(std::int64_t)> place;  // of an interaction, "file:line"
  bool valid_is_missing = false;
  if (lists) {
    for (std::uint8_t label = 0; label < 3; ++label) {
      const fs::path file = folder / std::array{"train.txt", "valid.txt", "test.txt"}[label];
      if (label == 1 && !file_exists(file.string())) {
        valid_is_missing = true;
        continue;
      }
      files.emplace_back(file.string());
      detail::parse_lists(files.back(), label, users, items, raw);
    }
    DREAM_EXPECT(raw.size() > 0, path, ": the lists hold no interactions");
    place = [&](std::int64_t i) {
      for (const auto& file : files)
        if (const auto found = detail::place_in_lists(file, i)) return *found;
      return path;
    };
  } else {
    detail::TextFile& file = files.emplace_back(table.string());
    const bool split_at_tabs = detail::split_at_tabs(file, plain, options.columns.separator);
    const char* rows = nullptr;
    if (split_at_tabs) {
      rows = detail::read_table<false>(file, plain, options, users, items, raw, data.notes);
    } else {
      rows = detail::read_table<true>(file, plain, options, users, items, raw, data.notes);
    }
    place = [&files, rows, split_at_tabs](std::int64_t i) {
      return split_at_tabs ? detail::place_in_table<false>(files[0], rows, i)
                           : detail::place_in_table<true>(files[0], rows, i);
    };
  }

  // Rows of users and items.
  const std::string source = files[0].path;
  raw.users = user_list ? std::move(*user_list) : users.ids_without_gaps(raw.user);
  raw.items = item_list ? *item_list : data.modalities.empty() ? items.ids_without_gaps(raw.item) : items.ids();
  if (!data.modalities.empty()) {
    const index_t rows = data.modalities[0].rows;
    const std::string feature_file = data.modalities[0].name + "_feat.npy";
    if (item_list) {
      DREAM_EXPECT(rows == item_list->count, item_list_path, ": found ", item_list->count, " items, expected ", rows,
                   ", the rows of ", feature_file);
    } else if (!items.integers()) {
      fail(source, ": the item ids are strings; expected ", item_list_path,
           " with a line 'row TAB id' for every row of ", feature_file, ", which says whose features a row holds");
    } else if (raw.items.count > rows) {
      const auto beyond = std::find_if(raw.item.begin(), raw.item.end(), [rows](index_t i) { return i >= rows; });
      fail(place(beyond - raw.item.begin()), ": found the item id ", *beyond, ", expected at most ", rows - 1, ", as ",
           feature_file, " has ", rows, " rows (ids reach ", raw.items.count - 1, ")");
    } else {
      raw.items.count = rows;
      detail::drop_nameless_items(raw, data);
    }
  }

  std::vector<std::uint8_t> keep;
  if (const auto repeated = find_duplicates(raw, keep)) {
    if (!options.merge_duplicates)
      fail(place(repeated->second), ": found user ",
           raw.users.name(raw.user[static_cast<std::size_t>(repeated->second)]), " with item ",
           raw.items.name(raw.item[static_cast<std::size_t>(repeated->second)]), " again, first at ",
           place(repeated->first), " (merge_duplicates keeps the first)");
    const std::int64_t before = raw.size();
    raw.filter(keep);
    data.notes.push_back(concat(before - raw.size(), " repeated interactions were removed."));
  }
  if (options.min_rating) {
    keep.assign(raw.user.size(), 1);
    for (std::size_t i = 0; i < raw.rating.size(); ++i) keep[i] = raw.rating[i] >= *options.min_rating;
    const std::int64_t before = raw.size();
    DREAM_EXPECT(!lists, path, ": lists hold no ratings, which min_rating needs");
    raw.filter(keep);
    data.notes.push_back(concat(before - raw.size(), " of ", before, " interactions have a rating below ",
                                *options.min_rating, " and were dropped."));
    DREAM_EXPECT(raw.size() > 0, source, ": no interaction has a rating of at least ", *options.min_rating);
  }
  if (options.k_core > 0) detail::apply_k_core(raw, path, data, options.k_core);
  detail::apply_split(raw, options, valid_is_missing, source, data);

  for (const auto& [what, rows, count] :
       {std::tuple{"user", &raw.user, raw.users.count}, {"item", &raw.item, raw.items.count}}) {
    std::vector<std::uint8_t> seen(static_cast<std::size_t>(count), 0);
    for (const index_t row : *rows) seen[static_cast<std::size_t>(row)] = 1;
    const std::int64_t without = std::count(seen.begin(), seen.end(), 0);
    if (without > 0) data.notes.push_back(concat(without, " of ", count, ' ', what, "s have no interactions."));
  }
  data.users = std::move(raw.users);
  data.items = std::move(raw.items);
  return data;
}

}  // namespace dream
