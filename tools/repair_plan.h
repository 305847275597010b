// What a repair would do, from what verify found and what was asked for. Pure.
//
// The plan speaks of what is lost and of whom; how it is done (on a copy, then by a journal) is
// log/repair.h. What contains damage by itself is always in it; what gives entries up only for the
// server that was named.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "duramen/log_store.h"
#include "duramen/result.h"
#include "meta/row.h"

namespace duramen::tools {

enum class RepairAction : std::uint8_t { kNone, kTruncate, kFill, kRejoin };

struct RepairRequest {
  RepairAction action = RepairAction::kNone;
  Index index = 0;     // kTruncate: the first entry that goes
  bool force = false;  // the server is healthy afterwards, whoever else has a vote [C15]
};

struct RepairTouched {
  ServerUid uid;
  Index first = 0;  // inclusive; 0 with last = 0: rows only, or not known
  Index last = 0;   // inclusive; 0: unknown
  bool rows = false;
};

struct RepairFinding {
  FindingKind kind = FindingKind::kDamage;
  std::string file;  // below the data directory
  bool failed_check = false;
  bool acknowledged = false;
  std::vector<RepairTouched> touched;
};

struct RepairServer {
  ServerUid uid;
  std::string name;
  Index begin = 1;
  Index end = 1;
  meta::FaultyRow fault;  // of its row; not faulty: nothing is recorded
};

struct RepairFacts {
  std::string path;  // of the data directory, for the commands that are named
  std::vector<RepairFinding> findings;
  std::vector<RepairServer> servers;   // those that are faulty by their row
  std::vector<std::string> strangers;  // in the place of our files, and no regular files
  std::optional<RepairServer> target;  // of the request
};

enum class RepairStepKind : std::uint8_t {
  kRestoreSystem,       // SYSTEM or an IDENTITY, from what the others say
  kEmptyWal,            // into segments, but for what cannot be read
  kRewriteSegments,     // of a server, without what cannot be read
  kRebuildCheckpoints,  // from each other, the WAL and the segments
  kRemoveLeftover,
  kMarkFaulty,  // a server, for what is lost
  kTruncate,
  kFill,
  kRejoin,
};
const char* RepairStepName(RepairStepKind kind) noexcept;

struct RepairStep {
  RepairStepKind kind = RepairStepKind::kEmptyWal;
  std::string file;  // below the data directory; empty: of no single file
  ServerUid uid;     // nil: of no single server
  Index first = 0;   // inclusive; 0 with last = 0: rows, or nothing that is lost
  Index last = 0;    // inclusive; 0: unknown
  std::string sentence;
};

struct RepairPlan {
  std::vector<RepairStep> steps;  // each kind together, in the order above
  std::vector<std::string> next;  // commands for what needs a decision
};

/// Errors: kInvalidArgument (an index outside the log), kRefused (a stranger in the way; a server
/// that is not faulty, without `force`; nothing to fill).
Result<RepairPlan> PlanRepair(const RepairFacts& facts, const RepairRequest& request);

}  // namespace duramen::tools
