#include "log/wal_port.h"

#include "log/store.h"

namespace duramen::log {

void OwnWal::OpenSlot(std::uint32_t slot, const wal::RecordOwner& owner) {
  wal_.OpenSlot(slot, owner);
}

void OwnWal::CloseSlot(std::uint32_t slot) { wal_.CloseSlot(slot); }

Result<SharedMemory> OwnWal::RingMemory(std::size_t size_bytes) {
  return SharedMemory::Anonymous(size_bytes);
}

Status OwnWal::AddRing(Writer::Impl& writer) {
  wal_.AddRing(&writer.port);
  return {};
}

void OwnWal::RemoveRing(Writer::Impl& writer) { wal_.RemoveRing(&writer.port); }

bool OwnWal::HasNotices(const Writer::Impl& writer) const { return !writer.notices.empty(); }

void OwnWal::TakeNotices(Writer::Impl& writer, std::vector<wal::Notice>& out) {
  writer.notices.Take(out);
}

}  // namespace duramen::log
