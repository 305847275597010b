// What a Writer stores beside entries: votes, faults, values, how far was applied.
#include <algorithm>

#include "base/try.h"
#include "log/store.h"

namespace duramen {
inline namespace v1 {

/// The flusher may have added a row of its own, about damage that it found.
void Writer::Impl::SkipRowsOf(log::ServerLog& log) const {
  log.row_sequence = std::max(log.row_sequence, store.rows.With([&](const meta::Table& table) {
    const meta::ServerRows* rows = table.Find(log.owner.uid);
    return rows == nullptr ? 0 : rows->highest_sequence;
  }));
}

Result<Ticket> Writer::PutVote(LogRef ref, Term term, std::string_view voted_for) {
  impl_->Process();
  log::ServerLog* log = TRY(impl_->Own(ref));
  {
    const std::lock_guard lock(log->mutex);
    if (log->faulty.load(std::memory_order_relaxed) && log->fault.rows_lost) {
      return Error{ErrorCode::kFaulty, "a stored vote of this log may be lost, so it votes no more",
                   "run `duramen verify` on the directory"};
    }
    if (term < log->vote.term) {
      return Error{ErrorCode::kTermBelowPredecessor,
                   "term " + std::to_string(term) + " is below the stored one, " +
                       std::to_string(log->vote.term),
                   "terms never go down"};
    }
    // A step-down within a term keeps the vote: forgotten, it could be cast twice.
    if (term == log->vote.term && !log->vote.voted_for.empty() &&
        voted_for != log->vote.voted_for) {
      return Error{ErrorCode::kInvalidArgument,
                   "the vote of term " + std::to_string(term) + " was given to '" +
                       log->vote.voted_for + "'",
                   "a vote is kept for the whole term"};
    }
  }
  const Ticket ticket =
      TRY(impl_->PostRow(*log, meta::VoteRow{term, std::string(voted_for)}, Durability::kSynced));
  const std::lock_guard lock(log->mutex);
  log->vote = {term, std::string(voted_for)};
  return ticket;
}

Result<Ticket> Writer::PutFault(LogRef ref, const LogFault& fault) {
  impl_->Process();
  log::ServerLog* log = TRY(impl_->Own(ref));
  if (fault.to != 0 && (fault.from == 0 || fault.to < fault.from)) {
    return Error{ErrorCode::kInvalidArgument, "a fault ends at or behind where it begins", ""};
  }
  {
    const std::lock_guard lock(log->mutex);
    if (log->fault.rows_lost && !fault.vote_lost) {
      return Error{ErrorCode::kRefused,
                   "a stored vote of log '" + log->name +
                       "' may be lost, and no copy brings it back",
                   "open the store in mode salvage: the log begins as a new incarnation"};
    }
  }
  impl_->SkipRowsOf(*log);
  const meta::FaultyRow row{fault.from, fault.to, fault.vote_lost, fault.reason};
  const Ticket ticket = TRY(impl_->PostRow(*log, row, Durability::kSynced));
  log->repaired = row.faulty();
  const std::lock_guard lock(log->mutex);
  log->fault = row;
  impl_->store.SetFaulty(*log, row.faulty());
  return ticket;
}

Result<Ticket> Writer::PutLastApplied(LogRef ref, Index index) {
  impl_->Process();
  log::ServerLog* log = TRY(impl_->Own(ref));
  if (index >= log->table.Bounds().end) {
    return Error{ErrorCode::kOutOfRange, "an index at or above the log's end cannot be applied",
                 ""};
  }
  const Ticket ticket = TRY(impl_->PostRow(*log, meta::LastAppliedRow{index}, Durability::kLazy));
  const std::lock_guard lock(log->mutex);
  log->last_applied = index;
  return ticket;
}

Result<Ticket> Writer::Put(LogRef ref, std::string_view key, Bytes value, Durability durability) {
  impl_->Process();
  log::ServerLog* log = TRY(impl_->Own(ref));
  const std::string text(AsText(value));
  constexpr std::size_t kRowOverheadBytes = 32;
  if (key.size() + value.size() + kRowOverheadBytes > impl_->store.payload_bytes_max) {
    return Error{ErrorCode::kTooLarge, "the value does not fit into a WAL file's batch",
                 "raise wal_max_size_bytes"};
  }
  const auto refused = impl_->store.port->refuses_entries();
  // It would not fit a row file [B3].
  if (refused && key.size() + value.size() + kRowOverheadBytes > impl_->store.row_bytes_max) {
    return impl_->RefusedBy(*refused);
  }
  const Ticket ticket =
      TRY(impl_->PostRow(*log, meta::ValueRow{std::string(key), text}, durability));
  const std::lock_guard lock(log->mutex);
  if (text.empty()) {
    log->values.erase(std::string(key));
  } else {
    log->values[std::string(key)] = text;
  }
  return ticket;
}

}  // namespace v1
}  // namespace duramen
