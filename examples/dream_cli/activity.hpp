// What the program is doing, for the error that says that memory ran out; and the end of a program whose memory ran out
// where no exception can pass.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <stdexcept>

#include <dream/core/temporaries.hpp>

namespace dream_cli {

namespace detail {
inline constinit std::atomic<const char*> activity{"starting"};
}  // namespace detail

/// Says what is done from here on ("reading the data"); returns what was done before.
inline const char* doing(const char* what) { return detail::activity.exchange(what); }

/// Prints the error of memory that ran out, without asking for any.
inline void print_out_of_memory() {
  std::fprintf(stderr, "dream: error: out of memory while %s\n", detail::activity.load());
}

/// Ends the program with exit code 1 where a failed allocation meets a function that may not throw (destructors of JSON
/// values allocate, and so do static initialisers); temporaries are removed. Anything else aborts, as ever.
inline void end_without_memory() noexcept {
  try {
    if (std::current_exception()) throw;
  } catch (const std::bad_alloc&) {
    dream::remove_temporaries();
    print_out_of_memory();
    std::_Exit(1);
  } catch (const std::length_error&) {
    dream::remove_temporaries();
    print_out_of_memory();
    std::_Exit(1);
  } catch (...) {
  }
  std::abort();
}

}  // namespace dream_cli
