// Training batches for pairwise ranking, drawn on the device: the same users, positives and negatives as PairSampler
// (dream/train/sampler.hpp) to the last one.
//
//   place = batch * batch_size + thread;   (user, positive) = interaction number permutation_epoch(place);
//   negative = the first of up to 64 uniform candidates that the user does not have; else, and at once for a user who
//   has more than half of the candidates, one drawn among all those that the user does not have.
//
// Everything is a pure function of (seed, epoch, place), and epoch and batch are read from device memory, where
// AdvanceBatch moves them on: a captured CUDA graph draws the next batch with every replay. The number of pairs is the
// host's to know, as it sizes all else in a step: a short last batch is launched by itself, with that count. A thread a
// pair; a row of interactions is searched by halving, and the one among those left is found by halving too. Counts of
// items take 32 bits: with 64 the kernel spills on sm_80.
//
// Floor: some 300 integer operations and 20 dependent reads a pair; the time is that of the reads' latency.
#pragma once

#include <cstdint>

#include <dream/core/permutation.hpp>
#include <dream/core/random.hpp>
#include <dream/core/view.hpp>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

/// Which batch is next, in device memory.
struct BatchPlace {
  std::uint32_t epoch;
  std::uint32_t step;  ///< epoch * batches + batch: the number of the training step, for other random streams
  std::int64_t batch;
};

/// What batches are drawn from.
struct PairSource {
  VectorView<const index_t> users;       ///< of every interaction of an epoch, in CSR order, without users who have all
  VectorView<const index_t> positives;   ///< its item
  VectorView<const index_t> candidates;  ///< items that occur, ascending: negatives are drawn from these
  const std::int64_t* offsets;           ///< of the users' interactions, columns ascending, all among the candidates
  const index_t* indices;
  std::uint64_t seed;
};

/// An epoch's order of interactions, whose keys a block shares.
struct EpochOrder {
  std::uint64_t key[FeistelPermutation::rounds];

  /// By all threads of the block, before the others.
  template <class Thread>
  DREAM_HOST_DEVICE void make(const Thread& th, std::uint64_t seed, std::uint32_t epoch) {
    const RandomStream shuffle{seed, RandomUse::shuffle, epoch};
    if (th.thread() < FeistelPermutation::rounds)
      key[th.thread()] = FeistelPermutation::round_key(shuffle, th.thread());
    th.sync();
  }
  /// Which of `size` interactions stands at a place.
  DREAM_HOST_DEVICE std::uint64_t at(std::int64_t place, std::int64_t size) const {
    FeistelPermutation order = FeistelPermutation::without_keys(static_cast<std::uint64_t>(size));
    DREAM_UNROLL
    for (int r = 0; r < FeistelPermutation::rounds; ++r) order.key[r] = key[r];
    return order(static_cast<std::uint64_t>(place));
  }
};

/// Draws the `users.size` pairs of the batch at `place`.
struct DrawPairs {
  static constexpr int threads = 128;
  struct Params {
    PairSource source;
    const BatchPlace* place;
    index_t batch_size;  ///< of whole batches: how far batches are apart
    VectorView<index_t> users;
    VectorView<index_t> positives;
    VectorView<index_t> negatives;  ///< places behind the end of the epoch get -1 in all three
  };
  using Shared = EpochOrder;
  static int grid(const Params& p) { return static_cast<int>((p.users.size + threads - 1) / threads); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const PairSource& source = p.source;
    const std::uint32_t epoch = th.load_readonly(&p.place->epoch);
    shared.make(th, source.seed, epoch);
    const std::int64_t k = std::int64_t{th.block()} * threads + th.thread();
    if (k >= p.users.size) return;
    const std::int64_t place = th.load_readonly(&p.place->batch) * p.batch_size + k;
    if (place >= source.users.size) {
      th.store(p.users.data + k, -1);
      th.store(p.positives.data + k, -1);
      th.store(p.negatives.data + k, -1);
      return;
    }
    const std::uint64_t pick = shared.at(place, source.users.size);
    const index_t user = th.load_readonly(source.users.data + pick);
    th.store(p.users.data + k, user);
    th.store(p.positives.data + k, th.load_readonly(source.positives.data + pick));
    const RandomStream random{source.seed, RandomUse::negatives, epoch};
    th.store(p.negatives.data + k, negative(th, source, random, static_cast<std::uint64_t>(place), user));
  }

 private:
  /// How many of `count` ascending values are below `value`.
  template <class Thread>
  DREAM_HOST_DEVICE static index_t below(const Thread& th, const index_t* values, index_t count, index_t value) {
    index_t begin = 0;
    for (index_t end = count; begin < end;) {
      const index_t middle = begin + (end - begin) / 2;
      if (th.load_readonly(values + middle) < value)
        begin = middle + 1;
      else
        end = middle;
    }
    return begin;
  }

  template <class Thread>
  DREAM_HOST_DEVICE static index_t negative(const Thread& th, const PairSource& source, const RandomStream& random,
                                            std::uint64_t place, index_t user) {
    const std::int64_t first = th.load_readonly(source.offsets + user);
    const index_t degree = static_cast<index_t>(th.load_readonly(source.offsets + user + 1) - first);
    const index_t* row = source.indices + first;
    const index_t count = static_cast<index_t>(source.candidates.size);
    const int attempts = degree <= count / 2 ? 32 : 0;
    for (int attempt = 0; attempt < attempts; ++attempt) {
      const RandomBlock block = random.block((static_cast<std::uint64_t>(attempt) << 48) | place);
      for (int half = 0; half < 2; ++half) {
        const std::uint64_t bits = half == 0 ? block.low() : block.high();
        const index_t item =
            th.load_readonly(source.candidates.data + to_below(bits, static_cast<std::uint64_t>(count)));
        const index_t at = below(th, row, degree, item);
        if (at == degree || th.load_readonly(row + at) != item) return item;
      }
    }
    // The r-th candidate that is left stands at r + (the user's items before it). Item t of the row has so many left
    // candidates before it as its place among the candidates exceeds t, which never falls along the row.
    const std::uint64_t left = static_cast<std::uint64_t>(count - degree);
    const index_t r = static_cast<index_t>(random.below((std::uint64_t{32} << 48) | place, left));
    index_t begin = 0;
    for (index_t end = degree; begin < end;) {
      const index_t t = begin + (end - begin) / 2;
      const index_t item = th.load_readonly(row + t);
      if (below(th, source.candidates.data, count, item) - t <= r)
        begin = t + 1;
      else
        end = t;
    }
    return th.load_readonly(source.candidates.data + r + begin);
  }
};

/// The weights of the pairs that DrawPairs draws, for interactions that have them; behind the end of the epoch 0.
struct DrawWeights {
  static constexpr int threads = 128;
  struct Params {
    VectorView<const float> weights;  ///< of every interaction of an epoch, as PairSource::users
    std::uint64_t seed;
    const BatchPlace* place;
    index_t batch_size;
    VectorView<float> out;
  };
  using Shared = EpochOrder;
  static int grid(const Params& p) { return static_cast<int>((p.out.size + threads - 1) / threads); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    shared.make(th, p.seed, th.load_readonly(&p.place->epoch));
    const std::int64_t k = std::int64_t{th.block()} * threads + th.thread();
    if (k >= p.out.size) return;
    const std::int64_t place = th.load_readonly(&p.place->batch) * p.batch_size + k;
    const bool there = place < p.weights.size;
    th.store(p.out.data + k, there ? th.load_readonly(p.weights.data + shared.at(place, p.weights.size)) : 0.0F);
  }
};

/// Moves on to the next batch; one thread.
struct AdvanceBatch {
  static constexpr int threads = 1;
  struct Params {
    BatchPlace* place;
    std::int64_t batches;  ///< an epoch
  };
  struct Shared {};
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    std::int64_t batch = th.load(&p.place->batch) + 1;
    std::uint32_t epoch = th.load(&p.place->epoch);
    if (batch >= p.batches) {
      batch = 0;
      ++epoch;
    }
    th.store(&p.place->batch, batch);
    th.store(&p.place->epoch, epoch);
    // Of the sum, what a whole 64-bit sum has in its low half.
    th.store(&p.place->step, static_cast<std::uint32_t>(epoch * static_cast<std::uint64_t>(p.batches) +
                                                        static_cast<std::uint64_t>(batch)));
  }
};

}  // namespace dream::kernels
