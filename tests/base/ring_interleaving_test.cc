// The ring, the bed of its consumer and the bell of its producer, as base/ring.cc and
// base/handshake.h have them, in every interleaving of small programs: groups of records that wrap,
// a consumer that sleeps, a producer that waits for room, and either side killed at every step.
//
// A consumer may see a record again after its predecessor was killed, never another than the next.
//
// Apart, the sides are a client and a WAL process: the producer rings a doorbell where the consumer
// shows that it sleeps, a thread hears it, and a successor brings a doorbell and a sign of its own.
// Planted mistakes show that each promise can be seen broken.
#include <gtest/gtest.h>

#include <cstring>
#include <iostream>

#include "base/handshake.h"
#include "base/ring.h"
#include "tests/base/interleavings.h"

namespace duramen {
namespace {

using testing::Explored;
using testing::Local;
using testing::Program;
using testing::StoresReachMemory;
using testing::Violation;

constexpr std::uint32_t kCapacityMax = 4;

/// What is one consumer's: of the first, and apart of its successor, too.
struct Life {
  Bed bed;
  SleepSign sign;
  Atomic<std::uint32_t> doorbell;  // rung and not heard yet
};

enum Link : std::uint32_t { kFirst, kNobody, kSuccessor };

struct Shared {
  alignas(64) std::byte ring[RingBytes(kCapacityMax)];
  Bell bell;
  Atomic<std::uint64_t> seen;  // what consumers have done for good: the WAL's file
  Life lives[2];
  Atomic<std::uint32_t> posted;    // the producer's
  Atomic<std::uint32_t> linked;    // a Link: who the producer knows
  Atomic<std::uint32_t> attached;  // the successor has the ring
};

enum class Mistake {
  kNone,
  kReleaseBeforeCopy,
  kNoticeAfterLook,
  kRingBeforeRelease,
  kLookBeforeSeen,    // the producer waits for a ring that it has already missed
  kSilentSuccessor,   // who takes over a ring does not ring
  kDeathUnnoticed,    // nobody wakes the consumer for what a dead producer left
  kDeathNotified,     // by Notify, which trusts what the dead one left in the word
  kSeenAfterRelease,  // released before it is durable
  kSignAfterLook,     // apart: the consumer shows that it sleeps behind its last look
  kSilentLink,        // apart: who makes a successor known does not ring its doorbell
};

struct Case {
  std::uint32_t capacity = 2;
  std::vector<std::uint8_t> groups;
  std::uint8_t taken_max = kCapacityMax;  // how many records the consumer takes in a turn
  bool kill_producer = false;
  bool kill_consumer = false;
  bool apart = false;  // one of the two is killed at most
  Mistake mistake = Mistake::kNone;
};

// Numbers of a Local, by what they are.
constexpr std::size_t kGroup = 0;      // the producer's next
constexpr std::size_t kCommitted = 1;  // the producer's last record
constexpr std::size_t kReleased = 2;   // the consumer's
constexpr std::size_t kSeen = 3;       // the consumer's last record
constexpr std::size_t kAttached = 4;
constexpr std::size_t kLife = 5;  // the consumer's

class RingProgram {
 public:
  explicit RingProgram(const Case& one) : case_(one) {
    RingCreate(memory(), case_.capacity);
    Local producer;
    producer.producer = RingProducer::Attach(memory()).value();
    Local consumer;
    consumer.consumer = RingConsumer::Attach(memory()).value();
    consumer.numbers[kAttached] = 1;
    program_.memory = &shared_;
    program_.memory_bytes = sizeof shared_;
    program_.threads = {
        {"producer", [this](Local& local) { Produce(local); }, producer, case_.kill_producer},
        {"consumer", [this](Local& local) { Consume(local); }, consumer, case_.kill_consumer},
        {"reaper", [this](Local& local) { Reap(local); }, {}, false, 0},
        {"successor", [this](Local& local) { Consume(local); }, {}, false, 1}};
    if (case_.apart) SetApart();
    program_.judge = [this](const auto& word, const auto& dead, bool at_end) {
      return Judge(word, dead, at_end);
    };
  }
  const Program& program() const { return program_; }

 private:
  std::span<std::byte> memory() { return {shared_.ring, RingBytes(case_.capacity)}; }
  RingHeader& header() { return *reinterpret_cast<RingHeader*>(shared_.ring); }
  bool Is(Mistake mistake) const { return case_.mistake == mistake; }
  Life& LifeOf(const Local& local) { return shared_.lives[case_.apart ? local.numbers[kLife] : 0]; }

  /// Where there are two consumers, a doorbell is heard as it is rung: it is fewer states.
  void SetApart() {
    program_.threads[3].start.numbers[kLife] = 1;
    if (case_.kill_consumer) {
      program_.threads.push_back(
          {"listener", [this](Local& local) { Relink(local); }, {}, false, 1});
    } else {
      program_.threads.push_back({"hearing", [this](Local& local) { Hear(local); }, {}});
    }
  }

  void Produce(Local& local) {
    if (local.numbers[kGroup] == case_.groups.size()) {
      local.finished = true;
      return;
    }
    const std::uint8_t count = case_.groups[local.numbers[kGroup]];
    std::vector<std::byte> records(count * kRingRecordBytes);
    for (std::uint8_t i = 0; i < count; ++i) {
      const std::uint64_t number = local.producer.committed() + 1 + i;
      std::byte* const record = records.data() + i * kRingRecordBytes;
      std::memcpy(record, &number, sizeof number);
      std::memcpy(record + kRingRecordBytes / 2, &number, sizeof number);
    }
    if (!local.producer.Push(records)) {
      WaitForRoom(local, count);
      return;
    }
    local.numbers[kCommitted] = static_cast<std::uint8_t>(local.producer.committed());
    ++local.numbers[kGroup];
    if (case_.apart) {
      RingWhereAsleep();
    } else {
      shared_.lives[0].bed.Notify();
    }
  }

  /// As RemoteWal::Wake.
  void RingWhereAsleep() {
    Life* life = nullptr;
    const bool must = SleepSign::MustRing(shared_.posted, [&]() -> const SleepSign* {
      const std::uint32_t link = shared_.linked.load();
      if (link == kNobody) return nullptr;
      life = &shared_.lives[link == kFirst ? 0 : 1];
      return &life->sign;
    });
    if (must) RingDoor(*life);
  }

  void RingDoor(Life& life) const {
    if (case_.kill_consumer) return life.bed.Notify();
    life.doorbell.exchange(1);
    FutexWakeAll(life.doorbell);
  }

  void Hear(Local& /*local*/) {
    Life& life = shared_.lives[0];
    FutexWait(life.doorbell, 0, INT64_MAX);
    if (life.doorbell.exchange(0) != 0) life.bed.Notify();
  }

  /// As the listener of RemoteWal does it: OnGone, and Use of the next.
  void Relink(Local& local) {
    shared_.linked.exchange(kNobody);
    shared_.bell.Ring();
    FutexWait(shared_.attached, 0, INT64_MAX);
    shared_.linked.store(kSuccessor, std::memory_order_release);
    if (!Is(Mistake::kSilentLink)) RingWhereAsleep();
    shared_.bell.Ring();
    local.finished = true;
  }

  void WaitForRoom(Local& local, std::uint8_t count) {
    const auto never = [] { return false; };
    if (Is(Mistake::kLookBeforeSeen)) {
      if (local.producer.Free() >= count) return;
      FutexWaitForNextRing();
      return;
    }
    shared_.bell.Wait([&] { return local.producer.Free() >= count; }, never, INT64_MAX);
  }

  /// Counts itself in and sleeps on whatever the count is by now.
  void FutexWaitForNextRing() {
    bool first = true;
    shared_.bell.Wait([&] { return !std::exchange(first, false); }, [] { return false; },
                      INT64_MAX);
  }

  void Consume(Local& local) {
    if (local.numbers[kAttached] == 0) {
      TakeOver(local);
      return;
    }
    Bed& bed = LifeOf(local).bed;
    if (!Is(Mistake::kNoticeAfterLook)) bed.TakeNotice();
    const Result<std::uint64_t> committed = local.consumer.Committed();
    if (!committed.ok()) throw Violation{committed.error().message};
    CheckGroups(*committed);
    if (Is(Mistake::kNoticeAfterLook)) bed.TakeNotice();
    if (*committed == local.consumer.released()) {
      Sleep(local);
      return;
    }
    const std::uint64_t last =
        std::min<std::uint64_t>(*committed, local.consumer.released() + case_.taken_max);
    TakeUpTo(local, last);
    local.numbers[kReleased] = static_cast<std::uint8_t>(local.consumer.released());
  }

  /// As ThreadExecutor::Park does it.
  void Sleep(Local& local) {
    Life& life = LifeOf(local);
    if (case_.apart && !Is(Mistake::kSignAfterLook)) life.sign.Show(true);
    bool looked = false;
    life.bed.Sleep(INT64_MAX, [&] {
      const bool has_work =
          case_.apart && local.consumer.Committed().value() != local.consumer.released();
      if (Is(Mistake::kSignAfterLook) && !std::exchange(looked, true)) life.sign.Show(true);
      return has_work;
    });
    if (case_.apart) life.sign.Show(false);
  }

  void TakeOver(Local& local) {
    Result<RingConsumer> consumer = RingConsumer::Attach(memory());
    if (!consumer.ok()) throw Violation{consumer.error().message};
    local.consumer = *consumer;
    local.numbers[kReleased] = static_cast<std::uint8_t>(consumer->released());
    local.numbers[kSeen] = static_cast<std::uint8_t>(testing::ReadNote(&shared_.seen));
    local.numbers[kAttached] = 1;
    if (!Is(Mistake::kSilentSuccessor)) shared_.bell.Ring();
    if (!case_.apart) return;
    shared_.attached.exchange(1);
    FutexWakeAll(shared_.attached);
  }

  void TakeUpTo(Local& local, std::uint64_t last) {
    const RingConsumer before = local.consumer;
    const std::uint64_t first = before.released() + 1;
    if (Is(Mistake::kRingBeforeRelease)) shared_.bell.Ring();
    if (Is(Mistake::kReleaseBeforeCopy) || Is(Mistake::kSeenAfterRelease)) {
      local.consumer.Release(last);
      // A load that frees no room for anybody: the release has its moment to be seen.
      if (Is(Mistake::kSeenAfterRelease)) (void)shared_.lives[0].bed.Noticed();
    }
    for (std::uint64_t position = first; position <= last; ++position) {
      std::array<std::byte, kRingRecordBytes> copy;
      before.Copy(position, copy);
      std::uint64_t number = 0;
      std::uint64_t other_half = 0;
      std::memcpy(&number, copy.data(), sizeof number);
      std::memcpy(&other_half, copy.data() + kRingRecordBytes / 2, sizeof other_half);
      if (number != position || other_half != position) {
        throw Violation{"record " + std::to_string(position) + " has halves of " +
                        std::to_string(number) + " and " + std::to_string(other_half)};
      }
      if (position > local.numbers[kSeen] + 1u) throw Violation{"a record was passed over"};
      if (position == local.numbers[kSeen] + 1u) {
        local.numbers[kSeen] = static_cast<std::uint8_t>(position);
        testing::WriteNote(&shared_.seen, position);
      }
    }
    if (local.consumer.released() != last) local.consumer.Release(last);
    if (!Is(Mistake::kRingBeforeRelease)) shared_.bell.Ring();
  }

  void CheckGroups(std::uint64_t committed) const {
    std::uint64_t last = 0;
    for (std::size_t i = 0; last < committed && i < case_.groups.size(); ++i) {
      last += case_.groups[i];
    }
    if (last != committed) {
      throw Violation{std::to_string(committed) + " records are no whole groups"};
    }
  }

  /// Who watches the producer's process wakes the consumer for what it has left.
  void Reap(Local& local) {
    Bed& bed = shared_.lives[0].bed;
    if (Is(Mistake::kDeathNotified) || case_.apart) {  // Apart, the dead has not touched it.
      bed.Notify();
    } else if (!Is(Mistake::kDeathUnnoticed)) {
      bed.Rouse();
    }
    local.finished = true;
  }

  template <typename Word>
  std::string Judge(const Word& word, const std::vector<bool>& dead, bool at_end) {
    const std::uint64_t committed = word(&header().committed);
    const std::uint64_t released = word(&header().released);
    if (committed - released > case_.capacity) return "more than the ring's capacity is in it";
    for (std::uint32_t slot = 0; slot < case_.capacity; ++slot) {
      const std::byte* const at = shared_.ring + sizeof(RingHeader) + slot * kRingRecordBytes;
      const std::uint64_t newest = std::max(word(at), word(at + kRingRecordBytes / 2));
      if (newest > released + case_.capacity) return "a record was overwritten before its release";
    }
    if (!at_end) return "";
    const std::uint64_t seen = word(&shared_.seen);
    if (seen != committed) {
      return "all sleep, " + std::to_string(committed) + " are committed, " + std::to_string(seen) +
             " seen";
    }
    std::uint64_t all = 0;
    for (const std::uint8_t group : case_.groups) all += group;
    if (!dead[0] && seen != all) return "the producer waits for room for ever";
    return "";
  }

  Case case_;
  Shared shared_;
  Program program_;
};

void ExpectClean(const char* what, const Case& one) {
  RingProgram ring(one);
  for (const auto when : {StoresReachMemory::kAtOnce, StoresReachMemory::kLater}) {
    const Explored explored = testing::Explore(ring.program(), when);
    EXPECT_EQ(explored.violation, "") << what;
    EXPECT_GT(explored.ends, 0u) << what;
    std::cout << what << (when == StoresReachMemory::kLater ? ", stores delayed" : "") << ": "
              << explored.states << " states\n";
  }
}

/// A planted mistake is found, and found by what it breaks.
void ExpectFound(const Case& one, const std::string& broken, testing::Weakened weakened = {}) {
  RingProgram ring(one);
  const Explored explored = testing::Explore(ring.program(), StoresReachMemory::kLater, weakened);
  EXPECT_NE(explored.violation.find(broken), std::string::npos)
      << "found instead: " << explored.violation;
}

TEST(RingInterleaving, SW1_NothingIsLostDoubledTornOrOutOfOrder) {
  ExpectClean("one slot", {.capacity = 1, .groups = {1, 1, 1}});
  ExpectClean("two slots", {.capacity = 2, .groups = {1, 2, 1, 2, 2, 1}});
  ExpectClean("four slots", {.capacity = 4, .groups = {3, 3, 2, 1, 3, 3}});
  ExpectClean("one record in a turn", {.capacity = 4, .groups = {3, 2, 3, 3}, .taken_max = 1});
}

TEST(RingInterleaving, P1_SW2_AProducerKilledAtAnyStepLeavesWholeGroups) {
  for (const auto taken_max : std::array<std::uint8_t, 3>{1, 2, 4}) {
    Case killed{.capacity = 4, .groups = {3, 2, 3, 1, 3}, .taken_max = taken_max};
    killed.kill_producer = true;
    ExpectClean("producer killed", killed);
  }
  ExpectClean("producer killed, two slots",
              {.capacity = 2, .groups = {2, 1, 2, 1, 1}, .kill_producer = true});
}

TEST(RingInterleaving, P2_SW3_AConsumerKilledAtAnyStepHasASuccessorThatGoesOn) {
  for (const auto taken_max : std::array<std::uint8_t, 3>{1, 2, 4}) {
    Case killed{.capacity = 4, .groups = {3, 2, 3}, .taken_max = taken_max};
    killed.kill_consumer = true;
    ExpectClean("consumer killed", killed);
  }
  ExpectClean("consumer killed, two slots",
              {.capacity = 2, .groups = {2, 1, 2, 1, 1}, .kill_consumer = true});
}

TEST(RingInterleaving, P3_BothKilledAtAnyStep) {
  for (const auto taken_max : std::array<std::uint8_t, 2>{1, 4}) {
    Case killed{.capacity = 4, .groups = {2, 3, 3}, .taken_max = taken_max};
    killed.kill_producer = true;
    killed.kill_consumer = true;
    ExpectClean("both killed", killed);
  }
}

TEST(RingInterleaving, SW1_TwoProcessesWakeEachOther) {
  ExpectClean("apart, one slot", {.capacity = 1, .groups = {1, 1, 1}, .apart = true});
  ExpectClean("apart, two slots", {.capacity = 2, .groups = {1, 2, 1, 2}, .apart = true});
  ExpectClean("apart, producer killed",
              {.capacity = 2, .groups = {1, 2, 1}, .kill_producer = true, .apart = true});
}

TEST(RingInterleaving, P2_SW3_AProducerFindsTheNextProcessAndIsHeardThere) {
  ExpectClean("apart, consumer killed",
              {.capacity = 2, .groups = {2, 1}, .kill_consumer = true, .apart = true});
}

TEST(RingInterleaving, P1_ACommitThatOvertakesItsRecordsIsFound) {
  ExpectFound({.capacity = 2, .groups = {1, 2}}, "has halves of", {.release_stores = true});
}

TEST(RingInterleaving, P2_AReleaseBeforeTheCopyIsFound) {
  ExpectFound({.capacity = 2, .groups = {2, 2}, .mistake = Mistake::kReleaseBeforeCopy},
              "has halves of");
}

TEST(RingInterleaving, P2_AReleaseOfWhatIsNotDurableIsFound) {
  ExpectFound(
      {.capacity = 2, .groups = {1}, .kill_consumer = true, .mistake = Mistake::kSeenAfterRelease},
      "1 are committed, 0 seen");
}

TEST(RingInterleaving, SW1_EachLostWakeUpIsFound) {
  const Case simple{.capacity = 2, .groups = {1, 2, 1}};
  ExpectFound(simple, "all sleep", {.exchange = true});
  ExpectFound(simple, "waits for room for ever", {.add = true});
  for (const Mistake mistake :
       {Mistake::kNoticeAfterLook, Mistake::kRingBeforeRelease, Mistake::kLookBeforeSeen}) {
    Case wrong = simple;
    wrong.mistake = mistake;
    ExpectFound(wrong, mistake == Mistake::kNoticeAfterLook ? "all sleep" : "waits for room");
  }
}

TEST(RingInterleaving, SW1_ASignThatIsShownBehindTheLastLookIsFound) {
  const Case apart{.capacity = 2, .groups = {1, 1}, .apart = true};
  Case wrong = apart;
  wrong.mistake = Mistake::kSignAfterLook;
  ExpectFound(wrong, "all sleep");
  ExpectFound(apart, "all sleep", {.exchange = true});
  ExpectFound(apart, "all sleep", {.add = true});
}

TEST(RingInterleaving, P2_ANewLinkThatDoesNotRingIsFound) {
  ExpectFound({.capacity = 2,
               .groups = {1, 1},
               .kill_consumer = true,
               .apart = true,
               .mistake = Mistake::kSilentLink},
              "all sleep");
}

TEST(RingInterleaving, P2_ASuccessorThatDoesNotRingIsFound) {
  ExpectFound({.capacity = 2,
               .groups = {2, 2},
               .kill_consumer = true,
               .mistake = Mistake::kSilentSuccessor},
              "waits for room for ever");
}

TEST(RingInterleaving, P1_ADeathThatNobodyNoticesIsFound) {
  ExpectFound(
      {.capacity = 2, .groups = {1}, .kill_producer = true, .mistake = Mistake::kDeathUnnoticed},
      "1 are committed, 0 seen");
}

TEST(RingInterleaving, P1_ADeathBetweenTheTwoHalvesOfANotifyIsFound) {
  ExpectFound(
      {.capacity = 2, .groups = {1}, .kill_producer = true, .mistake = Mistake::kDeathNotified},
      "1 are committed, 0 seen");
}

}  // namespace
}  // namespace duramen
