// T5 and T6: names and files made by an enemy. Nothing on disk changes, time and memory are
// bounded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "meta/row.h"
#include "tests/tools/files.h"
#include "tests/wal/wal_image.h"
#include "tools/dump.h"
#include "tools/stat.h"
#include "tools/verify.h"

namespace duramen::tools {
namespace {

using testing::AsString;
using testing::Fingerprint;
using testing::TempDir;
using testing::WriteAll;
using ::testing::HasSubstr;
using ::testing::Not;

/// Runs every offline verb; the exits, in order: dump, dump --all, verify, stat, names.
std::vector<ExitCode> RunAll(const std::string& path, std::string* out = nullptr) {
  std::vector<ExitCode> exits;
  Terminal terminal{Terminal::Captured{}};
  exits.push_back(RunDump({.path = path}, terminal));
  exits.push_back(RunDump({.path = path, .all = true}, terminal));
  exits.push_back(RunVerify({.path = path}, terminal));
  exits.push_back(RunStat({.path = path}, terminal));
  exits.push_back(RunNames({.path = path}, terminal));
  if (out != nullptr) *out = terminal.captured_out() + terminal.captured_err();
  return exits;
}

/// Returns the directory of WAL files.
std::string MakeDirectory(const TempDir& dir, const std::vector<std::byte>& file) {
  std::filesystem::create_directories(dir / "wal");
  WriteAll(dir / "wal/0000000000000001.wal", AsString(file));
  return dir / "wal";
}

TEST(Hostile, T5_NamesAreEncodedAndNeverAPath) {
  const TempDir dir;
  const std::string kNames[] = {"../../etc/passwd", "a\x1b[2Jb", "line\nbreak", "\xff\xfe",
                                std::string(255, 'n'), "comma,\"quote\""};
  wal::testing::ImageBuilder image(1, 5, 1 << 20);
  image.Header({.first_batch = 1});
  const wal::FileContext context = image.context();
  std::vector<std::byte> buffer(1 << 19);
  wal::BatchEncoder encoder(context, wal::kFirstBatchOffset, buffer);
  for (std::uint32_t i = 0; i < std::size(kNames); ++i) {
    const wal::RecordOwner owner = wal::testing::OwnerOf(i);
    encoder.AddBinding({i, owner.cluster_id, owner.uid});
  }
  for (std::uint32_t i = 0; i < std::size(kNames); ++i) {
    const wal::RecordOwner owner = wal::testing::OwnerOf(i);
    encoder.BeginRun({.slot = i, .kind = wal::RunKind::kRows}, owner.uid);
    std::vector<std::byte> payload(8);
    StoreLe(payload.data(), std::uint64_t{1});
    const std::vector<std::byte> row = meta::EncodeRow(
        meta::IdentityRow{.uid = owner.uid, .name = kNames[i], .node = "", .cluster_id = 1,
                          .incarnation = i});
    payload.insert(payload.end(), row.begin(), row.end());
    const EntryIdentity identity{owner.cluster_id, 0, 0, 1};
    ASSERT_TRUE(encoder.AddRecord({.identity = identity,
                                   .payload = payload.data(),
                                   .payload_bytes = static_cast<std::uint32_t>(payload.size()),
                                   .entry_checksum = EntryChecksum(identity, payload)}));
    (void)encoder.EndRun();
  }
  wal::BatchHeader header{.number = 1, .boot = 1};
  const Bytes batch = encoder.Finish(header);
  std::copy(batch.begin(), batch.end(), image.bytes.begin() + wal::kFirstBatchOffset);
  const std::string path = MakeDirectory(dir, image.bytes);
  const auto before = Fingerprint(dir.path());
  std::string out;
  for (const ExitCode exit : RunAll(path, &out)) EXPECT_EQ(exit, ExitCode::kClean) << out;
  EXPECT_EQ(Fingerprint(dir.path()), before);
  EXPECT_THAT(out, HasSubstr("a\\x1b[2Jb"));
  EXPECT_THAT(out, Not(HasSubstr("\x1b[2J")));
  EXPECT_THAT(out, HasSubstr("../../etc/passwd")) << "shown as it is: it is a name, not a path";
  Terminal csv{Terminal::Captured{}};
  EXPECT_EQ(RunNames({.path = path, .output = {.format = Format::kCsv}}, csv), ExitCode::kClean);
  EXPECT_THAT(csv.captured_out(), HasSubstr("\"comma,\"\"quote\"\"\""));
}

TEST(Hostile, T6_LinksAndDevicesAreNotFollowed) {
  const TempDir dir;
  wal::testing::ImageBuilder image(1, 5);
  image.Header({.first_batch = 1});
  (void)image.Next({{.log = 0, .first = 1, .payloads = {"secret"}}});
  WriteAll(dir / "outside.wal", AsString(image.bytes));
  std::filesystem::create_directories(dir / "data/wal");
  std::filesystem::create_symlink(dir / "outside.wal", dir / "data/wal/0000000000000001.wal");
  ASSERT_EQ(::mkfifo((dir / "data/wal/0000000000000002.wal").c_str(), 0600), 0);
  std::filesystem::create_directory(dir / "data/wal/0000000000000003.wal");
  std::string out;
  for (const ExitCode exit : RunAll(dir / "data", &out)) EXPECT_EQ(exit, ExitCode::kClean) << out;
  EXPECT_THAT(out, Not(HasSubstr("secret")));
  for (const char* name : {"1", "2", "3"}) {
    Terminal terminal{Terminal::Captured{}};
    const std::string path = dir / "data/wal/000000000000000" + name + ".wal";
    EXPECT_NE(RunDump({.path = path}, terminal), ExitCode::kClean) << path;
    EXPECT_THAT(terminal.captured_out(), Not(HasSubstr("secret")));
  }
}

TEST(Hostile, T6_ATerabyteOfHolesCostsNothing) {
  const TempDir dir;
  wal::testing::ImageBuilder image(1, 5);
  image.Header({.first_batch = 1});
  (void)image.Next({{.log = 0, .first = 1, .payloads = {"one"}}});
  const std::string path = MakeDirectory(dir, image.bytes);
  ASSERT_EQ(::truncate((path + "/0000000000000001.wal").c_str(), 1LL << 40), 0);
  std::string out;
  for (const ExitCode exit : RunAll(path, &out)) EXPECT_EQ(exit, ExitCode::kClean) << out;
  // All holes, and named like a spare.
  WriteAll(path + "/0000000000000002.wal", "");
  ASSERT_EQ(::truncate((path + "/0000000000000002.wal").c_str(), 1LL << 42), 0);
  for (const ExitCode exit : RunAll(path, &out)) EXPECT_EQ(exit, ExitCode::kClean) << out;
}

/// Good checksums over numbers that no store writes.
TEST(Hostile, T6_NumbersOfTwoToTheSixtyThree) {
  const std::uint64_t kNumbers[] = {0, 1, 2, 1ULL << 32, 1ULL << 63, UINT64_MAX - 1, UINT64_MAX};
  for (const std::uint64_t first_batch : kNumbers) {
    for (const std::uint64_t durable_upto : kNumbers) {
      for (const std::uint64_t predecessor : {std::uint64_t{0}, UINT64_MAX}) {
        SCOPED_TRACE(std::to_string(first_batch) + " " + std::to_string(durable_upto));
        const TempDir dir;
        wal::testing::ImageBuilder image(1, 5);
        image.Header({.predecessor_number = predecessor,
                      .predecessor_end = durable_upto,
                      .oldest_live = predecessor,
                      .first_batch = first_batch,
                      .durable_upto = durable_upto});
        (void)image.Batch({.number = first_batch, .durable_upto = durable_upto},
                          {{.log = 0, .first = 1, .payloads = {"one"}}});
        (void)image.Batch({.number = durable_upto, .durable_upto = first_batch},
                          {{.log = 0, .first = 1ULL << 63, .payloads = {"two"}}});
        for (const ExitCode exit : RunAll(MakeDirectory(dir, image.bytes))) {
          EXPECT_TRUE(exit == ExitCode::kClean || exit == ExitCode::kDamage);
        }
      }
    }
  }
}

TEST(Hostile, T6_IndexesAtTheEndOfTheWorld) {
  const TempDir dir;
  wal::testing::ImageBuilder image(1, 5);
  image.Header({.first_batch = 1});
  const Index kIndexes[] = {0, 1, 1ULL << 63, UINT64_MAX - 1};
  const wal::RunKind kKinds[] = {wal::RunKind::kNext, wal::RunKind::kOverwrite, wal::RunKind::kJump,
                                 wal::RunKind::kSparse};
  const wal::RunKind kMarks[] = {wal::RunKind::kTruncateSuffix, wal::RunKind::kReset,
                                 wal::RunKind::kFloor};
  std::vector<wal::testing::RunSpec> runs;
  for (const Index index : kIndexes) {
    for (const wal::RunKind kind : kKinds) {
      runs.push_back({.log = 0, .kind = kind, .first = index, .term = index, .payloads = {"x"}});
    }
    for (const wal::RunKind mark : kMarks) runs.push_back({.log = 0, .kind = mark, .first = index});
  }
  (void)image.Next(runs);
  (void)image.Next({{.log = 0, .kind = wal::RunKind::kBounds, .first = 5, .payloads = {"short"}}});
  (void)image.Next(
      {{.log = 0, .kind = wal::RunKind::kRows, .payloads = {"", "1234567", "12345678"}}});
  for (const ExitCode exit : RunAll(MakeDirectory(dir, image.bytes))) {
    EXPECT_TRUE(exit == ExitCode::kClean || exit == ExitCode::kDamage);
  }
}

}  // namespace
}  // namespace duramen::tools
