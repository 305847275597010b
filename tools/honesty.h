// Whether syncs do what they say. Three witnesses, none of which needs to be believed alone:
//   - the kernel's account of this thread: a page that is written again after a sync is dirtied
//     anew, and counted; if the sync did nothing the page is still dirty, and is not counted.
//     Before it is heard, the account is tried on pages whose state is known.
//   - the block device's own counters of writes and flushes. Others use it too, so that many say
//     nothing, but few say much.
//   - the clock: no medium takes new data within a microsecond. Heard only where the account is
//     not to be had.
// What a device, or the host of a virtual machine, does with a flush is not seen from here.
//
// The calls are those of the C library, so that a library which was loaded in between to leave
// syncs out (as libeatmydata does) is found. The verdict is a pure function of what was seen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/io.h"
#include "duramen/log_store.h"
#include "tools/device_facts.h"

namespace duramen::tools {

enum class Honesty : std::uint8_t { kHonest, kUnknown, kDishonest };
/// "honest", "cannot be told", "dishonest".
const char* HonestyName(Honesty honesty) noexcept;

/// What was seen of one sync method.
struct SyncEvidence {
  SyncMethod method = SyncMethod::kDatasync;
  std::uint64_t syncs = 0;               // of a page that was just written, each a success
  std::uint64_t pages_clean_after = 0;   // how many of those syncs left the page clean
  std::optional<DeviceCounters> device;  // counted meanwhile, by others' writes too
  std::int64_t write_ns = 0;             // medians
  std::int64_t sync_ns = 0;
};

struct Witnesses {
  bool account = false;  // pages_clean_after means something
  std::vector<SyncEvidence> methods;
};

struct HonestyVerdict {
  Honesty honesty = Honesty::kUnknown;
  std::string why;  // one sentence
};

/// Writes and syncs a few pages of a file of its own in `directory`, for each of datasync, fsync
/// and dsync, until the time of Clock `end_ns`. Errors: kIo, kDiskFull, kPermission.
Result<Witnesses> WatchSyncs(Directory& directory, const DeviceFacts& facts, std::int64_t end_ns);

/// Of one method. Pure.
HonestyVerdict JudgeSyncs(const DeviceFacts& facts, bool account, const SyncEvidence& evidence);

}  // namespace duramen::tools
