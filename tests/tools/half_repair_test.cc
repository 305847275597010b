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

  std::vector<Answer> AskReaders() const {
    const OutputOptions json{.format = Format::kJson};
    return {
        Ask([&](Terminal& to) { return RunStat({.path = data_, .output = json}, to); }),
        Ask([&](Terminal& to) { return RunNames({.path = data_, .output = json}, to); }),
        Ask([&](Terminal& to) { return RunDu({.path = data_, .output = json}, to); }),
        Ask([&](Terminal& to) {
          return RunWhyRetained({.path = data_, .what = "load-00001", .output = json}, to);
        }),
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

}  // namespace
}  // namespace duramen::tools
