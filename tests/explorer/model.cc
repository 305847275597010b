#include "tests/explorer/model.h"

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"

namespace duramen::explorer {
namespace {

std::uint64_t Mix(std::uint64_t a, std::uint64_t b) {
  return Checksum(std::as_bytes(std::span(&a, 1)), b);
}

}  // namespace

std::string LogName(LogNumber number) { return "log-" + std::to_string(number); }

LogNumber ParseLogName(std::string_view name) {
  LogNumber number = UINT32_MAX;
  if (!name.starts_with("log-")) return number;
  const auto [end, error] = std::from_chars(name.data() + 4, name.data() + name.size(), number);
  if (error != std::errc{} || end != name.data() + name.size()) return UINT32_MAX;
  return number;
}

std::uint64_t EntryHash(std::uint8_t kind, Bytes payload) { return Checksum(payload, kind); }

Term LogState::TermAt(Index index) const {
  if (index + 1 == begin) return term_before_begin;
  CHECK(index >= begin && index < end());
  return entries[index - begin].term;
}

std::uint64_t LogState::Digest(LogNumber number) const {
  if (!exists) return 0;
  std::uint64_t digest = Mix(begin, number + 1);
  digest = Mix(digest, term_before_begin);
  for (const ModelEntry& entry : entries) {
    digest = (digest ^ entry.hash) * 0x9E3779B97F4A7C15ULL + entry.term;
    digest ^= digest >> 31;
  }
  digest = Mix(digest, vote_term);
  digest = Mix(digest, Checksum(AsBytes(voted_for), 3));
  for (const auto& [key, value] : values) {
    digest = Mix(digest ^ Checksum(AsBytes(key), 5), Checksum(AsBytes(value), 7));
  }
  return digest;
}

std::string LogState::Difference(const LogState& other) const {
  if (exists != other.exists) return exists ? "exists, expected not" : "missing, expected to exist";
  if (!exists) return "";
  std::string text;
  const auto note = [&text](const char* what, std::uint64_t mine, std::uint64_t theirs) {
    if (mine == theirs) return;
    text += std::string(text.empty() ? "" : ", ") + what + " " + std::to_string(mine) +
            " (expected " + std::to_string(theirs) + ")";
  };
  note("begin", begin, other.begin);
  note("end", end(), other.end());
  note("term before begin", term_before_begin, other.term_before_begin);
  note("vote term", vote_term, other.vote_term);
  if (voted_for != other.voted_for)
    text += ", voted for '" + voted_for + "' (expected '" + other.voted_for + "')";
  if (values != other.values) text += ", values differ";
  const Index first = std::max(begin, other.begin);
  const Index last = std::min(end(), other.end());
  for (Index index = first; index < last; ++index) {
    if (entries[index - begin] == other.entries[index - other.begin]) continue;
    note("term", TermAt(index), other.TermAt(index));
    text += (text.empty() ? "entry " : ", entry ") + std::to_string(index) + " differs";
    break;
  }
  return text;
}

void Apply(const Step& step, LogState& state) {
  switch (step.kind) {
    case StepKind::kCreate:
      state = LogState{};
      state.exists = true;
      return;
    case StepKind::kDelete:
      state = LogState{};
      return;
    case StepKind::kEntry:
      CHECK(step.index >= state.begin && step.index <= state.end());
      state.entries.resize(step.index - state.begin);
      state.entries.push_back({step.term, step.hash});
      return;
    case StepKind::kTruncatePrefix:
      CHECK(step.index > state.begin && step.index <= state.end());
      state.term_before_begin = state.TermAt(step.index - 1);
      state.entries.erase(
          state.entries.begin(),
          state.entries.begin() + static_cast<std::ptrdiff_t>(step.index - state.begin));
      state.begin = step.index;
      return;
    case StepKind::kTruncateSuffix:
      CHECK(step.index >= state.begin && step.index <= state.end());
      state.entries.resize(step.index - state.begin);
      return;
    case StepKind::kReset:
      state.entries.clear();
      state.begin = step.index;
      state.term_before_begin = step.term;
      return;
    case StepKind::kVote:
      state.vote_term = step.term;
      state.voted_for = step.value;
      return;
    case StepKind::kValue:
      if (step.value.empty()) {
        state.values.erase(step.key);
      } else {
        state.values[step.key] = step.value;
      }
      return;
    case StepKind::kLastApplied:
      state.last_applied = step.index;
      return;
  }
}

std::uint64_t DigestOf(const std::vector<LogNumber>& logs, const Logs& states) {
  std::uint64_t digest = 0;
  for (const LogNumber log : logs) digest += states[log].Digest(log);
  return digest;
}

History::History(Logs baseline, std::vector<std::uint32_t> owner, std::size_t writers)
    : baseline_(std::move(baseline)),
      now_(baseline_),
      owner_(std::move(owner)),
      steps_(writers),
      cursor_(baseline_),
      cursor_steps_(writers, 0) {
  CHECK(owner_.size() == baseline_.size());
}

LogNumber History::AddLog(std::uint32_t writer) {
  const auto number = static_cast<LogNumber>(now_.size());
  now_.emplace_back();
  baseline_.emplace_back();
  cursor_.emplace_back();
  owner_.push_back(writer);
  return number;
}

void History::Add(std::uint32_t writer, Step step) {
  CHECK(owner_[step.log] == writer);
  Apply(step, now_[step.log]);
  steps_[writer].push_back(std::move(step));
}

void History::Settle(std::uint32_t writer, Ticket ticket) {
  std::vector<Step>& steps = steps_[writer];
  for (auto step = steps.rbegin(); step != steps.rend() && step->ticket == kTicketUnknown; ++step) {
    step->ticket = ticket;
  }
}

void History::TakeBack(std::uint32_t writer) {
  CHECK(!steps_[writer].empty() && steps_[writer].back().ticket == kTicketUnknown);
  const LogNumber log = steps_[writer].back().log;
  steps_[writer].pop_back();
  now_[log] = baseline_[log];
  for (const Step& step : steps_[writer]) {
    if (step.log == log) Apply(step, now_[log]);
  }
}

std::uint32_t History::AcknowledgedSteps(std::uint32_t writer, Ticket durable) const {
  const std::vector<Step>& steps = steps_[writer];
  const auto end = std::partition_point(
      steps.begin(), steps.end(), [durable](const Step& step) { return step.ticket <= durable; });
  return static_cast<std::uint32_t>(end - steps.begin());
}

Admissible History::AdmissibleAt(const Progress& progress) {
  Admissible admissible(steps_.size());
  for (LogNumber log = 0; log < owner_.size(); ++log) admissible[owner_[log]].logs.push_back(log);
  for (std::uint32_t writer = 0; writer < steps_.size(); ++writer) {
    CHECK(cursor_steps_[writer] <= progress.acknowledged[writer]);
    while (cursor_steps_[writer] < progress.acknowledged[writer]) {
      const Step& step = steps_[writer][cursor_steps_[writer]++];
      Apply(step, cursor_[step.log]);
    }
  }
  for (std::uint32_t writer = 0; writer < steps_.size(); ++writer) {
    AdmissibleWriter& mine = admissible[writer];
    mine.acknowledged = cursor_;
    Logs states = cursor_;
    for (const LogState& state : states) mine.applied.push_back(state.last_applied);
    std::uint64_t digest = DigestOf(mine.logs, states);
    mine.digests.push_back(digest);
    for (std::uint32_t k = progress.acknowledged[writer]; k < progress.submitted[writer]; ++k) {
      const Step& step = steps_[writer][k];
      digest -= states[step.log].Digest(step.log);
      Apply(step, states[step.log]);
      digest += states[step.log].Digest(step.log);
      mine.digests.push_back(digest);
      mine.applied[step.log] = std::min(mine.applied[step.log], states[step.log].last_applied);
    }
    mine.submitted = std::move(states);
  }
  return admissible;
}

Logs History::StateAfter(const std::vector<std::uint32_t>& steps) const {
  Logs states = baseline_;
  for (std::uint32_t writer = 0; writer < steps_.size(); ++writer) {
    for (std::uint32_t k = 0; k < steps[writer]; ++k) {
      const Step& step = steps_[writer][k];
      Apply(step, states[step.log]);
    }
  }
  return states;
}

}  // namespace duramen::explorer
