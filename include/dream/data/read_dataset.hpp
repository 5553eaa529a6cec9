// Reads a data set: a table or lists with the features beside them, or one plain file. docs/data.md describes the
// formats.
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
#include <dream/data/compact_rows.hpp>
#include <dream/data/dataset.hpp>
#include <dream/data/ids.hpp>
#include <dream/data/interaction_file.hpp>
#include <dream/data/interactions.hpp>
#include <dream/data/item_file.hpp>
#include <dream/data/modality_files.hpp>
#include <dream/data/read_table.hpp>
#include <dream/data/split.hpp>
#include <dream/data/split_files.hpp>

namespace dream {

namespace detail {

/// Labels the interactions by the rule that the options and the files lead to.
inline void apply_split(Interactions& raw, const ReadOptions& options, const InteractionFiles& files,
                        const std::string& source, Dataset& data) {
  SplitRule rule = options.split;
  if (rule == SplitRule::given && raw.label.empty()) {
    rule = SplitRule::random;
    data.notes.push_back("The files hold no split, so the interactions were split at random.");
  }
  if (rule == SplitRule::given && !files.no_valid.empty()) {
    carve_valid(raw.user, raw.users.count, options.ratios, options.seed, raw.label);
    data.notes.push_back(concat("There is no ", files.no_valid, ", so valid interactions were drawn at random from ",
                                files.part[0], "."));
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
      data.notes.push_back(concat("There are no ", s == 1 ? "valid" : "test", " interactions",
                                  files.split() ? "." : concat(" (x_label ", s, ").")));

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
    if (!raw.weight.empty()) to.weight.push_back(raw.weight[i]);
  }
}

/// Gives the items their rows, and the modalities of the file of items with them. `place`: that of an interaction.
inline void number_items(const IdColumn& items, const std::optional<IdMap>& list, const std::string& list_path,
                         const std::string& feature_file, const std::string& source,
                         const std::function<std::string(std::int64_t)>& place, std::optional<ItemFile>& item_file,
                         Interactions& raw, Dataset& data) {
  std::vector<index_t> none;
  std::vector<index_t>& others = item_file ? item_file->ids() : none;
  if (list) {
    raw.items = *list;
    if (!feature_file.empty())
      DREAM_EXPECT(data.modalities[0].rows == list->count, list_path, ": found ", list->count, " items, expected ",
                   data.modalities[0].rows, ", the rows of ", feature_file);
  } else if (feature_file.empty()) {
    items.ids_without_gaps(others);
    raw.items = items.ids_without_gaps(raw.item);
  } else {
    const index_t rows = data.modalities[0].rows;
    raw.items = items.ids();
    if (!items.integers())
      fail(source, ": the item ids are strings; expected ", list_path, " with a line 'row TAB id' for every row of ",
           feature_file, ", which says whose features a row holds");
    const auto beyond = [rows](index_t i) { return i >= rows; };
    const auto in_table = std::find_if(raw.item.begin(), raw.item.end(), beyond);
    const auto in_others = std::find_if(others.begin(), others.end(), beyond);
    if (in_table != raw.item.end() || in_others != others.end())
      fail(in_table != raw.item.end() ? place(in_table - raw.item.begin())
                                      : item_file->place(static_cast<std::size_t>(in_others - others.begin())),
           ": found the item id ", in_table != raw.item.end() ? *in_table : *in_others, ", expected at most ", rows - 1,
           ", as ", feature_file, " has ", rows, " rows (ids reach ", raw.items.count - 1, ")");
    raw.items.count = rows;
  }
  if (item_file) item_file->add_to(data, raw.items.count);
  if (!list && !data.modalities.empty()) drop_nameless_items(raw, data);
}

}  // namespace detail

/// Reads a folder or a file into memory. Every malformed input is a dream::error that names file and place; what is
/// unusual but usable is told in `notes`.
inline Dataset read_dataset(const std::string& path, const ReadOptions& options = {}) {
  using Format = InteractionFiles::Format;
  const InteractionFiles found = find_interactions(path);
  const std::filesystem::path given = absolute_path(path), folder = found.folder;
  const bool lists = found.format == Format::lists;
  for (const detail::NamedColumn& column : detail::named_columns(options.columns))
    DREAM_EXPECT(!lists || column.name->empty(), path, ": lists have no columns, but ", column.key, " = ",
                 *column.name);

  Dataset data;
  data.name = given == folder ? given.filename().string() : given.stem().string();
  std::optional<IdMap> user_list, item_list;
  const std::string user_list_path = (folder / "user_ids.tsv").string(),
                    item_list_path = (folder / "item_ids.tsv").string();
  std::optional<detail::ItemFile> item_file;
  std::string feature_file;  // whose rows are the items
  if (!found.stem.empty()) {
    if (const std::string file = (folder / (found.stem + ".item")).string(); file_exists(file))
      item_file.emplace(file, options.columns, data.notes);
    const std::vector<std::string> columns = item_file ? item_file->modalities() : std::vector<std::string>{};
    feature_file =
        read_modalities(folder.string(), options.modalities, item_file ? item_file->path() : "", columns, data);
    if (file_exists(user_list_path)) user_list = read_ids(user_list_path);
    if (file_exists(item_list_path)) item_list = read_ids(item_list_path);
  } else {
    DREAM_EXPECT(options.modalities.empty(), path, ": a plain file has no features, but modalities were asked for");
  }
  detail::IdColumn users("user", options.ids, user_list ? &*user_list : nullptr, user_list_path);
  detail::IdColumn items("item", options.ids, item_list ? &*item_list : nullptr, item_list_path);

  Interactions raw;
  detail::TableReader tables(options, found.format == Format::plain, users, items, raw, data.notes);
  std::vector<detail::TextFile> files;
  files.reserve(3);  // they stay in their places
  for (std::uint8_t part = 0; part < 3; ++part) {
    if (found.part[part].empty()) continue;
    detail::TextFile& file = files.emplace_back(found.path(part));
    if (lists)
      detail::parse_lists(file, part, users, items, raw);
    else
      tables.read(file, found.split() ? std::optional(part) : std::nullopt);
  }
  if (!lists) tables.finish();
  DREAM_EXPECT(raw.size() > 0, path, ": the lists hold no interactions");
  const auto place = [&](std::int64_t i) {  // of an interaction, "file:line"
    if (!lists) return tables.place(i);
    for (const auto& file : files)
      if (const auto at = detail::place_in_lists(file, i)) return *at;
    return path;
  };

  if (item_file) {
    item_file->select(options.modalities);
    item_file->read(items);
  }
  const std::string source = files[0].path;
  raw.users = user_list ? std::move(*user_list) : users.ids_without_gaps(raw.user);
  detail::number_items(items, item_list, item_list_path, feature_file, source, place, item_file, raw, data);

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
  detail::apply_split(raw, options, found, source, data);

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
