// The clients of a WAL process, for its statistics page (base/stat_page.h): who they are, what they
// have of what they may have, what was taken from them, and why they went. A fixed layout without
// pointers.
//
// A row is one client's from when it attached; its words have one writer each at a time. When it is
// gone the row stays as it was, until another one needs it: the oldest goes first. Any thread or
// process reads; a row that changes hands meanwhile is left out and never misread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/counters.h"
#include "base/types.h"

namespace duramen {

enum class ClientState : std::uint64_t { kNone, kAttached, kLeft, kCutOff };
const char* ClientStateName(ClientState state) noexcept;

/// One row, in the page.
struct ClientRow {
  static constexpr std::size_t kReasonBytes = 112;

  Counter ordinal;  // of this process's clients, from 1; 0: the row changes hands
  Counter state;    // ClientState; kAttached belongs to who has taken the row
  Counter pid, uid;
  Counter attached_at, gone_at;  // Clock::NowNs
  // As it is now, or was when it went; and how much it may be.
  Counter logs, logs_max, rings, rings_max, memory_bytes, memory_bytes_max;
  Counter records, bytes;  // the WAL's thread: made durable; taken, as they stand in WAL files
  Counter requests, refused, read_entries;
  std::array<Counter, kReasonBytes / 8> reason;  // text, cut to this; why it was cut off
  Counter last;                                  // as `ordinal`, and written around the rest

  // Of who has taken the row.
  void SetReason(std::string_view text) noexcept;
  /// `as`: kLeft or kCutOff. It is another one's from here on.
  void GiveBack(ClientState as, std::int64_t now_ns) noexcept;
};
static_assert(sizeof(ClientRow) == 256);

struct ClientIdentity {
  std::uint64_t pid = 0;
  std::uint64_t uid = 0;
  std::int64_t attached_ns = 0;
};

class ClientTable {
 public:
  static constexpr std::size_t kRows = 64;

  /// A row for one who attached, zero but for what is given. Null: all are of clients that are
  /// there. Any thread.
  ClientRow* Take(const ClientIdentity& identity) noexcept;

 private:
  Counter taken_;  // clients so far
  std::array<Counter, 7> reserved_;
  std::array<ClientRow, kRows> rows_;
};
static_assert(sizeof(ClientTable) == 64 + ClientTable::kRows * sizeof(ClientRow));

/// A row as it was read.
struct ClientRecord {
  std::uint64_t ordinal = 0;
  ClientState state = ClientState::kNone;
  std::uint64_t pid = 0;
  std::uint64_t uid = 0;
  std::int64_t attached_ns = 0;
  std::int64_t gone_ns = 0;  // 0: it is there
  std::uint64_t logs = 0, logs_max = 0;
  std::uint64_t rings = 0, rings_max = 0;
  std::uint64_t memory_bytes = 0, memory_bytes_max = 0;
  std::uint64_t records = 0, bytes = 0;
  std::uint64_t requests = 0, refused = 0, read_entries = 0;
  std::string reason;  // UTF-8
};
/// Those of a copy of a table that are whole, in the order in which they came; `bytes` may be any.
std::vector<ClientRecord> ReadClients(Bytes bytes);

}  // namespace duramen
