// What a session does to its store: one function per action, each recorded in the model.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "tests/explorer/session.h"

namespace duramen::explorer {
namespace {

bool IsTransient(ErrorCode code) {
  return code == ErrorCode::kOverloaded || code == ErrorCode::kDiskFull ||
         code == ErrorCode::kInUse;
}

// What a store may answer for good after its disk failed.
bool IsLossOfService(ErrorCode code) {
  return code == ErrorCode::kWalDown || code == ErrorCode::kIo || code == ErrorCode::kTimeout ||
         code == ErrorCode::kDiskFull;
}

}  // namespace

void Session::Act(Action action) {
  const std::uint32_t writer = DrawWriter();
  const LogNumber log = DrawLog(writer);
  switch (action) {
    case Action::kRunSteps:
      for (std::uint64_t i = rng_.Below(6); i > 0; --i) subject_->executor().RunOne();
      return;
    case Action::kIdle:
      subject_->executor().RunUntilIdle(200);
      subject_->executor().AdvanceToNextTimer();
      subject_->executor().RunUntilIdle(200);
      return;
    case Action::kWait:
      return DoWait(writer);
    case Action::kCreate:
      return DoCreate(writer);
    case Action::kSpace:
      return full_ ? FreeDisk() : FillDisk();
    case Action::kStall:
      return StallDirectory();
    default:
      break;
  }
  if (log == UINT32_MAX) return;
  const LogState& state = StateOf(log);
  switch (action) {
    case Action::kAppend:
      return Append(writer, {DrawGroup(log, state.end(), state.last_term())});
    case Action::kAppendMany: {
      std::vector<Group> groups;
      for (LogNumber other = 0; other < logs_.size(); ++other) {
        if (!logs_[other].open || history_->owner(other) != writer) continue;
        groups.push_back(DrawGroup(other, StateOf(other).end(), StateOf(other).last_term()));
      }
      return Append(writer, std::move(groups));
    }
    case Action::kOverwrite: {
      if (rng_.OneIn(4)) return DoBurst(log);
      if (state.entries.empty()) return;
      const Index back =
          rng_.Below(std::min<std::uint64_t>(state.entries.size(), workload_.cut_max)) + 1;
      const Index first = state.end() - back;
      return Append(writer, {DrawGroup(log, first, state.TermAt(first - 1))});
    }
    case Action::kTruncateSuffix: {
      if (state.entries.empty()) return;
      const Index back =
          rng_.Below(std::min<std::uint64_t>(state.entries.size(), workload_.cut_max)) + 1;
      const Index end = state.end() - back;
      const auto ticket = subject_->writers()[writer].TruncateSuffix(logs_[log].ref, end);
      return Accept(writer, ticket, {.kind = StepKind::kTruncateSuffix, .log = log, .index = end});
    }
    case Action::kTruncatePrefix:
      if (state.entries.size() <= workload_.keep_entries) return;
      return DoTruncatePrefix(log, state.end() - rng_.Below(workload_.keep_entries + 1));
    case Action::kDelete:
      return DoDelete(log);
    case Action::kRead:
      return DoRead(log);
    default:
      return DoRow(action, log);
  }
}

/// More than one batch in the ring, then an overwrite of its beginning: the notice of the first
/// batch comes when the entries it is about are gone (W4).
void Session::DoBurst(LogNumber log) {
  const std::uint32_t writer = history_->owner(log);
  const Index first = StateOf(log).end();
  const Term term = StateOf(log).last_term();
  const std::uint64_t room = logs_.size() < 8 ? 24 : 12;
  for (std::uint64_t i = 0; i < room && StateOf(log).end() == first + i && !down_; ++i) {
    Group group{.log = log, .payloads = {}, .entries = {}};
    group.payloads.emplace_back(600 + rng_.Below(400), static_cast<std::byte>(rng_.Next()));
    group.entries.push_back({first + i, std::max<Term>(term, 1), 200, group.payloads.back()});
    Append(writer, {std::move(group)});
  }
  const Index end = StateOf(log).end();
  // Where the store was full meanwhile, room was made at the front.
  const bool moved = StateOf(log).begin > first;
  if (end <= first + 1 || moved || down_ || !failure_.empty()) return;
  const Index back = first + rng_.Below(end - first);
  Append(writer, {DrawGroup(log, back, StateOf(log).TermAt(back - 1))});
  for (std::uint64_t i = rng_.Below(3); i > 0; --i) subject_->executor().RunOne();
}

std::vector<std::byte> Session::DrawPayload() {
  // A payload that is itself a piece of a WAL file must never be taken for a batch (W29).
  if (rng_.OneIn(24)) {
    const sim::Image& image = machine_->disk().visible();
    const bool apart = !options_.sizes.wal_dir.empty();
    const sim::Node directory =
        image.FindPath(apart ? options_.sizes.wal_dir : std::string(kDataDir) + "/wal");
    CHECK(directory != 0);
    std::vector<std::byte> piece(4096);
    for (const auto& [name, node] : image.entries(directory)) {
      if (image.IsDirectory(node) || !rng_.OneIn(2)) continue;
      const std::uint64_t blocks = image.content(node).size_bytes() / piece.size();
      if (blocks == 0) continue;
      image.content(node).Read(rng_.Below(blocks) * piece.size(), piece);
      return piece;
    }
  }
  std::uint64_t size = rng_.Below(workload_.payload_max + 1);
  if (rng_.OneIn(8)) size *= 3;
  if (options_.sizes.large) size *= 40;
  const bool shrinks = workload_.compresses && !rng_.OneIn(3);
  std::vector<std::byte> payload(size);
  for (std::size_t at = 0; at < size; at += 8) {
    // Where it is to be compressed, about every third payload cannot be.
    const std::uint64_t word = at == 0 || !shrinks ? rng_.Next() : 0x7A73746464747A7AULL;
    std::memcpy(payload.data() + at, &word, std::min<std::size_t>(8, size - at));
  }
  return payload;
}

Session::Group Session::DrawGroup(LogNumber log, Index first, Term at_least) {
  Group group{.log = log, .payloads = {}, .entries = {}};
  const std::uint64_t count = 1 + rng_.Below(workload_.entries_max);
  Term term = std::max<Term>(at_least, 1);
  for (std::uint64_t i = 0; i < count; ++i) {
    if (rng_.OneIn(6)) term += 1 + rng_.Below(3);
    group.payloads.push_back(DrawPayload());
    const auto kind = static_cast<std::uint8_t>(kFirstUserKind + rng_.Below(128));
    group.entries.push_back({first + i, term, kind, group.payloads.back()});
  }
  return group;
}

void Session::Record(std::uint32_t writer, Step step) {
  const LogNumber log = step.log;
  const StepKind kind = step.kind;
  std::vector<std::uint32_t>& steps = logs_[log].entry_steps;
  const Index begin_before = StateOf(log).begin;
  history_->Add(writer, std::move(step));
  const LogState& state = StateOf(log);
  const auto number = static_cast<std::uint32_t>(history_->steps(writer).size());
  if (kind == StepKind::kEntry) {
    steps.resize(state.entries.size() - 1);
    steps.push_back(number);
  } else if (kind == StepKind::kTruncatePrefix) {
    steps.erase(steps.begin(),
                steps.begin() + static_cast<std::ptrdiff_t>(state.begin - begin_before));
  } else {
    steps.resize(state.entries.size());
  }
}

void Session::RecordGroup(std::uint32_t writer, const Group& group) {
  for (const EntryView& entry : group.entries) {
    Record(writer, {.kind = StepKind::kEntry,
                    .log = group.log,
                    .index = entry.index,
                    .term = entry.term,
                    .hash = EntryHash(entry.kind, entry.payload)});
  }
}

void Session::Accept(std::uint32_t writer, const Result<Ticket>& ticket, Step step) {
  if (!ticket.ok()) return Refused(ticket.error());
  Record(writer, std::move(step));
  history_->Settle(writer, *ticket);
  last_ticket_[writer] = *ticket;
}

void Session::Append(std::uint32_t writer, std::vector<Group> groups) {
  if (groups.empty()) return;
  std::vector<LogAppend> appends;
  for (const Group& group : groups) appends.push_back({logs_[group.log].ref, group.entries});
  const Result<Ticket> ticket = subject_->writers()[writer].Append(appends);
  for (const Group& group : groups) {
    // On an error the groups before the offending one stand; the log's end tells.
    if (!ticket.ok()) {
      const Result<Bounds> bounds = subject_->store().BoundsOf(logs_[group.log].ref);
      const bool stands =
          groups.size() > 1 && bounds.ok() && bounds->end == group.entries.back().index + 1;
      if (!stands) break;
    }
    RecordGroup(writer, group);
  }
  if (!ticket.ok()) return Refused(ticket.error());
  history_->Settle(writer, *ticket);
  last_ticket_[writer] = *ticket;
}

void Session::Refused(const Error& error) {
  if (full_ && error.code == ErrorCode::kDiskFull) {
    if (rng_.OneIn(8)) FreeDisk();
    return;
  }
  if (IsLossOfService(error.code) && MayLoseService()) {
    down_ = true;
    return;
  }
  if (error.code == ErrorCode::kTooLarge) return;  // the smallest files refuse the largest entries
  if (!IsTransient(error.code)) return Fail("a call was refused: " + error.message);
  MakeRoom();
}

/// A disk that was full is no reason.
bool Session::MayLoseService() const {
  return machine_->faults_fired() > 0 && (!ever_full_ || !options_.faults.empty());
}

/// Only what has its space goes on: WAL files, and checkpoints.
void Session::FillDisk() {
  full_ = ever_full_ = true;
  using sim::OpKind;
  for (const OpKind kind : {OpKind::kCreate, OpKind::kMakeDirectory, OpKind::kAllocate}) {
    machine_->Schedule({.kind = kind,
                        .file_class = "",
                        .times = UINT64_MAX,
                        .effect = sim::FaultEffect::kDiskFull});
  }
  machine_->Schedule({.kind = OpKind::kWrite,
                      .file_class = ".seg",
                      .times = UINT64_MAX,
                      .effect = sim::FaultEffect::kDiskFull});
}

void Session::FreeDisk() {
  full_ = false;
  machine_->ClearFaults();
}

/// All of a directory for less than a wait has patience, and longer than the WAL has; or single
/// writes, so that the directory seems to be well with one of them in flight.
void Session::StallDirectory() {
  const std::string home =
      options_.sizes.wal_dir.empty() ? std::string(kDataDir) + "/wal" : options_.sizes.wal_dir;
  const std::int64_t now_ns = subject_->clock().NowNs();
  const auto ns = static_cast<std::int64_t>(rng_.Below(kPatienceNs / 4));
  const bool elsewhere = !options_.sizes.leaves_failover;  // Else there may be nowhere to go.
  if (elsewhere && rng_.OneIn(2)) return machine_->HangUntil(home, now_ns + 8 * ns);
  machine_->StallUntil(rng_.OneIn(3) ? kFailoverDir : home, now_ns + ns);
}

/// What an owner does who was told to wait: he waits, and lets floors move.
void Session::MakeRoom() {
  for (std::uint32_t writer = 0; writer < history_->writers() && failure_.empty(); ++writer) {
    DoWait(writer);
  }
  if (down_) return;
  for (LogNumber log = 0; log < logs_.size() && failure_.empty(); ++log) {
    if (!logs_[log].open || StateOf(log).entries.empty() || rng_.OneIn(3)) continue;
    const std::uint32_t writer = history_->owner(log);
    const Index begin = StateOf(log).end() - rng_.Below(2);
    if (begin <= StateOf(log).begin) continue;
    const auto ticket = subject_->writers()[writer].TruncatePrefix(logs_[log].ref, begin);
    if (!ticket.ok()) continue;
    Accept(writer, ticket, {.kind = StepKind::kTruncatePrefix, .log = log, .index = begin});
  }
  for (std::uint32_t writer = 0; writer < history_->writers() && failure_.empty(); ++writer) {
    DoWait(writer);
  }
}

void Session::DoTruncatePrefix(LogNumber log, Index begin) {
  if (begin <= StateOf(log).begin) return;
  const std::uint32_t writer = history_->owner(log);
  const auto ticket = subject_->writers()[writer].TruncatePrefix(logs_[log].ref, begin);
  Accept(writer, ticket, {.kind = StepKind::kTruncatePrefix, .log = log, .index = begin});
}

/// Writers are made in turn, each where there are fewest.
std::uint32_t Session::ShardOfWriter(std::uint32_t writer) const {
  return writer % subject_->store().shards();
}

/// A name that is taken in another shard, or not free again, is not given a second time [C9].
void Session::TryTakenName(std::uint32_t writer) {
  for (LogNumber log = 0; log < logs_.size(); ++log) {
    const std::uint32_t owner = history_->owner(log);
    if (!logs_[log].open || ShardOfWriter(owner) == ShardOfWriter(writer)) continue;
    const auto ref =
        subject_->store().OpenLog(subject_->writers()[writer], LogName(log), OpenMode::kCreate);
    if (ref.ok()) return Fail(LogName(log) + " was created a second time, in another shard");
    if (ref.error().code != ErrorCode::kAlreadyExists) return Refused(ref.error());
  }
}

/// So that a life with fewer shards may begin.
void Session::DrainLastShard() {
  const std::uint32_t last = subject_->store().shards() - 1;
  for (LogNumber log = 0; log < logs_.size() && !down_ && failure_.empty(); ++log) {
    if (logs_[log].open && ShardOfWriter(history_->owner(log)) == last) DoDelete(log);
  }
  for (std::uint32_t writer = 0; writer < history_->writers() && !down_; ++writer) DoWait(writer);
}

void Session::DoCreate(std::uint32_t writer) {
  if (workload_.sharded && rng_.OneIn(3)) TryTakenName(writer);
  LogNumber log = UINT32_MAX;
  for (LogNumber other = 0; other < logs_.size(); ++other) {
    if (history_->owner(other) == writer && !StateOf(other).exists) log = other;
  }
  if (log == UINT32_MAX) {
    if (logs_.size() >= std::size_t{2} * workload_.writers * workload_.logs_per_writer) return;
    log = history_->AddLog(writer);
    logs_.emplace_back();
  }
  // Recorded first: the call may write. It has no ticket; that of whatever comes next covers it.
  Record(writer, {.kind = StepKind::kCreate, .log = log});
  const auto ref =
      subject_->store().OpenLog(subject_->writers()[writer], LogName(log), OpenMode::kCreate);
  if (!ref.ok()) {
    history_->TakeBack(writer);
    return Refused(ref.error());
  }
  logs_[log] = {.ref = *ref, .open = true, .entry_steps = {}};
}

void Session::DoDelete(LogNumber log) {
  const std::uint32_t writer = history_->owner(log);
  Record(writer, {.kind = StepKind::kDelete, .log = log});
  const auto ticket = subject_->store().DeleteLog(subject_->writers()[writer], logs_[log].ref);
  if (!ticket.ok()) {
    history_->TakeBack(writer);
    logs_[log].entry_steps.assign(StateOf(log).entries.size(), 0);
    return Refused(ticket.error());
  }
  history_->Settle(writer, *ticket);
  last_ticket_[writer] = *ticket;
  logs_[log].open = false;
}

void Session::DoRow(Action action, LogNumber log) {
  const std::uint32_t number = history_->owner(log);
  Writer& writer = subject_->writers()[number];
  const LogState& state = StateOf(log);
  const LogRef ref = logs_[log].ref;
  if (action == Action::kVote) {
    const Term term = std::max<Term>(state.vote_term + rng_.Below(3), 1);
    // Within a term a vote is given once.
    const std::string whom = term == state.vote_term && !state.voted_for.empty()
                                 ? state.voted_for
                                 : "n" + std::to_string(rng_.Below(5));
    return Accept(number, writer.PutVote(ref, term, whom),
                  {.kind = StepKind::kVote, .log = log, .term = term, .value = whom});
  }
  if (action == Action::kValue) {
    const std::string key(1, static_cast<char>('a' + rng_.Below(4)));
    const std::string value =
        rng_.OneIn(5) ? "" : std::string(rng_.Below(90), static_cast<char>('0' + rng_.Below(10)));
    const Durability durability = rng_.OneIn(3) ? Durability::kLazy : Durability::kSynced;
    return Accept(number, writer.Put(ref, key, AsBytes(value), durability),
                  {.kind = StepKind::kValue, .log = log, .key = key, .value = value});
  }
  if (action == Action::kLastApplied) {
    if (state.end() == 1) return;
    const Index index = state.end() - 1;
    if (index < state.last_applied) return;
    return Accept(number, writer.PutLastApplied(ref, index),
                  {.kind = StepKind::kLastApplied, .log = log, .index = index});
  }
  if (action == Action::kReset) {
    const Index begin = state.end() + 1 + rng_.Below(50);
    const Term term = std::max<Term>(state.last_term() + rng_.Below(2), 1);
    return Accept(number, writer.Reset(ref, begin, term),
                  {.kind = StepKind::kReset, .log = log, .index = begin, .term = term});
  }
}

/// Where wrong bytes come from, if they are bytes that this life wrote.
std::string Session::OriginOf(const LogState& seen, LogNumber log) const {
  const LogState& expected = StateOf(log);
  for (Index index = std::max(seen.begin, expected.begin);
       index < std::min(seen.end(), expected.end()); ++index) {
    const std::uint64_t hash = seen.entries[index - seen.begin].hash;
    if (hash == expected.entries[index - expected.begin].hash) continue;
    for (std::uint32_t writer = 0; writer < history_->writers(); ++writer) {
      for (const Step& step : history_->steps(writer)) {
        if (step.kind != StepKind::kEntry || step.hash != hash) continue;
        return "; these are the bytes of " + LogName(step.log) + " " + std::to_string(step.index);
      }
    }
    const std::uint32_t step = logs_[log].entry_steps[index - expected.begin];
    return std::string("; these bytes are of an earlier life, and the entry should be of ") +
           (step == 0 ? "that too" : "this one");
  }
  return "";
}

void Session::DoRead(LogNumber log) {
  std::string problem;
  const LogState seen = ReadLog(subject_->store(), logs_[log].ref, problem);
  if (problem.empty()) problem = seen.Difference(StateOf(log));
  if (!problem.empty()) {
    Fail("while running, " + LogName(log) + ": " + problem + OriginOf(seen, log));
  }
}

void Session::DoWait(std::uint32_t writer) {
  if (last_ticket_[writer] == 0 || down_) return;
  const Status waited =
      subject_->writers()[writer].Wait(last_ticket_[writer], subject_->DeadlineIn(kPatienceNs));
  if (waited.ok()) {
    if (subject_->writers()[writer].durable() < last_ticket_[writer]) {
      Fail("Wait returned before its ticket was durable");
    }
    return;
  }
  if (full_) {  // What was accepted before anything was refused may wait for space.
    FreeDisk();
    return DoWait(writer);
  }
  if (IsLossOfService(waited.error().code) && MayLoseService()) {
    down_ = true;
    return;
  }
  Fail("Wait: " + waited.error().message);
}

}  // namespace duramen::explorer
