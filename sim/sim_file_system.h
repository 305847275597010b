// The port to disk of base/io.h, in memory, with a trace, faults, and two ways to die.
//
// The fault model, in prose; disk_state.h and crash_states.h say what a power loss may keep.
//  - Every operation that changes the disk or syncs is recorded in order, with its site: operation,
//    class of file (its name with digits as '#') and the return address of the call, which is the
//    line of the store that made it. Reads, opens and listings are counted by site only.
//  - A fault is scheduled for the nth operation that matches a kind and a class of file: an I/O
//  error,
//    a full disk, a write that is cut short and then fails, or a crash. A fault fires a given
//    number of times, or for ever.
//  - A sync that fails marks the dirty pages of its file clean: still readable, never written by a
//    later sync, which says success; gone, or partly gone, after the next power loss.
//  - A crash stops the machine: that operation and all later ones fail with kIo and change nothing,
//    so the store above can be torn down while the disk stays as it was.
//  - Restart after a process kill: a new SimFileSystem on the same DiskState (page cache and
//  pending
//    changes survive, locks are free). After a power loss: on DiskState(image) of a CrashStates
//    image.
//  - Bytes rot only where Rot() is called.
//  - No descriptors are left where LimitOpens() says so: opening, making and listing fail with kIo
//    and leave no trace; what is open works on.
//  - Sectors go bad where FailReads() says so: every read that touches one fails with kIo, also in
//  a
//    later machine on the same DiskState, until it is written over or its file is gone.
//  - Writes in flight (base/write_queue.h): buffered ones are written and synced one after the
//    other, each a step of an actor, so that others run in between; direct ones end in a seeded
//    order. With SetLatency each takes so long, direct ones side by side. Those in a directory that
//    was stalled make no progress until its time is over, and then go on as if nothing had been.
//  - Not modelled: other operations that overlap in time.
//
// Owned by the test; one thread (LoopExecutor). Outlives every File, Directory and FileLock of it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/io.h"
#include "base/rng.h"
#include "base/write_queue.h"
#include "sim/disk_state.h"

namespace duramen::sim {

/// Where an operation was asked for.
struct Site {
  std::string operation;         // "write", "sync directory", "read", ...
  std::string file_class;        // "wal/#.wal", "LOCK"
  const void* caller = nullptr;  // return address of the call
  std::uint64_t calls = 0;
};

/// Numbers sites for as long as the process lives; shared by the runs of one explorer.
class SiteTable {
 public:
  std::uint32_t Intern(std::string_view operation, const std::string& file_class,
                       const void* caller);
  const std::vector<Site>& sites() const { return sites_; }

 private:
  std::map<std::tuple<std::string, std::string, const void*>, std::uint32_t, std::less<>> numbers_;
  std::vector<Site> sites_;
};

/// Digits become '#', so that all files of a kind share one class.
std::string FileClass(std::string_view directory_name, std::string_view name);

enum class FaultEffect : std::uint8_t { kIoError, kDiskFull, kShortWrite, kCrash };

struct Fault {
  std::optional<OpKind> kind;  // none: any
  std::string file_class;      // a part of it; empty: any
  std::uint64_t skip = 0;      // matching operations that pass before it fires
  std::uint64_t times = 1;     // UINT64_MAX: for ever
  FaultEffect effect = FaultEffect::kIoError;
  std::uint64_t short_bytes = 0;  // of a kShortWrite: how many bytes are written
};

/// Asked at the start of every traced operation; the answer is kept in Op::moment.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual std::uint64_t Moment() = 0;
};

/// Sites of operations that leave no trace, by the length of the trace when they ran.
struct ReadMark {
  std::size_t position = 0;
  std::uint32_t site = 0;
};

class SimFileSystem final : public FileSystem {
 public:
  SimFileSystem(DiskState disk, SiteTable& sites)
      : disk_(std::move(disk)), start_(disk_), sites_(sites) {}
  SimFileSystem(const SimFileSystem&) = delete;
  SimFileSystem& operator=(const SimFileSystem&) = delete;

  Result<std::unique_ptr<Directory>> Open(const std::string& path) override;
  Status CreateDirectories(const std::string& path) override;
  std::unique_ptr<WriteQueue> MakeWriteQueue(const WriteQueueOptions& options) override;

  /// Of each write in flight; draws the order in which direct ones end.
  void SetLatency(std::int64_t ns) { latency_ns_ = ns; }
  /// Writes in flight to files in the directory `path` do nothing before `until_ns`.
  void StallUntil(const std::string& path, std::int64_t until_ns) { stalls_[path] = until_ns; }
  /// The same, but only those that are in flight there now, and the next one: others overtake them.
  void HangUntil(const std::string& path, std::int64_t until_ns) {
    hangs_[path] = {until_ns, submitted_ + 1};
  }
  /// What Directory::device says below `path`; 0 elsewhere.
  void SetDevice(const std::string& path, std::uint64_t device) { devices_[path] = device; }
  void SeedFlight(std::uint64_t seed) { flight_rng_ = Rng(seed); }
  /// Opening for direct I/O is refused, as on a file system without it.
  void RefuseDirect() { refuses_direct_ = true; }
  void Schedule(Fault fault) { faults_.push_back(std::move(fault)); }
  /// Those that were scheduled fire no more: there is space again.
  void ClearFaults() { faults_.clear(); }
  /// `opens` more of them work; the `failing` behind those do not.
  void LimitOpens(std::uint64_t opens, std::uint64_t failing = UINT64_MAX) {
    opens_left_ = opens;
    opens_failing_ = failing;
  }
  /// How many failed for want of a descriptor.
  std::uint64_t opens_failed() const { return opens_failed_; }
  /// What runs for long does not remember how it came to be; crash states come from disk().
  void KeepNoTrace() { traces_ = false; }
  void Observe(Observer* observer) { observer_ = observer; }
  /// Everything fails from here on; the disk stays as it is.
  void Crash() { crashed_ = true; }
  /// The disk itself changes a byte, under everybody's hands, for good.
  void Rot(const std::string& path, std::uint64_t offset, std::byte value);
  void Rot(Node file, std::uint64_t offset, std::byte value) { disk_.Rot(file, offset, value); }
  /// The bytes [begin, end) of the file that stands there cannot be read any more.
  void FailReads(const std::string& path, std::uint64_t begin, std::uint64_t end);
  /// All can be read again.
  void RestoreReads() { disk_.RestoreBad(); }
  std::uint64_t reads_failed() const { return reads_failed_; }
  /// What FreeBytes says; nothing is counted.
  void SayFree(std::uint64_t bytes) { free_bytes_ = bytes; }
  /// What Kind says of the directory of that path.
  void SayKind(const std::string& path, FileSystemKind kind) { kinds_[path] = std::move(kind); }
  void LoseNamesOnFailedSync() { disk_.LoseNamesOnFailedSync(); }
  bool crashed() const { return crashed_; }
  std::uint64_t faults_fired() const { return faults_fired_; }

  const DiskState& disk() const { return disk_; }
  const DiskState& start() const { return start_; }
  const std::vector<Op>& trace() const { return trace_; }
  const std::vector<ReadMark>& reads() const { return reads_; }

 private:
  friend class SimFile;
  friend class SimDirectory;
  friend class SimLock;
  friend class SimWriteQueue;
  struct Request;
  /// Records, applies faults, applies the change.
  Status Do(Op op, const std::string& file_class, const void* caller);
  Status MarkRead(const char* operation, const std::string& file_class, const void* caller);
  const Fault* MatchFault(const Op& op, const std::string& file_class);
  Error Stopped() const;
  std::int64_t StalledUntil(const std::string& file_path, std::uint64_t submitted) const;
  Status TakeDescriptor();

  DiskState disk_;
  DiskState start_;
  SiteTable& sites_;
  Observer* observer_ = nullptr;
  std::uint64_t free_bytes_ = UINT64_MAX;
  std::map<std::string, FileSystemKind> kinds_;
  std::vector<Fault> faults_;
  std::vector<Op> trace_;
  bool traces_ = true;
  std::vector<ReadMark> reads_;
  std::set<Node> locked_;
  std::uint64_t faults_fired_ = 0;
  std::uint64_t reads_failed_ = 0;
  std::uint64_t opens_left_ = UINT64_MAX;
  std::uint64_t opens_failing_ = 0;
  std::uint64_t opens_failed_ = 0;
  std::int64_t latency_ns_ = 0;
  std::map<std::string, std::int64_t> stalls_;                           // by directory
  std::map<std::string, std::pair<std::int64_t, std::uint64_t>> hangs_;  // until, up to which
  std::uint64_t submitted_ = 0;                                          // writes to queues
  std::map<std::string, std::uint64_t> devices_;
  Rng flight_rng_{1};
  std::uint64_t flights_ = 0;
  bool refuses_direct_ = false;
  Node next_node_ = 0;
  bool crashed_ = false;
};

}  // namespace duramen::sim
