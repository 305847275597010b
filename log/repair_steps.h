// The steps of a repair, carried out on the store's directories in either direction. Each step is
// safe to repeat, so that a run that stopped anywhere is finished by the next one.
//
// One thread. Everything passed in outlives it. Errors: those of base/io.h, with the path.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/io.h"
#include "log/repair_format.h"

namespace duramen::log {

class RepairSteps {
 public:
  RepairSteps(FileSystem& file_system, const Directory& data_dir, const RepairRecord& record)
      : file_system_(file_system), data_dir_(data_dir), record_(record) {}

  /// What stands at the step's path now; `copy` is empty.
  /// Errors: kInvalidArgument (neither file nor directory).
  Result<RepairSide> Look(const RepairStep& step);
  /// The file at the step's path, for reading.
  Result<std::unique_ptr<File>> OpenFile(const RepairStep& step);
  /// Makes every path what it was before the repair, or what the repair makes it; durable on
  /// success. `copies` is old/ or new/. What goes, goes first, so that its space can be used.
  /// Errors: kCorruption (a copy is not what the journal says; its step was not begun), kNotFound
  /// (the WAL directory is not the one that was repaired).
  Status Carry(RepairDirection direction, const Directory& copies);
  /// What is in the directory at that path; nothing where there is none.
  Result<std::vector<DirectoryEntry>> List(std::uint8_t root, const std::string& path);
  /// Names in the WAL directory, sorted, without LOCK; none where there is no such directory.
  Result<std::vector<std::string>> WalNames();

 private:
  std::string RootPath(std::size_t root) const;
  Status CheckWalDirectory();
  Result<Directory*> ParentOf(const RepairStep& step);
  Status Clear(const RepairStep& step, RepairSide::Kind wanted);
  Status Put(const RepairStep& step, RepairDirection direction, const Directory& copies);
  Status SyncParents();

  FileSystem& file_system_;
  const Directory& data_dir_;
  const RepairRecord& record_;
  // Steps in one directory follow each other.
  std::unique_ptr<Directory> parent_;
  std::string parent_place_;
};

/// "wal/3.wal" for messages; paths below root 1 are whole.
std::string PlaceOf(const RepairRecord& record, const RepairStep& step);

}  // namespace duramen::log
