// The disk fills in the middle of a flush: it waits, says so, and goes on by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/log/machine.h"

namespace duramen::log {
namespace {

using ::testing::HasSubstr;

// Of the store: wal_max_files, two for rows, the one in service, and what its pool holds ready.
constexpr std::size_t kWalFilesMax = 4 + 2 + 1 + 5;

/// Where there is no space.
struct Place {
  const char* name;
  std::vector<sim::Fault> faults;
};

sim::Fault Full(sim::OpKind kind, const std::string& file_class, std::uint64_t skip) {
  return {.kind = kind,
          .file_class = file_class,
          .skip = skip,
          .times = UINT64_MAX,
          .effect = sim::FaultEffect::kDiskFull};
}

/// `skip`: how many operations of each kind still find some.
std::vector<Place> Places(std::uint64_t skip) {
  using sim::OpKind;
  return {{"writes of segments", {Full(OpKind::kWrite, ".seg", skip)}},
          {"new segments", {Full(OpKind::kCreate, ".seg", skip)}},
          {"directories of logs", {Full(OpKind::kMakeDirectory, "servers", skip)}},
          {"checkpoints",
           {Full(OpKind::kWrite, "checkpoint", skip), Full(OpKind::kAllocate, "checkpoint", skip),
            Full(OpKind::kCreate, "checkpoint", skip)}},
          {"everything but what was allocated",
           {Full(OpKind::kWrite, ".seg", skip), Full(OpKind::kCreate, "", skip),
            Full(OpKind::kMakeDirectory, "", skip), Full(OpKind::kAllocate, "", skip)}}};
}

void Fill(Machine& machine, const Place& place) {
  for (const sim::Fault& fault : place.faults) machine.disk().Schedule(fault);
}

/// What the store said about flushes that have to wait.
struct Said {
  std::uint64_t times = 0;
  std::string error;

  static void Take(void* argument, const LogEvent& event) noexcept {
    if (event.code != "flush.retry") return;
    Said& said = *static_cast<Said*>(argument);
    ++said.times;
    for (const LogField& field : event.fields) {
      if (field.key == "error") said.error = field.value;
    }
  }
};

/// The store, and what it has accepted.
struct Workload {
  Machine machine;
  Said said;
  Index end = 1;  // of the log "other"
  Term vote = 1;

  Workload() {
    machine.options.wal_max_size_bytes = 32 << 10;
    machine.options.wal_max_files = 4;
    machine.options.segment_max_entries = 4;  // So that new ones are needed.
    machine.options.log_sink = {Said::Take, &said};
    machine.Start();
    machine.Write(machine.Log("a"), 1, 1, {"a1", "a2", "a3"});
  }
  Result<Ticket> Append() {
    const Result<Ticket> ticket =
        machine.Append(machine.Log("other"), end, 1, {std::string(3000, 'o')});
    if (ticket.ok()) ++end;
    machine.Settle();
    return ticket;
  }
  void Flush(std::uint64_t rounds) {
    const std::uint64_t wanted = machine.Metric("flush_rounds") + rounds;
    for (int i = 0; i < 400 && machine.Metric("flush_rounds") < wanted; ++i) {
      if (!Append().ok()) machine.Idle();
    }
    ASSERT_GE(machine.Metric("flush_rounds"), wanted);
  }
  void Vote() {
    const Result<Ticket> ticket = machine.writer().PutVote(machine.Log("a"), ++vote, "n");
    ASSERT_TRUE(ticket.ok()) << ticket.error().message;
    const Status waited = machine.Wait(*ticket);
    ASSERT_TRUE(waited.ok()) << waited.error().message;
  }
  void ExpectAllThere() {
    const std::vector<std::string> a = machine.Contents("a");
    EXPECT_EQ(a, (std::vector<std::string>{"1:1:a1", "2:1:a2", "3:1:a3"}));
    EXPECT_EQ(machine.store().VoteOf(machine.Log("a"))->term, vote);
    const std::vector<std::string> other = machine.Contents("other");
    ASSERT_EQ(other.size(), end - 1);
    for (Index index = 1; index < end; ++index) {
      ASSERT_EQ(other[index - 1], std::to_string(index) + ":1:" + std::string(3000, 'o'));
    }
  }
};

/// Appends until it is refused, then lets time pass, with votes.
void FillTheWal(Workload& work) {
  Result<Ticket> ticket = Ticket{0};
  for (int i = 0; i < 200 && ticket.ok(); ++i) ticket = work.Append();
  ASSERT_FALSE(ticket.ok()) << "nothing bounds the WAL";
  const ErrorCode code = ticket.error().code;
  EXPECT_TRUE(code == ErrorCode::kOverloaded || code == ErrorCode::kDiskFull)
      << ErrorCodeName(code);
  EXPECT_FALSE(ticket.error().hint.empty());
  const std::uint64_t rounds = work.machine.Metric("flush_rounds");
  const std::uint64_t said = work.said.times;
  for (int second = 0; second < 5; ++second) {
    work.Vote();
    work.machine.Idle();
    EXPECT_FALSE(work.Append().ok());
  }
  EXPECT_GT(work.said.times, said) << "it is tried again";
  EXPECT_THAT(work.said.error, HasSubstr("no space left"));
  EXPECT_EQ(work.machine.Metric("flush_rounds"), rounds);
  EXPECT_LE(work.machine.WalFiles().size(), kWalFilesMax);
  work.ExpectAllThere();
}

void ExpectItGoesOn(Workload& work) {
  for (int second = 0; second < 20 && work.machine.store().pressure() != Pressure::kNone;
       ++second) {
    work.machine.Idle();
  }
  ASSERT_EQ(work.machine.store().pressure(), Pressure::kNone) << "not by itself";
  const std::uint64_t recycled = work.machine.Metric("wal_recycled_files");
  work.Flush(3);
  EXPECT_GT(work.machine.Metric("wal_recycled_files"), recycled);
  work.Vote();
  work.ExpectAllThere();
  work.machine.PowerLoss();
  work.machine.Start();
  EXPECT_FALSE(work.machine.store().recovery_report().damaged())
      << work.machine.store().recovery_report().ToText();
  work.ExpectAllThere();
}

TEST(DiskFull, G9_AFlushWaitsAndResumesByItself) {
  for (const std::uint64_t rounds_before : {0, 2}) {
    for (std::uint64_t skip = 0; skip < 3; ++skip) {
      for (const Place& place : Places(skip)) {
        SCOPED_TRACE(::testing::Message() << place.name << " after " << skip << " operations and "
                                          << rounds_before << " rounds");
        Workload work;
        work.Flush(rounds_before);
        Fill(work.machine, place);
        for (const char* name : {"new", "newer", "newest"}) {  // They need directories.
          work.machine.Write(work.machine.Log(name), 1, 1, {"n1"});
        }
        FillTheWal(work);
        work.machine.disk().ClearFaults();
        ExpectItGoesOn(work);
        if (HasFailure()) return;
      }
    }
  }
}

// The power goes while there is no space, and there is none for the next start either.
TEST(DiskFull, G9_W26_AStartWithoutSpaceWaitsToo) {
  for (const bool power : {false, true}) {
    for (const Place& place : Places(0)) {
      SCOPED_TRACE(::testing::Message() << place.name << " power " << power);
      Workload work;
      work.Flush(1);
      Fill(work.machine, place);
      work.machine.Write(work.machine.Log("new"), 1, 1, {"n1"});
      for (int i = 0; i < 200 && work.Append().ok(); ++i) continue;
      for (int start = 0; start < 3; ++start) {
        power ? work.machine.PowerLoss() : work.machine.Kill();
        Fill(work.machine, place);
        const Status opened = work.machine.Open();
        ASSERT_TRUE(opened.ok()) << opened.error().message;
        work.machine.Idle();
        if (start == 0) work.vote = 0;  // There is none yet.
        work.ExpectAllThere();
        work.Vote();
      }
      EXPECT_LE(work.machine.WalFiles().size(), kWalFilesMax);
      work.machine.disk().ClearFaults();
      ExpectItGoesOn(work);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace duramen::log
