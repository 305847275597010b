// T1 for WAL files: every cut and many flipped bytes, given to dump and verify.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "tests/tools/answer.h"
#include "tests/tools/files.h"
#include "tests/tools/unflushed.h"
#include "tools/dump.h"
#include "tools/wal_image.h"

namespace duramen::tools {
namespace {

using testing::Answer;
using testing::Ask;
using ::testing::HasSubstr;
using testing::ReadAll;
using testing::TempDir;
using testing::WalFiles;
using testing::WriteAll;

Answer Verify(const std::string& path) { return testing::Verify(path, Format::kCsv); }

Answer Dump(const std::string& path, bool all) {
  const DumpOptions options{.path = path, .all = all, .output = {.format = Format::kJsonl}};
  return Ask([&](Terminal& terminal) { return RunDump(options, terminal); });
}

/// A small directory as a store leaves it, several WAL files long, and what of it is proven.
class Damage : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(testing::WriteUnflushed({.dir = dir_ / "data"}));
    const Result<WalImage> image = ReadWalImage(dir_ / "data");
    ASSERT_TRUE(image.ok());
    ASSERT_GE(image->verdict.chain.size(), 3u) << "the specimen must roll";
    const std::size_t chained = image->verdict.chain.size();
    for (std::size_t i = 0; i < chained; ++i) {
      // The first, and the last two: sealed by a successor, and in service.
      if (i > 0 && i + 2 < chained) continue;
      const wal::ChainFile& chain = image->verdict.chain[i];
      const wal::FileSummary& summary = image->summaries[chain.file];
      Specimen specimen;
      specimen.path = dir_ / "data/wal/" + image->files[chain.file].name;
      specimen.content = ReadAll(specimen.path);
      if (!summary.batches.empty()) specimen.durable.emplace_back(0, wal::kFirstBatchOffset);
      specimen.newest = chain.file == image->verdict.chain.back().file;
      if (summary.header) specimen.proven_by_header = summary.header->durable_upto;
      for (const wal::BatchSummary& batch : summary.batches) {
        specimen.batches.push_back(batch);
        if (batch.number > image->verdict.proven || batch.number > chain.end_batch) continue;
        specimen.durable.emplace_back(batch.offset, batch.offset + batch.bytes);
      }
      specimens_.push_back(std::move(specimen));
    }
  }

  struct Specimen {
    std::string path;
    std::string content;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> durable;  // [begin, end)
    std::vector<wal::BatchSummary> batches;
    std::uint64_t proven_by_header = 0;
    bool newest = false;
    bool Hits(std::uint64_t at) const {
      return std::any_of(durable.begin(), durable.end(),
                         [&](const auto& range) { return at >= range.first && at < range.second; });
    }
    /// Of a sealed file every durable byte is missed. The newest one holds its own proofs: what is
    /// cut off together with them looks torn, which is the limit that the format states.
    bool CutHits(std::uint64_t at) const {
      if (!newest) return !durable.empty() && at < durable.back().second;
      std::uint64_t proven = at >= wal::kBlockBytes ? proven_by_header : 0;
      for (const wal::BatchSummary& batch : batches) {
        if (batch.offset + wal::kBatchHeaderBytes <= at) {
          proven = std::max(proven, batch.durable_upto);
        }
      }
      return std::any_of(batches.begin(), batches.end(), [&](const wal::BatchSummary& batch) {
        return batch.number <= proven && batch.offset + batch.bytes > at;
      });
    }
  };

  TempDir dir_;
  std::vector<Specimen> specimens_;
};

TEST_F(Damage, T1_EveryCutOfEveryWalFileIsJudged) {
  for (const Specimen& specimen : specimens_) {
    for (std::uint64_t cut = 0; cut < specimen.content.size(); cut += 64) {
      SCOPED_TRACE(specimen.path + " cut at " + std::to_string(cut));
      WriteAll(specimen.path, specimen.content.substr(0, cut));
      const Answer verdict = Verify(dir_ / "data");
      EXPECT_EQ(verdict.exit, specimen.CutHits(cut) ? ExitCode::kDamage : ExitCode::kClean)
          << verdict.out;
      const ExitCode dumped = Dump(dir_ / "data", cut % 128 == 0).exit;
      EXPECT_TRUE(dumped == ExitCode::kClean || dumped == ExitCode::kDamage);
      // The same file, alone.
      const Answer alone = Verify(specimen.path);
      EXPECT_TRUE(alone.exit == ExitCode::kClean || alone.exit == ExitCode::kDamage) << alone.err;
      if (HasFatalFailure() || HasNonfatalFailure()) return;
    }
    WriteAll(specimen.path, specimen.content);
  }
}

TEST_F(Damage, T1_W11_AFlippedByteIsFoundWhereverItMatters) {
  Rng rng(7);
  for (const Specimen& specimen : specimens_) {
    // Uneven steps, so that every kind of place is met in the course of the files.
    for (std::uint64_t at = rng.Below(13); at < specimen.content.size(); at += 1 + rng.Below(60)) {
      SCOPED_TRACE(specimen.path + " flipped at " + std::to_string(at));
      std::string flipped = specimen.content;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << rng.Below(8)));
      WriteAll(specimen.path, flipped);
      const Answer verdict = Verify(dir_ / "data");
      EXPECT_EQ(verdict.exit, specimen.Hits(at) ? ExitCode::kDamage : ExitCode::kClean)
          << verdict.out;
      const ExitCode dumped = Dump(dir_ / "data", true).exit;
      EXPECT_TRUE(dumped == ExitCode::kClean || dumped == ExitCode::kDamage);
      if (HasFatalFailure() || HasNonfatalFailure()) return;
    }
    WriteAll(specimen.path, specimen.content);
  }
}

TEST_F(Damage, T1_RandomGarbageInManyPlaces) {
  Rng rng(11);
  for (int round = 0; round < 200; ++round) {
    const Specimen& specimen = specimens_[rng.Below(specimens_.size())];
    std::string garbled = specimen.content;
    for (std::uint64_t i = rng.Below(200); i > 0; --i) {
      garbled[rng.Below(garbled.size())] = static_cast<char>(rng.Below(256));
    }
    WriteAll(specimen.path, garbled);
    const ExitCode verified = Verify(dir_ / "data").exit;
    const ExitCode dumped = Dump(dir_ / "data", true).exit;
    EXPECT_TRUE(verified == ExitCode::kClean || verified == ExitCode::kDamage) << round;
    EXPECT_TRUE(dumped == ExitCode::kClean || dumped == ExitCode::kDamage) << round;
    WriteAll(specimen.path, specimen.content);
  }
}

TEST_F(Damage, TL2_VerifySaysWhoseEntryIsLostAndWhatToType) {
  const Specimen& specimen = specimens_[1];
  // One byte of one line's text; the dump of the whole file says whose it is.
  const std::size_t text_at = specimen.content.find(" line ");
  ASSERT_NE(text_at, std::string::npos);
  const std::string number = specimen.content.substr(text_at - 12, 12);
  std::string record;
  {
    Terminal terminal{Terminal::Captured{}};
    DumpOptions options{.path = dir_ / "data", .kind = "entry", .output = {.format = Format::kCsv}};
    ASSERT_EQ(RunDump(options, terminal), ExitCode::kClean);
    const std::string& out = terminal.captured_out();
    const std::size_t at = out.find(number + " line");
    ASSERT_NE(at, std::string::npos);
    const std::size_t begin = out.rfind('\n', at) + 1;
    record = out.substr(begin, out.find('\n', at) - begin);
  }
  std::vector<std::string> cells;
  for (std::size_t at = 0; cells.size() < 12;) {
    const std::size_t comma = record.find(',', at);
    cells.push_back(record.substr(at, comma - at));
    at = comma + 1;
  }
  const std::string& server = cells[4];
  const std::string& uid = cells[5];
  const std::string& index = cells[10];
  std::string flipped = specimen.content;
  flipped[text_at + 2] ^= 1;
  WriteAll(specimen.path, flipped);
  const Answer verdict = Verify(dir_ / "data");
  EXPECT_EQ(verdict.exit, ExitCode::kDamage);
  EXPECT_EQ(std::count(verdict.out.begin(), verdict.out.end(), '\n'), 2) << verdict.out;
  EXPECT_THAT(verdict.out, HasSubstr("," + server + "," + uid + "," + index + "," + index + ","));
  EXPECT_THAT(verdict.out, HasSubstr(",yes,")) << "it was acknowledged";
  EXPECT_THAT(verdict.err,
              HasSubstr("next: duramen dump " + (dir_ / "data") + " --all --server " + uid));
  // The dump goes on behind the damage and says what it left out.
  const Answer dump = Dump(dir_ / "data", false);
  EXPECT_EQ(dump.exit, ExitCode::kDamage);
  EXPECT_THAT(dump.err, HasSubstr("skipped: "));
  EXPECT_EQ(std::count(dump.out.begin(), dump.out.end(), '\n') + 1, [&] {
    WriteAll(specimen.path, specimen.content);
    const std::string whole = Dump(dir_ / "data", false).out;
    return std::count(whole.begin(), whole.end(), '\n');
  }());
}

TEST_F(Damage, T1_A12_AMissingFileIsDamageAndALoneFileIsNot) {
  const Answer alone = Verify(specimens_[1].path);
  EXPECT_EQ(alone.exit, ExitCode::kClean) << alone.out;
  std::filesystem::remove(specimens_[1].path);
  const Answer verdict = Verify(dir_ / "data");
  EXPECT_EQ(verdict.exit, ExitCode::kDamage);
  EXPECT_THAT(verdict.out, HasSubstr("missing"));
}

TEST_F(Damage, TL1_ACopiedFileUnderAnotherNameIsRead) {
  WriteAll(dir_ / "evidence.bin", specimens_[0].content);
  const Answer dump = Dump(dir_ / "evidence.bin", false);
  EXPECT_EQ(dump.exit, ExitCode::kClean) << dump.err;
  EXPECT_THAT(dump.out, HasSubstr("\"server\":\"load-00000\""));
}

TEST_F(Damage, TL2_SystemAndIdentityAreChecked) {
  EXPECT_EQ(Verify(dir_ / "data").exit, ExitCode::kClean);
  for (const std::string& path : {dir_ / "data/SYSTEM", dir_ / "data/wal/IDENTITY"}) {
    const std::string content = ReadAll(path);
    for (std::uint64_t at = 0; at < content.size(); at += 61) {
      std::string flipped = content;
      flipped[at] ^= 4;
      WriteAll(path, flipped);
      const Answer verdict = Verify(dir_ / "data");
      EXPECT_EQ(verdict.exit, ExitCode::kDamage) << path << " at " << at;
    }
    for (std::uint64_t cut = 0; cut < content.size(); cut += 64) {
      WriteAll(path, content.substr(0, cut));
      EXPECT_EQ(Verify(dir_ / "data").exit, ExitCode::kDamage) << path << " cut at " << cut;
    }
    WriteAll(path, content);
  }
}

}  // namespace
}  // namespace duramen::tools
