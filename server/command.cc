#include "server/command.h"

#include "base/bytes.h"

namespace duramen::server {

std::vector<std::byte> EncodeCommand(const CommandFrame& frame) {
  std::vector<std::byte> command;
  command.reserve(kCommandHeaderBytesMost + frame.payload.size());
  ByteWriter writer(command);
  writer.Put(static_cast<std::uint64_t>(frame.unix_ms));
  writer.Put(static_cast<std::uint8_t>(frame.kind));
  if (frame.kind == CommandKind::kInSession) {
    writer.Put(frame.mark.client);
    writer.Put(frame.mark.sequence);
    writer.Put(frame.mark.acknowledged);
  }
  writer.PutBytes(frame.payload);
  return command;
}

void StampCommand(std::span<std::byte> command, std::int64_t unix_ms) {
  StoreLe(command.data(), static_cast<std::uint64_t>(unix_ms));
}

Result<CommandFrame> DecodeCommand(Bytes command) {
  ByteReader reader(command);
  CommandFrame frame;
  frame.unix_ms = static_cast<std::int64_t>(reader.Get<std::uint64_t>());
  frame.kind = static_cast<CommandKind>(reader.Get<std::uint8_t>());
  if (frame.kind == CommandKind::kInSession) {
    frame.mark.client = reader.Get<std::uint64_t>();
    frame.mark.sequence = reader.Get<std::uint64_t>();
    frame.mark.acknowledged = reader.Get<std::uint64_t>();
  }
  if (!reader.ok() || frame.kind > CommandKind::kDeletes) {
    return Error{ErrorCode::kCorruption, "a command has no header",
                 "it was written by something else"};
  }
  frame.payload = reader.Rest();
  return frame;
}

}  // namespace duramen::server
