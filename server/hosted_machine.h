// A user's machine in the hands of a server: what it throws, and what it answers, stay there.
//
// One thread, its server's. What stays true: once it has failed it is not called again, and nothing
// that it did not answer counts as answered.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "duramen/machine.h"
#include "server/command.h"
#include "server/replica.h"

namespace duramen::server {

class HostedMachine final : public StateMachine {
 public:
  explicit HostedMachine(std::unique_ptr<Machine> machine) : machine_(std::move(machine)) {}

  /// Errors: kMachineFailed: making it threw, or gave nothing.
  static Result<std::unique_ptr<HostedMachine>> Make(const MachineType& type);
  /// Errors: its own; kMachineFailed: it threw.
  Status Init(const MachineInit& init);
  void Apply(std::span<const Committed> commands, std::span<Applied> answers) override;
  Result<std::string> Query(Bytes query);
  /// On any thread.
  Status Validate(Bytes command) const;
  const std::optional<Error>& failed() const { return failed_; }

  /// A command that the next call of the machine is given.
  struct Due {
    Applied* answer = nullptr;
    bool wanted = false;
    SessionMark mark;  // client 0: of no session
  };

 private:
  bool IsNew(const SessionMark& mark, Index index, Applied& answer);
  void ApplyDue();

  std::unique_ptr<Machine> machine_;
  std::optional<Error> failed_;
  SessionTable sessions_;
  std::vector<Due> due_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> due_marks_;
  std::vector<Command> commands_;  // those of due_
};

}  // namespace duramen::server
