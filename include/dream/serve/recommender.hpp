// Lists for users whom training has not seen, from their items alone, and vectors for items that have only features.
//
// Training leaves a vector v_i an item. A user who has the items S gets
//   u = (V^T V + w (|V|_F^2 / d) I)^-1  sum_{i in S} v_i,
// the fold-in of regularised least squares with all other items as zeros (Hu et al., ICDM 2008, without their
// confidences). docs/fidelity.md has how w was chosen. An item with features gets the mean of the vectors of the items
// nearest in features, weighted by their cosines.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <dream/backend/algebra.hpp>
#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/backend/selection.hpp>
#include <dream/data/dataset.hpp>

namespace dream {

namespace detail {

/// The inverse of a symmetric positive definite matrix, d x d, by Gauss-Jordan elimination in place.
inline void invert(std::vector<double>& a, std::size_t d) {
  for (std::size_t k = 0; k < d; ++k) {
    const double pivot = std::exchange(a[k * d + k], 1.0);
    for (std::size_t j = 0; j < d; ++j) a[k * d + j] /= pivot;
    for (std::size_t i = 0; i < d; ++i) {
      if (i == k) continue;
      const double factor = std::exchange(a[i * d + k], 0.0);
      for (std::size_t j = 0; j < d; ++j) a[i * d + j] -= factor * a[k * d + j];
    }
  }
}

}  // namespace detail

inline namespace DREAM_INSTRUCTION_SET {

/// Serves one user at a time from item vectors. Calls of const members from several threads are safe.
template <class T>
class Recommender {
 public:
  /// items: the vectors, q x d, which are copied. `ridge`: w above. A vector that is not finite is an error.
  explicit Recommender(MatrixView<const T> items, double ridge = 10) : items_(items.rows), dim_(items.cols) {
    DREAM_EXPECT(items_ > 0 && dim_ > 0, "Recommender: item vectors are ", shape(items));
    DREAM_EXPECT(ridge > 0 && std::isfinite(ridge), "Recommender: ridge is ", ridge, ", expected above 0");
    const std::size_t d = static_cast<std::size_t>(dim_);
    fold_in_.assign(d * d, 0.0);
    packed_.assign(static_cast<std::size_t>(panels()) * static_cast<std::size_t>(panel) * d, T{0});
    for (index_t i = 0; i < items_; ++i) {
      const T* v = items.row(i);
      for (std::size_t j = 0; j < d; ++j) {
        DREAM_EXPECT(std::isfinite(v[j]), "Recommender: the vector of item ", i, " is not finite");
        packed_[place(i) + j * static_cast<std::size_t>(panel)] = v[j];
        for (std::size_t l = 0; l <= j; ++l)
          fold_in_[j * d + l] += static_cast<double>(v[j]) * static_cast<double>(v[l]);
      }
    }
    double trace = 0;
    for (std::size_t j = 0; j < d; ++j) trace += fold_in_[j * d + j];
    for (std::size_t j = 0; j < d; ++j) {
      for (std::size_t l = 0; l < j; ++l) fold_in_[l * d + j] = fold_in_[j * d + l];
      fold_in_[j * d + j] += trace > 0 ? ridge * trace / static_cast<double>(d) : 1.0;
    }
    detail::invert(fold_in_, d);
  }

  index_t item_count() const { return items_; }
  index_t dim() const { return dim_; }

  /// Writes the vector of a user who has the items of `history` (at least one; repeated ones count again) into `out`, d
  /// values. An item out of range is an error.
  void user_vector(std::span<const index_t> history, T* out) const {
    DREAM_EXPECT(!history.empty(), "Recommender: a user without items");
    const std::size_t d = static_cast<std::size_t>(dim_);
    std::vector<double> sum(d);
    for (const index_t item : history) {
      expect_item(item);
      for (std::size_t j = 0; j < d; ++j)
        sum[j] += static_cast<double>(packed_[place(item) + j * static_cast<std::size_t>(panel)]);
    }
    for (std::size_t j = 0; j < d; ++j) {
      double value = 0;
      for (std::size_t l = 0; l < d; ++l) value += fold_in_[j * d + l] * sum[l];
      out[j] = static_cast<T>(value);
    }
  }

  /// The at most k items of largest dot product with a user's vector (d values), best first, ties by smaller item
  /// number, without the items of `without` (in any order).
  std::vector<Scored<T>> recommend(const T* user, std::span<const index_t> without, index_t k) const {
    DREAM_EXPECT(k >= 1, "Recommender: k is ", k, ", expected at least 1");
    std::vector<T> scores(static_cast<std::size_t>(panels()) * static_cast<std::size_t>(panel));
    for (index_t p = 0; p < panels(); ++p)
      cpu::detail::gemm_tile_rows<T>(1, dim_, T{1}, {user, dim_, 1}, packed_.data() + place(p * panel), panel, T{0},
                                     scores.data() + std::int64_t{p} * panel, panel);
    for (const index_t item : without) {
      expect_item(item);
      scores[static_cast<std::size_t>(item)] = -std::numeric_limits<T>::infinity();
    }
    RowSelection<T> selection(1, std::min(k, items_));
    selection.offer_row(0, scores.data(), items_, 0);
    const index_t found = selection.finish(0);
    return {selection.selected(0), selection.selected(0) + found};
  }
  /// The same for a user whom training has not seen: from their items, without these.
  std::vector<Scored<T>> recommend(std::span<const index_t> history, index_t k) const {
    std::vector<T> user(static_cast<std::size_t>(dim_));
    user_vector(history, user.data());
    return recommend(user.data(), history, k);
  }

 private:
  static constexpr index_t panel = cpu::tile_cols<T>;

  index_t panels() const { return (items_ + panel - 1) / panel; }
  /// Where an item's first value stands; its values are `panel` apart.
  std::size_t place(index_t item) const {
    return static_cast<std::size_t>(item / panel) * static_cast<std::size_t>(panel) * static_cast<std::size_t>(dim_) +
           static_cast<std::size_t>(item % panel);
  }
  void expect_item(index_t item) const {
    DREAM_EXPECT(item >= 0 && item < items_, "Recommender: item ", item, " of ", items_);
  }

  index_t items_, dim_;
  std::vector<T> packed_;        // panels of items, in the order in which the product's tile reads them
  std::vector<double> fold_in_;  // d x d
};

}  // namespace DREAM_INSTRUCTION_SET

/// Gives vectors to the items that `placed` (q flags) does not mark and that have features: the mean of the vectors of
/// the `neighbours` placed items of largest mean cosine over the modalities that both have, weighted by it; only those
/// above 0 count. Returns these items, ascending. items: q x d.
template <class T>
std::vector<index_t> place_by_features(Context<Cpu>& context, const std::vector<Modality>& modalities,
                                       std::span<const std::uint8_t> placed, MatrixView<T> items,
                                       index_t neighbours = 10) {
  DREAM_EXPECT(placed.size() == static_cast<std::size_t>(items.rows), "place_by_features: ", placed.size(),
               " flags for ", items.rows, " items");
  for (const Modality& m : modalities)
    DREAM_EXPECT(m.rows == items.rows && static_cast<std::int64_t>(m.values.size()) == m.features().size(),
                 "place_by_features: features of ", m.name, " are of ", m.rows, " items, expected ", items.rows);
  const auto has = [](const Modality& m, index_t i) { return m.present[static_cast<std::size_t>(i)] != 0; };
  std::vector<index_t> wanted, done;
  for (index_t i = 0; i < items.rows; ++i)
    if (!placed[static_cast<std::size_t>(i)] &&
        std::any_of(modalities.begin(), modalities.end(), [&](const Modality& m) { return has(m, i); }))
      wanted.push_back(i);
  std::vector<Array<float, Cpu>> inverse;  // of the lengths of feature rows
  for (const Modality& m : modalities)
    inverse_row_norms<float>(context, m.features(), inverse.emplace_back(m.rows).view());
  constexpr index_t block = 256;
  Matrix<float, Cpu> rows, cosines;
  std::vector<std::uint8_t> found(block);
  for (std::size_t begin = 0; begin < wanted.size(); begin += block) {
    const index_t count = static_cast<index_t>(std::min<std::size_t>(block, wanted.size() - begin));
    const std::span<const index_t> these(wanted.data() + begin, static_cast<std::size_t>(count));
    Matrix<float, Cpu> sums(count, items.rows), shared(count, items.rows);
    sums.fill(0);
    shared.fill(0);
    for (std::size_t m = 0; m < modalities.size(); ++m) {
      const MatrixView<const float> features = modalities[m].features();
      rows.resize(count, features.cols);
      for (index_t r = 0; r < count; ++r)
        std::copy_n(features.row(these[static_cast<std::size_t>(r)]), features.cols, rows.view().row(r));
      cosines.resize(count, items.rows);
      gemm<float>(context, Op::none, Op::transpose, 1.0F, std::as_const(rows).view(), features, 0.0F, cosines.view());
      context.parallel_for(count, [&](std::int64_t r) {
        const index_t row = static_cast<index_t>(r), item = these[static_cast<std::size_t>(r)];
        for (index_t i = 0; i < items.rows; ++i) {
          if (!has(modalities[m], item) || !has(modalities[m], i)) continue;
          sums(row, i) += cosines(row, i) * inverse[m].data()[item] * inverse[m].data()[i];
          shared(row, i) += 1;
        }
      });
    }
    context.parallel_for(count, [&](std::int64_t r) {
      const index_t row = static_cast<index_t>(r);
      std::vector<Scored<float>> near;
      for (index_t i = 0; i < items.rows; ++i)
        if (placed[static_cast<std::size_t>(i)] && sums(row, i) > 0) near.push_back({sums(row, i) / shared(row, i), i});
      const auto kept = near.begin() + std::min<std::ptrdiff_t>(neighbours, std::ssize(near));
      std::partial_sort(near.begin(), kept, near.end(), ranks_before<float>);
      found[static_cast<std::size_t>(r)] = !near.empty();
      if (near.empty()) return;
      double total = 0;
      for (auto n = near.begin(); n != kept; ++n) total += static_cast<double>(n->value);
      T* const out = items.row(these[static_cast<std::size_t>(r)]);
      for (index_t j = 0; j < items.cols; ++j) {
        double mean = 0;
        for (auto n = near.begin(); n != kept; ++n)
          mean += static_cast<double>(n->value) / total * static_cast<double>(items(n->index, j));
        out[j] = static_cast<T>(mean);
      }
    });
    for (std::size_t r = 0; r < these.size(); ++r)
      if (found[r]) done.push_back(these[r]);
  }
  return done;
}

}  // namespace dream
