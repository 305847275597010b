// Watches a simulated world and stops it at the first thing that must never be (Raft figure 3, and
// what clients were promised). It sees every message, every application and every server between
// steps, and remembers over crashes.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/replica.h"
#include "simulator/machine.h"

namespace duramen::simulator {

/// What a life came to, to know that it was one.
struct Tally {
  std::uint64_t seconds = 0;  // simulated
  std::uint64_t elections = 0;
  std::uint64_t commits = 0;
  std::uint64_t overwritten = 0;  // entries cut by another leader
  std::uint64_t kills = 0;
  std::uint64_t power_losses = 0;
  std::uint64_t partitions = 0;
  std::uint64_t pauses = 0;
  std::uint64_t disk_errors = 0;
  std::uint64_t full_disks = 0;
  std::uint64_t stalls = 0;  // of disks
  std::uint64_t rotten_bytes = 0;
  std::uint64_t faulty_servers = 0;    // lost entries that they had acknowledged
  std::uint64_t healed_servers = 0;    // of these: equal to a leader again, under their own uid
  std::uint64_t replaced_servers = 0;  // came back as new incarnations, and were promoted
  std::uint64_t wiped = 0;
  std::uint64_t changes = 0;  // of members, committed
  std::uint64_t transfers = 0;
  std::uint64_t operations = 0;
  std::uint64_t unknown = 0;  // outcome never learnt
  std::uint64_t reads = 0;    // outside the log
  std::uint64_t messages = 0;
  std::uint64_t deeds = 0;        // of scribes
  std::uint64_t inspections = 0;  // of disks
  std::uint64_t repairs = 0;      // that came to their end
  std::uint64_t undone = 0;       // of these
  std::uint64_t cut_repairs = 0;  // that were killed
  void Add(const Tally& other);
  std::string ToText() const;
};

class Referee final : public Machine::Witness {
 public:
  explicit Referee(Tally& tally) : tally_(tally) {}

  void OnApply(const Machine& machine, core::LogEnd at, Bytes command) override;
  /// A cluster begins with these members.
  void OnFound(std::uint32_t cluster, const core::Configuration& first);
  /// `to`: the server that it is for, if there is one at the moment.
  void OnSend(std::uint32_t cluster, const server::Replica& from, const core::Message& message,
              const server::Replica* to);
  /// Between steps of a server.
  void OnStep(std::uint32_t cluster, const server::Replica& replica, const LogStore& store);
  void OnStart(const server::Replica& replica);
  void OnCrash(const server::Replica& replica);
  /// A client has the answer to a command; from then on no read may be older.
  void OnAcknowledged(std::uint32_t cluster, Index at);
  Index acknowledged(std::uint32_t cluster) const;
  /// The newest committed configuration; null while some server may go by a newer one.
  const core::Configuration* Settled(std::uint32_t cluster) const;
  /// Asked when `floor` was acknowledged.
  void OnRead(std::uint32_t cluster, Index floor, const server::Replica& replica);
  void Fail(std::string what);
  /// Empty: nothing so far.
  const std::string& verdict() const { return verdict_; }
  /// The last entry of a cluster that was ever called committed.
  Index last_committed(std::uint32_t cluster) const;

 private:
  struct Seen {
    Term term = 0;
    Index commit = 0;
    Index end = 0;
    Term last_term = 0;
    Index written = 0;
    ServerUid voted_for;
  };
  /// What a server had durable when it died.
  struct Left {
    Index written = 0;
    core::TermMap log;
  };
  struct Cluster {
    /// Of an entry: its own term, and the earliest in which it was known to be committed. A leader
    /// of a later one has it; whoever won a term in between and only hears of it now need not.
    struct Decision {
      Term term = 0;
      Term in = 0;
    };
    core::Configuration first;
    std::map<Index, std::map<Term, core::Configuration>> changes;  // by where they stand
    std::map<Index, Decision> decided;  // what any server ever knew committed
    Index acknowledged = 0;
  };
  void NoteChange(std::uint32_t cluster, core::LogEnd at, const core::Configuration& change);
  void NoteChanges(std::uint32_t cluster, const core::AppendEntries& append);
  const core::Configuration& ConfigurationOf(std::uint32_t cluster, const core::TermMap& log,
                                             Index end) const;
  void CheckAcknowledgement(std::uint32_t cluster, const server::Replica& from,
                            const core::Message& message, const server::Replica* to);
  void CheckWritten(std::uint32_t cluster, const server::Replica& replica, const LogStore& store);
  void CheckOneChange(std::uint32_t cluster, const core::Core& core, Index newest);
  void CheckConfiguration(std::uint32_t cluster, const core::Core& core);
  void CheckCommits(std::uint32_t cluster, const core::Core& core, const Seen& before);
  bool IsReached(const core::Core& core, const core::Configuration& configuration) const;
  void CheckElection(std::uint32_t cluster, const core::Core& core);
  Tally& tally_;
  std::string verdict_;
  std::map<std::pair<std::uint32_t, Index>, std::pair<Term, std::uint64_t>> committed_;
  std::map<std::pair<std::uint32_t, Term>, ServerUid> leaders_;
  std::map<std::pair<ServerUid, Term>, ServerUid> votes_;
  std::map<ServerUid, Term> said_;  // the highest term that a server ever said it was in
  std::map<ServerUid, Seen> seen_;
  std::set<ServerUid> faulty_;
  std::map<ServerUid, Left> left_;
  std::map<std::uint32_t, Cluster> clusters_;
  std::map<std::pair<ServerUid, Term>, Index> acks_;  // the most that it said it had, being sound
};

}  // namespace duramen::simulator
