// Rings that lie in memory of other processes; see wal/wal.h and wal/ring_guard.h.
#include "base/kill_step.h"
#include "wal/ring_guard.h"
#include "wal/wal.h"

namespace duramen::wal {

/// Head and tail are private from here on: the word in shared memory is looked at once.
void Wal::SnapshotForeign(Ring& ring) {
  if (ring.end) {
    const bool drained = ring.port->guard->drained();
    EndAt(ring, *ring.end);
    if (drained != ring.port->guard->drained()) environment_.executor.Progress();
    return;
  }
  const Result<std::uint64_t> committed = ring.port->ring->Committed();
  if (!committed.ok()) return CutOff(ring, committed.error().message);
  ring.committed = *committed;
}

void Wal::EndAt(Ring& ring, std::uint64_t position) {
  ring.end = position;
  ring.committed = position;
  if (ring.port->ring->released() >= position) ring.port->guard->SetDrained();
}

/// What stands in front of the record that broke a rule goes on its way.
void Wal::CutOff(Ring& ring, const std::string& reason) {
  if (ring.end && ring.port->guard->cut_off()) return;
  environment_.log.Write(LogLevel::kError, "wal.cut_off",
                         "a process that broke the rules of the shared WAL is cut off",
                         {{"reason", reason}});
  ring.end = ring.committed = ring.taken;
  ring.port->guard->CutOff(reason);
  ring.port->notify(ring.port->argument);
  environment_.executor.Progress();
}

/// Judges the copy of a record and makes it ours.
Wal::Judged Wal::Judge(Ring& ring, Descriptor& descriptor) {
  RingGuard& guard = *ring.port->guard;
  const std::uint32_t number = descriptor.slot;
  const Result<RingGrant> grant = guard.Translate(descriptor);
  if (!grant.ok()) {
    CutOff(ring, grant.error().message);
    return Judged::kCutOff;
  }
  if (grant->skip) return Judged::kSkip;
  // A grant may be newer than the mailbox that was read: nobody who waits for it has written yet.
  const bool there =
      grant->slot < slots_.size() && slots_[grant->slot].owner.uid == grant->owner.uid;
  if (!there) {
    CutOff(ring, "a record of a log before its claim was answered");
    return Judged::kCutOff;
  }
  Slot& slot = slots_[grant->slot];
  slot.told_as = number;
  if (slot.stopped) return Judged::kTake;  // It is refused, as all behind the first that was.
  const Status fits = RingGuard::CheckOrder(descriptor, slot.planned,
                                            std::max(slot.planned_rows, grant->row_sequence));
  if (fits.ok()) return Judged::kTake;
  CutOff(ring, fits.error().message);
  return Judged::kCutOff;
}

/// Who puts something into such a ring need not wake us unless we sleep.
bool Wal::HasWork() const {
  for (const Ring& ring : rings_) {
    if (ring.port->guard == nullptr || ring.end) continue;
    const Result<std::uint64_t> committed = ring.port->ring->Committed();
    if (!committed.ok() || *committed != ring.committed) return true;
  }
  return false;
}

void Wal::OnSleep(bool asleep) {
  if (environment_.asleep != nullptr) environment_.asleep->Show(asleep);
}

/// The payload is judged where it was copied to; what it was copied from may change.
bool Wal::AddForeign(Ring& ring, const RecordSource& source, const Descriptor& descriptor,
                     BatchEncoder& encoder) {
  RingGuard& guard = *ring.port->guard;
  const auto copy = [](const void* argument, std::byte* to, const std::byte* from,
                       std::size_t bytes) {
    return static_cast<const RingGuard*>(argument)->Copy(to, from, bytes);
  };
  if (!encoder.AddRecord(source, {copy, &guard})) {
    CutOff(ring, "a payload that does not match its checksum, or cannot be read");
    return false;
  }
  Pass(KillStep::kPayloadCopied);
  if (descriptor.run_kind != RunKind::kRows) return true;
  const Status judged = guard.JudgeRow(descriptor, encoder.last_payload());
  if (judged.ok()) return true;
  encoder.TakeBackRecord();
  CutOff(ring, judged.error().message);
  return false;
}

}  // namespace duramen::wal
