// What the demos share: the text that they load, an operator's or all licences that are on every
// Debian; the directory that they work in; how they end.
#pragma once

#include <cstdint>
#include <string>

#include "duramen/result.h"
#include "tools/exit_code.h"
#include "tools/terminal.h"

namespace duramen::tools {

/// Kills need lines in flight.
inline constexpr std::uint64_t kDemoLinesMin = 2000;

struct DemoText {
  std::string text;
  std::uint64_t copies = 1;
};
/// `file` empty: the licences. Repeated until it has `lines_min`, or once more would be above 64
/// MiB. Errors: kNotFound, kIo, kTooLarge (over 1 GiB).
Result<DemoText> ReadDemoText(const std::string& file, std::uint64_t lines_min);

/// `wanted` empty: a fresh one in the current directory. Errors: kRefused (it is not empty), kIo.
Result<std::string> MakeDemoDirectory(const std::string& wanted);

Status WriteDemoFile(const std::string& dir, const std::string& name, const std::string& text);

/// Says what went wrong, if anything.
ExitCode EndDemo(const Result<ExitCode>& exit, Terminal& terminal);
/// Of what a demo made in `dir`; empty: nothing.
void CleanUpDemo(const std::string& dir, bool keep, Terminal& terminal);

}  // namespace duramen::tools
