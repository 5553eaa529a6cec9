// Runs the same launches on a GPU and on the emulator, on the same input, and compares what they leave.
//
//   compare(1e-5, [&](auto& on) {
//     const auto x = on.template input<float>(129, 64);
//     const auto y = on.template output<float>(129, 64);
//     launch<MyKernel>(on.context, {x, y});
//   });
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include <dream/backend/matrix.hpp>
#include <dream/core/random.hpp>
#include <dream/cuda/cuda.cuh>
#include <dream/testing/emulated.hpp>

#include "cuda/needs_gpu.cuh"
#include "support/catch.hpp"

namespace dream_test {

using namespace dream;

/// What one output holds in the end.
struct Output {
  bool exact = false;  ///< integers
  std::vector<double> values;
};

/// A backend's context with the inputs and outputs of a sequence. Random inputs depend on the order of the calls alone.
template <class B>
class OnBackend {
 public:
  using Backend = B;

  Context<B> context;

  /// Random values of low to high.
  template <class T>
  MatrixView<T> input(index_t rows, index_t cols, double low = -1, double high = 1) {
    const RandomStream random{++seed_};
    std::vector<T> values(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(low + (high - low) * random.uniform(i));
    return {copied<T>(values).data, rows, cols, cols};
  }
  /// Random numbers below `limit`.
  VectorView<index_t> numbers(std::int64_t count, index_t limit) {
    const RandomStream random{++seed_};
    std::vector<index_t> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<index_t>(random.below(i, static_cast<std::uint64_t>(limit)));
    return copied<index_t>(values);
  }
  template <class T>
  VectorView<T> copied(std::span<const T> values) {
    T* to = room<T>(static_cast<std::int64_t>(values.size()));
    context.upload(values.data(), to, values.size_bytes());
    return {to, static_cast<std::int64_t>(values.size())};
  }
  /// Workspace, full of NaN or -1.
  template <class T>
  T* room(std::int64_t count) {
    std::vector<std::byte> poison(static_cast<std::size_t>(count) * sizeof(T), std::byte{0xFF});
    Array<std::byte, B>& memory = held_.emplace_back(context, static_cast<std::int64_t>(poison.size()) + 16);
    context.upload(poison.data(), memory.data(), poison.size());
    return reinterpret_cast<T*>(memory.data());
  }
  /// Memory like room()'s whose contents are compared in the end.
  template <class T>
  MatrixView<T> output(index_t rows, index_t cols) {
    const MatrixView<T> m{room<T>(std::int64_t{rows} * cols), rows, cols, cols};
    watch(m);
    return m;
  }
  template <class T>
  VectorView<T> output(std::int64_t count) {
    return {output<T>(1, static_cast<index_t>(count)).data, count};
  }
  /// Compares this, too, in the end.
  template <class T>
  void watch(MatrixView<T> m) {
    outputs_.push_back([this, m] {
      std::vector<T> values(static_cast<std::size_t>(m.size()));
      context.download(m.data, values.data(), values.size() * sizeof(T));
      return Output{std::is_integral_v<T>, {values.begin(), values.end()}};
    });
  }
  std::vector<Output> outputs() {
    std::vector<Output> all;
    for (const auto& read : outputs_) all.push_back(read());
    return all;
  }

 private:
  std::uint64_t seed_ = 0;
  std::vector<Array<std::byte, B>> held_;
  std::vector<std::function<Output()>> outputs_;
};

template <class B, class Sequence>
std::vector<Output> outputs_of(Sequence&& sequence) {
  OnBackend<B> on;
  sequence(on);
  return on.outputs();
}

/// NaN equals NaN.
inline bool same_bits(const Output& a, const Output& b) {
  for (std::size_t i = 0; i < a.values.size(); ++i)
    if (a.values[i] != b.values[i] && !(std::isnan(a.values[i]) && std::isnan(b.values[i]))) return false;
  return a.values.size() == b.values.size();
}

/// |a - b| / |b|; integers 0 or 1. NaN must stand at the same places.
inline double distance(const Output& a, const Output& b) {
  if (b.exact) return same_bits(a, b) ? 0 : 1;
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < b.values.size(); ++i) {
    if (std::isnan(b.values[i]) && std::isnan(a.values[i])) continue;
    if (a.values[i] == b.values[i]) {
      norm += std::isfinite(b.values[i]) ? b.values[i] * b.values[i] : 0;
      continue;
    }
    difference += (a.values[i] - b.values[i]) * (a.values[i] - b.values[i]);
    norm += b.values[i] * b.values[i];
  }
  return std::sqrt(difference) / std::max(std::sqrt(norm), 1e-30);
}

/// Each output of a sequence on the GPU is that of the emulator within `tolerance` of its size, and has the same bits
/// when it is done again.
template <class Sequence>
void compare(double tolerance, Sequence&& sequence) {
  const std::vector<Output> expected = outputs_of<Emulated>(sequence);
  const std::vector<Output> found = outputs_of<Cuda>(sequence), again = outputs_of<Cuda>(sequence);
  REQUIRE(found.size() == expected.size());
  REQUIRE(!expected.empty());
  for (std::size_t o = 0; o < expected.size(); ++o) {
    INFO("output " << o << " of " << expected[o].values.size() << " values");
    CHECK(distance(found[o], expected[o]) <= tolerance);
    CHECK(same_bits(found[o], again[o]));
  }
}

/// Rounding of sums of some hundred terms, and of exponentials that are not the host's.
template <class T>
inline constexpr double tolerance = std::is_same_v<T, float> ? 2e-5 : 1e-11;

/// Calls body(T{}, rows) for both types and sizes beside those of warps and blocks.
template <class Body>
void for_types_and_sizes(Body&& body) {
  for (const index_t rows : {33, 129, 257}) {
    INFO("rows " << rows);
    {
      INFO("float");
      body(float{}, rows);
    }
    {
      INFO("double");
      body(double{}, rows);
    }
  }
}

}  // namespace dream_test
