#include "base/settings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/directories.h"

namespace duramen {
namespace {

constexpr std::uint64_t kKiB = 1ULL << 10;
constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr std::uint64_t kGiB = 1ULL << 30;
constexpr std::size_t kPathBytesMax = 4095;  // PATH_MAX without its zero
constexpr std::size_t kListMax = 65536;

Error Refuse(std::string message, std::string hint) {
  return {
      .code = ErrorCode::kConfiguration, .message = std::move(message), .hint = std::move(hint)};
}

/// The number field behind a setting of kSize or kCount.
std::uint64_t LogStoreOptions::*NumberField(std::string_view name) {
  if (name == "wal_shards") return &LogStoreOptions::wal_shards;
  if (name == "wal_max_size_bytes") return &LogStoreOptions::wal_max_size_bytes;
  if (name == "wal_max_entries") return &LogStoreOptions::wal_max_entries;
  if (name == "wal_max_files") return &LogStoreOptions::wal_max_files;
  if (name == "wal_max_age") return &LogStoreOptions::wal_max_age;
  if (name == "flush_delay") return &LogStoreOptions::flush_delay;
  if (name == "segment_max_entries") return &LogStoreOptions::segment_max_entries;
  if (name == "segment_max_size_bytes") return &LogStoreOptions::segment_max_size_bytes;
  if (name == "wal_pipeline_depth") return &LogStoreOptions::wal_pipeline_depth;
  if (name == "wal_max_batch_size") return &LogStoreOptions::wal_max_batch_size;
  if (name == "wal_failover_after") return &LogStoreOptions::wal_failover_after;
  if (name == "wal_stall_threshold") return &LogStoreOptions::wal_stall_threshold;
  if (name == "flush_threads") return &LogStoreOptions::flush_threads;
  if (name == "flush_bytes_per_s") return &LogStoreOptions::flush_bytes_per_s;
  if (name == "memory_budget") return &LogStoreOptions::memory_budget;
  CHECK(false);
  return nullptr;
}

/// How many bytes a suffix stands for; nothing for a suffix that is none.
std::optional<std::uint64_t> UnitBytes(std::string_view suffix) {
  constexpr std::pair<std::string_view, std::uint64_t> kUnits[] = {{"", 1},
                                                                   {"B", 1},
                                                                   {"kB", 1'000},
                                                                   {"KB", 1'000},
                                                                   {"MB", 1'000'000},
                                                                   {"GB", 1'000'000'000},
                                                                   {"TB", 1'000'000'000'000},
                                                                   {"KiB", kKiB},
                                                                   {"MiB", kMiB},
                                                                   {"GiB", kGiB},
                                                                   {"TiB", kGiB * kKiB}};
  for (const auto& [unit, bytes] : kUnits) {
    if (suffix == unit) return bytes;
  }
  return std::nullopt;
}

/// `text`: as it was given.
Status CheckBounds(const SettingSpec& setting, std::uint64_t value, std::string_view text) {
  if (value < setting.min && !(setting.zero_too && value == 0))
    return RefuseValue(setting, text, "is too small");
  if (value > setting.max) return RefuseValue(setting, text, "is too large");
  return {};
}

Status CheckPath(const SettingSpec& setting, std::string_view text) {
  if (text.size() > kPathBytesMax) return RefuseValue(setting, text, "is too long");
  const bool has_control = std::any_of(text.begin(), text.end(), [](char character) {
    return static_cast<unsigned char>(character) < 0x20 || character == 0x7F;
  });
  if (has_control) return RefuseValue(setting, "...", "has control characters in it");
  return {};
}

Status ParsePath(const SettingSpec& setting, std::string_view text, LogStoreOptions& options) {
  if (Status status = CheckPath(setting, text); !status.ok()) return status;
  if (setting.name == "data_dir") {
    if (text.empty()) return RefuseValue(setting, text, "is empty");
    options.data_dir = text;
  } else if (setting.name == "wal_dir") {
    options.wal_dir = text;
  } else if (setting.name == "wal_process") {
    options.wal_process = text;
  } else {
    options.wal_failover_dir = text;
  }
  return {};
}

Status ParseChoice(const SettingSpec& setting, std::string_view text, LogStoreOptions& options) {
  const auto is = [&](std::string_view name, std::string_view value) {
    return setting.name == name && text == value;
  };
  if (is("wal_sync_method", "datasync")) {
    options.wal_sync_method = SyncMethod::kDatasync;
  } else if (is("wal_sync_method", "fsync") || is("wal_sync_method", "sync")) {
    options.wal_sync_method = SyncMethod::kFsync;
  } else if (is("wal_sync_method", "dsync")) {
    options.wal_sync_method = SyncMethod::kDsync;
  } else if (is("wal_sync_method", "auto")) {
    options.wal_sync_method = SyncMethod::kAuto;
  } else if (is("wal_sync_method", "none")) {
    options.wal_sync_method = SyncMethod::kNone;
  } else if (is("on_wal_down", "stay")) {
    options.on_wal_down = OnWalDown::kStay;
  } else if (is("on_wal_down", "exit")) {
    options.on_wal_down = OnWalDown::kExit;
  } else if (is("wal_compression", "none") || is("wal_compression", "zstd")) {
    options.wal_compression = text == "zstd" ? Compression::kZstd : Compression::kNone;
  } else if (is("segment_compression", "none") || is("segment_compression", "zstd")) {
    options.segment_compression = text == "zstd" ? Compression::kZstd : Compression::kNone;
  } else if (is("recovery_mode", "strict")) {
    options.recovery_mode = RecoveryMode::kStrict;
  } else if (is("recovery_mode", "contain")) {
    options.recovery_mode = RecoveryMode::kContain;
  } else if (is("recovery_mode", "salvage")) {
    options.recovery_mode = RecoveryMode::kSalvage;
  } else {
    return RefuseValue(setting, text, "is not one of the values");
  }
  return {};
}

/// Blanks around a name are not part of it.
Status ParseList(const SettingSpec& setting, std::string_view text, LogStoreOptions& options) {
  std::vector<std::string> names;
  for (bool more = !text.empty(); more;) {
    const std::size_t comma = text.find(',');
    more = comma != std::string_view::npos;
    std::string_view name = text.substr(0, comma);
    if (more) text.remove_prefix(comma + 1);
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (name.empty()) return RefuseValue(setting, text, "has an empty name in it");
    names.emplace_back(name);
  }
  if (names.size() > kListMax) return RefuseValue(setting, text, "has too many names");
  options.salvage_servers = std::move(names);
  return {};
}

std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

/// The sum is said, so that the reader can add to the budget or take away from a part.
Status CheckMemorySum(const LogStoreOptions& options, const MemoryNeeds& needs) {
  const std::uint64_t of_a_shard = needs.ring_bytes + needs.in_flight_bytes + needs.chunk_bytes;
  const std::uint64_t sum = of_a_shard * options.wal_shards;
  if (options.memory_budget >= sum) return {};
  const std::string each =
      options.wal_shards == 1 ? "" : std::to_string(options.wal_shards) + " WAL shards, each with ";
  return Refuse("memory_budget = " + std::to_string(options.memory_budget) +
                    " bytes is less than it must hold: " + std::to_string(sum) + " = " + each +
                    std::to_string(needs.ring_bytes) + " for a ring + " +
                    std::to_string(needs.in_flight_bytes) + " for entries on their way + " +
                    std::to_string(needs.chunk_bytes) + " for a mem table",
                "set memory_budget to " + std::to_string(sum) + " or more" +
                    (each.empty() ? "" : ", or use fewer shards"));
}

std::string CompressionName(Compression compression) {
  return compression == Compression::kZstd ? "zstd" : "none";
}

}  // namespace

const char* SettingTypeName(SettingType type) noexcept {
  switch (type) {
    case SettingType::kPath:
      return "path";
    case SettingType::kSize:
      return "size";
    case SettingType::kCount:
      return "count";
    case SettingType::kChoice:
      return "choice";
    case SettingType::kBoolean:
      return "boolean";
    case SettingType::kList:
      return "list";
    case SettingType::kText:
      return "text";
  }
  return "unknown";
}

const SettingSpec* FindSetting(std::string_view name, std::span<const SettingSpec> among) {
  for (const SettingSpec& setting : among) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

std::string_view NearestSetting(std::string_view name, std::span<const SettingSpec> among) {
  if (name.size() > 64) return {};  // Nothing of that length is a slip of the finger.
  std::string_view nearest;
  std::size_t nearest_distance = 0;
  for (const SettingSpec& setting : among) {
    const std::size_t distance = EditDistance(name, setting.name);
    // At most a third wrong, or it is another word.
    if (distance * 3 > std::max(name.size(), setting.name.size())) continue;
    if (nearest.empty() || distance < nearest_distance) {
      nearest = setting.name;
      nearest_distance = distance;
    }
  }
  return nearest;
}

std::string AllowedText(const SettingSpec& setting) {
  std::string allowed(setting.allowed);
  switch (setting.type) {
    case SettingType::kPath:
      return "any path";
    case SettingType::kList:
      return "any names";
    case SettingType::kBoolean:
      if (allowed.find('|') == std::string::npos) return allowed + " only: always on";
      [[fallthrough]];
    case SettingType::kChoice:
      for (std::size_t at = allowed.find('|'); at != std::string::npos;
           at = allowed.find('|', at)) {
        allowed.replace(at, 1, ", ");
      }
      return allowed;
    case SettingType::kSize:
    case SettingType::kCount:
    case SettingType::kText:
      break;
  }
  return std::string(setting.zero_too ? "0, or " : "") + std::to_string(setting.min) + " to " +
         std::to_string(setting.max) + " " + std::string(setting.unit);
}

Error RefuseValue(const SettingSpec& setting, std::string_view text, std::string_view why) {
  return Refuse(std::string(setting.name) + " = '" + std::string(text.substr(0, 100)) + "' " +
                    std::string(why),
                "allowed: " + AllowedText(setting));
}

Result<std::uint64_t> ParseNumber(const SettingSpec& setting, std::string_view text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc::result_out_of_range) return RefuseValue(setting, text, "is too large");
  if (error != std::errc()) return RefuseValue(setting, text, "is not a number");
  std::string_view suffix(rest, static_cast<std::size_t>(end - rest));
  if (suffix.size() > 1 && suffix.front() == ' ') suffix.remove_prefix(1);  // "64 MiB"
  const bool is_size = setting.type == SettingType::kSize;
  const std::optional<std::uint64_t> unit =
      is_size || suffix.empty() ? UnitBytes(suffix) : std::nullopt;
  if (!unit) {
    return RefuseValue(setting, text,
                       is_size ? "has an unknown unit (kB, MB, GB, KiB, MiB, GiB are known)"
                               : "is not a plain number");
  }
  std::uint64_t scaled = 0;
  if (__builtin_mul_overflow(number, *unit, &scaled)) {
    return RefuseValue(setting, text, "is too large");
  }
  if (Status status = CheckBounds(setting, scaled, text); !status.ok()) return status.error();
  return scaled;
}

Status CheckNumber(const SettingSpec& setting, std::uint64_t value) {
  return CheckBounds(setting, value, std::to_string(value));
}

Result<bool> ParseBoolean(const SettingSpec& setting, std::string_view text) {
  const bool value = text == "true";
  if (!value && text != "false") return RefuseValue(setting, text, "is neither true nor false");
  if (value || setting.allowed.find("false") != std::string_view::npos) return value;
  return RefuseValue(setting, text, "is not possible: it is always on");
}

Status ParseSetting(std::string_view name, std::string_view text, LogStoreOptions& options) {
  const SettingSpec* setting = FindSetting(name);
  if (setting == nullptr) {
    const std::string_view nearest = NearestSetting(name);
    return Refuse("there is no setting '" + std::string(name.substr(0, 100)) + "'",
                  nearest.empty() ? "`duramen config show` lists them all"
                                  : "did you mean " + std::string(nearest) + "?");
  }
  switch (setting->type) {
    case SettingType::kPath:
      return ParsePath(*setting, text, options);
    case SettingType::kChoice:
      return ParseChoice(*setting, text, options);
    case SettingType::kBoolean: {
      Result<bool> value = ParseBoolean(*setting, text);
      return value.ok() ? Status() : std::move(value).error();
    }
    case SettingType::kList:
      return ParseList(*setting, text, options);
    case SettingType::kSize:
    case SettingType::kCount:
    case SettingType::kText:  // A store has none.
      break;
  }
  Result<std::uint64_t> number = ParseNumber(*setting, text);
  if (!number.ok()) return std::move(number).error();
  options.*NumberField(name) = *number;
  return {};
}

std::string SettingText(std::string_view name, const LogStoreOptions& options) {
  const SettingSpec* setting = FindSetting(name);
  CHECK(setting != nullptr);
  switch (setting->type) {
    case SettingType::kPath:
      if (name == "data_dir") return options.data_dir;
      if (name == "wal_process") return options.wal_process;
      return name == "wal_dir" ? options.wal_dir : options.wal_failover_dir;
    case SettingType::kBoolean:
      return "true";
    case SettingType::kList: {
      std::string text;
      for (const std::string& one : options.salvage_servers) {
        text += (text.empty() ? "" : ",") + one;
      }
      return text;
    }
    case SettingType::kSize:
    case SettingType::kCount:
      return std::to_string(options.*NumberField(name));
    case SettingType::kChoice:
    case SettingType::kText:
      break;
  }
  if (name == "on_wal_down") return options.on_wal_down == OnWalDown::kStay ? "stay" : "exit";
  if (name == "wal_compression") return CompressionName(options.wal_compression);
  if (name == "segment_compression") return CompressionName(options.segment_compression);
  if (name == "recovery_mode") {
    switch (options.recovery_mode) {
      case RecoveryMode::kStrict:
        return "strict";
      case RecoveryMode::kContain:
        return "contain";
      case RecoveryMode::kSalvage:
        return "salvage";
    }
  }
  switch (options.wal_sync_method) {
    case SyncMethod::kDatasync:
      return "datasync";
    case SyncMethod::kFsync:
      return "fsync";
    case SyncMethod::kDsync:
      return "dsync";
    case SyncMethod::kAuto:
      return "auto";
    case SyncMethod::kNone:
      break;
  }
  return "none";
}

std::uint64_t WalFileBytes(const LogStoreOptions& options) {
  constexpr std::uint64_t kUsualBytes = 256'000'000;
  constexpr std::uint64_t kBudgetShare = 4;
  if (options.wal_max_size_bytes != 0) return options.wal_max_size_bytes;
  return std::min(kUsualBytes, options.memory_budget / kBudgetShare /
                                   std::max<std::uint64_t>(options.wal_shards, 1));
}

Status ValidateOptions(const LogStoreOptions& options, const MemoryNeeds& needs) {
  for (const SettingSpec& setting : AllSettings()) {
    Status status;
    if (setting.type == SettingType::kPath) {
      status = CheckPath(setting, SettingText(setting.name, options));
    } else if (setting.type == SettingType::kSize || setting.type == SettingType::kCount) {
      status = CheckNumber(setting, options.*NumberField(setting.name));
    }
    if (!status.ok()) return status;
  }
  if (!options.wal_process.empty()) {
    if (Status status = CheckWalProcess(options); !status.ok()) return status;
    return CheckMemorySum(options, needs);
  }
  if (options.data_dir.empty()) return Refuse("data_dir is not set", "name a directory for it");
  if (Status status = CheckDirectories(options); !status.ok()) return status;
  if (options.recovery_mode == RecoveryMode::kSalvage && options.salvage_servers.empty()) {
    return Refuse("recovery_mode salvage is set, but salvage_servers names no log",
                  "name those that may begin anew, or set recovery_mode back to contain");
  }
  return CheckMemorySum(options, needs);
}

}  // namespace duramen
