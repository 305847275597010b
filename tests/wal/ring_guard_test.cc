// What a record of another process is judged by, and what of its ring is durable when it comes
// back.
#include "wal/ring_guard.h"

#include <gmock/gmock.h>

#include <memory>
#include <vector>

#include "base/shared_memory.h"

namespace duramen::wal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Judge final : public RowJudge {
 public:
  Status JudgeRow(const RingGrant& /*grant*/, std::uint8_t kind, Bytes /*payload*/) override {
    if (kind == 2) return {};
    return Error{ErrorCode::kCorruption, "a row of that kind", ""};
  }
};

class Guard : public ::testing::Test {
 protected:
  Guard() : region_(64 << 10), notices_(std::make_unique<NoticeMemory>()) {
    guard_ = std::make_unique<RingGuard>(RingGuard::Environment{
        .region = region_,
        .payload_bytes_max = 8 << 10,
        .judge = judge_,
        .notices = *notices_});
    guard_->Grant(5, {.slot = 77, .owner = {}, .row_sequence = 3});
  }
  static Descriptor Entry() {
    return {.index = 1, .term = 1, .slot = 5, .chunk = 1, .payload_bytes = 100, .kind = 200};
  }
  std::string Refusal(Descriptor descriptor) {
    const Result<RingGrant> grant = guard_->Translate(descriptor);
    return grant.ok() ? "" : grant.error().message;
  }

  std::vector<std::byte> region_;
  std::unique_ptr<NoticeMemory> notices_;
  Judge judge_;
  std::unique_ptr<RingGuard> guard_;
};

TEST_F(Guard, C12_ARecordThatKeepsTheRulesGetsItsSlot) {
  Descriptor descriptor = Entry();
  ASSERT_TRUE(guard_->Translate(descriptor).ok());
  EXPECT_EQ(descriptor.slot, 77u);
  EXPECT_EQ(guard_->Resolve(descriptor), region_.data() + 8);
}

/// `./run hostile` found it: a difference of two times overflowed.
TEST_F(Guard, P4_ATimeThatNoClockShowsIsNone) {
  Descriptor descriptor = Entry();
  descriptor.enqueued_ns = INT64_MIN;
  ASSERT_TRUE(guard_->Translate(descriptor).ok());
  EXPECT_EQ(descriptor.enqueued_ns, 0);
  descriptor = Entry();
  descriptor.enqueued_ns = 7;
  ASSERT_TRUE(guard_->Translate(descriptor).ok());
  EXPECT_EQ(descriptor.enqueued_ns, 7);
}

TEST_F(Guard, P4_EachFieldIsBounded) {
  const auto with = [&](auto change) {
    Descriptor descriptor = Entry();
    change(descriptor);
    return Refusal(descriptor);
  };
  EXPECT_THAT(with([](Descriptor& d) { d.slot = 6; }), HasSubstr("not claimed"));
  EXPECT_THAT(with([](Descriptor& d) { d.index = 0; }), HasSubstr("index or term 0"));
  EXPECT_THAT(with([](Descriptor& d) { d.term = 0; }), HasSubstr("index or term 0"));
  EXPECT_THAT(with([](Descriptor& d) { d.index = UINT64_MAX; }), HasSubstr("too large"));
  EXPECT_THAT(with([](Descriptor& d) { d.epoch = UINT64_MAX; }), HasSubstr("too large"));
  EXPECT_THAT(with([](Descriptor& d) { d.kind = 5; }), HasSubstr("kind 5"));
  EXPECT_THAT(with([](Descriptor& d) { d.payload_bytes = UINT32_MAX; }), HasSubstr("payload of"));
  EXPECT_THAT(with([](Descriptor& d) { d.chunk = 0; }), HasSubstr("without a place"));
  EXPECT_THAT(with([](Descriptor& d) { d.chunk = UINT32_MAX; }), HasSubstr("outside"));
  EXPECT_THAT(with([](Descriptor& d) { d.chunk = 17; }), HasSubstr("outside"));
  EXPECT_THAT(with([](Descriptor& d) { d.offset = UINT32_MAX; }), HasSubstr("outside"));
  EXPECT_THAT(with([](Descriptor& d) { d.run_kind = RunKind::kBounds; }), HasSubstr("run kind"));
  EXPECT_THAT(with([](Descriptor& d) { d.run_kind = static_cast<RunKind>(99); }),
              HasSubstr("run kind"));
  EXPECT_THAT(with([](Descriptor& d) {
                d.run_kind = RunKind::kFloor;
                d.payload_bytes = 1;
              }),
              HasSubstr("mark with a payload"));
  guard_->Revoke(5);
  EXPECT_THAT(Refusal(Entry()), HasSubstr("not claimed"));
}

TEST_F(Guard, C12_TheLastByteOfTheRegionIsTheLast) {
  Descriptor descriptor = Entry();
  descriptor.chunk = 16;
  descriptor.offset = 4096 - 8 - 100;
  EXPECT_EQ(Refusal(descriptor), "");
  ++descriptor.offset;
  EXPECT_THAT(Refusal(descriptor), HasSubstr("outside"));
}

TEST_F(Guard, C12_ARowIsJudgedWhereItWasCopiedTo) {
  Descriptor row{.index = 9, .slot = 77, .chunk = 1, .payload_bytes = 12, .kind = 2};
  std::vector<std::byte> payload(12);
  payload[0] = std::byte{9};
  EXPECT_TRUE(guard_->JudgeRow(row, payload).ok());
  row.kind = 6;
  EXPECT_FALSE(guard_->JudgeRow(row, payload).ok());
  row.kind = 2;
  row.index = 10;
  EXPECT_THAT(guard_->JudgeRow(row, payload).error().message, HasSubstr("contradicts its number"));
  EXPECT_FALSE(guard_->JudgeRow(row, Bytes(payload).first(4)).ok());
}

/// A log that is gone has no slot, so the one that its grant shows by default stays another's.
TEST_F(Guard, SW3_ALogThatIsGoneTakesNoSlotAway) {
  guard_->Grant(6, {.slot = 0, .owner = {}});
  guard_->Grant(7, {.slot = 0, .owner = {}, .skip = true});
  guard_->Revoke(7);
  const Descriptor row{.index = 9, .slot = 0, .chunk = 1, .payload_bytes = 12, .kind = 2};
  std::vector<std::byte> payload(12);
  payload[0] = std::byte{9};
  EXPECT_TRUE(guard_->JudgeRow(row, payload).ok());
}

TEST(RingOrder, P4_WhatDoesNotFollowItsLogIsABreach) {
  const SlotBounds bounds{.begin = 5, .end = 10, .last_term = 4, .epoch = 2};
  const auto check = [&](Descriptor descriptor) {
    const Status status = RingGuard::CheckOrder(descriptor, bounds, 7);
    return status.ok() ? std::string() : status.error().message;
  };
  EXPECT_EQ(check({.index = 10, .term = 4, .epoch = 2}), "");
  EXPECT_THAT(check({.index = 11, .term = 4, .epoch = 2}), HasSubstr("gap"));
  EXPECT_THAT(check({.index = 10, .term = 3, .epoch = 2}), HasSubstr("term goes down"));
  EXPECT_THAT(check({.index = 10, .term = 4, .epoch = 1}), HasSubstr("epoch 1"));
  const auto overwrite = [](Index index, std::uint64_t epoch) {
    return Descriptor{
        .index = index, .term = 4, .epoch = epoch, .run_kind = RunKind::kOverwrite};
  };
  EXPECT_EQ(check(overwrite(7, 3)), "");
  EXPECT_THAT(check(overwrite(7, 2)), HasSubstr("epoch 2"));
  EXPECT_THAT(check(overwrite(4, 3)), HasSubstr("outside of its log"));
  const auto row = [](std::uint64_t sequence) {
    return Descriptor{.index = sequence, .epoch = 2, .run_kind = RunKind::kRows};
  };
  EXPECT_EQ(check(row(8)), "");
  EXPECT_THAT(check(row(7)), HasSubstr("row 7 behind row 7"));
}

/// A ring of 8 with what is given, nothing of it released.
struct TestRing {
  explicit TestRing(const std::vector<Descriptor>& records) {
    memory = SharedMemory::Anonymous(RingBytes(8)).value();
    RingCreate(memory.bytes(), 8);
    RingProducer producer = RingProducer::Attach(memory.bytes()).value();
    (void)producer.Push(std::as_bytes(std::span(records)));
    consumer = RingConsumer::Attach(memory.bytes()).value();
  }
  SharedMemory memory;
  RingConsumer consumer;
};

TEST(RingResume, B10_OnlyWhatIsNotDurableIsTakenAgain) {
  const TestRing ring({{.index = 4, .slot = 1, .run_kind = RunKind::kRows},
                       {.index = 8, .term = 1, .epoch = 1, .slot = 1},
                       {.index = 3, .term = 1, .epoch = 0, .slot = 2},
                       {.index = 9, .term = 1, .epoch = 1, .slot = 1},
                       {.index = 5, .slot = 1, .run_kind = RunKind::kRows}});
  const auto done = [&](Index end, std::uint64_t rows, std::uint64_t epoch) {
    const std::unordered_map<std::uint32_t, RingResume::Known> known = {
        {1, {.bounds = {.end = end, .epoch = 1}, .row_sequence = rows}},
        {2, {.bounds = {.end = 2, .epoch = epoch}}}};
    return RingResume(known).DoneUpto(ring.consumer, 5);
  };
  EXPECT_EQ(done(8, 3, 1), 0u);   // not even the first row
  EXPECT_EQ(done(8, 4, 1), 1u);   // entry 8 is not there
  EXPECT_EQ(done(9, 4, 0), 2u);   // the other log's entry is not
  EXPECT_EQ(done(9, 4, 1), 3u);   // it was cut since, so it was there
  EXPECT_EQ(done(10, 4, 1), 4u);
  EXPECT_EQ(done(10, 5, 1), 5u);
}

TEST(RingResume, B10_AMarkThatOpenedTheEpochIsDurable) {
  const std::unordered_map<std::uint32_t, RingResume::Known> known = {
      {1, {.bounds = {.begin = 3, .end = 7, .epoch = 5}}}, {2, {.gone = true}}};
  const RingResume resume(known);
  const auto mark = [](RunKind kind, Index index, std::uint64_t epoch) {
    return Descriptor{.index = index, .epoch = epoch, .slot = 1, .run_kind = kind};
  };
  EXPECT_TRUE(resume.IsDone(mark(RunKind::kTruncateSuffix, 5, 5)));
  EXPECT_FALSE(resume.IsDone(mark(RunKind::kTruncateSuffix, 5, 6)));
  EXPECT_TRUE(resume.IsDone(mark(RunKind::kReset, 9, 4)));
  EXPECT_TRUE(resume.IsDone(mark(RunKind::kFloor, 3, 5)));
  EXPECT_FALSE(resume.IsDone(mark(RunKind::kFloor, 4, 5)));
  EXPECT_TRUE(resume.IsDone({.index = 1, .slot = 2}));
  EXPECT_FALSE(resume.IsDone({.index = 1, .slot = 3}));
}

std::vector<std::pair<std::uint32_t, Index>> Ends(const std::vector<Notice>& notices) {
  std::vector<std::pair<std::uint32_t, Index>> ends;
  for (const Notice& notice : notices) ends.emplace_back(notice.slot, notice.end);
  return ends;
}

TEST(NoticeTable, P5_NoticesOfALogThatNobodyReadsAreWrittenOver) {
  auto memory = std::make_unique<NoticeMemory>();
  NoticeSource source(*memory);
  NoticeSink sink(*memory);
  std::vector<Notice> taken;
  for (Index end = 1; end <= 1000; ++end) {
    const Notice notices[] = {{.slot = 65535, .end = end}, {.slot = 64, .end = end + 1}};
    source.Publish(notices);
  }
  EXPECT_FALSE(sink.empty());
  sink.Take(taken);
  EXPECT_THAT(Ends(taken),
              ElementsAre(std::pair(64u, Index{1001}), std::pair(65535u, Index{1000})));
  EXPECT_TRUE(sink.empty());
  sink.Take(taken);
  EXPECT_THAT(taken, IsEmpty());
}

/// A publisher that died in the middle of a cell; the next one goes on.
TEST(NoticeTable, P2_AHalfWrittenNoticeIsNotRead) {
  auto memory = std::make_unique<NoticeMemory>();
  memory->cells[3].version = 7;
  memory->words[0] = 8;
  memory->groups[0] = 1;
  memory->published = 1;
  NoticeSink sink(*memory);
  std::vector<Notice> taken;
  sink.Take(taken);
  EXPECT_THAT(taken, IsEmpty());
  const Notice notice{.slot = 3, .epoch = 2, .end = 9, .row_sequence = 4};
  NoticeSource(*memory).Publish({&notice, 1});
  sink.Take(taken);
  EXPECT_THAT(Ends(taken), ElementsAre(std::pair(3u, Index{9})));
}

}  // namespace
}  // namespace duramen::wal
