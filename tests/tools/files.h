// Small files and directories for the tests of the tools: written, read, copied, compared.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/base/temp_dir.h"

namespace duramen::tools::testing {

using ::duramen::testing::TempDir;

inline std::string ReadAll(const std::string& path) {
  std::ostringstream content;  // Whole buffers at a time: some are WAL files.
  content << std::ifstream(path, std::ios::binary).rdbuf();
  return std::move(content).str();
}

inline void WriteAll(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  EXPECT_TRUE(file.good()) << path;
}

inline std::string AsString(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Everything below `path`: names, contents, links, times of change. What reading must not change.
inline std::map<std::string, std::string> Fingerprint(const std::string& path) {
  std::map<std::string, std::string> all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    std::string& text = all[entry.path().string()];
    if (entry.is_symlink()) {
      text = "-> " + std::filesystem::read_symlink(entry.path()).string();
    } else if (entry.is_regular_file()) {
      const auto size = entry.file_size();
      text = std::to_string(size) + " " + (size < (1 << 22) ? ReadAll(entry.path().string()) : "");
    }
    if (!entry.is_symlink()) {
      const auto changed = entry.last_write_time().time_since_epoch().count();
      text += " " + std::to_string(changed);
    }
  }
  return all;
}

/// Paths of the WAL files of a data directory, in order.
inline std::vector<std::string> WalFiles(const std::string& data_dir) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(data_dir + "/wal")) {
    if (entry.path().extension() == ".wal") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// "line 1: ...\n" and so on, of different lengths.
inline std::string NumberedLines(std::uint64_t count) {
  std::string text;
  for (std::uint64_t i = 1; i <= count; ++i) {
    const std::string filling(i * 7 % 90, static_cast<char>('a' + i % 26));
    text += "line " + std::to_string(i) + ": " + filling + "\n";
  }
  return text;
}

}  // namespace duramen::tools::testing
