// Where the entries of one log are, and their terms: the index in front of the arena.
//
// One per log, owned by the store's registry. One writer: the thread that uses the log's Writer.
// Any number of readers on any thread; they never block the writer, and see either the state before
// a change or the one after it, never a mixture:
//   - Append beyond the end touches nothing that readers look at, then publishes the new end; a
//     reader that copies slots meanwhile is not disturbed.
//   - Every other change (and an Append that overwrites, or that moves the index to larger blocks)
//     makes `version_` odd, changes, and makes it even again. A reader that finds the version
//     changed starts again. It follows a pointer only after it has found the version unchanged
//     since it read that pointer; blocks are type-stable (block_pool.h), so a late reader touches
//     mapped memory. No fences: every shared word is stored with release and loaded with acquire,
//     so whoever sees a changed word sees the odd version too.
//
// Entries are [begin, end). Those of [in_memory_begin, end) have a slot, 16 bytes each, found by
// subtraction; what lies below was recovered or forgotten and is in the WAL file. A slot names a
// chunk; the chunk may have been freed since, then too the entry is in the WAL file (see arena.h).
// Terms are runs {first, term} that cover [begin - 1, end). An idle table (begin == end) holds
// no block.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/types.h"
#include "memtable/arena.h"
#include "memtable/block_pool.h"

namespace duramen::memtable {

/// Where one entry's bytes are.
struct Slot {
  ChunkNumber chunk = kNoChunk;
  std::uint32_t offset = 0;  // of the entry checksum
  std::uint32_t bytes = 0;   // of payload
  std::uint8_t kind = 0;
};

/// Entries from `first` on, up to the next run, are of `term`.
struct TermRun {
  Index first = 0;
  Term term = 0;
  friend bool operator==(const TermRun&, const TermRun&) = default;
};

/// One consistent view. begin - 1 has term_before_begin; end - 1 has last_term.
struct TableBounds {
  Index begin = 1;
  Index in_memory_begin = 1;  // begin <= in_memory_begin <= end
  Index end = 1;
  Term term_before_begin = 0;
  Term last_term = 0;
};

/// What a reader learns of one entry. slot.chunk == kNoChunk: it is in the WAL file, and its kind
/// and length are known only there.
struct EntryLocation {
  Slot slot;
  Term term = 0;
};

/// `range` was copied to the front of the caller's buffer, all from one state of the table.
struct Located {
  IndexRange range;           // empty: the first index asked for is not in the table
  std::uint64_t version = 0;  // for UnchangedSince
};

class MemTable {
 public:
  /// An empty log that begins at 1. `pool` outlives the table.
  explicit MemTable(BlockPool& pool) noexcept;
  /// Requires: no reader is inside.
  ~MemTable();
  MemTable(const MemTable&) = delete;
  MemTable& operator=(const MemTable&) = delete;

  // Writer only.

  /// Adds `slots` from `first` on and ends there; entries at and above `first` are replaced in the
  /// same step. All or nothing. Requires: begin <= first <= end; at least one slot; `terms` is
  /// ascending by index, begins at `first`, and begins no run at or above first + slots.size().
  /// The caller has refused terms that go down. Errors: kOverloaded (no memory for index blocks).
  Status Append(Index first, std::span<const Slot> slots, std::span<const TermRun> terms);
  /// Drops entries at and above `new_end`. Requires: begin <= new_end <= end.
  void CutSuffix(Index new_end);
  /// Drops entries below `new_begin`; the term of new_begin - 1 stays known.
  /// Requires: begin <= new_begin <= end.
  void CutPrefix(Index new_begin);
  /// Empties the table; the log begins at `begin`. Requires: begin >= 1.
  void Reset(Index begin, Term term_before_begin);
  /// Drops the slots (not the entries) below `new_in_memory_begin`, which frees index memory of
  /// entries whose chunks were evicted. Below in_memory_begin: nothing to do. Requires: <= end.
  void ForgetSlots(Index new_in_memory_begin);
  /// What recovery found: `bounds` with all entries in the WAL file. `runs` is ascending, the first
  /// begins at or below bounds.begin - 1, none at or above bounds.end; in_memory_begin and the two
  /// terms of `bounds` are not looked at. Takes memory over the budget if it must (rule B2).
  void Restore(const TableBounds& bounds, std::span<const TermRun> runs);

  // Any thread.

  TableBounds Bounds() const noexcept;
  /// Nothing when `index` is outside of [begin - 1, end).
  std::optional<Term> TermAt(Index index) const noexcept;
  /// Copies where the entries from range.begin on are, as far as `range`, the table and `out` go.
  Located Locate(IndexRange range, std::span<EntryLocation> out) const noexcept;
  /// The term runs that cover [begin - 1, end), clipped to it. For recovery, tools and tests.
  std::vector<TermRun> TermRuns() const;
  /// True: only appends happened since, so what was located is still what the log has. False: look
  /// again (the index may have moved to larger blocks, which changes nothing else).
  bool UnchangedSince(std::uint64_t version) const noexcept {
    return version_.load(std::memory_order_acquire) == version;
  }

 private:
  static constexpr std::uint32_t kInlineRuns = 4;
  static constexpr BlockClass kNoBlock = 0xFF;
  struct View;  // what a reader works with, all of one version
  struct Plan;  // what an Append is about to do, with the blocks that it needs
  /// Numbers of leaf blocks, half-open; leaf n holds the slots of kLeafSlots indexes.
  struct LeafRange {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };

  // Readers. What they return is worth something only if the version is still the view's after.
  bool ReadView(View& view) const noexcept;
  TermRun RunAt(const View& view, std::uint32_t run) const noexcept;
  std::uint32_t FindRun(const View& view, Index index) const noexcept;
  bool CopyLocations(const View& view, IndexRange range, EntryLocation* out) const noexcept;

  // Writer.
  View OwnView() const noexcept;
  void BeginChange() noexcept;
  void EndChange() noexcept;
  bool TakeBlocks(Plan& plan) noexcept;
  void InstallBlocks(const View& view, const Plan& plan) noexcept;
  void InstallRuns(const View& view, const Plan& plan) noexcept;
  void WriteSlots(Index first, std::span<const Slot> slots) noexcept;
  void PushRuns(std::span<const TermRun> terms) noexcept;
  void CutRunsFrom(Index new_end) noexcept;
  void ReleaseLeaves(LeafRange leaves) noexcept;
  void DropSlotsBelow(const View& view, Index in_memory_begin) noexcept;
  void ReleaseDirectory() noexcept;
  void BecomeEmpty(Index begin, Term term_before_begin) noexcept;
  BlockWord* LeafAt(std::uint64_t leaf) const noexcept;
  BlockWord* RunWords() noexcept;

  BlockPool& pool_;
  BlockWord version_{0};  // odd while a change is under way
  BlockWord begin_{1};
  BlockWord in_memory_begin_{1};
  BlockWord end_{1};
  std::atomic<BlockWord*> directory_{nullptr};  // leaf number % capacity -> leaf block
  std::atomic<BlockWord*> runs_{nullptr};       // nullptr: inline_runs_
  BlockWord run_range_{1};                      // {first used run u32, end of used runs u32}
  std::atomic<BlockClass> directory_class_{kNoBlock};
  BlockClass runs_class_ = kNoBlock;  // writer only
  std::array<BlockWord, 2 * kInlineRuns> inline_runs_{};
};
static_assert(sizeof(MemTable) <= 256, "MT3: an idle server costs at most 256 bytes here");

}  // namespace duramen::memtable
