// Two processes share a ring, and either is killed by SIGKILL at any instruction, again and again:
// every record is seen exactly once and in order (P1).
//
// The test process is the supervisor. It forks a producer and a consumer over the same anonymous
// memory. Each counts its turns in that memory; the supervisor draws how many turns a victim may
// have, watches the count and kills it when it is reached, wherever it is by then. Its successor
// attaches to the ring as it was left.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "base/ring.h"
#include "base/rng.h"
#include "base/shared_memory.h"

namespace duramen {
namespace {

constexpr std::uint32_t kCapacity = 256;
constexpr std::uint64_t kGroupMax = 100;
constexpr int kKillsOfEach = 100;

enum Fault : std::uint32_t {
  kNone,
  kAttachFailed,
  kCommittedOutOfBounds,
  kRecordWrong,
  kGap,
  kGroupCut,
};

/// What the processes share besides the ring. `seen` and `digest` are what a consumer has durably
/// done, as the WAL's file would be: written before records are released, so that a record may come
/// twice to the consumer but never be skipped.
struct Shared {
  std::atomic<std::uint64_t> turns[2];  // of the producer, of the consumer
  std::atomic<std::uint64_t> stop;      // the producer ends; the consumer ends once all is seen
  std::atomic<std::uint64_t> seen;
  std::atomic<std::uint64_t> resent;
  std::atomic<std::uint32_t> fault;
};

/// {number, number of its group's last, filler that follows from the number}
void MakeRecord(std::uint64_t number, std::uint64_t group_last, std::byte* out) {
  StoreLe(out, number);
  StoreLe(out + 8, group_last);
  for (std::size_t at = 16; at < kRingRecordBytes; at += 8) {
    StoreLe(out + at, (number + at) * 0x9E3779B97F4A7C15ULL);
  }
}

[[noreturn]] void End(Shared& shared, Fault fault) {
  if (fault != kNone) shared.fault.store(fault);
  ::_exit(fault == kNone ? 0 : 1);
}

[[noreturn]] void RunProducer(Shared& shared, std::span<std::byte> memory, std::uint64_t seed) {
  Rng rng(seed);
  Result<RingProducer> producer = RingProducer::Attach(memory);
  if (!producer.ok()) End(shared, kAttachFailed);
  std::vector<std::byte> group;
  while (shared.stop.load() == 0) {
    const std::uint64_t count = 1 + rng.Below(kGroupMax);
    const std::uint64_t last = producer->committed() + count;
    group.resize(count * kRingRecordBytes);
    for (std::uint64_t i = 0; i < count; ++i) {
      MakeRecord(producer->committed() + 1 + i, last, group.data() + i * kRingRecordBytes);
    }
    if (!producer->Push(group)) ::sched_yield();
    shared.turns[0].fetch_add(1);
  }
  End(shared, kNone);
}

/// Looks at everything committed; releases it in uneven parts.
Fault ConsumeCommitted(Shared& shared, RingConsumer& consumer, Rng& rng) {
  const Result<std::uint64_t> committed = consumer.Committed();
  if (!committed.ok()) return kCommittedOutOfBounds;
  for (std::uint64_t position = consumer.released() + 1; position <= *committed; ++position) {
    std::array<std::byte, kRingRecordBytes> copy;
    std::array<std::byte, kRingRecordBytes> expected;
    consumer.Copy(position, copy);
    const auto group_last = LoadLe<std::uint64_t>(copy.data() + 8);
    MakeRecord(position, group_last, expected.data());
    if (copy != expected) return kRecordWrong;
    if (group_last < position || group_last > *committed) return kGroupCut;
    const std::uint64_t seen = shared.seen.load();
    if (position > seen + 1) return kGap;
    if (position == seen + 1) {
      shared.seen.store(position);
    } else {
      shared.resent.fetch_add(1);  // My predecessor died between having seen and having released.
    }
    if (rng.OneIn(16)) consumer.Release(position);
  }
  if (rng.OneIn(2)) consumer.Release(*committed);
  return kNone;
}

[[noreturn]] void RunConsumer(Shared& shared, std::span<std::byte> memory, std::uint64_t seed) {
  Rng rng(seed);
  Result<RingConsumer> consumer = RingConsumer::Attach(memory);
  if (!consumer.ok()) End(shared, kAttachFailed);
  while (true) {
    const bool stop = shared.stop.load() == 2;  // Read before the ring: nothing comes after it.
    if (const Fault fault = ConsumeCommitted(shared, *consumer, rng); fault != kNone)
      End(shared, fault);
    if (stop && consumer->Committed().value() == shared.seen.load()) End(shared, kNone);
    shared.turns[1].fetch_add(1);
    if (rng.OneIn(4)) ::sched_yield();
  }
}

class Supervisor {
 public:
  explicit Supervisor(std::uint64_t seed)
      : rng_(seed),
        control_(SharedMemory::Anonymous(sizeof(Shared)).value()),
        ring_(SharedMemory::Anonymous(RingBytes(kCapacity)).value()),
        shared_(*new (control_.bytes().data()) Shared{}) {
    RingCreate(ring_.bytes(), kCapacity);
  }
  ~Supervisor() {
    for (const pid_t child : children_) {
      if (child > 0) Reap(child, true);
    }
  }

  void Spawn(int role) {
    const std::uint64_t seed = rng_.Next();
    const pid_t supervisor = ::getpid();
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // Never outlive the test.
      if (::getppid() != supervisor) ::_exit(2);
      if (role == 0) RunProducer(shared_, ring_.bytes(), seed);
      RunConsumer(shared_, ring_.bytes(), seed);
    }
    children_[role] = child;
  }

  /// Lets the child have some turns, then kills it where it stands. False if it ended by itself.
  bool KillSomewhere(int role) {
    const std::uint64_t until = shared_.turns[role].load() + rng_.Below(200);
    while (shared_.turns[role].load() < until) {
      if (shared_.fault.load() != kNone) return false;
      ::sched_yield();
    }
    // A few instructions more, so that not every death follows a count.
    for (std::uint64_t spin = rng_.Below(4000); spin > 0; --spin) asm volatile("");
    const int status = Reap(children_[role], true);
    children_[role] = -1;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

  /// Waits for the child's own end; its exit status.
  int Join(int role) {
    const int status = Reap(children_[role], false);
    children_[role] = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  Shared& shared() { return shared_; }
  Rng& rng() { return rng_; }
  std::uint64_t committed() { return RingProducer::Attach(ring_.bytes()).value().committed(); }

 private:
  static int Reap(pid_t child, bool kill) {
    if (kill) ::kill(child, SIGKILL);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
  }

  Rng rng_;
  SharedMemory control_;
  SharedMemory ring_;
  Shared& shared_;
  pid_t children_[2] = {-1, -1};
};

TEST(RingKill, P1_EveryRecordExactlyOnceWhicheverSideIsKilled) {
  Supervisor supervisor(20931);
  supervisor.Spawn(0);
  supervisor.Spawn(1);
  int kills[2] = {};
  while (kills[0] < kKillsOfEach || kills[1] < kKillsOfEach) {
    const int role = static_cast<int>(supervisor.rng().Below(2));
    ASSERT_TRUE(supervisor.KillSomewhere(role)) << "fault " << supervisor.shared().fault.load();
    ++kills[role];
    supervisor.Spawn(role);
  }
  supervisor.shared().stop.store(1);
  ASSERT_EQ(supervisor.Join(0), 0) << "fault " << supervisor.shared().fault.load();
  supervisor.shared().stop.store(2);
  ASSERT_EQ(supervisor.Join(1), 0) << "fault " << supervisor.shared().fault.load();
  EXPECT_EQ(supervisor.shared().fault.load(), kNone);
  EXPECT_EQ(supervisor.shared().seen.load(), supervisor.committed());
  EXPECT_GT(supervisor.shared().seen.load(), kCapacity * 10u);
  RecordProperty("kills", kills[0] + kills[1]);
  RecordProperty("records", static_cast<int>(supervisor.shared().seen.load()));
  RecordProperty("resent", static_cast<int>(supervisor.shared().resent.load()));
}

}  // namespace
}  // namespace duramen
