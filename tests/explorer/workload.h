// The twelve workloads, as weights of what a run does next. What they share is that files are so
// small that they roll and are flushed, and rings so small that batches are in flight all the time.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace duramen::explorer {

enum class Action : std::uint8_t {
  kAppend,      // one group of consecutive entries
  kAppendMany,  // groups for several logs in one call
  kOverwrite,   // an append at or below the last index
  kTruncateSuffix,
  kTruncatePrefix,
  kReset,
  kVote,
  kValue,
  kLastApplied,
  kCreate,
  kDelete,
  kRead,      // checks what can be read against the model
  kWait,      // until the last ticket is durable
  kRunSteps,  // lets the actors take a few steps
  kIdle,      // lets time pass to the next timer, so that seals are written
  kSpace,     // the disk is full from here on, or not any more
  kStall,     // one of the WAL's two directories does not answer for a while
  kCount,
};

struct Workload {
  std::string_view name;
  std::uint32_t writers = 1;
  std::uint32_t logs_per_writer = 3;
  std::uint32_t actions = 100;
  std::uint32_t entries_max = 4;         // per group
  std::uint32_t payload_max = 600;       // bytes; one in eight may be three times that
  std::uint32_t keep_entries = 24;       // a prefix is cut so that about that many stay
  std::uint32_t cut_max = 6;             // entries that an overwrite or truncation takes at most
  std::uint64_t segment_entries = 4096;  // of one segment file
  std::uint64_t wal_file_bytes = 0;      // 0: whatever the seed says
  bool fails_over = false;               // there is a second directory of the WAL
  bool sharded = false;                  // there are several WALs, more or fewer in each life
  bool compresses = false;               // WAL and segments
  std::array<std::uint8_t, static_cast<std::size_t>(Action::kCount)> weights{};
};

inline constexpr std::uint32_t kWorkloadCount = 13;
const Workload& WorkloadOf(std::uint32_t number);

}  // namespace duramen::explorer
