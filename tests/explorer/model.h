// The oracle: what every log holds after each step of a Writer's order, and which of those states a
// recovered store may show. It knows nothing of files, batches or tickets of the store's inside.
//
// A crash keeps a prefix of each Writer's order, at or beyond what was acknowledged. A log belongs
// to one Writer, so the states of one Writer's logs after k steps, for every k from the
// acknowledged to the submitted one, are all that may be seen. States are compared by digest.
//
// Pure. Owned by one explorer run; one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "duramen/types.h"

namespace duramen::explorer {

using LogNumber = std::uint32_t;  // position in the run; the name of a log is LogName(number)
std::string LogName(LogNumber number);
/// The number in a name; UINT32_MAX when the explorer made no such name.
LogNumber ParseLogName(std::string_view name);

struct ModelEntry {
  Term term = 0;
  std::uint64_t hash = 0;  // over kind and payload
  friend bool operator==(const ModelEntry&, const ModelEntry&) = default;
};
std::uint64_t EntryHash(std::uint8_t kind, Bytes payload);

/// One log, in the model or as read from a store.
struct LogState {
  bool exists = false;
  Index begin = 1;
  Term term_before_begin = 0;
  std::deque<ModelEntry> entries;
  Term vote_term = 0;
  std::string voted_for;
  std::map<std::string, std::string, std::less<>> values;
  Index last_applied = 0;  // clamped by a recovery: not part of the digest, judged as a bound

  Index end() const { return begin + entries.size(); }
  /// Term of the last entry, or of what was before the first.
  Term last_term() const { return entries.empty() ? term_before_begin : entries.back().term; }
  Term TermAt(Index index) const;
  std::uint64_t Digest(LogNumber number) const;
  /// What differs from `other`, for people; empty when nothing does.
  std::string Difference(const LogState& other) const;
};

enum class StepKind : std::uint8_t {
  kCreate,
  kDelete,
  kEntry,  // cuts everything at and above its index first
  kTruncatePrefix,
  kTruncateSuffix,
  kReset,
  kVote,
  kValue,
  kLastApplied,
};

inline constexpr Ticket kTicketUnknown = UINT64_MAX;

/// The smallest change that a crash may separate from the next one.
struct Step {
  StepKind kind = StepKind::kEntry;
  LogNumber log = 0;
  Index index = 0;
  Term term = 0;
  std::uint64_t hash = 0;
  std::string key = {};
  std::string value = {};          // or voted_for
  Ticket ticket = kTicketUnknown;  // acknowledged when the Writer's durable position reaches it
};
void Apply(const Step& step, LogState& state);

using Logs = std::vector<LogState>;  // by LogNumber

/// Which states of one Writer's logs may be seen after a crash.
struct AdmissibleWriter {
  std::vector<LogNumber> logs;
  std::vector<std::uint64_t> digests;  // of `logs` together, one per admissible number of steps
  Logs acknowledged;                   // states of all logs at the smallest number; for messages
  Logs submitted;                      // and at the largest
  std::vector<Index> applied = {};     // by log: the smallest last_applied of those states
};
using Admissible = std::vector<AdmissibleWriter>;

/// Digest of the states of `logs` together.
std::uint64_t DigestOf(const std::vector<LogNumber>& logs, const Logs& states);

/// How far each Writer was at one moment.
struct Progress {
  std::vector<std::uint32_t> acknowledged;  // steps, by writer
  std::vector<std::uint32_t> submitted;
  friend bool operator==(const Progress&, const Progress&) = default;
};

/// Everything that was asked of a store since it was opened.
class History {
 public:
  /// The store showed exactly `baseline` when it was opened; `owner` is the writer of each log.
  History(Logs baseline, std::vector<std::uint32_t> owner, std::size_t writers);
  /// A log that did not exist before, of this writer.
  LogNumber AddLog(std::uint32_t writer);
  void Add(std::uint32_t writer, Step step);
  /// `ticket` covers all steps of that writer which have none yet.
  void Settle(std::uint32_t writer, Ticket ticket);
  /// The last step of that writer was refused after all. Requires: it has no ticket.
  void TakeBack(std::uint32_t writer);
  const Logs& now() const { return now_; }
  std::uint32_t owner(LogNumber log) const { return owner_[log]; }
  const std::vector<Step>& steps(std::uint32_t writer) const { return steps_[writer]; }
  std::size_t writers() const { return steps_.size(); }
  /// Number of leading steps of a writer with a ticket at or below `durable`.
  std::uint32_t AcknowledgedSteps(std::uint32_t writer, Ticket durable) const;
  /// Requires: moments are asked in order (never less acknowledged than before).
  Admissible AdmissibleAt(const Progress& progress);
  /// The states when every writer had `steps[writer]` steps. Any order.
  Logs StateAfter(const std::vector<std::uint32_t>& steps) const;

 private:
  Logs baseline_;
  Logs now_;
  std::vector<std::uint32_t> owner_;
  std::vector<std::vector<Step>> steps_;
  Logs cursor_;  // states after cursor_steps_
  std::vector<std::uint32_t> cursor_steps_;
};

}  // namespace duramen::explorer
