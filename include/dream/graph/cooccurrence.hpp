// The user-user graph of shared interactions: rows of R R^T, the k largest counts, softmax of the counts as weights
// (docs/components.md, 2, option).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include <dream/backend/matrix.hpp>
#include <dream/backend/selection.hpp>

namespace dream {

/// For every user the k users who share most items, itself excluded, ties to the smaller index; weights are the softmax
/// of the shared counts over the row. Users who share no item with anybody have an empty row. Exact. Time is the sum
/// over items of degree^2, so a few very popular items can dominate; memory is O(U) a thread and the result.
/// `interactions` is R, `transposed` its transpose; only their patterns are read.
template <class T>
Csr<T, Cpu> cooccurrence_graph(Context<Cpu>& context, CsrView<T> interactions, CsrView<T> transposed, index_t k) {
  DREAM_EXPECT(interactions.rows == transposed.cols && interactions.cols == transposed.rows &&
                   interactions.entries() == transposed.entries(),
               "co-occurrence: interactions ", shape(interactions), ", transpose ", shape(transposed));
  DREAM_EXPECT(k >= 1, "co-occurrence: k is ", k);
  const index_t users = interactions.rows;
  constexpr index_t piece = 64;
  const std::int64_t pieces = (std::int64_t{users} + piece - 1) / piece;

  // At most one accumulator a thread, borrowed for a piece and returned all zero: zeroing U counts a piece costs more.
  struct Accumulator {
    std::vector<std::int32_t> count;
    std::vector<index_t> touched;
    std::vector<std::uint64_t> order;
  };
  std::vector<std::unique_ptr<Accumulator>> idle;
  std::mutex idle_mutex;
  struct Row {
    std::vector<index_t> index;
    std::vector<std::int32_t> count;
    std::vector<std::int32_t> size;
  };
  std::vector<Row> rows(static_cast<std::size_t>(pieces));

  context.parallel_for(pieces, [&](std::int64_t p) {
    std::unique_ptr<Accumulator> borrowed;
    {
      const std::lock_guard<std::mutex> lock(idle_mutex);
      if (!idle.empty()) {
        borrowed = std::move(idle.back());
        idle.pop_back();
      }
    }
    if (!borrowed) {
      borrowed = std::make_unique<Accumulator>();
      borrowed->count.assign(static_cast<std::size_t>(users), 0);
      borrowed->touched.resize(static_cast<std::size_t>(users) + 1);
    }
    Accumulator& a = *borrowed;
    Row& out = rows[static_cast<std::size_t>(p)];
    const index_t end = static_cast<index_t>(std::min<std::int64_t>(users, (p + 1) * piece));
    for (index_t u = static_cast<index_t>(p) * piece; u < end; ++u) {
      std::size_t touched = 0;
      for (std::int64_t e = interactions.offsets[u]; e < interactions.offsets[u + 1]; ++e) {
        const index_t item = interactions.indices[e];
        for (std::int64_t f = transposed.offsets[item]; f < transposed.offsets[item + 1]; ++f) {
          const index_t v = transposed.indices[f];
          a.touched[touched] = v;  // kept only when v is met for the first time
          touched += a.count[static_cast<std::size_t>(v)]++ == 0;
        }
      }
      // One integer per candidate that sorts by count, then by smaller index.
      a.order.clear();
      for (std::size_t c = 0; c < touched; ++c) {
        const index_t v = a.touched[c];
        std::int32_t& count = a.count[static_cast<std::size_t>(v)];
        if (v != u) a.order.push_back(std::uint64_t(count) << 32 | std::uint32_t(0x7fffffff - v));
        count = 0;
      }
      const std::size_t kept = std::min(a.order.size(), static_cast<std::size_t>(k));
      const auto middle = a.order.begin() + static_cast<std::ptrdiff_t>(kept);
      if (kept < a.order.size()) std::nth_element(a.order.begin(), middle, a.order.end(), std::greater<>());
      std::sort(a.order.begin(), middle,
                [](std::uint64_t x, std::uint64_t y) { return std::uint32_t(x) > std::uint32_t(y); });
      for (std::size_t c = 0; c < kept; ++c) {
        out.index.push_back(0x7fffffff - static_cast<index_t>(std::uint32_t(a.order[c])));
        out.count.push_back(static_cast<std::int32_t>(a.order[c] >> 32));
      }
      out.size.push_back(static_cast<std::int32_t>(kept));
    }
    const std::lock_guard<std::mutex> lock(idle_mutex);
    idle.push_back(std::move(borrowed));
  });

  Csr<T, Cpu> graph;
  graph.rows = graph.cols = users;
  graph.offsets.resize(std::int64_t{users} + 1);
  graph.offsets[0] = 0;
  for (std::int64_t p = 0; p < pieces; ++p) {
    const Row& row = rows[static_cast<std::size_t>(p)];
    for (std::size_t r = 0; r < row.size.size(); ++r) {
      const std::int64_t u = p * piece + static_cast<std::int64_t>(r);
      graph.offsets[u + 1] = graph.offsets[u] + row.size[r];
    }
  }
  graph.indices.resize(graph.offsets[users]);
  graph.values.resize(graph.offsets[users]);
  context.parallel_for(pieces, [&](std::int64_t p) {
    const Row& row = rows[static_cast<std::size_t>(p)];
    std::size_t from = 0;
    for (std::size_t r = 0; r < row.size.size(); ++r) {
      const std::int64_t first = graph.offsets[p * piece + static_cast<std::int64_t>(r)];
      const std::size_t size = static_cast<std::size_t>(row.size[r]);
      std::int32_t largest = 0;
      for (std::size_t c = 0; c < size; ++c) largest = std::max(largest, row.count[from + c]);
      double sum = 0;
      for (std::size_t c = 0; c < size; ++c) sum += std::exp(static_cast<double>(row.count[from + c] - largest));
      for (std::size_t c = 0; c < size; ++c) {
        graph.indices[first + static_cast<std::int64_t>(c)] = row.index[from + c];
        graph.values[first + static_cast<std::int64_t>(c)] =
            static_cast<T>(std::exp(static_cast<double>(row.count[from + c] - largest)) / sum);
      }
      from += size;
    }
  });
  return graph;
}

}  // namespace dream
