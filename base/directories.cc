#include "base/directories.h"

#include <filesystem>
#include <string>
#include <system_error>

#include "base/settings.h"

namespace duramen {
namespace {

// What a store makes in its data_dir and goes through as its own.
constexpr const char* kOwnNames[] = {"servers", "meta", "shards", "quarantine"};
constexpr char kHint[] = "name a directory of its own";

Error Refuse(std::string message, const char* hint) {
  return {.code = ErrorCode::kConfiguration, .message = std::move(message), .hint = hint};
}

std::string Normal(const std::string& path) {
  std::string normal = std::filesystem::path(path).lexically_normal().string();
  while (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  return normal;
}

std::string Below(const std::string& path, const std::string& name) {
  return path + (path.ends_with('/') ? "" : "/") + name;
}

bool IsOrIsIn(const std::string& path, const std::string& directory) {
  return path == directory || path.starts_with(Below(directory, ""));
}

/// A WAL directory that is set: shard 0 has it, shard K what is named K in it.
struct WalPlace {
  const char* setting;
  std::string path;
};

Error RefuseIn(const WalPlace& place, const std::string& used, const std::string& by) {
  return Refuse(std::string(place.setting) + " '" + place.path + "' is in '" + used +
                    "', which the system uses for " + by,
                kHint);
}

Status CheckAgainstDataDir(const WalPlace& place, const std::string& data_dir,
                           std::uint64_t shards) {
  for (const char* name : kOwnNames) {
    const std::string used = Below(data_dir, name);
    if (IsOrIsIn(place.path, used)) return RefuseIn(place, used, "what is no WAL");
  }
  for (std::uint64_t shard = 1; shard < shards; ++shard) {
    if (Below(place.path, std::to_string(shard)) != data_dir) continue;
    return Refuse("the data_dir '" + data_dir + "' is what WAL shard " + std::to_string(shard) +
                      " has of " + place.setting + " '" + place.path + "'",
                  kHint);
  }
  return {};
}

/// Of `other`, the shards behind the first.
Status CheckAgainstShards(const WalPlace& place, const WalPlace& other, std::uint64_t shards) {
  for (std::uint64_t shard = 1; shard < shards; ++shard) {
    const std::string used = Below(other.path, std::to_string(shard));
    if (!IsOrIsIn(place.path, used)) continue;
    return RefuseIn(place, used, "WAL shard " + std::to_string(shard));
  }
  return {};
}

Status CheckAbsolute(const WalPlace& place) {
  if (place.path.front() == '/') return {};
  return Refuse(std::string(place.setting) + " '" + place.path + "' is not absolute",
                "give the whole path: it is looked for again at every start");
}

Status CheckFailover(const WalPlace& failover, const std::string& data_dir,
                     const std::string& wal_dir) {
  if (Status status = CheckAbsolute(failover); !status.ok()) return status;
  const bool inside = wal_dir.empty() && IsOrIsIn(failover.path, Below(data_dir, "wal"));
  if (failover.path != data_dir && failover.path != wal_dir && !inside) return {};
  return Refuse("wal_failover_dir is a directory that the system uses already",
                "name a directory of its own, on another device");
}

}  // namespace

Status CheckDirectories(const LogStoreOptions& options) {
  const std::string data_dir = Normal(options.data_dir);
  const WalPlace wal{"wal_dir", Normal(options.wal_dir)};
  if (wal.path == data_dir) {
    return Refuse("wal_dir is the data_dir itself",
                  "leave wal_dir unset, or name another directory");
  }
  const std::uint64_t shards = options.wal_shards;
  if (!wal.path.empty()) {
    if (Status status = CheckAbsolute(wal); !status.ok()) return status;
    if (Status status = CheckAgainstDataDir(wal, data_dir, shards); !status.ok()) return status;
  }
  if (options.wal_failover_dir.empty() || options.wal_failover_dir == kNoFailoverDir) return {};
  const WalPlace failover{"wal_failover_dir", Normal(options.wal_failover_dir)};
  if (Status status = CheckFailover(failover, data_dir, wal.path); !status.ok()) return status;
  if (Status status = CheckAgainstDataDir(failover, data_dir, shards); !status.ok()) return status;
  if (wal.path.empty()) return {};
  if (Status status = CheckAgainstShards(failover, wal, shards); !status.ok()) return status;
  return CheckAgainstShards(wal, failover, shards);
}

LogStoreOptions WithRealPaths(LogStoreOptions options) {
  for (std::string* path : {&options.data_dir, &options.wal_dir, &options.wal_failover_dir}) {
    if (path->empty() || *path == kNoFailoverDir) continue;
    std::error_code failed;
    const std::filesystem::path absolute = std::filesystem::absolute(*path, failed);
    if (failed) continue;
    const std::filesystem::path real = std::filesystem::weakly_canonical(absolute, failed);
    *path = failed ? absolute.string() : real.string();
  }
  return options;
}

}  // namespace duramen
