// A data set's fingerprint: tells whether a checkpoint was trained on the data at hand.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <dream/core/hash.hpp>
#include <dream/data/dataset.hpp>

namespace dream {

/// A hash of counts, ids, the pairs of each split in order, and the modalities (names, shapes, values). The data set's
/// own name and its notes do not count.
inline std::uint64_t fingerprint(const Dataset& data) {
  std::uint64_t h = 0;
  // Sizes are hashed too, so that moving a border between two lists changes the result.
  const auto add_number = [&h](std::uint64_t value) { h = hash_bytes(&value, sizeof value, h); };
  const auto add = [&](const auto& list) {
    add_number(list.size());
    h = hash_bytes(list.data(), list.size() * sizeof(list[0]), h);
  };
  for (const IdMap* ids : {&data.users, &data.items}) {
    add_number(static_cast<std::uint64_t>(ids->count));
    add_number(ids->names.size());
    for (const std::string& name : ids->names) add(name);
  }
  for (const Pairs* pairs : {&data.train, &data.valid, &data.test}) {
    add(pairs->user);
    add(pairs->item);
    add(pairs->timestamp);
    if (!pairs->weight.empty()) add(pairs->weight);
  }
  add_number(data.modalities.size());
  for (const Modality& modality : data.modalities) {
    add(modality.name);
    add_number(static_cast<std::uint64_t>(modality.rows));
    add_number(static_cast<std::uint64_t>(modality.cols));
    add(modality.values);
    add(modality.present);
  }
  return h;
}

}  // namespace dream
