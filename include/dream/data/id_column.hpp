// Ids in text files of interactions: fields parsed where they lie in memory and turned into rows. Line numbers are
// counted only when an error needs one.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/data/ids.hpp>
#include <dream/data/text_encoding.hpp>

namespace dream {

/// How ids are understood. `automatic`: as integers if the first one is, each of users and items for itself.
enum class IdKind { automatic, integers, strings };

namespace detail {

/// A text file in memory that knows the lines of its bytes.
struct TextFile {
  std::string path;
  FileBytes file;
  std::vector<char> rewritten;  ///< where it is not empty, the text instead of the file's, with the same lines

  explicit TextFile(std::string name, const char* wanted = "interactions") : path(std::move(name)), file(path) {
    DREAM_EXPECT(file.size() > 0, path, ": is empty, expected ", wanted);
    refuse_binary(path, file.text());
  }
  const char* begin() const { return rewritten.empty() ? file.data() : rewritten.data(); }
  const char* end() const { return begin() + (rewritten.empty() ? file.size() : rewritten.size()); }
  /// Behind a byte order mark, if there is one.
  const char* start() const {
    return rewritten.empty() && file.text().substr(0, 3) == "\xEF\xBB\xBF" ? begin() + 3 : begin();
  }

  bool holds(const char* at) const { return begin() <= at && at < end(); }

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

/// The first line of a file that is not empty and no comment (`#` and a blank); in plain files behind its leading
/// blanks.
template <bool Plain>
const char* first_line(const TextFile& file) {
  const char* p = file.start();
  if (p == nullptr) return p;  // no bytes
  while (p < file.end()) {
    const char* behind = next_line<Plain>(p, file.end());
    if (!behind && *p == '#' &&
        (p + 1 == file.end() || std::string_view(" \t#\r\n").find(p[1]) != std::string_view::npos))
      behind = std::min(std::find(p, file.end(), '\n') + 1, file.end());
    if (!behind) break;
    p = behind;
  }
  while (Plain && p < file.end() && (*p == ' ' || *p == '\t')) ++p;
  return p;
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
      ++parsed_;
      const std::size_t word = static_cast<std::size_t>(row) / 64;
      if (word < named_.size() || has_room_for(word)) [[likely]]
        named_[word] |= std::uint64_t{1} << row % 64;
      else
        add_far(row);
      return last;
    }
    const std::string_view id = field_at<Plain>(p, end);
    if (id.empty()) file.bad(p, "found an empty ", what_, " id");
    if (id[0] == '"' && file.rewritten.empty())
      file.bad(p, "found the ", what_, " id '", id, "', which begins with a quote, expected an id without",
               Plain ? "" : " (field_separator = TAB reads quoted fields)");
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
  /// The ids seen, while the files are still in memory. Not for listed ids.
  IdMap ids() const {
    IdMap map;
    map.count = integers() ? highest_ + 1 : static_cast<index_t>(order_.size());
    map.names.assign(order_.begin(), order_.end());
    drop_identity(map);
    return map;
  }
  /// The same without the integers that were never read: where there are such, `rows` become ranks among those that
  /// were, and these get names.
  IdMap ids_without_gaps(std::vector<index_t>& rows) const {
    IdMap map = ids();
    if (!integers()) return map;
    std::vector<std::uint64_t> named = named_;
    std::vector<index_t> far = far_;
    const std::size_t near = 64 * named.size();  // far ids below have got a bit's place since
    for (const index_t id : far)
      if (static_cast<std::size_t>(id) < near) named[static_cast<std::size_t>(id) / 64] |= std::uint64_t{1} << id % 64;
    std::erase_if(far, [near](index_t id) { return static_cast<std::size_t>(id) < near; });
    sort_unique(far);
    std::vector<index_t> before(named.size());  // named integers below those of a word
    index_t count = 0;
    for (std::size_t w = 0; w < named.size(); ++w) {
      before[w] = count;
      count += std::popcount(named[w]);
    }
    const index_t near_count = count;
    count += static_cast<index_t>(far.size());
    if (count == map.count) return map;
    map.names.reserve(static_cast<std::size_t>(count));
    for (std::size_t w = 0; w < named.size(); ++w)
      for (std::uint64_t bits = named[w]; bits != 0; bits &= bits - 1)
        map.names.push_back(std::to_string(64 * w + static_cast<std::size_t>(std::countr_zero(bits))));
    for (const index_t id : far) map.names.push_back(std::to_string(id));
    map.count = count;
    for (index_t& row : rows) {
      const std::size_t word = static_cast<std::size_t>(row) / 64;
      if (word < named.size()) {
        const std::uint64_t below = (std::uint64_t{1} << row % 64) - 1;
        row = before[word] + static_cast<index_t>(std::popcount(named[word] & below));
      } else {
        row = near_count + static_cast<index_t>(std::lower_bound(far.begin(), far.end(), row) - far.begin());
      }
    }
    return map;
  }

 private:
  static constexpr std::int64_t limit = std::numeric_limits<index_t>::max() - 1;

  static void sort_unique(std::vector<index_t>& ids) {
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  }
  /// Gives a word of bits its place where the ids read so far are worth it: a word a line, and some to begin with.
  bool has_room_for(std::size_t word) {
    const std::size_t room = 1024 + parsed_;
    if (word >= room) return false;
    named_.resize(std::min(std::max(word + 1, 2 * named_.size()), room));
    return true;
  }
  void add_far(index_t row) {
    if (far_.size() >= far_room_) {
      sort_unique(far_);
      far_room_ = std::max(far_room_, 2 * far_.size());
    }
    far_.push_back(row);
  }
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
      file.bad(p, "found the ", what_, " id '", id, "', expected at most ", limit,
               " (or read ids as strings: ids = strings)");
    file.bad(p, "found the ", what_, " id '", id, "', expected a whole number like the first ", what_,
             " id (or read ids as strings: ids = strings)");
  }

  std::string what_;
  IdKind kind_;
  std::string list_path_;
  std::optional<IdIndex> index_;
  index_t highest_ = -1;
  // Memory follows the number of ids that are read, not the largest: integers have a bit each, 1 where they were read,
  // as far as has_room_for() lets it; those beyond stand in a list, with repetitions.
  std::size_t parsed_ = 0;
  std::vector<std::uint64_t> named_;
  std::vector<index_t> far_;
  std::size_t far_room_ = 1024;
  std::unordered_map<std::string_view, index_t> rows_;
  std::vector<std::string_view> order_;  // into the files
};

}  // namespace detail

}  // namespace dream
