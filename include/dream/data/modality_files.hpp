// The features of a folder: one .npy or .npz file per modality, and which items have it.
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
#include <dream/data/npz.hpp>

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

/// Whether the name of a file is WHAT_feat.npy or WHAT_feat.npz.
inline bool is_feature_file(const std::string& name) {
  return name.size() > 9 && (name.ends_with("_feat.npy") || name.ends_with("_feat.npz"));
}

/// Notes the files that look like features and are not read: arrays under other names, of other formats, or in
/// subfolders, and files of items but `item_file`.
inline void note_other_features(const std::string& folder, const std::string& item_file, Dataset& data) {
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
    } else if ((looks(entry, false) && !is_feature_file(entry)) ||
               (entry.ends_with(".item") && path.string() != item_file)) {
      names += concat(names.empty() ? "" : ", ", entry);
    }
  }
  if (!names.empty())
    data.notes.push_back(
        concat("Not read, as features are files WHAT_feat.npy or WHAT_feat.npz beside the table, or columns of "
               "NAME.item: ",
               names, "."));
}

}  // namespace detail

/// The modalities of a folder, WHAT_feat.npy or WHAT_feat.npz each, sorted by name, with notes about missing features.
/// `item_file` and `columns`: the file of items and the modalities that it has, not read here. Returns the name of the
/// file whose rows are the items, "" where there is none.
inline std::string read_modalities(const std::string& folder, const std::vector<std::string>& wanted,
                                   const std::string& item_file, const std::vector<std::string>& columns,
                                   Dataset& data) {
  std::vector<std::pair<std::string, std::string>> files;  // modality, file
  for (const std::string& file : list_folder(folder))
    if (detail::is_feature_file(file)) files.emplace_back(file.substr(0, file.size() - 9), file);
  std::sort(files.begin(), files.end());
  const auto path_of = [&folder](const std::string& file) { return (std::filesystem::path(folder) / file).string(); };
  for (const std::string& name : wanted)
    if (!std::count(columns.begin(), columns.end(), name) &&
        !std::any_of(files.begin(), files.end(), [&](const auto& file) { return file.first == name; }))
      fail(path_of(name + "_feat.npy"), ": there is no such file, expected the features of the modality '", name, "'");
  std::string first;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto& [name, file] = files[i];
    if (!wanted.empty() && !std::count(wanted.begin(), wanted.end(), name)) continue;
    const std::string path = path_of(file);
    if (i + 1 < files.size() && files[i + 1].first == name)
      fail(path, ": the modality '", name, "' is also in ", files[i + 1].second, ", expected one of both");
    if (std::count(columns.begin(), columns.end(), name))
      fail(path, ": the modality '", name, "' is also a column of ", item_file, ", expected one of both");
    NpyMatrix matrix = file.ends_with(".npz") ? read_npz(path) : read_npy(path);
    DREAM_EXPECT(matrix.rows > 0 && matrix.cols > 0, path, ": found ", shape(matrix),
                 " features, expected at least one");
    if (first.empty()) first = file;
    if (!data.modalities.empty() && data.modalities[0].rows != matrix.rows)
      fail(path, ": found ", matrix.rows, " rows, expected ", data.modalities[0].rows, " as in ", first);
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
  detail::note_other_features(folder, item_file, data);
  return first;
}

}  // namespace dream
