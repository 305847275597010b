// A repair that was killed behind its commit: what the readers say, how it goes on, and what an
// undo has to do with it.
#include "tools/half_repair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/posix_io.h"
#include "log/repair_format.h"
#include "log/repair_journal.h"
#include "tests/tools/files.h"
#include "tests/tools/flushed_store.h"
#include "tools/du.h"
#include "tools/dump.h"
#include "tools/repair.h"
#include "tools/stat.h"
#include "tools/why_retained.h"

namespace duramen::tools {
namespace {

using testing::Answer;
using testing::Ask;
using testing::Fingerprint;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::ReadAll;
using testing::Verify;
using testing::WriteAll;

constexpr char kId[] = "20260101-000000-half";

class HalfRepaired : public testing::FlushedStore {
 protected:
  /// A segment is damaged, and a repair that would put it right stops behind its commit.
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(MakeFlushed(6'000, 3));
    segment_ = segments_.front();
    whole_ = ReadAll(segment_);
    damaged_ = whole_;
    for (std::size_t at = 5'000; at < damaged_.size(); at += 500) damaged_[at] ^= 16;
    WriteAll(segment_, damaged_);
    PosixFileSystem file_system;
    const auto directory = file_system.Open(data_);
    ASSERT_TRUE(directory.ok());
    log::RepairJournal journal(file_system, **directory);
    {
      const auto staging = journal.Begin(kId);
      ASSERT_TRUE(staging.ok());
      const auto file = (*staging)->Create("1");
      ASSERT_TRUE(file.ok() && (*file)->Write(0, AsBytes(whole_)).ok());
    }
    const log::OverlayChange change{.path = segment_.substr(data_.size() + 1),
                                    .kind = log::OverlayChange::Kind::kReplaced,
                                    .staged = "1"};
    ASSERT_TRUE(
        journal.Commit({.id = kId, .wal_dir = {}, .created_unix_ms = 7, .changes = {change}}).ok());
  }
  std::string Quarantined(const std::string& path) const { return data_ + "/quarantine/" + path; }

  Answer Repair(RepairVerbOptions options, Format format = Format::kJsonl) const {
    options.path = data_;
    options.output.format = format;
    return Ask([&](Terminal& terminal) { return RunRepair(options, terminal); });
  }
  std::vector<Answer> AskReaders() const {
    const OutputOptions json{.format = Format::kJson};
    return {
        Ask([&](Terminal& to) { return RunStat({.path = data_, .output = json}, to); }),
        Ask([&](Terminal& to) { return RunNames({.path = data_, .output = json}, to); }),
        Ask([&](Terminal& to) { return RunDu({.path = data_, .output = json}, to); }),
        Ask([&](Terminal& to) {
          return RunWhyRetained({.path = data_, .what = "load-00001", .output = json}, to);
        }),
        Ask([&](Terminal& to) { return RunDump({.path = data_, .output = json}, to); }),
    };
  }

  std::string segment_;
  std::string whole_;
  std::string damaged_;
};

TEST_F(HalfRepaired, T2_TL2_ReadersSayItAndJudgeNothing) {
  const auto before = Fingerprint(data_);
  const Answer verify = Verify(data_);
  EXPECT_EQ(verify.exit, ExitCode::kDamage);
  EXPECT_THAT(verify.out, HasSubstr("repair " + std::string(kId) +
                                    " is half in place; what else was found is not judged"));
  EXPECT_THAT(verify.err, HasSubstr("next: duramen repair " + data_ + " --apply"));
  EXPECT_THAT(verify.text(), Not(HasSubstr("acknowledged bytes are lost")));
  EXPECT_THAT(Verify(data_, Format::kJson).out,
              HasSubstr("\"half_repair\":\"" + std::string(kId) + "\""));
  for (const Answer& answer : AskReaders()) {
    EXPECT_EQ(answer.exit, ExitCode::kDamage) << answer.text();
    EXPECT_THAT(answer.err, HasSubstr("warning: repair " + std::string(kId) + " is half in place"));
    EXPECT_THAT(answer.err, HasSubstr("next: duramen repair " + data_ + " --apply"));
    const std::size_t told = answer.out.find("\"half_repair\":\"" + std::string(kId) + "\"");
    EXPECT_NE(told, std::string::npos) << answer.err;
  }
  EXPECT_EQ(Fingerprint(data_), before);
  EXPECT_THAT(Verify(data_ + "/wal").out, HasSubstr("is half in place"));
}

TEST_F(HalfRepaired, T2_TL2_OfAnUndoAndOfOneThatCannotBeRead) {
  ASSERT_EQ(Repair({.apply = true}).exit, ExitCode::kClean);
  WriteAll(Quarantined("PENDING"), testing::AsString(log::EncodePendingRepair(
                                       {.id = kId, .direction = log::RepairDirection::kUndo})));
  EXPECT_THAT(Verify(data_).out, HasSubstr("the undo of repair " + std::string(kId) + " is half"));
  const Answer finished = Repair({.apply = true}, Format::kTable);
  EXPECT_THAT(finished.out + finished.err, HasSubstr("the undo of repair " + std::string(kId)));
  EXPECT_THAT(finished.out, Not(HasSubstr("undo: " + std::string(kId)))) << "it is undone";
  WriteAll(Quarantined("PENDING"), "rot");
  const Answer unreadable = Verify(data_);
  EXPECT_EQ(unreadable.exit, ExitCode::kDamage);
  EXPECT_THAT(unreadable.out, HasSubstr("a repair is half in place"));
  EXPECT_THAT(unreadable.err, HasSubstr("or remove it"));
  EXPECT_NE(Repair({.apply = true}).exit, ExitCode::kClean);
}

TEST_F(HalfRepaired, TL3_ApplyFinishesItAndSaysHowItIsUndone) {
  const Answer plan = Repair({});
  EXPECT_EQ(plan.exit, ExitCode::kRefused);
  EXPECT_THAT(plan.err, HasSubstr("duramen repair " + data_ + " --apply"));
  const Answer applied = Repair({.apply = true}, Format::kTable);
  EXPECT_EQ(applied.exit, ExitCode::kClean) << applied.text();
  EXPECT_EQ(ReadAll(segment_), whole_);
  EXPECT_THAT(applied.out, HasSubstr("is finished; nothing else to repair"));
  EXPECT_TRUE(applied.out.ends_with("\nundo: " + std::string(kId) + "\n")) << applied.out;
  EXPECT_EQ(Repair({.undo = kId}).exit, ExitCode::kClean);
  EXPECT_EQ(ReadAll(segment_), damaged_);
}

TEST_F(HalfRepaired, TL3_ApplyTellsBothWhereItRepairsFurther) {
  const std::string checkpoint = data_ + "/meta/checkpoint-a";
  std::string content = ReadAll(checkpoint);
  content[8'200] ^= 16;
  WriteAll(checkpoint, content);
  const Answer applied = Repair({.apply = true});
  EXPECT_EQ(applied.exit, ExitCode::kClean) << applied.text();
  EXPECT_THAT(applied.out, HasSubstr("\"applied\":true,\"finished\":\"" + std::string(kId) + "\""));
  const std::size_t at = applied.out.find("\"undo\":\"") + 8;
  const std::string second = applied.out.substr(at, applied.out.find('"', at) - at);
  EXPECT_NE(second, kId);
  EXPECT_EQ(Repair({.undo = second}).exit, ExitCode::kClean);
  EXPECT_EQ(Repair({.undo = kId}).exit, ExitCode::kClean);
  EXPECT_EQ(ReadAll(checkpoint), content);
  EXPECT_EQ(ReadAll(segment_), damaged_);
}

TEST_F(HalfRepaired, TL3_WhatCannotGoOnSaysWhereItStands) {
  WriteAll(Quarantined(std::string(kId) + "/new/1"), "rot");
  const Answer stuck = Repair({.apply = true});
  EXPECT_NE(stuck.exit, ExitCode::kClean);
  EXPECT_THAT(stuck.err, HasSubstr("repair " + std::string(kId) + " is half in place"));
  EXPECT_THAT(stuck.err, HasSubstr("--apply` goes on"));
  EXPECT_THAT(stuck.err, HasSubstr("--undo " + std::string(kId) + "` takes it back"));
  EXPECT_EQ(Repair({.force = true, .undo = kId}).exit, ExitCode::kClean);
  EXPECT_EQ(ReadAll(segment_), damaged_);
  EXPECT_THAT(Verify(data_).out, Not(HasSubstr("half in place")));
}

TEST_F(HalfRepaired, TL3_AnUndoOfAnotherOneHasToWait) {
  const auto before = Fingerprint(data_);
  const Answer other = Repair({.undo = "20250101-000000-abcd"});
  EXPECT_EQ(other.exit, ExitCode::kRefused) << other.text();
  EXPECT_THAT(other.err, HasSubstr("duramen repair " + data_ + " --apply"));
  EXPECT_EQ(Fingerprint(data_), before);
  EXPECT_EQ(Repair({.undo = kId}).exit, ExitCode::kClean);
  EXPECT_EQ(ReadAll(segment_), damaged_);
}

TEST_F(HalfRepaired, TL3_AnUndoOfWhatIsNotThereNamesWhatIs) {
  ASSERT_EQ(Repair({.apply = true}).exit, ExitCode::kClean);
  const Answer unknown = Repair({.undo = "20250101-000000-abcd"});
  EXPECT_EQ(unknown.exit, ExitCode::kUsage) << unknown.text();
  EXPECT_THAT(unknown.err, HasSubstr("hint: those there are: " + std::string(kId)));
  ASSERT_EQ(Repair({.undo = kId}).exit, ExitCode::kClean);
  const Answer again = Repair({.undo = kId});
  EXPECT_EQ(again.exit, ExitCode::kUsage) << again.text();
  EXPECT_THAT(again.err, HasSubstr("was undone already"));
  for (const char* wrong : {"", "..", "a/b"}) {
    EXPECT_EQ(Repair({.undo = wrong}).exit, ExitCode::kUsage) << wrong;
  }
  EXPECT_EQ(ReadAll(segment_), damaged_);
}

TEST(RepairOfNoStore, TL3_ChangesNothing) {
  const testing::TempDir dir;
  WriteAll(dir / "letter", "dear");
  for (const bool undo : {false, true}) {
    RepairVerbOptions options{.path = dir.path(), .apply = !undo};
    if (undo) options.undo = "x";
    const Answer answer = Ask([&](Terminal& terminal) { return RunRepair(options, terminal); });
    EXPECT_NE(answer.exit, ExitCode::kClean);
    EXPECT_THAT(answer.err, HasSubstr("hint: "));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
  }
}

}  // namespace
}  // namespace duramen::tools
