#include "server/core/message_table.h"

#include "base/check.h"

namespace duramen::core {
namespace {

constexpr auto kDrop = Disposition::kDrop;
constexpr auto kRefuse = Disposition::kRefuse;
constexpr auto kHandle = Disposition::kHandle;
constexpr auto kYield = Disposition::kYield;
constexpr auto kAdopt = Disposition::kAdopt;

/// By relation: older, same, newer.
using Cell = std::array<Disposition, 3>;
/// By role: follower, pre-candidate, candidate, leader, down.
using Row = std::array<Cell, kRoleKinds>;

/// While its WAL is down a server can store nothing, so it says nothing [C13].
constexpr Cell kSilent = {kDrop, kDrop, kDrop};
constexpr Cell kReplyElsewhere = {kDrop, kDrop, kAdopt};

// The rows stand in the order of MessageBody. A pre-vote request asks about a term that nobody has
// entered: its sender's own term counts here, and what it proposes is judged in the handler.
constexpr std::array<Row, kMessageKinds> kTable = {{
    // PreVoteRequest. A leader refuses in its own term; the asker learns of it.
    {{{kHandle, kHandle, kHandle},
      {kHandle, kHandle, kHandle},
      {kHandle, kHandle, kHandle},
      {kRefuse, kRefuse, kHandle},
      kSilent}},
    // PreVoteReply
    {{kReplyElsewhere, {kHandle, kHandle, kAdopt}, kReplyElsewhere, kReplyElsewhere, kSilent}},
    // VoteRequest
    {{{kRefuse, kHandle, kAdopt},
      {kRefuse, kHandle, kAdopt},
      {kRefuse, kRefuse, kAdopt},
      {kRefuse, kRefuse, kAdopt},
      kSilent}},
    // VoteReply
    {{kReplyElsewhere, kReplyElsewhere, {kDrop, kHandle, kAdopt}, kReplyElsewhere, kSilent}},
    // AppendEntries. Two leaders of one term cannot be; a message that says so is void.
    {{{kRefuse, kHandle, kAdopt},
      {kRefuse, kYield, kAdopt},
      {kRefuse, kYield, kAdopt},
      {kRefuse, kDrop, kAdopt},
      kSilent}},
    // AppendReply
    {{kReplyElsewhere, kReplyElsewhere, kReplyElsewhere, {kDrop, kHandle, kAdopt}, kSilent}},
    // TimeoutNow
    {{{kDrop, kHandle, kAdopt},
      {kDrop, kDrop, kAdopt},
      {kDrop, kDrop, kAdopt},
      {kDrop, kDrop, kAdopt},
      kSilent}},
    // ReadRequest
    {{{kRefuse, kRefuse, kAdopt},
      {kRefuse, kRefuse, kAdopt},
      {kRefuse, kRefuse, kAdopt},
      {kRefuse, kHandle, kAdopt},
      kSilent}},
    // ReadReply
    {{{kDrop, kHandle, kAdopt}, kReplyElsewhere, kReplyElsewhere, kReplyElsewhere, kSilent}},
    // InstallSnapshot
    {{{kRefuse, kHandle, kAdopt},
      {kRefuse, kYield, kAdopt},
      {kRefuse, kYield, kAdopt},
      {kRefuse, kDrop, kAdopt},
      kSilent}},
    // InstallReply
    {{kReplyElsewhere, kReplyElsewhere, kReplyElsewhere, {kDrop, kHandle, kAdopt}, kSilent}},
}};

}  // namespace

Disposition DispositionOf(RoleKind role, std::size_t message_kind, TermRelation relation) {
  CHECK(message_kind < kMessageKinds);
  return kTable[message_kind][static_cast<std::size_t>(role)][static_cast<std::size_t>(relation)];
}

std::string_view NameOf(RoleKind role) {
  constexpr std::array<std::string_view, kRoleKinds> kNames = {"follower", "pre-candidate",
                                                               "candidate", "leader", "down"};
  return kNames[static_cast<std::size_t>(role)];
}

std::string_view NameOf(TermRelation relation) {
  constexpr std::array<std::string_view, 3> kNames = {"older", "same", "newer"};
  return kNames[static_cast<std::size_t>(relation)];
}

std::string_view NameOf(Disposition disposition) {
  constexpr std::array<std::string_view, 5> kNames = {"drop", "refuse", "handle", "yield", "adopt"};
  return kNames[static_cast<std::size_t>(disposition)];
}

std::string_view NameOfMessage(std::size_t message_kind) {
  constexpr std::array<std::string_view, kMessageKinds> kNames = {
      "PreVoteRequest", "PreVoteReply",    "VoteRequest", "VoteReply",
      "AppendEntries",  "AppendReply",     "TimeoutNow",  "ReadRequest",
      "ReadReply",      "InstallSnapshot", "InstallReply"};
  CHECK(message_kind < kMessageKinds);
  return kNames[message_kind];
}

}  // namespace duramen::core
