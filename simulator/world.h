// A simulated world: nodes with the real storage and the real servers, a network, clocks, clients,
// and trouble, all in one thread and one order that a seed decides. First a time of trouble, in
// which nothing may go wrong for good; then all heals, and every cluster must serve again.
//
// The fault model is that of settings.h; the disk's is in sim/. Owned by whoever runs it. The same
// seed and settings give the same trace hash.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/loop_executor.h"
#include "base/rng.h"
#include "simulator/agenda.h"
#include "simulator/client.h"
#include "simulator/narrator.h"
#include "simulator/node.h"
#include "simulator/operator.h"
#include "simulator/referee.h"
#include "simulator/scribe.h"
#include "simulator/settings.h"

namespace duramen::simulator {

class World final : public server::ReplicaHost {
 public:
  World(std::uint64_t seed, const Settings& settings, Narrator* narrator);
  ~World() override;

  /// The whole life. Empty, or what went wrong.
  std::string Run();
  const Tally& tally() const { return tally_; }
  const std::vector<Record>& records() const { return records_; }
  std::vector<Record> TakeRecords() { return std::move(records_); }
  /// Over all that happened, in its order.
  std::uint64_t trace_hash() const { return trace_hash_; }

  void Send(server::Replica& from, server::Envelope envelope) override;
  void OnReply(server::Replica& replica, const core::Reply& reply) override;
  void OnApplied(server::Replica& replica, std::uint64_t ticket,
                 server::Applied applied) override;
  void OnQuery(server::Replica& replica, std::uint64_t ticket) override;
  void OnRemoved(server::Replica& replica) override;

 private:
  struct Address {
    std::uint32_t cluster = 0;
    std::uint32_t node = 0;
  };
  /// A server that is to take the place of another, whose disk is gone or damaged.
  struct Replacement {
    ServerUid lost;
    ServerUid fresh;
  };
  struct Cluster {
    server::Birth birth;
    std::uint32_t incarnations = 0;
    std::vector<Replacement> replacements;
    std::set<ServerUid> endangered;  // whose disk was touched; what became of it shows at its start
    std::set<ServerUid> latent;      // of these: while it ran, and nobody has noticed yet
    std::uint64_t change_ticket = 0;
  };

  // world.cc: time, servers' steps, messages
  void Note(std::uint64_t what, std::uint64_t more);
  void Tell(const std::string& sentence);
  void TellLeader(const Node& node, const Resident& resident);
  void TellService();
  Moment now() const { return clock_.NowNs() - start_; }
  void In(Moment delay, std::function<void()> what) { agenda_.At(now() + delay, std::move(what)); }
  Moment Exponential(std::uint64_t mean_ms);
  bool RunUntil(Moment end);
  void PumpStorage();
  void StepAt(Node& node, Resident& resident, const std::function<void(core::Microseconds)>& step);
  void Reschedule(Node& node, Resident& resident);
  void DetectFailures();
  void Hear(Node& at, Resident& resident, const ServerUid& peer);
  void OnTimer(std::uint32_t node, std::uint32_t cluster, std::uint64_t number);
  void Deliver(const server::Envelope& envelope);
  Moment Delay(std::uint32_t from, std::uint32_t to);
  Moment Late();
  std::uint64_t Lasting(std::uint64_t usual_ms) const;
  bool IsCut(std::uint32_t from, std::uint32_t to) const { return cuts_.count({from, to}) > 0; }
  const Address* AddressOf(const ServerUid& uid) const;

  // life.cc: nodes and clusters come and go
  void Found();
  std::string NameFor(std::uint32_t cluster, const Node& node) const;
  bool Populate(Node& node, std::uint32_t cluster, const std::string& name);
  void StartNode(std::uint32_t number);
  bool IsStillborn(Node& node);
  void SettleDisk(Node& node);
  void StartServers(Node& node);
  void TellStart(Node& node);
  void Salvage(Node& node, std::vector<std::string> names);
  void ForgetOthers(const ServerUid& uid);
  void CrashNode(Node& node, bool power_lost);
  void NoteStanding(const Resident& resident);
  void CheckLeases(const Node& home, const Resident& leader);
  bool AllSound();
  void Replace(Node& node, Resident& resident);
  void Await(std::uint32_t cluster, const ServerUid& lost, const ServerUid& fresh);
  bool MayLose(const Node& node) const;
  core::CoreSettings CoreSettingsOf() const;
  Resident* LeaderOf(std::uint32_t cluster, Node** node);

  // trouble.cc
  void StartTrouble();
  void Every(std::uint64_t mean_ms, void (World::*trouble)());
  void Kill();
  void LosePower();
  void Partition();
  void Clog();
  void Pause();
  void BreakDisk();
  void FillDisk();
  void StallDisk();
  Node& NodeToRot();
  void Rot();
  void Wipe();
  void Heal();

  // hunt.cc: trouble that is meant for leaders
  void Hunt(const Node& node, const Resident& leader);
  void Strike(std::uint32_t number);
  void CutAround(std::uint32_t number, std::uint64_t shape);

  // admin.cc: members and leaders are changed
  void ChangeMembers();
  void TransferLeader();
  void MendMembers();
  bool AskChange(std::uint32_t cluster, core::Change change);
  bool Remove(std::uint32_t cluster, const ServerUid& uid);
  std::uint32_t FreeNode(std::uint32_t cluster);

  // service.cc: what else is done to stores
  void MakeScribes();
  void Scribble();
  bool TellScribe(Node& node);
  void Tend();
  void ReadStatistics(Node& node);
  void LookAtServers(Node& node);
  void TakeDown(Node& node);
  void AskOddly();

  // visit.cc: what an operator does to a node that is down
  struct Visit {
    bool made = false;     // and what it saw is still so
    bool mended = false;   // by a repair that came to its end
    Inspection seen = {};  // of all shards together
  };
  Visit VisitNode(Node& node);
  bool LookAt(Node& node, Visit& visit);
  bool MayMend(const Node& node);
  void RepairNode(Node& node, Visit& visit);
  void TryUndo(Node& node);
  void DrawRequests(Node& node, const Inspection& here, log::MendOptions& mend);
  void RepairOutOfOrder(const Node& node);
  bool RepairRoot(Node& node, const std::string& root, const Visit& visit);
  void CheckVisit(Node& node, const Visit& visit);
  Status Rescue(Node& node);
  void Touch(const Node& node);

  // harm.cc: damage to whole files
  void Harm();

  // clients.cc
  void StartClients();
  std::uint32_t ClusterFor(Rng& rng) const;
  void DrawRequest(Rng& rng, Attempt& attempt);
  void BeginOperation(Client& client);
  void Try(Client& client, std::uint32_t node);
  void Arrive(std::uint32_t node, const Attempt& attempt);
  void Answer(std::uint32_t node, const Attempt& attempt, const core::Reply& reply,
              const std::string& answer);
  void TakeAnswer(const Attempt& attempt, const core::Reply& reply, const std::string& answer);
  void EndOperation(Client& client, Record::Kind kind, const Response& response);
  void RetryLater(Client& client, std::uint32_t node, Moment delay);
  std::string JudgeLiveness();

  std::uint64_t seed_;
  Settings settings_;
  Narrator* narrator_;
  Tally tally_;
  Referee referee_{tally_};
  Rng rng_;
  ManualClock clock_;
  Moment start_;
  LoopExecutor executor_;
  Agenda agenda_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<Scribe> scribes_;       // by node; none in most lives
  std::set<std::uint32_t> touched_;   // nodes whose disks were damaged
  std::map<std::uint32_t, std::pair<std::string, std::string>> repaired_;  // root and id, by node
  std::vector<Cluster> clusters_;
  std::vector<Client> clients_;
  std::vector<Session> sessions_;
  std::map<ServerUid, Address> addresses_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, Moment> heard_;  // who, of whom
  std::map<std::pair<ServerUid, ServerUid>, std::uint64_t> known_;   // boot of whom, 0: down
  std::map<std::uint64_t, Attempt> attempts_;                        // at a server, by ticket
  std::set<std::pair<std::uint32_t, std::uint32_t>> cuts_;           // one-way
  std::map<std::pair<std::uint32_t, std::uint32_t>, Moment> clogs_;
  std::vector<Record> records_;
  std::uint64_t next_ticket_ = 1;
  std::uint64_t next_process_ = 1;
  std::int64_t next_value_ = 1;
  std::uint64_t trace_hash_ = 0x9E3779B97F4A7C15;
  bool trouble_ = false;
  std::uint64_t answered_after_healing_ = 0;
  std::set<std::uint32_t> served_after_healing_;  // clusters
  std::map<std::uint32_t, Term> told_leaders_;    // by cluster
  Moment told_service_at_ = 0;
};

}  // namespace duramen::simulator
