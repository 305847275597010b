// Checkpoints for tests: some servers with every kind of row, told apart by a generation number.
#pragma once

#include <cstdint>
#include <vector>

#include "meta/checkpoint.h"

namespace duramen::meta {

SystemUuid SampleSystem();
ServerUid SampleUid(std::uint32_t number);

/// Of server `number` as of a generation: every kind of row, values of `value_bytes`; every fifth
/// server is deleted.
CheckpointServer SampleServer(std::uint32_t number, std::uint64_t generation,
                              std::size_t value_bytes = 40);

/// Owns what a CheckpointContent borrows.
struct SampleCheckpoint {
  SampleCheckpoint(std::uint32_t servers, std::uint64_t generation, std::size_t value_bytes = 40);
  CheckpointContent content() const;
  std::vector<CheckpointServer> servers;
  std::uint64_t generation;
};

/// The rows as bytes, stamps' files left out.
std::vector<std::byte> RowBytes(const CheckpointServer& server);

}  // namespace duramen::meta
