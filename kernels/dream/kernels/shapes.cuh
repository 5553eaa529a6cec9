// Checks of what an operation is given, on the host, before anything is launched.
#pragma once

#include <cstdint>

#include <dream/core/error.hpp>
#include <dream/core/view.hpp>

namespace dream::kernels {

/// Throws unless m is rows x cols; `name` begins the message: "info_nce, Y".
template <class View>
void expect_shape(const char* name, const View& m, std::int64_t rows, std::int64_t cols) {
  DREAM_EXPECT(m.rows == rows && m.cols == cols, name, ": ", shape(m), ", not ", rows, " x ", cols);
}
/// The same where m is given.
template <class View>
void expect_shape_if_given(const char* name, const View& m, std::int64_t rows, std::int64_t cols) {
  if (m.data != nullptr) expect_shape(name, m, rows, cols);
}
/// Throws unless v has `size` values.
template <class T>
void expect_size(const char* name, const VectorView<T>& v, std::int64_t size) {
  DREAM_EXPECT(v.size == size, name, ": ", v.size, " values, not ", size);
}

}  // namespace dream::kernels
