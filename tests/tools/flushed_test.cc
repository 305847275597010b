// The offline verbs on a directory whose WAL was flushed: entries in segments, rows in checkpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tools/files.h"
#include "tests/tools/flushed_store.h"
#include "tools/du.h"
#include "tools/dump.h"
#include "tools/read_back.h"
#include "tools/stat.h"
#include "tools/verify.h"
#include "tools/why_retained.h"

namespace duramen::tools {
namespace {

using testing::Answer;
using testing::Ask;
using testing::Fingerprint;
using ::testing::HasSubstr;
using testing::ReadAll;
using testing::WalFiles;
using testing::WriteAll;

class Flushed : public testing::FlushedStore {
 protected:
  static constexpr std::uint64_t kLines = 30'000;
  static constexpr std::uint64_t kUnflushed = 100;
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(MakeFlushed(kLines - kUnflushed, 5));
    ASSERT_GE(segments_.size(), 5u);
    ASSERT_NO_FATAL_FAILURE(Recycle());
    // The last ones stand in the WAL alone: nothing closes its newest file.
    WriteAll(dir_ / "input", testing::NumberedLines(kLines));
    const Answer rest = testing::LoadFlushed({.dir = data_,
                                              .file = dir_ / "input",
                                              .servers = 5,
                                              .resume = true,
                                              .settings = settings_});
    ASSERT_EQ(rest.exit, ExitCode::kClean) << rest.err;
    FindSegments();
  }
  /// Until most lines stand in segments alone.
  void Recycle() {
    const std::uint64_t input_bytes = std::filesystem::file_size(dir_ / "input");
    const auto recycled = [&] { return WalFiles(data_).size() * (64u << 10) <= input_bytes / 2; };
    ASSERT_NO_FATAL_FAILURE(FlushUntil(recycled, 10'000));  // The last file stays as it is.
    FindSegments();
  }
  static Answer Dump(const DumpOptions& options) {
    return Ask([&](Terminal& terminal) { return RunDump(options, terminal); });
  }
  void ExpectEveryLine(std::string_view dump) {
    const InputText input(ReadAll(dir_ / "input"));
    ReadBack lines;
    for (std::size_t at = 0; at < dump.size();) {
      const std::size_t end = dump.find('\n', at);
      lines.Add(dump.substr(at, end - at));
      at = end + 1;
    }
    EXPECT_EQ(lines.Compare(input, kLines), "");
    EXPECT_EQ(lines.count(), kLines);
  }
  Answer Verify() const { return testing::Verify(data_, Format::kCsv); }
  static std::uint64_t Lines(const std::string& text) {
    return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
  }
};

/// The same, with compressed segments.
class FlushedCompressed : public Flushed {
 protected:
  void SetUp() override {
    settings_.flags = {{"segment_compression", "zstd"}};
    ASSERT_NO_FATAL_FAILURE(MakeFlushed(kLines, 5));
  }
};

TEST_F(FlushedCompressed, SG5_DumpAndVerifyReadWhatIsCompressed) {
  const DumpOptions entries{.path = data_, .kind = "entry", .output = {.format = Format::kJsonl}};
  const Answer dump = Dump(entries);
  EXPECT_EQ(dump.exit, ExitCode::kClean) << dump.err;
  ExpectEveryLine(dump.out);
  const Answer verified = Verify();
  EXPECT_EQ(verified.exit, ExitCode::kClean) << verified.out;
  // A block is lost as a whole, and no more than it.
  const std::string content = ReadAll(segments_.front());
  std::string flipped = content;
  flipped[128 + 104 + 60] ^= 1;  // Behind the headers of the file and of its first run.
  WriteAll(segments_.front(), flipped);
  const Answer damaged = Dump(entries);
  EXPECT_EQ(damaged.exit, ExitCode::kDamage);
  EXPECT_THAT(damaged.err, HasSubstr("skipped: "));
  EXPECT_LT(Lines(damaged.out), Lines(dump.out));
  EXPECT_GT(Lines(damaged.out), Lines(dump.out) / 2);
  const Answer judged = Verify();
  EXPECT_EQ(judged.exit, ExitCode::kDamage);
  EXPECT_THAT(judged.out, HasSubstr("cannot be read: its block does not match its checksum"));
}

TEST_F(Flushed, TL1_DumpGivesEveryLineAlsoAfterItsWalFileWasRecycled) {
  const Answer dump = Dump({.path = data_, .kind = "entry", .output = {.format = Format::kJsonl}});
  EXPECT_EQ(dump.exit, ExitCode::kClean) << dump.err;
  EXPECT_THAT(dump.out, HasSubstr("\"source\":\"segment\""));
  EXPECT_THAT(dump.out, HasSubstr("\"source\":\"wal\""));
  ExpectEveryLine(dump.out);
  const Answer rows = Dump({.path = data_, .kind = "flushed", .output = {.format = Format::kCsv}});
  EXPECT_THAT(rows.out, HasSubstr("meta/checkpoint-a,"));
  EXPECT_THAT(rows.out, HasSubstr("meta/checkpoint-b,"));
}

TEST_F(Flushed, TL1_FiltersHoldForSegments) {
  const Answer some = Dump({.path = data_,
                            .server = "load-00003",
                            .from = 5,
                            .to = 9,
                            .kind = "append",
                            .output = {.format = Format::kCsv}});
  EXPECT_EQ(some.exit, ExitCode::kClean) << some.err;
  EXPECT_EQ(Lines(some.out), 1 + 5u) << some.out;
  EXPECT_THAT(some.out, Not(HasSubstr("load-00002")));
  EXPECT_EQ(Lines(Dump({.path = data_,
                        .server = "load-00003",
                        .term = 2,
                        .kind = "append",
                        .output = {.format = Format::kCsv}})
                      .out),
            1u);
}

TEST_F(Flushed, TL1_ASegmentOnItsOwnIsReadAndDamageIsSteppedOver) {
  const std::string& path = segments_.front();
  const std::string content = ReadAll(path);
  WriteAll(dir_ / "evidence.bin", content);
  const Answer copied = Dump({.path = dir_ / "evidence.bin", .output = {.format = Format::kCsv}});
  EXPECT_EQ(copied.exit, ExitCode::kClean) << copied.err;
  const Answer there = Dump({.path = path, .output = {.format = Format::kCsv}});
  EXPECT_EQ(there.exit, ExitCode::kClean) << there.err;
  EXPECT_THAT(there.out, HasSubstr(",load-0000")) << "the checkpoints beside it know the name";
  EXPECT_EQ(Lines(copied.out), Lines(there.out));
  ASSERT_GT(Lines(there.out), 100u);
  std::string flipped = content;
  flipped[flipped.find(" line ") + 2] ^= 1;
  WriteAll(path, flipped);
  const Answer damaged = Dump({.path = path, .output = {.format = Format::kCsv}});
  EXPECT_EQ(damaged.exit, ExitCode::kDamage);
  EXPECT_THAT(damaged.err, HasSubstr("skipped: "));
  EXPECT_EQ(Lines(damaged.out) + 1, Lines(there.out));
  for (const bool stats : {false, true}) {
    const Answer whole = Dump({.path = data_, .stats = stats});
    EXPECT_EQ(whole.exit, ExitCode::kDamage);
    EXPECT_THAT(whole.out, HasSubstr(": damage, "));
    EXPECT_THAT(whole.out, Not(HasSubstr(": clean")));
  }
}

TEST_F(Flushed, TL1_ACheckpointOnItsOwnIsRead) {
  const std::string content = ReadAll(dir_ / "data/meta/checkpoint-a");
  WriteAll(dir_ / "evidence.bin", content);
  for (const std::string& path : {dir_ / "evidence.bin", dir_ / "data/meta/checkpoint-a"}) {
    const Answer dump = Dump({.path = path, .output = {.format = Format::kCsv}});
    EXPECT_EQ(dump.exit, ExitCode::kClean) << dump.err;
    EXPECT_THAT(dump.out, HasSubstr("name=load-00004"));
  }
  for (std::size_t at = 0; at < 20'000; at += 61) {
    std::string flipped = content;
    if (at >= flipped.size()) break;
    flipped[at] ^= 8;
    WriteAll(dir_ / "evidence.bin", flipped);
    const ExitCode exit = Dump({.path = dir_ / "evidence.bin"}).exit;
    EXPECT_TRUE(exit == ExitCode::kClean || exit == ExitCode::kDamage) << at;
  }
}

TEST_F(Flushed, TL2_A7_VerifySaysWhichEntryOfASegmentIsLostAndWhatToType) {
  const std::string& path = segments_.front();
  std::string flipped = ReadAll(path);
  flipped[flipped.find(" line ") + 2] ^= 1;
  WriteAll(path, flipped);
  const Answer verdict = Verify();
  EXPECT_EQ(verdict.exit, ExitCode::kDamage);
  // Besides what a roll that the end interrupted has left.
  const std::size_t found = verdict.out.find("\ndamage,");
  ASSERT_NE(found, std::string::npos) << verdict.out;
  EXPECT_EQ(verdict.out.find("\ndamage,", found + 1), std::string::npos) << verdict.out;
  EXPECT_THAT(verdict.out, HasSubstr("00000001.seg"));
  EXPECT_THAT(verdict.out, HasSubstr(",1,1,"));
  EXPECT_THAT(verdict.out, HasSubstr(",yes,"));
  EXPECT_THAT(verdict.err, HasSubstr("next: duramen dump " + data_ + " --all --server "));
}

TEST_F(Flushed, TL2_T1_EveryFlippedByteOfCheckpointsAndSegmentsIsFound) {
  for (const std::string& path : {dir_ / "data/meta/checkpoint-a", segments_.front()}) {
    const std::string content = ReadAll(path);
    const bool checkpoint = path.ends_with("-a");
    // Behind the directory a checkpoint file is room to grow.
    const std::size_t end = checkpoint ? 3 * 4096 : content.size();
    for (std::size_t at = 0; at < end; at += checkpoint ? 97 : content.size() / 60) {
      std::string flipped = content;
      flipped[at] ^= 16;
      WriteAll(path, flipped);
      EXPECT_EQ(Verify().exit, ExitCode::kDamage) << path << " at " << at;
    }
    WriteAll(path, content);
  }
  EXPECT_EQ(Verify().exit, ExitCode::kClean);
}

TEST_F(Flushed, TL2_A2_A18_RulesBetweenFilesAreChecked) {
  // Without checkpoints nothing says whose the directories are, and the WAL does not begin at 1.
  for (const char* name : {"checkpoint-a", "checkpoint-b"}) {
    std::filesystem::rename(dir_ / (std::string("data/meta/") + name), dir_ / name);
  }
  const Answer lost = Verify();
  EXPECT_EQ(lost.exit, ExitCode::kDamage);
  EXPECT_THAT(lost.out, HasSubstr("[A18]"));
  for (const char* name : {"checkpoint-a", "checkpoint-b"}) {
    std::filesystem::rename(dir_ / name, dir_ / (std::string("data/meta/") + name));
  }
  // The WAL has to reach down to what the checkpoints cover.
  for (const std::string& file : WalFiles(data_)) {
    std::filesystem::rename(file, dir_ / std::filesystem::path(file).filename().string());
  }
  WriteAll(dir_ / "data/wal/9999999999999999.wal", "");
  const Answer gap = Verify();
  EXPECT_EQ(gap.exit, ExitCode::kDamage);
  EXPECT_THAT(gap.out, HasSubstr("what followed the checkpoint is gone"));
}

TEST_F(Flushed, TL4_StatNamesAndDuCountWhatIsInSegments) {
  Terminal servers{Terminal::Captured{}};
  EXPECT_EQ(RunStat({.path = data_, .by = "server", .output = {.format = Format::kJsonl}}, servers),
            ExitCode::kClean);
  std::uint64_t entries = 0;
  const std::string& out = servers.captured_out();
  for (std::size_t at = out.find("\"entries\":"); at != std::string::npos;
       at = out.find("\"entries\":", at + 1)) {
    entries += std::stoull(out.substr(at + 10));
  }
  EXPECT_EQ(entries, kLines) << out;
  EXPECT_THAT(out, HasSubstr("\"flushed_end\":"));
  Terminal files{Terminal::Captured{}};
  EXPECT_EQ(RunStat({.path = data_}, files), ExitCode::kClean);
  EXPECT_THAT(files.captured_out(), HasSubstr("00000001.seg"));
  Terminal names{Terminal::Captured{}};
  EXPECT_EQ(RunNames({.path = data_}, names), ExitCode::kClean);
  EXPECT_THAT(names.captured_out(), HasSubstr("5 servers, 0 of them deleted: clean"));
  Terminal usage{Terminal::Captured{}};
  EXPECT_EQ(RunDu({.path = data_}, usage), ExitCode::kClean);
  EXPECT_THAT(usage.captured_out(), HasSubstr("load-00004"));
  EXPECT_THAT(usage.captured_out(), HasSubstr("5 servers with segments, "));
}

TEST_F(Flushed, PW7_TL4_DuAndVerifyListWhatStartsHaveKept) {
  const auto usage = [&] {
    Terminal terminal{Terminal::Captured{}};
    EXPECT_EQ(RunDu({.path = data_, .output = {.format = Format::kCsv}}, terminal),
              ExitCode::kClean);
    return terminal.captured_out();
  };
  EXPECT_THAT(usage(), Not(HasSubstr("(quarantine)")));
  std::filesystem::create_directory(dir_ / "data/quarantine");
  WriteAll(dir_ / "data/quarantine/0000000000000001.wal.7.8192.bytes", std::string(4096, 'x'));
  WriteAll(dir_ / "data/wal/0000000000000001.wal.kept", std::string(65536, 'x'));
  EXPECT_THAT(usage(), HasSubstr("(quarantine),,1,4096"));
  EXPECT_THAT(usage(), HasSubstr("(kept WAL files),,1,65536"));
  const Answer verdict = Verify();
  EXPECT_EQ(verdict.exit, ExitCode::kClean) << verdict.out;
  EXPECT_THAT(verdict.out, HasSubstr("0000000000000001.wal.kept"));
}

TEST_F(Flushed, TL4_WhyRetainedNamesWhoKeepsAFile) {
  const auto why = [&](const std::string& what) {
    return Ask([&](Terminal& terminal) {
      return RunWhyRetained({.path = data_, .what = what, .output = {.format = Format::kCsv}},
                            terminal);
    });
  };
  const Answer server = why("load-00002");
  EXPECT_EQ(server.exit, ExitCode::kClean) << server.err;
  EXPECT_THAT(server.out, HasSubstr("00000001.seg,load-00002,"));
  EXPECT_THAT(server.out, HasSubstr(".wal,load-00002,"));
  EXPECT_THAT(why("00000001.seg").out, HasSubstr("the floor 1 is below its end "));
  // Lines after the header are `FILE,server,...`: a WAL file with entries of that server.
  const std::size_t end = server.out.find(".wal,") + 4;
  const Answer file = why(server.out.substr(server.out.rfind('\n', end) + 1, 20));
  EXPECT_EQ(file.exit, ExitCode::kClean) << file.err;
  EXPECT_THAT(file.out, HasSubstr("load-00002,"));
  EXPECT_THAT(file.out, HasSubstr("checkpoint-a does not cover it"));
  EXPECT_EQ(why("nobody").exit, ExitCode::kUsage);
}

TEST_F(Flushed, TL1_NothingOnDiskChanges) {
  const auto before = Fingerprint(data_);
  (void)Dump({.path = data_, .all = true});
  Terminal terminal{Terminal::Captured{}};
  EXPECT_EQ(RunVerify({.path = data_}, terminal), ExitCode::kClean) << terminal.captured_out();
  EXPECT_EQ(RunStat({.path = data_}, terminal), ExitCode::kClean);
  EXPECT_EQ(RunStat({.path = data_, .by = "server"}, terminal), ExitCode::kClean);
  EXPECT_EQ(RunNames({.path = data_}, terminal), ExitCode::kClean);
  EXPECT_EQ(RunDu({.path = data_}, terminal), ExitCode::kClean);
  EXPECT_EQ(Fingerprint(data_), before);
}

}  // namespace
}  // namespace duramen::tools
