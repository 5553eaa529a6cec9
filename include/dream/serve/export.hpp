// Hands trained embeddings to other programs: NumPy files, and the ids of their rows.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/core/view.hpp>
#include <dream/data/dataset.hpp>
#include <dream/data/ids.hpp>
#include <dream/data/npy.hpp>

namespace dream {

/// The name of a file of interactions that a folder holds, as data folders do; empty where it holds none.
inline std::string interactions_in(const std::string& folder) {
  std::error_code none;  // a folder that is not there holds nothing
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    std::string name = entry.path().filename().string();
    if (name == "train.txt" || name == "train.csv" || name == "train.tsv" || name.ends_with(".inter")) return name;
  }
  return "";
}

/// Throws where a folder holds interactions: lists of ids beside them would be read as part of the data.
inline void expect_no_dataset(const std::string& folder) {
  const std::string name = interactions_in(folder);
  DREAM_EXPECT(name.empty(), folder, ": is a data folder (it holds ", name, "); choose another one to write to");
}

/// Writes user_embeddings.npy and item_embeddings.npy (float32, a row an id) into a folder, which is made where it is
/// missing and may not hold a data set. Where ids are not 0 .. n-1, user_ids.tsv or item_ids.tsv say which id a row
/// belongs to; where they are, such a file of an earlier export is removed.
inline void export_embeddings(const std::string& folder, MatrixView<const float> users, MatrixView<const float> items,
                              const IdMap& user_ids, const IdMap& item_ids) {
  DREAM_EXPECT(users.rows == user_ids.count && items.rows == item_ids.count, "export: embeddings of ", users.rows,
               " users and ", items.rows, " items, but ids of ", user_ids.count, " and ", item_ids.count);
  expect_no_dataset(folder);
  make_folder(folder);
  write_npy(folder + "/user_embeddings.npy", users);
  write_npy(folder + "/item_embeddings.npy", items);
  const auto write_map = [&](const std::string& name, const IdMap& ids) {
    std::error_code ignored;
    if (ids.is_identity())
      std::filesystem::remove(folder + name, ignored);
    else
      write_ids(folder + name, ids);
  };
  write_map("/user_ids.tsv", user_ids);
  write_map("/item_ids.tsv", item_ids);
}

}  // namespace dream
