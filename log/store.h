// What stands behind LogStore, Writer and Pin: the composition of WAL, mem tables and rows.
//
// Threads: a Writer's thread appends and processes notices; the WAL and its pool have threads of
// their own; reads come from anywhere. `mutex_` guards names, slots and the list of Writers, none
// of which is touched by an append.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/fork_guard.h"
#include "base/handshake.h"
#include "base/memory_budget.h"
#include "base/ring_queue.h"
#include "base/shared_memory.h"
#include "log/attempt_file.h"
#include "log/durable_rows.h"
#include "log/durable_state.h"
#include "log/flusher.h"
#include "log/followed.h"
#include "log/hosted_log.h"
#include "log/server_log.h"
#include "log/storage.h"
#include "log/store_stats.h"
#include "log/system_file.h"
#include "log/wal_port.h"
#include "memtable/arena.h"
#include "memtable/block_pool.h"
#include "segments/open_files.h"
#include "wal/wal.h"

namespace duramen {
namespace log {
class Mender;
class Shards;
class SharedWal;

/// What all WAL shards of a system share.
struct Common {
  explicit Common(std::uint64_t budget_bytes);
  MemoryBudget budget;
  std::atomic<std::uint64_t> incarnation{0};  // the highest that any log was given
};
}  // namespace log
inline namespace v1 {

/// Bytes of one read: chunks pinned, and buffers read from WAL files.
struct Pin::Impl {
  explicit Impl(const LogStore::Impl& store_ref);
  ~Impl();
  const LogStore::Impl& store;
  /// Of the first entries and chunks, so that a small read allocates nothing but this.
  alignas(std::max_align_t) std::array<std::byte, 256> room;
  std::pmr::monotonic_buffer_resource memory{room.data(), room.size()};
  std::pmr::vector<EntryView> entries{&memory};
  std::pmr::vector<memtable::ChunkPin> chunks{&memory};
  std::vector<std::vector<std::byte>> buffers;
  std::uint64_t reserved_bytes = 0;
  std::uint64_t wal_entries = 0;  // of `entries`, from WAL files
  std::uint64_t segment_entries = 0;
};

/// What OnWritten asked for. Shared by the Writer and by the call that its executor may still run
/// when the Writer is gone.
struct WriterCallback {
  std::mutex mutex;  // guards all below but the count
  Executor* executor = nullptr;
  void (*run)(void*, Writer&) noexcept = nullptr;
  void* argument = nullptr;
  Writer* writer = nullptr;
  bool posted = false;
  std::atomic<int> owners{1};

  void Notify() noexcept;  // WAL thread
  void Release() noexcept;
  void Detach() noexcept;  // the Writer goes
};

struct Writer::Impl {
  Impl(LogStore::Impl& store_ref, SharedMemory ring);
  ~Impl();
  LogStore::Impl& store;
  SharedMemory ring_memory;
  RingProducer producer;
  RingConsumer consumer;  // the WAL thread's while registered
  memtable::Arena* arena = nullptr;
  wal::NoticeBoard notices;
  wal::RingPort port;
  void* port_state = nullptr;  // of the WalPort
  std::vector<wal::Descriptor> descriptors;  // of one call
  std::vector<wal::Descriptor> shared_;      // the same, for a WAL process
  std::vector<memtable::Slot> slots;
  std::vector<memtable::TermRun> terms;
  std::vector<wal::Notice> taken;
  std::vector<Written> news;   // handed out by the last Poll
  std::vector<Written> fresh;  // for the next one; at most one per log
  std::uint64_t news_round = 1;
  /// Payload bytes of calls that are not durable, by the last position of the call.
  struct InFlight {
    std::uint64_t position = 0;
    std::uint64_t bytes = 0;
    std::uint64_t records = 0;
    log::ServerLog* log = nullptr;
  };
  /// Calls whose records were refused; their log is stopped, so there are only so many.
  struct Failure {
    Ticket ticket = 0;
    Error error;
    bool reported = false;
  };
  RingQueue<InFlight> in_flight;
  std::uint64_t in_flight_bytes = 0;
  std::int64_t call_ns = 0;  // when the call under way began
  std::uint64_t seen_released = 0;
  std::uint64_t seen_flushed = 0;
  std::vector<std::pair<Ticket, log::ServerLog*>> deleting;
  std::vector<Failure> failures;
  int event_fd = -1;
  // Both are changed by whoever looks, so that one of two threads always sees the other.
  std::atomic<int> fd_asked{0};      // else nobody looks at it, and nothing is written to it
  std::atomic<bool> fd_rung{false};  // since the last Poll
  WriterCallback* callback = nullptr;
  bool mends = false;  // a Mender's: it may write to faulty logs, and entries of our own kinds

  bool wake_due = false;  // of what is held

  void Notify() noexcept;
  void RingFd() noexcept;
  void Wake();
  void Publish();
  void PublishHeld();
  void Process();
  void Finish(log::ServerLog& log);
  Result<log::ServerLog*> Own(LogRef ref);
  Result<Ticket> AppendGroup(const LogAppend& group);
  Status CheckGroup(log::ServerLog& log, std::span<const EntryView> entries) const;
  Error RefusedBy(ErrorCode code) const;
  Status Admit(const log::ServerLog& log, std::uint64_t records, std::uint64_t bytes) const;
  bool WithinShare(const log::ServerLog& log, std::uint64_t records, std::uint64_t bytes) const;
  Error TooLarge(std::uint64_t payload_bytes) const;
  Status RoomFor(LogRef ref, std::uint64_t entries, std::uint64_t bytes);
  Status StoreEntries(log::ServerLog& log, std::span<const EntryView> entries);
  Ticket Push(log::ServerLog& log, std::uint64_t payload_bytes);
  void OnNotice(const wal::Notice& notice);
  void Landed(std::uint64_t released);
  void NameChunks();
  Status FailureAt(Ticket ticket);
  Status MarksAdmitted() const;
  Result<Ticket> PostMark(log::ServerLog& log, const wal::Descriptor& mark);
  Result<Ticket> Delete(log::ServerLog& log);
  void SkipRowsOf(log::ServerLog& log) const;
  Result<Ticket> PostRow(log::ServerLog& log, const meta::Row& row, Durability durability);
  Result<wal::Descriptor> StoreRow(log::ServerLog& log, const meta::Row& row);
  void FreeMemory();
  void ForgetFlushed();
};

struct LogStore::Impl final : log::Flusher::Store {
  /// `common`: of the shard 0 that opens this one; null: its own.
  Impl(const LogStoreOptions& options, const log::StorageTuning& tuning, Rng rng,
       log::Common* common = nullptr);
  ~Impl() override;

  // log_store.cc: opening and closing
  /// A system: this is its shard 0, and opens the others.
  Status Open(log::StorageEnvironment environment);
  /// This shard alone: what is there is opened, what is not is made.
  Status OpenFiles(log::StorageEnvironment environment);
  log::StorageEnvironment Environment() const;

  // directories.cc
  Status OpenDirectories();
  Status OpenSystem();
  Status CreateSystem();
  Status CheckIdentity(Directory& directory, std::uint32_t position);
  Status CheckNoWalFiles(const Directory& directory) const;
  Status CheckNoIdentity() const;
  Status OpenFailover(const std::vector<std::string>& listed);
  Status AddFailover(const std::string& path);
  Status ListFailover(const std::string& path);
  Status CountShards(std::uint32_t count);
  Status CheckShard(const log::SystemFile& file) const;
  void OpenProbe();
  Status LeaveFailover(bool counts);
  Status MakeFolders();

  // log_store.cc
  Status Recover();
  Status RefuseDamage(const wal::Recovery& recovery) const;
  Status Judge(wal::Recovery& recovery, const ServerUid& left_out,
               std::vector<wal::RowCopy>& extra);
  void BuildLogs(wal::Recovery& recovery);
  Status CheckRowsFit() const;
  void RestoreLog(const wal::ReplayedLog& replayed);
  void ReportFindings(const wal::Recovery& recovery);
  void FillReport(wal::Recovery& recovery, std::int64_t nanoseconds);
  std::string NameOf(const ServerUid& uid) const;
  void TellLeftOut(const wal::Recovery& recovery, const ServerUid& uid);
  void MakePools(std::uint64_t next_number);
  void KeepFile(std::uint64_t number);
  void StartThreads(wal::Recovery& recovery);
  void MakeStats(std::uint64_t boot);
  void TellFileSystems() const;
  void TellStart();
  void TellRefused(ErrorCode code);
  void SetFaulty(log::ServerLog& log, bool faulty);
  Status Close(Deadline deadline);
  Result<SyncMethod> Resolve(SyncMethod wanted) const;
  Status SetSyncMethod(SyncMethod wanted);

  // remote.cc: the WAL is another process
  Status OpenShared(const log::StorageEnvironment& environment,
                    std::unique_ptr<log::SharedWal> wal_process);
  Result<LogRef> OpenRemote(Writer::Impl& writer, std::string_view name, OpenMode mode);
  Result<LogRef> TryOpenRemote(Writer::Impl& writer, std::string_view name, OpenMode mode);
  Result<LogRef> OpenKnown(Writer::Impl& writer, log::ServerLog& log, OpenMode mode);
  Result<LogRef> Install(Writer::Impl& writer, std::uint32_t number,
                         const log::HostedLog& hosted);
  void GiveSlot(std::uint32_t number);
  /// A log that this process has, for the next WAL process.
  struct ClaimedLog {
    std::uint32_t number = 0;
    Writer::Impl* writer = nullptr;  // null: its Writer is gone
    log::Reclaim reclaim;
  };
  std::vector<ClaimedLog> ClaimedLogs() const;
  void OnReclaimed(std::uint32_t number, const Result<log::HostedLog>& hosted);
  void FinishRemote(log::ServerLog& log);
  void ForgetFreed(const Writer::Impl& writer);
  Status CloseRemote(Deadline deadline);

  // mend.cc: a start in mode `salvage`
  Status CheckSalvage() const;
  bool KnowsName(const std::string& name) const;
  static Error UnknownSalvage(const std::string& name);
  Status Salvage();
  Result<std::string> SalvageNamed(log::Mender& mender, const std::string& named);
  log::ServerLog* FindNamed(const std::string& named) const;

  // log::Flusher::Store
  void OnSegments(std::uint32_t slot, const ServerUid& uid,
                  const segments::SegmentList& list) override;
  void OnFault(const ServerUid& uid, const meta::FaultyRow& fault) override;
  void OnRetired(std::uint64_t file) override;
  bool FlushIsUrgent() const override;
  bool EntriesWaitForFlush() const override;

  // registry.cc: logs by slot and name
  log::ServerLog* At(std::uint32_t slot) const;
  Result<log::ServerLog*> Find(LogRef ref) const;
  /// In a child of fork(): the threads stayed behind, and what they had locked stays locked.
  bool Forked() const { return ForkGeneration() != fork_generation; }
  static Error ForkedError();
  log::ServerLog& MakeSlot(std::uint32_t slot);
  std::uint32_t TakeSlot();
  Result<LogRef> OpenLog(Writer::Impl& writer, std::string_view name, OpenMode mode);
  Result<LogRef> CreateLog(Writer::Impl& writer, std::string_view name);
  void ForgetName(const log::ServerLog& log);
  log::ServerLog& InitLog(std::string_view name, const wal::RecordOwner& owner);
  Result<Writer::Impl*> MakeWriter();
  memtable::Arena* TakeArena();
  void ReleaseWriter(Writer::Impl* writer);
  std::size_t WriterCount() const;
  /// Nothing: no log has the name. False: one had it, and its deletion is not durable yet.
  std::optional<bool> FindLive(std::string_view name) const;
  static Error DeletionUnderWay(std::string_view name);
  std::vector<std::string> LiveLogs() const;
  std::vector<std::pair<std::string, std::uint64_t>> NamedIncarnations() const;
  Status LoseName(const std::string& name);
  void AddLogsTo(std::vector<LogInfo>& logs) const;
  LogInfo InfoOf(const log::ServerLog& log) const;
  void AddOthersTo(std::vector<LogInfo>& logs) const;
  void VisitMetrics(void (*visit)(void* argument, const Metric& metric), void* argument) const;

  // reader.cc
  Result<Pin> Read(LogRef ref, IndexRange range, std::size_t max_bytes) const;
  void Tell(const Pin::Impl& pin, const Status& read) const;
  static Error OutOfRange(const log::ServerLog& log, Index index);
  bool ReadMemory(const log::ServerLog& log, const memtable::EntryLocation& location, Index index,
                  Pin::Impl& pin) const;
  /// Where a read puts what it finds, and how many bytes of payload it may still take.
  struct Reading {
    Pin::Impl& pin;
    std::uint64_t left;
  };
  /// Finds so many places at a time. `changed`: what was read is worth nothing.
  template <std::size_t kPlaces>
  Status ReadOnce(const log::ServerLog& log, IndexRange range, Reading& to, bool& changed) const;
  Status ReadFile(const log::ServerLog& log, IndexRange range, Reading& to, bool& moved) const;
  Status ReadWalFile(const log::ServerLog& log, const wal::LandedRun& run, IndexRange range,
                     Reading& to) const;
  Status ReadSegments(const log::ServerLog& log, IndexRange range, Reading& to) const;
  Status ReadRemote(const log::ServerLog& log, IndexRange range, Reading& to, bool& moved) const;
  Status ReserveBuffer(std::uint64_t bytes, Pin::Impl& pin) const;
  void ReleaseBuffer(std::uint64_t bytes, Pin::Impl& pin) const;
  Error Lost(const log::ServerLog& log, Index index) const;

  LogStoreOptions options;
  log::StorageTuning tuning;
  bool mending = false;  // by MendStore, which needs the flusher; this shard alone is opened
  std::uint32_t shard = 0;
  std::uint32_t stride = 1;               // of LogRef::slot: how many shards there are
  SystemUuid root_system;                 // of the shard 0 that opens this one; nil: this is it
  std::uint32_t counted_shards = 1;       // as SYSTEM says
  std::unique_ptr<log::Shards> shards;    // of shard 0: all of them
  const log::Shards* siblings = nullptr;  // the same, in each of them; null: there are none
  Rng rng;
  Log log_;
  // Production's own seams; empty where a test brings its own.
  std::unique_ptr<FileSystem> own_file_system;
  std::unique_ptr<Clock> own_clock;
  std::unique_ptr<ActorExecutor> own_executor;
  FileSystem* file_system = nullptr;
  Clock* clock = nullptr;
  ActorExecutor* executor = nullptr;

  std::unique_ptr<Directory> data_dir;
  std::unique_ptr<Directory> wal_dir;
  std::unique_ptr<Directory> failover_dir;  // null: there is none
  std::unique_ptr<File> probe_file;         // in wal_dir; null without the other
  bool leaves_failover = false;
  log::DurableState state;  // the flusher's after the start
  std::unique_ptr<FileLock> data_lock;
  std::unique_ptr<FileLock> wal_lock;
  std::unique_ptr<FileLock> failover_lock;
  SystemUuid system;
  std::atomic<SyncMethod> sync_method{SyncMethod::kDatasync};  // not kAuto
  std::uint64_t payload_bytes_max = 0;                         // that a batch holds
  std::uint64_t entry_bytes_max = 0;  // the same, or what memory_budget has room for
  std::uint64_t row_bytes_max = 0;    // of what a row file takes
  Result<StatMemory> (*make_stat_memory)(const std::string&, std::size_t) = nullptr;
  std::optional<StatMemory> stat_memory;  // where `stats` lies
  log::StoreStats* stats = nullptr;
  std::unique_ptr<log::Common> own_common;  // null: another shard's
  log::Common& common;
  MemoryBudget& budget;
  memtable::BlockPool block_pool;
  log::DurableRows rows;
  wal::LandedIndex landed{&budget};
  std::unique_ptr<wal::FilePool> pool;
  std::unique_ptr<wal::FilePool> away_pool;  // of failover_dir
  wal::WalStatus own_wal_status;
  wal::WalStatus* wal_status = &own_wal_status;    // or in a page of the WAL process
  SleepSign* wal_asleep = nullptr;                 // there too
  log::DurableFollower follower;                   // of logs that other processes write
  std::unique_ptr<wal::Wal> wal;
  std::optional<wal::WalEnd> wal_before;  // that ended just now, for this start to go on from
  std::optional<wal::WalEnd> wal_end;     // of this one, once it is closed
  std::atomic<bool> flush_now{false};     // a successor waits: no flush is put off or paced
  std::unique_ptr<log::WalPort> port;  // what Writers use of it
  log::SharedWal* shared = nullptr;    // the same; null: the WAL is ours
  std::mutex open_mutex_;              // claims of logs, one at a time; before mutex_
  std::unique_ptr<segments::OpenFiles> segment_files;
  std::unique_ptr<log::Flusher> flusher;
  RecoveryReport report;
  std::atomic<bool> closed{false};
  std::uint32_t fork_generation = 0;
  std::atomic<bool> started{false};
  mutable std::atomic<std::uint64_t> pins{0};

  static constexpr std::uint32_t kSegmentSlots = 1024;
  static constexpr std::uint32_t kSegments = 4096;
  static constexpr std::uint32_t kSlotsMax = kSegments * kSegmentSlots;
  using Segment = std::array<std::atomic<log::ServerLog*>, kSegmentSlots>;
  std::array<std::atomic<Segment*>, kSegments> segments{};

  mutable std::mutex mutex_;  // guards all below
  std::vector<std::unique_ptr<Segment>> owned_segments;
  std::vector<std::unique_ptr<log::ServerLog>> owned_logs;
  std::unordered_map<std::string, std::uint32_t> names;
  std::unordered_map<Uid128, std::uint32_t, Uid128Hash> slot_of;
  std::vector<std::uint32_t> free_slots;
  std::vector<ServerUid> forgotten;  // whose slots wait for their former Writer
  std::uint32_t slot_count = 0;
  std::vector<Writer::Impl*> writers;
  std::vector<std::unique_ptr<memtable::Arena>> arenas;
  std::vector<memtable::Arena*> idle_arenas;
};

}  // namespace v1
}  // namespace duramen
