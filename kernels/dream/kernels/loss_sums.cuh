// The losses of a training run, summed where they are: sums[t] += *terms[t] for every term of a step, and a watch for
// the first value that is not finite. So a step needs no number on the host, and can be replayed.
//
// One thread: some ten additions. Once a value is not finite, nothing is added any more, and the optimiser, which looks
// at the watch, changes no parameter.
#pragma once

#include <cmath>
#include <cstdint>

#include <dream/kernels/entry.cuh>

namespace dream::kernels {

/// What was seen of a run of steps.
struct LossWatch {
  std::int32_t bad_term;  ///< the first term that was not finite; -1: none
  std::int32_t bad_step;  ///< the step, from 0, in which it was
  std::int32_t steps;     ///< steps that were summed
  std::int32_t unused;
  double bad_value;
};

/// Adds one step's terms, of which there are at most 16.
template <class T>
struct AddLosses {
  static constexpr int threads = 1;
  static constexpr int most_terms = 16;
  struct Params {
    const T* terms[most_terms];
    int count;
    double* sums;
    LossWatch* watch;
  };
  struct Shared {};
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    using std::isfinite;
    LossWatch* const w = p.watch;
    if (th.load(&w->bad_term) >= 0) return;
    const std::int32_t step = th.load(&w->steps);
    for (int t = 0; t < p.count; ++t) {
      const double value = static_cast<double>(th.load(p.terms[t]));
      if (isfinite(value)) continue;
      th.store(&w->bad_step, step);
      th.store(&w->bad_value, value);
      th.store(&w->bad_term, t);
      return;
    }
    for (int t = 0; t < p.count; ++t)
      th.store(&p.sums[t], th.load(&p.sums[t]) + static_cast<double>(th.load(p.terms[t])));
    th.store(&w->steps, step + 1);
  }
};

}  // namespace dream::kernels
