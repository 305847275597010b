// A simulated world of systems: server::OpenSystem on disks, threads and networks of the simulator,
// used by clients and administrators through include/duramen/system.h alone, and trouble. First a
// time in which nothing may go wrong for good; then all heals, and every cluster serves again.
//
// Owned by whoever runs it. One thread; what calls a system and waits is a Hand, beside which the
// others go on. The same seed and settings give the same trace hash.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/loop_executor.h"
#include "base/rng.h"
#include "duramen/system.h"
#include "sim/sim_file_system.h"
#include "simulator/chronicle.h"
#include "simulator/client.h"
#include "simulator/hand.h"
#include "simulator/narrator.h"
#include "simulator/process.h"
#include "simulator/systems_settings.h"
#include "simulator/wire.h"

namespace duramen::simulator {

class SystemsWorld {
 public:
  SystemsWorld(std::uint64_t seed, const SystemsSettings& settings, Narrator* narrator);
  ~SystemsWorld();

  /// The whole life. Empty, or what went wrong.
  std::string Run();
  const SystemsTally& tally() const { return tally_; }
  std::vector<Record> TakeRecords() { return std::move(records_); }
  /// Over all that happened, in its order.
  std::uint64_t trace_hash() const { return trace_hash_; }

 private:
  struct Home {
    std::uint64_t number = 0;
    sim::DiskState disk;
    std::unique_ptr<sim::SimFileSystem> machine;
    std::unique_ptr<Process> process;
    std::optional<System> system;  // none: it is down, or on its way
    std::optional<duramen::Client> client;
    std::uint64_t inside = 0;         // calls of administrators
    std::set<std::string> stopped;    // servers, by administrators
    std::uint64_t life = 0;
    std::uint64_t shards = 1;
  };
  enum class How : std::uint8_t { kPlain, kInSession, kQuery, kOwn };
  /// A lane of a client: one operation at a time.
  struct Caller {
    std::size_t number = 0;
    Rng rng{0};
    std::uint64_t process = 0;  // who it is in the history
    bool busy = false;
    How how = How::kPlain;
    std::uint32_t cluster = 0;
    Request request;
    std::string text;  // the command or query
    QueryOptions query;
    std::uint64_t attempt = 0;  // the correlation of the newest; 0: none is under way
    Moment give_up_at = 0;
    std::vector<Token> own;         // by cluster: of the newest write that was acknowledged
    std::vector<std::string> own_text;
  };
  /// A client, whose lanes share its sessions.
  struct Party {
    std::vector<Session> sessions;  // by cluster; number 0: none
  };
  /// What has no outcome yet.
  struct Pending {
    std::optional<std::size_t> caller;
    std::uint64_t node = 0;
  };
  /// Whoever waits for each of his calls, and writes ever higher numbers, one a command.
  struct Patron {
    InSession place;
    std::uint64_t done = 0;  // acknowledged
    std::uint64_t under_way = 0;
  };
  struct Passing {
    std::string name;
    std::string config;
    bool moody = false;
    bool thrown = false;
  };

  // systems_world.cc: homes come and go; the course of a life
  void Note(std::uint64_t what, std::uint64_t more);
  void Tell(const std::string& sentence);
  void Fail(std::string what);
  Moment now() const { return clock_.NowNs() - start_; }
  Deadline In(std::int64_t seconds) const;
  Moment Exponential(std::uint64_t mean_ms);
  void StartHome(Home& home);
  void Crash(Home& home, bool power_lost);
  void Close(Home& home);
  void Leave(Home& home);
  bool IsAnyInStep() const;
  bool MayStrike(const Home& home) const;
  Home* AnyHome(Rng& rng);
  bool RunUntil(Moment end);
  void Found();
  std::string StandingOf(std::uint32_t cluster);
  void Settle();
  void JudgeCluster(std::uint32_t cluster);
  void JudgeMembers(std::uint32_t cluster, const std::string& last);
  void JudgeMember(std::uint32_t cluster, const MemberStatus& member, const std::string& last);
  void JudgeDeletions();

  // systems_trouble.cc
  void Every(Hand& hand, std::uint64_t mean_ms, void (SystemsWorld::*what)());
  void StartTrouble();
  enum class Blow : std::uint8_t { kKill, kPower, kClose, kWipe };
  void Strike(Blow blow);
  void StrikeAt(Home& home, Blow blow);
  void Kill() { Strike(Blow::kKill); }
  void LosePower() { Strike(Blow::kPower); }
  void CloseSystem() { Strike(Blow::kClose); }
  void Partition();
  void Pause();
  void BreakDisk();
  void FillDisk();
  void StallDisk();
  void Heal();

  // systems_admin.cc
  void StartAdmins();
  template <typename Call>
  auto On(Home& home, Call call);
  void Transfer();
  void Elect();
  void StopServer();
  void Wipe();
  bool IsWhole();
  void Replace();
  void ChangeMembers();
  void Join(Home& home, const std::string& cluster, std::uint64_t node);
  void Remove(Home& home, const std::string& cluster, std::uint64_t node);
  void FoundOrDelete();
  void Delete(Home& home);
  void FoundOrThrow();
  void OpenSessions();
  void Look();
  void Visit();
  void Ask(System& system, std::uint32_t cluster);

  // systems_clients.cc
  void StartClients();
  void Begin(Caller& caller);
  void DrawCommand(Caller& caller);
  void DrawQuery(Caller& caller);
  Session& SessionOf(const Caller& caller);
  void Try(Caller& caller);
  Status Post(Caller& caller, Home& home, std::uint64_t correlation);
  void Again(Caller& caller, Moment delay);
  void OnUnknown(Caller& caller);
  void Poll();
  void Poll(Home& home);
  void Take(Caller& caller, const duramen::Outcome& outcome);
  void TakeAnswer(Caller& caller, const duramen::Outcome& outcome);
  void JudgePlace(const Caller& caller, const duramen::Outcome& outcome);
  void JudgeOwn(Caller& caller, const std::string& answer);
  void End(Caller& caller, Record::Kind kind, const Response& response);

  SystemsSettings settings_;
  Narrator* narrator_;
  Rng rng_;
  ManualClock clock_;
  Moment start_ = clock_.NowNs();
  LoopExecutor executor_;
  SystemsTally tally_;
  std::string verdict_;
  std::uint64_t trace_hash_ = 0;
  bool trouble_ = false;
  Chronicle chronicle_;
  sim::SiteTable sites_;
  Wire wire_;
  std::vector<std::unique_ptr<Home>> homes_;
  Hand callers_hand_;
  Hand fate_;
  Hand admin_;
  Hand other_admin_;  // so that two calls may be under way
  std::vector<Party> parties_;
  std::vector<Caller> callers_;
  std::map<std::uint64_t, Pending> pending_;  // by correlation
  std::vector<Record> records_;
  std::uint64_t next_ = 0;  // of everything that has to be a number of its own
  std::int64_t next_value_ = 1;
  std::optional<std::uint64_t> wiped_;  // a node whose members are not replaced yet
  bool changing_ = false;  // members, by one at a time
  std::set<std::pair<std::string, std::uint64_t>> removed_;  // members whose logs are there yet
  std::vector<Patron> patrons_;  // by cluster
  std::optional<Passing> passing_;
  std::optional<Passing> moody_;
  std::set<std::string> deleted_;
  std::map<std::pair<std::string, Term>, std::string> leaders_;  // by what their metrics said
  std::set<std::string> heard_;  // messages of machines, each with whom it was for
};

std::string ClusterName(std::uint64_t cluster);

}  // namespace duramen::simulator
