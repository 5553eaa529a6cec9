// Training batches for pairwise ranking: every training interaction once an epoch in random order, each with a negative
// drawn uniformly from the items that occur in training, redrawn while the user has it in training; for a user who has
// more than half of them, from those that are left (docs/components.md, 6).
//
// All draws are pure functions of (seed, epoch, place), so a sampler has no state but the epoch: batches can be made in
// any order, on any number of threads, and resumed anywhere.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <dream/backend/matrix.hpp>
#include <dream/core/permutation.hpp>
#include <dream/core/random.hpp>
#include <dream/data/dataset.hpp>
#include <dream/kernels/sampler.cuh>
#include <dream/models/model.hpp>

namespace dream {

/// The weights of pairs at their entries in the matrix of the pairs (columns ascending), scaled to the mean 1; none
/// where the pairs have none.
template <class T>
std::vector<float> entry_weights(CsrView<T> matrix, const Pairs& pairs) {
  std::vector<float> weights(pairs.weight.empty() ? 0 : static_cast<std::size_t>(matrix.entries()));
  double sum = 0;
  for (const float w : pairs.weight) sum += static_cast<double>(w);
  const double scale = static_cast<double>(pairs.weight.size()) / sum;
  for (std::size_t i = 0; i < pairs.weight.size(); ++i) {
    const index_t* const begin = matrix.indices + matrix.offsets[pairs.user[i]];
    const index_t* const end = matrix.indices + matrix.offsets[pairs.user[i] + 1];
    const index_t* const at = std::lower_bound(begin, end, pairs.item[i]);
    DREAM_EXPECT(at != end && *at == pairs.item[i], "weights: pair ", i, " is not in the matrix");
    weights[static_cast<std::size_t>(at - matrix.indices)] =
        static_cast<float>(static_cast<double>(pairs.weight[i]) * scale);
  }
  return weights;
}

/// Draws BPR batches on the host.
class PairSampler {
 public:
  /// `interactions` is R (n x q, columns ascending), which must outlive the sampler. Interactions of users who have
  /// every candidate item are left out, because no negative exists for them. `weights`: of the entries of R, or none.
  template <class T>
  PairSampler(CsrView<T> interactions, std::uint64_t seed, std::span<const float> weights = {}) : seed_(seed) {
    DREAM_EXPECT(weights.empty() || static_cast<std::int64_t>(weights.size()) == interactions.entries(),
                 "sampler: ", weights.size(), " weights for ", interactions.entries(), " interactions");
    rows_ = interactions.rows;
    offsets_ = interactions.offsets;
    indices_ = interactions.indices;
    std::vector<std::uint8_t> occurs(static_cast<std::size_t>(interactions.cols));
    for (std::int64_t e = 0; e < interactions.entries(); ++e) occurs[static_cast<std::size_t>(indices_[e])] = 1;
    for (index_t i = 0; i < interactions.cols; ++i)
      if (occurs[static_cast<std::size_t>(i)]) candidates_.push_back(i);
    users_.reserve(static_cast<std::size_t>(interactions.entries()));
    entries_.reserve(static_cast<std::size_t>(interactions.entries()));
    for (index_t u = 0; u < interactions.rows; ++u) {
      const std::int64_t degree = offsets_[u + 1] - offsets_[u];
      if (degree == static_cast<std::int64_t>(candidates_.size())) {
        users_without_negatives_ += degree > 0;
        continue;
      }
      for (std::int64_t e = offsets_[u]; e < offsets_[u + 1]; ++e) {
        users_.push_back(u);
        entries_.push_back(indices_[e]);
        if (!weights.empty()) weights_.push_back(weights[static_cast<std::size_t>(e)]);
      }
    }
    DREAM_EXPECT(!users_.empty(), "no negative can be drawn: there are ", interactions.entries(),
                 " training interactions on ", candidates_.size(), " items and every user has all of them");
  }

  /// Interactions an epoch.
  std::int64_t size() const { return static_cast<std::int64_t>(users_.size()); }
  std::int64_t batches(index_t batch_size) const { return (size() + batch_size - 1) / batch_size; }
  /// Users who have interacted with every item that occurs in training.
  std::int64_t users_without_negatives() const { return users_without_negatives_; }

  /// What batches are drawn from: every interaction's user and item, the items that negatives are drawn from, and the
  /// interactions themselves.
  std::span<const index_t> users() const { return users_; }
  std::span<const index_t> positives() const { return entries_; }
  std::span<const float> weights() const { return weights_; }  ///< of the interactions; empty: 1
  std::span<const index_t> candidates() const { return candidates_; }
  std::span<const std::int64_t> offsets() const { return {offsets_, static_cast<std::size_t>(rows_) + 1}; }
  std::span<const index_t> indices() const { return {indices_, static_cast<std::size_t>(offsets_[rows_])}; }
  std::uint64_t seed() const { return seed_; }

  /// Batch number `batch` of an epoch; the last one may be short. The views stay valid until the next call.
  Batch draw(Context<Cpu>& context, std::uint32_t epoch, std::int64_t batch, index_t batch_size) {
    const std::int64_t first = batch * batch_size, count = std::min<std::int64_t>(batch_size, size() - first);
    DREAM_EXPECT(batch >= 0 && count > 0, "batch ", batch, " of ", batches(batch_size));
    batch_users_.resize(count);
    batch_items_.resize(2 * count);
    if (!weights_.empty()) batch_weights_.resize(count);
    draw_range(context, epoch, first, count, batch_users_.data(), batch_items_.data(), batch_items_.data() + count,
               batch_weights_.data());
    return {batch_users_.view(), batch_items_.view(), static_cast<std::uint32_t>(epoch * batches(batch_size) + batch),
            nullptr, std::as_const(batch_weights_).view()};
  }

  /// Places first .. first + count - 1 of an epoch's order; `weights` is written where interactions have them.
  void draw_range(Context<Cpu>& context, std::uint32_t epoch, std::int64_t first, std::int64_t count, index_t* users,
                  index_t* positives, index_t* negatives, float* weights = nullptr) const {
    const auto order = FeistelPermutation::of(static_cast<std::uint64_t>(size()), {seed_, RandomUse::shuffle, epoch});
    const RandomStream random{seed_, RandomUse::negatives, epoch};
    context.parallel_blocks(count, 512, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t k = begin; k < end; ++k) {
        const std::uint64_t place = static_cast<std::uint64_t>(first + k);
        const std::size_t pick = static_cast<std::size_t>(order(place));
        users[k] = users_[pick];
        positives[k] = entries_[pick];
        negatives[k] = negative(random, place, users_[pick]);
        if (weights != nullptr) weights[k] = weights_[pick];
      }
    });
  }

 private:
  bool has(index_t user, index_t item) const {
    const index_t *begin = indices_ + offsets_[user], *end = indices_ + offsets_[user + 1];
    if (end - begin > 32) return std::binary_search(begin, end, item);
    bool found = false;
    for (const index_t* i = begin; i != end; ++i) found |= *i == item;
    return found;
  }

  index_t negative(const RandomStream& random, std::uint64_t place, index_t user) const {
    const std::uint64_t count = candidates_.size();
    const std::uint64_t degree = static_cast<std::uint64_t>(offsets_[user + 1] - offsets_[user]);
    if (degree <= count / 2)
      for (std::uint64_t attempt = 0; attempt < 32; ++attempt) {
        const RandomBlock block = random.block((attempt << 48) | place);
        for (const std::uint64_t bits : {block.low(), block.high()}) {
          const index_t item = candidates_[static_cast<std::size_t>(to_below(bits, count))];
          if (!has(user, item)) return item;
        }
      }
    // The r-th candidate that is left stands at r + (the user's items before it). Item t of the row has so many left
    // candidates before it as its place among the candidates exceeds t, which never falls along the row.
    const std::int64_t r = static_cast<std::int64_t>(random.below((std::uint64_t{32} << 48) | place, count - degree));
    const index_t *const row = indices_ + offsets_[user], *const end = indices_ + offsets_[user + 1];
    const index_t* const first_behind = std::partition_point(row, end, [&](const index_t& item) {
      return std::lower_bound(candidates_.begin(), candidates_.end(), item) - candidates_.begin() - (&item - row) <= r;
    });
    return candidates_[static_cast<std::size_t>(r + (first_behind - row))];
  }

  std::uint64_t seed_;
  index_t rows_ = 0;
  const std::int64_t* offsets_;
  const index_t* indices_;
  std::vector<index_t> users_, entries_, candidates_;
  std::vector<float> weights_;
  std::int64_t users_without_negatives_ = 0;
  Array<index_t, Cpu> batch_users_, batch_items_;
  Array<float, Cpu> batch_weights_;
};

/// Where the trainer takes its batches from: the sampler itself on the host.
template <class B>
class BatchSource;

template <>
class BatchSource<Cpu> {
 public:
  BatchSource(Context<Cpu>&, PairSampler& sampler) : sampler_(&sampler) {}
  Batch draw(Context<Cpu>& context, std::uint32_t epoch, std::int64_t batch, index_t batch_size) {
    return sampler_->draw(context, epoch, batch, batch_size);
  }

 private:
  PairSampler* sampler_;
};

/// Batches drawn by kernels, the same as the sampler's. What is next stands in device memory, so that a captured graph
/// draws another batch with every replay.
template <KernelBackend B>
class BatchSource<B> {
 public:
  BatchSource(Context<B>& context, const PairSampler& sampler)
      : users_(upload<index_t>(context, sampler.users())),
        positives_(upload<index_t>(context, sampler.positives())),
        candidates_(upload<index_t>(context, sampler.candidates())),
        offsets_(upload<std::int64_t>(context, sampler.offsets())),
        indices_(upload<index_t>(context, sampler.indices())),
        place_(context, 1),
        weights_(upload<float>(context, sampler.weights())),
        seed_(sampler.seed()) {}

  /// Makes this batch the one that next() draws.
  void seek(Context<B>& context, std::uint32_t epoch, std::int64_t batch, index_t batch_size) {
    DREAM_EXPECT(batch >= 0 && batch < batches(batch_size), "batch ", batch, " of ", batches(batch_size));
    if (batch_size == batch_size_ && next_epoch_ == epoch && next_ == batch) return;
    batch_size_ = batch_size;
    next_epoch_ = epoch;
    next_ = batch;
    const kernels::BatchPlace before{epoch, 0, batch - 1};  // next() moves on first
    upload<kernels::BatchPlace>(context, std::span(&before, 1), place_.data());
  }
  /// How many interactions the next batch has.
  index_t next_size() const {
    return static_cast<index_t>(std::min<std::int64_t>(batch_size_, users_.size() - next_ * batch_size_));
  }
  /// Draws it. The views stay valid until the next call.
  Batch next(Context<B>& context) {
    const index_t count = next_size();
    batch_users_.resize(context, count);
    batch_items_.resize(context, 2 * std::int64_t{count});
    launch<kernels::AdvanceBatch>(context, {place_.data(), batches(batch_size_)});
    kernels::DrawPairs::Params p{};
    p.source = {users_.view(), positives_.view(), candidates_.view(), offsets_.data(), indices_.data(), seed_};
    p.place = place_.data();
    p.batch_size = batch_size_;
    p.users = batch_users_.view();
    p.positives = {batch_items_.data(), count};
    p.negatives = {batch_items_.data() + count, count};
    launch<kernels::DrawPairs>(context, p);
    if (weights_.size() > 0) {
      batch_weights_.resize(context, count);
      launch<kernels::DrawWeights>(
          context, {std::as_const(weights_).view(), seed_, place_.data(), batch_size_, batch_weights_.view()});
    }
    const std::uint32_t step = static_cast<std::uint32_t>(next_epoch_ * batches(batch_size_) + next_);
    count_replay();
    return {batch_users_.view(), batch_items_.view(), step, &place_.data()->step, std::as_const(batch_weights_).view()};
  }
  /// To be called where a graph has drawn the next batch.
  void count_replay() {
    if (++next_ < batches(batch_size_)) return;
    next_ = 0;
    ++next_epoch_;
  }

 private:
  std::int64_t batches(index_t batch_size) const { return (users_.size() + batch_size - 1) / batch_size; }

  Array<index_t, B> users_, positives_, candidates_;
  Array<std::int64_t, B> offsets_;
  Array<index_t, B> indices_;
  Array<kernels::BatchPlace, B> place_;
  Array<index_t, B> batch_users_, batch_items_;
  Array<float, B> weights_, batch_weights_;
  std::uint64_t seed_;
  index_t batch_size_ = 0;
  std::uint32_t next_epoch_ = 0;
  std::int64_t next_ = -1;
};

}  // namespace dream
