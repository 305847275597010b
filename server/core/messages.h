// What the servers of a cluster say to each other. Plain values; how they travel is the transport's
// business, and the payloads of entries travel beside them. Everything in a message is hostile
// until IsSane() has seen it. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "base/types.h"
#include "server/core/configuration.h"
#include "server/core/term_map.h"

namespace duramen::core {

/// Microseconds of the receiver's (or sender's) own monotonic clock; never compared between
/// servers.
using Microseconds = std::uint64_t;

/// Would `to` vote for `from` in `proposed_term`? Changes nothing at the receiver (dissertation
/// §9.6) [EL2].
struct PreVoteRequest {
  Term proposed_term = 0;
  LogEnd last;
  std::uint64_t token = 0;  // of this round; an answer to another round counts for nothing
};
struct PreVoteReply {
  std::uint64_t token = 0;
  bool granted = false;
};

struct VoteRequest {
  LogEnd last;
  bool transfer =
      false;  // the leader asked for this election, so nobody sticks to that leader (§3.10)
};
struct VoteReply {
  bool granted = false;
};

/// What a sender is worth to a quorum.
enum class Standing : std::uint8_t {
  kSound,
  kFaulty,    // acknowledged entries are damaged; counts again once a leader has replaced them [A3]
  kVoteLost,  // its term or vote may be lost; never counts again under this uid [A1]
};

/// Entries, a heartbeat, the commit index, the start of a read round: all of it is one message
/// (Raft §5.3).
struct AppendEntries {
  LogEnd previous;
  std::vector<TermRun> runs;           // of the entries behind `previous`
  std::vector<SpecialEntry> specials;  // those among them that the core must understand
  Index commit = 0;
  std::uint64_t round = 0;   // the leader's newest round of proving that it still leads [A16]
  Microseconds sent_at = 0;  // the leader's clock, echoed: a lease counts from the sending
  bool quiet = false;        // nothing more will come until there is news [RE9]
  Index heal_upto =
      0;  // to a faulty member: sound again once it equals the leader's log so far [A3]
  std::uint64_t heal_fault = 0;  // the fault that this is for: a late word heals no other
  std::uint64_t stream = 0;      // counted up by each refusal that was taken
  Index acknowledged = 0;  // what this member once said it had; less than that is lost data [A4]

  Index end() const;
};

struct AppendReply {
  bool success = false;
  Index match = 0;           // success: durable and equal to the leader's log up to here [A19]
  LogEnd hint;               // refused: no entry beyond it can match [RE3]
  std::uint64_t stream = 0;  // refused: of the message
  Index last_index = 0;      // the end of its log
  std::uint64_t round = 0;
  Microseconds sent_at = 0;
  Standing standing = Standing::kSound;
  std::uint64_t fault = 0;   // kFaulty: which of its faults; drawn anew for each, and at each start
  std::uint64_t number = 0;  // of the replies of one boot, so that a late one takes nothing back
  std::uint32_t machine_version = 0;  // the newest that it knows [SM8]
};

/// The leader lets go: campaign at once (§3.10).
struct TimeoutNow {};

/// A follower asks where a read must wait to (§6.4).
struct ReadRequest {
  std::uint64_t id = 0;
};
struct ReadReply {
  std::uint64_t id = 0;
  bool granted = false;
  Index index = 0;
};

/// The first words of a snapshot; chunks follow outside the core.
struct InstallSnapshot {
  LogEnd last;        // the last entry that it covers
  SpecialEntry base;  // configuration (always there) and machine version at that entry [ME10]
  std::uint64_t transfer = 0;  // fences out late chunks of another transfer
};
struct InstallReply {
  std::uint64_t transfer = 0;
  Index match = 0;
  Standing standing = Standing::kSound;
};

using MessageBody =
    std::variant<PreVoteRequest, PreVoteReply, VoteRequest, VoteReply, AppendEntries, AppendReply,
                 TimeoutNow, ReadRequest, ReadReply, InstallSnapshot, InstallReply>;

struct Message {
  ClusterId cluster = 0;
  ServerUid from;
  ServerUid to;
  std::uint64_t boot = 0;  // the sender's; what an earlier life of it said is void [A4]
  Term term = 0;           // the sender's current term
  MessageBody body;
};

/// Terms and indexes from here on are no honest server's.
inline constexpr std::uint64_t kTermEnd = 1ULL << 62;
inline constexpr std::uint64_t kIndexEnd = 1ULL << 62;
/// No server falls so many terms behind: a thousand elections a second for thirty years. Taken, a
/// term near kTermEnd would leave none to campaign in.
inline constexpr std::uint64_t kTermLeapMax = 1ULL << 40;
/// Entries in one message, whatever the sender's setting.
inline constexpr std::uint64_t kEntriesInMessageMax = 65536;

/// Whether the fields of a message agree with each other and lie in range.
bool IsSane(const Message& message);

}  // namespace duramen::core
