// Preloaded into a program (LD_PRELOAD; glibc), lets one of its calls fail, as a machine at its limits does.
//   DREAM_FAIL        which calls: memory, write, fsync, rename, open or close
//   DREAM_FAIL_AT     which of them fails, from 1; 0: none
//   DREAM_FAIL_REST   set: all later ones too
//   DREAM_FAIL_COUNT  a file that receives how many there were, where the program ends by exit()
//   DREAM_FAIL_FROM   "main": calls count from there on, not from before the program's static initialisers
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

// The names and signatures are the C library's.
// NOLINTBEGIN(*-reserved-identifier, cert-dcl37-c, cert-dcl51-cpp, cert-dcl50-cpp, readability-*)
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace {

const char* chosen = nullptr;
long fails_at = 0;
bool fails_later = false;
std::atomic<long> calls{0};

/// Counts a call of this kind; whether it fails.
bool fails(const char* kind) {
  if (chosen == nullptr || std::strcmp(kind, chosen) != 0) return false;
  const long number = ++calls;
  return fails_at > 0 && (number == fails_at || (fails_later && number > fails_at));
}

void write_count() {
  chosen = nullptr;
  const char* const path = std::getenv("DREAM_FAIL_COUNT");
  if (path == nullptr) return;
  if (std::FILE* const file = std::fopen(path, "w")) {
    std::fprintf(file, "%ld\n", calls.load());
    std::fclose(file);
  }
}

template <class Result>
Result failed(int code, Result result) {
  errno = code;
  return result;
}

}  // namespace

extern "C" {

void* malloc(std::size_t bytes) { return fails("memory") ? failed<void*>(ENOMEM, nullptr) : __libc_malloc(bytes); }
void* calloc(std::size_t count, std::size_t bytes) {
  return fails("memory") ? failed<void*>(ENOMEM, nullptr) : __libc_calloc(count, bytes);
}
void* realloc(void* old, std::size_t bytes) {
  return fails("memory") ? failed<void*>(ENOMEM, nullptr) : __libc_realloc(old, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return fails("memory") ? failed<void*>(ENOMEM, nullptr) : __libc_memalign(alignment, bytes);
}
int posix_memalign(void** out, std::size_t alignment, std::size_t bytes) {
  void* const found = fails("memory") ? nullptr : __libc_memalign(alignment, bytes);
  if (found == nullptr) return ENOMEM;
  *out = found;
  return 0;
}

ssize_t write(int file, const void* data, std::size_t bytes) {
  return fails("write") ? failed<ssize_t>(ENOSPC, -1) : ::syscall(SYS_write, file, data, bytes);
}
int fsync(int file) { return fails("fsync") ? failed(EIO, -1) : static_cast<int>(::syscall(SYS_fsync, file)); }
int rename(const char* from, const char* to) noexcept {
  return fails("rename") ? failed(EIO, -1) : ::renameat(AT_FDCWD, from, AT_FDCWD, to);
}
int close(int file) {
  const int result = static_cast<int>(::syscall(SYS_close, file));
  return fails("close") ? failed(EIO, -1) : result;
}
int open(const char* path, int flags, ...) {
  std::va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return fails("open") ? failed(EMFILE, -1) : static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

using Main = int (*)(int, char**, char**);
static Main program_main = nullptr;
static int count_from_main(int argc, char** argv, char** environment) {
  chosen = std::getenv("DREAM_FAIL");
  return program_main(argc, argv, environment);
}
using Start = int (*)(Main, int, char**, Main, void (*)(), void (*)(), void*);
int __libc_start_main(Main main, int argc, char** argv, Main init, void (*fini)(), void (*unload)(), void* stack) {
  const auto start = reinterpret_cast<Start>(::dlsym(RTLD_NEXT, "__libc_start_main"));
  const char* const at = std::getenv("DREAM_FAIL_AT");
  fails_at = at != nullptr ? std::atol(at) : 0;
  fails_later = std::getenv("DREAM_FAIL_REST") != nullptr;
  std::atexit(write_count);
  if (std::getenv("DREAM_FAIL_FROM") != nullptr)
    program_main = std::exchange(main, count_from_main);
  else
    chosen = std::getenv("DREAM_FAIL");
  return start(main, argc, argv, init, fini, unload, stack);
}
}
// NOLINTEND(*-reserved-identifier, cert-dcl37-c, cert-dcl51-cpp, cert-dcl50-cpp, readability-*)
