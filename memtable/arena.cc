#include "memtable/arena.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/try.h"

namespace duramen::memtable {
namespace {

constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kChunkBytesMax = 1u << 30;
constexpr std::uint32_t kChunksMax = 1u << 20;
static_assert(kArenaPayloadBytesMax + kPageBytes < UINT32_MAX, "offsets in a chunk are u32");

// A slot's state: {number u32, freed 1 bit, pins 31 bits}.
constexpr std::uint64_t kFreed = 1u << 31;
constexpr std::uint64_t kPins = kFreed - 1;
constexpr std::uint64_t StateOf(ChunkNumber number) { return std::uint64_t{number} << 32; }
constexpr ChunkNumber NumberIn(std::uint64_t state) {
  return static_cast<ChunkNumber>(state >> 32);
}

Result<ChunkMemory> Mapped(std::uint64_t size_bytes) {
  return ChunkMemory(TRY(SharedMemory::Anonymous(size_bytes)));
}

Error Overloaded(const char* what) {
  return {.code = ErrorCode::kOverloaded,
          .message = what,
          .hint = "retry after a while; floors that move and reads that end free memory"};
}

}  // namespace

Arena::Arena(MemoryBudget& budget, const ArenaOptions& options)
    : budget_(budget),
      chunk_bytes_(RoundUp(std::max<std::uint64_t>(options.chunk_bytes, 1), kPageBytes)),
      free_chunks_max_(options.free_chunks_max),
      source_(options.source),
      slot_mask_(std::bit_ceil(std::clamp(options.chunks_max, 2u, kChunksMax)) - 1),
      slots_(std::make_unique<Slot[]>(slot_mask_ + 1)) {
  CHECK(chunk_bytes_ <= kChunkBytesMax);
}

Arena::~Arena() {
  for (std::size_t i = 0; i < live_.size(); ++i) {
    live_bytes_ -= live_[i].size_bytes;
    CHECK(TryReclaim(live_[i], false));
  }
  ReclaimHeld();
  CHECK(held_.empty());
  DropSpareMemory(0);
  CHECK(bytes_used() == 0);
}

Result<ArenaSpan> Arena::Allocate(std::uint64_t payload_bytes, BudgetUse use) {
  if (payload_bytes > kArenaPayloadBytesMax) {
    return Error{.code = ErrorCode::kTooLarge,
                 .message = "a payload of " + std::to_string(payload_bytes) + " bytes is over " +
                            std::to_string(kArenaPayloadBytesMax),
                 .hint = "split it"};
  }
  const std::uint64_t need = RoundUp(kArenaEntryHeaderBytes + payload_bytes, 8);
  const std::uint64_t room = open_ == kNoChunk ? 0 : chunk_bytes_ - open_used_;
  if (need > room) {
    if (need > chunk_bytes_ || room > chunk_bytes_ / 4) {
      Chunk* const own = TRY(AddChunk(RoundUp(need, kPageBytes), use));
      return ArenaSpan{own->number, 0, own->memory.bytes().data()};
    }
    Chunk* const opened = TRY(AddChunk(chunk_bytes_, use));
    open_ = opened->number;
    open_memory_ = opened->memory.bytes().data();
    open_used_ = 0;
  }
  const ArenaSpan span{open_, static_cast<std::uint32_t>(open_used_), open_memory_ + open_used_};
  open_used_ += need;
  return span;
}

bool Arena::HasRoom(std::uint64_t bytes) const noexcept {
  const std::uint64_t room = open_ == kNoChunk ? 0 : chunk_bytes_ - open_used_;
  if (bytes <= room || !spare_.empty()) return true;
  const std::uint64_t top = budget_.limit_bytes() - budget_.reserve_bytes();
  return budget_.used_bytes() + std::max(RoundUp(bytes, kPageBytes), chunk_bytes_) <= top;
}

Result<ArenaSpan> Arena::Store(std::uint64_t entry_checksum, Bytes payload, BudgetUse use) {
  const ArenaSpan span = TRY(Allocate(payload.size(), use));
  StoreLe(span.memory, entry_checksum);
  std::byte* const to = span.memory + kArenaEntryHeaderBytes;
  if (!payload.empty()) std::memcpy(to, payload.data(), payload.size());
  std::memset(to + payload.size(), 0, RoundUp(payload.size(), 8) - payload.size());
  return span;
}

Result<ChunkNumber> Arena::NextNumber() {
  for (std::uint32_t i = 0; i <= slot_mask_; ++i) {
    ++last_number_;
    if (last_number_ == kNoChunk) ++last_number_;
    // A long-lived chunk keeps its slot; its turn is skipped.
    if (SlotOf(last_number_).state.load(std::memory_order_relaxed) == 0) return last_number_;
  }
  return Overloaded("all chunks of this writer's arena are in use");
}

Result<Arena::Chunk*> Arena::AddChunk(std::uint64_t size_bytes, BudgetUse use) {
  const ChunkNumber number = TRY(NextNumber());
  ChunkMemory memory = TRY(TakeMemory(size_bytes, use));
  Slot& slot = SlotOf(number);
  slot.memory.store(memory.bytes().data(), std::memory_order_relaxed);
  slot.size_bytes.store(size_bytes, std::memory_order_relaxed);
  slot.state.store(StateOf(number), std::memory_order_release);
  live_.push_back({number, 0, 0, size_bytes, std::move(memory)});
  live_bytes_ += size_bytes;
  ++added_;
  return &live_.back();
}

Result<ChunkMemory> Arena::TakeMemory(std::uint64_t size_bytes, BudgetUse use) {
  if (size_bytes == chunk_bytes_ && !spare_.empty()) {
    ChunkMemory memory = std::move(spare_.back());
    spare_.pop_back();
    return memory;
  }
  if (!budget_.TryReserve(size_bytes, use)) {
    // What is kept for comfort or was left by readers may be just what is missing.
    ReclaimHeld();
    DropSpareMemory(0);
    if (!budget_.TryReserve(size_bytes, use)) return Overloaded("memory_budget is used up");
  }
  Result<ChunkMemory> memory = source_ != nullptr ? source_->Take(size_bytes) : Mapped(size_bytes);
  if (!memory.ok()) {
    budget_.Release(size_bytes);
    return memory;
  }
  bytes_used_.store(bytes_used() + size_bytes, std::memory_order_relaxed);
  return memory;
}

void Arena::GiveMemory(ChunkMemory memory, std::uint64_t size_bytes, bool keep) {
  if (keep && size_bytes == chunk_bytes_ && spare_.size() < spare_max_) {
    spare_.push_back(std::move(memory));
    return;
  }
  bytes_used_.store(bytes_used() - size_bytes, std::memory_order_relaxed);
  budget_.Release(size_bytes);
}

void Arena::DropSpareMemory(std::size_t kept) {
  while (spare_.size() > kept) {
    ChunkMemory memory = std::move(spare_.back());
    spare_.pop_back();
    GiveMemory(std::move(memory), chunk_bytes_, false);
  }
}

std::size_t Arena::LiveChunk(ChunkNumber chunk) const {
  // Descriptors refer to chunks of the last few allocations.
  for (std::size_t i = live_.size(); i > 0; --i) {
    if (live_[i - 1].number == chunk) return i - 1;
  }
  CHECK(false);  // Not live: the caller kept a span over a Free.
  return 0;
}

void Arena::NotePosition(ChunkNumber chunk, std::uint64_t position) {
  const std::size_t at = LiveChunk(chunk);
  CHECK(position >= live_[at].newest_position);
  live_[at].newest_position = position;
  live_[at].landed_file = 0;
  first_unlanded_ = std::min(first_unlanded_, at);
}

void Arena::NoteDurable(std::uint64_t durable_position, std::uint64_t wal_file) {
  CHECK(wal_file > 0);
  for (std::size_t i = first_unlanded_; i < live_.size(); ++i) {
    Chunk& chunk = live_[i];
    if (chunk.landed_file == 0 && chunk.newest_position <= durable_position) {
      chunk.landed_file = wal_file;
    }
  }
  SkipLanded();
}

void Arena::SkipLanded() {
  while (first_unlanded_ < live_.size() && live_[first_unlanded_].landed_file != 0) {
    ++first_unlanded_;
  }
}

bool Arena::AllLanded() const noexcept { return first_unlanded_ == live_.size(); }

std::uint64_t Arena::Free(const FreeRequest& request) {
  const std::uint64_t before = bytes_used();
  ReclaimHeld();
  const std::size_t live_before = live_.size();
  // What comes free at once, a WAL file's worth, is what the next one will need: mapping it anew
  // would cost a system call a chunk, and a page fault a page.
  spare_max_ = std::max<std::size_t>(free_chunks_max_, added_);
  FreeLive({.recycled_file = request.recycled_file}, true);
  if (live_.size() < live_before) {
    DropSpareMemory(spare_max_);
    added_ = 0;
  }
  if (live_bytes_ > request.evict_to_bytes) {
    DropSpareMemory(0);
    FreeLive({.evict_to_bytes = request.evict_to_bytes}, false);
  }
  if (live_.empty()) DropSpareMemory(0);
  return before - bytes_used();
}

void Arena::FreeLive(const FreeRequest& request, bool keep) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < live_.size(); ++i) {
    Chunk& chunk = live_[i];
    const bool free = chunk.landed_file != 0 && (chunk.landed_file <= request.recycled_file ||
                                                 live_bytes_ > request.evict_to_bytes);
    if (!free) {
      if (kept != i) live_[kept] = std::move(chunk);
      ++kept;
      continue;
    }
    if (chunk.number == open_) open_ = kNoChunk;
    live_bytes_ -= chunk.size_bytes;
    if (!TryReclaim(chunk, keep)) held_.push_back(std::move(chunk));
  }
  while (live_.size() > kept) live_.pop_back();
  first_unlanded_ = 0;
  SkipLanded();
}

bool Arena::TryReclaim(Chunk& chunk, bool keep) {
  std::atomic<std::uint64_t>& state = SlotOf(chunk.number).state;
  // After this nobody can begin to pin. Acquire: what readers did comes before the memory's reuse.
  const std::uint64_t before = state.fetch_or(kFreed, std::memory_order_acq_rel);
  CHECK(NumberIn(before) == chunk.number);
  if ((before & kPins) != 0) return false;
  state.store(0, std::memory_order_release);
  GiveMemory(std::move(chunk.memory), chunk.size_bytes, keep);
  return true;
}

void Arena::ReclaimHeld() {
  std::vector<Chunk> still;
  for (Chunk& chunk : held_) {
    if (!TryReclaim(chunk, false)) still.push_back(std::move(chunk));
  }
  held_ = std::move(still);
}

bool Arena::TryPin(ChunkNumber chunk) const noexcept {
  if (chunk == kNoChunk) return false;
  std::atomic<std::uint64_t>& state = SlotOf(chunk).state;
  std::uint64_t seen = state.load(std::memory_order_relaxed);
  do {
    if (NumberIn(seen) != chunk || (seen & kFreed) != 0) return false;
    if ((seen & kPins) == kPins) return false;  // As good as freed: the reader goes to the file.
  } while (!state.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire,
                                        std::memory_order_relaxed));
  if ((seen & kPins) == 0) {
    budget_.AddPinned(SlotOf(chunk).size_bytes.load(std::memory_order_relaxed));
  }
  return true;
}

void Arena::Unpin(ChunkNumber chunk) const noexcept {
  // While this pin holds, nobody can give the slot to another chunk.
  const std::uint64_t size_bytes = SlotOf(chunk).size_bytes.load(std::memory_order_relaxed);
  const std::uint64_t before = SlotOf(chunk).state.fetch_sub(1, std::memory_order_release);
  CHECK(NumberIn(before) == chunk);
  CHECK((before & kPins) != 0);
  if ((before & kPins) == 1) budget_.SubtractPinned(size_bytes);
}

const std::byte* Arena::Resolve(ChunkNumber chunk, std::uint32_t offset,
                                std::uint32_t payload_bytes) const noexcept {
  const Slot& slot = SlotOf(chunk);
  if (chunk == kNoChunk || NumberIn(slot.state.load(std::memory_order_acquire)) != chunk) {
    return nullptr;
  }
  const std::uint64_t end = std::uint64_t{offset} + kArenaEntryHeaderBytes + payload_bytes;
  if (end > slot.size_bytes.load(std::memory_order_relaxed)) return nullptr;
  return slot.memory.load(std::memory_order_relaxed) + offset;
}

ChunkPin& ChunkPin::operator=(ChunkPin&& other) noexcept {
  if (this == &other) return *this;
  if (arena_ != nullptr) arena_->Unpin(chunk_);
  arena_ = std::exchange(other.arena_, nullptr);
  chunk_ = other.chunk_;
  return *this;
}

}  // namespace duramen::memtable
