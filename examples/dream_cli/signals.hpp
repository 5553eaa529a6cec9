// How the signals INT, TERM and HUP end the program.
#pragma once

#include <array>
#include <csignal>

namespace dream_cli {

/// From now on these signals remove the temporaries and end the program, with the status of the signal. One that was
/// ignored when the program started stays ignored, as nohup does it.
void clean_up_on_signals();

/// While it lives, and once asked to, makes the first of these signals a wish to stop; a second one ends the program.
/// HUP stays ignored where it was.
class Signals {
 public:
  Signals() = default;
  Signals(const Signals&) = delete;
  ~Signals();

  void catch_them();
  bool stop_asked() const;

 private:
  bool caught_ = false;
  std::array<struct sigaction, 3> before_ = {};
};

}  // namespace dream_cli
