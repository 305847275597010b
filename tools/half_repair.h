// A repair, or the undo of one, that was stopped after its commit: quarantine/PENDING. Until it is
// finished some files of the store are from before it and some from after it, so that what looks
// like damage may be none. Reads only.
#pragma once

#include <optional>
#include <string>

#include "duramen/result.h"
#include "tools/output.h"

namespace duramen::tools {

struct HalfRepair {
  std::string id;  // empty: PENDING cannot be read
  bool undo = false;
  std::string data_dir;
};

/// Nothing: none is pending. Errors: kUnknownVersion.
Result<std::optional<HalfRepair>> ReadHalfRepair(const std::string& data_dir);

/// "repair ID is half in place".
std::string SentenceOf(const HalfRepair& half);
/// What finishes it: a command, or what has to be done by hand.
std::string NextOf(const HalfRepair& half);
/// What a verb ends with that has found it: the sentence, and that nothing else counts.
std::string VerdictSentence(const HalfRepair& half);
/// For programs: its id, "PENDING" where that cannot be read, null where there is none.
Field HalfRepairField(const std::optional<HalfRepair>& half);

}  // namespace duramen::tools
