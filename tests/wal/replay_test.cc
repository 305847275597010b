// What runs mean in order: the later write wins, marks cut, damage leaves holes and suspicions.
#include "wal/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/bytes.h"
#include "base/rng.h"
#include "tests/wal/wal_image.h"
#include "wal/landed.h"

namespace duramen::wal::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// Feeds runs of log 0, one file after another.
class Feed {
 public:
  Feed& Run(const RunHeader& header, std::uint64_t file = 1) {
    replay_.OnRun({.header = header, .offset = ++place_ * 100, .records = {}}, OwnerOf(0), file);
    return *this;
  }
  Feed& Entries(RunKind kind, Index first, std::uint32_t count, Term term,
                std::uint64_t epoch = 0) {
    return Run({.count = count, .first = first, .term = term, .epoch = epoch, .kind = kind});
  }
  Feed& Next(Index first, std::uint32_t count, Term term) {
    return Entries(RunKind::kNext, first, count, term);
  }
  Feed& Damaged(Index first, std::uint32_t count, Index lost_first, Index lost_last) {
    replay_.OnDamagedRun({.header = {.count = count, .first = first, .term = 1},
                          .first = lost_first,
                          .last = lost_last,
                          .offset = ++place_ * 100},
                         OwnerOf(0), 1, place_ * 100);
    return *this;
  }
  const ReplayedLog& Log() {
    replay_.Finish();
    return *replay_.Find(OwnerOf(0).uid);
  }
  Replay& replay() { return replay_; }

 private:
  Replay replay_;
  std::uint64_t place_ = 0;
};

MATCHER_P2(Entries, begin, end, "") {
  return arg.bounds.begin == static_cast<Index>(begin) && arg.bounds.end == static_cast<Index>(end);
}

TEST(Replay, W5_TheLaterWriteWins) {
  Feed feed;
  feed.Next(1, 5, 1).Entries(RunKind::kOverwrite, 3, 1, 2, 1);
  EXPECT_THAT(feed.Log(), Entries(1, 4));
  EXPECT_EQ(feed.Log().bounds.last_term, 2u);
  EXPECT_EQ(feed.Log().bounds.epoch, 1u);
}

TEST(Replay, W25_ALowerTermMayWinWhenItIsLater) {
  Feed feed;
  feed.Next(1, 1, 1).Next(2, 1, 2);
  feed.Entries(RunKind::kOverwrite, 2, 1, 3, 1).Entries(RunKind::kOverwrite, 2, 1, 2, 2);
  EXPECT_EQ(feed.Log().bounds.last_term, 2u);
  ASSERT_EQ(feed.Log().terms.size(), 2u);
  EXPECT_EQ(feed.Log().terms[1].first, 2u);
}

TEST(Replay, C3_SparseEntriesNeitherCutNorMoveTheEnd) {
  Feed feed;
  feed.Next(1, 10, 1).Entries(RunKind::kSparse, 3, 1, 1);
  EXPECT_THAT(feed.Log(), Entries(1, 11));
}

TEST(Replay, A8_MarksCutAndMoveTheBegin) {
  Feed cut;
  cut.Next(1, 10, 1).Run({.first = 6, .term = 1, .epoch = 1, .kind = RunKind::kTruncateSuffix});
  EXPECT_THAT(cut.Log(), Entries(1, 6));
  Feed floor;
  floor.Next(1, 10, 1).Run({.first = 4, .term = 1, .kind = RunKind::kFloor});
  EXPECT_THAT(floor.Log(), Entries(4, 11));
  EXPECT_EQ(floor.Log().bounds.term_before_begin, 1u);
  Feed reset;
  reset.Next(1, 10, 1).Run({.first = 101, .term = 5, .epoch = 1, .kind = RunKind::kReset});
  EXPECT_THAT(reset.Log(), Entries(101, 101));
  EXPECT_EQ(reset.Log().bounds.last_term, 5u);
}

TEST(Replay, B5_AHoleIsExactlyWhatCannotBeRead) {
  Feed feed;
  feed.Next(1, 3, 1).Damaged(4, 6, 5, 7).Next(10, 2, 1);
  EXPECT_THAT(feed.Log().holes, ElementsAre(IndexRange{5, 8}));
  EXPECT_THAT(feed.Log(), Entries(1, 12));
  EXPECT_FALSE(feed.Log().suspect);
}

TEST(Replay, B5_AHoleThatIsOverwrittenIsNoLoss) {
  Feed feed;
  feed.Next(1, 3, 1).Damaged(4, 6, 5, 7).Entries(RunKind::kOverwrite, 4, 1, 2, 1);
  EXPECT_THAT(feed.Log().holes, IsEmpty());
  EXPECT_THAT(feed.Log(), Entries(1, 5));
}

TEST(Replay, B5_AGapBetweenRunsIsAHole) {
  Feed feed;
  feed.Next(1, 3, 1).Next(6, 2, 1);
  EXPECT_THAT(feed.Log().holes, ElementsAre(IndexRange{4, 6}));
}

TEST(Replay, B5_ALaterRecordThatFitsClearsASuspicion) {
  Feed feed;
  feed.Next(1, 3, 1);
  feed.replay().OnUnattributedLoss(UINT64_MAX);
  EXPECT_TRUE(Feed(feed).Log().suspect);
  EXPECT_FALSE(Feed(feed).Next(4, 1, 1).Log().suspect);
}

TEST(Replay, A1_ALostRowIsClearedByACopyOfItOnly) {
  Feed feed;
  feed.Next(1, 1, 1);
  // Rows 7 and 8 stood in a run that cannot be read.
  feed.replay().OnDamagedRows(OwnerOf(0), {.count = 2, .first = 7, .kind = RunKind::kRows});
  EXPECT_TRUE(Feed(feed).Log().rows_lost);
  feed.replay().OnReadableRow(OwnerOf(0), 7);
  feed.replay().OnReadableRow(OwnerOf(0), 9);
  EXPECT_TRUE(Feed(feed).Log().rows_lost) << "row 8 is still lost";
  feed.replay().OnReadableRow(OwnerOf(0), 8);
  EXPECT_FALSE(feed.Log().rows_lost);
}

/// The index as a plain map: index -> run, per slot.
class LandedModel {
 public:
  void Apply(const LandedIndex::Change& change) {
    std::map<Index, LandedRun>& runs = logs_[change.slot];
    switch (change.kind) {
      case LandedIndex::Change::Kind::kAdd:
        for (Index i = 0; i < change.run.count; ++i) runs[change.run.first + i] = change.run;
        break;
      case LandedIndex::Change::Kind::kCut:
        runs.erase(runs.lower_bound(change.index), runs.end());
        break;
      case LandedIndex::Change::Kind::kFloor:
        runs.erase(runs.begin(), runs.lower_bound(change.index));
        break;
      case LandedIndex::Change::Kind::kReset:
        runs.clear();
        break;
      case LandedIndex::Change::Kind::kFlushed:
        break;
    }
  }
  const LandedRun* Find(std::uint32_t slot, Index index) const {
    const auto log = logs_.find(slot);
    if (log == logs_.end()) return nullptr;
    const auto found = log->second.find(index);
    return found == log->second.end() ? nullptr : &found->second;
  }
  bool AnyIn(std::uint64_t file) const {
    for (const auto& [slot, runs] : logs_) {
      for (const auto& [index, run] : runs) {
        if (run.file == file) return true;
      }
    }
    return false;
  }
  Index End(std::uint32_t slot) {
    return logs_[slot].empty() ? 0 : logs_[slot].rbegin()->first + 1;
  }

 private:
  std::map<std::uint32_t, std::map<Index, LandedRun>> logs_;
};

TEST(Landed, A11_TheIndexIsTheModel) {
  Rng rng(11);
  LandedIndex index;
  LandedModel model;
  using Kind = LandedIndex::Change::Kind;
  for (int step = 0; step < 4000; ++step) {
    const auto slot = static_cast<std::uint32_t>(rng.Below(4));
    const Index end = model.End(slot);
    std::vector<LandedIndex::Change> changes;
    const std::uint64_t draw = rng.Below(10);
    if (draw < 6) {
      LandedRun run{.file = 1 + static_cast<std::uint64_t>(step) / 100,
                    .offset = static_cast<std::uint64_t>(step) * 64,
                    .first = end == 0 ? 1 + rng.Below(50) : end,
                    .count = static_cast<std::uint32_t>(1 + rng.Below(9)),
                    .term = 1};
      if (end > 3 && rng.OneIn(4)) {
        run.first = end - 1 - rng.Below(3);
        changes.push_back({Kind::kCut, slot, run.first, {}});
      }
      changes.push_back({Kind::kAdd, slot, 0, run});
    } else if (draw < 8) {
      changes.push_back({Kind::kCut, slot, end == 0 ? 5 : end - rng.Below(end), {}});
    } else if (draw < 9) {
      changes.push_back({Kind::kFloor, slot, rng.Below(end + 2), {}});
    } else {
      changes.push_back({Kind::kReset, slot, rng.Below(30), {}});
    }
    index.Apply(changes);
    for (const LandedIndex::Change& change : changes) model.Apply(change);
    for (Index i = 0; i < model.End(slot) + 3; ++i) {
      const LandedRun* expected = model.Find(slot, i);
      const std::optional<LandedRun> found = index.Find(slot, i);
      ASSERT_EQ(found.has_value(), expected != nullptr) << "step " << step << " index " << i;
      if (expected != nullptr) {
        ASSERT_EQ(found->offset, expected->offset);
      }
    }
    const std::uint64_t file = 1 + rng.Below(static_cast<std::uint64_t>(step) / 100 + 1);
    bool any = false;
    for (const std::uint32_t due : index.DueUpTo(file).slots) {
      const LandedIndex::Survivors log = index.SurvivorsOf(due, file);
      for (const LandedRun& run : log.runs) any = any || run.file == file;
    }
    ASSERT_EQ(any, model.AnyIn(file)) << "step " << step;
  }
}

}  // namespace
}  // namespace duramen::wal::testing
