// Checkpoints: a training run as a safetensors file. Needs nlohmann-json.
//
// A checkpoint holds the parameters and Adam's moments by name, the vectors of the best epoch, and as metadata the
// format's version, model, config, data fingerprint, the state of training and checksums. The sampler's state is its
// seed and the epoch. Everything is stored exactly, so training goes on to the same bits.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <dream/data/dataset.hpp>
#include <dream/train/fit.hpp>
#include <dream/train/safetensors.hpp>
#include <dream/train/stored_vectors.hpp>

namespace dream {

namespace detail {

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
  tensors.push_back(detail::text_view("user_ids", users));
  tensors.push_back(detail::text_view("item_ids", items));
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
  add_checksums(tensors, metadata);
  write_safetensors(path, std::move(tensors), metadata);
}

/// Puts a run back where it was saved. The trainer must have been made for the same model, config and data; otherwise,
/// and for any damage, throws and says what does not fit. Config is compared by the caller, who knows which keys may
/// change.
template <class Model>
void load_checkpoint(const std::string& path, Trainer<Model>& trainer, const CheckpointOrigin& origin) {
  using T = typename Model::value_type;
  const SafetensorsFile file = detail::open_checkpoint(path);
  const CheckpointOrigin stored = detail::read_origin(file);
  DREAM_EXPECT(stored.model == origin.model, path, ": holds a ", stored.model, " model, not ", origin.model);
  DREAM_EXPECT(stored.data == origin.data, path, ": was trained on other data (fingerprint ", hash_text(stored.data),
               ", this data has ", hash_text(origin.data), ")");
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

}  // namespace dream
