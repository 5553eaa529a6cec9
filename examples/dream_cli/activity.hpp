// What the program is doing, for the error that says that memory ran out; and the end of a program whose memory ran out
// where no exception can pass.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

#include <dream/core/temporaries.hpp>

namespace dream_cli {

namespace detail {
inline constinit std::atomic<const char*> activity{"starting"};
inline constinit std::atomic<bool> lacks_memory{false};
}  // namespace detail

/// Says what is done from here on ("reading the data"); returns what was done before.
inline const char* doing(const char* what) { return detail::activity.exchange(what); }

/// Prints the error of memory that ran out, without asking for any.
inline void print_out_of_memory() {
  std::fprintf(stderr, "dream: error: out of memory while %s\n", detail::activity.load());
}

/// For std::set_new_handler: notes the failure and throws, as an allocation does without a handler.
[[noreturn]] inline void fail_allocation() {
  detail::lacks_memory = true;
  throw std::bad_alloc();
}

/// For std::set_terminate: ends the program with exit code 1 where a failed allocation met a function that may not
/// throw, as static initialisers, destructors of JSON values and steps through a folder are; temporaries are removed.
inline void end_without_memory() {
  if (!detail::lacks_memory) std::abort();
  dream::remove_temporaries();
  print_out_of_memory();
  std::_Exit(1);
}

}  // namespace dream_cli
