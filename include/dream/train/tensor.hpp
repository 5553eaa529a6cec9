// Tensors as files hold them: a name, a type, a shape and values in row-major order.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <dream/core/error.hpp>

namespace dream {

static_assert(std::endian::native == std::endian::little, "tensors are read and written without byte swaps");

/// The types of values that the library stores.
enum class Dtype { f32, f64, i32, i64, u64, u8 };

/// The name of a type in a safetensors header.
inline const char* dtype_name(Dtype dtype) {
  constexpr const char* names[] = {"F32", "F64", "I32", "I64", "U64", "U8"};
  return names[static_cast<int>(dtype)];
}

/// Bytes of one value.
inline std::int64_t dtype_size(Dtype dtype) {
  constexpr std::int64_t sizes[] = {4, 8, 4, 8, 8, 1};
  return sizes[static_cast<int>(dtype)];
}

/// The type under which values of T are stored.
template <class T>
constexpr Dtype dtype_of() {
  if constexpr (std::is_same_v<T, float>) {
    return Dtype::f32;
  } else if constexpr (std::is_same_v<T, double>) {
    return Dtype::f64;
  } else if constexpr (std::is_same_v<T, std::int32_t>) {
    return Dtype::i32;
  } else if constexpr (std::is_same_v<T, std::uint64_t>) {
    return Dtype::u64;
  } else if constexpr (sizeof(T) == 1) {
    return Dtype::u8;
  } else {
    static_assert(std::is_same_v<T, std::int64_t>, "no safetensors type for this");
    return Dtype::i64;
  }
}

/// A tensor in memory; `bytes` holds its values in row-major order.
struct Tensor {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};

/// A tensor whose values belong to somebody else; what is written.
struct TensorView {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;
  const void* data = nullptr;
};

namespace detail {

inline std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

/// Bytes that a tensor of this shape fills, or -1 where that does not fit 63 bits or a length is negative.
inline std::int64_t tensor_bytes(Dtype dtype, const std::vector<std::int64_t>& shape) {
  std::int64_t bytes = dtype_size(dtype);
  for (const std::int64_t length : shape) {
    if (length < 0) return -1;
    if (length == 0) return 0;
  }
  for (const std::int64_t length : shape) {
    if (bytes > std::numeric_limits<std::int64_t>::max() / length) return -1;
    bytes *= length;
  }
  return bytes;
}

}  // namespace detail

/// A view of `rows` x `cols` values (or of `rows` values where cols is -1) under a name.
template <class T>
TensorView tensor_view(std::string name, const T* data, std::int64_t rows, std::int64_t cols = -1) {
  TensorView view{std::move(name), dtype_of<T>(), {rows}, data};
  if (cols >= 0) view.shape.push_back(cols);
  return view;
}

/// A tensor that owns a copy of the values.
template <class T>
Tensor make_tensor(std::string name, const T* data, std::int64_t rows, std::int64_t cols = -1) {
  TensorView view = tensor_view(std::move(name), data, rows, cols);
  Tensor tensor{std::move(view.name), view.dtype, std::move(view.shape), {}};
  const std::int64_t bytes = detail::tensor_bytes(tensor.dtype, tensor.shape);
  DREAM_EXPECT(bytes >= 0, "tensor '", tensor.name, "' cannot have shape ", detail::shape_text(tensor.shape));
  tensor.bytes.resize(static_cast<std::size_t>(bytes));
  if (bytes > 0) std::memcpy(tensor.bytes.data(), data, tensor.bytes.size());
  return tensor;
}

}  // namespace dream
