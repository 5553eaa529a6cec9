// Starts training from a checkpoint of a model that was trained on other data: what users and items have in common is
// taken over by their ids. Needs nlohmann-json.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dream/data/ids.hpp>
#include <dream/train/checkpoint.hpp>

namespace dream {

/// What was taken over.
struct WarmStart {
  index_t users = 0, items = 0;        ///< of the data, found in the checkpoint
  std::vector<std::string> untouched;  ///< parameters that the checkpoint has not, or in another shape
};

namespace detail {

/// Copies rows of a stored matrix: row rows[r] to row r, where rows[r] >= 0.
template <class Model>
void take_rows(Trainer<Model>& trainer, const Matrix<typename Model::value_type, Cpu>& stored,
               std::span<const index_t> rows, MatrixView<typename Model::value_type> to) {
  using T = typename Model::value_type;
  Matrix<T, Cpu> host = download<T>(trainer.context(), std::as_const(to));
  for (index_t r = 0; r < to.rows; ++r)
    if (rows[static_cast<std::size_t>(r)] >= 0)
      std::copy_n(stored.view().row(rows[static_cast<std::size_t>(r)]), to.cols, host.view().row(r));
  upload<T>(trainer.context(), std::span<const T>(host.data(), static_cast<std::size_t>(host.size())), to.data);
}

}  // namespace detail

/// Replaces parameters of a trainer that has not trained yet by those of a checkpoint of the same kind of model. Rows
/// of user and item embeddings and of trainable features are matched by id; new users and items keep the start that
/// they have. Parameters of another kind are taken whole. Adam's moments and the epoch start anew. A checkpoint of
/// another model, or without parameters, is an error.
template <class Model>
WarmStart warm_start(const std::string& path, Trainer<Model>& trainer, const Dataset& data) {
  using T = typename Model::value_type;
  const SafetensorsFile file = detail::open_checkpoint(path);
  DREAM_EXPECT(file.metadata().count("state") == 1, path,
               ": holds the vectors that rank, not a model; take the run's checkpoint.safetensors");
  const auto rows_of = [&](const std::string& embedding, const std::string& list, const IdMap& ids, index_t& found) {
    const SafetensorsFile::Entry& entry = file.at(embedding);
    DREAM_EXPECT(entry.shape.size() == 2, file.path(), ": tensor '", embedding, "' is not a matrix");
    const IdMap stored = detail::read_ids(file, list, static_cast<index_t>(entry.shape[0]));
    const IdIndex index(stored);
    std::vector<index_t> rows;
    for (index_t r = 0; r < ids.count; ++r) {
      rows.push_back(index.find(ids.name(r)));
      found += rows.back() >= 0;
    }
    return rows;
  };
  WarmStart taken;
  const std::vector<index_t> users = rows_of("parameter.user_embedding", "user_ids", data.users, taken.users);
  const std::vector<index_t> items = rows_of("parameter.item_embedding", "item_ids", data.items, taken.items);
  const auto take = [&](const std::string& name, std::span<const index_t> rows, MatrixView<T> to) {
    const SafetensorsFile::Entry* const entry = file.find("parameter." + name);
    const bool fits = entry != nullptr && entry->dtype == dtype_of<T>() && entry->shape.size() == 2 &&
                      entry->shape[1] == to.cols && (!rows.empty() || entry->shape[0] == to.rows);
    if (!fits) return taken.untouched.push_back(name);
    const Matrix<T, Cpu> stored = detail::read_matrix<T>(file, "parameter." + name);
    std::vector<index_t> all;
    for (index_t r = 0; rows.empty() && r < to.rows; ++r) all.push_back(r);
    detail::take_rows(trainer, stored, rows.empty() ? std::span<const index_t>(all) : rows, to);
  };
  auto& parameters = trainer.model().parameters();
  for (int p = 0; p < parameters.count(); ++p) {
    const std::string& name = parameters.name({p});
    take(name,
         name == "user_embedding"   ? std::span<const index_t>(users)
         : name == "item_embedding" ? std::span<const index_t>(items)
                                    : std::span<const index_t>(),
         parameters.value({p}));
  }
  for (auto& large : trainer.model().large_parameters()) take(large.name, items, large.value.view());
  return taken;
}

}  // namespace dream
