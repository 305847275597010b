// Every readable record of one server's segments, in order of the files: what dump and stat are
// built on. Each is checked against its entry checksum; damage is stepped over and said.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/io.h"
#include "segments/format.h"
#include "segments/segment_list.h"
#include "tools/wal_walk.h"

namespace duramen::tools {

/// Borrows from the walk until the call returns.
struct SegmentRecord {
  const std::string& file;  // as it is shown
  const ServerUid& uid;
  const segments::RunHeader& run;
  std::uint64_t offset = 0;  // of the record in the file
  const segments::RecordHeader& record;
  Bytes payload;
  Standing standing = Standing::kLive;
};

class SegmentVisitor {
 public:
  virtual ~SegmentVisitor() = default;
  virtual void OnSegmentRecord(const SegmentRecord& record) = 0;
  /// `bytes` at `offset` that hold, or held, what is asked for and cannot be read.
  virtual void OnSegmentSkipped(const std::string& file, std::uint64_t offset,
                                std::uint64_t bytes) = 0;
  /// A running store removed the file: nobody needs it any more.
  virtual void OnSegmentGone(const std::string& file) = 0;
  /// False ends the walk.
  virtual bool wants_more() const { return true; }
};

struct SegmentWalk {
  const Directory* directory = nullptr;  // of the server; null: a file on its own
  std::string shown_prefix = {};         // of file names: "servers/UID/"
  segments::ServerIdentity identity;
  segments::SegmentList list = {};
  IndexRange live = {};  // appended entries outside of it are dead
  bool all = false;      // dead ones too
  /// Runs up to there are left out: what another walk has seen.
  std::uint64_t after_number = 0;
  std::uint64_t after_bytes = 0;
};

/// Errors: kUnknownVersion, and those of reading.
Status WalkSegments(const SegmentWalk& walk, SegmentVisitor& visitor);
/// The only file of walk.list, shown as walk.shown_prefix. Errors: the same.
Status WalkOneSegment(const File& file, const SegmentWalk& walk, SegmentVisitor& visitor);

/// What one file holds, by the headers of its runs.
struct SegmentUse {
  std::uint64_t number = 0;
  std::uint64_t bytes = 0;  // that count
  IndexRange live;
  std::uint64_t live_entries = 0;  // appended
  std::uint64_t live_bytes = 0;    // sparse runs among them
};
/// Of each file of the list that is still there. Errors: as WalkSegments.
Result<std::vector<SegmentUse>> MeasureSegments(const SegmentWalk& walk);

/// What a segment file on its own tells: all that it holds counts, and its own runs say what of it
/// was cut. `beside`: whose it is when its header cannot be read; may be null.
/// Errors: kCorruption (nothing tells whose it is), kUnknownVersion, and of reading.
Result<SegmentWalk> LoneSegment(const File& file, const segments::ServerIdentity* beside,
                                std::uint64_t number_by_name);

}  // namespace duramen::tools
