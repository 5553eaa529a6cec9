// The backend on which CUDA kernels run on the host: the same kernel sources, a fiber a thread, faults reported.
//
//   Context<Emulated> context({.order = ThreadOrder::reverse});
//   launch<MyKernel>(context, {x.view(), y.view()});   // throws dream::error that names kernel, block, thread and line
//
// What is found at once: threads at different barriers, lanes of a warp in different calls, reads of lanes that are not
// there, misaligned loads and atomics, writes beyond shared memory, stacks too small. What shows as a difference
// between two runs (check_kernel in dream/testing/kernel_check.hpp compares them): missing barriers, reads of unwritten
// shared memory, blocks that depend on each other. What is not seen: a sync_warp() that is missing where a shuffle or
// vote stands between a write and a read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <dream/backend/gemm.hpp>
#include <dream/backend/matrix.hpp>
#include <dream/core/error.hpp>
#include <dream/kernels/entry.cuh>
#include <dream/testing/block_scheduler.hpp>
#include <dream/testing/emulated_memory.hpp>
#include <dream/testing/emulated_thread.hpp>
#include <dream/testing/fiber.hpp>

namespace dream {

/// The host in the role of a GPU.
struct Emulated {
  static constexpr bool runs_kernels = true;
};

struct EmulatedOptions {
  ThreadOrder order = ThreadOrder::forward;
  std::uint64_t seed = 1;       ///< of the shuffled order
  unsigned char poison = 0xFF;  ///< fills shared memory before each block; 0xFF makes NaN of floats and -1 of integers
  int threads = 1;              ///< host threads over which the blocks are spread
  /// Of each emulated thread; larger under AddressSanitizer, whose frames are.
  std::size_t stack_bytes = std::size_t{64 * 1024} * (detail::AddressSanitizer::on ? 4 : 1);
  /// Under AddressSanitizer end the process where shared memory is overrun, with the line, rather than throw
  /// afterwards.
  bool trap = true;
  /// End the process where the host touches the memory of this context other than by upload() and download().
  bool lock_memory = false;
};

namespace detail {

/// A kernel without its type.
struct EmulatedLaunch {
  std::string kernel;
  int grid = 0;
  int threads = 0;
  std::size_t shared_bytes = 0;
  const void* params = nullptr;
  void (*run_thread)(const EmulatedBlock& block, int thread, const void* params, void* shared) = nullptr;
};

/// The name of a type, for messages.
template <class T>
const char* pretty_function_of() {
  return __PRETTY_FUNCTION__;
}
template <class T>
std::string type_name() {
  const std::string pretty = pretty_function_of<T>();  // "... [with T = NAME]" or "... [T = NAME]"
  const std::size_t begin = pretty.find("T = ");
  return begin == std::string::npos ? pretty : pretty.substr(begin + 4, pretty.size() - begin - 5);
}

}  // namespace detail

/// Runs kernels block after block, or on several host threads at once.
template <>
class Context<Emulated> {
 public:
  explicit Context(const EmulatedOptions& options = {})
      : options_(options), host_(std::max(1, options.threads)), memory_(options.lock_memory) {
    schedulers_.resize(static_cast<std::size_t>(host_.threads()));
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const EmulatedOptions& options() const { return options_; }
  void set_order(ThreadOrder order) { options_.order = order; }
  void set_poison(unsigned char poison) { options_.poison = poison; }
  /// For what a GPU leaves to its libraries, such as dense products.
  Context<Cpu>& host() { return host_; }
  /// Memory of the emulated device, and copies to and from it.
  void* allocate(std::size_t bytes) {
    expect_no_capture("an allocation");
    return memory_.allocate(bytes);
  }
  void release(void* data) {
    memory_.release(data);
    ++releases_;
  }
  /// Whether launches can be captured here.
  bool can_capture() const { return true; }
  /// How often memory was given back: a captured graph is good for as long as this stays the same.
  std::int64_t releases() const { return releases_; }
  /// Bytes of memory that are taken, in whole pages; now and at most so far.
  std::size_t held_bytes() const { return memory_.held(); }
  std::size_t most_held_bytes() const { return memory_.most_held(); }
  void upload(const void* from, void* to, std::size_t bytes) { copy_bytes(from, to, bytes); }
  void download(const void* from, void* to, std::size_t bytes) { copy_bytes(from, to, bytes); }
  void synchronise() { expect_no_capture("a synchronisation"); }
  /// While the result lives, the host may touch the memory.
  detail::EmulatedMemory::Access access() { return detail::EmulatedMemory::Access(memory_); }
  /// Working memory number `slot` for `count` values, contents unspecified; valid until the slot is asked for again.
  template <class T>
  T* scratch(int slot, std::int64_t count) {
    return scratch_.get<T>(*this, slot, count);
  }
  /// Changes of stack so far, to tell what emulation costs.
  std::int64_t switches() const {
    std::int64_t all = 0;
    for (const auto& scheduler : schedulers_)
      if (scheduler) all += scheduler->switches();
    return all;
  }
  /// Memory that kernels write from now on, where load_readonly() is an error; empty: unknown.
  void set_written(std::vector<detail::MemoryRange> ranges) { written_ = std::move(ranges); }

  /// Work that is not a kernel, done now, or when the graph that is captured is replayed.
  template <class F>
  void submit(F&& work) {
    if (captured_) {
      captured_->emplace_back(std::forward<F>(work));
      return;
    }
    const detail::EmulatedMemory::Access open(memory_);
    work();
  }

  /// Use launch<Kernel>(context, params).
  void run(const detail::EmulatedLaunch& launch, std::size_t params_bytes = 0) {
    DREAM_EXPECT(launch.grid >= 0, launch.kernel, ": a grid of ", launch.grid, " blocks");
    if (captured_) {
      const std::byte* params = static_cast<const std::byte*>(launch.params);
      captured_->emplace_back([this, launch, kept = std::vector<std::byte>(params, params + params_bytes)] {
        detail::EmulatedLaunch again = launch;
        again.params = kept.data();
        run(again);
      });
      return;
    }
    std::vector<int> order(static_cast<std::size_t>(launch.grid));
    std::iota(order.begin(), order.end(), 0);
    if (options_.order == ThreadOrder::reverse) std::reverse(order.begin(), order.end());
    if (options_.order == ThreadOrder::shuffled) {
      const RandomStream random{options_.seed, RandomUse::shuffle, 0xffffffffu};
      for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i, i)]);
    }
    const detail::EmulatedMemory::Access open(memory_);
    std::mutex mutex;
    std::exception_ptr thrown;
    std::int64_t thrown_at = launch.grid;  // the first fault in block order is the one reported
    const int workers = std::min(host_.threads(), launch.grid);
    host_.parallel_for(workers, [&](std::int64_t worker) {
      auto& scheduler = schedulers_[static_cast<std::size_t>(worker)];
      if (!scheduler) scheduler = std::make_unique<detail::BlockScheduler>(options_.stack_bytes);
      for (std::int64_t i = worker; i < launch.grid; i += workers) {
        {
          const std::lock_guard<std::mutex> lock(mutex);
          if (i > thrown_at) return;
        }
        try {
          run_block(*scheduler, launch, order[static_cast<std::size_t>(i)]);
        } catch (...) {
          const std::lock_guard<std::mutex> lock(mutex);
          if (i < thrown_at) {
            thrown = std::current_exception();
            thrown_at = i;
          }
          return;
        }
      }
    });
    if (thrown) std::rethrow_exception(thrown);
  }

 private:
  static constexpr std::size_t guard = 256;

  /// A block's shared memory between guards, all of it poison.
  class SharedMemory {
   public:
    SharedMemory(std::size_t bytes, const EmulatedOptions& options)
        : poison_(options.poison),
          bytes_(bytes),
          memory_(static_cast<unsigned char*>(::operator new[](bytes + 2 * guard, std::align_val_t{guard}))) {
      std::memset(memory_.get(), poison_, bytes_ + 2 * guard);
      if (!options.trap) return;
      detail::AddressSanitizer::forbid(memory_.get(), guard);
      detail::AddressSanitizer::forbid(data() + bytes_, guard);
    }
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    ~SharedMemory() { detail::AddressSanitizer::allow(memory_.get(), bytes_ + 2 * guard); }

    unsigned char* data() const { return memory_.get() + guard; }
    void expect_guards(const std::string& kernel, int block) const {
      detail::AddressSanitizer::allow(memory_.get(), bytes_ + 2 * guard);
      const auto intact = [&](const unsigned char* p) {
        return std::all_of(p, p + guard, [&](unsigned char byte) { return byte == poison_; });
      };
      DREAM_EXPECT(intact(memory_.get()), kernel, ", block ", block, ": writes before its shared memory");
      DREAM_EXPECT(intact(data() + bytes_), kernel, ", block ", block, ": writes beyond its shared memory of ", bytes_,
                   " bytes");
    }

   private:
    struct Delete {
      void operator()(unsigned char* p) const { ::operator delete[](p, std::align_val_t{guard}); }
    };
    unsigned char poison_;
    std::size_t bytes_;
    std::unique_ptr<unsigned char[], Delete> memory_;
  };

  friend class LaunchGraph<Emulated>;

  void expect_no_capture(const char* what) const {
    DREAM_EXPECT(captured_ == nullptr, what, " while a graph is captured; it belongs before or after the capture");
  }
  void copy_bytes(const void* from, void* to, std::size_t bytes) {
    expect_no_capture("a copy from or to the host");
    const detail::EmulatedMemory::Access open(memory_);
    std::memcpy(to, from, bytes);
  }

  void run_block(detail::BlockScheduler& scheduler, const detail::EmulatedLaunch& launch, int block) {
    const SharedMemory shared(launch.shared_bytes, options_);
    struct State {
      const detail::EmulatedLaunch& launch;
      detail::EmulatedBlock block;
      void* shared;
    } const state{launch, {&scheduler, &written_, block, launch.grid}, shared.data()};
    const auto run_thread = [](const void* argument, int thread) {
      const State& s = *static_cast<const State*>(argument);
      s.launch.run_thread(s.block, thread, s.launch.params, s.shared);
    };
    scheduler.run({launch.kernel.c_str(), block, launch.threads, options_.order, options_.seed, run_thread, &state});
    shared.expect_guards(launch.kernel, block);
  }

  EmulatedOptions options_;
  Context<Cpu> host_;
  detail::EmulatedMemory memory_;
  std::int64_t releases_ = 0;
  ScratchSlots<Emulated> scratch_;
  std::vector<std::function<void()>>* captured_ = nullptr;  // of the graph that is captured now
  std::vector<std::unique_ptr<detail::BlockScheduler>> schedulers_;
  std::vector<detail::MemoryRange> written_;
};

/// Runs Kernel::grid(params) blocks, none where it is 0; throws dream::error at the first fault.
template <IsKernel Kernel>
void launch(Context<Emulated>& context, const typename Kernel::Params& params) {
  using Shared = typename Kernel::Shared;
  static_assert(alignof(Shared) <= 128);
  const auto run_thread = [](const detail::EmulatedBlock& block, int thread, const void* p, void* shared) {
    Kernel{}(EmulatedThread<Kernel::threads>(block, thread), *static_cast<const typename Kernel::Params*>(p),
             *static_cast<Shared*>(shared));
  };
  context.run({"kernel " + detail::type_name<Kernel>(), Kernel::grid(params), Kernel::threads,
               std::is_empty_v<Shared> ? 0 : sizeof(Shared), &params, run_thread},
              sizeof(params));
}

/// C = alpha op(A) op(B) + beta C: what cuBLAS does on a GPU.
template <class T>
void gemm(Context<Emulated>& context, Op op_a, Op op_b, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
          MatrixView<T> c) {
  context.submit(
      [&context, op_a, op_b, alpha, a, b, beta, c] { gemm<T>(context.host(), op_a, op_b, alpha, a, b, beta, c); });
}

/// Launches and products of a context, to be done again. Until the context ends.
template <>
class LaunchGraph<Emulated> {
 public:
  template <class F>
  void capture(Context<Emulated>& context, F&& f) {
    context.expect_no_capture("another capture");
    work_.clear();
    captured_ = false;
    context.captured_ = &work_;
    try {
      std::forward<F>(f)();
    } catch (...) {
      context.captured_ = nullptr;
      work_.clear();
      throw;
    }
    context.captured_ = nullptr;
    captured_ = true;
  }
  void replay(Context<Emulated>& context) {
    DREAM_EXPECT(captured_, "replay of a graph that was not captured");
    context.expect_no_capture("a replay");
    const detail::EmulatedMemory::Access open = context.access();
    for (const auto& piece : work_) piece();
  }
  bool is_captured() const { return captured_; }

 private:
  std::vector<std::function<void()>> work_;
  bool captured_ = false;
};

}  // namespace dream
