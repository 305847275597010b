// A data directory with entries in segments, rows in checkpoints, and a WAL: lines as `load` keeps
// them, in so few WAL files that it cannot end before most of them were flushed.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/settings.h"
#include "tests/tools/answer.h"
#include "tests/tools/files.h"
#include "tools/load.h"

namespace duramen::tools::testing {

inline Answer LoadFlushed(LoadOptions load) {
  load.settings.flags.emplace_back("wal_max_size_bytes", "64KiB");
  load.settings.flags.emplace_back("wal_max_files", "4");
  return Ask([&](Terminal& terminal) { return RunLoad(load, terminal); });
}

/// Opens the store, so that its flusher does what a busy machine gave it no time for, until `done`.
/// What nobody waits for is flushed after `delay_ms`.
inline void FlushUntil(const std::string& dir, const SettingSources& settings,
                       const std::function<bool()>& done, std::uint64_t delay_ms = 0) {
  if (done()) return;
  LogStoreOptions options;
  options.data_dir = dir;
  options.wal_max_size_bytes = 64u << 10;
  options.wal_max_files = 4;
  options.flush_delay = delay_ms;
  for (const auto& [name, value] : settings.flags) {
    ASSERT_TRUE(ParseSetting(name, value, options).ok());
  }
  LogStore store = LogStore::Open(options).value();
  const Deadline patience = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  while (!done()) {
    ASSERT_LT(std::chrono::steady_clock::now(), patience);
    std::this_thread::yield();
  }
  ASSERT_TRUE(store.Close(patience).ok());
}

/// A test with such a directory, its input beside it.
class FlushedStore : public ::testing::Test {
 protected:
  void MakeFlushed(std::uint64_t lines, std::uint64_t servers) {
    WriteAll(dir_ / "input", NumberedLines(lines));
    const Answer load = LoadFlushed(
        {.dir = data_, .file = dir_ / "input", .servers = servers, .settings = settings_});
    ASSERT_EQ(load.exit, ExitCode::kClean) << load.err;
    ASSERT_NO_FATAL_FAILURE(FlushUntil([this] {
      FindSegments();
      return !segments_.empty();
    }));
  }
  void FlushUntil(const std::function<bool()>& done, std::uint64_t delay_ms = 0) {
    testing::FlushUntil(data_, settings_, done, delay_ms);
  }
  void FindSegments() {
    segments_.clear();
    if (!std::filesystem::exists(data_ + "/servers")) return;
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
