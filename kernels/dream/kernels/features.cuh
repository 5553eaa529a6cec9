// Rows of raw features as kernels read them, whatever they are stored in (core/feature_view.hpp).
//
//   GatherFeatures   y[k] = scale[rows[k]] * x[rows[k]]. No gradient: features that are trained are parameters.
//
// A unit of N values is one load of N sizeof(stored) bytes; the storage is the same for all threads, so that its branch
// costs no divergence. Bound by memory: 2 or 4 bytes read and 4 written a float.
#pragma once

#include <cstdint>
#include <type_traits>

#include <dream/core/feature_view.hpp>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>

namespace dream::kernels {

/// Whether every row begins at a place from which pack_width<T> values can be loaded at once.
template <class T>
DREAM_HOST_DEVICE bool takes_packs(const FeatureView<T>& m) {
  if (m.storage == FeatureStorage::full) return takes_packs(m.full());
  constexpr int width = pack_width<T>;
  return reinterpret_cast<std::uintptr_t>(m.data) % (width * sizeof(std::uint16_t)) == 0 &&
         (m.rows <= 1 || m.stride % width == 0);
}

/// N neighbouring features from (row, col) on; aligned to their stored size.
template <int N, class Thread, class T>
DREAM_HOST_DEVICE Pack<T, N> read_features(const Thread& th, const FeatureView<T>& m, std::int64_t row,
                                           std::int64_t col) {
  if (m.storage == FeatureStorage::full) return th.load_readonly(as_pack<N>(element(m.full(), row, col)));
  const Pack<std::uint16_t, N> bits = th.load_readonly(as_pack<N>(element(m.halves(), row, col)));
  Pack<T, N> values;
  DREAM_UNROLL
  for (int k = 0; k < N; ++k) values[k] = from_half<T>(m.storage, bits[k]);
  return values;
}

/// y[k] = scale[rows[k]] * x[rows[k]], NaN for a row that x does not have; for a part of a batch, hand over that part
/// of rows and of y.
template <class T>
struct GatherFeatures {
  static constexpr int threads = Sweep::threads;
  struct Params {
    FeatureView<T> x;
    const T* scale;                  ///< one a row of x; none: 1
    VectorView<const index_t> rows;  ///< without data: all, in order
    MatrixView<T> y;
  };
  struct Shared {};
  DREAM_HOST_DEVICE static Sweep sweep(const Params& p) {
    Sweep sweep = Sweep::by_rows(p.y);
    sweep.packs = sweep.packs && takes_packs(p.x);
    return sweep;
  }
  static int grid(const Params& p) { return sweep(p).template grid<T>(); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    sweep_elements<T>(th, sweep(p), [&]<int N>(std::int64_t k, std::int64_t col, Width<N>) {
      const std::int64_t wanted = p.rows.data == nullptr ? k : th.load_readonly(p.rows.data + k);
      const bool is_there = wanted >= 0 && wanted < p.x.rows;
      const std::int64_t row = is_there ? wanted : 0;
      Pack<T, N> values = read_features<N>(th, p.x, row, col);
      const T scale = !is_there ? row_not_there<T> : p.scale == nullptr ? T{1} : th.load_readonly(p.scale + row);
      DREAM_UNROLL
      for (int j = 0; j < N; ++j) values[j] *= scale;
      write<N>(th, element(p.y, k, col), values);
    });
  }
};

}  // namespace dream::kernels
