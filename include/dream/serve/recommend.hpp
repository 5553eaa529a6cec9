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
  constexpr std::size_t block = 16384;
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
template <class T, class Each>
void recommend(Context<Cpu>& context, MatrixView<const T> user_vectors, MatrixView<const T> item_vectors,
               CsrView<T> seen, std::span<const index_t> users, index_t k, Each&& each) {
  detail::recommend_in_pieces<T>(
      item_vectors.rows, users, k,
      [&](std::span<const index_t> piece, MatrixView<index_t> items, MatrixView<T> scores) {
        top_k<T>(context, user_vectors, item_vectors, seen, {.k = k}, items, scores, piece);
      },
      each);
}

/// The same by kernels: vectors and `seen` are in the backend's memory.
template <class T, KernelBackend B, class Each>
void recommend(Context<B>& context, MatrixView<const T> user_vectors, MatrixView<const T> item_vectors, CsrView<T> seen,
               std::span<const index_t> users, index_t k, Each&& each) {
  Matrix<index_t, B> best;
  Matrix<T, B> best_scores;
  detail::recommend_in_pieces<T>(
      item_vectors.rows, users, k,
      [&](std::span<const index_t> piece, MatrixView<index_t> items, MatrixView<T> scores) {
        const Array<index_t, B> rows = upload<index_t>(context, piece);
        best.resize(context, items.rows, k);
        best_scores.resize(context, items.rows, k);
        top_k<T>(context, user_vectors, item_vectors, seen, best.view(), best_scores.view(), rows.view());
        download<index_t>(context, best.data(), std::span(items.data, static_cast<std::size_t>(items.size())));
        download<T>(context, best_scores.data(), std::span(scores.data, static_cast<std::size_t>(scores.size())));
      },
      each);
}

/// Writes the recommendations as lines `user TAB item TAB rank TAB score` under that header, ranks from 1; the file
/// appears whole or not at all.
template <class T, class B>
void write_recommendations(Context<B>& context, const std::string& path, MatrixView<const T> user_vectors,
                           MatrixView<const T> item_vectors, CsrView<T> seen, std::span<const index_t> users, index_t k,
                           const IdMap& user_ids, const IdMap& item_ids) {
  AtomicFile file(path);
  file.write("user\titem\trank\tscore\n");
  recommend<T>(context, user_vectors, item_vectors, seen, users, k,
               [&](index_t user, std::span<const Scored<T>> ranked) {
                 const std::string name = user_ids.name(user);
                 for (std::size_t r = 0; r < ranked.size(); ++r) {
                   char score[64];
                   const auto end = std::to_chars(score, score + sizeof score, ranked[r].value).ptr;
                   file.write(concat(name, '\t', item_ids.name(ranked[r].index), '\t', r + 1, '\t',
                                     std::string_view(score, static_cast<std::size_t>(end - score)), '\n'));
                 }
               });
  file.commit();
}

}  // namespace dream
