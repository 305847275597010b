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
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

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
  /// `rounds` damages drawn at random, each repaired, repaired with a fault of the disk, repaired
  /// again after a kill, started after a kill, undone, and undone after a start; all stopped next
  /// to operations beside which fewer than `states_min` distinct states have been judged.
  void Explore(std::uint64_t rounds, std::uint64_t states_min);
  const sim::SiteTable& sites() const { return sites_; }
  /// Distinct states per site number.
  const std::vector<std::uint64_t>& by_site() const { return by_site_; }
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
  Status Undo(sim::SimFileSystem& machine, const std::string& id, bool force = false);
  std::string RepairedWell(const sim::Image& damaged, bool& refused);
  std::string KilledAt(const sim::Image& damaged, const View& before, std::uint64_t operation);
  /// What one repair, start or undo did to the disk; kUndoOver is forced.
  enum class Deed : std::uint8_t { kRepair, kStart, kUndo, kUndoOver };
  struct Episode {
    sim::DiskState start;
    std::vector<sim::Op> trace;
    std::vector<sim::ReadMark> reads;
  };
  Episode Play(const sim::DiskState& start, Deed deed, std::string& id,
               const std::optional<sim::Fault>& fault = {});
  /// The disk after a kill at a random operation.
  sim::DiskState KilledIn(const Episode& episode);
  std::optional<sim::Image> DrawDamage();
  void ExploreRound(const sim::Image& damaged, std::uint64_t states_min);
  void ExploreEpisode(const Episode& episode, const View& before, std::uint64_t states_min);
  std::string JudgeStopped(const sim::DiskState& left, const View& before);
  void Fail(const std::string& where, const std::string& text);

  const Specimen& specimen_;
  DamageSweep damages_;
  RepairTally tally_;
  std::uint64_t repairs_ = 0;  // each has its own id
  sim::SiteTable sites_;
  std::vector<std::uint64_t> by_site_;
  std::unordered_set<std::uint64_t> at_sites_;  // hashes of state and site
  Rng rng_{41};
};

}  // namespace duramen::explorer
