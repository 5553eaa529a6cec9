#include <dream/backend/selection.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <dream/core/random.hpp>

#include "support/catch.hpp"

namespace dream_tests::backend_selection {

using namespace dream;

namespace {

/// Sorted by value, then index; NaN and -infinity left out.
std::vector<Scored<float>> reference(const std::vector<float>& values, index_t k) {
  std::vector<Scored<float>> all;
  for (std::size_t j = 0; j < values.size(); ++j)
    if (values[j] > -std::numeric_limits<float>::infinity()) all.push_back({values[j], static_cast<index_t>(j)});
  std::sort(all.begin(), all.end(), ranks_before<float>);
  if (all.size() > static_cast<std::size_t>(k)) all.resize(static_cast<std::size_t>(k));
  return all;
}

void require_same(RowSelection<float>& selection, index_t row, const std::vector<Scored<float>>& expected) {
  REQUIRE(selection.finish(row) == static_cast<index_t>(expected.size()));
  for (std::size_t c = 0; c < expected.size(); ++c) {
    REQUIRE(selection.selected(row)[c].index == expected[c].index);
    REQUIRE(selection.selected(row)[c].value == expected[c].value);
  }
}

}  // namespace

TEST_CASE("A row's selection equals sorting it, in pieces of any size, with many ties, NaN and infinities") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const int distinct : {1, 7, 1000000})
    for (const index_t size : {0, 1, 2, 15, 16, 17, 33, 257, 3000})
      for (const index_t k : {1, 2, 10, 50, 130, 300}) {
        const RandomStream random{static_cast<std::uint64_t>(distinct), RandomUse::user,
                                  static_cast<std::uint32_t>(size)};
        std::vector<float> values(static_cast<std::size_t>(size));
        for (std::size_t j = 0; j < values.size(); ++j) {
          const std::uint64_t special = random.below(2 * j, 40);
          values[j] = special == 0   ? nan
                      : special == 1 ? -inf
                      : special == 2
                          ? inf
                          : static_cast<float>(random.below(2 * j + 1, static_cast<std::uint64_t>(distinct))) - 3;
        }
        const auto expected = reference(values, k);
        for (const index_t piece : {1, 16, 100, 4096}) {
          RowSelection<float> selection(2, k);
          for (index_t j = 0; j < size; j += piece)
            selection.offer_row(1, values.data() + j, std::min(piece, size - j), j);
          require_same(selection, 1, expected);
          REQUIRE(selection.finish(0) == 0);
        }
      }
}

TEST_CASE("More places than a selection can count are an error, not a wrong size") {
  RowSelection<float> selection;
  for (const index_t k : {1073741821, 1200000000, 2147483647, 0, -1})
    REQUIRE_ERROR(selection.reset(1, k), "selection: 1 rows, k " + std::to_string(k));
  REQUIRE_ERROR(selection.reset(-1, 5), "selection: -1 rows, k 5");
  selection.reset(0, 1073741820);
  REQUIRE(selection.k() == 1073741820);
  const float values[] = {3, 1, 2};
  selection.reset(1, 1000000);
  selection.offer_row(0, values, 3, 0);
  require_same(selection, 0, reference({3, 1, 2}, 3));
}

TEST_CASE("Offering columns, in any order of the columns, selects the same as offering rows") {
  const index_t rows = 37, cols = 211;
  const RandomStream random{5};
  std::vector<float> values(static_cast<std::size_t>(rows * cols));
  for (std::size_t e = 0; e < values.size(); ++e) values[e] = static_cast<float>(random.below(e, 50));
  values[5] = std::numeric_limits<float>::quiet_NaN();
  RowSelection<float> by_rows(rows, 12), by_cols(rows, 12);
  for (index_t i = 0; i < rows; ++i) by_rows.offer_row(i, values.data() + i * cols, cols, 0);
  for (index_t step = 0; step < cols; ++step) {
    const index_t j = step * 100 % cols;
    std::vector<float> column;
    for (index_t i = 0; i < rows; ++i) column.push_back(values[static_cast<std::size_t>(i * cols + j)]);
    by_cols.offer_column(0, column.data(), rows, j);
  }
  for (index_t i = 0; i < rows; ++i) {
    REQUIRE(by_rows.finish(i) == 12);
    REQUIRE(by_cols.finish(i) == 12);
    for (int c = 0; c < 12; ++c) REQUIRE(by_rows.selected(i)[c].index == by_cols.selected(i)[c].index);
  }
}

}  // namespace dream_tests::backend_selection
