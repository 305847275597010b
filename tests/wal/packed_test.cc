// Packed runs: encoded, read, torn, flipped byte by byte, copied, and forged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "base/bytes.h"
#include "base/rng.h"
#include "tests/wal/wal_image.h"
#include "wal/batch.h"
#include "wal/frames.h"

namespace duramen::wal::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string Noise(std::size_t bytes, std::uint64_t seed) {
  Rng rng(seed);
  std::string noise(bytes, '\0');
  for (char& one : noise) one = static_cast<char>(rng.Next());
  return noise;
}

/// Payloads that shrink, each another.
std::vector<std::string> Texts(std::size_t count, std::size_t bytes) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) {
    texts.push_back(std::to_string(i) + ":" + std::string(bytes + i % 5, 'p'));
  }
  return texts;
}

/// A log that packs, one that is too short for it, rows, one of noise, and one of several frames.
const std::vector<RunSpec>& Specimen() {
  static const std::vector<RunSpec> kRuns{
      {.log = 0, .first = 1, .payloads = Texts(20, 300)},
      {.log = 1, .first = 7, .payloads = {"short", "runs stay"}},
      {.log = 1, .kind = RunKind::kRows, .first = 1, .term = 0, .payloads = Texts(20, 300)},
      {.log = 2, .first = 1, .payloads = {Noise(3000, 1), Noise(3000, 2)}},
      {.log = 3, .kind = RunKind::kOverwrite, .first = 9, .payloads = Texts(30, 30'000)}};
  return kRuns;
}

ImageBuilder Image() {
  ImageBuilder image(1, 11, 2 << 20);
  image.packs = true;
  image.bytes.resize(image.Next(Specimen()).end() + kBlockBytes);
  image.Header({.version = kPackedVersion, .system = {}, .oldest_live = 1, .first_batch = 1});
  return image;
}

/// What can be read of a run: the payloads that are right, in their places.
std::vector<std::optional<std::string>> Read(const RunView& run, const FileContext& context,
                                             std::uint32_t log) {
  std::vector<std::optional<std::string>> payloads;
  RecordReader reader(run, context, OwnerOf(log));
  while (!reader.AtEnd() && reader.resumable()) {
    const Result<RecordView> record = reader.Next();
    payloads.push_back(record.ok() ? std::optional(std::string(AsText(record->payload)))
                                   : std::nullopt);
  }
  payloads.resize(run.header.count);
  return payloads;
}

void ExpectAll(const RunView& run, const FileContext& context, const RunSpec& spec) {
  const auto payloads = Read(run, context, spec.log);
  ASSERT_EQ(payloads.size(), spec.payloads.size());
  for (std::size_t i = 0; i < payloads.size(); ++i) EXPECT_EQ(payloads[i], spec.payloads[i]) << i;
}

Result<BatchContents> Intact(const ImageBuilder& image) {
  const BatchPlace& batch = image.batches()[0];
  return ReadIntactBatch(batch.header, Bytes(image.bytes).subspan(batch.offset), image.context(),
                         batch.offset);
}

TEST(BatchCompression, PW14_WhatShrinksIsPackedAndReadsAsWritten) {
  const ImageBuilder image = Image();
  const FileSummary file = Scan(image.bytes, 1);
  ASSERT_EQ(file.batches.size(), 1u);
  EXPECT_TRUE(file.batches[0].intact);
  const BatchContents contents = Intact(image).value();
  ASSERT_EQ(contents.runs.size(), 5u);
  const auto packed = [&](std::size_t run) {
    return (contents.runs[run].header.flags & kRunPacked) != 0;
  };
  EXPECT_TRUE(packed(0));
  EXPECT_FALSE(packed(1)) << "shorter than 4 KiB";
  EXPECT_FALSE(packed(2)) << "rows never are";
  EXPECT_FALSE(packed(3)) << "noise does not shrink";
  EXPECT_TRUE(packed(4));
  EXPECT_LT(contents.runs[0].header.bytes, 1000u);
  EXPECT_LT(contents.runs[4].header.bytes, 5000u);
  for (std::size_t i = 0; i < 5; ++i) ExpectAll(contents.runs[i], image.context(), Specimen()[i]);
}

TEST(BatchCompression, PW14_ABatchThatGainsNothingIsTheOneThatItWas) {
  const std::vector<RunSpec> runs{{.log = 2, .first = 1, .payloads = {Noise(9000, 1)}},
                                  {.log = 1, .first = 1, .payloads = Texts(3, 50)}};
  ImageBuilder plain(1, 11);
  ImageBuilder packing(1, 11);
  packing.packs = true;
  plain.Next(runs);
  packing.Next(runs);
  EXPECT_EQ(plain.bytes, packing.bytes);
}

TEST(BatchCompression, PW14_ReadersStepOverWhatNobodyAsksFor) {
  const ImageBuilder image = Image();
  const RunView run = Intact(image).value().runs[4];
  const std::vector<std::string>& texts = Specimen()[4].payloads;
  RecordReader reader(run, image.context(), OwnerOf(3));
  reader.KeepFrames();
  reader.SkipTo(run.header.first + 25);
  std::vector<Bytes> read;
  while (!reader.AtEnd()) {
    const Result<RecordView> record = reader.Next();
    if (reader.next_index() <= run.header.first + 25) continue;
    ASSERT_TRUE(record.ok());
    read.push_back(record->payload);
  }
  const auto frames = reader.TakeFrames();
  std::size_t bytes = 0;
  for (const auto& frame : frames) bytes += frame.size();
  EXPECT_LE(bytes, 260'000u) << "of 900 KB";
  ASSERT_EQ(read.size(), 5u);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(AsText(read[i]), texts[25 + i]);
}

// Each byte of the batch in turn: found, and what it costs is known to the record.
TEST(BatchCompression, PW14_W11_AFlippedByteCostsTheRecordsOfItsFrameAlone) {
  const ImageBuilder image = Image();
  const BatchPlace& batch = image.batches()[0];
  const BatchContents whole = Intact(image).value();
  std::vector<std::byte> bytes = image.bytes;
  std::size_t frames_hit = 0;
  for (std::uint64_t at = batch.offset; at < batch.end(); ++at) {
    const auto inside = [&](const RunView& run) {
      const std::uint64_t begin = run.offset + kRunHeaderBytes;
      return at >= begin && at < begin + run.header.bytes;
    };
    const auto hit = std::find_if(whole.runs.begin(), whole.runs.end(), inside);
    // Of records as they are every eleventh byte will do; those are tested elsewhere.
    const bool packed = hit != whole.runs.end() && (hit->header.flags & kRunPacked) != 0;
    if (!packed && at % 11 != 0) continue;
    SCOPED_TRACE(at);
    bytes[at] ^= static_cast<std::byte>(1 << at % 8);
    ASSERT_FALSE(Scan(bytes, 1).batches.size() == 1 && Scan(bytes, 1).batches[0].intact);
    const BatchContents contents =
        ReadDamagedBatch(Bytes(bytes).subspan(batch.offset, batch.header.batch_bytes), TestSystem(),
                         image.context(), batch.offset, {});
    ASSERT_FALSE(contents.unattributed);
    if (packed) {
      const auto run = static_cast<std::size_t>(hit - whole.runs.begin());
      ASSERT_EQ(contents.runs.size() + contents.damaged.size(), 5u);
      ASSERT_LE(contents.damaged.size(), 1u);
      if (contents.damaged.empty()) {  // Zeros behind a frame.
        for (std::size_t i = 0; i < 5; ++i) {
          ExpectAll(contents.runs[i], image.context(), Specimen()[i]);
        }
      } else {
        ++frames_hit;
        const DamagedRun& damaged = contents.damaged[0];
        ASSERT_EQ(damaged.header.slot, Specimen()[run].log);
        const auto left = Read(contents.partial[0], image.context(), Specimen()[run].log);
        for (std::size_t i = 0; i < left.size(); ++i) {
          const Index index = damaged.header.first + i;
          const bool lost = index >= damaged.first && index <= damaged.last;
          ASSERT_EQ(left[i].has_value(), !lost) << index;
          if (lost) continue;
          ASSERT_EQ(left[i], Specimen()[run].payloads[i]);
        }
      }
    }
    bytes[at] ^= static_cast<std::byte>(1 << at % 8);
  }
  EXPECT_GT(frames_hit, 1000u);
}

TEST(BatchCompression, PW14_C7_AFrameSaysWhoseItIs) {
  const ImageBuilder image = Image();
  const RunView run = Intact(image).value().runs[0];
  const auto is_of = [&](std::uint32_t log) {
    return RunIsOf(
        run.header, run.records,
        RecordSeed(image.context().seed, run.offset + kRunHeaderBytes, OwnerOf(log).uid));
  };
  EXPECT_TRUE(is_of(0));
  EXPECT_FALSE(is_of(1));
}

TEST(BatchCompression, PW14_FramesAreCopiedAsTheyAre) {
  const ImageBuilder image = Image();
  const RunView run = Intact(image).value().runs[4];
  std::vector<std::byte> buffer(64 << 10);
  const FileContext other = FileContext::Of(TestSystem(), 2, 99);
  BatchEncoder encoder(other, 3 * kBlockBytes, buffer);
  RunHeader header = run.header;
  header.slot = 5;
  encoder.BeginRun(header, OwnerOf(3).uid);
  ASSERT_TRUE(encoder.AddFrames(run, image.context()));
  const RunHeader written = encoder.EndRun();
  EXPECT_EQ(written.bytes, run.header.bytes);
  EXPECT_EQ(written.count, run.header.count);
  BatchHeader batch{.number = 1};
  const Bytes bytes = encoder.Finish(batch);
  const BatchContents contents = ReadIntactBatch(batch, bytes, other, 3 * kBlockBytes).value();
  ASSERT_EQ(contents.runs.size(), 1u);
  EXPECT_EQ(contents.runs[0].header.slot, 5u);
  ExpectAll(contents.runs[0], other, Specimen()[4]);
  // Where they stood before they are as wrong as flipped ones.
  const RunView moved{run.header, run.offset + 8, run.records};
  EXPECT_THAT(Read(moved, image.context(), 3), ::testing::Each(std::nullopt));
}

/// A run of one frame whose header is made by `change`, with right checksums.
template <typename Change>
RunView Forged(std::vector<std::byte>& bytes, const ImageBuilder& image, Change change) {
  const RunView run = Intact(image).value().runs[0];
  bytes.assign(run.records.begin(), run.records.end());
  const std::uint64_t seed =
      RecordSeed(image.context().seed, run.offset + kRunHeaderBytes, OwnerOf(0).uid);
  FrameHeader frame = DecodeFrameHeader(bytes, seed).value();
  change(frame);
  EncodeFrameHeader(frame, seed, bytes.data());
  return {run.header, run.offset, bytes};
}

TEST(BatchCompression, PW14_HostileSizesTakeNoMemoryAndGiveNoRecord) {
  const ImageBuilder image = Image();
  std::vector<std::byte> bytes;
  const auto none = [&](auto change) {
    const RunView run = Forged(bytes, image, change);
    EXPECT_THAT(Read(run, image.context(), 0), ::testing::Each(std::nullopt));
  };
  none([](FrameHeader& frame) { frame.raw_bytes -= 8; });
  none([](FrameHeader& frame) { frame.raw_bytes += 8; });
  none([](FrameHeader& frame) { frame.raw_bytes = UINT32_MAX - 7; });
  none([](FrameHeader& frame) { frame.raw_bytes = kFrameBytesMax + 8; });
  none([](FrameHeader& frame) { frame.packed_bytes = 0; });
  none([](FrameHeader& frame) { frame.packed_bytes = frame.raw_bytes; });
  none([](FrameHeader& frame) { frame.packed_bytes = frame.raw_bytes - 1; });
  none([](FrameHeader& frame) { frame.count = 0; });
  none([](FrameHeader& frame) { frame.count = UINT32_MAX; });
  none([](FrameHeader& frame) { frame.count += 1; });  // More than the run has.
  // Refused for what the header says, before anything is made of it.
  const auto refused = [](FrameHeader frame) {
    std::byte header[kFrameHeaderBytes];
    EncodeFrameHeader(frame, 5, header);
    return !DecodeFrameHeader(header, 5).ok();
  };
  EXPECT_FALSE(refused({0, 100, kFrameBytesMax, 2}));
  EXPECT_TRUE(refused({0, 100, kFrameBytesMax + 8, 2}));
  EXPECT_FALSE(refused({0, 100, kFrameBytesMax + 8, 1}));
  EXPECT_FALSE(refused({0, 100, kPlannedBytesMax, 1})) << "one record, of the largest batch";
  EXPECT_TRUE(refused({0, 100, kPlannedBytesMax + 8, 1}));
  EXPECT_TRUE(refused({0, 480, 480, 2}));
  EXPECT_TRUE(refused({0, 0, 480, 2}));
  EXPECT_TRUE(refused({0, 100, 484, 2}));
  EXPECT_TRUE(refused({0, 100, 480, 21}));
  EXPECT_TRUE(refused({0, 100, 480, 0}));
  RunHeader many{.count = kBatchBytesMax / kRecordHeaderBytes + 1, .first = 1, .bytes = 64};
  many.flags = kRunPacked;
  std::byte summary[kRunSummaryBytes];
  EncodeRunSummary(many, summary);
  EXPECT_FALSE(DecodeRunSummary(summary).ok());
  --many.count;
  EncodeRunSummary(many, summary);
  EXPECT_TRUE(DecodeRunSummary(summary).ok());
  // Fewer than are in it: those are right, and nothing says what the others would be.
  const RunView fewer = Forged(bytes, image, [](FrameHeader& frame) { frame.count = 3; });
  const auto read = Read(fewer, image.context(), 0);
  for (std::size_t i = 0; i < read.size(); ++i) EXPECT_EQ(read[i].has_value(), i < 3);
}

std::string RefusalOf(const std::vector<std::byte>& body, std::uint32_t raw_bytes) {
  const FrameHeader frame{.body_checksum = Checksum(body, 5),
                          .packed_bytes = static_cast<std::uint32_t>(body.size()),
                          .raw_bytes = raw_bytes,
                          .count = 1};
  const auto records = UnpackFrame(frame, body, 5);
  return records.ok() ? "" : records.error().message;
}

// Under right checksums: four kilobytes of such frames took 16 s and 256 MiB.
TEST(BatchCompression, PW14_AFrameThatIsNotOfItsSizeTakesNoMemory) {
  constexpr char kRefused[] = "frame has no sensible size";
  const std::vector<std::byte> raw(1 << 20, std::byte{'x'});
  std::vector<std::byte> body(1 << 12);
  body.resize(ZstdCompressor().Compress(raw, body));
  EXPECT_EQ(RefusalOf(body, 1 << 20), "");
  for (const std::uint32_t lie : {1u << 28, (1u << 20) + 8, (1u << 20) - 8}) {
    EXPECT_EQ(RefusalOf(body, lie), kRefused);
  }
  EXPECT_EQ(RefusalOf({8, std::byte{0}}, 1 << 28), kRefused) << "no frame at all";
  std::vector<std::byte> two = body;
  two.insert(two.end(), body.begin(), body.end());
  EXPECT_EQ(RefusalOf(two, 1 << 20), kRefused) << "two frames";
  for (std::size_t bytes = 0; bytes < body.size(); ++bytes) {
    EXPECT_EQ(RefusalOf({body.begin(), body.begin() + static_cast<std::ptrdiff_t>(bytes)}, 1 << 20),
              kRefused)
        << bytes;
  }
  // Magic, a descriptor with four bytes of size and no window, 256 MiB, one block of one byte,
  // last.
  const std::vector<std::uint8_t> lies = {0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0,
                                          0,    0x10, 3,    0,    0x10, 7};
  const Bytes lie = std::as_bytes(std::span(lies));
  EXPECT_EQ(RefusalOf({lie.begin(), lie.end()}, 1 << 28), kRefused) << "more than its blocks hold";
}

TEST(BatchCompression, PW14_AFileWithPackedRunsSaysSo) {
  std::vector<std::byte> block(kBlockBytes);
  const std::span<std::byte, kBlockBytes> out(block);
  for (const std::uint32_t version : {1u, 2u, 3u}) {
    EncodeFileHeader({.version = version, .system = TestSystem(), .life = 4, .number = 1}, 0, out);
    const Result<FileHeader> header = DecodeFileHeader(block, 0);
    ASSERT_EQ(header.ok(), version < 3);
    if (header.ok()) {
      EXPECT_EQ(header->version, version);
    } else {
      EXPECT_EQ(header.error().code, ErrorCode::kUnknownVersion);
    }
  }
}

}  // namespace
}  // namespace duramen::wal::testing
