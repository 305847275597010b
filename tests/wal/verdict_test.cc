// The tail verdict as a pure function: chains of files and batches in a small language, damaged or
// torn one part at a time.
#include "wal/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace duramen::wal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::uint64_t> Range(std::uint64_t first, std::uint64_t last) {
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t number = first; number <= last; ++number) numbers.push_back(number);
  return numbers;
}

/// Files as a WAL writes them that syncs each batch before the next, then what became of them:
///   Story().Roll().Batches(3).Roll().Batches(2).BadBody(5).Judge()
class Story {
 public:
  static constexpr std::uint64_t kBatchBytes = 4096;

  /// The next file, with a header that names the last batch and, unless told, proves all but it.
  Story& Roll() { return Roll(last_ == 0 ? 0 : last_ - 1); }
  Story& Roll(std::uint64_t durable_upto) {
    FileSummary file;
    file.number = next_file_++;
    file.size_bytes = 64 * kBatchBytes;
    file.life = 1000 + file.number;
    file.copy_ok[0] = file.copy_ok[1] = true;
    FileHeader header;
    header.number = file.number;
    header.life = file.life;
    header.first_batch = last_ + 1;
    header.durable_upto = durable_upto;
    header.oldest_live = oldest_live_;
    if (!files_.empty()) {
      header.predecessor_number = files_.back().number;
      header.predecessor_life = files_.back().life;
      header.predecessor_end = last_;
      header.predecessor_checksum = Sum(last_);
    }
    file.header = header;
    files_.push_back(file);
    return *this;
  }
  Story& Batches(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) Batch(last_);
    return *this;
  }
  Story& Batch(std::uint64_t durable_upto) {
    FileSummary& file = files_.back();
    ++last_;
    file.batches.push_back({.number = last_,
                            .offset = file.end_offset,
                            .bytes = kBatchBytes,
                            .durable_upto = durable_upto,
                            .previous_checksum = Sum(last_ - 1),
                            .checksum = Sum(last_),
                            .header_ok = true,
                            .intact = true});
    file.end_offset += kBatchBytes;
    return *this;
  }
  Story& OldestLive(std::uint64_t number) {
    oldest_live_ = number;
    return *this;
  }
  /// The header reads, body or closing does not.
  Story& BadBody(std::uint64_t number) {
    Find(number).intact = false;
    return *this;
  }
  /// Header and closing are both gone: the scan finds nothing.
  Story& Gone(std::uint64_t number) {
    for (FileSummary& file : files_) {
      std::erase_if(file.batches, [&](const BatchSummary& b) { return b.number == number; });
    }
    return *this;
  }
  /// Only the closing reads.
  Story& HeaderGone(std::uint64_t number) {
    BatchSummary& batch = Find(number);
    batch.intact = batch.header_ok = false;
    batch.previous_checksum = 0;
    return *this;
  }
  Story& NoFileHeader(std::uint64_t number) {
    FileSummary& file = File(number);
    file.header.reset();
    file.copy_ok[0] = file.copy_ok[1] = false;
    if (file.batches.empty()) file.life = 0;
    return *this;
  }
  Story& RemoveFile(std::uint64_t number) {
    std::erase_if(files_, [&](const FileSummary& file) { return file.number == number; });
    return *this;
  }
  Story& AnotherLife(std::uint64_t number) {
    FileSummary& file = File(number);
    file.life += 77;
    if (file.header) file.header->life = file.life;
    return *this;
  }
  Story& Spare(std::uint64_t number) {
    FileSummary file;
    file.number = number;
    file.size_bytes = 64 * kBatchBytes;
    files_.push_back(file);
    return *this;
  }
  TailVerdict Judge() const { return JudgeTail(files_); }
  FileSummary& File(std::uint64_t number) {
    return *std::find_if(files_.begin(), files_.end(),
                         [&](const FileSummary& file) { return file.number == number; });
  }

 private:
  static std::uint64_t Sum(std::uint64_t number) { return number == 0 ? 0 : 0x5000 + number; }
  BatchSummary& Find(std::uint64_t number) {
    for (FileSummary& file : files_) {
      for (BatchSummary& batch : file.batches) {
        if (batch.number == number) return batch;
      }
    }
    ADD_FAILURE() << "no batch " << number;
    return files_.front().batches.front();
  }
  std::vector<FileSummary> files_;
  std::uint64_t last_ = 0;
  std::uint64_t next_file_ = 1;
  std::uint64_t oldest_live_ = 1;
};

std::vector<std::uint64_t> Intact(const TailVerdict& verdict) {
  std::vector<std::uint64_t> numbers;
  for (const JudgedBatch& batch : verdict.batches) {
    if (batch.intact) numbers.push_back(batch.number);
  }
  return numbers;
}

std::vector<std::uint64_t> Damaged(const TailVerdict& verdict) {
  std::vector<std::uint64_t> numbers;
  for (const JudgedBatch& batch : verdict.batches) {
    if (batch.intact) continue;
    for (std::uint64_t n = batch.number; n <= batch.last_number; ++n) numbers.push_back(n);
  }
  return numbers;
}

TEST(Verdict, W22_AFreshDirectoryAndSparesAreNothing) {
  EXPECT_THAT(JudgeTail({}).batches, IsEmpty());
  const TailVerdict verdict = Story().Spare(1).Spare(2).Judge();
  EXPECT_THAT(verdict.chain, IsEmpty());
  EXPECT_THAT(verdict.spares, ElementsAre(0u, 1u));
  EXPECT_EQ(verdict.cut.kind, CutKind::kNone);
  EXPECT_EQ(verdict.highest_file, 2u);
}

TEST(Verdict, W22_SparesBehindTheChainStaySpares) {
  const TailVerdict verdict = Story().Roll().Batches(3).Spare(2).Spare(3).Judge();
  EXPECT_THAT(Intact(verdict), ElementsAre(1u, 2u, 3u));
  EXPECT_THAT(verdict.spares, ElementsAre(1u, 2u));
  EXPECT_THAT(verdict.orphans, IsEmpty());
}

TEST(Verdict, A12_TheWholeChainCounts) {
  const TailVerdict verdict = Story().Roll().Batches(3).Roll().Batches(2).Roll().Batches(1).Judge();
  EXPECT_EQ(Intact(verdict), Range(1, 6));
  EXPECT_EQ(verdict.chain.size(), 3u);
  EXPECT_EQ(verdict.proven, 5u);
  EXPECT_EQ(verdict.cut.kind, CutKind::kNone);
}

// Every batch of every story, in every way of being bad: damage exactly where a proof stands.
TEST(Verdict, A12_BadIsDamageBelowTheProofAndCutAboveIt) {
  for (std::uint64_t bad = 1; bad <= 7; ++bad) {
    for (int way = 0; way < 3; ++way) {
      SCOPED_TRACE(::testing::Message() << "batch " << bad << " way " << way);
      Story story;
      story.Roll().Batches(3).Roll().Batches(4);
      if (way == 0) story.BadBody(bad);
      if (way == 1) story.HeaderGone(bad);
      if (way == 2) story.Gone(bad);
      const TailVerdict verdict = story.Judge();
      if (bad < 7) {  // Batch 7 proves 6; nothing proves 7.
        EXPECT_THAT(Damaged(verdict), ElementsAre(bad));
        EXPECT_EQ(Intact(verdict).size(), 6u);
        EXPECT_EQ(verdict.cut.kind, CutKind::kNone);
      } else {
        EXPECT_THAT(Damaged(verdict), IsEmpty());
        EXPECT_EQ(Intact(verdict), Range(1, 6));
        // A batch of which nothing is found has left no trace to be reported.
        const CutKind kinds[] = {CutKind::kUnproven, CutKind::kTorn, CutKind::kNone};
        EXPECT_EQ(verdict.cut.kind, kinds[way]);
      }
    }
  }
}

// The header of file 2 was sealed while batch 3 was in flight; only batch 5 proves 3 [A12].
TEST(Verdict, A12_ALaterFileProvesTheLastBatchOfAnEarlierOne) {
  Story story;
  story.Roll().Batches(3).Roll(2).Batch(2).Batch(4);
  const TailVerdict damaged = Story(story).BadBody(3).Judge();
  EXPECT_THAT(Damaged(damaged), ElementsAre(3u));
  EXPECT_THAT(Intact(damaged), ElementsAre(1u, 2u, 4u, 5u));

  Story unproven;
  unproven.Roll().Batches(3).Roll(2).Batch(2);
  const TailVerdict cut = Story(unproven).BadBody(3).Judge();
  EXPECT_THAT(Damaged(cut), IsEmpty());
  EXPECT_THAT(Intact(cut), ElementsAre(1u, 2u));
  EXPECT_EQ(cut.cut.kind, CutKind::kUnproven);
  EXPECT_EQ(cut.cut.number, 3u);
  EXPECT_EQ(cut.cut.later_batches, 1u);
}

TEST(Verdict, W28_EverythingBehindATearIsCutInLaterFilesToo) {
  const TailVerdict verdict =
      Story().Roll().Batches(2).Batch(2).Roll(2).Batch(2).Batch(2).Roll(2).Batch(2).Gone(3).Judge();
  EXPECT_THAT(Intact(verdict), ElementsAre(1u, 2u));
  EXPECT_EQ(verdict.cut.kind, CutKind::kTorn);
  EXPECT_EQ(verdict.cut.number, 3u);
  EXPECT_EQ(verdict.cut.later_batches, 3u);
  EXPECT_EQ(verdict.highest_batch, 6u) << "their numbers are used up";
}

TEST(Verdict, C5_WithoutProofDamageInTheLastBatchesLooksTorn) {
  Story story;
  story.Roll().Batches(2).Batch(1).Batch(1);  // 3 and 4 were in flight together.
  const TailVerdict verdict = Story(story).BadBody(3).Judge();
  EXPECT_THAT(Damaged(verdict), IsEmpty());
  EXPECT_THAT(Intact(verdict), ElementsAre(1u, 2u));
  EXPECT_EQ(verdict.cut.kind, CutKind::kUnproven) << "reported, not silent";
  // The seal behind them is the proof.
  const TailVerdict sealed = Story(story).Batch(4).BadBody(3).Judge();
  EXPECT_THAT(Damaged(sealed), ElementsAre(3u));
}

TEST(Verdict, C5_MethodNoneProvesNothing) {
  Story story;
  story.Roll(0).Batch(0).Batch(0).Batch(0);
  EXPECT_EQ(Story(story).Judge().proven, 0u);
  const TailVerdict verdict = Story(story).BadBody(2).Judge();
  EXPECT_THAT(Damaged(verdict), IsEmpty());
  EXPECT_THAT(Intact(verdict), ElementsAre(1u));
}

TEST(Verdict, A12_AStretchOfDamageWithoutBordersIsOnePiece) {
  const TailVerdict verdict = Story().Roll().Batches(6).Gone(2).Gone(3).Gone(4).Judge();
  EXPECT_THAT(Damaged(verdict), ElementsAre(2u, 3u, 4u));
  EXPECT_THAT(Intact(verdict), ElementsAre(1u, 5u, 6u));
  EXPECT_EQ(verdict.batches[1].bytes, 3 * Story::kBatchBytes);
}

TEST(Verdict, A12_ABrokenLinkIsNotAccepted) {
  Story story;
  story.Roll().Batches(4);
  story.File(1).batches[3].previous_checksum ^= 1;  // Of another history.
  const TailVerdict verdict = story.Judge();
  EXPECT_THAT(Intact(verdict), ElementsAre(1u, 2u, 3u));
  EXPECT_EQ(verdict.cut.number, 4u);
}

TEST(Verdict, C4_AFileWithoutHeadersCountsIfASuccessorNamesIt) {
  const TailVerdict verdict = Story().Roll().Batches(3).Roll().Batches(2).NoFileHeader(1).Judge();
  EXPECT_EQ(Intact(verdict), Range(1, 5));
  EXPECT_THAT(verdict.headerless, ElementsAre(0u));
}

TEST(Verdict, C4_TheNewestFileWithoutHeadersCountsIfItProvesItself) {
  // Its second batch says that its first is durable, so its header was durable as well.
  const TailVerdict proven = Story().Roll().Batches(3).Roll().Batches(2).NoFileHeader(2).Judge();
  EXPECT_EQ(Intact(proven), Range(1, 5));
  EXPECT_THAT(proven.headerless, ElementsAre(1u));
}

TEST(Verdict, C4_TheNewestFileWithoutHeadersAndWithoutProofNeverWasInService) {
  // Batch 4 is valid, but the header that an acknowledgement needs is not there.
  const TailVerdict verdict = Story().Roll().Batches(3).Roll().Batches(1).NoFileHeader(2).Judge();
  EXPECT_EQ(Intact(verdict), Range(1, 3));
  EXPECT_THAT(verdict.orphans, ElementsAre(1u));
  EXPECT_EQ(verdict.highest_batch, 4u) << "its number is used up all the same";
}

TEST(Verdict, A13_AFileOfAnotherLifeIsNotThePredecessor) {
  const TailVerdict verdict = Story().Roll().Batches(3).Roll().Batches(2).AnotherLife(1).Judge();
  EXPECT_THAT(Intact(verdict), ElementsAre(4u, 5u));
  EXPECT_THAT(verdict.missing, ElementsAre(1u));
  EXPECT_THAT(verdict.orphans, ElementsAre(0u));
}

TEST(Verdict, A12_AFileOffTheChainIsAnOrphan) {
  // File 2 was given up: file 3 follows file 1 directly.
  Story story;
  story.Roll().Batches(3).Roll().Batches(2).Roll().Batches(1);
  FileHeader& header = *story.File(3).header;
  header.predecessor_number = 1;
  header.predecessor_life = 1001;
  header.predecessor_end = 3;
  story.File(3).batches[0].previous_checksum = 0x5003;
  const TailVerdict verdict = story.Judge();
  EXPECT_THAT(Intact(verdict), ElementsAre(1u, 2u, 3u, 6u));
  EXPECT_THAT(verdict.orphans, ElementsAre(1u));
  EXPECT_EQ(verdict.highest_batch, 6u);
}

TEST(Verdict, A12_ThePredecessorEndsWhereTheHeaderSays) {
  // A failed sync: batch 3 of file 1 was not acknowledged and was written again as batch 4.
  Story story;
  story.Roll().Batches(3).Roll().Batches(1);
  FileHeader& header = *story.File(2).header;
  header.predecessor_end = 2;
  story.File(2).batches[0].previous_checksum = 0x5002;
  EXPECT_THAT(Intact(story.Judge()), ElementsAre(1u, 2u, 4u));
}

TEST(Verdict, A10_AMissingLiveFileIsDamageAndARecycledOneIsNot) {
  const TailVerdict missing = Story().Roll().Batches(3).Roll().Batches(2).RemoveFile(1).Judge();
  EXPECT_THAT(missing.missing, ElementsAre(1u));
  EXPECT_THAT(Intact(missing), ElementsAre(4u, 5u));
  const TailVerdict recycled =
      Story().Roll().Batches(3).OldestLive(2).Roll().Batches(2).RemoveFile(1).Judge();
  EXPECT_THAT(recycled.missing, IsEmpty());
  EXPECT_THAT(Intact(recycled), ElementsAre(4u, 5u));
}

TEST(Verdict, W10_BytesOfATornHeaderAreReported) {
  Story story;
  story.Roll().Batches(2);
  story.File(1).torn_bytes = true;
  const TailVerdict verdict = story.Judge();
  EXPECT_THAT(Intact(verdict), ElementsAre(1u, 2u));
  EXPECT_EQ(verdict.cut.kind, CutKind::kTorn);
  EXPECT_EQ(verdict.cut.number, 3u);
}

}  // namespace
}  // namespace duramen::wal
