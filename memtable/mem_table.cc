#include "memtable/mem_table.h"

#include <algorithm>
#include <bit>
#include <thread>

#include "base/check.h"

namespace duramen::memtable {
namespace {

constexpr std::uint64_t kLeafSlots = 32;
constexpr BlockClass kLeafClass = 2;
constexpr std::size_t kSlotWords = 2;
static_assert(BlockWords(kLeafClass) == kLeafSlots * kSlotWords);

constexpr std::uint64_t LeafOf(Index index) { return index / kLeafSlots; }

/// The smallest class of at least `words` words.
BlockClass ClassFor(std::uint64_t words) {
  BlockClass size_class = 0;
  while (BlockWords(size_class) < words) ++size_class;
  CHECK(size_class < kBlockClasses);
  return size_class;
}

std::uint64_t ToWord(const BlockWord* block) { return reinterpret_cast<std::uintptr_t>(block); }
BlockWord* ToBlock(std::uint64_t word) {
  return reinterpret_cast<BlockWord*>(static_cast<std::uintptr_t>(word));
}

std::uint64_t PackRange(std::uint32_t first, std::uint32_t end) {
  return (std::uint64_t{first} << 32) | end;
}

void StoreSlot(BlockWord* words, const Slot& slot) {
  words[0].store((std::uint64_t{slot.offset} << 32) | slot.chunk, std::memory_order_release);
  words[1].store((std::uint64_t{slot.kind} << 32) | slot.bytes, std::memory_order_release);
}
Slot LoadSlot(const BlockWord* words) {
  const std::uint64_t place = words[0].load(std::memory_order_acquire);
  const std::uint64_t what = words[1].load(std::memory_order_acquire);
  return {static_cast<ChunkNumber>(place), static_cast<std::uint32_t>(place >> 32),
          static_cast<std::uint32_t>(what), static_cast<std::uint8_t>(what >> 32)};
}

void StoreRun(BlockWord* words, std::uint32_t run, const TermRun& value) {
  words[2 * run].store(value.first, std::memory_order_release);
  words[2 * run + 1].store(value.term, std::memory_order_release);
}

/// A reader that lost a race tries again at once, and lets others run when it keeps losing: the
/// writer may have been stopped by the scheduler in the middle of a change.
class Backoff {
 public:
  void Wait() {
    if (++rounds_ % 64 == 0) std::this_thread::yield();
  }

 private:
  std::uint32_t rounds_ = 0;
};

}  // namespace

struct MemTable::View {
  std::uint64_t version = 0;
  Index begin = 1;
  Index in_memory_begin = 1;
  Index end = 1;
  BlockWord* directory = nullptr;
  BlockClass directory_class = kNoBlock;
  const BlockWord* runs = nullptr;
  std::uint32_t run_first = 0;
  std::uint32_t run_end = 0;

  std::uint64_t directory_mask() const { return BlockWords(directory_class) - 1; }
  LeafRange leaves() const {
    if (in_memory_begin == end) return {};
    return {LeafOf(in_memory_begin), LeafOf(end - 1) + 1};
  }
};

struct MemTable::Plan {
  LeafRange kept;   // leaves that stay
  LeafRange fresh;  // leaves that follow them
  BlockWord* leaves = nullptr;
  BlockClass directory_class = kNoBlock;  // a larger directory, if not kNoBlock
  BlockWord* directory = nullptr;
  std::uint32_t kept_run_end = 0;
  bool move_runs = false;  // to `runs` if there is one, else to the front of where they are
  BlockClass runs_class = kNoBlock;
  BlockWord* runs = nullptr;
};

MemTable::MemTable(BlockPool& pool) noexcept : pool_(pool) {
  // inline_runs_ is {0, 0}, run_range_ {0, 1}: the term before index 1 is 0.
}

MemTable::~MemTable() { BecomeEmpty(1, 0); }

// Readers.

bool MemTable::ReadView(View& view) const noexcept {
  view.version = version_.load(std::memory_order_acquire);
  if (view.version % 2 != 0) return false;
  view.begin = begin_.load(std::memory_order_acquire);
  view.in_memory_begin = in_memory_begin_.load(std::memory_order_acquire);
  // The end before the runs and slots: an Append publishes it after them.
  view.end = end_.load(std::memory_order_acquire);
  view.directory = directory_.load(std::memory_order_acquire);
  view.directory_class = directory_class_.load(std::memory_order_acquire);
  const BlockWord* const runs = runs_.load(std::memory_order_acquire);
  view.runs = runs != nullptr ? runs : inline_runs_.data();
  const std::uint64_t range = run_range_.load(std::memory_order_acquire);
  view.run_first = static_cast<std::uint32_t>(range >> 32);
  view.run_end = static_cast<std::uint32_t>(range);
  return UnchangedSince(view.version);
}

TermRun MemTable::RunAt(const View& view, std::uint32_t run) const noexcept {
  return {view.runs[2 * run].load(std::memory_order_acquire),
          view.runs[2 * run + 1].load(std::memory_order_acquire)};
}

std::uint32_t MemTable::FindRun(const View& view, Index index) const noexcept {
  std::uint32_t low = view.run_first;  // the last run known to begin at or below `index`
  std::uint32_t high = view.run_end;
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    (RunAt(view, middle).first <= index ? low : high) = middle;
  }
  return low;
}

bool MemTable::CopyLocations(const View& view, IndexRange range,
                             EntryLocation* out) const noexcept {
  std::uint32_t run = FindRun(view, range.begin);
  Term term = RunAt(view, run).term;
  Index next_run_first = run + 1 < view.run_end ? RunAt(view, run + 1).first : UINT64_MAX;
  const BlockWord* leaf = nullptr;
  for (Index index = range.begin; index < range.end; ++index, ++out) {
    while (index >= next_run_first) {
      term = RunAt(view, ++run).term;
      next_run_first = run + 1 < view.run_end ? RunAt(view, run + 1).first : UINT64_MAX;
    }
    out->term = term;
    out->slot = Slot{};
    if (index < view.in_memory_begin) continue;
    if (leaf == nullptr || index % kLeafSlots == 0) {
      const BlockWord& entry = view.directory[LeafOf(index) & view.directory_mask()];
      leaf = ToBlock(entry.load(std::memory_order_acquire));
      // Only now is it known to be a pointer, and to a leaf of this table.
      if (!UnchangedSince(view.version)) return false;
    }
    out->slot = LoadSlot(leaf + index % kLeafSlots * kSlotWords);
  }
  return UnchangedSince(view.version);
}

TableBounds MemTable::Bounds() const noexcept {
  View view;
  for (Backoff backoff;; backoff.Wait()) {
    if (!ReadView(view)) continue;
    const Term before = RunAt(view, FindRun(view, view.begin - 1)).term;
    const Term last = RunAt(view, FindRun(view, view.end - 1)).term;
    if (!UnchangedSince(view.version)) continue;
    return {view.begin, view.in_memory_begin, view.end, before, last};
  }
}

std::optional<Term> MemTable::TermAt(Index index) const noexcept {
  View view;
  for (Backoff backoff;; backoff.Wait()) {
    if (!ReadView(view)) continue;
    const bool known = index + 1 == view.begin || (index >= view.begin && index < view.end);
    if (!known) return std::nullopt;
    const Term term = RunAt(view, FindRun(view, index)).term;
    if (UnchangedSince(view.version)) return term;
  }
}

Located MemTable::Locate(IndexRange range, std::span<EntryLocation> out) const noexcept {
  View view;
  for (Backoff backoff;; backoff.Wait()) {
    if (!ReadView(view)) continue;
    const IndexRange table{view.begin, view.end};
    if (range.empty() || out.empty() || !table.Contains(range.begin)) {
      return {{range.begin, range.begin}, view.version};
    }
    const std::uint64_t count =
        std::min<std::uint64_t>(std::min(range.end, view.end) - range.begin, out.size());
    const IndexRange copied{range.begin, range.begin + count};
    if (CopyLocations(view, copied, out.data())) return {copied, view.version};
  }
}

std::vector<TermRun> MemTable::TermRuns() const {
  View view;
  std::vector<TermRun> runs;
  for (Backoff backoff;; backoff.Wait()) {
    runs.clear();
    if (!ReadView(view)) continue;
    const std::uint32_t first = FindRun(view, view.begin - 1);
    for (std::uint32_t run = first; run < view.run_end; ++run) {
      runs.push_back(RunAt(view, run));
    }
    if (!UnchangedSince(view.version)) continue;
    runs.front().first = view.begin - 1;
    // Runs that an Append has written but not published begin at or above the end.
    while (runs.size() > 1 && runs.back().first >= view.end) runs.pop_back();
    return runs;
  }
}

// Writer.

MemTable::View MemTable::OwnView() const noexcept {
  View view;
  CHECK(ReadView(view));  // No change is under way: only the writer makes changes.
  return view;
}

void MemTable::BeginChange() noexcept {
  version_.store(version_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void MemTable::EndChange() noexcept {
  version_.store(version_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

BlockWord* MemTable::RunWords() noexcept {
  BlockWord* const runs = runs_.load(std::memory_order_relaxed);
  return runs != nullptr ? runs : inline_runs_.data();
}

BlockWord* MemTable::LeafAt(std::uint64_t leaf) const noexcept {
  const std::uint64_t mask = BlockWords(directory_class_.load(std::memory_order_relaxed)) - 1;
  return ToBlock(
      directory_.load(std::memory_order_relaxed)[leaf & mask].load(std::memory_order_relaxed));
}

Status MemTable::Append(Index first, std::span<const Slot> slots, std::span<const TermRun> terms) {
  const View view = OwnView();
  CHECK(first >= view.begin && first <= view.end);
  CHECK(!slots.empty() && slots.size() <= UINT64_MAX - first);
  CHECK(!terms.empty() && terms.front().first == first);
  const Index new_end = first + slots.size();
  const Index in_memory_begin = std::min(view.in_memory_begin, first);

  Plan plan;
  plan.kept = {LeafOf(first), LeafOf(first)};
  if (in_memory_begin < first) plan.kept = {LeafOf(in_memory_begin), LeafOf(first - 1) + 1};
  plan.fresh = {plan.kept.end, std::max(plan.kept.end, LeafOf(new_end - 1) + 1)};
  const std::uint64_t capacity = view.directory == nullptr ? 0 : BlockWords(view.directory_class);
  const std::uint64_t window = plan.fresh.end - plan.kept.begin;
  if (window > capacity) plan.directory_class = ClassFor(window);
  plan.kept_run_end = FindRun(view, first - 1) + 1;
  const std::uint64_t runs_wanted = plan.kept_run_end - view.run_first + terms.size();
  const std::uint64_t run_capacity =
      runs_class_ == kNoBlock ? kInlineRuns : BlockWords(runs_class_) / 2;
  plan.move_runs = plan.kept_run_end + terms.size() > run_capacity;
  if (runs_wanted > run_capacity) plan.runs_class = ClassFor(2 * runs_wanted);
  if (!TakeBlocks(plan)) {
    return Error{.code = ErrorCode::kOverloaded,
                 .message = "memory_budget leaves no room for the index of new entries",
                 .hint = "retry after a while; floors that move free memory"};
  }

  const bool change = first < view.end || plan.directory_class != kNoBlock || plan.move_runs;
  if (change) BeginChange();
  if (first < view.end) {
    const LeafRange had = view.leaves();
    ReleaseLeaves({std::max(had.begin, plan.kept.end), had.end});
    CutRunsFrom(first);
    in_memory_begin_.store(in_memory_begin, std::memory_order_release);
  }
  InstallBlocks(view, plan);
  InstallRuns(view, plan);
  WriteSlots(first, slots);
  PushRuns(terms);
  end_.store(new_end, std::memory_order_release);
  if (change) EndChange();
  return {};
}

bool MemTable::TakeBlocks(Plan& plan) noexcept {
  const std::uint64_t leaves = plan.fresh.end - plan.fresh.begin;
  if (leaves > 0) {
    plan.leaves = pool_.Allocate(kLeafClass, leaves, BudgetUse::kEntries);
    if (plan.leaves == nullptr) return false;
  }
  if (plan.directory_class != kNoBlock) {
    plan.directory = pool_.Allocate(plan.directory_class, 1, BudgetUse::kEntries);
  }
  if (plan.runs_class != kNoBlock) {
    plan.runs = pool_.Allocate(plan.runs_class, 1, BudgetUse::kEntries);
  }
  const bool all = (plan.directory_class == kNoBlock || plan.directory != nullptr) &&
                   (plan.runs_class == kNoBlock || plan.runs != nullptr);
  if (all) return true;
  pool_.ReleaseChain(plan.leaves, kLeafClass);
  pool_.ReleaseChain(plan.directory, plan.directory_class);
  pool_.ReleaseChain(plan.runs, plan.runs_class);
  return false;
}

void MemTable::InstallBlocks(const View& view, const Plan& plan) noexcept {
  if (plan.directory_class != kNoBlock) {
    const std::uint64_t mask = BlockWords(plan.directory_class) - 1;
    for (std::uint64_t leaf = plan.kept.begin; leaf < plan.kept.end; ++leaf) {
      plan.directory[leaf & mask].store(ToWord(LeafAt(leaf)), std::memory_order_release);
    }
    ReleaseDirectory();
    directory_.store(plan.directory, std::memory_order_release);
    directory_class_.store(plan.directory_class, std::memory_order_release);
  }
  BlockWord* const directory = directory_.load(std::memory_order_relaxed);
  const BlockClass size_class =
      plan.directory_class != kNoBlock ? plan.directory_class : view.directory_class;
  BlockWord* next = plan.leaves;
  for (std::uint64_t leaf = plan.fresh.begin; leaf < plan.fresh.end; ++leaf) {
    CHECK(next != nullptr);
    directory[leaf & (BlockWords(size_class) - 1)].store(ToWord(next), std::memory_order_release);
    next = BlockPool::NextInChain(next);
  }
}

void MemTable::InstallRuns(const View& view, const Plan& plan) noexcept {
  if (!plan.move_runs) return;
  BlockWord* const to = plan.runs != nullptr ? plan.runs : RunWords();
  const std::uint32_t count = plan.kept_run_end - view.run_first;
  for (std::uint32_t run = 0; run < count; ++run) {
    StoreRun(to, run, RunAt(view, view.run_first + run));
  }
  if (plan.runs != nullptr) {
    BlockWord* const old = runs_.load(std::memory_order_relaxed);
    runs_.store(plan.runs, std::memory_order_release);
    if (old != nullptr) {
      BlockPool::Link(old, nullptr);
      pool_.ReleaseChain(old, runs_class_);
    }
    runs_class_ = plan.runs_class;
  }
  run_range_.store(PackRange(0, count), std::memory_order_release);
}

void MemTable::WriteSlots(Index first, std::span<const Slot> slots) noexcept {
  BlockWord* leaf = nullptr;
  Index index = first;
  for (const Slot& slot : slots) {
    if (leaf == nullptr || index % kLeafSlots == 0) leaf = LeafAt(LeafOf(index));
    StoreSlot(leaf + index % kLeafSlots * kSlotWords, slot);
    ++index;
  }
}

void MemTable::PushRuns(std::span<const TermRun> terms) noexcept {
  BlockWord* const words = RunWords();
  const std::uint64_t range = run_range_.load(std::memory_order_relaxed);
  const auto first = static_cast<std::uint32_t>(range >> 32);
  auto end = static_cast<std::uint32_t>(range);
  for (const TermRun& run : terms) {
    if (words[2 * (end - 1) + 1].load(std::memory_order_relaxed) == run.term) continue;
    StoreRun(words, end++, run);
  }
  run_range_.store(PackRange(first, end), std::memory_order_release);
}

void MemTable::CutRunsFrom(Index new_end) noexcept {
  const BlockWord* const words = RunWords();
  const std::uint64_t range = run_range_.load(std::memory_order_relaxed);
  const auto first = static_cast<std::uint32_t>(range >> 32);
  auto end = static_cast<std::uint32_t>(range);
  while (end - first > 1 && words[2 * (end - 1)].load(std::memory_order_relaxed) >= new_end) --end;
  run_range_.store(PackRange(first, end), std::memory_order_release);
}

void MemTable::ReleaseLeaves(LeafRange leaves) noexcept {
  BlockWord* chain = nullptr;
  for (std::uint64_t leaf = leaves.begin; leaf < leaves.end; ++leaf) {
    BlockWord* const block = LeafAt(leaf);
    BlockPool::Link(block, chain);
    chain = block;
  }
  pool_.ReleaseChain(chain, kLeafClass);
}

void MemTable::ReleaseDirectory() noexcept {
  BlockWord* const directory = directory_.load(std::memory_order_relaxed);
  if (directory == nullptr) return;
  const BlockClass size_class = directory_class_.load(std::memory_order_relaxed);
  directory_.store(nullptr, std::memory_order_release);
  directory_class_.store(kNoBlock, std::memory_order_release);
  BlockPool::Link(directory, nullptr);
  pool_.ReleaseChain(directory, size_class);
}

void MemTable::BecomeEmpty(Index begin, Term term_before_begin) noexcept {
  const View view = OwnView();
  BeginChange();
  ReleaseLeaves(view.leaves());
  ReleaseDirectory();
  BlockWord* const runs = runs_.load(std::memory_order_relaxed);
  runs_.store(nullptr, std::memory_order_release);
  if (runs != nullptr) {
    BlockPool::Link(runs, nullptr);
    pool_.ReleaseChain(runs, runs_class_);
    runs_class_ = kNoBlock;
  }
  StoreRun(inline_runs_.data(), 0, {begin - 1, term_before_begin});
  run_range_.store(PackRange(0, 1), std::memory_order_release);
  begin_.store(begin, std::memory_order_release);
  in_memory_begin_.store(begin, std::memory_order_release);
  end_.store(begin, std::memory_order_release);
  EndChange();
}

void MemTable::CutSuffix(Index new_end) {
  const View view = OwnView();
  CHECK(new_end >= view.begin && new_end <= view.end);
  if (new_end == view.end) return;
  if (new_end == view.begin) return BecomeEmpty(view.begin, *TermAt(view.begin - 1));
  View cut = view;
  cut.end = new_end;
  cut.in_memory_begin = std::min(view.in_memory_begin, new_end);
  const LeafRange had = view.leaves();
  const bool slots_left = cut.in_memory_begin < new_end;
  BeginChange();
  ReleaseLeaves({slots_left ? cut.leaves().end : had.begin, had.end});
  if (!slots_left) ReleaseDirectory();
  CutRunsFrom(new_end);
  in_memory_begin_.store(cut.in_memory_begin, std::memory_order_release);
  end_.store(new_end, std::memory_order_release);
  EndChange();
}

void MemTable::CutPrefix(Index new_begin) {
  View view = OwnView();
  CHECK(new_begin >= view.begin && new_begin <= view.end);
  if (new_begin == view.begin) return;
  if (new_begin == view.end) return BecomeEmpty(new_begin, *TermAt(new_begin - 1));
  const std::uint32_t run_first = FindRun(view, new_begin - 1);
  const Index in_memory_begin = std::max(view.in_memory_begin, new_begin);
  BeginChange();
  DropSlotsBelow(view, in_memory_begin);
  run_range_.store(PackRange(run_first, view.run_end), std::memory_order_release);
  begin_.store(new_begin, std::memory_order_release);
  EndChange();
}

void MemTable::ForgetSlots(Index new_in_memory_begin) {
  const View view = OwnView();
  CHECK(new_in_memory_begin <= view.end);
  if (new_in_memory_begin <= view.in_memory_begin) return;
  BeginChange();
  DropSlotsBelow(view, new_in_memory_begin);
  EndChange();
}

void MemTable::DropSlotsBelow(const View& view, Index in_memory_begin) noexcept {
  LeafRange dropped = view.leaves();
  if (in_memory_begin < view.end) dropped.end = std::min(dropped.end, LeafOf(in_memory_begin));
  ReleaseLeaves(dropped);
  if (in_memory_begin == view.end) ReleaseDirectory();
  in_memory_begin_.store(in_memory_begin, std::memory_order_release);
}

void MemTable::Reset(Index begin, Term term_before_begin) {
  CHECK(begin >= 1);
  BecomeEmpty(begin, term_before_begin);
}

void MemTable::Restore(const TableBounds& bounds, std::span<const TermRun> runs) {
  CHECK(bounds.begin >= 1 && bounds.begin <= bounds.end);
  CHECK(!runs.empty() && runs.front().first < bounds.begin);
  CHECK(runs.back().first < bounds.end);
  // Those before the last one that begins at or below begin - 1 say nothing about this log.
  while (runs.size() > 1 && runs[1].first < bounds.begin) runs = runs.subspan(1);
  BecomeEmpty(bounds.begin, runs.front().term);
  BlockWord* block = nullptr;
  BlockClass size_class = kNoBlock;
  if (runs.size() > kInlineRuns) {
    size_class = ClassFor(2 * runs.size());
    block = pool_.Allocate(size_class, 1, BudgetUse::kForced);
    CHECK(block != nullptr);
  }
  BeginChange();
  runs_.store(block, std::memory_order_release);
  runs_class_ = size_class;
  BlockWord* const words = RunWords();
  std::uint32_t count = 0;
  for (const TermRun& run : runs) StoreRun(words, count++, run);
  run_range_.store(PackRange(0, count), std::memory_order_release);
  in_memory_begin_.store(bounds.end, std::memory_order_release);
  end_.store(bounds.end, std::memory_order_release);
  EndChange();
}

}  // namespace duramen::memtable
