#include "signals.hpp"

#include <unistd.h>

#include <atomic>

#include <dream/core/temporaries.hpp>

namespace dream_cli {

namespace {

constexpr std::array numbers{SIGINT, SIGTERM, SIGHUP};

std::atomic<bool> stop_wish{false}, ending{false};
static_assert(std::atomic<bool>::is_always_lock_free);

/// Ends the program as the signal does by itself, after removing what is being written.
void end(int number) {
  // Another thread got a second signal: the first one ends the program, when everything is removed.
  while (ending.exchange(true)) ::pause();
  dream::remove_temporaries();
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  ::sigaction(number, &action, nullptr);
  ::raise(number);
  sigset_t raised;
  ::sigemptyset(&raised);
  ::sigaddset(&raised, number);
  ::pthread_sigmask(SIG_UNBLOCK, &raised, nullptr);
}

void stop_or_end(int number) {
  if (stop_wish.exchange(true)) end(number);
}

/// A handler of the three signals that none of them interrupts.
struct sigaction handled_by(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  for (const int number : numbers) ::sigaddset(&action.sa_mask, number);
  return action;
}

bool is_ignored(int number) {
  struct sigaction now = {};
  return ::sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

}  // namespace

void clean_up_on_signals() {
  const struct sigaction action = handled_by(end);
  for (const int number : numbers)
    if (!is_ignored(number)) ::sigaction(number, &action, nullptr);
}

void Signals::catch_them() {
  if (caught_) return;
  const struct sigaction action = handled_by(stop_or_end);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    ::sigaction(numbers[i], nullptr, &before_[i]);
    // A shell starts what a script leaves in the background with INT ignored; asked by it, training stops even so.
    if (numbers[i] != SIGHUP || !is_ignored(SIGHUP)) ::sigaction(numbers[i], &action, nullptr);
  }
  caught_ = true;
}

bool Signals::stop_asked() const { return stop_wish; }

Signals::~Signals() {
  if (!caught_) return;
  for (std::size_t i = 0; i < numbers.size(); ++i) ::sigaction(numbers[i], &before_[i], nullptr);
}

}  // namespace dream_cli
