// A terabyte of holes in a file of the store: what reads all of it outlasts the test's limit by
// far.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/tools/flushed_store.h"
#include "tools/repair.h"

namespace duramen::tools {
namespace {

using testing::Answer;
using testing::Ask;

constexpr std::uint64_t kTerabyte = 1ull << 40;

class Holes : public testing::FlushedStore {
 protected:
  /// SYSTEM, IDENTITY, both checkpoints, WAL files, and segments in the middle and at the end.
  std::vector<std::string> FilesOfEachKind() const {
    std::vector<std::string> files = {data_ + "/SYSTEM", data_ + "/wal/IDENTITY",
                                      data_ + "/meta/checkpoint-a", data_ + "/meta/checkpoint-b"};
    files.insert(files.end(), segments_.begin(), segments_.end());
    for (const auto& entry : std::filesystem::directory_iterator(data_ + "/wal")) {
      if (entry.path().extension() == ".wal") files.push_back(entry.path().string());
    }
    return files;
  }
  void Repair() {
    const Answer answer = Ask(
        [&](Terminal& terminal) { return RunRepair({.path = data_, .apply = true}, terminal); });
    EXPECT_EQ(answer.exit, ExitCode::kClean) << answer.text();
  }
};

TEST_F(Holes, T6_ATerabyteOfThemInAnyFileIsRepairedAndStarted) {
  MakeFlushed(12'000, 3);
  for (const std::string& path : FilesOfEachKind()) {
    SCOPED_TRACE(path);
    if (!std::filesystem::exists(path)) continue;  // A repair before has taken it.
    std::filesystem::resize_file(path, kTerabyte);
    (void)testing::Verify(data_);
    Repair();
    EXPECT_EQ(testing::Verify(data_).exit, ExitCode::kClean);
  }
  const Answer load =
      testing::LoadFlushed({.dir = data_, .file = dir_ / "input", .servers = 3, .resume = true});
  EXPECT_EQ(load.exit, ExitCode::kClean) << load.err;
}

TEST_F(Holes, T6_AWalFileThatIsNothingElseHoldsNoStart) {
  MakeFlushed(12'000, 3);
  const std::string path = data_ + "/wal/0000000000009999.wal";
  testing::WriteAll(path, "");
  std::filesystem::resize_file(path, kTerabyte);
  const Answer load =
      testing::LoadFlushed({.dir = data_, .file = dir_ / "input", .servers = 3, .resume = true});
  EXPECT_EQ(load.exit, ExitCode::kClean) << load.err;
  Repair();
}

}  // namespace
}  // namespace duramen::tools
