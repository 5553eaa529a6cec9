// Neighbours, relation graphs, similar items and evaluation on a GPU, against the host.
#include <cmath>
#include <cstdint>
#include <vector>

#include <dream/cuda/cuda.cuh>
#include <dream/eval/ranking.hpp>
#include <dream/graph/relation.hpp>
#include <dream/serve/similar.hpp>

#include "cuda/on_both.cuh"
#include "graph/reference.hpp"
#include "support/catch.hpp"

using namespace dream;

namespace {

void require_same(const Csr<double, Cpu>& found, const Csr<double, Cpu>& expected) {
  REQUIRE(found.entries() == expected.entries());
  std::int64_t wrong = 0;
  for (index_t i = 0; i <= found.rows; ++i) wrong += found.offsets[i] != expected.offsets[i];
  for (std::int64_t e = 0; e < found.entries(); ++e)
    wrong += found.indices[e] != expected.indices[e] || !(std::abs(found.values[e] - expected.values[e]) <= 1e-12);
  REQUIRE(wrong == 0);
}

Csr<double, Cpu> random_interactions(Context<Cpu>& host, index_t users, index_t items, std::uint64_t count,
                                     std::uint64_t seed) {
  Pairs pairs;
  const RandomStream random{seed};
  for (std::uint64_t e = 0; e < count; ++e) {
    pairs.user.push_back(static_cast<index_t>(random.below(2 * e, static_cast<std::uint64_t>(users))));
    pairs.item.push_back(static_cast<index_t>(random.below(2 * e + 1, static_cast<std::uint64_t>(items))));
  }
  return interaction_matrix<double>(host, pairs, users, items);
}

}  // namespace

TEST_CASE("Relation graphs on a GPU are the host's") {
  NEEDS_GPU();
  Context<Cpu> host(1);
  Context<Cuda> context;
  for (const index_t items : {1, 33, 129, 700})
    for (const index_t block : {5, 768}) {
      CAPTURE(items, block);
      // Positive features: row sums stay away from 0, which would magnify rounding.
      Matrix<double, Cpu> features = reference::random_matrix<double>(items, 65, 15);
      for (std::int64_t e = 0; e < features.size(); ++e) features.data()[e] = std::abs(features.data()[e]);
      for (index_t i = 3; i < items; i += 11) std::fill_n(features.view().row(i), 65, 0.0);
      const auto mean = user_mean_operator<double>(host, random_interactions(host, 90, items, 500, 2).view());
      const RelationOptions options{.item = {.k = 6, .weights = KnnWeights::binary, .block = block},
                                    .user = {.k = 9, .block = block}};
      const auto expected = relation_graphs<double>(host, features.view(), mean.view(), options);
      const Matrix<double, Cuda> f = upload<double>(context, features.view());
      const auto found = relation_graphs<double>(context, f.view(), upload(context, mean), options);
      require_same(download(context, found.item), expected.item);
      if (items > 33) require_same(download(context, found.user), expected.user);  // of fewer, rounding decides ties
    }
}

TEST_CASE("Equal rows tie exactly on a GPU, in whatever tiles they are") {
  NEEDS_GPU();
  Context<Cuda> context;
  for (const index_t rows : {150, 3001})
    for (const index_t cols : {33, 64, 1000})
      for (const index_t block : {3, 100, 768}) {
        if (block == 3 && rows > 150) continue;
        CAPTURE(rows, cols, block);
        Matrix<float, Cpu> copies(rows, cols);
        const auto three = reference::random_matrix<float>(3, cols, 7);
        for (index_t i = 0; i < rows; ++i) std::copy_n(three.view().row(i % 3), cols, copies.view().row(i));
        const Matrix<float, Cuda> x = upload<float>(context, copies.view());
        const auto lists = nearest_neighbours<float>(context, x.view(), {.k = 5, .block = block});
        const Matrix<index_t, Cpu> found = download<index_t>(context, lists.index.view());
        std::int64_t wrong = 0;
        for (index_t i = 0; i < rows; ++i)
          for (index_t c = 0; c < 5; ++c) wrong += found(i, c) != i % 3 + 3 * c;
        CHECK(wrong == 0);
      }
}

TEST_CASE("Similar items on a GPU are the host's") {
  NEEDS_GPU();
  Context<Cpu> host(1);
  Context<Cuda> context;
  const auto items = reference::random_matrix<double>(1000, 64, 4);
  const Matrix<double, Cuda> on_device = upload<double>(context, items.view());
  for (const index_t k : {1, 20, 2000}) {
    const auto expected = similar_items<double>(host, items.view(), 7, k);
    const auto found = similar_items<double>(context, on_device.view(), 7, k);
    REQUIRE(found.size() == expected.size());
    for (std::size_t r = 0; r < found.size(); ++r) {
      REQUIRE(found[r].index == expected[r].index);
      REQUIRE(std::abs(found[r].value - expected[r].value) < 1e-12);
    }
  }
}

TEST_CASE("Evaluation on a GPU is the host's") {
  NEEDS_GPU();
  Context<Cpu> host(1);
  Context<Cuda> context;
  const index_t users = 700, items = 300;
  const auto u = reference::random_matrix<double>(users, 32, 1), v = reference::random_matrix<double>(items, 32, 2);
  // Too few for all items to be in training: some are cold.
  const auto train = random_interactions(host, users, items, 900, 3),
             held_out = random_interactions(host, users, items, 900, 4);
  const EvaluationOptions options{.top_k = {1, 10, 50}};
  const Evaluation expected =
      evaluate<double>(host, u.view(), v.view(), train.view(), train.view(), held_out.view(), options);
  const auto on_users = upload<double>(context, u.view()), on_items = upload<double>(context, v.view());
  const Csr<double, Cuda> masked = upload(context, train);
  const Evaluation found = evaluate<double>(context, host, on_users.view(), on_items.view(), train.view(),
                                            masked.view(), held_out.view(), options);
  REQUIRE(found.cold_items > 0);
  for (const auto table : {&Evaluation::all, &Evaluation::warm, &Evaluation::cold, &Evaluation::cold_among_cold}) {
    const MetricTable &a = found.*table, &b = expected.*table;
    REQUIRE(a.users == b.users);
    REQUIRE(a.values.size() == b.values.size());
    for (std::size_t m = 0; m < a.values.size(); ++m) {
      INFO(b.values[m].first);
      CHECK(std::abs(a.values[m].second - b.values[m].second) < 1e-12);
    }
  }
}
