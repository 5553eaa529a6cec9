#include <dream/graph/csr.hpp>

#include <vector>

#include <dream/core/random.hpp>

#include "support/catch.hpp"

namespace dream_tests::graph_csr {

using namespace dream;

namespace {

template <class T>
std::vector<T> dense(const Csr<T, Cpu>& a) {
  std::vector<T> out(static_cast<std::size_t>(a.rows) * static_cast<std::size_t>(a.cols));
  for (index_t i = 0; i < a.rows; ++i)
    for (std::int64_t e = a.offsets[i]; e < a.offsets[i + 1]; ++e)
      out[static_cast<std::size_t>(i) * static_cast<std::size_t>(a.cols) + static_cast<std::size_t>(a.indices[e])] +=
          a.values[e];
  return out;
}

}  // namespace

TEST_CASE("A sparse matrix made from triplets sums or keeps the first of equal places, and its columns ascend") {
  Context<Cpu> context(2);
  const std::vector<index_t> row{2, 0, 2, 2, 0}, col{3, 1, 0, 3, 0};
  const std::vector<double> value{1, 2, 3, 4, 5};
  const auto sum = csr_from_triplets<double>(context, 3, 4, row, col, value);
  REQUIRE(dense(sum) == std::vector<double>{5, 2, 0, 0, 0, 0, 0, 0, 3, 0, 0, 5});
  REQUIRE(sum.entries() == 4);
  REQUIRE(std::vector<index_t>(sum.indices.data(), sum.indices.data() + 4) == std::vector<index_t>{0, 1, 0, 3});
  const auto first = csr_from_triplets<double>(context, 3, 4, row, col, value, Duplicates::keep_first);
  REQUIRE(dense(first) == std::vector<double>{5, 2, 0, 0, 0, 0, 0, 0, 3, 0, 0, 1});
  const auto ones = csr_from_triplets<double>(context, 3, 4, row, col);
  REQUIRE(dense(ones) == std::vector<double>{1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 2});
}

TEST_CASE("A triplet outside the matrix is named") {
  Context<Cpu> context(1);
  const std::vector<index_t> row{0, 3}, col{0, 0}, negative{0, -1}, one{0};
  REQUIRE_ERROR(csr_from_triplets<float>(context, 3, 4, row, col), "triplet 1: (3, 0)");
  REQUIRE_ERROR(csr_from_triplets<float>(context, 3, 4, col, negative), "triplet 1: (0, -1)");
  REQUIRE_ERROR(csr_from_triplets<float>(context, 3, 4, row, one), "2 rows, 1 columns");
}

TEST_CASE("The transpose holds every entry at its mirrored place, and transposing twice gives the matrix back") {
  Context<Cpu> context(2);
  for (const index_t rows : {0, 1, 2, 31, 33, 257})
    for (const index_t cols : {1, 5, 100}) {
      std::vector<index_t> row, col;
      std::vector<float> value;
      const RandomStream random{static_cast<std::uint64_t>(rows * 1000 + cols)};
      for (std::uint64_t e = 0; rows > 0 && e < 400; ++e) {
        row.push_back(static_cast<index_t>(random.below(3 * e, static_cast<std::uint64_t>(rows))));
        col.push_back(static_cast<index_t>(random.below(3 * e + 1, static_cast<std::uint64_t>(cols))));
        value.push_back(static_cast<float>(e));
      }
      const auto a = csr_from_triplets<float>(context, rows, cols, row, col, value);
      const auto t = transpose(context, a.view());
      REQUIRE(t.rows == cols);
      REQUIRE(t.cols == rows);
      const auto da = dense(a), dt = dense(t);
      for (index_t i = 0; i < rows; ++i)
        for (index_t j = 0; j < cols; ++j)
          REQUIRE(da[static_cast<std::size_t>(i * cols + j)] == dt[static_cast<std::size_t>(j * rows + i)]);
      for (index_t j = 0; j < t.rows; ++j)
        for (std::int64_t e = t.offsets[j] + 1; e < t.offsets[j + 1]; ++e) REQUIRE(t.indices[e - 1] < t.indices[e]);
      const auto back = transpose(context, t.view());
      REQUIRE(dense(back) == da);
      REQUIRE(dense(clone(a.view())) == da);
    }
}

}  // namespace dream_tests::graph_csr
