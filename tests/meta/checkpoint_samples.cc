#include "tests/meta/checkpoint_samples.h"

#include <string>

#include "meta/checkpoint_server.h"

namespace duramen::meta {

SystemUuid SampleSystem() {
  SystemUuid system;
  system.bytes.fill(0x5A);
  return system;
}

ServerUid SampleUid(std::uint32_t number) {
  ServerUid uid;
  uid.bytes.fill(0xC0);
  uid.bytes[0] = static_cast<std::uint8_t>(number >> 8);
  uid.bytes[1] = static_cast<std::uint8_t>(number);
  return uid;
}

CheckpointServer SampleServer(std::uint32_t number, std::uint64_t generation,
                              std::size_t value_bytes) {
  const ServerUid uid = SampleUid(number);
  Table table;
  std::uint64_t sequence = 0;
  const auto apply = [&](const Row& row) { table.Apply({uid, ++sequence, generation}, row); };
  const auto letter = static_cast<char>('a' + generation % 26);
  apply(IdentityRow{uid, "server" + std::to_string(number), "node", 7, number});
  apply(VoteRow{generation, "candidate"});
  apply(LastAppliedRow{generation * 10});
  apply(BoundsRow{generation, 1, generation * 20, generation, 3});
  apply(ValueRow{"key", std::string(value_bytes, letter)});
  apply(ValueRow{"removed", ""});
  if (number % 3 == 0) apply(FaultyRow{5, 9, false, "damage"});
  apply(FlushedRow{generation, generation * 4096, generation * 15, generation, 3});
  if (number % 5 == 0) apply(TombstoneRow{});
  return {uid, *table.Find(uid)};
}

SampleCheckpoint::SampleCheckpoint(std::uint32_t count, std::uint64_t of_generation,
                                   std::size_t value_bytes)
    : generation(of_generation) {
  for (std::uint32_t number = 1; number <= count; ++number) {
    servers.push_back(SampleServer(number, generation, value_bytes));
  }
}

CheckpointContent SampleCheckpoint::content() const {
  return {.sequence = generation,
          .covers = {generation, generation * 100, generation * 1000, generation * 10000},
          .created_unix_ms = 1700000000000,
          .highest_incarnation = servers.size(),
          .servers = servers};
}

std::vector<std::byte> RowBytes(const CheckpointServer& server) {
  std::vector<std::byte> bytes;
  AppendServerRows(server.uid, server.rows, bytes);
  return bytes;
}

}  // namespace duramen::meta
