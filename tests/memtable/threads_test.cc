// One writer and two readers on two tables and one arena, bounded by operations. Meant for the
// thread sanitizer; without it, every byte that a reader gets is checked all the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/rng.h"
#include "memtable/arena.h"
#include "memtable/mem_table.h"

namespace duramen::memtable {
namespace {

constexpr std::uint64_t kWriterSteps = 30'000;

/// What the payload of (index, term) is made of.
std::uint64_t Mark(Index index, Term term) { return index * 0x9E3779B97F4A7C15ULL ^ term; }

/// What the slot of (index, term) says, so that one of another entry is known without its payload.
std::uint32_t BytesOf(Term term) { return static_cast<std::uint32_t>(term % 20 * 8); }
std::uint8_t KindOf(Index index) { return static_cast<std::uint8_t>(128 + index % 128); }

/// The store as far as it matters here: two logs, so that blocks of one become blocks of the other.
struct Shared {
  MemoryBudget budget{64u << 20, 0};
  BlockPool pool{budget};
  Arena arena{budget, {.chunk_bytes = 4096, .chunks_max = 256, .free_chunks_max = 2}};
  std::array<MemTable, 2> tables{MemTable(pool), MemTable(pool)};
  std::atomic<bool> done{false};
};

/// The owner of the Writer: appends, overwrites, cuts, and frees chunks as positions get durable.
class WriterThread {
 public:
  explicit WriterThread(Shared& shared) : shared_(shared) {}

  void Run() {
    for (std::uint64_t step = 0; step < kWriterSteps; ++step) {
      MemTable& table = shared_.tables[rng_.Below(2)];
      const TableBounds bounds = table.Bounds();
      const std::uint64_t size = bounds.end - bounds.begin;
      if (size > 300 || rng_.OneIn(10)) {
        table.CutPrefix(bounds.begin + rng_.Below(size + 1));
      } else if (rng_.OneIn(10)) {
        table.CutSuffix(bounds.begin + rng_.Below(size + 1));
      } else if (rng_.OneIn(40)) {
        table.ForgetSlots(bounds.begin + rng_.Below(size + 1));
      } else {
        const std::uint64_t behind = rng_.OneIn(5) ? rng_.Below(size + 1) : 0;
        Append(table, bounds.end - behind);
      }
      if (rng_.OneIn(8)) FreeSome();
    }
    shared_.done.store(true);
  }

 private:
  void Append(MemTable& table, Index first) {
    ++term_;  // A fresh term each time: what was overwritten is never written again.
    std::vector<Slot> slots;
    const std::uint64_t count = 1 + rng_.Below(50);
    for (Index index = first; index < first + count; ++index) {
      std::vector<std::uint64_t> words(BytesOf(term_) / 8, Mark(index, term_));
      const Bytes payload = std::as_bytes(std::span(words));
      Result<ArenaSpan> span =
          shared_.arena.Store(Mark(index, term_), payload, BudgetUse::kEntries);
      ASSERT_TRUE(span.ok());
      shared_.arena.NotePosition(span->chunk, ++position_);
      slots.push_back({span->chunk, span->offset, BytesOf(term_), KindOf(index)});
    }
    const TermRun run{first, term_};
    ASSERT_TRUE(table.Append(first, slots, {&run, 1}).ok());
  }

  void FreeSome() {
    ++file_;
    const std::uint64_t lag = rng_.Below(100);
    shared_.arena.NoteDurable(position_ > lag ? position_ - lag : 0, file_);
    if (rng_.OneIn(2)) {
      shared_.arena.Free({.evict_to_bytes = 64u << 10});
    } else {
      shared_.arena.Free({.recycled_file = file_ > 4 ? file_ - 4 : 0});
    }
  }

  Shared& shared_;
  Rng rng_{11};
  Term term_ = 0;
  std::uint64_t position_ = 0;
  std::uint64_t file_ = 0;
};

struct ReaderCounts {
  std::uint64_t located = 0;
  std::uint64_t pinned = 0;
};

/// Reads ranges; true for each entry that is what its index and term say.
class ReaderThread {
 public:
  ReaderThread(Shared& shared, std::uint64_t seed) : shared_(shared), rng_(seed) {}

  void Run() {
    while (!shared_.done.load()) {
      for (MemTable& table : shared_.tables) ReadSome(table);
    }
  }
  ReaderCounts counts;
  std::string failure;

 private:
  void Expect(bool holds, const char* what) {
    if (!holds && failure.empty()) failure = what;
  }

  void ReadSome(const MemTable& table) {
    const TableBounds bounds = table.Bounds();
    Expect(bounds.begin <= bounds.in_memory_begin && bounds.in_memory_begin <= bounds.end,
           "bounds are of one state");
    Expect(bounds.term_before_begin <= bounds.last_term, "terms ascend");
    const std::uint64_t size = bounds.end - bounds.begin;
    // Where the log is being written, mostly.
    const std::uint64_t behind =
        rng_.Below(rng_.OneIn(3) ? size + 1 : std::min<std::uint64_t>(size, 4) + 1);
    const Index from = bounds.end - behind;
    std::array<EntryLocation, 100> out;
    const Located located = table.Locate({from, from + 100}, out);
    Term last_term = 0;
    for (Index index = located.range.begin; index < located.range.end; ++index) {
      const EntryLocation& entry = out[index - located.range.begin];
      Expect(entry.term >= last_term && entry.term > 0, "terms of a range ascend");
      last_term = entry.term;
      ++counts.located;
      ReadEntry(index, entry);
    }
    if (const std::optional<Term> term = table.TermAt(from)) {
      Expect(*term > 0 || from == 0, "an entry has a term");
    }
    if (rng_.OneIn(16)) Expect(!table.TermRuns().empty(), "there is always a run");
  }

  void ReadEntry(Index index, const EntryLocation& entry) {
    if (entry.slot.chunk == kNoChunk) return;
    Expect(entry.slot.bytes == BytesOf(entry.term), "the slot is of this term");
    Expect(entry.slot.kind == KindOf(index), "the slot is of this index");
    const ChunkPin pin(shared_.arena, entry.slot.chunk);
    if (!pin.held()) return;
    ++counts.pinned;
    const std::byte* const bytes =
        shared_.arena.Resolve(entry.slot.chunk, entry.slot.offset, entry.slot.bytes);
    Expect(bytes != nullptr, "a pinned chunk resolves");
    if (bytes == nullptr) return;
    for (std::uint32_t at = 0; at < 8 + entry.slot.bytes; at += 8) {
      Expect(LoadLe<std::uint64_t>(bytes + at) == Mark(index, entry.term),
             "the bytes are those of this index and term");
    }
  }

  Shared& shared_;
  Rng rng_;
};

TEST(MemTableThreads, MT1_ReadersSeeWholeStatesWhileTheWriterGoesOn) {
  Shared shared;
  ReaderThread first(shared, 1);
  ReaderThread second(shared, 2);
  std::thread first_thread([&first] { first.Run(); });
  std::thread second_thread([&second] { second.Run(); });
  WriterThread(shared).Run();
  first_thread.join();
  second_thread.join();
  EXPECT_EQ(first.failure, "");
  EXPECT_EQ(second.failure, "");
  RecordProperty("located", std::to_string(first.counts.located + second.counts.located));
  RecordProperty("pinned", std::to_string(first.counts.pinned + second.counts.pinned));
}

}  // namespace
}  // namespace duramen::memtable
