// The shared write-ahead log: one thread that drains the rings of all Writers and makes a batch of
// what it finds; a write queue makes it durable, and then it says so [PW1]. Nothing is acknowledged
// before its sync returned, in every method but `none` [PW9].
//
// While a batch is written and synced the next one is planned and encoded [PW2]: batches are in
// flight, one behind the other on one I/O thread, or side by side as direct writes. They complete
// in any order; what is acknowledged, what `durable_upto` says, and what the next plan goes on from
// after a failure is the contiguous prefix of complete ones. What is in flight is at most two
// batches of the largest size, so that recovery can copy it. A batch alone, and small, is written
// by the WAL thread itself, which saves two wake-ups.
//
// A batch that finds its file full opens the next one; the file header goes with it in one write,
// before the last batch of the old file is durable, which the tail verdict knows how to judge
// [A12]. There is at most one header in flight.
//
// A failed write or sync poisons the file: it is never written, synced or recycled again. Nothing
// is decided before all else in flight has come back [A14]. What was not acknowledged still stands
// in the rings and goes, in order, to a new file, whose header ends the predecessor at the last
// acknowledged batch. If that fails too the WAL is down: nothing is acknowledged, Append answers
// kWalDown, reads go on, and it tries again once a second.
//
// With a fail-over directory a device that does not answer is left like one that fails: what is in
// flight on it is given up, and stays as it is until it has come back; see wal_failover.cc. Then
// the WAL thread itself writes nothing, or it would wait with the device.
//
// Without space for another file, entries are refused while what is accepted of them still fits the
// current one, and then rows and marks go to a row file; see wal_rows.cc [B3].
//
// When the first batch of the next file is durable, the one before it is a closed generation: it is
// handed to the flusher with the state of all logs at its end, and stays until Retire says that
// nothing of it is needed any more. Files go in number order [A10].
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/actor.h"
#include "base/aligned.h"
#include "base/clock.h"
#include "base/handshake.h"
#include "base/log.h"
#include "base/memory_budget.h"
#include "base/rng.h"
#include "base/write_queue.h"
#include "wal/batch.h"
#include "wal/depth.h"
#include "wal/file_pool.h"
#include "wal/landed.h"
#include "wal/port.h"
#include "wal/recovery.h"
#include "wal/return_policy.h"
#include "wal/status.h"
#include "wal/telling.h"
#include "wal/turns.h"
#include "wal/wal_end.h"

namespace duramen::wal {

struct WalOptions {
  SystemUuid system;
  std::uint64_t boot = 1;
  std::uint64_t max_entries = 0;  // of one file; 0: unset
  std::uint64_t max_files = 16;   // above it new entries are not admitted
  std::uint64_t max_batch_records = 8192;
  std::uint64_t batch_bytes_max = 8u << 20;
  std::uint64_t ring_bytes_max = 0;           // of a Writer's ring, as they stand in a file
  std::uint64_t alone_bytes_max = 64u << 10;  // written by the WAL thread itself, if all is idle
  std::uint64_t idle_bytes_max = 64u << 20;   // of buffers that are kept for later batches
  SyncMethod sync_method = SyncMethod::kDatasync;  // not kAuto
  std::uint64_t pack_bytes_min = 0;  // of a run of entries that may be packed; 0: none is
  std::uint32_t pipeline_depth = 4;  // of direct writes, at most
  bool depth_adapts = true;          // false: it is always the most
  std::int64_t seal_after_ns = 3'000'000;
  std::int64_t stall_ns = 0;     // a write or sync that takes so long is told; 0: none
  std::int64_t failover_ns = 0;  // what is in flight for so long is given up; 0: nothing is
  std::int64_t max_age_ns = 0;   // a file with records is rolled after so long; 0: never
  OnWalDown on_wal_down = OnWalDown::kStay;
};

/// The largest batch that a file of `file_size_bytes` may hold: a quarter of what is usable, so
/// that recovery can copy what was in flight into one file.
std::uint64_t MaxBatchBytes(std::uint64_t file_size_bytes);
/// The largest entry payload that fits such a batch with its binding and run.
std::uint64_t MaxPayloadBytes(std::uint64_t file_size_bytes);

/// What a probe of wal_dir writes and syncs.
inline constexpr std::uint64_t kProbeBytes = 64u << 10;

class Wal final : public Actor {
 public:
  struct Environment {
    Clock& clock;
    ActorExecutor& executor;
    FileSystem& file_system;
    Directory& directory;
    std::vector<const FileLock*> locks;  // held as long as a write may be in flight [A22]
    FilePool& pool;
    Directory* away = nullptr;  // the fail-over directory; its pool is pool.At(Place::kAway)
    File* probe = nullptr;      // in `directory`, kProbeBytes long; null: no way back
    LandedIndex& landed;
    RowKeeper& keeper;
    GenerationSink* sink;  // null: generations stay, a log was left out
    MemoryBudget& budget;
    Log log;
    WalStats& stats;
    WalStatus& status;  // what Writers see
    RunFollower* follower = nullptr;
    SleepSign* asleep = nullptr;  // told to other processes
  };
  /// `recovery` has been committed; everything in `environment` outlives the WAL.
  Wal(const WalOptions& options, const Environment& environment, Recovery& recovery, Rng rng);
  /// Waits for what is in flight.
  ~Wal() override;

  // Actor
  std::int64_t Step() override;
  const char* name() const override { return "wal"; }
  bool HasWork() const override;
  void OnSleep(bool asleep) override;

  // Any thread.
  /// Before the first record of `slot`. A slot may be given again once its log is closed and the
  /// keeper has dropped its tombstone.
  void OpenSlot(std::uint32_t slot, const RecordOwner& owner);
  /// After its last record is durable.
  void CloseSlot(std::uint32_t slot);
  void AddRing(const RingPort* port);
  /// Of another process: what was committed until now is the last that is taken. RingGuard tells
  /// when all of that is durable.
  void EndRing(const RingPort* port);
  /// Returns when the WAL thread no longer touches the port.
  void RemoveRing(const RingPort* port);
  /// Nothing in files up to `file` is needed any more: checkpoints and segments have it.
  void Retire(std::uint64_t file);
  /// The method, but kAuto, by which all later files are written. The current one is finished by
  /// the old method first [C6].
  void SetMethod(SyncMethod method);
  /// Closes the current file, whatever is in it, so that it becomes a generation.
  void ForceRoll();
  const WalStatus& status() const { return status_; }
  WalState state() const { return status_.state.load(std::memory_order_acquire); }
  std::string state_reason() const;
  /// As WalStatus says it.
  std::optional<ErrorCode> refuses_entries() const { return status_.RefusesEntries(); }
  /// A row that is larger goes as entries do.
  std::uint64_t large_row_bytes() const;
  std::uint64_t current_file() const {
    return status_.current_file.load(std::memory_order_acquire);
  }
  std::uint64_t recycled_upto() const {
    return status_.recycled_upto.load(std::memory_order_acquire);
  }

  /// Lets go of all rings. Requires: the actor was stopped.
  void Detach();
  /// True when nothing can become durable until something outside changes.
  bool stuck() const { return status_.Stuck(); }
  /// Writes the closing seal. Requires: the actor was stopped.
  Status Finish();
  /// After Finish, for a successor; nothing where the WAL did not end well, or is not sealed.
  std::optional<WalEnd> End() const;

 private:
  struct Slot {
    RecordOwner owner = {};
    SlotBounds planned = {};
    SlotBounds encoded = {};  // behind the last run that went into a buffer
    SlotBounds durable = {};
    std::uint64_t planned_rows = 0;
    std::uint64_t durable_rows = 0;
    std::uint64_t bound_file = 0;  // file whose batches bind this slot
    std::uint64_t plan = 0;        // the plan that last touched it
    std::uint32_t run = 0;         // its newest run in that plan
    std::uint32_t ring = 0;        // who gets its notices
    bool open = false;
    bool stopped = false;
    std::uint32_t told_as = 0;           // what its ring calls it
    std::uint64_t refused_position = 0;  // in its ring, of the first record refused
    std::uint64_t bound_plan = 0;        // the plan that last bound it
    std::uint32_t bound_times = 0;       // in bound_file; twice, so that one lost batch loses none
    ErrorCode stop_code = ErrorCode::kCorruption;
  };
  struct PlannedRecord {
    Descriptor descriptor;
    std::uint32_t next = UINT32_MAX;
    std::uint32_t ring = 0;
    std::uint64_t position = 0;  // in that ring
  };
  struct PlannedRun {
    RunHeader header;
    std::uint32_t first = UINT32_MAX;
    std::uint32_t last = UINT32_MAX;
  };
  struct Ring {
    const RingPort* port = nullptr;
    std::uint64_t taken = 0;
    std::uint64_t committed = 0;
    std::vector<Notice> news;
    std::optional<std::uint64_t> end = {};  // nothing behind it is taken
  };
  struct Current {
    LiveFile live;
    std::shared_ptr<File> writer;  // another handle where writes are direct
    FileContext context;
    std::uint64_t offset = kFirstBatchOffset;
    std::uint64_t entries = 0;
    std::int64_t first_record_ns = 0;  // 0: it holds no record yet
    std::uint64_t zeroed = 0;
    bool rows_only = false;  // a row file [B3]
  };
  /// A slot and its state behind the plan's last record of it.
  struct Touched {
    std::uint32_t slot = 0;
    bool refused = false;
    SlotBounds bounds;
    std::uint64_t rows = 0;
  };
  /// A row to be written once more, and the plan that wrote it first; 0: recovery.
  struct Repeat {
    RowCopy row;
    std::uint64_t plan = 0;
  };
  /// One batch on its way; kept when it is through so that its memory is reused.
  struct Plan {
    Plan(MemoryBudget& budget, Counter& told) : counted(budget, told) {}
    std::uint64_t id = 0;
    bool submitted = false;  // a write is in flight, or was
    bool done = false;       // it came back, or there was none
    bool failed = false;
    bool published = false;
    std::vector<PlannedRecord> records;
    std::vector<PlannedRun> runs;
    std::vector<Touched> touched;
    std::vector<Binding> bindings;
    std::vector<Repeat> repeats;
    std::uint64_t record_bytes = 0;
    std::uint64_t entry_count = 0;
    bool seal = false;
    bool closes = false;      // the seal of an idle period
    bool opens_file = false;  // the file's header stands at the front of the buffer
    bool full = false;        // more was waiting than fits
    bool skipped = false;     // records of another process were passed over
    std::shared_ptr<File> file;
    std::uint64_t file_number = 0;
    WalPosition position;                   // of the chain behind it
    std::vector<std::uint64_t> ring_taken;  // by ring: what it took
    std::vector<RowCopy> rows;              // written in it, to be repeated
    std::vector<LandedIndex::Change> changes;
    std::vector<RunHeader> followed;  // of rings of other processes
    AlignedBytes buffer;
    std::size_t buffer_bytes = 0;
    CountedBytes counted;  // the buffer
    std::uint64_t write_offset = 0;
    Bytes bytes;  // what is written, in the buffer
    BatchTrace trace;
    bool empty() const { return records.empty() && repeats.empty() && !seal; }
  };
  /// Given up, with what the device may still do to them.
  struct Stalled {
    Place place = Place::kHome;
    std::int64_t since_ns = 0;
    std::vector<std::unique_ptr<Plan>> plans = {};  // in flight
    std::vector<LiveFile> files = {};               // removed when all have come back [A14]
    std::unique_ptr<WriteQueue> queue = {};         // goes first: it waits for the plans
  };
  struct Message {
    enum class Kind : std::uint8_t {
      kOpenSlot,
      kCloseSlot,
      kAddRing,
      kEndRing,
      kRemoveRing,
      kRetire,
      kRoll,
      kMethod
    } kind;
    std::uint32_t slot = 0;
    RecordOwner owner;
    const RingPort* port = nullptr;
    std::uint64_t file = 0;
    SyncMethod method = SyncMethod::kDatasync;
  };

  // wal.cc: what goes into a batch
  void Post(const Message& message);
  bool ReadMailbox();
  void Handle(const Message& message);
  void SnapshotRings();
  // wal_guard.cc: rings of other processes
  void SnapshotForeign(Ring& ring);
  enum class Judged : std::uint8_t { kTake, kSkip, kCutOff };
  Judged Judge(Ring& ring, Descriptor& descriptor);
  void CutOff(Ring& ring, const std::string& reason);
  static void EndAt(Ring& ring, std::uint64_t position);
  bool AddForeign(Ring& ring, const RecordSource& source, const Descriptor& descriptor,
                  BatchEncoder& encoder);
  bool RingsEmpty() const;
  std::uint64_t RecordsWaiting() const;
  void StartPlan(Plan& plan);
  void PlanRecords(Plan& plan, std::uint64_t room);
  struct Taking {
    Plan& plan;
    std::uint64_t room;
    std::uint64_t bytes;
  };
  Turns::Taken TakeFrom(std::size_t ring_number, const Taking& taking);
  void RingsChanged();
  bool PlanRecord(Plan& plan, std::uint32_t ring_number, const Descriptor& descriptor,
                  std::uint64_t room);
  bool Accepts(const Slot& slot, const Descriptor& descriptor) const;
  bool IsBound(const Slot& slot) const;
  void Refuse(std::uint32_t slot_number, ErrorCode code, std::uint64_t position);
  Slot& Touch(Plan& plan, std::uint32_t slot_number);
  void FinishPlan(Plan& plan);
  void PlanRepeats(Plan& plan, std::uint64_t room);
  std::uint32_t SlotForCopy(const ServerUid& uid) const;
  void Bind(Plan& plan, std::uint32_t slot_number);
  std::uint64_t PlanBytes(const Plan& plan) const;
  std::uint64_t RepeatBytes() const;
  std::uint64_t BatchBytesMax() const;
  bool Extends(const PlannedRun& run, const Descriptor& descriptor) const;

  // wal_rows.cc: without space for another file
  /// What a row file has to say behind the file before it.
  struct Carried {
    std::vector<RowCopy> rows;
    std::vector<RunHeader> marks;  // in order, of every log that was cut
    std::uint64_t bytes = 0;       // of the batch that holds it all
  };
  void ChooseFile();
  bool EntriesFull() const;
  bool FlushIsDue() const;
  bool TakesHere(const Descriptor& descriptor) const;
  bool EntriesWait() const;
  std::optional<PoolFile> TakeFile(const std::optional<Error>& failure);
  bool LeavesRowFile() const;
  static bool FitsFile(const Carried& carried, std::uint64_t size_bytes);
  Carried CollectCarried() const;
  void CarryMarks(std::uint32_t slot_number, Carried& carried) const;
  Status Supersede(const Carried& carried, const LiveFile& live, std::shared_ptr<File> writer);
  Result<WalPosition> WriteCarried(const Carried& carried, const LiveFile& live);
  Status CommitCarried(const LiveFile& live, const WalPosition& position);
  void NoteRowBase();
  std::string FullReason() const;

  // wal_failover.cc: two directories
  bool HasAway() const { return environment_.away != nullptr; }
  FilePool& pool() const { return environment_.pool.At(place_); }
  Directory& DirectoryOf(Place place) const;
  void LookAround();
  std::int64_t Watch() const;
  std::int64_t NextProbeNs() const;
  std::int64_t BegunNs() const;
  bool Usable(Place place) const;
  bool MayGiveUp() const;
  void GiveUp();
  void TakeStalled();
  void SendProbe();
  void TakeProbe();
  void ChoosePlace();
  void GoTo(Place place, const std::string& reason);
  void Discard(const LiveFile& file);

  // wal_write.cc: how it gets to disk
  std::int64_t StepOnce();
  std::int64_t Round();
  std::int64_t Idle(std::int64_t now_ns);
  Status WriteRound(bool seal, bool& wrote);
  Status EncodePlan(Plan& plan);
  void EncodeRepeats(const Plan& plan, BatchEncoder& encoder);
  void EncodeRowCopy(const RowCopy& row, std::uint8_t flags, BatchEncoder& encoder);
  void EncodeRun(Plan& plan, PlannedRun& run, BatchEncoder& encoder);
  void NoteBatchSize(std::uint64_t bytes);
  Status ZeroAhead(std::uint64_t end_offset);
  Status Roll(Plan& plan, bool& rolled);
  void CannotRoll(const std::optional<Error>& failure);
  bool MayRoll() const;
  FileHeader HeaderFor(const LiveFile& live) const;
  void PutIntoService(const LiveFile& live, std::shared_ptr<File> writer);
  static void EncodeHeaders(const FileHeader& header, std::span<std::byte> blocks);
  std::uint64_t LifeOf(std::uint64_t file) const;
  void Publish(Plan& plan);
  void AbandonPlan(std::unique_ptr<Plan> plan);
  void AnswerRings(const Plan& plan);
  void Notify();
  void Fail(const Error& error);
  void LeaveFile();
  void ForgetPlans();
  void SetState(WalState state, const std::string& reason);
  void CloseBase(const Recovery& recovery);
  void CloseGeneration();
  void RecycleRetired();
  std::int64_t RollDue() const;
  bool OutOfFiles() const;
  void UpdateAdmission();
  std::uint64_t Room() const;

  // wal_flight.cc: what is under way
  void MakeQueue();
  MadeDurable How() const;
  Result<std::shared_ptr<File>> WriterOf(const LiveFile& file) const;
  Status ChangeMethod();
  void Measure(const WriteDone& done, std::uint64_t bytes);
  std::unique_ptr<Plan> NextPlan();
  static void MakeRoom(Plan& plan, std::size_t bytes);
  void Shelve(std::unique_ptr<Plan> plan);
  bool MayPlan() const;
  void Send(std::unique_ptr<Plan> plan);
  void TakeDone();
  void Settle(const WriteDone& done);
  void Land();
  void OnLanded();
  bool FailedBack();
  bool InFlight() const { return writes_in_flight_ > 0; }
  std::int64_t InFlightSince() const;
  bool InFlightIn(std::uint64_t file) const;
  void CountWait(std::int64_t now_ns);

  WalOptions options_;
  Environment environment_;
  Rng rng_;
  std::vector<Slot> slots_;
  std::vector<Ring> rings_;
  Turns turns_;  // of rings_
  Current current_;
  std::deque<LiveFile> files_;  // oldest first; the last is current_
  std::vector<std::uint64_t> poisoned_;
  std::vector<LiveFile> doomed_;      // removed once another header is durable
  std::uint64_t committed_file_ = 0;  // that recovery made
  BatchLists batch_lists_;            // of the last encoder
  RunPacker packer_{options_.pack_bytes_min};
  CountedBytes packer_bytes_{environment_.budget, environment_.stats.memory_bytes};
  std::uint64_t usual_batch_bytes_ = 0;  // of late
  std::int64_t last_done_ns_ = 0;        // when a write came back
  std::int64_t usual_durable_ns_ = 0;    // that a batch took of late, from its write on
  WalPosition written_;                  // the last batch written in the chain
  WalPosition durable_;                  // the last one that is durable with all before it
  std::uint64_t written_file_ = 0;       // that holds it; 0: none
  std::uint64_t durable_file_ = 0;
  std::uint64_t durable_upto_ = 0;  // as headers say it; `none` never moves it [C5]
  std::deque<Repeat> repeats_;      // rows of the last batches, still to be repeated
  std::unordered_map<Uid128, std::uint32_t, Uid128Hash> slot_of_;
  std::vector<std::unique_ptr<Plan>> flight_;  // in order of their batches
  std::vector<std::unique_ptr<Plan>> idle_plans_;
  std::unique_ptr<Plan> draft_;  // being planned
  std::uint64_t plan_counter_ = 0;
  std::uint64_t newest_plan_ = 0;   // that was submitted
  std::uint64_t durable_plan_ = 0;  // the last that was published
  std::uint32_t depth_ = 1;         // writes in flight at most
  std::uint32_t writes_in_flight_ = 0;
  std::uint64_t bytes_in_flight_ = 0;
  DepthClimber climber_{1};
  std::optional<SyncMethod> wanted_method_;
  std::uint64_t highest_file_ = 0;      // that was ever to enter service
  Place place_ = Place::kHome;          // of the next file
  Place queue_place_ = Place::kHome;    // whose writes queue_ does
  std::optional<PoolFile> homecoming_;  // the file with which the WAL goes back
  ReturnPolicy return_policy_;
  AlignedBytes probe_bytes_;
  bool sync_opening_ = false;     // the next batch is synced, whatever the method
  std::optional<Error> failure_;  // of a write; judged when nothing is in flight
  std::int64_t waiting_since_ns_ = 0;
  std::vector<WriteDone> done_;
  FileEnd base_;                   // what recovery's file follows; it may be gone
  ClosedGeneration row_base_;      // what the row file in service follows; it may be gone
  std::uint64_t closed_file_ = 0;  // the newest that the sink was told of
  std::uint64_t retired_upto_ = 0;
  bool sealed_ = true;
  bool must_roll_ = false;
  bool full_ = false;  // the last plan found no room in the current file
  bool roll_asked_ = false;
  bool stranded_ = false;       // a ring waits for a file that takes entries
  bool took_file_ = false;      // the pool is woken when the round has recycled
  std::uint32_t failures_ = 0;  // in a row
  std::int64_t last_write_ns_ = 0;
  std::int64_t retry_at_ns_ = 0;

  mutable std::mutex mailbox_mutex_;  // guards the four below
  std::vector<Message> mailbox_;
  bool ring_leaves_ = false;  // one of them says so
  std::vector<const RingPort*> registered_;
  std::string state_reason_;
  std::atomic<bool> has_mail_{false};
  WalStatus& status_;
  WalStats& counters_;
  Telling telling_;
  std::unique_ptr<WriteQueue> probe_queue_;  // null: never needed
  std::vector<Stalled> stalled_;             // at most one of each directory
  std::unique_ptr<WriteQueue> queue_;        // goes first: it waits for what refers to the above
};

}  // namespace duramen::wal
