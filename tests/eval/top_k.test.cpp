#include <dream/eval/top_k.hpp>

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include <dream/graph/bipartite.hpp>

#include "graph/reference.hpp"
#include "support/catch.hpp"

namespace dream_tests::eval_top_k {

using namespace dream;

namespace {

/// Vectors of small whole numbers: scores are exact, and there are many ties.
template <class T>
Matrix<T, Cpu> whole_numbers(index_t rows, index_t cols, std::uint64_t seed) {
  Matrix<T, Cpu> m(rows, cols);
  const RandomStream random{seed};
  for (std::int64_t e = 0; e < m.size(); ++e)
    m.data()[e] = static_cast<T>(random.below(static_cast<std::uint64_t>(e), 5)) - T{2};
  return m;
}

template <class T>
Csr<T, Cpu> random_mask(Context<Cpu>& context, index_t users, index_t items, int count) {
  Pairs pairs;
  const RandomStream random{77};
  for (std::uint64_t e = 0; users > 0 && items > 0 && e < static_cast<std::uint64_t>(count); ++e) {
    pairs.user.push_back(static_cast<index_t>(random.below(2 * e, static_cast<std::uint64_t>(users))));
    pairs.item.push_back(static_cast<index_t>(random.below(2 * e + 1, static_cast<std::uint64_t>(items))));
  }
  return interaction_matrix<T>(context, pairs, users, items);
}

/// The definition: score all, leave out what is masked or not a candidate, sort, take k.
template <class T>
std::vector<Scored<double>> reference_top(MatrixView<const T> users, MatrixView<const T> items, CsrView<T> seen,
                                          index_t u, index_t k, const std::vector<index_t>& candidates) {
  const std::set<index_t> allowed(candidates.begin(), candidates.end());
  std::vector<Scored<double>> all;
  for (index_t i = 0; i < items.rows; ++i) {
    bool masked = !allowed.empty() && allowed.count(i) == 0;
    for (std::int64_t e = seen.rows ? seen.offsets[u] : 0; e < (seen.rows ? seen.offsets[u + 1] : 0); ++e)
      masked |= seen.indices[e] == i;
    double score = 0;
    for (index_t c = 0; c < users.cols; ++c)
      score += static_cast<double>(users(u, c)) * static_cast<double>(items(i, c));
    if (!masked && score > -std::numeric_limits<double>::infinity()) all.push_back({score, i});
  }
  std::sort(all.begin(), all.end(), ranks_before<double>);
  if (all.size() > static_cast<std::size_t>(k)) all.resize(static_cast<std::size_t>(k));
  return all;
}

template <class T>
void require_reference(index_t users, index_t items, index_t dim, index_t k, bool use_candidates) {
  Context<Cpu> context(2);
  const auto u = whole_numbers<T>(users, dim, 1), v = whole_numbers<T>(items, dim, 2);
  const auto seen = random_mask<T>(context, users, items, users * 4);
  std::vector<index_t> candidates;
  if (use_candidates)
    for (index_t i = 1; i < items; i += 3) candidates.push_back(i);
  Matrix<index_t, Cpu> found(users, k);
  Matrix<T, Cpu> scores(users, k);
  top_k<T>(context, u.view(), v.view(), seen.view(), {.k = k, .user_block = 13, .item_block = 70}, found.view(),
           scores.view(), {}, candidates);
  for (index_t r = 0; r < users; ++r) {
    const auto expected = reference_top<T>(u.view(), v.view(), seen.view(), r, k, candidates);
    for (index_t c = 0; c < k; ++c) {
      const bool there = c < static_cast<index_t>(expected.size());
      REQUIRE(found.view()(r, c) == (there ? expected[static_cast<std::size_t>(c)].index : -1));
      REQUIRE(static_cast<double>(scores.view()(r, c)) ==
              (there ? expected[static_cast<std::size_t>(c)].value : -std::numeric_limits<double>::infinity()));
    }
  }
}

}  // namespace

TEST_CASE("Three users and four items by hand: masked items are left out and ties go to the smaller index") {
  Context<Cpu> context(2);
  Matrix<float, Cpu> u(3, 2), v(4, 2);
  const float users[] = {1, 0, 0, 1, 1, 1}, items[] = {1, 2, 3, 0, 1, 2, 0, 5};
  std::copy_n(users, 6, u.data());
  std::copy_n(items, 8, v.data());
  // scores: user 0: 1 3 1 0; user 1: 2 0 2 5; user 2: 3 3 3 5.
  const auto seen = interaction_matrix<float>(context, Pairs{{0, 2, 2, 2, 2}, {1, 0, 1, 2, 3}, {}}, 3, 4);
  Matrix<index_t, Cpu> found(3, 3);
  top_k<float>(context, u.view(), v.view(), seen.view(), {.k = 3}, found.view());
  const std::vector<index_t> flat(found.data(), found.data() + 9);
  REQUIRE(flat == std::vector<index_t>{0, 2, 3, 3, 0, 2, -1, -1, -1});
  top_k<float>(context, u.view(), v.view(), {}, {.k = 3}, found.view());
  REQUIRE(std::vector<index_t>(found.data() + 6, found.data() + 9) == std::vector<index_t>{3, 0, 1});
}

TEST_CASE("The k best items equal scoring and sorting all, with and without candidates, at all sizes") {
  for (const index_t users : {0, 1, 2, 31, 33, 100})
    for (const index_t items : {1, 2, 31, 32, 33, 257})
      for (const index_t k : {1, 2, 20, 50, 257})
        if (k <= items)
          for (const bool candidates : {false, true}) {
            if (candidates && items < 2) continue;
            require_reference<float>(users, items, 7, k, candidates);
            require_reference<double>(users, items, 7, k, candidates);
          }
}

TEST_CASE("The ranking has the same bits for any blocks, any threads and any choice of rows") {
  const auto u = reference::random_matrix<float>(157, 65, 3), v = reference::random_matrix<float>(1111, 65, 4);
  Context<Cpu> one(1);
  const auto seen = random_mask<float>(one, 157, 1111, 5000);
  Matrix<index_t, Cpu> expected(157, 40), found(157, 40);
  Matrix<float, Cpu> expected_scores(157, 40), scores(157, 40);
  top_k<float>(one, u.view(), v.view(), seen.view(), {.k = 40}, expected.view(), expected_scores.view());
  for (const int threads : {1, 2})
    for (const index_t user_block : {1, 5, 64, 1000})
      for (const index_t item_block : {1, 64, 500, 5000}) {
        Context<Cpu> context(threads);
        top_k<float>(context, u.view(), v.view(), seen.view(),
                     {.k = 40, .user_block = user_block, .item_block = item_block}, found.view(), scores.view());
        REQUIRE(std::equal(found.data(), found.data() + found.size(), expected.data()));
        REQUIRE(std::equal(scores.data(), scores.data() + scores.size(), expected_scores.data()));
      }
  const std::vector<index_t> rows{150, 3, 3, 0};
  Matrix<index_t, Cpu> some(4, 40);
  top_k<float>(one, u.view(), v.view(), seen.view(), {.k = 40}, some.view(), {}, rows);
  for (index_t r = 0; r < 4; ++r)
    REQUIRE(std::equal(some.view().row(r), some.view().row(r) + 40,
                       expected.view().row(rows[static_cast<std::size_t>(r)])));
}

TEST_CASE("Items whose score is NaN are never chosen and do not disturb the others") {
  Context<Cpu> context(2);
  auto v = whole_numbers<float>(300, 4, 9);
  const auto u = whole_numbers<float>(20, 4, 10);
  std::vector<index_t> sound;
  for (index_t i = 0; i < 300; ++i) {
    if (i % 2 == 0 || i > 280)
      v.view()(i, 1) = std::numeric_limits<float>::quiet_NaN();
    else
      sound.push_back(i);
  }
  Matrix<index_t, Cpu> found(20, 160), expected(20, 160);
  top_k<float>(context, u.view(), v.view(), {}, {.k = 160}, found.view());
  top_k<float>(context, u.view(), v.view(), {}, {.k = 160}, expected.view(), {}, {}, sound);
  REQUIRE(std::equal(found.data(), found.data() + found.size(), expected.data()));
  REQUIRE(found.view()(0, static_cast<index_t>(sound.size())) == -1);
  REQUIRE(found.view()(0, static_cast<index_t>(sound.size()) - 1) >= 0);
}

TEST_CASE("What does not fit is refused with the shapes") {
  Context<Cpu> context(1);
  const auto u = whole_numbers<float>(2, 4, 1), v = whole_numbers<float>(3, 4, 2), w = whole_numbers<float>(3, 5, 2);
  Matrix<index_t, Cpu> found(2, 3);
  REQUIRE_ERROR((top_k<float>(context, u.view(), v.view(), {}, {.k = 4}, found.view())),
                "k is 4 and there are 3 items");
  REQUIRE_ERROR((top_k<float>(context, u.view(), w.view(), {}, {.k = 3}, found.view())), "items 3 x 5");
  REQUIRE_ERROR((top_k<float>(context, u.view(), v.view(), {}, {.k = 2}, found.view())), "needed 2 x 2");
  const std::vector<index_t> outside{0, 7}, unordered{2, 1};
  REQUIRE_ERROR((top_k<float>(context, u.view(), v.view(), {}, {.k = 3}, found.view(), {}, outside)), "no user row 7");
  REQUIRE_ERROR((top_k<float>(context, u.view(), v.view(), {}, {.k = 3}, found.view(), {}, {}, unordered)),
                "candidate 1");
}

}  // namespace dream_tests::eval_top_k
