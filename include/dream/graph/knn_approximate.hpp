// Nearest neighbours where the exact N^2 is too slow: inverted lists. The rows' directions are clustered; a row is
// compared with the members of the lists whose centres are nearest to it, list by list, as block products.
//
// Cost: N (lists + N probes / lists) d multiply-adds and O(N (k + probes)) memory. What is lost is measured, not
// guessed: knn_recall. Same seed, same bits, for any number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/backend/selection.hpp>
#include <dream/core/random.hpp>
#include <dream/graph/knn.hpp>

namespace dream {

struct ApproximateKnnOptions {
  index_t k = 10;       ///< neighbours a row, itself included
  index_t lists = 0;    ///< clusters; 0: about the square root of the number of rows
  index_t probes = 16;  ///< lists a row is compared with; more of them: slower, higher recall
  int iterations = 8;   ///< of the clustering
  index_t sample = 64;  ///< rows a list that the clustering looks at
  std::uint64_t seed = 999;
};

namespace detail {

/// `count` row numbers out of 0 .. rows-1 without repeats, ascending: one from each of `count` equal intervals.
inline std::vector<index_t> stratified_rows(index_t rows, index_t count, std::uint64_t seed, std::uint32_t step) {
  const RandomStream random{seed, RandomUse::estimate, step};
  std::vector<index_t> out;
  for (std::int64_t c = 0; c < count; ++c) {
    const std::int64_t begin = c * rows / count, end = (c + 1) * rows / count;
    out.push_back(
        static_cast<index_t>(begin + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(c),
                                                                            static_cast<std::uint64_t>(end - begin)))));
  }
  return out;
}

/// For rows first .. first + count - 1 of x the k best centres by inner product, best first, to out (count x k).
template <class T>
void nearest_centres(Context<Cpu>& context, MatrixView<const T> x, index_t first, index_t count,
                     MatrixView<const T> centres, index_t k, index_t* out) {
  constexpr index_t strip = 3 * cpu::tile_cols<T>;
  T* products = context.scratch<T>(similarity_slot, std::int64_t{count} * centres.rows);
  for (index_t j = 0; j < centres.rows; j += strip)
    cpu::gemm_block<T>(context, count, std::min(strip, centres.rows - j), x.cols, T{1}, {x.row(first), x.stride, 1},
                       {centres.row(j), 1, centres.stride}, T{0}, products + j, centres.rows);
  RowSelection<T> selection(count, k);
  for (index_t i = 0; i < count; ++i) {
    selection.offer_row(i, products + std::int64_t{i} * centres.rows, centres.rows, 0);
    const index_t found = selection.finish(i);
    for (index_t c = 0; c < k; ++c) out[std::int64_t{i} * k + c] = c < found ? selection.selected(i)[c].index : -1;
  }
}

/// Spherical k-means on a sample of the rows that have a direction: unit centres (lists x d).
template <class T>
Matrix<T, Cpu> cluster_directions(Context<Cpu>& context, MatrixView<const T> x, const std::vector<T>& inverse,
                                  const std::vector<index_t>& rows, index_t lists,
                                  const ApproximateKnnOptions& options) {
  const index_t available = static_cast<index_t>(rows.size());
  const index_t size = static_cast<index_t>(
      std::min<std::int64_t>(available, std::int64_t{lists} * std::max<index_t>(options.sample, 1)));
  const std::vector<index_t> sampled = stratified_rows(available, size, options.seed, 0);
  Matrix<T, Cpu> points(size, x.cols);
  context.parallel_blocks(size, 256, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
      const index_t row = rows[static_cast<std::size_t>(sampled[static_cast<std::size_t>(i)])];
      for (index_t j = 0; j < x.cols; ++j) points.view()(i, j) = x(row, j) * inverse[static_cast<std::size_t>(row)];
    }
  });
  Matrix<T, Cpu> centres(lists, x.cols);
  const std::vector<index_t> start = stratified_rows(size, lists, options.seed, 1);
  for (index_t l = 0; l < lists; ++l)
    std::copy_n(points.view().row(start[static_cast<std::size_t>(l)]), x.cols, centres.view().row(l));
  std::vector<index_t> nearest(static_cast<std::size_t>(size));
  for (int iteration = 0; iteration < options.iterations; ++iteration) {
    context.parallel_blocks(size, 192, [&](std::int64_t begin, std::int64_t end) {
      nearest_centres<T>(context, points.view(), static_cast<index_t>(begin), static_cast<index_t>(end - begin),
                         centres.view(), 1, nearest.data() + begin);
    });
    std::vector<std::vector<index_t>> members(static_cast<std::size_t>(lists));
    for (index_t i = 0; i < size; ++i)
      if (nearest[static_cast<std::size_t>(i)] >= 0)
        members[static_cast<std::size_t>(nearest[static_cast<std::size_t>(i)])].push_back(i);
    context.parallel_for(lists, [&](std::int64_t l) {
      const std::vector<index_t>& own = members[static_cast<std::size_t>(l)];
      if (own.empty()) return;  // the old centre stays
      std::vector<double> sum(static_cast<std::size_t>(x.cols));
      for (const index_t i : own)
        for (index_t j = 0; j < x.cols; ++j)
          sum[static_cast<std::size_t>(j)] += static_cast<double>(points.view()(i, j));
      double square = 0;
      for (const double v : sum) square += v * v;
      if (square == 0) return;
      const double scale = 1 / std::sqrt(square);
      for (index_t j = 0; j < x.cols; ++j)
        centres.view()(static_cast<index_t>(l), j) = static_cast<T>(sum[static_cast<std::size_t>(j)] * scale);
    });
  }
  return centres;
}

}  // namespace detail

/// Like nearest_neighbours, but each row only sees the members of the lists it probes. Rows may have fewer than k
/// neighbours where these are few. Zero rows keep only themselves and are nobody's neighbour.
template <class T>
Neighbours<T> approximate_neighbours(Context<Cpu>& context, MatrixView<const T> x,
                                     const ApproximateKnnOptions& options) {
  DREAM_EXPECT(options.k >= 1 && options.probes >= 1 && options.lists >= 0, "approximate neighbours: k ", options.k,
               ", probes ", options.probes, ", lists ", options.lists);
  if (x.rows == 0) return {};
  std::vector<T> inverse = detail::inverse_norms(context, x);
  Matrix<T, Cpu> unit;
  if (!detail::norms_are_moderate(inverse)) {
    unit = unit_rows(context, x);
    x = unit.view();
    inverse = detail::inverse_norms(context, x);
  }
  RowSelection<T> selection(x.rows, std::min(options.k, x.rows));
  std::vector<index_t> rows;
  for (index_t i = 0; i < x.rows; ++i)
    if (inverse[static_cast<std::size_t>(i)] > 0) rows.push_back(i);
  if (rows.empty()) return detail::finish_neighbours(context, selection, inverse);
  const index_t root = static_cast<index_t>(std::ceil(std::sqrt(static_cast<double>(rows.size()))));
  const index_t lists = std::min(options.lists > 0 ? options.lists : root, static_cast<index_t>(rows.size()));
  const index_t probes = std::min(options.probes, lists);
  const Matrix<T, Cpu> centres = detail::cluster_directions(context, x, inverse, rows, lists, options);

  std::vector<index_t> probe(static_cast<std::size_t>(x.rows) * static_cast<std::size_t>(probes));
  context.parallel_blocks(x.rows, 192, [&](std::int64_t begin, std::int64_t end) {
    detail::nearest_centres<T>(context, x, static_cast<index_t>(begin), static_cast<index_t>(end - begin),
                               centres.view(), probes, probe.data() + begin * probes);
  });
  // A list's members are the rows that probe it first; its visitors are all that probe it. Both ascend.
  std::vector<std::int64_t> member_start(static_cast<std::size_t>(lists) + 1), visitor_start(member_start.size());
  const auto each_probe = [&](auto&& f) {
    for (const index_t i : rows)
      for (index_t p = 0; p < probes; ++p) {
        const index_t list =
            probe[static_cast<std::size_t>(i) * static_cast<std::size_t>(probes) + static_cast<std::size_t>(p)];
        if (list >= 0) f(i, p, static_cast<std::size_t>(list));
      }
  };
  each_probe([&](index_t, index_t p, std::size_t list) {
    ++visitor_start[list + 1];
    member_start[list + 1] += p == 0;
  });
  for (std::size_t l = 0; l < static_cast<std::size_t>(lists); ++l) {
    member_start[l + 1] += member_start[l];
    visitor_start[l + 1] += visitor_start[l];
  }
  std::vector<index_t> members(static_cast<std::size_t>(member_start.back()));
  std::vector<index_t> visitors(static_cast<std::size_t>(visitor_start.back()));
  {
    std::vector<std::int64_t> member_next = member_start, visitor_next = visitor_start;
    each_probe([&](index_t i, index_t p, std::size_t list) {
      visitors[static_cast<std::size_t>(visitor_next[list]++)] = i;
      if (p == 0) members[static_cast<std::size_t>(member_next[list]++)] = i;
    });
  }
  probe = {};

  // One list at a time, its visitors in parallel: a row is fed by one thread at a time, so nothing is locked.
  constexpr index_t visitor_block = 192, member_block = 6 * cpu::tile_cols<T>;
  Matrix<T, Cpu> gathered(member_block, x.cols);
  std::vector<T> member_inverse(static_cast<std::size_t>(member_block));
  for (std::size_t list = 0; list < static_cast<std::size_t>(lists); ++list)
    for (std::int64_t m0 = member_start[list]; m0 < member_start[list + 1]; m0 += member_block) {
      const index_t count = static_cast<index_t>(std::min<std::int64_t>(member_block, member_start[list + 1] - m0));
      const index_t* ids = members.data() + m0;
      for (index_t j = 0; j < count; ++j) {
        std::copy_n(x.row(ids[j]), x.cols, gathered.view().row(j));
        member_inverse[static_cast<std::size_t>(j)] = inverse[static_cast<std::size_t>(ids[j])];
      }
      const index_t* who = visitors.data() + visitor_start[list];
      context.parallel_blocks(
          visitor_start[list + 1] - visitor_start[list], visitor_block, [&](std::int64_t begin, std::int64_t end) {
            const index_t visiting = static_cast<index_t>(end - begin);
            T* rows_of_block = context.scratch<T>(detail::similarity_slot + 1, std::int64_t{visitor_block} * x.cols);
            T* values = context.scratch<T>(detail::similarity_slot, std::int64_t{visitor_block} * member_block);
            for (index_t i = 0; i < visiting; ++i)
              std::copy_n(x.row(who[begin + i]), x.cols, rows_of_block + std::int64_t{i} * x.cols);
            cpu::gemm_block<T>(context, visiting, count, x.cols, T{1}, {rows_of_block, x.cols, 1},
                               {gathered.data(), 1, x.cols}, T{0}, values, member_block);
            for (index_t i = 0; i < visiting; ++i) {
              const T own = inverse[static_cast<std::size_t>(who[begin + i])];
              T* row = values + std::int64_t{i} * member_block;
              for (index_t j = 0; j < count; ++j) row[j] *= own * member_inverse[static_cast<std::size_t>(j)];
              selection.offer_row(who[begin + i], row, count, 0, ids);
            }
          });
    }
  return detail::finish_neighbours(context, selection, inverse);
}

/// The share of the exact k nearest neighbours that the lists hold, over `sample` rows drawn with the seed (all rows
/// where there are fewer). A found row as similar as the k-th exact one counts, whichever of equals it is. Rows without
/// a direction are left out; 1 where none is left.
template <class T>
double knn_recall(Context<Cpu>& context, MatrixView<const T> x, const Neighbours<T>& found, index_t sample,
                  std::uint64_t seed = 999) {
  DREAM_EXPECT(found.rows == x.rows, "neighbour recall: lists of ", found.rows, " rows, features ", shape(x));
  DREAM_EXPECT(sample >= 1, "neighbour recall: sample ", sample);
  if (x.rows == 0) return 1;
  Matrix<T, Cpu> unit;
  std::vector<T> inverse = detail::inverse_norms(context, x);
  if (!detail::norms_are_moderate(inverse)) {
    unit = unit_rows(context, x);
    x = unit.view();
    inverse = detail::inverse_norms(context, x);
  }
  const std::vector<index_t> rows = detail::stratified_rows(x.rows, std::min(sample, x.rows), seed, 2);
  const index_t count = static_cast<index_t>(rows.size());
  Matrix<T, Cpu> queries(count, x.cols);
  for (index_t i = 0; i < count; ++i)
    std::copy_n(x.row(rows[static_cast<std::size_t>(i)]), x.cols, queries.view().row(i));
  RowSelection<T> selection(count, found.k);
  constexpr index_t piece = 48, block = 6 * cpu::tile_cols<T>;
  context.parallel_blocks(count, piece, [&](std::int64_t begin, std::int64_t end) {
    T* values = context.scratch<T>(detail::similarity_slot, std::int64_t{piece} * block);
    for (index_t j0 = 0; j0 < x.rows; j0 += block) {
      const index_t cols = std::min(block, x.rows - j0);
      cpu::gemm_block<T>(context, static_cast<index_t>(end - begin), cols, x.cols, T{1},
                         {queries.view().row(static_cast<index_t>(begin)), x.cols, 1}, {x.row(j0), 1, x.stride}, T{0},
                         values, block);
      for (index_t i = static_cast<index_t>(begin); i < end; ++i) {
        const T own = inverse[static_cast<std::size_t>(rows[static_cast<std::size_t>(i)])];
        T* row = values + (i - begin) * block;
        for (index_t j = 0; j < cols; ++j) row[j] *= own * inverse[static_cast<std::size_t>(j0 + j)];
        selection.offer_row(i, row, cols, j0);
      }
    }
  });
  std::int64_t wanted = 0, hits = 0;
  for (index_t i = 0; i < count; ++i) {
    const index_t row = rows[static_cast<std::size_t>(i)];
    if (inverse[static_cast<std::size_t>(row)] == T{0}) continue;
    const index_t exact = selection.finish(i);
    const T last = selection.selected(i)[exact - 1].value;
    std::int64_t good = 0;
    for (index_t c = 0; c < found.k; ++c) good += found.indices(row)[c] >= 0 && found.similarities(row)[c] >= last;
    wanted += exact;
    hits += std::min<std::int64_t>(good, exact);
  }
  return wanted > 0 ? static_cast<double>(hits) / static_cast<double>(wanted) : 1.0;
}

/// knn_graph with approximate neighbours.
template <class T>
Csr<T, Cpu> approximate_knn_graph(Context<Cpu>& context, MatrixView<const T> x, const ApproximateKnnOptions& options,
                                  KnnWeights weights = KnnWeights::cosine) {
  return knn_weights(context, approximate_neighbours(context, x, options), weights);
}

}  // namespace dream
