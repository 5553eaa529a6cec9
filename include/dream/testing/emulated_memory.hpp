// The emulated device's memory: filled with poison when it is taken, and, where asked for, locked against the host
// while no kernel and no copy runs, so that code which reads a GPU's memory from the host fails here too.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <map>

#include <dream/core/error.hpp>

namespace dream::detail {

class EmulatedMemory {
 public:
  explicit EmulatedMemory(bool locked) : locked_(locked) {}
  EmulatedMemory(const EmulatedMemory&) = delete;
  EmulatedMemory& operator=(const EmulatedMemory&) = delete;
  ~EmulatedMemory() {
    for (const auto& [data, block] : blocks_) ::munmap(block.pages, block.bytes);
  }

  /// `bytes` of 0xFF, which are NaN and -1, aligned to 64; they end within 64 bytes of a page that nobody may touch.
  void* allocate(std::size_t bytes) {
    const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t padded = (bytes + 63) / 64 * 64, used = (padded + page - 1) / page * page;
    void* pages = padded < bytes ? MAP_FAILED
                                 : ::mmap(nullptr, used + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                                          -1, 0);                                     // NOLINT
    DREAM_EXPECT(pages != MAP_FAILED, "out of memory: asked for ", bytes, " bytes");  // NOLINT
    std::byte* data = static_cast<std::byte*>(pages) + (used - padded);
    if (used > 0) {
      DREAM_EXPECT(::mprotect(pages, used, PROT_READ | PROT_WRITE) == 0, "out of memory: asked for ", bytes, " bytes");
      std::memset(pages, 0xFF, used);
      if (locked_ && open_ == 0) ::mprotect(pages, used, PROT_NONE);
    }
    blocks_[data] = {pages, used + page, used};
    held_ += used;
    most_held_ = std::max(most_held_, held_);
    return data;
  }
  void release(void* data) {
    const auto found = blocks_.find(data);
    if (found == blocks_.end()) return;
    ::munmap(found->second.pages, found->second.bytes);
    held_ -= found->second.used;
    blocks_.erase(found);
  }
  /// Bytes of all pages that are taken, now and at most so far.
  std::size_t held() const { return held_; }
  std::size_t most_held() const { return most_held_; }

  /// Lets the host at the memory while it lives.
  class Access {
   public:
    explicit Access(EmulatedMemory& memory) : memory_(&memory) {
      if (memory_->open_++ == 0) memory_->protect(PROT_READ | PROT_WRITE);
    }
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;
    ~Access() {
      if (--memory_->open_ == 0) memory_->protect(PROT_NONE);
    }

   private:
    EmulatedMemory* memory_;
  };

 private:
  struct Block {
    void* pages;
    std::size_t bytes, used;
  };

  void protect(int rights) {
    if (!locked_) return;
    for (const auto& [data, block] : blocks_)
      if (block.used > 0) ::mprotect(block.pages, block.used, rights);
  }

  bool locked_;
  int open_ = 0;
  std::size_t held_ = 0, most_held_ = 0;
  std::map<void*, Block> blocks_;
};

}  // namespace dream::detail
