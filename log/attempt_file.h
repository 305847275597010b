// Which log recovery was working on when it died [B9]: a poison pill must not be able to keep ten
// thousand logs down. Once a start has died in recovery, the next ones note each log before they
// touch it; after two deaths on the same one it is left out and starts faulty.
//
// One preallocated block in data_dir, rewritten in place and never synced: it must survive the
// death of a process, not of the machine. An unreadable one counts as empty.
#pragma once

#include <cstdint>
#include <memory>

#include "base/io.h"
#include "base/types.h"

namespace duramen::log {

struct AttemptRecord {
  bool running = false;              // set from the begin of a recovery to its end
  ServerUid noted;                   // being worked on; nil: not noted
  ServerUid suspect;                 // of earlier deaths
  std::uint32_t suspect_deaths = 0;
  ServerUid left_out;                // starts faulty, for good or until repaired
};
std::vector<std::byte> EncodeAttempt(const AttemptRecord& record);
AttemptRecord DecodeAttempt(Bytes bytes);

class AttemptFile {
 public:
  static constexpr char kName[] = "ATTEMPT";
  /// Reads what the last start left and says that this one is running. Without the file (no space,
  /// no permission) recovery goes on without this protection.
  explicit AttemptFile(Directory& directory);
  /// Nil: no log is left out.
  const ServerUid& left_out() const { return record_.left_out; }
  /// Before work on a log; does nothing unless an earlier start died.
  void Note(const ServerUid& uid);
  /// Recovery is over.
  void Done();

 private:
  void Store();
  std::unique_ptr<File> file_;
  AttemptRecord record_;
  bool noting_ = false;
};

}  // namespace duramen::log
