// Takes closed generations of the WAL to segments and checkpoints, so that their files can go. One
// waits for a moment first, because what is truncated meanwhile need not be written.
//
// One round, in this order; a crash between any two steps repeats work [A6, B8]:
//   0. inspection  of segments, only for a store that is mended: those with a damaged byte are
//                  written anew, from what can be read of them
//   1. runs        what is still live in WAL files up to the generation's, read from there and
//                  verified, appended to each log's segments; files that nobody needs are removed
//   2. syncs       few files: one each and their directories; many: one sync of the file system.
//                  If that fails, everything is written again into new files, with a sync each,
//                  and below names that are made again; so they are if that of servers/ fails, and
//                  where an earlier start may have seen it fail.
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
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "base/actor.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/memory_budget.h"
#include "base/rng.h"
#include "log/durable_rows.h"
#include "log/durable_state.h"
#include "log/segment_feed.h"
#include "log/store_stats.h"
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
  std::int64_t delay_ns = 0;            // a generation waits so long, as memory allows
};

/// What one round does besides, for a store that is mended (mend.h).
struct FlushRepairs {
  std::uint64_t file = 0;        // the round is that of a generation which ends there or behind
  bool rewrite_damaged = false;  // segments in which a byte is wrong, or that are not there
  /// Whose unreadable entries become no-ops; true: and the log is not faulty for it.
  std::map<ServerUid, bool> fill;
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
    FlusherStats& stats;
    const MemoryBudget& budget;
  };
  /// `state` is what the start found; it outlives the flusher, which goes on from it.
  Flusher(const FlushOptions& options, const Environment& environment, DurableState& state,
          Rng rng);

  // wal::GenerationSink; WAL thread
  void OnClosed(wal::ClosedGeneration generation) override;
  // Actor
  std::int64_t Step() override;
  const char* name() const override { return "flusher"; }

  /// No round is under way or waiting. Any thread.
  bool idle() const { return idle_.load(std::memory_order_acquire); }
  /// Any thread.
  void Repair(FlushRepairs repairs);
  /// Why the round under way has to try again; nothing when it did not have to. Any thread.
  std::optional<Error> failure() const;

 private:
  enum class Stage : std::uint8_t { kIdle, kInspect, kWrite, kSync, kCheckpoint, kHandOver };
  /// A log's new files, not durable before the round's sync.
  struct Written {
    std::size_t survivors = 0;  // which of the round's
    segments::WrittenRound result;
    std::unique_ptr<Directory> directory;  // where files were created
  };
  struct Waiting {
    wal::ClosedGeneration generation;
    std::int64_t since_ns = 0;
    std::uint64_t count = 0;  // closed ones that it holds
  };
  struct Round {
    wal::ClosedGeneration generation;
    std::int64_t begun_ns = 0;
    std::uint64_t generations = 0;  // closed ones that it holds
    std::vector<wal::LandedIndex::Survivors> survivors;
    std::vector<std::size_t> todo;  // of survivors; the last one next
    std::vector<std::size_t> failed;
    Error error;  // of the last one that failed
    std::vector<Written> written;
    std::vector<Written> synced;
    std::size_t files = 0;       // in `written`
    std::size_t closed = 0;      // of `written`, from the front
    bool names_changed = false;  // in servers/
    bool names_lost = false;     // of `named`, by a sync of servers/ that failed
    bool singly = false;         // no sync of the file system: not to be had, or it has failed
    std::size_t checkpoints = 0;
    std::uint64_t silent_since =
        0;  // newest WAL file that was closed when one gave nothing; 0: none
    std::map<ServerUid, std::vector<IndexRange>> lost;  // that could not be read
    std::optional<FlushRepairs> repairs;
    std::uint32_t inspected = 0;      // slots below it
    std::set<std::uint32_t> rewrite;  // slots whose segments are written anew
    std::set<ServerUid> named;  // directories made, or named anew, since the last sync of names
    std::vector<meta::CheckpointServer> rows;  // of both checkpoints
  };

  std::int64_t Begin();
  std::int64_t DueNs() const;
  std::int64_t Inspect();
  Result<bool> NeedsRewrite(const wal::ClosedLog& log) const;
  std::int64_t Write();
  Status WriteLog(std::size_t number);
  segments::WriterSetup SetupFor(const wal::LandedIndex::Survivors& survivors,
                                 ServerSegments& server, Directory& directory);
  void CloseFiles();
  Status FeedLog(const wal::LandedIndex::Survivors& survivors, const ServerSegments& server,
                 SegmentFeed& feed);
  Status FeedSegments(const ServerSegments& server, IndexRange range, SegmentFeed& feed);
  Status FeedRun(const wal::OwnedRun& run, SegmentFeed& feed);
  Status CheckAnswers(const wal::OpenWalFile& file);
  Result<std::unique_ptr<Directory>> OpenDirectory(const ServerUid& uid);
  Status MakeName(const ServerUid& uid);
  Result<std::set<ServerUid>> RemoveDeleted(std::uint64_t file_max);
  void RemoveDead(bool newest_floors);
  void TellSegments();
  std::int64_t Sync();
  std::int64_t RetryFailed();
  Status SyncSingly(Written& written);
  void WriteAgain();
  Status SyncNames();
  void OnNamesDurable();
  static void RemoveCreated(const Written& written);
  void RecordLosses();
  std::int64_t Checkpoint();
  std::vector<meta::CheckpointServer> CheckpointServers() const;
  std::int64_t HandOver();
  void LeaveOldFiles(const Written& written);
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
  mutable std::mutex mutex_;     // guards all below but the last two
  std::deque<Waiting> waiting_;  // two at most
  std::optional<FlushRepairs> repairs_;
  std::optional<Error> failure_;
  std::atomic<bool> idle_{true};
  FlusherStats& counters_;
};

}  // namespace duramen::log
