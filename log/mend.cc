#include "log/mend.h"

#include <algorithm>
#include <set>

#include "base/settings.h"
#include "base/try.h"
#include "log/mender.h"
#include "log/system_file.h"

namespace duramen::log {
namespace {

/// Of one run of MendStore, on an open store.
class Mending {
 public:
  Mending(LogStore::Impl& store, Writer::Impl& writer, const MendOptions& options)
      : store_(store), mender_(store, writer), options_(options) {}

  /// Everything that can be refused is refused before anything is changed.
  Result<std::vector<MendedLog>> Run() {
    TRY(FindLogs());
    for (std::size_t i = 0; i < logs_.size(); ++i) TRY(Check(options_.requests[i], *logs_[i]));
    std::vector<MendedLog> mended;
    FlushRepairs repairs{.rewrite_damaged = options_.rewrite_damaged_segments, .fill = {}};
    bool heal = false;
    for (std::size_t i = 0; i < logs_.size(); ++i) {
      const MendRequest& request = options_.requests[i];
      MendedLog told{.uid = request.uid, .name = logs_[i]->name, .new_uid = {}, .sentence = {}};
      if (request.kind == MendKind::kTruncate) TRY(Truncate(request, *logs_[i], told));
      if (request.kind == MendKind::kRejoin) TRY(Rejoin(i, told));
      if (request.kind == MendKind::kFill) {
        repairs.fill[request.uid] = request.healthy;
        heal = heal || request.healthy;
        told.sentence = "what cannot be read of log '" + told.name + "' is filled with no-ops";
      }
      mended.push_back(std::move(told));
    }
    TRY(mender_.FlushAll(repairs));
    if (heal) TRY(HealFilled());
    for (std::size_t i = 0; i < logs_.size(); ++i) Tell(*logs_[i], mended[i]);
    return mended;
  }

 private:
  Status FindLogs() {
    std::set<ServerUid> named;
    for (const MendRequest& request : options_.requests) {
      if (!named.insert(request.uid).second) {
        return Error{ErrorCode::kInvalidArgument,
                     "two requests name the log " + request.uid.ToString(),
                     "carry them out one after the other"};
      }
      const std::lock_guard lock(store_.mutex_);
      const auto found = store_.slot_of.find(request.uid);
      ServerLog* log = found == store_.slot_of.end() ? nullptr : store_.At(found->second);
      if (log == nullptr || log->deleted.load(std::memory_order_relaxed)) {
        return Error{ErrorCode::kNotFound, "there is no log " + request.uid.ToString(),
                     "list what there is with `duramen names`; a log that began anew has another "
                     "uid"};
      }
      logs_.push_back(log);
    }
    return {};
  }

  Status Check(const MendRequest& request, const ServerLog& log) const {
    const memtable::TableBounds bounds = log.table.Bounds();
    const bool truncate = request.kind == MendKind::kTruncate;
    if (truncate && (request.index < bounds.begin || request.index > bounds.end)) {
      return Error{ErrorCode::kOutOfRange,
                   "log '" + log.name + "' is [" + std::to_string(bounds.begin) + ", " +
                       std::to_string(bounds.end) + "), so it cannot end at " +
                       std::to_string(request.index),
                   "name an index inside of it, or its end"};
    }
    if (request.kind == MendKind::kRejoin || !request.healthy) return {};
    const bool registered = store_.rows.With([&](const meta::Table& table) {
      const meta::ServerRows* rows = table.Find(log.owner.uid);
      return rows != nullptr && rows->has(meta::RowKind::kIdentity);
    });
    if (!registered) {
      return Error{ErrorCode::kRefused,
                   "the registration of log '" + log.name + "' is lost, so it cannot be healthy",
                   "let it begin anew with --rejoin"};
    }
    if (!truncate) return {};
    const Index intact_end = TRY(mender_.IntactEnd(log, request.index));
    if (intact_end >= request.index) return {};
    return Error{ErrorCode::kRefused,
                 "entry " + std::to_string(intact_end) + " of log '" + log.name +
                     "' cannot be read, so cut at " + std::to_string(request.index) +
                     " it would not be healthy",
                 "cut at " + std::to_string(intact_end) + " or below, or fill it"};
  }

  /// The fault stands before the cut, and ends behind it: a crash between them leaves it faulty.
  Status Truncate(const MendRequest& request, ServerLog& log, MendedLog& told) {
    const Index end = log.table.Bounds().end;
    meta::FaultyRow fault = log.fault;
    const bool cuts = request.index < end;
    told.sentence = "log '" + told.name + "' ends at " + std::to_string(request.index);
    if (cuts && fault.reason.empty()) fault.reason = "acknowledged entries were cut by a repair";
    if (cuts) {
      const bool unknown = fault.from != 0 && fault.to == 0;
      fault.from = fault.from == 0 ? request.index : std::min(fault.from, request.index);
      fault.to = unknown ? 0 : std::max(fault.to, end - 1);
      TRY(mender_.SetFault(log, fault));
      TRY(mender_.CutAt(log, request.index));
    }
    if (request.healthy && fault.faulty()) TRY(mender_.EndFault(log));
    return {};
  }

  Status Rejoin(std::size_t number, MendedLog& told) {
    ServerLog& log = *logs_[number];
    const Index end = log.table.Bounds().end;
    const bool needed = log.faulty.load() || mender_.Incarnations(log.name).back() != &log ||
                        TRY(mender_.IntactEnd(log, end)) < end;
    if (!needed) {
      told.sentence = "log '" + told.name + "' is not faulty; it stays as it is";
      return {};
    }
    Mender::Outcome outcome = TRY(mender_.Salvage(log));
    told.sentence = std::move(outcome.sentence);
    if (outcome.log != &log) told.new_uid = outcome.log->owner.uid;
    logs_[number] = outcome.log;
    return {};
  }

  /// Only now: what was filled stands in segments that both checkpoints name.
  Status HealFilled() {
    for (std::size_t i = 0; i < logs_.size(); ++i) {
      const MendRequest& request = options_.requests[i];
      const bool filled = request.kind == MendKind::kFill && request.healthy;
      if (filled && logs_[i]->faulty.load()) TRY(mender_.EndFault(*logs_[i]));
    }
    return mender_.FlushAll({});
  }

  static void Tell(const ServerLog& log, MendedLog& told) {
    const memtable::TableBounds bounds = log.table.Bounds();
    told.begin = bounds.begin;
    told.end = bounds.end;
    told.faulty = log.faulty.load();
    if (told.faulty) {
      const std::lock_guard lock(log.mutex);
      told.sentence += "; it is faulty: " + log.fault.reason;
    }
  }

  LogStore::Impl& store_;
  Mender mender_;
  const MendOptions& options_;
  std::vector<ServerLog*> logs_;  // as the requests
};

/// One copy of them is enough for a start, and two for the next decade.
Status RenewSystemFiles(LogStore::Impl& store) {
  const std::vector<std::byte> system_bytes = TRY(ReadSmallFile(*store.data_dir, kSystemName));
  const Copies<SystemFile> system = TRY(DecodeSystemFile(system_bytes));
  if (!system.copy_ok[0] || !system.copy_ok[1]) {
    TRY(ReplaceFile(*store.data_dir, kSystemName, EncodeSystemFile(system.content)));
  }
  const std::vector<std::byte> identity_bytes = TRY(ReadSmallFile(*store.wal_dir, kIdentityName));
  const Copies<IdentityFile> identity = TRY(DecodeIdentityFile(identity_bytes));
  if (identity.copy_ok[0] && identity.copy_ok[1]) return {};
  return ReplaceFile(*store.wal_dir, kIdentityName, EncodeIdentityFile(identity.content));
}

Result<std::vector<MendedLog>> Mend(LogStore::Impl& store, const MendOptions& options) {
  Writer::Impl* writer = TRY(store.MakeWriter());
  const Writer owner(writer);
  std::vector<MendedLog> mended = TRY(Mending(store, *writer, options).Run());
  TRY(RenewSystemFiles(store));
  return mended;
}

}  // namespace

Result<MendReport> MendStore(const LogStoreOptions& options, StorageEnvironment environment,
                             const StorageTuning& tuning, const MendOptions& mend) {
  LogStoreOptions contained = options;
  contained.recovery_mode = RecoveryMode::kContain;
  TRY(ValidateStoreOptions(contained, tuning));
  const auto store = std::make_unique<LogStore::Impl>(contained, tuning, environment.rng);
  store->mending = true;
  TRY(store->Open(environment));
  MendReport report;
  report.recovery = store->report;
  Result<std::vector<MendedLog>> mended = Mend(*store, mend);
  const Status closed = store->Close(Deadline::max());
  if (!mended.ok()) return std::move(mended).error();
  TRY(closed);
  report.logs = std::move(*mended);
  return report;
}

}  // namespace duramen::log

namespace duramen {
inline namespace v1 {

/// Before anything is changed: an unknown name is a slip, and what it meant stays faulty. A uid may
/// be one that an earlier start gave up.
Status LogStore::Impl::CheckSalvage() const {
  if (options.recovery_mode != RecoveryMode::kSalvage) return {};
  for (const std::string& named : options.salvage_servers) {
    if (!KnowsName(named) && !Uid128::Parse(named).ok()) return UnknownSalvage(named);
  }
  return {};
}

bool LogStore::Impl::KnowsName(const std::string& name) const {
  return rows.With([&](const meta::Table& table) { return table.FindByName(name).has_value(); });
}

Error LogStore::Impl::UnknownSalvage(const std::string& name) {
  return {ErrorCode::kConfiguration,
          "salvage_servers names '" + name + "', but there is no such log",
          "list what there is with `duramen names`"};
}

log::ServerLog* LogStore::Impl::FindNamed(const std::string& named) const {
  const std::lock_guard lock(mutex_);
  log::ServerLog* log = nullptr;
  const auto by_name = names.find(named);
  const Result<Uid128> uid = Uid128::Parse(named);
  if (by_name != names.end()) {
    log = At(by_name->second);
  } else if (uid.ok()) {
    const auto by_uid = slot_of.find(ServerUid{*uid});
    if (by_uid != slot_of.end()) log = At(by_uid->second);
  }
  return log == nullptr || log->deleted.load(std::memory_order_relaxed) ? nullptr : log;
}

Result<std::string> LogStore::Impl::SalvageNamed(log::Mender& mender, const std::string& named) {
  log::ServerLog* log = FindNamed(named);
  if (log == nullptr) return "there is no log " + named + " (any more)";
  const std::vector<log::ServerLog*> all = mender.Incarnations(log->name);
  const bool newest = all.back() == log;
  const bool unfinished = log::UnfinishedSalvage(log->fault).has_value();
  const bool faulty = log->faulty.load(std::memory_order_relaxed);
  if (faulty && newest && !unfinished && all.size() > 1 && log->name == named) {
    return "log '" + named + "' is there as " + all.front()->owner.uid.ToString() + " and as " +
           log->owner.uid.ToString() + ", both faulty; name the uid of one of them";
  }
  if (faulty || !newest) return std::move(TRY(mender.Salvage(*log)).sentence);
  // The end of an earlier salvage: what it gave up may still be there.
  for (log::ServerLog* old : all) {
    if (old != log && old->faulty.load(std::memory_order_relaxed)) {
      return std::move(TRY(mender.Salvage(*old)).sentence);
    }
  }
  return "log '" + log->name + "' is not faulty; it stays as it is";
}

Status LogStore::Impl::Salvage() {
  const auto tell = [this](FindingKind kind, const std::string& sentence) {
    report.findings.push_back(
        {.kind = kind, .file = log::kServersName, .sentence = sentence, .touched = {}});
    log_.Write(LogLevel::kWarning, "store.salvage", sentence, {});
  };
  if (options.recovery_mode == RecoveryMode::kSalvage && !options.salvage_servers.empty()) {
    Writer::Impl* writer = TRY(MakeWriter());
    const Writer owner(writer);
    log::Mender mender(*this, *writer);
    for (const std::string& named : options.salvage_servers) {
      tell(FindingKind::kSalvaged, TRY(SalvageNamed(mender, named)));
    }
  }
  const std::lock_guard lock(mutex_);
  for (const auto& log : owned_logs) {
    if (log->deleted.load(std::memory_order_relaxed)) continue;
    if (!log::UnfinishedSalvage(log->fault)) continue;
    tell(FindingKind::kLeftover, "log '" + log->name + "' is faulty: " + log->fault.reason);
  }
  return {};
}

}  // namespace v1
}  // namespace duramen
