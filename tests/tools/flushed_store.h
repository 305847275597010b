// A data directory with entries in segments, rows in checkpoints, and a WAL: lines as `load` keeps
// them, in so few WAL files that it cannot end before most of them were flushed.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/tools/answer.h"
#include "tests/tools/files.h"
#include "tools/load.h"

namespace duramen::tools::testing {

inline Answer LoadFlushed(LoadOptions load) {
  load.settings.flags.emplace_back("wal_max_size_bytes", "64KiB");
  load.settings.flags.emplace_back("wal_max_files", "4");
  return Ask([&](Terminal& terminal) { return RunLoad(load, terminal); });
}

/// A test with such a directory, its input beside it.
class FlushedStore : public ::testing::Test {
 protected:
  void MakeFlushed(std::uint64_t lines, std::uint64_t servers) {
    WriteAll(dir_ / "input", NumberedLines(lines));
    const Answer load = LoadFlushed(
        {.dir = data_, .file = dir_ / "input", .servers = servers, .settings = settings_});
    ASSERT_EQ(load.exit, ExitCode::kClean) << load.err;
    FindSegments();
    ASSERT_FALSE(segments_.empty());
  }
  void FindSegments() {
    segments_.clear();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(data_ + "/servers")) {
      if (entry.path().extension() == ".seg") segments_.push_back(entry.path().string());
    }
  }

  TempDir dir_;
  std::string data_ = dir_ / "data";
  std::vector<std::string> segments_;
  SettingSources settings_;  // besides those that make it small
};

}  // namespace duramen::tools::testing
