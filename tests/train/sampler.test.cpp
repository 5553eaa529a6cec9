#include <dream/train/sampler.hpp>

#include <map>
#include <set>

#include <dream/graph/csr.hpp>

#include "support/catch.hpp"

namespace dream_tests::train_sampler {

using namespace dream;

namespace {

/// 60 users and 40 items of which the last 10 occur nowhere; users have 1, 2, .. items; user 7 none.
Csr<float, Cpu> interactions() {
  Context<Cpu> context(1);
  const RandomStream random{4};
  std::vector<index_t> user, item;
  for (index_t u = 0; u < 60; ++u)
    for (index_t k = 0; k < (u == 7 ? 0 : 1 + u % 12); ++k) {
      user.push_back(u);
      item.push_back(static_cast<index_t>(random.below(static_cast<std::uint64_t>(u * 100 + k), 30)));
    }
  return csr_from_triplets<float>(context, 60, 40, user, item, {}, Duplicates::keep_first);
}

bool has(CsrView<float> r, index_t u, index_t i) {
  return std::binary_search(r.indices + r.offsets[u], r.indices + r.offsets[u + 1], i);
}

using Triple = std::array<index_t, 3>;

std::vector<Triple> epoch_of(PairSampler& sampler, Context<Cpu>& context, std::uint32_t epoch, index_t batch_size) {
  std::vector<Triple> all;
  for (std::int64_t b = 0; b < sampler.batches(batch_size); ++b) {
    const Batch batch = sampler.draw(context, epoch, b, batch_size);
    for (std::int64_t k = 0; k < batch.users.size; ++k)
      all.push_back({batch.users[k], batch.positives()[k], batch.negatives()[k]});
  }
  return all;
}

/// The value that a chi-square variable with `freedom` degrees exceeds once in about 30 000 times (Wilson-Hilferty).
double chi_square_limit(double freedom) {
  const double a = 2 / (9 * freedom);
  return freedom * std::pow(1 - a + 4.0 * std::sqrt(a), 3);
}

}  // namespace

TEST_CASE("A permutation visits every place once, whatever its size, and depends on seed and step") {
  for (const std::uint64_t size : {1u, 2u, 3u, 4u, 5u, 31u, 32u, 33u, 1000u, 12345u}) {
    std::vector<int> visits(size);
    const auto permutation = FeistelPermutation::of(size, {7, RandomUse::shuffle, 1});
    for (std::uint64_t k = 0; k < size; ++k) {
      const std::uint64_t to = permutation(k);
      REQUIRE(to < size);
      ++visits[to];
    }
    for (const int v : visits) REQUIRE(v == 1);
    if (size < 1000) continue;
    const auto other_seed = FeistelPermutation::of(size, {8, RandomUse::shuffle, 1});
    const auto other_step = FeistelPermutation::of(size, {7, RandomUse::shuffle, 2});
    std::uint64_t fixed = 0, same_seed = 0, same_step = 0;
    for (std::uint64_t k = 0; k < size; ++k) {
      fixed += permutation(k) == k;
      same_seed += permutation(k) == other_seed(k);
      same_step += permutation(k) == other_step(k);
    }
    CHECK(fixed < 10);  // one is expected of each
    CHECK(same_seed < 10);
    CHECK(same_step < 10);
  }
}

TEST_CASE("Over seeds a permutation sends a place to every place equally often, pairs of neighbours too") {
  constexpr std::uint64_t size = 24;
  constexpr int seeds = 24 * 200;
  std::vector<double> first(size), difference(size);
  for (int seed = 0; seed < seeds; ++seed) {
    const auto permutation = FeistelPermutation::of(size, {static_cast<std::uint64_t>(seed), RandomUse::shuffle, 0});
    ++first[permutation(5)];
    ++difference[(permutation(6) + size - permutation(5)) % size];
  }
  double of_first = 0, of_difference = 0;
  CHECK(difference[0] == 0);
  for (std::uint64_t k = 0; k < size; ++k) of_first += (first[k] - 200) * (first[k] - 200) / 200;
  const double expected = seeds / (size - 1.0);
  for (std::uint64_t k = 1; k < size; ++k)
    of_difference += (difference[k] - expected) * (difference[k] - expected) / expected;
  CHECK(of_first < chi_square_limit(size - 1.0));
  CHECK(of_difference < chi_square_limit(size - 2.0));
}

TEST_CASE(
    "An epoch has every training interaction once, with a negative the user does not have, in a new order each time") {
  Context<Cpu> context(2);
  const auto r = interactions();
  PairSampler sampler(r.view(), 11);
  CHECK(sampler.size() == r.entries());
  CHECK(sampler.users_without_negatives() == 0);
  std::set<index_t> candidates(r.indices.data(), r.indices.data() + r.entries());
  std::vector<Triple> first;
  for (const std::uint32_t epoch : {0u, 1u, 5u}) {
    for (const index_t batch_size : {1, 7, 100, 100000}) {
      const auto all = epoch_of(sampler, context, epoch, batch_size);
      REQUIRE(static_cast<std::int64_t>(all.size()) == r.entries());
      std::set<std::pair<index_t, index_t>> seen;
      for (const auto& [u, p, n] : all) {
        REQUIRE(has(r.view(), u, p));
        REQUIRE_FALSE(has(r.view(), u, n));
        REQUIRE(candidates.count(n) == 1);
        REQUIRE(seen.insert({u, p}).second);
      }
      if (first.empty()) first = all;
      CHECK((all == first) == (epoch == 0));  // the batch size does not change the order
    }
  }
}

TEST_CASE("The last batch is short, one batch larger than the data has all of it, and there is no batch after it") {
  Context<Cpu> context(1);
  const auto r = interactions();
  PairSampler sampler(r.view(), 11);
  const index_t size = static_cast<index_t>(sampler.size());
  CHECK(sampler.batches(size) == 1);
  CHECK(sampler.batches(size - 1) == 2);
  CHECK(sampler.draw(context, 0, 1, size - 1).size() == 1);
  const Batch all = sampler.draw(context, 3, 0, size + 1000);
  CHECK(all.size() == size);
  CHECK(all.items.size == 2 * size);
  CHECK(all.step == 3);
  CHECK(sampler.draw(context, 3, 2, 10).step == 3 * sampler.batches(10) + 2);
  REQUIRE_ERROR(sampler.draw(context, 0, 1, size), "batch 1 of 1");
  REQUIRE_ERROR(sampler.draw(context, 0, -1, size), "batch -1 of 1");
}

TEST_CASE("Draws are the same on any number of threads, and differ by seed") {
  const auto r = interactions();
  Context<Cpu> one(1);
  PairSampler sampler(r.view(), 11), other(r.view(), 12);
  const auto expected = epoch_of(sampler, one, 2, 64);
  for (const int threads : {2, 3}) {
    Context<Cpu> context(threads);
    CHECK(epoch_of(sampler, context, 2, 64) == expected);
  }
  CHECK(epoch_of(other, one, 2, 64) != expected);
}

TEST_CASE("Negatives are uniform over the items that occur in training and the user does not have") {
  Context<Cpu> context(2);
  const auto r = interactions();
  PairSampler sampler(r.view(), 5);
  const std::set<index_t> candidates(r.indices.data(), r.indices.data() + r.entries());
  std::map<index_t, std::map<index_t, double>> counts;  // by user
  for (std::uint32_t epoch = 0; epoch < 400; ++epoch)
    for (const auto& [u, p, n] : epoch_of(sampler, context, epoch, 100000)) ++counts[u][n];
  double total = 0, freedom = 0;
  for (auto& [u, of_user] : counts) {
    double draws = 0, left = 0;
    for (const auto& [item, count] : of_user) draws += count;
    for (const index_t item : candidates) left += !has(r.view(), u, item);
    for (const index_t item : candidates)
      if (!has(r.view(), u, item))
        total += (of_user[item] - draws / left) * (of_user[item] - draws / left) * left / draws;
    freedom += left - 1;
  }
  INFO("chi-square " << total << " with " << freedom << " degrees of freedom");
  CHECK(total < chi_square_limit(freedom));
  CHECK(total > 2 * freedom - chi_square_limit(freedom));  // nor too even
}

TEST_CASE("A user who has nearly everything gets the items that are left, equally often") {
  Context<Cpu> context(1);
  std::vector<index_t> user, item;
  for (index_t i = 0; i < 3000; ++i) {
    user.push_back(1);  // has all items
    item.push_back(i);
    if (i == 17 || i == 2500) continue;
    user.push_back(0);  // has all but two
    item.push_back(i);
  }
  const auto r = csr_from_triplets<float>(context, 3, 3000, user, item);
  PairSampler sampler(r.view(), 1);
  CHECK(sampler.users_without_negatives() == 1);
  CHECK(sampler.size() == 2998);  // nothing of user 1
  int low = 0;
  for (const auto& [u, p, n] : epoch_of(sampler, context, 0, 512)) {
    REQUIRE(u == 0);
    REQUIRE((n == 17 || n == 2500));
    low += n == 17;
  }
  CHECK(std::abs(low - 1499) < 120);  // four standard deviations
}

TEST_CASE("A user draws the rank among the items left from one item more than half on, and rejects up to half") {
  Context<Cpu> context(1);
  constexpr index_t items = 101;
  std::vector<index_t> user, item;
  const std::vector<index_t> owned{0, 50, 51, 100};  // of users 0, 1, ..; the last has everything
  for (std::size_t u = 0; u < owned.size(); ++u)
    for (index_t i = 0; i < owned[u] + (u == 3 ? 1 : 0); ++i) {
      user.push_back(static_cast<index_t>(u));
      item.push_back(2 * (i * 37 % items));  // scattered; odd items occur nowhere
    }
  const auto r = csr_from_triplets<float>(context, 4, 2 * items, user, item);
  constexpr std::uint64_t seed = 6;
  PairSampler sampler(r.view(), seed);
  REQUIRE(sampler.candidates().size() == 101);
  std::uint64_t place = 0;
  for (const auto& [u, p, n] : epoch_of(sampler, context, 2, 16)) {
    std::vector<index_t> left;
    for (const index_t c : sampler.candidates())
      if (!has(r.view(), u, c)) left.push_back(c);
    const RandomStream random{seed, RandomUse::negatives, 2};
    index_t expected = -1;
    if (u == 2) {
      expected = left[random.below((std::uint64_t{32} << 48) | place, left.size())];
    } else {
      for (std::uint64_t attempt = 0; expected < 0; ++attempt) {
        const RandomBlock block = random.block((attempt << 48) | place);
        for (const std::uint64_t bits : {block.low(), block.high()}) {
          const index_t drawn = sampler.candidates()[to_below(bits, 101)];
          if (expected < 0 && !has(r.view(), u, drawn)) expected = drawn;
        }
      }
    }
    REQUIRE(n == expected);
    ++place;
  }
  CHECK(place == 101);
}

TEST_CASE("Data without any possible negative, or without interactions, is an error that says why") {
  Context<Cpu> context(1);
  const std::vector<index_t> user{0, 0, 1, 1}, item{0, 1, 0, 1};
  const auto full = csr_from_triplets<float>(context, 2, 5, user, item);
  REQUIRE_ERROR(PairSampler(full.view(), 1), "4 training interactions on 2 items and every user has all of them");
  const auto none = csr_from_triplets<float>(context, 2, 5, {}, {});
  REQUIRE_ERROR(PairSampler(none.view(), 1), "no negative can be drawn: there are 0 training interactions");
}

TEST_CASE("Weights come with the interactions that they are of, scaled to the mean 1") {
  Context<Cpu> context(2);
  const auto r = interactions();
  Pairs pairs;  // in another order than the matrix
  for (index_t u = 59; u >= 0; --u)
    for (std::int64_t e = r.offsets[u]; e < r.offsets[u + 1]; ++e) {
      pairs.user.push_back(u);
      pairs.item.push_back(r.indices[e]);
      pairs.weight.push_back(static_cast<float>(u * 40 + r.indices[e] + 1));
    }
  double mean = 0;
  for (const float w : pairs.weight) mean += static_cast<double>(w) / static_cast<double>(pairs.weight.size());
  PairSampler sampler(r.view(), 9, entry_weights(r.view(), pairs)), plain(r.view(), 9);
  std::int64_t seen = 0;
  for (std::int64_t b = 0; b < sampler.batches(50); ++b) {
    const Batch batch = sampler.draw(context, 3, b, 50);
    REQUIRE(batch.weights.size == batch.users.size);
    for (std::int64_t k = 0; k < batch.users.size; ++k, ++seen)
      CHECK(static_cast<double>(batch.weights[k]) ==
            Approx((batch.users[k] * 40 + batch.positives()[k] + 1) / mean).epsilon(1e-6));
  }
  CHECK(seen == sampler.size());
  CHECK(epoch_of(sampler, context, 3, 50) == epoch_of(plain, context, 3, 50));
  CHECK(plain.draw(context, 0, 0, 50).weights.empty());
  pairs.item[0] = 39;  // occurs nowhere
  REQUIRE_ERROR(entry_weights(r.view(), pairs), "weights: pair 0 is not in the matrix");
  const std::vector<float> few(3, 1.0F);
  REQUIRE_ERROR(PairSampler(r.view(), 9, few), "sampler: 3 weights for");
}

}  // namespace dream_tests::train_sampler
