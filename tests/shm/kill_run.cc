#include "tests/shm/kill_run.h"

#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

#include "tests/shm/process.h"
#include "tests/shm/kill_model.h"

namespace duramen::shm::testing {
namespace {

constexpr auto kRunMax = std::chrono::seconds(60);
constexpr int kRoundsMax = 6;
constexpr int kLookMs = 500;
constexpr int kKilled = 128 + SIGKILL;

enum Role { kWal, kHeir, kVictim, kBystander, kRoles };
constexpr std::array<const char*, kRoles> kRoleNames = {"WAL process", "successor", "client",
                                                        "bystander"};

struct Actor {
  std::unique_ptr<Process> child;
  std::optional<std::size_t> kill;  // which of the kills it has before it
  bool killed = false;              // by this run
  bool asked_to_end = false;
  bool ready = false;
  bool said_bye = false;
};

class KillRun {
 public:
  explicit KillRun(const KillRunOptions& options)
      : options_(options), due_(options.kills), goal_(1 + options.seed % 4) {}

  std::string Go() {
    ::mkdir(options_.directory.c_str(), 0700);
    const auto give_up = std::chrono::steady_clock::now() + kRunMax;
    Start(kWal);
    while (wrong_.empty() && !over_) {
      Listen();
      if (std::chrono::steady_clock::now() > give_up) Wrong("no progress: " + Standing());
      if (wrong_.empty()) Advance();
    }
    if (!disturbed_.empty() && !wal_ended_) {
      Wrong("the " + disturbed_ + " was disturbed, and no WAL process had ended");
    }
    if (wrong_.empty()) Check();
    for (Actor& actor : actors_) actor.child.reset();
    if (!wrong_.empty()) wrong_ += "\n" + Errors();
    std::filesystem::remove_all(options_.directory);
    return wrong_;
  }

 private:
  void Wrong(const std::string& what) {
    if (wrong_.empty()) wrong_ = what;
  }

  std::string Standing() const {
    std::string text = "round " + std::to_string(round_) + ";";
    for (std::size_t i = 0; i < due_.size(); ++i) {
      if (!reached_[i]) text += " " + std::string(kKillStepFacts[Number(i)].name) + " not reached;";
    }
    for (int role = 0; role < kRoles; ++role) {
      const Actor& actor = actors_[role];
      text += std::string(" ") + kRoleNames[role] + (actor.child ? " runs" : " none") +
              (actor.ready ? ", ready" : "") + (actor.asked_to_end ? ", is to end" : "") + ", " +
              std::to_string(acks_[role]) + " acknowledgements;";
    }
    return text;
  }

  std::string Errors() const {
    std::ifstream file(options_.directory + "/errors");
    std::string text{std::istreambuf_iterator<char>(file), {}};
    return text.size() > 2000 ? text.substr(text.size() - 2000) : text;
  }

  void Start(Role role) {
    Actor& actor = actors_[role];
    actor = {};
    const KillSide side =
        role == kWal || role == kHeir ? KillSide::kHost : KillSide::kClient;
    std::string at;
    for (std::size_t i = 0; i < due_.size() && role != kBystander; ++i) {
      if (reached_[i] || kKillStepFacts[Number(i)].side != side) continue;
      actor.kill = i;
      at = "PLANTED_KILL_AT=" + std::to_string(Number(i)) + ":" + std::to_string(due_[i].pass);
      break;
    }
    const std::string socket = options_.directory + "/socket";
    std::vector<std::string> command;
    if (side == KillSide::kHost) {
      command = {options_.client, "--run", options_.duramen, "wal",
                 "--data-dir", options_.directory + "/d", "--socket", socket,
                 "--wal-max-size-bytes", "256KiB", "--flush-delay", "0",
                 "--wal-sync-method", "datasync"};
      if (role == kHeir) command.emplace_back("--takeover");
    } else {
      command = {options_.client, socket, role == kVictim ? "a" : "b",
                 std::to_string(++lives_)};
    }
    actor.child = std::make_unique<Process>(command, options_.directory + "/errors",
                                            Process::More{.third = -1, .environment = at});
    Disturbed();
  }

  std::size_t Number(std::size_t i) const { return static_cast<std::size_t>(due_[i].step); }

  /// What has progressed from here on counts.
  void Disturbed() { acks_ = {}; }

  void Listen() {
    std::array<pollfd, kRoles> waits;
    for (int role = 0; role < kRoles; ++role) {
      waits[role] = {actors_[role].child ? actors_[role].child->fd() : -1, POLLIN, 0};
    }
    if (::poll(waits.data(), waits.size(), kLookMs) <= 0) return;
    for (int role = 0; role < kRoles; ++role) {
      if (waits[role].revents == 0) continue;
      const auto each = [&](const std::string& line) { OnLine(static_cast<Role>(role), line); };
      if (!actors_[role].child->Read(each)) OnEnd(static_cast<Role>(role));
    }
  }

  void OnLine(Role role, const std::string& line) {
    Actor& actor = actors_[role];
    if (role == kWal || role == kHeir) {
      if (line.starts_with("ready ")) actor.ready = true;
      return;
    }
    KillModel& model = models_[role];
    const auto about = [&](const std::string& what) {
      if (!what.empty()) Wrong(std::string("the ") + kRoleNames[role] + ": " + what);
    };
    if (line.starts_with("log ")) about(ReadLogLine(line, found_[role]));
    if (line.starts_with("error ")) about(line);
    if (line.starts_with("op ")) model.OnOp(line);
    if (line == "open") {
      about(model.OnOpen(found_[role]));
      found_[role].clear();
      actor.ready = true;
    }
    if (line.starts_with("ack ")) {
      model.OnAck(std::stoull(line.substr(4)));
      ++acks_[role];
    }
    if (line == "down") disturbed_ = kRoleNames[role];
    if (line == "bye") actor.said_bye = true;
  }

  void OnEnd(Role role) {
    Actor ended = std::move(actors_[role]);
    actors_[role] = {};
    const int status = ended.child->Wait();
    if (status == kKilled && !ended.killed && ended.kill) {
      reached_[*ended.kill] = true;
    } else if (!MayEnd(role, ended, status)) {
      Wrong(std::string("the ") + kRoleNames[role] + " ended with " + std::to_string(status));
    }
    Disturbed();
    if (role == kHeir && status < 128) heir_failed_ = true;
    if (role == kWal) {
      if (!ended.asked_to_end) wal_ended_ = true;
      asked_is_dead_ = asked_is_dead_ || (handed_over_ && status == kKilled);
    }
  }

  bool MayEnd(Role role, const Actor& ended, int status) const {
    if (ended.killed) return status == kKilled;
    if (role == kHeir) return status != 0 && status < 128;  // If whom it asked is dead.
    if (role == kWal) return status == 0 && (ended.asked_to_end || handed_over_);
    return status == 0 && ended.asked_to_end && ended.said_bye;
  }

  /// Starts who is missing; where all is well, goes on in the script.
  void Advance() {
    if (!actors_[kWal].child && actors_[kHeir].ready) {
      actors_[kWal] = std::move(actors_[kHeir]);
      actors_[kHeir] = {};
      handed_over_ = asked_is_dead_ = false;
      Disturbed();
    }
    const bool clients_left = actors_[kVictim].child || actors_[kBystander].child;
    if (ending_ && !clients_left) return End();
    if (!actors_[kWal].child && !actors_[kHeir].child) {
      handed_over_ = false;
      Start(kWal);
    }
    if (ending_) return;
    if (!started_ && !actors_[kWal].ready) return;
    started_ = true;
    for (const Role role : {kVictim, kBystander}) {
      if (!actors_[role].child) Start(role);
    }
    const bool well = actors_[kWal].ready && !actors_[kHeir].child &&
                      acks_[kVictim] >= goal_ && acks_[kBystander] >= goal_;
    if (!well) return;
    if (heir_failed_ && !asked_is_dead_) return Wrong("a successor failed");
    heir_failed_ = asked_is_dead_ = false;
    if (AllReached()) {
      ending_ = true;
      for (const Role role : {kVictim, kBystander}) AskToEnd(role);
      return;
    }
    NextEvent();
  }

  bool AllReached() const {
    return std::ranges::all_of(reached_.begin(), reached_.begin() + due_.size(),
                               [](bool one) { return one; });
  }

  void AskToEnd(Role role) {
    actors_[role].asked_to_end = true;
    actors_[role].child->Signal(SIGTERM);
  }

  void Kill(Role role) {
    actors_[role].killed = true;
    actors_[role].child->Signal(SIGKILL);
  }

  /// In the first round what the steps say that they need, then all.
  void NextEvent() {
    if (events_.empty()) {
      if (++round_ > kRoundsMax) return Wrong("a step was not reached: " + Standing());
      for (const KillNeeds needs : {KillNeeds::kTakeover, KillNeeds::kHostDeath,
                                    KillNeeds::kClientDeath, KillNeeds::kReturn}) {
        bool wanted = round_ > 1;
        for (std::size_t i = 0; i < due_.size(); ++i) {
          wanted |= !reached_[i] && kKillStepFacts[Number(i)].needs == needs;
        }
        if (wanted) events_.push_back(needs);
      }
      if (events_.empty()) return Disturbed();  // It comes by itself.
    }
    const KillNeeds event = events_.back();
    events_.pop_back();
    Disturbed();
    switch (event) {
      case KillNeeds::kReturn:
        return AskToEnd(kVictim);
      case KillNeeds::kClientDeath:
        return Kill(kVictim);
      case KillNeeds::kHostDeath:
        return Kill(kWal);
      case KillNeeds::kTakeover:
        handed_over_ = wal_ended_ = true;
        asked_is_dead_ = false;
        return Start(kHeir);
      case KillNeeds::kNothing:
        return;
    }
  }

  void End() {
    if (actors_[kHeir].child) return;
    if (actors_[kWal].ready && !actors_[kWal].asked_to_end) AskToEnd(kWal);
    over_ = !actors_[kWal].child;
  }

  /// From the directory itself, without any WAL process.
  void Check() {
    Process check({options_.client, "--check", options_.directory + "/d"},
                  options_.directory + "/errors");
    States victim;
    States bystander;
    bool bye = false;
    while (check.Read([&](const std::string& line) {
      if (line.starts_with("log ")) {
        const std::string what = ReadLogLine(line, line[4] == 'a' ? victim : bystander);
        if (!what.empty()) Wrong(what);
      }
      if (line.starts_with("error ")) Wrong("at the end: " + line);
      bye = bye || line == "bye";
    })) {
    }
    const int status = check.Wait();
    if (status != 0 || !bye) Wrong("the directory: " + std::to_string(status));
    const std::string of_victim = models_[kVictim].OnOpen(victim);
    if (!of_victim.empty()) Wrong("the client's logs at the end: " + of_victim);
    const std::string of_bystander = models_[kBystander].OnOpen(bystander);
    if (!of_bystander.empty()) Wrong("the bystander's logs at the end: " + of_bystander);
  }

  const KillRunOptions& options_;
  const std::vector<testing::Kill> due_;
  const unsigned goal_;  // acknowledgements between two events
  std::array<bool, 2> reached_{};
  std::array<Actor, kRoles> actors_;
  std::array<KillModel, kRoles> models_;
  std::array<States, kRoles> found_;
  std::array<unsigned, kRoles> acks_{};
  std::vector<KillNeeds> events_;
  int round_ = 0;
  int lives_ = 0;
  bool wal_ended_ = false;  // or may have, before the end of the run
  bool started_ = false;
  bool handed_over_ = false;    // a successor was started, so this WAL process may end
  bool asked_is_dead_ = false;  // who was asked by a successor was killed
  bool heir_failed_ = false;
  bool ending_ = false;
  bool over_ = false;
  std::string disturbed_;  // who saw no WAL process
  std::string wrong_;
};

}  // namespace

std::string RunKills(const KillRunOptions& options) { return KillRun(options).Go(); }

}  // namespace duramen::shm::testing
