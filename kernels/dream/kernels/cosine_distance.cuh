// Intra-alignment, reading `pairs`: L = 1 - (1/b) sum_a x_a . y_a on rows of length 1 (or 0). The sum is dot_products
// (dot_products.cuh); the gradients are those of the row normalisation, dx_a = -y_a / b before it.
#pragma once

#include <dream/core/view.hpp>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

/// loss = 1 - *sum / rows. One thread.
template <class T>
struct OneMinusMean {
  static constexpr int threads = 1;
  struct Params {
    const double* sum;
    index_t rows;
    T* loss;
  };
  struct Shared {};
  static int grid(const Params&) { return 1; }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    th.store(p.loss, static_cast<T>(1 - th.load_readonly(p.sum) / p.rows));
  }
};

}  // namespace dream::kernels
