// Rows divided by their norms.
//
//   forward    n = 1 / |x|,  y = n x;  zero rows stay zero (n = 0)
//              rows with a value that is not finite get n = 0, y = 0 x
//   backward   dx = alpha [*scale] n (dy - y (y . dy)) + beta dx
//
// Squares are summed in double. Where their sum leaves the range in which that is safe, the row is divided by its
// largest magnitude first, so that every finite row comes out exact to rounding; n is at most the largest number.
//
// A team of threads a row (row_team.cuh). The second look at a row finds it in the L1 cache, so memory moves 8 bytes a
// float forward, 12 backward. Forward takes a conversion and a product in double a float: a fifth of that time on an
// H100. A row's root and quotient are of T.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <dream/core/view.hpp>
#include <dream/kernels/collectives.cuh>
#include <dream/kernels/elementwise.cuh>
#include <dream/kernels/entry.cuh>
#include <dream/kernels/row_team.cuh>
#include <dream/kernels/shapes.cuh>

namespace dream::kernels {

/// The largest finite number. A variable, since device code may not call std::numeric_limits.
template <class T>
inline constexpr T largest_number = std::numeric_limits<T>::max();

/// Bounds of a sum of squares within which 1 / sqrt(sum) needs no care in T.
template <class T>
inline constexpr double least_safe_square =
    std::is_same_v<T, float> ? 1e-36 : std::numeric_limits<double>::min() / std::numeric_limits<double>::epsilon();
template <class T>
inline constexpr double most_safe_square = std::is_same_v<T, float> ? 1e36 : std::numeric_limits<double>::max();

/// The larger of two numbers of which neither is NaN.
struct LargerNumber {
  static constexpr bool symmetric = true;  // of magnitudes
  template <class T>
  DREAM_HOST_DEVICE static T identity(const T&) {
    return T{0};
  }
  template <class T>
  DREAM_HOST_DEVICE T operator()(const T& a, const T& b) const {
    return a > b ? a : b;
  }
};

/// inverse = 1 / |row of x|; y = x * inverse where y is wanted (y may be x).
template <class T, bool Wide = false>
struct NormaliseRows {
  static constexpr int threads = team_threads;
  struct Params {
    MatrixView<const T> x;
    MatrixView<T> y;  ///< no data: not wanted
    VectorView<T> inverse;
  };
  struct Shared {
    TeamScratch<double, Wide> sums;
  };
  static int grid(const Params& p) { return RowTeam<T, Wide>::grid(p.x.rows, p.x.cols); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    using std::sqrt;
    const RowTeam<T, Wide> team(th, p.x.cols);
    const bool packs_x = takes_packs(p.x), packs_y = takes_packs(p.y);
    team.for_each_row(th, p.x.rows, [&](index_t i, bool there) {
      const T* x = p.x.row(i);
      double sum = 0;
      if (there)
        team.for_each_value(th, x, packs_x, [&](T v) { sum += static_cast<double>(v) * static_cast<double>(v); });
      sum = team.sum(th, sum, shared.sums);
      const bool safe = sum >= least_safe_square<T> && sum <= most_safe_square<T>;
      Norm norm{safe ? T{1} / sqrt(static_cast<T>(sum)) : T{0}, T{0}, 0};
      if (team.any_near(th, !safe)) {
        const Norm careful = careful_norm(th, team, x, there, packs_x, shared);
        if (!safe) norm = careful;
      }
      if (!there) return;
      if (team.rank == 0) th.store(p.inverse.data + i, norm.inverse);
      if (p.y.data == nullptr) return;
      team.for_each_unit([&](std::int64_t col) {
        auto unit = team.read(th, x, col, packs_x);
        DREAM_UNROLL
        for (int k = 0; k < team.width; ++k) unit[k] = norm.unit(unit[k]);
        team.write(th, p.y.row(i), col, unit, T{0}, packs_y);
      });
    });
  }

 private:
  /// x / |x| = x * inverse, or x / largest * scale where scale is not 0.
  struct Norm {
    T inverse, largest;
    double scale;

    DREAM_HOST_DEVICE T unit(T x) const {
      return scale == 0 ? x * inverse : static_cast<T>(static_cast<double>(x) / static_cast<double>(largest) * scale);
    }
  };

  template <class Thread>
  DREAM_HOST_DEVICE static Norm careful_norm(const Thread& th, const RowTeam<T, Wide>& team, const T* x, bool there,
                                             bool packs, Shared& shared) {
    using std::abs;
    using std::sqrt;
    double most = 0;
    if (there)
      team.for_each_value(th, x, packs, [&](T v) { most = LargerNumber{}(static_cast<double>(abs(v)), most); });
    most = team.reduce(th, most, LargerNumber{}, shared.sums);
    double sum = 0;
    if (there && most > 0)
      team.for_each_value(th, x, packs, [&](T v) {
        const double share = static_cast<double>(v) / most;
        sum += share * share;
      });
    sum = team.sum(th, sum, shared.sums);
    if (!(sum > 0)) return {T{0}, T{0}, 0};  // zeros, or a value that is not finite
    const double scale = 1 / sqrt(sum), inverse = scale / most;
    constexpr double limit = static_cast<double>(largest_number<T>);
    return {static_cast<T>(inverse < limit ? inverse : limit), static_cast<T>(most), scale};
  }
};

/// dx = alpha [*scale] inverse (dy - y (y . dy)) + beta dx. dx may be dy.
template <class T, bool Wide = false>
struct NormaliseRowsBackward {
  static constexpr int threads = team_threads;
  struct Params {
    T alpha;
    const T* scale;  ///< in device memory; none: 1
    MatrixView<const T> y;
    VectorView<const T> inverse;
    MatrixView<const T> dy;
    T beta;
    MatrixView<T> dx;
  };
  struct Shared {
    TeamScratch<T, Wide> sums;
  };
  static int grid(const Params& p) { return RowTeam<T, Wide>::grid(p.y.rows, p.y.cols); }

  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared& shared) const {
    const RowTeam<T, Wide> team(th, p.y.cols);
    const bool packs_in = takes_packs(p.y) && takes_packs(p.dy), packs_out = takes_packs(p.dx);
    const T alpha = scaled(th, p.alpha, p.scale);
    team.for_each_row(th, p.y.rows, [&](index_t i, bool there) {
      const T *y = p.y.row(i), *dy = p.dy.row(i);
      T along = 0;
      if (there)
        team.for_each_unit([&](std::int64_t col) {
          const auto a = team.read(th, y, col, packs_in), b = team.read(th, dy, col, packs_in);
          DREAM_UNROLL
          for (int k = 0; k < team.width; ++k) along += a[k] * b[k];
        });
      along = team.sum(th, along, shared.sums);
      if (!there) return;
      constexpr T most = largest_number<T>;
      const T found = alpha * th.load_readonly(p.inverse.data + i);
      const T factor = found > most ? most : found < -most ? -most : found;  // infinite, it would turn zeros into NaN
      team.for_each_unit([&](std::int64_t col) {
        const auto a = team.read(th, y, col, packs_in);
        auto b = team.read(th, dy, col, packs_in);
        DREAM_UNROLL
        for (int k = 0; k < team.width; ++k) b[k] = factor * (b[k] - a[k] * along);
        team.write(th, p.dx.row(i), col, b, p.beta, packs_out);
      });
    });
  }
};

/// y = x with every row divided by its norm, the inverse norms in `inverse`. y without data: only those.
template <class T>
struct NormaliseRowsArguments {
  MatrixView<const T> x;
  MatrixView<T> y;
  VectorView<T> inverse;
};
template <class Context, class T>
void normalise_rows(Context& context, const NormaliseRowsArguments<T>& a) {
  expect_shape_if_given("normalise_rows, Y", a.y, a.x.rows, a.x.cols);
  expect_size("normalise_rows, the inverse norms", a.inverse, a.x.rows);
  by_width(a.x.cols, [&]<bool Wide>(std::bool_constant<Wide>) {
    launch<NormaliseRows<T, Wide>>(context, {a.x, a.y, a.inverse});
  });
}
/// inverse = 1 / |row of x|, 0 for a zero row and for one with a value that is not finite.
template <class Context, class T>
void inverse_row_norms(Context& context, MatrixView<const T> x, VectorView<T> inverse) {
  normalise_rows(context, NormaliseRowsArguments<T>{x, {}, inverse});
}

/// dx = alpha [*scale] inverse (dy - y (y . dy)) + beta dx, from what normalise_rows gave.
template <class T>
struct NormaliseRowsBackwardArguments {
  T alpha;
  const T* scale;  ///< in device memory; none: 1
  MatrixView<const T> y;
  VectorView<const T> inverse;
  MatrixView<const T> dy;
  T beta;
  MatrixView<T> dx;
};
template <class Context, class T>
void normalise_rows_backward(Context& context, const NormaliseRowsBackwardArguments<T>& a) {
  expect_shape("normalise_rows, dY", a.dy, a.y.rows, a.y.cols);
  expect_shape("normalise_rows, dX", a.dx, a.y.rows, a.y.cols);
  expect_size("normalise_rows, the inverse norms", a.inverse, a.y.rows);
  by_width(a.y.cols, [&]<bool Wide>(std::bool_constant<Wide>) {
    launch<NormaliseRowsBackward<T, Wide>>(context, {a.alpha, a.scale, a.y, a.inverse, a.dy, a.beta, a.dx});
  });
}

}  // namespace dream::kernels
