// Device memory with random contents for benchmarks, and comparisons of results.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <dream/core/random.hpp>
#include <dream/cuda/context.cuh>
#include <dream/kernels/row_norm.cuh>

namespace dream_benchmarks {

using namespace dream;

/// y = uniform numbers from low to high.
struct FillUniform {
  static constexpr int threads = 256;
  struct Params {
    VectorView<float> y;
    std::uint64_t seed;
    float low, high;
  };
  struct Shared {};
  static int grid(const Params& p) {
    return static_cast<int>(std::min<std::int64_t>((p.y.size + threads - 1) / threads, 1 << 14));
  }
  template <class Thread>
  DREAM_HOST_DEVICE void operator()(const Thread& th, const Params& p, Shared&) const {
    const RandomStream random{p.seed};
    for (std::int64_t i = std::int64_t{th.block()} * threads + th.thread(); i < p.y.size;
         i += std::int64_t{th.grid_blocks()} * threads)
      th.store(p.y.data + i,
               p.low + (p.high - p.low) * static_cast<float>(random.uniform(static_cast<std::uint64_t>(i))));
  }
};

/// The device memory of a case; given back with it.
class Inputs {
 public:
  explicit Inputs(Context<Cuda>& context) : context_(&context) {}

  Context<Cuda>& context() const { return *context_; }
  /// NaN, or -1.
  template <class T>
  T* room(std::int64_t count) {
    const std::int64_t bytes = std::max<std::int64_t>(count, 1) * static_cast<std::int64_t>(sizeof(T));
    Array<std::byte, Cuda>& memory = held_.emplace_back(*context_, bytes);
    context_->fill(memory.data(), 0xFF, static_cast<std::size_t>(bytes));
    return reinterpret_cast<T*>(memory.data());
  }
  template <class T = float>
  VectorView<T> values(std::int64_t count) {
    return {room<T>(count), count};
  }
  template <class T = float>
  MatrixView<T> matrix(index_t rows, index_t cols) {
    return {room<T>(std::int64_t{rows} * cols), rows, cols, cols};
  }
  MatrixView<float> uniform(index_t rows, index_t cols, float low = -1, float high = 1) {
    const MatrixView<float> m = matrix(rows, cols);
    launch<FillUniform>(*context_, {{m.data, m.size()}, ++seed_, low, high});
    return m;
  }
  MatrixView<float> unit_rows(index_t rows, index_t cols) {
    const MatrixView<float> m = uniform(rows, cols);
    kernels::normalise_rows(*context_, kernels::NormaliseRowsArguments<float>{m, m, values(rows)});
    return m;
  }
  /// Row numbers below `limit`; with `skew` 1 all are as likely, with more the first ones are more.
  VectorView<index_t> rows(std::int64_t count, index_t limit, double skew = 1) {
    std::vector<index_t> drawn(static_cast<std::size_t>(count));
    const RandomStream random{++seed_};
    for (std::size_t i = 0; i < drawn.size(); ++i)
      drawn[i] = std::min(limit - 1, static_cast<index_t>(std::pow(random.uniform(i), skew) * limit));
    return copied<index_t>(drawn);
  }
  template <class T>
  VectorView<T> copied(std::span<const T> from) {
    T* to = room<T>(static_cast<std::int64_t>(from.size()));
    context_->upload(from.data(), to, from.size_bytes());
    return {to, static_cast<std::int64_t>(from.size())};
  }

 private:
  Context<Cuda>* context_;
  std::vector<Array<std::byte, Cuda>> held_;
  std::uint64_t seed_ = 0;
};

/// Device memory on the host.
template <class T>
std::vector<T> on_host(Context<Cuda>& context, const T* from, std::int64_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  context.download(from, values.data(), values.size() * sizeof(T));
  return values;
}

/// A few rows of a device matrix on the host, in double.
class HostRows {
 public:
  HostRows(Context<Cuda>& context, MatrixView<const float> m, index_t first, index_t count)
      : cols_(m.cols), values_(on_host(context, m.row(first), std::int64_t{count} * m.cols)) {
    DREAM_EXPECT(m.stride == m.cols, "rows with gaps");
  }
  double operator()(index_t row, index_t col) const {
    return static_cast<double>(values_[static_cast<std::size_t>(std::int64_t{row} * cols_ + col)]);
  }

 private:
  index_t cols_;
  std::vector<float> values_;
};

/// f(first row, rows) for the first and the last rows of n.
template <class F>
void at_both_ends(index_t n, F&& f) {
  const index_t rows = std::min<index_t>(n, 256);
  f(index_t{0}, rows);
  f(n - rows, rows);
}

/// Adds up by how much values differ from those expected.
class Difference {
 public:
  void add(double found, double expected) {
    difference_ += (found - expected) * (found - expected);
    norm_ += expected * expected;
  }
  /// Throws where |found - expected| > tolerance |expected|, or is NaN.
  void expect_below(double tolerance, const std::string& what) const {
    const double relative = std::sqrt(difference_) / std::max(std::sqrt(norm_), 1e-30);
    DREAM_EXPECT(relative <= tolerance, what, " differs by ", relative, " of its size, where ", tolerance,
                 " is allowed");
  }

 private:
  double difference_ = 0, norm_ = 0;
};

/// Compares device values: all of them, of more than 2^26 the first and the last 2^25.
inline void expect_close(Context<Cuda>& context, const std::string& what, VectorView<const float> found,
                         VectorView<const float> expected, double tolerance) {
  DREAM_EXPECT(found.size == expected.size, what, ": ", found.size, " values, expected ", expected.size);
  constexpr std::int64_t part = std::int64_t{1} << 25;
  Difference difference;
  const auto compare = [&](std::int64_t first, std::int64_t count) {
    const auto a = on_host(context, found.data + first, count), b = on_host(context, expected.data + first, count);
    for (std::size_t i = 0; i < a.size(); ++i) difference.add(static_cast<double>(a[i]), static_cast<double>(b[i]));
  };
  if (found.size <= 2 * part) {
    compare(0, found.size);
  } else {
    compare(0, part);
    compare(found.size - part, part);
  }
  difference.expect_below(tolerance, what);
}
inline void expect_close(Context<Cuda>& context, const std::string& what, MatrixView<const float> found,
                         MatrixView<const float> expected, double tolerance) {
  expect_close(context, what, VectorView<const float>{found.data, found.size()},
               VectorView<const float>{expected.data, expected.size()}, tolerance);
}

}  // namespace dream_benchmarks
