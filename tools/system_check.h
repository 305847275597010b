// The files of a data directory beside the WAL: SYSTEM and the IDENTITY of its WAL directory.
#pragma once

#include <string>
#include <vector>

#include "log/system_file.h"
#include "tools/findings.h"

namespace duramen::tools {

inline constexpr const char* kSystemName = "SYSTEM";
inline constexpr const char* kIdentityName = "IDENTITY";

/// Errors: kNotFound, kCorruption, kUnknownVersion, kIo.
Result<log::Copies<log::SystemFile>> ReadSystemFile(const std::string& data_dir);
Result<log::Copies<log::IdentityFile>> ReadIdentityFile(const std::string& wal_dir);

/// What is wrong with them; nothing when `path` is no data directory.
std::vector<ImageFinding> CheckSystemFiles(const std::string& path, const WalImage& image);

}  // namespace duramen::tools
