// A batch of a graph's entries, as training draws one: rows by how many entries they have, and what sums over them
// touch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/cuda/cuda.cuh>

#include "graphs.cuh"

namespace dream_benchmarks {

/// The place of some numbers below n among the distinct of them, ascending; of the others -1.
struct Places {
  Places(const std::vector<index_t>& numbers, index_t n) : of(static_cast<std::size_t>(n), -1) {
    for (const index_t number : numbers) of[static_cast<std::size_t>(number)] = 0;
    for (index_t& place : of)
      if (place == 0) place = count++;
  }
  index_t operator[](index_t number) const { return of[static_cast<std::size_t>(number)]; }

  std::vector<index_t> of;
  index_t count = 0;
};

/// A graph, here and on the card, and a batch of its entries: the rows and the columns that these have.
struct GraphBatch {
  GraphBatch(Context<Cuda>& context, const GraphSize& size, bool transposed, index_t batch)
      : host(propagation_graph(size, transposed)),
        card(upload(context, host)),
        cusparse(context, card.view(), card.entries()) {
    const RandomStream random{11};
    const std::int64_t* offsets = host.offsets.data();
    for (index_t k = 0; k < batch; ++k) {
      const auto e = static_cast<std::int64_t>(
          random.below(static_cast<std::uint64_t>(k), static_cast<std::uint64_t>(host.entries())));
      rows.push_back(static_cast<index_t>(std::upper_bound(offsets, offsets + host.rows + 1, e) - offsets - 1));
      columns.push_back(host.indices[e]);
    }
  }
  /// f(column, value) for the entries of a row.
  template <class F>
  void for_each_entry(index_t row, const F& f) const {
    for (std::int64_t e = host.offsets[row]; e < host.offsets[row + 1]; ++e) f(host.indices[e], host.values[e]);
  }

  Csr<float, Cpu> host;
  Csr<float, Cuda> card;
  CusparseMatrix<float> cusparse;
  std::vector<index_t> rows, columns;
};

/// What the sums of the batch's rows touch at least: each row and each column once.
struct Touched {
  explicit Touched(const GraphBatch& g) {
    const Places distinct(g.rows, g.host.rows);
    std::vector<index_t> used;
    for (index_t r = 0; r < g.host.rows; ++r)
      if (distinct[r] >= 0) g.for_each_entry(r, [&](index_t column, float) { used.push_back(column); });
    rows = distinct.count;
    entries = static_cast<double>(used.size());
    columns = Places(used, g.host.cols).count;
    for (const index_t r : g.rows) summed += static_cast<double>(g.host.offsets[r + 1] - g.host.offsets[r]);
  }
  double rows, columns, entries;
  double summed = 0;  ///< entries, those of repeated rows repeated
};

/// Entries of the graph whose column the batch has.
inline double placed_entries(const GraphBatch& g, const Places& columns) {
  return static_cast<double>(std::count_if(g.host.indices.data(), g.host.indices.data() + g.host.entries(),
                                           [&](index_t c) { return columns[c] >= 0; }));
}

}  // namespace dream_benchmarks
