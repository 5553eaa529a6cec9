#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/eval/top_k.hpp>
#include <dream/kernels/top_k.cuh>
#include <dream/testing/kernel_check.hpp>

#include "support/catch.hpp"
#include "support/kernel_runs.hpp"

namespace dream_tests::kernels_top_k {

using namespace dream;
using namespace dream::kernels;

namespace {

template <class T>
constexpr T lowest = -std::numeric_limits<T>::infinity();

/// Users, items, what was seen, and what to ask for.
template <class T>
struct Case {
  index_t users, items, dim;
  std::int64_t stride;
  std::vector<T> user_data, item_data;
  std::vector<std::int64_t> offsets{0};
  std::vector<index_t> seen;
  std::vector<index_t> user_rows, candidates;

  /// Normal vectors, or with `levels` of small whole numbers, whose products tie.
  Case(index_t n, index_t q, index_t d, std::uint64_t seed, std::uint64_t levels = 0, std::int64_t padding = 0)
      : users(n), items(q), dim(d), stride(d + padding) {
    const auto fill = [&](std::vector<T>& data, index_t rows, std::uint32_t step) {
      const RandomStream random{seed, RandomUse::user, step};
      data.resize(static_cast<std::size_t>(rows * stride));
      for (std::size_t i = 0; i < data.size(); ++i)
        data[i] = levels > 0 ? static_cast<T>(random.below(i, levels)) - static_cast<T>(levels / 2)
                             : static_cast<T>(random.normal(i));
    };
    fill(user_data, n, 1);
    fill(item_data, q, 2);
  }
  /// User u has seen each item with the given probability, every 7th user all and every 5th none.
  Case& with_seen(double probability) {
    const RandomStream random{17, RandomUse::user, 3};
    for (index_t u = 0; u < users; ++u) {
      for (index_t i = 0; i < items; ++i) {
        const double p = u % 7 == 3 ? 2 : u % 5 == 2 ? -1 : probability;
        if (random.uniform(static_cast<std::uint64_t>(u) * 100000 + static_cast<std::uint64_t>(i)) < p)
          seen.push_back(i);
      }
      offsets.push_back(static_cast<std::int64_t>(seen.size()));
    }
    return *this;
  }
  MatrixView<const T> user_view() const { return {user_data.data(), users, dim, stride}; }
  MatrixView<const T> item_view() const { return {item_data.data(), items, dim, stride}; }
  CsrView<T> seen_view() const {
    if (offsets.size() == 1) return {};
    return {users, items, offsets.data(), seen.data(), nullptr};
  }
  index_t rows() const { return user_rows.empty() ? users : static_cast<index_t>(user_rows.size()); }
};

template <class T>
struct Lists {
  std::vector<index_t> indices;
  std::vector<T> scores;

  bool operator==(const Lists&) const = default;
};

/// By the definition, a score being one chain of fused multiply-adds.
template <class T>
Lists<T> reference(const Case<T>& c, index_t k) {
  Lists<T> out;
  for (index_t r = 0; r < c.rows(); ++r) {
    const index_t u = c.user_rows.empty() ? r : c.user_rows[static_cast<std::size_t>(r)];
    std::vector<std::pair<T, index_t>> scored;
    for (index_t i = 0; i < c.items; ++i) {
      if (!c.candidates.empty() && !std::binary_search(c.candidates.begin(), c.candidates.end(), i)) continue;
      if (c.offsets.size() > 1 && std::binary_search(c.seen.begin() + c.offsets[static_cast<std::size_t>(u)],
                                                     c.seen.begin() + c.offsets[static_cast<std::size_t>(u) + 1], i))
        continue;
      T sum = 0;
      for (index_t f = 0; f < c.dim; ++f) sum = std::fma(c.user_view()(u, f), c.item_view()(i, f), sum);
      if (sum > lowest<T>) scored.push_back({-sum, i});
    }
    std::sort(scored.begin(), scored.end());
    for (index_t j = 0; j < k; ++j) {
      const bool there = j < static_cast<index_t>(scored.size());
      out.indices.push_back(there ? scored[static_cast<std::size_t>(j)].second : -1);
      out.scores.push_back(there ? -scored[static_cast<std::size_t>(j)].first : lowest<T>);
    }
  }
  return out;
}

template <class T>
VectorView<const index_t> list_view(const std::vector<T>& v) {
  return {v.empty() ? nullptr : v.data(), static_cast<std::int64_t>(v.size())};
}

/// `splits` 0: as sizes say. With `check` in every thread order and poison.
template <class T>
Lists<T> by_kernels(const Case<T>& c, index_t k, index_t splits = 0, bool check = true, bool with_scores = true) {
  Lists<T> out;
  out.indices.resize(static_cast<std::size_t>(c.rows()) * static_cast<std::size_t>(k));
  out.scores.resize(out.indices.size());
  TopKArguments<T> a{.users = c.user_view(),
                     .items = c.item_view(),
                     .user_rows = list_view(c.user_rows),
                     .candidates = list_view(c.candidates),
                     .seen = c.seen_view(),
                     .indices = {out.indices.data(), c.rows(), k, k},
                     .splits = splits};
  if (with_scores) a.scores = {out.scores.data(), c.rows(), k, k};
  const TopKWorkspace needed = top_k_workspace(a);
  std::vector<T> values(static_cast<std::size_t>(needed.values) + 1, std::numeric_limits<T>::quiet_NaN());
  std::vector<index_t> indices(static_cast<std::size_t>(needed.indices) + 1, -7);
  const auto run = [&](Context<Emulated>& context, KernelBuffers& use) {
    TopKArguments<T> used = a;
    used.users = use.input(a.users);
    used.items = use.input(a.items);
    if (a.user_rows.data != nullptr) used.user_rows = use.input(a.user_rows);
    if (a.candidates.data != nullptr) used.candidates = use.input(a.candidates);
    used.seen = use.input(a.seen);
    used.indices = use.output(a.indices);
    if (with_scores) used.scores = use.output(a.scores);
    used.list_values = use.output(values.data(), needed.values);
    used.list_indices = use.output(indices.data(), needed.indices);
    context.set_written(use.written());
    top_k(context, used);
  };
  dream_test::run_kernels(run, check);
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("The k best unseen items of every user, for every number of users and items", "", float, double) {
  for (const index_t n : dream_test::sizes({1, 128, 129}, {0, 1, 127, 128, 129, 257}))
    for (const index_t q : dream_test::sizes({0, 1, 33, 129}, {0, 1, 31, 32, 33, 127, 128, 129, 257})) {
      if (n > 1 && q > 1 && n != 129 && q != 129) continue;
      CAPTURE(n, q);
      const Case<TestType> c = Case<TestType>(n, q, 5, static_cast<std::uint64_t>(1000 * n + q)).with_seen(0.2);
      REQUIRE(by_kernels(c, 10, 0, n == 1 || (n == 129 && (q == 33 || q == 129))) == reference(c, 10));
    }
}

TEMPLATE_TEST_CASE("Every length of vector and list, with and without room between the rows", "", float, double) {
  for (const index_t d : dream_test::sizes({1, 16}, {1, 3, 4, 15, 16, 17, 64, 65, 128}))
    for (const std::int64_t padding : {0, 1, 4}) {
      CAPTURE(d, padding);
      const index_t k = padding == 0 ? 20 : padding == 1 ? 33 : 128;
      const Case<TestType> c = Case<TestType>(40, 150, d, static_cast<std::uint64_t>(d), 0, padding).with_seen(0.1);
      REQUIRE(by_kernels(c, k, 0, d == 17) == reference(c, k));
    }
}

TEMPLATE_TEST_CASE("A list may have all items, more than are left, or more than there are", "", float, double) {
  const Case<TestType> c = Case<TestType>(33, 129, 6, 4).with_seen(0.5);
  for (const index_t k : {1, 64, 129, 300}) {
    CAPTURE(k);
    REQUIRE(by_kernels(c, k, 0, k == 129) == reference(c, k));
  }
  // User 3 has seen everything.
  const Lists<TestType> found = by_kernels(c, 4);
  REQUIRE(found.indices[12] == -1);
  REQUIRE(found.scores[12] == lowest<TestType>);
}

TEMPLATE_TEST_CASE("Ties go to the smaller item wherever they stand, for any split of the items", "", float, double) {
  const Case<TestType> c = Case<TestType>(40, 330, 3, 6, 3).with_seen(0.1);
  for (const index_t k : {1, 20, 50}) {
    const Lists<TestType> expected = reference(c, k);
    for (const index_t splits : dream_test::sizes({1, 3}, {1, 2, 3, 6, 9})) {
      CAPTURE(k, splits);
      REQUIRE(by_kernels(c, k, splits, splits == 3 && k == 20) == expected);
    }
  }
}

TEMPLATE_TEST_CASE("A pair's score has the same bits in every tile, split, list of users and list of candidates", "",
                   float, double) {
  Case<TestType> c(67, 200, 37, 12);
  const index_t k = 200;
  const Lists<TestType> all = by_kernels(c, k, 1, false);
  REQUIRE(all == reference(c, k));  // one chain of fused multiply-adds, from the first column to the last
  REQUIRE(by_kernels(c, k, 3, false) == all);
  c.user_rows = {66, 0, 13, 13, 64, 63};
  for (index_t i = 7; i < 200; i += 3) c.candidates.push_back(i);
  REQUIRE(by_kernels(c, k, 2, false) == reference(c, k));
}

TEMPLATE_TEST_CASE("Chosen users and candidates, with and without masking", "", float, double) {
  for (const bool masked : {false, true}) {
    Case<TestType> c(140, 300, 8, 21, 5);
    if (masked) c.with_seen(0.3);
    c.user_rows = {139, 3, 0, 77, 3};
    for (index_t u = 10; u < 90; ++u) c.user_rows.push_back(u);
    REQUIRE(by_kernels(c, 7, 0, masked) == reference(c, 7));
    for (const index_t step : {1, 2, 50, 299}) {
      c.candidates.clear();
      for (index_t i = step / 2; i < 300; i += step) c.candidates.push_back(i);
      CAPTURE(masked, step);
      REQUIRE(by_kernels(c, 7, 2, step == 2 && masked) == reference(c, 7));
    }
  }
}

TEMPLATE_TEST_CASE("Users with NaN get no items, items with NaN or minus infinity none of the ranks", "", float,
                   double) {
  using T = TestType;
  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  Case<T> c = Case<T>(20, 100, 4, 30).with_seen(0.1);
  for (index_t f = 0; f < 4; ++f) c.user_data[static_cast<std::size_t>(5 * 4 + f)] = nan;
  c.user_data[8 * 4] = nan;
  for (const index_t i : {0, 17, 64, 99}) c.item_data[static_cast<std::size_t>(i * 4 + 1)] = nan;
  c.item_data[50 * 4 + 2] = infinity;
  c.item_data[51 * 4 + 2] = -infinity;
  const Lists<T> found = by_kernels(c, 100);
  REQUIRE(found == reference(c, 100));
  REQUIRE(found.indices[500] == -1);
  REQUIRE(found.indices[800] == -1);
  REQUIRE(std::find(found.indices.begin(), found.indices.end(), 17) == found.indices.end());
}

TEST_CASE("Scores need not be wanted") {
  const Case<float> c = Case<float>(66, 200, 8, 31).with_seen(0.2);
  REQUIRE(by_kernels(c, 9, 1, true, false).indices == reference(c, 9).indices);
  REQUIRE(by_kernels(c, 9, 3, true, false).indices == reference(c, 9).indices);
}

TEST_CASE("A user who has seen thousands of items gets the best of the others") {
  Case<float> c(3, 5000, 4, 40);
  for (index_t u = 0; u < 3; ++u) {
    for (index_t i = 0; i < 5000; ++i)
      if (u == 1 ? i % 10 != 4 : i == 2500) c.seen.push_back(i);
    c.offsets.push_back(static_cast<std::int64_t>(c.seen.size()));
  }
  REQUIRE(top_k_splits(3, 5000) == 4);
  REQUIRE(by_kernels(c, 20) == reference(c, 20));
}

TEST_CASE("The kernels and the ranking on the CPU choose the same items") {
  Case<double> c = Case<double>(100, 400, 24, 50).with_seen(0.1);
  c.user_rows = {5, 99, 0, 31, 32};
  Context<Cpu> context(1);
  std::vector<index_t> indices(5 * 30);
  std::vector<double> scores(5 * 30);
  top_k<double>(context, c.user_view(), c.item_view(), c.seen_view(), {.k = 30}, {indices.data(), 5, 30, 30},
                {scores.data(), 5, 30, 30}, c.user_rows);
  const Lists<double> found = by_kernels(c, 30);
  REQUIRE(found.indices == indices);
  // Rounding of sums of 24 products near 1.
  for (std::size_t i = 0; i < scores.size(); ++i)
    REQUIRE((scores[i] == found.scores[i] || std::abs(scores[i] - found.scores[i]) < 1e-13));
}

TEST_CASE("The number of splits fills a large device for few users and is one for many") {
  REQUIRE(top_k_splits(0, 0) == 1);
  REQUIRE(top_k_splits(1, 1000000) == 256);
  REQUIRE(top_k_splits(20000, 7000) == 3);
  REQUIRE(top_k_splits(1000000, 1000000) == 1);
}

}  // namespace dream_tests::kernels_top_k
