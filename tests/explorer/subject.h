// The store under test on a simulated disk, and what it shows: one LogStore with its loop, clock
// and random numbers, opened exactly as in production but for the four seams and the sizes.
//
// Owned by the explorer; one thread. The machine (SimFileSystem) outlives it and is crashed before
// the store is torn down, so that a teardown never changes the disk that is being judged.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/loop_executor.h"
#include "duramen/log_store.h"
#include "log/storage.h"
#include "tests/explorer/model.h"
#include "sim/sim_file_system.h"

namespace duramen::explorer {

inline constexpr const char* kDataDir = "/data";
inline constexpr const char* kFailoverDir = "/second/wal";
inline constexpr std::uint32_t kShardsMost = 3;

/// Settings that runs vary.
struct SubjectSizes {
  std::uint64_t wal_file_bytes = 48u << 10;
  std::uint64_t wal_files_max = 6;
  std::uint64_t memory_budget = 1u << 20;
  SyncMethod sync_method = SyncMethod::kDatasync;
  std::uint64_t pipeline_depth = 4;
  bool methods_change = false;                // while the store runs
  std::uint64_t alone_bytes_max = 64u << 10;  // 0: every batch goes through the queue
  bool large = false;                    // files that are zeroed in pieces, and entries to match
  std::uint64_t segment_entries = 4096;  // of one segment file
  std::size_t files_synced_singly = 4;   // of a flush; more: one sync of the file system
  std::size_t files_open_max = 256;
  std::uint64_t flush_threads = 1;
  std::string wal_dir = {};      // empty: inside the data directory
  std::uint32_t shards = 1;      // of the WAL; more where others hold logs
  bool fails_over = false;       // to kFailoverDir
  bool leaves_failover = false;  // it is to be taken out of use
  bool compresses = false;       // WAL and segments, from a few entries on
  RecoveryMode recovery_mode = RecoveryMode::kContain;
};

class Subject {
 public:
  Subject(sim::SimFileSystem& machine, std::uint64_t seed, const SubjectSizes& sizes);
  ~Subject();
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  Status Open();
  /// Where all subjects tell what happens to them; for a replay that is watched.
  static void SetLogSink(LogSink sink);
  /// Makes the writers; they live as long as the store.
  Status MakeWriters(std::size_t count);
  LogStore& store() { return *store_; }
  std::vector<Writer>& writers() { return writers_; }
  LoopExecutor& executor() { return executor_; }
  ManualClock& clock() { return clock_; }
  /// A point of the simulated clock.
  Deadline DeadlineIn(std::int64_t ns) const;
  /// Sum of the store's metrics whose name contains `part`.
  std::uint64_t Metric(std::string_view part) const;
  /// Whether a log that is there takes an entry, sooner or later; makes Writers.
  Status TakesEntries();
  /// Pressure and all metrics that are not 0; for messages.
  std::string StateText() const;
  /// Stops the machine and tears everything down.
  void Destroy();

 private:
  sim::SimFileSystem& machine_;
  SubjectSizes sizes_;
  std::uint64_t seed_;
  ManualClock clock_;
  LoopExecutor executor_;
  std::optional<LogStore> store_;
  std::vector<Writer> writers_;
};

/// What a store shows through its public calls.
struct Observation {
  Logs logs;            // by number; at least as many as asked for
  std::string problem;  // something that no crash may lead to; empty: none
};
Observation Observe(const LogStore& store, std::size_t logs_expected);
/// Reads all entries of one log; a problem is put into `problem`.
LogState ReadLog(const LogStore& store, LogRef log, std::string& problem);
/// Judges what was observed; empty when one admissible state matches, for every writer.
std::string Judge(const Observation& observed, const Admissible& admissible);

}  // namespace duramen::explorer
