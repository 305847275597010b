// What the records of a WAL mean for each log when they are read in order: bounds, terms, epochs,
// where entries landed, and what is missing. Pure; fed by recovery, and by `verify` and `dump`.
//
// The later write wins, whatever its term [figure 8 of the Raft paper]; only `overwrite`, `jump`
// and marks cut. What an unreadable run held is known from its summary, so the log goes on with a
// hole. Where nothing says whose bytes were lost, a log is suspect until a later record of it fits
// without a gap [B5].
#pragma once

#include <cstdint>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "wal/batch.h"
#include "wal/landed.h"

namespace duramen::wal {

struct TermRun {
  Index first = 0;
  Term term = 0;
};

/// A log's state between two records. Entries are [begin, end).
struct SlotBounds {
  Index begin = 1;
  Index end = 1;
  Term term_before_begin = 0;
  Term last_term = 0;
  std::uint64_t epoch = 0;
};

/// What a run of entries or a mark makes of them.
void Advance(SlotBounds& bounds, const RunHeader& run);

struct ReplayedLog {
  RecordOwner owner;
  std::uint32_t slot = 0;  // in this boot
  SlotBounds bounds;
  std::vector<TermRun> terms;     // in order; the first may begin below bounds.begin
  std::vector<IndexRange> holes;  // acknowledged entries that cannot be read
  bool suspect = false;           // may have lost records at its end; nothing later clears it
  bool rows_lost = false;         // a row may be lost: term and vote cannot be trusted [A1]
  bool has_records = false;
  std::uint64_t lowest_row = UINT64_MAX;  // sequence, of the rows that could be read
  std::uint64_t covered_file = 0;         // what files up to it say is in `bounds` already
};

/// What a checkpoint and segments say of a log.
struct LogSeed {
  RecordOwner owner;
  SlotBounds bounds;           // as of the end of covered_file
  std::vector<TermRun> terms;  // of what is in segments
  std::vector<IndexRange> holes;
  Index flushed_end = 1;  // entries below it are in segments
  std::uint64_t covered_file = 0;
};

class Replay {
 public:
  /// Before the first run. Runs of that log in files up to covered_file are ignored from then on.
  void Seed(const LogSeed& seed);
  /// Slots of this boot, given out in order of first appearance.
  std::uint32_t SlotOf(const RecordOwner& owner);
  const ReplayedLog* Find(const ServerUid& uid) const;
  std::vector<ReplayedLog>& logs() { return logs_; }
  const std::vector<ReplayedLog>& logs() const { return logs_; }
  std::uint64_t entries() const { return entries_; }

  /// One readable run at its place in file `file`. Rows are the caller's. Collects what landed.
  void OnRun(const RunView& run, const RecordOwner& owner, std::uint64_t file);
  /// A run of which [damage.first, damage.last] cannot be read.
  void OnDamagedRun(const DamagedRun& damage, const RecordOwner& owner, std::uint64_t file,
                    std::uint64_t offset);
  /// Bytes lost of `file` of which nothing says whose: every log known so far becomes suspect.
  void OnUnattributedLoss(std::uint64_t file);
  /// The same of rows, and nothing readable behind it repeats them.
  void OnRowsUnattributed(std::uint64_t file);
  /// The rows of `run`, with sequences from run.first on, may not be readable; each is cleared by a
  /// readable copy of it.
  void OnDamagedRows(const RecordOwner& owner, const RunHeader& run);
  void OnReadableRow(const RecordOwner& owner, std::uint64_t sequence);
  const std::vector<LandedIndex::Change>& changes() const { return changes_; }
  /// Moves the collected changes out.
  std::vector<LandedIndex::Change> TakeChanges() { return std::move(changes_); }
  /// Entries that recovery copied stand in another place now.
  template <typename Place>
  void Relocate(Place place) {
    for (LandedIndex::Change& change : changes_) {
      if (change.kind != LandedIndex::Change::Kind::kAdd) continue;
      std::tie(change.run.file, change.run.offset) = place(change.run.file, change.run.offset);
    }
  }
  bool Covers(const ServerUid& uid, std::uint64_t file) const {
    const ReplayedLog* log = Find(uid);
    return log != nullptr && file <= log->covered_file;
  }
  /// Of all logs at this point, by slot.
  std::vector<SlotBounds> BoundsNow() const;
  /// After the last batch: decides what of the suspicions stands.
  void Finish();

 private:
  ReplayedLog& LogOf(const RecordOwner& owner) { return logs_[SlotOf(owner)]; }
  void CheckEpoch(ReplayedLog& log, const RunHeader& run);
  void ApplyEntries(ReplayedLog& log, const RunHeader& run, LandedRun landed);
  void ApplyMark(ReplayedLog& log, const RunHeader& run);
  void ApplyBounds(ReplayedLog& log, const RunView& run);
  void Cut(ReplayedLog& log, Index new_end);
  void RaiseBegin(ReplayedLog& log, Index begin, Term term_before);
  void Reset(ReplayedLog& log, Index begin, Term term_before);
  void BeginAt(ReplayedLog& log, Index first);
  void AddHole(ReplayedLog& log, IndexRange range);
  void OnLostCut(ReplayedLog& log, Index end);

  std::unordered_map<Uid128, std::uint32_t, Uid128Hash> slots_;
  std::vector<ReplayedLog> logs_;
  std::vector<LandedIndex::Change> changes_;
  bool rows_unattributed_ = false;
  std::set<std::pair<Uid128, std::uint64_t>> damaged_rows_;  // uid and row sequence
  std::uint64_t entries_ = 0;
};

}  // namespace duramen::wal
