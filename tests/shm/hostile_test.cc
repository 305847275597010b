// A client that breaks a rule is cut off with the reason, and nobody else notices.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <functional>

#include "tests/shm/raw_client.h"

namespace duramen::shm::testing {
namespace {

using ::testing::HasSubstr;

class Hostile : public SharedWal {
 protected:
  void SetUp() override {
    StartHost();
    store_.emplace(Client());
    writer_.emplace(store_->NewWriter().value());
    log_ = store_->OpenLog(*writer_, "honest", OpenMode::kCreate).value();
  }
  void TearDown() override {
    writer_.reset();
    store_.reset();
    StopHost();
  }
  /// The other client goes on; its append wakes the WAL's thread as well.
  void OthersGoOn() {
    const Result<Ticket> put = Put(*writer_, log_, next_, "text " + std::to_string(next_));
    ASSERT_TRUE(put.ok()) << put.error().message;
    const Status waited = writer_->Wait(*put, Soon());
    ASSERT_TRUE(waited.ok()) << waited.error().message;
    ++next_;
  }
  /// A client with a log of its own does that with its next record.
  std::string AfterRecord(const std::function<wal::Descriptor(RawClient&)>& make) {
    RawClient raw(dir_ / "socket");
    raw.Begin("raw" + std::to_string(++raws_));
    if (HasFatalFailure()) return "no raw client";
    raw.Push(raw.Identity());
    raw.Push(make(raw));
    OthersGoOn();
    const std::string reason = raw.CutOff();
    OthersGoOn();
    return reason;
  }

  std::optional<LogStore> store_;
  std::optional<Writer> writer_;
  LogRef log_;
  Index next_ = 1;
  int raws_ = 0;
};

TEST_F(Hostile, P4_RecordsThatBreakTheRules) {
  const auto entry = [&](const std::function<void(wal::Descriptor&)>& change) {
    return AfterRecord([&](RawClient& raw) {
      wal::Descriptor descriptor = raw.Entry(1, "hello");
      change(descriptor);
      return descriptor;
    });
  };
  EXPECT_THAT(entry([](auto& d) { d.slot = 7; }), HasSubstr("not claimed"));
  EXPECT_THAT(entry([](auto& d) { d.index = 2; }), HasSubstr("gap"));
  EXPECT_THAT(entry([](auto& d) { d.index = UINT64_MAX; }), HasSubstr("too large"));
  EXPECT_THAT(entry([](auto& d) { d.epoch = 1; }), HasSubstr("epoch 1"));
  EXPECT_THAT(entry([](auto& d) { d.term = 0; }), HasSubstr("term 0"));
  EXPECT_THAT(entry([](auto& d) { d.kind = 3; }), HasSubstr("kind 3"));
  EXPECT_THAT(entry([](auto& d) { d.chunk = 100000; }), HasSubstr("outside"));
  EXPECT_THAT(entry([](auto& d) { d.offset = UINT32_MAX; }), HasSubstr("outside"));
  EXPECT_THAT(entry([](auto& d) { d.payload_bytes = UINT32_MAX; }), HasSubstr("payload of"));
  EXPECT_THAT(entry([](auto& d) { d.run_kind = wal::RunKind::kSparse; }), HasSubstr("run kind"));
  EXPECT_THAT(entry([](auto& d) { d.entry_checksum ^= 1; }), HasSubstr("checksum"));
}

TEST_F(Hostile, P4_RowsThatAreNotItsOwn) {
  const auto row = [&](const std::function<meta::Row(RawClient&)>& make, std::uint64_t sequence) {
    return AfterRecord([&](RawClient& raw) { return raw.Row(sequence, make(raw)); });
  };
  EXPECT_THAT(row([](RawClient&) { return meta::BoundsRow{}; }, 2), HasSubstr("of kind bounds"));
  EXPECT_THAT(row(
                  [](RawClient& raw) {
                    return meta::IdentityRow{raw.log.owner.uid, "honest", "",
                                             raw.log.owner.cluster_id, raw.log.incarnation};
                  },
                  2),
              HasSubstr("identity of another"));
  EXPECT_THAT(row([](RawClient&) { return meta::VoteRow{1, "n"}; }, 1), HasSubstr("behind row"));
  EXPECT_THAT(row([](RawClient&) { return meta::VoteRow{1, "n"}; }, 1ULL << 40),
              HasSubstr("behind row"));
}

/// It may say of its own log that it is faulty, and no more that a vote which is lost is there.
TEST_F(Hostile, P4_AVoteThatIsLostStaysLost) {
  RawClient raw(dir_ / "socket");
  raw.Begin("raw");
  raw.Push(raw.Identity());
  raw.Push(raw.Row(2, meta::FaultyRow{1, 2, true, "x"}));
  raw.Push(raw.Row(3, meta::FaultyRow{1, 2, false, "x"}));
  OthersGoOn();
  OthersGoOn();
  EXPECT_THAT(raw.CutOff(), HasSubstr("takes back that a vote is lost"));
}

TEST_F(Hostile, P4_AHeadOutOfBounds) {
  RawClient raw(dir_ / "socket");
  raw.Begin("raw");
  auto* header = reinterpret_cast<RingHeader*>(raw.ring.bytes().data());
  header->committed.store(1'000'000);
  OthersGoOn();
  EXPECT_THAT(raw.CutOff(), HasSubstr("committed 1000000"));
  OthersGoOn();
}

/// What it had written before it was cut off is there, and the log is free.
TEST_F(Hostile, SW2_WhatStoodBeforeTheBreachCounts) {
  {
    RawClient raw(dir_ / "socket");
    raw.Begin("raw");
    raw.Push(raw.Identity());
    raw.Push(raw.Entry(1, "one"));
    raw.Push(raw.Entry(2, "two"));
    raw.Push(raw.Entry(9, "gap"));
    OthersGoOn();
    EXPECT_THAT(raw.CutOff(), HasSubstr("gap"));
  }
  const LogRef log = store_->OpenLog(*writer_, "raw", OpenMode::kOpen).value();
  EXPECT_EQ(store_->BoundsOf(log)->end, 3u);
  EXPECT_EQ(TextAt(*store_, log, 2), "two");
}

TEST_F(Hostile, SW5_RequestsThatBreakTheRules) {
  const auto after = [&](const std::function<void(RawClient&)>& act) {
    RawClient raw(dir_ / "socket");
    act(raw);
    const std::string reason = raw.CutOff();
    OthersGoOn();
    return reason;
  };
  EXPECT_THAT(after([](RawClient& raw) { (void)raw.Ask(Kind::kList, {}); }), HasSubstr("hello"));
  EXPECT_THAT(after([](RawClient& raw) {
                (void)raw.Greet();
                (void)raw.Greet();
              }),
              HasSubstr("second hello"));
  EXPECT_THAT(after([](RawClient& raw) {
                (void)raw.Greet();
                (void)raw.Ask(static_cast<Kind>(77), {});
              }),
              HasSubstr("kind 77"));
  EXPECT_THAT(after([](RawClient& raw) {
                (void)raw.Greet();
                (void)raw.Ask(Kind::kClaim, std::vector<std::byte>(3));
              }),
              HasSubstr("claim"));
  EXPECT_THAT(after([](RawClient& raw) {
                const std::vector<std::byte> garbage(100, std::byte{0x5A});
                (void)raw.connection.Send(garbage);
              }),
              HasSubstr("not of Duramen"));
  EXPECT_THAT(after([](RawClient& raw) {
                std::vector<std::byte> bytes = Encode({.kind = Kind::kHello, .id = 1, .body = {}});
                bytes[4] = std::byte{9};
                (void)raw.connection.Send(bytes);
              }),
              HasSubstr("speaks version 9"));
}

/// Refused where it is asked; the client may try again.
TEST_F(Hostile, SW5_MemoryThatIsNoneIsRefused) {
  const auto refusal = [&](int region_fd, std::uint64_t bytes) {
    RawClient raw(dir_ / "socket");
    const Frame answer = raw.Ask(Kind::kHello, EncodeBody(Hello{bytes, kPageBytes}),
                                 {region_fd, raw.control.fd()})
                             .value();
    OthersGoOn();
    return answer.kind == Kind::kRefusal ? DecodeRefusal(answer.body)->error.message : "taken";
  };
  const Descriptor unsealed(::memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(unsealed.get(), RawClient::kRegionBytes), 0);
  EXPECT_NE(refusal(unsealed.get(), RawClient::kRegionBytes), "taken");
  const SealedMemory small = SealedMemory::Create("small", kPageBytes).value();
  EXPECT_NE(refusal(small.fd(), RawClient::kRegionBytes), "taken");
  const Descriptor file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_NE(refusal(file.get(), RawClient::kRegionBytes), "taken");
  EXPECT_THAT(refusal(small.fd(), 1ULL << 60), HasSubstr("a client may have"));
}

/// What it asks next finds no half of a client.
TEST_F(Hostile, SW5_AHelloThatIsRefusedIsNoHello) {
  const SealedMemory page = SealedMemory::Create("page", kPageBytes).value();
  std::vector<GuardedRegion> all;
  while (true) {
    Result<GuardedRegion> one = GuardedRegion::Over(page.bytes());
    if (!one.ok()) break;
    all.push_back(std::move(*one));
  }
  all.pop_back();  // Room for the arenas, and none for the control page.
  RawClient raw(dir_ / "socket");
  const Frame greeted = raw.Greet().value();
  ASSERT_EQ(greeted.kind, Kind::kRefusal);
  EXPECT_EQ(DecodeRefusal(greeted.body)->error.code, ErrorCode::kOverloaded);
  all.clear();
  const AddRing add{0, raw.ring.bytes().size(), RingBytes(RawClient::kRecords)};
  EXPECT_EQ(raw.Ask(Kind::kAddRing, EncodeBody(add), {raw.ring.fd()})->kind, Kind::kRefusal);
  EXPECT_THAT(raw.CutOff(), HasSubstr("no hello before it"));
  OthersGoOn();
}

/// It makes its end of the bell wait, fills it, empties nothing, and ends it; others are heard.
TEST_F(Hostile, P5_ABellThatIsHeldUpHoldsNobody) {
  RawClient raw(dir_ / "socket");
  raw.Begin("raw");
  auto* control = reinterpret_cast<ControlPage*>(raw.control.bytes().data());
  control->listens.store(1);
  ASSERT_EQ(::fcntl(raw.bell.get(), F_SETFL, 0), 0);
  raw.Push(raw.Identity());
  OthersGoOn();
  for (Index index = 1; index <= 2000; ++index) {
    while (raw.producer.Free() == 0) OthersGoOn();
    raw.Push(raw.Entry(index, ""));
    if (index % 8 == 0) OthersGoOn();
  }
  const char full[64] = {};
  while (::send(raw.bell.get(), full, sizeof full, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
  }
  OthersGoOn();
  EXPECT_EQ(::shutdown(raw.bell.get(), SHUT_RDWR), 0);
  for (int i = 0; i < 20; ++i) OthersGoOn();
}

}  // namespace
}  // namespace duramen::shm::testing
