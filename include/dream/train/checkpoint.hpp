// Checkpoints: a training run, or the vectors that rank, as safetensors files. Needs nlohmann-json.
//
// A checkpoint holds the parameters and Adam's moments by name, the vectors of the best epoch, and as metadata the
// format's version, model, config, data fingerprint and the state of training. The sampler's state is its seed and the
// epoch. Everything is stored exactly, so training goes on to the same bits.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <dream/data/dataset.hpp>
#include <dream/train/fit.hpp>
#include <dream/train/safetensors.hpp>

namespace dream {

/// The version of the checkpoint format; files of another are refused.
inline constexpr int checkpoint_version = 1;

/// What a checkpoint comes from.
struct CheckpointOrigin {
  std::string model;       ///< name of the model
  std::string config;      ///< the merged config, as JSON text
  std::uint64_t data = 0;  ///< fingerprint of the data set
};

/// The vectors of one epoch, with what is needed to serve them.
struct StoredVectors {
  CheckpointOrigin origin;
  int epoch = 0;
  Matrix<float, Cpu> users, items;
  IdMap user_ids, item_ids;
};

namespace detail {

inline std::string to_hex(std::uint64_t value) {
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
  return text;
}

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
  return {file.meta("model"), file.meta("config"), from_hex(file, "data_fingerprint")};
}

inline std::map<std::string, std::string> metadata_of(const CheckpointOrigin& origin) {
  return {{"dream_format", std::to_string(checkpoint_version)},
          {"model", origin.model},
          {"config", origin.config},
          {"data_fingerprint", to_hex(origin.data)}};
}

/// Ids as lines of text, empty where row numbers are ids.
inline std::string id_text(const IdMap& ids) {
  std::string text;
  for (const std::string& name : ids.names) text += name + "\n";
  return text;
}

inline IdMap read_ids(SafetensorsFile& file, const std::string& name, index_t count) {
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

/// Reads a matrix of exactly this shape and type.
template <class T>
void read_matrix(SafetensorsFile& file, const std::string& name, MatrixView<T> out) {
  const SafetensorsFile::Entry& entry = file.at(name);
  const std::vector<std::int64_t> expected{out.rows, out.cols};
  DREAM_EXPECT(entry.dtype == dtype_of<T>() && entry.shape == expected, file.path(), ": tensor '", name, "' is ",
               dtype_name(entry.dtype), " ", shape_text(entry.shape), ", expected ", dtype_name(dtype_of<T>()), " ",
               shape_text(expected));
  if (out.size() > 0) file.read(entry, out.data);
}

template <class T>
Matrix<T, Cpu> read_matrix(SafetensorsFile& file, const std::string& name) {
  const SafetensorsFile::Entry& entry = file.at(name);
  constexpr std::int64_t limit = std::numeric_limits<index_t>::max();
  DREAM_EXPECT(entry.shape.size() == 2 && entry.shape[0] <= limit && entry.shape[1] <= limit, file.path(), ": tensor '",
               name, "' has shape ", shape_text(entry.shape), ", expected a matrix");
  Matrix<T, Cpu> out(static_cast<index_t>(entry.shape[0]), static_cast<index_t>(entry.shape[1]));
  read_matrix<T>(file, name, out.view());
  return out;
}

/// Calls f(name, view) for every tensor of training, in a fixed order: parameters, then Adam's moments.
template <class Model, class F>
void for_training_tensors(Trainer<Model>& trainer, F&& f) {
  using T = typename Model::value_type;
  auto& parameters = trainer.model().parameters();
  auto& adam = trainer.optimiser();
  const auto large = trainer.model().large_parameters();
  const auto part = [&](VectorView<T> flat, ParameterId id) {
    const MatrixView<T> at = parameters.value(id);
    return MatrixView<T>{flat.data + (at.data - parameters.values().data), at.rows, at.cols, at.stride};
  };
  for (int p = 0; p < parameters.count(); ++p) {
    const std::string& name = parameters.name({p});
    f("parameter." + name, parameters.value({p}));
    f("adam.m." + name, part(adam.first_moments(), {p}));
    f("adam.v." + name, part(adam.second_moments(), {p}));
  }
  for (std::size_t i = 0; i < large.size(); ++i) {
    f("parameter." + large[i].name, large[i].value.view());
    f("adam.m." + large[i].name, adam.large_first_moments(i).view());
    f("adam.v." + large[i].name, adam.large_second_moments(i).view());
  }
}

}  // namespace detail

/// Writes a training run whole or not at all. Call it between epochs.
template <class Model>
void save_checkpoint(const std::string& path, Trainer<Model>& trainer, const CheckpointOrigin& origin,
                     const IdMap& user_ids, const IdMap& item_ids) {
  using T = typename Model::value_type;
  std::vector<TensorView> tensors;
  std::vector<Matrix<T, Cpu>> downloaded;
  detail::for_training_tensors(trainer, [&](const std::string& name, MatrixView<const T> m) {
    if constexpr (KernelBackend<typename Model::backend>)
      m = std::as_const(downloaded.emplace_back(download<T>(trainer.context(), m))).view();
    tensors.push_back(tensor_view<T>(name, m.data, m.rows, m.cols));
  });
  const FitState& state = trainer.state();
  if (state.best_epoch > 0) {
    tensors.push_back(tensor_view<T>("user_vectors", trainer.best_users().data(), trainer.best_users().rows(),
                                     trainer.best_users().cols()));
    tensors.push_back(tensor_view<T>("item_vectors", trainer.best_items().data(), trainer.best_items().rows(),
                                     trainer.best_items().cols()));
  }
  const std::string users = detail::id_text(user_ids), items = detail::id_text(item_ids);
  tensors.push_back(tensor_view("user_ids", reinterpret_cast<const std::uint8_t*>(users.data()),
                                static_cast<std::int64_t>(users.size())));
  tensors.push_back(tensor_view("item_ids", reinterpret_cast<const std::uint8_t*>(items.data()),
                                static_cast<std::int64_t>(items.size())));
  nlohmann::ordered_json json;
  json["epoch"] = state.epoch;
  json["adam_steps"] = trainer.optimiser().steps();
  json["sampler_seed"] = trainer.options().seed;
  json["best_epoch"] = state.best_epoch;
  json["best_value"] = state.best_value;
  json["evaluations_without_gain"] = state.evaluations_without_gain;
  json["best_valid"] = nlohmann::ordered_json::array();
  for (const auto& [name, value] : state.best_valid) json["best_valid"].push_back({name, value});
  auto metadata = detail::metadata_of(origin);
  metadata["state"] = json.dump();
  metadata["epoch"] = std::to_string(state.best_epoch);
  write_safetensors(path, std::move(tensors), metadata);
}

/// What a checkpoint or a file of vectors says it comes from.
inline CheckpointOrigin checkpoint_origin(const std::string& path) {
  return detail::read_origin(detail::open_checkpoint(path));
}

/// Puts a run back where it was saved. The trainer must have been made for the same model, config and data; otherwise,
/// and for any damage, throws and says what does not fit. Config is compared by the caller, who knows which keys may
/// change.
template <class Model>
void load_checkpoint(const std::string& path, Trainer<Model>& trainer, const CheckpointOrigin& origin) {
  using T = typename Model::value_type;
  SafetensorsFile file = detail::open_checkpoint(path);
  const CheckpointOrigin stored = detail::read_origin(file);
  DREAM_EXPECT(stored.model == origin.model, path, ": holds a ", stored.model, " model, not ", origin.model);
  DREAM_EXPECT(stored.data == origin.data, path, ": was trained on other data (fingerprint ",
               detail::to_hex(stored.data), ", this data has ", detail::to_hex(origin.data), ")");
  DREAM_EXPECT(file.metadata().count("state") == 1, path,
               ": holds the vectors that rank, not a model; take the run's checkpoint.safetensors");
  const nlohmann::json json = detail::meta_json(file, "state");
  FitState state;
  std::int64_t steps = 0;
  try {
    DREAM_EXPECT(json.at("sampler_seed").get<std::uint64_t>() == trainer.options().seed, path,
                 ": was sampled with seed ", json.at("sampler_seed").get<std::uint64_t>(), ", not ",
                 trainer.options().seed);
    constexpr std::int64_t most = std::numeric_limits<int>::max();
    const auto whole = [&](const char* key, std::int64_t limit) {
      const nlohmann::json& value = json.at(key);
      DREAM_EXPECT(value.is_number_unsigned() && value.get<std::uint64_t>() <= static_cast<std::uint64_t>(limit), path,
                   ": metadata 'state' has ", key, " = ", value.dump(), ", expected a whole number from 0 to ", limit);
      return value.get<std::int64_t>();
    };
    state.epoch = static_cast<int>(whole("epoch", most - 1));
    state.best_epoch = static_cast<int>(whole("best_epoch", state.epoch));
    state.best_value = json.at("best_value").get<double>();
    state.evaluations_without_gain = static_cast<int>(whole("evaluations_without_gain", state.epoch));
    for (const auto& entry : json.at("best_valid"))
      state.best_valid.emplace_back(entry.at(0).get<std::string>(), entry.at(1).get<double>());
    steps = whole("adam_steps", std::numeric_limits<std::int64_t>::max() - 1);
  } catch (const nlohmann::json::exception& e) {
    fail(path, ": metadata 'state' is damaged: ", e.what());
  }
  detail::for_training_tensors(trainer, [&](const std::string& name, MatrixView<T> m) {
    if constexpr (KernelBackend<typename Model::backend>) {
      Matrix<T, Cpu> host(m.rows, m.cols);
      detail::read_matrix<T>(file, name, host.view());
      upload<T>(trainer.context(), std::span<const T>(host.data(), static_cast<std::size_t>(host.size())), m.data);
    } else {
      detail::read_matrix<T>(file, name, m);
    }
  });
  if (state.best_epoch > 0) {
    const CsrView<T> train = trainer.train_interactions();
    Matrix<T, Cpu> users = detail::read_matrix<T>(file, "user_vectors"),
                   items = detail::read_matrix<T>(file, "item_vectors");
    DREAM_EXPECT(users.rows() == train.rows && items.rows() == train.cols && users.cols() == items.cols(), path,
                 ": holds vectors of ", users.rows(), " users (", users.cols(), " columns) and ", items.rows(),
                 " items (", items.cols(), " columns), the data have ", train.rows, " users and ", train.cols,
                 " items");
    trainer.best_vectors() = {std::move(users), std::move(items)};
  }
  trainer.optimiser().set_steps(steps);
  trainer.state() = std::move(state);
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
  write_safetensors(
      path,
      std::vector<TensorView>{tensor_view("user_vectors", users.data, users.rows, users.cols),
                              tensor_view("item_vectors", items.data, items.rows, items.cols),
                              tensor_view("user_ids", reinterpret_cast<const std::uint8_t*>(user_text.data()),
                                          static_cast<std::int64_t>(user_text.size())),
                              tensor_view("item_ids", reinterpret_cast<const std::uint8_t*>(item_text.data()),
                                          static_cast<std::int64_t>(item_text.size()))},
      metadata);
}

/// Reads the vectors of a file of vectors, or the best epoch's of a checkpoint.
inline StoredVectors load_vectors(const std::string& path) {
  SafetensorsFile file = detail::open_checkpoint(path);
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
