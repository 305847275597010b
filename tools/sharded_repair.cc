#include "tools/sharded_repair.h"

#include <filesystem>
#include <functional>

#include "base/try.h"
#include "tools/half_repair.h"
#include "tools/progress.h"
#include "tools/read_only.h"
#include "tools/server_names.h"
#include "tools/shard_walk.h"
#include "tools/store_image.h"

namespace duramen::tools {
namespace {

/// Whether a server that is not deleted has that name or uid there.
Result<bool> HasServer(const std::string& path, const std::string& server, ReadProgress& progress) {
  TRY(CheckNotHeld(path));
  const std::optional<HalfRepair> half = TRY(ReadHalfRepair(path));
  if (half) return Error{ErrorCode::kRefused, SentenceOf(*half), NextOf(*half)};
  const StoreImage image = TRY(ReadStoreImage(path, &progress));
  if (progress.stopped()) {
    return Error{ErrorCode::kRefused, "interrupted; nothing has changed", ""};
  }
  const ServerNames names = ServerNames::Of(image, {});
  for (const ServerUid& uid : names.Find(server)) {
    const meta::ServerRows* rows = names.table().Find(uid);
    if (rows == nullptr || !rows->deleted()) return true;
  }
  return false;
}

bool HasRepair(const std::string& path, const std::string& id) {
  std::error_code ignored;
  return std::filesystem::is_directory(path + "/quarantine/" + id, ignored);
}

/// The only one for which `has` is true.
Result<std::string> TheOne(const std::vector<std::string>& shards, const std::string& what,
                           const std::function<Result<bool>(const std::string&)>& has) {
  std::string found;
  for (const std::string& shard : shards) {
    Result<bool> there = has(shard);
    if (!there.ok()) {
      Error error = std::move(there).error();
      error.message = "cannot tell where " + what + " is: " + error.message;
      return error;
    }
    if (!*there) continue;
    if (!found.empty()) {
      return Error{ErrorCode::kRefused, what + " is in " + found + " and in " + shard,
                   "say which: give that directory instead of " + shards.front()};
    }
    found = shard;
  }
  if (!found.empty()) return found;
  return Error{ErrorCode::kInvalidArgument,
               "there is no " + what + " in any of the " + std::to_string(shards.size()) +
                   " WAL shards of " + shards.front(),
               "duramen names " + shards.front() +
                   " lists the servers, quarantine/ of each shard "
                   "its repairs"};
}

Result<std::string> WhereTo(const RepairVerbOptions& options,
                            const std::vector<std::string>& shards, Terminal& terminal) {
  if (options.undo) {
    return TheOne(
        shards, "repair '" + *options.undo + "'",
        [&](const std::string& path) -> Result<bool> { return HasRepair(path, *options.undo); });
  }
  ReadProgress progress(terminal);
  return TheOne(shards, "server '" + options.server + "'",
                [&](const std::string& path) { return HasServer(path, options.server, progress); });
}

}  // namespace

ExitCode RunShardedRepair(const RepairVerbOptions& options, Terminal& terminal) {
  const std::vector<std::string> shards = ShardDirectories(options.path);
  // Which says what is wrong with the words, once.
  if (shards.size() == 1 || !CheckUsage(options).ok()) return RunRepair(options, terminal);
  RepairVerbOptions one = options;
  if (options.undo || !options.server.empty()) {
    const Result<std::string> where = WhereTo(options, shards, terminal);
    if (!where.ok()) {
      terminal.Complain(where.error());
      return ExitCodeOf(where.error().code);
    }
    if (*where != options.path) terminal.Say("in " + *where);
    one.path = *where;
    return RunRepair(one, terminal);
  }
  const ShardWalk walk{.path = options.path, .output = options.output, .changes = options.apply};
  return RunOverShards(walk, terminal, [&](const std::string& path, const OutputOptions& output) {
    one.path = path;
    one.output = output;
    if (!options.wal_dir.empty() && output.shard.value_or(0) != 0) {
      one.wal_dir = options.wal_dir + "/" + std::to_string(*output.shard);
    }
    return RunRepair(one, terminal);
  });
}

}  // namespace duramen::tools
