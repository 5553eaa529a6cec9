// Standard input, output and error as the program finds them: closed, or pipes that nobody reads any more.
#pragma once

namespace dream_cli {

/// Opens /dev/null for each of the descriptors 0, 1 and 2 that is closed: otherwise the next file that is opened would
/// get its number, and what is printed would be written into it.
void reserve_standard_descriptors();

/// Lets writes fail with an error (EPIPE, EFBIG) where a signal would end the program.
void ignore_write_signals();

/// Whether standard output is a pipe or a socket whose other end is closed.
bool output_has_no_reader();

/// Ends the program as SIGPIPE does: without a word, with the status of the signal.
[[noreturn]] void end_as_broken_pipe();

}  // namespace dream_cli
