// Ranking metrics of many users (docs/components.md, 6): the counters of an evaluation stay on the device until the
// means are read.
//
// With hit_j = 1 where rank j holds a held-out item and P held-out items, at each cut-off k:
//   Recall = sum hit_j / P;  NDCG = sum hit_j / log2(j + 1)  over  sum_{j <= min(k, P)} 1 / log2(j + 1);
//   Precision = sum hit_j / k;  MAP = sum hit_j (hits up to j) / j  over  min(k, P);  HitRate = any hit;
//   MRR = 1 / rank of the first hit.  All sums are over j <= k. Means over the users with P > 0.
//
// A block takes a piece of 256 users: its 32 warps look up the ranks of a user each, lanes along the list, and leave a
// bit a rank in shared memory; then a thread a user turns bits into metrics with tables of the discounts, and the piece
// is summed in a tree. A second kernel adds the pieces, a warp a number. Everything in double and in an order that
// depends on sizes alone.
//
// Floor: n k 4 bytes of lists and the held-out rows, read once.
#pragma once

#include <cmath>
#include <cstdint>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

inline constexpr int ranking_metric_count = 6;        ///< recall, ndcg, precision, map, hit, mrr
inline constexpr int ranking_cutoff_limit = 16;       ///< cut-offs at a time
inline constexpr index_t ranking_depth_limit = 1024;  ///< the largest cut-off
inline constexpr index_t ranking_piece_users = 256;   ///< whose metrics one block sums

/// What ranking_metrics works on.
struct RankingMetricsArguments {
  MatrixView<const index_t> ranked;          ///< n x depth, best first, -1: no item; ranks behind it count as misses
  VectorView<const index_t> user_rows = {};  ///< row of held_out of each list; without data: the same row
  const std::int64_t* held_out_offsets = nullptr;
  const index_t* held_out_indices = nullptr;  ///< of each row ascending, without repeats
  const std::uint8_t* item_class = nullptr;   ///< of every item; null: all held-out items count
  std::uint8_t counted_class = 0;             ///< only held-out items of this class count
  int cutoffs[ranking_cutoff_limit] = {};     ///< 1 .. ranking_depth_limit each, in any order
  int cutoff_count = 0;
  double* table = nullptr;   ///< out: six means a cut-off, then the number of users they are over
  double* pieces = nullptr;  ///< workspace: ranking_metrics_workspace(n, cutoff_count)
};

namespace detail {

/// Sums of the metrics, and the number of users, of each piece of users.
struct RankingPieces {
  static constexpr int threads = 1024;
  using Params = RankingMetricsArguments;
  struct Shared {
    double discount[ranking_depth_limit];   ///< of rank j + 1
    double ideal[ranking_depth_limit + 1];  ///< sums of the first j discounts
    std::uint32_t hits[ranking_depth_limit / warp_lanes][ranking_piece_users];
    index_t held_out[ranking_piece_users];
    BlockScratch<double, threads> scratch;
  };
  static int grid(const Params& p) {
    return static_cast<int>((std::int64_t{p.ranked.rows} + ranking_piece_users - 1) / ranking_piece_users);
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    using std::log2;
    const index_t first = th.block() * ranking_piece_users, left = p.ranked.rows - first;
    const int users = left < ranking_piece_users ? left : ranking_piece_users;
    int depth = 0;
    for (int c = 0; c < p.cutoff_count; ++c) depth = p.cutoffs[c] > depth ? p.cutoffs[c] : depth;
    for (int j = th.thread(); j < depth; j += threads)
      shared.discount[j] = 1.0 / log2(static_cast<double>(j + 1) + 1.0);
    for (int u = th.warp(); u < users; u += threads / warp_lanes) look_up(th, p, shared, first + u, u, depth);
    th.sync();
    if (th.thread() == 0) {
      double sum = 0;
      shared.ideal[0] = 0;
      for (int j = 0; j < depth; ++j) shared.ideal[j + 1] = sum += shared.discount[j];
    }
    th.sync();
    const int width = p.cutoff_count * ranking_metric_count + 1;
    double* piece = p.pieces + std::int64_t{th.block()} * width;
    const bool counted = th.thread() < users && shared.held_out[th.thread()] > 0;
    for (int c = 0; c < p.cutoff_count; ++c) {
      double values[ranking_metric_count] = {};
      if (counted) metrics(th, shared, th.thread(), p.cutoffs[c], values);
      DREAM_UNROLL
      for (int v = 0; v < ranking_metric_count; ++v) {
        const double sum = block_sum(th, values[v], shared.scratch);
        if (th.thread() == 0) th.store(piece + c * ranking_metric_count + v, sum);
      }
    }
    const double number = block_sum(th, counted ? 1.0 : 0.0, shared.scratch);
    if (th.thread() == 0) th.store(piece + width - 1, number);
  }

 private:
  /// The bits of a user's ranks that hit, and the number of held-out items; by a warp.
  template <class Thread>
  DREAM_HOST_DEVICE static void look_up(const Thread& th, const Params& p, Shared& shared, index_t row, int user,
                                        int depth) {
    const index_t held_row = p.user_rows.data == nullptr ? row : th.load_readonly(p.user_rows.data + row);
    const std::int64_t begin = th.load_readonly(p.held_out_offsets + held_row);
    const std::int64_t size = th.load_readonly(p.held_out_offsets + held_row + 1) - begin;
    const index_t* held = p.held_out_indices + begin;
    for (int j = 0; j < depth; j += warp_lanes) {
      const int rank = j + th.lane();
      const index_t item = rank < depth && rank < p.ranked.cols ? th.load_readonly(p.ranked.row(row) + rank) : -1;
      const std::uint32_t hits = th.ballot(item >= 0 && counts(th, p, item) && contains(th, held, size, item));
      if (th.lane() == 0) shared.hits[j / warp_lanes][user] = hits;
    }
    index_t number = static_cast<index_t>(size);
    if (p.item_class != nullptr) {
      index_t own = 0;
      for (std::int64_t e = th.lane(); e < size; e += warp_lanes) own += counts(th, p, th.load_readonly(held + e));
      number = warp_sum(th, own);
    }
    if (th.lane() == 0) shared.held_out[user] = number;
  }

  template <class Thread>
  DREAM_HOST_DEVICE static bool counts(const Thread& th, const Params& p, index_t item) {
    return p.item_class == nullptr || th.load_readonly(p.item_class + item) == p.counted_class;
  }

  template <class Thread>
  DREAM_HOST_DEVICE static bool contains(const Thread& th, const index_t* values, std::int64_t size, index_t value) {
    std::int64_t begin = 0;
    for (std::int64_t end = size; begin < end;) {
      const std::int64_t middle = begin + (end - begin) / 2;
      if (th.load_readonly(values + middle) < value)
        begin = middle + 1;
      else
        end = middle;
    }
    return begin < size && th.load_readonly(values + begin) == value;
  }

  /// The metrics of one user at one cut-off.
  template <class Thread>
  DREAM_HOST_DEVICE static void metrics(const Thread& th, const Shared& shared, int user, int cutoff,
                                        double (&values)[ranking_metric_count]) {
    double hits = 0, gain = 0, precision_sum = 0, first = 0;
    for (int word = 0; word * warp_lanes < cutoff; ++word) {
      const int ranks = cutoff - word * warp_lanes;
      std::uint32_t bits = shared.hits[word][user];
      if (ranks < warp_lanes) bits &= (std::uint32_t{1} << ranks) - 1;
      for (; bits != 0; bits &= bits - 1) {
        const int j = word * warp_lanes + th.popcount((bits & (~bits + 1)) - 1);
        hits += 1;
        gain += shared.discount[j];
        precision_sum += hits / (j + 1);
        if (first == 0) first = 1.0 / (j + 1);
      }
    }
    const index_t held_out = shared.held_out[user], possible = held_out < cutoff ? held_out : cutoff;
    values[0] = hits / held_out;
    values[1] = gain / shared.ideal[possible];
    values[2] = hits / cutoff;
    values[3] = precision_sum / possible;
    values[4] = hits > 0 ? 1.0 : 0.0;
    values[5] = first;
  }
};

/// Means from the pieces' sums; 0 of no users.
struct RankingMeans {
  static constexpr int threads = 256;
  using Params = RankingMetricsArguments;
  struct Shared {};
  static int grid(const Params& p) {
    constexpr int warps = threads / warp_lanes;
    return (p.cutoff_count * ranking_metric_count + 1 + warps - 1) / warps;
  }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const int width = p.cutoff_count * ranking_metric_count + 1;
    const int number = th.block() * (threads / warp_lanes) + th.warp();
    if (number >= width) return;
    const std::int64_t pieces = (std::int64_t{p.ranked.rows} + ranking_piece_users - 1) / ranking_piece_users;
    double own = 0, own_users = 0;
    for (std::int64_t piece = th.lane(); piece < pieces; piece += warp_lanes) {
      own += th.load_readonly(p.pieces + piece * width + number);
      own_users += th.load_readonly(p.pieces + piece * width + width - 1);
    }
    const double sum = warp_sum(th, own), users = warp_sum(th, own_users);
    if (th.lane() == 0) th.store(p.table + number, number == width - 1 ? users : users > 0 ? sum / users : 0.0);
  }
};

}  // namespace detail

/// Values of `table`.
inline std::int64_t ranking_metrics_table(int cutoff_count) {
  return std::int64_t{cutoff_count} * ranking_metric_count + 1;
}

/// Values of `pieces` for so many users.
inline std::int64_t ranking_metrics_workspace(index_t users, int cutoff_count) {
  return (std::int64_t{users} + ranking_piece_users - 1) / ranking_piece_users * ranking_metrics_table(cutoff_count);
}

/// Mean metrics of ranked lists against held-out items. Two launches.
template <class Context>
void ranking_metrics(Context& context, const RankingMetricsArguments& a) {
  launch<detail::RankingPieces>(context, a);
  launch<detail::RankingMeans>(context, a);
}

}  // namespace dream::kernels
