// The damage sweep for `repair`: a damaged store is repaired, shown to be clean, and put back; and
// a repair is killed at its every step.
//
// What a contained start of the damaged store shows is the measure: afterwards every entry that it
// could read is there, whatever it could not read makes its log faulty, and a `strict` start finds
// nothing. An undo gives back the damaged disk byte for byte. A kill, or a power loss, anywhere in
// between leaves a store that shows the same, and that can be repaired.
//
// Owned by the test; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "log/mend.h"
#include "tests/explorer/damage_sweep.h"

namespace duramen::explorer {

struct RepairTally {
  std::uint64_t repairs = 0;
  std::uint64_t faulty = 0;   // of them, those that left a faulty log
  std::uint64_t refused = 0;  // SYSTEM and IDENTITY do not tell whose directory it is
  std::uint64_t kills = 0;    // repairs that ended at one of their operations
  std::map<std::string, std::pair<std::string, std::uint64_t>> failures;  // as SweepTally
};

class RepairSweep {
 public:
  explicit RepairSweep(const Specimen& specimen) : specimen_(specimen), damages_(specimen) {}
  /// Every file; of each every `stride`th byte and, each in its turn, one of the damages.
  void Run(std::uint64_t stride);
  /// One mutation: repaired, judged, undone.
  void Try(std::size_t file, Damage damage, std::uint64_t offset);
  /// The same, killed at every `stride`th operation on the disk; every other time with a loss of
  /// power.
  void TryKilled(std::size_t file, Damage damage, std::uint64_t offset, std::uint64_t stride);
  const DamageSweep& damages() const { return damages_; }
  const RepairTally& tally() const { return tally_; }

 private:
  /// Name of a log, and what it shows.
  struct Seen {
    Index begin = 0;
    Index end = 0;
    bool faulty = false;
    std::string rows;  // vote and values
    std::map<Index, ModelEntry> readable;
  };
  using View = std::map<std::string, Seen>;  // by uid
  Result<View> Look(sim::SimFileSystem& machine, RecoveryMode mode);
  /// What can be read; `faults` too, or only that.
  static std::string Compare(const View& before, const View& after, bool faults);
  Status Repair(sim::SimFileSystem& machine, std::string& id);
  Status Undo(sim::SimFileSystem& machine, const std::string& id);
  std::string RepairedWell(const sim::Image& damaged, bool& refused);
  std::string KilledAt(const sim::Image& damaged, const View& before, std::uint64_t operation);
  void Fail(const std::string& where, const std::string& text);

  const Specimen& specimen_;
  DamageSweep damages_;
  RepairTally tally_;
  std::uint64_t repairs_ = 0;  // each has its own id
};

}  // namespace duramen::explorer
