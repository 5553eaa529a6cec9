// Full-ranking evaluation: every user's held-out items against a ranking of all items (docs/components.md, 6), for all
// items and for warm and cold items apart. An item is cold when it has no training interaction.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <dream/backend/matrix.hpp>
#include <dream/data/dataset.hpp>
#include <dream/eval/metrics.hpp>
#include <dream/eval/top_k.hpp>

namespace dream {

struct EvaluationOptions {
  std::vector<int> top_k{10, 20};
  bool warm_and_cold = true;  ///< also the reports by class of item; costs a second ranking where there are cold items
  TopKOptions blocks{};       ///< block sizes of the ranking (its k is not read)
};

/// Means over users with at least one held-out item and at least one training interaction. The held-out items of `warm`
/// and `cold` are those of the class, ranked among all items; of `cold_among_cold` the cold ones, ranked among cold
/// items.
struct Evaluation {
  MetricTable all;
  MetricTable warm;
  MetricTable cold;
  MetricTable cold_among_cold;
  std::int64_t users_without_training = 0;  ///< left out though they have held-out items
  std::int64_t users_without_held_out = 0;  ///< nothing to find
  index_t cold_items = 0;

  double at(std::string_view name) const { return all.at(name); }
};

namespace detail {

/// Means of the metrics over the users whose held-out items are not empty, summed in fixed pieces.
template <class HeldOut>
MetricTable mean_metrics(Context<Cpu>& context, MatrixView<const index_t> ranked, const std::vector<int>& cutoffs,
                         HeldOut&& held_out) {
  constexpr std::int64_t piece = 256;
  const std::size_t width = cutoffs.size() * RankingMetrics::count;
  const std::size_t pieces = static_cast<std::size_t>((ranked.rows + piece - 1) / piece);
  std::vector<double> sums(pieces * width);
  std::vector<std::int64_t> users(pieces);
  context.parallel_blocks(ranked.rows, piece, [&](std::int64_t begin, std::int64_t end) {
    const std::size_t p = static_cast<std::size_t>(begin / piece);
    std::vector<index_t> items;
    for (index_t r = static_cast<index_t>(begin); r < end; ++r) {
      held_out(r, items);
      if (items.empty()) continue;
      ++users[p];
      for (std::size_t c = 0; c < cutoffs.size(); ++c) {
        const std::span<const index_t> list(ranked.row(r), static_cast<std::size_t>(ranked.cols));
        const RankingMetrics m = ranking_metrics(list, items, cutoffs[c]);
        for (std::size_t v = 0; v < RankingMetrics::count; ++v)
          sums[p * width + c * RankingMetrics::count + v] += m.values[v];
      }
    }
  });
  MetricTable table;
  for (std::size_t p = 0; p < pieces; ++p) table.users += users[p];
  for (std::size_t c = 0; c < cutoffs.size(); ++c)
    for (std::size_t v = 0; v < RankingMetrics::count; ++v) {
      double sum = 0;
      for (std::size_t p = 0; p < pieces; ++p) sum += sums[p * width + c * RankingMetrics::count + v];
      table.values.emplace_back(concat(RankingMetrics::names[v], "@", cutoffs[c]),
                                table.users > 0 ? sum / static_cast<double>(table.users) : 0.0);
    }
  return table;
}

/// Who is evaluated on what, around rank(options, user rows, candidate items or none, ranked): the ranking of a
/// backend. All views are in host memory.
template <class T, class Rank>
Evaluation evaluate_ranking(Context<Cpu>& context, CsrView<T> train, CsrView<T> held_out,
                            const EvaluationOptions& options, Rank&& rank) {
  const index_t users = train.rows, items = train.cols;
  DREAM_EXPECT(!options.top_k.empty(), "evaluation: no k given");
  for (const int k : options.top_k)
    DREAM_EXPECT(k >= 1 && k <= items, "evaluation: k is ", k, " and there are ", items, " items");

  Evaluation result;
  std::vector<index_t> evaluated;
  for (index_t u = 0; u < users; ++u) {
    if (held_out.offsets[u] == held_out.offsets[u + 1]) {
      ++result.users_without_held_out;
    } else if (train.offsets[u] == train.offsets[u + 1]) {
      ++result.users_without_training;
    } else {
      evaluated.push_back(u);
    }
  }
  std::vector<std::uint8_t> warm(static_cast<std::size_t>(items), 0);
  for (std::int64_t e = 0; e < train.entries(); ++e) warm[static_cast<std::size_t>(train.indices[e])] = 1;
  std::vector<index_t> cold_items;
  for (index_t i = 0; i < items; ++i)
    if (warm[static_cast<std::size_t>(i)] == 0) cold_items.push_back(i);
  result.cold_items = static_cast<index_t>(cold_items.size());

  TopKOptions ranking = options.blocks;
  ranking.k = *std::max_element(options.top_k.begin(), options.top_k.end());
  const auto held_out_of = [&](std::span<const index_t> who, int item_class) {
    return [&held_out, &warm, who, item_class](index_t r, std::vector<index_t>& out) {
      const index_t u = who[static_cast<std::size_t>(r)];
      out.clear();
      for (std::int64_t e = held_out.offsets[u]; e < held_out.offsets[u + 1]; ++e) {
        const index_t item = held_out.indices[e];
        if (item_class < 0 || warm[static_cast<std::size_t>(item)] == item_class) out.push_back(item);
      }
      std::sort(out.begin(), out.end());
      out.erase(std::unique(out.begin(), out.end()), out.end());
    };
  };
  Matrix<index_t, Cpu> ranked(static_cast<index_t>(evaluated.size()), ranking.k);
  if (!evaluated.empty()) rank(ranking, std::span<const index_t>(evaluated), std::span<const index_t>(), ranked.view());
  result.all = detail::mean_metrics(context, ranked.view(), options.top_k, held_out_of(evaluated, -1));
  if (!options.warm_and_cold) return result;

  result.warm = detail::mean_metrics(context, ranked.view(), options.top_k, held_out_of(evaluated, 1));
  result.cold = detail::mean_metrics(context, ranked.view(), options.top_k, held_out_of(evaluated, 0));
  std::vector<index_t> with_cold;
  for (const index_t u : evaluated)
    for (std::int64_t e = held_out.offsets[u]; e < held_out.offsets[u + 1]; ++e)
      if (warm[static_cast<std::size_t>(held_out.indices[e])] == 0) {
        with_cold.push_back(u);
        break;
      }
  ranked.resize(static_cast<index_t>(with_cold.size()), ranking.k);
  if (!with_cold.empty())
    rank(ranking, std::span<const index_t>(with_cold), std::span<const index_t>(cold_items), ranked.view());
  result.cold_among_cold = detail::mean_metrics(context, ranked.view(), options.top_k, held_out_of(with_cold, 0));
  return result;
}

}  // namespace detail

/// Ranks all items for the users of `held_out` (users x items, the split's pairs) by user_vectors . item_vectors and
/// takes the metrics. `train` (users x items) says who is evaluated and which items are cold. Items in the user's row
/// of `masked` are left out of the ranking: pass `train` again, or train and valid together.
template <class T>
Evaluation evaluate(Context<Cpu>& context, MatrixView<const T> user_vectors, MatrixView<const T> item_vectors,
                    CsrView<T> train, CsrView<T> masked, CsrView<T> held_out, const EvaluationOptions& options = {}) {
  for (const CsrView<T>& m : {train, masked, held_out})
    DREAM_EXPECT(m.rows == user_vectors.rows && m.cols == item_vectors.rows, "evaluation: a matrix of interactions is ",
                 shape(m), ", vectors are ", shape(user_vectors), " and ", shape(item_vectors));
  return detail::evaluate_ranking<T>(context, train, held_out, options,
                                     [&](const TopKOptions& ranking, std::span<const index_t> user_rows,
                                         std::span<const index_t> candidates, MatrixView<index_t> ranked) {
                                       top_k<T>(context, user_vectors, item_vectors, masked, ranking, ranked, {},
                                                user_rows, candidates);
                                     });
}

/// The same with the training items masked.
template <class T>
Evaluation evaluate(Context<Cpu>& context, MatrixView<const T> user_vectors, MatrixView<const T> item_vectors,
                    CsrView<T> train, CsrView<T> held_out, const EvaluationOptions& options = {}) {
  return evaluate<T>(context, user_vectors, item_vectors, train, train, held_out, options);
}

/// The same with vectors and the matrix of masked items in the memory of a backend that runs kernels; `train` and
/// `held_out` are in host memory, where the metrics are taken.
template <class T, KernelBackend B>
Evaluation evaluate(Context<B>& context, Context<Cpu>& host, MatrixView<const T> user_vectors,
                    MatrixView<const T> item_vectors, CsrView<T> train, CsrView<T> masked, CsrView<T> held_out,
                    const EvaluationOptions& options = {}) {
  for (const CsrView<T>& m : {train, masked, held_out})
    DREAM_EXPECT(m.rows == user_vectors.rows && m.cols == item_vectors.rows, "evaluation: a matrix of interactions is ",
                 shape(m), ", vectors are ", shape(user_vectors), " and ", shape(item_vectors));
  return detail::evaluate_ranking<T>(
      host, train, held_out, options,
      [&](const TopKOptions& ranking, std::span<const index_t> user_rows, std::span<const index_t> candidates,
          MatrixView<index_t> ranked) {
        const Array<index_t, B> rows = upload<index_t>(context, user_rows);
        const Array<index_t, B> chosen = upload<index_t>(context, candidates);
        Matrix<index_t, B> indices(context, ranked.rows, ranking.k);
        top_k<T>(context, user_vectors, item_vectors, masked, indices.view(), {}, rows.view(), chosen.view());
        download<index_t>(context, indices.data(),
                          std::span<index_t>(ranked.data, static_cast<std::size_t>(ranked.size())));
      });
}

}  // namespace dream
