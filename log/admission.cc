// What an append is refused for before anything is copied: the share of a log in its Writer's ring,
// the state of the WAL, memory. See include/duramen/log_store.h.
#include <algorithm>

#include "base/try.h"
#include "log/store.h"

namespace duramen {
inline namespace v1 {
namespace {

constexpr std::uint64_t kRingReserveShare = 16;  // one record in so many is kept for rows and marks

}  // namespace

Error Writer::Impl::RefusedBy(ErrorCode code) const {
  const bool too_many_files = code != ErrorCode::kWalDown && code != ErrorCode::kDiskFull;
  const std::string reason = too_many_files ? "" : store.port->state_reason();
  const std::uint64_t free_bytes =  // UINT64_MAX: not known
      code == ErrorCode::kDiskFull ? store.port->free_bytes() : UINT64_MAX;
  switch (code) {
    case ErrorCode::kWalDown:
      return {code, "the WAL is down: " + reason, "see the state of the store; reads go on"};
    case ErrorCode::kDiskFull:
      return {code,
              "no space for another WAL file" +
                  (free_bytes == UINT64_MAX ? std::string()
                                            : ", " + std::to_string(free_bytes) + " bytes free") +
                  ": " + reason,
              "free space, or move the floors of logs with TruncatePrefix; it resumes by itself, "
              "and votes, rows and truncations go on"};
    default:
      return {code, "the WAL holds as many files as wal_max_files allows",
              "move the floors of logs with TruncatePrefix, or raise wal_max_files"};
  }
}

Status Writer::Impl::Admit(const log::ServerLog& log, std::uint64_t records,
                           std::uint64_t bytes) const {
  const std::uint64_t reserve = store.tuning.ring_records / kRingReserveShare;
  if (records > store.tuning.ring_records - reserve) {
    return Error{ErrorCode::kTooLarge,
                 "a group of " + std::to_string(records) + " entries; the ring holds " +
                     std::to_string(store.tuning.ring_records - reserve),
                 "split the group"};
  }
  if (const auto refused = store.port->refuses_entries()) {
    return RefusedBy(*refused);
  }
  const bool bytes_fit = in_flight_bytes == 0 || in_flight_bytes + bytes <= store.tuning.ring_bytes;
  if (producer.Free() < records + reserve || !bytes_fit) {
    return Error{ErrorCode::kOverloaded, "the Writer's ring is full",
                 "wait for an earlier ticket and try again"};
  }
  if (!WithinShare(log, records, bytes)) {
    const std::lock_guard lock(log.mutex);
    return Error{ErrorCode::kOverloaded,
                 "log '" + log.name + "' has as much on its way as the Writer's ring leaves to one",
                 "wait for an earlier ticket and try again; other logs still have room"};
  }
  return {};
}

/// A log may have as much in the ring as is left of it: alone half of all, among many noisy ones an
/// equal part, so that whoever comes later always finds room [B7]. One group is always allowed.
bool Writer::Impl::WithinShare(const log::ServerLog& log, std::uint64_t records,
                               std::uint64_t bytes) const {
  if (log.in_flight_records == 0) return true;
  const std::uint64_t reserve = store.tuning.ring_records / kRingReserveShare;
  return log.in_flight_records + records <= producer.Free() - reserve &&
         log.in_flight_bytes + bytes <= store.tuning.ring_bytes - in_flight_bytes;
}

Status Writer::Impl::MarksAdmitted() const {
  if (const auto refused = store.port->refuses_marks()) {
    return RefusedBy(*refused);
  }
  if (producer.Free() == 0) {
    return Error{ErrorCode::kOverloaded, "the Writer's ring is full",
                 "wait for an earlier ticket and try again"};
  }
  return {};
}

Error Writer::Impl::TooLarge(std::uint64_t payload_bytes) const {
  const bool file = store.entry_bytes_max == store.payload_bytes_max;
  return {ErrorCode::kTooLarge,
          "an entry of " + std::to_string(payload_bytes) + " bytes; the limit is " +
              std::to_string(store.entry_bytes_max),
          file ? "raise wal_max_size_bytes: an entry may take a quarter of a WAL file"
               : "raise memory_budget: an entry may take a quarter of it"};
}

/// Why a group of that size would not be taken now.
Status Writer::Impl::RoomFor(LogRef ref, std::uint64_t entries, std::uint64_t bytes) {
  const log::ServerLog* log = TRY(Own(ref));
  if (bytes / std::max<std::uint64_t>(entries, 1) > store.entry_bytes_max) {
    return TooLarge(bytes / std::max<std::uint64_t>(entries, 1));
  }
  TRY(Admit(*log, entries, bytes));
  if (arena->HasRoom(bytes + entries * memtable::kArenaEntryHeaderBytes)) return {};
  return Error{ErrorCode::kOverloaded, "memory_budget is used up",
               "move the floors of logs, drop pins, or raise memory_budget"};
}

Status Writer::WaitForRoom(LogRef log, std::size_t entries, std::size_t bytes, Deadline deadline) {
  struct Waiting {
    Impl* impl;
    LogRef log;
    std::size_t entries;
    std::size_t bytes;
    Status status;
  } waiting{impl_, log, entries, bytes, {}};
  const auto done = [](void* argument) {
    auto* self = static_cast<Waiting*>(argument);
    self->impl->Process();
    self->status = self->impl->RoomFor(self->log, self->entries, self->bytes);
    if (self->status.ok()) return true;
    const ErrorCode code = self->status.error().code;
    return code != ErrorCode::kOverloaded && code != ErrorCode::kDiskFull &&
           code != ErrorCode::kWalDown;
  };
  if (done(&waiting)) return std::move(waiting.status);
  impl_->PublishHeld();
  (void)impl_->store.executor->Await(done, &waiting, deadline);
  return std::move(waiting.status);
}

}  // namespace v1
}  // namespace duramen
