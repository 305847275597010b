// The table against a model of a vector: random operations, and after each one everything that a
// reader can ask.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/rng.h"
#include "memtable/mem_table.h"

namespace duramen::memtable {
namespace {

struct ModelEntry {
  Term term = 0;
  std::uint32_t stamp = 0;  // 0: no slot
};

/// The plain meaning of a MemTable.
struct Model {
  Index begin = 1;
  Term term_before_begin = 0;
  std::vector<ModelEntry> entries;

  Index end() const { return begin + entries.size(); }
  Index in_memory_begin() const {
    Index index = end();
    while (index > begin && entries[index - 1 - begin].stamp != 0) --index;
    return index;
  }
  Term TermAt(Index index) const {
    return index + 1 == begin ? term_before_begin : entries[index - begin].term;
  }
};

class ModelRun {
 public:
  explicit ModelRun(std::uint64_t seed) : rng_(seed) {}

  void Step() {
    switch (rng_.Below(12)) {
      case 0:
        return CutSuffix();
      case 1:
      case 2:
        return CutPrefix();
      case 3:
        return Forget();
      case 4:
        return rng_.OneIn(4) ? Reset() : Restore();
      default:
        return Append();
    }
  }

  void Check() {
    const TableBounds bounds = table_.Bounds();
    ASSERT_EQ(bounds.begin, model_.begin);
    ASSERT_EQ(bounds.end, model_.end());
    ASSERT_EQ(bounds.in_memory_begin, model_.in_memory_begin());
    ASSERT_EQ(bounds.term_before_begin, model_.term_before_begin);
    ASSERT_EQ(bounds.last_term, model_.TermAt(model_.end() - 1));
    CheckTermRuns();
    ASSERT_EQ(table_.TermAt(model_.end()), std::nullopt);
    if (model_.begin >= 2) {
      ASSERT_EQ(table_.TermAt(model_.begin - 2), std::nullopt);
    }
    std::vector<EntryLocation> out(model_.entries.size() + 1);
    const Located located = table_.Locate({model_.begin, model_.end() + 5}, out);
    ASSERT_EQ(located.range.size(), model_.entries.size());
    for (std::size_t i = 0; i < model_.entries.size(); ++i) {
      ASSERT_EQ(out[i].term, model_.entries[i].term);
      ASSERT_EQ(out[i].slot.chunk, model_.entries[i].stamp);
      ASSERT_EQ(*table_.TermAt(model_.begin + i), model_.entries[i].term);
    }
    if (model_.entries.empty()) {
      ASSERT_EQ(pool_.used_bytes(), 0u);
    }
  }

 private:
  void CheckTermRuns() {
    const std::vector<TermRun> runs = table_.TermRuns();
    ASSERT_EQ(runs.front(), (TermRun{model_.begin - 1, model_.term_before_begin}));
    std::size_t run = 0;
    for (Index index = model_.begin; index < model_.end(); ++index) {
      if (run + 1 < runs.size() && runs[run + 1].first == index) ++run;
      ASSERT_EQ(runs[run].term, model_.TermAt(index));
    }
    ASSERT_EQ(run + 1, runs.size());
  }

  /// Small counts mostly, now and then enough to grow the directory.
  std::uint64_t Count() { return 1 + rng_.Below(rng_.OneIn(10) ? 1500 : 40); }

  void Append() {
    const std::uint64_t behind =
        rng_.OneIn(4) ? rng_.Below(std::min<std::uint64_t>(model_.entries.size(), 200) + 1) : 0;
    const Index first = model_.end() - behind;
    model_.entries.resize(first - model_.begin);
    Term term = std::max<Term>(1, model_.TermAt(first - 1));
    if (rng_.OneIn(3)) ++term;
    std::vector<Slot> slots;
    std::vector<TermRun> terms{{first, term}};
    const std::uint64_t count = Count();
    for (Index index = first; index < first + count; ++index) {
      if (index > first && rng_.OneIn(30)) terms.push_back({index, ++term});
      slots.push_back({++stamp_, static_cast<std::uint32_t>(index), 1, 128});
      model_.entries.push_back({term, stamp_});
    }
    ASSERT_TRUE(table_.Append(first, slots, terms).ok());
  }

  void CutSuffix() {
    const Index new_end = model_.begin + rng_.Below(model_.entries.size() + 1);
    model_.entries.resize(new_end - model_.begin);
    table_.CutSuffix(new_end);
  }

  void CutPrefix() {
    const Index new_begin = model_.begin + rng_.Below(model_.entries.size() + 1);
    model_.term_before_begin = model_.TermAt(new_begin - 1);
    const auto cut = static_cast<std::ptrdiff_t>(new_begin - model_.begin);
    model_.entries.erase(model_.entries.begin(), model_.entries.begin() + cut);
    model_.begin = new_begin;
    table_.CutPrefix(new_begin);
  }

  void Forget() {
    const Index in_memory_begin = model_.begin + rng_.Below(model_.entries.size() + 1);
    for (Index index = model_.begin; index < in_memory_begin; ++index) {
      model_.entries[index - model_.begin].stamp = 0;
    }
    table_.ForgetSlots(in_memory_begin);
  }

  void Reset() {
    model_ = {1 + rng_.Below(100'000), rng_.Below(50), {}};
    table_.Reset(model_.begin, model_.term_before_begin);
  }

  void Restore() {
    model_ = {1 + rng_.Below(100'000), rng_.Below(50), {}};
    Term term = model_.term_before_begin;
    std::vector<TermRun> runs{{model_.begin - 1, term}};
    const std::uint64_t count = rng_.Below(300);
    for (std::uint64_t i = 0; i < count; ++i) {
      if (rng_.OneIn(20)) runs.push_back({model_.begin + i, ++term});
      model_.entries.push_back({term, 0});
    }
    table_.Restore({.begin = model_.begin, .end = model_.end()}, runs);
  }

  Rng rng_;
  MemoryBudget budget_{256u << 20, 0};
  BlockPool pool_{budget_};
  MemTable table_{pool_};
  Model model_;
  std::uint32_t stamp_ = 0;
};

TEST(MemTableModel, MT1_EveryOperationMeansWhatItMeansForAVector) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    ModelRun run(seed);
    for (int step = 0; step < 200; ++step) {
      SCOPED_TRACE(step);
      run.Step();
      ASSERT_NO_FATAL_FAILURE(run.Check());
    }
  }
}

}  // namespace
}  // namespace duramen::memtable
