// A user's machine in the hands of a server: what it throws, and what it answers, stay there.
//
// One thread, its server's. What stays true: once it has failed it is not called again, and nothing
// that it did not answer counts as answered.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "duramen/machine.h"
#include "server/replica.h"

namespace duramen::server {

/// A command as it stands in the log: unix_ms i64 | payload.
inline constexpr std::size_t kCommandHeaderBytes = sizeof(std::int64_t);
/// Not stamped yet.
std::vector<std::byte> FrameCommand(Bytes payload);
/// When its leader took it.
void StampCommand(std::span<std::byte> command, std::int64_t unix_ms);
Bytes PayloadOf(Bytes command);

class HostedMachine final : public StateMachine {
 public:
  explicit HostedMachine(std::unique_ptr<Machine> machine) : machine_(std::move(machine)) {}

  /// Errors: its own; kMachineFailed: it threw.
  Status Init(const MachineInit& init);
  void Apply(std::span<const Committed> commands, std::span<std::string> answers) override;
  Result<std::string> Query(Bytes query);
  /// On any thread.
  Status Validate(Bytes command) const;
  const std::optional<Error>& failed() const { return failed_; }

 private:
  std::unique_ptr<Machine> machine_;
  std::optional<Error> failed_;
  std::vector<Command> commands_;  // of one call
};

}  // namespace duramen::server
