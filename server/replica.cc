#include "server/replica.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/planted.h"
#include "base/try.h"

namespace duramen::server {
namespace {

constexpr std::string_view kBirthKey = "birth";
constexpr std::size_t kReadBytes = 1u << 20;
constexpr Index kAppliedStep = 64;
constexpr std::size_t kGroupEntriesMax = 128;
constexpr std::size_t kGroupBytesMax = 1u << 20;

Result<ServerUid> UidOf(const LogStore& store, LogRef log) {
  const LogInfo info = TRY(store.InfoOf(log));
  if (Planted(PlantedBug::kWipedMemberVotes)) {
    const std::string stem = info.name.substr(0, info.name.rfind('-'));
    ServerUid uid;
    StoreLe(reinterpret_cast<std::byte*>(uid.bytes.data()), Checksum(AsBytes(stem), 1));
    return uid;
  }
  return Uid128::Parse(info.uid);
}

/// Says that the entry is gone, whatever is tried.
bool IsLost(ErrorCode code) {
  return code == ErrorCode::kFaulty || code == ErrorCode::kCorruption ||
         code == ErrorCode::kNotFound;
}

/// As the core counts: half-open.
std::optional<core::Fault> InCore(const LogFault& fault) {
  if (fault.from == 0) return std::nullopt;
  return core::Fault{.from = fault.from, .to = fault.to == 0 ? 0 : fault.to + 1};
}

bool WaitsForWal(ErrorCode code) {
  return code == ErrorCode::kOverloaded || code == ErrorCode::kDiskFull ||
         code == ErrorCode::kWalDown;
}

}  // namespace

Result<ServerUid> Replica::Register(LogStore& store, Writer& writer, const std::string& name) {
  const LogRef log = TRY(store.OpenLog(writer, name, OpenMode::kOpenOrCreate));
  return UidOf(store, log);
}

Result<Birth> Replica::BirthOf(const LogStore& store, LogRef log) {
  const std::string row = TRY(store.Get(log, kBirthKey));
  return DecodeBirth(AsBytes(row));
}

Result<Ticket> Replica::Christen(LogStore& store, Writer& writer, const std::string& name,
                                 const Birth& birth) {
  const LogRef log = TRY(store.OpenLog(writer, name, OpenMode::kOpen));
  const std::vector<std::byte> row = EncodeBirth(birth);
  return writer.Put(log, kBirthKey, row, Durability::kSynced);
}

Result<std::unique_ptr<Replica>> Replica::Start(const ReplicaPlace& place,
                                                const ReplicaStart& start) {
  TRY(core::Validate(start.settings));
  const LogRef log = TRY(place.store.OpenLog(place.writer, start.name, OpenMode::kOpen));
  const ServerUid uid = TRY(UidOf(place.store, log));
  auto replica = std::make_unique<Replica>(place, log, uid);
  TRY(replica->Recover(start));
  return replica;
}

Status Replica::Recover(const ReplicaStart& start) {
  const Birth birth = TRY(BirthOf(place_.store, log_));
  const Bounds bounds = TRY(place_.store.BoundsOf(log_));
  const Vote vote = TRY(place_.store.VoteOf(log_));
  fault_ = TRY(place_.store.FaultOf(log_));
  if (fault_.vote_lost) {
    return Error{ErrorCode::kFaulty, "a vote of server '" + start.name + "' may be lost",
                 "replace it by a new incarnation: open the store in mode salvage with its name"};
  }
  core::CoreStart core{
      .cluster = birth.cluster,
      .uid = uid_,
      .boot = start.boot,
      .state = {.term = std::max(vote.term, bounds.term_before_begin)},
      .log = core::TermMap(bounds.begin, bounds.term_before_begin),
      .specials = core::SpecialHistory(
          {.configuration = birth.configuration, .machine_version = birth.machine_version})};
  if (!vote.voted_for.empty()) core.state.voted_for = TRY(Uid128::Parse(vote.voted_for));
  TRY(ReadLog(core));
  core.epoch = bounds.epoch;
  TRY(StateFault(core));
  core.written = std::min(bounds.written_end, core.log.end()) - 1;
  core.commit = std::min<Index>(TRY(place_.store.LastAppliedOf(log_)), core.written);
  // SM8: the machine may be older than that of the life before.
  const auto above = core.specials.FirstAbove(start.settings.machine_version, 0);
  start_end_ = submitted_end_ = bounds.end;
  applied_ = core.applied = bounds.begin - 1;
  apply_end_ = above ? std::min(core.commit + 1, *above) : core.commit + 1;
  replay_end_ = apply_end_;
  core.given = std::max(apply_end_ - 1, core.applied);
  core.seed = start.seed;
  core.now = now_ = start.now;
  core.settings = start.settings;
  told_applied_ = core.commit;
  core_ = std::make_unique<core::Core>(std::move(core));
  ApplyReady();
  return {};
}

/// A3: what is lost is a durable row before anything that hides the damage, and the store takes
/// entries from then on. What stands behind the hole stays until a leader's entries take its place.
Status Replica::StateFault(core::CoreStart& start) {
  start.state.fault = InCore(fault_);
  start.tail_kept = start.log.end() < TRY(place_.store.BoundsOf(log_)).end;
  if (!fault_.faulty()) return {};
  TRY(place_.writer.PutFault(log_, fault_));
  if (!Planted(PlantedBug::kFaultyCounts)) return {};
  TRY(place_.writer.TruncateSuffix(log_, start.log.end()));
  TRY(place_.writer.PutFault(log_, {}));
  start.epoch = TRY(place_.store.BoundsOf(log_)).epoch;
  start.state.fault.reset();
  return {};
}

/// Terms, and the entries that the core must understand; up to the first that is lost. What a
/// repair put in the place of a lost one [C15] is to the core a no-op that raises nothing.
Status Replica::ReadLog(core::CoreStart& start) {
  const Bounds bounds = TRY(place_.store.BoundsOf(log_));
  Index end = bounds.end;
  if (fault_.from != 0) end = std::clamp(fault_.from, bounds.begin, end);
  for (Index next = bounds.begin; next < end;) {
    const Result<Pin> pin = place_.store.Read(log_, next, end, kReadBytes);
    if (!pin.ok() && !IsLost(pin.error().code)) return pin.error();
    if (!pin.ok()) {
      const bool open_end = fault_.from != 0 && fault_.to == 0;
      const Index last = std::max(bounds.end - 1, fault_.to);
      fault_ = {.from = next, .to = open_end ? 0 : last, .reason = pin.error().message};
      break;
    }
    for (const EntryView& entry : pin->entries()) {
      start.log.Append({entry.term, 1});
      if (entry.kind == kNoOpKind) {
        const std::uint32_t version = start.specials.MachineVersionAt(entry.index);
        start.specials.Append({.index = entry.index, .machine_version = version});
      } else if (entry.kind != kCommandKind) {
        start.specials.Append(TRY(DecodeSpecial(entry.index, entry.kind, entry.payload)));
      }
      next = entry.index + 1;
    }
  }
  start.state.term = std::max(start.state.term, start.log.last().term);
  return {};
}

void Replica::Step(core::Microseconds now, core::EventBody body) {
  Run(now, std::move(body), nullptr);
}

void Replica::Deliver(core::Microseconds now, const Envelope& envelope) {
  const auto* append = std::get_if<core::AppendEntries>(&envelope.message.body);
  if (append == nullptr || append->runs.empty()) return Run(now, envelope.message, &envelope);
  if (!core::IsSane(envelope.message) || !Agrees(*append, envelope.payloads)) return;
  std::size_t largest = 0;
  for (const Payload& payload : envelope.payloads)
    largest = std::max(largest, payload.bytes.size());
  if (backlog_bytes_ <= kBacklogBytesMax && !IsTooLarge(largest)) {
    return Run(now, envelope.message, &envelope);
  }
  // No more entries are taken now; the leader sends them again. It is heard all the same, or a disk
  // that is full would cost it its quorum.
  core::AppendEntries heard = *append;
  heard.runs.clear();
  heard.specials.clear();
  core::Message message = envelope.message;
  message.body = std::move(heard);
  Run(now, std::move(message), nullptr);
}

/// The store would refuse it for good, and the core has no way back from an entry that it took.
bool Replica::IsTooLarge(std::size_t command_bytes) const {
  if (command_bytes <= fits_bytes_) return false;
  const Status room = place_.writer.WaitForRoom(log_, 1, command_bytes, Deadline());
  if (room.ok()) fits_bytes_ = command_bytes;
  return !room.ok() && room.error().code == ErrorCode::kTooLarge;
}

void Replica::Propose(core::Microseconds now, std::vector<Proposal> proposals) {
  if (backlog_bytes_ > kBacklogBytesMax) {
    return RefuseAll(proposals, {.answer = core::Answer::kOverloaded});
  }
  std::size_t largest = 0;
  for (const Proposal& proposal : proposals) largest = std::max(largest, proposal.command.size());
  if (IsTooLarge(largest)) {
    const auto fits = [this](const Proposal& one) { return !IsTooLarge(one.command.size()); };
    const auto refused = std::stable_partition(proposals.begin(), proposals.end(), fits);
    RefuseAll({refused, proposals.end()}, {.answer = core::Answer::kInvalid});
    proposals.erase(refused, proposals.end());
    if (proposals.empty()) return;
  }
  proposals_ = std::move(proposals);
  const core::Propose event{.ticket = proposals_.front().ticket, .count = proposals_.size()};
  Run(now, event, nullptr);
  proposals_.clear();
}

void Replica::RefuseAll(std::span<const Proposal> proposals, const core::Reply& reply) {
  core::Reply one = reply;
  for (const Proposal& proposal : proposals) {
    one.ticket = proposal.ticket;
    place_.host.OnReply(*this, one);
  }
}

void Replica::OnWritten(core::Microseconds now, const Written& written) {
  Run(now, core::WrittenUpTo{.epoch = written.epoch, .end = written.end}, nullptr);
  if (tell_written_ > 0 && !stopped_) TellWritten();
}

void Replica::TellWritten() {
  for (std::size_t at = 0; at < proposed_.size(); ++at) {
    Proposed& one = proposed_[at];
    if (tell_written_ == 0 || one.index > core_->written()) return;
    if (!std::exchange(one.tells_written, false)) continue;
    --tell_written_;
    place_.host.OnWritten(*this, one.ticket, {one.term, one.index});
  }
}

bool Replica::has_news() const {
  if (stopped_) return false;
  return !backlog_.empty() || has_work() || !followups_.empty() ||
         (!stores_.empty() && stores_.front().ticket <= place_.writer.durable());
}

void Replica::Progress(core::Microseconds now) {
  const Ticket durable = place_.writer.durable();
  // C10: the ring also moves past what the WAL refused of a log that it stopped. That is told
  // before the position, and to any call; this one changes nothing.
  if (const Result<Ticket> alive = place_.writer.TruncatePrefix(log_, 0); !alive.ok()) {
    stopped_ = alive.error();
    return;
  }
  std::optional<std::uint64_t> stored;
  while (!stores_.empty() && stores_.front().ticket <= durable) {
    stored = stores_.front().sequence;
    stores_.erase(stores_.begin());
  }
  if (stored) Run(now, core::Stored{*stored}, nullptr);
  if (stopped_) return;
  now_ = std::max(now_, now);
  Submit();
  ApplyReady();
  RunFollowups();
}

void Replica::Run(core::Microseconds now, core::EventBody body, const Envelope* envelope) {
  if (stopped_) return;
  now_ = std::max(now_, now);
  core::Effects effects;
  core_->Step({.now = now_, .body = std::move(body)}, effects);
  Execute(effects, envelope);
  RunFollowups();
}

void Replica::RunFollowups() {
  for (std::size_t at = 0; at < followups_.size(); ++at) {  // They grow meanwhile.
    const auto body = [](const auto& what) { return core::EventBody(what); };
    core::Effects effects;
    core_->Step({.now = now_, .body = std::visit(body, Followup(followups_[at]))}, effects);
    Execute(effects, nullptr);
  }
  followups_.clear();
}

void Replica::Execute(core::Effects& effects, const Envelope* envelope) {
  Enqueue(effects, envelope);
  Submit();
  SendAll(effects.send);
  if (!effects.apply.empty()) apply_end_ = effects.apply.end;
  ApplyReady();
  for (const core::QueryReady& ready : effects.query) place_.host.OnQuery(*this, ready.ticket);
  for (const core::Reply& reply : effects.reply) {
    const bool to_proposals = !proposals_.empty() && reply.ticket == proposals_.front().ticket;
    if (!to_proposals) {
      place_.host.OnReply(*this, reply);
    } else if (reply.answer != core::Answer::kDone) {
      RefuseAll(proposals_, reply);
    }  // Else the answers come as they are applied.
  }
  if (effects.removed) place_.host.OnRemoved(*this);
}

/// Store, cut, entries: one operation, in that order.
void Replica::Enqueue(const core::Effects& effects, const Envelope* envelope) {
  if (!effects.store && !effects.truncate && effects.append.empty()) return;
  Operation operation{.store = effects.store, .truncate = effects.truncate};
  if (effects.truncate) FailFrom(*effects.truncate);
  for (const core::Append& append : effects.append) {
    if (operation.payloads.empty()) operation.begin = append.begin;
    for (std::uint64_t at = 0; at < append.run.count; ++at) {
      const Index index = append.begin + at;
      operation.terms.push_back(append.run.term);
      if (append.from_message) {
        CHECK(envelope != nullptr);
        const auto& entries = std::get<core::AppendEntries>(envelope->message.body);
        operation.payloads.push_back(envelope->payloads.at(index - entries.previous.index - 1));
      } else if (append.special) {
        operation.payloads.push_back(EncodeSpecial(*append.special));
      } else {
        Proposal& proposal = proposals_.at(at);
        operation.payloads.push_back({kCommandKind, std::move(proposal.command)});
        proposed_.push_back(
            {index, append.run.term, proposal.ticket, proposal.tells_written});
        if (proposal.tells_written) ++tell_written_;
      }
      operation.bytes += operation.payloads.back().bytes.size() + sizeof(Payload);
    }
  }
  backlog_bytes_ += operation.bytes;
  backlog_.push_back(std::move(operation));
}

/// Hands over what the Writer takes. What it cannot take now stays; nothing overtakes it.
void Replica::Submit() {
  while (!backlog_.empty()) {
    const Status fault = NoticeFault();
    const Result<Ticket> taken = fault.ok() ? SubmitFront() : Result<Ticket>(fault.error());
    if (!taken.ok()) {
      if (taken.error().code == ErrorCode::kWalDown && !wal_down_) {
        wal_down_ = true;
        followups_.push_back(core::WalDown{});
      }
      if (!WaitsForWal(taken.error().code)) stopped_ = taken.error();
      return;
    }
    backlog_bytes_ -= backlog_.front().bytes;
    backlog_.pop_front();
    if (wal_down_) {
      wal_down_ = false;
      followups_.push_back(core::WalUp{});
    }
  }
}

/// The store may find damage while it runs, and refuses entries until it is told that they repair
/// the log.
Status Replica::NoticeFault() {
  const LogFault found = TRY(place_.store.FaultOf(log_));
  if (found == fault_) return {};
  TRY(place_.writer.PutFault(log_, found));
  fault_ = found;
  if (const auto fault = InCore(fault_))
    followups_.push_back(core::Damaged{fault->from, fault->to});
  return {};
}

/// The core's word on what is lost, as a row. An end of a fault waits while the core has not heard
/// of another.
Result<Ticket> Replica::SubmitFault(const std::optional<core::Fault>& fault) {
  LogFault row{.reason = "entries that were acknowledged here are lost; a leader sends them again"};
  if (fault) {
    row.from = fault->from;
    row.to = fault->to == 0 ? 0 : fault->to - 1;
  } else {
    row = {};
  }
  const bool unheard = std::any_of(followups_.begin(), followups_.end(), [](const auto& event) {
    return std::holds_alternative<core::Damaged>(event);
  });
  if (row == fault_ || (!row.faulty() && unheard)) return Ticket{0};
  const Ticket ticket = TRY(place_.writer.PutFault(log_, row));
  fault_ = row;
  return ticket;
}

/// Told to the core, which cuts its log there and asks its leader.
void Replica::OnUnreadable(const Error& error, Index index) {
  if (IsLost(error.code)) followups_.push_back(core::Damaged{index, index + 1});
}

Result<Ticket> Replica::SubmitFront() {
  Operation& operation = backlog_.front();
  Ticket ticket = 0;
  if (operation.store) {
    const core::HardState& state = operation.store->state;
    const std::string voted_for = state.voted_for.is_nil() ? "" : state.voted_for.ToString();
    ticket = TRY(place_.writer.PutVote(log_, state.term, voted_for));
    ticket = std::max(ticket, TRY(SubmitFault(state.fault)));
    stores_.push_back({operation.store->sequence, ticket});
    operation.store.reset();  // Not again, if what follows has to wait.
  }
  if (operation.truncate) {
    ticket = TRY(place_.writer.TruncateSuffix(log_, *operation.truncate));
    submitted_end_ = *operation.truncate;
    operation.truncate.reset();
  }
  while (operation.taken < operation.payloads.size()) ticket = TRY(SubmitEntries(operation));
  return ticket;
}

/// The next ones, no more than every store has room for at once: it takes a group as a whole or not
/// at all, and a message may have more entries than its ring and more bytes than its memory.
Result<Ticket> Replica::SubmitEntries(Operation& operation) {
  std::vector<EntryView> entries;
  std::size_t bytes = 0;
  for (std::size_t at = operation.taken; at < operation.payloads.size(); ++at) {
    const Payload& payload = operation.payloads[at];
    bytes += payload.bytes.size();
    if (!entries.empty() && (entries.size() == kGroupEntriesMax || bytes > kGroupBytesMax)) break;
    entries.push_back({operation.begin + at, operation.terms[at], payload.kind, payload.bytes});
  }
  const LogAppend group{log_, entries};
  const Ticket ticket = TRY(place_.writer.Append({&group, 1}));
  CHECK(operation.begin + operation.taken == submitted_end_);
  operation.taken += entries.size();
  submitted_end_ += entries.size();
  return ticket;
}

void Replica::SendAll(std::vector<core::Message>& messages) {
  for (core::Message& message : messages) {
    Envelope envelope{.message = std::move(message), .payloads = {}};
    if (!LoadPayloads(envelope)) continue;  // Lost, as on a bad network; a heartbeat finds out.
    place_.host.Send(*this, std::move(envelope));
  }
}

/// What the store does not have yet is on its way there. False if it cannot be read now.
bool Replica::LoadPayloads(Envelope& envelope) {
  const auto* append = std::get_if<core::AppendEntries>(&envelope.message.body);
  if (append == nullptr || append->runs.empty()) return true;
  const Index end = append->end();
  const Index readable = ReadableEnd();
  Index next = append->previous.index + 1;
  while (next < std::min(end, readable)) {
    const Result<Pin> pin = place_.store.Read(log_, next, std::min(end, readable), kReadBytes);
    if (!pin.ok()) {
      OnUnreadable(pin.error(), next);
      return false;
    }
    for (const EntryView& entry : pin->entries()) {
      envelope.payloads.push_back({entry.kind, {entry.payload.begin(), entry.payload.end()}});
      next = entry.index + 1;
      if (entry.kind != kNoOpKind) continue;
      const std::uint32_t version = core_->specials().MachineVersionAt(entry.index);
      envelope.payloads.back() = EncodeSpecial({.machine_version = version});
    }
  }
  for (; next < end; ++next) {
    const Payload* payload = InBacklog(next);
    if (payload == nullptr) return false;
    envelope.payloads.push_back(*payload);
  }
  return true;
}

/// What the store shows below it is this log; from there on a cut may still be on its way to it, or
/// it lies behind a hole.
Index Replica::ReadableEnd() const {
  Index end = std::min(submitted_end_, core_->log().end());
  for (const Operation& operation : backlog_) {
    if (operation.truncate) end = std::min(end, *operation.truncate);
  }
  return end;
}

/// The newest that waits for that index.
const Payload* Replica::InBacklog(Index index) const {
  for (auto operation = backlog_.rbegin(); operation != backlog_.rend(); ++operation) {
    const Index begin = operation->begin;
    if (index >= begin && index < begin + operation->payloads.size()) {
      return &operation->payloads[index - begin];
    }
  }
  return nullptr;
}

void Replica::ApplyReady() {
  if (place_.host.applies()) return;
  while (std::optional<ApplyWork> work = NextWork()) {
    work->Run(place_.machine);
    Took(std::move(*work));
  }
}

/// Every term, configuration and machine version begins with an entry that is no command, so what
/// stands between two such has one of each: it goes to the machine in one call.
std::optional<ApplyWork> Replica::NextWork() {
  if (!has_work()) return std::nullopt;
  const Index end = std::min(apply_end_, ReadableEnd());
  const Result<Pin> pin = place_.store.Read(log_, applied_ + 1, end, kReadBytes);
  if (!pin.ok()) {
    OnUnreadable(pin.error(), applied_ + 1);  // Or tried again later.
    return std::nullopt;
  }
  ApplyWork work;
  std::size_t bytes = 0;
  for (const EntryView& entry : pin->entries()) bytes += entry.payload.size();
  work.bytes.reserve(bytes);
  work.commands.reserve(pin->entries().size());
  bool parted = true;
  for (const EntryView& entry : pin->entries()) {
    work.end = entry.index + 1;
    parted = parted || entry.kind != kCommandKind || entry.index == start_end_;
    if (entry.kind != kCommandKind) continue;
    if (parted) work.calls.push_back({.context = ContextOf(entry)});
    parted = false;
    Add(entry, work);
    work.calls.back().end = work.commands.size();
  }
  CHECK(work.end > applied_ + 1);
  std::size_t waiting = 0;
  for (Committed& command : work.commands) {
    while (waiting < proposed_.size() && proposed_[waiting].index < command.at.index) ++waiting;
    command.answered =
        waiting < proposed_.size() && proposed_[waiting].index == command.at.index;
  }
  work.answers.resize(work.commands.size());
  applying_ = true;
  return work;
}

/// Requires: room, so that nothing moves.
void Replica::Add(const EntryView& entry, ApplyWork& work) {
  const std::size_t begin = work.bytes.size();
  CHECK(work.bytes.capacity() - begin >= entry.payload.size());
  work.bytes.insert(work.bytes.end(), entry.payload.begin(), entry.payload.end());
  work.commands.push_back({{entry.term, entry.index}, Bytes(work.bytes).subspan(begin)});
}

void ApplyWork::Run(StateMachine& machine) {
  std::size_t begin = 0;
  for (const Call& call : calls) {
    const std::size_t count = call.end - begin;
    machine.Apply(call.context, std::span(commands).subspan(begin, count),
                  std::span(answers).subspan(begin, count));
    begin = call.end;
  }
}

ApplyContext Replica::ContextOf(const EntryView& first) {
  const core::SpecialHistory& specials = core_->specials();
  const bool current = first.term == core_->term();
  const core::Configuration& members = specials.ConfigurationAt(first.index);
  if (members_ == nullptr || !(*members_ == members))
    members_ = std::make_shared<const core::Configuration>(members);
  return {.leads = current && core_->role_kind() == core::RoleKind::kLeader,
          .fresh = current && first.index >= start_end_,
          .machine_version = specials.MachineVersionAt(first.index),
          .members = members_};
}

void Replica::FinishWork(core::Microseconds now, ApplyWork work) {
  now_ = std::max(now_, now);
  Took(std::move(work));
  RunFollowups();
}

void Replica::Took(ApplyWork work) {
  CHECK(applying_);
  applying_ = false;
  if (stopped_) return;
  for (std::size_t at = 0; at < work.commands.size(); ++at) {
    const core::LogEnd place = work.commands[at].at;
    LoseProposedBelow(place.index);
    applied_ = place.index;
    if (proposed_.empty() || proposed_.front().index != place.index) continue;
    if (proposed_.front().term != place.term) {
      LoseProposedBelow(place.index + 1);
      continue;
    }
    const Proposed proposed = proposed_.front();
    proposed_.pop_front();
    if (proposed.tells_written) --tell_written_;
    place_.host.OnApplied(*this, proposed.ticket, std::move(work.answers[at]));
  }
  LoseProposedBelow(work.end);
  if (proposed_.empty()) proposed_ = {};  // Thousands rest, each after a burst.
  applied_ = work.end - 1;
  followups_.push_back(core::AppliedUpTo{applied_});
  // Lazy: it rides with the next batch, and a start needs it only to answer sooner. So not for each
  // of many that follow each other: a row costs as much as an entry.
  const bool rests = applied_ == core_->log().last().index;
  if (applied_ <= told_applied_ || (!rests && applied_ < told_applied_ + kAppliedStep)) return;
  if (place_.writer.PutLastApplied(log_, applied_).ok()) told_applied_ = applied_;
}

/// Another's entries stand in their place.
void Replica::LoseProposedBelow(Index index) {
  while (!proposed_.empty() && proposed_.front().index < index) {
    const Proposed proposed = proposed_.front();
    proposed_.pop_front();
    if (proposed.tells_written) --tell_written_;
    place_.host.OnReply(*this, {.ticket = proposed.ticket, .answer = core::Answer::kLost});
  }
}

/// What was cut may still be committed by another leader: its outcome is unknown.
void Replica::FailFrom(Index begin) {
  while (!proposed_.empty() && proposed_.back().index >= begin) {
    const Proposed proposed = proposed_.back();
    proposed_.pop_back();
    if (proposed.tells_written) --tell_written_;
    place_.host.OnReply(*this, {.ticket = proposed.ticket, .answer = core::Answer::kLost});
  }
}

}  // namespace duramen::server
