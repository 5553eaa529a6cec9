// Ids: what users and items are called in files, the rows they get, and the files that list them (`row TAB id`).
#pragma once

#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/data/dataset.hpp>
#include <dream/data/text_encoding.hpp>

namespace dream {

/// Finds the row of an id. The map must stay alive and unchanged; an id that occurs twice is found at its first row.
class IdIndex {
 public:
  explicit IdIndex(const IdMap& ids) : count_(ids.count) {
    rows_.reserve(ids.names.size());
    for (std::size_t row = 0; row < ids.names.size(); ++row) rows_.emplace(ids.names[row], static_cast<index_t>(row));
  }

  /// The row, or -1 where there is no such id.
  index_t find(std::string_view id) const {
    if (!rows_.empty()) {
      const auto found = rows_.find(id);
      return found == rows_.end() ? -1 : found->second;
    }
    index_t row = -1;
    const auto [end, code] = std::from_chars(id.data(), id.data() + id.size(), row);
    const bool plain = code == std::errc{} && end == id.data() + id.size() && (id[0] != '0' || id.size() == 1);
    return plain && row >= 0 && row < count_ ? row : -1;
  }

 private:
  index_t count_;
  std::unordered_map<std::string_view, index_t> rows_;
};

/// Forgets names that all equal their rows.
inline void drop_identity(IdMap& ids) {
  for (std::size_t row = 0; row < ids.names.size(); ++row)
    if (ids.names[row] != std::to_string(row)) return;
  ids.names.clear();
}

/// Reads a file of lines `row TAB id`, rows 0, 1, 2, ... in order, under an optional header `row TAB id`. Ids that are
/// all equal to their rows give the identity.
inline IdMap read_ids(const std::string& path) {
  const FileBytes file(path);
  const std::string_view text = file.text();
  detail::refuse_binary(path, text);
  IdMap ids;
  bool has_header = false;
  std::unordered_map<std::string_view, std::int64_t> lines;
  std::int64_t line = 0;
  for (std::size_t at = text.substr(0, 3) == "\xEF\xBB\xBF" ? 3 : 0; at < text.size();) {
    std::size_t end = text.find('\n', at);
    if (end == std::string_view::npos) end = text.size();
    std::string_view content = text.substr(at, end - at);
    at = end + 1;
    ++line;
    if (!content.empty() && content.back() == '\r') content.remove_suffix(1);
    if (content.empty()) continue;
    if (!has_header && ids.count == 0 && content == "row\tid") {
      has_header = true;
      continue;
    }
    const std::size_t tab = content.find('\t');
    const std::string_view row = content.substr(0, tab);
    const std::string_view id = tab == std::string_view::npos ? std::string_view{} : content.substr(tab + 1);
    if (row != std::to_string(ids.count))
      fail(path, ":", line, ": found row '", row, "', expected ", ids.count, " (rows count up from 0)");
    if (id.empty() || id.find_first_of("\t\r") != std::string_view::npos)
      fail(path, ":", line, ": found '", content, "', expected a row, a TAB and an id");
    const auto [first, added] = lines.emplace(id, line);
    if (!added) fail(path, ":", line, ": the id '", id, "' is already on line ", first->second);
    DREAM_EXPECT(ids.count < std::numeric_limits<index_t>::max(), path, ":", line, ": too many ids");
    ids.names.emplace_back(id);
    ++ids.count;
  }
  DREAM_EXPECT(ids.count > 0, path, ": is empty, expected lines of a row, a TAB and an id");
  drop_identity(ids);
  return ids;
}

/// Writes what read_ids reads, header included, into a file that the caller commits.
inline void write_ids(AtomicFile& file, const IdMap& ids) {
  file.write("row\tid\n");
  for (index_t row = 0; row < ids.count; ++row) {
    const std::string id = ids.name(row);
    DREAM_EXPECT(!id.empty() && id.find_first_of("\t\r\n") == std::string::npos, file.path(), ": the id of row ", row,
                 " is empty or has a TAB or a line break in it, so it cannot be written");
    file.write(concat(row, '\t', id, '\n'));
  }
}

/// The same as a file that appears whole or not at all.
inline void write_ids(const std::string& path, const IdMap& ids) {
  AtomicFile file(path);
  write_ids(file, ids);
  file.commit();
}

}  // namespace dream
