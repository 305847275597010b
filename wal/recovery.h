// From what stands on disk to a WAL that can be appended to [A5, A12].
//
//   Scan    reads every file, gives the tail verdict, replays what counts. Changes nothing.
//   Commit  1. a new file, its directory entry durable
//           2. valid batches past the last proof (and small older files, so that restarts do not
//              pile files up) copied into it under new numbers, then rows that record damage, and
//              rows and bounds that stood in front of the first live entry: that is let go
//           3. sync
//           4. its header, both copies; sync. This is the commit: until here the old files are
//              judged afresh by the next start, whatever a crash left.
//           5. files that no longer count go to the pool
// Nothing is ever appended behind a tear; nobody sends, serves or acknowledges before step 4.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/rng.h"
#include "duramen/log_store.h"
#include "wal/file_pool.h"
#include "wal/landed.h"
#include "wal/port.h"
#include "wal/replay.h"
#include "wal/scan.h"
#include "wal/verdict.h"
#include "wal/wal_end.h"

namespace duramen::wal {

struct TouchedLog {
  ServerUid uid;
  Index first = 0;  // inclusive; 0 with last = 0: rows only, or not known
  Index last = 0;
  bool rows = false;
};

struct WalFinding {
  FindingKind kind = FindingKind::kTornTail;
  std::uint64_t file = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t batch = 0;
  std::string sentence = {};
  std::vector<TouchedLog> touched = {};
};

struct RecoveryOptions {
  SystemUuid system;
  std::uint64_t file_size_bytes = 0;
  std::uint64_t row_file_bytes = 0;
  std::uint64_t spare_files = 2;
  SyncMethod sync_method = SyncMethod::kDatasync;
  bool packs = false;                 // runs of entries, where that pays
  std::uint64_t merge_bytes_max = 0;  // older content copied forward at most
  FileEnd covered = {};  // files up to it are not needed; they stay until they are retired
  const std::vector<LogSeed>* seeds = nullptr;  // what checkpoints and segments say; outlives Scan
  /// What ScanBatches told of the same files; they are not scanned again. Null: they are; outlives
  /// Scan.
  const std::vector<FileSummary>* scanned = nullptr;
  /// Of the WAL that had the directory a moment ago. Null: nothing is known; outlives Scan.
  const WalEnd* after = nullptr;
  Directory* away = nullptr;  // the fail-over directory; null: there is none; outlives Commit
  ServerUid left_out = {};    // whose entries and marks are not looked at [B9]
  /// Called before work on a log's records; may be null.
  void (*note)(void* argument, const ServerUid& uid) = nullptr;
  void* note_argument = nullptr;
};

/// The last batch that is durable with all before it, and where the next one goes.
struct WalPosition {
  std::uint64_t batch = 0;       // number of the last one in the chain
  std::uint64_t checksum = 0;    // its header checksum
  std::uint64_t next_batch = 1;  // numbers are never reused
  std::uint64_t offset = kFirstBatchOffset;
};

struct LiveFile {
  std::uint64_t number = 0;
  std::uint64_t life = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t zeroed_bytes = 0;
  bool rows_only = false;  // put into service as a row file
  Place place = Place::kHome;
  std::shared_ptr<File> file;
};

/// A row as the WAL writes it again in the next batch.
struct RowCopy {
  RecordOwner owner;
  std::uint8_t kind = 0;
  std::vector<std::byte> payload;
};

class Recovery {
 public:
  /// All outlive the recovery.
  Recovery(Directory& directory, const RecoveryOptions& options, Clock& clock, Rng& rng);
  ~Recovery();

  /// Errors: kIo (also when a file changed under the reader's hands), kUnknownVersion. Damage is no
  /// error but a finding.
  Status Scan(RowKeeper& keeper);
  /// Errors: kIo, kDiskFull; nothing that counted is lost then, and Scan can be run again.
  Status Commit(FilePool& pool, const std::vector<RowCopy>& extra_rows, RowKeeper& keeper);

  const TailVerdict& verdict() const { return verdict_; }
  const std::vector<FileSummary>& files() const { return files_; }
  Replay& replay() { return replay_; }
  const std::vector<WalFinding>& findings() const { return findings_; }
  std::uint64_t boot() const { return boot_; }
  std::uint64_t bytes_read() const { return bytes_read_; }
  std::uint64_t copied_batches() const { return copied_batches_; }
  /// That hold entries or marks which were not looked at; after Commit also the new file, if they
  /// were copied into it.
  const std::set<std::uint64_t>& left_out_files() const { return left_out_files_; }
  /// Above every name there is, also of what is no file.
  std::uint64_t next_file_number() const {
    return std::max(verdict_.highest_file, highest_name_) + 1;
  }
  bool empty() const { return files_.empty(); }
  /// After Commit: a file in the fail-over directory is still needed, or may be.
  bool away_counts() const { return away_counts_; }
  /// Files that hold nothing that counts and may be renamed before the commit.
  void OfferSpares(FilePool& pool) const;

  // After Commit.
  std::vector<LiveFile> TakeLiveFiles() { return std::move(live_files_); }
  WalPosition position() const { return position_; }
  std::vector<RowCopy> TakeRepeats() { return std::move(repeats_); }
  /// What the new file follows; a file that may be gone, where a checkpoint covers it.
  FileEnd base() const { return base_; }
  /// The bounds of all logs at the end of the base, by slot; none where the base is not a file that
  /// was kept, or is not known to end there.
  const std::vector<SlotBounds>* base_bounds() const {
    return keeps_files() && first_copied_ == base_batches_ ? &base_bounds_ : nullptr;
  }
  /// Slots that the new file's batches have bound.
  const std::map<std::uint32_t, RecordOwner>& bound() const { return bound_; }

 private:
  /// An open file with its window.
  struct Source {
    std::shared_ptr<File> file;
    Place place;
    FileWindow window;
    Source(std::shared_ptr<File> opened, Place there, std::uint64_t size_bytes)
        : file(std::move(opened)), place(there), window(*file, size_bytes) {}
  };
  Status OpenFiles();
  Status ScanFiles();
  bool ScanAfter(const WalEnd& end);
  bool ScanLast(const WalEnd& end, std::size_t file);
  void ScanWhole(std::size_t file);
  Result<std::unique_ptr<Source>> OpenSource(std::uint64_t number, std::uint64_t size_bytes) const;
  void GiveTo(FilePool& pool, std::size_t file) const;
  Status OpenScanned();
  void OnMissingStart();
  bool Unsynced() const;
  void JudgeFindings();
  void FindingForShortFile(const FileSummary& file);
  void FindingForCut();
  void ReplayBatch(const JudgedBatch& batch, RowKeeper& keeper);
  void ReplayIntact(const JudgedBatch& batch, Source& source, RowKeeper& keeper);
  void ReplayDamaged(const JudgedBatch& batch, Source& source, RowKeeper& keeper);
  void ReplayRun(const RunView& run, const JudgedBatch& batch, RowKeeper& keeper);
  void ReplayDamagedRun(const DamagedRun& damage, const JudgedBatch& batch, WalFinding& finding);
  void ReplayRows(const RunView& run, const RecordOwner& owner, std::uint64_t file,
                  RowKeeper& keeper);
  void PlanCopy(RowKeeper& keeper);
  std::size_t FirstRowsOnly() const;
  bool HoldsEntries(const JudgedBatch& batch) const;
  std::size_t FirstCopied() const;
  void CarryRowFiles(RowKeeper& keeper);
  bool MayLetGo() const;
  std::size_t FirstLive() const;
  bool Carry(std::uint64_t file_max, RowKeeper& keeper);
  bool LetGoBefore(std::size_t file) const;
  bool keeps_files() const { return first_copied_ > first_kept_; }
  std::uint64_t OldestKept() const;
  Status CopyBatch(const JudgedBatch& batch, File& file, const FileContext& context);
  Status WriteExtraRows(const std::vector<RowCopy>& extra_rows, File& file,
                        const FileContext& context);
  void EncodeRow(const RowCopy& row, std::uint8_t flags, BatchEncoder& encoder);
  void EncodeBounds(std::uint32_t slot, BatchEncoder& encoder) const;
  Status WriteBatch(File& file, BatchEncoder& encoder, BatchHeader& header);
  void AttributeSuspicions();
  bool IsNamed(const ServerUid& uid, const IndexRange& range) const;
  IndexRange WalPartOf(const ServerUid& uid, IndexRange hole) const;
  bool ChainWhole() const;
  bool RowsNamed(const ServerUid& uid) const;
  bool NeverCommitted(std::size_t orphan) const;
  bool RowsRepeatedAfter(std::size_t judged) const;
  std::optional<RecordOwner> GuessOwner(const RunView& run, const FileContext& context) const;
  void ResolveSlots(const std::vector<RunView>& runs, const JudgedBatch& batch);
  bool LeavesOut(const RecordOwner& owner) const;
  void OnOrphanRun(const RunView& run, const JudgedBatch& batch);
  std::size_t FileIndex(std::uint64_t number) const;
  std::uint64_t FileBefore(std::uint64_t number) const;
  Status WriteHeader(File& file, const FileHeader& header);
  Status SyncFile(File& file) const;
  FileHeader MakeHeader(const PoolFile& made, std::uint64_t life) const;
  Status RenewHeader(std::size_t file);
  Status SettleChain(FilePool& pool);
  bool Superseded(std::size_t orphan) const;
  Status FillFile(PoolFile& made, const std::vector<RowCopy>& extra_rows);
  std::uint64_t CopyBytes(const std::vector<RowCopy>& extra_rows) const;
  std::uint64_t ExtraBytes(const std::vector<RowCopy>& extra_rows) const;
  void KeepOldFiles();
  void RetireOldFiles(FilePool& pool);
  static RowCopy CopyOf(const RecordView& record, const RecordOwner& owner);
  /// Where a run of an old file stands in the new one, and its rows.
  struct Relocated {
    std::uint64_t offset = 0;
    std::vector<RowCopy> rows = {};
  };
  struct CopiedRun {
    const RunView& run;
    const FileContext& context;
    const RecordOwner& owner;
    const RunHeader& copy;  // its header in the new file
  };
  bool CopyRecords(const CopiedRun& from, BatchEncoder& encoder, Relocated& place);

  Directory& directory_;
  RecoveryOptions options_;
  Clock& clock_;
  Rng& rng_;
  std::vector<FileSummary> files_;
  std::vector<std::unique_ptr<Source>> sources_;
  TailVerdict verdict_;
  Replay replay_;
  std::map<std::size_t, SlotTable> slot_tables_;  // by file in files_
  std::vector<WalFinding> findings_;
  std::vector<LiveFile> live_files_;
  std::vector<RowCopy> repeats_;
  bool copied_packed_ = false;  // a run, to the new file
  std::map<std::uint32_t, RecordOwner> bound_;  // slots bound in the new file
  WalPosition position_;
  // In verdict_.batches: those from first_copied_ on are copied, those from first_kept_ on stay
  // where they are, and those before are let go.
  std::size_t first_copied_ = 0;
  std::size_t first_kept_ = 0;
  std::vector<RowCopy> carried_;               // rows that stood in what is let go
  std::vector<std::uint32_t> carried_bounds_;  // slots
  // Or: batches from rows_from_ on hold rows and marks, and are carried.
  std::size_t rows_from_ = 0;
  std::vector<SlotBounds> rows_bounds_;  // of all logs in front of them
  std::vector<RunHeader> carried_marks_;
  bool away_counts_ = false;
  std::uint64_t highest_name_ = 0;
  std::uint64_t boot_ = 1;
  std::uint64_t changed_in_ = 0;  // a file that said two things in one scan; 0: none
  std::uint64_t bytes_read_ = 0;
  std::uint64_t copied_batches_ = 0;
  FileEnd base_;
  std::size_t base_batches_ = 0;  // in verdict_.batches: those that stay where they are
  std::vector<SlotBounds> base_bounds_;
  std::uint64_t new_file_number_ = 0;
  std::uint64_t new_life_ = 0;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Relocated> relocated_;  // {file, offset}
  std::vector<std::size_t> unattributed_;                                   // in findings_
  std::set<std::uint64_t> left_out_files_;
  std::set<std::pair<std::size_t, std::uint32_t>> orphan_slots_;  // file in files_, slot
};

}  // namespace duramen::wal
