// How a user's command stands in the log of its cluster. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "duramen/result.h"
#include "duramen/types.h"
#include "server/sessions.h"

namespace duramen::server {

enum class CommandKind : std::uint8_t {
  kPlain = 0,
  kOpensSession = 1,  // its index becomes the session's number
  kInSession = 2,
  kReads = 3,  // changes nothing: a question to the machine, at its place in the log [RD6]
  kDeletes = 4,  // the cluster's end [CL8]
};

/// unix_ms i64 | kind u8 | in a session: number, sequence, acknowledged u64 each | payload
struct CommandFrame {
  std::int64_t unix_ms = 0;  // when its leader took it
  CommandKind kind = CommandKind::kPlain;
  SessionMark mark;
  Bytes payload;  // borrowed
};

inline constexpr std::size_t kCommandHeaderBytesMost = 8 + 1 + 3 * 8;

/// Not stamped yet.
std::vector<std::byte> EncodeCommand(const CommandFrame& frame);
/// Requires: it was made by EncodeCommand.
void StampCommand(std::span<std::byte> command, std::int64_t unix_ms);
/// Errors: kCorruption: not what EncodeCommand makes.
Result<CommandFrame> DecodeCommand(Bytes command);

}  // namespace duramen::server
