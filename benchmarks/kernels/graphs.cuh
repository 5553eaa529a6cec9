// The graphs of the benchmarks: of data sets where they are at hand, else power laws of their sizes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/data/read_dataset.hpp>
#include <dream/graph/bipartite.hpp>

namespace dream_benchmarks {

using namespace dream;

/// How many users, items and training interactions a graph has, and how unequal they are: the activity of users falls
/// as rank^-activity, the popularity of items as rank^(1 / popularity - 1).
struct GraphSize {
  std::string name;
  index_t users, items;
  std::int64_t entries;
  double activity = 0.8, popularity = 3;
};
/// The data sets; the exponents give their longest rows and columns.
inline const GraphSize graph_sizes[] = {{"baby", 19445, 7050, 118551, 0.34, 1.7},
                                        {"sports", 35598, 18357, 218409, 0.42, 1.7},
                                        {"tiktok", 9308, 6710, 59541, 0.63, 1.7}};

/// Random interactions. Users have at least one; items that a user draws again are dropped, so there are somewhat fewer
/// entries than asked for.
inline Csr<float, Cpu> power_law(const GraphSize& size) {
  const index_t users = size.users, items = size.items;
  Csr<float, Cpu> a;
  a.rows = users;
  a.cols = items;
  a.offsets.resize(std::int64_t{users} + 1);
  double all = 0;
  for (index_t u = 0; u < users; ++u) all += std::pow(u + 1.0, -size.activity);
  const RandomStream order{3}, draw{4};
  // Active users lie anywhere among the others.
  std::vector<index_t> rank(static_cast<std::size_t>(users));
  for (index_t u = 0; u < users; ++u) rank[static_cast<std::size_t>(u)] = u;
  for (std::size_t i = rank.size(); i > 1; --i) std::swap(rank[i - 1], rank[order.below(i, i)]);
  const double spare = static_cast<double>(std::max<std::int64_t>(size.entries - users, 0));
  a.offsets[0] = 0;
  for (index_t u = 0; u < users; ++u) {
    const double share = std::pow(rank[static_cast<std::size_t>(u)] + 1.0, -size.activity) / all;
    a.offsets[u + 1] = a.offsets[u] + 1 + static_cast<std::int64_t>(share * spare);
  }
  a.indices.resize(a.offsets[users]);
  a.values.resize(a.offsets[users]);
  ThreadPool().parallel_blocks(users, 256, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t u = first; u < last; ++u) {
      for (std::int64_t e = a.offsets[u]; e < a.offsets[u + 1]; ++e) {
        const double x = draw.uniform(static_cast<std::uint64_t>(e));
        a.indices[e] = std::min(items - 1, static_cast<index_t>(std::pow(x, size.popularity) * items));
      }
      std::sort(a.indices.data() + a.offsets[u], a.indices.data() + a.offsets[u + 1]);
    }
  });
  std::int64_t kept = 0;
  for (index_t u = 0; u < users; ++u) {
    const std::int64_t first = kept, begin = a.offsets[u], end = a.offsets[u + 1];
    for (std::int64_t e = begin; e < end; ++e)
      if (e == begin || a.indices[e] != a.indices[kept - 1]) a.indices[kept++] = a.indices[e];
    const double degree = static_cast<double>(kept - first);
    std::fill(a.values.data() + first, a.values.data() + kept, static_cast<float>(1 / std::sqrt(degree)));
    a.offsets[u] = first;
  }
  a.offsets[users] = kept;
  a.indices.resize(kept);
  a.values.resize(kept);
  return a;
}

/// The training interactions of a set of DREAM_DATA, users by items, without values that mean anything. Read once.
inline const Csr<float, Cpu>& interactions_of(const GraphSize& size) {
  static std::map<std::string, Csr<float, Cpu>> read;
  const auto known = read.find(size.name);
  if (known != read.end()) return known->second;
  if (const char* folder = std::getenv("DREAM_DATA")) {
    const std::filesystem::path path = std::filesystem::path(folder) / size.name;
    if (std::filesystem::exists(path)) {
      const Dataset data = read_dataset(path.string());
      Context<Cpu> context;
      return read[size.name] = interaction_matrix<float>(context, data.train, data.user_count(), data.item_count());
    }
  }
  return read[size.name] = power_law(size);
}

/// The same as training uses it: normalised, or its transpose.
inline Csr<float, Cpu> propagation_graph(const GraphSize& size, bool transposed) {
  Context<Cpu> context;
  Csr<float, Cpu> graph = normalised<float>(context, interactions_of(size).view());
  return transposed ? transpose<float>(context, graph.view()) : std::move(graph);
}

}  // namespace dream_benchmarks
