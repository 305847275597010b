#include "simulator/referee.h"

#include <algorithm>

#include "base/checksum.h"

namespace duramen::simulator {

void Tally::Add(const Tally& other) {
  seconds += other.seconds;
  elections += other.elections;
  commits += other.commits;
  overwritten += other.overwritten;
  kills += other.kills;
  power_losses += other.power_losses;
  partitions += other.partitions;
  pauses += other.pauses;
  disk_errors += other.disk_errors;
  full_disks += other.full_disks;
  stalls += other.stalls;
  rotten_bytes += other.rotten_bytes;
  faulty_servers += other.faulty_servers;
  healed_servers += other.healed_servers;
  replaced_servers += other.replaced_servers;
  wiped += other.wiped;
  changes += other.changes;
  transfers += other.transfers;
  operations += other.operations;
  unknown += other.unknown;
  reads += other.reads;
  messages += other.messages;
  deeds += other.deeds;
  inspections += other.inspections;
  repairs += other.repairs;
  undone += other.undone;
  cut_repairs += other.cut_repairs;
}

std::string Tally::ToText() const {
  std::string text;
  const auto add = [&text](std::uint64_t count, const char* what) {
    if (!text.empty()) text += ", ";
    text += std::to_string(count) + " " + what;
  };
  add(seconds, "s");
  add(elections, "elections");
  add(commits, "commits");
  add(overwritten, "overwritten");
  add(kills, "kills");
  add(power_losses, "power losses");
  add(partitions, "partitions");
  add(pauses, "pauses");
  add(disk_errors, "disk errors");
  add(full_disks, "full disks");
  add(stalls, "disk stalls");
  add(rotten_bytes, "rotten bytes");
  add(faulty_servers, "faulty");
  add(healed_servers, "healed");
  add(replaced_servers, "replaced");
  add(wiped, "wiped");
  add(changes, "changes");
  add(transfers, "transfers");
  add(operations, "operations");
  add(unknown, "unknown");
  add(reads, "reads");
  add(messages, "messages");
  add(deeds, "deeds of scribes");
  add(inspections, "inspections");
  add(repairs, "repairs");
  add(undone, "undone");
  add(cut_repairs, "cut repairs");
  return text;
}

void Referee::Fail(std::string what) {
  if (verdict_.empty()) verdict_ = std::move(what);
}

Index Referee::last_committed(std::uint32_t cluster) const {
  const auto behind = committed_.lower_bound({cluster + 1, 0});
  if (behind == committed_.begin()) return 0;
  const auto last = std::prev(behind);
  return last->first.first == cluster ? last->first.second : 0;
}

/// State machine safety: an index means one command, for ever.
void Referee::OnApply(const Machine& machine, core::LogEnd at, Bytes command) {
  const std::pair<Term, std::uint64_t> what{at.term, Checksum(command, 0)};
  const auto [place, first] = committed_.try_emplace({machine.cluster(), at.index}, what);
  if (first) ++tally_.commits;
  if (place->second != what) {
    Fail("cluster " + std::to_string(machine.cluster()) +
         ": two servers applied different commands at index " + std::to_string(at.index) +
         " (terms " + std::to_string(place->second.first) + " and " + std::to_string(at.term) +
         ")");
  }
}

void Referee::OnSend(std::uint32_t cluster, const server::Replica& from,
                     const core::Message& message, const server::Replica* to) {
  ++tally_.messages;
  Term& said = said_[message.from];
  said = std::max(said, message.term);
  if (const auto* append = std::get_if<core::AppendEntries>(&message.body)) {
    return NoteChanges(cluster, *append);
  }
  if (std::holds_alternative<core::AppendReply>(message.body)) {
    return CheckAcknowledgement(cluster, from, message, to);
  }
  const auto* reply = std::get_if<core::VoteReply>(&message.body);
  const bool granted = reply != nullptr && reply->granted;
  // Who asks for votes has given itself its own.
  if (!granted && !std::holds_alternative<core::VoteRequest>(message.body)) return;
  const ServerUid& candidate = granted ? message.to : message.from;
  const auto [place, first] = votes_.try_emplace({message.from, message.term}, candidate);
  if (!first && place->second != candidate) {
    Fail("cluster " + std::to_string(cluster) + ": a server voted twice in term " +
         std::to_string(message.term));
  }
}

void Referee::OnCrash(const server::Replica& replica) {
  left_[replica.uid()] = {replica.core().written(), replica.core().log()};
}

/// What a server said before a crash it must know after it [EL9], and what it had written it must
/// have, unless it says that it is faulty.
void Referee::OnStart(const server::Replica& replica) {
  seen_.erase(replica.uid());
  const core::Core& core = replica.core();
  const auto said = said_.find(replica.uid());
  if (said != said_.end() && core.term() < said->second) {
    Fail("a server restarted in term " + std::to_string(core.term()) +
         " after it had spoken in term " + std::to_string(said->second));
  }
  if (faulty_.count(replica.uid()) > 0 && core.standing() == core::Standing::kSound) {
    Fail("a server that had lost entries restarted as if it had none");
  }
  const auto left = left_.find(replica.uid());
  if (left == left_.end()) return;
  if (core.standing() == core::Standing::kSound) {
    const Left& had = left->second;
    for (Index at = std::max(core.log().begin(), had.log.begin()); at <= had.written; ++at) {
      if (core.log().TermAt(at) == had.log.TermAt(at)) continue;
      Fail("a server restarted without its entry " + std::to_string(at) + ", which was written");
      break;
    }
  }
  left_.erase(left);
}

void Referee::OnStep(std::uint32_t cluster, const server::Replica& replica,
                     const LogStore& store) {
  const core::Core& core = replica.core();
  core.CheckInvariants();
  Seen& seen = seen_[replica.uid()];
  if (core.term() < seen.term || core.commit() < seen.commit) {
    Fail("cluster " + std::to_string(cluster) +
         ": a server went back in its term or its commit index");
  }
  if (core.standing() == core::Standing::kFaulty) {
    if (faulty_.insert(replica.uid()).second) ++tally_.faulty_servers;
  } else if (faulty_.erase(replica.uid()) > 0) {
    ++tally_.healed_servers;
  }
  const ServerUid& vote = core.state().voted_for;
  if (core.term() == seen.term && !seen.voted_for.is_nil() && vote != seen.voted_for) {
    Fail("cluster " + std::to_string(cluster) + ": a server forgot its vote in term " +
         std::to_string(core.term()));
  }
  const core::LogEnd last = core.log().last();
  if (seen.end > core.log().end() ||
      (seen.end > 0 && core.log().TermAt(seen.end - 1) != seen.last_term)) {
    ++tally_.overwritten;
  }
  const bool leads = core.role_kind() == core::RoleKind::kLeader;
  const Index change = core.specials().configuration_index();
  // Whoever has entries of the term in which it voted for itself has made them; what it knew to be
  // committed may be unreadable since.
  const bool sound = core.standing() == core::Standing::kSound;
  if (sound && vote == core.uid() && core.log().TermAt(change) == core.term()) {
    // The bug of 2015: only then does every later leader have what this one builds on [ME6]. Once
    // it was restarted it may have to learn anew what is committed.
    if (leads && core.log().TermAt(core.commit()) != core.term()) {
      Fail("cluster " + std::to_string(cluster) +
           ": a leader changed the members before an entry of its term was committed");
    }
    NoteChange(cluster, {core.term(), change}, core.specials().configuration());
    if (leads) CheckOneChange(cluster, core, change);
  }
  CheckConfiguration(cluster, core);
  if (core.written() != seen.written) CheckWritten(cluster, replica, store);
  CheckCommits(cluster, core, seen);
  seen = {core.term(), core.commit(), core.log().end(), last.term, core.written(), vote};
  if (leads) CheckElection(cluster, core);
}

}  // namespace duramen::simulator
