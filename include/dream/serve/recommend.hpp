// Recommendations for users: the k best items that they do not have yet, as a table of original ids.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <dream/backend/matrix.hpp>
#include <dream/core/file.hpp>
#include <dream/data/dataset.hpp>
#include <dream/eval/top_k.hpp>

namespace dream {

namespace detail {

/// rank(piece of users, items, scores) fills both, a row a user; each(user, ranked) takes them.
template <class T, class Rank, class Each>
void recommend_in_pieces(index_t item_count, std::span<const index_t> users, index_t k, Rank&& rank, Each&& each) {
  DREAM_EXPECT(k >= 1 && k <= item_count, "recommend: k is ", k, ", but there are ", item_count, " items");
  // Long lists are made for fewer users at a time: those of a piece fill 64 MiB at most.
  const std::size_t list = static_cast<std::size_t>(k) * (sizeof(index_t) + sizeof(T));
  const std::size_t block = std::clamp<std::size_t>((std::size_t{64} << 20) / list, 1, 16384);
  Matrix<index_t, Cpu> items;
  Matrix<T, Cpu> scores;
  std::vector<Scored<T>> ranked;
  for (std::size_t begin = 0; begin < users.size(); begin += block) {
    const std::span<const index_t> piece = users.subspan(begin, std::min(block, users.size() - begin));
    items.resize(static_cast<index_t>(piece.size()), k);
    scores.resize(static_cast<index_t>(piece.size()), k);
    rank(piece, items.view(), scores.view());
    for (index_t r = 0; r < items.rows(); ++r) {
      ranked.clear();
      for (index_t c = 0; c < k && items(r, c) >= 0; ++c) ranked.push_back({scores(r, c), items(r, c)});
      each(piece[static_cast<std::size_t>(r)], std::span<const Scored<T>>(ranked));
    }
  }
}

}  // namespace detail

/// Calls each(user, ranked) for the given users (rows of user_vectors), in order: `ranked` holds the at most k best
/// items by dot product, best first, ties by smaller item number, without those in the user's row of `seen`.
/// `candidates`: ascending item numbers to choose from; empty means all.
template <class T, class Each>
void recommend(Context<Cpu>& context, MatrixView<const T> user_vectors, MatrixView<const T> item_vectors,
               CsrView<T> seen, std::span<const index_t> users, index_t k, Each&& each,
               std::span<const index_t> candidates = {}) {
  detail::recommend_in_pieces<T>(
      item_vectors.rows, users, k,
      [&](std::span<const index_t> piece, MatrixView<index_t> items, MatrixView<T> scores) {
        top_k<T>(context, user_vectors, item_vectors, seen, {.k = k}, items, scores, piece, candidates);
      },
      each);
}

/// The same by kernels: vectors and `seen` are in the backend's memory.
template <class T, KernelBackend B, class Each>
void recommend(Context<B>& context, MatrixView<const T> user_vectors, MatrixView<const T> item_vectors, CsrView<T> seen,
               std::span<const index_t> users, index_t k, Each&& each, std::span<const index_t> candidates = {}) {
  const Array<index_t, B> chosen = upload<index_t>(context, candidates);
  Matrix<index_t, B> best;
  Matrix<T, B> best_scores;
  detail::recommend_in_pieces<T>(
      item_vectors.rows, users, k,
      [&](std::span<const index_t> piece, MatrixView<index_t> items, MatrixView<T> scores) {
        const Array<index_t, B> rows = upload<index_t>(context, piece);
        best.resize(context, items.rows, k);
        best_scores.resize(context, items.rows, k);
        top_k<T>(context, user_vectors, item_vectors, seen, best.view(), best_scores.view(), rows.view(),
                 chosen.view());
        download<index_t>(context, best.data(), std::span(items.data, static_cast<std::size_t>(items.size())));
        download<T>(context, best_scores.data(), std::span(scores.data, static_cast<std::size_t>(scores.size())));
      },
      each);
}

/// The items that training interactions have placed, and with `by_features` also those that have features of a
/// modality, ascending: what can be recommended by its vector. The others' vectors are as chance began them.
inline std::vector<index_t> placed_items(const Dataset& data, bool by_features) {
  std::vector<std::uint8_t> placed(static_cast<std::size_t>(data.item_count()), 0);
  for (const index_t item : data.train.item) placed[static_cast<std::size_t>(item)] = 1;
  if (by_features)
    for (const Modality& modality : data.modalities)
      for (std::size_t i = 0; i < placed.size(); ++i) placed[i] |= modality.present[i];
  std::vector<index_t> items;
  for (index_t i = 0; i < data.item_count(); ++i)
    if (placed[static_cast<std::size_t>(i)]) items.push_back(i);
  return items;
}

/// Users without a training interaction, and what they get in place of items by vectors that only chance has placed:
/// the items with most training interactions.
class UnknownUsers {
 public:
  explicit UnknownUsers(const Dataset& data)
      : UnknownUsers(data, std::vector<std::uint8_t>(static_cast<std::size_t>(data.user_count()), 1)) {
    for (const index_t user : data.train.user) unknown_[static_cast<std::size_t>(user)] = 0;
  }
  /// The users with flag 1, whoever they are.
  UnknownUsers(const Dataset& data, std::vector<std::uint8_t> unknown) : unknown_(std::move(unknown)) {
    std::vector<index_t> count(static_cast<std::size_t>(data.item_count()), 0);
    for (const index_t item : data.train.item) ++count[static_cast<std::size_t>(item)];
    for (index_t i = 0; i < data.item_count(); ++i)
      if (const index_t n = count[static_cast<std::size_t>(i)]; n > 0) popular_.push_back({static_cast<double>(n), i});
    std::sort(popular_.begin(), popular_.end(), ranks_before<double>);
  }

  bool contains(index_t user) const { return unknown_[static_cast<std::size_t>(user)] != 0; }
  /// The at most k items with most training interactions, ties by smaller item number, without those in the user's row
  /// of `seen`, which is in host memory. Values are the numbers of interactions. `candidates`: as in recommend().
  template <class T>
  std::vector<Scored<double>> popular(CsrView<T> seen, index_t user, index_t k,
                                      std::span<const index_t> candidates = {}) const {
    const index_t *const begin = seen.indices + seen.offsets[user], *const end = seen.indices + seen.offsets[user + 1];
    std::vector<Scored<double>> list;
    for (const Scored<double>& item : popular_) {
      if (static_cast<index_t>(list.size()) == k) break;
      if (!candidates.empty() && !std::binary_search(candidates.begin(), candidates.end(), item.index)) continue;
      if (!std::binary_search(begin, end, item.index)) list.push_back(item);
    }
    return list;
  }

 private:
  std::vector<std::uint8_t> unknown_;
  std::vector<Scored<double>> popular_;
};

/// Who gets what in write_recommendations, beside the users' items by score.
template <class T>
struct ServingRules {
  std::vector<index_t> candidates;        ///< ascending; empty: all items
  const UnknownUsers* unknown = nullptr;  ///< these get popular items, their scores numbers of interactions
  CsrView<T> seen{};                      ///< in host memory, for `unknown`
  const char* header = "user\titem\trank\tscore";
};

/// Writes the recommendations as lines `user TAB item TAB rank TAB score` under the header, ranks from 1; the file
/// appears whole or not at all.
template <class T, class B>
void write_recommendations(Context<B>& context, const std::string& path, MatrixView<const T> user_vectors,
                           MatrixView<const T> item_vectors, CsrView<T> seen, std::span<const index_t> users, index_t k,
                           const IdMap& user_ids, const IdMap& item_ids, const ServingRules<T>& rules = {}) {
  AtomicFile file(path);
  file.write(concat(rules.header, '\n'));
  const auto write_list = [&](index_t user, const auto& ranked) {
    const std::string name = user_ids.name(user);
    for (std::size_t r = 0; r < ranked.size(); ++r) {
      char score[64];
      const auto end = std::to_chars(score, score + sizeof score, ranked[r].value).ptr;
      file.write(concat(name, '\t', item_ids.name(ranked[r].index), '\t', r + 1, '\t',
                        std::string_view(score, static_cast<std::size_t>(end - score)), '\n'));
    }
  };
  recommend<T>(
      context, user_vectors, item_vectors, seen, users, k,
      [&](index_t user, std::span<const Scored<T>> ranked) {
        if (rules.unknown != nullptr && rules.unknown->contains(user))
          write_list(user, rules.unknown->popular(rules.seen, user, k, rules.candidates));
        else
          write_list(user, ranked);
      },
      rules.candidates);
  file.commit();
}

}  // namespace dream
