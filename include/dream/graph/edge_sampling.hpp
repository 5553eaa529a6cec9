// Entries of a sparse matrix drawn at random, without replacement and with unequal probabilities.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/graph/bipartite.hpp>

namespace dream {

/// `count` of the interactions R, drawn one after another without replacement, each time with probability proportional
/// to 1 / sqrt(degree of the user * degree of the item) among those left: FREEDOM's pruning of the user-item graph
/// (Zhou and Shen, ACM MM 2023). All at once by exponential races (Efraimidis and Spirakis, Information Processing
/// Letters 2006): the entries with the `count` smallest -log(u_e) / w_e, where u_e of entry e is the e-th number of
/// `random`; ties go to the earlier entry. The same entries on any number of threads. Values are 1.
template <class T>
Csr<T, Cpu> sample_interactions(Context<Cpu>& context, CsrView<T> interactions, std::int64_t count,
                                const RandomStream& random) {
  const std::int64_t entries = interactions.entries();
  DREAM_EXPECT(count >= 0 && count <= entries, "sample of interactions: ", count, " of ", entries);
  std::vector<std::int64_t> degree(static_cast<std::size_t>(interactions.cols));
  for (std::int64_t e = 0; e < entries; ++e) ++degree[static_cast<std::size_t>(interactions.indices[e])];
  std::vector<double> arrival(static_cast<std::size_t>(entries));
  context.parallel_blocks(interactions.rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t u = begin; u < end; ++u) {
      const double own = static_cast<double>(interactions.offsets[u + 1] - interactions.offsets[u]);
      for (std::int64_t e = interactions.offsets[u]; e < interactions.offsets[u + 1]; ++e) {
        const double other = static_cast<double>(degree[static_cast<std::size_t>(interactions.indices[e])]);
        arrival[static_cast<std::size_t>(e)] =
            -std::log1p(-random.uniform(static_cast<std::uint64_t>(e))) * std::sqrt(own * other);
      }
    }
  });
  std::vector<std::int64_t> order(static_cast<std::size_t>(entries));
  for (std::int64_t e = 0; e < entries; ++e) order[static_cast<std::size_t>(e)] = e;
  const auto earlier = [&](std::int64_t a, std::int64_t b) {
    const double x = arrival[static_cast<std::size_t>(a)], y = arrival[static_cast<std::size_t>(b)];
    return x < y || (x == y && a < b);
  };
  if (count < entries) std::nth_element(order.begin(), order.begin() + count, order.end(), earlier);
  order.resize(static_cast<std::size_t>(count));
  std::sort(order.begin(), order.end());

  Csr<T, Cpu> kept;
  kept.rows = interactions.rows;
  kept.cols = interactions.cols;
  kept.offsets.resize(std::int64_t{kept.rows} + 1);
  kept.indices.resize(count);
  kept.values.resize(count);
  kept.values.fill(T{1});
  std::int64_t next = 0;
  for (index_t u = 0; u < kept.rows; ++u) {
    kept.offsets[u] = next;
    for (; next < count && order[static_cast<std::size_t>(next)] < interactions.offsets[std::int64_t{u} + 1]; ++next)
      kept.indices[next] = interactions.indices[order[static_cast<std::size_t>(next)]];
  }
  kept.offsets[kept.rows] = count;
  return kept;
}

}  // namespace dream
