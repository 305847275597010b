#include "tests/explorer/session.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace duramen::explorer {
namespace {}  // namespace

Session::Session(const sim::DiskState& disk, sim::SiteTable& sites, Admissible before,
                 const SessionOptions& options)
    : options_(options),
      workload_(WorkloadOf(options.workload)),
      rng_(options.seed),
      machine_(std::make_unique<sim::SimFileSystem>(disk, sites)),
      before_(std::move(before)) {
  for (const sim::Fault& fault : options.faults) machine_->Schedule(fault);
}

Session::~Session() { End(); }

void Session::Fail(const std::string& what) {
  if (!failure_.empty()) return;
  failure_ = what + " (" + subject_->StateText() + ")";
}

std::string Session::Open() {
  machine_->Observe(this);
  subject_ = std::make_unique<Subject>(*machine_, options_.seed ^ 0x73746F7265ULL, options_.sizes);
  const Status opened = subject_->Open();
  if (!opened.ok()) {
    if (machine_->faults_fired() > 0) return "";  // an open that met a fault may say so
    return "the store does not open: " + opened.error().message;
  }
  std::size_t logs = 0;
  for (const AdmissibleWriter& writer : before_) {
    for (const LogNumber log : writer.logs) logs = std::max<std::size_t>(logs, log + 1);
  }
  const Observation observed = Observe(subject_->store(), logs);
  std::string verdict = Judge(observed, before_);
  if (!verdict.empty()) return verdict;
  TakeBaseline(observed);
  opened_at_ = machine_->trace().size();
  running_ = true;
  return OpenExisting();
}

void Session::TakeBaseline(const Observation& observed) {
  std::vector<std::uint32_t> owner(observed.logs.size());
  for (LogNumber log = 0; log < owner.size(); ++log) owner[log] = log % workload_.writers;
  if (workload_.sharded) {
    // One that is there stays in its shard; another may come again in whichever.
    for (LogNumber log = 0; log < owner.size(); ++log) {
      const auto turn = static_cast<std::uint32_t>(options_.seed + log);
      owner[log] = turn % workload_.writers;
      const Result<std::uint32_t> shard = subject_->store().ShardOf(LogName(log));
      while (shard.ok() && ShardOfWriter(owner[log]) != *shard) {
        owner[log] = (owner[log] + 1) % workload_.writers;
      }
    }
  }
  history_ = std::make_unique<History>(observed.logs, std::move(owner), workload_.writers);
  logs_.resize(observed.logs.size());
  last_ticket_.assign(workload_.writers, 0);
  for (LogNumber log = 0; log < logs_.size(); ++log) {
    logs_[log].entry_steps.assign(observed.logs[log].entries.size(), 0);
  }
}

std::string Session::OpenExisting() {
  const Status made = subject_->MakeWriters(workload_.writers);
  if (!made.ok()) return "no writer: " + made.error().message;
  for (LogNumber log = 0; log < logs_.size(); ++log) {
    if (!StateOf(log).exists) continue;
    Writer& writer = subject_->writers()[history_->owner(log)];
    const Result<LogRef> ref = subject_->store().OpenLog(writer, LogName(log), OpenMode::kOpen);
    if (!ref.ok()) return LogName(log) + " does not open: " + ref.error().message;
    logs_[log].ref = *ref;
    logs_[log].open = true;
  }
  return "";
}

std::uint64_t Session::Moment() {
  if (!running_) return moments_.size();
  Progress progress;
  const std::size_t writers = history_->writers();
  for (std::uint32_t writer = 0; writer < writers; ++writer) {
    const Ticket durable = subject_->writers()[writer].durable();
    progress.acknowledged.push_back(history_->AcknowledgedSteps(writer, durable));
    progress.submitted.push_back(static_cast<std::uint32_t>(history_->steps(writer).size()));
  }
  for (LogNumber log = 0; log < logs_.size(); ++log) {
    if (!logs_[log].open) continue;
    const Result<Bounds> bounds = subject_->store().BoundsOf(logs_[log].ref);
    if (!bounds.ok() || bounds->written_end <= bounds->begin) continue;
    const std::size_t below = bounds->written_end - bounds->begin;
    const std::vector<std::uint32_t>& steps = logs_[log].entry_steps;
    if (below > steps.size() || bounds->begin != StateOf(log).begin) continue;
    std::uint32_t& acknowledged = progress.acknowledged[history_->owner(log)];
    acknowledged = std::max(acknowledged, steps[below - 1]);
  }
  if (!moments_.empty()) {
    const Progress& last = moments_.back();
    for (std::uint32_t writer = 0; writer < writers; ++writer) {
      progress.acknowledged[writer] =
          std::max(progress.acknowledged[writer], last.acknowledged[writer]);
    }
    if (progress == last) return moments_.size();
  }
  moments_.push_back(std::move(progress));
  return moments_.size();
}

/// No log says that an entry is durable which its Writer's order has not reached.
void Session::CheckWatermarks() {
  for (Writer& writer : subject_->writers()) (void)writer.Poll();
  for (LogNumber log = 0; log < logs_.size(); ++log) {
    if (!logs_[log].open) continue;
    const Result<Bounds> bounds = subject_->store().BoundsOf(logs_[log].ref);
    if (!bounds.ok() || bounds->written_end <= bounds->begin) continue;
    const std::uint32_t step = logs_[log].entry_steps.at(bounds->written_end - bounds->begin - 1);
    if (step == 0) continue;
    const std::uint32_t owner = history_->owner(log);
    const Ticket ticket = history_->steps(owner)[step - 1].ticket;
    const Ticket durable = subject_->writers()[owner].durable();
    // A crash may cut inside a call, so part of a call may be written before its ticket is.
    if (ticket <= durable || ticket == kTicketUnknown ||
        history_->AcknowledgedSteps(owner, ticket - 1) <=
            history_->AcknowledgedSteps(owner, durable)) {
      continue;
    }
    Fail(LogName(log) + " says that all below " + std::to_string(bounds->written_end) +
         " is written, which its Writer's durable position has not reached");
  }
}

std::uint64_t Session::final_moment() {
  const bool was_up = running_ && subject_ != nullptr;
  return was_up ? Moment() : moments_.size();
}

const Admissible& Session::AdmissibleAt(std::uint64_t moment) {
  if (moment == 0) return before_;
  if (moment != admissible_moment_) {
    admissible_ = history_->AdmissibleAt(moments_[moment - 1]);
    admissible_moment_ = moment;
  }
  return admissible_;
}

std::string Session::Run(std::uint32_t actions) {
  if (!running_) return failure_;
  while (history_->now().size() < workload_.writers * workload_.logs_per_writer && !down_ &&
         failure_.empty()) {
    DoCreate(static_cast<std::uint32_t>(history_->now().size() % workload_.writers));
  }
  for (std::uint32_t i = 0; i < actions && !down_ && failure_.empty(); ++i) {
    if (options_.sizes.methods_change && rng_.OneIn(10)) ChangeMethod();
    if (options_.sizes.methods_change && rng_.OneIn(40) && !workload_.sharded) PassThroughNone();
    Act(DrawAction());
    CheckWatermarks();
  }
  if (workload_.sharded && options_.seed % 2 == 0) DrainLastShard();
  return failure_;
}

std::string Session::Close() {
  if (!running_ || down_ || !failure_.empty()) return failure_;
  for (std::uint32_t writer = 0; writer < history_->writers(); ++writer) DoWait(writer);
  Moment();
  rolls_ = subject_->Metric("roll");
  running_ = false;
  subject_->writers().clear();
  const Status closed = subject_->store().Close(subject_->DeadlineIn(kPatienceNs));
  if (!closed.ok() && machine_->faults_fired() == 0) Fail("close: " + closed.error().message);
  return failure_;
}

void Session::End() {
  if (subject_ == nullptr) return;
  if (running_) {
    Moment();
    rolls_ = subject_->Metric("roll");
  }
  running_ = false;
  machine_->Observe(nullptr);
  subject_.reset();
}

/// While anything may be in flight (W21).
void Session::ChangeMethod() {
  static constexpr SyncMethod kMethods[] = {SyncMethod::kDatasync, SyncMethod::kDsync,
                                            SyncMethod::kFsync};
  const Status changed = subject_->store().SetSyncMethod(kMethods[rng_.Below(std::size(kMethods))]);
  if (!changed.ok() && machine_->faults_fired() == 0) {
    Fail("the sync method cannot be changed: " + changed.error().message);
  }
}

/// What is acknowledged under `none` may go with the power, so nothing is: all that was accepted is
/// durable before, and nothing is accepted until the method is another again.
void Session::PassThroughNone() {
  for (std::uint32_t writer = 0; writer < history_->writers() && !down_; ++writer) DoWait(writer);
  constexpr int kStepsMax = 4000;
  for (const SyncMethod method : {SyncMethod::kNone, SyncMethod::kDatasync}) {
    if (down_ || !failure_.empty()) return;
    (void)subject_->store().SetSyncMethod(method);  // May meet a fault.
    for (int step = 0; step < kStepsMax; ++step) {
      if (subject_->Metric("wal_sync_method") == static_cast<std::uint64_t>(method)) break;
      if (!subject_->executor().RunOne() && !subject_->executor().AdvanceToNextTimer()) break;
    }
  }
  // A WAL that cannot roll stays as it was; nothing may be acknowledged by `none` then.
  down_ =
      down_ || subject_->Metric("wal_sync_method") == static_cast<std::uint64_t>(SyncMethod::kNone);
}

Action Session::DrawAction() {
  std::uint64_t total = 0;
  for (const std::uint8_t weight : workload_.weights) total += weight;
  std::uint64_t draw = rng_.Below(total);
  std::size_t action = 0;
  while (draw >= workload_.weights[action]) draw -= workload_.weights[action++];
  return static_cast<Action>(action);
}

LogNumber Session::DrawLog(std::uint32_t writer) {
  std::vector<LogNumber> candidates;
  for (LogNumber log = 0; log < logs_.size(); ++log) {
    if (logs_[log].open && history_->owner(log) == writer) candidates.push_back(log);
  }
  return candidates.empty() ? UINT32_MAX : candidates[rng_.Below(candidates.size())];
}

}  // namespace duramen::explorer
