#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/kernels/selection.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_runs.hpp"

namespace dream_tests::kernels_selection {

using namespace dream;
using namespace dream::kernels;

namespace {

template <class T>
struct Lists {
  std::vector<T> values;
  std::vector<index_t> indices;

  bool operator==(const Lists&) const = default;
};

/// The k best of each row by sorting all of it. `value(i, j)` is the value of column j.
template <class T, class Value>
Lists<T> sorted_lists(index_t rows, index_t cols, index_t k, Value&& value) {
  Lists<T> out;
  for (index_t i = 0; i < rows; ++i) {
    std::vector<index_t> order;
    for (index_t j = 0; j < cols; ++j)
      if (value(i, j) > -std::numeric_limits<T>::infinity()) order.push_back(j);
    std::stable_sort(order.begin(), order.end(), [&](index_t a, index_t b) { return value(i, a) > value(i, b); });
    for (index_t c = 0; c < k; ++c) {
      const bool there = c < static_cast<index_t>(order.size());
      out.indices.push_back(there ? order[static_cast<std::size_t>(c)] : -1);
      out.values.push_back(there ? value(i, out.indices.back()) : -std::numeric_limits<T>::infinity());
    }
  }
  return out;
}

/// By TopKRows, in tiles of `tile_cols` columns, first to last or last to first.
template <class T>
Lists<T> lists_by_tiles(MatrixView<const T> x, index_t k, index_t tile_cols, bool backwards = false,
                        const std::vector<T>& factors = {}, bool check = true) {
  Lists<T> out;
  out.values.resize(static_cast<std::size_t>(x.rows) * static_cast<std::size_t>(k));
  out.indices.resize(out.values.size());
  const auto run = [&](Context<Emulated>& context, KernelBuffers& use) {
    const MatrixView<const T> all = use.input(x);
    const MatrixView<T> values = use.output(MatrixView<T>{out.values.data(), x.rows, k, k});
    const MatrixView<index_t> indices = use.output(MatrixView<index_t>{out.indices.data(), x.rows, k, k});
    const VectorView<const T> factor =
        use.input(VectorView<const T>{factors.data(), static_cast<std::int64_t>(factors.size())});
    context.set_written(use.written());
    const index_t tiles = std::max<index_t>(1, (x.cols + tile_cols - 1) / tile_cols);
    for (index_t t = 0; t < tiles; ++t) {
      const index_t first = (backwards ? tiles - 1 - t : t) * tile_cols, width = std::min(tile_cols, x.cols - first);
      const bool scaled = !factors.empty();
      top_k_rows(context,
                 TopKRowsArguments<T>{
                     .tile = all.middle_cols(first, width),
                     .offset = first,
                     .row_factors = scaled ? VectorView<const T>{factor.data, x.rows} : VectorView<const T>{},
                     .col_factors = scaled ? VectorView<const T>{factor.data + first, width} : VectorView<const T>{},
                     .values = values,
                     .indices = indices,
                     .fresh = t == 0});
    }
  };
  dream_test::run_kernels(run, check);
  return out;
}

template <class T>
struct Tile {
  index_t rows, cols;
  std::vector<T> data;

  /// Distinct numbers, or with `levels` > 0 so many values, each many times.
  Tile(index_t r, index_t c, std::uint64_t seed, std::uint64_t levels = 0)
      : rows(r), cols(c), data(static_cast<std::size_t>(r) * static_cast<std::size_t>(c)) {
    const RandomStream random{seed};
    for (std::size_t i = 0; i < data.size(); ++i)
      data[i] = levels > 0 ? static_cast<T>(random.below(i, levels)) - static_cast<T>(levels / 2)
                           : static_cast<T>(random.normal(i));
  }
  MatrixView<const T> view() const { return {data.data(), rows, cols, cols}; }
  Lists<T> best(index_t k) const {
    return sorted_lists<T>(rows, cols, k, [&](index_t i, index_t j) { return view()(i, j); });
  }
};

}  // namespace

TEMPLATE_TEST_CASE("The k best of each row are selected, in order, for every size of row and list", "", float, double) {
  for (const index_t cols : dream_test::sizes({0, 1, 33, 129}, {0, 1, 31, 32, 33, 127, 128, 129, 257, 512, 1025}))
    for (const index_t k : dream_test::sizes({1, 33}, {1, 10, 32, 33, 100, 128, 257})) {
      if (cols > 129 && k != 10 && k != 100) continue;
      CAPTURE(cols, k);
      const Tile<TestType> x(cols == 33 ? 33 : 5, cols, static_cast<std::uint64_t>(1000 * cols + k));
      REQUIRE(lists_by_tiles<TestType>(x.view(), k, std::max<index_t>(cols, 1)) == x.best(k));
    }
}

TEST_CASE("Without rows nothing happens") {
  const Tile<float> x(0, 40, 1);
  REQUIRE(lists_by_tiles<float>(x.view(), 3, 40).indices.empty());
}

TEMPLATE_TEST_CASE("Running lists are the same for any tiles in any order, with ties to the smaller column", "", float,
                   double) {
  const Tile<TestType> x(3, 700, 3, 7);
  for (const index_t k : dream_test::sizes({1, 130}, {1, 20, 64, 130, 700, 1024})) {
    const Lists<TestType> expected = x.best(k);
    CAPTURE(k);
    for (const index_t tile : {700, 512, 129, 33})
      for (const bool backwards : {false, true}) {
        CAPTURE(tile, backwards);
        REQUIRE(lists_by_tiles<TestType>(x.view(), k, tile, backwards, {}, tile == 129 && k < 100) == expected);
      }
  }
}

TEST_CASE("NaN and minus infinity are never selected, infinity is the best there is") {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  Tile<float> x(4, 100, 5);
  for (std::size_t j = 0; j < 100; ++j) {
    if (j % 3 == 0) x.data[j] = nan;
    x.data[100 + j] = j == 77 ? 2.5f : nan;
    x.data[200 + j] = -infinity;
    if (j % 10 == 0) x.data[300 + j] = infinity;
  }
  const Lists<float> found = lists_by_tiles<float>(x.view(), 40, 48);
  REQUIRE(found == x.best(40));
  REQUIRE(found.indices[40] == 77);
  REQUIRE(found.indices[41] == -1);
  REQUIRE(found.indices[80] == -1);
  REQUIRE(found.values[80] == -infinity);
  REQUIRE(found.indices[129] == 90);
}

TEMPLATE_TEST_CASE("Values count with the factors of their row and column", "", float, double) {
  using T = TestType;
  const Tile<T> x(17, 17, 8);
  std::vector<T> factors;
  for (int i = 0; i < 17; ++i) factors.push_back(i == 4 ? T{0} : T{1} / static_cast<T>(i + 1));
  const auto value = [&](index_t i, index_t j) {
    return x.view()(i, j) * (factors[static_cast<std::size_t>(i)] * factors[static_cast<std::size_t>(j)]);
  };
  REQUIRE(lists_by_tiles<T>(x.view(), 6, 5, false, factors) == sorted_lists<T>(17, 17, 6, value));
}

TEST_CASE("Lists with indices of their own are merged, ranks without one left out") {
  // Two lists of three for each of two rows.
  const std::vector<double> values{5, 3, 1, 5, 4, -std::numeric_limits<double>::infinity(), 2, 2, 2, 2, 2, 2};
  const std::vector<index_t> ids{7, 8, 2, 3, 1, -1, 9, 8, 7, 6, 5, 4};
  std::vector<double> best_values(8);
  std::vector<index_t> best_indices(8);
  const KernelReport report = check_kernel<TopKRows<double, true>>([&](KernelBuffers& use) {
    return TopKRows<double, true>::Params{use.input(MatrixView<const double>{values.data(), 2, 6, 6}),
                                          use.input(MatrixView<const index_t>{ids.data(), 2, 6, 6}),
                                          0,
                                          {},
                                          {},
                                          use.output(MatrixView<double>{best_values.data(), 2, 4, 4}),
                                          use.output(MatrixView<index_t>{best_indices.data(), 2, 4, 4}),
                                          true};
  });
  REQUIRE(report.text() == "");
  REQUIRE(best_values == std::vector<double>{5, 5, 4, 3, 2, 2, 2, 2});
  REQUIRE(best_indices == std::vector<index_t>{3, 7, 1, 8, 4, 5, 6, 7});
}

}  // namespace dream_tests::kernels_selection
