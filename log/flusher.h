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
// Stage 1 is done by several threads where flush_threads says so (log/flush_pool.h); the stages
// behind it begin when all of them are done. It is paced (log/flush_pace.h), so that those who
// write keep the device, but never when they wait for it, or soon would: for a WAL file, or memory.
//
// Owned by the store; its state belongs to its thread, what it is told comes through a mailbox.
#pragma once

#include <array>
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
#include "log/flush_pace.h"
#include "log/flush_pool.h"
#include "log/store_stats.h"
#include "segments/open_files.h"
#include "segments/writer.h"
#include "wal/landed.h"
#include "wal/port.h"

namespace duramen::log {

struct FlushOptions {
  SystemUuid system;
  segments::SegmentLimits limits;
  std::size_t files_synced_singly = 4;  // more in a round: one sync of the file system
  std::size_t files_open_max = 256;     // of a round
  std::int64_t delay_ns = 0;            // a generation waits so long, as memory allows
  std::uint32_t threads = 1;            // that write segments
  std::uint64_t bytes_per_s = 0;        // 0: as it follows from how fast WAL files fill
  std::uint64_t wal_files_max = 16;     // that may wait; at half of them nothing is paced
};

/// What one round does besides, for a store that is mended (mend.h).
struct FlushRepairs {
  std::uint64_t file = 0;        // the round is that of a generation which ends there or behind
  bool rewrite_damaged = false;  // segments in which a byte is wrong, or that are not there
  /// Whose unreadable entries become no-ops; true: and the log is not faulty for it.
  std::map<ServerUid, bool> fill;
};

class Flusher final : public Actor, public wal::GenerationSink, private SegmentFlush::Patience {
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
    /// Writers wait for what a flush frees, or soon would.
    virtual bool FlushIsUrgent() const = 0;
    /// No log's entries are taken until a flush has freed something.
    virtual bool EntriesWaitForFlush() const = 0;
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
    MemoryBudget& budget;
    Counter& memory_bytes;  // of the budget in use here
  };
  /// `state` is what the start found; it outlives the flusher, which goes on from it.
  Flusher(const FlushOptions& options, const Environment& environment, DurableState& state,
          Rng rng);
  /// Of the other threads. Before the flusher is started, and after it was stopped.
  void StartHelpers() { pool_.Start(); }
  void StopHelpers() { pool_.Stop(); }

  // wal::GenerationSink; WAL thread
  void OnClosed(wal::ClosedGeneration generation) override;
  // Actor
  std::int64_t Step() override;
  const char* name() const override { return "flusher"; }
  bool background() const override { return true; }

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
    std::uint32_t slot = 0;
    segments::WrittenRound result;
    std::unique_ptr<Directory> directory;  // where files were created
    bool given_up = false;                 // its sync failed
  };
  struct Waiting {
    wal::ClosedGeneration generation;
    std::int64_t since_ns = 0;   // of the first that it holds
    std::int64_t closed_ns = 0;  // its own
    std::uint64_t count = 0;     // closed ones that it holds
  };
  struct Round {
    wal::ClosedGeneration generation;
    std::int64_t begun_ns = 0;
    std::int64_t closed_ns = 0;       // when its generation was
    std::uint64_t generations = 0;    // closed ones that it holds
    std::uint64_t bytes = 0;          // that were live when it began
    std::vector<std::uint32_t> todo;  // slots; the last one next
    std::vector<std::uint32_t> failed;
    Error error;  // of the last one that failed
    std::vector<Written> written;
    std::vector<Written> synced;
    std::size_t files = 0;       // in `written`
    std::size_t files_open = 0;  // of them
    std::size_t closed = 0;      // of `written`, from the front
    bool names_changed = false;  // in servers/
    bool names_lost = false;     // of `named`, by a sync of servers/ that failed
    bool synced_early = false;   // a planted bug
    bool singly = false;         // no sync of the file system: not to be had, or it has failed
    std::size_t checkpoints = 0;
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
  std::int64_t HandOut();
  FlushJob JobOf(wal::LandedIndex::Survivors survivors);
  void Collect();
  void OnFailed(const FlushJob& job);
  void CloseFiles();
  bool Waits(wal::Place place) override;
  void CountWaiting();
  void SetPace();
  std::int64_t ReadyNs(std::int64_t now_ns);
  void CountRound(std::uint64_t checkpoint_bytes);
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
  Stage stage_ = Stage::kIdle;
  Round round_;
  bool file_system_syncs_ = false;  // it has worked once
  bool names_durable_ = false;      // in servers/, what a start that was killed has left there
  std::int64_t retry_at_ns_ = 0;
  FlushPace pace_;
  std::int64_t filling_since_ns_;        // of what the next round takes
  std::int64_t throttled_since_ns_ = 0;  // 0: is not
  CountedBytes round_bytes_;
  mutable std::mutex mutex_;     // guards all below but the last four
  std::deque<Waiting> waiting_;  // two at most
  CountedBytes waiting_bytes_;
  /// By place: the newest WAL file that was closed, and what that was when one there gave nothing.
  std::array<std::uint64_t, wal::kPlaces> newest_closed_ = {};
  std::array<std::optional<std::uint64_t>, wal::kPlaces> silent_since_ = {};
  std::optional<std::int64_t> all_wait_since_ns_;  // for a file that gives nothing
  std::optional<FlushRepairs> repairs_;
  std::optional<Error> failure_;
  std::atomic<bool> idle_{true};
  FlusherStats& counters_;
  std::vector<FlushJob> done_;  // scratch of Collect
  FlushPool pool_;
};

}  // namespace duramen::log
