// What a replicated state machine is: deterministic code that is given the same commands in the
// same order on every member of its cluster.
//
//   class Counter final : public duramen::Machine {
//     void Apply(std::span<const Command> commands, Effects& effects) override {
//       for (std::size_t at = 0; at < commands.size(); ++at)
//         effects.Reply(at, std::to_string(++count_));
//     }
//     Status Query(Bytes, std::string& answer) const override {
//       answer = std::to_string(count_);
//       return {};
//     }
//     std::uint64_t count_ = 0;
//   };
//
// C++20, standard library only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "duramen/result.h"
#include "duramen/types.h"

namespace duramen {
inline namespace v1 {

enum class ServerRole : std::uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

struct ApplyMeta {
  Index index = 0;  // of the command in the cluster's log
  Term term = 0;
  std::int64_t leader_unix_ms = 0;    // when its leader took it, by that leader's clock
  std::uint32_t machine_version = 0;  // of the cluster at that place: what Apply has to be
};

/// `payload` is borrowed until Apply returns.
struct Command {
  ApplyMeta meta;
  Bytes payload;
};

/// Who sends a message of Effects::Send.
enum class Sender : std::uint8_t {
  kLeader,
  kNearest,  // the member on the receiver's node; the leader if none is there
};

/// What a machine wants done. Everything but Reply and Send from kNearest is done by one server: of
/// a command, the leader of the term that the command was written in. So it is done once at most,
/// and never when a log is read again; what a leader that fell left undone is for the next one's
/// RoleEvent. Copied, and done after the call.
class Effects final {
 public:
  /// The answer to the command at that place in the span of Apply. Of two the last counts. Only the
  /// server that took the command has somebody to tell it to.
  void Reply(std::size_t command, std::string_view answer);
  /// Whether anybody waits for it here; an answer that is dear to make can be left out else.
  bool wants_reply(std::size_t command) const noexcept;

  /// A command of the machine's own, behind what is in the log. Nobody hears whether it came there.
  void Append(Bytes command);
  /// To a client (Client::address), as one of Client::Messages. Lost if that is gone.
  void Send(std::string_view address, Bytes message, Sender sender = Sender::kLeader);
  /// A TimerEvent of that name after `ms` milliseconds. A name has one timer: the last. They go
  /// with the leadership, as monitors do.
  void SetTimer(std::string_view name, std::uint64_t ms);
  /// The same at that time of the leader's clock; at once if it is past.
  void SetTimerAt(std::string_view name, std::int64_t unix_ms);
  void CancelTimer(std::string_view name);
  /// A NodeEvent now, and whenever that node comes or goes.
  void Monitor(std::string_view node);
  void Demonitor(std::string_view node);
  /// An AuxEvent of this server's machine.
  void Aux(Bytes message);
  /// In the thread of the call, right behind it; what it throws stops the server.
  void Call(std::function<void()> call);

  class Sink;
  explicit Effects(Sink& sink) noexcept : sink_(sink) {}
  Effects(const Effects&) = delete;
  Effects& operator=(const Effects&) = delete;

 private:
  Sink& sink_;
};

/// This server's role. kLeader comes once all that the leaders before it wrote is applied here: the
/// time to set timers and monitors again, and to repeat what may be undone.
struct RoleEvent {
  ServerRole role = ServerRole::kFollower;
  Term term = 0;
};
/// The leader's, every MachineType::tick.
struct TickEvent {
  std::int64_t unix_ms = 0;
};
struct TimerEvent {
  std::string name;
};
/// Of a node that is monitored.
struct NodeEvent {
  std::string node;
  bool up = false;
};
/// The members that the log here ends with; it may change once more.
struct MembersEvent {
  std::vector<std::string> nodes;
};
/// Of Effects::Aux, or System::Aux, which gets the answer.
struct AuxEvent {
  Bytes message;
  std::string* answer = nullptr;
};
/// The server stops, in order. Nothing is called after it.
struct StoppingEvent {};
using MachineEvent = std::variant<RoleEvent, TickEvent, TimerEvent, NodeEvent, MembersEvent,
                                  AuxEvent, StoppingEvent>;

struct MachineInit {
  std::string cluster;
  std::string uid;     // of this member
  std::string node;    // that it is on
  std::string config;  // what the cluster was started with
};

/// Calls never overlap, but for Validate. What it throws stops this server only, with the reason in
/// its status. So does a call that does not return within machine_timeout; until then, and whatever
/// becomes of it, only this server waits. Make, Init and Validate have to return at once.
class Machine {
 public:
  virtual ~Machine() = default;
  /// Before anything else. An error: the server does not start.
  virtual Status Init(const MachineInit&) { return {}; }
  /// Before a command is replicated, on any thread: an error goes to who sent it, and nothing else
  /// happens.
  virtual Status Validate(Bytes) const { return {}; }
  /// Commands that are committed, in the order of the log. Deterministic: the same commands make
  /// the same state and the same answers everywhere.
  virtual void Apply(std::span<const Command> commands, Effects& effects) = 0;
  /// A question that changes nothing. An error goes to who asked.
  virtual Status Query(Bytes query, std::string& answer) const = 0;
  /// What happens to this server. It comes to some members and not to others, so it must not
  /// change what Apply and Query depend on: what all have to know is a command (Effects::Append).
  virtual void On(const MachineEvent&, Effects&) {}
};

/// What an observer is shown of a server. Borrowed, as all that its calls are given.
struct Observed {
  std::string_view cluster;
  std::string_view node;
  Term term = 0;
  const Machine& machine;  // as it is by then
};

/// Looks on while servers work, for audits, caches and metrics; SystemOptions::observer. It is no
/// part of what is replicated: what it throws changes nothing, and is counted
/// (KeyMetrics::observer_failures). Called in the threads of servers, for several at once; so it is
/// short, and waits for no call of its System.
///
/// All but OnRestored come from the leader of `term`, between its OnElected and the end of its
/// leadership, and of all members' observers to one alone: once at most, as effects are done, and
/// never when a log is read again. What a leader that fell left untold is in the machine that the
/// next one's OnElected shows.
class Observer {
 public:
  virtual ~Observer() = default;
  /// Committed, and applied. An answer is empty where the machine made none
  /// (Effects::wants_reply). One that was sent again in its session is told once.
  virtual void OnCommitted(const Observed&, std::span<const Command> commands,
                           std::span<const std::string_view> answers) {
    (void)commands, (void)answers;
  }
  /// Of any consistency, if the leader answered it.
  virtual void OnAnswered(const Observed&, Bytes query, std::string_view answer) {
    (void)query, (void)answer;
  }
  /// The change is committed. Who is new may have no vote yet.
  virtual void OnMemberAdded(const Observed&, std::string_view node) { (void)node; }
  virtual void OnMemberRemoved(const Observed&, std::string_view node) { (void)node; }
  /// It has applied all that leaders before it wrote.
  virtual void OnElected(const Observed&) {}
  /// A server was started from a log that has entries, of which the first `applied` are known to be
  /// committed and are in the machine. On any member.
  virtual void OnRestored(const Observed&, Index applied) { (void)applied; }
};

/// What a system knows how to make; clusters name it.
struct MachineType {
  std::string name;  // as a cluster's log keeps it: stable over releases
  std::function<std::unique_ptr<Machine>()> make;
  /// The newest that it can be: it is every older one, too. A leader raises a cluster's version
  /// once all members know it; a member that does not keeps the log, and applies no further.
  std::uint32_t version = 0;
  std::uint64_t tick = 0;  // milliseconds from one TickEvent to the next; 0: none
};

}  // namespace v1
}  // namespace duramen
