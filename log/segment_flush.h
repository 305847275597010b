// What is live of one log goes to its segments: the part of a flush round that several threads do
// at once, each for another log.
//
// A SegmentFlush is one thread's at a time. While a job is under way, the segments of its log are
// that thread's; what it changes besides is guarded where it lies.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/io.h"
#include "base/memory_budget.h"
#include "base/rng.h"
#include "log/durable_rows.h"
#include "log/durable_state.h"
#include "log/segment_feed.h"
#include "segments/open_files.h"
#include "segments/writer.h"
#include "wal/landed.h"
#include "wal/port.h"
#include "wal/run_reader.h"

namespace duramen::log {

/// One log of a round. What it points to stays until it is done.
struct FlushJob {
  wal::LandedIndex::Survivors survivors;
  const wal::ClosedLog* log = nullptr;
  ServerSegments* server = nullptr;
  bool name_trusted = false;  // of its directory: durable, or made in this round
  bool may_append = false;
  bool begin_write_back = false;
  bool rewrite = false;
  bool fill = false;
  // What became of it.
  Status status = {};
  bool names_changed = false;  // in servers/
  bool named = false;          // its directory was made, or named anew
  std::optional<std::vector<IndexRange>> missing = {};
  std::uint64_t entries = 0;
  segments::WrittenRound result = {};
  std::unique_ptr<Directory> directory = nullptr;  // where files were created
};

class SegmentFlush {
 public:
  /// While it waits, a device that gives nothing of a file is no loss. Any thread.
  class Patience {
   public:
    virtual ~Patience() = default;
    virtual bool Waits(wal::Place place) = 0;
  };
  /// All outlive the flush.
  struct Environment {
    SystemUuid system;
    segments::SegmentLimits limits;
    Directory& servers_dir;
    wal::LandedIndex& landed;
    DurableRows& rows;
    segments::OpenFiles& files;
    MemoryBudget& budget;
    Counter& memory_bytes;  // of the budget in use here
    Patience& patience;
  };
  SegmentFlush(const Environment& environment, Rng rng);

  void Run(FlushJob& job);
  /// The directory of a log, known to nobody yet, is named for good by the next sync of servers/.
  static Status MakeName(Directory& servers_dir, const ServerUid& uid);

 private:
  Status Write(FlushJob& job);
  segments::WriterSetup SetupFor(const FlushJob& job);
  Status Feed(const FlushJob& job, SegmentFeed& feed);
  Status FeedSegments(const ServerSegments& server, IndexRange range, SegmentFeed& feed);
  Status FeedRun(const wal::OwnedRun& run, SegmentFeed& feed);
  Status CheckAnswers(const wal::OpenWalFile& file);
  Result<std::unique_ptr<Directory>> OpenDirectory(FlushJob& job);
  void Count(std::uint64_t ahead_bytes = 0);

  Environment environment_;
  Rng rng_;
  std::vector<std::byte> run_bytes_;  // as read
  std::vector<std::byte> scratch_;    // as written
  segments::BlockPacker packer_;
  std::uint64_t frame_bytes_ = 0;  // of a packed run that is read
  std::uint64_t entry_bytes_ = 0;  // of the largest entry of the run that is read
  std::uint64_t job_bytes_ = 0;    // of the job under way
  CountedBytes counted_;           // all of these
};

}  // namespace duramen::log
