#include "server/hosted_machine.h"

#include <exception>

#include "base/bytes.h"
#include "base/try.h"

namespace duramen {
inline namespace v1 {

/// Of one call of Apply.
class Effects::Sink {
 public:
  std::span<server::HostedMachine::Due> due;
};

void Effects::Reply(std::size_t command, std::string_view answer) {
  if (command < sink_.due.size()) sink_.due[command].answer->answer = answer;
}

bool Effects::wants_reply(std::size_t command) const noexcept {
  return command < sink_.due.size() && sink_.due[command].wanted;
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

Result<std::unique_ptr<HostedMachine>> HostedMachine::Make(const MachineType& type) {
  std::unique_ptr<Machine> machine;
  TRY(Guarded("make", [&] {
    machine = type.make();
    return Status();
  }));
  if (machine != nullptr) return std::make_unique<HostedMachine>(std::move(machine));
  return Error{ErrorCode::kMachineFailed, "no machine '" + type.name + "' was made",
               "its MachineType::make returns null"};
}

Status HostedMachine::Init(const MachineInit& init) {
  return Guarded("Init", [&] { return machine_->Init(init); });
}

/// Commands that are applied together, or one by one, give the same: a start has others together
/// than the life before.
void HostedMachine::Apply(std::span<const Committed> commands, std::span<Applied> answers) {
  for (std::size_t at = 0; at < commands.size() && !failed_; ++at) {
    const Committed& one = commands[at];
    const Result<CommandFrame> frame = DecodeCommand(one.command);
    if (!frame.ok()) {
      failed_ = frame.error();
      failed_->message += ", at index " + std::to_string(one.at.index);
      return;
    }
    if (frame->kind == CommandKind::kOpensSession) {
      answers[at].answer = std::to_string(one.at.index);
      continue;
    }
    const bool in_session = frame->kind == CommandKind::kInSession;
    if (in_session && !IsNew(frame->mark, one.at.index, answers[at])) continue;
    due_.push_back({.answer = &answers[at],
                    .wanted = in_session || one.answered,  // A retry has it from the session.
                    .mark = in_session ? frame->mark : SessionMark{}});
    commands_.push_back({.meta = {.index = one.at.index,
                                  .term = one.at.term,
                                  .leader_unix_ms = frame->unix_ms},
                         .payload = frame->payload});
  }
  ApplyDue();
}

/// Else `answer` says what became of it before, or that nobody knows.
bool HostedMachine::IsNew(const SessionMark& mark, Index index, Applied& answer) {
  if (due_marks_.contains({mark.client, mark.sequence})) ApplyDue();
  SessionTable::Finding finding = sessions_.Find(mark, index);
  answer.answer = std::move(finding.answer);
  answer.expired = finding.standing == SessionTable::Standing::kExpired;
  if (finding.standing != SessionTable::Standing::kNew) return false;
  sessions_.Record(mark, "");
  due_marks_.insert({mark.client, mark.sequence});
  return true;
}

void HostedMachine::ApplyDue() {
  if (!due_.empty() && !failed_) {
    Effects::Sink sink{.due = due_};
    const Status applied = Guarded("Apply", [&] {
      Effects effects(sink);
      machine_->Apply(commands_, effects);
      return Status();
    });
    if (!applied.ok()) {
      failed_ = applied.error();
      failed_->message += ", at index " + std::to_string(commands_.front().meta.index);
      if (commands_.size() > 1)
        failed_->message += " to " + std::to_string(commands_.back().meta.index);
    }
  }
  for (const Due& due : due_) {
    if (due.mark.client != 0) sessions_.Amend(due.mark, due.answer->answer);
  }
  due_.clear();
  due_marks_.clear();
  commands_.clear();
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
