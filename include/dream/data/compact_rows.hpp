// Rows of users and items that go: the others move together, with their ids, their features and their interactions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/data/dataset.hpp>
#include <dream/data/ids.hpp>
#include <dream/data/interactions.hpp>
#include <dream/data/k_core.hpp>

namespace dream::detail {

/// Renumbers ids so that the kept rows are consecutive; returns the new row of each old one (-1: removed).
inline std::vector<index_t> compact(IdMap& ids, const std::vector<std::uint8_t>& keep) {
  std::vector<index_t> row(keep.size(), -1);
  IdMap left;
  for (index_t i = 0; i < ids.count; ++i)
    if (keep[static_cast<std::size_t>(i)]) {
      row[static_cast<std::size_t>(i)] = left.count++;
      left.names.push_back(ids.name(i));
    }
  drop_identity(left);
  if (left.count < ids.count) ids = std::move(left);
  return row;
}

/// Moves the features of every item to its new row, -1 for none; `count` rows are left.
inline void move_rows(Modality& modality, const std::vector<index_t>& item_row, index_t count) {
  const std::size_t cols = static_cast<std::size_t>(modality.cols);
  for (std::size_t i = 0; i < item_row.size(); ++i) {
    if (item_row[i] < 0) continue;
    const std::size_t to = static_cast<std::size_t>(item_row[i]);  // never above i
    if (to != i) std::copy_n(modality.values.begin() + i * cols, cols, modality.values.begin() + to * cols);
    modality.present[to] = modality.present[i];
  }
  modality.rows = count;
  modality.values.resize(static_cast<std::size_t>(count) * cols);
  modality.present.resize(static_cast<std::size_t>(count));
}

/// Leaves out items that neither an interaction nor the features of a modality name.
inline void drop_nameless_items(Interactions& raw, Dataset& data) {
  std::vector<std::uint8_t> named(static_cast<std::size_t>(raw.items.count), 0);
  for (const index_t item : raw.item) named[static_cast<std::size_t>(item)] = 1;
  for (const Modality& modality : data.modalities)
    for (std::size_t i = 0; i < named.size(); ++i) named[i] |= modality.present[i];
  const std::int64_t nameless = std::count(named.begin(), named.end(), 0);
  if (nameless == 0) return;
  const std::vector<index_t> row = compact(raw.items, named);
  for (index_t& item : raw.item) item = row[static_cast<std::size_t>(item)];
  for (Modality& modality : data.modalities) move_rows(modality, row, raw.items.count);
  data.notes.push_back(
      concat(nameless, " rows of the features are no items: no interaction names them, and they have no features."));
}

/// Restricts everything to the k-core. `source`: the file or folder, for messages.
inline void apply_k_core(Interactions& raw, const std::string& source, Dataset& data, int k) {
  const KCore core = k_core(raw.user, raw.item, raw.users.count, raw.items.count, k);
  const index_t users = raw.users.count, items = raw.items.count;
  const std::int64_t before = raw.size();
  const auto user_row = compact(raw.users, core.user), item_row = compact(raw.items, core.item);
  std::vector<std::uint8_t> keep(raw.user.size());
  for (std::size_t i = 0; i < keep.size(); ++i) {
    raw.user[i] = user_row[static_cast<std::size_t>(raw.user[i])];
    raw.item[i] = item_row[static_cast<std::size_t>(raw.item[i])];
    keep[i] = raw.user[i] >= 0 && raw.item[i] >= 0;
  }
  raw.filter(keep);
  DREAM_EXPECT(raw.size() > 0, source, ": no interaction is left by the k-core filter with k = ", k);
  for (Modality& modality : data.modalities) {
    move_rows(modality, item_row, raw.items.count);
    DREAM_EXPECT(std::count(modality.present.begin(), modality.present.end(), 1) > 0, source, ": no item of the ", k,
                 "-core has features of the modality '", modality.name, "'");
  }
  data.notes.push_back(concat("The ", k, "-core filter removed ", users - raw.users.count, " users, ",
                              items - raw.items.count, " items and ", before - raw.size(), " interactions."));
}

}  // namespace dream::detail
