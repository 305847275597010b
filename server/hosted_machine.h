// A user's machine in the hands of a server: what it throws, and what it answers, stay there.
//
// One thread, its server's. What stays true: once it has failed it is not called again, and nothing
// that it did not answer counts as answered.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "duramen/machine.h"
#include "server/command.h"
#include "server/observation.h"
#include "server/replica.h"

namespace duramen::server {

/// What a machine wants done, in the order in which it asked.
struct Wish {
  struct Append {
    std::vector<std::byte> command;
  };
  struct Send {
    std::string address;
    std::string message;
  };
  struct Timer {
    std::string name;
    std::optional<std::uint64_t> ms;       // from now
    std::optional<std::int64_t> unix_ms;   // neither: cancel it
  };
  struct Monitor {
    std::string node;
    bool on = true;
  };
  struct Aux {
    std::vector<std::byte> message;
  };
  std::variant<Append, Send, Timer, Monitor, Aux> what;
};

class HostedMachine final : public StateMachine {
 public:
  /// Of a server on that node.
  HostedMachine(std::unique_ptr<Machine> machine, std::string node)
      : machine_(std::move(machine)), node_(std::move(node)) {}

  /// Errors: kMachineFailed: making it threw, or gave nothing.
  static Result<std::unique_ptr<HostedMachine>> Make(const MachineType& type, std::string node);
  /// Errors: its own; kMachineFailed: it threw.
  Status Init(const MachineInit& init);
  void Apply(const ApplyContext& context, std::span<const Committed> commands,
             std::span<Applied> answers) override;
  void On(const MachineEvent& event);
  Result<std::string> Query(Bytes query);
  bool has_wishes() const { return !wishes_.empty(); }
  std::vector<Wish> TakeWishes() { return std::exchange(wishes_, {}); }
  /// From here on; before Init.
  void Watch(std::shared_ptr<Observer> observer, const MachineInit& init) {
    observation_ = std::make_unique<Observation>(std::move(observer), init);
  }
  /// After each step of its server.
  void Observe(const Replica& replica) {
    if (observation_) observation_->After(*machine_, replica);
  }
  std::uint64_t observer_failures() const { return observation_ ? observation_->failures() : 0; }
  /// Milliseconds from tick to tick; 0: none.
  std::uint64_t tick() const { return tick_; }
  /// On any thread.
  Status Validate(Bytes command) const;
  const std::optional<Error>& failed() const { return failed_; }
  /// Whether a committed command has ended the cluster; nothing is applied behind it.
  bool deleted() const { return deleted_; }

  /// A command that the next call of the machine is given.
  struct Due {
    Applied* answer = nullptr;
    bool wanted = false;
    SessionMark mark;  // client 0: of no session
  };

 private:
  bool IsNew(const SessionMark& mark, Index index, Applied& answer);
  void Read(const Committed& one, Bytes query, Applied& answer);
  void ApplyDue();
  void RunCalls();
  void TellCommitted();

  std::unique_ptr<Machine> machine_;
  std::string node_;
  std::uint64_t tick_ = 0;
  std::unique_ptr<Observation> observation_;  // null: nobody looks on
  ApplyContext context_;  // of the call of Apply under way
  std::vector<Wish> wishes_;
  std::vector<std::function<void()>> calls_;  // of the call under way
  std::optional<Error> failed_;
  bool deleted_ = false;
  SessionTable sessions_;
  std::vector<Due> due_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> due_marks_;
  std::vector<Command> commands_;  // those of due_
};

}  // namespace duramen::server
