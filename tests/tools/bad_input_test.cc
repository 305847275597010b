// T4: wrong paths, versions and permissions get one sentence that says what, and what to do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "tests/tools/files.h"
#include "tests/wal/wal_image.h"
#include "tools/dump.h"
#include "tools/load.h"
#include "tools/stat.h"
#include "tools/verify.h"

namespace duramen::tools {
namespace {

using testing::AsString;
using testing::TempDir;
using testing::WriteAll;
using ::testing::HasSubstr;

/// All offline verbs on one path: the same exit code and a sentence with a hint.
void ExpectRefusal(const std::string& path, ExitCode exit, const std::string& sentence) {
  SCOPED_TRACE(path);
  const auto expect = [&](ExitCode answered, const Terminal& terminal) {
    EXPECT_EQ(answered, exit);
    EXPECT_THAT(terminal.captured_err(), HasSubstr(sentence));
    EXPECT_THAT(terminal.captured_err(), HasSubstr("error: "));
    EXPECT_EQ(terminal.captured_out(), "");
  };
  Terminal dump{Terminal::Captured{}};
  expect(RunDump({.path = path}, dump), dump);
  Terminal verify{Terminal::Captured{}};
  expect(RunVerify({.path = path}, verify), verify);
  Terminal stat{Terminal::Captured{}};
  expect(RunStat({.path = path}, stat), stat);
  Terminal names{Terminal::Captured{}};
  expect(RunNames({.path = path}, names), names);
}

TEST(BadInput, T4_PathsThatAreNotThereOrNotOurs) {
  const TempDir dir;
  ExpectRefusal(dir / "none", ExitCode::kUnreadable, "none");
  ExpectRefusal(dir.path(), ExitCode::kUnreadable, "holds no WAL");
  WriteAll(dir / "notes.txt", "just text\n");
  ExpectRefusal(dir / "notes.txt", ExitCode::kUnreadable, "is not a WAL file");
}

TEST(BadInput, T4_NoPermission) {
  const TempDir dir;
  std::filesystem::create_directories(dir / "data/wal");
  WriteAll(dir / "data/wal/0000000000000001.wal", "x");
  ASSERT_EQ(::chmod((dir / "data/wal/0000000000000001.wal").c_str(), 0), 0);
  ASSERT_EQ(::chmod((dir / "data/wal").c_str(), 0), 0);
  if (::geteuid() != 0) {  // Root may read it all the same; then it is an unused file.
    ExpectRefusal(dir / "data", ExitCode::kUnreadable, "denied");
  } else {
    Terminal terminal{Terminal::Captured{}};
    EXPECT_EQ(RunVerify({.path = dir / "data"}, terminal), ExitCode::kDamage);
  }
  ASSERT_EQ(::chmod((dir / "data/wal").c_str(), 0700), 0);
}

TEST(BadInput, T4_AFileOfANewerFormatIsRefusedByName) {
  const TempDir dir;
  wal::testing::ImageBuilder image(1, 99);
  image.Header({.first_batch = 1});
  for (std::uint64_t copy = 0; copy < wal::kHeaderCopies; ++copy) {
    const auto block = std::span(image.bytes).subspan(copy * wal::kBlockBytes, wal::kBlockBytes);
    StoreLe(block.data() + 8, std::uint32_t{7});
    const std::uint64_t seed = SeedAt(FileSeed(wal::testing::TestSystem(), FileKind::kWal, 99),
                                      copy * wal::kBlockBytes);
    StoreLe(block.data() + 16, Checksum(block.subspan(24), Checksum(block.first(16), seed)));
  }
  std::filesystem::create_directories(dir / "data/wal");
  WriteAll(dir / "data/wal/0000000000000001.wal", AsString(image.bytes));
  ExpectRefusal(dir / "data", ExitCode::kUnknownVersion, "version 7");
  ExpectRefusal(dir / "data/wal/0000000000000001.wal", ExitCode::kUnknownVersion, "version 7");
}

TEST(BadInput, T4_AnUnknownServerOrKindNamesWhatThereIs) {
  const TempDir dir;
  WriteAll(dir / "input", "a\nb\nc\n");
  LoadOptions load{.dir = dir / "data", .file = dir / "input", .servers = 2};
  load.settings.flags = {{"wal_max_size_bytes", "64KiB"}};
  Terminal terminal{Terminal::Captured{}};
  ASSERT_EQ(RunLoad(load, terminal), ExitCode::kClean) << terminal.captured_err();
  Terminal server{Terminal::Captured{}};
  EXPECT_EQ(RunDump({.path = dir / "data", .server = "load-0007"}, server), ExitCode::kUsage);
  EXPECT_THAT(server.captured_err(), HasSubstr("did you mean load-0000"));
  EXPECT_THAT(server.captured_err(), HasSubstr("duramen names"));
  Terminal kind{Terminal::Captured{}};
  EXPECT_EQ(RunDump({.path = dir / "data", .kind = "entries"}, kind), ExitCode::kUsage);
  EXPECT_THAT(kind.captured_err(), HasSubstr("a row kind such as vote"));
  Terminal by{Terminal::Captured{}};
  EXPECT_EQ(RunStat({.path = dir / "data", .by = "moon"}, by), ExitCode::kUsage);
}

TEST(BadInput, W22_EmptyFilesAndFilesOfZerosAreUnusedSpares) {
  const TempDir dir;
  std::filesystem::create_directories(dir / "data/wal");
  WriteAll(dir / "data/wal/0000000000000001.wal", "");
  WriteAll(dir / "data/wal/0000000000000002.wal", std::string(65536, '\0'));
  Terminal verify{Terminal::Captured{}};
  EXPECT_EQ(RunVerify({.path = dir / "data"}, verify), ExitCode::kClean) << verify.captured_err();
  EXPECT_THAT(verify.captured_out(), HasSubstr("2 files: clean"));
  Terminal empty{Terminal::Captured{}};
  EXPECT_EQ(RunDump({.path = dir / "data/wal/0000000000000001.wal"}, empty), ExitCode::kClean);
  Terminal zeros{Terminal::Captured{}};
  EXPECT_EQ(RunDump({.path = dir / "data/wal/0000000000000002.wal"}, zeros), ExitCode::kClean);
}

}  // namespace
}  // namespace duramen::tools
