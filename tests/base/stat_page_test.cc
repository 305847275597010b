// TL4, TL6: a statistics page is read without trust, and its recorder while it is written.
#include "base/stat_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <new>
#include <thread>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/counters.h"
#include "base/rng.h"
#include "base/stat_memory.h"

namespace duramen {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Values {
  Counter written;
  Counter waiting;
  Counter since;
  Histogram took_ns;
  FlightRecorder recorder;
};
constexpr StatSpec kSpecs[] = {
    {"written", "bytes", "how much", StatKind::kCounter, offsetof(Values, written)},
    {"waiting", "", "how many", StatKind::kGauge, offsetof(Values, waiting)},
    {"since_ns", "ns", "how long", StatKind::kSince, offsetof(Values, since)},
    {"took_ns", "ns", "how fast", StatKind::kHistogram, offsetof(Values, took_ns)},
    {"recorder", "batches", "the last", StatKind::kBatches, offsetof(Values, recorder)}};
const StatLayout kLayout{kSpecs, sizeof(Values)};

BatchRecord Batch(std::uint64_t ordinal) {
  return {.ordinal = ordinal,
          .batch = 100 + ordinal,
          .file = 3,
          .records = 7 * ordinal,
          .bytes = 4096,
          .sync_ns = 5'000'000,
          .stage = BatchStage::kDone};
}

class Page : public ::testing::Test {
 protected:
  Page() : memory(StatMemory::Private(StatPageBytes(kLayout))) {
    values = new (memory.bytes().data() + StatValuesAt(kLayout)) Values;
    StatPageWrite(memory.bytes(), kLayout,
                  {.boot = 4, .pid = 77, .started_ns = 1000, .data_dir = "/data"});
    values->written.Add(12);
    values->waiting.Set(3);
    values->since.Set(2'000);
    values->took_ns.Add(1'000'000, 9);
    for (std::uint64_t i = 1; i <= 300; ++i) values->recorder.Put(Batch(i));
  }
  std::vector<std::byte> Copy() const { return {memory.bytes().begin(), memory.bytes().end()}; }
  StatMemory memory;
  Values* values = nullptr;
};

TEST_F(Page, TL4_SaysWhatTheProcessCounted) {
  const Result<StatReading> page = StatPageRead(Copy());
  ASSERT_TRUE(page.ok()) << page.error().message;
  EXPECT_EQ(page->identity.boot, 4u);
  EXPECT_EQ(page->identity.pid, 77u);
  EXPECT_EQ(page->identity.data_dir, "/data");
  ASSERT_THAT(page->metrics, SizeIs(4));
  EXPECT_EQ(page->metrics[0].name, "written");
  EXPECT_EQ(page->metrics[0].unit, "bytes");
  EXPECT_EQ(page->metrics[0].help, "how much");
  EXPECT_EQ(page->ValueOf("written", 0), 12u);
  EXPECT_EQ(page->ValueOf("waiting", 0), 3u);
  EXPECT_EQ(page->ValueOf("since_ns", 5'000), 3'000u);
  EXPECT_EQ(page->ValueOf("since_ns", 1'000), 0u) << "a clock that is behind";
  EXPECT_EQ(page->ValueOf("took_ns", 0), 9'000'000u);
  EXPECT_EQ(page->Find("took_ns")->histogram.count, 9u);
  EXPECT_EQ(page->Find("nothing"), nullptr);
  ASSERT_THAT(page->batches, SizeIs(FlightRecorder::kSlots));
  EXPECT_EQ(page->batches.front(), Batch(300 - FlightRecorder::kSlots + 1));
  EXPECT_EQ(page->batches.back(), Batch(300));
}

TEST_F(Page, TL4_AnotherVersionIsSaid) {
  std::vector<std::byte> copy = Copy();
  copy[8] = std::byte{2};
  const Result<StatReading> page = StatPageRead(copy);
  ASSERT_FALSE(page.ok());
  EXPECT_EQ(page.error().code, ErrorCode::kUnknownVersion);
  EXPECT_THAT(page.error().message, HasSubstr("version 2"));
  EXPECT_FALSE(page.error().hint.empty());
}

TEST_F(Page, T3_EveryCutIsRefused) {
  const std::vector<std::byte> copy = Copy();
  for (std::size_t size = 0; size < copy.size(); size += size < 8192 ? 1 : 61) {
    const Result<StatReading> page = StatPageRead(Bytes(copy).first(size));
    ASSERT_FALSE(page.ok()) << size;
    ASSERT_EQ(page.error().code, ErrorCode::kCorruption);
  }
  std::vector<std::byte> longer = copy;
  longer.resize(copy.size() + 8);
  EXPECT_FALSE(StatPageRead(longer).ok());
  longer.resize(kStatPageBytesMax + 1);
  EXPECT_FALSE(StatPageRead(longer).ok());
}

TEST_F(Page, T3_EveryFlippedBitOfHeaderAndTableIsRefused) {
  std::vector<std::byte> copy = Copy();
  const std::size_t table_end = kStatHeaderBytes + std::size(kSpecs) * kStatMetricBytes;
  for (std::size_t at = 0; at < table_end; ++at) {
    const auto bit = static_cast<std::byte>(1u << (at % 8));
    copy[at] ^= bit;
    ASSERT_FALSE(StatPageRead(copy).ok()) << at;
    copy[at] ^= bit;
  }
}

/// Whoever writes lies under a right checksum.
void Seal(std::vector<std::byte>& copy, std::size_t metrics) {
  const Bytes checked = Bytes(copy).subspan(24, kStatHeaderBytes + metrics * kStatMetricBytes - 24);
  StoreLe(copy.data() + 16, Checksum(checked, 0x53544154'50414745ULL));
}

TEST_F(Page, T3_ALieUnderARightChecksumIsNotFollowed) {
  const std::vector<std::byte> good = Copy();
  Rng rng(3);
  std::size_t refused = 0;
  for (int i = 0; i < 4000; ++i) {
    std::vector<std::byte> copy = good;
    // The words that say where something is: of the header, and kind, size and place of each row.
    const std::size_t row = kStatHeaderBytes + rng.Next() % std::size(kSpecs) * kStatMetricBytes;
    const std::size_t at =
        i % 2 == 0 ? 24 + 8 * (rng.Next() % 2) : row + 240 + 4 * (rng.Next() % 4);
    StoreLe(copy.data() + at, static_cast<std::uint32_t>(rng.Next() >> (rng.Next() % 64)));
    Seal(copy, std::size(kSpecs));
    const Result<StatReading> page = StatPageRead(copy);
    if (!page.ok()) ++refused;
  }
  EXPECT_GT(refused, 1000u);
  std::vector<std::byte> copy = good;
  StoreLe(copy.data() + 12, UINT32_MAX);  // metrics
  EXPECT_FALSE(StatPageRead(copy).ok());
}

TEST_F(Page, T3_AnyBytesAreRead) {
  Rng rng(8);
  for (int i = 0; i < 500; ++i) {
    std::vector<std::byte> copy(rng.Next() % 20'000);
    for (std::byte& byte : copy) byte = static_cast<std::byte>(rng.Next());
    EXPECT_FALSE(StatPageRead(copy).ok());
    EXPECT_THAT(ReadBatches(copy), IsEmpty());
  }
}

TEST_F(Page, TL6_ASlotThatIsHalfWrittenIsLeftOut) {
  std::vector<std::byte> copy = Copy();
  const std::size_t slot = StatValuesAt(kLayout) + offsetof(Values, recorder);
  copy[slot + 24] ^= std::byte{1};
  const Result<StatReading> page = StatPageRead(copy);
  ASSERT_TRUE(page.ok());
  EXPECT_THAT(page->batches, SizeIs(FlightRecorder::kSlots - 1));
}

TEST(FlightRecorder, TL6_AReaderBesideTheWriterSeesWholeBatches) {
  const auto recorder = std::make_unique<FlightRecorder>();
  constexpr std::uint64_t kBatches = 50'000;
  std::thread writing([&] {
    for (std::uint64_t i = 1; i <= kBatches; ++i) recorder->Put(Batch(i));
  });
  std::uint64_t newest = 0;
  while (newest < kBatches) {
    for (const BatchRecord& record : recorder->Last(16)) {
      ASSERT_EQ(record, Batch(record.ordinal));
      newest = std::max(newest, record.ordinal);
    }
  }
  writing.join();
  EXPECT_THAT(recorder->Last(3),
              ::testing::ElementsAre(Batch(kBatches - 2), Batch(kBatches - 1), Batch(kBatches)));
  EXPECT_THAT(Batch(2).ToText(), HasSubstr("batch 102 in file 3: 14 records"));
  EXPECT_THAT(Batch(2).ToText(), HasSubstr("sync 5.000 ms"));
}

}  // namespace
}  // namespace duramen
