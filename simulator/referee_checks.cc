// What the referee holds a server's state against: what others said, and what its store has.
#include <algorithm>

#include "simulator/referee.h"

namespace duramen::simulator {

void Referee::OnFound(std::uint32_t cluster, const core::Configuration& first) {
  clusters_[cluster].first = first;
}

/// An entry of one index and term is one entry (Raft figure 3, log matching).
void Referee::NoteChange(std::uint32_t cluster, core::LogEnd at,
                         const core::Configuration& change) {
  const auto [place, first] = clusters_[cluster].changes[at.index].try_emplace(at.term, change);
  if (!first && !(place->second == change)) {
    Fail("cluster " + std::to_string(cluster) + ": two configurations at index " +
         std::to_string(at.index) + " of term " + std::to_string(at.term));
  }
}

void Referee::NoteChanges(std::uint32_t cluster, const core::AppendEntries& append) {
  for (const core::SpecialEntry& special : append.specials) {
    if (!special.configuration) continue;
    Index end = append.previous.index + 1;
    for (const core::TermRun& run : append.runs) {
      end += run.count;
      if (special.index >= end) continue;
      NoteChange(cluster, {run.term, special.index}, *special.configuration);
      break;
    }
  }
}

/// The newest that stands in `log` before `end`, whatever its server thinks [C11].
const core::Configuration& Referee::ConfigurationOf(std::uint32_t cluster,
                                                    const core::TermMap& log, Index end) const {
  const Cluster& life = clusters_.at(cluster);
  for (auto place = life.changes.rbegin(); place != life.changes.rend(); ++place) {
    if (place->first >= end) continue;
    const std::optional<Term> term = log.TermAt(place->first);
    if (!term) continue;
    const auto change = place->second.find(*term);
    if (change != place->second.end()) return change->second;
  }
  return life.first;
}

/// One change at a time (dissertation §4.1).
void Referee::CheckOneChange(std::uint32_t cluster, const core::Core& core, Index newest) {
  if (core.commit() >= newest) return;
  const auto& changes = clusters_[cluster].changes;
  for (auto place = changes.upper_bound(core.commit()); place != changes.lower_bound(newest);
       ++place) {
    const std::optional<Term> term = core.log().TermAt(place->first);
    if (!term || place->second.count(*term) == 0) continue;
    return Fail("cluster " + std::to_string(cluster) + ": a leader changed the members at " +
                std::to_string(newest) + " while its change at " + std::to_string(place->first) +
                " was not committed");
  }
}

void Referee::CheckConfiguration(std::uint32_t cluster, const core::Core& core) {
  if (core.configuration() == ConfigurationOf(cluster, core.log(), core.log().end())) return;
  Fail("cluster " + std::to_string(cluster) +
       ": a server goes by another configuration than the newest in its log");
}

/// What is acknowledged is written there, and equal to the log of the leader that it is said to
/// [A19].
void Referee::CheckAcknowledgement(std::uint32_t cluster, const server::Replica& from,
                                   const core::Message& message, const server::Replica* to) {
  const auto& reply = std::get<core::AppendReply>(message.body);
  const core::Core& core = from.core();
  if (!reply.success || core.term() != message.term) return;
  if (reply.standing == core::Standing::kSound) {
    Index& ack = acks_[{message.from, message.term}];
    ack = std::max(ack, reply.match);
  }
  const std::string what = "cluster " + std::to_string(cluster) + ": a server acknowledged entry " +
                           std::to_string(reply.match) + " in term " +
                           std::to_string(message.term) + ", which ";
  if (reply.match > core.written()) return Fail(what + "is not written");
  if (to == nullptr || to->core().term() != message.term ||
      to->core().role_kind() != core::RoleKind::kLeader) {
    return;
  }
  if (core.log().TermAt(reply.match) != to->core().log().TermAt(reply.match)) {
    Fail(what + "is not its leader's");
  }
}

/// Memory, segments and WAL describe one log, as far as the server calls it written.
void Referee::CheckWritten(std::uint32_t cluster, const server::Replica& replica,
                           const LogStore& store) {
  const Index written = replica.core().written();
  if (written < replica.core().log().begin()) return;
  const Result<Bounds> bounds = store.BoundsOf(replica.log());
  const Result<Term> term = store.TermAt(replica.log(), written);
  if (!bounds.ok()) return;
  if (written < bounds->written_end && term.ok() &&
      *term == replica.core().log().TermAt(written)) {
    return;
  }
  Fail("cluster " + std::to_string(cluster) + ": a server calls entry " + std::to_string(written) +
       " written, which its store does not");
}

/// Whether a majority of `configuration` said, being sound, that it has all up to the commit index:
/// sizes come from the configuration alone [A3].
bool Referee::IsReached(const core::Core& core, const core::Configuration& configuration) const {
  std::size_t have = 0;
  for (const core::Member& member : configuration.members) {
    if (member.role != core::MemberRole::kVoter) continue;
    const auto ack = acks_.find({member.uid, core.term()});
    const Index reached =
        member.uid == core.uid() ? core.written() : (ack == acks_.end() ? 0 : ack->second);
    if (reached >= core.commit()) ++have;
  }
  return have * 2 > configuration.voters();
}

void Referee::CheckCommits(std::uint32_t cluster, const core::Core& core, const Seen& before) {
  if (core.commit() <= before.commit) return;
  const std::string where = "cluster " + std::to_string(cluster) + ": ";
  auto& decided = clusters_[cluster].decided;
  for (Index at = std::max(before.commit + 1, core.log().begin()); at <= core.commit(); ++at) {
    const std::optional<Term> known = core.log().TermAt(at);
    if (!known && core.standing() == core::Standing::kFaulty) return;  // Just found unreadable.
    const Term term = known.value_or(0);
    const Cluster::Decision found{term, core.term()};
    Cluster::Decision& entry = decided.try_emplace(at, found).first->second;
    entry.in = std::min(entry.in, core.term());
    if (entry.term == term) continue;
    return Fail(where + "entry " + std::to_string(at) + " was committed in two terms");
  }
  if (core.role_kind() != core::RoleKind::kLeader || before.term != core.term()) return;
  // What it committed may have let it append the next change at once.
  if (IsReached(core, ConfigurationOf(cluster, core.log(), core.log().end())) ||
      IsReached(core, ConfigurationOf(cluster, core.log(), before.end))) {
    return;
  }
  Fail(where + "entry " + std::to_string(core.commit()) + " was committed without a majority");
}

/// One leader a term, by the votes of a majority, and with all that was ever committed.
void Referee::CheckElection(std::uint32_t cluster, const core::Core& core) {
  const auto [place, first] = leaders_.try_emplace({cluster, core.term()}, core.uid());
  const std::string where = "cluster " + std::to_string(cluster) + ": ";
  if (place->second != core.uid()) {
    Fail(where + "two leaders in term " + std::to_string(core.term()));
  }
  if (!first) return;
  ++tally_.elections;
  const core::Configuration& configuration = ConfigurationOf(cluster, core.log(), core.log().end());
  std::size_t votes = 0;
  for (const core::Member& member : configuration.members) {
    if (member.role != core::MemberRole::kVoter) continue;
    const auto vote = votes_.find({member.uid, core.term()});
    const bool own = member.uid == core.uid();
    if (own || (vote != votes_.end() && vote->second == core.uid())) ++votes;
  }
  if (votes * 2 <= configuration.voters()) {
    Fail(where + "the leader of term " + std::to_string(core.term()) + " has " +
         std::to_string(votes) + " votes of " + std::to_string(configuration.voters()));
  }
  for (const auto& [index, entry] : clusters_[cluster].decided) {
    if (index < core.log().begin() || entry.in >= core.term()) continue;
    if (core.log().TermAt(index) == entry.term) continue;
    return Fail(where + "the leader of term " + std::to_string(core.term()) +
                " lacks the entry " + std::to_string(index) + " of term " +
                std::to_string(entry.term) + ", committed in term " + std::to_string(entry.in));
  }
}

const core::Configuration* Referee::Settled(std::uint32_t cluster) const {
  const Cluster& life = clusters_.at(cluster);
  for (auto place = life.changes.rbegin(); place != life.changes.rend(); ++place) {
    const auto decided = life.decided.find(place->first);
    if (decided == life.decided.end()) return nullptr;
    const auto change = place->second.find(decided->second.term);
    if (change != place->second.end()) return &change->second;
  }
  return &life.first;
}

void Referee::OnAcknowledged(std::uint32_t cluster, Index at) {
  Index& acknowledged = clusters_[cluster].acknowledged;
  acknowledged = std::max(acknowledged, at);
}

Index Referee::acknowledged(std::uint32_t cluster) const {
  const auto life = clusters_.find(cluster);
  return life == clusters_.end() ? 0 : life->second.acknowledged;
}

void Referee::OnRead(std::uint32_t cluster, Index floor, const server::Replica& replica) {
  if (replica.applied() >= floor) return;
  Fail("cluster " + std::to_string(cluster) + ": a read at entry " +
       std::to_string(replica.applied()) + " was asked after entry " + std::to_string(floor) +
       " had been acknowledged");
}

}  // namespace duramen::simulator
