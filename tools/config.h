// `duramen config show|check FILE|explain KEY|page`: the settings, where each value comes from, and
// what it may be [CT1].
#pragma once

#include <string>

#include "tools/exit_code.h"
#include "tools/output.h"
#include "tools/settings_stack.h"
#include "tools/terminal.h"

namespace duramen::tools {

/// Every setting with its value and where that comes from. Exit 0, 2 for a wrong one.
ExitCode RunConfigShow(const SettingSources& sources, const OutputOptions& output,
                       Terminal& terminal);
/// Exit 0 when a store would start with `sources`, 2 and the reason when not.
ExitCode RunConfigCheck(const SettingSources& sources, const OutputOptions& output,
                        Terminal& terminal);
/// Of a store or a system. Exit 0, 2 for a setting that there is not.
ExitCode RunConfigExplain(const std::string& key, const OutputOptions& output, Terminal& terminal);
/// docs/settings.md: all of them, as a page. Exit 0.
ExitCode RunConfigPage(Terminal& terminal);

}  // namespace duramen::tools
