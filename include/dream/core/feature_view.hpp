// A view of raw features, whose values may be stored in fewer bits than they are computed with.
#pragma once

#include <cstdint>

#include <dream/core/half.hpp>
#include <dream/core/view.hpp>

namespace dream {

/// How the values of raw features are stored. They are computed with in full precision, whatever the storage.
enum class FeatureStorage : std::uint8_t {
  full,      ///< as they are
  bfloat16,  ///< 8 bits of precision, the range of float
  float16,   ///< 11 bits of precision for magnitudes of 6e-5 to 65504
};

/// A row-major matrix of features that are T to whoever reads them; row i starts `stride` stored values after row i -
/// 1.
template <class T>
struct FeatureView {
  const void* data = nullptr;
  index_t rows = 0;
  index_t cols = 0;
  std::int64_t stride = 0;
  FeatureStorage storage = FeatureStorage::full;

  FeatureView() = default;
  DREAM_HOST_DEVICE FeatureView(const void* values, index_t row_count, index_t col_count, std::int64_t row_distance,
                                FeatureStorage kind)
      : data(values), rows(row_count), cols(col_count), stride(row_distance), storage(kind) {}
  DREAM_HOST_DEVICE FeatureView(MatrixView<const T> m) : FeatureView(m.data, m.rows, m.cols, m.stride, {}) {}
  DREAM_HOST_DEVICE FeatureView(MatrixView<T> m) : FeatureView(MatrixView<const T>(m)) {}

  /// The values themselves, where they are stored in full.
  DREAM_HOST_DEVICE MatrixView<const T> full() const { return {static_cast<const T*>(data), rows, cols, stride}; }
  /// The bits of the values, where they are stored in 16.
  DREAM_HOST_DEVICE MatrixView<const std::uint16_t> halves() const {
    return {static_cast<const std::uint16_t*>(data), rows, cols, stride};
  }
  DREAM_HOST_DEVICE FeatureView middle_rows(index_t first, index_t count) const {
    const std::int64_t bytes = storage == FeatureStorage::full ? sizeof(T) : sizeof(std::uint16_t);
    return {static_cast<const char*>(data) + first * stride * bytes, count, cols, stride, storage};
  }
};

/// A value from its 16 bits.
template <class T>
DREAM_HOST_DEVICE constexpr T from_half(FeatureStorage storage, std::uint16_t bits) {
  return static_cast<T>(storage == FeatureStorage::bfloat16 ? from_bfloat16(bits) : from_float16(bits));
}

}  // namespace dream
