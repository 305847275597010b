// The table of a system's settings, and nothing else; see server/settings.h.
#include "server/settings.h"

namespace duramen::server {
namespace {

constexpr std::uint64_t kKiB = 1ULL << 10;
constexpr std::uint64_t kGiB = 1ULL << 30;
constexpr std::uint64_t kHourMs = 3'600'000;

constexpr SettingSpec kSettings[] = {
    {.name = "node",
     .type = SettingType::kText,
     .unit = "bytes",
     .default_value = "local",
     .min = 1,
     .max = 255,
     .part = "system",
     .since = "0.1.0",
     .help = "The system's name on its network; no other there has it. The logs of members name "
             "it, so a data directory keeps its node."},
    {.name = "workers",
     .type = SettingType::kCount,
     .unit = "threads",
     .default_value = "0",
     .min = 1,
     .max = 64,
     .zero_too = true,
     .part = "system",
     .since = "0.1.0",
     .help = "Threads that run servers; a server stays with its worker, and there is at least one "
             "for each of wal_shards. 0: one for each processor."},
    {.name = "election_timeout_min",
     .type = SettingType::kCount,
     .unit = "milliseconds",
     .default_value = "1000",
     .min = 2,
     .max = kHourMs,
     .part = "system",
     .since = "0.1.0",
     .help = "A follower that expects its leader and hears nothing for so long, or for anything up "
             "to election_timeout_max, asks for votes. Shorter finds a dead leader sooner, and "
             "takes more pauses for a death."},
    {.name = "election_timeout_max",
     .type = SettingType::kCount,
     .unit = "milliseconds",
     .default_value = "2000",
     .min = 3,
     .max = kHourMs,
     .part = "system",
     .since = "0.1.0",
     .help = "Above election_timeout_min; twice as long does well, so that votes are rarely "
             "split."},
    {.name = "heartbeat_interval",
     .type = SettingType::kCount,
     .unit = "milliseconds",
     .default_value = "250",
     .min = 1,
     .max = kHourMs,
     .part = "system",
     .since = "0.1.0",
     .help = "Of a leader that has something under way; an idle cluster is silent. Below "
             "election_timeout_min: a quarter of it does well."},
    {.name = "clock_drift_margin",
     .type = SettingType::kCount,
     .unit = "milliseconds",
     .default_value = "0",
     .min = 0,
     .max = kHourMs,
     .part = "system",
     .since = "0.1.0",
     .help = "More than clocks of nodes drift apart within an election timeout; below "
             "election_timeout_min. If they drift more a read by lease may be old. 0: there are no "
             "leases, such a read asks the others."},
    {.name = "max_command_bytes",
     .type = SettingType::kSize,
     .unit = "bytes",
     .default_value = "1048576",
     .min = 1,
     .max = kGiB,
     .part = "system",
     .since = "0.1.0",
     .help = "A command or query above it is refused. What an entry of the log may have bounds it, "
             "too: a part of memory_budget, and of a WAL file."},
    {.name = "inbox_bytes_max",
     .type = SettingType::kSize,
     .unit = "bytes",
     .default_value = "67108864",
     .min = 4 * kKiB,
     .max = 1024 * kGiB,
     .part = "system",
     .since = "0.1.0",
     .help = "What may wait for one worker; as much again of low priority, and of queries that "
             "wait. Above it commands and queries are answered 'overloaded'."},
    {.name = "low_priority_commands_flush_size",
     .type = SettingType::kCount,
     .unit = "commands",
     .default_value = "16",
     .min = 1,
     .max = 1'048'576,
     .part = "system",
     .since = "0.1.0",
     .help = "Commands of low priority that a server takes in one step, behind the others."},
    {.name = "await_condition_timeout",
     .type = SettingType::kCount,
     .unit = "milliseconds",
     .default_value = "30000",
     .min = 0,
     .max = 24 * kHourMs,
     .part = "system",
     .since = "0.1.0",
     .help = "A query waits no longer for what its token names, nor an answer for the member that "
             "is to give it."},
    {.name = "machine_timeout",
     .type = SettingType::kCount,
     .unit = "milliseconds",
     .default_value = "10000",
     .min = 0,
     .max = 24 * kHourMs,
     .part = "system",
     .since = "0.1.0",
     .help = "A server whose machine has not returned from a call for so long stops, as 'stuck'; "
             "the others of its worker do not wait for it. 0: none does."},
    {.name = "local_queries",
     .type = SettingType::kBoolean,
     .unit = "",
     .default_value = "true",
     .allowed = "true|false",
     .part = "system",
     .since = "0.1.0",
     .help = "false: queries of Consistency::kLocal, which may be old, are refused."},
    {.name = "server_recovery_strategy",
     .type = SettingType::kChoice,
     .unit = "",
     .default_value = "all",
     .allowed = "all|none",
     .part = "system",
     .since = "0.1.0",
     .help = "Which servers start with their system; the others wait for RestartServer. "
             "SystemOptions::recovers, where it is set, says it of each."},
};

}  // namespace

std::span<const SettingSpec> SystemSettings() { return kSettings; }

}  // namespace duramen::server
