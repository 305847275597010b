#include "base/ring.h"

#include <algorithm>
#include <bit>
#include <new>
#include <string>

#include "base/kill_step.h"

namespace duramen {
namespace {

constexpr std::uint64_t kRingMagic = 0x474E4952'4D525544ULL;  // "DURMRING"
constexpr std::uint32_t kRingVersion = 1;

Error BadRing(std::string what) {
  return {.code = ErrorCode::kCorruption,
          .message = "the ring in shared memory is not usable: " + std::move(what),
          .hint = ""};
}

/// What both sides check before they trust a ring. `capacity` is read once: the other side may
/// change the word afterwards, the private copy stays.
struct AttachedRing {
  RingHeader* header;
  std::byte* slots;
  std::uint32_t capacity;
  std::uint64_t committed;
  std::uint64_t released;
};

Result<AttachedRing> AttachTo(std::span<std::byte> memory) {
  CHECK(reinterpret_cast<std::uintptr_t>(memory.data()) % alignof(RingHeader) == 0);
  if (memory.size() < sizeof(RingHeader)) return BadRing("too little memory");
  auto* header = std::launder(reinterpret_cast<RingHeader*>(memory.data()));
  if (header->magic != kRingMagic) return BadRing("no ring there");
  if (header->version != kRingVersion) {
    return BadRing("version " + std::to_string(header->version) + " is not known");
  }
  const std::uint32_t capacity = header->capacity;
  if (!std::has_single_bit(capacity) || RingBytes(capacity) > memory.size()) {
    return BadRing("capacity " + std::to_string(capacity) + " does not fit the memory");
  }
  const std::uint64_t released = header->released.load(std::memory_order_acquire);
  const std::uint64_t committed = header->committed.load(std::memory_order_acquire);
  if (committed - released > capacity) {  // Below `released` wraps to a huge difference.
    return BadRing("committed " + std::to_string(committed) + " contradicts released " +
                   std::to_string(released));
  }
  return AttachedRing{header, memory.data() + sizeof(RingHeader), capacity, committed, released};
}

}  // namespace

void RingCreate(std::span<std::byte> memory, std::uint32_t capacity) {
  CHECK(std::has_single_bit(capacity));
  CHECK(memory.size() >= RingBytes(capacity));
  CHECK(reinterpret_cast<std::uintptr_t>(memory.data()) % alignof(RingHeader) == 0);
  auto* header = new (memory.data()) RingHeader{};
  header->version = kRingVersion;
  header->capacity = capacity;
  header->magic = kRingMagic;
}

Result<RingProducer> RingProducer::Attach(std::span<std::byte> memory) {
  Result<AttachedRing> ring = AttachTo(memory);
  if (!ring.ok()) return std::move(ring).error();
  RingProducer producer;
  producer.header_ = ring->header;
  producer.slots_ = ring->slots;
  producer.committed_ = ring->committed;
  producer.published_ = ring->committed;
  producer.capacity_ = ring->capacity;
  return producer;
}

std::uint64_t RingProducer::Free() const {
  const std::uint64_t used = committed_ - released();
  return used <= capacity_ ? capacity_ - used : 0;  // A wild `released` gives no room.
}

std::optional<std::uint64_t> RingProducer::Push(std::span<const std::byte> records) {
  CHECK(!records.empty() && records.size() % kRingRecordBytes == 0);
  const std::uint64_t count = records.size() / kRingRecordBytes;
  if (count > Free()) return std::nullopt;
  // Position committed_ + 1 lies in slot committed_ % capacity; at most one wrap.
  const std::uint64_t first_slot = committed_ & (capacity_ - 1);
  const std::uint64_t before_wrap = std::min<std::uint64_t>(count, capacity_ - first_slot);
  const std::size_t head_bytes = before_wrap * kRingRecordBytes;
  CopyShared(slots_ + first_slot * kRingRecordBytes, records.data(), head_bytes);
  if (before_wrap < count) {
    CopyShared(slots_, records.data() + head_bytes, records.size() - head_bytes);
  }
  committed_ += count;
  Pass(KillStep::kSlotsWritten);
  if (!holds_) Publish();
  return committed_;
}

void RingProducer::Publish() {
  holds_ = false;
  if (published_ == committed_) return;
  published_ = committed_;
  header_->committed.store(committed_, std::memory_order_release);  // The commit: one store.
  Pass(KillStep::kCommitted);
}

Result<RingConsumer> RingConsumer::Attach(std::span<std::byte> memory) {
  Result<AttachedRing> ring = AttachTo(memory);
  if (!ring.ok()) return std::move(ring).error();
  RingConsumer consumer;
  consumer.header_ = ring->header;
  consumer.slots_ = ring->slots;
  consumer.released_ = ring->released;
  consumer.capacity_ = ring->capacity;
  return consumer;
}

Result<std::uint64_t> RingConsumer::Committed() const {
  const std::uint64_t committed = header_->committed.load(std::memory_order_acquire);
  if (committed - released_ > capacity_) {  // Below `released_` wraps to a huge difference.
    return BadRing("committed " + std::to_string(committed) + " is outside of [" +
                   std::to_string(released_) + ", " + std::to_string(released_ + capacity_) + "]");
  }
  return committed;
}

void RingConsumer::Copy(std::uint64_t position, std::span<std::byte, kRingRecordBytes> out) const {
  CHECK(position - released_ - 1 < capacity_);
  const std::uint64_t slot = (position - 1) & (capacity_ - 1);
  CopyShared(out.data(), slots_ + slot * kRingRecordBytes, kRingRecordBytes);
}

void RingConsumer::Release(std::uint64_t position) {
  CHECK(position - released_ <= capacity_);
  released_ = position;
  // Release order: the producer overwrites only what has been copied out before this store.
  header_->released.store(position, std::memory_order_release);
}

}  // namespace duramen
