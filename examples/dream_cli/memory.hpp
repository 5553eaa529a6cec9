// What training takes of memory, and whether the process may use so much.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>

#include <dream/core/error.hpp>
#include <dream/core/memory_limit.hpp>
#include <dream/data/dataset.hpp>

#include "models.hpp"

namespace dream_cli {

/// With one decimal, in MiB or GiB.
inline std::string bytes_text(double bytes) {
  const bool large = bytes >= 1 << 30;
  char text[64];
  std::snprintf(text, sizeof text, "%.1f %s", large ? bytes / (1 << 30) : std::max(bytes / (1 << 20), 0.1),
                large ? "GiB" : "MiB");
  return text;
}

/// What training holds at the same time: parameters with gradients and moments, features, graphs.
inline double training_bytes(const dream::Dataset& data, const Settings& settings) {
  const double users = data.user_count(), items = data.item_count(), d = settings.model.embedding_size;
  const double line = (users + items) * d * 4;
  double bytes =
      4 * line + 2 * (settings.model.n_ui_layers + 1) * line + 4.0 * 12 * static_cast<double>(data.train.size());
  for (const dream::Modality& m : data.modalities) {
    const double columns = static_cast<double>(m.cols);
    const double stored = settings.model.data.feature_storage == dream::FeatureStorage::full ? 4 : 2;
    const bool of_users = settings.model.s3_weight > 0 && settings.model.s3_user_weight > 0;
    bytes += columns * stored * (items + (of_users ? users : 0));
    if (settings.model.train_features) bytes += columns * items * 4 * 4;
    bytes += 8 * line;
    bytes += 2 * 8 * (items * settings.model.data.knn_k + users * settings.model.data.user_knn_k);
  }
  return bytes;
}

/// What training on the host holds at the least: parameters with gradients and moments, and the features as stored.
inline double least_training_bytes(const dream::Dataset& data, const Settings& settings) {
  const double rows = static_cast<double>(data.user_count()) + data.item_count();
  double bytes = 4 * 4 * rows * settings.model.embedding_size;
  if (!reads_features(settings)) return bytes;
  for (const dream::Modality& m : data.modalities) {
    const double values = static_cast<double>(m.cols) * m.rows;
    bytes += values * (settings.model.data.feature_storage == dream::FeatureStorage::full ? 4 : 2);
    if (settings.model.train_features && settings.model_name != "vbpr") bytes += 3 * 4 * values;
  }
  return bytes;
}

/// Training that cannot fit into the memory limit of the process is an error with both figures.
inline void expect_memory(const Settings& settings, const dream::Dataset& data, const std::string& data_name) {
  const double least = least_training_bytes(data, settings), limit = static_cast<double>(dream::memory_limit());
  DREAM_EXPECT(least <= limit, data_name, ": training ", settings.model_name, " takes at least ", bytes_text(least),
               " of memory, and this process may use ", bytes_text(limit),
               " (a smaller embedding_size, feature_storage = bfloat16 or train_features = false take less)");
}

}  // namespace dream_cli
