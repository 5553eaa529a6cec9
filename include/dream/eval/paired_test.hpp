// Whether one ranking is better than another for the same users, and by how much.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <dream/backend/algebra.hpp>
#include <dream/core/random.hpp>

namespace dream {

/// The mean difference of two metrics of the same users.
struct PairedDifference {
  double difference = 0;     ///< mean of a - b
  double low = 0, high = 0;  ///< 95 % percentile interval of 2,000 bootstrap samples of the users
  double p = 1;              ///< two-sided, of a randomisation test with 10,000 random exchanges of a and b by user
  std::int64_t users = 0;
};

/// `a[i]` and `b[i]` belong to user i. The same bits on any number of threads. No users: no difference, p = 1.
inline PairedDifference paired_difference(Context<Cpu>& context, std::span<const double> a, std::span<const double> b,
                                          std::uint64_t seed = 0) {
  DREAM_EXPECT(a.size() == b.size(), "paired difference: ", a.size(), " and ", b.size(), " users");
  const std::int64_t n = static_cast<std::int64_t>(a.size());
  PairedDifference found;
  found.users = n;
  if (n == 0) return found;
  std::vector<double> d(a.size());
  double sum = 0;
  for (std::size_t i = 0; i < d.size(); ++i) sum += d[i] = a[i] - b[i];
  found.difference = sum / static_cast<double>(n);

  constexpr std::int64_t exchanges = 10000, samples = 2000;
  std::vector<std::uint8_t> as_large(exchanges);
  // Sums in another order differ in their last bits: an exchange of nothing must count.
  const double threshold = std::abs(sum) * (1 - 1e-12);
  context.parallel_blocks(exchanges, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t e = begin; e < end; ++e) {
      const RandomStream random{seed, RandomUse::estimate, static_cast<std::uint32_t>(e)};
      double exchanged = 0;
      for (std::int64_t i = 0; i < n; i += 64) {
        const std::uint64_t signs = random.block(static_cast<std::uint64_t>(i)).low();
        for (std::int64_t k = i; k < std::min(n, i + 64); ++k)
          exchanged += (signs >> (k - i) & 1) != 0 ? d[static_cast<std::size_t>(k)] : -d[static_cast<std::size_t>(k)];
      }
      as_large[static_cast<std::size_t>(e)] = std::abs(exchanged) >= threshold;
    }
  });
  const auto count = std::count(as_large.begin(), as_large.end(), std::uint8_t{1});
  found.p = static_cast<double>(count + 1) / static_cast<double>(exchanges + 1);

  std::vector<double> means(samples);
  context.parallel_blocks(samples, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s) {
      const RandomStream random{seed, RandomUse::estimate, static_cast<std::uint32_t>(exchanges + s)};
      double total = 0;
      for (std::int64_t i = 0; i < n; ++i)
        total +=
            d[static_cast<std::size_t>(random.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(n)))];
      means[static_cast<std::size_t>(s)] = total / static_cast<double>(n);
    }
  });
  std::sort(means.begin(), means.end());
  found.low = means[samples / 40];
  found.high = means[samples - 1 - samples / 40];
  return found;
}

}  // namespace dream
