#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/graph/knn.hpp>
#include <dream/kernels/knn.cuh>
#include <dream/kernels/selection.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"

namespace dream_tests::kernels_knn {

using namespace dream;
using namespace dream::kernels;

namespace {

template <class T>
std::vector<T> inverse_norms(MatrixView<const T> x) {
  std::vector<T> out(static_cast<std::size_t>(x.rows));
  const KernelReport report = check_kernel<InverseNorms<T>>([&](KernelBuffers& use) {
    return typename InverseNorms<T>::Params{use.input(x), use.output(VectorView<T>{out.data(), x.rows})};
  });
  REQUIRE(report.text() == "");
  return out;
}

template <class T>
struct Graph {
  std::vector<std::int64_t> offsets;
  std::vector<index_t> columns;
  std::vector<T> weights;
};

/// The graph of neighbour lists, which are ended in place first.
template <class T>
Graph<T> weights_of(std::vector<T>& similarities, std::vector<index_t>& neighbours, index_t n, index_t k,
                    const std::vector<T>& inverse, bool binary) {
  const MatrixView<T> values{similarities.data(), n, k, k};
  const MatrixView<index_t> indices{neighbours.data(), n, k, k};
  const KernelReport ends = check_kernel<EndNeighbourLists<T>>([&](KernelBuffers& use) {
    return typename EndNeighbourLists<T>::Params{use.input(VectorView<const T>{inverse.data(), n}), use.output(values),
                                                 use.output(indices)};
  });
  REQUIRE(ends.text() == "");
  Graph<T> out;
  out.offsets.assign(static_cast<std::size_t>(n) + 1, -5);
  out.columns.assign(neighbours.size(), -5);
  out.weights.assign(neighbours.size(), T{-5});
  std::vector<double> sums(static_cast<std::size_t>(n) + 1);
  std::vector<std::int64_t> pieces(static_cast<std::size_t>(knn_weights_pieces(n)) + 1);
  const KernelReport report = check_kernels([&](Context<Emulated>& context, KernelBuffers& use) {
    knn_weights(context, KnnWeightsArguments<T>{.similarities = use.input(MatrixView<const T>(values)),
                                                .neighbours = use.input(MatrixView<const index_t>(indices)),
                                                .binary = binary,
                                                .offsets = use.output(out.offsets.data(), std::int64_t{n} + 1),
                                                .columns = use.output(out.columns.data(), std::int64_t{n} * k),
                                                .weights = use.output(out.weights.data(), std::int64_t{n} * k),
                                                .sums = use.output(sums.data(), n),
                                                .pieces = use.output(pieces.data(), knn_weights_pieces(n))});
  });
  REQUIRE(report.text() == "");
  const auto entries = static_cast<std::ptrdiff_t>(out.offsets.back());
  // Nothing is written behind the entries.
  REQUIRE(std::count(out.columns.begin() + entries, out.columns.end(), -5) ==
          static_cast<std::ptrdiff_t>(out.columns.size()) - entries);
  out.columns.resize(static_cast<std::size_t>(entries));
  out.weights.resize(static_cast<std::size_t>(entries));
  return out;
}

/// Rows of small whole numbers, some of them zero, some alike.
template <class T>
std::vector<T> small_rows(index_t n, index_t d, std::uint64_t seed) {
  std::vector<T> x(static_cast<std::size_t>(n) * static_cast<std::size_t>(d));
  const RandomStream random{seed};
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = i / static_cast<std::size_t>(d) % 9 == 4 ? T{0} : static_cast<T>(random.below(i, 5)) - T{2};
  return x;
}

/// Similarities in tiles and lists by kernels: as on a GPU, whose library makes the products.
template <class T>
Graph<T> graph_by_kernels(MatrixView<const T> x, index_t k, bool binary, index_t tile_rows, index_t tile_cols) {
  const std::vector<T> inverse = inverse_norms(x);
  std::vector<T> similarities(static_cast<std::size_t>(x.rows) * static_cast<std::size_t>(k));
  std::vector<index_t> neighbours(similarities.size());
  Context<Emulated> context;
  for (index_t i = 0; i < x.rows; i += tile_rows)
    for (index_t j = 0; j < x.rows; j += tile_cols) {
      const index_t rows = std::min(tile_rows, x.rows - i), cols = std::min(tile_cols, x.rows - j);
      std::vector<T> tile(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
      for (index_t r = 0; r < rows; ++r)
        for (index_t c = 0; c < cols; ++c) {
          T sum = 0;
          for (index_t f = 0; f < x.cols; ++f) sum = std::fma(x(i + r, f), x(j + c, f), sum);
          tile[static_cast<std::size_t>(r * cols + c)] = sum;
        }
      const MatrixView<T> lists{similarities.data(), x.rows, k, k};
      const MatrixView<index_t> indices{neighbours.data(), x.rows, k, k};
      top_k_rows(context, TopKRowsArguments<T>{.tile = {tile.data(), rows, cols, cols},
                                               .offset = j,
                                               .row_factors = {inverse.data() + i, rows},
                                               .col_factors = {inverse.data() + j, cols},
                                               .values = lists.middle_rows(i, rows),
                                               .indices = indices.middle_rows(i, rows),
                                               .fresh = j == 0});
    }
  return weights_of(similarities, neighbours, x.rows, k, inverse, binary);
}

}  // namespace

TEMPLATE_TEST_CASE("Inverse norms of rows of every length, 0 of zero rows", "", float, double) {
  using T = TestType;
  for (const index_t n : dream_test::sizes({1, 33, 129}, {0, 1, 31, 33, 129}))
    for (const index_t d : dream_test::sizes({1, 32}, {1, 3, 32, 65, 257})) {
      const std::vector<T> x = small_rows<T>(n, d, 1);
      const std::vector<T> found = inverse_norms<T>({x.data(), n, d, d});
      CAPTURE(n, d);
      for (index_t i = 0; i < n; ++i) {
        double sum = 0;  // exact: squares of small whole numbers
        for (index_t j = 0; j < d; ++j) sum += std::pow(static_cast<double>(x[static_cast<std::size_t>(i * d + j)]), 2);
        REQUIRE(found[static_cast<std::size_t>(i)] == (sum > 0 ? static_cast<T>(1 / std::sqrt(sum)) : T{0}));
      }
    }
}

TEST_CASE("Rows that are not finite have no inverse norm") {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> x{1, infinity, std::nan(""), 1, 1e200, 1e200, 3, 4};
  const std::vector<double> found = inverse_norms<double>({x.data(), 4, 2, 2});
  for (const std::size_t i : {0, 1, 2}) REQUIRE(std::isnan(found[i]));
  REQUIRE(found[3] == 0.2);
}

TEST_CASE("Four rows by hand: sums, weights, a zero row that keeps itself, a short list") {
  const double none = -std::numeric_limits<double>::infinity();
  // The cosines of (1,0), (0,0), (3,4), (0,2), as the lists come from the selection.
  std::vector<double> similarities{1, 0.6, 0, 0, 1, 0.8, 1, none};
  std::vector<index_t> neighbours{0, 2, 0, 1, 2, 3, 3, -1};
  const Graph<double> graph = weights_of<double>(similarities, neighbours, 4, 2, {1, 0, 0.2, 0.5}, false);
  REQUIRE(graph.offsets == std::vector<std::int64_t>{0, 2, 3, 5, 6});
  REQUIRE(graph.columns == std::vector<index_t>{0, 2, 1, 2, 3, 3});
  // Row sums 1.6, 0, 1.8, 1.
  REQUIRE(graph.weights[0] == Approx(1 / 1.6));
  REQUIRE(graph.weights[1] == Approx(0.6 / std::sqrt(1.6 * 1.8)));
  REQUIRE(graph.weights[2] == 0);
  REQUIRE(graph.weights[4] == Approx(0.8 / std::sqrt(1.8)));
  REQUIRE(graph.weights[5] == 1);
  // The lists are ended as the CPU's are.
  REQUIRE(neighbours == std::vector<index_t>{0, 2, 1, -1, 2, 3, 3, -1});
  REQUIRE(similarities == std::vector<double>{1, 0.6, 0, 0, 1, 0.8, 1, 0});
}

TEMPLATE_TEST_CASE("The graph by kernels has the CPU's entries, with ties, zero rows and negative sums", "", float,
                   double) {
  using T = TestType;
  Context<Cpu> context(1);
  for (const bool binary : {false, true})
    for (const index_t n : dream_test::sizes({1, 33, 129}, {1, 31, 32, 33, 127, 128, 129, 257})) {
      const index_t d = n == 33 ? 1 : 3, k = std::min<index_t>(n == 129 ? 40 : 10, n);
      CAPTURE(binary, n, k);
      const std::vector<T> x = small_rows<T>(n, d, static_cast<std::uint64_t>(n));
      const MatrixView<const T> view{x.data(), n, d, d};
      const auto expected =
          knn_graph<T>(context, view, {.k = k, .weights = binary ? KnnWeights::binary : KnnWeights::cosine});
      const Graph<T> found = graph_by_kernels<T>(view, k, binary, 100, 60);
      REQUIRE(std::equal(found.offsets.begin(), found.offsets.end(), expected.offsets.data()));
      REQUIRE(std::equal(found.columns.begin(), found.columns.end(), expected.indices.data()));
      // The same bits: products of small whole numbers are exact and sums go in the order of the lists.
      REQUIRE(std::equal(found.weights.begin(), found.weights.end(), expected.values.data()));
    }
}

TEST_CASE("No rows make an empty graph whose only offset is 0") {
  std::vector<float> similarities;
  std::vector<index_t> neighbours;
  REQUIRE(weights_of<float>(similarities, neighbours, 0, 4, {}, false).offsets == std::vector<std::int64_t>{0});
}

TEST_CASE("Offsets of more pieces of rows than a block has threads") {
  // Lists of one or two, over 1,100 pieces: in one thread order, as the emulation of 281,600 threads takes a while.
  const index_t n = 1100 * 256 - 3;
  std::vector<float> similarities(2 * static_cast<std::size_t>(n), 1.0f);
  std::vector<index_t> neighbours(2 * static_cast<std::size_t>(n));
  for (index_t i = 0; i < n; ++i) {
    neighbours[static_cast<std::size_t>(2 * i)] = i;
    neighbours[static_cast<std::size_t>(2 * i) + 1] = i % 3 == 0 ? -1 : (i + 1) % n;
  }
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(n) + 1), pieces(1100);
  std::vector<index_t> columns(neighbours.size());
  std::vector<float> weights(neighbours.size());
  std::vector<double> sums(static_cast<std::size_t>(n));
  Context<Emulated> context;
  knn_weights(context, KnnWeightsArguments<float>{.similarities = {similarities.data(), n, 2, 2},
                                                  .neighbours = {neighbours.data(), n, 2, 2},
                                                  .offsets = offsets.data(),
                                                  .columns = columns.data(),
                                                  .weights = weights.data(),
                                                  .sums = sums.data(),
                                                  .pieces = pieces.data()});
  bool right = true;
  for (index_t i = 0; i < n; ++i)
    right &= offsets[static_cast<std::size_t>(i) + 1] - offsets[static_cast<std::size_t>(i)] == (i % 3 == 0 ? 1 : 2);
  REQUIRE(right);
  REQUIRE(columns[static_cast<std::size_t>(offsets[static_cast<std::size_t>(n)]) - 1] == n - 1);
}

}  // namespace dream_tests::kernels_knn
