// CT1: every setting of a store in one table: its name in files, flags and the environment, what
// it may be, and why one would touch it. What reads or prints settings goes through this table, so
// that a new field of LogStoreOptions is one row here and nothing else. A system's are in
// server/settings.h, in the same form.
//
// Pure functions over a constant table; any thread. All errors are kConfiguration with the reason
// in the message and the way out in the hint.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "duramen/log_store.h"
#include "duramen/result.h"

namespace duramen {

enum class SettingType : std::uint8_t {
  kPath,
  kSize,     // bytes; text may be 256000000, 256MB, 64MiB, 1GiB
  kCount,    // a plain number
  kChoice,   // one of `allowed`
  kBoolean,  // true or false, as far as `allowed` has them
  kList,     // texts, with commas between them
  kText,     // of `min` to `max` bytes
};
/// "path", "size", "count", "choice", "boolean", "list", "text".
const char* SettingTypeName(SettingType type) noexcept;

struct SettingSpec {
  std::string_view name;  // as the field of LogStoreOptions, or SystemOptions
  SettingType type;
  std::string_view unit;           // "bytes", "records", "files", "entries"; empty for none
  std::string_view default_value;  // as ParseSetting reads it; empty: unset
  std::uint64_t min = 0;           // of kSize, kCount and kText, inclusive
  std::uint64_t max = 0;           // inclusive
  bool zero_too = false;           // 0, below min, stands for what `help` says
  std::string_view allowed = {};   // of kChoice and kBoolean: "stay|exit"
  std::string_view part;           // which part of Duramen it belongs to: "wal", "log", "system"
  std::string_view since;          // the release that brought it
  std::string_view help;           // a sentence or two
};

/// In the order in which they are shown.
std::span<const SettingSpec> AllSettings();

/// Nothing when there is no such setting; then NearestSetting may know what was meant.
const SettingSpec* FindSetting(std::string_view name,
                               std::span<const SettingSpec> among = AllSettings());

/// The setting whose name is nearest by edit distance; empty when none is near.
std::string_view NearestSetting(std::string_view name,
                                std::span<const SettingSpec> among = AllSettings());

/// "32768 to 17179869184 bytes", "stay, exit", "true only: always on", "any path", "any names".
std::string AllowedText(const SettingSpec& setting);

/// The error of a value that may not be: setting and value, `why`, and what is allowed.
Error RefuseValue(const SettingSpec& setting, std::string_view text, std::string_view why);
/// Of kSize and kCount.
Result<std::uint64_t> ParseNumber(const SettingSpec& setting, std::string_view text);
Status CheckNumber(const SettingSpec& setting, std::uint64_t value);
/// Of kBoolean.
Result<bool> ParseBoolean(const SettingSpec& setting, std::string_view text);

/// Reads `text` as the value of setting `name` into `options`, which stays as it was on an error.
Status ParseSetting(std::string_view name, std::string_view text, LogStoreOptions& options);

/// The value in `options`, as ParseSetting reads it. Requires: FindSetting(name).
std::string SettingText(std::string_view name, const LogStoreOptions& options);

/// wal_max_size_bytes, or what stands for it where it is 0.
std::uint64_t WalFileBytes(const LogStoreOptions& options);

/// What memory_budget must hold before the first entry is accepted; the defaults are production's.
struct MemoryNeeds {
  std::uint64_t ring_bytes = 16384 * 64;       // descriptors of one Writer
  std::uint64_t in_flight_bytes = 8ULL << 20;  // payload of one Writer not yet durable
  std::uint64_t chunk_bytes = 256ULL << 10;    // one chunk of a mem table's arena
};

/// Of wal_process: the path of the socket. Requires: it is set and valid.
std::string_view WalProcessSocket(const LogStoreOptions& options);

/// What contradicts wal_process where it is set: settings that are the WAL process's own.
Status CheckWalProcess(const LogStoreOptions& options);

/// As wal_failover_dir: take the one that there is out of use.
inline constexpr std::string_view kNoFailoverDir = "none";

/// Everything that can be wrong with `options` before the disk is touched: each range, and what
/// holds between settings (the sum that memory_budget must hold).
Status ValidateOptions(const LogStoreOptions& options, const MemoryNeeds& needs = {});

}  // namespace duramen
