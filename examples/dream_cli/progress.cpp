#include "progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "messages.hpp"

namespace dream_cli {

namespace {

template <class... Values>
std::string text(const char* format, Values... values) {
  char buffer[256];
  std::snprintf(buffer, sizeof buffer, format, values...);
  return buffer;
}

int terminal_columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  const long s = std::lround(std::min(seconds, 1e9));
  if (s >= 3600) return text("%ldh%02ldm", s / 3600, s / 60 % 60);
  if (s >= 60) return text("%ldm%02lds", s / 60, s % 60);
  return text("%lds", s);
}

std::string count_text(double count) {
  if (count >= 999500) return text("%.2fM", count / 1e6);
  if (count >= 1000) return text("%.0fk", count / 1e3);
  return text("%.0f", count);
}

Progress::Progress(int first_epoch, int epochs, std::int64_t interactions)
    : terminal_(::isatty(STDERR_FILENO) == 1),
      first_epoch_(first_epoch),
      epochs_(epochs),
      interactions_(std::max<std::int64_t>(interactions, 1)),
      start_(Clock::now()),
      last_drawn_(start_ - std::chrono::hours(1)) {}

Progress::~Progress() { clear(); }

void Progress::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

void Progress::step(int epoch, std::int64_t seen, double loss) {
  if (!terminal_) return;
  const Clock::time_point now = Clock::now();
  if (now - last_drawn_ < std::chrono::milliseconds(100)) return;
  last_drawn_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double part = std::min(1.0, static_cast<double>(seen) / static_cast<double>(interactions_));
  const double done = epoch - first_epoch_ + part, all = std::max(1, epochs_ - first_epoch_ + 1);
  const double rate = elapsed > 0 ? done * static_cast<double>(interactions_) / elapsed : 0;
  constexpr int width = 16;
  const int full = static_cast<int>(part * width);
  std::string line = text("epoch %d/%d [", epoch, epochs_) + std::string(static_cast<std::size_t>(full), '#') +
                     std::string(static_cast<std::size_t>(width - full), '.') + text("] loss %.4f  ", loss) +
                     count_text(rate) + "/s  at most " + duration_text(done > 0 ? elapsed * (all - done) / done : -1) +
                     " left";
  if (!note_.empty()) line += "  " + note_;
  line.resize(std::min(line.size(), static_cast<std::size_t>(std::max(terminal_columns() - 1, 20))));
  std::fprintf(stderr, "\r%s\033[K", line.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::epoch_done(int epoch, double loss, double seconds, const std::string& note) {
  if (!note.empty()) note_ = note;
  if (terminal_) return;
  std::fprintf(stderr, "epoch %d/%d  loss %.4f  %s/s  %.1f s%s%s\n", epoch, epochs_, loss,
               count_text(seconds > 0 ? static_cast<double>(interactions_) / seconds : 0).c_str(), seconds,
               note.empty() ? "" : "  ", note.c_str());
}

void Progress::say(const std::string& line) {
  clear();
  print_message(line);
}

}  // namespace dream_cli
