// Hands trained embeddings to other programs: NumPy files, the ids of their rows, and what they are of.
#pragma once

#include <cstdint>
#include <filesystem>
#include <list>
#include <string>
#include <system_error>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/core/hash.hpp>
#include <dream/core/view.hpp>
#include <dream/data/dataset.hpp>
#include <dream/data/ids.hpp>
#include <dream/data/npy.hpp>

namespace dream {

/// The name of a file of interactions that a folder holds, as data folders do; empty where it holds none.
inline std::string interactions_in(const std::string& folder) {
  std::error_code code;
  std::filesystem::directory_iterator entry(folder, code);
  for (; !code && entry != std::filesystem::directory_iterator(); entry.increment(code)) {
    std::string name = entry->path().filename().string();
    if (name == "train.txt" || name == "train.csv" || name == "train.tsv" || name.ends_with(".inter")) return name;
  }
  // One that is not there holds nothing, and one that may not be listed is not looked into.
  const bool none = code == std::errc::no_such_file_or_directory || code == std::errc::not_a_directory ||
                    code == std::errc::permission_denied;
  DREAM_EXPECT(!code || none, folder, ": cannot list this folder: ", code.message());
  return "";
}

/// Throws where a folder holds interactions: lists of ids beside them would be read as part of the data.
inline void expect_no_dataset(const std::string& folder) {
  const std::string name = interactions_in(folder);
  DREAM_EXPECT(name.empty(), folder, ": is a data folder (it holds ", name, "); choose another one to write to");
}

/// Where exported embeddings come from.
struct ExportOrigin {
  std::string model;
  int epoch = 0;
  std::uint64_t data = 0;  ///< fingerprint of the data set
};

namespace detail {

/// A text as a JSON string; valid UTF-8 stays as it is.
inline std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      constexpr const char* digits = "0123456789abcdef";
      out += concat("\\u00", digits[c >> 4], digits[c & 15]);
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out + '"';
}

/// The text of export.json: the origin, and the size and XXH64 of every file in the folder.
inline std::string export_manifest(const std::string& folder, const std::vector<std::string>& names,
                                   const ExportOrigin& origin) {
  std::string files;
  for (const std::string& name : names) {
    const FileReader file(concat(folder, "/", name));
    files += concat(files.empty() ? "" : ",", "\n    ", json_string(name), ": {\"bytes\": ", file.size(),
                    ", \"xxh64\": \"", hash_text(hash_file(file)), "\"}");
  }
  return concat("{\n  \"model\": ", json_string(origin.model), ",\n  \"epoch\": ", origin.epoch,
                ",\n  \"data_fingerprint\": \"", hash_text(origin.data), "\",\n  \"files\": {", files, "\n  }\n}\n");
}

}  // namespace detail

/// Writes user_embeddings.npy and item_embeddings.npy (float32, a row an id) into a folder, which is made where it is
/// missing and may not hold a data set. Where ids are not 0 .. n-1, user_ids.tsv or item_ids.tsv say which id a row
/// belongs to; where they are, such a file of an earlier export is removed.
///
/// The files belong together where there is export.json, which says what they are of: it is removed before the first
/// of them is replaced, when all are written beside their names, and written last.
inline void export_embeddings(const std::string& folder, MatrixView<const float> users, MatrixView<const float> items,
                              const IdMap& user_ids, const IdMap& item_ids, const ExportOrigin& origin = {}) {
  DREAM_EXPECT(users.rows == user_ids.count && items.rows == item_ids.count, "export: embeddings of ", users.rows,
               " users and ", items.rows, " items, but ids of ", user_ids.count, " and ", item_ids.count);
  expect_no_dataset(folder);
  make_folder(folder);
  std::list<AtomicFile> files;
  std::vector<std::string> names, outdated;
  const auto add = [&](const std::string& name) -> AtomicFile& {
    names.push_back(name);
    return files.emplace_back(concat(folder, "/", name));
  };
  const auto add_ids = [&](const std::string& name, const IdMap& ids) {
    if (ids.is_identity())
      outdated.push_back(concat(folder, "/", name));
    else
      write_ids(add(name), ids);
  };
  write_npy(add("user_embeddings.npy"), users);
  write_npy(add("item_embeddings.npy"), items);
  add_ids("user_ids.tsv", user_ids);
  add_ids("item_ids.tsv", item_ids);
  for (AtomicFile& file : files) file.prepare();
  const std::string manifest = folder + "/export.json";
  remove_file(manifest);
  for (AtomicFile& file : files) file.commit();
  for (const std::string& path : outdated) remove_file(path);
  AtomicFile file(manifest);
  file.write(detail::export_manifest(folder, names, origin));
  file.commit();
}

}  // namespace dream
