// Which files of a folder hold the interactions: one table, or a file for each part of a split (LightGCN lists,
// RecBole's benchmark files, train.csv and its like). docs/data.md describes the formats.
#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>

namespace dream {

/// The files of interactions of a data set.
struct InteractionFiles {
  enum class Format { inter, plain, lists };

  std::string folder;             ///< theirs, as an absolute path
  std::string stem;               ///< NAME of NAME.item, the file of items beside them; "" where features are not read
  Format format = Format::plain;  ///< `inter`: tables with a header and TABs
  std::array<std::string, 3> part;  ///< names of the files of train, valid and test; a table alone is the first one
  std::string no_valid;             ///< how the file of valid would be called, where it is missing from a split

  /// Whether the files say the split.
  bool split() const { return format == Format::lists || !part[1].empty() || !part[2].empty(); }
  std::string path(std::size_t which) const { return (std::filesystem::path(folder) / part[which]).string(); }
};

namespace detail {

/// The number of the part of a split that a name stands for, 3 where it stands for none.
inline std::size_t part_named(std::string_view name) {
  if (name == "train") return 0;
  for (const std::string_view valid : {"valid", "validation", "val", "dev"})
    if (name == valid) return 1;
  return name == "test" ? 2 : 3;
}

/// The only table of a folder, or the one named like it.
inline std::string only_table(const std::string& folder, const std::vector<std::string>& tables,
                              const std::string& named) {
  if (std::count(tables.begin(), tables.end(), named)) return named;
  if (tables.size() > 1) fail(folder, ": found ", tables.size(), " .inter files, expected one, or one named ", named);
  return tables[0];
}

}  // namespace detail

/// Finds the files of interactions at `path`: a folder, or one file.
inline InteractionFiles find_interactions(const std::string& path) {
  namespace fs = std::filesystem;
  using Format = InteractionFiles::Format;
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (!fs::exists(status)) fail(path, ": no such file or folder, expected a data set");
  const fs::path given = absolute_path(path);
  if (!fs::is_directory(status)) {
    const bool inter = given.extension() == ".inter";
    return {given.parent_path().string(),
            inter ? given.stem().string() : "",
            inter ? Format::inter : Format::plain,
            {given.filename().string()},
            ""};
  }

  InteractionFiles found{given.string(), given.filename().string(), Format::plain, {}, ""};
  const std::string named = found.stem + ".inter";  // a table, also where the folder is called NAME.train
  std::vector<std::string> tables;
  // Files of the parts, by what stands before and behind the part's name.
  std::map<std::pair<std::string, std::string>, std::array<std::string, 3>> splits;
  const auto add = [&](const std::string& file, const std::string& before, const std::string& ending,
                       std::size_t part) {
    std::string& name = splits[{before, ending}][part];
    if (!name.empty())
      fail(path, ": found ", name, " and ", file, ", which are names of the same part; expected one of both");
    name = file;
  };
  for (const std::string& file : list_folder(found.folder)) {
    const std::string stem = fs::path(file).stem().string();
    if (file.ends_with(".csv") || file.ends_with(".tsv")) {
      if (const std::size_t part = detail::part_named(stem); part < 3) add(file, "", file.substr(stem.size()), part);
    } else if (file.ends_with(".inter")) {
      const std::size_t dot = stem.rfind('.');
      const std::size_t part = dot == std::string::npos || dot == 0 ? 3 : detail::part_named(stem.substr(dot + 1));
      if (part < 3 && file != named)
        add(file, stem.substr(0, dot + 1), ".inter", part);
      else
        tables.push_back(file);
    }
  }
  if (tables.empty() && file_exists(given / "train.txt")) {
    splits[{"", ".txt"}] = {"train.txt", file_exists(given / "valid.txt") ? "valid.txt" : "", "test.txt"};
    found.format = Format::lists;
  }
  const auto first_of = [](const auto& split) {
    return *std::find_if(split.second.begin(), split.second.end(), [](const auto& file) { return !file.empty(); });
  };
  if (splits.empty()) {
    if (tables.empty())
      fail(path,
           ": found neither an .inter file nor train.txt, train.csv or train.tsv, expected an MMRec folder, "
           "LightGCN lists or the parts of a split");
    found.part[0] = detail::only_table(path, tables, named);
    found.stem = fs::path(found.part[0]).stem().string();
    found.format = Format::inter;
    return found;
  }
  if (!tables.empty())
    fail(path, ": found ", tables[0], " and ", first_of(*splits.begin()),
         ", a table and a part of a split; expected one of both (give the path of ", tables[0],
         " to read it alone, or move it away)");
  if (splits.size() > 1)
    fail(path, ": found ", first_of(*splits.begin()), " and ", first_of(*std::next(splits.begin())),
         ", which are parts of two splits; expected one (move the files of the other away)");
  const auto& [before, ending] = splits.begin()->first;
  const auto name_of = [&before = before, &ending = ending](const char* part) { return before + part + ending; };
  const std::array<std::string, 3>& files = splits.begin()->second;
  if (files[0].empty())
    fail(path, ": found ", first_of(*splits.begin()), " but no ", name_of("train"), ", expected the train part too");
  found.part = files;
  if (!before.empty()) {
    found.format = Format::inter;
    found.stem = before.substr(0, before.size() - 1);
  }
  if (files[1].empty() && found.split()) found.no_valid = name_of("valid");
  return found;
}

}  // namespace dream
