#include "id_files.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <dream/data/columns.hpp>

#include "messages.hpp"

namespace dream_cli {

namespace {

using dream::index_t;
using dream::detail::Column;
using dream::detail::TextFile;

/// Ids of a file that the data do not have: an error, or so many notes.
class UnknownIds {
 public:
  UnknownIds(const TextFile& file, std::string what, bool strict)
      : file_(&file), what_(std::move(what)), strict_(strict) {}

  void add(const char* at, std::string_view id) {
    if (strict_) file_->bad(at, "no ", what_, " '", id, "' in the data");
    if (++count_ > shown) return;
    print_note(file_->path, ":", std::count(file_->begin(), at, '\n') + 1, ": no ", what_, " '", id, "' in the data");
  }
  void finish(bool any_known) const {
    if (count_ > shown)
      print_note(file_->path, ": ", count_ - shown, " more lines have a ", what_, " that is not in the data");
    DREAM_EXPECT(any_known, file_->path, ": names no ", what_, " of the data");
  }

 private:
  static constexpr std::int64_t shown = 20;

  const TextFile* file_;
  std::string what_;
  bool strict_;
  std::int64_t count_ = 0;
};

/// Calls f(at) for every line that is not empty, at its first character.
template <class F>
void for_lines(const TextFile& file, const char* from, F&& f) {
  for (const char* p = from; p < file.end();) {
    const char* const end = std::find(p, file.end(), '\n');
    const char* first = p;
    while (first < end && (*first == ' ' || *first == '\t' || *first == '\r')) ++first;
    if (first < end) f(first);
    p = end < file.end() ? end + 1 : end;
  }
}

}  // namespace

std::vector<index_t> read_id_file(const std::string& path, const dream::IdMap& ids, const std::string& what,
                                  bool strict) {
  const TextFile file(path);
  const dream::IdIndex index(ids);
  UnknownIds unknown(file, what, strict);
  std::vector<std::uint8_t> had(static_cast<std::size_t>(ids.count), 0);
  std::vector<index_t> rows;
  const char* const start = dream::detail::first_line<true>(file);
  for_lines(file, start, [&](const char* at) {
    std::string_view id(at, static_cast<std::size_t>(std::find(at, file.end(), '\n') - at));
    id = id.substr(0, id.find_last_not_of(" \t\r") + 1);
    const index_t row = index.find(id);
    if (row < 0) {
      const Column column = dream::detail::column_of(id);
      if (at != start || column != (what == "user" ? Column::user : Column::item)) unknown.add(at, id);
    } else if (std::exchange(had[static_cast<std::size_t>(row)], std::uint8_t{1}) == 0) {
      rows.push_back(row);
    }
  });
  unknown.finish(!rows.empty());
  return rows;
}

Histories read_histories(const std::string& path, const dream::IdMap& item_ids, bool strict) {
  const TextFile file(path);
  const dream::IdIndex index(item_ids);
  UnknownIds unknown(file, "item", strict);
  Histories histories;
  std::unordered_map<std::string_view, std::size_t> user_rows;
  std::vector<std::vector<index_t>> items;
  bool item_first = false, any_known = false;
  const char* const start = dream::detail::first_line<true>(file);
  for_lines(file, start, [&](const char* at) {
    const auto fields = dream::detail::fields_of<true>(file, at);
    if (fields.size() != 2)
      file.bad(at, "found ", fields.size(), fields.size() == 1 ? " field" : " fields", ", expected a user and an item");
    if (at == start) {
      const Column first = dream::detail::column_of(fields[0]), second = dream::detail::column_of(fields[1]);
      item_first = first == Column::item && second == Column::user;
      if (item_first || (first == Column::user && second == Column::item)) return;
    }
    const std::string_view user = fields[item_first ? 1 : 0], item = fields[item_first ? 0 : 1];
    const auto [entry, added] = user_rows.try_emplace(user, items.size());
    if (added) {
      histories.users.names.emplace_back(user);
      items.emplace_back();
    }
    const index_t row = index.find(item);
    if (row < 0) return unknown.add(at, item);
    items[entry->second].push_back(row);
    any_known = true;
  });
  unknown.finish(any_known);
  histories.users.count = static_cast<index_t>(items.size());
  for (std::size_t u = 0; u < items.size(); ++u) {
    std::sort(items[u].begin(), items[u].end());
    items[u].erase(std::unique(items[u].begin(), items[u].end()), items[u].end());
    histories.pairs.user.insert(histories.pairs.user.end(), items[u].size(), static_cast<index_t>(u));
    histories.pairs.item.insert(histories.pairs.item.end(), items[u].begin(), items[u].end());
  }
  return histories;
}

}  // namespace dream_cli
