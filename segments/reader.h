// Reading entries out of segments, in two steps: a plan from a SegmentList, on the thread that owns
// the log, and its execution, on any thread.
//
// Every payload is verified against its entry checksum on the way out. Damage costs the entries it
// touches: a plan that begins behind them reads on.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "segments/open_files.h"
#include "segments/segment_list.h"

namespace duramen::segments {

/// The largest read, unless an entry is larger.
inline constexpr std::uint64_t kReadBytesMax = 1 << 20;

struct PlanStep {
  std::vector<SegmentSummary> files;  // one; sparse: those that may hold the index, newest first
  IndexRange range;
  bool sparse = false;
};

struct ReadPlan {
  ServerIdentity identity;
  std::vector<PlanStep> steps;
  Index missing = 0;            // the first index that no segment has; the plan ends before it
  std::uint64_t bytes_max = 0;  // of payload; one entry is read in any case
};

/// Entries of `range`, which is not empty, in order. Requires: it is below the end of the log [C8].
ReadPlan PlanRange(const SegmentList& list, const ServerIdentity& identity, IndexRange range,
                   std::uint64_t bytes_max);
/// The same for single indexes, ascending: live entries, sparse runs among them.
ReadPlan PlanSparse(const SegmentList& list, const ServerIdentity& identity,
                    std::span<const Index> indexes, std::uint64_t bytes_max);

/// Who counts what a read holds, and may refuse it: asked before the memory is taken.
class ReadMemory {
 public:
  virtual ~ReadMemory() = default;
  virtual Status Take(std::uint64_t bytes) = 0;
  virtual void GiveBack(std::uint64_t bytes) = 0;
};

/// Entries borrow from buffers; both move together.
struct ReadEntries {
  std::vector<EntryView> entries;
  std::vector<std::vector<std::byte>> buffers;
  ReadMemory* memory = nullptr;  // has counted the buffers; null: nobody counts
};

/// Adds to `into` what it reads. On an error what was read before it stands there.
/// Errors: kCorruption naming file, offset and index; kNotFound (index); those of OpenFiles::Get
/// and of ReadMemory::Take.
Status ExecutePlan(const ReadPlan& plan, OpenFiles& files, ReadEntries& into);

}  // namespace duramen::segments
