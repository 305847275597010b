// Batches torn, flipped, forged and half lost, over whole file images.
#include "wal/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "tests/wal/memory_file.h"
#include "tests/wal/wal_image.h"
#include "wal/verdict.h"
#include "wal/wal.h"

namespace duramen::wal::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string Text(std::size_t size, char fill) { return std::string(size, fill); }

/// Three batches of three logs, entries, rows and a mark among them, then a seal.
ImageBuilder Specimen(std::uint64_t number, std::uint64_t life) {
  ImageBuilder image(number, life, 28 << 10);
  image.Header({.system = {}, .oldest_live = 1, .first_batch = 1});
  image.Next(
      {{.log = 0, .first = 1, .payloads = {Text(50, 'a'), Text(7, 'b'), ""}},
       {.log = 1, .kind = RunKind::kRows, .first = 1, .term = 0, .payloads = {Text(33, 'r')}},
       {.log = 1, .first = 1, .payloads = {Text(300, 'c')}}});
  image.Next({{.log = 2, .first = 1, .payloads = {Text(700, 'd'), Text(900, 'e')}},
              {.log = 0, .kind = RunKind::kTruncateSuffix, .first = 3, .epoch = 1}});
  image.Next(
      {{.log = 1, .kind = RunKind::kRows, .first = 2, .term = 0, .payloads = {Text(20, 's')}},
       {.log = 0, .first = 3, .term = 2, .payloads = {Text(64, 'f')}, .epoch = 1}});
  image.Batch({.number = 4,
               .durable_upto = 3,
               .previous_checksum = image.batches().back().header.checksum,
               .flags = kBatchSeal},
              {});
  return image;
}

/// What the next file's header says of a file that ended with batch `end`.
FileSummary Successor(const FileSummary& file, std::uint64_t end, std::uint64_t durable_upto) {
  FileSummary next;
  next.number = file.number + 1;
  next.size_bytes = file.size_bytes;
  next.life = 991;
  next.copy_ok[0] = next.copy_ok[1] = true;
  next.header = FileHeader{.system = {},
                           .life = 991,
                           .number = next.number,
                           .predecessor_number = file.number,
                           .predecessor_life = file.life,
                           .predecessor_end = end,
                           .oldest_live = file.number,
                           .first_batch = end + 1,
                           .durable_upto = durable_upto};
  return next;
}

std::vector<std::uint64_t> IntactNumbers(const TailVerdict& verdict) {
  std::vector<std::uint64_t> numbers;
  for (const JudgedBatch& batch : verdict.batches) {
    if (batch.intact) numbers.push_back(batch.number);
  }
  return numbers;
}

BatchContents ReadDamaged(const std::vector<std::byte>& bytes, const ImageBuilder& image,
                          const BatchPlace& batch, SlotTable slots = {}) {
  for (const BatchPlace& before : image.batches()) {
    if (before.offset >= batch.offset) break;
    for (const RunPlace& run : before.runs) slots[run.spec.log] = OwnerOf(run.spec.log);
  }
  return ReadDamagedBatch(Bytes(bytes).subspan(batch.offset, batch.header.batch_bytes),
                          TestSystem(), image.context(), batch.offset, slots);
}

TEST(Batch, PW1_WhatWasEncodedIsDecoded) {
  const ImageBuilder image = Specimen(1, 11);
  const FileSummary file = Scan(image.bytes, 1);
  ASSERT_EQ(file.batches.size(), 4u);
  for (std::size_t i = 0; i < 3; ++i) {
    const BatchPlace& place = image.batches()[i];
    const Bytes bytes = Bytes(image.bytes).subspan(place.offset);
    const Result<BatchHeader> header =
        DecodeBatchHeader(bytes, TestSystem(), image.context(), place.offset);
    ASSERT_TRUE(header.ok());
    const Result<BatchContents> contents =
        ReadIntactBatch(*header, bytes, image.context(), place.offset);
    ASSERT_TRUE(contents.ok());
    ASSERT_EQ(contents->runs.size(), place.runs.size());
    for (std::size_t r = 0; r < place.runs.size(); ++r) {
      const RunSpec& spec = place.runs[r].spec;
      const RunView& run = contents->runs[r];
      EXPECT_EQ(run.header.kind, spec.kind);
      EXPECT_EQ(run.header.first, spec.first);
      EXPECT_EQ(run.offset, place.runs[r].offset);
      RecordReader reader(run, image.context(), OwnerOf(spec.log));
      for (const std::string& payload : spec.payloads) {
        const Result<RecordView> record = reader.Next();
        ASSERT_TRUE(record.ok()) << record.error().message;
        EXPECT_EQ(AsText(record->payload), payload);
      }
      EXPECT_TRUE(reader.AtEnd());
    }
  }
}

/// The last batch of an unsealed tail replaced, sector by sector or byte by byte.
class Tear : public ::testing::TestWithParam<bool> {
 protected:
  Tear() : whole_(Specimen(1, 11)) {
    last_ = whole_.batches()[2];
    torn_ = whole_.bytes;
    // Behind it: zeros, or what the file held in its former life.
    if (GetParam()) {
      ImageBuilder former(1, 5, torn_.size());
      former.Next({{.log = 9, .first = 1, .payloads = {Text(12000, 'x')}}});
      former.Next({{.log = 9, .first = 2, .payloads = {Text(300, 'y')}}});
      stale_ = former.bytes;
    } else {
      stale_.resize(torn_.size());
    }
    std::copy(stale_.begin() + Signed(last_.offset), stale_.end(),
              torn_.begin() + Signed(last_.offset));
  }
  static std::ptrdiff_t Signed(std::uint64_t at) { return static_cast<std::ptrdiff_t>(at); }
  void Keep(std::uint64_t at, std::uint64_t size) {
    std::copy_n(whole_.bytes.begin() + Signed(at), size, torn_.begin() + Signed(at));
  }
  void Lose(std::uint64_t at, std::uint64_t size) {
    std::copy_n(stale_.begin() + Signed(at), size, torn_.begin() + Signed(at));
  }
  void ExpectCutOrWhole() {
    const bool whole =
        std::equal(torn_.begin() + Signed(last_.offset), torn_.begin() + Signed(last_.end()),
                   whole_.bytes.begin() + Signed(last_.offset));
    const FileSummary file = Scan(torn_, 1);
    const TailVerdict verdict = JudgeTail({&file, 1});
    if (whole) {
      EXPECT_THAT(IntactNumbers(verdict), ElementsAre(1u, 2u, 3u));
      return;
    }
    EXPECT_THAT(IntactNumbers(verdict), ElementsAre(1u, 2u));
    EXPECT_EQ(verdict.batches.size(), 2u) << "a tear is not damage";
    const Bytes header = Bytes(torn_).subspan(last_.offset, kBatchHeaderBytes);
    const bool header_there =
        std::equal(header.begin(), header.end(), whole_.bytes.begin() + Signed(last_.offset));
    if (header_there) {
      EXPECT_NE(verdict.cut.kind, CutKind::kNone) << "stated";
    }
  }

  ImageBuilder whole_;
  BatchPlace last_;
  std::vector<std::byte> torn_;
  std::vector<std::byte> stale_;
};

TEST_P(Tear, W10_AtEveryByte) {
  for (std::uint64_t kept = 0; kept <= last_.header.batch_bytes; ++kept) {
    SCOPED_TRACE(kept);
    if (kept > 0) Keep(last_.offset + kept - 1, 1);
    ExpectCutOrWhole();
    if (HasFailure()) return;
  }
}

TEST_P(Tear, W10_EverySubsetOfSectors) {
  const std::uint64_t sectors = last_.header.batch_bytes / kSectorBytes;
  ASSERT_EQ(sectors, 8u);
  for (std::uint64_t subset = 0; subset < (1u << sectors); ++subset) {
    SCOPED_TRACE(subset);
    for (std::uint64_t s = 0; s < sectors; ++s) {
      const std::uint64_t at = last_.offset + s * kSectorBytes;
      (subset >> s & 1) != 0 ? Keep(at, kSectorBytes) : Lose(at, kSectorBytes);
    }
    ExpectCutOrWhole();
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(OverZerosAndFormerLife, Tear, ::testing::Bool());

/// The damage that a lost byte at `offset` does, from where the specimen says things stand.
std::vector<RecordPlace> LostWith(const ImageBuilder& image, std::uint64_t offset) {
  std::vector<RecordPlace> lost;
  for (const BatchPlace& batch : image.batches()) {
    for (const RunPlace& run : batch.runs) {
      for (const RecordPlace& record : run.records) {
        const std::uint64_t payload_end =
            record.payload +
            run.spec.payloads[static_cast<std::size_t>(&record - run.records.data())].size();
        if (offset >= record.header && offset < payload_end) lost.push_back(record);
      }
    }
  }
  return lost;
}

TEST(Flip, W11_EveryBitOfASealedFileIsFoundWithItsExactOwner) {
  const ImageBuilder image = Specimen(1, 11);
  const ::duramen::testing::MemoryFile original(image.bytes);
  ::duramen::testing::MemoryFile file(image.bytes);
  const std::uint64_t end = image.batches().back().end();
  std::vector<std::byte> bytes = image.bytes;
  for (std::uint64_t at = 0; at < end; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      SCOPED_TRACE(::testing::Message() << "byte " << at << " bit " << bit);
      bytes[at] ^= std::byte{1} << bit;
      (void)file.Write(at, Bytes(bytes).subspan(at, 1));
      FileWindow window(file, bytes.size());
      FileSummary summary = ScanHeaders(window, 1, TestSystem());
      ScanBatches(window, TestSystem(), summary);
      if (at < kFirstBatchOffset) {
        ASSERT_FALSE(summary.copy_ok[at / kBlockBytes]);
        ASSERT_TRUE(summary.copy_ok[1 - at / kBlockBytes]);
      }
      const FileSummary files[] = {summary, Successor(summary, 4, 4)};
      const TailVerdict verdict = JudgeTail(files);
      ASSERT_EQ(verdict.cut.kind, CutKind::kNone) << "called torn";
      ASSERT_EQ(verdict.batches.size(), 4u);
      for (std::size_t i = 0; i < 4; ++i) {
        const BatchPlace& place = image.batches()[i];
        const bool hit = at >= place.offset && at < place.end();
        ASSERT_EQ(verdict.batches[i].intact, !hit) << "batch " << i + 1;
        if (!hit) continue;
        const BatchContents contents = ReadDamaged(bytes, image, place);
        ASSERT_FALSE(contents.unattributed);
        const std::vector<RecordPlace> lost = LostWith(image, at);
        ASSERT_EQ(contents.damaged.size(), lost.size());
        ASSERT_EQ(contents.runs.size() + lost.size(), place.runs.size());
        if (lost.empty()) continue;
        const bool header = at < lost[0].payload;
        ASSERT_EQ(contents.damaged[0].header.slot, lost[0].log);
        ASSERT_EQ(contents.damaged[0].first, lost[0].index);
        ASSERT_EQ(contents.damaged[0].last, header ? lost[0].run_last : lost[0].index);
      }
      bytes[at] ^= std::byte{1} << bit;
      (void)file.Write(at, Bytes(bytes).subspan(at, 1));
    }
  }
}

TEST(Flip, W11_InAnUnsealedTailItIsUnprovenAndSaidSo) {
  ImageBuilder image(1, 11, 24 << 10);
  image.Header({.system = {}, .oldest_live = 1, .first_batch = 1});
  image.Next({{.log = 0, .first = 1, .payloads = {"one"}}});
  const BatchPlace last = image.Next({{.log = 0, .first = 2, .payloads = {Text(100, 'z')}}});
  for (std::uint64_t at = last.offset; at < last.end(); ++at) {
    SCOPED_TRACE(at);
    std::vector<std::byte> bytes = image.bytes;
    bytes[at] ^= std::byte{0x10};
    const FileSummary file = Scan(bytes, 1);
    const TailVerdict verdict = JudgeTail({&file, 1});
    ASSERT_THAT(IntactNumbers(verdict), ElementsAre(1u));
    ASSERT_EQ(verdict.batches.size(), 1u);
    ASSERT_NE(verdict.cut.kind, CutKind::kNone);
    ASSERT_EQ(verdict.cut.number, 2u);
  }
}

TEST(Batch, A13_BytesInTheWrongPlaceFail) {
  const ImageBuilder image = Specimen(1, 11);
  const BatchPlace& first = image.batches()[0];
  std::vector<std::byte> bytes = image.bytes;
  // A batch written to another block, as a disk may do by mistake.
  const std::uint64_t elsewhere = image.batches()[1].offset;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(first.offset), first.header.batch_bytes,
              bytes.begin() + static_cast<std::ptrdiff_t>(elsewhere));
  const FileSummary file = Scan(bytes, 1);
  const std::vector<FileSummary> files{file, Successor(file, 4, 4)};
  EXPECT_THAT(IntactNumbers(JudgeTail(files)), ElementsAre(1u, 3u, 4u));
  // The same file under another number, or of another system.
  EXPECT_THAT(Scan(image.bytes, 2).batches, IsEmpty());
  const ::duramen::testing::MemoryFile memory(image.bytes);
  FileWindow window(memory, image.bytes.size());
  SystemUuid stranger = TestSystem();
  stranger.bytes[3] ^= 1;
  FileSummary summary = ScanHeaders(window, 1, stranger);
  ScanBatches(window, stranger, summary);
  EXPECT_FALSE(summary.header);
  EXPECT_THAT(summary.batches, IsEmpty());
}

// The new life wrote one batch over the three of the former life, which follow it in place.
TEST(Batch, W12_BatchesOfAFormerLifeAreNeverReadAsNew) {
  const ImageBuilder former = Specimen(1, 11);
  for (const std::uint64_t number : {1u, 7u}) {  // Under its old number, and under a new one.
    SCOPED_TRACE(number);
    ImageBuilder current(number, 22, former.bytes.size());
    current.Header({.system = {}, .oldest_live = number, .first_batch = 1});
    const BatchPlace batch = current.Next({{.log = 5, .first = 1, .payloads = {"new"}}});
    std::vector<std::byte> bytes = former.bytes;
    std::copy_n(current.bytes.begin(), batch.end(), bytes.begin());
    const FileSummary file = Scan(bytes, number);
    ASSERT_EQ(file.batches.size(), 1u);
    EXPECT_TRUE(file.batches[0].intact);
    EXPECT_THAT(IntactNumbers(JudgeTail({&file, 1})), ElementsAre(1u));
  }
}

// The first batch of the new life reached the disk, its header did not.
TEST(Batch, A13_AFormerHeaderDoesNotServeANewFile) {
  const ImageBuilder former = Specimen(3, 11);
  ImageBuilder current(4, 22, former.bytes.size());
  const BatchPlace batch = current.Next({{.log = 5, .first = 1, .payloads = {"new"}}});
  std::vector<std::byte> bytes = former.bytes;
  std::copy_n(current.bytes.begin() + static_cast<std::ptrdiff_t>(batch.offset),
              batch.header.batch_bytes, bytes.begin() + static_cast<std::ptrdiff_t>(batch.offset));
  const FileSummary file = Scan(bytes, 4);
  EXPECT_FALSE(file.header);
  EXPECT_TRUE(file.former_header);
  EXPECT_THAT(JudgeTail({&file, 1}).batches, IsEmpty());
}

TEST(Batch, W29_APayloadThatIsAWalFileIsNeverTakenForBatches) {
  ImageBuilder stored(1, 11, 20 << 10);  // The same system, number and life: the worst payload.
  stored.Header({.system = {}, .oldest_live = 1, .first_batch = 1, .durable_upto = 900});
  stored.Batch({.number = 900, .durable_upto = 900}, {{.log = 3, .first = 1, .payloads = {"x"}}});
  const std::string payload(AsText(Bytes(stored.bytes).first(16 << 10)));
  ImageBuilder image(1, 11, 64 << 10);
  image.Header({.system = {}, .oldest_live = 1, .first_batch = 1});
  image.Next({{.log = 0, .first = 1, .payloads = {"before"}}});
  const std::size_t lead =
      kBlockBytes - kBatchHeaderBytes - kBindingBytes - kRunHeaderBytes - 2 * kRecordHeaderBytes;
  const BatchPlace carrier =
      image.Next({{.log = 1, .first = 1, .payloads = {Text(lead, 'l'), payload}}});
  ASSERT_EQ(carrier.runs[0].records[1].payload % kBlockBytes, 0u);
  image.Next({{.log = 0, .first = 2, .payloads = {"after"}}});
  std::vector<std::byte> bytes = image.bytes;
  EXPECT_EQ(Scan(bytes, 1).batches.size(), 3u);
  // With the carrier's header gone the scan looks at every block inside it.
  bytes[carrier.offset + 40] ^= std::byte{1};
  FileSummary file = Scan(bytes, 1);
  for (const BatchSummary& batch : file.batches) EXPECT_LE(batch.number, 3u);
  bytes[carrier.closing() + 20] ^= std::byte{1};  // And with its closing gone as well.
  file = Scan(bytes, 1);
  EXPECT_EQ(file.batches.size(), 2u);
  const TailVerdict verdict = JudgeTail({&file, 1});
  EXPECT_EQ(verdict.proven, 2u);
  EXPECT_THAT(IntactNumbers(verdict), ElementsAre(1u, 3u));
}

TEST(Batch, B5_EachLostPartTouchesExactlyItsOwner) {
  const ImageBuilder image = Specimen(1, 11);
  for (const BatchPlace& batch : image.batches()) {
    for (const RunPlace& run : batch.runs) {
      for (const RecordPlace& record : run.records) {
        SCOPED_TRACE(record.header);
        std::vector<std::byte> bytes = image.bytes;
        std::memset(bytes.data() + record.header, 0xEE, record.end - record.header);
        const BatchContents contents = ReadDamaged(bytes, image, batch);
        ASSERT_EQ(contents.damaged.size(), 1u);
        EXPECT_EQ(contents.damaged[0].header.slot, record.log);
        EXPECT_EQ(contents.damaged[0].first, record.index);
        EXPECT_EQ(contents.damaged[0].last, record.run_last);
        EXPECT_EQ(contents.runs.size() + 1, batch.runs.size()) << "all the others read";
        EXPECT_FALSE(contents.unattributed);
      }
      SCOPED_TRACE(run.offset);
      std::vector<std::byte> bytes = image.bytes;
      std::memset(bytes.data() + run.offset, 0xEE, kRunHeaderBytes);
      const BatchContents contents = ReadDamaged(bytes, image, batch);
      EXPECT_THAT(contents.damaged, IsEmpty()) << "the closing repeats it";
      EXPECT_EQ(contents.runs.size(), batch.runs.size());
    }
  }
}

TEST(Batch, B5_HeaderOrClosingAloneCostNothing) {
  const ImageBuilder image = Specimen(1, 11);
  for (const BatchPlace& batch : image.batches()) {
    for (const bool header : {true, false}) {
      std::vector<std::byte> bytes = image.bytes;
      const std::uint64_t at = header ? batch.offset : batch.closing();
      std::memset(bytes.data() + at, 0, kSectorBytes / 8);
      const BatchContents contents = ReadDamaged(bytes, image, batch);
      EXPECT_FALSE(contents.unattributed);
      EXPECT_THAT(contents.damaged, IsEmpty());
      EXPECT_EQ(contents.runs.size(), batch.runs.size());
    }
  }
}

TEST(Batch, B5_ARunHeaderAndItsRepeatGoneIsUnattributed) {
  const ImageBuilder image = Specimen(1, 11);
  const BatchPlace& batch = image.batches()[0];
  std::vector<std::byte> bytes = image.bytes;
  std::memset(bytes.data() + batch.runs[1].offset, 0xEE, kRunHeaderBytes);
  std::memset(bytes.data() + batch.closing(), 0xEE, kSectorBytes);
  const BatchContents contents = ReadDamaged(bytes, image, batch);
  EXPECT_TRUE(contents.unattributed);
  ASSERT_EQ(contents.runs.size(), 1u) << "the run before it still reads";
  EXPECT_EQ(contents.runs[0].header.slot, 0u);
}

TEST(Batch, B5_HeaderAndClosingGoneIsUnattributed) {
  const ImageBuilder image = Specimen(1, 11);
  const BatchPlace& batch = image.batches()[1];
  std::vector<std::byte> bytes = image.bytes;
  std::memset(bytes.data() + batch.offset, 0, kBatchHeaderBytes);
  std::memset(bytes.data() + batch.closing(), 0, kClosingHeaderBytes);
  EXPECT_TRUE(ReadDamaged(bytes, image, batch).unattributed);
  const FileSummary file = Scan(bytes, 1);
  const TailVerdict verdict = JudgeTail({&file, 1});
  EXPECT_THAT(IntactNumbers(verdict), ElementsAre(1u, 3u, 4u));
  EXPECT_EQ(verdict.batches[1].number, 2u) << "damage, because batch 3 says so";
}

TEST(Batch, C14_AShortFileIsNoDamageWithoutAProof) {
  const ImageBuilder image = Specimen(1, 11);
  for (std::uint64_t size = 0; size <= image.bytes.size(); size += 64) {
    SCOPED_TRACE(size);
    const std::vector<std::byte> cut(image.bytes.begin(),
                                     image.bytes.begin() + static_cast<std::ptrdiff_t>(size));
    const FileSummary file = Scan(cut, 1);
    const TailVerdict verdict = JudgeTail({&file, 1});
    // The last batch of what is left may be damaged only as far as something proves it.
    for (const JudgedBatch& batch : verdict.batches) {
      EXPECT_TRUE(batch.intact || batch.number <= verdict.proven);
    }
    if (size >= kFirstBatchOffset) {
      EXPECT_EQ(verdict.chain.size(), 1u);
      const FileSummary files[] = {file, Successor(file, 4, 4)};
      std::uint64_t whole = 0;
      for (const BatchPlace& batch : image.batches()) whole += batch.end() <= size ? 1 : 0;
      EXPECT_EQ(IntactNumbers(JudgeTail(files)).size(), whole);
    }
  }
}

TEST(Batch, C10_ARecordThatChangedInMemoryIsNotAdded) {
  std::vector<std::byte> buffer(3 * kBlockBytes);
  BatchEncoder encoder(FileContext::Of(TestSystem(), 1, 11), kFirstBatchOffset, buffer);
  const RecordOwner owner = OwnerOf(0);
  encoder.AddBinding({0, owner.cluster_id, owner.uid});
  encoder.BeginRun({.slot = 0, .first = 1, .term = 1}, owner.uid);
  std::string payload = Text(99, 'p');
  const EntryIdentity identity{owner.cluster_id, 1, 1, 128};
  RecordSource source{.identity = identity,
                      .payload = AsBytes(payload).data(),
                      .payload_bytes = 99,
                      .entry_checksum = EntryChecksum(identity, AsBytes(payload))};
  for (std::size_t at = 0; at < payload.size(); ++at) {
    payload[at] ^= 1;
    EXPECT_FALSE(encoder.AddRecord(source));
    payload[at] ^= 1;
  }
  source.identity.term = 2;
  EXPECT_FALSE(encoder.AddRecord(source)) << "the right bytes of another entry";
  source.identity.term = 1;
  EXPECT_TRUE(encoder.AddRecord(source));
  EXPECT_EQ(encoder.EndRun().count, 1u);
  encoder.BeginRun({.slot = 0, .first = 2, .term = 1}, owner.uid);
  (void)encoder.EndRun();
  EXPECT_EQ(encoder.run_count(), 1u) << "a run without records is taken back";
}

TEST(Batch, W16_TheLargestRecordFitsABatchAndOneMoreUnitDoesNot) {
  for (std::uint64_t file = 32 << 10; file <= 300 << 20; file = file * 5 / 3 / 4096 * 4096) {
    const std::uint64_t max = MaxPayloadBytes(file);
    EXPECT_GT(max, 0u);
    EXPECT_LE(BatchBytes(RecordBytes(max), 1, 1), MaxBatchBytes(file)) << file;
    EXPECT_LT(MaxBatchBytes(file), file / 2);
    EXPECT_LT(MaxBatchBytes(file) - max, 1024u) << "nearly all of the batch can be used";
  }
}

}  // namespace
}  // namespace duramen::wal::testing
