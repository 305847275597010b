#include "server/hosted_machine.h"

#include <exception>

#include "base/bytes.h"

namespace duramen {
inline namespace v1 {

/// Of one call of Apply.
class Effects::Sink {
 public:
  std::span<const server::Committed> commands;
  std::span<std::string> answers;
};

void Effects::Reply(std::size_t command, std::string_view answer) {
  if (command < sink_.answers.size()) sink_.answers[command] = answer;
}

bool Effects::wants_reply(std::size_t command) const noexcept {
  return command < sink_.commands.size() && sink_.commands[command].answered;
}

}  // namespace v1

namespace server {
namespace {

/// Runs `call`; what it throws is an error.
template <typename Call>
Status Guarded(const char* what, Call call) {
  std::string reason = "something that is no std::exception";
  try {
    return call();
  } catch (const std::exception& thrown) {
    reason = thrown.what();
  } catch (...) {
  }
  return Error{ErrorCode::kMachineFailed,
               std::string("the machine threw in ") + what + ": " + reason,
               "mend the machine and restart its servers"};
}

}  // namespace

std::vector<std::byte> FrameCommand(Bytes payload) {
  std::vector<std::byte> command;
  command.reserve(kCommandHeaderBytes + payload.size());
  command.resize(kCommandHeaderBytes);
  command.insert(command.end(), payload.begin(), payload.end());
  return command;
}

void StampCommand(std::span<std::byte> command, std::int64_t unix_ms) {
  StoreLe(command.data(), static_cast<std::uint64_t>(unix_ms));
}

Bytes PayloadOf(Bytes command) { return command.subspan(kCommandHeaderBytes); }

Status HostedMachine::Init(const MachineInit& init) {
  return Guarded("Init", [&] { return machine_->Init(init); });
}

void HostedMachine::Apply(std::span<const Committed> commands, std::span<std::string> answers) {
  if (failed_) return;
  commands_.clear();
  for (const Committed& one : commands) {
    if (one.command.size() < kCommandHeaderBytes) {
      failed_ = Error{ErrorCode::kCorruption,
                      "the command at index " + std::to_string(one.at.index) + " has no header",
                      "it was written by something else"};
      return;
    }
    const auto unix_ms = LoadLe<std::uint64_t>(one.command.data());
    commands_.push_back({.meta = {.index = one.at.index,
                                  .term = one.at.term,
                                  .leader_unix_ms = static_cast<std::int64_t>(unix_ms)},
                         .payload = PayloadOf(one.command)});
  }
  Effects::Sink sink{.commands = commands, .answers = answers};
  const Status applied = Guarded("Apply", [&] {
    Effects effects(sink);
    machine_->Apply(commands_, effects);
    return Status();
  });
  if (applied.ok()) return;
  failed_ = applied.error();
  failed_->message += ", at index " + std::to_string(commands.front().at.index);
  if (commands.size() > 1)
    failed_->message += " to " + std::to_string(commands.back().at.index);
}

Result<std::string> HostedMachine::Query(Bytes query) {
  if (failed_) return *failed_;
  std::string answer;
  const Status asked = Guarded("Query", [&] { return machine_->Query(query, answer); });
  if (!asked.ok()) return asked.error();
  return answer;
}

Status HostedMachine::Validate(Bytes command) const {
  return Guarded("Validate", [&] { return machine_->Validate(command); });
}

}  // namespace server
}  // namespace duramen
