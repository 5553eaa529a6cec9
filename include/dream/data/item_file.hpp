// RecBole's file of items, NAME.item: a table with a header of `name:type` columns, one of them the item's id. Its
// columns of type float_seq (numbers separated by blanks) are modalities.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/data/columns.hpp>
#include <dream/data/dataset.hpp>
#include <dream/data/id_column.hpp>
#include <dream/data/modality_files.hpp>
#include <dream/data/read_table.hpp>

namespace dream::detail {

/// The file in two steps, as its items count with those of the interactions: the header, then the rows. The file stays
/// in memory while it lives, for string ids.
class ItemFile {
 public:
  /// Reads the header. A file without a float_seq column is noted, and has no modality.
  ItemFile(const std::string& path, const ColumnOptions& options, std::vector<std::string>& notes)
      : file_(path, "a header and items") {
    split_at_tabs(file_, false, options.separator);
    rows_ = first_line<false>(file_);
    const auto fields = fields_of<false>(file_, rows_);
    std::string others;
    for (const std::string_view field : fields) {
      const std::size_t colon = field.find(':');
      if (colon != std::string_view::npos && field.substr(colon + 1) == "float_seq")
        features_.push_back({columns_, std::string(field.substr(0, colon)), 0, {}, {}});
      else if (!find_item(field, fields, options))
        others += concat(others.empty() ? "" : ", ", field);
      ++columns_;
    }
    if (!others.empty())
      notes.push_back(concat(path, ": columns that are not read: ", others, " (features are columns NAME:float_seq)."));
    if (features_.empty()) return;
    if (item_ < 0)
      file_.bad(rows_,
                "missing column: found no column of item ids, expected one named item_id (item_column names it)");
    for (std::size_t a = 0; a < features_.size(); ++a) {
      const std::string& name = features_[a].name;
      if (name.empty() || name.find('/') != std::string::npos)
        file_.bad(rows_, "found the column '", name, ":float_seq', expected a name without /");
      for (std::size_t b = 0; b < a; ++b)
        if (features_[b].name == name) file_.bad(rows_, "found the column '", name, ":float_seq' a second time");
    }
    const char* const last = fields.back().data() + fields.back().size();
    rows_ = next_line<false>(last, file_.end());
    if (!rows_) file_.bad(last, "found a stray carriage return, expected the end of the line");
  }

  std::vector<std::string> modalities() const {
    std::vector<std::string> names;
    for (const Feature& feature : features_) names.push_back(feature.name);
    return names;
  }
  const std::string& path() const { return file_.path; }

  /// Leaves only the named modalities; none named: all.
  void select(const std::vector<std::string>& wanted) {
    if (wanted.empty()) return;
    std::erase_if(features_, [&](const Feature& f) { return !std::count(wanted.begin(), wanted.end(), f.name); });
  }

  /// Reads the rows; ids join those of `items`.
  void read(IdColumn& items) {
    if (features_.empty()) return;
    std::unordered_map<index_t, const char*> first;
    for (const char* p = rows_; p < file_.end();) {
      if (const char* behind = next_line<false>(p, file_.end())) {
        p = behind;
        continue;
      }
      const char* const line = p;
      index_t item = -1;
      auto feature = features_.begin();
      for (int c = 0; c < columns_; ++c) {
        if (c > 0 && !(p = next_field<false>(p, file_.end())))
          file_.bad(line, "found ", c, " columns, expected ", columns_);
        if (c == item_) {
          p = items.parse<false>(file_, p, item);
        } else if (feature != features_.end() && feature->column == c) {
          p = read_numbers(*feature++, p);
        } else {
          p += field_at<false>(p, file_.end()).size();
        }
      }
      if (next_field<false>(p, file_.end())) file_.bad(line, "found more than ", columns_, " columns");
      const char* const behind = next_line<false>(p, file_.end());
      if (!behind) file_.bad(p, "found a stray carriage return, expected the end of the line");
      const auto [other, is_first] = first.emplace(item, line);
      if (!is_first)
        file_.bad(line, "found the item '", field_of_item(line), "' again, first on line ", line_of(other->second));
      ids_.push_back(item);
      lines_.push_back(line);
      p = behind;
    }
  }

  /// The items of the rows, to be changed with those of the interactions.
  std::vector<index_t>& ids() { return ids_; }

  /// Where the row i lies, "file:line".
  std::string place(std::size_t i) const { return concat(file_.path, ":", line_of(lines_[i])); }

  /// Adds the modalities, of `count` items, and sorts all by name.
  void add_to(Dataset& data, index_t count) {
    for (Feature& feature : features_) {
      Modality& modality = data.modalities.emplace_back();
      modality.name = feature.name;
      modality.rows = count;
      modality.cols = feature.cols;
      modality.values.assign(static_cast<std::size_t>(count) * static_cast<std::size_t>(feature.cols), 0.0f);
      for (std::size_t i = 0; i < feature.rows.size(); ++i)
        std::copy_n(feature.values.begin() + static_cast<std::ptrdiff_t>(i) * feature.cols, feature.cols,
                    modality.values.begin() + std::ptrdiff_t{ids_[feature.rows[i]]} * feature.cols);
      std::vector<float>().swap(feature.values);
      const index_t missing = mark_present(modality);
      if (missing == count)
        fail(file_.path, ": the column ", feature.name, ":float_seq holds no features, expected some of one item");
      if (missing > 0)
        data.notes.push_back(concat(feature.name, ": ", missing, " of ", count, " items have no features in ",
                                    file_.path, " (no value, only zeros, or one that is not finite)."));
    }
    std::sort(data.modalities.begin(), data.modalities.end(),
              [](const Modality& a, const Modality& b) { return a.name < b.name; });
  }

 private:
  struct Feature {
    int column;
    std::string name;
    index_t cols;  ///< 0 before the first row that has values
    std::vector<std::size_t> rows;
    std::vector<float> values;
  };

  std::int64_t line_of(const char* at) const { return std::count(file_.begin(), at, '\n') + 1; }
  std::string_view field_of_item(const char* line) const {
    return fields_of<false>(file_, line)[static_cast<std::size_t>(item_)];
  }

  /// Whether the field is a column of item ids; the first choice among such, or the one that the options name, is
  /// taken.
  bool find_item(std::string_view field, const std::vector<std::string_view>& fields, const ColumnOptions& options) {
    if (!options.item.empty()) {
      if (!is_named(field, options.item)) return false;
    } else if (column_of(field) != Column::item) {
      return false;
    } else if (!is_first_choice(field)) {
      for (const std::string_view other : fields)
        if (is_first_choice(other) && column_of(other) == Column::item) return false;
    }
    if (item_ >= 0)
      file_.bad(rows_, "found the column '", field, "' beside another of item ids (item_column names it)");
    item_ = columns_;
    return true;
  }

  /// The numbers of the field at p, none of an empty one. Returns its end.
  const char* read_numbers(Feature& feature, const char* p) {
    const std::string_view field = field_at<false>(p, file_.end());
    const char* const end = p + field.size();
    const std::size_t before = feature.values.size();
    while (true) {
      while (p < end && *p == ' ') ++p;
      if (p == end) break;
      const char* const word = std::find(p, end, ' ');
      double value = 0;
      const auto [behind, code] = std::from_chars(p, word, value);
      if (code != std::errc{} || behind != word)
        file_.bad(p, "found '", std::string_view(p, static_cast<std::size_t>(word - p)), "' in ", feature.name,
                  ":float_seq, expected numbers separated by blanks");
      feature.values.push_back(static_cast<float>(value));
      p = word;
    }
    const std::size_t found = feature.values.size() - before;
    if (found == 0) return end;
    if (feature.cols == 0) feature.cols = static_cast<index_t>(found);
    if (found != static_cast<std::size_t>(feature.cols))
      file_.bad(end, "found ", found, " numbers in ", feature.name, ":float_seq, expected ", feature.cols,
                " as in the rows before");
    feature.rows.push_back(ids_.size());
    return end;
  }

  TextFile file_;
  const char* rows_ = nullptr;
  int columns_ = 0;
  int item_ = -1;                  // column of the ids
  std::vector<Feature> features_;  // by column
  std::vector<index_t> ids_;
  std::vector<const char*> lines_;
};

}  // namespace dream::detail
