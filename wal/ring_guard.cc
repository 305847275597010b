#include "wal/ring_guard.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"

namespace duramen::wal {
namespace {

constexpr std::uint64_t kEntryHeaderBytes = 8;  // the checksum before a payload in its chunk
constexpr std::uint64_t kRowsAhead = 1 << 20;   // a row's number is at most so far ahead
constexpr std::uint8_t kUserKindMin = 128;

Error Breach(const std::string& what) {
  return {ErrorCode::kCorruption, "a record that breaks the rules: " + what, ""};
}

std::string Number(std::uint64_t value) { return std::to_string(value); }

}  // namespace

RingGuard::RingGuard(const Environment& environment)
    : environment_(environment), source_(environment.notices) {}

void RingGuard::Grant(std::uint32_t number, const RingGrant& grant) {
  const std::lock_guard lock(mutex_);
  grants_[number] = grant;
  if (!grant.skip) by_slot_[grant.slot] = grant;  // What is passed over has no slot.
}

void RingGuard::Revoke(std::uint32_t number) {
  const std::lock_guard lock(mutex_);
  const auto found = grants_.find(number);
  if (found == grants_.end()) return;
  if (!found->second.skip) by_slot_.erase(found->second.slot);
  grants_.erase(found);
}

std::string RingGuard::reason() const {
  const std::lock_guard lock(mutex_);
  return reason_;
}

void RingGuard::CutOff(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (reason_.empty()) reason_ = reason;
  }
  drained_.store(true, std::memory_order_release);
  cut_off_.store(true, std::memory_order_release);
}

Status RingGuard::CheckPayload(const Descriptor& descriptor) const {
  if (descriptor.payload_bytes > environment_.payload_bytes_max) {
    return Breach("a payload of " + Number(descriptor.payload_bytes) + " bytes");
  }
  if (descriptor.chunk == 0) return Breach("a payload without a place");
  const std::uint64_t begin = (std::uint64_t{descriptor.chunk} - 1) * kPageBytes +
                              descriptor.offset + kEntryHeaderBytes;
  const std::uint64_t end = begin + descriptor.payload_bytes;
  if (end > environment_.region.size()) return Breach("a payload outside of its memory");
  return {};
}

Status RingGuard::CheckEntry(const Descriptor& descriptor) const {
  if (descriptor.kind < kUserKindMin) return Breach("an entry of kind " + Number(descriptor.kind));
  if (descriptor.index == 0 || descriptor.term == 0) return Breach("index or term 0");
  return CheckPayload(descriptor);
}

Result<RingGrant> RingGuard::Translate(Descriptor& descriptor) const {
  const auto broken = [](Status status) { return std::move(status).error(); };
  if (descriptor.index >= kNumberMax || descriptor.term >= kNumberMax ||
      descriptor.epoch >= kNumberMax) {
    return Breach("a number that is too large");
  }
  Status status;
  switch (descriptor.run_kind) {
    case RunKind::kNext:
    case RunKind::kOverwrite:
      status = CheckEntry(descriptor);
      break;
    case RunKind::kRows:
      status = CheckPayload(descriptor);
      if (status.ok() && descriptor.term != 0) status = Breach("a row with a term");
      break;
    case RunKind::kTruncateSuffix:
    case RunKind::kReset:
    case RunKind::kFloor:
      if (descriptor.index == 0) status = Breach("a mark at index 0");
      if (descriptor.payload_bytes != 0) status = Breach("a mark with a payload");
      break;
    default:
      status = Breach("run kind " + Number(static_cast<std::uint64_t>(descriptor.run_kind)));
      break;
  }
  if (!status.ok()) return broken(std::move(status));
  const std::lock_guard lock(mutex_);
  const auto found = grants_.find(descriptor.slot);
  if (found == grants_.end()) return Breach("log " + Number(descriptor.slot) + " is not claimed");
  // Told, and not relied on; but such times are subtracted from each other.
  descriptor.enqueued_ns = std::max<std::int64_t>(descriptor.enqueued_ns, 0);
  descriptor.slot = found->second.slot;
  return found->second;
}

Status RingGuard::CheckOrder(const Descriptor& descriptor, const SlotBounds& bounds,
                             std::uint64_t last_row) {
  const bool cuts = descriptor.run_kind == RunKind::kOverwrite ||
                    descriptor.run_kind == RunKind::kTruncateSuffix ||
                    descriptor.run_kind == RunKind::kReset;
  const std::uint64_t epoch = bounds.epoch + (cuts ? 1 : 0);
  if (descriptor.epoch != epoch) {
    return Breach("epoch " + Number(descriptor.epoch) + " where " + Number(epoch) +
                  " is due, at index " + Number(descriptor.index) + " of run kind " +
                  Number(static_cast<std::uint64_t>(descriptor.run_kind)));
  }
  const Index index = descriptor.index;
  switch (descriptor.run_kind) {
    case RunKind::kNext:
      if (index != bounds.end) return Breach("index " + Number(index) + " leaves a gap");
      if (descriptor.term < bounds.last_term) return Breach("a term goes down along a log");
      return {};
    case RunKind::kOverwrite:
    case RunKind::kTruncateSuffix:
    case RunKind::kFloor:
      if (index < bounds.begin || index > bounds.end) {
        return Breach("index " + Number(index) + " is outside of its log");
      }
      return {};
    case RunKind::kRows:
      if (index <= last_row || index > last_row + kRowsAhead) {
        return Breach("row " + Number(index) + " behind row " + Number(last_row));
      }
      return {};
    default:
      return {};
  }
}

const std::byte* RingGuard::Resolve(const Descriptor& descriptor) const {
  if (!CheckPayload(descriptor).ok()) return nullptr;
  return environment_.region.data() + (std::uint64_t{descriptor.chunk} - 1) * kPageBytes +
         descriptor.offset + kEntryHeaderBytes;
}

bool RingGuard::Copy(std::byte* to, const std::byte* from, std::size_t bytes) const {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return environment_.intact == nullptr || environment_.intact(environment_.argument);
}

Status RingGuard::JudgeRow(const Descriptor& descriptor, Bytes payload) const {
  if (payload.size() < sizeof(std::uint64_t) ||
      LoadLe<std::uint64_t>(payload.data()) != descriptor.index) {
    return Breach("a row that contradicts its number");
  }
  RingGrant grant;
  {
    const std::lock_guard lock(mutex_);
    const auto found = by_slot_.find(descriptor.slot);
    if (found == by_slot_.end()) return Breach("a row of a log that is not claimed");
    grant = found->second;
  }
  return environment_.judge.JudgeRow(grant, descriptor.kind, payload);
}

bool RingResume::IsDone(const Descriptor& descriptor) const {
  const auto found = logs_.find(descriptor.slot);
  if (found == logs_.end()) return false;
  const Known& log = found->second;
  if (log.gone) return true;
  if (descriptor.run_kind == RunKind::kRows) return descriptor.index <= log.row_sequence;
  if (descriptor.epoch != log.bounds.epoch) return descriptor.epoch < log.bounds.epoch;
  switch (descriptor.run_kind) {
    case RunKind::kNext:
    case RunKind::kOverwrite:
      return descriptor.index < log.bounds.end;
    case RunKind::kFloor:
      return descriptor.index <= log.bounds.begin;
    default:
      return true;  // Nothing else opens that epoch.
  }
}

std::uint64_t RingResume::DoneUpto(const RingConsumer& ring, std::uint64_t committed) const {
  std::uint64_t done = ring.released();
  while (done < committed) {
    Descriptor descriptor;
    ring.Copy(done + 1, std::as_writable_bytes(std::span<Descriptor, 1>(&descriptor, 1)));
    if (!IsDone(descriptor)) break;
    ++done;
  }
  return done;
}

}  // namespace duramen::wal
