// Many logs on one shared write-ahead log, in this process.
//
//   LogStore::Open -> NewWriter -> OpenLog -> Append -> Wait(ticket) -> Read
//
// C++20, standard library only. No exception leaves it and none may leave a callback. The library
// prints nothing, installs no signal handler and starts no thread before Open. A LogStore does not
// survive fork(): calls in the child answer kForked.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "duramen/result.h"
#include "duramen/types.h"

namespace duramen {
inline namespace v1 {

enum class SyncMethod : std::uint8_t {
  kDatasync,  // buffered writes, fdatasync
  kFsync,     // buffered writes, fsync
  kNone,      // the process may die, the machine not
  kDsync,     // direct writes, several in flight
  kAuto,      // datasync or dsync: what was faster at the first start with it
};
enum class OnWalDown : std::uint8_t { kStay, kExit };
enum class RecoveryMode : std::uint8_t {
  kStrict,   // any damage refuses the start
  kContain,  // the logs that it touches are faulty, the others start
  kSalvage,  // the same; then each faulty log of salvage_servers begins anew, see there
};
enum class OpenMode : std::uint8_t { kOpen, kCreate, kOpenOrCreate };

/// Settings, by the names they have in files, flags and the environment; ranges and units in
/// `duramen config explain NAME`.
struct LogStoreOptions {
  std::string data_dir;  // made if it is not there
  std::string wal_dir;   // empty: data_dir/wal
  /// "unix:PATH": the WAL is another process, `duramen wal`, which has the directory and listens
  /// there; data_dir and all settings of WAL and segments are its own then. Empty: this process has
  /// the directory.
  std::string wal_process;
  /// Where the WAL goes on while wal_dir is slow or fails; empty: nowhere. "none": the one that the
  /// system has is taken out of use.
  std::string wal_failover_dir;
  /// WALs of the system, each with files, a thread and a stream of syncs of its own: 1 to 16. Shard
  /// K >= 1 lies in data_dir/shards/K, its WAL in wal_dir/K if wal_dir is set, so that each can be
  /// a device of its own. A smaller number than before is refused until what goes holds no log.
  std::uint64_t wal_shards = 1;
  /// Of one WAL file; rounded to 4096. 0: 256,000,000, or a quarter of memory_budget, divided by
  /// wal_shards, if that is less.
  std::uint64_t wal_max_size_bytes = 0;
  std::uint64_t wal_max_entries = 0;        // of one WAL file; 0: unset
  std::uint64_t wal_max_files = 16;         // new entries answer kOverloaded above this
  std::uint64_t wal_max_age = 60;           // seconds until a file is flushed; 0: never
  std::uint64_t wal_max_batch_size = 8192;  // records
  std::uint64_t wal_stall_threshold = 500;  // ms; slower writes and syncs are told; 0: none
  std::uint64_t wal_failover_after = 500;   // ms that a write may take; 0: only errors lead there
  SyncMethod wal_sync_method = SyncMethod::kDatasync;
  std::uint64_t wal_pipeline_depth = 4;              // direct writes in flight at most
  Compression wal_compression = Compression::kNone;  // of runs of entries
  std::uint64_t flush_delay = 200;           // ms that a closed WAL file waits for its flush
  std::uint64_t segment_max_entries = 4096;  // of one segment file
  std::uint64_t segment_max_size_bytes = 64'000'000;
  Compression segment_compression = Compression::kNone;  // of blocks of 64 KiB
  std::uint64_t flush_threads = 1;                       // that write segments, of each WAL shard
  std::uint64_t flush_bytes_per_s = 0;       // of each; 0: follows how fast WAL files fill
  std::uint64_t memory_budget = 1ULL << 30;  // bytes: arenas, rings, pinned reads
  OnWalDown on_wal_down = OnWalDown::kStay;
  RecoveryMode recovery_mode = RecoveryMode::kContain;
  /// Names or uids. Under kSalvage each of them that is faulty is opened, before Open returns, as a
  /// new incarnation: the same name, a new uid, the entries before the first that was lost, no
  /// vote, no values; the old uid is deleted. One that is not faulty, or a uid that is not (or no
  /// more) there, is left as it is, so that another start with the same settings does no harm; an
  /// unknown name is refused (kConfiguration) before anything is changed.
  std::vector<std::string> salvage_servers;
  LogSink log_sink;
};

/// A copyable name of an open log; one of a deleted log is refused as stale.
struct LogRef {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  friend bool operator==(const LogRef&, const LogRef&) = default;
};

struct LogAppend {
  LogRef log;
  std::span<const EntryView> entries;
};

/// Everything below `end` is durable in this epoch; `term` is that of entry end - 1.
struct Written {
  LogRef log;
  std::uint64_t epoch = 0;
  Term term = 0;
  Index end = 0;
};

/// Entries are [begin, end); those below written_end are durable.
struct Bounds {
  Index begin = 1;
  Index end = 1;
  Index written_end = 1;
  Term term_before_begin = 0;
  std::uint64_t epoch = 0;
};

struct Vote {
  Term term = 0;
  std::string voted_for;  // empty: nobody in this term
};

enum class Pressure : std::uint8_t { kNone, kHigh, kOverloaded };

/// What became of a damaged or cut part of the WAL at the start.
enum class FindingKind : std::uint8_t {
  kTornTail,      // unacknowledged bytes of an interrupted batch; cut
  kUnprovenTail,  // a complete header over a bad body with no proof; cut, and reported
  kDamage,        // acknowledged bytes that cannot be read
  kOrphanFile,    // a file off the chain; ignored
  kHeaderCopy,    // one of two copies unreadable; nothing lost
  kMissingFile,   // a live WAL file is not there
  kUnusedSpare,   // a file that never was in service
  kLeftover,      // of a flush or a salvage that was not finished; done again
  kSalvaged,      // what became of a log of salvage_servers
};
const char* FindingKindName(FindingKind kind) noexcept;

struct TouchedRange {
  std::string log;    // its name, or its uid where the name is lost
  Index first = 0;    // inclusive; 0 with last = 0: rows only
  Index last = 0;     // inclusive; 0 = unknown
  bool rows = false;  // a row (term, vote, ...) may be lost
};

struct Finding {
  FindingKind kind = FindingKind::kTornTail;
  std::string file;
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t batch = 0;  // number; 0 where there is none
  std::string sentence;
  std::vector<TouchedRange> touched;
  std::string kept_in = {};  // what keeps the damaged bytes, below data_dir or beside the WAL file
};

struct RecoveryReport {
  std::uint64_t boot = 0;            // number of this start
  std::uint64_t wal_files = 0;       // live ones read
  std::uint64_t batches = 0;         // accepted
  std::uint64_t entries = 0;         // replayed
  std::uint64_t proven_batch = 0;    // the last that a durable_upto proves; of shard 0
  std::uint64_t copied_batches = 0;  // valid ones past the proof, made durable again
  std::uint64_t bytes_read = 0;
  std::int64_t nanoseconds = 0;
  bool created = false;  // a fresh directory
  std::vector<Finding> findings;
  bool damaged() const noexcept;  // any finding that lost acknowledged bytes
  std::string ToText() const;     // a paragraph for people
};

struct LogInfo {
  LogRef log;
  std::string name;
  std::string uid;
  bool faulty = false;
  std::uint32_t shard = 0;  // of the WAL: a Writer of NewWriter(shard) opens it
};

/// What was acknowledged and is lost. Entries of [from, to] cannot be read.
struct LogFault {
  Index from = 0;          // 0: no entry
  Index to = 0;            // 0, where `from` is not: unknown
  bool vote_lost = false;  // term or vote may be lost: for good, only a new incarnation may vote
  std::string reason;
  bool faulty() const noexcept { return from != 0 || to != 0 || vote_lost; }
  friend bool operator==(const LogFault&, const LogFault&) = default;
};

enum class MetricKind : std::uint8_t { kCounter, kGauge, kHistogram };

/// One metric, as the visitor sees it: a stable name, unit, help and what it is at this moment.
/// docs/metrics.md lists them.
struct Metric {
  std::string_view name;
  std::string_view unit;
  std::string_view help;
  std::uint64_t value = 0;  // of a histogram: the sum of all that it counted
  MetricKind kind = MetricKind::kCounter;
  // Of a histogram, in `unit`; percentiles are off by at most 1/32 of themselves.
  std::uint64_t count = 0;
  std::uint64_t p50 = 0;
  std::uint64_t p99 = 0;
  std::uint64_t p999 = 0;
  std::uint64_t max = 0;
  std::uint32_t shard = 0;  // of the WAL
};

/// Keeps the bytes of one read; they count in memory_budget until it is destroyed. Requires: the
/// LogStore outlives it.
class Pin {
 public:
  Pin(Pin&& other) noexcept : impl_(std::exchange(other.impl_, nullptr)) {}
  Pin& operator=(Pin&& other) noexcept;
  ~Pin();
  std::span<const EntryView> entries() const noexcept;
  struct Impl;
  explicit Pin(Impl* impl) noexcept : impl_(impl) {}

 private:
  Impl* impl_;
};

/// One ring into one WAL shard. One thread at a time; nothing blocks but Wait. Order holds per
/// Writer: a crash keeps a prefix of it. A log belongs to the Writer that opened it.
class Writer final {
 public:
  Writer(Writer&& other) noexcept;
  /// Waits for what was accepted to become durable, but not for a WAL that is down or a full disk:
  /// who must know waits in Wait. What was not acknowledged then may be gone.
  ~Writer();
  /// Adds entries; each group is all or nothing and groups are not atomic over logs: on an error
  /// the groups before the offending one stand. An index at or below the log's last overwrites from
  /// there, whatever the old term was (Raft figure 8). Within a group indexes are consecutive.
  /// Errors: kGap (hint names the next index), kTermBelowPredecessor, kTooLarge, kOverloaded,
  /// kDiskFull, kWalDown, kFaulty, kStaleRef, kWrongWriter, kInvalidArgument (kind below 128).
  Result<Ticket> Append(std::span<const LogAppend> groups);
  /// Blocks until Append would take a group of `entries` entries with `bytes` of payload for `log`,
  /// as far as the ring, the WAL and memory_budget go. After the deadline: what stood in the way
  /// last, kOverloaded, kDiskFull or kWalDown. Other errors at once, as Append's.
  Status WaitForRoom(LogRef log, std::size_t entries, std::size_t bytes, Deadline deadline);
  /// Drops entries below `new_begin`. At or below begin: nothing to do, ticket of the last call.
  /// Errors: kOutOfRange when new_begin > end.
  Result<Ticket> TruncatePrefix(LogRef log, Index new_begin);
  /// Drops entries at and above `new_end`. Errors: kOutOfRange when outside [begin, end].
  Result<Ticket> TruncateSuffix(LogRef log, Index new_end);
  /// Empties the log and lets it begin at `begin` (an installed snapshot).
  Result<Ticket> Reset(LogRef log, Index begin, Term term_before_begin);
  /// Errors: kTermBelowPredecessor when `term` is below the stored one; kTooLarge over 255 bytes.
  Result<Ticket> PutVote(LogRef log, Term term, std::string_view voted_for);
  /// Lazy; a restart clamps it to what was written. Errors: kOutOfRange at or above end.
  Result<Ticket> PutLastApplied(LogRef log, Index index);
  /// A named value. An empty value removes it. Errors: kTooLarge (key 255 bytes, value 64 KiB).
  Result<Ticket> Put(LogRef log, std::string_view key, Bytes value, Durability durability);
  /// For who repairs a log with another's copy of it: what is lost from now on; nothing: all is
  /// there again. From this call on, until it says that, the Writer may append to and cut the log
  /// though it is faulty. Durable when the ticket is.
  /// Errors: kInvalidArgument, kRefused when it takes back vote_lost.
  Result<Ticket> PutFault(LogRef log, const LogFault& fault);
  /// What is written from here on goes to the WAL as one at Release, or earlier: when Wait or
  /// WaitForRoom has to wait, and once it is a quarter of the ring. For who has much for many logs
  /// at once. Until then nothing of it becomes durable.
  void Hold() noexcept;
  void Release() noexcept;
  /// Everything up to it is on disk.
  Ticket durable() const noexcept;
  /// News since the last call, coalesced per log; valid until the next call.
  std::span<const Written> Poll() noexcept;
  /// An eventfd, readable while Poll() has news; -1 where the kernel gave none. Poll() empties it;
  /// who reads it without is not told again.
  int written_fd() const noexcept;
  /// Posts `callback` once per news, never twice at the same time, with the Writer where it lies
  /// then. A null callback ends it. Call it, and move or destroy the Writer, on the thread that the
  /// callback runs on.
  void OnWritten(Executor& executor, void (*callback)(void*, Writer&) noexcept, void* argument);
  /// Blocks until `ticket` is durable. Errors: kTimeout (outcome unknown), kWalDown, kFaulty,
  /// kCorruption (an entry changed in memory; its log is stopped).
  Status Wait(Ticket ticket, Deadline deadline);
  struct Impl;
  explicit Writer(Impl* impl) noexcept : impl_(impl) {}

 private:
  friend class LogStore;
  Impl* impl_;
};

/// Thread-safe. Requires no Writer or Pin alive when destroyed (CHECK); Close() says what failed.
class LogStore final {
 public:
  /// Errors: kInUse (second opener), kUnknownVersion, kConfiguration, kPermission, kIo, kDiskFull,
  /// kCorruption (SYSTEM unreadable, or any damage under RecoveryMode::kStrict), kOverloaded,
  /// kTooLarge and kWalDown (a salvage did not get to its end; the next start begins it again).
  static Result<LogStore> Open(const LogStoreOptions& options);
  LogStore(LogStore&& other) noexcept;
  ~LogStore();
  /// Waits for what was accepted, seals the WAL and stops its threads.
  Status Close(Deadline deadline);
  /// Changes wal_sync_method while the store runs: the current WAL file is finished by the old
  /// method, the next one is written by the new one. Returns before that has happened. Any thread.
  /// Errors: kConfiguration (dsync on a file system without direct I/O), kRefused (closed), kIo.
  Status SetSyncMethod(SyncMethod method);
  /// Of the WAL shard that has the fewest Writers, among those whose WAL is up, if any is.
  /// Errors: kOverloaded (memory_budget), kClosed.
  Result<Writer> NewWriter();
  /// Of that shard. Errors: the same, and kInvalidArgument.
  Result<Writer> NewWriter(std::uint32_t shard);
  /// As wal_shards.
  std::uint32_t shards() const noexcept;
  /// Where a log lies, for as long as it lives. Errors: kNotFound.
  Result<std::uint32_t> ShardOf(std::string_view name) const;
  /// A log is created in the Writer's shard, and opened by a Writer of the shard that it is in.
  /// Names: 1 to 255 bytes of UTF-8 without control characters. Registration is durable before the
  /// first acknowledgement of any entry. Errors: kInvalidArgument, kNotFound, kAlreadyExists,
  /// kInUse (open in another Writer, or its deletion is not durable yet), kWrongWriter (it is in
  /// another shard; the hint names it), kOverloaded, kWalDown.
  Result<LogRef> OpenLog(Writer& writer, std::string_view name, OpenMode mode);
  /// Durable when the ticket is; the ref is stale at once.
  Result<Ticket> DeleteLog(Writer& writer, LogRef log);
  /// Entries of [begin, end) up to max_bytes of payload, at least one. Hot ones are not copied.
  /// Errors: kOutOfRange, kStaleRef, kCorruption, kIo, kFaulty, kOverloaded (pins over budget).
  Result<Pin> Read(LogRef log, Index begin, Index end, std::size_t max_bytes) const;
  /// begin - 1 still answers. Errors: kOutOfRange, kStaleRef.
  Result<Term> TermAt(LogRef log, Index index) const;
  Result<Bounds> BoundsOf(LogRef log) const;
  Result<Vote> VoteOf(LogRef log) const;
  Result<Index> LastAppliedOf(LogRef log) const;
  Result<LogFault> FaultOf(LogRef log) const;
  /// Errors: kNotFound.
  Result<std::string> Get(LogRef log, std::string_view key) const;
  std::vector<LogInfo> Logs() const;
  /// One of them. Errors: kStaleRef.
  Result<LogInfo> InfoOf(LogRef log) const;
  Pressure pressure() const noexcept;
  const RecoveryReport& recovery_report() const noexcept;
  void VisitMetrics(void (*visit)(void* argument, const Metric& metric), void* argument) const;
  struct Impl;
  explicit LogStore(std::unique_ptr<Impl> impl) noexcept;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace v1
}  // namespace duramen
