// What a model needs of a data set, prepared once on its backend: the user-item graph, and for each modality the
// normalised features, the relation graphs, and who has the modality (docs/components.md, 1 and 2).
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <dream/backend/algebra.hpp>
#include <dream/backend/features.hpp>
#include <dream/data/dataset.hpp>
#include <dream/graph/bipartite.hpp>
#include <dream/graph/cooccurrence.hpp>
#include <dream/graph/knn.hpp>
#include <dream/graph/knn_approximate.hpp>
#include <dream/graph/relation.hpp>
#include <dream/models/feature_normalisation.hpp>
#include <dream/ops/graph.hpp>

namespace dream {

/// Item-item relations: cosine weights, FREEDOM's binary weights, or no graph (H_I,m = H_m).
enum class ItemGraph { knn, binary, none };
/// User-user relations: nearest by mean features, by shared items, or no graph (H_U,m = Rn H_I,m).
enum class UserGraph { knn, cooccurrence, none };

/// How nearest neighbours are found: exactly, in time N^2 d; by inverted lists (graph/knn_approximate.hpp); or exactly
/// up to a size at which that takes some minutes on a few cores, and approximately beyond.
enum class KnnMethod { exact, approximate, automatic };

struct ModelDataOptions {
  FeatureNormalisation feature_normalisation = FeatureNormalisation::row;
  ItemGraph item_graph = ItemGraph::knn;
  UserGraph user_graph = UserGraph::none;
  index_t knn_k = 10;
  index_t user_knn_k = 20;
  KnnMethod knn_method = KnnMethod::exact;
  bool user_similarity = true;  ///< also keep the users' mean features, the targets of S3 on users
  bool modal = true;            ///< false: only the user-item graph
  /// Of the features that training reads; the graphs are built from the full ones.
  FeatureStorage feature_storage = FeatureStorage::full;
};

/// One modality on a backend.
template <class T, class B>
struct ModalityData {
  std::string name;
  Features<T, B> features;         ///< F_m, q x d_m, normalised; zero rows where the item lacks the modality
  Array<T, B> inverse_norms;       ///< 1 / |row of F_m|, 0 for zero rows
  Array<std::uint8_t, B> present;  ///< per item
  SparsePair<T, B> item_graph;     ///< S_m; empty without one
  SparsePair<T, B> user_graph;     ///< T_m; empty without one
  Features<T, B> user_features;    ///< f_u,m, n x d_m; empty unless user_similarity
  Array<T, B> user_inverse_norms;
};

template <class T, class B>
struct ModelData {
  using Backend = B;

  index_t users = 0;
  index_t items = 0;
  SparsePair<T, B> graph;  ///< Rn with its transpose
  std::vector<ModalityData<T, B>> modalities;
  Matrix<T, B> item_present;   ///< q x #modalities, 1 where the item has the modality
  Matrix<T, B> user_present;   ///< n x #modalities, 1 where the modality reaches the user through its neighbours
  std::int64_t positives = 0;  ///< training interactions
};

namespace detail {

template <class T>
SparsePair<T, Cpu> with_transpose(Context<Cpu>& context, Csr<T, Cpu> a) {
  Csr<T, Cpu> transposed = transpose<T>(context, a.view());
  return {std::move(a), std::move(transposed)};
}

/// 1 for rows that have an entry with a weight other than zero.
template <class T>
void mark_connected(CsrView<T> graph, index_t modality, MatrixView<T> present) {
  for (index_t i = 0; i < graph.rows; ++i) {
    present(i, modality) = T{0};
    for (std::int64_t e = graph.offsets[i]; e < graph.offsets[i + 1]; ++e)
      if (graph.values[e] != T{0}) present(i, modality) = T{1};
  }
}

/// Whether N rows of d columns are compared all with all.
inline bool is_exact(KnnMethod method, double rows, double cols) {
  return method == KnnMethod::exact || (method == KnnMethod::automatic && rows * rows * cols <= 2e13);
}

/// S_m and T_m of one modality. Exact graphs come from relations(features, mean, options): together, since on the host
/// they share the inner products of the items.
template <class T, class Relations>
void build_relations(Context<Cpu>& context, const ModelDataOptions& options, const Csr<T, Cpu>& mean,
                     MatrixView<const T> features, ModalityData<T, Cpu>& modality, Relations&& relations) {
  const bool items = options.item_graph != ItemGraph::none, users = options.user_graph == UserGraph::knn;
  const RelationOptions relation{
      .item = {.k = options.knn_k,
               .weights = options.item_graph == ItemGraph::binary ? KnnWeights::binary : KnnWeights::cosine},
      .user = {.k = options.user_knn_k},
      .items = items && is_exact(options.knn_method, features.rows, features.cols),
      .users = users && is_exact(options.knn_method, mean.rows, features.cols)};
  RelationGraphs<T, Cpu> graphs;
  if (relation.items || relation.users) graphs = relations(features, mean, relation);
  if (items && !relation.items)
    graphs.item = approximate_knn_graph<T>(context, features, {.k = relation.item.k}, relation.item.weights);
  if (users && !relation.users) {
    const Matrix<T, Cpu> means = user_mean_features<T>(context, mean.view(), features);
    graphs.user = approximate_knn_graph<T>(context, means.view(), {.k = relation.user.k});
  }
  if (items) modality.item_graph = with_transpose(context, std::move(graphs.item));
  if (users) modality.user_graph = with_transpose(context, std::move(graphs.user));
}

/// The exact relation graphs of build_relations, on the host.
template <class T>
auto relations_on_host(Context<Cpu>& context) {
  return [&context](MatrixView<const T> features, const Csr<T, Cpu>& mean, const RelationOptions& options) {
    return relation_graphs<T>(context, features, mean.view(), options);
  };
}

/// The same by kernels; nothing stays on the device.
template <class T, KernelBackend B>
auto relations_by_kernels(Context<B>& context) {
  return [&context](MatrixView<const T> features, const Csr<T, Cpu>& mean, const RelationOptions& options) {
    const Matrix<T, B> on_device = upload<T>(context, features);
    const Csr<T, B> averages = options.users ? upload(context, mean) : Csr<T, B>{};
    const RelationGraphs<T, B> graphs = relation_graphs<T>(context, on_device.view(), averages, options);
    return RelationGraphs<T, Cpu>{download(context, graphs.item), download(context, graphs.user)};
  };
}

/// Keeps features in the storage asked for, with the norms of what is read from it.
template <class T>
void store(Context<Cpu>& context, FeatureStorage storage, Matrix<T, Cpu>&& values, Features<T, Cpu>& features,
           Array<T, Cpu>& inverse_norms) {
  round_to_storage<T>(context, storage, values.view());
  inverse_norms.resize(values.rows());
  inverse_row_norms<T>(context, values.view(), inverse_norms.view());
  features = stored_features(context, storage, std::move(values));
}

inline auto release_features(Dataset& dataset) {
  return [&dataset](std::size_t m) { std::vector<float>().swap(dataset.modalities[m].values); };
}

/// prepare_data with relations() for the exact relation graphs; calls done(m) when the raw features of modality m are
/// not needed any more.
template <class T, class Relations, class Done>
ModelData<T, Cpu> prepare_on_host(Context<Cpu>& context, const Dataset& dataset, const ModelDataOptions& options,
                                  Relations&& relations, Done&& done) {
  DREAM_EXPECT(dataset.train.size() > 0, dataset.name, ": there are no training interactions");
  ModelData<T, Cpu> data;
  data.users = dataset.user_count();
  data.items = dataset.item_count();
  data.positives = dataset.train.size();
  const Csr<T, Cpu> interactions = interaction_matrix<T>(context, dataset.train, data.users, data.items);
  data.graph = with_transpose(context, normalised<T>(context, interactions.view()));
  if (!options.modal) return data;

  const index_t modalities = static_cast<index_t>(dataset.modalities.size());
  data.item_present.resize(data.items, modalities);
  data.user_present.resize(data.users, modalities);
  SparsePair<T, Cpu> shared_users;
  if (options.user_graph == UserGraph::cooccurrence && modalities > 0) {
    const Csr<T, Cpu> by_item = transpose<T>(context, interactions.view());
    shared_users = with_transpose(
        context, cooccurrence_graph<T>(context, interactions.view(), by_item.view(), options.user_knn_k));
  }
  for (index_t m = 0; m < modalities; ++m) {
    const Modality& source = dataset.modalities[static_cast<std::size_t>(m)];
    DREAM_EXPECT(source.rows == data.items, dataset.name, ": modality ", source.name, " has ", source.rows,
                 " rows for ", data.items, " items");
    ModalityData<T, Cpu>& modality = data.modalities.emplace_back();
    modality.name = source.name;
    Matrix<T, Cpu> features(source.rows, source.cols);
    context.parallel_blocks(source.rows, 256, [&](std::int64_t begin, std::int64_t end) {
      std::copy(source.values.data() + begin * source.cols, source.values.data() + end * source.cols,
                features.data() + begin * source.cols);
    });
    modality.present = upload<std::uint8_t>(context, source.present);
    done(static_cast<std::size_t>(m));
    normalise_features<T>(context, options.feature_normalisation, modality.present.view(), features.view());
    for (index_t i = 0; i < data.items; ++i) data.item_present(i, m) = modality.present[i] ? T{1} : T{0};

    const Csr<T, Cpu> mean = user_mean_operator<T>(context, interactions.view(), source.present);
    build_relations<T>(context, options, mean, features.view(), modality, relations);
    if (options.user_graph == UserGraph::knn) {
      mark_connected<T>(modality.user_graph.forward.view(), m, data.user_present.view());
    } else {
      mark_connected<T>(mean.view(), m, data.user_present.view());
      if (options.user_graph == UserGraph::cooccurrence)
        modality.user_graph = {clone<T>(shared_users.forward.view()), clone<T>(shared_users.transposed.view())};
    }
    if (options.user_similarity)
      store(context, options.feature_storage, user_mean_features<T>(context, mean.view(), features.view()),
            modality.user_features, modality.user_inverse_norms);
    store(context, options.feature_storage, std::move(features), modality.features, modality.inverse_norms);
  }
  return data;
}

}  // namespace detail

/// The same data in the memory of backend B.
template <class T, class B>
ModelData<T, B> upload(Context<B>& context, const ModelData<T, Cpu>& data) {
  const auto pair = [&](const SparsePair<T, Cpu>& a) {
    return a.rows() > 0 ? SparsePair<T, B>{upload(context, a.forward), upload(context, a.transposed)}
                        : SparsePair<T, B>{};
  };
  const auto array = [&](const auto& a) {
    return upload(context, std::span(a.data(), static_cast<std::size_t>(a.size())));
  };
  ModelData<T, B> out;
  out.users = data.users;
  out.items = data.items;
  out.positives = data.positives;
  out.graph = pair(data.graph);
  out.item_present = upload<T>(context, data.item_present.view());
  out.user_present = upload<T>(context, data.user_present.view());
  for (const ModalityData<T, Cpu>& from : data.modalities) {
    ModalityData<T, B>& to = out.modalities.emplace_back();
    to.name = from.name;
    to.features = upload(context, from.features);
    to.inverse_norms = array(from.inverse_norms);
    to.present = array(from.present);
    to.item_graph = pair(from.item_graph);
    to.user_graph = pair(from.user_graph);
    to.user_features = upload(context, from.user_features);
    to.user_inverse_norms = array(from.user_inverse_norms);
  }
  return out;
}

/// Builds everything a model needs from a data set's training interactions and features.
template <class T>
ModelData<T, Cpu> prepare_data(Context<Cpu>& context, const Dataset& dataset, const ModelDataOptions& options) {
  return detail::prepare_on_host<T>(context, dataset, options, detail::relations_on_host<T>(context),
                                    [](std::size_t) {});
}

/// The same in the memory of a backend that runs kernels, which finds the exact neighbours; the rest is done on the
/// host.
template <class T, KernelBackend B>
ModelData<T, B> prepare_data(Context<B>& context, Context<Cpu>& host, const Dataset& dataset,
                             const ModelDataOptions& options) {
  return upload(context, detail::prepare_on_host<T>(host, dataset, options, detail::relations_by_kernels<T>(context),
                                                    [](std::size_t) {}));
}

/// The same, freeing the data set's raw features as soon as they are taken over: half the memory where features are
/// large.
template <class T>
ModelData<T, Cpu> prepare_data_releasing_features(Context<Cpu>& context, Dataset& dataset,
                                                  const ModelDataOptions& options) {
  return detail::prepare_on_host<T>(context, dataset, options, detail::relations_on_host<T>(context),
                                    detail::release_features(dataset));
}
template <class T, KernelBackend B>
ModelData<T, B> prepare_data_releasing_features(Context<B>& context, Context<Cpu>& host, Dataset& dataset,
                                                const ModelDataOptions& options) {
  return upload(context, detail::prepare_on_host<T>(host, dataset, options, detail::relations_by_kernels<T>(context),
                                                    detail::release_features(dataset)));
}

}  // namespace dream
