// The crash-point explorer: runs a workload on a simulated disk, and at every boundary of the trace
// of disk operations restarts the store on disks that a crash there may leave, judging each against
// the model. Some of the restarted stores are used and crashed again, inside their recovery and
// after it.
//
// A state is named by a RunId: the seed, the workload, and the crashes on the way to it. The same
// id gives the same state in the same build, so a failure is replayed by its id.
//
// A crash point belongs to the operations next to it: the one that had just returned, the one about
// to begin or under way (a torn write is judged at the boundary behind it), and the reads in
// between.
//
// Owned by a test or by duramen_explorer; one thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "tests/explorer/session.h"
#include "tests/explorer/workload.h"
#include "sim/crash_states.h"

namespace duramen::explorer {

/// How the machine went down: power loss under a profile, or a kill that leaves the page cache.
enum class Crash : std::uint8_t { kExt4, kAdversary, kKill };
inline constexpr std::size_t kCrashKinds = 3;
const char* CrashName(Crash crash);

struct CrashPoint {
  std::uint32_t boundary = 0;  // operations of the trace that had returned
  Crash crash = Crash::kExt4;
  std::uint64_t ordinal =
      0;  // of CrashStates; of a kill: sectors of the next write that got through
};

struct RunId {
  std::uint64_t seed = 0;
  std::uint32_t workload = 0;
  std::vector<CrashPoint> crashes;
  std::uint64_t Hash() const;
  /// "17/append-and-roll/120.ext4.5/9.kill.0"
  std::string ToString() const;
  static std::optional<RunId> Parse(std::string_view text);
};

struct Failure {
  RunId id;
  std::string text;
  std::string choice;  // what the last crash kept
  std::string ToString() const;
};

struct Tally {
  std::uint64_t judged = 0;    // restarts, repeats left out
  std::uint64_t distinct = 0;  // by hash of the disk image
  std::uint64_t doubles = 0;   // distinct ones whose last crash was inside a recovery
  std::uint64_t later = 0;     // distinct ones whose last crash was after a recovery
  std::uint64_t lives = 0;     // stores that were used
  std::array<std::uint64_t, kCrashKinds> by_crash{};
  std::array<std::uint64_t, kWorkloadCount> by_workload{};
  std::array<std::uint64_t, kWorkloadCount> rolls{};
  std::array<std::uint64_t, kWorkloadCount> runs{};
  std::array<std::uint64_t, kWorkloadCount> rolls_min{};  // fewest in one run
  std::vector<std::uint64_t> by_site;                     // distinct states per site number
};

class Explorer {
 public:
  /// Runs begin at `seed` and take turns over the workloads.
  /// With `keep_going` a failure is noted and exploring goes on; RunNext is then always true.
  explicit Explorer(std::uint64_t seed, bool keep_going = false)
      : next_seed_(seed), keep_going_(keep_going) {}
  /// Explores the next run, of `workload` or of the one whose turn it is, up to about `states`
  /// restarts. False when it found a failure.
  bool RunNext(std::uint64_t states, std::optional<std::uint32_t> workload = std::nullopt);
  /// Plays one state again, and shows each life on the way to `watch`, if there is one. Returns the
  /// failure, if it still fails.
  std::optional<Failure> Replay(const RunId& id,
                                void (*watch)(const RunId&, const Session&) = nullptr);

  /// The first one.
  const std::optional<Failure>& failure() const { return failure_; }
  /// The first of each sort (texts that differ in numbers only), and how many there were.
  const std::map<std::string, std::pair<Failure, std::uint64_t>>& failures() const {
    return failures_;
  }
  const Tally& tally() const { return tally_; }
  const sim::SiteTable& sites() const { return sites_; }
  std::uint64_t next_seed() const { return next_seed_; }
  /// Fewest states at any crash site; sites that only reads have included.
  std::uint64_t FewestAtASite() const;

 private:
  struct LifeLimits {
    std::uint64_t states = 0;  // about so many restarts
    bool full = false;         // some of the restarted stores are used, and crashed again; else
                               // only those that do what few crashes have interrupted
  };
  SessionOptions OptionsOf(const RunId& id) const;
  static std::uint32_t ActionsOf(const RunId& id);
  /// Starts the life that `id` leads to, and uses it. Null when it failed (failure_ is set).
  std::unique_ptr<Session> Live(const RunId& id, const sim::DiskState& disk, Admissible before);
  bool ExploreLife(const RunId& id, Session& life, const LifeLimits& limits);
  bool ExploreBoundary(const RunId& id, Session& life, const sim::DiskState& disk,
                       const LifeLimits& limits);
  bool ExploreState(const RunId& id, Session& life, const sim::DiskState& crashed,
                    const LifeLimits& limits);
  /// Restarts once, observes, and when it must be lasting loses power and restarts again.
  bool Restart(const RunId& id, const sim::DiskState& disk, const Admissible& admissible);
  /// The same with the newer of two whole checkpoints damaged.
  bool RestartOnOneCheckpoint(const RunId& id, const sim::DiskState& disk,
                              const Admissible& admissible);
  bool restart_was_rare_ = false;  // of the last Restart
  bool Note(const RunId& id, std::uint64_t hash, std::uint64_t moment);
  bool IsRare(std::uint32_t site) const;
  /// Whether the boundary being explored is one of an operation on segments or checkpoints.
  bool BesideAFlush() const;
  /// Whether a restart did something that few crashes have interrupted.
  bool ReachesARareSite(const sim::SimFileSystem& machine) const;
  /// Whether to go on.
  bool Fail(const RunId& id, const std::string& text);
  std::uint64_t Attempts(const Session& life, std::size_t boundary, std::uint64_t usual) const;
  void CollectSites(const Session& life, std::size_t boundary);

  std::uint64_t next_seed_;
  bool keep_going_;
  sim::SiteTable sites_;
  Tally tally_;
  std::optional<Failure> failure_;
  std::map<std::string, std::pair<Failure, std::uint64_t>> failures_;  // by sort
  std::string choice_;                                                 // of the state being judged
  std::unordered_set<std::uint64_t> images_;                           // hashes seen
  std::unordered_set<std::uint64_t> judged_;    // image and moment, within one run
  std::unordered_set<std::uint64_t> at_sites_;  // image and site, within one run
  std::vector<std::uint32_t> boundary_sites_;   // next to the boundary being explored
  Rng rng_{1};                                  // picks ordinals; reseeded for each run
};

/// The state that `point` leaves of a machine with `disk`, whose next operation would be `next`.
/// `choice` says what was kept.
sim::DiskState Crashed(const sim::DiskState& disk, const sim::Op* next, const CrashPoint& point,
                       std::string& choice);
/// The id that the running state has, for a handler of SIGABRT; empty when none runs.
const char* CurrentStateName();

}  // namespace duramen::explorer
