// A multimodal recommendation data set in memory: who interacted with what in each split, the features of the items
// by modality, and the names that rows had in the files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <dream/core/view.hpp>

namespace dream {

/// User-item pairs, by row numbers. `timestamp` and `weight` are empty or as long as the pairs.
struct Pairs {
  std::vector<index_t> user;
  std::vector<index_t> item;
  std::vector<std::int64_t> timestamp;
  std::vector<float> weight = {};  ///< of the pairs in the ranking loss; none: 1

  std::int64_t size() const { return static_cast<std::int64_t>(user.size()); }
};

/// One modality: a feature row for every item of the catalogue.
struct Modality {
  std::string name;
  index_t rows = 0;                   ///< items
  index_t cols = 0;                   ///< feature dimension d_m
  std::vector<float> values;          ///< rows x cols, row-major; the rows of items without the modality are zero
  std::vector<std::uint8_t> present;  ///< per item: 1 where it has the modality (finite, not all zero)

  MatrixView<const float> features() const { return {values.data(), rows, cols, cols}; }
};

/// What rows are called in the files. Empty `names`: row number = id (ids are 0 .. count-1).
struct IdMap {
  index_t count = 0;
  std::vector<std::string> names;

  bool is_identity() const { return names.empty(); }
  std::string name(index_t row) const {
    return names.empty() ? std::to_string(row) : names[static_cast<std::size_t>(row)];
  }
};

/// The splits that an interaction can belong to; the numbers are those of the x_label column.
enum class Split : int { train = 0, valid = 1, test = 2 };

struct Dataset {
  std::string name;  ///< of the folder or file
  IdMap users;
  IdMap items;  ///< the whole catalogue, cold items included
  Pairs train;
  Pairs valid;
  Pairs test;
  std::vector<Modality> modalities;
  std::vector<std::string> notes;  ///< what was noticed on reading and a user should know, a sentence each

  index_t user_count() const { return users.count; }
  index_t item_count() const { return items.count; }
  const Pairs& pairs(Split split) const { return split == Split::train ? train : split == Split::valid ? valid : test; }
};

}  // namespace dream
