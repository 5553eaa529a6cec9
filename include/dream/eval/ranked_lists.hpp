// The ranked lists of an evaluation and the means of their metrics, on the host and by kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include <dream/backend/matrix.hpp>
#include <dream/eval/metrics.hpp>
#include <dream/eval/top_k.hpp>
#include <dream/kernels/ranking_metrics.cuh>

namespace dream::detail {

/// Which held-out items count.
enum class ItemClass { all, warm, cold };

/// Six means a cut-off, by name.
inline MetricTable metric_table(const std::vector<int>& cutoffs, std::span<const double> means, std::int64_t users) {
  MetricTable table;
  table.users = users;
  for (std::size_t c = 0; c < cutoffs.size(); ++c)
    for (std::size_t v = 0; v < RankingMetrics::count; ++v)
      table.values.emplace_back(concat(RankingMetrics::names[v], "@", cutoffs[c]),
                                means[c * RankingMetrics::count + v]);
  return table;
}

/// Means of the metrics over the lists whose held-out items are not empty, summed in fixed pieces; held_out(r, items)
/// gives those of list r, ascending, without repeats.
template <class HeldOut>
MetricTable mean_metrics(Context<Cpu>& context, MatrixView<const index_t> ranked, const std::vector<int>& cutoffs,
                         HeldOut&& held_out) {
  constexpr std::int64_t piece = 256;
  const std::size_t width = cutoffs.size() * RankingMetrics::count;
  const std::size_t pieces = static_cast<std::size_t>((ranked.rows + piece - 1) / piece);
  std::vector<double> sums(pieces * width);
  std::vector<std::int64_t> counted(pieces);
  context.parallel_blocks(ranked.rows, piece, [&](std::int64_t begin, std::int64_t end) {
    const std::size_t p = static_cast<std::size_t>(begin / piece);
    std::vector<index_t> items;
    for (index_t r = static_cast<index_t>(begin); r < end; ++r) {
      held_out(r, items);
      if (items.empty()) continue;
      ++counted[p];
      for (std::size_t c = 0; c < cutoffs.size(); ++c) {
        const std::span<const index_t> list(ranked.row(r), static_cast<std::size_t>(ranked.cols));
        const RankingMetrics m = ranking_metrics(list, items, cutoffs[c]);
        for (std::size_t v = 0; v < RankingMetrics::count; ++v)
          sums[p * width + c * RankingMetrics::count + v] += m.values[v];
      }
    }
  });
  std::vector<double> means(width);
  const std::int64_t all = std::accumulate(counted.begin(), counted.end(), std::int64_t{0});
  for (std::size_t v = 0; v < width; ++v) {
    for (std::size_t p = 0; p < pieces; ++p) means[v] += sums[p * width + v];
    means[v] = all > 0 ? means[v] / static_cast<double>(all) : 0.0;
  }
  return metric_table(cutoffs, means, all);
}

/// held_out of mean_metrics: the users' held-out items of the class. warm: 1 for every warm item.
template <class T>
auto held_out_of(std::span<const index_t> users, CsrView<T> held_out, std::span<const std::uint8_t> warm,
                 ItemClass which) {
  return [=](index_t r, std::vector<index_t>& out) {
    const index_t u = users[static_cast<std::size_t>(r)];
    out.clear();
    for (std::int64_t e = held_out.offsets[u]; e < held_out.offsets[u + 1]; ++e) {
      const index_t item = held_out.indices[e];
      if (which == ItemClass::all || (warm[static_cast<std::size_t>(item)] != 0) == (which == ItemClass::warm))
        out.push_back(item);
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
  };
}

/// Rankings and their metrics on the host.
template <class T>
class HostLists {
 public:
  HostLists(Context<Cpu>& context, MatrixView<const T> user_vectors, MatrixView<const T> item_vectors,
            CsrView<T> masked, CsrView<T> held_out, const std::vector<int>& cutoffs)
      : context_(&context),
        user_vectors_(user_vectors),
        item_vectors_(item_vectors),
        masked_(masked),
        held_out_(held_out),
        cutoffs_(&cutoffs) {}

  void rank(const TopKOptions& options, std::span<const index_t> users, std::span<const index_t> candidates) {
    users_ = users;
    ranked_.resize(static_cast<index_t>(users.size()), options.k);
    if (!users.empty())
      top_k<T>(*context_, user_vectors_, item_vectors_, masked_, options, ranked_.view(), {}, users, candidates);
  }
  MetricTable means(std::span<const std::uint8_t> warm, ItemClass which) {
    return mean_metrics(*context_, ranked_.view(), *cutoffs_, held_out_of(users_, held_out_, warm, which));
  }
  Matrix<index_t, Cpu> ranked() const { return download<index_t>(*context_, ranked_.view()); }

 private:
  Context<Cpu>* context_;
  MatrixView<const T> user_vectors_, item_vectors_;
  CsrView<T> masked_, held_out_;
  const std::vector<int>* cutoffs_;
  std::span<const index_t> users_;
  Matrix<index_t, Cpu> ranked_;
};

/// The same by kernels: vectors and `masked` are in device memory, `held_out` is on the host. Only the means leave the
/// device, unless there are more cut-offs, or deeper ones, than the kernel takes.
template <class T, KernelBackend B>
class KernelLists {
 public:
  KernelLists(Context<B>& context, Context<Cpu>& host, MatrixView<const T> user_vectors,
              MatrixView<const T> item_vectors, CsrView<T> masked, CsrView<T> held_out, const std::vector<int>& cutoffs)
      : context_(&context),
        host_(&host),
        user_vectors_(user_vectors),
        item_vectors_(item_vectors),
        masked_(masked),
        held_out_(held_out),
        cutoffs_(&cutoffs) {
    std::vector<index_t> users(static_cast<std::size_t>(held_out.rows)), items, of_user;
    std::iota(users.begin(), users.end(), 0);
    const auto get = held_out_of<T>(users, held_out, {}, ItemClass::all);
    std::vector<std::int64_t> offsets{0};
    for (const index_t u : users) {
      get(u, of_user);
      items.insert(items.end(), of_user.begin(), of_user.end());
      offsets.push_back(static_cast<std::int64_t>(items.size()));
    }
    held_out_offsets_ = upload<std::int64_t>(context, offsets);
    held_out_indices_ = upload<index_t>(context, items);
  }

  void rank(const TopKOptions& options, std::span<const index_t> users, std::span<const index_t> candidates) {
    users_ = users;
    ranked_.resize(*context_, static_cast<index_t>(users.size()), options.k);
    user_rows_ = upload<index_t>(*context_, users);
    const Array<index_t, B> chosen = upload<index_t>(*context_, candidates);
    if (!users.empty())
      top_k<T>(*context_, user_vectors_, item_vectors_, masked_, ranked_.view(), {}, user_rows_.view(), chosen.view());
  }
  MetricTable means(std::span<const std::uint8_t> warm, ItemClass which) {
    const int cutoffs = static_cast<int>(cutoffs_->size());
    if (cutoffs > kernels::ranking_cutoff_limit || ranked_.cols() > kernels::ranking_depth_limit)
      return mean_metrics(*host_, download<index_t>(*context_, ranked_.view()).view(), *cutoffs_,
                          held_out_of(users_, held_out_, warm, which));
    if (which != ItemClass::all && warm_.empty()) warm_ = upload<std::uint8_t>(*context_, warm);
    const std::int64_t width = kernels::ranking_metrics_table(cutoffs);
    Array<double, B> table(*context_, width);
    Array<double, B> pieces(*context_, kernels::ranking_metrics_workspace(ranked_.rows(), cutoffs));
    kernels::RankingMetricsArguments a;
    a.ranked = ranked_.view();
    a.user_rows = user_rows_.view();
    a.held_out_offsets = held_out_offsets_.data();
    a.held_out_indices = held_out_indices_.data();
    a.item_class = which == ItemClass::all ? nullptr : warm_.data();
    a.counted_class = which == ItemClass::warm ? 1 : 0;
    std::copy(cutoffs_->begin(), cutoffs_->end(), a.cutoffs);
    a.cutoff_count = cutoffs;
    a.table = table.data();
    a.pieces = pieces.data();
    kernels::ranking_metrics(*context_, a);
    std::vector<double> found(static_cast<std::size_t>(width));
    download<double>(*context_, table.data(), found);
    return metric_table(*cutoffs_, found, static_cast<std::int64_t>(found.back()));
  }
  Matrix<index_t, Cpu> ranked() const { return download<index_t>(*context_, ranked_.view()); }

 private:
  Context<B>* context_;
  Context<Cpu>* host_;
  MatrixView<const T> user_vectors_, item_vectors_;
  CsrView<T> masked_, held_out_;
  const std::vector<int>* cutoffs_;
  std::span<const index_t> users_;
  Array<index_t, B> user_rows_, held_out_indices_;
  Array<std::int64_t, B> held_out_offsets_;
  Array<std::uint8_t, B> warm_;
  Matrix<index_t, B> ranked_;
};

}  // namespace dream::detail
