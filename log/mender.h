// Changes to logs that nobody else may make: it writes to faulty ones, ends faults and begins a log
// anew. For mend.h, and for a start in mode `salvage`.
//
// A salvage goes through one ring, so that a crash keeps a prefix of these steps:
//   1. of the new uid: a fault from 1 on, "a salvage of UID is not finished", then its identity
//   2. the entries before the first lost one, then the end of that fault
//   3. of the old uid: its tombstone
// Until the end of 2 the new one is faulty and the old one is whole: the next salvage deletes the
// new one and begins again. Between 2 and 3 both are there, and the newer one counts: the next
// salvage deletes the old one. A start in another mode leaves them as they are and says so.
//
// One thread, before anybody else has a Writer. Outlived by the store.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "log/flusher.h"
#include "log/store.h"

namespace duramen::log {

/// Why an incarnation whose salvage was interrupted is faulty, and of whom it was made.
std::string UnfinishedReason(const ServerUid& old_uid);
std::optional<ServerUid> UnfinishedSalvage(const meta::FaultyRow& fault);

class Mender {
 public:
  Mender(LogStore::Impl& store, Writer::Impl& writer);

  /// What became of a log that was to begin anew.
  struct Outcome {
    ServerLog* log = nullptr;  // that has the name now
    bool anew = false;
    std::string sentence;
  };
  /// The first index in [begin, end) that cannot be read; `end` when all can. Errors: kIo and those
  /// of a read that say nothing of the entry.
  Result<Index> IntactEnd(const ServerLog& log, Index end) const;
  /// Errors of this and the others: kWalDown, kDiskFull, kOverloaded, kTooLarge, kIo.
  Status CutAt(ServerLog& log, Index index);
  /// Where a vote may be lost, the term goes above all that it may have been cast in [A1].
  Status EndFault(ServerLog& log);
  Status SetFault(ServerLog& log, const meta::FaultyRow& fault);
  /// By the name that it has now; durable when it returns. Does not wait for space.
  Status StoreIdentity(ServerLog& log);
  /// Takes up what an earlier salvage of `log` has left. Durable when it returns.
  Result<Outcome> Salvage(ServerLog& log);
  /// All that is durable goes to segments and both checkpoints, and every WAL file that holds it is
  /// let go.
  Status FlushAll(FlushRepairs repairs);
  Status Wait();
  /// Logs of that name which are not deleted, by incarnation.
  std::vector<ServerLog*> Incarnations(const std::string& name) const;

 private:
  void Own(ServerLog& log);
  Status Again(const Error& error, int attempt);
  Status Put(ServerLog& log, const meta::Row& row);
  Status Append(ServerLog& log, std::span<const EntryView> entries);
  Status Mark(ServerLog& log, const wal::Descriptor& mark);
  Status Delete(ServerLog& log);
  Result<ServerLog*> Begin(const ServerLog& old);
  ServerLog* Find(const ServerUid& uid) const;
  std::vector<ServerLog*> UnfinishedOf(const ServerUid& uid) const;
  Result<Index> Copy(const ServerLog& from, ServerLog& to, Index end);
  Result<Outcome> Rejoin(ServerLog& old);
  LogStore::Impl& store_;
  Writer::Impl& writer_;
  Ticket last_ = 0;
};

}  // namespace duramen::log
