// What `duramen repair` does to a store that nobody has open: it carries out requests, and then
// takes everything that can be read to segments without a damaged byte and to two whole
// checkpoints, so that no file with damage is left and a `strict` start is clean again.
//
// It works on the directory itself, crash by crash: killed anywhere, no other log loses an entry
// that could be read, and the next run finishes the work. Who wants all or nothing runs it over a
// copy or an overlay. What could not be read is said by faulty rows before the last trace of it
// goes [A3].
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/types.h"
#include "log/storage.h"

namespace duramen::log {

enum class MendKind : std::uint8_t {
  kTruncate,  // entries at and above `index` go
  kFill,    // every index that cannot be read becomes an entry of kNoOpKind, of the term before it
  kRejoin,  // the intact prefix under the same name and a new uid, without a vote; the old uid is
            // deleted. Named values and last_applied stay behind with it
};

/// At most one per log.
struct MendRequest {
  MendKind kind = MendKind::kTruncate;
  ServerUid uid;
  Index index = 0;  // kTruncate: first that goes, of [begin, end]
  /// The log is the only voter of its cluster, or somebody insists: it ends healthy. Else what was
  /// acknowledged and is not there any more leaves it faulty [C15]. Where a vote may be lost, its
  /// term goes up by kLostVoteTerms, voted for nobody [A1].
  bool healthy = false;
};
inline constexpr Term kLostVoteTerms = 1ULL << 20;  // above every term that may have been voted in

struct MendOptions {
  std::vector<MendRequest> requests;
  /// Also of logs that nobody asked for: what is intact is written to new segments.
  bool rewrite_damaged_segments = true;
};

/// What became of a log that a request names.
struct MendedLog {
  ServerUid uid;
  std::string name;
  ServerUid new_uid;  // of kRejoin; nil: none
  Index begin = 0;    // entries are [begin, end) now
  Index end = 0;
  bool faulty = false;
  std::string sentence;
};

struct MendReport {
  std::vector<MendedLog> logs;  // as the requests
  RecoveryReport recovery;      // of the start, before anything was mended
};

/// Opens the store as in mode `contain`, whatever `options` say, mends, seals and closes it. With
/// nothing damaged and nothing asked for it is a flush. Errors, before anything is changed:
///   kNotFound         no log has the uid of a request; a rejoined one has a new uid
///   kInvalidArgument  two requests for one log
///   kOutOfRange       kTruncate outside of the log
///   kRefused          a healthy kTruncate above what cannot be read; or a log is left out
///                     because recovery died on it [B9], so that nothing may be moved
/// and those of opening a store. Later: kIo, kDiskFull, kWalDown; run it again.
Result<MendReport> MendStore(const LogStoreOptions& options, StorageEnvironment environment,
                             const StorageTuning& tuning, const MendOptions& mend);

}  // namespace duramen::log
