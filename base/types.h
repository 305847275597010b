// Identities and small value types that every folder shares.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "duramen/result.h"
#include "duramen/types.h"

namespace duramen {

/// 128 random bits. Printed as 26 characters of Crockford base32, lower case.
struct Uid128 {
  std::array<std::uint8_t, 16> bytes{};
  friend auto operator<=>(const Uid128&, const Uid128&) = default;
  bool is_nil() const { return *this == Uid128{}; }
  std::string ToString() const;
  /// Errors: kInvalidArgument when `text` is not 26 base32 characters.
  static Result<Uid128> Parse(std::string_view text);
};

/// The durable identity of one incarnation of a server (of a log, in the log store's words).
using ServerUid = Uid128;
/// Drawn when a data directory is created; mixed into every container checksum.
using SystemUuid = Uid128;
/// Shared by the members of a Raft cluster; mixed into every entry checksum, so that one travels.
using ClusterId = std::uint64_t;

/// Half-open range of log indexes.
struct IndexRange {
  Index begin = 0;
  Index end = 0;
  bool empty() const { return begin >= end; }
  std::uint64_t size() const { return empty() ? 0 : end - begin; }
  bool Contains(Index index) const { return index >= begin && index < end; }
  friend bool operator==(const IndexRange&, const IndexRange&) = default;
};

struct Uid128Hash {
  std::size_t operator()(const Uid128& uid) const noexcept;
};

}  // namespace duramen
