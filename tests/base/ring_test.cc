// The ring against a model, against hostile words, and between two threads.
#include "base/ring.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/rng.h"
#include "base/shared_memory.h"

namespace duramen {
namespace {

using Record = std::array<std::byte, kRingRecordBytes>;

Record RecordOf(std::uint64_t number) {
  Record record;
  for (std::size_t at = 0; at < kRingRecordBytes; at += 8)
    StoreLe(record.data() + at, number * 8 + at);
  return record;
}

std::vector<std::byte> RecordsOf(std::uint64_t first, std::uint64_t count) {
  std::vector<std::byte> records;
  for (std::uint64_t number = first; number < first + count; ++number) {
    const Record record = RecordOf(number);
    records.insert(records.end(), record.begin(), record.end());
  }
  return records;
}

/// A ring in anonymous memory, and its header for those who want to do harm.
struct Ring {
  explicit Ring(std::uint32_t capacity)
      : memory(SharedMemory::Anonymous(RingBytes(capacity)).value()) {
    RingCreate(memory.bytes(), capacity);
  }
  RingHeader& header() { return *reinterpret_cast<RingHeader*>(memory.bytes().data()); }
  SharedMemory memory;
};

void CompareWithModel(std::uint64_t seed, std::uint32_t capacity) {
  SCOPED_TRACE(::testing::Message() << "seed " << seed << " capacity " << capacity);
  Rng rng(seed);
  Ring ring(capacity);
  RingProducer producer = RingProducer::Attach(ring.memory.bytes()).value();
  RingConsumer consumer = RingConsumer::Attach(ring.memory.bytes()).value();
  std::deque<std::uint64_t> model;  // the numbers in the ring; positions follow from `pushed`
  std::uint64_t pushed = 0;
  std::uint64_t published = 0;
  for (int step = 0; step < 400; ++step) {
    const std::uint64_t released = pushed - model.size();
    switch (rng.Below(7)) {
      case 0:
      case 1: {
        const std::uint64_t count = 1 + rng.Below(capacity + 1);
        const auto position = producer.Push(RecordsOf(pushed + 1, count));
        const bool fits = model.size() + count <= capacity;
        ASSERT_EQ(position.has_value(), fits);
        if (!fits) break;
        ASSERT_EQ(*position, pushed + count);
        for (std::uint64_t i = 0; i < count; ++i) model.push_back(++pushed);
        if (!producer.holds()) published = pushed;
        break;
      }
      case 2: {
        const std::uint64_t count = rng.Below(published - released + 1);
        consumer.Release(released + count);
        model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(count));
        break;
      }
      case 3:
        // One that died: what it held it has not added.
        producer = RingProducer::Attach(ring.memory.bytes()).value();
        model.resize(published - released);
        pushed = published;
        break;
      case 4:
        consumer = RingConsumer::Attach(ring.memory.bytes()).value();
        break;
      case 5:
        producer.Hold();
        break;
      case 6:
        producer.Publish();
        published = pushed;
        break;
    }
    ASSERT_EQ(producer.committed(), pushed);
    ASSERT_EQ(producer.held(), pushed - published);
    ASSERT_EQ(producer.Free(), capacity - model.size());
    ASSERT_EQ(consumer.Committed().value(), published);
    ASSERT_EQ(consumer.released(), pushed - model.size());
    for (std::uint64_t at = 0; at < published - consumer.released(); ++at) {
      Record copy;
      consumer.Copy(consumer.released() + 1 + at, copy);
      ASSERT_EQ(copy, RecordOf(model[at]));
    }
  }
}

TEST(Ring, EqualsAQueueWithPositions) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) CompareWithModel(seed, 1u << seed % 7);
}

TEST(Ring, T6_AHostileCommittedWordIsReportedNeverFollowed) {
  Rng rng(11);
  Ring ring(16);
  RingProducer producer = RingProducer::Attach(ring.memory.bytes()).value();
  RingConsumer consumer = RingConsumer::Attach(ring.memory.bytes()).value();
  ASSERT_TRUE(producer.Push(RecordsOf(1, 10)).has_value());
  consumer.Release(7);
  for (int round = 0; round < 10'000; ++round) {
    const std::uint64_t word =
        round < 64 ? static_cast<std::uint64_t>(round) : rng.Next() >> rng.Below(64);
    ring.header().committed.store(word);
    const bool in_bounds = word >= 7 && word <= 7 + 16;
    const Result<std::uint64_t> committed = consumer.Committed();
    ASSERT_EQ(committed.ok(), in_bounds) << word;
    if (!committed.ok()) {
      ASSERT_EQ(committed.error().code, ErrorCode::kCorruption);
      ASSERT_FALSE(RingConsumer::Attach(ring.memory.bytes()).ok());
    }
  }
}

TEST(Ring, T6_AHostileReleasedWordGivesNoRoomThatIsNotThere) {
  Ring ring(16);
  RingProducer producer = RingProducer::Attach(ring.memory.bytes()).value();
  ASSERT_TRUE(producer.Push(RecordsOf(1, 16)).has_value());
  for (const std::uint64_t word : {17ULL, 1000ULL, ~0ULL, 1ULL << 63}) {
    ring.header().released.store(word);
    EXPECT_EQ(producer.Free(), 0u) << word;
    EXPECT_FALSE(producer.Push(RecordsOf(17, 1)).has_value());
    EXPECT_FALSE(RingProducer::Attach(ring.memory.bytes()).ok());
  }
}

TEST(Ring, T6_NothingButARingIsAttached) {
  const auto refused = [](auto change, std::size_t bytes = RingBytes(16)) {
    Ring ring(16);
    change(ring.header());
    const auto memory = ring.memory.bytes().first(bytes);
    const Result<RingConsumer> consumer = RingConsumer::Attach(memory);
    EXPECT_FALSE(consumer.ok());
    EXPECT_FALSE(RingProducer::Attach(memory).ok());
    return !consumer.ok() && consumer.error().code == ErrorCode::kCorruption;
  };
  EXPECT_TRUE(refused([](RingHeader& header) { header.magic ^= 1; }));
  EXPECT_TRUE(refused([](RingHeader& header) { header.version = 2; }));
  EXPECT_TRUE(refused([](RingHeader& header) { header.capacity = 0; }));
  EXPECT_TRUE(refused([](RingHeader& header) { header.capacity = 15; }));
  EXPECT_TRUE(refused([](RingHeader& header) { header.capacity = 1u << 31; }));
  EXPECT_TRUE(refused([](RingHeader&) {}, RingBytes(16) - 1));
  EXPECT_TRUE(refused([](RingHeader&) {}, 8));
}

TEST(RingDeathTest, OurOwnMistakesStop) {
  Ring ring(4);
  RingProducer producer = RingProducer::Attach(ring.memory.bytes()).value();
  RingConsumer consumer = RingConsumer::Attach(ring.memory.bytes()).value();
  std::vector<std::byte> half(kRingRecordBytes / 2);
  EXPECT_DEATH(producer.Push(half), "CHECK");
  EXPECT_DEATH(producer.Push({}), "CHECK");
  ASSERT_TRUE(producer.Push(RecordsOf(1, 3)).has_value());
  consumer.Release(2);
  EXPECT_DEATH(consumer.Release(1), "CHECK");
  Record copy;
  EXPECT_DEATH(consumer.Copy(2, copy), "CHECK");
  EXPECT_DEATH(RingCreate(ring.memory.bytes(), 3), "CHECK");
}

TEST(Ring, PassesRecordsBetweenTwoThreads) {
  Ring ring(64);
  constexpr std::uint64_t kRecords = 100'000;
  std::thread writer([&] {
    RingProducer producer = RingProducer::Attach(ring.memory.bytes()).value();
    Rng rng(1);
    while (producer.committed() < kRecords) {
      const std::uint64_t left = kRecords - producer.committed();
      const std::uint64_t count = std::min(left, 1 + rng.Below(64));
      if (!producer.Push(RecordsOf(producer.committed() + 1, count))) std::this_thread::yield();
    }
  });
  RingConsumer consumer = RingConsumer::Attach(ring.memory.bytes()).value();
  std::uint64_t wrong = 0;
  while (consumer.released() < kRecords) {
    const std::uint64_t committed = consumer.Committed().value();
    if (committed == consumer.released()) std::this_thread::yield();
    for (std::uint64_t position = consumer.released() + 1; position <= committed; ++position) {
      Record copy;
      consumer.Copy(position, copy);
      wrong += copy == RecordOf(position) ? 0 : 1;
    }
    consumer.Release(committed);
  }
  writer.join();
  EXPECT_EQ(wrong, 0u);
}

TEST(SharedMemory, AMemfdIsOneMemoryInTwoMaps) {
  const int fd = ::memfd_create("ring", MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::ftruncate(fd, static_cast<off_t>(RingBytes(8))), 0);
  SharedMemory one = SharedMemory::Map(fd, RingBytes(8)).value();
  SharedMemory other = SharedMemory::Map(fd, RingBytes(8)).value();
  const Result<SharedMemory> too_large = SharedMemory::Map(fd, RingBytes(8) + 1);
  EXPECT_FALSE(too_large.ok());
  EXPECT_FALSE(SharedMemory::Map(fd, 0).ok());
  ::close(fd);  // The maps stay.
  RingCreate(one.bytes(), 8);
  RingProducer producer = RingProducer::Attach(one.bytes()).value();
  RingConsumer consumer = RingConsumer::Attach(other.bytes()).value();
  ASSERT_EQ(producer.Push(RecordsOf(1, 5)), 5u);
  EXPECT_EQ(consumer.Committed().value(), 5u);
  Record copy;
  consumer.Copy(5, copy);
  EXPECT_EQ(copy, RecordOf(5));
}

TEST(SharedMemory, AnonymousIsZeroedAndWhatCannotBeMappedIsAnError) {
  const SharedMemory memory = SharedMemory::Anonymous(10'000).value();
  ASSERT_EQ(memory.bytes().size(), 10'000u);
  for (const std::byte byte : memory.bytes()) ASSERT_EQ(byte, std::byte{0});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.bytes().data()) % 4096, 0u);
  const Result<SharedMemory> huge = SharedMemory::Anonymous(1ULL << 62);
  ASSERT_FALSE(huge.ok());
  EXPECT_EQ(huge.error().code, ErrorCode::kIo);
  EXPECT_FALSE(huge.error().hint.empty());
  EXPECT_FALSE(SharedMemory::Map(-1, 4096).ok());
}

}  // namespace
}  // namespace duramen
