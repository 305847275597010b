// What the WAL tells of itself: how long each stage of a batch takes, how long records waited for
// it, and when the device kept it waiting for too long.
//
// The stages of one batch are told in the order of the calls below; several batches may be on their
// way. All calls come from the WAL thread; what they count in may be read by anybody.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/counters.h"
#include "base/flight_recorder.h"
#include "base/histogram.h"
#include "base/log.h"
#include "base/write_queue.h"

namespace duramen::wal {

/// Fixed layout: it may lie in a statistics page.
struct alignas(64) WalStats {
  Counter batches, entries, rows, bytes, syncs, rolls, row_rolls, seals;
  Counter recycled_files, poisoned_files, refused_records, resent_records, stalls, stall_ns;
  Counter busy_ns, wait_ns, packed_from_bytes, packed_to_bytes;
  Counter failovers, failbacks, probes, bad_probes;
  // As it is now.
  Counter place, given_up;
  Counter depth, method, free_bytes, row_files_ready, files, state, current_file, file_used_bytes,
      file_size_bytes, queue_records, memory_bytes;
  Counter in_flight_since, last_batch_at;  // NowNs; 0: not now, not yet
  Histogram queue_wait_ns, encode_ns, write_ns, sync_ns, notify_ns, commit_ns;
  Histogram batch_records, batch_bytes;
  FlightRecorder recorder;
};

/// One batch on its way; kept between rounds so that its memory is reused.
class BatchTrace {
 public:
  void Reset();
  /// A record was taken into the batch; `enqueued_ns` is when its call put it into the ring.
  void OnRecord(std::int64_t enqueued_ns) {
    ++record_.records;
    if (!calls_.empty() && enqueued_ns - calls_.back().at_ns < kTogetherNs &&
        enqueued_ns >= calls_.back().at_ns) {
      ++calls_.back().records;
      return;
    }
    calls_.push_back({enqueued_ns, 1});
  }
  const BatchRecord& record() const { return record_; }

 private:
  friend class Telling;
  static constexpr std::int64_t kTogetherNs = 4'000;  // told as one moment
  struct Call {
    std::int64_t at_ns = 0;
    std::uint64_t records = 0;
  };
  BatchRecord record_;
  std::vector<Call> calls_;
};

class Telling {
 public:
  /// All outlive it. `stall_ns`: writes and syncs that take so long are told; 0: none.
  Telling(WalStats& stats, const Clock& clock, const Log& log, std::int64_t stall_ns)
      : stats_(stats), clock_(clock), log_(log), stall_ns_(stall_ns) {}

  /// Nothing is added to it any more; encoding begins. `waiting`: records that stay in the rings.
  void OnPlanned(BatchTrace& trace, std::uint64_t waiting);
  struct Encoded {
    std::uint64_t batch = 0;
    std::uint64_t file = 0;
    std::uint64_t bytes = 0;
  };
  /// It is on its way to the disk. Returns the time.
  std::int64_t OnEncoded(BatchTrace& trace, const Encoded& encoded);
  /// Written, and synced if `synced`, without an error.
  void OnDone(BatchTrace& trace, const WriteDone& done, bool synced);
  /// Since when the oldest batch that is not done has been on its way; 0: there is none.
  void OnInFlight(std::int64_t since_ns) { stats_.in_flight_since.SetTime(since_ns); }
  /// Everybody who waited for it knows.
  void OnNotified(BatchTrace& trace);
  /// It is still in flight, and nobody waits for it any more. OnFailed follows.
  void OnGivenUp(const BatchTrace& trace);
  /// It is given up; what it held goes into another one.
  void OnFailed(BatchTrace& trace);

 private:
  void Enter(BatchTrace& trace, BatchStage stage, std::int64_t now_ns);
  struct Waited {
    std::string_view where;  // "write", "sync"
    std::uint64_t file = 0;
    std::uint64_t batch = 0;
    std::int64_t begin_ns = 0;
    std::int64_t end_ns = 0;
  };
  void CheckStall(const Waited& waited);

  WalStats& stats_;
  const Clock& clock_;
  const Log& log_;
  const std::int64_t stall_ns_;
  std::uint64_t ordinal_ = 0;
  std::int64_t quiet_until_ns_ = 0;
  std::uint64_t untold_ = 0;
};

}  // namespace duramen::wal
