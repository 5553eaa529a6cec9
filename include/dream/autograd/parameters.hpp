// Trainable parameters: named matrices side by side in one flat buffer, with a gradient buffer of the same layout, so
// that the optimiser is one pass.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dream/autograd/tape.hpp>
#include <dream/core/random.hpp>

namespace dream {

/// A parameter's number in its store.
struct ParameterId {
  int index = -1;

  bool valid() const { return index >= 0; }
};

template <class T, class B>
class Parameters {
 public:
  /// Adds a rows x cols parameter; contents are unspecified until allocate() and an initialiser.
  ParameterId add(std::string name, index_t rows, index_t cols) {
    DREAM_EXPECT(!allocated_, "parameter ", name, " comes after allocate()");
    DREAM_EXPECT(find(name) < 0, "there already is a parameter ", name);
    constexpr std::int64_t line = 64 / sizeof(T);  // every parameter starts on a cache line
    entries_.push_back({std::move(name), rows, cols, total_});
    total_ += (std::int64_t{rows} * cols + line - 1) / line * line;
    return {static_cast<int>(entries_.size()) - 1};
  }

  /// Takes memory for all parameters and sets it to zero.
  void allocate(Context<B>& context) {
    allocated_ = true;
    values_.resize(context, total_);
    gradients_.resize(context, total_);
    fill(context, values_.view(), T{0});
    fill(context, gradients_.view(), T{0});
  }

  MatrixView<T> value(ParameterId id) { return view(values_, id); }
  MatrixView<T> gradient(ParameterId id) { return view(gradients_, id); }
  /// The parameter as an input of this step's tape.
  Var on(Tape<T, B>& tape, ParameterId id) { return tape.input(value(id), gradient(id)); }

  /// All parameters and all gradients, flat; padding between them is zero.
  VectorView<T> values() { return values_.view(); }
  VectorView<T> gradients() { return gradients_.view(); }

  int count() const { return static_cast<int>(entries_.size()); }
  const std::string& name(ParameterId id) const { return entry(id).name; }
  /// The parameter of that name, or an invalid id.
  ParameterId by_name(const std::string& name) const { return {find(name)}; }

 private:
  struct Entry {
    std::string name;
    index_t rows, cols;
    std::int64_t offset;
  };

  const Entry& entry(ParameterId id) const {
    DREAM_EXPECT(id.index >= 0 && id.index < count(), "no parameter with number ", id.index);
    return entries_[static_cast<std::size_t>(id.index)];
  }
  MatrixView<T> view(Array<T, B>& memory, ParameterId id) {
    const Entry& e = entry(id);
    DREAM_EXPECT(allocated_, "parameter ", e.name, " is used before allocate()");
    return {memory.data() + e.offset, e.rows, e.cols, e.cols};
  }
  int find(const std::string& name) const {
    for (int i = 0; i < count(); ++i)
      if (entries_[static_cast<std::size_t>(i)].name == name) return i;
    return -1;
  }

  std::vector<Entry> entries_;
  Array<T, B> values_;
  Array<T, B> gradients_;
  std::int64_t total_ = 0;
  bool allocated_ = false;
};

/// Xavier-uniform: values in +- sqrt(6 / (rows + cols)) (Glorot and Bengio, AISTATS 2010). `step` tells matrices apart.
template <class T>
void xavier_uniform(MatrixView<T> m, std::uint64_t seed, std::uint32_t step) {
  const double bound = std::sqrt(6.0 / (static_cast<double>(m.rows) + m.cols));
  const RandomStream random{seed, RandomUse::initialise, step};
  for (index_t i = 0; i < m.rows; ++i)
    for (index_t j = 0; j < m.cols; ++j)
      m(i, j) = static_cast<T>(
          (2 * random.uniform(static_cast<std::uint64_t>(i) * static_cast<std::uint64_t>(m.cols) + j) - 1) * bound);
}

/// Xavier-normal: normal with variance 2 / (rows + cols). `all_rows`: of the matrix of which this one is a part.
template <class T>
void xavier_normal(MatrixView<T> m, std::uint64_t seed, std::uint32_t step, double all_rows) {
  const double deviation = std::sqrt(2.0 / (all_rows + m.cols));
  const RandomStream random{seed, RandomUse::initialise, step};
  for (index_t i = 0; i < m.rows; ++i)
    for (index_t j = 0; j < m.cols; ++j)
      m(i, j) = static_cast<T>(random.normal(static_cast<std::uint64_t>(i) * static_cast<std::uint64_t>(m.cols) + j) *
                               deviation);
}

namespace detail {

/// m = the values that `initialise` gives a matrix in host memory.
template <class T, class B, class F>
void initialise_on_host(Context<B>& context, MatrixView<T> m, F&& initialise) {
  DREAM_EXPECT(m.stride == m.cols || m.rows <= 1, "initialisation: the rows of ", shape(m), " have gaps");
  Matrix<T, Cpu> host(m.rows, m.cols);
  initialise(host.view());
  upload<T>(context, std::span<const T>(host.data(), static_cast<std::size_t>(host.size())), m.data);
}

}  // namespace detail

/// The same in the memory of any backend, with the same values.
template <class T, class B>
void xavier_uniform(Context<B>& context, MatrixView<T> m, std::uint64_t seed, std::uint32_t step) {
  detail::initialise_on_host(context, m, [&](MatrixView<T> host) { xavier_uniform(host, seed, step); });
}
template <class T, class B>
void xavier_normal(Context<B>& context, MatrixView<T> m, std::uint64_t seed, std::uint32_t step, double all_rows) {
  detail::initialise_on_host(context, m, [&](MatrixView<T> host) { xavier_normal(host, seed, step, all_rows); });
}

}  // namespace dream
