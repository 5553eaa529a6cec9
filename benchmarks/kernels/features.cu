// Raw features: rows gathered out of each storage, norms of rows; and the weights of the graph of their nearest
// neighbours. Memory bounds them: beside each a copy of as many bytes.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <dream/core/half.hpp>
#include <dream/kernels/features.cuh>
#include <dream/kernels/knn.cuh>
#include <dream/kernels/row_norm.cuh>

#include "cases.cuh"

namespace dream_benchmarks {

namespace {

constexpr index_t items = 7050;

/// Random features as they are stored.
FeatureView<float> stored_features(Inputs& inputs, FeatureStorage storage, index_t cols) {
  const MatrixView<float> full = inputs.uniform(items, cols);
  if (storage == FeatureStorage::full) return full;
  const auto values = on_host<float>(inputs.context(), full.data, full.size());
  std::vector<std::uint16_t> bits(values.size());
  const auto to_bits = storage == FeatureStorage::bfloat16 ? to_bfloat16 : to_float16;
  std::transform(values.begin(), values.end(), bits.begin(), to_bits);
  return {inputs.copied<std::uint16_t>(bits).data, items, cols, cols, storage};
}

/// Row r of stored features in double.
std::vector<double> feature_row(Context<Cuda>& context, const FeatureView<float>& x, index_t r) {
  if (x.storage == FeatureStorage::full) {
    const auto row = on_host(context, x.full().row(r), x.cols);
    return {row.begin(), row.end()};
  }
  std::vector<double> values;
  for (const std::uint16_t bits : on_host(context, x.halves().row(r), x.cols))
    values.push_back(static_cast<double>(from_half<float>(x.storage, bits)));
  return values;
}

Work gather_features(FeatureStorage storage, index_t b, index_t cols) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  kernels::GatherFeatures<float>::Params p{};
  p.x = stored_features(*inputs, storage, cols);
  p.scale = inputs->uniform(items, 1, 0.5F, 2).data;
  const VectorView<const index_t> rows = inputs->rows(b, items);
  p.rows = rows;
  p.y = inputs->matrix(b, cols);
  const auto drawn = on_host(context, rows.data, rows.size);
  const double distinct = static_cast<double>(std::set<index_t>(drawn.begin(), drawn.end()).size());
  const double width = storage == FeatureStorage::full ? 4 : 2;
  return memory_bound(
      inputs, distinct * (width * cols + 4) + b * (4.0 * cols + 4),
      [=, &context] { launch<kernels::GatherFeatures<float>>(context, p); },
      [=, &context] {
        at_both_ends(b, [&](index_t first, index_t count) {
          const HostRows found(context, p.y, first, count);
          const auto scale = on_host(context, p.scale, items);
          Difference difference;
          for (index_t k = 0; k < count; ++k) {
            const index_t row = drawn[static_cast<std::size_t>(first + k)];
            const std::vector<double> from = feature_row(context, p.x, row);
            for (index_t j = 0; j < cols; ++j)
              difference.add(found(k, j), from[static_cast<std::size_t>(j)] *
                                              static_cast<double>(scale[static_cast<std::size_t>(row)]));
          }
          difference.expect_below(1e-6, "the rows");
        });
      });
}

/// Inverse norms of rows: those of the row normalisation, and those of the neighbours' search.
template <bool OfNeighbours>
Work inverse_norms(index_t n, index_t d) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const MatrixView<const float> x = inputs->uniform(n, d);
  const VectorView<float> inverse = inputs->values(n);
  return memory_bound(
      inputs, 4.0 * n * d + 4.0 * n,
      [=, &context] {
        if constexpr (OfNeighbours)
          launch<kernels::InverseNorms<float>>(context, {x, inverse});
        else
          kernels::inverse_row_norms<Context<Cuda>, float>(context, x, inverse);
      },
      [=, &context] {
        at_both_ends(n, [&](index_t first, index_t rows) {
          const HostRows from(context, x, first, rows);
          const auto found = on_host<float>(context, inverse.data + first, rows);
          Difference difference;
          for (index_t i = 0; i < rows; ++i) {
            double square = 0;
            for (index_t j = 0; j < d; ++j) square += from(i, j) * from(i, j);
            difference.add(static_cast<double>(found[static_cast<std::size_t>(i)]), 1 / std::sqrt(square));
          }
          difference.expect_below(1e-6, "the inverse norms");
        });
      });
}

/// Lists of k neighbours of each of n rows, best first, the row itself at the head. Every fifth list ends early.
struct Lists {
  Lists(index_t rows, index_t length) : n(rows), k(length) {
    const RandomStream random{21};
    index_t step = 1 + n / 3;
    while (std::gcd(n, step) != 1) ++step;
    for (index_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < k; ++j) {
        const bool is_there = i % 5 != 0 || j < k - k / 4;
        neighbours.push_back(is_there ? static_cast<index_t>((i + j * step) % n) : -1);
        const double below = j == 0 ? 0 : static_cast<double>(j) + random.uniform(similarities.size());
        similarities.push_back(static_cast<float>(1 - 0.45 * below / k));
        entries += is_there ? 1 : 0;
      }
  }
  /// The entries of row i, by column.
  std::vector<std::pair<index_t, double>> row(index_t i) const {
    std::vector<std::pair<index_t, double>> found;
    for (std::size_t e = static_cast<std::size_t>(i) * static_cast<std::size_t>(k), j = 0;
         j < static_cast<std::size_t>(k) && neighbours[e + j] >= 0; ++j)
      found.emplace_back(neighbours[e + j], static_cast<double>(similarities[e + j]));
    std::sort(found.begin(), found.end());
    return found;
  }

  index_t n, k;
  std::vector<index_t> neighbours;
  std::vector<float> similarities;
  std::int64_t entries = 0;
};

void check_graph(Context<Cuda>& context, const kernels::KnnWeightsArguments<float>& a, const Lists& lists) {
  const auto offsets = on_host<std::int64_t>(context, a.offsets, std::int64_t{lists.n} + 1);
  const auto columns = on_host<index_t>(context, a.columns, lists.entries);
  const auto weights = on_host<float>(context, a.weights, lists.entries);
  std::vector<double> sums;
  for (index_t i = 0; i < lists.n; ++i) {
    double sum = 0;
    for (const auto& [column, similarity] : lists.row(i)) sum += similarity;
    sums.push_back(sum);
  }
  Difference difference;
  std::size_t e = 0;
  for (index_t i = 0; i < lists.n; ++i) {
    DREAM_EXPECT(offsets[static_cast<std::size_t>(i)] == static_cast<std::int64_t>(e), "offset ", i, " is wrong");
    for (const auto& [column, similarity] : lists.row(i)) {
      DREAM_EXPECT(columns[e] == column, "row ", i, " has column ", columns[e], " in place of ", column);
      const double sum = sums[static_cast<std::size_t>(i)], other = sums[static_cast<std::size_t>(column)];
      difference.add(static_cast<double>(weights[e]), similarity / std::sqrt(sum * other));
      ++e;
    }
  }
  DREAM_EXPECT(offsets.back() == lists.entries, offsets.back(), " entries, expected ", lists.entries);
  difference.expect_below(1e-6, "the weights");
}

/// From the lists that the selection leaves to the graph: lists ended, then offsets, columns and weights.
Work knn_weights(index_t n, index_t k) {
  Context<Cuda>& context = gpu();
  auto inputs = std::make_shared<Inputs>(context);
  const auto lists = std::make_shared<const Lists>(n, k);
  const VectorView<float> inverse = {inputs->uniform(n, 1, 0.5F, 2).data, n};
  const MatrixView<float> similarities{inputs->copied<float>(lists->similarities).data, n, k, k};
  const MatrixView<index_t> neighbours{inputs->copied<index_t>(lists->neighbours).data, n, k, k};
  kernels::KnnWeightsArguments<float> a;
  a.similarities = similarities;
  a.neighbours = neighbours;
  a.offsets = inputs->room<std::int64_t>(std::int64_t{n} + 1);
  a.columns = inputs->room<index_t>(std::int64_t{n} * k);
  a.weights = inputs->room<float>(std::int64_t{n} * k);
  a.sums = inputs->room<double>(n);
  a.pieces = inputs->room<std::int64_t>(kernels::knn_weights_pieces(n));
  // Norms and neighbours read to end the lists; lists read twice and written once; sums and offsets out, in and out.
  const double bytes = (4.0 + 4.0 * k) * n + 24.0 * static_cast<double>(lists->entries) + 40.0 * n;
  return memory_bound(
      inputs, bytes,
      [=, &context] {
        launch<kernels::EndNeighbourLists<float>>(context, {inverse, similarities, neighbours});
        kernels::knn_weights(context, a);
      },
      [=, &context] { check_graph(context, a, *lists); });
}

}  // namespace

void add_feature_cases() {
  struct Storage {
    const char* name;
    FeatureStorage kind;
  };
  struct Shape {
    index_t rows, cols;
  };
  const auto shape_of = [](const Shape& s) { return std::to_string(s.rows) + "x" + std::to_string(s.cols); };
  for (const Storage& storage :
       {Storage{"gather_features", FeatureStorage::full}, Storage{"gather_features_bfloat16", FeatureStorage::bfloat16},
        Storage{"gather_features_float16", FeatureStorage::float16}})
    for (const Shape s : {Shape{2048, 384}, Shape{2048, 4096}, Shape{8192, 4096}, Shape{65536, 4096}}) {
      const std::string name = std::string(storage.name) + "/" + shape_of(s);
      // The features, the result, and what is copied beside.
      const std::int64_t values = std::int64_t{3} * items * s.cols + std::int64_t{2} * s.rows * s.cols;
      if (has_room(name, 4 * values))
        add_case(name, {"dream", "copy"}, [kind = storage.kind, s] { return gather_features(kind, s.rows, s.cols); });
    }
  for (const Shape s : {Shape{items, 64}, Shape{items, 384}, Shape{items, 4096}, Shape{1 << 20, 64}}) {
    add_case("inverse_row_norms/" + shape_of(s), {"dream", "copy"},
             [s] { return inverse_norms<false>(s.rows, s.cols); });
    add_case("knn_norms/" + shape_of(s), {"dream", "copy"}, [s] { return inverse_norms<true>(s.rows, s.cols); });
  }
  for (const Shape s : {Shape{items, 10}, Shape{19445, 10}, Shape{19445, 50}, Shape{1 << 20, 10}})
    add_case("knn_weights/" + shape_of(s), {"dream", "copy"}, [s] { return knn_weights(s.rows, s.cols); });
}

}  // namespace dream_benchmarks
