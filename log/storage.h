// The composition root of storage, for what public headers cannot name: the four seams and the
// sizes that tests shrink. LogStore::Open is this with POSIX, the system clock and threads.
#pragma once

#include <cstdint>

#include "base/actor.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/rng.h"
#include "base/stat_memory.h"
#include "duramen/log_store.h"

namespace duramen::log {

/// Everything outlives the store.
struct StorageEnvironment {
  FileSystem& file_system;
  Clock& clock;
  ActorExecutor& executor;
  Rng rng;  // copied: uids and lives
  /// Makes the memory of the statistics page; null: the store's own, that nobody else reads.
  Result<StatMemory> (*stat_memory)(const std::string& data_dir, std::size_t bytes) = nullptr;
};

/// Sizes that follow from the settings in production.
struct StorageTuning {
  std::uint32_t ring_records = 16384;         // a power of two
  std::uint64_t ring_bytes = 8u << 20;        // payload bytes in flight per Writer
  std::uint64_t chunk_bytes = 256u << 10;     // one arena chunk
  std::uint64_t batch_bytes_max = 8u << 20;   // encoded
  std::uint64_t alone_bytes_max = 64u << 10;  // of a batch that the WAL thread writes itself
  std::uint64_t pack_run_bytes_min = 4096;    // of a run that wal_compression is tried on
  std::uint64_t pack_block_bytes_min = 256;   // of a block that segment_compression is
  bool depth_adapts = true;                   // of direct writes; false: always the most
  std::int64_t seal_after_ns = 3'000'000;     // idle time before a seal
  std::uint64_t spare_files = 2;              // kept for recovery alone [B4]
  std::uint64_t row_files = 2;                // kept for rows and marks on a full disk [B3]
  std::size_t files_synced_singly = 4;        // of a flush; more: one sync of the file system
  std::size_t files_open_max = 256;           // of a flush
};

/// What OpenLogStore and MendStore refuse before they touch the disk. Errors: kConfiguration.
Status ValidateStoreOptions(const LogStoreOptions& options, const StorageTuning& tuning);

/// LogStore::Open, where the directory is this process's own.
Result<LogStore> OpenEmbedded(const LogStoreOptions& options);

Result<LogStore> OpenLogStore(const LogStoreOptions& options, StorageEnvironment environment,
                              const StorageTuning& tuning);

}  // namespace duramen::log
