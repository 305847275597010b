// The payload memory of one Writer: chunks of mapped memory into which entries are copied once.
//
// Owned by the store, written by the thread that uses the Writer (the "owner"). An entry in a chunk
// is, 8-aligned:
//   entry checksum u64 | payload | zeros to the next multiple of 8
// An entry over chunk_bytes gets a chunk of its own size; so does one that does not fit into the
// open chunk while over a quarter of that is still to be filled. No entry is freed alone.
//
// A chunk has a u32 number, from 1 up. The numbers are not used again (they wrap after 2^32 chunks,
// when what the first ones held has long left the bounded WAL).
//
// A number means nothing in another Arena: a table whose log goes to another Writer forgets its
// slots first (MemTable::ForgetSlots).
//
// Life of a chunk (rule A11: freed by where entries landed, never by when they were posted):
//   open or full   NotePosition(chunk, p): the newest ring position that refers to it is p.
//   landed         NoteDurable(d, file) with d >= p: everything in it is durable, in a WAL file
//                  numbered at most `file`. A later NotePosition makes it unlanded again.
//   freed          by Free, only from landed: cannot be pinned any more.
//   gone           once unpinned: reused or unmapped. Until then its bytes stay counted.
// A reader that cannot pin a chunk finds the entry in the WAL file.
//
// Threads: Allocate, NotePosition, NoteDurable and Free belong to the owner. TryPin, Unpin and
// Resolve may be called on any thread and block nobody. The WAL thread needs no pin: a descriptor
// that is not durable keeps its chunk unlanded. All bytes count in the MemoryBudget from mapping to
// unmapping. An Arena without live chunks has nothing mapped, but for chunks that are still pinned.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/memory_budget.h"
#include "base/ring_queue.h"
#include "duramen/result.h"
#include "duramen/types.h"
#include "memtable/chunk_memory.h"

namespace duramen::memtable {

/// Names a chunk; 0 names none.
using ChunkNumber = std::uint32_t;
inline constexpr ChunkNumber kNoChunk = 0;

/// The entry checksum in front of each payload.
inline constexpr std::uint32_t kArenaEntryHeaderBytes = 8;
/// Offsets and lengths are u32; a larger payload is refused.
inline constexpr std::uint64_t kArenaPayloadBytesMax = 1u << 30;

struct ArenaOptions {
  std::uint64_t chunk_bytes = 256u << 10;  // rounded up to pages
  std::uint32_t chunks_max = 8192;         // live and held ones; rounded up to a power of two
  std::uint32_t free_chunks_max = 8;       // kept mapped for reuse while other chunks are live;
                                           // more only while as many are filled between two frees
  ChunkSource* source = nullptr;           // null: chunks are mapped one by one
};

/// A place for one entry. `memory` has room for the checksum and the payload.
struct ArenaSpan {
  ChunkNumber chunk = kNoChunk;
  std::uint32_t offset = 0;  // of the checksum, in bytes from the start of the chunk
  std::byte* memory = nullptr;
};

/// Landed chunks that Free may let go of: those whose entries all lie in WAL files up to
/// `recycled_file`; and, oldest first, any others for as long as live_bytes() > evict_to_bytes.
struct FreeRequest {
  std::uint64_t recycled_file = 0;
  std::uint64_t evict_to_bytes = UINT64_MAX;
};

class Arena {
 public:
  /// `budget` outlives the Arena.
  Arena(MemoryBudget& budget, const ArenaOptions& options);
  /// Requires: no pin held, no descriptor in flight that refers to it.
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Owner. Room for an entry of `payload_bytes`. The owner fills it, posts a descriptor and calls
  /// NotePosition before the next Free; a span that is not posted is wasted until its chunk goes.
  /// Errors: kOverloaded (budget or chunks_max), kTooLarge, kIo (the system gives no memory).
  Result<ArenaSpan> Allocate(std::uint64_t payload_bytes, BudgetUse use);
  /// Owner. Whether entries of `bytes`, headers included, would find memory now.
  bool HasRoom(std::uint64_t bytes) const noexcept;
  /// Owner. Allocates, and writes checksum, payload and the zeros behind it.
  Result<ArenaSpan> Store(std::uint64_t entry_checksum, Bytes payload, BudgetUse use);
  /// Owner. The descriptor at ring position `position` refers to `chunk`. Requires: the chunk is
  /// live; positions of a chunk never go back.
  void NotePosition(ChunkNumber chunk, std::uint64_t position);
  /// Owner. Every position up to `durable_position` is durable in WAL files numbered at most
  /// `wal_file`. Requires: `wal_file` > 0 was read after `durable_position` (rule A11).
  void NoteDurable(std::uint64_t durable_position, std::uint64_t wal_file);
  /// Owner. Frees what `request` allows; takes back chunks freed earlier whose readers have left.
  /// Returns the bytes given back to the budget.
  std::uint64_t Free(const FreeRequest& request);

  /// Any thread. True: the chunk stays readable until the matching Unpin. False: it was freed.
  [[nodiscard]] bool TryPin(ChunkNumber chunk) const noexcept;
  void Unpin(ChunkNumber chunk) const noexcept;
  /// Any thread. The entry checksum and, 8 bytes on, `payload_bytes` of payload; nullptr when there
  /// is no such chunk or the entry would run past it. Requires: the caller holds a pin, or knows of
  /// a descriptor in the chunk that is not durable yet.
  const std::byte* Resolve(ChunkNumber chunk, std::uint32_t offset,
                           std::uint32_t payload_bytes) const noexcept;

  /// Any thread. Bytes mapped: live chunks, freed ones still pinned, and those kept for reuse.
  std::uint64_t bytes_used() const noexcept { return bytes_used_.load(std::memory_order_relaxed); }
  /// Owner. Bytes of chunks that can still be pinned.
  std::uint64_t live_bytes() const noexcept { return live_bytes_; }
  /// Owner. Freed chunks that readers still hold.
  std::size_t held_chunks() const noexcept { return held_.size(); }
  /// Owner. True when every chunk is landed, so that the Writer may go.
  bool AllLanded() const noexcept;

 private:
  /// What any thread sees of a chunk: number % slots leads here.
  struct Slot {
    std::atomic<std::uint64_t> state{0};  // {number u32, freed 1 bit, pins 31 bits}; 0: empty
    std::atomic<std::byte*> memory{nullptr};
    std::atomic<std::uint64_t> size_bytes{0};
  };
  /// What the owner knows of a chunk.
  struct Chunk {
    ChunkNumber number = kNoChunk;
    std::uint64_t newest_position = 0;
    std::uint64_t landed_file = 0;  // 0: not landed
    std::uint64_t size_bytes = 0;
    ChunkMemory memory;
  };

  Slot& SlotOf(ChunkNumber chunk) const noexcept { return slots_[chunk & slot_mask_]; }
  Result<ChunkNumber> NextNumber();
  Result<Chunk*> AddChunk(std::uint64_t size_bytes, BudgetUse use);
  Result<ChunkMemory> TakeMemory(std::uint64_t size_bytes, BudgetUse use);
  void GiveMemory(ChunkMemory memory, std::uint64_t size_bytes, bool keep);
  std::size_t LiveChunk(ChunkNumber chunk) const;
  void SkipLanded();
  void FreeLive(const FreeRequest& request, bool keep);
  bool TryReclaim(Chunk& chunk, bool keep);
  void ReclaimHeld();
  void DropSpareMemory(std::size_t kept);

  MemoryBudget& budget_;
  const std::uint64_t chunk_bytes_;
  const std::uint32_t free_chunks_max_;
  ChunkSource* const source_;
  const std::uint32_t slot_mask_;
  std::unique_ptr<Slot[]> slots_;
  RingQueue<Chunk> live_;            // in order of their numbers
  std::vector<Chunk> held_;          // freed, still pinned
  std::vector<ChunkMemory> spare_;  // each of chunk_bytes_
  std::size_t spare_max_ = 0;
  std::size_t added_ = 0;           // chunks, since a Free had something to free
  std::size_t first_unlanded_ = 0;  // every chunk of live_ before it is landed
  ChunkNumber open_ = kNoChunk;     // the chunk being filled
  std::byte* open_memory_ = nullptr;
  std::uint64_t open_used_ = 0;
  ChunkNumber last_number_ = 0;
  std::uint64_t live_bytes_ = 0;
  std::atomic<std::uint64_t> bytes_used_{0};
};

/// Holds a pin; for readers.
class ChunkPin {
 public:
  ChunkPin() = default;
  /// Not held() when the chunk was freed.
  ChunkPin(const Arena& arena, ChunkNumber chunk) noexcept
      : arena_(arena.TryPin(chunk) ? &arena : nullptr), chunk_(chunk) {}
  ChunkPin(ChunkPin&& other) noexcept : arena_(other.arena_), chunk_(other.chunk_) {
    other.arena_ = nullptr;
  }
  ChunkPin& operator=(ChunkPin&& other) noexcept;
  ~ChunkPin() {
    if (arena_ != nullptr) arena_->Unpin(chunk_);
  }
  bool held() const noexcept { return arena_ != nullptr; }
  ChunkNumber chunk() const noexcept { return chunk_; }

 private:
  const Arena* arena_ = nullptr;
  ChunkNumber chunk_ = kNoChunk;
};

}  // namespace duramen::memtable
