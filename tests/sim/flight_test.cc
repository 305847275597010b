// Writes in flight on the simulated disk: what a crash may leave of them.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/aligned.h"
#include "base/loop_executor.h"
#include "base/write_queue.h"
#include "sim/crash_states.h"
#include "sim/sim_file_system.h"

namespace duramen::sim {
namespace {

class Owner final : public Actor {
 public:
  std::int64_t Step() override {
    ++steps;
    return kIdle;
  }
  const char* name() const override { return "owner"; }
  int steps = 0;
};

class FlightTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(machine_.CreateDirectories("/d").ok());
    directory_ = machine_.Open("/d").value();
    buffered_ = directory_->Create("f").value();
    ASSERT_TRUE(buffered_->Allocate(4 * kDirectAlign).ok());
    ASSERT_TRUE(buffered_->SyncAll().ok());
    ASSERT_TRUE(directory_->Sync().ok());
    executor_.Start(owner_);
  }
  void TearDown() override {
    queue_.reset();
    executor_.Stop(owner_);
  }
  void MakeQueue(bool direct) {
    queue_ = machine_.MakeWriteQueue({.depth = 4,
                                      .direct = direct,
                                      .executor = executor_,
                                      .owner = owner_,
                                      .clock = clock_,
                                      .locks = {}});
    if (direct) direct_ = directory_->Open("f", OpenFor::kDirect).value();
  }
  void Submit(std::uint64_t block, char letter) {
    buffers_.push_back(MakeAligned(kDirectAlign));
    std::fill_n(buffers_.back().get(), kDirectAlign, static_cast<std::byte>(letter));
    queue_->Submit({.id = block,
                    .file = direct_ ? direct_.get() : buffered_.get(),
                    .offset = block * kDirectAlign,
                    .bytes = {buffers_.back().get(), kDirectAlign},
                    .how = direct_ ? MadeDurable::kDirect : MadeDurable::kData});
  }
  static std::string Shown(const Image& image) {
    const FileContent& content = image.content(image.FindPath("/d/f"));
    std::string text;
    for (std::uint64_t block = 0; block < 4; ++block) {
      std::array<std::byte, kDirectAlign> bytes;
      content.Read(block * kDirectAlign, bytes);
      const bool even =
          std::all_of(bytes.begin(), bytes.end(), [&](std::byte byte) { return byte == bytes[0]; });
      text += !even ? '?' : bytes[0] == std::byte{0} ? '.' : static_cast<char>(bytes[0]);
    }
    return text;
  }
  std::set<std::string> AfterPowerLoss() const {
    std::set<std::string> shown;
    const CrashStates states(machine_.disk(), Profile::kExt4);
    for (std::uint64_t i = 0; i < states.count(); ++i) {
      shown.insert(Shown(states.Materialize(states.At(i))));
    }
    return shown;
  }

  SiteTable sites_;
  SimFileSystem machine_{DiskState(), sites_};
  ManualClock clock_;
  LoopExecutor executor_{Rng(3), clock_};
  Owner owner_;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<File> buffered_;
  std::unique_ptr<File> direct_;
  std::vector<AlignedBytes> buffers_;
  std::unique_ptr<WriteQueue> queue_;
};

TEST_F(FlightTest, W19_DirectWriteInFlightMayBeThereInAnyPart) {
  MakeQueue(true);
  Submit(0, 'a');
  Submit(1, 'b');
  EXPECT_EQ(Shown(machine_.disk().visible()), "....");
  const std::set<std::string> shown = AfterPowerLoss();
  for (const char* state : {"....", "a...", ".b..", "ab..", "?...", ".?..", "a?..", "?b.."}) {
    EXPECT_TRUE(shown.contains(state)) << state;
  }
  queue_->Drain();
  EXPECT_EQ(Shown(machine_.disk().visible()), "ab..");
  EXPECT_EQ(AfterPowerLoss(), std::set<std::string>{"ab.."});
}

TEST_F(FlightTest, W19_DirectWritesEndInAnyOrder) {
  std::set<std::vector<std::uint64_t>> orders;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    machine_.SeedFlight(seed);
    MakeQueue(true);
    Submit(0, 'a');
    Submit(1, 'b');
    Submit(2, 'c');
    EXPECT_TRUE(executor_.RunUntilIdle(100));
    std::vector<WriteDone> done;
    queue_->Take(done);
    std::vector<std::uint64_t> order;
    for (const WriteDone& one : done) order.push_back(one.id);
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 6u);
}

TEST_F(FlightTest, BufferedWritesKeepTheirOrderAndOthersRunInBetween) {
  MakeQueue(false);
  Submit(0, 'a');
  Submit(1, 'b');
  EXPECT_EQ(AfterPowerLoss(), std::set<std::string>{"...."});
  EXPECT_TRUE(executor_.RunOne());  // Written, or the owner's turn.
  while (Shown(machine_.disk().visible()) == "....") ASSERT_TRUE(executor_.RunOne());
  EXPECT_EQ(Shown(machine_.disk().visible()), "a...");
  EXPECT_TRUE(AfterPowerLoss().contains("...."));
  EXPECT_TRUE(executor_.RunUntilIdle(100));
  EXPECT_EQ(AfterPowerLoss(), std::set<std::string>{"ab.."});
  EXPECT_GT(owner_.steps, 0);
}

TEST_F(FlightTest, LatencyIsSharedByDirectWritesAndNotByBufferedOnes) {
  machine_.SetLatency(2'000'000);
  for (const bool direct : {true, false}) {
    MakeQueue(direct);
    const std::int64_t begin_ns = clock_.NowNs();
    Submit(0, 'a');
    Submit(1, 'b');
    std::vector<WriteDone> done;
    while (done.size() < 2) {
      EXPECT_TRUE(executor_.RunUntilIdle(100));
      queue_->Take(done);
      if (done.size() == 2) break;
      ASSERT_TRUE(executor_.AdvanceToNextTimer());
    }
    EXPECT_EQ(clock_.NowNs() - begin_ns, direct ? 2'000'000 : 4'000'000);
    queue_.reset();
    direct_.reset();
  }
}

TEST_F(FlightTest, FailedDirectWriteMayShowUpLater) {
  MakeQueue(true);
  machine_.Schedule({.kind = OpKind::kDirectDone, .file_class = ""});
  Submit(0, 'a');
  EXPECT_TRUE(executor_.RunUntilIdle(100));
  std::vector<WriteDone> done;
  queue_->Take(done);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_FALSE(done[0].status.ok());
  ASSERT_TRUE(buffered_->SyncData().ok());  // Says nothing about it.
  EXPECT_EQ(Shown(machine_.disk().visible()), "....");
  EXPECT_TRUE(AfterPowerLoss().contains("a..."));
  EXPECT_TRUE(AfterPowerLoss().contains("...."));
  Submit(0, 'b');
  queue_->Drain();
  EXPECT_EQ(AfterPowerLoss(), std::set<std::string>{"b..."});
}

TEST_F(FlightTest, A22_KillLeavesEachWriteDoneOrNotBegun) {
  MakeQueue(true);
  Submit(0, 'a');
  Submit(1, 'b');
  EXPECT_EQ(machine_.disk().in_flight(), 2u);
  DiskState killed = machine_.disk();
  killed.SettleFlight(0b10);
  EXPECT_EQ(killed.in_flight(), 0u);
  EXPECT_EQ(Shown(killed.visible()), ".b..");
  EXPECT_EQ(Shown(killed.durable()), ".b..");
  queue_->Drain();
}

TEST_F(FlightTest, C6_BufferedBytesBelowADirectWriteMayComeAfterIt) {
  MakeQueue(true);
  const std::vector<std::byte> old(kDirectAlign, std::byte{'o'});
  ASSERT_TRUE(buffered_->Write(0, old).ok());
  Submit(0, 'n');
  queue_->Drain();
  EXPECT_TRUE(AfterPowerLoss().contains("o..."));
}

}  // namespace
}  // namespace duramen::sim
