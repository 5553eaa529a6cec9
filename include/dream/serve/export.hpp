// Hands trained embeddings to other programs: NumPy files, and the ids of their rows.
#pragma once

#include <string>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/core/view.hpp>
#include <dream/data/dataset.hpp>
#include <dream/data/ids.hpp>
#include <dream/data/npy.hpp>

namespace dream {

/// Writes user_embeddings.npy and item_embeddings.npy (float32, a row an id) into a folder, which is made where it is
/// missing. Where ids are not 0 .. n-1, user_ids.tsv or item_ids.tsv say which id a row belongs to.
inline void export_embeddings(const std::string& folder, MatrixView<const float> users, MatrixView<const float> items,
                              const IdMap& user_ids, const IdMap& item_ids) {
  DREAM_EXPECT(users.rows == user_ids.count && items.rows == item_ids.count, "export: embeddings of ", users.rows,
               " users and ", items.rows, " items, but ids of ", user_ids.count, " and ", item_ids.count);
  make_folder(folder);
  write_npy(folder + "/user_embeddings.npy", users);
  write_npy(folder + "/item_embeddings.npy", items);
  if (!user_ids.is_identity()) write_ids(folder + "/user_ids.tsv", user_ids);
  if (!item_ids.is_identity()) write_ids(folder + "/item_ids.tsv", item_ids);
}

}  // namespace dream
