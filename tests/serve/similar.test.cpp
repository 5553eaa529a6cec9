#include <dream/serve/similar.hpp>

#include <vector>

#include "support/catch.hpp"

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
