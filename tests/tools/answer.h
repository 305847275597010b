// What a verb answers a test: its exit and both of its streams.
#pragma once

#include <string>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/terminal.h"
#include "tools/verify.h"

namespace duramen::tools::testing {

struct Answer {
  ExitCode exit = ExitCode::kClean;
  std::string out;
  std::string err;
  /// Both streams.
  std::string text() const { return out + err; }
};

/// Of `run`, which gets the terminal to write to and returns the exit.
template <typename Run>
Answer Ask(Run run) {
  Terminal terminal{Terminal::Captured{}};
  const ExitCode exit = run(terminal);
  return {exit, terminal.captured_out(), terminal.captured_err()};
}

inline Answer Verify(const std::string& path, Format format = Format::kTable) {
  return Ask([&](Terminal& terminal) {
    return RunVerify({.path = path, .output = {.format = format}}, terminal);
  });
}

}  // namespace duramen::tools::testing
