// The table of settings, and nothing else; see base/settings.h.
#include "base/settings.h"

namespace duramen {
namespace {

constexpr std::uint64_t kKiB = 1ULL << 10;
constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr std::uint64_t kGiB = 1ULL << 30;

constexpr SettingSpec kSettings[] = {
    {.name = "data_dir",
     .type = SettingType::kPath,
     .unit = "",
     .default_value = "",
     .part = "log",
     .since = "0.1.0",
     .help = "The directory that holds everything; made if it is not there."},
    {.name = "wal_process",
     .type = SettingType::kPath,
     .unit = "",
     .default_value = "",
     .part = "wal",
     .since = "0.1.0",
     .help = "'unix:PATH': the WAL is another process, `duramen wal`, that has the directory and "
             "listens at PATH; several processes share its syncs. data_dir and the settings of WAL "
             "and segments are that process's then. Unset: this process has the directory."},
    {.name = "wal_dir",
     .type = SettingType::kPath,
     .unit = "",
     .default_value = "",
     .part = "wal",
     .since = "0.1.0",
     .help = "Where the WAL files lie, for a device of their own. Unset: 'wal' in data_dir."},
    {.name = "wal_failover_dir",
     .type = SettingType::kPath,
     .unit = "",
     .default_value = "",
     .part = "wal",
     .since = "0.1.0",
     .help = "A directory on another device, in which the WAL goes on while wal_dir's is slow or "
             "fails. Once used it belongs to the system: without it no start. 'none' for one start "
             "takes it out of use, as soon as it holds nothing that counts. Unset: there is none."},
    {.name = "wal_shards",
     .type = SettingType::kCount,
     .unit = "shards",
     .default_value = "1",
     .min = 1,
     .max = 16,
     .part = "wal",
     .since = "0.1.0",
     .help = "WALs of the system, each with a thread, files and a stream of syncs of its own; a "
             "Writer and its logs are in one of them. Shard K lies in data_dir/shards/K, its WAL "
             "in wal_dir/K if wal_dir is set: more than one pay where these are devices of their "
             "own. A smaller number is refused until the shards that go hold no log."},
    {.name = "wal_max_size_bytes",
     .type = SettingType::kSize,
     .unit = "bytes",
     .default_value = "0",
     .min = 32 * kKiB,
     .max = 16 * kGiB,
     .zero_too = true,
     .part = "wal",
     .since = "0.1.0",
     .help =
         "Size of one WAL file, rounded to 4096. Larger files roll less often; smaller ones "
         "free space sooner. 0: 256,000,000, or a quarter of memory_budget, divided by wal_shards, "
         "if that is less."},
    {.name = "wal_max_entries",
     .type = SettingType::kCount,
     .unit = "entries",
     .default_value = "0",
     .min = 0,
     .max = UINT64_MAX,
     .part = "wal",
     .since = "0.1.0",
     .help = "Entries in one WAL file before it rolls, whatever its size. 0: no such limit."},
    {.name = "wal_max_files",
     .type = SettingType::kCount,
     .unit = "files",
     .default_value = "16",
     .min = 3,
     .max = 65536,
     .part = "wal",
     .since = "0.1.0",
     .help = "Live WAL files at most; above that new entries answer 'overloaded' until the flush "
             "has caught up."},
    {.name = "wal_max_age",
     .type = SettingType::kCount,
     .unit = "seconds",
     .default_value = "60",
     .min = 0,
     .max = 86'400,
     .part = "wal",
     .since = "0.1.0",
     .help = "A WAL file that has held records for so long is rolled at any fill and flushed to "
             "segments, so that an idle system does not keep its WAL for ever. 0: never."},
    {.name = "wal_max_batch_size",
     .type = SettingType::kCount,
     .unit = "records",
     .default_value = "8192",
     .min = 1,
     .max = 1'048'576,
     .part = "wal",
     .since = "0.1.0",
     .help = "Records that one sync makes durable at most. No timer waits for a batch to fill."},
    {.name = "wal_stall_threshold",
     .type = SettingType::kCount,
     .unit = "milliseconds",
     .default_value = "500",
     .min = 0,
     .max = 3'600'000,
     .part = "wal",
     .since = "0.1.0",
     .help =
         "A write or sync of the WAL that takes so long is counted as a stall, and told with the "
         "batches before it. 0: none is."},
    {.name = "wal_failover_after",
     .type = SettingType::kCount,
     .unit = "milliseconds",
     .default_value = "500",
     .min = 0,
     .max = 3'600'000,
     .part = "wal",
     .since = "0.1.0",
     .help = "With wal_failover_dir: a write and sync that takes so long is given up, and what it "
             "holds is written to the other directory. 0: only an error leads there."},
    {.name = "wal_sync_method",
     .type = SettingType::kChoice,
     .unit = "",
     .default_value = "datasync",
     .allowed = "datasync|fsync|dsync|none|auto",
     .part = "wal",
     .since = "0.1.0",
     .help =
         "How a batch is made durable. 'sync' is read as fsync. 'none' survives a crash of "
         "the process but loses acknowledged entries with the power. 'dsync' writes past the page "
         "cache, several batches at once; 'auto' takes it where it was faster than datasync "
         "when the directory was first used with 'auto'."},
    {.name = "wal_pipeline_depth",
     .type = SettingType::kCount,
     .unit = "batches",
     .default_value = "4",
     .min = 1,
     .max = 64,
     .part = "wal",
     .since = "0.1.0",
     .help = "Batches that sync method 'dsync' has in flight at most. How many it has follows what "
             "one more gains on the device."},
    {.name = "wal_compression",
     .type = SettingType::kChoice,
     .unit = "",
     .default_value = "none",
     .allowed = "none|zstd",
     .part = "wal",
     .since = "0.1.0",
     .help = "Compresses what one log has in a batch, where that is 4 KiB or more and becomes an "
             "eighth smaller. It costs the WAL thread ten times the copy, so it pays where the "
             "device is slower than 300 MB/s. Earlier releases refuse such files by name."},
    {.name = "wal_compute_checksums",
     .type = SettingType::kBoolean,
     .unit = "",
     .default_value = "true",
     .allowed = "true",
     .part = "wal",
     .since = "0.1.0",
     .help = "Always on: an entry without a checksum could not be told from a damaged one."},
    {.name = "wal_pre_allocate",
     .type = SettingType::kBoolean,
     .unit = "",
     .default_value = "true",
     .allowed = "true",
     .part = "wal",
     .since = "0.1.0",
     .help = "Always on: WAL files have their space before they are needed, so a full disk is "
             "found at a roll and not in a batch."},
    {.name = "flush_delay",
     .type = SettingType::kCount,
     .unit = "milliseconds",
     .default_value = "200",
     .min = 0,
     .max = 3'600'000,
     .part = "segments",
     .since = "0.1.0",
     .help =
         "A closed WAL file waits so long before what is left of it is flushed to segments: what "
         "is truncated meanwhile is never written there. The next closed file, or three "
         "quarters of memory_budget in use, end the wait."},
    {.name = "segment_max_entries",
     .type = SettingType::kCount,
     .unit = "entries",
     .default_value = "4096",
     .min = 1,
     .max = 1ULL << 24,
     .part = "segments",
     .since = "0.1.0",
     .help = "Entries in one segment file of a log. Segments are deleted whole, so smaller ones "
             "give space back sooner and cost more files."},
    {.name = "segment_max_size_bytes",
     .type = SettingType::kSize,
     .unit = "bytes",
     .default_value = "64000000",
     .min = 4 * kKiB,
     .max = 4 * kGiB,
     .part = "segments",
     .since = "0.1.0",
     .help = "Size of one segment file. An entry that is larger gets a file of its own."},
    {.name = "segment_compression",
     .type = SettingType::kChoice,
     .unit = "",
     .default_value = "none",
     .allowed = "none|zstd",
     .part = "segments",
     .since = "0.1.0",
     .help = "Compresses entries on their way to segments, in blocks of some 64 KiB; a block "
             "that does not become an eighth smaller stays as it is. A read decompresses the whole "
             "block of an entry, and damage costs one. Files that are there stay as they are."},
    {.name = "flush_threads",
     .type = SettingType::kCount,
     .unit = "threads",
     .default_value = "1",
     .min = 1,
     .max = 8,
     .part = "segments",
     .since = "0.1.0",
     .help = "Threads that take entries from WAL files to segments, each another log; of each WAL "
             "shard. More than one pay where processors are idle while a flush is late."},
    {.name = "flush_bytes_per_s",
     .type = SettingType::kSize,
     .unit = "bytes",
     .default_value = "0",
     .min = 64 * kKiB,
     .max = 1ULL << 40,
     .zero_too = true,
     .part = "segments",
     .since = "0.1.0",
     .help =
         "What a flush writes in a second at most, so that syncs of the WAL keep the device; of "
         "each WAL shard. "
         "Not when writers wait for the flush, or soon would: half of wal_max_files wait, or "
         "memory is short. 0: twice as fast as WAL files fill."},
    {.name = "memory_budget",
     .type = SettingType::kSize,
     .unit = "bytes",
     .default_value = "1073741824",
     .min = kMiB,
     .max = 1ULL << 50,
     .part = "log",
     .since = "0.1.0",
     .help = "Memory for entries, rings and pinned reads. What does not fit is read back from the "
             "WAL files."},
    {.name = "on_wal_down",
     .type = SettingType::kChoice,
     .unit = "",
     .default_value = "stay",
     .allowed = "stay|exit",
     .part = "wal",
     .since = "0.1.0",
     .help = "When nothing can be made durable any more: stay, refuse writes and serve reads, or "
             "exit so that a supervisor restarts the process."},
    {.name = "recovery_mode",
     .type = SettingType::kChoice,
     .unit = "",
     .default_value = "contain",
     .allowed = "strict|contain|salvage",
     .part = "log",
     .since = "0.1.0",
     .help = "On damage found at the start: contain it to the logs that it touches, or strictly "
             "refuse to start. salvage contains it too, and then opens the faulty ones of "
             "salvage_servers anew."},
    {.name = "salvage_servers",
     .type = SettingType::kList,
     .unit = "",
     .default_value = "",
     .part = "log",
     .since = "0.1.0",
     .help = "Names or uids of logs, with commas between them (a name that has one is given by "
             "its uid). Under recovery_mode salvage each of them that is faulty begins anew with "
             "the entries before the first lost one, under a new uid and without a vote. It can "
             "stay set: a log that is not faulty is left as it is."},
};

}  // namespace

std::span<const SettingSpec> AllSettings() { return kSettings; }

}  // namespace duramen
