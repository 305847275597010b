#include "server/hosted_machine.h"

#include <algorithm>
#include <exception>

#include "base/bytes.h"
#include "base/planted.h"
#include "base/try.h"
#include "server/parcel.h"

namespace duramen {
inline namespace v1 {

/// Of one call of a machine.
class Effects::Sink {
 public:
  std::span<server::HostedMachine::Due> due;
  std::vector<server::Wish>& wishes;
  std::vector<std::function<void()>>& calls;
  std::string_view node;  // the server's
  /// Null: of an event, which this server alone has.
  const server::ApplyContext* context = nullptr;

  bool acts() const {
    return context == nullptr || context->leads || Planted(PlantedBug::kFollowerActs);
  }
  template <typename What>
  void Add(What what) {
    if (acts()) wishes.push_back({std::move(what)});
  }
};

void Effects::Reply(std::size_t command, std::string_view answer) {
  if (command < sink_.due.size()) sink_.due[command].answer->answer = answer;
}

bool Effects::wants_reply(std::size_t command) const noexcept {
  return command < sink_.due.size() && sink_.due[command].wanted;
}

void Effects::Append(Bytes command) {
  sink_.Add(server::Wish::Append{server::EncodeCommand({.payload = command})});
}

/// Of a command each member knows who is nearest: the members of that place in the log are the same
/// to all.
void Effects::Send(std::string_view address, Bytes message, Sender sender) {
  if (sender == Sender::kNearest && sink_.context != nullptr) {
    const std::string_view node = server::NodeOf(address);
    const auto& members = sink_.context->members->members;
    const bool near = std::ranges::find(members, node, &core::Member::node) != members.end();
    if (near && node != sink_.node) return;
    if (near && !sink_.context->fresh) return;
    if (!near && !sink_.acts()) return;
  } else if (!sink_.acts()) {
    return;
  }
  sink_.wishes.push_back(
      {server::Wish::Send{std::string(address), std::string(AsText(message))}});
}

void Effects::SetTimer(std::string_view name, std::uint64_t ms) {
  sink_.Add(server::Wish::Timer{.name = std::string(name), .ms = ms});
}

void Effects::SetTimerAt(std::string_view name, std::int64_t unix_ms) {
  sink_.Add(server::Wish::Timer{.name = std::string(name), .unix_ms = unix_ms});
}

void Effects::CancelTimer(std::string_view name) {
  sink_.Add(server::Wish::Timer{.name = std::string(name)});
}

void Effects::Monitor(std::string_view node) {
  sink_.Add(server::Wish::Monitor{std::string(node), true});
}

void Effects::Demonitor(std::string_view node) {
  sink_.Add(server::Wish::Monitor{std::string(node), false});
}

void Effects::Aux(Bytes message) {
  sink_.Add(server::Wish::Aux{{message.begin(), message.end()}});
}

void Effects::Call(std::function<void()> call) {
  if (sink_.acts() && call) sink_.calls.push_back(std::move(call));
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

Result<std::unique_ptr<HostedMachine>> HostedMachine::Make(const MachineType& type,
                                                           std::string node) {
  std::unique_ptr<Machine> machine;
  TRY(Guarded("make", [&] {
    machine = type.make();
    return Status();
  }));
  if (machine != nullptr) {
    auto hosted = std::make_unique<HostedMachine>(std::move(machine), std::move(node));
    hosted->tick_ = type.tick;
    return hosted;
  }
  return Error{ErrorCode::kMachineFailed, "no machine '" + type.name + "' was made",
               "its MachineType::make returns null"};
}

Status HostedMachine::Init(const MachineInit& init) {
  return Guarded("Init", [&] { return machine_->Init(init); });
}

/// Commands that are applied together, or one by one, give the same: a start has others together
/// than the life before.
void HostedMachine::Apply(const ApplyContext& context, std::span<const Committed> commands,
                          std::span<Applied> answers) {
  context_ = context;
  if (observation_ && context.leads)
    observation_->Lead(*machine_, commands.front().at.term, *context.members);
  for (std::size_t at = 0; at < commands.size() && !failed_; ++at) {
    const Committed& one = commands[at];
    const Result<CommandFrame> frame = DecodeCommand(one.command);
    if (!frame.ok()) {
      failed_ = frame.error();
      failed_->message += ", at index " + std::to_string(one.at.index);
      return;
    }
    if (deleted_) {
      answers[at].error = Error{ErrorCode::kNotFound, "the cluster was deleted before it", ""};
      continue;
    }
    if (frame->kind == CommandKind::kDeletes) {
      ApplyDue();
      deleted_ = true;
      continue;
    }
    if (frame->kind == CommandKind::kOpensSession) {
      answers[at].answer = std::to_string(one.at.index);
      continue;
    }
    if (frame->kind == CommandKind::kReads) {
      Read(one, frame->payload, answers[at]);
      continue;
    }
    const bool in_session = frame->kind == CommandKind::kInSession;
    if (in_session && !IsNew(frame->mark, one.at.index, answers[at])) continue;
    due_.push_back({.answer = &answers[at],
                    .wanted = in_session || one.answered,  // A retry has it from the session.
                    .mark = in_session ? frame->mark : SessionMark{}});
    commands_.push_back({.meta = {.index = one.at.index,
                                  .term = one.at.term,
                                  .leader_unix_ms = frame->unix_ms,
                                  .machine_version = context.machine_version},
                         .payload = frame->payload});
  }
  ApplyDue();
}

/// Else `answer` says what became of it before, or that nobody knows.
bool HostedMachine::IsNew(const SessionMark& mark, Index index, Applied& answer) {
  if (due_marks_.contains({mark.client, mark.sequence})) ApplyDue();
  if (mark.client >= index) {  // The cluster has given nobody that number.
    answer.expired = true;
    return false;
  }
  SessionTable::Finding finding = sessions_.Find(mark, index);
  answer.answer = std::move(finding.answer);
  answer.expired = finding.standing == SessionTable::Standing::kExpired;
  if (finding.standing != SessionTable::Standing::kNew) return false;
  sessions_.Record(mark, "");
  due_marks_.insert({mark.client, mark.sequence});
  return true;
}

/// RD6: at its place in the log, for who asked; to all others it is nothing.
void HostedMachine::Read(const Committed& one, Bytes query, Applied& answer) {
  if (!one.answered) return;
  ApplyDue();
  Result<std::string> asked = Query(query);
  if (asked.ok()) {
    answer.answer = std::move(*asked);
  } else {
    answer.error = asked.error();
  }
}

void HostedMachine::On(const MachineEvent& event) {
  if (failed_) return;
  Effects::Sink sink{.due = {}, .wishes = wishes_, .calls = calls_, .node = node_};
  const Status told = Guarded("On", [&] {
    Effects effects(sink);
    machine_->On(event, effects);
    return Status();
  });
  if (!told.ok()) failed_ = told.error();
  if (!calls_.empty()) RunCalls();
}

/// What it asked to be called behind the call.
void HostedMachine::RunCalls() {
  for (const std::function<void()>& call : std::exchange(calls_, {})) {
    if (failed_) return;
    const Status called = Guarded("Effects::Call", [&] {
      call();
      return Status();
    });
    if (!called.ok()) failed_ = called.error();
  }
}

void HostedMachine::ApplyDue() {
  if (!due_.empty() && !failed_) {
    Effects::Sink sink{.due = due_, .wishes = wishes_, .calls = calls_, .node = node_,
                       .context = &context_};
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
    } else if (observation_ && context_.leads) {
      TellCommitted();
    }
    if (!calls_.empty()) RunCalls();
  }
  for (const Due& due : due_) {
    if (due.mark.client != 0) sessions_.Amend(due.mark, due.answer->answer);
  }
  due_.clear();
  due_marks_.clear();
  commands_.clear();
}

void HostedMachine::TellCommitted() {
  std::vector<std::string_view> answers;
  for (const Due& due : due_) answers.push_back(due.answer->answer);
  observation_->Committed(*machine_, commands_, answers);
}

Result<std::string> HostedMachine::Query(Bytes query) {
  if (failed_) return *failed_;
  std::string answer;
  const Status asked = Guarded("Query", [&] { return machine_->Query(query, answer); });
  if (!asked.ok()) return asked.error();
  if (observation_) observation_->Answered(*machine_, query, answer);
  return answer;
}

Status HostedMachine::Validate(Bytes command) const {
  return Guarded("Validate", [&] { return machine_->Validate(command); });
}

}  // namespace server
}  // namespace duramen
