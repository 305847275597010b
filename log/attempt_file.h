// Which log recovery was working on when a CHECK stopped it [B9]: a poison pill must not be able to
// keep ten thousand logs down. After two such deaths on the same log it is left out and starts
// faulty. Only our own CHECKs count: a start that is killed from outside says nothing of the log it
// was at.
//
// One block in data_dir, made at the first start and rewritten in place by the dying process, never
// synced: it must survive the death of a process, not of the machine. An unreadable one counts as
// empty.
#pragma once

#include <cstdint>
#include <memory>

#include "base/check_hook.h"
#include "base/io.h"
#include "base/types.h"

namespace duramen::log {

struct AttemptRecord {
  ServerUid suspect;
  std::uint32_t suspect_deaths = 0;
  ServerUid left_out;  // starts faulty until it is repaired
};
std::vector<std::byte> EncodeAttempt(const AttemptRecord& record);
AttemptRecord DecodeAttempt(Bytes bytes);

/// Lives on the recovering thread for as long as recovery works on logs.
class AttemptFile {
 public:
  static constexpr char kName[] = "ATTEMPT";
  /// Reads what earlier starts left. Without the file (no space, no permission) recovery goes on
  /// without this protection.
  explicit AttemptFile(Directory& directory);
  /// Nil: no log is left out.
  const ServerUid& left_out() const { return record_.left_out; }
  /// Before work on a log.
  void Note(const ServerUid& uid) { noted_ = uid; }
  /// It is gone for good: nothing on disk speaks of it any more.
  void ForgetLeftOut();
  /// Recovery is over.
  void Done();

 private:
  void Died() noexcept;
  std::unique_ptr<File> file_;
  AttemptRecord record_;
  ServerUid noted_;
  CheckHook hook_;
};

}  // namespace duramen::log
