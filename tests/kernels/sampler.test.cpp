#include <algorithm>
#include <cstdint>
#include <numeric>
#include <set>
#include <vector>

#include <dream/core/permutation.hpp>
#include <dream/core/random.hpp>
#include <dream/kernels/sampler.cuh>
#include <dream/testing/kernel_check.hpp>
#include <dream/train/sampler.hpp>

#include "support/catch.hpp"

namespace dream_tests::kernels_sampler {

using namespace dream;
using namespace dream::kernels;

namespace {

/// A user-item graph with what batches are drawn from, made apart from the sampler.
struct Interactions {
  index_t items = 0;
  std::vector<std::int64_t> offsets{0};
  std::vector<index_t> indices;
  std::vector<index_t> users, positives, candidates;

  void add_user(const std::vector<index_t>& row) {
    indices.insert(indices.end(), row.begin(), row.end());
    offsets.push_back(static_cast<std::int64_t>(indices.size()));
  }
  void finish(index_t item_count) {
    items = item_count;
    const std::set<index_t> occurring(indices.begin(), indices.end());
    candidates.assign(occurring.begin(), occurring.end());
    for (std::size_t u = 0; u + 1 < offsets.size(); ++u)
      for (std::int64_t e = offsets[u]; e < offsets[u + 1]; ++e)
        if (offsets[u + 1] - offsets[u] < static_cast<std::int64_t>(candidates.size())) {
          users.push_back(static_cast<index_t>(u));
          positives.push_back(indices[static_cast<std::size_t>(e)]);
        }
  }
  CsrView<float> csr() const {
    return {static_cast<index_t>(offsets.size()) - 1, items, offsets.data(), indices.data(), nullptr};
  }
  std::int64_t size() const { return static_cast<std::int64_t>(users.size()); }
};

/// Users with few items, and some with nearly all or all of them.
Interactions skewed(index_t users, index_t items, std::uint64_t seed) {
  Interactions out;
  const RandomStream random{seed};
  for (index_t u = 0; u < users; ++u) {
    const double share = u % 11 == 5 ? 2 : u % 7 == 3 ? 0.97 : u % 5 == 0 ? 0 : 0.05;
    std::vector<index_t> row;
    for (index_t i = 0; i < items; ++i)  // every 10th item never occurs
      if (i % 10 != 9 && random.uniform(static_cast<std::uint64_t>(u) * 10000 + static_cast<std::uint64_t>(i)) < share)
        row.push_back(i);
    out.add_user(row);
  }
  out.finish(items);
  return out;
}

struct Pairs {
  std::vector<index_t> users, positives, negatives;

  bool operator==(const Pairs&) const = default;
};

Pairs by_kernel(const Interactions& data, std::uint64_t seed, BatchPlace place, index_t batch_size, index_t count) {
  const std::size_t size = static_cast<std::size_t>(count);
  Pairs out{std::vector<index_t>(size, -9), std::vector<index_t>(size, -9), std::vector<index_t>(size, -9)};
  const KernelReport report = check_kernel<DrawPairs>([&](KernelBuffers& use) {
    const auto in = [&](const std::vector<index_t>& v) {
      return use.input(VectorView<const index_t>{v.data(), static_cast<std::int64_t>(v.size())});
    };
    const auto to = [&](std::vector<index_t>& v) { return use.output(VectorView<index_t>{v.data(), count}); };
    const CsrView<float> csr = use.input(data.csr());
    return DrawPairs::Params{{in(data.users), in(data.positives), in(data.candidates), csr.offsets, csr.indices, seed},
                             use.input(&place, 1),
                             batch_size,
                             to(out.users),
                             to(out.positives),
                             to(out.negatives)};
  });
  REQUIRE(report.text() == "");
  return out;
}

Pairs by_sampler(const Interactions& data, std::uint64_t seed, std::uint32_t epoch, std::int64_t first, index_t count) {
  Context<Cpu> context(1);
  const PairSampler sampler(data.csr(), seed);
  const std::size_t size = static_cast<std::size_t>(count);
  Pairs out{std::vector<index_t>(size), std::vector<index_t>(size), std::vector<index_t>(size)};
  sampler.draw_range(context, epoch, first, count, out.users.data(), out.positives.data(), out.negatives.data());
  return out;
}

}  // namespace

TEST_CASE("Batches have exactly the sampler's users, positives and negatives, for every batch size") {
  const Interactions data = skewed(60, 150, 2);
  REQUIRE(data.size() > 600);
  for (const index_t batch_size : dream_test::sizes({1, 33, 129}, {1, 31, 32, 33, 127, 128, 129, 257}))
    for (const std::uint32_t epoch : {0u, 7u}) {
      CAPTURE(batch_size, epoch);
      const std::int64_t batch = data.size() / batch_size - 1;
      const Pairs expected = by_sampler(data, 999, epoch, batch * batch_size, batch_size);
      REQUIRE(by_kernel(data, 999, {epoch, 0, batch}, batch_size, batch_size) == expected);
    }
}

TEST_CASE("A whole epoch with its short last batch is every interaction once") {
  const Interactions data = skewed(40, 90, 3);
  constexpr index_t batch_size = 128;
  const std::int64_t batches = (data.size() + batch_size - 1) / batch_size;
  REQUIRE(data.size() % batch_size != 0);
  std::vector<std::pair<index_t, index_t>> drawn;
  for (std::int64_t b = 0; b < batches; ++b) {
    const index_t count = static_cast<index_t>(std::min<std::int64_t>(batch_size, data.size() - b * batch_size));
    const Pairs found = by_kernel(data, 5, {1, 0, b}, batch_size, count);
    REQUIRE(found == by_sampler(data, 5, 1, b * batch_size, count));
    for (std::size_t k = 0; k < found.users.size(); ++k) drawn.push_back({found.users[k], found.positives[k]});
  }
  std::vector<std::pair<index_t, index_t>> all;
  for (std::size_t e = 0; e < data.users.size(); ++e) all.push_back({data.users[e], data.positives[e]});
  std::sort(drawn.begin(), drawn.end());
  REQUIRE(drawn == all);
}

TEST_CASE("Users who have nearly everything get the sampler's last resort") {
  // One user has all of 3,000 items but a few, so that 64 tries rarely hit; another has them.
  for (const std::vector<index_t>& missing :
       {std::vector<index_t>{0}, std::vector<index_t>{2999}, std::vector<index_t>{0, 1, 1500, 2998, 2999}}) {
    Interactions data;
    std::vector<index_t> row, all(3000);
    std::iota(all.begin(), all.end(), 0);
    for (const index_t i : all)
      if (std::find(missing.begin(), missing.end(), i) == missing.end()) row.push_back(2 * i);
    data.add_user(row);
    data.add_user({0, 2, 3000, 5996, 5998});
    data.finish(6000);
    const Pairs found = by_kernel(data, 21, {3, 0, 1}, 300, 300);
    REQUIRE(found == by_sampler(data, 21, 3, 300, 300));
    const std::set<index_t> negatives(found.negatives.begin(), found.negatives.end());
    if (missing.size() == 5) REQUIRE(negatives.size() >= 5);
  }
}

TEST_CASE("Users with exactly half of the candidates and with one more have the sampler's negatives") {
  Interactions data;
  for (const index_t count : {50, 51, 101}) {
    std::vector<index_t> row;
    for (index_t i = 0; i < 101; ++i)
      if (count == 101 || i * 37 % 101 < count) row.push_back(3 * i);
    data.add_user(row);
  }
  data.finish(303);
  const index_t size = static_cast<index_t>(data.size());
  REQUIRE(size == 101);
  REQUIRE(by_kernel(data, 8, {2, 0, 0}, size, size) == by_sampler(data, 8, 2, 0, size));
}

TEST_CASE("A user with one candidate left always gets it") {
  Interactions data;
  data.add_user({0, 1, 2, 4});
  data.add_user({3});
  data.finish(5);
  const Pairs found = by_kernel(data, 1, {0, 0, 0}, 5, 5);
  REQUIRE(found == by_sampler(data, 1, 0, 0, 5));
  for (std::size_t k = 0; k < 5; ++k)
    if (found.users[k] == 0) REQUIRE(found.negatives[k] == 3);
}

TEST_CASE("Places behind the end of the epoch are marked, and an empty batch is no launch") {
  const Interactions data = skewed(20, 40, 6);
  const std::int64_t last = data.size() / 32;
  const Pairs found = by_kernel(data, 4, {0, 0, last}, 32, 32);
  const std::size_t there = static_cast<std::size_t>(data.size() % 32);
  const Pairs expected = by_sampler(data, 4, 0, last * 32, static_cast<index_t>(there));
  for (std::size_t k = 0; k < 32; ++k) {
    REQUIRE(found.users[k] == (k < there ? expected.users[k] : -1));
    REQUIRE(found.positives[k] == (k < there ? expected.positives[k] : -1));
    REQUIRE(found.negatives[k] == (k < there ? expected.negatives[k] : -1));
  }
  REQUIRE(by_kernel(data, 4, {0, 0, 0}, 32, 0).users.empty());
}

TEST_CASE("The counter walks through batches and epochs, with the number of the step") {
  BatchPlace place{0, 0, 0};
  for (std::uint32_t step = 1; step < 12; ++step) {
    const KernelReport report = check_kernel<AdvanceBatch>([&](KernelBuffers& use) {
      return AdvanceBatch::Params{use.output(&place, 1), 4};
    });
    REQUIRE(report.text() == "");
    REQUIRE(place.step == step);
    REQUIRE(place.epoch == step / 4);
    REQUIRE(place.batch == step % 4);
  }
  // A run that goes on at a later epoch.
  place = {4000000000u, 0, 3};
  Context<Emulated> context;
  launch<AdvanceBatch>(context, {&place, 5});
  REQUIRE(place.batch == 4);
  REQUIRE(place.step == static_cast<std::uint32_t>(4000000000 * std::int64_t{5} + 4));
}

TEST_CASE("Weights on the device are those of the sampler's interactions, and 0 behind the end of the epoch") {
  const Interactions data = skewed(40, 90, 3);
  std::vector<float> weights, of_entries(data.indices.size());
  for (std::size_t e = 0; e < of_entries.size(); ++e) of_entries[e] = static_cast<float>(e + 1) / 8;
  Context<Cpu> context(1);
  PairSampler sampler(data.csr(), 5, of_entries);
  weights.assign(sampler.weights().begin(), sampler.weights().end());
  REQUIRE(std::ssize(weights) == data.size());
  constexpr index_t batch_size = 129;
  for (std::int64_t b = 0; b < sampler.batches(batch_size); ++b) {
    std::vector<float> found(batch_size, -9);
    const BatchPlace place{2, 0, b};
    const KernelReport report = check_kernel<DrawWeights>([&](KernelBuffers& use) {
      return DrawWeights::Params{use.input(VectorView<const float>{weights.data(), std::ssize(weights)}), 5,
                                 use.input(&place, 1), batch_size,
                                 use.output(VectorView<float>{found.data(), batch_size})};
    });
    REQUIRE(report.text() == "");
    const Batch batch = sampler.draw(context, 2, b, batch_size);
    for (std::int64_t k = 0; k < batch_size; ++k)
      REQUIRE(found[static_cast<std::size_t>(k)] == (k < batch.size() ? batch.weights[k] : 0.0F));
  }
}

}  // namespace dream_tests::kernels_sampler
