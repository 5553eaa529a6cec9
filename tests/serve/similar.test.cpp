#include <dream/serve/similar.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include <dream/testing/emulated.hpp>

#include "graph/reference.hpp"
#include "support/catch.hpp"

namespace dream_tests::serve_similar {

using namespace dream;

TEST_CASE("similar items come by cosine, not by length, and leave the item itself out") {
  Context<Cpu> context(1);
  const std::vector<float> rows{1, 0, 100, 100, 3, 0.1F, -1, 0, 0, 0};
  const MatrixView<const float> items{rows.data(), 5, 2, 2};
  const std::vector<Scored<double>> found = similar_items(context, items, 0, 10);
  REQUIRE(found.size() == 4);
  CHECK(found[0].index == 2);
  CHECK(found[0].value == Approx(3 / std::sqrt(9.01)).epsilon(1e-6));
  CHECK(found[1].index == 1);
  CHECK(found[1].value == Approx(std::sqrt(0.5)));
  CHECK(found[2].index == 4);
  CHECK(found[2].value == 0);
  CHECK(found[3].index == 3);
  CHECK(found[3].value == Approx(-1));
  CHECK(similar_items(context, items, 0, 2).size() == 2);
}

TEST_CASE("equal cosines come in the order of the items, and an item of zeros is like nothing") {
  Context<Cpu> context(2);
  std::vector<float> rows(3000 * 2, 1.0F);
  rows[0] = rows[1] = 0;
  const MatrixView<const float> items{rows.data(), 3000, 2, 2};
  const std::vector<Scored<double>> found = similar_items(context, items, 5, 7);
  const std::vector<index_t> expected{1, 2, 3, 4, 6, 7, 8};
  for (std::size_t i = 0; i < 7; ++i) CHECK(found[i].index == expected[i]);
  const std::vector<Scored<double>> nothing = similar_items(context, items, 0, 3);
  CHECK(nothing[0].index == 1);
  CHECK(nothing[0].value == 0);
}

TEST_CASE("similar items of an item that does not exist are an error") {
  Context<Cpu> context(1);
  const std::vector<float> rows{1, 0};
  const MatrixView<const float> one{rows.data(), 1, 2, 2};
  CHECK(similar_items(context, one, 0, 5).empty());
  REQUIRE_ERROR(similar_items(context, one, 1, 5), "item 1 of 1");
  REQUIRE_ERROR(similar_items(context, one, -1, 5), "item -1 of 1");
  REQUIRE_ERROR(similar_items(context, one, 0, 0), "expected at least 1");
}

TEST_CASE("similar items by kernels are the host's") {
  Context<Cpu> host(1);
  Context<Emulated> context({.lock_memory = true});
  for (const index_t count : {1, 2, 31, 33, 129, 600}) {
    Matrix<double, Cpu> items = reference::random_matrix<double>(count, 9, 4);
    if (count > 4) std::fill_n(items.view().row(4), 9, 0.0);
    if (count > 31) std::copy_n(items.view().row(3), 9, items.view().row(31));  // a tie, and one with item 3 itself
    const Matrix<double, Emulated> on_device = upload<double>(context, items.view());
    for (const index_t item : {0, 3, 4, 31})
      for (const index_t k : {1, 10, 32, 1000, std::numeric_limits<index_t>::max()}) {
        if (item >= count) continue;
        CAPTURE(count, item, k);
        const auto expected = similar_items<double>(host, items.view(), item, k);
        const auto found = similar_items<double>(context, on_device.view(), item, k);
        REQUIRE(found.size() == expected.size());
        for (std::size_t r = 0; r < found.size(); ++r) {
          REQUIRE(found[r].index == expected[r].index);
          REQUIRE(std::abs(found[r].value - expected[r].value) < 1e-12);
        }
      }
  }
}

TEST_CASE("similar items by kernels come by direction whatever the length, also of many that are equal") {
  Context<Emulated> context;
  Matrix<float, Cpu> items(300, 2);
  items.fill(1);
  const Matrix<float, Emulated> equal = upload<float>(context, items.view());
  const auto first = similar_items<float>(context, equal.view(), 20, 3);  // which is not among the first three itself
  REQUIRE(first.size() == 3);
  for (index_t r = 0; r < 3; ++r) REQUIRE(first[static_cast<std::size_t>(r)].index == r);
  items(7, 0) = items(7, 1) = 1e-30F;
  items(8, 0) = items(8, 1) = 1e30F;
  items(9, 0) = -1;
  const Matrix<float, Emulated> on_device = upload<float>(context, items.view());
  const auto found = similar_items<float>(context, on_device.view(), 5, 299);
  REQUIRE(found.size() == 299);
  REQUIRE(found.back().index == 9);
  for (const Scored<double>& s : found) REQUIRE(s.value == Approx(s.index == 9 ? 0 : 1).margin(1e-6));
}

TEST_CASE("what is no item or no number is an error for similar items, on the host and by kernels") {
  Context<Cpu> host(1);
  Context<Emulated> context;
  Matrix<float, Cpu> items = reference::random_matrix<float>(5, 3, 1);
  Matrix<float, Emulated> on_device = upload<float>(context, items.view());
  REQUIRE_ERROR(similar_items<float>(context, on_device.view(), 5, 1), "item 5 of 5");
  REQUIRE_ERROR(similar_items<float>(context, on_device.view(), 0, 0), "expected at least 1");
  items(2, 1) = std::numeric_limits<float>::infinity();
  on_device = upload<float>(context, items.view());
  REQUIRE_ERROR(similar_items<float>(host, items.view(), 0, 1), "row 2 has a value that is not finite");
  REQUIRE_ERROR(similar_items<float>(context, on_device.view(), 0, 1), "row 2 has a value that is not finite");
}

}  // namespace dream_tests::serve_similar
