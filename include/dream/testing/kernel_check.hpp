// Runs kernels on the emulator in every way that must not matter, and compares the results bit for bit.
//
//   const KernelReport report = check_kernel<MyKernel>([&](KernelBuffers& use) {
//     return MyKernel::Params{use.input(x.view()), use.output(y.view())};
//   });
//   if (!report.ok()) std::puts(report.text().c_str());   // y holds the result, to be compared with a reference
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <dream/backend/context.hpp>
#include <dream/core/error.hpp>
#include <dream/core/view.hpp>
#include <dream/testing/emulated.hpp>

namespace dream {

/// What check_kernel found: one sentence a failure.
struct KernelReport {
  std::vector<std::string> failures;

  bool ok() const { return failures.empty(); }
  std::string text() const {
    std::string all;
    for (const std::string& failure : failures) all += failure + "\n";
    return all;
  }
};

/// Copies of a kernel's buffers for one run, between zones of poison that must stay as they are. A buffer that is read
/// and written is an output; it begins with what it held. Alignment to 64 bytes is that of the original.
class KernelBuffers {
 public:
  explicit KernelBuffers(const EmulatedOptions& options) : options_(options) {}
  KernelBuffers(const KernelBuffers&) = delete;
  KernelBuffers& operator=(const KernelBuffers&) = delete;
  ~KernelBuffers() { allow_all(); }

  template <class T>
  T* output(T* data, std::int64_t size) {
    return add(data, 1, size, size, true);
  }
  template <class T>
  const T* input(const T* data, std::int64_t size) {
    return add(const_cast<T*>(data), 1, size, size, false);
  }
  template <class T>
  VectorView<T> output(VectorView<T> v) {
    return {output(v.data, v.size), v.size};
  }
  template <class T>
  VectorView<const T> input(VectorView<T> v) {
    return {input(v.data, v.size), v.size};
  }
  template <class T>
  MatrixView<T> output(MatrixView<T> m) {
    return {add(m.data, m.rows, m.cols, m.stride, true), m.rows, m.cols, m.stride};
  }
  template <class T>
  MatrixView<const T> input(MatrixView<T> m) {
    return {add(const_cast<std::remove_const_t<T>*>(m.data), m.rows, m.cols, m.stride, false), m.rows, m.cols,
            m.stride};
  }
  template <class T>
  CsrView<T> input(CsrView<T> a) {
    const std::int64_t entries = a.entries();
    return {a.rows, a.cols, input(a.offsets, a.offsets == nullptr ? 0 : std::int64_t{a.rows} + 1),
            input(a.indices, entries), input(a.values, a.values == nullptr ? 0 : entries)};
  }

  /// Where the outputs lie.
  std::vector<detail::MemoryRange> written() const {
    std::vector<detail::MemoryRange> ranges;
    for (const Buffer& b : buffers_)
      if (b.written) ranges.push_back({b.begin, b.begin + b.extent()});
    return ranges;
  }
  /// One sentence a buffer that was written outside its values, or is an input and was written at all.
  void find_stray_writes(std::vector<std::string>& found, const std::string& run) {
    allow_all();
    for (std::size_t k = 0; k < buffers_.size(); ++k) {
      const Buffer& b = buffers_[k];
      const std::string name = concat(run, b.written ? "output " : "input ", number_of(k));
      const std::byte* end = b.begin + b.extent();
      const std::int64_t before = written_from(b.begin - guard, guard);
      const std::int64_t after = written_from(end, guard);
      if (before >= 0)
        found.push_back(concat(name, ": out-of-bounds write, ", guard - before, " bytes before its first value"));
      if (after >= 0) found.push_back(concat(name, ": out-of-bounds write, ", after, " bytes behind its last value"));
      for (std::int64_t i = 0; i < b.rows; ++i) {
        const std::byte* row = b.row(i);
        if (i + 1 < b.rows && written_from(row + b.row_bytes(), b.row(i + 1) - row - b.row_bytes()) >= 0)
          found.push_back(concat(name, ": out-of-bounds write between rows ", i, " and ", i + 1));
        if (!b.written && std::memcmp(row, b.original_row(i), static_cast<std::size_t>(b.row_bytes())) != 0)
          found.push_back(concat(name, ": is written, in row ", i));
      }
    }
  }
  /// One sentence for each output that differs from that of another run, and where it first does.
  void find_differences(const KernelBuffers& first, std::vector<std::string>& found, const std::string& run,
                        const char* meaning) const {
    DREAM_EXPECT(buffers_.size() == first.buffers_.size(), "check_kernel: the number of buffers changes between runs");
    for (std::size_t k = 0; k < buffers_.size(); ++k) {
      const Buffer &a = buffers_[k], &b = first.buffers_[k];
      if (!a.written) continue;
      std::int64_t differing = 0;
      std::string example;
      for (std::int64_t i = 0; i < a.rows; ++i)
        for (std::int64_t j = 0; j < a.cols; ++j) {
          const std::byte *x = a.row(i) + j * a.value_bytes, *y = b.row(i) + j * b.value_bytes;
          if (std::memcmp(x, y, static_cast<std::size_t>(a.value_bytes)) == 0) continue;
          if (differing++ == 0) example = concat(" in row ", i, ", column ", j, ": ", a.print(x), " and ", b.print(y));
        }
      if (differing > 0)
        found.push_back(
            concat(run, "output ", number_of(k), " differs in ", differing, " values, first", example, "; ", meaning));
    }
  }
  /// Puts the outputs where they were asked for.
  void write_back() const {
    for (const Buffer& b : buffers_)
      if (b.written)
        for (std::int64_t i = 0; i < b.rows; ++i)
          std::memcpy(b.original + i * b.stride * b.value_bytes, b.row(i), static_cast<std::size_t>(b.row_bytes()));
  }

 private:
  static constexpr std::int64_t guard = 4096;

  struct Buffer {
    std::byte* original;
    std::int64_t rows, cols, stride, value_bytes;
    bool written;
    std::string (*print)(const std::byte*);
    detail::AlignedBytes memory;
    std::byte* begin = nullptr;

    std::int64_t row_bytes() const { return cols * value_bytes; }
    std::int64_t extent() const { return rows == 0 || cols == 0 ? 0 : ((rows - 1) * stride + cols) * value_bytes; }
    std::byte* row(std::int64_t i) const { return begin + i * stride * value_bytes; }
    const std::byte* original_row(std::int64_t i) const { return original + i * stride * value_bytes; }
  };

  template <class T>
  static std::string print_value(const std::byte* p) {
    if constexpr (std::is_arithmetic_v<T>) {
      T value;
      std::memcpy(&value, p, sizeof value);
      return concat(+value);
    } else {
      return "bytes";
    }
  }

  template <class T>
  T* add(T* data, std::int64_t rows, std::int64_t cols, std::int64_t stride, bool written) {
    static_assert(std::is_trivially_copyable_v<T> && !std::is_const_v<T>);
    if (cols == 0) rows = 0;
    buffers_.push_back({reinterpret_cast<std::byte*>(data), rows, cols, stride, std::int64_t{sizeof(T)}, written,
                        &KernelBuffers::print_value<T>, nullptr});
    Buffer& b = buffers_.back();
    const std::int64_t total = 2 * guard + b.extent() + 64;
    b.memory = detail::allocate_aligned<std::byte>(total);
    b.begin = b.memory.get() + guard + reinterpret_cast<std::uintptr_t>(data) % 64;
    std::memset(b.memory.get(), options_.poison, static_cast<std::size_t>(total));
    for (std::int64_t i = 0; i < rows; ++i)
      std::memcpy(b.row(i), b.original_row(i), static_cast<std::size_t>(b.row_bytes()));
    if (options_.trap) {
      detail::AddressSanitizer::forbid(b.begin - guard, guard);
      detail::AddressSanitizer::forbid(b.begin + b.extent(), guard);
      for (std::int64_t i = 0; i + 1 < rows; ++i)
        detail::AddressSanitizer::forbid(b.row(i) + b.row_bytes(),
                                         static_cast<std::size_t>(b.row(i + 1) - b.row(i) - b.row_bytes()));
    }
    return reinterpret_cast<T*>(b.begin);
  }

  void allow_all() {
    for (const Buffer& b : buffers_)
      detail::AddressSanitizer::allow(b.begin - guard, static_cast<std::size_t>(2 * guard + b.extent()));
  }
  /// The first byte that is no poison any more; -1: none.
  std::int64_t written_from(const std::byte* p, std::int64_t bytes) const {
    const std::byte* end = p + bytes;
    const std::byte* at = std::find_if(p, end, [&](std::byte b) { return b != std::byte{options_.poison}; });
    return at == end ? -1 : at - p;
  }
  /// Inputs and outputs are counted apart.
  std::int64_t number_of(std::size_t k) const {
    return std::count_if(buffers_.begin(), buffers_.begin() + static_cast<std::ptrdiff_t>(k),
                         [&](const Buffer& b) { return b.written == buffers_[k].written; });
  }

  EmulatedOptions options_;
  std::vector<Buffer> buffers_;
};

/// How check_kernels runs what it checks: each thread order and each poison apart, so that the report says which of
/// them matters, or two runs that differ in both, in a third of the time.
enum class KernelRuns { all, two };
inline KernelRuns kernel_runs = KernelRuns::all;

/// Calls launches(context, buffers) in each of kernel_runs: every run must give the same bits and write nowhere else.
/// The options' order and poison are not used. The outputs of the first run are kept.
inline KernelReport check_kernels(const std::function<void(Context<Emulated>&, KernelBuffers&)>& launches,
                                  const EmulatedOptions& options = {}) {
  struct Run {
    ThreadOrder order;
    unsigned char poison;
  };
  // NaN swallows what is added to it, and so do large numbers; minima and maxima hide either sign, or small numbers.
  constexpr unsigned char nan = 0xFF, large = 0x5A, large_negative = 0xDA, small = 0x40;
  std::vector<Run> runs{{ThreadOrder::forward, nan}, {ThreadOrder::reverse, large}};
  if (kernel_runs == KernelRuns::all)
    runs = {{ThreadOrder::forward, nan},   {ThreadOrder::reverse, nan},   {ThreadOrder::shuffled, nan},
            {ThreadOrder::forward, large}, {ThreadOrder::forward, small}, {ThreadOrder::forward, large_negative}};
  KernelReport report;
  Context<Emulated> context(options);
  std::unique_ptr<KernelBuffers> first;
  for (const Run& run : runs) {
    context.set_order(run.order);
    context.set_poison(run.poison);
    context.set_written({});
    auto buffers = std::make_unique<KernelBuffers>(context.options());
    const std::string name = concat("threads ", name_of(run.order), ", poison ", int{run.poison}, ": ");
    try {
      launches(context, *buffers);
    } catch (const error& e) {
      report.failures.push_back(name + e.what());
      if (!first) return report;
      continue;
    }
    buffers->find_stray_writes(report.failures, name);
    if (!first)
      first = std::move(buffers);
    else
      buffers->find_differences(*first, report.failures, name,
                                run.order == ThreadOrder::forward
                                    ? "shared memory is read before it is written, or memory outside a buffer is read"
                                : run.poison == nan ? "a barrier is missing, or blocks depend on each other"
                                                    : "a barrier is missing, blocks depend on each other, shared "
                                                      "memory is read before it is written, or memory outside a buffer "
                                                      "is read");
  }
  first->write_back();
  return report;
}

/// Checks one kernel; make_params(buffers) returns its Params, made of use.input(...) and use.output(...).
/// load_readonly() from an output is a failure too.
template <IsKernel Kernel, class MakeParams>
KernelReport check_kernel(MakeParams&& make_params, const EmulatedOptions& options = {}) {
  return check_kernels(
      [&](Context<Emulated>& context, KernelBuffers& use) {
        const typename Kernel::Params params = make_params(use);
        context.set_written(use.written());
        launch<Kernel>(context, params);
      },
      options);
}

}  // namespace dream
