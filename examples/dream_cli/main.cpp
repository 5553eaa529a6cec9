// The `dream` program: from the command line to a command, and how errors end it.
#include <atomic>
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

#include <dream/core/file.hpp>
#include <dream/core/thread_pool.hpp>

#include "activity.hpp"
#include "command_line.hpp"
#include "messages.hpp"
#include "settings.hpp"
#include "signals.hpp"
#include "standard_streams.hpp"

namespace {

using namespace dream_cli;

/// Before all other static initialisers, which may lack memory too.
struct MemoryHandlers {
  MemoryHandlers() {
    std::set_new_handler(fail_allocation);
    std::set_terminate(end_without_memory);
  }
};
[[gnu::init_priority(101)]] const MemoryHandlers memory_handlers;

/// Runs the chosen command; returns the exit code.
int run(int argc, char** argv) {
  CLI::App app{
      "dream: multimodal recommendation. Trains, evaluates and serves DREAM and the models it is compared with."};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("dream ") + program_version);
  app.footer("\n`dream COMMAND --help` explains a command.");
  Chosen chosen;
  add_train(app, chosen);
  add_tune(app, chosen);
  add_study(app, chosen);
  add_report(app, chosen);
  add_diagnose(app, chosen);
  add_evaluate(app, chosen);
  add_recommend(app, chosen);
  add_similar(app, chosen);
  add_export(app, chosen);
  add_verify(app, chosen);
  add_inspect(app, chosen);
  add_synth(app, chosen);
  add_compare(app, chosen);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::string subject = "dream";
    std::vector<std::string> known;
    CLI::App* parsed = &app;
    if (!app.get_subcommands().empty()) {
      parsed = app.get_subcommands().front();
      subject += " " + parsed->get_name();
    }
    std::string message = error.what();
    // CLI11 says that something is unknown, or that a command is missing; say which, and what may have been meant.
    std::string unknown;
    if (parsed == &app && argc > 1) {
      unknown = argv[1];
      for (const CLI::App* other : app.get_subcommands({})) known.push_back(other->get_name());
      for (const CLI::Option* option : app.get_options()) known.push_back(option->get_name());
    } else if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
      const std::vector<std::string> extras = app.remaining(true);
      if (!extras.empty()) unknown = extras.front();
      for (const CLI::Option* option : parsed->get_options()) known.push_back(option->get_name());
    }
    if (!unknown.empty()) {
      message = "unknown argument '" + unknown + "'" + did_you_mean(unknown.substr(0, unknown.find('=')), known);
    }
    print_error(dream::excerpt(message));
    print_message("See '", subject, " --help'.");
    return Exit::usage;
  }
  return chosen();
}

/// Says once that the system does not give the program the threads that it wants.
void note_missing_threads(int threads, int wanted) {
  static std::atomic<bool> said = false;
  if (!said.exchange(true))
    print_note("the system gives no more threads (ulimit -u?), so ", threads, " of ", wanted, " are at work");
}

}  // namespace

int main(int argc, char** argv) {
  reserve_standard_descriptors();
  ignore_write_signals();
  clean_up_on_signals();
  dream::on_missing_threads = note_missing_threads;
  try {
    const int code = run(argc, argv);
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      if (output_has_no_reader()) end_as_broken_pipe();
      dream::fail("standard output: cannot be written");
    }
    return code;
  } catch (const dream::broken_pipe&) {
    end_as_broken_pipe();
  } catch (const std::bad_alloc&) {
    print_out_of_memory();
  } catch (const std::length_error&) {  // of a container
    print_out_of_memory();
  } catch (const dream::error& error) {
    const bool lacks_memory = std::string_view(error.what()).starts_with("out of memory");
    print_error(lacks_memory ? dream::concat(error.what(), " while ", detail::activity.load()) : error.what());
  } catch (const std::exception& error) {
    print_error(dream::excerpt(error.what()));
  }
  return Exit::failure;
}
