// What one server has in its segment files, at a start and for `duramen verify`.
//
// The scan reads the headers of files and runs. A durable row is the authority: what goes beyond it
// is left over from a flush that was not finished, and is no damage; what falls short of it is
// damage in exactly the indexes that are missing [A6, A7, G16]. Where unreadable bytes may have
// cut older entries, and nothing on disk says from where, all that they may have cut is lost: an
// entry that was overwritten is never served. Any thread; keeps nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/io.h"
#include "segments/segment_list.h"

namespace duramen::segments {

enum class FindingKind : std::uint8_t {
  kLeftoverFile,   // of an unfinished flush; to be removed
  kLeftoverBytes,  // the same behind the bytes that count; never appended to
  kDamage,         // entries are lost
  kHarmless,       // bytes changed that cost no entry
};

struct Finding {
  FindingKind kind = FindingKind::kDamage;
  std::string file;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;      // 0: not known
  IndexRange lost;              // from the first to the last; empty: none that was appended
  bool sparse_suspect = false;  // sparse entries may be lost, which ones is not known
  std::string sentence;
};

struct ScanRequest {
  const Directory& directory;  // of the server
  ServerIdentity identity;
  /// Of the newest durable row; none: whatever is there counts (a tool without rows).
  std::optional<Flushed> authority;
  Index begin = 0;  // of the log, durable: nothing below is missed; 0: not known
};

/// Entries from `first` on are of `term`, up to the next one.
struct TermRun {
  Index first = 0;
  Term term = 0;
  friend bool operator==(const TermRun&, const TermRun&) = default;
};

struct ScanResult {
  SegmentList list;
  std::vector<Finding> findings;
  std::vector<IndexRange> lost;   // ascending, apart, at or above `begin`
  std::vector<TermRun> terms;     // of what is appended and not cut, lost or not as far as known
  std::uint64_t next_number = 1;  // above every file there is or was
  bool may_append = false;        // the last file is exactly what the row says
};

/// Errors: kUnknownVersion, naming the file; those of reading. Damage is no error.
Result<ScanResult> ScanServer(const ScanRequest& request);

/// Of a server whose registration is lost: the cluster id that the header of one of its segments
/// names, without which no entry of it can be verified; 0: none can be read. `server.cluster_id` is
/// not looked at. Errors: those of listing.
Result<ClusterId> LearnClusterId(const Directory& directory, const ServerIdentity& server);

struct VerifyResult {
  std::vector<Finding> findings;
  std::uint64_t entries = 0;  // that were read and are what was appended
  std::uint64_t bytes = 0;
};
/// Reads every byte that counts of a scanned list. Errors: those of reading.
Result<VerifyResult> VerifyServer(const ScanRequest& request, const SegmentList& list);
/// The same of one file of which nothing else is known: what its end cuts off is lost.
Result<VerifyResult> VerifyLoneSegment(const File& file, const ServerIdentity& identity,
                                       const SegmentSummary& segment);

}  // namespace duramen::segments
