// Every kind of file of a store, spoilt in every way that a disk, an operator or an enemy has: the
// offline verbs answer with the right exit and change nothing, and a start contains it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <set>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/posix_io.h"
#include "segments/format.h"
#include "tests/tools/files.h"
#include "tests/tools/flushed_store.h"
#include "tests/tools/unflushed.h"
#include "tools/du.h"
#include "tools/dump.h"
#include "tools/stat.h"
#include "tools/store_image.h"
#include "tools/why_retained.h"

namespace duramen::tools {
namespace {

namespace fs = std::filesystem;
using testing::Answer;
using testing::Ask;
using testing::Fingerprint;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::NumberedLines;
using testing::ReadAll;
using testing::TempDir;
using testing::Verify;
using testing::WalFiles;
using testing::WriteAll;

enum class Part { kWal, kSystem, kIdentity, kSegment, kCheckpoint, kAttempt, kLock };
constexpr Part kParts[] = {Part::kWal,        Part::kSystem,  Part::kIdentity, Part::kSegment,
                           Part::kCheckpoint, Part::kAttempt, Part::kLock};

enum class Spoilt {
  kEmpty,
  kCut,
  kFlipped,
  kGarbage,
  kOfAnotherSystem,
  kOfAnotherKind,
  kSymlink,
  kDirectory,
  kHoles,
  kGone
};
constexpr Spoilt kWays[] = {
    Spoilt::kEmpty,           Spoilt::kCut,           Spoilt::kFlipped, Spoilt::kGarbage,
    Spoilt::kOfAnotherSystem, Spoilt::kOfAnotherKind, Spoilt::kSymlink, Spoilt::kDirectory,
    Spoilt::kHoles,           Spoilt::kGone};
const char* const kWayNames[] = {
    "empty",        "cut",     "flipped",   "garbage", "another system's",
    "another kind", "symlink", "directory", "holes",   "gone"};

constexpr std::uint64_t kLines = 9'000;
constexpr std::uint64_t kFlushedLines = 7'000;  // as many of them as may be flushed
constexpr std::uint64_t kServers = 3;
constexpr std::uint64_t kWalFileBytes = 64 << 10;

Answer Load(const std::string& dir, const std::string& input) {
  return testing::LoadFlushed(
      {.dir = dir, .file = input, .servers = kServers, .resume = true, .events = true});
}

class ForeignFile : public ::testing::Test {
 protected:
  /// How much the flusher does while lines are loaded is a matter of threads, so the last lines go
  /// into WAL files that it does not get to see: one of them is full, and a later one proves it.
  static void MakeStore(const std::string& dir) {
    const Answer load = Load(dir, *made_ / "first lines");
    ASSERT_EQ(load.exit, ExitCode::kClean) << load.text();
    ASSERT_NO_FATAL_FAILURE(
        testing::FlushUntil(dir, {}, [&] { return LinesInSegments(dir) > kFlushedLines / 2; }));
    ASSERT_NO_FATAL_FAILURE(testing::WriteUnflushed({.dir = dir,
                                                     .lines = kLines,
                                                     .first_line = kFlushedLines + 1,
                                                     .servers = kServers,
                                                     .file_size_bytes = kWalFileBytes}));
    ASSERT_EQ(Verify(dir).exit, ExitCode::kClean);
    ASSERT_FALSE(FullWalFile(dir).empty());
  }
  static std::size_t LinesInSegments(const std::string& dir) {
    const Answer dump = testing::Ask([&](Terminal& terminal) {
      return RunDump({.path = dir, .kind = "entry", .output = {.format = Format::kJsonl}},
                     terminal);
    });
    std::size_t lines = 0;
    const std::string_view mark = "\"source\":\"segment\"";
    for (std::size_t at = dump.out.find(mark); at != std::string::npos;
         at = dump.out.find(mark, at + 1)) {
      ++lines;
    }
    return lines;
  }
  static void SetUpTestSuite() {
    made_ = std::make_unique<TempDir>();
    WriteAll(*made_ / "input", NumberedLines(kLines));
    WriteAll(*made_ / "first lines", NumberedLines(kFlushedLines));
    for (const char* name : {"own", "other"}) {
      ASSERT_NO_FATAL_FAILURE(MakeStore(*made_ / name));
    }
  }
  static void TearDownTestSuite() { made_.reset(); }

  void SetUp() override { Renew(); }
  void Renew() {
    fs::remove_all(data_);
    fs::remove_all(dir_ / "aside");
    fs::copy(*made_ / "own", data_, fs::copy_options::recursive);
  }

  /// The first WAL file whose batches a start needs, that is full of them and not the last such
  /// one: whatever it loses, the next one proves that it was there.
  static std::string FullWalFile(const std::string& data) {
    const Result<StoreImage> image = ReadStoreImage(data);
    EXPECT_TRUE(image.ok());
    const auto& batches = image->wal.verdict.batches;
    for (const wal::JudgedBatch& batch : batches) {
      const bool full = batch.offset + batch.bytes > kWalFileBytes / 4 * 3;
      if (full && batch.file != batches.back().file) {
        return data + "/wal/" + image->wal.files[batch.file].name;
      }
    }
    return "";
  }

  /// A WAL file that counts; the first segment; the newer checkpoint.
  static std::string PathIn(const std::string& data, Part part) {
    switch (part) {
      case Part::kWal:
        return FullWalFile(data);
      case Part::kSystem:
        return data + "/SYSTEM";
      case Part::kIdentity:
        return data + "/wal/IDENTITY";
      case Part::kSegment:
        for (const auto& server : fs::directory_iterator(data + "/servers")) {
          return server.path().string() + "/00000001.seg";
        }
        return "";
      case Part::kCheckpoint:
        return data + "/meta/checkpoint-a";
      case Part::kAttempt:
        return data + "/ATTEMPT";
      case Part::kLock:
        return data + "/LOCK";
    }
    return "";
  }

  /// In what counts: a segment may end in bytes of a flush that did not come to its end, and the
  /// rest of its entries be in the next one.
  static std::size_t CutAt(Part part, std::size_t size) {
    if (part == Part::kSegment) return std::min<std::size_t>(size / 3, 6000);
    return part == Part::kCheckpoint ? size / 20 : size / 3;
  }

  void Spoil(const std::string& path, Part part, Spoilt way) const {
    const std::string content = ReadAll(path);
    const std::string other = PathIn(*made_ / "other", part);
    std::string spoilt = content;
    switch (way) {
      case Spoilt::kEmpty:
        return WriteAll(path, "");
      case Spoilt::kCut:
        return WriteAll(path, content.substr(0, CutAt(part, content.size())));
      case Spoilt::kFlipped:
        for (std::size_t at = 20; at < spoilt.size(); at += 997) spoilt[at] ^= 4;
        return WriteAll(path, spoilt);
      case Spoilt::kGarbage:
        for (std::size_t at = 0; at < spoilt.size(); ++at) {
          spoilt[at] = static_cast<char>(at * at >> 3);
        }
        return WriteAll(path, spoilt);
      case Spoilt::kOfAnotherSystem:
        return WriteAll(path, ReadAll(other));
      case Spoilt::kOfAnotherKind:
        return WriteAll(
            path, ReadAll(PathIn(*made_ / "own",
                                 part == Part::kSegment ? Part::kCheckpoint : Part::kSegment)));
      case Spoilt::kSymlink:
        fs::rename(path, dir_ / "aside");
        return fs::create_symlink(dir_ / "aside", path);
      case Spoilt::kDirectory:
        fs::remove(path);
        fs::create_directory(path);
        return;
      case Spoilt::kHoles:
        ASSERT_EQ(::truncate(path.c_str(), 1LL << 40), 0);
        return;
      case Spoilt::kGone:
        fs::remove(path);
    }
  }

  /// Calls `check` with the path of each kind of file, spoilt in each way in a new store.
  template <typename Check>
  void ForEachSpoilt(Check check) {
    for (const Part part : kParts) {
      for (const Spoilt way : kWays) {
        Renew();
        const std::string path = PathIn(data_, part);
        SCOPED_TRACE(path + " " + kWayNames[static_cast<int>(way)]);
        Spoil(path, part, way);
        check(path, part, way);
      }
    }
    EXPECT_LT(PeakBytes(), 1ULL << 30);
  }

  /// Every offline verb on the directory.
  std::vector<Answer> AskAll() const {
    return {Ask([&](Terminal& to) { return RunDump({.path = data_}, to); }),
            Ask([&](Terminal& to) { return RunDump({.path = data_, .all = true}, to); }),
            Ask([&](Terminal& to) { return RunStat({.path = data_}, to); }),
            Ask([&](Terminal& to) { return RunStat({.path = data_, .by = "server"}, to); }),
            Ask([&](Terminal& to) { return RunNames({.path = data_}, to); }),
            Ask([&](Terminal& to) { return RunDu({.path = data_}, to); }),
            Ask([&](Terminal& to) {
              return RunWhyRetained({.path = data_, .what = "load-00001"}, to);
            })};
  }

  static std::uint64_t PeakBytes() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::uint64_t>(usage.ru_maxrss) << 10;
  }

  static std::unique_ptr<TempDir> made_;
  TempDir dir_;
  std::string data_ = dir_ / "data";
};
std::unique_ptr<TempDir> ForeignFile::made_;

/// What `verify` must say; the room behind a file is nobody's business but in the small files.
ExitCode VerifyExit(Part part, Spoilt way) {
  if (part == Part::kAttempt || part == Part::kLock) return ExitCode::kClean;
  const bool small = part == Part::kSystem || part == Part::kIdentity;
  return way == Spoilt::kHoles && !small ? ExitCode::kClean : ExitCode::kDamage;
}

/// Its last line says what its exit says, and of a file that it cannot read it says so.
void CheckDump(const Answer& dump, Part part, Spoilt way) {
  const std::size_t last_line = dump.out.rfind('\n', dump.out.size() - 2) + 1;
  EXPECT_THAT(dump.out.substr(last_line),
              HasSubstr(dump.exit == ExitCode::kClean ? ": clean" : ": damage"));
  if (part != Part::kCheckpoint || way == Spoilt::kHoles || way == Spoilt::kGone) return;
  EXPECT_EQ(dump.exit, ExitCode::kDamage);
  EXPECT_THAT(dump.err, HasSubstr("skipped: all of meta/checkpoint-a, "));
}

TEST_F(ForeignFile, T1_T4_T6_EveryKindSpoiltInEveryWayForEveryVerb) {
  ForEachSpoilt([&](const std::string& path, Part part, Spoilt way) {
    const auto before = Fingerprint(dir_.path());
    const Answer verify = Verify(data_);
    EXPECT_EQ(verify.exit, VerifyExit(part, way)) << verify.text();
    const std::vector<Answer> answers = AskAll();
    for (const Answer& answer : answers) {
      EXPECT_TRUE(answer.exit == ExitCode::kClean || answer.exit == ExitCode::kDamage)
          << answer.text().substr(0, 2000);
    }
    CheckDump(answers.front(), part, way);
    // The file by its own name.
    for (const ExitCode exit :
         {Verify(path).exit, Ask([&](Terminal& to) { return RunDump({.path = path}, to); }).exit}) {
      EXPECT_TRUE(exit == ExitCode::kClean || exit == ExitCode::kDamage ||
                  exit == ExitCode::kUnreadable || exit == ExitCode::kUsage);
    }
    EXPECT_EQ(Fingerprint(dir_.path()), before);
  });
}

/// SYSTEM and IDENTITY say that this is the right disk, and LOCK that nobody else is at it; for
/// lack of anything else a start contains what is wrong.
bool StartRefused(Part part, Spoilt way) {
  if (part == Part::kSystem || part == Part::kIdentity) return true;
  return part == Part::kLock && (way == Spoilt::kSymlink || way == Spoilt::kDirectory);
}

TEST_F(ForeignFile, A14_A18_AStartContainsWhatIsWrong) {
  ForEachSpoilt([&](const std::string&, Part part, Spoilt way) {
    const Answer start = Load(data_, *made_ / "input");
    if (StartRefused(part, way)) {
      EXPECT_NE(start.exit, ExitCode::kClean);
      EXPECT_THAT(start.text(), HasSubstr("error: "));
      EXPECT_THAT(start.text(), Not(HasSubstr("recovered boot=")));
      return;
    }
    EXPECT_THAT(start.text(), HasSubstr("recovered boot="));
    EXPECT_TRUE(start.exit == ExitCode::kClean || start.exit == ExitCode::kDamage) << start.text();
    // Another one finds its own work whole.
    const Answer again = Load(data_, *made_ / "input");
    EXPECT_THAT(again.text(), HasSubstr("recovered boot="));
    EXPECT_EQ(again.exit, start.exit) << again.text();
  });
}

// The number of a new file is above that of every name there is, or the start could not make it.
TEST_F(ForeignFile, A10_ANameThatADirectoryHasIsNotGivenToAFile) {
  for (std::size_t at = 0; at < WalFiles(*made_ / "own").size(); ++at) {
    Renew();
    const std::string path = WalFiles(data_)[at];
    SCOPED_TRACE(path);
    fs::remove(path);
    fs::create_directory(path);
    EXPECT_THAT(Load(data_, *made_ / "input").text(), HasSubstr("recovered boot="));
  }
}

/// Makes the header blocks of a file say that a later release wrote them.
void SetVersion(const std::string& path, std::uint32_t version) {
  std::string content = ReadAll(path);
  const auto bytes = std::as_writable_bytes(std::span(content));
  const auto front = [&](std::size_t at) { return LoadLe<std::uint64_t>(bytes.data() + at); };
  const auto uid = [&](std::size_t at) {
    Uid128 found;
    std::memcpy(found.bytes.data(), content.data() + at, found.bytes.size());
    return found;
  };
  std::uint64_t seed = 0;
  std::size_t block_bytes = 4096;
  std::size_t copies = 2;
  if (path.ends_with("SYSTEM")) {
    seed = FileSeed(uid(24), FileKind::kSystem, 0);
  } else if (path.ends_with("IDENTITY")) {
    seed = FileSeed(uid(24), FileKind::kIdentity, 0);
  } else if (path.ends_with(".seg")) {
    const segments::ServerIdentity identity{uid(24), uid(40), front(56)};
    seed = segments::FileContext::Of(identity, front(64), front(72)).seed;
    block_bytes = segments::kFileHeaderBytes;
    copies = 1;
  } else {  // A checkpoint's sequence and the life of a WAL file stand in one place.
    const bool wal = path.ends_with(".wal");
    seed = FileSeed(uid(24), wal ? FileKind::kWal : FileKind::kCheckpoint, front(40));
  }
  for (std::size_t copy = 0; copy < copies; ++copy) {
    const auto block = bytes.subspan(copy * block_bytes, block_bytes);
    StoreLe(block.data() + 8, version);
    StoreLe(block.data() + 16, ChecksumAround(block, 16, SeedAt(seed, copy * block_bytes)));
  }
  WriteAll(path, content);
}

TEST_F(ForeignFile, T4_EveryVerbRefusesEveryKindOfANewerVersion) {
  for (const Part part :
       {Part::kWal, Part::kSystem, Part::kIdentity, Part::kSegment, Part::kCheckpoint}) {
    Renew();
    const std::string path = PathIn(data_, part);
    SCOPED_TRACE(path);
    const std::string content = ReadAll(path);
    SetVersion(path, 1);
    ASSERT_EQ(ReadAll(path), content) << "the test must know the format";
    SetVersion(path, 7);
    const auto before = Fingerprint(data_);
    std::vector<Answer> answers = AskAll();
    answers.push_back(Verify(data_));
    if (part != Part::kSystem && part != Part::kIdentity) {
      answers.push_back(Verify(path));
      answers.push_back(Ask([&](Terminal& to) { return RunDump({.path = path}, to); }));
    }
    EXPECT_EQ(Fingerprint(data_), before);
    answers.push_back(Load(data_, *made_ / "input"));
    for (const Answer& answer : answers) {
      EXPECT_EQ(answer.exit, ExitCode::kUnknownVersion) << answer.text();
      EXPECT_THAT(answer.text(), HasSubstr("version 7"));
    }
  }
}

// The bytes are right, and in the wrong place.
TEST_F(ForeignFile, A14_A18_WholeDirectoriesOfAnotherSystem) {
  for (const char* name : {"wal", "meta", "servers"}) {
    Renew();
    SCOPED_TRACE(name);
    fs::remove_all(data_ + "/" + name);
    fs::copy(*made_ / "other" + "/" + name, data_ + "/" + name, fs::copy_options::recursive);
    const auto before = Fingerprint(data_);
    EXPECT_EQ(Verify(data_).exit, ExitCode::kDamage);
    for (const Answer& answer : AskAll()) {
      EXPECT_TRUE(answer.exit == ExitCode::kClean || answer.exit == ExitCode::kDamage ||
                  answer.exit == ExitCode::kUsage)
          << answer.text().substr(0, 2000);
    }
    EXPECT_EQ(Fingerprint(data_), before);
    const Answer start = Load(data_, *made_ / "input");
    const bool started = start.text().find("recovered boot=") != std::string::npos;
    EXPECT_EQ(started, std::string(name) != "wal") << start.text();
    EXPECT_THAT(start.text(), HasSubstr(started ? "damaged=yes" : "belongs to another system"));
  }
}

// Its logs have other entries than the lines to skip are counted by.
TEST_F(ForeignFile, A18_TheMetaDirectoryOfAnotherSystemEndsALoad) {
  fs::remove_all(data_ + "/meta");
  fs::copy(*made_ / "other/meta", data_ + "/meta", fs::copy_options::recursive);
  const auto logs = [&] {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(data_ + "/servers")) {
      names.insert(entry.path().filename().string());
    }
    return names;
  };
  const std::set<std::string> before = logs();
  const Answer load = Load(data_, *made_ / "input");
  EXPECT_EQ(load.exit, ExitCode::kDamage) << load.text();
  EXPECT_THAT(load.text(), HasSubstr("which lines they held is not known"));
  EXPECT_EQ(load.text().find("\"kind\":\"load\""), std::string::npos) << "nothing was loaded";
  EXPECT_EQ(logs(), before);
}

TEST_F(ForeignFile, TL2_ALoneSegmentOrCheckpointIsVerified) {
  for (const Part part : {Part::kSegment, Part::kCheckpoint}) {
    const std::string content = ReadAll(PathIn(data_, part));
    WriteAll(dir_ / "evidence.bin", content);
    for (const std::string& path : {PathIn(data_, part), dir_ / "evidence.bin"}) {
      const Answer whole = Verify(path);
      EXPECT_EQ(whole.exit, ExitCode::kClean) << whole.text();
      EXPECT_THAT(whole.text(), HasSubstr("1 file"));
    }
    // Behind its rows a checkpoint has room to grow.
    const std::size_t end = part == Part::kCheckpoint ? 3 * 4096 : content.size();
    for (std::size_t at = 0; at < end; at += end / 40) {
      std::string flipped = content;
      flipped[at] ^= 16;
      WriteAll(dir_ / "evidence.bin", flipped);
      const ExitCode exit = Verify(dir_ / "evidence.bin").exit;
      // Without its magic nothing says what it is.
      EXPECT_TRUE(exit == ExitCode::kDamage || (at < 8 && exit == ExitCode::kUnreadable)) << at;
    }
  }
  const std::string segment = ReadAll(PathIn(data_, Part::kSegment));
  WriteAll(dir_ / "evidence.bin", segment.substr(0, segment.size() - 1'000));
  const Answer cut = Verify(dir_ / "evidence.bin");
  EXPECT_EQ(cut.exit, ExitCode::kDamage);
  EXPECT_THAT(cut.text(), HasSubstr("the file ends inside this run"));
}

// What the segments have lost the segments are blamed for, whatever else is lost in the WAL.
TEST_F(ForeignFile, B5_ADamagedWalIsNotBlamedForHolesInSegments) {
  const std::string segment = PathIn(data_, Part::kSegment);
  fs::remove(PathIn(data_, Part::kWal));
  fs::remove(segment);
  const std::string text = Verify(data_, Format::kCsv).text();
  const std::string uid = fs::path(segment).parent_path().filename().string();
  int of_the_segment = 0;
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    const std::string line = text.substr(at, text.find('\n', at) - at);
    if (line.find("," + uid + ",1,") == std::string::npos) continue;
    ++of_the_segment;
    EXPECT_THAT(line, HasSubstr("servers/" + uid)) << text;
  }
  EXPECT_EQ(of_the_segment, 1) << text;
}

TEST_F(ForeignFile, TL4_DuCountsWhatTheDiskHolds) {
  const auto bytes = [&] {
    const Answer du = Ask([&](Terminal& to) {
      return RunDu({.path = data_, .output = {.format = Format::kJsonl}}, to);
    });
    return std::stoull(du.out.substr(du.out.find("\"total_bytes\":") + 14));
  };
  const std::uint64_t before = bytes();
  for (const Part part : {Part::kWal, Part::kSegment, Part::kCheckpoint}) {
    Spoil(PathIn(data_, part), part, Spoilt::kHoles);
  }
  EXPECT_EQ(bytes(), before) << "holes take nothing";
  fs::create_directories(data_ + "/quarantine/20260101-000000-abcd/old");
  WriteAll(data_ + "/quarantine/20260101-000000-abcd/old/1", std::string(1 << 20, 'x'));
  EXPECT_GE(bytes(), before + (1 << 20)) << "what repairs keep";
}

TEST_F(ForeignFile, TL2_LeftoversAreSaidOnceAndNotOfARunningStore) {
  const fs::path segment = PathIn(data_, Part::kSegment);
  for (const char* name : {"00009000.seg", "00009001.seg"}) {
    fs::copy(segment, segment.parent_path() / name);
  }
  const Answer closed = Verify(data_);
  EXPECT_EQ(closed.exit, ExitCode::kClean) << closed.text();
  EXPECT_THAT(closed.text(), HasSubstr("files begun by a flush that was not finished"));
  EXPECT_THAT(closed.text(), HasSubstr("1 finding in"));
  PosixFileSystem file_system;
  const auto directory = file_system.Open(data_);
  ASSERT_TRUE(directory.ok());
  const auto lock = (*directory)->Lock("LOCK");
  ASSERT_TRUE(lock.ok());
  EXPECT_THAT(Verify(data_).text(), HasSubstr("0 findings in"));
  EXPECT_FALSE((*directory)->Lock("LOCK").ok()) << "asking must not let go of it";
}

}  // namespace
}  // namespace duramen::tools
