// Writes a data set as an MMRec folder, which read_dataset reads back equal.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/data/dataset.hpp>
#include <dream/data/ids.hpp>
#include <dream/data/npy.hpp>

namespace dream {

/// What write_dataset does with a folder that is not empty: refuse it, or replace the data set in it.
enum class Existing { refuse, replace };

/// Throws where write_dataset may not write into a folder. To replace, its files must be a data set with an .inter
/// file.
inline void expect_room_for_dataset(const std::string& dir, Existing existing = Existing::refuse) {
  std::error_code missing;
  if (!std::filesystem::is_directory(dir, missing)) return;
  const std::vector<std::string> names = list_folder(dir);
  if (names.empty()) return;
  DREAM_EXPECT(existing == Existing::replace, dir, ": the folder is not empty (found ", names[0],
               "), expected an empty or new one");
  DREAM_EXPECT(std::any_of(names.begin(), names.end(), [](const auto& name) { return name.ends_with(".inter"); }), dir,
               ": holds no data set to replace (found ", names[0],
               " and no .inter file); delete what is there, or choose another folder");
}

/// Writes `FOLDER.inter`, a `WHAT_feat.npy` per modality, and `user_ids.tsv` / `item_ids.tsv` where rows cannot be told
/// from the interactions alone. The .inter file comes last: a folder with one is complete.
inline void write_dataset(const Dataset& data, const std::string& dir, Existing existing = Existing::refuse) {
  namespace fs = std::filesystem;
  expect_room_for_dataset(dir, existing);
  make_folder(dir);
  const fs::path folder = absolute_path(dir);
  std::vector<fs::path> old;
  for (const std::string& name : list_folder(folder.string())) {
    if (name.ends_with(".inter") || name.ends_with("_feat.npy") || name.ends_with("_feat.npz") ||
        name == folder.filename().string() + ".item" || name == "user_ids.tsv" || name == "item_ids.tsv")
      old.push_back(folder / name);
  }
  // Tables first, so that an interrupted replacement leaves no folder that looks complete.
  std::stable_partition(old.begin(), old.end(), [](const fs::path& p) { return p.extension() == ".inter"; });
  for (const fs::path& path : old) {
    std::error_code code;
    fs::remove(path, code);
    if (code) fail(path.string(), ": cannot remove the old file: ", code.message());
  }

  for (const Modality& modality : data.modalities) {
    DREAM_EXPECT(!modality.name.empty() && modality.name.find('/') == std::string::npos, dir, ": the modality name '",
                 modality.name, "' cannot be a file name");
    write_npy((folder / (modality.name + "_feat.npy")).string(), modality.features());
  }

  const std::array<const Pairs*, 3> splits{&data.train, &data.valid, &data.test};
  // A row that neither a line nor features name is read back where a list names it.
  std::vector<std::uint8_t> users(static_cast<std::size_t>(data.users.count), 0),
      items(static_cast<std::size_t>(data.items.count), 0);
  bool timed = true;
  for (const Pairs* pairs : splits) {
    for (const index_t u : pairs->user) users[static_cast<std::size_t>(u)] = 1;
    for (const index_t i : pairs->item) items[static_cast<std::size_t>(i)] = 1;
    timed = timed && pairs->timestamp.size() == pairs->user.size();
  }
  for (const Modality& modality : data.modalities)
    for (std::size_t i = 0; i < items.size(); ++i) items[i] |= modality.present[i];
  const auto needs_list = [](const IdMap& ids, const std::vector<std::uint8_t>& named) {
    return !ids.is_identity() || std::count(named.begin(), named.end(), 0) > 0;
  };
  if (needs_list(data.users, users)) write_ids((folder / "user_ids.tsv").string(), data.users);
  if (needs_list(data.items, items)) write_ids((folder / "item_ids.tsv").string(), data.items);

  AtomicFile file((folder / (folder.filename().string() + ".inter")).string());
  file.write(timed ? "userID\titemID\ttimestamp\tx_label\n" : "userID\titemID\tx_label\n");
  char number[24];
  const auto put = [&](std::int64_t value, char after) {
    char* end = std::to_chars(number, number + 23, value).ptr;
    *end++ = after;
    file.write(number, static_cast<std::size_t>(end - number));
  };
  const auto put_id = [&](const IdMap& ids, index_t row) {
    if (ids.is_identity()) return put(row, '\t');
    file.write(ids.names[static_cast<std::size_t>(row)]);
    file.write("\t");
  };
  for (std::size_t s = 0; s < 3; ++s)
    for (std::size_t i = 0; i < splits[s]->user.size(); ++i) {
      put_id(data.users, splits[s]->user[i]);
      put_id(data.items, splits[s]->item[i]);
      if (timed) put(splits[s]->timestamp[i], '\t');
      put(static_cast<std::int64_t>(s), '\n');
    }
  file.commit();
}

}  // namespace dream
