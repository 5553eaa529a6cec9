// The features of a folder: one .npy file per modality, and which items have it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>
#include <dream/core/file.hpp>
#include <dream/data/dataset.hpp>
#include <dream/data/npy.hpp>

namespace dream {

/// Marks which items have the modality and zeroes the rows of the others. Returns how many lack it.
inline index_t mark_present(Modality& modality) {
  modality.present.assign(static_cast<std::size_t>(modality.rows), 0);
  index_t missing = 0;
  for (index_t i = 0; i < modality.rows; ++i) {
    float* row = modality.values.data() + std::int64_t{i} * modality.cols;
    // The largest magnitude as bits: 0 only for a zero row, from 0x7f800000 on for infinities and NaN.
    std::uint32_t largest = 0;
    for (index_t j = 0; j < modality.cols; ++j)
      largest = std::max(largest, std::bit_cast<std::uint32_t>(row[j]) & 0x7fffffffu);
    const bool present = largest > 0 && largest < 0x7f800000u;
    modality.present[static_cast<std::size_t>(i)] = present;
    if (!present) std::fill_n(row, modality.cols, 0.0f);
    missing += !present;
  }
  return missing;
}

namespace detail {

/// Notes the files that look like features and are not read: arrays under other names, of other formats, or in
/// subfolders.
inline void note_other_features(const std::string& folder, Dataset& data) {
  namespace fs = std::filesystem;
  const auto looks = [](std::string name, bool named_feat) {
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    bool array = false;
    for (const char* ending : {".npy", ".npz", ".pt", ".pth", ".pkl", ".h5", ".hdf5", ".mat"})
      array = array || name.ends_with(ending);
    const std::size_t feat = name.find("feat");
    return array && (feat != std::string::npos || name.find("emb") != std::string::npos ||
                     (!named_feat && name.ends_with(".npy")));
  };
  std::string names;
  for (const std::string& entry : list_folder(folder)) {
    const fs::path path = fs::path(folder) / entry;
    std::error_code code;
    if (fs::is_directory(path, code)) {
      std::vector<std::string> inside;
      for (fs::directory_iterator at(path, code), end; !code && at != end; at.increment(code))
        if (looks(at->path().filename().string(), true)) inside.push_back(at->path().filename().string());
      std::sort(inside.begin(), inside.end());
      for (const std::string& name : inside) names += concat(names.empty() ? "" : ", ", entry, '/', name);
    } else if (!(entry.size() > 9 && entry.ends_with("_feat.npy")) && looks(entry, false)) {
      names += concat(names.empty() ? "" : ", ", entry);
    }
  }
  if (!names.empty())
    data.notes.push_back(concat("Not read, as features are files WHAT_feat.npy beside the table: ", names, "."));
}

}  // namespace detail

/// The modalities of a folder, WHAT_feat.npy each, sorted by name, with notes about missing features.
inline void read_modalities(const std::string& folder, const std::vector<std::string>& wanted, Dataset& data) {
  constexpr std::string_view ending = "_feat.npy";
  const auto file_of = [&folder](const std::string& name) {
    return (std::filesystem::path(folder) / (name + "_feat.npy")).string();
  };
  std::vector<std::string> names;
  for (const std::string& file : list_folder(folder))
    if (file.size() > ending.size() && file.ends_with(ending))
      names.push_back(file.substr(0, file.size() - ending.size()));
  std::sort(names.begin(), names.end());
  for (const std::string& name : wanted)
    if (!std::count(names.begin(), names.end(), name))
      fail(file_of(name), ": there is no such file, expected the features of the modality '", name, "'");
  for (const std::string& name : names) {
    if (!wanted.empty() && !std::count(wanted.begin(), wanted.end(), name)) continue;
    const std::string path = file_of(name);
    NpyMatrix matrix = read_npy(path);
    DREAM_EXPECT(matrix.rows > 0 && matrix.cols > 0, path, ": found ", shape(matrix),
                 " features, expected at least one");
    if (!data.modalities.empty() && data.modalities[0].rows != matrix.rows)
      fail(path, ": found ", matrix.rows, " rows, expected ", data.modalities[0].rows, " as in ",
           data.modalities[0].name, "_feat.npy");
    Modality& modality = data.modalities.emplace_back();
    modality.name = name;
    modality.rows = matrix.rows;
    modality.cols = matrix.cols;
    modality.values = std::move(matrix.values);
    const index_t missing = mark_present(modality);
    if (missing == modality.rows)
      fail(path, ": all ", missing, " rows are zero or not finite, expected features of at least one item");
    if (missing > 0)
      data.notes.push_back(concat(name, ": ", missing, " of ", modality.rows,
                                  " items have no features (a zero row, or a value that is not finite)."));
  }
  detail::note_other_features(folder, data);
}

}  // namespace dream
