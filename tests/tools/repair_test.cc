// `duramen repair` on real directories: a plan, what it does, the way back, and what it refuses.
#include "tools/repair.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/posix_io.h"
#include "tests/tools/files.h"
#include "tests/tools/flushed_store.h"
#include "tests/tools/unflushed.h"
#include "tools/dump.h"
#include "tools/load.h"

namespace duramen::tools {
namespace {

using testing::Answer;
using testing::Ask;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::ReadAll;
using testing::WalFiles;
using testing::WriteAll;

/// Names and contents below `dir`, but for what repairs keep.
std::map<std::string, std::string> Contents(const std::string& dir) {
  std::map<std::string, std::string> all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    const std::string path = entry.path().string().substr(dir.size());
    if (path.starts_with("/quarantine") || path == "/LOCK") continue;
    all[path] = entry.is_regular_file() ? ReadAll(entry.path().string()) : "";
  }
  return all;
}

void Flip(const std::string& path, std::size_t at) {
  std::string content = ReadAll(path);
  ASSERT_LT(at, content.size()) << path;
  content[at] = static_cast<char>(content[at] ^ 0x20);
  WriteAll(path, content);
}

class RepairVerb : public testing::FlushedStore {
 protected:
  void MakeFlushed() { FlushedStore::MakeFlushed(12'000, 3); }
  Answer Repair(RepairVerbOptions options) const {
    options.path = data_;
    options.output.format = Format::kJsonl;
    return Ask([&](Terminal& terminal) { return RunRepair(options, terminal); });
  }
  Answer Verify() const { return testing::Verify(data_, Format::kJsonl); }
  /// Of a segment: what lies in its middle may be a table, which costs nothing.
  void FlipAPayload() const {
    const std::string content = ReadAll(segments_.front());
    Flip(segments_.front(), content.find("line ", content.size() / 2));
  }
  std::uint64_t EntriesOf(const std::string& server) const {
    Terminal terminal{Terminal::Captured{}};
    DumpOptions options{
        .path = data_, .server = server, .kind = "entry", .output = {.format = Format::kCsv}};
    (void)RunDump(options, terminal);
    const std::string& out = terminal.captured_out();
    return static_cast<std::uint64_t>(std::count(out.begin(), out.end(), '\n')) - 1;
  }
  static std::string UndoId(const Answer& answer) {
    const std::string key = "\"undo\":\"";
    const std::size_t at = answer.out.find(key);
    if (at == std::string::npos) return "";
    const std::size_t begin = at + key.size();
    return answer.out.substr(begin, answer.out.find('"', begin) - begin);
  }
  /// Plan, apply, verify, undo.
  void RoundTrip(const std::string& step) {
    const auto before = Contents(data_);
    const auto untouched = testing::Fingerprint(data_);
    EXPECT_EQ(Verify().exit, ExitCode::kDamage);
    const Answer plan = Repair({});
    EXPECT_EQ(plan.exit, ExitCode::kRefused) << plan.out << plan.err;
    EXPECT_THAT(plan.out, HasSubstr("\"step\":\"" + step + "\""));
    EXPECT_EQ(testing::Fingerprint(data_), untouched) << "a plan writes nothing, LOCK included";
    const Answer applied = Repair({.apply = true});
    EXPECT_EQ(applied.exit, ExitCode::kClean) << applied.out << applied.err << Verify().out;
    const Answer again = Repair({});
    EXPECT_EQ(again.exit, ExitCode::kClean) << again.out << again.err;
    const std::string id = UndoId(applied);
    ASSERT_FALSE(id.empty()) << applied.out;
    const Answer undone = Repair({.undo = id});
    EXPECT_EQ(undone.exit, ExitCode::kClean) << undone.err;
    EXPECT_EQ(Contents(data_), before);
  }
};

TEST_F(RepairVerb, TL3_AWholeStoreNeedsNone) {
  ASSERT_NO_FATAL_FAILURE(MakeFlushed());
  const auto before = Contents(data_);
  for (const bool apply : {false, true}) {
    const Answer answer = Repair({.apply = apply});
    EXPECT_EQ(answer.exit, ExitCode::kClean) << answer.err;
    EXPECT_THAT(answer.out, HasSubstr("nothing to repair"));
  }
  EXPECT_EQ(Contents(data_), before);
}

TEST_F(RepairVerb, TL3_ADamagedSegment) {
  ASSERT_NO_FATAL_FAILURE(MakeFlushed());
  FlipAPayload();
  RoundTrip("rewrite_segments");
}

TEST_F(RepairVerb, TL3_ADamagedCheckpoint) {
  ASSERT_NO_FATAL_FAILURE(MakeFlushed());
  Flip(data_ + "/meta/checkpoint-a", 8200);
  RoundTrip("rebuild_checkpoints");
}

TEST_F(RepairVerb, TL3_ALostCopyOfSystem) {
  ASSERT_NO_FATAL_FAILURE(MakeFlushed());
  Flip(data_ + "/SYSTEM", 30);
  RoundTrip("restore");
}

TEST_F(RepairVerb, TL3_SystemAsAWholeFromIdentity) {
  ASSERT_NO_FATAL_FAILURE(MakeFlushed());
  WriteAll(data_ + "/SYSTEM", std::string(8192, '\0'));
  RoundTrip("restore");
}

TEST_F(RepairVerb, TL3_IdentityAsAWholeFromSystem) {
  ASSERT_NO_FATAL_FAILURE(MakeFlushed());
  std::filesystem::remove(data_ + "/wal/IDENTITY");
  RoundTrip("restore");
}

// SYSTEM is what says where the WAL is; without it somebody has to.
TEST_F(RepairVerb, TL3_SystemOfAStoreWhoseWalLiesElsewhere) {
  const std::string wal = dir_ / "wal";
  settings_.flags.emplace_back("wal_dir", wal);
  ASSERT_NO_FATAL_FAILURE(MakeFlushed());
  const std::uint64_t entries = EntriesOf("load-00000");
  EXPECT_GT(entries, 1000u);
  std::filesystem::remove(data_ + "/SYSTEM");
  const auto before = Contents(dir_.path());
  for (const Answer& lost : {Repair({}), Verify()}) {
    EXPECT_EQ(lost.exit, ExitCode::kUnreadable) << lost.err;
    EXPECT_THAT(lost.err, HasSubstr("hint: duramen repair " + data_ + " --wal-dir DIR"));
  }
  EXPECT_EQ(Repair({.wal_dir = "wal"}).exit, ExitCode::kUsage);
  EXPECT_EQ(Repair({.wal_dir = dir_ / "nowhere"}).exit, ExitCode::kUnreadable);
  const Answer plan = Repair({.wal_dir = wal});
  EXPECT_EQ(plan.exit, ExitCode::kRefused) << plan.err;
  EXPECT_EQ(Contents(dir_.path()), before);
  const Answer applied = Repair({.apply = true, .wal_dir = wal});
  EXPECT_EQ(applied.exit, ExitCode::kClean) << applied.out << applied.err;
  EXPECT_EQ(Verify().exit, ExitCode::kClean);
  EXPECT_EQ(EntriesOf("load-00000"), entries);
  const Answer more = testing::LoadFlushed(
      {.dir = data_, .file = dir_ / "input", .servers = 3, .resume = true, .settings = settings_});
  EXPECT_EQ(more.exit, ExitCode::kClean) << more.err;
}

TEST_F(RepairVerb, TL3_ADamagedWal) {
  ASSERT_NO_FATAL_FAILURE(testing::WriteUnflushed({.dir = data_}));
  const std::string file = WalFiles(data_).front();
  const std::string content = ReadAll(file);
  Flip(file, content.find("line ", content.size() / 3));
  RoundTrip("empty_wal");
}

TEST_F(RepairVerb, TL3_AWalFileThatIsGone) {
  ASSERT_NO_FATAL_FAILURE(testing::WriteUnflushed({.dir = data_}));
  ASSERT_GT(WalFiles(data_).size(), 5u);
  std::filesystem::remove(WalFiles(data_)[3]);  // Behind the first and the row files.
  RoundTrip("empty_wal");
}

TEST_F(RepairVerb, C15_TruncateFillRejoin) {
  ASSERT_NO_FATAL_FAILURE(MakeFlushed());
  // What the WAL still holds too is mended from there, and nothing is lost.
  ASSERT_NO_FATAL_FAILURE(FlushUntil([this] {
    const Answer dump = Ask([this](Terminal& terminal) {
      return RunDump({.path = data_, .kind = "entry", .output = {.format = Format::kJsonl}},
                     terminal);
    });
    return dump.out.find("\"source\":\"wal\"") == std::string::npos;
  }));
  FindSegments();
  FlipAPayload();
  const std::string uid = std::filesystem::path(segments_.front()).parent_path().filename();
  const std::uint64_t whole = EntriesOf(uid);
  const Answer contained = Repair({.apply = true});
  ASSERT_EQ(contained.exit, ExitCode::kClean) << contained.err;
  EXPECT_THAT(contained.err, HasSubstr("--server " + uid + " --rejoin")) << "the way out is named";
  const Answer filled = Repair({.apply = true, .server = uid, .fill = true});
  EXPECT_EQ(filled.exit, ExitCode::kClean) << filled.out << filled.err;
  EXPECT_GE(EntriesOf(uid), whole) << "no-op entries stand where nothing could be read";
  const std::string id = UndoId(filled);
  EXPECT_EQ(Repair({.undo = id}).exit, ExitCode::kClean);
  const Answer cut = Repair({.apply = true, .force = true, .server = uid, .truncate = 2});
  EXPECT_EQ(cut.exit, ExitCode::kClean) << cut.out << cut.err;
  EXPECT_EQ(EntriesOf(uid), 1u);
  EXPECT_EQ(Repair({.undo = UndoId(cut)}).exit, ExitCode::kClean);
  const Answer rejoined = Repair({.apply = true, .server = uid, .rejoin = true});
  EXPECT_EQ(rejoined.exit, ExitCode::kClean) << rejoined.out << rejoined.err;
  EXPECT_THAT(Repair({}).err, Not(HasSubstr(uid))) << "nobody is faulty any more";
}

TEST_F(RepairVerb, TL3_WhatContradictsItselfIsUsage) {
  ASSERT_NO_FATAL_FAILURE(testing::WriteUnflushed({.dir = data_, .lines = 50}));
  const auto before = Contents(data_);
  const RepairVerbOptions wrong[] = {
      {.apply = true, .undo = "x"},
      {.undo = "x", .server = "load-00001", .fill = true},
      {.server = "load-00001"},
      {.fill = true},
      {.server = "load-00001", .fill = true, .rejoin = true},
      {.server = "load-00001", .truncate = 0},
      {.server = "load-00001", .truncate = 3, .rejoin = true},
      {.force = true},
      {.server = "nobody", .rejoin = true},
      {.force = true, .server = "load-00001", .truncate = 9999},
  };
  for (const RepairVerbOptions& options : wrong) {
    const Answer answer = Repair(options);
    EXPECT_EQ(answer.exit, ExitCode::kUsage) << answer.out << answer.err;
    EXPECT_THAT(answer.err, HasSubstr("hint: "));
  }
  EXPECT_EQ(Repair({.server = "load-00001", .rejoin = true}).exit, ExitCode::kRefused)
      << "it is not faulty";
  EXPECT_EQ(Repair({.undo = "20260101-000000-abcd"}).exit, ExitCode::kUsage)
      << "there is no such repair";
  EXPECT_EQ(Contents(data_), before);
}

TEST_F(RepairVerb, TL3_ARunningStoreIsRefused) {
  ASSERT_NO_FATAL_FAILURE(testing::WriteUnflushed({.dir = data_, .lines = 50}));
  PosixFileSystem file_system;
  const auto directory = file_system.Open(data_);
  ASSERT_TRUE(directory.ok());
  const auto lock = (*directory)->Lock("LOCK");
  ASSERT_TRUE(lock.ok());
  for (const RepairVerbOptions& options :
       {RepairVerbOptions{}, RepairVerbOptions{.apply = true}, RepairVerbOptions{.undo = "x"}}) {
    const Answer answer = Repair(options);
    EXPECT_EQ(answer.exit, ExitCode::kInUse) << answer.err;
  }
}

TEST_F(RepairVerb, TL3_AnUndoOverLaterChangesIsRefused) {
  ASSERT_NO_FATAL_FAILURE(MakeFlushed());
  Flip(data_ + "/meta/checkpoint-b", 8200);
  const Answer applied = Repair({.apply = true});
  ASSERT_EQ(applied.exit, ExitCode::kClean) << applied.err;
  LoadOptions load{.dir = data_, .file = dir_ / "input", .servers = 3, .resume = true};
  Terminal terminal{Terminal::Captured{}};
  (void)RunLoad(load, terminal);
  const auto before = Contents(data_);
  const Answer refused = Repair({.undo = UndoId(applied)});
  EXPECT_EQ(refused.exit, ExitCode::kRefused) << refused.err;
  EXPECT_EQ(Contents(data_), before);
  // Forced, the damaged store is back, whole; and so is the later one when that is undone.
  const Answer forced = Repair({.force = true, .undo = UndoId(applied)});
  ASSERT_EQ(forced.exit, ExitCode::kClean) << forced.err;
  EXPECT_EQ(UndoId(forced), UndoId(applied) + "-undo");
  EXPECT_EQ(Verify().exit, ExitCode::kDamage);
  EXPECT_EQ(Repair({.undo = UndoId(forced)}).exit, ExitCode::kClean);
  EXPECT_EQ(Contents(data_), before);
}

TEST_F(RepairVerb, T6_ASymlinkInThePlaceOfAFileIsNotFollowed) {
  ASSERT_NO_FATAL_FAILURE(MakeFlushed());
  WriteAll(dir_ / "elsewhere", "precious");
  std::filesystem::remove(data_ + "/meta/checkpoint-a");
  std::filesystem::create_symlink(dir_ / "elsewhere", data_ + "/meta/checkpoint-a");
  const Answer answer = Repair({.apply = true});
  EXPECT_EQ(answer.exit, ExitCode::kRefused) << answer.out << answer.err;
  EXPECT_THAT(answer.err, HasSubstr("meta/checkpoint-a"));
  EXPECT_EQ(ReadAll(dir_ / "elsewhere"), "precious");
}

}  // namespace
}  // namespace duramen::tools
