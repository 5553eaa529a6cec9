// Full-ranking evaluation: every user's held-out items against a ranking of all items (docs/components.md, 6), for all
// items and for warm and cold items apart. An item is cold when it has no training interaction.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <dream/backend/matrix.hpp>
#include <dream/eval/metrics.hpp>
#include <dream/eval/ranked_lists.hpp>
#include <dream/eval/top_k.hpp>

namespace dream {

struct EvaluationOptions {
  std::vector<int> top_k{10, 20};
  bool warm_and_cold = true;  ///< also the reports by class of item; costs a second ranking where there are cold items
  bool keep_lists = false;    ///< also the users' ranked lists
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
  std::vector<index_t> users;    ///< with keep_lists: who was evaluated, ascending
  Matrix<index_t, Cpu> lists{};  ///< with keep_lists: their lists among all items, as deep as the largest k, -1: none

  double at(std::string_view name) const { return all.at(name); }
};

namespace detail {

/// Who is evaluated on what. lists.rank(options, users, candidate items or none) makes the users' ranked lists, none of
/// no users; lists.ranked() copies them to the host; lists.means(1 for every warm item, class) takes the metrics of the
/// last such lists against the held-out items of the class. All views are in host memory.
template <class T, class Lists>
Evaluation evaluate_ranking(CsrView<T> train, CsrView<T> held_out, const EvaluationOptions& options, Lists&& lists) {
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
  lists.rank(ranking, evaluated, {});
  result.all = lists.means(warm, ItemClass::all);
  if (options.keep_lists) {
    result.users = evaluated;
    result.lists = lists.ranked();
  }
  if (!options.warm_and_cold) return result;

  result.warm = lists.means(warm, ItemClass::warm);
  result.cold = lists.means(warm, ItemClass::cold);
  std::vector<index_t> with_cold;
  for (const index_t u : evaluated)
    for (std::int64_t e = held_out.offsets[u]; e < held_out.offsets[u + 1]; ++e)
      if (warm[static_cast<std::size_t>(held_out.indices[e])] == 0) {
        with_cold.push_back(u);
        break;
      }
  lists.rank(ranking, with_cold, cold_items);
  result.cold_among_cold = lists.means(warm, ItemClass::cold);
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
  return detail::evaluate_ranking<T>(
      train, held_out, options,
      detail::HostLists<T>(context, user_vectors, item_vectors, masked, held_out, options.top_k));
}

/// The same with the training items masked.
template <class T>
Evaluation evaluate(Context<Cpu>& context, MatrixView<const T> user_vectors, MatrixView<const T> item_vectors,
                    CsrView<T> train, CsrView<T> held_out, const EvaluationOptions& options = {}) {
  return evaluate<T>(context, user_vectors, item_vectors, train, train, held_out, options);
}

/// The same with vectors and the matrix of masked items in the memory of a backend that runs kernels, which ranks and
/// takes the metrics; `train` and `held_out` are in host memory.
template <class T, KernelBackend B>
Evaluation evaluate(Context<B>& context, Context<Cpu>& host, MatrixView<const T> user_vectors,
                    MatrixView<const T> item_vectors, CsrView<T> train, CsrView<T> masked, CsrView<T> held_out,
                    const EvaluationOptions& options = {}) {
  for (const CsrView<T>& m : {train, masked, held_out})
    DREAM_EXPECT(m.rows == user_vectors.rows && m.cols == item_vectors.rows, "evaluation: a matrix of interactions is ",
                 shape(m), ", vectors are ", shape(user_vectors), " and ", shape(item_vectors));
  return detail::evaluate_ranking<T>(
      train, held_out, options,
      detail::KernelLists<T, B>(context, host, user_vectors, item_vectors, masked, held_out, options.top_k));
}

}  // namespace dream
