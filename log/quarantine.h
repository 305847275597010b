// Keeps the bytes that a start is about to hide [PW7]: a cut is written over, a WAL file with
// damage in it is recycled, a damaged checkpoint is rewritten. What was read there, however bad,
// may be all that is left of an entry, so it is copied before the commit of the start:
//
//   quarantine/<file>.<life or 0>.<offset>.bytes
//
// of a damaged checkpoint the whole file, with a checksum of its bytes in the place of the life. A
// copy is made once: it is synced under another name and renamed, so one that is there under its
// own name is whole. Nothing removes it but people.
//
// Used by a start, on its thread, before threads of the store run.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/io.h"
#include "duramen/log_store.h"
#include "wal/summary.h"

namespace duramen::log {

inline constexpr char kQuarantineName[] = "quarantine";

/// `bytes` of `file` from `offset` on.
struct DamagedBytes {
  const Directory* directory = nullptr;
  std::string file;
  std::uint64_t life = 0;  // what tells it from other bytes of that name and place
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

struct KeptDamage {
  std::string path;                    // below data_dir
  std::uint64_t unreadable_bytes = 0;  // that are zeros in this copy, where it was made just now
};

class Quarantine {
 public:
  /// Requires: the directory outlives this. Nothing is made before the first Keep.
  explicit Quarantine(Directory& data_dir) : data_dir_(data_dir) {}

  /// Copies what is there of the range. Returns the path of the copy from the data directory.
  /// Errors: of reading and writing; nothing is left of the attempt then, or a temporary file.
  Result<KeptDamage> Keep(const DamagedBytes& from);
  /// Makes the names of what was kept durable; until then none of it is.
  Status Sync();

 private:
  Status Open();
  Result<std::uint64_t> Copy(const File& from, const DamagedBytes& range, const std::string& name);
  Directory& data_dir_;
  std::unique_ptr<Directory> directory_;
};

/// What a start has found, and where it stands.
struct DamagedStore {
  Directory& data_dir;
  const Directory& wal_dir;
  const Directory* failover_dir;        // null: there is none
  const Directory* meta_dir = nullptr;  // may be null
  const std::vector<wal::FileSummary>& wal_files;
};

/// Copies the bytes of each finding that a start hides, and says in the findings where they are.
/// Returns the numbers of WAL files that have to be kept themselves, because copying failed.
std::set<std::uint64_t> KeepDamage(const DamagedStore& store, std::vector<Finding>& findings);

}  // namespace duramen::log
