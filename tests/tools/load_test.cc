#include "tools/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/tools/answer.h"
#include "tests/tools/files.h"
#include "tools/dump.h"
#include "tools/read_back.h"
#include "tools/server_names.h"
#include "tools/stat.h"
#include "tools/store_image.h"
#include "tools/verify.h"

namespace duramen::tools {
namespace {

using testing::Answer;
using testing::Ask;
using ::testing::HasSubstr;
using testing::NumberedLines;
using testing::TempDir;
using testing::WriteAll;

class Load : public ::testing::Test {
 protected:
  Answer Run(LoadOptions options) {
    options.dir = dir_ / "data";
    if (options.file.empty()) options.file = dir_ / "input";
    options.settings.flags.emplace_back("wal_max_size_bytes", "64KiB");
    options.settings.flags.emplace_back("wal_max_files", "64");
    return Ask([&](Terminal& terminal) { return RunLoad(options, terminal); });
  }
  std::string Dump(DumpOptions options) {
    options.path = dir_ / "data";
    Terminal terminal{Terminal::Captured{}};
    EXPECT_EQ(RunDump(options, terminal), ExitCode::kClean) << terminal.captured_err();
    return terminal.captured_out();
  }
  std::string Compare(const std::string& text) {
    ReadBack lines;
    const std::string dump = Dump({.output = {.format = Format::kJsonl}});
    for (std::size_t at = 0; at < dump.size();) {
      const std::size_t end = dump.find('\n', at);
      lines.Add(std::string_view(dump).substr(at, end - at));
      at = end + 1;
    }
    const InputText input(text);
    return lines.Compare(input, input.line_count());
  }

  TempDir dir_;
};

TEST_F(Load, TL1_WhatGoesInComesOutOfTheDump) {
  // Empty lines, bytes that are no text, no newline at the end.
  const std::string text =
      NumberedLines(500) + "\n\n" + std::string("\xff\x00\x1b odd\r\nlast", 13);
  WriteAll(dir_ / "input", text);
  const Answer answer = Run({.servers = 7, .writers = 2, .acks = true});
  ASSERT_EQ(answer.exit, ExitCode::kClean) << answer.err;
  EXPECT_EQ(Compare(text), "");
  EXPECT_EQ(std::count(answer.out.begin(), answer.out.end(), '\n'), 504);
}

// What was never written of a WAL file is a hole at its end, and no cut.
TEST_F(Load, C14_OnlyAFileThatWasCutIsSaidToBe) {
  WriteAll(dir_ / "input", NumberedLines(100));
  const std::string data = dir_ / "data";
  LoadOptions options{.dir = data, .file = dir_ / "input", .servers = 3};
  options.settings.flags.emplace_back("wal_max_size_bytes", "4MiB");
  ASSERT_EQ(Ask([&](Terminal& terminal) { return RunLoad(options, terminal); }).exit,
            ExitCode::kClean);
  EXPECT_THAT(testing::Verify(data).text(), HasSubstr("0 findings"));
  for (const std::string& file : testing::WalFiles(data)) {
    std::filesystem::resize_file(file, (4u << 20) - 4096);
  }
  const Answer cut = testing::Verify(data);
  EXPECT_EQ(cut.exit, ExitCode::kClean);
  EXPECT_THAT(cut.text(), HasSubstr("it lacks 4096 bytes of its size"));
  EXPECT_EQ(Ask([&](Terminal& to) { return RunVerify({.path = data, .strict = true}, to); }).exit,
            ExitCode::kDamage);
}

TEST_F(Load, TL5_AcknowledgementsAreInOrder) {
  WriteAll(dir_ / "input", NumberedLines(300));
  const Answer answer = Run({.servers = 5, .in_flight = 16, .acks = true});
  ASSERT_EQ(answer.exit, ExitCode::kClean) << answer.err;
  std::string expected;
  for (int i = 1; i <= 300; ++i) expected += "ack " + std::to_string(i) + "\n";
  EXPECT_EQ(answer.out, expected);
}

TEST_F(Load, TL5_ResumeGoesOnAfterTheLastDurableLine) {
  const std::string text = NumberedLines(400);
  WriteAll(dir_ / "part", NumberedLines(150));
  WriteAll(dir_ / "input", text);
  ASSERT_EQ(Run({.file = dir_ / "part", .servers = 9}).exit, ExitCode::kClean);
  const Answer refused = Run({.servers = 9});
  EXPECT_EQ(refused.exit, ExitCode::kRefused);
  EXPECT_THAT(refused.err, HasSubstr("add --resume"));
  const Answer answer = Run({.servers = 9, .acks = true, .resume = true});
  ASSERT_EQ(answer.exit, ExitCode::kClean) << answer.err;
  EXPECT_THAT(answer.out, ::testing::StartsWith("ack 151\n"));
  EXPECT_EQ(Compare(text), "");
  EXPECT_EQ(Run({.servers = 9, .resume = true}).exit, ExitCode::kClean) << "nothing is left to do";
}

TEST_F(Load, TL5_ResumeRefusesAnotherInput) {
  WriteAll(dir_ / "input", NumberedLines(100));
  ASSERT_EQ(Run({.servers = 4}).exit, ExitCode::kClean);
  std::string other = NumberedLines(100);
  other.replace(other.find("line 100"), 8, "LINE 100");
  WriteAll(dir_ / "other", other);
  EXPECT_EQ(Run({.file = dir_ / "other", .servers = 4, .resume = true}).exit, ExitCode::kUsage);
  WriteAll(dir_ / "short", NumberedLines(50));
  EXPECT_EQ(Run({.file = dir_ / "short", .servers = 4, .resume = true}).exit, ExitCode::kUsage);
  const Answer servers = Run({.servers = 5, .resume = true});
  EXPECT_EQ(servers.exit, ExitCode::kUsage);
  EXPECT_THAT(servers.err, HasSubstr("same --servers"));
}

TEST_F(Load, TL5_AWalThatIsFullIsNoSpace) {
  WriteAll(dir_ / "input", NumberedLines(4));
  ASSERT_EQ(Run({.servers = 4}).exit, ExitCode::kClean);
  // A file where a server's segments belong: they cannot be written, so the WAL has to keep all.
  const Result<StoreImage> image = ReadStoreImage(dir_ / "data");
  ASSERT_TRUE(image.ok());
  const ServerNames names = ServerNames::Of(*image, {});
  for (const ServerUid& uid : names.seen()) {
    WriteAll(dir_ / "data/servers/" + uid.ToString(), "in the way");
  }
  WriteAll(dir_ / "input", NumberedLines(20'000));
  LoadOptions options{.servers = 4, .resume = true};
  options.dir = dir_ / "data";
  options.file = dir_ / "input";
  options.overloaded_ms = 300;
  options.settings.flags = {{"wal_max_size_bytes", "64KiB"}, {"wal_max_files", "4"}};
  Terminal terminal{Terminal::Captured{}};
  EXPECT_EQ(RunLoad(options, terminal), ExitCode::kNoSpace);
  EXPECT_THAT(terminal.captured_err(), HasSubstr("--wal-max-files"));
}

TEST_F(Load, T4_BadNumbersAndPlaces) {
  WriteAll(dir_ / "input", "a\n");
  EXPECT_EQ(Run({.servers = 0}).exit, ExitCode::kUsage);
  EXPECT_EQ(Run({.servers = 1, .writers = 2}).exit, ExitCode::kUsage);
  EXPECT_EQ(Run({.file = dir_ / "none", .servers = 1}).exit, ExitCode::kUnreadable);
  EXPECT_EQ(Run({.file = dir_.path(), .servers = 1}).exit, ExitCode::kUsage);
}

TEST_F(Load, T4_ARefusedWalDirLeavesNoDataDirectory) {
  WriteAll(dir_ / "input", "a\n");
  const Answer answer = Run({.servers = 1, .settings = {.flags = {{"wal_dir", "elsewhere"}}}});
  EXPECT_EQ(answer.exit, ExitCode::kUsage);
  EXPECT_THAT(answer.err, HasSubstr("wal_dir 'elsewhere' is not absolute"));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "data"));
}

TEST_F(Load, TL1_DumpFiltersByServerIndexKindAndTerm) {
  WriteAll(dir_ / "input", NumberedLines(60));
  ASSERT_EQ(Run({.servers = 2}).exit, ExitCode::kClean);
  const auto rows = [&](DumpOptions options) {
    options.output.format = Format::kJsonl;
    const std::string dump = Dump(options);
    EXPECT_THAT(dump, HasSubstr("{\"v\":1,\"kind\":\"record_summary\",")) << "the last line";
    return std::count(dump.begin(), dump.end(), '\n') - 1;
  };
  const auto all = rows({.kind = "entry"});
  EXPECT_EQ(all, 60);
  EXPECT_EQ(rows({.kind = "128"}), 60);
  EXPECT_EQ(rows({.kind = "129"}), 0);
  EXPECT_EQ(rows({.server = "load-00000", .kind = "entry"}) +
                rows({.server = "load-00001", .kind = "entry"}),
            60);
  EXPECT_EQ(rows({.server = "load-00000", .from = 3, .to = 7}), 5);
  EXPECT_EQ(rows({.term = 1}), 60);
  EXPECT_EQ(rows({.term = 2}), 0);
  EXPECT_GE(rows({.kind = "identity"}), 2);
  EXPECT_EQ(rows({.server = "load-00001", .from = 2, .to = 2, .kind = "entry"}), 1);
}

TEST_F(Load, TL1_DumpRawSortedIsTheInput) {
  const std::string text = NumberedLines(200);
  WriteAll(dir_ / "input", text);
  ASSERT_EQ(Run({.servers = 3}).exit, ExitCode::kClean);
  const std::string raw = Dump({.output = {.format = Format::kRaw}});
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < raw.size();) {
    const std::size_t end = raw.find('\n', at);
    lines.push_back(raw.substr(at, end - at));
    at = end + 1;
  }
  std::sort(lines.begin(), lines.end());
  std::string together;
  for (const std::string& line : lines) together += line.substr(13) + "\n";
  EXPECT_EQ(together, text);
}

TEST_F(Load, TL4_StatAndNamesCountWhatIsThere) {
  WriteAll(dir_ / "input", NumberedLines(2000));
  ASSERT_EQ(Run({.servers = 3}).exit, ExitCode::kClean);
  Terminal servers{Terminal::Captured{}};
  StatOptions options{
      .path = dir_ / "data", .by = "server", .sort = "entries", .output = {.format = Format::kCsv}};
  EXPECT_EQ(RunStat(options, servers), ExitCode::kClean);
  EXPECT_THAT(servers.captured_out(), HasSubstr("load-00002"));
  Terminal files{Terminal::Captured{}};
  EXPECT_EQ(RunStat({.path = dir_ / "data"}, files), ExitCode::kClean);
  EXPECT_THAT(files.captured_out(), HasSubstr("in service"));
  options.sort = "colour";
  EXPECT_EQ(RunStat(options, files), ExitCode::kUsage);
  Terminal names{Terminal::Captured{}};
  EXPECT_EQ(RunNames({.path = dir_ / "data"}, names), ExitCode::kClean);
  EXPECT_THAT(names.captured_out(), HasSubstr("3 servers, 0 of them deleted: clean"));
}

}  // namespace
}  // namespace duramen::tools
