// What a core says and does, in words, for transcripts. Servers are named by the last byte of their
// uid.
#pragma once

#include <string>
#include <vector>

#include "server/core/core.h"

namespace duramen::core {

/// "1..3@1 4@2": entries 1 to 3 of term 1 and entry 4 of term 2.
std::string RunsInWords(Index begin, const std::vector<TermRun>& runs);
std::string LogInWords(const TermMap& log);
std::string MembersInWords(const Configuration& members);
/// "AppendEntries term 2 after 3@1 entries 4@2 commit 3".
std::string MessageInWords(const Message& message);
/// One line each, in the order of execution.
std::vector<std::string> EffectsInWords(const Effects& effects);
/// "leader of term 2", "follower of 3 in term 2", "down".
std::string RoleInWords(const Core& core);
std::string FaultInWords(const Fault& fault);

}  // namespace duramen::core
