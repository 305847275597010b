// What happens to a core, and what it asks for in return. Both are plain values; between them lies
// one call of Core::Step. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "base/types.h"
#include "server/core/configuration.h"
#include "server/core/messages.h"
#include "server/core/term_map.h"

namespace duramen::core {

// ---- events ----

/// Time has passed; due at Core::next_deadline() or later.
struct Tick {};

/// `count` commands of one caller, as one contiguous range of the log or not at all.
struct Propose {
  std::uint64_t ticket = 0;
  std::uint64_t count = 1;
};

/// One change of the members (dissertation §4.1).
struct Change {
  enum class Kind : std::uint8_t { kAdd, kRemove };
  std::uint64_t ticket = 0;
  Kind kind = Kind::kAdd;
  Member member;                        // kRemove: its uid
  std::optional<Index> expected_index;  // only if the configuration still stands there [ME9]
};

/// Recovery after the loss of a majority: this server goes on alone with the members that it names,
/// without asking anybody. Two sides that both do it are two clusters [ME8].
struct ForceConfiguration {
  std::uint64_t ticket = 0;
  Configuration configuration;
};

struct Query {
  enum class Kind : std::uint8_t { kConsistent, kLease };
  std::uint64_t ticket = 0;
  Kind kind = Kind::kConsistent;
};

struct Transfer {
  std::uint64_t ticket = 0;
  ServerUid target;  // nil: cancel the one in progress
};
struct TriggerElection {};

/// All stores up to `sequence` are durable.
struct Stored {
  std::uint64_t sequence = 0;
};
/// Entries below `end` are durable, as the log stood in `epoch` [C2].
struct WrittenUpTo {
  std::uint64_t epoch = 0;
  Index end = 0;
};
/// The machine has applied everything up to `index`.
struct AppliedUpTo {
  Index index = 0;
};
/// A snapshot at `last` is durable; the log may begin behind it, or earlier, at `floor`.
struct Compacted {
  Index floor = 0;
};
/// A snapshot from a leader is durable here, and the machine restored from it, unless it has gone
/// further: a faulty server may need the log behind an older one [A3].
struct Installed {
  ServerUid from;
  Term term = 0;  // of the leader that sent it, as in its InstallSnapshot
  InstallSnapshot snapshot;
};
/// Only entries below `end` of what was asked for were sent to `peer`: a limit in bytes [RE1].
struct SentUpTo {
  ServerUid peer;
  Index end = 0;
};
/// What is sent to `peer` finds no room (or room again) [RE2, R20].
struct PeerFlow {
  ServerUid peer;
  bool open = true;
};
/// What failure detection says of a member's process, not of its cluster: it explains silence and
/// is never an acknowledgement [A16, B6].
struct PeerUp {
  ServerUid peer;
  std::uint64_t boot = 0;
};
struct PeerDown {
  ServerUid peer;
};
/// The store can make nothing durable, or can again [C13].
struct WalDown {};
struct WalUp {};
/// Entries of [from, to) that were acknowledged cannot be read; `to` 0 is "unknown" [A3].
struct Damaged {
  Index from = 0;
  Index to = 0;
};

using EventBody =
    std::variant<Tick, Message, Propose, Change, ForceConfiguration, Query, Transfer,
                 TriggerElection, Stored, WrittenUpTo, AppliedUpTo, Compacted, Installed, SentUpTo,
                 PeerFlow, PeerUp, PeerDown, WalDown, WalUp, Damaged>;

struct Event {
  Microseconds now = 0;  // monotonic for one core
  EventBody body;
};

// ---- effects ----

struct Fault {
  Index from = 0;
  Index to = 0;  // half-open; 0 is "unknown"
  friend bool operator==(const Fault&, const Fault&) = default;
};

/// What must be durable before anything that depends on it leaves [EL9].
struct HardState {
  Term term = 0;
  ServerUid voted_for;  // nil: nobody yet
  std::optional<Fault> fault;
  friend bool operator==(const HardState&, const HardState&) = default;
};
struct Store {
  std::uint64_t sequence = 0;  // grows by one a store; Stored names it
  HardState state;
};

/// Entries to append. Where they come from: a proposal (by its ticket), the core (a special entry),
/// or the message that the event was.
struct Append {
  Index begin = 0;
  TermRun run;
  std::uint64_t ticket = 0;
  std::optional<SpecialEntry> special;
  bool from_message = false;
};

/// Start sending a snapshot that covers the log up to its floor at least.
struct SendSnapshot {
  ServerUid peer;
  std::uint64_t transfer = 0;
};

enum class Answer : std::uint8_t {
  kDone,
  kAlready,    // there was nothing to change; as good as done [ME5]
  kNotLeader,  // `leader` is whom to ask, if known
  kLost,       // accepted, and then overwritten by another leader, or nobody knows: outcome unknown
  kNotReady,   // no entry of this leader's term is committed yet [ME6]
  kChangeInProgress,    // one change at a time [ME1]
  kConfigurationMoved,  // not at the expected index any more [ME9]
  kWouldBreakQuorum,    // [ME3]
  kLastMember,          // [ME3]
  kUnknownMember,
  kNonVoter,
  kNotUpToDate,
  kAlreadyLeader,
  kTransferInProgress,  // no new commands until it has ended [EL6]
  kCancelled,           // another transfer took its place, or nobody's
  kTimeout,
  kWalDown,
  kFaulty,
  kOverloaded,
  kInvalid,
};
std::string_view NameOf(Answer answer);

struct Reply {
  std::uint64_t ticket = 0;
  Answer answer = Answer::kDone;
  LogEnd at;         // where it stands, for proposals and changes
  ServerUid leader;  // nil: unknown
};

/// A query may be answered from a machine that has applied `index`, and it has.
struct QueryReady {
  std::uint64_t ticket = 0;
  Index index = 0;
};

/// What Step asks for. The order of the fields is the order of execution: a store before the
/// entries of its term, the cut before what replaces it, all of that before anything is sent.
/// Whoever runs a core may hand store, cut and entries to the log together; it must not send before
/// they are on their way in this order.
struct Effects {
  std::optional<Store> store;
  std::optional<Index>
      truncate;  // the log ends here now (half-open); raises the log's epoch by one
  std::optional<SpecialEntry> reset;  // the log is empty behind `reset_to`; raises the epoch by one
  LogEnd reset_to;
  std::vector<Append> append;
  std::vector<Message> send;
  std::vector<SendSnapshot> send_snapshot;
  std::optional<InstallSnapshot> install;  // receive this snapshot; ends in Installed
  IndexRange apply;                        // newly committed, in order, each once in a life
  std::vector<QueryReady> query;
  std::vector<Reply> reply;
  std::optional<bool> leading;  // gained or lost the leadership
  bool removed = false;         // a committed configuration no longer has this server [ME2]

  void Clear() { *this = Effects{}; }
};

}  // namespace duramen::core
