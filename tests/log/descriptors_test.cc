// No file descriptors are left: a read says so, a flush waits, a start is refused, nothing is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/log/machine.h"

namespace duramen::log {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A log "a" whose entries are in segments alone, and a log "other" that made the WAL roll.
struct Workload {
  Machine machine;
  Index end = 1;  // of "other"; what is acknowledged is below it

  Workload() {
    machine.options.wal_max_size_bytes = 32 << 10;
    machine.options.wal_max_files = 6;
    machine.Start();
    machine.Write(machine.Log("a"), 1, 1, {"a1", "a2"});
    EXPECT_TRUE(machine.Wait(machine.writer().PutVote(machine.Log("a"), 4, "n").value()).ok());
    Flush(2);
  }
  void Flush(std::uint64_t rounds) {
    const std::uint64_t wanted = machine.Metric("flush_rounds") + rounds;
    for (int i = 0; i < 100 && machine.Metric("flush_rounds") < wanted; ++i) {
      machine.Write(machine.Log("other"), end++, 1, {std::string(3000, 'o')});
      machine.Settle();
    }
    ASSERT_GE(machine.Metric("flush_rounds"), wanted);
  }
  void ExpectAllThere() {
    EXPECT_THAT(machine.Contents("a"), ElementsAre("1:1:a1", "2:1:a2"));
    EXPECT_FALSE(machine.Faulty("a"));
    EXPECT_EQ(machine.store().VoteOf(machine.Log("a"))->term, 4u);
    EXPECT_EQ(machine.Contents("other").size(), end - 1);
    EXPECT_FALSE(machine.Faulty("other"));
    EXPECT_FALSE(machine.store().recovery_report().damaged())
        << machine.store().recovery_report().ToText();
  }
};

// They run out at each open of a workload that reads, rolls and flushes, and come back later.
TEST(Descriptors, G12_WhatNeedsOneWaitsOrSaysSo) {
  bool failed = true;
  bool read_failed = false;
  for (std::uint64_t opens = 0; failed && !HasFailure(); ++opens) {
    SCOPED_TRACE(opens);
    Workload work;
    Machine& machine = work.machine;
    machine.Kill();
    machine.Start();  // Nothing is open that a read needs.
    const LogRef a = machine.Log("a");
    const LogRef other = machine.Log("other");
    machine.Settle();
    machine.disk().LimitOpens(opens);
    for (int i = 0; i < 60; ++i) {
      const Result<Ticket> ticket = machine.Append(other, work.end, 1, {std::string(3000, 'o')});
      if (ticket.ok()) {
        ++work.end;
      } else {
        const ErrorCode code = ticket.error().code;
        EXPECT_TRUE(code == ErrorCode::kWalDown || code == ErrorCode::kOverloaded)
            << ErrorCodeName(code);
      }
      machine.Settle();
      if (i % 10 == 9) machine.Idle();
      const Result<Pin> pin = machine.store().Read(a, 1, 3, 100);
      if (pin.ok()) continue;
      read_failed = true;
      EXPECT_EQ(pin.error().code, ErrorCode::kIo) << pin.error().message;
      EXPECT_THAT(pin.error().message, HasSubstr("too many open files"));
    }
    failed = machine.disk().opens_failed() > 0;
    machine.disk().LimitOpens(UINT64_MAX);
    // The pool may not have noticed yet, so it is given its second.
    for (int i = 0; i < 3; ++i) machine.Idle();
    ASSERT_EQ(machine.store().pressure(), Pressure::kNone) << "not by itself";
    work.ExpectAllThere();
    work.Flush(2);
    work.ExpectAllThere();
    machine.PowerLoss();
    machine.Start();
    work.ExpectAllThere();
  }
  EXPECT_TRUE(read_failed);
}

// What waited for a file is gone with its Writer, so nothing is left that would try again.
TEST(Descriptors, G12_AWalThatWasDownComesBackWithoutAWrite) {
  Workload work;
  Machine& machine = work.machine;
  const LogRef other = machine.Log("other");
  machine.disk().LimitOpens(0);
  Index accepted = work.end;
  for (int i = 0; i < 100 && machine.store().pressure() == Pressure::kNone; ++i) {
    if (machine.Append(other, accepted, 1, {std::string(3000, 'o')}).ok()) ++accepted;
    machine.Settle();
  }
  ASSERT_EQ(machine.Append(other, accepted, 1, {"x"}).error().code, ErrorCode::kWalDown);
  work.end = machine.store().BoundsOf(other)->written_end;
  EXPECT_LT(work.end, accepted);
  machine.DropWriters();
  machine.disk().LimitOpens(UINT64_MAX);
  for (int i = 0; i < 5; ++i) machine.Idle();
  ASSERT_EQ(machine.store().pressure(), Pressure::kNone) << "not by itself";
  machine.Write(machine.Log("b"), 1, 1, {"b1"});
  machine.PowerLoss();
  machine.Start();
  EXPECT_THAT(machine.Contents("b"), ElementsAre("1:1:b1"));
  work.ExpectAllThere();
}

// An open that the system refuses says nothing about the bytes: no log may be faulty for it.
TEST(Descriptors, G12_AStartWithoutThemIsRefusedNeverFaulty) {
  Workload work;
  Machine& machine = work.machine;
  machine.Kill();
  const sim::DiskState disk = machine.disk().disk();
  for (const std::uint64_t failing : {std::uint64_t{1}, std::uint64_t{2}, UINT64_MAX}) {
    bool failed = true;
    for (std::uint64_t opens = 0; failed && !HasFailure(); ++opens) {
      SCOPED_TRACE(::testing::Message() << failing << " fail after " << opens);
      machine.UseDisk(disk);
      machine.disk().LimitOpens(opens, failing);
      const Status opened = machine.Open();
      if (opened.ok()) {
        machine.disk().LimitOpens(UINT64_MAX);
        work.ExpectAllThere();
      } else {
        EXPECT_EQ(opened.error().code, ErrorCode::kIo) << opened.error().message;
        EXPECT_THAT(opened.error().message, HasSubstr("too many open files"));
      }
      failed = machine.disk().opens_failed() > 0;
      machine.Kill();
      machine.Start();
      work.ExpectAllThere();
    }
  }
}

}  // namespace
}  // namespace duramen::log
