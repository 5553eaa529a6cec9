// Whether the rows of a batch are rows of a matrix. 4 bytes a row.
#pragma once

#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

/// The first place of a batch whose row is outside 0 .. limit - 1, or -1; one block.
struct CheckRows {
  static constexpr int threads = 1024;
  static constexpr int each = 4;
  struct Params {
    VectorView<const index_t> rows;
    index_t limit = 0;
    index_t* first_bad = nullptr;
  };
  struct Shared {
    BlockScratch<int, threads> scratch;
  };
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    constexpr int none = 0x7fffffff;
    int first = none;
    for (std::int64_t start = th.thread(); start < p.rows.size; start += threads * each) {
      index_t row[each];
      DREAM_UNROLL
      for (int u = 0; u < each; ++u)
        row[u] = start + u * threads < p.rows.size ? th.load_readonly(p.rows.data + start + u * threads) : 0;
      DREAM_UNROLL
      for (int u = 0; u < each; ++u) {
        const std::int64_t k = start + u * threads;
        if (k < p.rows.size && k < first && (row[u] < 0 || row[u] >= p.limit)) first = static_cast<int>(k);
      }
    }
    first = -block_max(th, -first, shared.scratch);
    if (th.thread() == 0) th.store(p.first_bad, first == none ? -1 : first);
  }
};

}  // namespace dream::kernels
