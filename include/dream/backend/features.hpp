// Raw features on a backend, stored in full or in 16 bits (docs/components.md, 2).
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include <dream/backend/matrix.hpp>
#include <dream/core/feature_view.hpp>
#include <dream/kernels/features.cuh>

namespace dream {

/// A matrix of features in the memory of backend B.
template <class T, class B>
class Features {
 public:
  Features() = default;
  /// Stored in full.
  Features(Matrix<T, B>&& values) : rows_(values.rows()), cols_(values.cols()), full_(std::move(values)) {}
  /// From bits that are there already.
  Features(Array<std::uint16_t, B>&& halves, index_t rows, index_t cols, FeatureStorage storage)
      : rows_(rows), cols_(cols), storage_(storage), halves_(std::move(halves)) {
    DREAM_EXPECT(storage != FeatureStorage::full && halves_.size() == std::int64_t{rows} * cols, "features of ", rows,
                 " x ", cols, " from ", halves_.size(), " stored values");
  }

  index_t rows() const { return rows_; }
  index_t cols() const { return cols_; }
  FeatureStorage storage() const { return storage_; }
  FeatureView<T> view() const {
    if (storage_ == FeatureStorage::full) return full_.view();
    return {halves_.data(), rows_, cols_, cols_, storage_};
  }
  const Array<std::uint16_t, B>& halves() const { return halves_; }

 private:
  index_t rows_ = 0, cols_ = 0;
  FeatureStorage storage_ = FeatureStorage::full;
  Matrix<T, B> full_;
  Array<std::uint16_t, B> halves_;
};

namespace detail {

/// y = scale * x for one row of any storage.
template <class T>
void expand_row(const FeatureView<T>& x, index_t row, T scale, T* y) {
  if (x.storage == FeatureStorage::full) {
    const T* from = x.full().row(row);
    for (index_t j = 0; j < x.cols; ++j) y[j] = scale * from[j];
    return;
  }
  const std::uint16_t* from = x.halves().row(row);
  if (x.storage == FeatureStorage::bfloat16) {
    for (index_t j = 0; j < x.cols; ++j) y[j] = scale * static_cast<T>(from_bfloat16(from[j]));
  } else {
    for (index_t j = 0; j < x.cols; ++j) y[j] = scale * static_cast<T>(from_float16(from[j]));
  }
}

template <class T>
void expect_gathered(const FeatureView<T>& x, VectorView<const T> scale, VectorView<const index_t> rows,
                     MatrixView<T> y) {
  DREAM_EXPECT(x.cols == y.cols && y.rows == (rows.data == nullptr ? x.rows : rows.size) &&
                   (scale.data == nullptr || scale.size == x.rows) && (x.rows > 0 || y.rows == 0),
               "gather_features: X is ", shape(x), ", ", scale.size, " scales, ", rows.size, " rows, Y is ", shape(y));
}

}  // namespace detail

/// y = x[rows], each row times its scale; no rows: all in order, no scale: 1.
template <class T>
void gather_features(Context<Cpu>& context, FeatureView<T> x, VectorView<const T> scale, VectorView<const index_t> rows,
                     MatrixView<T> y) {
  detail::expect_gathered(x, scale, rows, y);
  context.parallel_blocks(y.rows, 16, [&](std::int64_t begin, std::int64_t end) {
    for (index_t k = static_cast<index_t>(begin); k < end; ++k) {
      const index_t row = rows.data == nullptr ? k : rows[k];
      DREAM_EXPECT(row >= 0 && row < x.rows, "row ", row, " at place ", k, " of a batch is outside ", shape(x));
      detail::expand_row(x, row, scale.data == nullptr ? T{1} : scale[row], y.row(k));
    }
  });
}
template <class T, KernelBackend B>
void gather_features(Context<B>& context, FeatureView<T> x, VectorView<const T> scale, VectorView<const index_t> rows,
                     MatrixView<T> y) {
  detail::expect_gathered(x, scale, rows, y);
  launch<kernels::GatherFeatures<T>>(context, {x, scale.data, rows, y});
}

/// f(first row, MatrixView of the values of some rows from there) for all rows in order. Values stored in 16 bits are
/// expanded some rows at a time, in scratch memory `slot`.
template <class T, class B, class F>
void for_expanded_rows(Context<B>& context, FeatureView<T> x, int slot, F&& f) {
  if (x.storage == FeatureStorage::full || x.rows == 0) {
    f(index_t{0}, x.full());
    return;
  }
  constexpr std::int64_t most = std::int64_t{1} << 22;  // values at a time: they stay in a GPU's cache
  const index_t piece =
      static_cast<index_t>(std::min<std::int64_t>(std::max<std::int64_t>(most / std::max(x.cols, 1), 1), x.rows));
  const MatrixView<T> expanded{context.template scratch<T>(slot, std::int64_t{piece} * x.cols), piece, x.cols, x.cols};
  for (index_t first = 0; first < x.rows; first += piece) {
    const MatrixView<T> part = expanded.middle_rows(0, std::min(piece, x.rows - first));
    gather_features<T>(context, x.middle_rows(first, part.rows), {}, {}, part);
    f(first, MatrixView<const T>(part));
  }
}

/// Every value as it will be read back from `storage`. One that is finite and would not stay so is an error that names
/// the place.
template <class T>
void round_to_storage(Context<Cpu>& context, FeatureStorage storage, MatrixView<T> x) {
  if (storage == FeatureStorage::full) return;
  context.parallel_blocks(x.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (index_t i = static_cast<index_t>(begin); i < end; ++i)
      for (index_t j = 0; j < x.cols; ++j) {
        const float value = static_cast<float>(x(i, j));
        const T stored =
            from_half<T>(storage, storage == FeatureStorage::bfloat16 ? to_bfloat16(value) : to_float16(value));
        DREAM_EXPECT(std::isfinite(stored) || !std::isfinite(x(i, j)), "features: ", static_cast<double>(x(i, j)),
                     " in row ", i, ", column ", j, " is too large for ",
                     storage == FeatureStorage::bfloat16 ? "bfloat16" : "float16");
        x(i, j) = stored;
      }
  });
}

/// The features in `storage`; they should have been rounded to it. Frees the full ones.
template <class T>
Features<T, Cpu> stored_features(Context<Cpu>& context, FeatureStorage storage, Matrix<T, Cpu>&& values) {
  if (storage == FeatureStorage::full) return Features<T, Cpu>(std::move(values));
  const Matrix<T, Cpu> from = std::move(values);
  Array<std::uint16_t, Cpu> halves(from.size());
  context.parallel_blocks(from.size(), 1 << 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float value = static_cast<float>(from.data()[i]);
      halves[i] = storage == FeatureStorage::bfloat16 ? to_bfloat16(value) : to_float16(value);
    }
  });
  return {std::move(halves), from.rows(), from.cols(), storage};
}

/// The same in the memory of backend B.
template <class T, class B>
Features<T, B> upload(Context<B>& context, const Features<T, Cpu>& from) {
  if (from.storage() == FeatureStorage::full) return Features<T, B>(upload<T>(context, from.view().full()));
  const auto& halves = from.halves();
  return {upload<std::uint16_t>(context, std::span(halves.data(), static_cast<std::size_t>(halves.size()))),
          from.rows(), from.cols(), from.storage()};
}

}  // namespace dream
