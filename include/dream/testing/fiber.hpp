// Fibers: functions on stacks of their own that stop in the middle and go on later. The emulator runs one a CUDA
// thread. AddressSanitizer is told of every switch. Needs POSIX (mmap, and ucontext on machines other than x86-64).
#pragma once

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <dream/core/error.hpp>

#if defined(__SANITIZE_ADDRESS__)
#define DREAM_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DREAM_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(DREAM_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace dream::detail {

#if defined(DREAM_ADDRESS_SANITIZER)
struct AddressSanitizer {
  static constexpr bool on = true;
  static void start_switch(void** frames, const void* low, std::size_t bytes) {
    __sanitizer_start_switch_fiber(frames, low, bytes);
  }
  static void finish_switch(void* frames, const void** low, std::size_t* bytes) {
    __sanitizer_finish_switch_fiber(frames, low, bytes);
  }
  static void forbid(const void* p, std::size_t bytes) { __asan_poison_memory_region(p, bytes); }
  static void allow(const void* p, std::size_t bytes) { __asan_unpoison_memory_region(p, bytes); }
};
#else
struct AddressSanitizer {
  static constexpr bool on = false;
  static void start_switch(void**, const void*, std::size_t) {}
  static void finish_switch(void*, const void**, std::size_t*) {}
  static void forbid(const void*, std::size_t) {}
  static void allow(const void*, std::size_t) {}
};
#endif

/// A place where execution stands, or will start. Two system calls a switch.
class UcontextSwitch {
 public:
  void prepare(std::byte* low, std::size_t bytes, void (*entry)(void*), void* argument) {
    entry_ = entry;
    argument_ = argument;
    getcontext(&context_);
    context_.uc_stack.ss_sp = low;
    context_.uc_stack.ss_size = bytes;
    context_.uc_link = nullptr;
    const auto self = reinterpret_cast<std::uintptr_t>(this);
    makecontext(&context_, reinterpret_cast<void (*)()>(&UcontextSwitch::start), 2, static_cast<unsigned>(self >> 32),
                static_cast<unsigned>(self & 0xffffffffu));
  }
  /// Leaves here, to go on when somebody jumps back.
  void jump_to(UcontextSwitch& target) { swapcontext(&context_, &target.context_); }

 private:
  static void start(unsigned high, unsigned low) {
    auto* self = std::bit_cast<UcontextSwitch*>((std::uintptr_t{high} << 32) | low);
    self->entry_(self->argument_);
  }

  ucontext_t context_{};
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
};

#if defined(__x86_64__) && defined(__GNUC__)

/// The same in some twenty instructions: nothing is kept but the stack pointer, rbp and where to go on; the compiler
/// saves the rest, as everything else is named as overwritten. (longjmp between stacks dies under _FORTIFY_SOURCE.)
class StackSwitch {
 public:
  void prepare(std::byte* low, std::size_t bytes, void (*entry)(void*), void* argument) {
    argument_ = argument;
    // The stack as if `entry` had been called from nowhere: 8 bytes off a multiple of 16, return address 0.
    std::byte* end = low + bytes;
    end -= reinterpret_cast<std::uintptr_t>(end) % 16;
    auto* top = reinterpret_cast<std::uintptr_t*>(end);
    top -= 3;
    top[0] = reinterpret_cast<std::uintptr_t>(entry);
    top[1] = 0;  // rbp
    top[2] = 0;  // return address
    stack_pointer_ = top;
  }
  void jump_to(StackSwitch& target) {
    // Through a pointer, so that the caller expects every register to be lost that a call may lose. Not a local one:
    // the sanitizer may have freed what it keeps of this stack by now.
    opaque_(&stack_pointer_, target.stack_pointer_, target.argument_);
  }

 private:
  [[gnu::noinline]] static void jump(void** save, void* load, void* argument) {
    asm volatile(
        "leaq -128(%%rsp), %%rsp\n\t"  // past the red zone
        "pushq %%rbp\n\t"
        "leaq 1f(%%rip), %%rax\n\t"
        "pushq %%rax\n\t"
        "movq %%rsp, (%[save])\n\t"
        "movq %[load], %%rsp\n\t"
        "popq %%rax\n\t"
        "popq %%rbp\n\t"
        "jmp *%%rax\n"
        "1:\n\t"
        "leaq 128(%%rsp), %%rsp\n\t"
        : [save] "+d"(save), [load] "+S"(load), [argument] "+D"(argument)
        :
        : "rax", "rbx", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory");
  }

  inline static void (*volatile opaque_)(void**, void*, void*) = &StackSwitch::jump;

  void* stack_pointer_ = nullptr;
  void* argument_ = nullptr;
};

#else
using StackSwitch = UcontextSwitch;
#endif

/// Memory for one stack: a page that faults, room that must stay as it is, and the stack, which grows down towards
/// them.
class FiberStack {
 public:
  explicit FiberStack(std::size_t bytes) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    stack_bytes_ = (bytes + page - 1) / page * page;
    mapped_bytes_ = stack_bytes_ + 3 * page;
    void* memory =
        mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    DREAM_EXPECT(memory != MAP_FAILED, "out of memory: asked for a stack of ", mapped_bytes_, " bytes");
    memory_ = static_cast<std::byte*>(memory);
    mprotect(memory_, page, PROT_NONE);
    std::memset(canary(), canary_byte, canary_bytes);
  }
  FiberStack(const FiberStack&) = delete;
  FiberStack& operator=(const FiberStack&) = delete;
  ~FiberStack() {
    AddressSanitizer::allow(memory_, mapped_bytes_);
    munmap(memory_, mapped_bytes_);
  }

  std::byte* low() const { return memory_ + (mapped_bytes_ - stack_bytes_); }
  std::size_t bytes() const { return stack_bytes_; }
  /// Whether something was written just below the stack.
  bool overflowed() const {
    for (std::size_t i = 0; i < canary_bytes; i += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, canary() + i, sizeof word);
      if (word != 0xC3C3C3C3C3C3C3C3u) return true;
    }
    return false;
  }

 private:
  static constexpr int canary_byte = 0xC3;
  static constexpr std::size_t canary_bytes = 512;

  std::byte* canary() const { return low() - canary_bytes; }

  std::byte* memory_ = nullptr;
  std::size_t stack_bytes_ = 0;
  std::size_t mapped_bytes_ = 0;
};

/// A stack that runs one function after another. A function must not throw out of itself.
template <class Switch = StackSwitch>
class Fiber {
 public:
  explicit Fiber(std::size_t stack_bytes) : stack_(stack_bytes) {
    inside_.prepare(stack_.low(), stack_.bytes(), &Fiber::main, this);
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  /// The function must have ended.
  ~Fiber() {
    if (!entered_) return;
    quit_ = true;
    resume();
  }

  /// What the next resume() begins with.
  void start(void (*function)(void*), void* argument) {
    function_ = function;
    argument_ = argument;
    running_ = true;
  }
  bool running() const { return running_; }
  bool overflowed() const { return stack_.overflowed(); }

  /// Runs the function until it suspends itself or ends.
  void resume() {
    entered_ = true;
    void* frames = nullptr;
    AddressSanitizer::start_switch(&frames, stack_.low(), stack_.bytes());
    outside_.jump_to(inside_);
    AddressSanitizer::finish_switch(frames, nullptr, nullptr);
  }
  /// Called by the function: returns when it is resumed.
  void suspend() { leave(&frames_); }

 private:
  static void main(void* self) {
    auto& fiber = *static_cast<Fiber*>(self);
    AddressSanitizer::finish_switch(nullptr, &fiber.outside_low_, &fiber.outside_bytes_);
    while (!fiber.quit_) {
      fiber.function_(fiber.argument_);
      fiber.running_ = false;
      fiber.suspend();
    }
    fiber.leave(nullptr);
  }
  /// Null: for good, so that the sanitizer frees what it keeps for this stack.
  void leave(void** frames) {
    AddressSanitizer::start_switch(frames, outside_low_, outside_bytes_);
    inside_.jump_to(outside_);
    AddressSanitizer::finish_switch(frames_, &outside_low_, &outside_bytes_);
  }

  FiberStack stack_;
  Switch inside_, outside_;
  void (*function_)(void*) = nullptr;
  void* argument_ = nullptr;
  void* frames_ = nullptr;
  const void* outside_low_ = nullptr;
  std::size_t outside_bytes_ = 0;
  bool running_ = false, entered_ = false, quit_ = false;
};

}  // namespace dream::detail
