// Temporary files that a signal ends with the program, and those that killed programs left (POSIX).
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace dream {

namespace detail {

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { close(); }

  int get() const { return number_; }
  /// 0, or the errno of the failed close.
  int close() {
    const int number = std::exchange(number_, -1);
    return number >= 0 && ::close(number) != 0 && errno != EINTR ? errno : 0;
  }

 private:
  int number_;
};

/// Who may touch a slot's path: nobody, the thread that fills it in, everybody to read, the handler that removes it.
enum class SlotState : int { unused, filling, registered, removing };

struct TemporarySlot {
  std::atomic<SlotState> state{SlotState::unused};
  char path[PATH_MAX] = {};
};
static_assert(std::atomic<SlotState>::is_always_lock_free, "a signal handler may not wait for a lock");
inline constinit std::array<TemporarySlot, 16> temporary_slots;

inline bool change(TemporarySlot& slot, SlotState from, SlotState to) {
  return slot.state.compare_exchange_strong(from, to);
}

}  // namespace detail

/// Removes every registered file of this process. Only for its end: what is being written there fails. A signal handler
/// may call it.
inline void remove_temporaries() noexcept {
  using detail::SlotState;
  const int code = errno;
  for (detail::TemporarySlot& slot : detail::temporary_slots) {
    if (!detail::change(slot, SlotState::registered, SlotState::removing)) continue;
    ::unlink(slot.path);
    slot.state = SlotState::unused;
  }
  errno = code;
}

/// Registers a file for remove_temporaries() while it lives. Where 16 are registered already, or the path is too long,
/// it does nothing.
class Temporary {
 public:
  Temporary() = default;
  explicit Temporary(const std::string& path) {
    using detail::SlotState;
    if (path.size() >= PATH_MAX) return;
    for (detail::TemporarySlot& slot : detail::temporary_slots) {
      if (!detail::change(slot, SlotState::unused, SlotState::filling)) continue;
      std::memcpy(slot.path, path.c_str(), path.size() + 1);
      slot.state = SlotState::registered;
      slot_ = &slot;
      return;
    }
  }
  Temporary(Temporary&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  Temporary& operator=(Temporary&& other) noexcept {
    std::swap(slot_, other.slot_);
    return *this;
  }
  // A slot that a handler is at is left to it.
  ~Temporary() {
    if (slot_ != nullptr) detail::change(*slot_, detail::SlotState::registered, detail::SlotState::unused);
  }

 private:
  detail::TemporarySlot* slot_ = nullptr;
};

/// The name of a temporary of this process beside a file that it will replace.
inline std::string temporary_name(const std::string& target, int number) {
  return target + ".partial-" + std::to_string(::getpid()) + "-" + std::to_string(number);
}

namespace detail {

/// The process in "PID-NUMBER", 0 where the text is not of that form.
inline pid_t process_in(std::string_view text) {
  const auto digits = [](std::string_view part) {
    return !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
  };
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos || !digits(text.substr(0, dash)) || !digits(text.substr(dash + 1))) return 0;
  pid_t process = 0;
  const auto [stop, code] = std::from_chars(text.data(), text.data() + dash, process);
  return code == std::errc() ? process : 0;
}

}  // namespace detail

/// Removes the temporaries beside a file that processes left which live no more. One that is locked is at work, though
/// this system may not show its process (another container, another computer).
inline void remove_leftovers(const std::string& target) {
  const std::filesystem::path path(target);
  const std::string stem = path.filename().string() + ".partial-";
  std::error_code code;  // a folder that cannot be listed shows no leftovers
  std::filesystem::directory_iterator entry(path.has_parent_path() ? path.parent_path() : ".", code);
  for (; !code && entry != std::filesystem::directory_iterator(); entry.increment(code)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(stem)) continue;
    const pid_t process = detail::process_in(std::string_view(name).substr(stem.size()));
    if (process <= 0 || ::kill(process, 0) == 0 || errno != ESRCH) continue;
    const detail::Descriptor file(::open(entry->path().c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (file.get() < 0 || (::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)) continue;
    ::unlink(entry->path().c_str());
  }
}

}  // namespace dream
