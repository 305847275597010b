// Takes closed generations of the WAL to segments and checkpoints, so that their files can go.
//
// One round, in this order; a crash between any two steps repeats work [A6, B8]:
//   1. runs        what is still live in WAL files up to the generation's, read from there and
//                  verified, appended to each log's segments; files that nobody needs are removed
//   2. syncs       few files: one each and their directories; many: one sync of the file system.
//                  If that fails, everything is written again into new files, with a sync each.
//   3. checkpoints both, one after the other: rows, bounds at the end of the generation, and how
//                  far each log is flushed
//   4. hand-over   landed runs become segment runs, clipped by what was cut meanwhile [C8]
//   5. removal     of segments below floors, and of deleted logs, now that both checkpoints know
//   6. retire      the WAL files that both checkpoints cover [A2]
// A log whose segments cannot be written holds the round, and so the WAL files behind it, until it
// can, in a new segment file each time; what the others have written is not written again [G4].
//
// Owned by the store; its state belongs to its thread, what it is told comes through a mailbox.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "base/actor.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/io.h"
#include "base/log.h"
#include "base/rng.h"
#include "log/durable_rows.h"
#include "log/durable_state.h"
#include "segments/open_files.h"
#include "segments/writer.h"
#include "wal/landed.h"
#include "wal/port.h"
#include "wal/run_reader.h"

namespace duramen::log {

struct FlushOptions {
  SystemUuid system;
  segments::SegmentLimits limits;
  std::size_t files_synced_singly = 4;  // more in a round: one sync of the file system
  std::size_t files_open_max = 256;     // of a round
};

struct FlusherCounters {
  Counter rounds, entries, bytes, syncs, checkpoints, failures, segments_removed;
};

class Flusher final : public Actor, public wal::GenerationSink {
 public:
  /// What the flusher tells the store, on its thread.
  class Store {
   public:
    virtual ~Store() = default;
    /// Readers find what the log has in segments through `list` from now on.
    virtual void OnSegments(std::uint32_t slot, const ServerUid& uid,
                            const segments::SegmentList& list) = 0;
    /// Entries were lost to damage: the log is faulty from now on.
    virtual void OnFault(const ServerUid& uid, const meta::FaultyRow& fault) = 0;
    /// WAL files up to `file` are not needed any more.
    virtual void OnRetired(std::uint64_t file) = 0;
  };
  /// All outlive the flusher.
  struct Environment {
    Directory& servers_dir;
    ActorExecutor& executor;
    Clock& clock;
    wal::LandedIndex& landed;
    DurableRows& rows;
    Store& store;
    segments::OpenFiles& files;
    Log log;
  };
  /// `state` is what the start found; it outlives the flusher, which goes on from it.
  Flusher(const FlushOptions& options, const Environment& environment, DurableState& state,
          Rng rng);

  // wal::GenerationSink; WAL thread
  void OnClosed(wal::ClosedGeneration generation) override;
  // Actor
  std::int64_t Step() override;
  const char* name() const override { return "flusher"; }

  const FlusherCounters& counters() const { return counters_; }
  /// No round is under way or waiting. Any thread.
  bool idle() const { return idle_.load(std::memory_order_acquire); }

 private:
  enum class Stage : std::uint8_t { kIdle, kWrite, kSync, kCheckpoint, kHandOver };
  /// A log's new files, not durable before the round's sync.
  struct Written {
    std::size_t survivors = 0;  // which of the round's
    segments::WrittenRound result;
    std::unique_ptr<Directory> directory;  // where files were created
  };
  struct Round {
    wal::ClosedGeneration generation;
    std::vector<wal::LandedIndex::Survivors> survivors;
    std::vector<std::size_t> todo;  // of survivors; the last one next
    std::vector<std::size_t> failed;
    std::vector<Written> written;
    std::vector<Written> synced;
    std::size_t files = 0;       // in `written`
    std::size_t closed = 0;      // of `written`, from the front
    bool names_changed = false;  // in servers/
    bool singly = false;         // no sync of the file system: not to be had, or it has failed
    std::size_t checkpoints = 0;
    std::map<ServerUid, std::vector<IndexRange>> lost;  // that could not be read
  };

  std::int64_t Begin();
  std::int64_t Write();
  Status WriteLog(std::size_t number);
  void CloseFiles();
  Status AppendRun(const wal::OwnedRun& run, Index& segments_end, segments::SegmentWriter& writer);
  Result<std::unique_ptr<Directory>> OpenDirectory(const ServerUid& uid);
  Status RemoveDeleted(std::uint64_t file_max);
  void RemoveDead(bool newest_floors);
  std::int64_t Sync();
  std::int64_t RetryFailed();
  Status SyncSingly(Written& written);
  void WriteAgain();
  static void RemoveCreated(const Written& written);
  void RecordLosses();
  std::int64_t Checkpoint();
  std::vector<meta::CheckpointServer> CheckpointServers() const;
  std::int64_t HandOver();
  std::int64_t Retry(const char* what, const Error& error);

  FlushOptions options_;
  Environment environment_;
  DurableState& state_;
  Rng rng_;
  Stage stage_ = Stage::kIdle;
  Round round_;
  bool file_system_syncs_ = false;  // it has worked once
  bool names_durable_ = false;      // in servers/, what a start that was killed has left there
  std::int64_t retry_at_ns_ = 0;
  std::vector<std::byte> buffer_;
  std::mutex mutex_;  // guards the next one
  std::optional<wal::ClosedGeneration> waiting_;
  std::atomic<bool> idle_{true};
  FlusherCounters counters_;
};

}  // namespace duramen::log
