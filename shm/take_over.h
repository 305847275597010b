// A live upgrade: a new WAL process asks the one that runs for its socket, and waits until that has
// let go of its clients. They wait in the socket's queue and come back to the new one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/descriptor.h"
#include "duramen/result.h"
#include "shm/protocol.h"
#include "wal/wal_end.h"

namespace duramen::shm {

/// What a WAL process leaves to its successor.
struct HandedOver {
  Descriptor socket;       // it listens
  bool owns_file = false;  // and its file is removed when that is closed
  std::optional<wal::WalEnd> wal_end;  // nothing: the next start reads everything
};

/// From the WAL process at `socket_path`, which flushes, drains and ends. Returns when its
/// directory is free, or when it is gone. Errors: kNotFound (nobody listens, or no directory),
/// kConfiguration (it has another directory), kInUse (another successor waits), kTimeout,
/// kPermission (another user's), kIo, kUnknownVersion.
Result<HandedOver> TakeOver(const std::string& socket_path, const std::string& data_dir);

/// Which directory that is. Errors: kNotFound, and others of PosixError.
Result<Takeover> TakeoverOf(const std::string& data_dir);

/// Whether to flush once more before clients are let go: what was written during a flush is what
/// the successor has to read while they wait. Pure.
struct FlushRounds {
  static constexpr std::uint64_t kLittleBytes = 4 << 20;
  static constexpr int kRoundsMax = 8;

  /// `left`: bytes written to the WAL since the flush that just ended began.
  bool Again(std::uint64_t left) {
    const bool shrinks = left < before - before / 8;
    before = left;
    return ++rounds < kRoundsMax && shrinks && left > kLittleBytes;
  }
  int rounds = 0;
  std::uint64_t before = UINT64_MAX;
};

}  // namespace duramen::shm
