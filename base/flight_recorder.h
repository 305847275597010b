// The last batches of a WAL, with how long each of their stages took: what one looks at after a
// stall, or after the process died. A fixed layout without pointers (base/stat_page.h).
//
// One thread records, any thread or process reads. Each slot has a checksum, so one that is being
// written, or was when the process was killed, is left out and never misread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/types.h"

namespace duramen {

/// How far a batch has come.
enum class BatchStage : std::uint64_t { kEncoding, kWriting, kSyncing, kNotifying, kDone, kFailed };
const char* BatchStageName(BatchStage stage) noexcept;

/// Durations are 0 for stages that it has not finished.
struct BatchRecord {
  std::uint64_t ordinal = 0;  // of this process, from 1
  std::uint64_t batch = 0;    // number
  std::uint64_t file = 0;     // number
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  std::uint64_t waiting = 0;         // records that stayed behind in the rings
  std::int64_t begun_ns = 0;         // Clock::NowNs
  std::int64_t stage_at_ns = 0;      // since when it is in `stage`
  std::uint64_t oldest_wait_ns = 0;  // of its records, in the ring
  std::uint64_t encode_ns = 0;
  std::uint64_t write_ns = 0;
  std::uint64_t sync_ns = 0;
  std::uint64_t notify_ns = 0;
  BatchStage stage = BatchStage::kEncoding;
  std::uint64_t reserved = 0;

  friend bool operator==(const BatchRecord&, const BatchRecord&) = default;
  /// "batch 7 in file 2: 3 records, 4096 bytes, ...", for people.
  std::string ToText() const;
};

class FlightRecorder {
 public:
  static constexpr std::size_t kSlots = 256;
  static constexpr std::size_t kSlotBytes = sizeof(BatchRecord) + 8;

  /// Puts `record` where the one of its ordinal stands, or in the place of the oldest. One thread.
  void Put(const BatchRecord& record) noexcept;
  /// The newest `count` at most, oldest first.
  std::vector<BatchRecord> Last(std::size_t count) const;

 private:
  using Slot = std::array<std::atomic<std::uint64_t>, kSlotBytes / 8>;
  std::array<Slot, kSlots> slots_{};
};
static_assert(FlightRecorder::kSlotBytes == 128);
static_assert(sizeof(FlightRecorder) == FlightRecorder::kSlots * FlightRecorder::kSlotBytes);

/// Those of a copy of a recorder that are whole, oldest first; `bytes` may be any.
std::vector<BatchRecord> ReadBatches(Bytes bytes);

}  // namespace duramen
