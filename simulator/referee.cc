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

void Referee::OnSend(std::uint32_t cluster, const core::Message& message) {
  ++tally_.messages;
  Term& said = said_[message.from];
  said = std::max(said, message.term);
  const auto* reply = std::get_if<core::VoteReply>(&message.body);
  if (reply == nullptr || !reply->granted) return;
  const auto [place, first] = votes_.try_emplace({message.from, message.term}, message.to);
  if (!first && place->second != message.to) {
    Fail("cluster " + std::to_string(cluster) + ": a server voted twice in term " +
         std::to_string(message.term));
  }
}

/// What a server said before a crash it must know after it [EL9].
void Referee::OnStart(const server::Replica& replica) {
  seen_.erase(replica.uid());
  const auto said = said_.find(replica.uid());
  if (said != said_.end() && replica.core().term() < said->second) {
    Fail("a server restarted in term " + std::to_string(replica.core().term()) +
         " after it had spoken in term " + std::to_string(said->second));
  }
  if (faulty_.count(replica.uid()) > 0 && replica.core().standing() == core::Standing::kSound) {
    Fail("a server that had lost entries restarted as if it had none");
  }
}

void Referee::OnStep(std::uint32_t cluster, const server::Replica& replica) {
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
  const core::LogEnd last = core.log().last();
  if (seen.end > core.log().end() ||
      (seen.end > 0 && core.log().TermAt(seen.end - 1) != seen.last_term)) {
    ++tally_.overwritten;
  }
  seen = {core.term(), core.commit(), core.log().end(), last.term};
  if (core.role_kind() != core::RoleKind::kLeader) return;
  const auto [place, first] = leaders_.try_emplace({cluster, core.term()}, replica.uid());
  if (place->second != replica.uid()) {
    Fail("cluster " + std::to_string(cluster) + ": two leaders in term " +
         std::to_string(core.term()));
  }
  if (!first) return;
  ++tally_.elections;
  // Leader completeness: all that any server ever applied stands in its log.
  for (auto entry = committed_.lower_bound({cluster, core.log().begin()});
       entry != committed_.end() && entry->first.first == cluster; ++entry) {
    if (entry->second.first >= core.term()) continue;
    if (core.log().TermAt(entry->first.second) == entry->second.first) continue;
    return Fail("cluster " + std::to_string(cluster) + ": the leader of term " +
                std::to_string(core.term()) + " lacks the committed entry " +
                std::to_string(entry->first.second) + " of term " +
                std::to_string(entry->second.first));
  }
}

}  // namespace duramen::simulator
