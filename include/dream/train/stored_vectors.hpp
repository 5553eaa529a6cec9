// The vectors that rank, of one epoch, as a safetensors file, and what all checkpoints have in common: origin, ids and
// checksums. Needs nlohmann-json.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <dream/backend/matrix.hpp>
#include <dream/core/hash.hpp>
#include <dream/data/dataset.hpp>
#include <dream/train/safetensors.hpp>

namespace dream {

/// The version of the checkpoint format; files of another are refused.
inline constexpr int checkpoint_version = 1;

/// What a checkpoint comes from.
struct CheckpointOrigin {
  std::string model;          ///< name of the model
  std::string config;         ///< the merged config, as JSON text
  std::uint64_t data = 0;     ///< fingerprint of the data set
  bool has_checksums = true;  ///< of a file: a change of its values would be found
  std::string build = {};     ///< build_signature() of the program that wrote it; empty: not known
};

/// The vectors of one epoch, with what is needed to serve them.
struct StoredVectors {
  CheckpointOrigin origin;
  int epoch = 0;
  Matrix<float, Cpu> users, items;
  IdMap user_ids, item_ids;
};

namespace detail {

inline std::uint64_t from_hex(const SafetensorsFile& file, const std::string& key) {
  const std::string& text = file.meta(key);
  DREAM_EXPECT(text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string::npos, file.path(),
               ": metadata '", key, "' is '", text, "', expected 16 hexadecimal digits");
  return std::stoull(text, nullptr, 16);
}

inline nlohmann::json meta_json(const SafetensorsFile& file, const std::string& key) {
  nlohmann::json json = parse_json(file.meta(key), concat(file.path(), ": metadata '", key, "'"));
  DREAM_EXPECT(json.is_object(), file.path(), ": metadata '", key, "' is not a JSON object");
  return json;
}

/// Opens a file of this format and version.
inline SafetensorsFile open_checkpoint(const std::string& path) {
  SafetensorsFile file(path);
  DREAM_EXPECT(file.metadata().count("dream_format") == 1, path,
               ": a safetensors file, but not one that dream wrote (no metadata 'dream_format')");
  DREAM_EXPECT(file.meta("dream_format") == std::to_string(checkpoint_version), path, ": format version ",
               file.meta("dream_format"), "; this program reads version ", checkpoint_version);
  return file;
}

inline CheckpointOrigin read_origin(const SafetensorsFile& file) {
  return {file.meta("model"), file.meta("config"), from_hex(file, "data_fingerprint"), file.has_checksums(),
          file.metadata().count("build") > 0 ? file.meta("build") : std::string()};
}

inline std::map<std::string, std::string> metadata_of(const CheckpointOrigin& origin) {
  std::map<std::string, std::string> metadata{{"dream_format", std::to_string(checkpoint_version)},
                                              {"model", origin.model},
                                              {"config", origin.config},
                                              {"data_fingerprint", hash_text(origin.data)}};
  if (!origin.build.empty()) metadata["build"] = origin.build;
  return metadata;
}

/// Ids as lines of text, empty where row numbers are ids.
inline std::string id_text(const IdMap& ids) {
  std::string text;
  for (const std::string& name : ids.names) text += name + "\n";
  return text;
}

inline IdMap read_ids(const SafetensorsFile& file, const std::string& name, index_t count) {
  IdMap ids{count, {}};
  const std::vector<std::uint8_t> text = file.values<std::uint8_t>(name);
  std::string line;
  for (const std::uint8_t c : text) {
    if (c == '\n')
      ids.names.push_back(std::exchange(line, {}));
    else
      line += static_cast<char>(c);
  }
  DREAM_EXPECT(line.empty() && (ids.names.empty() || ids.names.size() == static_cast<std::size_t>(count)), file.path(),
               ": tensor '", name, "' holds ", ids.names.size(), " ids for ", count, " rows");
  return ids;
}

inline TensorView text_view(const std::string& name, const std::string& text) {
  return tensor_view(name, reinterpret_cast<const std::uint8_t*>(text.data()), static_cast<std::int64_t>(text.size()));
}

/// Every value must be finite but Adam's moments, whose squares may overflow.
template <class T>
void expect_finite_rows(const SafetensorsFile& file, const std::string& name, MatrixView<const T> m) {
  if (name.starts_with("adam.")) return;
  for (index_t i = 0; i < m.rows; ++i)
    for (index_t j = 0; j < m.cols; ++j)
      DREAM_EXPECT(std::isfinite(m.row(i)[j]), file.path(), ": tensor '", name, "': row ", i, " holds ", m.row(i)[j],
                   ", expected finite numbers");
}

/// Reads a matrix of exactly this shape and type; a number in it that is not finite is an error.
template <class T>
void read_matrix(const SafetensorsFile& file, const std::string& name, MatrixView<T> out) {
  const SafetensorsFile::Entry& entry = file.at(name);
  const std::vector<std::int64_t> expected{out.rows, out.cols};
  DREAM_EXPECT(entry.dtype == dtype_of<T>() && entry.shape == expected, file.path(), ": tensor '", name, "' is ",
               dtype_name(entry.dtype), " ", shape_text(entry.shape), ", expected ", dtype_name(dtype_of<T>()), " ",
               shape_text(expected));
  file.read(entry, out.data);
  expect_finite_rows<T>(file, name, out);
}

template <class T>
Matrix<T, Cpu> read_matrix(const SafetensorsFile& file, const std::string& name) {
  const SafetensorsFile::Entry& entry = file.at(name);
  constexpr std::int64_t limit = std::numeric_limits<index_t>::max();
  DREAM_EXPECT(entry.shape.size() == 2 && entry.shape[0] <= limit && entry.shape[1] <= limit, file.path(), ": tensor '",
               name, "' has shape ", shape_text(entry.shape), ", expected a matrix");
  Matrix<T, Cpu> out(static_cast<index_t>(entry.shape[0]), static_cast<index_t>(entry.shape[1]));
  read_matrix<T>(file, name, out.view());
  return out;
}

}  // namespace detail

/// What a checkpoint or a file of vectors says it comes from.
inline CheckpointOrigin checkpoint_origin(const std::string& path) {
  return detail::read_origin(detail::open_checkpoint(path));
}

/// Writes the vectors of an epoch with their ids: all that serving needs.
inline void save_vectors(const std::string& path, const CheckpointOrigin& origin, int epoch,
                         MatrixView<const float> users, MatrixView<const float> items, const IdMap& user_ids,
                         const IdMap& item_ids) {
  DREAM_EXPECT(users.rows == user_ids.count && items.rows == item_ids.count, "vectors of ", users.rows, " users and ",
               items.rows, " items, but ids of ", user_ids.count, " and ", item_ids.count);
  DREAM_EXPECT(users.stride == users.cols && items.stride == items.cols, "vectors must lie without gaps");
  const std::string user_text = detail::id_text(user_ids), item_text = detail::id_text(item_ids);
  auto metadata = detail::metadata_of(origin);
  metadata["epoch"] = std::to_string(epoch);
  const std::vector<TensorView> tensors{tensor_view("user_vectors", users.data, users.rows, users.cols),
                                        tensor_view("item_vectors", items.data, items.rows, items.cols),
                                        detail::text_view("user_ids", user_text),
                                        detail::text_view("item_ids", item_text)};
  add_checksums(tensors, metadata);
  write_safetensors(path, tensors, metadata);
}

/// Reads the vectors of a file of vectors, or the best epoch's of a checkpoint.
inline StoredVectors load_vectors(const std::string& path) {
  const SafetensorsFile file = detail::open_checkpoint(path);
  DREAM_EXPECT(
      file.find("user_vectors") != nullptr && file.find("item_vectors") != nullptr, path,
      ": holds no vectors, as training had not been evaluated on valid; a finished run has them in best.safetensors");
  StoredVectors stored;
  stored.origin = detail::read_origin(file);
  const std::string& epoch = file.meta("epoch");
  DREAM_EXPECT(!epoch.empty() && epoch.size() < 10 && epoch.find_first_not_of("0123456789") == std::string::npos, path,
               ": metadata 'epoch' is '", epoch, "', expected a number");
  stored.epoch = std::stoi(epoch);
  stored.users = detail::read_matrix<float>(file, "user_vectors");
  stored.items = detail::read_matrix<float>(file, "item_vectors");
  DREAM_EXPECT(stored.users.cols() == stored.items.cols(), path, ": user vectors have ", stored.users.cols(),
               " columns, item vectors ", stored.items.cols());
  stored.user_ids = detail::read_ids(file, "user_ids", stored.users.rows());
  stored.item_ids = detail::read_ids(file, "item_ids", stored.items.rows());
  return stored;
}

}  // namespace dream
